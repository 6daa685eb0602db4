//! How often, and how many at a time, the API is asked.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

/// What client-go takes where only one of rate and burst is given.
const QPS_DEFAULT: f64 = 5.0;
const BURST_DEFAULT: u32 = 10;

/// Bounds on requests; 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Requests a second.
    pub qps: f64,
    /// Requests that may come at once before the rate counts.
    pub burst: u32,
    /// Requests that wait for an answer at the same time.
    pub inflight: u32,
}

/// Keeps requests within bounds.
#[derive(Debug)]
pub(super) struct Limiter {
    rate: Option<Rate>,
    inflight: Option<Arc<Semaphore>>,
}

/// A bucket of tokens, as the moment at which it would have been empty.
#[derive(Debug)]
struct Rate {
    gap: Duration,
    burst: u32,
    next: Mutex<Option<Instant>>,
}

impl Limiter {
    pub(super) fn new(limits: Limits) -> Self {
        let limited = limits.qps > 0.0 || limits.burst > 0;
        let qps = if limits.qps > 0.0 { limits.qps } else { QPS_DEFAULT };
        let burst = if limits.burst > 0 { limits.burst } else { BURST_DEFAULT };
        let gap = Duration::try_from_secs_f64(1.0 / qps).unwrap_or(Duration::MAX);
        let inflight = limits.inflight as usize;
        Self {
            rate: limited.then(|| Rate { gap, burst, next: Mutex::new(None) }),
            inflight: (inflight > 0).then(|| Arc::new(Semaphore::new(inflight.min(Semaphore::MAX_PERMITS)))),
        }
    }

    /// Waits for a turn; what is returned is held until the answer is there.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        if let Some(moment) = self.rate.as_ref().and_then(Rate::moment) {
            sleep_until(moment).await;
        }
        match &self.inflight {
            // The semaphore is never closed.
            Some(inflight) => Arc::clone(inflight).acquire_owned().await.ok(),
            None => None,
        }
    }
}

impl Rate {
    /// When the next request may go; `None`: now.
    fn moment(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        // A full bucket lets `burst` requests through at once: they may go as if asked for that much earlier.
        let full = now.checked_sub(self.gap.saturating_mul(self.burst - 1)).unwrap_or(now);
        let moment = next.map_or(full, |next| next.max(full));
        *next = moment.checked_add(self.gap);
        (moment > now).then_some(moment)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[tokio::test]
    async fn a_burst_goes_at_once_and_then_the_rate_counts() {
        let limiter = Limiter::new(Limits { qps: 20.0, burst: 3, inflight: 0 });
        let start = Instant::now();
        for _ in 0..3 {
            limiter.turn().await;
        }
        assert!(start.elapsed() < Duration::from_millis(45));
        limiter.turn().await;
        limiter.turn().await;
        assert!(start.elapsed() >= Duration::from_millis(95));
    }

    #[tokio::test]
    async fn only_so_many_wait_at_the_same_time() {
        let limiter = Limiter::new(Limits { inflight: 1, ..Limits::default() });
        let first = limiter.turn().await;
        assert!(tokio::time::timeout(Duration::from_millis(20), limiter.turn()).await.is_err());
        drop(first);
        assert!(limiter.turn().await.is_some());
    }

    #[tokio::test]
    async fn without_bounds_nobody_waits() {
        let limiter = Limiter::new(Limits::default());
        for _ in 0..1000 {
            assert!(limiter.turn().await.is_none());
        }
    }
}
