//! Tasks that end with their instance.

use std::sync::{Arc, Mutex, PoisonError};

use catena_core::{Spawner, Task};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// The most tasks of an instance that run at a time.
pub const TASKS_MAX: usize = 65_536;

/// The tasks of one instance, run by the runtime on which the server was started.
pub struct Tasks {
    handle: Handle,
    limit: usize,
    running: Mutex<Option<JoinSet<()>>>,
}

impl Tasks {
    /// No tasks yet.
    #[must_use]
    pub fn new(handle: Handle) -> Arc<Self> {
        Self::with_limit(handle, TASKS_MAX)
    }

    fn with_limit(handle: Handle, limit: usize) -> Arc<Self> {
        Arc::new(Self { handle, limit, running: Mutex::new(Some(JoinSet::new())) })
    }

    /// Ends every task where it waits; no further one is started.
    pub fn end(&self) {
        let ended = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Dropping the set aborts its tasks.
        drop(ended);
    }
}

impl Spawner for Tasks {
    fn spawn(&self, task: Task) -> bool {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(tasks) = running.as_mut() else { return false };
        while tasks.try_join_next().is_some() {}
        if tasks.len() >= self.limit {
            return false;
        }
        tasks.spawn_on(task, &self.handle);
        true
    }

    fn has_ended(&self) -> bool {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[tokio::test]
    async fn tasks_are_refused_over_the_limit_and_after_the_end() {
        let tasks = Tasks::with_limit(Handle::current(), 2);
        assert!(tasks.spawn(Box::pin(std::future::pending())));
        assert!(tasks.spawn(Box::pin(std::future::pending())));
        assert!(!tasks.spawn(Box::pin(std::future::pending())));
        assert!(!tasks.has_ended());
        tasks.end();
        assert!(!tasks.spawn(Box::pin(async {})));
        assert!(tasks.has_ended());
    }

    #[tokio::test]
    async fn a_finished_task_makes_room() {
        let tasks = Tasks::with_limit(Handle::current(), 1);
        assert!(tasks.spawn(Box::pin(async {})));
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        assert!(tasks.spawn(Box::pin(async {})));
    }

    #[tokio::test]
    async fn the_end_drops_what_waits() {
        let tasks = Tasks::new(Handle::current());
        let held = Arc::new(());
        let inside = Arc::clone(&held);
        tasks.spawn(Box::pin(async move {
            std::future::pending::<()>().await;
            drop(inside);
        }));
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&held), 2);
        tasks.end();
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
