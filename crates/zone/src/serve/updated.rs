//! A zone that begins as a file and is changed by updates, which a journal keeps.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use catena_core::Rcode;
use catena_core::name::Zone as ZoneName;

use super::file::{Looked, Source};
use super::load::LoadError;
use crate::update::{JournalError, Restored, Update, Writer, apply, restore};
use crate::{SharedZone, Zone, is_newer};

/// What a look at the file of an updated zone came to.
#[derive(Debug)]
pub enum Look {
    /// The file, and those that it includes, are what they were.
    Unchanged,
    /// The zone is that of the file, with this serial.
    Loaded(u32),
    /// The zone is that of the journal, with this serial and so many steps behind its base.
    Resumed(u32, usize),
    /// The file changed, and its serial is not newer than the zone's: the zone stays what it is. Told once for each change.
    Outdated {
        /// The serial in the file.
        file: u32,
        /// That of the zone.
        zone: u32,
    },
    /// The file's serial is newer: its version is served, and what updates changed is set aside.
    Overruled {
        /// The serial in the file.
        file: u32,
        /// That which the zone had.
        zone: u32,
        /// The journal could not be moved away.
        error: Option<JournalError>,
    },
    /// The file cannot be read.
    Unreadable(io::Error),
    /// The file is no zone; what was served still is.
    Broken(LoadError),
    /// The journal cannot be read.
    Journal(JournalError),
}

/// A zone that updates may change. The journal holds all of it, so the file counts when there is no journal and when its serial is newer.
#[derive(Debug)]
pub struct UpdatedZone {
    source: Source,
    journal: PathBuf,
    own: Arc<State>,
    /// That of a zone which was there before, see [`Self::continue_from`].
    taken: OnceLock<Arc<State>>,
}

#[derive(Debug, Default)]
struct State {
    shared: SharedZone,
    /// Locked while the zone changes.
    keep: Mutex<Keep>,
}

#[derive(Debug, Default)]
struct Keep {
    writer: Option<Writer>,
    /// The serial in the file when it was read last, and what its records were.
    file: Option<(u32, u64)>,
    /// What is in the journal was overruled by the file before it was open.
    is_overruled: bool,
}

impl UpdatedZone {
    /// A zone that is not read yet.
    #[must_use]
    pub fn new(name: ZoneName, path: PathBuf, journal: PathBuf) -> Self {
        Self { source: Source::new(name, path), journal, own: Arc::default(), taken: OnceLock::new() }
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

    /// The journal.
    #[must_use]
    pub fn journal(&self) -> &Path {
        &self.journal
    }

    /// The zone as it is, with what changed lately.
    #[must_use]
    pub fn shared(&self) -> &SharedZone {
        &self.state().shared
    }

    /// Whether the zone comes with signatures, so that no update can change it.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.shared().load().last().is_some_and(|zone| zone.proves_denial())
    }

    fn state(&self) -> &Arc<State> {
        self.taken.get().unwrap_or(&self.own)
    }

    fn keep(&self) -> MutexGuard<'_, Keep> {
        // What a panic leaves behind is whole: the writer says itself when it is not.
        self.state().keep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is the same zone as another one with the same journal: what changes there changes here. `false`: it is not the same. The file may be
    /// another one.
    pub fn continue_from(&self, before: &Self) -> bool {
        let is_same = before.name() == self.name() && before.journal == self.journal;
        let is_taken = is_same && self.taken.set(Arc::clone(before.state())).is_ok();
        if is_taken && self.source.is_same(&before.source) {
            self.source.take_over(&before.source, || ());
        } else if is_taken {
            // What this one saw of the file went into a state that is no more.
            self.source.forget();
        }
        is_taken
    }

    /// Whether it is the same zone as another one.
    #[must_use]
    pub fn is_continued(&self) -> bool {
        self.taken.get().is_some()
    }

    /// Reads the file if it changed since the last look; the first time the journal as well. Nothing is written unless the journal is open.
    pub fn check(&self) -> Look {
        self.source.look(|looked| match looked {
            Looked::Same => Look::Unchanged,
            Looked::Unreadable(error) => Look::Unreadable(error),
            Looked::Broken(error) => Look::Broken(error),
            Looked::Zone(zone) => self.consider(zone),
        })
    }

    /// What becomes of the zone of the file.
    fn consider(&self, from_file: Zone) -> Look {
        let mut keep = self.keep();
        let current = self.shared().load().last().map(|zone| zone.serial());
        let file = from_file.serial();
        let read = (file, digest(&from_file));
        let is_told = keep.file.replace(read) == Some(read);
        let zone = match current {
            Some(zone) => zone,
            None => match restore(&self.journal, self.name().wire()) {
                Err(error) => return Look::Journal(error),
                Ok(None) => {
                    self.shared().replace(from_file);
                    return Look::Loaded(file);
                }
                Ok(Some(restored)) if !is_newer(file, restored.zone.serial()) => return self.resume(restored),
                Ok(Some(restored)) => restored.zone.serial(),
            },
        };
        if !is_newer(file, zone) {
            // The file may have been written from the zone as it is.
            let is_same = || zone == file && self.shared().load().last().is_some_and(|zone| digest(zone) == read.1);
            return if is_told || is_same() { Look::Unchanged } else { Look::Outdated { file, zone } };
        }
        self.shared().replace(from_file);
        let set_aside = match &mut keep.writer {
            Some(writer) => writer.set_aside(),
            None => {
                keep.is_overruled = true;
                Ok(())
            }
        };
        Look::Overruled { file, zone, error: set_aside.err() }
    }

    fn resume(&self, restored: Restored) -> Look {
        let (serial, steps) = (restored.zone.serial(), restored.steps_total);
        self.shared().resume(restored.zone, restored.steps);
        Look::Resumed(serial, steps)
    }

    /// Opens the journal to write to it, if it is not open. Updates fail before.
    ///
    /// # Errors
    /// Another process has it, or it cannot be written or read.
    pub fn open(&self) -> Result<(), JournalError> {
        let mut keep = self.keep();
        if keep.writer.is_some() {
            return Ok(());
        }
        let (mut writer, restored) = Writer::open(&self.journal, self.name().wire())?;
        if std::mem::take(&mut keep.is_overruled) {
            writer.set_aside()?;
        } else if let Some(restored) = restored {
            // Nobody wrote since it was read, unless another process did meanwhile.
            let current = self.shared().load().last().map(|zone| zone.serial());
            if current.is_some_and(|current| current != restored.zone.serial()) {
                self.resume(restored);
            }
        }
        keep.writer = Some(writer);
        Ok(())
    }

    /// Changes the zone as a message says; the change is on the disk when this returns. `None`: nothing had to be changed. The new serial number
    /// otherwise. Takes as long as making a new version of the zone and writing to the disk do: not for a thread that answers queries.
    ///
    /// # Errors
    /// The code that the client gets, and why if it is this server's fault.
    pub fn update(&self, update: &Update) -> Result<Option<u32>, (Rcode, Option<JournalError>)> {
        let failed = |error| (Rcode::SERVFAIL, Some(error));
        let mut keep = self.keep();
        let Some(old) = self.shared().load().serving().cloned() else { return Err((Rcode::SERVFAIL, None)) };
        let Some(step) = apply(update, &old).map_err(|rcode| (rcode, None))? else { return Ok(None) };
        let new = step.apply(&old).map_err(|error| failed(error.into()))?;
        let Some(writer) = &mut keep.writer else { return Err((Rcode::SERVFAIL, None)) };
        writer.append(&old, &step).map_err(failed)?;
        let serial = new.serial();
        self.shared().advance(new, step);
        Ok(Some(serial))
    }

    /// Gives the journal a new base if it has become long. Not for a thread that answers queries.
    ///
    /// # Errors
    /// The journal stays as it is.
    pub fn compact(&self) -> Result<(), JournalError> {
        let mut keep = self.keep();
        let zone = self.shared().load().serving().cloned();
        match (&mut keep.writer, zone) {
            (Some(writer), Some(zone)) if writer.is_long() => writer.rebase(&zone),
            _ => Ok(()),
        }
    }
}

/// What the records of a zone are, in whatever order.
fn digest(zone: &Zone) -> u64 {
    zone.records().fold(0, |sum, record| {
        let mut hasher = DefaultHasher::new();
        (record.owner, record.rtype, record.ttl, record.rdata).hash(&mut hasher);
        hasher.finish().wrapping_add(sum)
    })
}
