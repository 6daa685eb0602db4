//! Signed zones: signatures with DO and proofs that something is not there.

use catena_core::{Class, RecordRef, Rtype};

use super::super::nsec3::hash_text;
use super::super::{Builder, Zone};
use super::kit::{ask, finds, push, wire, zone};

/// Signed with NSEC records; the signatures of the negative answers are left out to keep the lines few.
fn signed() -> Zone {
    zone(
        "
        @ RRSIG SOA\n @ RRSIG NS
        @ NSEC *.alias\n *.alias CNAME ns\n *.alias RRSIG CNAME\n *.alias NSEC ns
        ns A 192.0.2.53\n ns RRSIG A\n ns NSEC sec.sub
        sec.sub NS a.test.\n sec.sub DS x\n sec.sub RRSIG DS\n sec.sub NSEC uns.sub
        uns.sub NS ns.uns.sub\n uns.sub NSEC *.w\n ns.uns.sub A 192.0.2.54
        *.w TXT star\n *.w RRSIG TXT\n *.w NSEC z
        z A 192.0.2.1\n z NSEC @
    ",
    )
}

#[test]
fn signatures_come_with_do_only() {
    finds(&signed(), "ns A", "Answered\n = ns A 192.0.2.53\n ~ @ NS ns");
    finds(&signed(), "ns A do", "Answered\n = ns A 192.0.2.53\n = ns RRSIG A\n ~ @ NS ns\n ~ @ RRSIG NS");
}

#[test]
fn signatures_asked_for_themselves_come_without_do() {
    finds(&signed(), "ns RRSIG", "Answered\n = ns RRSIG A\n ~ @ NS ns");
    finds(&signed(), "*.alias NSEC", "Answered\n = *.alias NSEC ns\n ~ @ NS ns");
}

#[test]
fn no_data_is_proved_by_the_nsec_of_the_name() {
    finds(&signed(), "ns AAAA do", "NoData\n ~ @ SOA\n ~ @ RRSIG SOA\n ~ ns NSEC sec.sub");
}

#[test]
fn an_empty_non_terminal_is_proved_by_the_nsec_before_it() {
    finds(&signed(), "sub A do", "EmptyNonTerminal\n ~ @ SOA\n ~ @ RRSIG SOA\n ~ ns NSEC sec.sub");
}

#[test]
fn a_name_error_is_proved_for_the_name_and_the_wildcard() {
    finds(&signed(), "p A do", "NxDomain\n ~ @ SOA\n ~ @ RRSIG SOA\n ~ ns NSEC sec.sub\n ~ @ NSEC *.alias");
    finds(&signed(), "0 A do", "NxDomain\n ~ @ SOA\n ~ @ RRSIG SOA\n ~ @ NSEC *.alias");
}

#[test]
fn the_nsec_before_a_name_is_not_looked_for_among_glue() {
    finds(&signed(), "v A do", "NxDomain\n ~ @ SOA\n ~ @ RRSIG SOA\n ~ uns.sub NSEC *.w\n ~ @ NSEC *.alias");
}

#[test]
fn what_a_wildcard_gives_is_proved_by_the_gap_that_the_name_lies_in() {
    finds(
        &signed(),
        "x.w TXT do",
        "Answered\n = x.w TXT star\n = x.w RRSIG TXT\n ~ *.w NSEC z\n ~ @ NS ns\n ~ @ RRSIG NS",
    );
    assert!(ask(&signed(), "x.alias A do").contains(&"~ *.alias NSEC ns".to_owned()));
}

#[test]
fn what_a_wildcard_does_not_give_is_proved_by_both() {
    let zone = zone("@ NSEC *.w\n *.w TXT star\n *.w NSEC a.w\n a.w A 192.0.2.1\n a.w NSEC @");
    finds(&zone, "x.w A do", "NoData\n ~ @ SOA\n ~ *.w NSEC a.w\n ~ a.w NSEC @");
}

#[test]
fn a_referral_has_ds_or_the_proof_that_there_is_none() {
    finds(&signed(), "x.sec.sub A do", "Delegation\n ~ sec.sub NS a.test.\n ~ sec.sub DS\n ~ sec.sub RRSIG DS");
    finds(
        &signed(),
        "x.uns.sub A do",
        "Delegation\n ~ uns.sub NS ns.uns.sub\n ~ uns.sub NSEC *.w\n + ns.uns.sub A 192.0.2.54",
    );
    finds(&signed(), "uns.sub DS do", "NoData\n ~ @ SOA\n ~ @ RRSIG SOA\n ~ uns.sub NSEC *.w");
}

#[test]
fn the_end_of_a_chain_is_proved() {
    let zone = zone("@ NSEC a\n a A 192.0.2.1\n a NSEC c\n c CNAME a\n c NSEC @");
    finds(&zone, "c AAAA do", "NoData\n = c CNAME a\n ~ @ SOA\n ~ a NSEC c");
}

/// A zone with a chain of NSEC3 records for these names.
fn hashed(lines: &str, names: &[&str]) -> (Zone, impl Fn(&str) -> String) {
    let hash = |name: &str| String::from_utf8(hash_text(&wire(name), &[], 0).to_vec()).unwrap();
    let mut builder = Builder::new(&wire("@"));
    for line in ["@ SOA ns admin 42", "@ NS ns", "@ NSEC3PARAM x"].into_iter().chain(lines.lines().map(str::trim)) {
        push(&mut builder, line);
    }
    for name in names {
        let owner = wire(&hash(name));
        for (rtype, rdata) in [
            (Rtype::NSEC3, &[1, 0, 0, 0, 0, 20][..]),
            (Rtype::RRSIG, &[&50u16.to_be_bytes()[..], &[0; 16], &wire("@")].concat()),
        ] {
            builder.push(RecordRef { owner: &owner, rtype, class: Class::IN, ttl: 60, rdata }).unwrap();
        }
    }
    (builder.finish().unwrap(), hash)
}

/// The owners of the NSEC3 records among the lines, sorted.
fn hashes(lines: &[String]) -> Vec<String> {
    let owner = |line: &String| Some(line.strip_suffix(" NSEC3")?.strip_prefix("~ ")?.to_owned());
    let mut owners: Vec<String> = lines.iter().filter_map(owner).filter(|owner| !owner.ends_with(" RRSIG")).collect();
    let signatures = lines.iter().filter(|line| line.ends_with("RRSIG NSEC3")).count();
    assert_eq!(owners.len(), signatures);
    owners.sort();
    owners
}

/// The owner whose hash is the last one before that of the name, in a ring.
fn covering(names: &[&str], hash: impl Fn(&str) -> String, name: &str) -> String {
    let mut all: Vec<String> = names.iter().map(|name| hash(name)).collect();
    all.sort();
    let before = all.iter().rev().find(|other| **other < hash(name));
    before.unwrap_or_else(|| all.last().unwrap()).clone()
}

const NAMES: [&str; 6] = ["@", "ns", "w", "*.w", "sub", "a"];
const LINES: &str = "ns A 192.0.2.53\n *.w TXT star\n sub NS a.test.\n a A 192.0.2.1\n opt NS b.test.";

fn sorted<const N: usize>(mut expected: [String; N]) -> Vec<String> {
    expected.sort();
    let mut expected = expected.to_vec();
    expected.dedup();
    expected
}

#[test]
fn a_hash_proves_no_data() {
    let (zone, hash) = hashed(LINES, &NAMES);
    assert_eq!(hashes(&ask(&zone, "a AAAA do")), [hash("a")]);
    assert_eq!(hashes(&ask(&zone, "w A do")), [hash("w")]);
    assert_eq!(hashes(&ask(&zone, "sub DS do")), [hash("sub")]);
}

#[test]
fn three_hashes_prove_a_name_error() {
    let (zone, hash) = hashed(LINES, &NAMES);
    let expected = sorted([hash("a"), covering(&NAMES, &hash, "x.a"), covering(&NAMES, &hash, "*.a")]);
    assert_eq!(hashes(&ask(&zone, "y.x.a A do")), expected);
}

#[test]
fn a_hash_proves_that_a_wildcard_had_to_be_used() {
    let (zone, hash) = hashed(LINES, &NAMES);
    assert_eq!(hashes(&ask(&zone, "y.x.w TXT do")), [covering(&NAMES, &hash, "x.w")]);
}

#[test]
fn the_hash_of_the_wildcard_proves_that_it_lacks_the_type() {
    let (zone, hash) = hashed(LINES, &NAMES);
    let expected = sorted([hash("w"), covering(&NAMES, &hash, "x.w"), hash("*.w")]);
    assert_eq!(hashes(&ask(&zone, "x.w A do")), expected);
}

#[test]
fn a_referral_without_ds_is_proved_with_and_without_opt_out() {
    let (zone, hash) = hashed(LINES, &NAMES);
    assert_eq!(hashes(&ask(&zone, "x.sub A do")), [hash("sub")]);
    let expected = sorted([hash("@"), covering(&NAMES, &hash, "opt")]);
    assert_eq!(hashes(&ask(&zone, "x.opt A do")), expected);
    assert_eq!(hashes(&ask(&zone, "opt DS do")), expected);
}

#[test]
fn owners_of_hashes_are_no_names_of_the_zone() {
    let (zone, hash) = hashed(LINES, &NAMES);
    assert_eq!(ask(&zone, &format!("{} NSEC3", hash("a")))[0], "NxDomain");
    assert_eq!(zone.records().filter(|record| record.rtype == Rtype::NSEC3).count(), NAMES.len());
}

#[test]
fn records_of_another_chain_prove_nothing() {
    let (zone, hash) = hashed(LINES, &NAMES);
    let mut builder = Builder::new(&wire("@"));
    zone.records().for_each(|record| {
        builder.push(record).unwrap();
    });
    // A second chain with a salt, in which every hash lies just behind a hash of the first.
    for name in NAMES {
        let mut owner = wire(&hash(name));
        owner[32] = owner[32].wrapping_add(1);
        let rdata = [1, 0, 0, 0, 1, 7, 20];
        builder
            .push(RecordRef { owner: &owner, rtype: Rtype::NSEC3, class: Class::IN, ttl: 60, rdata: &rdata })
            .unwrap();
    }
    let both = builder.finish().unwrap();
    for question in ["a AAAA do", "y.x.a A do", "x.w A do", "x.opt A do"] {
        assert_eq!(ask(&both, question), ask(&zone, question), "{question}");
    }
}
