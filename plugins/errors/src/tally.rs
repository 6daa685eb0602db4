//! Errors that are summed up: the first starts the time, at whose end one line tells how many there were.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use catena_core::prelude::*;
use catena_core::{Level, Log};
use catena_gocompat::duration::GoDuration;

use crate::config::Consolidate;

/// What becomes of an error that matches a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// A later line counts it.
    Later,
    /// It is to be logged now.
    Now,
}

/// The errors of one pattern in the time that runs.
pub(crate) struct Tally {
    pattern: Consolidate,
    log: Log,
    count: AtomicU32,
    stopped: AtomicBool,
}

impl Tally {
    pub(crate) fn new(pattern: Consolidate, log: Log) -> Self {
        Self { pattern, log, count: AtomicU32::new(0), stopped: AtomicBool::new(false) }
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        self.pattern.regexp.is_match(text)
    }

    pub(crate) fn level(&self) -> Level {
        self.pattern.level
    }

    /// Counts an error; the first starts the time in a task of the instance.
    pub(crate) fn count(self: &Arc<Self>, q: &Query) -> Counted {
        if self.stopped.load(Ordering::SeqCst) {
            return Counted::Now;
        }
        if self.count.fetch_add(1, Ordering::SeqCst) > 0 {
            return Counted::Later;
        }
        let tally = Arc::clone(self);
        let started = q.env().spawner.spawn(Box::pin(async move {
            tokio::time::sleep(tally.pattern.period).await;
            tally.flush();
        }));
        if !started {
            // No room for a task that would tell later.
            self.count.store(0, Ordering::SeqCst);
            return Counted::Now;
        }
        if self.stopped.load(Ordering::SeqCst) {
            self.flush();
        }
        if self.pattern.show_first { Counted::Now } else { Counted::Later }
    }

    fn flush(&self) {
        let count = self.count.swap(0, Ordering::SeqCst);
        let least = if self.pattern.show_first { 2 } else { 1 };
        if count >= least {
            let (regexp, period) = (self.pattern.regexp.as_str(), GoDuration::from_std(self.pattern.period));
            self.log.line(self.pattern.level, format_args!("{count} errors like '{regexp}' occurred in last {period}"));
        }
    }

    /// Writes what was counted so far; from now on every error is logged by itself.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.flush();
    }
}
