//! One line in the log when the API goes away and one when it is back, however many retries there are between.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::index::{Index, Kind, Level};

/// What all followers of one API have said about it.
pub(super) struct Outage {
    index: Arc<Index>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failing: BTreeSet<Kind>,
    said: BTreeSet<String>,
}

impl Outage {
    pub(super) fn new(index: Arc<Index>) -> Self {
        Self { index, state: Mutex::default() }
    }

    /// A follower failed; says so unless it, or another with the same words, said so before.
    pub(super) fn failed(&self, kind: Kind, error: &str) {
        self.index.heard(kind, false);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failing.insert(kind) && state.said.insert(error.to_owned()) {
            drop(state);
            let known = if self.index.is_synced_kind(kind) { "; answering from what is known" } else { "" };
            self.index.log(Level::Error, &format!("Kubernetes API: {error}{known}"));
        }
    }

    /// A follower is in step; says so if it was the last that was not.
    pub(super) fn works(&self, kind: Kind) {
        self.index.heard(kind, true);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failing.remove(&kind) && state.failing.is_empty() {
            state.said.clear();
            drop(state);
            self.index.log(Level::Info, "Kubernetes API: in step again");
        }
    }
}
