//! Stand-ins for the world: time, files, interfaces, log, tasks, the end of the process.

use std::collections::BTreeMap;
use std::fmt::Arguments;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use catena_core::{Clock, Exit, Files, Interfaces, Level, LogSink, Spawner, Task};

/// A clock that stands still until it is moved.
pub struct FakeClock {
    base: Instant,
    wall: SystemTime,
    moved_ns: AtomicU64,
}

impl FakeClock {
    /// A clock that shows the time of its making.
    #[must_use]
    #[allow(clippy::disallowed_methods)]
    pub fn new() -> Self {
        Self { base: Instant::now(), wall: SystemTime::now(), moved_ns: AtomicU64::new(0) }
    }

    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        self.moved_ns
            .fetch_add(u64::try_from(by.as_nanos()).expect("a test waits less than 500 years"), Ordering::SeqCst);
    }

    fn moved(&self) -> Duration {
        Duration::from_nanos(self.moved_ns.load(Ordering::SeqCst))
    }
}

impl Default for FakeClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Instant {
        self.base + self.moved()
    }

    fn wall(&self) -> SystemTime {
        self.wall + self.moved()
    }
}

/// The time of the system, for tests in which sockets make it pass.
pub struct RealClock;

impl Clock for RealClock {
    #[allow(clippy::disallowed_methods)]
    fn now(&self) -> Instant {
        Instant::now()
    }

    #[allow(clippy::disallowed_methods)]
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// Files in memory; what is not there is read from the disk, where a test makes temporary files.
#[derive(Default)]
pub struct FakeFiles(Mutex<BTreeMap<PathBuf, Vec<u8>>>);

impl FakeFiles {
    /// Puts a file there, or replaces it.
    pub fn put(&self, path: impl Into<PathBuf>, contents: impl Into<Vec<u8>>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(path.into(), contents.into());
    }
}

impl Files for FakeFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
        kept.map_or_else(|| std::fs::read(path), Ok)
    }

    fn is_dir(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        std::fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }
}

/// The interfaces a test wants; by default `lo` with its two addresses.
pub struct FakeInterfaces(pub Vec<(String, IpAddr)>);

impl Default for FakeInterfaces {
    fn default() -> Self {
        let lo = |ip: &str| ("lo".to_owned(), ip.parse().expect("an address"));
        Self(vec![lo("127.0.0.1"), lo("::1")])
    }
}

impl Interfaces for FakeInterfaces {
    fn addresses(&self) -> io::Result<Vec<(String, IpAddr)>> {
        Ok(self.0.clone())
    }
}

/// Keeps the log as lines.
#[derive(Default)]
pub struct FakeLog(Mutex<Vec<String>>);

impl FakeLog {
    /// The lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lines since the last call.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl LogSink for FakeLog {
    fn line(&self, level: Level, plugin: Option<&str>, message: &Arguments<'_>) {
        let line = match plugin {
            Some(plugin) => format!("[{}] plugin/{plugin}: {message}", level.as_str()),
            None => format!("[{}] {message}", level.as_str()),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

/// Keeps what a plugin wanted to end the process with.
#[derive(Default)]
pub struct FakeExit(Mutex<Option<String>>);

impl FakeExit {
    /// The message of the first fatal end, as `plugin/NAME: message`.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Exit for FakeExit {
    fn fatal(&self, plugin: &'static str, message: &str) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get_or_insert_with(|| format!("plugin/{plugin}: {message}"));
    }
}

/// Starts tasks on the kit's runtime, up to a limit.
pub struct RuntimeSpawner {
    handle: tokio::runtime::Handle,
    left: AtomicU64,
    has_ended: AtomicBool,
}

impl RuntimeSpawner {
    /// At most `limit` tasks in all.
    #[must_use]
    pub fn new(handle: tokio::runtime::Handle, limit: u64) -> Arc<Self> {
        Arc::new(Self { handle, left: AtomicU64::new(limit), has_ended: AtomicBool::new(false) })
    }

    /// Refuses every further task, or allows so many.
    pub fn allow(&self, tasks: u64) {
        self.left.store(tasks, Ordering::SeqCst);
    }

    /// Refuses every further task because the instance has ended.
    pub fn end(&self) {
        self.allow(0);
        self.has_ended.store(true, Ordering::SeqCst);
    }
}

impl Spawner for RuntimeSpawner {
    fn spawn(&self, task: Task) -> bool {
        let taken = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if taken.is_ok() {
            self.handle.spawn(task);
        }
        taken.is_ok()
    }

    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::SeqCst)
    }
}
