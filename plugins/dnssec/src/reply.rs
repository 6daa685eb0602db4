//! Which sets of a reply are signed, and what is added to it. CoreDNS: plugin/dnssec.

use std::sync::Arc;

use catena_core::SECTIONS;
use catena_core::classify::{Kind, classify};
use catena_core::prelude::*;
use domain::base::Name;

use crate::lies;
use crate::signer::{Session, Signer, form};
use crate::soa;
use crate::zones::{SignedZone, SignedZones};

/// Signs a reply as far as it is about signed zones.
pub(crate) async fn sign(answer: &mut Answer, q: &Query, zones: &SignedZones, signer: &Signer) {
    let mut session = signer.session(q);
    if soa::is_missing(answer)
        && let Some(zone) = zones.of_question(q.question())
    {
        soa::add(answer, q, zone).await;
    }
    match classify(answer, q.qtype(), q.clock().unix_seconds()) {
        Kind::Delegation => delegation(answer, zones, &mut session).await,
        Kind::NameError | Kind::NoData => {
            denial(answer, q.name().as_slice(), q.qtype(), zones, &mut session).await;
        }
        _ => sections(answer, q, zones, &mut session).await,
    }
}

/// Signs what is there, and denies the end of a chain of CNAME records that leads to nothing.
async fn sections(answer: &mut Answer, q: &Query, zones: &SignedZones, session: &mut Session<'_>) {
    let is_denied = match dead_end(answer, q) {
        Some(name) => denial(answer, &name, q.qtype(), zones, session).await,
        None => false,
    };
    for section in SECTIONS {
        if !(is_denied && section == Section::Authority) {
            sign_section(answer, section, zones, session).await;
        }
    }
}

/// The name at the end of the answer's chain of CNAME records, if the answer has nothing of that name.
fn dead_end(answer: &Answer, q: &Query) -> Option<Vec<u8>> {
    if matches!(q.qtype(), Rtype::CNAME | Rtype::ANY) {
        return None;
    }
    let records = || answer.records(Section::Answer).filter(|record| record.rtype() != Rtype::RRSIG);
    let mut end = q.name();
    // Each step takes one record, so that a circle ends.
    for _ in records() {
        let Some(found) = records().find(|record| record.owner() == end) else { break };
        end = Some(found).filter(|record| record.rtype() == Rtype::CNAME)?.target()?;
    }
    let is_there = records().any(|record| record.owner() == end);
    (!is_there && end != q.name()).then(|| end.as_slice().to_vec())
}

/// A set that is being signed: where its signatures go.
struct Place {
    owner: Vec<u8>,
    class: Class,
    ttl: u32,
}

impl Place {
    fn push(&self, answer: &mut Answer, section: Section, rtype: Rtype, rdata: &[u8]) {
        answer.push_wire(section, &self.owner, rtype, self.class, self.ttl, rdata);
    }

    fn push_signatures(&self, answer: &mut Answer, section: Section, rrsigs: &[Vec<u8>]) {
        for rrsig in rrsigs {
            self.push(answer, section, Rtype::RRSIG, rrsig);
        }
    }
}

/// Puts signatures behind the records of a section. Sets outside of the signed zones stay as they are.
async fn sign_section(answer: &mut Answer, section: Section, zones: &SignedZones, session: &mut Session<'_>) {
    for indexes in sets(answer, section) {
        sign_set(answer, section, &indexes, zones, session).await;
    }
}

/// The records of each set of a section, by their numbers; sets in the order of their first records.
fn sets(answer: &Answer, section: Section) -> Vec<Vec<usize>> {
    let mut known: std::collections::HashMap<(Vec<u8>, Rtype), usize> = std::collections::HashMap::new();
    let mut sets: Vec<Vec<usize>> = Vec::new();
    for (index, record) in answer.records(section).enumerate() {
        if matches!(record.rtype(), Rtype::RRSIG | Rtype::OPT) {
            continue;
        }
        let key = (record.owner_wire().to_ascii_lowercase(), record.rtype());
        let at = *known.entry(key).or_insert(sets.len());
        match sets.get_mut(at) {
            Some(set) => set.push(index),
            None => sets.push(vec![index]),
        }
    }
    sets
}

/// Puts the signatures of one set behind the section; says whether there are some.
async fn sign_set(
    answer: &mut Answer,
    section: Section,
    indexes: &[usize],
    zones: &SignedZones,
    session: &mut Session<'_>,
) -> bool {
    let entries = answer.entries(section);
    let records: Vec<_> = indexes.iter().filter_map(|at| entries.get(*at)).map(|entry| answer.record(entry)).collect();
    let Some(first) = records.first() else { return false };
    let Some(zone) = zones.of_set(first.owner_wire(), first.rtype()) else { return false };
    let place = Place { owner: first.owner_wire().to_vec(), class: first.class(), ttl: first.ttl() };
    let rdatas = records.iter().map(|record| record.rdata());
    let set = form(first.owner_wire(), first.rtype(), first.class(), rdatas);
    let Some(rrsigs) = session.sign(zone, set).await else { return false };
    place.push_signatures(answer, section, &rrsigs);
    !rrsigs.is_empty()
}

/// Denies a type of a name with a made-up NSEC record, so that the name exists: NOERROR. Left alone is what is not the denial of a signed
/// zone: one without a SOA record, or with more than that. Says whether it was done.
async fn denial(
    answer: &mut Answer,
    name: &[u8],
    qtype: Rtype,
    zones: &SignedZones,
    session: &mut Session<'_>,
) -> bool {
    let [soa] = answer.entries(Section::Authority) else { return false };
    let soa = answer.record(soa);
    let Some(zone) = zones.of_set(soa.owner_wire(), soa.rtype()) else { return false };
    let is_within = Name::from_slice(name).is_ok_and(|name| zone.zone.holds_name(name));
    if soa.rtype() != Rtype::SOA || !is_within {
        return false;
    }
    let place = Place { owner: name.to_vec(), class: soa.class(), ttl: soa.ttl() };
    let Some(nsec) = lies::denial(name, qtype, zone) else { return false };
    let Some(rrsigs) = sign_nsec(&place, &nsec, zone, session).await else { return false };
    let section = if qtype == Rtype::NSEC && answer.count(Section::Answer) == 0 {
        // The record is what was asked for.
        answer.entries_mut(Section::Authority).clear();
        Section::Answer
    } else if sign_set(answer, Section::Authority, &[0], zones, session).await {
        Section::Authority
    } else {
        return false;
    };
    place.push_signatures(answer, section, &rrsigs);
    place.push(answer, section, Rtype::NSEC, &nsec);
    answer.rcode = Rcode::NOERROR;
    true
}

/// Signs the DS records of a cut, or denies them.
async fn delegation(answer: &mut Answer, zones: &SignedZones, session: &mut Session<'_>) {
    let of = |rtype: Rtype| -> Vec<usize> {
        let entries = answer.entries(Section::Authority).iter().enumerate();
        entries.filter(|(_, entry)| entry.rtype == rtype).map(|(at, _)| at).collect()
    };
    let ds = of(Rtype::DS);
    if !ds.is_empty() {
        sign_set(answer, Section::Authority, &ds, zones, session).await;
        return;
    }
    let Some(ns) = answer.records(Section::Authority).find(|record| record.rtype() == Rtype::NS) else { return };
    let place = Place { owner: ns.owner_wire().to_vec(), class: ns.class(), ttl: ns.ttl() };
    // The name servers of an apex are no delegation; what is above is not ours.
    let Some(zone) = zones.of_set(&place.owner, Rtype::DS) else { return };
    let Some(nsec) = lies::insecure_cut(&place.owner) else { return };
    let Some(rrsigs) = sign_nsec(&place, &nsec, zone, session).await else { return };
    place.push_signatures(answer, Section::Authority, &rrsigs);
    place.push(answer, Section::Authority, Rtype::NSEC, &nsec);
}

/// The signatures over an NSEC record.
async fn sign_nsec(
    place: &Place,
    nsec: &[u8],
    zone: &Arc<SignedZone>,
    session: &mut Session<'_>,
) -> Option<Vec<Vec<u8>>> {
    session.sign(zone, form(&place.owner, Rtype::NSEC, place.class, [nsec])).await
}
