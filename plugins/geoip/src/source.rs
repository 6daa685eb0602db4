//! The database's file: read at setup, looked at again from time to time.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use catena_core::{Diagnostic, Log, Service, Setup, StartContext, async_trait};
use catena_files::{Stamp, look_every};
use catena_gocompat::os::error_text;
use prometheus::Gauge;

use crate::config::Config;
use crate::database::Database;

/// The largest database that is read, octets. MaxMind's largest have half of that.
pub(crate) const DATABASE_OCTETS_MAX: u64 = 1 << 30;
/// How often the file is looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// A database's file, and the database in it.
pub(crate) struct Source {
    path: PathBuf,
    current: ArcSwap<Database>,
    seen: Mutex<Option<Stamp>>,
    built: Gauge,
    log: Log,
}

impl Source {
    /// Reads the file that the Corefile names. Its path is used as it stands, whatever `root` says (CoreDNS: plugin/geoip).
    ///
    /// # Errors
    /// The file cannot be read, or has no database of use.
    pub(crate) fn load(cx: &mut Setup<'_>, config: &Config<'_>) -> Result<Self, Diagnostic> {
        let path = PathBuf::from(&*config.file.text);
        let words = cx.cursor();
        let fault = |told: String| words.err(told).at(config.file);
        // Looked at first, so that a change while it is read is seen later.
        let stamp = Stamp::of(&path);
        let octets = match stamp {
            Some(stamp) if stamp.octets > DATABASE_OCTETS_MAX => Err(too_large()),
            _ => cx.read_file(&path),
        };
        let octets = octets.map_err(|error| {
            let why = error_text(&error);
            fault(format!("failed to open database file: open {}: {why}", path.display()))
        })?;
        let database = Database::read(octets, &file_name(&path))
            .map_err(|told| fault(told).with_note(format!("the file is {path:?}")))?;
        let built = cx.metrics().gauge(
            "coredns_geoip_build_timestamp_seconds",
            "The time at which the database in use was made.",
            &["database"],
        );
        let built = built.with_label_values(&[&path.display().to_string()]);
        built.set(database.built() as f64);
        let current = ArcSwap::from_pointee(database);
        Ok(Self { path, current, seen: Mutex::new(stamp), built, log: cx.log() })
    }

    /// The database that was read last.
    pub(crate) fn database(&self) -> Guard<Arc<Database>> {
        self.current.load()
    }

    /// Reads the file if its time or its size is another than before. A file that is gone or has no database of use changes nothing.
    pub(crate) fn check(&self) {
        let (stamp, octets) = match self.read_changed() {
            Ok(Some(changed)) => changed,
            Ok(None) => return,
            Err(error) => {
                self.log.debug(format_args!("Database {:?} not read: {error}", self.path));
                return;
            }
        };
        // A database that is of no use is not looked at again until it changes.
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(stamp);
        match Database::read(octets, &file_name(&self.path)) {
            Ok(database) => {
                self.built.set(database.built() as f64);
                self.current.store(Arc::new(database));
                self.log.info(format_args!("Database {:?} read again", self.path));
            }
            Err(why) => self.log.warning(format_args!("Database {:?} changed, the old one stays: {why}", self.path)),
        }
    }

    fn read_changed(&self) -> io::Result<Option<(Stamp, Vec<u8>)>> {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_some() && seen == Stamp::of(&self.path) {
            return Ok(None);
        }
        let (octets, stamp) = catena_files::read(&self.path, DATABASE_OCTETS_MAX)?;
        Ok(Some((stamp, octets)))
    }
}

fn too_large() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("more than {DATABASE_OCTETS_MAX} octets"))
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Looks at the file as long as the instance lives.
pub(crate) struct Watch(pub(crate) Arc<Source>);

#[async_trait]
impl Service for Watch {
    async fn start(&self, cx: &StartContext<'_>) -> Result<(), Diagnostic> {
        let source = Arc::clone(&self.0);
        let (path, log) = (source.path.clone(), source.log.clone());
        look_every(cx, &log, format_args!("database {path:?}"), CHECK_INTERVAL, move || source.check());
        Ok(())
    }
}
