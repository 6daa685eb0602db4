//! The database's file: read at setup, looked at again from time to time.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, Guard};
use catena_core::{Diagnostic, Log, Service, Setup, StartContext, async_trait};
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

/// What tells a changed file from an unchanged one.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    octets: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { modified: metadata.modified().ok(), octets: metadata.len() }
    }
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
        let stamp = std::fs::metadata(&path).ok().map(|metadata| Stamp::of(&metadata));
        let octets = match stamp {
            Some(stamp) if stamp.octets > DATABASE_OCTETS_MAX => Err(too_large()),
            _ => cx.read_file(&path),
        };
        let octets = octets.map_err(|error| {
            let why = error_text(&error);
            fault(format!("failed to open database file: open {}: {why}", path.display()))
        })?;
        let database = Database::read(octets, &file_name(&path)).map_err(fault)?;
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
        let found = std::fs::metadata(&self.path)?;
        if !found.is_file() {
            // Opening a pipe waits for whoever writes to it.
            return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
        }
        let file = File::open(&self.path)?;
        let stamp = Stamp::of(&file.metadata()?);
        if *self.seen.lock().unwrap_or_else(PoisonError::into_inner) == Some(stamp) {
            return Ok(None);
        }
        let mut octets = Vec::new();
        file.take(DATABASE_OCTETS_MAX + 1).read_to_end(&mut octets)?;
        if octets.len() as u64 > DATABASE_OCTETS_MAX {
            return Err(too_large());
        }
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
        let task = Box::pin(async move {
            loop {
                tokio::time::sleep(CHECK_INTERVAL).await;
                let source = Arc::clone(&source);
                // A failed join is a panic in the reader; the next round tries again.
                if let Err(error) = tokio::task::spawn_blocking(move || source.check()).await
                    && error.is_cancelled()
                {
                    return;
                }
            }
        });
        if !cx.spawner.spawn(task) {
            self.0.log.warning(format_args!("No task is left to watch database {:?}", self.0.path));
        }
        Ok(())
    }
}
