//! One zone: when it is signed, and what the log says about it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use catena_core::{Clock, Log, Zone};
use catena_zone::dnssec::{Digest, KeyUse, Nsec3, Plan, PublicKey, SigningKey, Validity, date};

use crate::apex::{Apex, Wanted};
use crate::keys::Kept;
use crate::work::{self, Signed, WorkError};
use crate::{judge, place};

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

/// The keys of a zone.
pub(crate) enum Keys {
    /// Those that the Corefile names; each signs everything.
    Given(Arc<[SigningKey]>),
    /// Those that the server makes and replaces.
    Kept(Box<Kept>),
}

/// A zone that is signed.
pub(crate) struct Signer {
    pub(crate) zone: Zone,
    /// The zone file.
    pub(crate) source: PathBuf,
    /// Where the signed zone goes.
    pub(crate) output: PathBuf,
    pub(crate) keys: Keys,
    pub(crate) nsec3: Option<Nsec3>,
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

/// Whether something is to be done with a zone.
pub(crate) enum Due {
    Not,
    /// Its signatures have to be looked at.
    Check,
    /// It has to be signed, for this reason.
    Sign(String),
}

impl Signer {
    /// Signs the zone if its keys or its file have changed or, looked at every five hours, its signatures will end.
    pub(crate) fn look(&self) {
        match &self.keys {
            // Signing tells of its errors itself.
            Keys::Given(keys) if self.look_with(keys).is_err_and(|error| error.is_passing()) => self.look_again(),
            Keys::Given(_) => {}
            Keys::Kept(kept) if kept.look(self) => self.look_again(),
            Keys::Kept(_) => {}
        }
    }

    /// Has the signatures looked at the next time, whatever was looked at this time: what stood in the way may be gone then.
    fn look_again(&self) {
        if let Some(last) = &mut *self.last.lock().unwrap_or_else(PoisonError::into_inner) {
            last.at = last.at.wrapping_sub(CHECK_INTERVAL);
        }
    }

    fn look_with(&self, keys: &[SigningKey]) -> Result<(), WorkError> {
        let now = self.clock.unix_seconds() as u32;
        let (due, is_first) = self.due(now);
        let plan = self.plan(keys.iter().map(KeyUse::all).collect(), &[Digest::Sha1, Digest::Sha256]);
        let why = match due {
            Due::Not => return Ok(()),
            Due::Sign(why) => Some(why),
            Due::Check => self.why_sign(&plan, now),
        };
        match why {
            Some(why) => return self.sign(&plan, now, &why).map(drop),
            None if is_first => self.log.info(format_args!(
                "Skipping signing zone \"{}\" in {:?}: signatures are valid",
                self.zone, self.output
            )),
            None => {}
        }
        Ok(())
    }

    /// What is due, and whether it is the first time that this is asked.
    pub(crate) fn due(&self, now: u32) -> (Due, bool) {
        let look = Look { at: now, source: modified(&self.source) };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.replace(look);
        let due = match before {
            Some(before) if before.source != look.source => Due::Sign("its zone file has changed".to_owned()),
            Some(before) if look.at.wrapping_sub(before.at) < CHECK_INTERVAL => {
                // The next check is five hours after the last one, not after the last glance.
                *last = Some(before);
                Due::Not
            }
            Some(_) => Due::Check,
            None => {
                place::clean(self.output.parent().unwrap_or(Path::new(".")));
                Due::Check
            }
        };
        (due, before.is_none())
    }

    /// How the zone is signed with these keys.
    pub(crate) fn plan<'a>(&'a self, keys: Vec<KeyUse<'a>>, digests: &'a [Digest]) -> Plan<'a> {
        Plan { keys, digests, nsec3: self.nsec3.as_ref() }
    }

    /// Why the zone has to be signed; `None` if it is signed as planned and its signatures are good.
    pub(crate) fn why_sign(&self, plan: &Plan<'_>, now: u32) -> Option<String> {
        let of = |is: fn(&KeyUse<'_>) -> bool| -> Vec<&PublicKey> {
            plan.keys.iter().filter(|one| is(one)).map(|one| one.key.public()).collect()
        };
        let wanted = Wanted {
            zone_signers: of(|one| one.signs_zone),
            published: of(|_| true),
            for_parent: of(|one| one.for_parent),
            nsec3: plan.nsec3,
        };
        let tags: Vec<u16> = wanted.zone_signers.iter().map(|key| key.tag()).collect();
        let has_changed = || {
            let is_newer = modified(&self.source) > modified(&self.output);
            is_newer.then(|| "its zone file has changed".to_owned())
        };
        judge::why_sign(&self.output, &tags, now)
            .or_else(|| Apex::read(&self.output)?.why_sign(&wanted).map(str::to_owned))
            .or_else(has_changed)
    }

    /// Signs the zone as planned, and tells the log.
    pub(crate) fn sign(&self, plan: &Plan<'_>, now: u32, why: &str) -> Result<Signed, WorkError> {
        let begun = self.clock.now();
        self.log.info(format_args!("Signing \"{}\" because {why}", self.zone));
        let done = work::sign(self, plan, now, self.jitter.validity(now));
        let elapsed = self.clock.now().saturating_duration_since(begun);
        self.tell(plan, &done, now, elapsed);
        done
    }

    fn tell(&self, plan: &Plan<'_>, done: &Result<Signed, WorkError>, now: u32, elapsed: Duration) {
        let (zone, next) = (&self.zone, date(now.wrapping_add(CHECK_INTERVAL)));
        let tags: Vec<String> = plan.keys.iter().map(|one| one.key.public().tag().to_string()).collect();
        let tags = tags.join(",");
        match done {
            Ok(Signed { serial, .. }) => self.log.info(format_args!(
                "Successfully signed zone \"{zone}\" in {:?} with key tags \"{tags}\" and {serial} SOA serial, elapsed {:.6}, next: {next}",
                self.output,
                elapsed.as_secs_f64(),
            )),
            Err(error @ WorkError::Place { .. }) => self
                .log
                .warning(format_args!("Error signing \"{zone}\": failed to move zone file into place: {error}")),
            Err(error) => self.log.warning(format_args!(
                "Error signing \"{zone}\" with key tags \"{tags}\" in {elapsed:?}: {error}, next: {next}"
            )),
        }
    }
}

/// When a file was changed.
pub(crate) fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}
