//! Transfers, differences, the journal and versions that take each other's place.

use std::sync::Arc;

use catena_core::{Outgoing, RecordRef};
use proptest::prelude::*;

use super::super::{
    Builder, Difference, JOURNAL_DIFFERENCES_MAX, JOURNAL_OCTETS_MAX, Journal, RecordList, SharedZone, Snapshot, Zone,
    is_newer,
};
use super::kit::{push, record_text, wire};

fn version(serial: u32, lines: &str) -> Zone {
    let mut builder = Builder::new(&wire("@"));
    push(&mut builder, &format!("@ SOA ns admin {serial}"));
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        push(&mut builder, line);
    }
    builder.finish().unwrap()
}

/// The records as lines, the serial number behind each SOA.
fn text(record: RecordRef<'_>) -> String {
    let serial = record
        .rdata
        .len()
        .checked_sub(20)
        .map_or(0, |at| u32::from_be_bytes(record.rdata[at..at + 4].try_into().unwrap()));
    if record.rtype == catena_core::Rtype::SOA { format!("SOA {serial}") } else { record_text(record) }
}

fn all(mut outgoing: Box<dyn Outgoing>) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(record) = outgoing.next() {
        texts.push(text(record));
    }
    assert!(outgoing.next().is_none());
    texts
}

const MANY: &str = "
    @ NS ns\n ns A 192.0.2.53\n a A 192.0.2.1\n b A 192.0.2.2\n c A 192.0.2.3\n d A 192.0.2.4
";

#[test]
fn a_transfer_has_the_apex_first_and_ends_with_the_soa() {
    let zone = Arc::new(version(3, "
        z A 192.0.2.1\n @ TXT t\n @ NS ns\n @ RRSIG NS\n @ RRSIG SOA\n @ RRSIG TXT\n @ MX 1 z\n b.sub A 192.0.2.2\n sub NS ns
    "));
    assert_eq!(
        all(zone.transfer()),
        [
            "SOA 3",
            "@ RRSIG SOA",
            "@ NS ns",
            "@ RRSIG NS",
            "@ MX z",
            "@ TXT t",
            "@ RRSIG TXT",
            "sub NS ns",
            "b.sub A 192.0.2.2",
            "z A 192.0.2.1",
            "SOA 3"
        ]
    );
}

#[test]
fn a_transfer_has_the_nsec3_chain_before_the_closing_soa() {
    let zone = Arc::new(version(3, "z A 192.0.2.1\n abc NSEC3 x\n abd NSEC3 y"));
    assert_eq!(all(zone.transfer()), ["SOA 3", "z A 192.0.2.1", "abc NSEC3", "abd NSEC3", "SOA 3"]);
    let empty = Arc::new(version(3, ""));
    assert_eq!(all(empty.transfer()), ["SOA 3", "SOA 3"]);
}

#[test]
fn a_difference_is_what_went_and_what_came_each_behind_its_soa() {
    let old = version(1, "a A 192.0.2.1\n a A 192.0.2.2\n b TXT same\n gone A 192.0.2.3\n t 60 TXT t");
    let new = version(2, "a A 192.0.2.2\n a A 192.0.2.4\n b TXT same\n x.came A 192.0.2.5\n t 90 TXT t");
    let difference = Difference::between(&old, &new);
    let texts = |list: &RecordList| list.iter().map(text).collect::<Vec<_>>();
    assert_eq!(texts(&difference.removed), ["SOA 1", "a A 192.0.2.1", "gone A 192.0.2.3", "t TXT t"]);
    assert_eq!(texts(&difference.added), ["SOA 2", "a A 192.0.2.4", "x.came A 192.0.2.5", "t TXT t"]);
    assert_eq!((difference.from, difference.to, difference.added.len()), (1, 2, 4));
}

#[test]
fn serial_numbers_are_compared_in_their_ring() {
    assert!(is_newer(2, 1) && is_newer(0, u32::MAX) && is_newer(1 << 31, 1));
    assert!(!is_newer(1, 1) && !is_newer(1, 2) && !is_newer(u32::MAX, 0) && !is_newer(1 << 31, 0));
}

#[test]
fn a_secondary_gets_the_steps_from_its_serial_on() {
    let shared = SharedZone::serving(version(1, MANY));
    shared.replace(version(2, &format!("{MANY}\n e A 192.0.2.5")));
    shared.replace(version(3, &format!("{MANY}\n f A 192.0.2.6")));
    assert_eq!(
        all(shared.transfer(Some(1)).unwrap()),
        ["SOA 3", "SOA 1", "SOA 2", "e A 192.0.2.5", "SOA 2", "e A 192.0.2.5", "SOA 3", "f A 192.0.2.6", "SOA 3"]
    );
    assert_eq!(
        all(shared.transfer(Some(2)).unwrap()),
        ["SOA 3", "SOA 2", "e A 192.0.2.5", "SOA 3", "f A 192.0.2.6", "SOA 3"]
    );
}

#[test]
fn a_secondary_that_is_up_to_date_or_ahead_gets_the_soa_alone() {
    let shared = SharedZone::serving(version(3, MANY));
    assert_eq!(all(shared.transfer(Some(3)).unwrap()), ["SOA 3"]);
    assert_eq!(all(shared.transfer(Some(4)).unwrap()), ["SOA 3"]);
}

#[test]
fn a_secondary_with_an_unknown_serial_gets_the_whole_zone() {
    let shared = SharedZone::serving(version(1, MANY));
    shared.replace(version(3, &format!("{MANY}\n e A 192.0.2.5")));
    let whole = all(shared.transfer(None).unwrap());
    assert_eq!(whole.len(), 9);
    assert_eq!(all(shared.transfer(Some(2)).unwrap()), whole);
}

#[test]
fn steps_longer_than_the_zone_are_not_sent() {
    let shared = SharedZone::serving(version(1, "a A 192.0.2.1"));
    shared.replace(version(2, "b A 192.0.2.1"));
    assert_eq!(all(shared.transfer(Some(1)).unwrap()), ["SOA 2", "b A 192.0.2.1", "SOA 2"]);
}

#[test]
fn a_serial_that_went_back_or_stayed_forgets_the_steps() {
    for serial in [2, 1] {
        let shared = SharedZone::serving(version(1, MANY));
        shared.replace(version(2, &format!("{MANY}\n e A 192.0.2.5")));
        shared.replace(version(serial, MANY));
        shared.replace(version(3, &format!("{MANY}\n f A 192.0.2.6")));
        assert_eq!(all(shared.transfer(Some(1)).unwrap()).len() == 9, serial == 2, "{serial}");
    }
}

#[test]
fn steps_that_do_not_reach_the_version_are_not_sent() {
    let mut journal = Journal::default();
    journal.push(step(1, 1));
    let zone = Arc::new(version(5, MANY));
    assert_eq!(all(journal.transfer(&zone, 1)).len(), 8);
}

#[test]
fn the_same_version_again_keeps_the_steps() {
    let shared = SharedZone::serving(version(1, MANY));
    shared.replace(version(2, &format!("{MANY}\n e A 192.0.2.5")));
    shared.replace(version(2, &format!("{MANY}\n e A 192.0.2.5")));
    assert_eq!(all(shared.transfer(Some(1)).unwrap()).len(), 5);
}

fn step(from: u32, octets: usize) -> Difference {
    let mut added = RecordList::default();
    let (owner, rdata) = (wire("a"), vec![0; octets]);
    added.push(RecordRef {
        owner: &owner,
        rtype: catena_core::Rtype::from_int(65_280),
        class: catena_core::Class::IN,
        ttl: 0,
        rdata: &rdata,
    });
    Difference { from, to: from + 1, removed: RecordList::default(), added }
}

#[test]
fn the_oldest_steps_are_forgotten_at_the_limit_of_their_number() {
    let mut journal = Journal::default();
    for from in 0..JOURNAL_DIFFERENCES_MAX as u32 {
        journal.push(step(from, 1));
    }
    assert_eq!(journal.len(), JOURNAL_DIFFERENCES_MAX);
    journal.push(step(JOURNAL_DIFFERENCES_MAX as u32, 1));
    assert_eq!(journal.len(), JOURNAL_DIFFERENCES_MAX);
    let zone = Arc::new(version(
        JOURNAL_DIFFERENCES_MAX as u32 + 1,
        &(0..300).map(|at| format!("n{at} A 192.0.2.1\n")).collect::<String>(),
    ));
    assert!(all(journal.transfer(&zone, 1)).len() < 300);
    assert!(all(journal.transfer(&zone, 0)).len() > 300);
}

#[test]
fn the_oldest_steps_are_forgotten_at_the_limit_of_their_octets() {
    let mut journal = Journal::default();
    let fit = JOURNAL_OCTETS_MAX / step(0, 65_535).octets_len();
    for from in 0..fit as u32 + 3 {
        journal.push(step(from, 65_535));
    }
    assert_eq!(journal.len().min(JOURNAL_DIFFERENCES_MAX), fit.min(JOURNAL_DIFFERENCES_MAX));
}

#[test]
fn an_expired_zone_is_not_served_until_it_is_confirmed() {
    let shared = SharedZone::default();
    assert!(matches!(**shared.load(), Snapshot::Unloaded));
    shared.expire();
    assert!(shared.load().last().is_none());
    shared.replace(version(1, MANY));
    assert!(shared.load().serving().is_some());
    shared.expire();
    assert!(shared.load().serving().is_none() && shared.transfer(None).is_none());
    assert_eq!(shared.load().last().unwrap().serial(), 1);
    shared.confirm();
    assert!(shared.load().serving().is_some());
    shared.unload();
    assert!(shared.load().last().is_none());
}

fn sorted(zone: &Zone) -> Vec<String> {
    let mut texts: Vec<String> = zone.records().map(|record| format!("{} {}", record.ttl, text(record))).collect();
    texts.sort();
    texts
}

proptest! {
    #[test]
    fn the_older_version_and_the_difference_make_the_newer_version(
        old in proptest::collection::vec(("[ab]\\.[ab]|[abc]", 1u8..4, 60u32..62), 0..20),
        new in proptest::collection::vec(("[ab]\\.[ab]|[abc]", 1u8..4, 60u32..62), 0..20),
    ) {
        let lines = |records: &[(String, u8, u32)]| {
            records.iter().map(|(name, last, ttl)| format!("{name} {ttl} A 192.0.2.{last}\n")).collect::<String>()
        };
        let (old, new) = (version(1, &lines(&old)), version(2, &lines(&new)));
        let made = Difference::between(&old, &new).apply(&old).unwrap();
        prop_assert_eq!(sorted(&made), sorted(&new));
    }
}
