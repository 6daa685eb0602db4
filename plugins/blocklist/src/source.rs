//! A list and where it comes from. Queries see the list as it was last read; a newer one takes its place at once.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, Guard};
use catena_core::prelude::*;
use catena_core::{Clock, Log, Service, StartContext};
use catena_files::{Stamp, look_every};
use catena_zone::Zone;

use crate::config::{ListSpec, Origin};
use crate::metrics::ListMetrics;
use crate::rpz;
use crate::rules::Rules;
use crate::table::Seed;
use crate::text::{self, Skipped};

/// The longest file of a list, octets.
pub(crate) const FILE_OCTETS_MAX: u64 = 1 << 30;
/// How much of a file is read at once, octets.
const BUFFER_OCTETS: usize = 64 << 10;

/// What is remembered between two looks.
#[derive(Default)]
struct Seen {
    stamp: Option<Stamp>,
    /// Whether the file was a list then.
    was_list: bool,
    /// The failure that the log was told of last.
    told: Option<String>,
}

/// What a look at a file came to.
#[derive(Debug)]
pub(crate) enum Checked {
    Unchanged,
    Loaded,
    /// The file cannot be opened.
    Missing(io::Error),
    /// The file is no list.
    Broken(String),
}

/// A list.
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) origin: Origin,
    pub(crate) seed: Seed,
    current: ArcSwap<Rules>,
    /// The zone that the list was made of, if it comes from a primary.
    zone: Mutex<Option<Arc<Zone>>>,
    is_loaded: AtomicBool,
    seen: Mutex<Seen>,
    metrics: ListMetrics,
    clock: Arc<dyn Clock>,
    log: Log,
}

impl Source {
    /// A list that is not read yet.
    pub(crate) fn new(spec: &ListSpec, seed: &Seed, cx: &Setup<'_>) -> Self {
        Self {
            name: spec.name.clone(),
            origin: spec.origin.clone(),
            seed: seed.clone(),
            current: ArcSwap::default(),
            zone: Mutex::default(),
            is_loaded: AtomicBool::new(false),
            seen: Mutex::default(),
            metrics: ListMetrics::of(cx.metrics(), &spec.name),
            clock: cx.clock(),
            log: cx.log(),
        }
    }

    /// Goes on with the list that another one of the same origin has, whose names were hashed with the same seed.
    pub(crate) fn take_over(&self, before: &Self) {
        let theirs = before.lock_seen();
        if !before.is_loaded() {
            return;
        }
        self.lock_seen().stamp = theirs.stamp.filter(|_| theirs.was_list);
        *self.lock_zone() = before.zone();
        self.current.store(before.current.load_full());
        self.metrics.take_over(&before.metrics);
        self.is_loaded.store(true, Ordering::Release);
    }

    /// The zone that the list was made of, if it comes from a primary.
    pub(crate) fn zone(&self) -> Option<Arc<Zone>> {
        self.lock_zone().clone()
    }

    /// Remembers what zone the list was made of.
    pub(crate) fn set_zone(&self, zone: Arc<Zone>) {
        *self.lock_zone() = Some(zone);
    }

    fn lock_zone(&self) -> MutexGuard<'_, Option<Arc<Zone>>> {
        self.zone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The list as it is now.
    pub(crate) fn rules(&self) -> Guard<Arc<Rules>> {
        self.current.load()
    }

    /// Whether there is a list.
    pub(crate) fn is_loaded(&self) -> bool {
        self.is_loaded.load(Ordering::Acquire)
    }

    /// Reads the file if it changed since the last look.
    pub(crate) fn check(&self) -> Checked {
        let Some(path) = self.origin.path() else { return Checked::Unchanged };
        let mut seen = self.lock_seen();
        let (file, stamp) = match catena_files::open(path) {
            Ok(opened) => opened,
            Err(error) => {
                seen.stamp = None;
                return Checked::Missing(error);
            }
        };
        if seen.stamp == Some(stamp) {
            return Checked::Unchanged;
        }
        seen.stamp = Some(stamp);
        let read = self.read(file, stamp.octets);
        seen.was_list = read.is_ok();
        match read {
            Ok((rules, skipped)) => {
                self.take(rules, &skipped);
                Checked::Loaded
            }
            Err(error) => Checked::Broken(error),
        }
    }

    fn read(&self, file: File, octets: u64) -> Result<(Rules, Skipped), String> {
        if octets > FILE_OCTETS_MAX {
            return Err(format!("more than {FILE_OCTETS_MAX} octets"));
        }
        let file = file.take(FILE_OCTETS_MAX);
        match &self.origin {
            Origin::ZoneFile { path, zone } => {
                let mut text = Vec::new();
                { file }.read_to_end(&mut text).map_err(|error| error.to_string())?;
                rpz::read_file(&text, &path.to_string_lossy(), zone, &self.seed)
            }
            Origin::File { form, .. } => {
                let file = BufReader::with_capacity(BUFFER_OCTETS, file);
                let octets = usize::try_from(octets).unwrap_or_default();
                text::read_list(file, *form, &self.seed, octets).map_err(|error| error.to_string())
            }
            Origin::Primary { .. } => Err("not a file".to_owned()),
        }
    }

    /// Puts a list in the place of the one before.
    pub(crate) fn take(&self, rules: Rules, skipped: &Skipped) {
        self.metrics.entries.set(rules.len() as f64);
        self.metrics.skipped.set(skipped.count as f64);
        let now = self.clock.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.metrics.reloaded.set(now.as_secs_f64());
        self.log.info(format_args!("list {:?}: {} entries", self.name, rules.len()));
        if let Some(first) = &skipped.first {
            let (name, count) = (&self.name, skipped.count);
            self.log.warning(format_args!("list {name:?}: {count} entries are not understood, the first is {first}"));
        }
        self.current.store(Arc::new(rules));
        self.is_loaded.store(true, Ordering::Release);
    }

    /// Tells the log of a failure, unless it was told of the same before; all is well again: `None`.
    pub(crate) fn tell(&self, failure: Option<String>) {
        let mut seen = self.lock_seen();
        if let Some(text) = &failure {
            self.metrics.failures.inc();
            if seen.told.as_ref() != Some(text) {
                let kept = if self.is_loaded() { "; the list before stays" } else { "" };
                self.log.error(format_args!("list {:?}: {text}{kept}", self.name));
            }
        }
        seen.told = failure;
    }

    /// A look at the file, told to the log.
    fn look(&self) {
        match self.check() {
            // What was broken and is the same file still is broken, and the log knows.
            Checked::Unchanged => {}
            Checked::Loaded => self.tell(None),
            Checked::Missing(error) => self.tell(Some(catena_gocompat::os::error_text(&error))),
            Checked::Broken(error) => self.tell(Some(error)),
        }
    }
}

/// Looks at files as long as the instance lives.
pub(crate) struct Watch {
    pub(crate) sources: Vec<Arc<Source>>,
    pub(crate) every: Duration,
}

#[async_trait]
impl Service for Watch {
    async fn start(&self, cx: &StartContext<'_>) -> Result<(), Diagnostic> {
        let (sources, every) = (self.sources.clone(), self.every);
        let Some(first) = self.sources.first() else { return Ok(()) };
        look_every(cx, &first.log, format_args!("lists"), every, move || {
            sources.iter().for_each(|source| source.look())
        });
        Ok(())
    }
}
