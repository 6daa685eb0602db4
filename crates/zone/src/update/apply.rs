//! The rules by which an update changes a zone.

use std::collections::{BTreeMap, BTreeSet};

use catena_core::{Class, LabelStarts, Rcode, Rtype};

use super::draft::{Draft, Record};
use super::message::Update;
use crate::zonefile::{RecordBuf, is_valid_rdata};
use crate::{Difference, JOURNAL_OCTETS_MAX, Zone, is_newer};

/// The most octets that one update may take from a zone and add to it: what the journal in memory holds.
pub const STEP_OCTETS_MAX: usize = JOURNAL_OCTETS_MAX;
/// The longest time to live, seconds; what is longer means none (RFC 2181 section 8).
const TTL_MAX: u32 = i32::MAX.unsigned_abs();
/// The type KEY (RFC 2535 section 3), which may stand beside a CNAME record.
const KEY: Rtype = Rtype::from_int(25);

/// What an update changes in a zone; `None`: nothing. All of it holds, or nothing is changed.
///
/// Where RFC 2136 leaves a choice: all records of a set get the TTL of the one that is added last (RFC 2181 section 5.2), a DNAME takes the place
/// of the one that is there (RFC 6672 section 2.4), and a name below a delegation is a name of the zone.
///
/// # Errors
/// The code that the client gets: NOTAUTH, FORMERR, NOTZONE, NXDOMAIN, YXDOMAIN, NXRRSET or YXRRSET as RFC 2136 section 2.2 says, REFUSED for a
/// change to a zone with signatures, which would not be right any more, to records that go with signatures, and for one of more than
/// [`STEP_OCTETS_MAX`].
pub fn apply(update: &Update, zone: &Zone) -> Result<Option<Difference>, Rcode> {
    if update.zone != zone.apex() || update.class != zone.class() {
        return Err(Rcode::NOTAUTH);
    }
    let mut draft = Draft::new(zone);
    prerequisites(update, &mut draft)?;
    for record in &update.changes {
        check(update.class, record, zone)?;
    }
    if !update.changes.is_empty() && zone.proves_denial() {
        return Err(Rcode::REFUSED);
    }
    for record in &update.changes {
        let is_apex = record.owner == zone.apex();
        match record.class {
            Class::ANY => delete_sets(record, is_apex, draft.at(&record.owner)),
            Class::NONE => delete_one(record, is_apex, draft.at(&record.owner)),
            _ => add(record, is_apex, draft.at(&record.owner)),
        }
    }
    let Some(difference) = draft.difference() else { return Ok(None) };
    if difference.octets_len() > STEP_OCTETS_MAX {
        return Err(Rcode::REFUSED);
    }
    Ok(Some(difference))
}

/// RFC 2136 section 3.2.
fn prerequisites(update: &Update, draft: &mut Draft<'_>) -> Result<(), Rcode> {
    let mut wanted: BTreeMap<(&[u8], Rtype), BTreeSet<Vec<u8>>> = BTreeMap::new();
    for record in &update.prerequisites {
        if record.ttl != 0 {
            return Err(Rcode::FORMERR);
        }
        if !draft.zone.holds(&record.owner, &LabelStarts::of(&record.owner)) {
            return Err(Rcode::NOTZONE);
        }
        let has =
            |records: &[Record]| records.iter().any(|one| record.rtype == Rtype::ANY || one.rtype == record.rtype);
        match record.class {
            Class::ANY | Class::NONE if !record.rdata.is_empty() => return Err(Rcode::FORMERR),
            Class::ANY if has(draft.at(&record.owner)) => {}
            Class::ANY if record.rtype == Rtype::ANY => return Err(Rcode::NXDOMAIN),
            Class::ANY => return Err(Rcode::NXRRSET),
            Class::NONE if !has(draft.at(&record.owner)) => {}
            Class::NONE if record.rtype == Rtype::ANY => return Err(Rcode::YXDOMAIN),
            Class::NONE => return Err(Rcode::YXRRSET),
            class if class != update.class || is_meta(record.rtype) || !is_valid(record, class) => {
                return Err(Rcode::FORMERR);
            }
            _ => {
                wanted.entry((&record.owner, record.rtype)).or_default().insert(Record::of(record).key);
            }
        }
    }
    for ((owner, rtype), rdata) in wanted {
        let set = draft.at(owner).iter().filter(|one| one.rtype == rtype);
        if set.map(|one| one.key.clone()).collect::<BTreeSet<_>>() != rdata {
            return Err(Rcode::NXRRSET);
        }
    }
    Ok(())
}

/// RFC 2136 section 3.4.1: what is looked at before anything is changed.
fn check(class: Class, record: &RecordBuf, zone: &Zone) -> Result<(), Rcode> {
    if !zone.holds(&record.owner, &LabelStarts::of(&record.owner)) {
        return Err(Rcode::NOTZONE);
    }
    let is_plain = record.ttl == 0 && record.rdata.is_empty();
    let is_formed = match record.class {
        Class::ANY => is_plain && (record.rtype == Rtype::ANY || !is_meta(record.rtype)),
        Class::NONE => record.ttl == 0 && !is_meta(record.rtype) && is_valid(record, class),
        own => own == class && !is_meta(record.rtype) && is_valid(record, class),
    };
    if !is_formed {
        return Err(Rcode::FORMERR);
    }
    if is_of_signer(record.rtype) { Err(Rcode::REFUSED) } else { Ok(()) }
}

/// Types that no record of a zone has: 0, OPT, and those for questions and within messages (RFC 6895 section 3.1).
fn is_meta(rtype: Rtype) -> bool {
    matches!(rtype.to_int(), 0 | 41 | 128..=255)
}

/// Types that a signer makes.
fn is_of_signer(rtype: Rtype) -> bool {
    matches!(rtype, Rtype::RRSIG | Rtype::SIG | Rtype::NSEC | Rtype::NXT | Rtype::NSEC3 | Rtype::NSEC3PARAM)
}

/// Whether the rdata can be of the type in the zone's class; that of the record may be NONE.
fn is_valid(record: &RecordBuf, class: Class) -> bool {
    is_valid_rdata(record.rtype, class, &record.rdata)
}

/// Adds a record to those of its name (RFC 2136 section 3.4.2.2).
fn add(record: &RecordBuf, is_apex: bool, records: &mut Vec<Record>) {
    let mut new = Record::of(record);
    if new.ttl > TTL_MAX {
        new.ttl = 0;
    }
    let rtype = new.rtype;
    let is_alias = |one: &Record| one.rtype == Rtype::CNAME;
    let goes_with_alias = |rtype: Rtype| is_of_signer(rtype) || rtype == KEY;
    let is_kept_out = match rtype {
        Rtype::CNAME => records.iter().any(|one| !is_alias(one) && !goes_with_alias(one.rtype)),
        _ => records.iter().any(is_alias) && !goes_with_alias(rtype),
    };
    // A zone has one SOA record, at its apex, and goes forwards.
    let is_old_soa = rtype == Rtype::SOA
        && (!is_apex || records.iter().any(|one| one.rtype == Rtype::SOA && !is_newer(new.serial(), one.serial())));
    if is_kept_out || is_old_soa {
        return;
    }
    let is_single = matches!(rtype, Rtype::CNAME | Rtype::DNAME | Rtype::SOA);
    if is_single {
        records.retain(|one| one.rtype != rtype);
    }
    records.iter_mut().filter(|one| one.rtype == rtype).for_each(|one| one.ttl = new.ttl);
    if !records.iter().any(|one| one.rtype == rtype && one.key == new.key) {
        records.push(new);
    }
}

/// Deletes an RRset, or all of a name (RFC 2136 section 3.4.2.3); SOA and NS records of the apex stay.
fn delete_sets(record: &RecordBuf, is_apex: bool, records: &mut Vec<Record>) {
    let stays = |one: &Record| is_apex && matches!(one.rtype, Rtype::SOA | Rtype::NS);
    records.retain(|one| stays(one) || (record.rtype != Rtype::ANY && one.rtype != record.rtype));
}

/// Deletes one record (RFC 2136 section 3.4.2.4); the SOA record and the last NS record of the apex stay.
fn delete_one(record: &RecordBuf, is_apex: bool, records: &mut Vec<Record>) {
    let servers = records.iter().filter(|one| one.rtype == Rtype::NS).count();
    if record.rtype == Rtype::SOA || (is_apex && record.rtype == Rtype::NS && servers <= 1) {
        return;
    }
    let key = Record::of(record).key;
    records.retain(|one| one.rtype != record.rtype || one.key != key);
}
