//! The directory looked at: zones that came, changed and went.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use catena_core::name::Zone;
use catena_core::prelude::*;
use catena_core::{Linked, Log, Notifier, Service, StartContext};
use catena_files::look_every;
use catena_gocompat::os::error_text;
use catena_zone::{Checked, ZoneFile, ZoneMap};

use crate::config::Config;

/// How deep directories below the one named are looked into.
const DEPTH_MAX: usize = 32;

/// The zones of a directory.
pub(crate) struct Scanner {
    pub(crate) config: Config,
    pub(crate) zones: ArcSwap<ZoneMap<Arc<ZoneFile>>>,
    /// Those of the instance before, until the first look.
    before: Mutex<Vec<Arc<Self>>>,
    notifier: OnceLock<Arc<dyn Notifier>>,
    log: Log,
    /// For what CoreDNS tells of a single zone under the name of *file*.
    zone_log: Log,
}

impl Scanner {
    /// One that goes on with what others have of files that did not change.
    pub(crate) fn new(config: Config, before: Vec<Arc<Self>>, log: Log) -> Self {
        let (zones, before, zone_log) = (ArcSwap::default(), Mutex::new(before), log.of("file"));
        Self { config, zones, before, notifier: OnceLock::new(), log, zone_log }
    }

    /// Remembers who tells secondaries, if the block has `transfer`.
    pub(crate) fn find_notifier(&self, linked: &Linked<'_>) {
        if let Some((_, notifier)) = linked.offers::<dyn Notifier>().next() {
            let _ = self.notifier.set(notifier);
        }
    }

    /// Looks at the directory and at every file in it that holds a zone.
    fn scan(&self) {
        let Some(directory) = &self.config.directory else { return };
        let mut found = Found { zones: Vec::new(), places: HashMap::new(), scanner: self };
        let root = resolved(directory);
        let is_whole = found.walk(&root, 0);
        let before = self.zones.load_full();
        let mut after = ZoneMap::default();
        for (zone, path) in found.zones {
            let known = before.get(zone.wire()).filter(|known| known.path() == path);
            let file = match known {
                Some(known) => self.look_again(known),
                None => self.insert(&zone, path, before.get(zone.wire())),
            };
            if let Some(file) = file
                && after.insert(zone.clone(), file).is_some()
            {
                self.log.warning(format_args!("Zone `{zone}' is left out: there are too many"));
            }
        }
        for (zone, file) in before.iter().filter(|(zone, _)| after.get(zone.wire()).is_none()).collect::<Vec<_>>() {
            if is_whole {
                self.log.info(format_args!("Deleting zone `{zone}'"));
            } else {
                // What cannot be seen is not known to be gone.
                after.insert(zone.clone(), Arc::clone(file));
            }
        }
        self.zones.store(Arc::new(after));
        self.before().clear();
    }

    fn before(&self) -> MutexGuard<'_, Vec<Arc<Self>>> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with what the instance before has of a zone and its file; whether it had some.
    fn take_over(&self, file: &ZoneFile) -> bool {
        let before = self.before();
        let mut known = before.iter().filter_map(|scanner| scanner.zones.load().get(file.name().wire()).cloned());
        known.any(|known| file.take_over(&known))
    }

    /// Takes in a zone that is new, or moved to another file; one whose file is broken is tried again later, and its zone stays what it was.
    fn insert(&self, zone: &Zone, path: PathBuf, moved: Option<&Arc<ZoneFile>>) -> Option<Arc<ZoneFile>> {
        let file = Arc::new(ZoneFile::new(zone.clone(), path, false));
        let path = file.path().display();
        let is_taken = self.take_over(&file);
        match file.check_first() {
            Checked::Loaded(serial) => {
                match moved {
                    None => self.log.info(format_args!("Inserting zone `{zone}' from: {path}")),
                    Some(_) => self.zone_log.info(format_args!(
                        "Successfully reloaded zone \"{zone}\" in {:?} with {serial} SOA serial",
                        file.path()
                    )),
                }
                self.notify(&file);
                return Some(file);
            }
            Checked::Unchanged => {
                self.notify(&file);
                return Some(file);
            }
            Checked::Unreadable(error) => {
                let error = error_text(&error);
                self.log.warning(format_args!("Opening {path} failed: open {path}: {error}"));
            }
            Checked::Broken(error) => self.log.warning(format_args!("Parse zone `{zone}': {}", error.render())),
        }
        // What the instance before served is better than nothing.
        if is_taken { Some(file) } else { moved.cloned() }
    }

    fn look_again(&self, file: &Arc<ZoneFile>) -> Option<Arc<ZoneFile>> {
        let (zone, path) = (file.name(), file.path());
        match file.check() {
            Checked::Unchanged => {}
            Checked::Loaded(serial) => {
                self.zone_log
                    .info(format_args!("Successfully reloaded zone \"{zone}\" in {path:?} with {serial} SOA serial"));
                self.notify(file);
            }
            Checked::Unreadable(error) => {
                let (shown, error) = (path.display(), error_text(&error));
                self.zone_log.error(format_args!("Failed to open zone \"{zone}\" in {path:?}: open {shown}: {error}"));
            }
            Checked::Broken(error) => self.zone_log.error(format_args!("Parsing zone \"{zone}\": {}", error.render())),
        }
        Some(Arc::clone(file))
    }

    fn notify(&self, file: &ZoneFile) {
        if let Some(notifier) = self.notifier.get() {
            notifier.notify(file.name().name().for_slice());
        }
    }
}

/// A directory without links on the way. It stays relative if it was, as paths are shown in messages and `.` is the empty path.
fn resolved(directory: &Path) -> PathBuf {
    let Ok(whole) = directory.canonicalize() else { return directory.to_owned() };
    let here = directory.is_relative().then(|| Path::new(".").canonicalize().ok()).flatten();
    here.and_then(|here| whole.strip_prefix(here).map(Path::to_owned).ok()).unwrap_or(whole)
}

/// The files that hold zones.
struct Found<'a> {
    /// In the order in which they were seen.
    zones: Vec<(Zone, PathBuf)>,
    /// Where each zone is in it.
    places: HashMap<Vec<u8>, usize>,
    scanner: &'a Scanner,
}

impl Found<'_> {
    /// Takes in what is in a directory, by name; whether everything in it could be seen.
    fn walk(&mut self, directory: &Path, depth: usize) -> bool {
        let log = &self.scanner.log;
        let mut entries = Vec::new();
        let place = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let listed = std::fs::read_dir(place).and_then(|listed| {
            for entry in listed {
                entries.push(entry?);
            }
            Ok(())
        });
        if let Err(error) = listed {
            let (shown, error) = (directory.display(), error_text(&error));
            // What Go asks first.
            let asked = if depth == 0 { "lstat" } else { "open" };
            log.warning(format_args!("error reading {shown}: {asked} {shown}: {error}"));
            return false;
        }
        entries.sort_by_key(std::fs::DirEntry::file_name);
        let mut is_whole = true;
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            // Kubernetes keeps the versions of a mounted ConfigMap in such directories and links to the current one.
            if is_dir && !name.starts_with("..") && depth < DEPTH_MAX {
                is_whole &= self.walk(&directory.join(entry.file_name()), depth + 1);
            } else if !is_dir {
                self.take(&name, directory.join(entry.file_name()));
            }
        }
        is_whole
    }

    /// The first file of a zone counts.
    fn take(&mut self, name: &str, path: PathBuf) {
        let Some(zone) = self.scanner.config.pattern.zone_of(name) else { return };
        match self.places.get(zone.wire()).and_then(|place| self.zones.get(*place)) {
            Some((_, first)) => self.scanner.log.warning(format_args!(
                "Multiple zone files match origin \"{zone}\": using {first:?} instead of {path:?}"
            )),
            None => {
                self.places.insert(zone.wire().to_vec(), self.zones.len());
                self.zones.push((zone, path));
            }
        }
    }
}

/// Looks at the directory when the instance starts, and from time to time.
pub(crate) struct Watch(pub(crate) Arc<Scanner>);

#[async_trait]
impl Service for Watch {
    async fn start(&self, cx: &StartContext<'_>) -> Result<(), Diagnostic> {
        let scanner = Arc::clone(&self.0);
        // A failed join is a panic in the reader; the next look tries again.
        let _ = tokio::task::spawn_blocking(move || scanner.scan()).await;
        let scanner = Arc::clone(&self.0);
        if let Some(every) = scanner.config.reload {
            look_every(cx, &self.0.log, format_args!("the directory"), every, move || scanner.scan());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_relative_directory_stays_relative_and_links_are_followed() {
        assert_eq!(resolved(Path::new("src/../src/.")), Path::new("src"));
        assert_eq!(resolved(Path::new(".")), Path::new(""));
        assert_eq!(resolved(Path::new("/nowhere/at/all")), Path::new("/nowhere/at/all"));
        let place = tempfile::tempdir().unwrap();
        let place = place.path().canonicalize().unwrap();
        std::fs::create_dir(place.join("versions")).unwrap();
        std::os::unix::fs::symlink(place.join("versions"), place.join("current")).unwrap();
        assert_eq!(resolved(&place.join("current")), place.join("versions"));
    }
}
