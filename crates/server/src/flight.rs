//! Counting the queries of a generation that are not answered yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The queries of one worker and one generation that wait for something.
#[derive(Default)]
pub(crate) struct Flight {
    count: AtomicUsize,
    landed: Notify,
}

impl Flight {
    /// Counts a query until the ticket is dropped.
    pub(crate) fn board(self: &Arc<Self>) -> Ticket {
        self.count.fetch_add(1, Ordering::Relaxed);
        Ticket(Arc::clone(self))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Waits until no query is counted.
    pub(crate) async fn landed(&self) {
        loop {
            let landed = self.landed.notified();
            if self.is_empty() {
                return;
            }
            landed.await;
        }
    }
}

/// One query that waits.
pub(crate) struct Ticket(Arc<Flight>);

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.landed.notify_waiters();
        }
    }
}
