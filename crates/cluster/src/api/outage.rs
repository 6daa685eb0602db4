//! One line in the log when the API goes away and one when it is back, however many retries there are between.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::index::{Index, Kind, Level};

/// What all followers of one API have said about it.
#[derive(Default)]
pub(super) struct Outage {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failing: BTreeSet<&'static str>,
    said: BTreeSet<String>,
}

impl Outage {
    /// The follower of a kind of an index, by its name, failed; says so unless it, or another with the same words, said so before.
    pub(super) fn failed(&self, index: &Index, kind: Kind, name: &'static str, error: &str) {
        index.heard(kind, false);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failing.insert(name) && state.said.insert(error.to_owned()) {
            drop(state);
            let known = if index.is_synced_kind(kind) { "; answering from what is known" } else { "" };
            index.log(Level::Error, &format!("Kubernetes API: {error}{known}"));
        }
    }

    /// A follower is in step; says so if it was the last that was not.
    pub(super) fn works(&self, index: &Index, kind: Kind, name: &'static str) {
        index.heard(kind, true);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failing.remove(name) && state.failing.is_empty() {
            state.said.clear();
            drop(state);
            index.log(Level::Info, "Kubernetes API: in step again");
        }
    }
}
