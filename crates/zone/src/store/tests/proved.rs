//! Random signed zones: every negative answer is checked as a validator would check it, with nothing but the records in it.

use std::cmp::Ordering;

use catena_core::{Class, LabelStarts, RecordRef, Rtype, Section};
use proptest::prelude::*;

use super::super::canonical::compare;
use super::super::nsec3::hash_text;
use super::super::{Builder, Outcome, Zone};
use super::kit::{look_up, push, wire, zone};

const SALT: [u8; 2] = [7, 8];
const ITERATIONS: u16 = 2;

/// The records of a denial: for NSEC its owner and the next one, for NSEC3 their hashes.
type Gaps = Vec<(Vec<u8>, Vec<u8>)>;

fn order(a: &[u8], b: &[u8]) -> Ordering {
    compare(a, &LabelStarts::of(a), b, &LabelStarts::of(b))
}

fn hash(name: &[u8]) -> Vec<u8> {
    hash_text(name, &SALT, ITERATIONS).to_vec()
}

/// The records of another zone and some more.
fn rebuilt(zone: &Zone, more: impl Iterator<Item = (Vec<u8>, Rtype, Vec<u8>)>) -> Zone {
    let mut builder = Builder::new(&wire("@"));
    for record in zone.records() {
        builder.push(record).unwrap();
    }
    for (owner, rtype, rdata) in more {
        builder.push(RecordRef { owner: &owner, rtype, class: Class::IN, ttl: 60, rdata: &rdata }).unwrap();
    }
    builder.finish().unwrap()
}

/// Pairs of each with the next one, the last with the first.
fn ring(names: Vec<Vec<u8>>) -> Gaps {
    let next = names.iter().cycle().skip(1).cloned();
    names.iter().cloned().zip(next).collect()
}

fn with_nsec(plain: &Zone) -> Zone {
    let signed = plain.names().filter(|name| !name.is_hidden() && name.records().next().is_some());
    let chain = ring(signed.map(|name| name.name().to_vec()).collect());
    rebuilt(plain, chain.into_iter().map(|(owner, next)| (owner, Rtype::NSEC, next)))
}

fn with_nsec3(plain: &Zone) -> Zone {
    let mut hashes: Vec<Vec<u8>> =
        plain.names().filter(|name| !name.is_hidden()).map(|name| hash(name.name())).collect();
    hashes.sort();
    let head = [&[1, 0, 0, ITERATIONS as u8, 2][..], &SALT].concat();
    let params = (wire("@"), Rtype::NSEC3PARAM, head.clone());
    let chain = ring(hashes).into_iter().map(move |(owner, next)| {
        // The next hash stays in its text form: only this test reads it.
        let rdata = [&head[..], &[32], &next].concat();
        (wire(&String::from_utf8(owner).unwrap()), Rtype::NSEC3, rdata)
    });
    rebuilt(plain, chain.chain([params]))
}

/// What the records of an answer say about names.
struct Proofs {
    gaps: Gaps,
    hashed: bool,
}

impl Proofs {
    fn key(&self, name: &[u8]) -> Vec<u8> {
        if self.hashed { hash(name) } else { name.to_vec() }
    }

    fn matches(&self, name: &[u8]) -> bool {
        self.gaps.iter().any(|(owner, _)| *owner == self.key(name))
    }

    fn covers(&self, name: &[u8]) -> bool {
        let name = self.key(name);
        let compare = |a: &[u8], b: &[u8]| if self.hashed { a.cmp(b) } else { order(a, b) };
        self.gaps.iter().any(|(owner, next)| {
            let (after, before) = (compare(owner, &name).is_lt(), compare(&name, next).is_lt());
            if compare(owner, next).is_lt() { after && before } else { after || before }
        })
    }

    fn matches_or_covers(&self, name: &[u8]) -> bool {
        self.matches(name) || self.covers(name)
    }
}

fn suffix(name: &[u8], labels: usize) -> &[u8] {
    &name[LabelStarts::of(name).suffix_start(labels).unwrap()..]
}

/// The labels of the longest name above, or the name itself, that exists.
fn encloser(zone: &Zone, name: &[u8]) -> usize {
    let exists = |labels: &usize| zone.names().any(|other| other.name() == suffix(name, *labels));
    (0..=LabelStarts::of(name).count()).rev().find(exists).unwrap()
}

/// Whether the answer proves what it says.
fn is_proved(zone: &Zone, question: &str, qtype: Rtype, hashed: bool) -> bool {
    let (found, answer) = look_up(zone, question, qtype, true);
    let name = wire(question);
    let records = answer
        .records(Section::Authority)
        .filter(|record| record.rtype() == if hashed { Rtype::NSEC3 } else { Rtype::NSEC });
    let gaps: Gaps = records
        .map(|record| match hashed {
            true => (record.owner_wire()[1..33].to_vec(), record.rdata()[8..].to_vec()),
            false => (record.owner_wire().to_vec(), record.rdata().to_vec()),
        })
        .collect();
    let mut unique = gaps.clone();
    unique.sort();
    unique.dedup();
    if unique.len() != gaps.len() {
        return false;
    }
    let proofs = Proofs { gaps, hashed };
    let above = encloser(zone, &name);
    let exact = above == LabelStarts::of(&name).count();
    let star = [b"\x01*", suffix(&name, above)].concat();
    let closer = if exact || !hashed { &name } else { suffix(&name, above + 1) };
    let enclosed = !hashed || proofs.matches(suffix(&name, above));
    match found.outcome {
        Outcome::NxDomain => enclosed && proofs.covers(closer) && proofs.covers(&star),
        Outcome::NoData { empty_non_terminal: true } if !hashed => proofs.covers(&name),
        Outcome::NoData { .. } if exact => proofs.matches(&name),
        Outcome::NoData { .. } => enclosed && proofs.covers(closer) && proofs.matches_or_covers(&star),
        Outcome::Answered if exact => proofs.gaps.is_empty(),
        Outcome::Answered => proofs.covers(closer),
        Outcome::Delegation => {
            let referral = answer.records(Section::Authority).find(|record| record.rtype() == Rtype::NS).unwrap();
            let secure = answer.records(Section::Authority).any(|record| record.rtype() == Rtype::DS);
            secure || proofs.matches(referral.owner_wire())
        }
        _ => false,
    }
}

fn any_name() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop_oneof![4 => "[abc]", 1 => Just("*".to_owned())], 1..5)
        .prop_map(|labels| labels.join("."))
}

fn any_record() -> impl Strategy<Value = String> {
    (any_name(), 0..6).prop_map(|(owner, kind)| match kind {
        0 if !owner.contains('*') => format!("{owner} NS ns.test."),
        1 if !owner.contains('*') => format!("{owner} NS ns.test.\n{owner} DS x"),
        2 => format!("{owner} TXT t"),
        _ => format!("{owner} A 192.0.2.1"),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn negative_answers_prove_what_they_say(
        lines in proptest::collection::vec(any_record(), 0..15),
        questions in proptest::collection::vec((any_name(), prop_oneof![Just(Rtype::A), Just(Rtype::DS)]), 1..30),
    ) {
        let plain = zone(&lines.join("\n"));
        for (zone, hashed) in [(with_nsec(&plain), false), (with_nsec3(&plain), true)] {
            for (name, qtype) in &questions {
                prop_assert!(is_proved(&zone, name, *qtype, hashed), "{} {} hashed {} in {:?}", name, qtype, hashed, lines);
            }
        }
    }
}

#[test]
fn a_record_of_a_zone_without_a_chain_proves_nothing() {
    let mut builder = Builder::new(&wire("@"));
    push(&mut builder, "@ SOA ns admin");
    assert!(!is_proved(&builder.finish().unwrap(), "a", Rtype::A, false));
}
