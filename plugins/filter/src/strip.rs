//! What is taken out of a message.

use catena_core::prelude::*;
use catena_core::wire;
use domain::base::Name;

/// Keys of service parameters (RFC 9460 section 14.3.2).
const MANDATORY: u16 = 0;
const IPV4HINT: u16 = 4;
const IPV6HINT: u16 = 6;
/// How many CNAMEs are followed to the end of a chain.
const CHAIN_MAX: usize = 16;

/// Takes records of filtered types, their signatures, and the address hints that belong to them out of every section; returns from how
/// many records hints were taken.
pub(crate) fn strip(answer: &mut Answer, filtered: impl Fn(Rtype) -> bool) -> usize {
    let mut changed = false;
    for section in [Section::Answer, Section::Additional] {
        let before = answer.count(section);
        answer.retain(section, |record| !filtered(record.rtype()) && !covered(record).is_some_and(&filtered));
        changed |= answer.count(section) != before;
    }
    let hints = strip_hints(answer, filtered(Rtype::A), filtered(Rtype::AAAA));
    if changed || hints > 0 {
        answer.set(flags::AD, false);
    }
    hints
}

/// The type that a signature covers.
fn covered(record: catena_core::Record<'_>) -> Option<Rtype> {
    let octets = record.rdata().first_chunk::<2>()?;
    (record.rtype() == Rtype::RRSIG).then(|| Rtype::from_int(u16::from_be_bytes(*octets)))
}

fn strip_hints(answer: &mut Answer, v4: bool, v6: bool) -> usize {
    if !v4 && !v6 {
        return 0;
    }
    let mut touched = Vec::new();
    for section in [Section::Answer, Section::Additional] {
        for at in 0..answer.count(section) {
            let record = answer.record(&answer.entries(section)[at]);
            if !matches!(record.rtype(), Rtype::HTTPS | Rtype::SVCB) {
                continue;
            }
            let Some(rdata) = without_hints(record.rdata(), |key| (v4 && key == IPV4HINT) || (v6 && key == IPV6HINT))
            else {
                continue;
            };
            let (owner, rtype) = (record.owner_wire().to_vec(), record.rtype());
            let (class, ttl) = (record.class(), record.ttl());
            answer.push_wire(section, &owner, rtype, class, ttl, &rdata);
            // The new record takes the place of the old one.
            answer.entries_mut(section).swap_remove(at);
            touched.push(rtype);
        }
        // A signature over what was there before proves nothing of what is there now.
        answer.retain(section, |record| !covered(record).is_some_and(|rtype| touched.contains(&rtype)));
    }
    touched.len()
}

/// The rdata of a service record without some of its parameters; `None` if it has none of them.
///
/// A parameter that is gone cannot be mandatory (RFC 9460 section 8), so it leaves that list, and an empty list leaves the record.
fn without_hints(rdata: &[u8], gone: impl Fn(u16) -> bool) -> Option<Vec<u8>> {
    // Priority, target name, parameters.
    let (head, mut rest) = rdata.split_at_checked(wire::skip_name(rdata, 2).ok()?)?;
    let mut kept = head.to_vec();
    let mut found = false;
    while !rest.is_empty() {
        let (key, len) = (word(rest, 0)?, usize::from(word(rest, 2)?));
        let (parameter, after) = rest.split_at_checked(4 + len)?;
        rest = after;
        if gone(key) {
            found = true;
        } else if key == MANDATORY {
            let keys: Vec<u8> = parameter[4..]
                .chunks_exact(2)
                .filter(|key| !gone(word(key, 0).unwrap_or(0)))
                .flatten()
                .copied()
                .collect();
            if !keys.is_empty() {
                kept.extend_from_slice(&[0, 0]);
                kept.extend_from_slice(&u16::try_from(keys.len()).ok()?.to_be_bytes());
                kept.extend_from_slice(&keys);
            }
        } else {
            kept.extend_from_slice(parameter);
        }
    }
    found.then_some(kept)
}

fn word(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*octets.get(at..)?.first_chunk()?))
}

/// Keeps of the answer what leads to another name, with its signatures, and nothing of the additional section.
pub(crate) fn keep_aliases(answer: &mut Answer) {
    let is_alias = |rtype: Rtype| matches!(rtype, Rtype::CNAME | Rtype::DNAME);
    answer.retain(Section::Answer, |record| is_alias(record.rtype()) || covered(record).is_some_and(is_alias));
    answer.entries_mut(Section::Additional).clear();
    answer.set(flags::AD, false);
}

/// The name to which the CNAMEs of an answer lead from the one asked.
pub(crate) fn end_of_chain<'a>(answer: &'a Answer, asked: &'a Name<[u8]>) -> &'a Name<[u8]> {
    let mut name = asked;
    for _ in 0..CHAIN_MAX {
        let mut records = answer.records(Section::Answer);
        let next = records.find(|record| record.rtype() == Rtype::CNAME && record.owner() == name);
        match next.and_then(|record| record.target()) {
            Some(target) => name = target,
            None => break,
        }
    }
    name
}

/// Takes over the SOA of the zone of a name; it holds no longer than its MINIMUM says (RFC 2308 section 5).
pub(crate) fn take_soa(answer: &mut Answer, found: &Answer, name: &Name<[u8]>) {
    let sections = [Section::Answer, Section::Authority];
    let mut soas = sections.into_iter().flat_map(|section| found.records(section));
    if let Some(soa) = soas.find(|record| record.rtype() == Rtype::SOA && name.ends_with(record.owner())) {
        let minimum = soa.rdata().last_chunk::<4>().map_or(0, |octets| u32::from_be_bytes(*octets));
        let ttl = soa.ttl().min(minimum);
        answer.push_wire(Section::Authority, soa.owner_wire(), Rtype::SOA, soa.class(), ttl, soa.rdata());
    }
}
