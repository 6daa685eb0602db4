//! A zone of the directive: a file alone, or one that updates change.

use std::path::Path;
use std::sync::Arc;

use catena_core::name::{OwnedName, Zone as ZoneName};
use catena_core::prelude::*;
use catena_zone::{SharedZone, UpdatedZone, ZoneFile};

/// One zone.
#[derive(Clone)]
pub(crate) enum Held {
    /// Its file says all of it.
    File(Arc<ZoneFile>),
    /// Updates change it.
    Updated {
        zone: Arc<UpdatedZone>,
        /// The keys that may, lower case, with where the Corefile names them.
        keys: Arc<[(OwnedName, Diagnostic)]>,
    },
}

impl Held {
    pub(crate) fn name(&self) -> &ZoneName {
        match self {
            Self::File(file) => file.name(),
            Self::Updated { zone, .. } => zone.name(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::File(file) => file.path(),
            Self::Updated { zone, .. } => zone.path(),
        }
    }

    pub(crate) fn shared(&self) -> &SharedZone {
        match self {
            Self::File(file) => file.shared(),
            Self::Updated { zone, .. } => zone.shared(),
        }
    }

    pub(crate) fn journal(&self) -> Option<&Path> {
        match self {
            Self::File(_) => None,
            Self::Updated { zone, .. } => Some(zone.journal()),
        }
    }

    /// Goes on with what another one has of the same zone and file, and journal if there is one; `false` if it is of another.
    pub(crate) fn take_over(&self, before: &Self) -> bool {
        match (self, before) {
            (Self::File(file), Self::File(before)) => file.take_over(before),
            // What updates another file led to is taken over when it is sure that this instance comes.
            (Self::Updated { zone, .. }, Self::Updated { zone: before, .. }) => {
                zone.path() == before.path() && zone.continue_from(before)
            }
            _ => false,
        }
    }

    /// The zone that updates change.
    pub(crate) fn updated(&self) -> Option<&Arc<UpdatedZone>> {
        match self {
            Self::File(_) => None,
            Self::Updated { zone, .. } => Some(zone),
        }
    }
}
