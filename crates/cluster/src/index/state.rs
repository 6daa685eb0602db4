//! Whether each kind of object is in step with its source.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use tokio::sync::Notify;

use super::Index;

/// A kind of object that an index holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Services
    Services,
    /// EndpointSlices
    Slices,
    /// Namespaces
    Namespaces,
    /// Pods
    Pods,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Services, Self::Slices, Self::Namespaces, Self::Pods];
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kinds(u8);

impl Kinds {
    /// The set of these.
    pub fn of(kinds: &[Kind]) -> Self {
        Self(kinds.iter().fold(0, |set, kind| set | 1 << *kind as u8))
    }

    /// Tells whether a kind is in the set.
    pub fn has(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }
}

#[derive(Debug, Default)]
struct One {
    epoch: AtomicU32,
    synced: AtomicBool,
    listing: AtomicBool,
    connected: AtomicBool,
    heard: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct State {
    kinds: [One; Kind::ALL.len()],
    required: AtomicU8,
    changed: Notify,
}

impl State {
    pub(super) fn epoch(&self, kind: Kind) -> u32 {
        self.kinds[kind as usize].epoch.load(Ordering::Relaxed)
    }

    pub(super) fn is_listing(&self, kind: Kind) -> bool {
        self.kinds[kind as usize].listing.load(Ordering::Relaxed)
    }
}

impl Index {
    /// Says which kinds a source is going to keep in step; before that the index counts as out of step.
    pub fn require(&self, kinds: Kinds) {
        // Staleness counts from here on.
        let now = (self.clock)();
        self.state.kinds.iter().for_each(|one| one.heard.store(now, Ordering::Relaxed));
        self.state.required.store(kinds.0, Ordering::Release);
        self.state.changed.notify_waiters();
    }

    /// Opens a list of all objects of a kind: what is not applied before [`Index::finish`] will be deleted.
    ///
    /// A list that broke off is opened again; until one finishes, nothing is deleted.
    pub fn begin(&self, kind: Kind) {
        let one = &self.state.kinds[kind as usize];
        one.epoch.fetch_add(1, Ordering::Relaxed);
        one.listing.store(true, Ordering::Relaxed);
    }

    /// Closes a list: deletes what it did not hold, and counts the kind as in step from now on, for good.
    pub fn finish(&self, kind: Kind) {
        self.sweep(kind);
        let one = &self.state.kinds[kind as usize];
        one.listing.store(false, Ordering::Relaxed);
        one.synced.store(true, Ordering::Release);
        self.heard(kind, true);
        self.state.changed.notify_waiters();
    }

    /// Notes that a kind's source spoke just now, or (`connected` false) that it went away.
    pub fn heard(&self, kind: Kind, connected: bool) {
        let one = &self.state.kinds[kind as usize];
        one.connected.store(connected, Ordering::Relaxed);
        if connected {
            one.heard.store((self.clock)(), Ordering::Relaxed);
        }
    }

    /// Tells whether a kind has been in step once.
    pub fn is_synced_kind(&self, kind: Kind) -> bool {
        self.state.kinds[kind as usize].synced.load(Ordering::Acquire)
    }

    /// Tells whether every required kind has been in step once; a later outage does not change that.
    pub fn is_synced(&self) -> bool {
        self.is_synced_itself() && self.imports().is_none_or(|imports| imports.is_synced_itself())
    }

    /// The same without ServiceImports.
    fn is_synced_itself(&self) -> bool {
        let required = Kinds(self.state.required.load(Ordering::Acquire));
        required.0 != 0 && Kind::ALL.into_iter().all(|kind| !required.has(kind) || self.is_synced_kind(kind))
    }

    /// Waits until [`Index::is_synced`].
    pub async fn synced(&self) {
        self.synced_itself().await;
        if let Some(imports) = self.imports() {
            imports.synced_itself().await;
        }
    }

    async fn synced_itself(&self) {
        loop {
            let mut changed = std::pin::pin!(self.state.changed.notified());
            changed.as_mut().enable();
            if self.is_synced_itself() {
                return;
            }
            changed.await;
        }
    }

    /// For how many seconds the data may have been out of date: 0 while every required kind has a source that speaks.
    pub fn stale_seconds(&self) -> u64 {
        self.stale_itself().max(self.imports().map_or(0, |imports| imports.stale_itself()))
    }

    fn stale_itself(&self) -> u64 {
        let required = Kinds(self.state.required.load(Ordering::Acquire));
        let away =
            Kind::ALL.into_iter().filter(|kind| required.has(*kind)).map(|kind| &self.state.kinds[kind as usize]);
        let away = away.filter(|one| !one.connected.load(Ordering::Relaxed));
        let now = (self.clock)();
        away.map(|one| now.saturating_sub(one.heard.load(Ordering::Relaxed))).max().unwrap_or(0)
    }
}
