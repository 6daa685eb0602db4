//! Processes that are always ended.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before it counts as failed.
pub const WAIT_MAX: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(20);
/// How long a process may take to end when it is asked to.
const END_MAX: Duration = Duration::from_secs(5);

/// Waits until something is true; whether it became so within [`WAIT_MAX`].
pub fn wait_until(mut is_so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + WAIT_MAX;
    while !is_so() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(POLL);
    }
    true
}

/// A process in a folder, its output in `log` there; ended when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    folder: PathBuf,
}

impl Daemon {
    /// Starts it.
    ///
    /// # Errors
    /// There is no such program.
    pub fn start(mut command: Command, folder: &Path) -> io::Result<Self> {
        let log = File::options().create(true).append(true).open(folder.join("log"))?;
        command.current_dir(folder).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(Self { child: command.spawn()?, folder: folder.to_owned() })
    }

    /// The process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where it works.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it said so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.folder.join("log"))
            .map(|octets| String::from_utf8_lossy(&octets).into_owned())
            .unwrap_or_default()
    }

    /// Waits until it says something; whether it did.
    #[must_use]
    pub fn says(&self, text: &str) -> bool {
        wait_until(|| self.log().contains(text))
    }

    /// Sends a signal by its name without SIG.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, name: &str) -> io::Result<()> {
        let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &self.id().to_string()]).status()?;
        if sent.success() { Ok(()) } else { Err(io::Error::other("the process has ended")) }
    }

    /// Kills it at once, as `kill -9` does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The most memory that it ever had, KiB.
    #[must_use]
    pub fn peak_kib(&self) -> Option<u64> {
        peak_kib(self.id())
    }

    /// The same of the processes that it started, and itself, added up.
    #[must_use]
    pub fn family_peak_kib(&self) -> u64 {
        let children = format!("/proc/{0}/task/{0}/children", self.id());
        let children = fs::read_to_string(children).unwrap_or_default();
        let below = children.split_whitespace().filter_map(|id| peak_kib(id.parse().ok()?)).sum::<u64>();
        below + self.peak_kib().unwrap_or(0)
    }
}

fn peak_kib(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Asked first, so that it ends the processes that it started.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.signal("TERM");
        }
        let end = Instant::now() + END_MAX;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > end {
                self.kill();
            }
            std::thread::sleep(POLL);
        }
    }
}
