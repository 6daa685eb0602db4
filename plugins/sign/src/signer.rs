//! One zone: when it is signed, and what the log says about it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use catena_core::{Clock, Log, Zone};
use catena_zone::dnssec::{SigningKey, Validity, date};

use crate::judge;
use crate::work::{self, WorkError};

/// How often signatures are looked at, seconds. CoreDNS: plugin/sign.
const CHECK_INTERVAL: u32 = 5 * HOUR;
/// How long before now a signature begins to hold at least, seconds.
const INCEPTION_BEFORE: u32 = 3 * HOUR;
/// How much more that may be, seconds.
const INCEPTION_JITTER_MAX: u32 = 18 * HOUR;
/// How long a signature holds at least, seconds.
const EXPIRATION_AFTER: u32 = 32 * 24 * HOUR;
/// How much more that may be, seconds.
const EXPIRATION_JITTER_MAX: u32 = 5 * 24 * HOUR;
const HOUR: u32 = 3600;

/// What keeps zones from all being signed at the same time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Jitter {
    pub(crate) inception: u32,
    pub(crate) expiration: u32,
}

impl Jitter {
    /// One that holds as long as the configuration.
    pub(crate) fn random() -> Self {
        Self {
            inception: rand::random_range(0..=INCEPTION_JITTER_MAX),
            expiration: rand::random_range(0..=EXPIRATION_JITTER_MAX),
        }
    }

    fn validity(self, now: u32) -> Validity {
        // The numbers wrap (RFC 4034 section 3.1.5).
        Validity {
            inception: now.wrapping_sub(INCEPTION_BEFORE + self.inception),
            expiration: now.wrapping_add(EXPIRATION_AFTER + self.expiration),
        }
    }
}

/// A zone that is signed.
pub(crate) struct Signer {
    pub(crate) zone: Zone,
    /// The zone file.
    pub(crate) source: PathBuf,
    /// Where the signed zone goes.
    pub(crate) output: PathBuf,
    pub(crate) keys: Arc<[SigningKey]>,
    pub(crate) jitter: Jitter,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) log: Log,
    /// The last time that the signatures were looked at.
    pub(crate) last: Mutex<Option<Look>>,
}

/// A look at the signatures.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// When, seconds since 1970.
    at: u32,
    /// When the zone file was changed before that.
    source: Option<SystemTime>,
}

impl Signer {
    /// Signs the zone if its file has changed or, looked at every five hours, its signatures will end.
    pub(crate) fn look(&self) {
        let look = Look { at: self.clock.unix_seconds() as u32, source: modified(&self.source) };
        let before = self.last.lock().unwrap_or_else(PoisonError::into_inner).replace(look);
        let why = match before {
            Some(before) if before.source != look.source => Some("its zone file has changed".to_owned()),
            Some(before) if look.at.wrapping_sub(before.at) < CHECK_INTERVAL => {
                // The next check is five hours after the last one, not after the last glance.
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
                return;
            }
            _ => self.why_sign(look),
        };
        match why {
            Some(why) => self.sign(look.at, &why),
            None if before.is_none() => self.log.info(format_args!(
                "Skipping signing zone \"{}\" in {:?}: signatures are valid",
                self.zone, self.output
            )),
            None => {}
        }
    }

    fn why_sign(&self, look: Look) -> Option<String> {
        let tags: Vec<u16> = self.tags().collect();
        let why = judge::why_sign(&self.output, &tags, look.at);
        why.or_else(|| (look.source > modified(&self.output)).then(|| "its zone file has changed".to_owned()))
    }

    fn tags(&self) -> impl Iterator<Item = u16> {
        self.keys.iter().map(|key| key.public().tag())
    }

    fn sign(&self, now: u32, why: &str) {
        let begun = self.clock.now();
        self.log.info(format_args!("Signing \"{}\" because {why}", self.zone));
        let done = work::sign(self, now, self.jitter.validity(now));
        let elapsed = self.clock.now().saturating_duration_since(begun);
        self.tell(done, now, elapsed);
    }

    fn tell(&self, done: Result<u32, WorkError>, now: u32, elapsed: Duration) {
        let (zone, next) = (&self.zone, date(now.wrapping_add(CHECK_INTERVAL)));
        let tags = self.tags().map(|tag| tag.to_string()).collect::<Vec<_>>().join(",");
        match done {
            Ok(serial) => self.log.info(format_args!(
                "Successfully signed zone \"{zone}\" in {:?} with key tags \"{tags}\" and {serial} SOA serial, elapsed {:.6}, next: {next}",
                self.output,
                elapsed.as_secs_f64(),
            )),
            Err(error @ WorkError::Place(_)) => self
                .log
                .warning(format_args!("Error signing \"{zone}\": failed to move zone file into place: {error}")),
            Err(error) => self.log.warning(format_args!(
                "Error signing \"{zone}\" with key tags \"{tags}\" in {elapsed:?}: {error}, next: {next}"
            )),
        }
    }
}

/// When a file was changed.
fn modified(path: &std::path::Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}
