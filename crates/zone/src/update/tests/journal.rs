use std::fs;
use std::path::PathBuf;

use super::{ZONE, step, text_of, wire, zone_of};
use crate::update::{JOURNAL_STEPS_OCTETS_MIN, JournalError, Writer, restore};
use crate::{Difference, JOURNAL_DIFFERENCES_MAX, Zone};

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("journal")
    }

    fn open(&self) -> Writer {
        Writer::open(&self.path(), &wire("@")).unwrap().0
    }

    /// What the journal holds.
    fn zone(&self) -> Zone {
        restore(&self.path(), &wire("@")).unwrap().unwrap().zone
    }
}

fn forwards(zone: &Zone, lines: &str) -> (Difference, Zone) {
    let step = step(zone, lines).unwrap().unwrap();
    let new = step.apply(zone).unwrap();
    (step, new)
}

/// A journal of so many steps, and the zone behind each.
fn steps(writer: &mut Writer, count: usize) -> Vec<Zone> {
    let mut zones = vec![zone_of(ZONE)];
    for number in 0..count {
        let lines = match number % 3 {
            0 => format!("add n{number} 60 A 192.0.2.9\ndel a A 192.0.2.1"),
            1 => format!("del n{} A\nadd a 60 A 192.0.2.1", number - 1),
            _ => format!("add a {} A 192.0.2.1", 60 + number),
        };
        let (step, new) = forwards(zones.last().unwrap(), &lines);
        writer.append(zones.last().unwrap(), &step).unwrap();
        zones.push(new);
    }
    zones
}

#[test]
fn a_zone_comes_back_as_its_last_step_left_it() {
    let place = Place::new();
    let zones = steps(&mut place.open(), 8);
    assert_eq!(text_of(&place.zone()), text_of(&zones[8]));
    assert_eq!(place.zone().serial(), 18);
}

#[test]
fn without_a_step_there_is_no_file() {
    let place = Place::new();
    drop(place.open());
    assert!(restore(&place.path(), &wire("@")).unwrap().is_none());
}

#[test]
fn a_journal_that_ends_anywhere_within_its_last_step_ends_with_the_one_before() {
    let place = Place::new();
    let zones = steps(&mut place.open(), 2);
    let short = fs::read(place.path()).unwrap();
    let (step, _) = forwards(&zones[2], "add z 60 A 192.0.2.9");
    place.open().append(&zones[2], &step).unwrap();
    let long = fs::read(place.path()).unwrap();
    for len in short.len()..long.len() {
        fs::write(place.path(), &long[..len]).unwrap();
        assert_eq!(text_of(&place.zone()), text_of(&zones[2]), "{len}");
        drop(place.open());
        assert_eq!(fs::read(place.path()).unwrap(), short, "the torn end of {len} octets is cut off");
    }
}

#[test]
fn a_last_step_whose_octets_did_not_come_to_the_disk_is_torn() {
    let place = Place::new();
    let zones = steps(&mut place.open(), 3);
    let before = {
        let other = Place::new();
        steps(&mut other.open(), 2);
        fs::metadata(other.path()).unwrap().len() as usize
    };
    let whole = fs::read(place.path()).unwrap();
    for from in [before, before + 12, whole.len() - 1] {
        let mut octets = whole.clone();
        octets[from..].fill(0);
        fs::write(place.path(), &octets).unwrap();
        assert_eq!(text_of(&place.zone()), text_of(&zones[2]), "zeros from {from}");
    }
}

#[test]
fn damage_before_the_last_step_is_told_and_not_cut_off() {
    let place = Place::new();
    steps(&mut place.open(), 3);
    let whole = fs::read(place.path()).unwrap();
    let last = whole.len() - 120;
    for at in (0..last).step_by(7) {
        let mut octets = whole.clone();
        octets[at] ^= 0x11;
        fs::write(place.path(), &octets).unwrap();
        // A length that became longer than the file looks like a torn end: its zone is an earlier one, never another one.
        match restore(&place.path(), &wire("@")) {
            Err(JournalError::Damaged { .. }) => {}
            Ok(Some(found)) => assert!(found.torn_octets > 120, "{at}"),
            other => panic!("{at}: {other:?}"),
        }
    }
}

#[test]
fn the_journal_of_another_zone_and_any_other_file_are_no_journals() {
    let place = Place::new();
    steps(&mut place.open(), 1);
    assert!(matches!(restore(&place.path(), &wire("a")), Err(JournalError::Damaged { .. })));
    fs::write(place.path(), "").unwrap();
    assert!(matches!(restore(&place.path(), &wire("@")), Err(JournalError::Damaged { at: 0, .. })));
}

#[test]
fn a_journal_has_one_writer() {
    let place = Place::new();
    let writer = place.open();
    assert!(matches!(Writer::open(&place.path(), &wire("@")), Err(JournalError::InUse { .. })));
    drop(writer);
    drop(place.open());
}

#[test]
fn a_long_journal_gets_a_new_base_and_its_zone_stays_the_same() {
    let place = Place::new();
    let mut writer = place.open();
    let mut zone = zone_of(ZONE);
    let mut count = 0;
    while !writer.is_long() {
        let text = "x".repeat(250);
        let texts: String = (0..200).map(|at| format!("add t 60 TXT {text} {count}-{at}\n")).collect();
        let lines = format!("del t\n{texts}");
        let (step, new) = forwards(&zone, &lines);
        writer.append(&zone, &step).unwrap();
        (zone, count) = (new, count + 1);
    }
    let long = fs::metadata(place.path()).unwrap().len();
    assert!(long > JOURNAL_STEPS_OCTETS_MIN && long < 2 * JOURNAL_STEPS_OCTETS_MIN, "{long}");
    writer.rebase(&zone).unwrap();
    assert!(fs::metadata(place.path()).unwrap().len() < long / 10);
    assert!(!writer.is_long());
    let (step, new) = forwards(&zone, "add z 60 A 192.0.2.9");
    writer.append(&zone, &step).unwrap();
    assert_eq!(text_of(&place.zone()), text_of(&new));
}

#[test]
fn a_new_base_that_was_not_finished_does_not_count() {
    let place = Place::new();
    let zones = steps(&mut place.open(), 2);
    fs::write(place.0.path().join("journal.new"), b"catena journal 1\n\0\0").unwrap();
    assert_eq!(text_of(&place.zone()), text_of(&zones[2]));
    let mut writer = place.open();
    writer.rebase(&zones[2]).unwrap();
    assert_eq!(text_of(&place.zone()), text_of(&zones[2]));
}

#[test]
fn a_base_of_several_frames_comes_back_whole() {
    let place = Place::new();
    let records: String = (0..60_000).map(|at| format!("host-with-a-name-{at} 60 IN A 192.0.2.1\n")).collect();
    let zone = zone_of(&format!("{ZONE}{records}"));
    place.open().rebase(&zone).unwrap();
    assert!(fs::metadata(place.path()).unwrap().len() > 2 * super::super::frame::CHUNK_OCTETS as u64);
    assert_eq!(place.zone().len(), zone.len());
}

#[test]
fn the_last_steps_are_there_for_transfers() {
    let place = Place::new();
    steps(&mut place.open(), JOURNAL_DIFFERENCES_MAX + 5);
    let found = restore(&place.path(), &wire("@")).unwrap().unwrap();
    assert_eq!((found.steps.len(), found.steps_total), (JOURNAL_DIFFERENCES_MAX, JOURNAL_DIFFERENCES_MAX + 5));
    assert_eq!(found.steps.last().unwrap().to, found.zone.serial());
}
