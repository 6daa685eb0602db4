//! A zone that is served while a newer version takes its place.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};
use catena_core::Outgoing;

use super::difference::Difference;
use super::journal::Journal;
use super::zone::Zone;

/// What there is of a zone.
#[derive(Clone, Debug, Default)]
pub enum Snapshot {
    /// Nothing yet: its file was not read or its primary not reached.
    #[default]
    Unloaded,
    /// A version that was not confirmed for too long (RFC 1035 section 3.3.13, EXPIRE); it is not served.
    Expired(Arc<Zone>),
    /// The version to serve.
    Serving(Arc<Zone>),
}

impl Snapshot {
    /// The version to serve, if there is one.
    #[must_use]
    pub fn serving(&self) -> Option<&Arc<Zone>> {
        match self {
            Self::Serving(zone) => Some(zone),
            Self::Unloaded | Self::Expired(_) => None,
        }
    }

    /// The last version, expired or not.
    #[must_use]
    pub fn last(&self) -> Option<&Arc<Zone>> {
        match self {
            Self::Serving(zone) | Self::Expired(zone) => Some(zone),
            Self::Unloaded => None,
        }
    }
}

/// Holds the current version of a zone and what changed lately. Readers never wait.
#[derive(Debug, Default)]
pub struct SharedZone {
    snapshot: ArcSwap<Snapshot>,
    /// Locked while a version takes the place of another and while a transfer begins, never by look-ups.
    journal: Mutex<Journal>,
}

impl SharedZone {
    /// Holds a version from the start.
    #[must_use]
    pub fn serving(zone: Zone) -> Self {
        Self { snapshot: ArcSwap::from_pointee(Snapshot::Serving(Arc::new(zone))), journal: Mutex::default() }
    }

    /// The current snapshot; it stays what it is for as long as it is held.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// Serves a new version. What changed is kept for transfers if the serial number grew.
    ///
    /// Both versions are compared, which takes a fraction of a second for a million records: not for a thread that answers queries.
    pub fn replace(&self, zone: Zone) {
        // A panic of another holder leaves a whole journal behind: it is changed by one call.
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        match self.snapshot.load().last() {
            Some(old) => journal.push(Difference::between(old, &zone)),
            None => journal.clear(),
        }
        self.snapshot.store(Arc::new(Snapshot::Serving(Arc::new(zone))));
    }

    /// Serves the next version, which `step` made of the one before: that is remembered for transfers, and nothing is compared.
    pub fn advance(&self, zone: Zone, step: Difference) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.push(step);
        self.snapshot.store(Arc::new(Snapshot::Serving(Arc::new(zone))));
    }

    /// Serves a version of which it is known what led to it.
    pub fn resume(&self, zone: Zone, steps: impl IntoIterator<Item = Difference>) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.clear();
        steps.into_iter().for_each(|step| journal.push(step));
        self.snapshot.store(Arc::new(Snapshot::Serving(Arc::new(zone))));
    }

    /// Has what another one has now, differences included.
    pub fn copy_from(&self, other: &Self) {
        let (theirs, snapshot) = {
            let journal = other.journal.lock().unwrap_or_else(PoisonError::into_inner);
            (journal.clone(), other.snapshot.load_full())
        };
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        *journal = theirs;
        self.snapshot.store(snapshot);
    }

    /// Stops serving until [`Self::replace`] or [`Self::confirm`].
    pub fn expire(&self) {
        self.change(Snapshot::Expired);
    }

    /// Serves an expired version again: the primary said that it is current.
    pub fn confirm(&self) {
        self.change(Snapshot::Serving);
    }

    /// Forgets the zone.
    pub fn unload(&self) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.clear();
        self.snapshot.store(Arc::new(Snapshot::Unloaded));
    }

    fn change(&self, of: impl Fn(Arc<Zone>) -> Snapshot) {
        let _journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let last = self.snapshot.load().last().map(Arc::clone);
        if let Some(zone) = last {
            self.snapshot.store(Arc::new(of(zone)));
        }
    }

    /// The records for a secondary: of everything, or of what changed since the serial number that it has. `None` if nothing is served.
    #[must_use]
    pub fn transfer(&self, serial: Option<u32>) -> Option<Box<dyn Outgoing>> {
        let journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.snapshot.load();
        let zone = snapshot.serving()?;
        Some(match serial {
            Some(serial) => journal.transfer(zone, serial),
            None => zone.transfer(),
        })
    }
}
