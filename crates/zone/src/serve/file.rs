//! A zone that lives in a file, read again when the file changes.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use catena_core::name::Zone as ZoneName;
use catena_files::Stamp;

use super::load::{LoadError, load};
use crate::zonefile::{Include, Included};
use crate::{SharedZone, Zone};

/// The most octets of one zone file, those that it includes not counted.
pub const ZONE_FILE_OCTETS_MAX: u64 = 8 << 30;

/// A file that was read, and what it was like.
#[derive(Clone, Debug)]
struct Read {
    path: PathBuf,
    stamp: Stamp,
}

impl Read {
    fn of(path: &Path) -> Option<Self> {
        Some(Self { path: path.to_owned(), stamp: Stamp::of(path)? })
    }

    fn is_current(&self) -> bool {
        Stamp::of(&self.path) == Some(self.stamp)
    }
}

/// What a look at the file came to.
#[derive(Debug)]
pub enum Checked {
    /// The file, and those that it includes, are what they were, or the serial is.
    Unchanged,
    /// There is a new zone, with this serial.
    Loaded(u32),
    /// The file cannot be read.
    Unreadable(io::Error),
    /// The file is no zone any more; the zone that was served still is.
    Broken(LoadError),
}

/// A file that holds a zone.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: ZoneName,
    pub(super) path: PathBuf,
    seen: Mutex<Seen>,
}

/// What the last look at a file found.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// The files that were read, whether they made a zone or not.
    reads: Vec<Read>,
    /// Whether they did.
    was_zone: bool,
}

/// What a source has now.
pub(super) enum Looked {
    /// What it had before.
    Same,
    Zone(Zone),
    Unreadable(io::Error),
    Broken(LoadError),
}

impl Source {
    pub(super) fn new(name: ZoneName, path: PathBuf) -> Self {
        Self { name, path, seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is the same zone from the same file.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.name == other.name && self.path == other.path
    }

    /// Has seen what another source of the same zone has, which does not look meanwhile; if that was no zone, the next look reads the file.
    pub(super) fn take_over<T>(&self, before: &Self, then: impl FnOnce() -> T) -> T {
        let theirs = before.seen();
        *self.seen() = if theirs.was_zone { theirs.clone() } else { Seen::default() };
        then()
    }

    /// Reads the file at the next look in any case.
    pub(super) fn forget(&self) {
        *self.seen() = Seen::default();
    }

    /// Reads the file if it, or one that it includes, changed since the last look. `then` is called before anybody else can look.
    pub(super) fn look<T>(&self, then: impl FnOnce(Looked) -> T) -> T {
        let mut seen = self.seen();
        if !seen.reads.is_empty() && seen.reads.iter().all(Read::is_current) {
            return then(Looked::Same);
        }
        let stamps = Watching::default();
        // Looked at first, so that a change while it is read is seen next time.
        let own = Read::of(&self.path);
        let octets = match read_file(&self.path) {
            Ok(octets) => octets,
            Err(error) => {
                *seen = Seen::default();
                return then(Looked::Unreadable(error));
            }
        };
        let loaded = load(&octets, &self.path.to_string_lossy(), &self.name, &stamps);
        *seen = Seen { reads: own.into_iter().chain(stamps.0.into_inner()).collect(), was_zone: loaded.is_ok() };
        then(loaded.map_or_else(Looked::Broken, Looked::Zone))
    }
}

/// A zone and the file that it is read from.
#[derive(Debug)]
pub struct ZoneFile {
    source: Source,
    /// Any change counts, not only one of the serial.
    by_mtime: bool,
    shared: SharedZone,
}

impl ZoneFile {
    /// A zone that is not read yet. With `by_mtime` a changed file counts whatever its serial.
    #[must_use]
    pub fn new(name: ZoneName, path: PathBuf, by_mtime: bool) -> Self {
        Self { source: Source::new(name, path), by_mtime, shared: SharedZone::default() }
    }

    /// The zone's name.
    #[must_use]
    pub fn name(&self) -> &ZoneName {
        &self.source.name
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.source.path
    }

    /// The zone as it was last read, with what changed since.
    #[must_use]
    pub fn shared(&self) -> &SharedZone {
        &self.shared
    }

    /// Goes on with what another one has of the same zone and file; `false`, and nothing happens, if it is of another.
    pub fn take_over(&self, before: &Self) -> bool {
        let is_same = self.source.is_same(&before.source);
        if is_same {
            self.source.take_over(&before.source, || self.shared.copy_from(&before.shared));
        }
        is_same
    }

    /// The first look: reads the file unless it is what [`Self::take_over`] took over. Any change counts, as if there had been nothing before.
    pub fn check_first(&self) -> Checked {
        self.look(true)
    }

    /// Reads the file if it, or one that it includes, changed since the last look. A zone with the serial of the one before stays what it
    /// was (CoreDNS: plugin/file), unless any change counts.
    pub fn check(&self) -> Checked {
        self.look(self.by_mtime)
    }

    fn look(&self, any_change: bool) -> Checked {
        self.source.look(|looked| match looked {
            Looked::Same => Checked::Unchanged,
            Looked::Unreadable(error) => Checked::Unreadable(error),
            Looked::Broken(error) => Checked::Broken(error),
            Looked::Zone(zone) if !any_change && self.serial() == Some(zone.serial()) => Checked::Unchanged,
            Looked::Zone(zone) => {
                let serial = zone.serial();
                self.shared.replace(zone);
                Checked::Loaded(serial)
            }
        })
    }

    fn serial(&self) -> Option<u32> {
        self.shared.load().last().map(|zone| zone.serial())
    }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    catena_files::read(path, ZONE_FILE_OCTETS_MAX).map(|(octets, _)| octets)
}

/// Finds included files on the disk and remembers which they were.
#[derive(Default)]
struct Watching(RefCell<Vec<Read>>);

impl Include for Watching {
    fn read(&self, path: &str, from: &str) -> Result<Included, String> {
        let whole = Path::new(from).parent().unwrap_or(Path::new("")).join(path);
        self.0.borrow_mut().extend(Read::of(&whole));
        let file = whole.to_string_lossy().into_owned();
        match read_file(&whole) {
            Ok(octets) => Ok(Included { file, octets }),
            Err(error) => Err(format!("cannot read '{file}': {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn write(path: &Path, serial: u32, rest: &str) {
        std::fs::write(path, format!("@ 60 IN SOA ns admin {serial} 7200 3600 1209600 300\n{rest}")).unwrap();
    }

    fn zone_file(dir: &tempfile::TempDir, by_mtime: bool) -> (PathBuf, ZoneFile) {
        let path = dir.path().join("db.example.org");
        write(&path, 1, "a 60 IN A 192.0.2.1\n");
        let zone = ZoneFile::new(ZoneName::parse("example.org").unwrap(), path.clone(), by_mtime);
        assert!(matches!(zone.check(), Checked::Loaded(_)));
        (path, zone)
    }

    fn records(zone: &ZoneFile) -> usize {
        zone.shared().load().serving().unwrap().len()
    }

    #[test]
    fn a_file_counts_when_its_serial_changes_in_either_direction() {
        let dir = tempfile::tempdir().unwrap();
        let (path, zone) = zone_file(&dir, false);
        assert!(matches!(zone.check(), Checked::Unchanged));
        write(&path, 1, "");
        assert!(matches!(zone.check(), Checked::Unchanged), "the serial is the same");
        write(&path, 0, "");
        assert!(matches!(zone.check(), Checked::Loaded(_)));
        assert_eq!(records(&zone), 1);
    }

    #[test]
    fn any_change_counts_if_so_wanted_and_no_change_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let (path, zone) = zone_file(&dir, true);
        assert!(matches!(zone.check(), Checked::Unchanged));
        write(&path, 1, "a 60 IN A 192.0.2.1\nb 60 IN A 192.0.2.2\n");
        assert!(matches!(zone.check(), Checked::Loaded(_)));
    }

    #[test]
    fn a_broken_file_is_told_once_and_the_zone_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (path, zone) = zone_file(&dir, false);
        write(&path, 2, "b 60 IN A 192.0.2.300\n");
        assert!(matches!(zone.check(), Checked::Broken(LoadError::Parse { .. })));
        assert!(matches!(zone.check(), Checked::Unchanged));
        assert_eq!(records(&zone), 2);
    }

    #[test]
    fn a_file_that_is_gone_and_comes_back_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let (path, zone) = zone_file(&dir, false);
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(zone.check(), Checked::Unreadable(_)));
        write(&path, 2, "");
        assert!(matches!(zone.check(), Checked::Loaded(_)));
    }

    #[test]
    fn a_change_of_an_included_file_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let (path, zone) = zone_file(&dir, true);
        let part = dir.path().join("part");
        std::fs::write(&part, "b 60 IN A 192.0.2.2\n").unwrap();
        write(&path, 2, "$INCLUDE part\n");
        assert!(matches!(zone.check(), Checked::Loaded(_)));
        std::fs::write(&part, "b 60 IN A 192.0.2.2\nc 60 IN A 192.0.2.3\n").unwrap();
        assert!(matches!(zone.check(), Checked::Loaded(_)));
        assert_eq!(records(&zone), 3);
    }

    #[test]
    fn what_was_taken_over_is_not_read_again_and_any_change_is() {
        let dir = tempfile::tempdir().unwrap();
        let (path, before) = zone_file(&dir, false);
        let successor = |path: &Path| {
            let zone = ZoneFile::new(before.name().clone(), path.to_owned(), false);
            let is_taken = zone.take_over(&before);
            (zone, is_taken)
        };
        let (after, is_taken) = successor(&path);
        assert!(is_taken && matches!(after.check_first(), Checked::Unchanged));
        let zone_of = |file: &ZoneFile| std::sync::Arc::clone(file.shared().load().serving().unwrap());
        assert!(std::sync::Arc::ptr_eq(&zone_of(&before), &zone_of(&after)), "it is the same zone in memory");
        write(&path, 1, "");
        let (after, _) = successor(&path);
        assert!(matches!(after.check_first(), Checked::Loaded(1)), "also with the same serial");
        assert_eq!((records(&before), records(&after)), (2, 1));
        assert!(!successor(&dir.path().join("other")).1);
    }

    #[test]
    fn a_file_that_was_broken_is_read_again_by_a_successor() {
        let dir = tempfile::tempdir().unwrap();
        let (path, before) = zone_file(&dir, false);
        write(&path, 2, "b 60 IN A 192.0.2.300\n");
        assert!(matches!(before.check(), Checked::Broken(_)));
        let after = ZoneFile::new(before.name().clone(), path, false);
        assert!(after.take_over(&before) && matches!(after.check_first(), Checked::Broken(_)));
        assert_eq!(records(&after), 2, "what was served is there");
    }

    #[test]
    fn a_directory_and_a_pipe_are_no_zone_files() {
        let dir = tempfile::tempdir().unwrap();
        let zone = ZoneFile::new(ZoneName::parse("example.org").unwrap(), dir.path().to_owned(), false);
        assert!(matches!(zone.check(), Checked::Unreadable(_)));
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let zone = ZoneFile::new(ZoneName::parse("example.org").unwrap(), pipe, false);
        assert!(matches!(zone.check(), Checked::Unreadable(_)));
    }
}
