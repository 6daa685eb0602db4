//! The way back through the records of a reply.

use std::ops::Range;

use catena_core::prelude::*;
use catena_core::{Log, OwnedName, SECTIONS};

use crate::back::{Back, Map, Part, apply_all, revert_options};
use crate::target;

/// The sections in the order in which steps are taken, the answer section apart. CoreDNS: plugin/rewrite.
const SECTIONS_BEFORE: [Section; 1] = [Section::Authority];
const SECTIONS_AFTER: [Section; 1] = [Section::Additional];

/// Takes all steps, in reverse order, for each record of the authority, answer and additional section.
pub(crate) async fn take_back(answer: &mut Answer, q: &Query, steps: &[Back], log: &Log) {
    if steps.is_empty() {
        return;
    }
    let records = SECTIONS.iter().map(|section| answer.count(*section)).sum::<usize>();
    take_back_rcode(answer, records + usize::from(q.edns().is_some() || answer.edns.is_some()), steps);
    if steps.iter().any(|step| matches!(step, Back::Target(_))) {
        SECTIONS_BEFORE.iter().for_each(|section| take_back_section(answer, *section, steps));
        target::take_back_answer(answer, q, steps, log).await;
        SECTIONS_AFTER.iter().for_each(|section| take_back_section(answer, *section, steps));
    } else {
        SECTIONS.iter().for_each(|section| take_back_section(answer, *section, steps));
    }
    if let Some(edns) = &mut answer.edns {
        revert_options(&mut edns.options, steps);
    }
}

/// Takes the steps that need nothing but the message.
pub(crate) fn take_back_records(answer: &mut Answer, steps: &[Back]) {
    let records = SECTIONS.iter().map(|section| answer.count(*section)).sum();
    take_back_rcode(answer, records, steps);
    SECTIONS.iter().for_each(|section| take_back_section(answer, *section, steps));
}

/// CoreDNS: plugin/rewrite takes the steps once for each record, once for a reply without any. So of two rules that lead from one code to
/// another the second comes to its turn with the second record.
fn take_back_rcode(answer: &mut Answer, records: usize, steps: &[Back]) {
    for _ in 0..records.max(1) {
        let before = answer.rcode;
        for step in steps.iter().rev() {
            match step {
                Back::Rcode { old, new } if answer.rcode == *old => answer.rcode = *new,
                _ => {}
            }
        }
        if answer.rcode == before {
            return;
        }
    }
}

fn take_back_section(answer: &mut Answer, section: Section, steps: &[Back]) {
    (0..answer.count(section)).for_each(|index| take_back_record(answer, section, index, steps));
}

/// Takes steps for one record.
pub(crate) fn take_back_record(answer: &mut Answer, section: Section, index: usize, steps: &[Back]) {
    let Some(entry) = answer.entries_mut(section).get_mut(index) else { return };
    for step in steps.iter().rev() {
        if let Back::Ttl { min, max } = step {
            entry.ttl = entry.ttl.max(*min).min(*max);
        }
    }
    let record = answer.record(&answer.entries(section)[index]);
    let owner = apply_all(record.owner_wire(), maps(steps, Part::Value));
    let rdata = renamed(record.rtype(), record.rdata(), steps);
    if let Some(owner) = owner.and_then(|wire| OwnedName::from_octets(wire).ok()) {
        answer.set_owner(section, index, owner.for_slice());
    }
    if let Some(rdata) = rdata {
        answer.set_rdata(section, index, &rdata);
    }
}

/// The maps of the steps, in the order in which they are taken, but for those that are about the other part alone.
fn maps(steps: &[Back], other: Part) -> impl Iterator<Item = &Map> {
    steps.iter().rev().filter_map(move |step| match step {
        Back::Names(naming) if naming.part != other => Some(&naming.map),
        _ => None,
    })
}

/// The rdata with another name in it; `None` if that stays as it is.
fn renamed(rtype: Rtype, rdata: &[u8], steps: &[Back]) -> Option<Vec<u8>> {
    let place = value(rtype, rdata)?;
    let name = apply_all(&rdata[place.clone()], maps(steps, Part::Owner))?;
    Some([&rdata[..place.start], &name, &rdata[place.end..]].concat())
}

/// Where in rdata the name stands that rules for values are about. CoreDNS: plugin/rewrite, `getRecordValueForRewrite`.
fn value(rtype: Rtype, rdata: &[u8]) -> Option<Range<usize>> {
    let start = match rtype {
        Rtype::CNAME | Rtype::NS | Rtype::DNAME | Rtype::PTR | Rtype::SOA => 0,
        Rtype::MX => 2,
        Rtype::SRV => 6,
        Rtype::NAPTR => naptr_replacement(rdata)?,
        _ => return None,
    };
    let mut end = start;
    loop {
        let len = *rdata.get(end)?;
        end += 1 + usize::from(len);
        if len == 0 {
            return (end <= rdata.len()).then_some(start..end);
        }
    }
}

/// Behind order, preference and three character strings (RFC 3403 section 4.1).
fn naptr_replacement(rdata: &[u8]) -> Option<usize> {
    (0..3).try_fold(4, |at: usize, _| Some(at + 1 + usize::from(*rdata.get(at)?)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_name_in_rdata_is_found() {
        let naptr = b"\x00\x01\x00\x02\x01s\x03sip\x00\x01a\x00";
        for (rtype, rdata, place) in [
            (Rtype::CNAME, &b"\x01a\x00"[..], Some(0..3)),
            (Rtype::MX, b"\x00\x0a\x01a\x00", Some(2..5)),
            (Rtype::SRV, b"\x00\x00\x00\x00\x00\x35\x00", Some(6..7)),
            (Rtype::SOA, b"\x01a\x00\x01b\x00\x00\x00\x00\x00", Some(0..3)),
            (Rtype::NAPTR, naptr, Some(11..14)),
            (Rtype::NAPTR, &naptr[..6], None),
            (Rtype::MX, b"\x00", None),
            (Rtype::CNAME, b"\x05a", None),
            (Rtype::TXT, b"\x01a", None),
        ] {
            assert_eq!(value(rtype, rdata), place, "{rtype} {rdata:?}");
        }
    }

    #[test]
    fn codes_lead_on_with_every_record() {
        let step = |old, new| Back::Rcode { old, new };
        let steps = [step(Rcode::NOERROR, Rcode::REFUSED), step(Rcode::REFUSED, Rcode::SERVFAIL)];
        for (records, told) in [(0, Rcode::REFUSED), (1, Rcode::REFUSED), (2, Rcode::SERVFAIL), (9, Rcode::SERVFAIL)] {
            let mut answer = Answer::default();
            take_back_rcode(&mut answer, records, &steps);
            assert_eq!(answer.rcode, told, "{records}");
        }
    }
}
