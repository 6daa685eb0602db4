//! A clock for one worker that stands still while a batch is answered, but for a look now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use catena_core::Clock;

/// So many queries of a batch are answered between two looks at the clock: a few microseconds.
pub(crate) const QUERIES_A_LOOK: usize = 8;
/// The clock is not held.
const RUNNING: u64 = u64::MAX;

/// The server's clock, which a worker can hold. To ask the system what time it is takes as long as to look a name up.
pub(crate) struct HeldClock {
    clock: Arc<dyn Clock>,
    start: Instant,
    /// Nanoseconds since `start`, or [`RUNNING`].
    held: AtomicU64,
}

impl HeldClock {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let start = clock.now();
        Self { clock, start, held: AtomicU64::new(RUNNING) }
    }

    /// Stands still until the guard is dropped, but for looks.
    pub(crate) fn hold(&self) -> HeldStill<'_> {
        self.look();
        HeldStill(self)
    }

    /// Looks what time it is and tells that time from now on.
    fn look(&self) {
        let now = self.clock.now();
        let held = u64::try_from(now.saturating_duration_since(self.start).as_nanos()).unwrap_or(RUNNING);
        self.held.store(held, Ordering::Relaxed);
    }
}

/// A clock that stands still.
pub(crate) struct HeldStill<'a>(&'a HeldClock);

impl HeldStill<'_> {
    /// Looks what time it is and stands still at that.
    pub(crate) fn look(&self) {
        self.0.look();
    }
}

impl Drop for HeldStill<'_> {
    fn drop(&mut self) {
        self.0.held.store(RUNNING, Ordering::Relaxed);
    }
}

impl Clock for HeldClock {
    fn now(&self) -> Instant {
        match self.held.load(Ordering::Relaxed) {
            RUNNING => self.clock.now(),
            held => self.start + Duration::from_nanos(held),
        }
    }

    fn exact(&self) -> Instant {
        self.clock.exact()
    }

    fn wall(&self) -> SystemTime {
        self.clock.wall()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Mutex;

    use super::*;

    struct Ticking(Mutex<Instant>);

    impl Clock for Ticking {
        fn now(&self) -> Instant {
            let mut now = self.0.lock().unwrap();
            *now += Duration::from_millis(1);
            *now
        }

        fn wall(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH
        }
    }

    #[test]
    #[allow(clippy::disallowed_methods)]
    fn a_held_clock_stands_until_the_next_look_and_runs_when_it_is_let_go() {
        let start = Instant::now();
        let clock = HeldClock::new(Arc::new(Ticking(Mutex::new(start))));
        let after = |millis| start + Duration::from_millis(millis);
        let held = clock.hold();
        assert_eq!((clock.now(), clock.now()), (after(2), after(2)));
        assert_eq!((clock.exact(), clock.now()), (after(3), after(2)));
        held.look();
        assert_eq!(clock.now(), after(4));
        drop(held);
        assert_eq!((clock.now(), clock.now()), (after(5), after(6)));
    }
}
