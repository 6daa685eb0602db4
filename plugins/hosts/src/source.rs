//! The hosts file: read at setup, looked at again from time to time.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, Guard};
use catena_core::{Diagnostic, Log, Service, Setup, StartContext, Zones, async_trait};
use catena_files::{Stamp, look_every};

use crate::config::Config;
use crate::map::{self, HostMap};
use crate::metrics::HostsMetrics;

/// The largest part of a hosts file that is read, octets; lines beyond are left out.
pub(crate) const FILE_OCTETS_MAX: usize = 256 << 20;

/// A hosts file and what was in it when it was last read.
pub(crate) struct Source {
    path: PathBuf,
    named: bool,
    zones: Zones,
    reverse: bool,
    reload: Option<Duration>,
    inline_entries: usize,
    current: ArcSwap<HostMap>,
    seen: Mutex<Option<Stamp>>,
    metrics: HostsMetrics,
    log: Log,
}

impl Source {
    /// A source that holds nothing yet.
    pub(crate) fn new(config: &Config, inline_entries: usize, cx: &Setup<'_>) -> Self {
        Self {
            path: config.path.clone(),
            named: config.named,
            zones: config.zones.clone(),
            reverse: config.reverse,
            reload: config.reload,
            inline_entries,
            current: ArcSwap::default(),
            seen: Mutex::new(None),
            metrics: HostsMetrics::new(cx.metrics(), config.path.display().to_string()),
            log: cx.log(),
        }
    }

    /// What is in the file, as far as is known.
    pub(crate) fn snapshot(&self) -> Guard<Arc<HostMap>> {
        self.current.load()
    }

    /// Reads the file for the first time. A missing one is told about if the Corefile names it.
    ///
    /// # Errors
    /// The file's place cannot be looked at.
    pub(crate) fn load_at_setup(&self, cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
        let path = self.path.display();
        if cx.files().is_dir(&self.path) {
            if self.named {
                self.log.warning(format_args!("Hosts file {:?} is a directory", self.path));
            }
            return Ok(());
        }
        // Looked at first, so that a change while it is read is seen later.
        let stamp = Stamp::of(&self.path);
        match cx.read_file(&self.path) {
            Ok(text) => {
                self.take(&text);
                *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = stamp;
            }
            Err(_) if !self.named => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.log.warning(format_args!("File does not exist: {path}"));
            }
            Err(error) if std::fs::metadata(&self.path).is_ok() => {
                self.log.warning(format_args!("Hosts file {:?} cannot be read: {error}", self.path));
            }
            Err(error) => {
                let mut words = cx.cursor();
                words.next();
                words.next_arg();
                return Err(words.err(format!("unable to access hosts file '{path}': {error}")));
            }
        }
        Ok(())
    }

    /// Reads the file if its time or its size is another than before. A file that is gone or cannot be read changes nothing.
    fn check(&self) {
        if let Err(error) = self.check_file() {
            self.log.debug(format_args!("Hosts file {:?} not read: {error}", self.path));
        }
    }

    fn check_file(&self) -> io::Result<()> {
        let found = std::fs::metadata(&self.path)?;
        if !found.is_file() && !found.is_dir() {
            // Opening a pipe waits for whoever writes to it.
            return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
        }
        let file = File::open(&self.path)?;
        let metadata = file.metadata()?;
        let stamp = Stamp::from(&metadata);
        if *self.seen.lock().unwrap_or_else(PoisonError::into_inner) == Some(stamp) {
            return Ok(());
        }
        let mut text = Vec::new();
        if !metadata.is_dir() {
            file.take(FILE_OCTETS_MAX as u64 + 1).read_to_end(&mut text)?;
        }
        self.take(&text);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(stamp);
        self.publish(stamp);
        Ok(())
    }

    fn publish(&self, stamp: Stamp) {
        let since = stamp.modified.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let entries = self.inline_entries + self.current.load().len();
        self.metrics.read(entries, since.unwrap_or_default().as_secs_f64());
    }

    fn take(&self, text: &[u8]) {
        let kept = whole_lines(text, FILE_OCTETS_MAX);
        if kept.len() < text.len() {
            let path = &self.path;
            self.log.warning(format_args!(
                "Hosts file {path:?} has more than {FILE_OCTETS_MAX} octets, the rest is left out"
            ));
        }
        let parsed = map::parse(kept, &self.zones, self.reverse);
        if parsed.cut {
            self.log.warning(format_args!("Hosts file {:?}: {}", self.path, map::CUT));
        }
        self.log.debug(format_args!("Parsed hosts file into {} entries", parsed.map.len()));
        self.current.store(Arc::new(parsed.map));
    }
}

/// The text, or as many whole lines as `octets_max` octets hold.
fn whole_lines(text: &[u8], octets_max: usize) -> &[u8] {
    if text.len() <= octets_max {
        return text;
    }
    let kept = &text[..octets_max];
    let end = kept.iter().rposition(|octet| *octet == b'\n').map_or(0, |newline| newline + 1);
    &kept[..end]
}

/// Looks at the file as long as the instance lives.
pub(crate) struct Watch(pub(crate) Arc<Source>);

#[async_trait]
impl Service for Watch {
    async fn start(&self, cx: &StartContext<'_>) -> Result<(), Diagnostic> {
        let source = Arc::clone(&self.0);
        let seen = *source.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stamp) = seen {
            source.publish(stamp);
        }
        let Some(every) = source.reload else { return Ok(()) };
        let (path, log) = (source.path.clone(), source.log.clone());
        look_every(cx, &log, format_args!("hosts file {path:?}"), every, move || source.check());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::whole_lines;

    #[test]
    fn a_text_at_the_limit_is_taken_whole_and_a_longer_one_up_to_its_last_whole_line() {
        assert_eq!(whole_lines(b"ab\ncd\nef", 8), b"ab\ncd\nef");
        assert_eq!(whole_lines(b"ab\ncd\nef", 7), b"ab\ncd\n");
        assert_eq!(whole_lines(b"ab\ncd\nef", 5), b"ab\n");
        assert_eq!(whole_lines(b"abcdef", 5), b"");
    }
}
