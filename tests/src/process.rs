//! A server process: started in its folder, watched through its output, always ended.

use regex::Regex;
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::Error;

const LOG_POLL: Duration = Duration::from_millis(50);
const LISTEN_POLL: Duration = Duration::from_millis(30);

/// A transport and a port that a server is to listen on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// `udp` or `tcp`.
    pub proto: &'static str,
    /// The port.
    pub port: u16,
}

/// A server under test; it is killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    binary: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    folder: PathBuf,
    log: PathBuf,
    child: Option<Child>,
    /// Where the next [`Server::wait_log`] begins.
    cursor: usize,
}

impl Server {
    /// A server that has not been started yet.
    pub fn new(binary: &Path, args: Vec<String>, env: Vec<(String, String)>, folder: &Path) -> Self {
        let (binary, log) = (binary.to_owned(), folder.join("server.log"));
        Self { binary, args, env, folder: folder.to_owned(), log, child: None, cursor: 0 }
    }

    /// Starts it; its output goes to a file that a restart goes on with.
    ///
    /// # Errors
    /// When there is no such program.
    pub fn start(&mut self) -> Result<(), Error> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log)?;
        let mut command = match setpriv() {
            // It ends with us even when nothing of ours runs any more.
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(&self.binary);
                command
            }
            None => Command::new(&self.binary),
        };
        for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("KUBERNETES_")) {
            command.env_remove(key);
        }
        command.args(&self.args).envs(self.env.iter().cloned()).current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        self.child = Some(command.spawn()?);
        Ok(())
    }

    /// Kills it and waits for its end.
    pub async fn stop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill().await;
        }
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// Waits for its end.
    pub async fn wait_end(&mut self, limit: Duration) -> Option<ExitStatus> {
        timeout(limit, self.child.as_mut()?.wait()).await.ok()?.ok()
    }

    /// Sends a signal by its name without SIG.
    ///
    /// # Errors
    /// [`Error::Failed`] when there is nobody to send it to, or no such signal.
    pub async fn signal(&mut self, name: &str) -> Result<(), Error> {
        let pid = self.child.as_ref().and_then(Child::id);
        let pid = pid.ok_or_else(|| Error::Failed(format!("signal {name}: the server has ended")))?;
        // The shell's own `kill` is everywhere.
        let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &pid.to_string()]).status().await?;
        if sent.success() { Ok(()) } else { Err(Error::Failed(format!("signal {name}: cannot be sent"))) }
    }

    /// All its output so far.
    pub fn output(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits for output that matches, from the previous match on.
    pub async fn wait_log(&mut self, pattern: &Regex, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        loop {
            let output = self.output();
            if let Some(found) = pattern.find_at(&output, self.cursor.min(output.len())) {
                self.cursor = found.end();
                return true;
            }
            if Instant::now() > end {
                return false;
            }
            sleep(LOG_POLL).await;
        }
    }

    /// Waits until it listens; gives what is still missing after that time, or at its end.
    pub async fn wait_listening(&mut self, wanted: &BTreeSet<Listener>, limit: Duration) -> Vec<Listener> {
        let end = Instant::now() + limit;
        loop {
            let missing: Vec<Listener> = wanted.iter().filter(|one| !one.is_bound()).cloned().collect();
            if missing.is_empty() || self.ended().is_some() || Instant::now() > end {
                return missing;
            }
            sleep(LISTEN_POLL).await;
        }
    }
}

/// An exit status as a number: that of the program, or the negative number of the signal that ended it.
pub fn status_number(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| -status.signal().unwrap_or_default())
}

/// The program that lets a child end with its parent (util-linux); absent elsewhere than on Linux.
fn setpriv() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("setpriv")).find(|file| file.is_file())
}

impl Listener {
    /// Reads the kernel's socket tables, so that waiting leaves no trace in logs or metrics.
    fn is_bound(&self) -> bool {
        let end = format!(":{:04X}", self.port);
        ["", "6"].iter().any(|family| {
            let table = std::fs::read_to_string(format!("/proc/net/{}{family}", self.proto)).unwrap_or_default();
            table.lines().any(|line| {
                let mut fields = line.split_whitespace();
                let (local, state) = (fields.nth(1).unwrap_or_default(), fields.nth(1).unwrap_or_default());
                local.ends_with(&end) && (self.proto == "udp" || state == "0A")
            })
        })
    }
}

/// What a Corefile will listen on: the ports of its server block keys, and the HTTP ports that it mentions.
///
/// # Errors
/// None in practice: the patterns are fixed.
pub fn listeners(corefile: &str, http_ports: &[u16]) -> Result<BTreeSet<Listener>, Error> {
    let mut found = BTreeSet::new();
    for port in http_ports {
        if crate::text::compile(&format!(r":{port}\b"))?.is_match(corefile) {
            found.insert(Listener { proto: "tcp", port: *port });
        }
    }
    let head = crate::text::compile(r"^([^\s#{}()][^#{}()]*)\{\s*$")?;
    for keys in corefile.lines().filter_map(|line| head.captures(line)) {
        for key in keys[1].split([' ', '\t', ',']) {
            let Some(port) = key.rsplit_once(':').and_then(|(_, port)| port.parse().ok()) else { continue };
            let protos: &[&'static str] = match key.split_once("://") {
                None | Some(("dns", _)) => &["udp", "tcp"],
                Some(("quic" | "https3", _)) => &["udp"],
                Some(_) => &["tcp"],
            };
            found.extend(protos.iter().map(|proto| Listener { proto, port }));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn listeners_are_read_off_a_corefile() {
        let corefile = "a.:2001, tls://b.:2002 {\n    health 127.0.0.1:3001\n    forward . 127.0.0.1:9 {\n    }\n}\n# c.:2003 {\n(x) {\n}\n";
        let found = listeners(corefile, &[3001, 3002]).unwrap();
        let found: Vec<_> = found.iter().map(|one| (one.proto, one.port)).collect();
        assert_eq!(found, [("tcp", 2001), ("tcp", 2002), ("tcp", 3001), ("udp", 2001)]);
    }

    #[tokio::test]
    async fn a_child_is_killed_when_its_server_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Server::new(Path::new("/bin/sleep"), vec!["60".into()], Vec::new(), folder.path());
        server.start().unwrap();
        let entry = format!("/proc/{}", server.child.as_ref().unwrap().id().unwrap());
        assert!(server.ended().is_none() && Path::new(&entry).exists());
        drop(server);
        for _ in 0..100 {
            // A killed child that nobody has waited for yet shows as a zombie.
            let state = std::fs::read_to_string(format!("{entry}/stat")).unwrap_or_default();
            if state.is_empty() || state.contains(") Z") {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("the child still runs");
    }
}
