//! Time and tasks as traits, so that the core reads no clock and spawns nothing by itself.

use std::future::Future;
use std::pin::Pin;
use std::time::{Instant, SystemTime};

/// What time it is.
pub trait Clock: Send + Sync + 'static {
    /// Time that only goes forward. A worker's clock may stand still for a few queries, which is a few microseconds.
    fn now(&self) -> Instant;
    /// The same, of a clock that never stands still.
    fn exact(&self) -> Instant {
        self.now()
    }
    /// Time of day.
    fn wall(&self) -> SystemTime;

    /// Seconds since 1970, 0 before it.
    fn unix_seconds(&self) -> u64 {
        self.wall().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}

/// A future that nobody waits for.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// Starts tasks that end with the instance.
pub trait Spawner: Send + Sync + 'static {
    /// Starts a task. `false`: there are as many as may be, or the instance has ended; the task is dropped.
    fn spawn(&self, task: Task) -> bool;

    /// Whether the instance has ended, so that a task which was not started is missed by nobody.
    fn has_ended(&self) -> bool;
}
