//! A reload that leaves the block as it is takes over what fills the index, so that the cluster is not listed again.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use catena_cluster::index::Index;
use catena_core::Task;

use crate::metrics::Staleness;

/// What a block leaves to its successor: known when the block is linked.
#[derive(Default)]
pub(crate) struct Estate(OnceLock<Arc<Running>>);

impl Estate {
    pub(crate) fn settle(&self, running: Arc<Running>) {
        // A block is linked once.
        let _first = self.0.set(running);
    }

    pub(crate) fn running(&self) -> Option<&Arc<Running>> {
        self.0.get()
    }
}

/// An index and the work that keeps it in step. The work outlives instances: of those that have it, the newest drives it, and if that
/// one ends, as after a reload that failed, the one before does.
pub(crate) struct Running {
    pub(crate) index: Arc<Index>,
    staleness: Staleness,
    work: Mutex<Work>,
}

#[derive(Default)]
struct Work {
    task: Option<Task>,
    begun: bool,
    drivers: Vec<(u64, Option<Waker>)>,
    next_id: u64,
}

impl Running {
    pub(crate) fn new(index: Arc<Index>, staleness: Staleness) -> Self {
        Self { index, staleness, work: Mutex::default() }
    }

    /// Whether there is work already.
    pub(crate) fn is_begun(&self) -> bool {
        self.work().begun
    }

    /// Sets the work; it goes on while somebody drives it.
    pub(crate) fn begin(&self, task: Task) {
        let mut work = self.work();
        work.begun = true;
        work.task = Some(self.staleness.told_beside(Arc::clone(&self.index), task));
    }

    /// Drives the work from now on.
    pub(crate) fn drive(self: &Arc<Self>) -> Driver {
        let mut work = self.work();
        let id = work.next_id;
        work.next_id += 1;
        work.drivers.push((id, None));
        drop(work);
        Driver { running: Arc::clone(self), id }
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drives the work of a [`Running`] while it is the newest that does.
pub(crate) struct Driver {
    running: Arc<Running>,
    id: u64,
}

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut work = self.running.work();
        let newest = work.drivers.last().is_some_and(|(id, _)| *id == self.id);
        if let Some((_, waker)) = work.drivers.iter_mut().find(|(id, _)| *id == self.id)
            && !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
        match &mut work.task {
            _ if !newest => Poll::Pending,
            Some(task) => {
                let polled = task.as_mut().poll(cx);
                if polled.is_ready() {
                    work.task = None;
                }
                polled
            }
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let mut work = self.running.work();
        work.drivers.retain(|(id, _)| *id != self.id);
        let waker = work.drivers.last_mut().and_then(|(_, waker)| waker.take());
        let over = work.drivers.is_empty();
        drop(work);
        if over {
            self.running.staleness.forget();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use catena_cluster::Quiet;
    use catena_cluster::index::Keep;
    use catena_core::Metrics;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[tokio::test]
    async fn the_newest_drives_and_the_one_before_it_takes_over_again() {
        let index = Arc::new(Index::new(Keep::default(), Arc::new(Quiet)));
        let running = Arc::new(Running::new(index, Staleness::of(&Metrics::new(), "example.org.")));
        let steps = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&steps);
        assert!(!running.is_begun());
        running.begin(Box::pin(async move {
            loop {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }));
        assert!(running.is_begun());
        let goes_on = async || {
            let before = steps.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(100)).await;
            steps.load(Ordering::Relaxed) > before
        };
        assert!(!goes_on().await, "nobody drives it");
        let mut tasks = tokio::task::JoinSet::new();
        let first = tasks.spawn(running.drive());
        assert!(goes_on().await);
        let second = tasks.spawn(running.drive());
        assert!(goes_on().await);
        second.abort();
        assert!(goes_on().await, "the first goes on after the second");
        let third = tasks.spawn(running.drive());
        tokio::time::sleep(Duration::from_millis(20)).await;
        first.abort();
        assert!(goes_on().await, "the third goes on after the first");
        third.abort();
        while tasks.join_next().await.is_some() {}
        assert!(!goes_on().await);
    }
}
