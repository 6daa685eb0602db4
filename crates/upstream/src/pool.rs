//! Connections at rest. CoreDNS: plugin/pkg/proxy/persistent.go.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::conn::{StreamConn, UdpConn};
use crate::lanes::{LANES_FROM, Lanes};

/// The most workers with a pool of their own; those beyond share.
pub const WORKERS_MAX: usize = u64::BITS as usize;
/// The most connections at rest to one upstream, for each worker and each of UDP and TCP.
pub const IDLE_MAX: usize = 1024;
/// The most exchanges with one upstream at once, for each worker.
pub const IN_FLIGHT_MAX: usize = 8192;

/// A connection with its times.
pub(crate) struct Kept<C> {
    pub(crate) conn: C,
    pub(crate) created: Instant,
    used: Instant,
}

/// When connections at rest are closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    /// After this time at rest.
    pub(crate) expire: Duration,
    /// At this age, whether used or not.
    pub(crate) max_age: Option<Duration>,
}

impl Lifetimes {
    fn over<C>(&self, kept: &Kept<C>, now: Instant) -> bool {
        self.is_over(kept.created, kept.used, now)
    }

    /// Whether a connection made and used at these times is to be closed.
    pub(crate) fn is_over(&self, created: Instant, used: Instant, now: Instant) -> bool {
        now.saturating_duration_since(used) > self.expire
            || self.max_age.is_some_and(|max| now.saturating_duration_since(created) > max)
    }
}

/// Connections of one kind, the one that rests longest first: so all of them are used in turn, and so are their ports.
pub(crate) struct Idle<C>(Mutex<VecDeque<Kept<C>>>);

impl<C> Default for Idle<C> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<C> Idle<C> {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Kept<C>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the connection that has rested longest and is not over yet; those that are over are closed.
    pub(crate) fn take(&self, lifetimes: Lifetimes, now: Instant, count: Option<&IdleCount>) -> Option<(C, Instant)> {
        let mut idle = self.lock();
        while let Some(kept) = idle.pop_front() {
            if let Some(count) = count {
                count.0.fetch_sub(1, Ordering::Relaxed);
            }
            if !lifetimes.over(&kept, now) {
                return Some((kept.conn, kept.created));
            }
        }
        None
    }

    /// Keeps a connection for the next query, unless there are enough.
    pub(crate) fn give(&self, conn: C, created: Instant, now: Instant, count: Option<(&IdleCount, usize)>) {
        let mut idle = self.lock();
        if idle.len() >= IDLE_MAX {
            return;
        }
        if let Some((count, max)) = count
            && !count.enter(max)
        {
            return;
        }
        idle.push_back(Kept { conn, created, used: now });
    }

    /// Closes the connections that are over.
    pub(crate) fn sweep(&self, lifetimes: Lifetimes, now: Instant, count: Option<&IdleCount>) {
        let mut idle = self.lock();
        let before = idle.len();
        idle.retain(|kept| !lifetimes.over(kept, now));
        if let Some(count) = count {
            count.0.fetch_sub(before - idle.len(), Ordering::Relaxed);
        }
        let len = idle.len();
        idle.shrink_to(len);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }
}

/// How many connections of one kind rest in all pools of an upstream; only kept where that number is limited.
#[derive(Debug, Default)]
pub(crate) struct IdleCount(AtomicUsize);

impl IdleCount {
    fn enter(&self, max: usize) -> bool {
        let entered = self.0.fetch_add(1, Ordering::Relaxed) < max;
        if !entered {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
        entered
    }
}

/// One worker's connections to one upstream.
#[derive(Default)]
pub(crate) struct Pool {
    pub(crate) udp: Idle<UdpConn>,
    pub(crate) stream: Idle<StreamConn>,
    pub(crate) lanes: Arc<Lanes>,
    in_flight: AtomicUsize,
}

impl Pool {
    /// Counts an exchange for as long as the guard lives; nothing if there are too many.
    pub(crate) fn enter(&self) -> Option<InFlight<'_>> {
        let guard = InFlight(&self.in_flight);
        (self.in_flight.fetch_add(1, Ordering::Relaxed) < IN_FLIGHT_MAX).then_some(guard)
    }

    /// Whether so many exchanges are under way that the next ones share sockets.
    pub(crate) fn is_busy(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) >= LANES_FROM
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.lanes.close();
    }
}

/// The pools of all workers.
pub(crate) struct Pools {
    pools: Box<[Pool]>,
    /// A bit for each pool that was ever used.
    used: AtomicU64,
}

impl Pools {
    pub(crate) fn new() -> Self {
        Self { pools: std::iter::repeat_with(Pool::default).take(WORKERS_MAX).collect(), used: AtomicU64::new(0) }
    }

    /// The pool of a worker.
    pub(crate) fn of(&self, worker: usize) -> &Pool {
        let own = worker % WORKERS_MAX;
        if self.used.load(Ordering::Relaxed) & 1 << own == 0 {
            self.used.fetch_or(1 << own, Ordering::Relaxed);
        }
        &self.pools[own]
    }

    /// The pools that other workers have used, the next one's first.
    pub(crate) fn others(&self, worker: usize) -> impl Iterator<Item = &Pool> {
        let own = worker % WORKERS_MAX;
        let used = self.used.load(Ordering::Relaxed);
        let next = (1..WORKERS_MAX).map(move |step| (own + step) % WORKERS_MAX);
        next.filter(move |at| used & 1 << at != 0).map(|at| &self.pools[at])
    }

    /// The pools that were ever used.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Pool> {
        std::iter::once(&self.pools[0]).chain(self.others(0))
    }
}

/// An exchange that is under way.
pub(crate) struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]
    use super::*;

    const LONG: Lifetimes = Lifetimes { expire: Duration::from_secs(10), max_age: None };

    #[test]
    fn the_connection_that_rested_longest_is_used_first() {
        let (idle, now) = (Idle::default(), Instant::now());
        for conn in 0..3 {
            idle.give(conn, now, now, None);
        }
        let order: Vec<_> = std::iter::from_fn(|| idle.take(LONG, now, None)).map(|(conn, _)| conn).collect();
        assert_eq!(order, [0, 1, 2]);
    }

    #[test]
    fn a_connection_rests_as_long_as_expire_and_no_longer() {
        let (idle, start) = (Idle::default(), Instant::now());
        let edge = start + LONG.expire;
        idle.give('a', start, start, None);
        assert!(idle.take(LONG, edge, None).is_some());
        idle.give('a', start, start, None);
        assert!(idle.take(LONG, edge + Duration::from_nanos(1), None).is_none());
        assert_eq!(idle.len(), 0);
    }

    #[test]
    fn a_connection_older_than_max_age_is_not_used_however_short_it_rested() {
        let lifetimes = Lifetimes { max_age: Some(Duration::from_secs(30)), ..LONG };
        let (idle, start) = (Idle::default(), Instant::now());
        let now = start + Duration::from_secs(30);
        idle.give('a', start, now, None);
        assert_eq!(idle.take(lifetimes, now, None), Some(('a', start)));
        idle.give('a', start, now, None);
        assert_eq!(idle.take(lifetimes, now + Duration::from_nanos(1), None), None);
    }

    #[test]
    fn a_sweep_closes_what_is_over_and_keeps_the_rest() {
        let (idle, start, count) = (Idle::default(), Instant::now(), IdleCount::default());
        idle.give('a', start, start, Some((&count, 5)));
        idle.give('b', start, start + LONG.expire, Some((&count, 5)));
        idle.sweep(LONG, start + LONG.expire * 2, Some(&count));
        assert_eq!((idle.len(), count.0.load(Ordering::Relaxed)), (1, 1));
    }

    #[test]
    fn max_idle_holds_for_all_pools_together() {
        let (one, other, now, count) = (Idle::default(), Idle::default(), Instant::now(), IdleCount::default());
        one.give('a', now, now, Some((&count, 2)));
        other.give('b', now, now, Some((&count, 2)));
        one.give('c', now, now, Some((&count, 2)));
        assert_eq!((one.len(), other.len()), (1, 1));
        one.take(LONG, now, Some(&count)).unwrap();
        other.give('c', now, now, Some((&count, 2)));
        assert_eq!(other.len(), 2);
    }

    #[test]
    fn a_pool_keeps_so_many_connections_and_no_more() {
        let (idle, now) = (Idle::default(), Instant::now());
        for conn in 0..=IDLE_MAX {
            idle.give(conn, now, now, None);
        }
        assert_eq!(idle.len(), IDLE_MAX);
    }

    #[test]
    fn other_pools_are_those_that_were_used_from_the_next_one_on() {
        let pools = Pools::new();
        for worker in [1, 5, WORKERS_MAX + 3] {
            pools.of(worker);
        }
        let place = |pool: &Pool| pools.pools.iter().position(|known| std::ptr::eq(known, pool)).unwrap();
        assert_eq!(pools.others(3).map(place).collect::<Vec<_>>(), [5, 1]);
        assert_eq!(pools.others(0).map(place).collect::<Vec<_>>(), [1, 3, 5]);
        assert_eq!(pools.all().map(place).collect::<Vec<_>>(), [0, 1, 3, 5]);
    }

    #[test]
    fn exchanges_at_once_have_a_limit_and_one_that_ends_makes_room() {
        let pool = Pool::default();
        let mut guards: Vec<_> = (0..IN_FLIGHT_MAX).map(|_| pool.enter().unwrap()).collect();
        assert!(pool.enter().is_none());
        guards.pop();
        assert!(pool.enter().is_some());
    }
}
