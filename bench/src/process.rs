//! Servers as child processes on cores of their own, and what the kernel knows of them.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a start may take until the first answer.
const START_MAX: Duration = Duration::from_secs(180);
/// How long a reply to a look whether the server is there may take.
const LOOK: Duration = Duration::from_millis(20);
/// How long a server may take to end by itself before it is killed.
const END_MAX: Duration = Duration::from_secs(2);

/// A server with the processes that it started.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    /// From the start of the process to the first reply with an answer.
    pub(crate) ready: Duration,
}

impl Server {
    /// Starts a program on these cores; its log goes to a file.
    pub(crate) fn start(
        cores: &str,
        environment: &[(&str, String)],
        command: &[String],
        port: u16,
        log: &Path,
    ) -> Result<Self, String> {
        let told = |error: std::io::Error| format!("{}: {error}", command.join(" "));
        let out = File::create(log).map_err(told)?;
        let errors = out.try_clone().map_err(told)?;
        let mut taskset = Command::new("taskset");
        taskset
            .arg("-c")
            .arg(cores)
            .args(command)
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(errors);
        Ok(Self { child: taskset.spawn().map_err(told)?, port, ready: Duration::ZERO })
    }

    /// Waits until the query gets a reply with an answer.
    pub(crate) fn wait(&mut self, query: &[u8], log: &Path) -> Result<(), String> {
        let told = |error: std::io::Error| error.to_string();
        let begun = Instant::now();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(told)?;
        socket.set_read_timeout(Some(LOOK)).map_err(told)?;
        let mut reply = [0; 4096];
        while begun.elapsed() < START_MAX {
            // Nobody there yet is an error of the next call.
            let _ = socket.send_to(query, (Ipv4Addr::LOCALHOST, self.port));
            match socket.recv(&mut reply) {
                Ok(len) if len > 12 && reply[3] & 15 == 0 && reply[7] > 0 => {
                    self.ready = begun.elapsed();
                    return Ok(());
                }
                Ok(_) => std::thread::sleep(LOOK),
                Err(_) => {}
            }
            if self.child.try_wait().map_err(told)?.is_some() {
                break;
            }
        }
        Err(format!("gives no answer:\n{}", std::fs::read_to_string(log).unwrap_or_default()))
    }

    /// The time that the server has spent on a core: user and system, of all threads of all its processes.
    pub(crate) fn cpu(&self) -> Duration {
        Duration::from_nanos(self.tree().iter().map(|pid| cpu_of(*pid)).sum())
    }

    /// Sends a signal: its name without `SIG`.
    pub(crate) fn signal(&self, name: &str) {
        // A server that has ended is told of when it is asked.
        let _ = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
    }

    /// Asks it to end and waits until it has.
    pub(crate) fn end(mut self, limit: Duration) -> Result<(), String> {
        self.signal("TERM");
        let begun = Instant::now();
        while begun.elapsed() < limit {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
        Err("does not end".to_owned())
    }

    /// Resident memory of all its processes, bytes. Pages that they share count for each.
    pub(crate) fn rss(&self) -> u64 {
        let of = |pid: &u32| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
            line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
        };
        self.tree().iter().map(of).sum()
    }

    fn tree(&self) -> Vec<u32> {
        let mut found = vec![self.child.id()];
        let mut at = 0;
        while let Some(pid) = found.get(at).copied() {
            at += 1;
            for task in tasks(pid) {
                let children = std::fs::read_to_string(task.join("children")).unwrap_or_default();
                found.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            }
        }
        found
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A server that forks ends its children itself, if it is asked to.
        let _ = Command::new("kill").arg(self.child.id().to_string()).stderr(Stdio::null()).status();
        let begun = Instant::now();
        while begun.elapsed() < END_MAX {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(LOOK);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tasks(pid: u32) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    entries.filter_map(Result::ok).map(|entry| entry.path()).collect()
}

/// Nanoseconds on a core. A thread that has just ended has nothing to tell.
fn cpu_of(pid: u32) -> u64 {
    let of = |task: std::path::PathBuf| {
        let text = std::fs::read_to_string(task.join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or(0)
    };
    tasks(pid).into_iter().map(of).sum()
}

/// Keeps this process, with the threads that it starts from now on, on one core.
pub(crate) fn pin_myself(cores: &str) -> Result<(), String> {
    let mut command = Command::new("taskset");
    command.args(["-a", "-c", "-p", cores, &std::process::id().to_string()]).stdout(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("taskset: {status}")),
        Err(error) => Err(format!("taskset: {error}")),
    }
}

/// A port that nobody has on 127.0.0.1, neither over UDP nor over TCP.
pub(crate) fn free_port() -> Result<u16, String> {
    for _ in 0..100 {
        let Ok(tcp) = TcpListener::bind("127.0.0.1:0") else { continue };
        let Ok(addr) = tcp.local_addr() else { continue };
        if UdpSocket::bind(addr).is_ok() {
            return Ok(addr.port());
        }
    }
    Err("no free port".to_owned())
}
