//! Updates (RFC 2136): who may, one after the other, and what is told.

use std::sync::Arc;

use catena_core::corefile::Severity;
use catena_core::name::{self, OwnedName};
use catena_core::prelude::*;
use catena_core::{Linked, Log};
use catena_zone::UpdatedZone;
use catena_zone::tsig::KeyRing;
use catena_zone::update::{JournalError, Update};
use tokio::sync::{Mutex, Semaphore};

use crate::config::told;
use crate::held::Held;
use crate::reload::Watch;

/// The most updates of a server block's zones that wait for their turn; one more fails.
pub(crate) const UPDATES_WAITING_MAX: usize = 256;

/// Why a signed zone is not updated, and what to do.
const SIGNED: &str = "the zone is signed, and its signatures would not be right any more; serve the unsigned zone, with `dnssec` to sign answers";

/// The way of updates to their zones.
pub(crate) struct Updates {
    watch: Arc<Watch>,
    log: Log,
    /// One permit for each update that waits or is at work.
    waiting: Semaphore,
    /// Held by the one at work: it blocks a thread, and should not block many.
    turn: Arc<Mutex<()>>,
}

impl Updates {
    pub(crate) fn new(watch: Arc<Watch>, log: Log) -> Self {
        Self { watch, log, waiting: Semaphore::new(UPDATES_WAITING_MAX), turn: Arc::default() }
    }

    /// Keeps every update waiting.
    #[cfg(test)]
    pub(crate) fn hold_turn(&self) -> Option<tokio::sync::OwnedMutexGuard<()>> {
        Arc::clone(&self.turn).try_lock_owned().ok()
    }

    /// Does what an update says to the zone of its name, which may be none.
    pub(crate) async fn serve(&self, q: &mut Query, held: Option<&Held>) -> Reply {
        let code = |q: &mut Query, rcode| Reply::from(Answer::to(q).with_rcode(rcode));
        let Ok(update) = Update::read(q.request()) else { return code(q, Rcode::FORMERR) };
        let Some(held) = held else { return code(q, Rcode::NOTAUTH) };
        let Held::Updated { zone, keys } = held else { return code(q, Rcode::REFUSED) };
        let Some(key) = q.signed_by().filter(|signer| keys.iter().any(|(key, _)| key.as_slice() == *signer)) else {
            let client = q.client().ip().to_canonical();
            self.log.info(format_args!("Refused an update of zone \"{}\" from {client}", zone.name()));
            return code(q, Rcode::REFUSED);
        };
        let key = OwnedName::from_octets(key.to_vec()).map(|key| name::text(key.for_slice())).unwrap_or_default();
        let Ok(_waiting) = self.waiting.try_acquire() else {
            return Reply::fail(Error::ours(format!("more than {UPDATES_WAITING_MAX} updates wait")));
        };
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let (zone, watch, log) = (Arc::clone(zone), Arc::clone(&self.watch), self.log.clone());
        // Begun, it is not stopped: whether its client waits makes no difference.
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work(&zone, &update, &key, &watch, &log)
        });
        match work.await {
            Ok(Ok(rcode)) => code(q, rcode),
            Ok(Err(error)) => Reply::fail(error),
            Err(error) => Reply::fail(Error::ours("an update was not finished").caused_by(error)),
        }
    }
}

/// Changes a zone and tells of it.
fn work(zone: &UpdatedZone, update: &Update, key: &str, watch: &Watch, log: &Log) -> Result<Rcode, Error> {
    let name = zone.name();
    match zone.update(update) {
        Ok(None) => {}
        Ok(Some(serial)) => {
            log.info(format_args!("Updated zone \"{name}\" to serial {serial} with key \"{key}\""));
            watch.notify(name);
            if let Err(error) = zone.compact() {
                log.error(format_args!("Zone \"{name}\": no new base: {error}"));
            }
        }
        Err((rcode, None)) if rcode == Rcode::SERVFAIL => return Err(Error::ours("the zone is not loaded yet")),
        Err((rcode, None)) => {
            if rcode == Rcode::REFUSED && zone.is_signed() {
                log.warning(format_args!("Refused an update of zone \"{name}\" with key \"{key}\": {SIGNED}"));
            }
            return Ok(rcode);
        }
        Err((_, Some(error))) => {
            log.error(format_args!("Failed to update zone \"{name}\": {error}"));
            return Err(Error::ours(error.to_string()));
        }
    }
    Ok(Rcode::NOERROR)
}

/// Checks that the keys are known to `tsig`, and goes on with the zones of the instance before.
pub(crate) fn link(watch: &Watch, linked: &Linked<'_>) -> Result<(), Diagnostic> {
    let ring = linked.offers::<KeyRing>().next();
    for (held, at) in watch.places() {
        let Held::Updated { zone, keys } = held else { continue };
        let is_known = |key: &OwnedName| ring.as_ref().is_some_and(|(_, ring)| ring.get(key.as_slice()).is_some());
        if let Some((key, at)) = keys.iter().find(|(key, _)| !is_known(key)) {
            return Err(told(at, format!("tsig has no key {:?} in this server block", name::text(key.for_slice()))));
        }
        linked.left_behind::<Watch>().any(|before| {
            before.files().filter_map(|(held, _)| held.updated()).any(|before| zone.continue_from(before))
        });
        if zone.is_signed() {
            let mut warning = told(at, format!("no update of {} is taken: {SIGNED}", zone.name()));
            warning.severity = Severity::Warning;
            linked.warn(warning.with_prefix("file"));
        }
    }
    Ok(())
}

/// An error of a journal at the place of its zone.
pub(crate) fn of_journal(at: &Diagnostic, error: &JournalError) -> Diagnostic {
    told(at, error.to_string())
}
