//! Writes journals: a base that takes the place of the file at once, steps behind it one by one.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::frame::{CHUNK_OCTETS, JournalError, MAGIC, base_frame, framed, records_payload, step_frame, write_record};
use super::restore::{Restored, restore};
use crate::{Difference, Zone};

/// The octets of steps that a journal has at least before it gets a new base; with a longer base they may be as long as that.
pub const JOURNAL_STEPS_OCTETS_MIN: u64 = 1 << 20;

/// The journal of one zone, to be written. No other process writes it meanwhile.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    /// The file behind its last whole frame; none before the first step.
    file: Option<File>,
    /// Where the base ends, and the last whole frame.
    base_end: u64,
    end: u64,
    /// A write failed and could not be taken back.
    is_broken: bool,
    /// Held for the lock on it.
    _lock: File,
}

impl Writer {
    /// Opens the journal of a zone, whose name is lower-case, and cuts a torn end off. What it holds comes back as well, if there is a file.
    /// The file `PATH.lock` says that the journal is in use.
    ///
    /// # Errors
    /// Another process has it, or as [`restore`] says.
    pub fn open(path: &Path, apex: &[u8]) -> Result<(Self, Option<Restored>), JournalError> {
        let io = |error| JournalError::Io { path: path.to_owned(), error };
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(beside(path, ".lock")).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        let found = restore(path, apex)?;
        let mut writer = Self { path: path.to_owned(), file: None, base_end: 0, end: 0, is_broken: false, _lock: lock };
        if let Some(found) = &found {
            let mut file = OpenOptions::new().write(true).open(path).map_err(io)?;
            if found.torn_octets > 0 {
                file.set_len(found.end).and_then(|()| file.sync_all()).map_err(io)?;
            }
            file.seek(SeekFrom::Start(found.end)).map_err(io)?;
            (writer.file, writer.base_end, writer.end) = (Some(file), found.base_end, found.end);
        }
        Ok((writer, found))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a step that leads on from `old`; it is on the disk when this returns. The first one writes `old` as the base before.
    ///
    /// # Errors
    /// The step is not in the journal. If it is not known whether it is, every later one fails as well.
    pub fn append(&mut self, old: &Zone, step: &Difference) -> Result<(), JournalError> {
        if self.is_broken {
            return Err(JournalError::Broken { path: self.path.clone() });
        }
        if self.file.is_none() {
            self.rebase(old)?;
        }
        let frame = step_frame(step);
        let Some(file) = &mut self.file else { return Err(JournalError::Broken { path: self.path.clone() }) };
        if let Err(error) = file.write_all(&frame) {
            let taken_back = file.set_len(self.end).and_then(|()| file.seek(SeekFrom::Start(self.end)));
            self.is_broken = taken_back.is_err();
            return Err(self.fault(error));
        }
        if let Err(error) = file.sync_data() {
            // What of it is on the disk nobody can tell.
            self.is_broken = true;
            return Err(self.fault(error));
        }
        self.end += frame.len() as u64;
        Ok(())
    }

    /// Whether the steps are so long that a new base is due.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.end - self.base_end > JOURNAL_STEPS_OCTETS_MIN.max(self.base_end)
    }

    /// Writes a new journal of this version and no steps, which then takes the place of the one before.
    ///
    /// # Errors
    /// The journal is what it was.
    pub fn rebase(&mut self, zone: &Zone) -> Result<(), JournalError> {
        let new = beside(&self.path, ".new");
        let written = write_base(&new, zone).and_then(|(file, end)| {
            fs::rename(&new, &self.path)?;
            sync_folder(&self.path)?;
            Ok((file, end))
        });
        let (file, end) = written.map_err(|error| self.fault(error))?;
        (self.file, self.base_end, self.end) = (Some(file), end, end);
        Ok(())
    }

    /// Takes the file out of the way, to `PATH.old`: the zone goes on from another version.
    ///
    /// # Errors
    /// It is where it was.
    pub fn set_aside(&mut self) -> Result<(), JournalError> {
        if self.file.take().is_none() {
            return Ok(());
        }
        let moved = fs::rename(&self.path, beside(&self.path, ".old")).and_then(|()| sync_folder(&self.path));
        // The next step writes a new base, which takes the place of the file in any case.
        moved.map_err(|error| self.fault(error))
    }

    fn fault(&self, error: io::Error) -> JournalError {
        JournalError::Io { path: self.path.clone(), error }
    }
}

/// Writes a base and brings it to the disk.
fn write_base(path: &Path, zone: &Zone) -> io::Result<(File, u64)> {
    let mut file = File::create(path)?;
    let mut end = 0;
    let mut put = |octets: &[u8]| {
        end += octets.len() as u64;
        file.write_all(octets)
    };
    put(MAGIC)?;
    put(&base_frame(zone.serial(), zone.len() as u64, zone.apex()))?;
    let mut chunk = records_payload();
    for record in zone.records() {
        write_record(record, &mut chunk);
        if chunk.len() >= CHUNK_OCTETS {
            put(&framed(&chunk))?;
            chunk = records_payload();
        }
    }
    if chunk.len() > 1 {
        put(&framed(&chunk))?;
    }
    file.sync_all()?;
    Ok((file, end))
}

/// The name of a file is on the disk when its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// A file beside the journal.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}
