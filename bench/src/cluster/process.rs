//! A server as a child process, and what the kernel knows of it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::process::free_port;

/// How long a start may take.
const START_MAX: Duration = Duration::from_secs(60);
/// Between two looks at `/ready`.
const LOOK: Duration = Duration::from_millis(5);

/// A server that answers.
pub(super) struct Server {
    child: Child,
    /// Where it takes queries, on 127.0.0.1.
    pub(super) port: u16,
    /// From the start of the process to the first good answer of `/ready`.
    pub(super) ready: Duration,
}

impl Server {
    /// Starts a binary on one core with a Corefile, in which `@PORT@` and `@READY@` stand for free ports, and waits for `/ready`.
    pub(super) fn start(binary: &Path, core: &str, corefile: &str, folder: &Path) -> Result<Self, String> {
        let (port, ready_port) = (free_port()?, free_port()?);
        let corefile = corefile.replace("@PORT@", &port.to_string()).replace("@READY@", &ready_port.to_string());
        let file = folder.join("Corefile");
        let told = |error: std::io::Error| error.to_string();
        std::fs::write(&file, corefile).map_err(told)?;
        let log = std::fs::File::create(folder.join("log")).map_err(told)?;
        let errors = log.try_clone().map_err(told)?;
        let mut command = Command::new("taskset");
        command.arg("-c").arg(core).arg(binary).arg("-conf").arg(&file);
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let begun = Instant::now();
        let child = command.spawn().map_err(|error| format!("taskset {}: {error}", binary.display()))?;
        let mut server = Self { child, port, ready: Duration::ZERO };
        while !is_ready(ready_port) {
            let ended = server.child.try_wait().map_err(told)?.is_some();
            if ended || begun.elapsed() > START_MAX {
                let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                return Err(format!("{} is not ready:\n{log}", binary.display()));
            }
            std::thread::sleep(LOOK);
        }
        server.ready = begun.elapsed();
        Ok(server)
    }

    /// A line of `/proc/PID/status` in bytes, such as `VmRSS` or `VmHWM`.
    pub(super) fn memory(&self, line: &str) -> Result<u64, String> {
        let status = self.proc("status")?;
        let kib = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':')?.split_whitespace().next());
        kib.and_then(|kib| kib.parse::<u64>().ok()).map(|kib| kib * 1024).ok_or_else(|| format!("no {line} in status"))
    }

    /// Lets the peak of memory begin anew at what is used now.
    pub(super) fn forget_peak(&self) -> Result<(), String> {
        let path = format!("/proc/{}/clear_refs", self.child.id());
        std::fs::write(&path, "5").map_err(|error| format!("{path}: {error}"))
    }

    /// The time that the process has spent on a core, of all its threads.
    pub(super) fn cpu(&self) -> Result<Duration, String> {
        let tasks = format!("/proc/{}/task", self.child.id());
        let mut nanos = 0;
        for task in std::fs::read_dir(&tasks).map_err(|error| format!("{tasks}: {error}"))?.filter_map(Result::ok) {
            // A thread that has just ended has nothing to tell.
            let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            nanos += text.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanos))
    }

    fn proc(&self, file: &str) -> Result<String, String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is only measured: nothing is lost with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_ready(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let asked = stream.write_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut reply = String::new();
    asked.is_ok() && stream.read_to_string(&mut reply).is_ok() && reply.starts_with("HTTP/1.1 200")
}
