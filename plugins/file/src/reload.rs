//! Files looked at from time to time, and secondaries told of what changed.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use catena_core::name::Zone as ZoneName;
use catena_core::prelude::*;
use catena_core::{Linked, Log, Notifier, Service, StartContext};
use catena_files::look_every;
use catena_gocompat::os::error_text;
use catena_zone::{Checked, Look, UpdatedZone, ZoneFile};

use crate::config::FileZone;
use crate::held::Held;
use crate::updates::of_journal;

/// The zones with how often their files are looked at.
pub(crate) struct Watch {
    files: Vec<(Held, Option<Duration>)>,
    /// For each of the files an error that points at its name.
    places: Vec<Diagnostic>,
    notifier: OnceLock<Arc<dyn Notifier>>,
    log: Log,
}

impl Watch {
    pub(crate) fn new(files: Vec<FileZone>, log: Log) -> Self {
        let places = files.iter().map(|zone| zone.at.clone()).collect();
        let files = files.into_iter().map(|zone| (zone.held, zone.reload)).collect();
        Self { files, places, notifier: OnceLock::new(), log }
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &(Held, Option<Duration>)> + '_ {
        self.files.iter()
    }

    /// The zones, each with an error that points at the name of its file.
    pub(crate) fn places(&self) -> impl Iterator<Item = (&Held, &Diagnostic)> + '_ {
        self.files.iter().map(|(held, _)| held).zip(&self.places)
    }

    /// Remembers who tells secondaries, if the block has `transfer`.
    pub(crate) fn find_notifier(&self, linked: &Linked<'_>) {
        if let Some((_, notifier)) = linked.offers::<dyn Notifier>().next() {
            let _ = self.notifier.set(notifier);
        }
    }

    pub(crate) fn notify(&self, zone: &ZoneName) {
        if let Some(notifier) = self.notifier.get() {
            notifier.notify(zone.name().for_slice());
        }
    }

    /// Takes a look at a file and tells what it came to.
    fn look(&self, held: &Held) {
        match held {
            Held::File(file) => self.look_at_file(file),
            Held::Updated { zone, .. } => {
                let look = zone.check();
                let is_new = matches!(look, Look::Loaded(_) | Look::Resumed(..) | Look::Overruled { .. });
                tell(&self.log, zone, look);
                if is_new {
                    self.notify(zone.name());
                }
            }
        }
    }

    fn look_at_file(&self, file: &ZoneFile) {
        let (name, path) = (file.name(), file.path());
        match file.check() {
            Checked::Unchanged => {}
            Checked::Loaded(serial) => {
                self.log
                    .info(format_args!("Successfully reloaded zone \"{name}\" in {path:?} with {serial} SOA serial"));
                self.notify(name);
            }
            Checked::Unreadable(error) => {
                let error = error_text(&error);
                let path_text = path.display();
                self.log.error(format_args!("Failed to open zone \"{name}\" in {path:?}: open {path_text}: {error}"));
            }
            Checked::Broken(error) => {
                self.log.error(format_args!("Parsing zone \"{name}\": {}", error.render()));
            }
        }
    }
}

#[async_trait]
impl Service for Watch {
    async fn start(&self, cx: &StartContext<'_>) -> Result<(), Diagnostic> {
        for (held, at) in self.places() {
            if let Some(zone) = held.updated() {
                zone.open().map_err(|error| of_journal(at, &error))?;
                if zone.is_continued() {
                    self.look(held);
                }
            }
        }
        for (held, every) in &self.files {
            let Some(every) = *every else { continue };
            let watch =
                Self { files: Vec::new(), places: Vec::new(), notifier: self.notifier.clone(), log: self.log.clone() };
            let (watch, held) = (Arc::new(watch), held.clone());
            look_every(cx, &self.log, format_args!("zone files"), every, move || watch.look(&held));
        }
        Ok(())
    }

    async fn serving(&self, _cx: &StartContext<'_>) {
        for (held, _) in &self.files {
            self.notify(held.name());
        }
    }
}

/// Tells what a look at an updated zone came to.
pub(crate) fn tell(log: &Log, zone: &UpdatedZone, look: Look) {
    let (name, path, journal) = (zone.name(), zone.path(), zone.journal());
    match look {
        Look::Unchanged => {}
        Look::Loaded(serial) => {
            log.info(format_args!("Successfully loaded zone \"{name}\" in {path:?} with {serial} SOA serial"));
        }
        Look::Resumed(serial, steps) => {
            log.info(format_args!(
                "Successfully loaded zone \"{name}\" and {steps} updates in {journal:?} with {serial} SOA serial"
            ));
        }
        Look::Outdated { file, zone } => log.warning(format_args!(
            "Zone \"{name}\" is not read from {path:?}: its SOA serial {file} is not newer than {zone}, that of the zone with its updates in {journal:?}; fetch the zone, and set a higher serial for the file to count"
        )),
        Look::Overruled { file, zone, error } => {
            log.warning(format_args!(
                "Zone \"{name}\" is read from {path:?}: its SOA serial {file} is newer than {zone}; the updates in {journal:?} are set aside"
            ));
            if let Some(error) = error {
                log.error(format_args!("Zone \"{name}\": {error}"));
            }
        }
        Look::Unreadable(error) => {
            let error = error_text(&error);
            log.error(format_args!("Failed to open zone \"{name}\" in {path:?}: open {}: {error}", path.display()));
        }
        Look::Broken(error) => log.error(format_args!("Parsing zone \"{name}\": {}", error.render())),
        Look::Journal(error) => log.error(format_args!("Failed to load zone \"{name}\": {error}")),
    }
}
