//! Whose keys sign what.

use std::sync::Arc;

use catena_core::Question;
use catena_core::name::LabelStarts;
use catena_core::prelude::*;
use catena_zone::dnssec::{PublicKey, SigningKey};

/// A zone with the keys that sign it.
pub(crate) struct SignedZone {
    pub(crate) zone: Zone,
    /// Which of the zones it is.
    pub(crate) index: u32,
    pub(crate) keys: Vec<Arc<SigningKey>>,
    /// Some of the keys sign only keys, the others all else.
    is_split: bool,
}

impl SignedZone {
    fn new(zone: Zone, index: u32, keys: Vec<Arc<SigningKey>>) -> Self {
        let is_split = keys.iter().any(|key| key.public().is_ksk()) && keys.iter().any(|key| key.public().is_zsk());
        Self { zone, index, keys, is_split }
    }

    /// The keys that sign sets of a type: all of them; but if there are both key-signing and zone-signing ones, the former sign what the
    /// parent looks at and the latter the rest (CoreDNS: plugin/dnssec; RFC 7344 section 4.1).
    pub(crate) fn signers(&self, rtype: Rtype) -> impl Iterator<Item = &Arc<SigningKey>> {
        let for_parent = matches!(rtype, Rtype::DNSKEY | Rtype::CDNSKEY | Rtype::CDS);
        self.keys
            .iter()
            .filter(move |key| !self.is_split || if for_parent { key.public().is_ksk() } else { key.public().is_zsk() })
    }

    /// Whether a signature over a set of this type takes so long that a worker should not wait for it.
    pub(crate) fn is_slow(&self, rtype: Rtype) -> bool {
        self.signers(rtype).any(|key| key.algorithm().is_slow())
    }

    /// The keys that the parent is told of.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Arc<SigningKey>> {
        self.keys.iter().filter(|key| key.public().is_ksk())
    }

    pub(crate) fn is_apex(&self, lower: &[u8]) -> bool {
        self.zone.wire() == lower
    }
}

/// All zones of the directive.
pub(crate) struct SignedZones(Vec<Arc<SignedZone>>);

impl SignedZones {
    /// Gives each zone its keys: those made for it, or else those made for the nearest name above it.
    pub(crate) fn new(zones: &Zones, keys: &[Arc<SigningKey>]) -> Self {
        let signed = zones.iter().zip(0..).map(|(zone, index)| {
            let above = |key: &&Arc<SigningKey>| can_sign(key.public(), zone);
            let longest = keys.iter().filter(above).map(|key| key.public().owner().len()).max();
            let is_nearest = |key: &&Arc<SigningKey>| Some(key.public().owner().len()) == longest;
            let keys = keys.iter().filter(above).filter(is_nearest).cloned().collect();
            Arc::new(SignedZone::new(zone.clone(), index, keys))
        });
        Self(signed.collect())
    }

    /// The zone that the name of a question is in, if it is signed.
    pub(crate) fn of_question(&self, question: &Question) -> Option<&Arc<SignedZone>> {
        self.longest(question.lower().as_slice(), question.labels(), usize::MAX)
    }

    /// The zone that signs a set, if it is signed: the longest that the owner is in; for DS records, which are the parent's, the longest that
    /// it is below of. `owner` is an uncompressed name of any case.
    pub(crate) fn of_set(&self, owner: &[u8], rtype: Rtype) -> Option<&Arc<SignedZone>> {
        let lower = catena_core::name::inline_from_wire(&owner.to_ascii_lowercase())?;
        let labels = LabelStarts::of(lower.as_slice());
        let most = if rtype == Rtype::DS { labels.count().checked_sub(1)? } else { usize::MAX };
        self.longest(lower.as_slice(), &labels, most)
    }

    fn longest(&self, lower: &[u8], labels: &LabelStarts, labels_max: usize) -> Option<&Arc<SignedZone>> {
        let fits = |signed: &&Arc<SignedZone>| signed.zone.labels() <= labels_max && signed.zone.holds(lower, labels);
        let longest = self.0.iter().filter(fits).max_by_key(|signed| signed.zone.labels())?;
        Some(longest).filter(|signed| !signed.keys.is_empty())
    }
}

/// Whether a zone is the one that the key was made for, or is below it. CoreDNS: the name of the key `Matches` the zone.
pub(crate) fn can_sign(public: &PublicKey, zone: &Zone) -> bool {
    let labels = LabelStarts::of(zone.wire());
    let owner_labels = LabelStarts::of(public.owner()).count();
    labels.suffix_start(owner_labels).is_some_and(|start| zone.wire().get(start..) == Some(public.owner()))
}
