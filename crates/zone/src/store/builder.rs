//! Takes records in any order and makes a zone of them.
//!
//! Each record is appended to the arena once and stays there. What is sorted is a list of sixteen octets a record; the index of names
//! is made when the order is known, so it is made once and in its final size.

use catena_core::name::NAME_OCTETS_MAX;
use catena_core::wire::{self, RawRecord};
use catena_core::{Class, LabelStarts, RecordRef, Rtype};

use super::arena::{Arena, ENTRY_HEAD_OCTETS, Full, ZONE_OCTETS_MAX};
use super::assemble;
use super::canonical::{self, Item};
use super::zone::Zone;

/// The most records of one zone: their number has 28 bits in the index.
pub const ZONE_RECORDS_MAX: usize = (1 << 28) - 1;
/// The most octets of the rdata of one record (RFC 1035 section 3.2.1).
const RDATA_OCTETS_MAX: usize = 65_535;
/// The most iterations of an NSEC3 chain that is served: each negative answer hashes several names so often. RFC 9276 section 3.1 asks for none,
/// RFC 5155 section 10.3 allows 500 for the longest keys but one.
pub const NSEC3_ITERATIONS_MAX: u16 = 500;

/// Why records make no zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// There is no SOA record at the apex.
    #[error("has no SOA record for origin {0}")]
    NoSoa(String),
    /// The owner or the rdata of a record is not built as its type wants it.
    #[error("malformed {0} record")]
    Malformed(Rtype),
    /// A record has another class than those before it.
    #[error("record of class {found} in a zone of class {zone}")]
    OtherClass {
        /// The class of the first record.
        zone: Class,
        /// The class of this one.
        found: Class,
    },
    /// More than [`ZONE_RECORDS_MAX`] records or [`ZONE_OCTETS_MAX`] octets.
    #[error("more than {ZONE_RECORDS_MAX} records or {ZONE_OCTETS_MAX} octets")]
    TooLarge,
    /// A record that is to be removed is not in the zone.
    #[error("has no such {0} record to be removed")]
    NotThere(Rtype),
    /// The chain of NSEC3 records hashes more often than [`NSEC3_ITERATIONS_MAX`] times.
    #[error("{0} NSEC3 iterations, {NSEC3_ITERATIONS_MAX} at most")]
    Iterations(u16),
}

impl From<Full> for BuildError {
    fn from(_: Full) -> Self {
        Self::TooLarge
    }
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is in the zone.
    Kept,
    /// Its owner is not in the zone; it is left out (CoreDNS's `file` would keep it, and find it as the target of a CNAME).
    OutOfZone,
    /// It is an SOA record below the apex; it is left out (CoreDNS's `file` would make it the SOA of the zone).
    SoaBelowApex,
}

/// Gathers the records of one zone.
#[derive(Debug)]
pub struct Builder {
    pub(super) apex: Box<[u8]>,
    pub(super) apex_labels: usize,
    pub(super) class: Option<Class>,
    pub(super) arena: Arena,
    /// The records of the names of the zone.
    pub(super) items: Vec<Item>,
    /// NSEC3 records and their signatures: their owners are no names of the zone (RFC 5155 section 7.2.8).
    pub(super) hashed: Vec<Item>,
    last: LastOwner,
}

/// The owner of the record before: most records have the same.
#[derive(Debug)]
struct LastOwner {
    wire: [u8; NAME_OCTETS_MAX],
    len: usize,
    at: u32,
    key: u64,
}

impl LastOwner {
    fn is(&self, lower: &[u8]) -> bool {
        self.wire.get(..self.len) == Some(lower)
    }
}

impl Builder {
    /// For the zone of this name, uncompressed and of any case.
    #[must_use]
    pub fn new(apex: &[u8]) -> Self {
        let apex: Box<[u8]> = apex.to_ascii_lowercase().into();
        let apex_labels = LabelStarts::of(&apex).count();
        Self {
            apex,
            apex_labels,
            class: None,
            arena: Arena::default(),
            items: Vec::new(),
            hashed: Vec::new(),
            last: LastOwner { wire: [0; NAME_OCTETS_MAX], len: 0, at: 0, key: 0 },
        }
    }

    /// Takes a record. Owners and the names in NS, SOA, CNAME, MX, SVCB and HTTPS records become lower case (CoreDNS: `file.Zone.Insert`).
    ///
    /// # Errors
    /// The record is malformed or one too many; the zone without it is as before.
    pub fn push(&mut self, record: RecordRef<'_>) -> Result<Taken, BuildError> {
        let class = *self.class.get_or_insert(record.class);
        if class != record.class {
            return Err(BuildError::OtherClass { zone: class, found: record.class });
        }
        if self.len() >= ZONE_RECORDS_MAX {
            return Err(BuildError::TooLarge);
        }
        let mut lower = [0; NAME_OCTETS_MAX];
        let lower = lower.get_mut(..record.owner.len()).ok_or(BuildError::Malformed(record.rtype))?;
        lower.copy_from_slice(record.owner);
        lower.make_ascii_lowercase();
        if !self.last.is(lower) && !self.enter(lower, record.rtype)? {
            return Ok(Taken::OutOfZone);
        }
        if record.rtype == Rtype::SOA && *lower != *self.apex {
            return Ok(Taken::SoaBelowApex);
        }
        let entry = self.append(&record)?;
        let item = Item { key: self.last.key, owner: self.last.at, entry };
        if is_hashed(record.rtype, record.rdata) {
            self.hashed.push(item)
        } else {
            self.items.push(item)
        }
        Ok(Taken::Kept)
    }

    /// Makes a name the current owner; `false` if it is outside the zone.
    fn enter(&mut self, lower: &[u8], rtype: Rtype) -> Result<bool, BuildError> {
        if !is_name(lower) {
            return Err(BuildError::Malformed(rtype));
        }
        let starts = LabelStarts::of(lower);
        let inside = starts.suffix_start(self.apex_labels).is_some_and(|start| lower.get(start..) == Some(&self.apex));
        if !inside {
            return Ok(false);
        }
        self.last.at = self.arena.append(lower)?;
        self.last.key = canonical::key(lower, &starts, self.apex_labels, 0);
        self.last.len = lower.len();
        self.last.wire[..lower.len()].copy_from_slice(lower);
        Ok(true)
    }

    fn append(&mut self, record: &RecordRef<'_>) -> Result<u32, BuildError> {
        let malformed = BuildError::Malformed(record.rtype);
        if record.rdata.len() > RDATA_OCTETS_MAX {
            return Err(malformed);
        }
        // Names without their pointers could be longer; there are four of them at most.
        let room = ENTRY_HEAD_OCTETS + record.rdata.len() + 4 * NAME_OCTETS_MAX;
        let (at, chunk) = self.arena.room(room)?;
        let head = chunk.len();
        chunk.extend_from_slice(&[0; ENTRY_HEAD_OCTETS]);
        let start = chunk.len();
        let whole = RawRecord {
            owner: 0,
            rtype: record.rtype,
            class: record.class,
            ttl: record.ttl,
            rdata: 0,
            end: record.rdata.len(),
        };
        let expanded = wire::expand_rdata(record.rdata, &whole, chunk);
        let rdata_len = u16::try_from(chunk.len() - start);
        let (Ok(()), Ok(rdata_len)) = (expanded, rdata_len) else {
            chunk.truncate(head);
            return Err(malformed);
        };
        if !lower_names(record.rtype, &mut chunk[start..]) {
            chunk.truncate(head);
            return Err(malformed);
        }
        chunk[head..head + 2].copy_from_slice(&record.rtype.to_int().to_le_bytes());
        chunk[head + 2..head + 4].copy_from_slice(&rdata_len.to_le_bytes());
        chunk[head + 4..start].copy_from_slice(&record.ttl.to_le_bytes());
        Ok(at)
    }

    /// How many records were kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len() + self.hashed.len()
    }

    /// Whether no record was kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sorts the records and makes the index. A record that is there twice is kept once (RFC 2181 section 5.2), of several SOA records the
    /// last one.
    ///
    /// # Errors
    /// There is no SOA record, or the NSEC3 records hash too often.
    pub fn finish(self) -> Result<Zone, BuildError> {
        assemble::assemble(self)
    }
}

/// The rdata as [`Builder::push`] keeps it; `None` if it is not built as its type wants it.
pub(super) fn kept_rdata(rtype: Rtype, rdata: &[u8]) -> Option<Vec<u8>> {
    let mut kept = rdata.to_vec();
    lower_names(rtype, &mut kept).then_some(kept)
}

/// Whether the octets are one whole uncompressed name.
fn is_name(wire: &[u8]) -> bool {
    let mut at = 0;
    while let Some(&len) = wire.get(at) {
        if len == 0 {
            return at + 1 == wire.len();
        }
        if len > 63 {
            return false;
        }
        at += 1 + usize::from(len);
    }
    false
}

/// Whether a record belongs to the NSEC3 chain.
fn is_hashed(rtype: Rtype, rdata: &[u8]) -> bool {
    rtype == Rtype::NSEC3 || (rtype == Rtype::RRSIG && rdata.starts_with(&Rtype::NSEC3.to_int().to_be_bytes()))
}

/// Puts the names in the rdata of some types into lower case; `false` if there is no whole name where there must be one.
fn lower_names(rtype: Rtype, rdata: &mut [u8]) -> bool {
    let (before, names) = match rtype {
        Rtype::NS | Rtype::CNAME => (0, 1),
        Rtype::SOA => (0, 2),
        Rtype::MX | Rtype::SVCB | Rtype::HTTPS => (2, 1),
        _ => return true,
    };
    let mut end = before;
    for _ in 0..names {
        let Ok(next) = wire::skip_name(rdata, end) else { return false };
        end = next;
    }
    // A pointer has no meaning here; those in SVCB records were left as they stand.
    let Some(region) = rdata.get_mut(before..end) else { return false };
    region.make_ascii_lowercase();
    names == 2 || is_name(region)
}
