use std::path::PathBuf;
use std::sync::Arc;

use catena_core::Rcode;
use catena_core::name::Zone as ZoneName;

use super::{ZONE, update};
use crate::update::JournalError;
use crate::{Look, UpdatedZone};

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write(10);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes the zone file with a serial.
    fn write(&self, serial: u32) {
        let text = ZONE.replace(" 10 7200", &format!(" {serial} 7200"));
        // Times of files are coarse; a length of its own shows every change.
        let padding = ";".repeat(serial as usize);
        std::fs::write(self.path("db"), format!("{text}{padding}\n")).unwrap();
    }

    fn zone(&self) -> UpdatedZone {
        UpdatedZone::new(ZoneName::parse("example.org").unwrap(), self.path("db"), self.path("journal"))
    }

    /// As a server starts.
    fn started(&self) -> (UpdatedZone, Look) {
        let zone = self.zone();
        let look = zone.check();
        zone.open().unwrap();
        (zone, look)
    }
}

fn serial(zone: &UpdatedZone) -> u32 {
    zone.shared().load().serving().unwrap().serial()
}

fn add(zone: &UpdatedZone, name: &str) -> u32 {
    zone.update(&update(&format!("add {name} 60 A 192.0.2.9"))).unwrap().unwrap()
}

#[test]
fn updates_are_there_after_a_start() {
    let place = Place::new();
    let (zone, look) = place.started();
    assert!(matches!(look, Look::Loaded(10)));
    assert_eq!((add(&zone, "y"), add(&zone, "z"), serial(&zone)), (11, 12, 12));
    assert!(zone.update(&update("add z 60 A 192.0.2.9")).unwrap().is_none());
    drop(zone);
    let (zone, look) = place.started();
    assert!(matches!(look, Look::Resumed(12, 2)), "{look:?}");
    assert_eq!(add(&zone, "x"), 13);
}

#[test]
fn what_secondaries_need_is_there_after_a_start() {
    let place = Place::new();
    let (zone, _) = place.started();
    add(&zone, "y");
    add(&zone, "z");
    drop(zone);
    let (zone, _) = place.started();
    let mut records = zone.shared().transfer(Some(11)).unwrap();
    let count = std::iter::from_fn(|| records.next().map(|_| ())).count();
    assert_eq!(count, 5, "the SOA, the step's two and its record, the SOA");
}

#[test]
fn an_update_before_the_journal_is_open_and_one_that_is_refused_change_nothing() {
    let place = Place::new();
    let zone = place.zone();
    zone.check();
    let change = update("add z 60 A 192.0.2.9");
    assert!(matches!(zone.update(&change), Err((Rcode::SERVFAIL, None))));
    zone.open().unwrap();
    assert!(matches!(zone.update(&update("yes z\nadd y 60 A 192.0.2.9")), Err((Rcode::NXDOMAIN, None))));
    assert_eq!(serial(&zone), 10);
    assert!(!place.path("journal").exists());
}

#[test]
fn a_journal_that_cannot_be_written_fails_the_update() {
    let place = Place::new();
    let (zone, _) = place.started();
    std::fs::create_dir(place.path("journal.new")).unwrap();
    let failed = zone.update(&update("add z 60 A 192.0.2.9"));
    assert!(matches!(failed, Err((Rcode::SERVFAIL, Some(JournalError::Io { .. })))), "{failed:?}");
    assert_eq!(serial(&zone), 10);
}

#[test]
fn a_file_that_is_not_newer_is_told_once_and_does_not_count() {
    let place = Place::new();
    let (zone, _) = place.started();
    add(&zone, "y");
    add(&zone, "z");
    place.write(11);
    assert!(matches!(zone.check(), Look::Outdated { file: 11, zone: 12 }));
    assert!(matches!(zone.check(), Look::Unchanged));
    assert_eq!(serial(&zone), 12);
    drop(zone);
    assert!(matches!(place.started().1, Look::Resumed(12, 2)));
}

#[test]
fn an_edit_with_the_serial_unchanged_is_told_once_and_does_not_count() {
    let place = Place::new();
    let (zone, _) = place.started();
    let edit = |serial: u32, edit: &str| {
        let text = ZONE.replace(" 10 7200", &format!(" {serial} 7200"));
        std::fs::write(place.path("db"), format!("{text}{edit}\n")).unwrap();
    };
    edit(10, "e 60 A 192.0.2.1");
    assert!(matches!(zone.check(), Look::Outdated { file: 10, zone: 10 }), "before any update");
    add(&zone, "y");
    edit(10, "e 60 A 192.0.2.1 ; a remark");
    assert!(matches!(zone.check(), Look::Unchanged), "no record is another one");
    edit(10, "e 60 A 192.0.2.100");
    assert!(matches!(zone.check(), Look::Outdated { file: 10, zone: 11 }));
    assert!(matches!(zone.check(), Look::Unchanged));
    edit(11, "");
    assert!(matches!(zone.check(), Look::Outdated { file: 11, zone: 11 }), "without what the update brought");
    edit(11, "y 60 A 192.0.2.9");
    assert!(matches!(zone.check(), Look::Unchanged), "the zone as it is");
    assert_eq!(serial(&zone), 11);
}

#[test]
fn a_newer_file_overrules_the_journal_which_is_set_aside() {
    let place = Place::new();
    let (zone, _) = place.started();
    add(&zone, "z");
    place.write(20);
    assert!(matches!(zone.check(), Look::Overruled { file: 20, zone: 11, error: None }));
    assert!(!place.path("journal").exists() && place.path("journal.old").exists());
    assert_eq!(add(&zone, "y"), 21);
    drop(zone);
    let (zone, look) = place.started();
    assert!(matches!(look, Look::Resumed(21, 1)), "{look:?}");
    assert_eq!(zone.shared().load().serving().unwrap().len(), 10, "y is there and z is not");
}

#[test]
fn a_file_that_became_newer_while_no_server_ran_overrules_the_journal_too() {
    let place = Place::new();
    let (zone, _) = place.started();
    add(&zone, "z");
    drop(zone);
    place.write(20);
    let unopened = place.zone();
    assert!(matches!(unopened.check(), Look::Overruled { file: 20, zone: 11, error: None }));
    assert!(place.path("journal").exists(), "to look writes nothing");
    drop(unopened);
    let (zone, _) = place.started();
    assert!(place.path("journal.old").exists() && !place.path("journal").exists());
    assert_eq!(serial(&zone), 20);
}

#[test]
fn a_zone_that_goes_on_from_another_one_has_what_that_one_changes() {
    let place = Place::new();
    let (before, _) = place.started();
    let after = place.zone();
    after.check();
    assert!(after.continue_from(&before));
    add(&before, "z");
    assert_eq!(serial(&after), 11);
    after.open().unwrap();
    assert_eq!(add(&after, "y"), 12);
    place.write(30);
    assert!(matches!(after.check(), Look::Overruled { file: 30, zone: 12, .. }));
    let other = UpdatedZone::new(ZoneName::parse("example.org").unwrap(), place.path("db"), place.path("other"));
    assert!(!other.continue_from(&before), "it has another journal");
}

#[test]
fn updates_at_the_same_time_come_one_after_the_other() {
    let place = Place::new();
    let (zone, _) = place.started();
    let zone = Arc::new(zone);
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let zone = Arc::clone(&zone);
            std::thread::spawn(move || {
                for at in 0..10 {
                    add(&zone, &format!("n{thread}-{at}"));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(serial(&zone), 50);
    drop(zone);
    assert!(matches!(place.started().1, Look::Resumed(50, 40)));
}

#[test]
fn a_journal_that_is_damaged_is_told() {
    let place = Place::new();
    std::fs::write(place.path("journal"), "something else").unwrap();
    let zone = place.zone();
    assert!(matches!(zone.check(), Look::Journal(JournalError::Damaged { .. })));
    assert!(zone.open().is_err());
}
