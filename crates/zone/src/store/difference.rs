//! What changed between two versions of a zone.

use std::cmp::Ordering;
use std::collections::HashMap;

use catena_core::{Class, LabelStarts, RecordRef, Rtype};

use super::builder::{BuildError, Builder, kept_rdata};
use super::canonical;
use super::zone::{Nodes, Zone};

/// Length of the owner, type, class, TTL and length of the rdata in front of a record of a list.
const HEAD_OCTETS: usize = 11;

/// Records one after the other, each with its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordList {
    octets: Vec<u8>,
    len: usize,
}

impl RecordList {
    /// Appends a record. One with an owner of more than 255 octets or rdata of more than 65535 is none and is left out.
    pub fn push(&mut self, record: RecordRef<'_>) {
        let (Ok(owner_len), Ok(rdata_len)) = (u8::try_from(record.owner.len()), u16::try_from(record.rdata.len()))
        else {
            return;
        };
        self.octets.push(owner_len);
        self.octets.extend_from_slice(&record.rtype.to_int().to_le_bytes());
        self.octets.extend_from_slice(&record.class.to_int().to_le_bytes());
        self.octets.extend_from_slice(&record.ttl.to_le_bytes());
        self.octets.extend_from_slice(&rdata_len.to_le_bytes());
        self.octets.extend_from_slice(record.owner);
        self.octets.extend_from_slice(record.rdata);
        self.len += 1;
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The octets that the list holds.
    #[must_use]
    pub fn octets_len(&self) -> usize {
        self.octets.len()
    }

    /// The records in their order.
    pub fn iter(&self) -> impl Iterator<Item = RecordRef<'_>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let (record, next) = self.at(at)?;
            at = next;
            Some(record)
        })
    }

    /// The record at an offset, and the offset of the next one.
    pub(super) fn at(&self, at: usize) -> Option<(RecordRef<'_>, usize)> {
        let (head, rest) = self.octets.get(at..)?.split_first_chunk::<HEAD_OCTETS>()?;
        let owner_len = usize::from(head[0]);
        let rdata_len = usize::from(u16::from_le_bytes([head[9], head[10]]));
        let record = RecordRef {
            owner: rest.get(..owner_len)?,
            rtype: Rtype::from_int(u16::from_le_bytes([head[1], head[2]])),
            class: Class::from_int(u16::from_le_bytes([head[3], head[4]])),
            ttl: u32::from_le_bytes([head[5], head[6], head[7], head[8]]),
            rdata: rest.get(owner_len..owner_len + rdata_len)?,
        };
        Some((record, at + HEAD_OCTETS + owner_len + rdata_len))
    }
}

/// The records that one version of a zone has and the next has not, and the other way round: one step of an IXFR (RFC 1995 section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The serial number of the older version.
    pub from: u32,
    /// The serial number of the newer version.
    pub to: u32,
    /// The older SOA record, then the records that went away.
    pub removed: RecordList,
    /// The newer SOA record, then the records that came.
    pub added: RecordList,
}

impl Difference {
    /// Compares two versions of a zone. A record whose TTL changed goes away and comes.
    #[must_use]
    pub fn between(old: &Zone, new: &Zone) -> Self {
        let mut difference =
            Self { from: old.serial(), to: new.serial(), removed: RecordList::default(), added: RecordList::default() };
        difference.removed.push(old.soa());
        difference.added.push(new.soa());
        difference.merge(old, &old.nodes, new, &new.nodes);
        difference.merge(old, &old.hashed, new, &new.hashed);
        difference
    }

    /// Whether both versions have the same serial number and the same records: the lists have no more than the SOA.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.from == self.to && self.removed.len() <= 1 && self.added.len() <= 1
    }

    /// The octets that it holds.
    #[must_use]
    pub fn octets_len(&self) -> usize {
        self.removed.octets_len() + self.added.octets_len()
    }

    /// The newer version, made from the older one.
    ///
    /// # Errors
    /// The newer version would be no zone.
    pub fn apply(&self, old: &Zone) -> Result<Zone, BuildError> {
        old.after(std::iter::once(self))
    }

    /// Goes along the names of both versions at once, as both are in the same order.
    fn merge(&mut self, old: &Zone, old_nodes: &Nodes, new: &Zone, new_nodes: &Nodes) {
        let (mut old_at, mut new_at) = (0, 0);
        let old_side = |node: u32| Side::of(old, old_nodes, node);
        let new_side = |node: u32| Side::of(new, new_nodes, node);
        loop {
            match (old_side(old_at), new_side(new_at)) {
                (None, None) => return,
                (Some(gone), None) => (old_at, _) = (old_at + 1, gone.all(&mut self.removed)),
                (None, Some(come)) => (new_at, _) = (new_at + 1, come.all(&mut self.added)),
                (Some(gone), Some(come)) => match gone.compare(&come) {
                    Ordering::Less => (old_at, _) = (old_at + 1, gone.all(&mut self.removed)),
                    Ordering::Greater => (new_at, _) = (new_at + 1, come.all(&mut self.added)),
                    Ordering::Equal => {
                        self.compare_sets(&gone, &come);
                        (old_at, new_at) = (old_at + 1, new_at + 1);
                    }
                },
            }
        }
    }

    /// Compares the records of one name.
    fn compare_sets(&mut self, old: &Side<'_>, new: &Side<'_>) {
        if old.is_like(new) {
            return;
        }
        let (gone, come) = (old.sorted(), new.sorted());
        let key = |record: &RecordRef<'_>| (record.rtype, record.ttl);
        let (mut gone, mut come) = (gone.into_iter().peekable(), come.into_iter().peekable());
        loop {
            let order = match (gone.peek(), come.peek()) {
                (None, None) => return,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(mine), Some(other)) => (key(mine), mine.rdata).cmp(&(key(other), other.rdata)),
            };
            if order.is_le()
                && let Some(record) = gone.next()
                && order.is_lt()
            {
                self.removed.push(record);
            }
            if order.is_ge()
                && let Some(record) = come.next()
                && order.is_gt()
            {
                self.added.push(record);
            }
        }
    }
}

/// One name of one version.
struct Side<'a> {
    zone: &'a Zone,
    owner: &'a [u8],
    records: &'a [u32],
}

impl<'a> Side<'a> {
    fn of(zone: &'a Zone, nodes: &Nodes, node: u32) -> Option<Self> {
        if node as usize >= nodes.len() {
            return None;
        }
        let records = zone.records.get(nodes.range(node)).unwrap_or(&[]);
        Some(Self { zone, owner: zone.arena.name(nodes.name(node)), records })
    }

    fn compare(&self, other: &Self) -> Ordering {
        if self.owner == other.owner {
            return Ordering::Equal;
        }
        canonical::compare(self.owner, &LabelStarts::of(self.owner), other.owner, &LabelStarts::of(other.owner))
    }

    /// The records but for the SOA, which stands in front of the lists.
    fn records(&self) -> impl Iterator<Item = RecordRef<'a>> {
        let (zone, owner) = (self.zone, self.owner);
        let records = self.records.iter().map(move |at| zone.record_with(owner, *at));
        records.filter(|record| record.rtype != Rtype::SOA)
    }

    /// Whether the records are the same and in the same order, as they are for most names.
    fn is_like(&self, other: &Self) -> bool {
        self.records.len() == other.records.len() && self.records().eq(other.records())
    }

    fn sorted(&self) -> Vec<RecordRef<'a>> {
        let mut records: Vec<_> = self.records().collect();
        records.sort_unstable_by_key(|record| (record.rtype, record.ttl, record.rdata));
        records
    }

    fn all(&self, into: &mut RecordList) {
        self.records().for_each(|record| into.push(record));
    }
}

impl Zone {
    /// A later version of this zone: after all steps, which follow each other. The newest SOA record takes the place of the old one.
    ///
    /// # Errors
    /// A record that is to be removed is not there, or the result would be no zone.
    pub fn after<'a>(&self, steps: impl Iterator<Item = &'a Difference> + Clone) -> Result<Self, BuildError> {
        let mut net = self.net(steps.clone())?;
        let mut builder = Builder::new(&self.apex);
        let mut named: Named = Named::default();
        for record in self.records() {
            named.set(record.owner, record.rtype, record.rdata);
            match net.get_mut(&named) {
                Some(change) if change.gone != Gone::No => change.gone = Gone::Found,
                // The old SOA record gives way to a newer one by coming before it.
                _ => drop(builder.push(record)?),
            }
        }
        if let Some((named, _)) = net.iter().find(|(_, change)| change.gone == Gone::Has) {
            return Err(BuildError::NotThere(named.rtype));
        }
        for record in steps.flat_map(|step| step.added.iter()) {
            let is_last = match self.named(record)? {
                Some(named) => net.get(&named).is_some_and(|change| change.ttl == Some(record.ttl)),
                None => true,
            };
            if is_last {
                builder.push(record)?;
            }
        }
        builder.finish()
    }

    /// What becomes of each record that the steps name.
    fn net<'a>(&self, steps: impl Iterator<Item = &'a Difference>) -> Result<HashMap<Named, Change>, BuildError> {
        let mut net: HashMap<Named, Change> = HashMap::new();
        for step in steps {
            for record in step.removed.iter() {
                let Some(named) = self.named(record)? else { continue };
                let fresh = Change { gone: Gone::No, ttl: None };
                let is_known = net.contains_key(&named);
                let change = net.entry(named).or_insert(fresh);
                match (change.ttl.take(), change.gone) {
                    // It came with an earlier step; it may be here as well, as nobody checks that what comes is not here.
                    (Some(_), Gone::No) => change.gone = Gone::May,
                    (Some(_), _) => {}
                    (None, _) if is_known => return Err(BuildError::NotThere(record.rtype)),
                    (None, _) => change.gone = Gone::Has,
                }
            }
            for record in step.added.iter() {
                let Some(named) = self.named(record)? else { continue };
                net.entry(named).or_insert(Change { gone: Gone::No, ttl: None }).ttl = Some(record.ttl);
            }
        }
        Ok(net)
    }

    /// A record as the zone keeps it; `None` for an SOA record and for one that no zone keeps.
    fn named(&self, record: RecordRef<'_>) -> Result<Option<Named>, BuildError> {
        let owner = record.owner.to_ascii_lowercase();
        let starts = LabelStarts::of(&owner);
        let is_inside = starts.suffix_start(self.apex_labels).is_some_and(|at| owner.get(at..) == Some(&self.apex));
        if record.rtype == Rtype::SOA || !is_inside {
            return Ok(None);
        }
        let rdata = kept_rdata(record.rtype, record.rdata).ok_or(BuildError::Malformed(record.rtype))?;
        Ok(Some(Named { owner, rtype: record.rtype, rdata }))
    }
}

/// Owner in lower case, type and data of a record.
#[derive(PartialEq, Eq, Hash)]
struct Named {
    owner: Vec<u8>,
    rtype: Rtype,
    rdata: Vec<u8>,
}

impl Default for Named {
    fn default() -> Self {
        Self { owner: Vec::new(), rtype: Rtype::SOA, rdata: Vec::new() }
    }
}

impl Named {
    fn set(&mut self, owner: &[u8], rtype: Rtype, rdata: &[u8]) {
        self.owner.clear();
        self.owner.extend_from_slice(owner);
        self.rtype = rtype;
        self.rdata.clear();
        self.rdata.extend_from_slice(rdata);
    }
}

/// What becomes of a record.
struct Change {
    gone: Gone,
    /// With which TTL it comes, if it does.
    ttl: Option<u32>,
}

/// Whether a record of the older version goes away.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gone {
    /// It does not.
    No,
    /// It does if it is there.
    May,
    /// It does, and has to be there.
    Has,
    /// It did, and was there.
    Found,
}
