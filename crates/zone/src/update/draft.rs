//! The names that an update looks at, with the records that they have and will have.

use std::collections::{BTreeMap, BTreeSet};

use catena_core::wire::skip_name;
use catena_core::{Class, RecordRef, Rtype};

use crate::dnssec::lower_rdata;
use crate::zonefile::RecordBuf;
use crate::{Difference, RecordList, Zone};

/// One record of a name.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) rtype: Rtype,
    pub(super) ttl: u32,
    pub(super) rdata: Vec<u8>,
    /// The rdata with its names in lower case: what tells records apart (RFC 2136 section 1.1.1).
    pub(super) key: Vec<u8>,
}

impl Record {
    pub(super) fn new(rtype: Rtype, ttl: u32, rdata: &[u8]) -> Self {
        let rdata = kept(rtype, rdata);
        Self { rtype, ttl, key: lower_rdata(rtype, &rdata), rdata }
    }

    pub(super) fn of(record: &RecordBuf) -> Self {
        Self::new(record.rtype, record.ttl, &record.rdata)
    }

    /// The serial number of an SOA record; it is the first of the five numbers at the end.
    pub(super) fn serial(&self) -> u32 {
        let numbers = self.rdata.last_chunk::<20>().unwrap_or(&[0; 20]);
        u32::from_be_bytes([numbers[0], numbers[1], numbers[2], numbers[3]])
    }

    fn with_serial(mut self, serial: u32) -> Self {
        for octets in [&mut self.rdata, &mut self.key] {
            if let Some(numbers) = octets.last_chunk_mut::<20>() {
                numbers[..4].copy_from_slice(&serial.to_be_bytes());
            }
        }
        self
    }
}

/// A zone with changes that are not made yet.
pub(super) struct Draft<'a> {
    pub(super) zone: &'a Zone,
    /// The records of the names that were looked at, by lower-case name.
    names: BTreeMap<Vec<u8>, Vec<Record>>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(zone: &'a Zone) -> Self {
        Self { zone, names: BTreeMap::new() }
    }

    /// The records of a lower-case name.
    pub(super) fn at(&mut self, name: &[u8]) -> &mut Vec<Record> {
        let zone = self.zone;
        self.names.entry(name.to_vec()).or_insert_with(|| stored(zone, name))
    }

    /// The SOA record as it will be, which is that of the zone unless the update has another one.
    fn soa(&self) -> Record {
        let own =
            self.names.get(self.zone.apex()).and_then(|records| records.iter().find(|one| one.rtype == Rtype::SOA));
        let stored = || {
            let soa = self.zone.soa();
            Record::new(Rtype::SOA, soa.ttl, soa.rdata)
        };
        own.cloned().unwrap_or_else(stored)
    }

    /// What changes; `None`: nothing does. The serial number grows by one unless the update sets one (RFC 2136 section 3.6).
    pub(super) fn difference(&self) -> Option<Difference> {
        let (old, mut soa) = (self.zone.soa(), self.soa());
        let (mut gone, mut come, mut added) = (RecordList::default(), RecordList::default(), RecordList::default());
        gone.push(old);
        for (name, records) in &self.names {
            let stored = stored(self.zone, name);
            let (before, after) = (distinct(&stored), distinct(records));
            before.difference(&after).for_each(|one| gone.push(whole(name, self.zone.class(), *one)));
            after.difference(&before).for_each(|one| added.push(whole(name, self.zone.class(), *one)));
        }
        let from = self.zone.serial();
        let is_soa_same = soa.rdata == old.rdata && soa.ttl == old.ttl;
        if is_soa_same && gone.len() == 1 && added.is_empty() {
            return None;
        }
        if soa.serial() == from {
            // Serial number 0 is left out: there are servers that take it for none.
            soa = soa.with_serial(from.wrapping_add(1).max(1));
        }
        come.push(whole(self.zone.apex(), self.zone.class(), (Rtype::SOA, soa.ttl, &soa.rdata)));
        // Behind the SOA record, whose serial is not known before.
        added.iter().for_each(|record| come.push(record));
        Some(Difference { from, to: soa.serial(), removed: gone, added: come })
    }
}

type Parts<'a> = (Rtype, u32, &'a [u8]);

/// The records but for the SOA.
fn distinct(records: &[Record]) -> BTreeSet<Parts<'_>> {
    let others = records.iter().filter(|one| one.rtype != Rtype::SOA);
    others.map(|one| (one.rtype, one.ttl, one.rdata.as_slice())).collect()
}

fn whole<'a>(owner: &'a [u8], class: Class, (rtype, ttl, rdata): Parts<'a>) -> RecordRef<'a> {
    RecordRef { owner, rtype, class, ttl, rdata }
}

/// The rdata as [`crate::Builder`] keeps it, so that what a step adds is what the zone has.
fn kept(rtype: Rtype, rdata: &[u8]) -> Vec<u8> {
    match rtype {
        Rtype::NS | Rtype::CNAME | Rtype::SOA | Rtype::MX => lower_rdata(rtype, rdata),
        Rtype::SVCB | Rtype::HTTPS => {
            let mut rdata = rdata.to_vec();
            let end = skip_name(&rdata, 2).unwrap_or(0);
            if let Some(target) = rdata.get_mut(2..end) {
                target.make_ascii_lowercase();
            }
            rdata
        }
        _ => rdata.to_vec(),
    }
}

/// The records that a name has in the zone.
fn stored(zone: &Zone, name: &[u8]) -> Vec<Record> {
    let Some(node) = zone.find(name) else { return Vec::new() };
    let entries = zone.all(node).iter().map(|at| zone.entry(*at));
    entries.map(|entry| Record::new(entry.rtype, entry.ttl, entry.rdata)).collect()
}
