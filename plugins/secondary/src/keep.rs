//! One zone kept as its primaries have it: fetched, looked after, expired (RFC 1034 section 4.3.5).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use catena_core::name::Zone as ZoneName;
use catena_gocompat::os::error_text;
use catena_zone::inbound::{FetchError, Fetched, Primary, fetch, serial_of};
use catena_zone::{SharedZone, Zone, is_newer};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use crate::config::Allowed;
use crate::members::Members;

/// The first and the longest time between attempts to fetch a zone that is not here.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const FIRST_RETRY_MAX: Duration = Duration::from_secs(10);
/// By how much checks are put off at random, so that not all zones are checked at once; milliseconds.
const REFRESH_JITTER_MS: u64 = 5000;
const RETRY_JITTER_MS: u64 = 2000;
/// A zone of fewer records is fetched whole: it comes in a few messages, as its differences would.
const DIFFERENCES_FROM_RECORDS: usize = 500;

/// A zone with where it comes from.
pub(crate) struct Kept {
    pub(crate) name: ZoneName,
    pub(crate) primaries: Vec<Primary>,
    pub(crate) shared: Arc<SharedZone>,
    /// If the zone is a catalog: which members it may have.
    pub(crate) catalog: Option<Allowed>,
    times: Mutex<Option<Times>>,
    /// Who said that there is something new.
    notified: Mutex<Option<IpAddr>>,
    wake: Notify,
    stop: Notify,
}

/// When a zone that is here was confirmed, and when it is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    confirmed: Instant,
    check_at: Instant,
    is_retrying: bool,
}

impl Kept {
    /// A zone that is not here yet.
    pub(crate) fn new(name: ZoneName, primaries: Vec<Primary>, catalog: Option<Allowed>) -> Self {
        Self::with(name, primaries, catalog, Arc::default())
    }

    /// The zone that another one held, from other primaries.
    pub(crate) fn with(
        name: ZoneName,
        primaries: Vec<Primary>,
        catalog: Option<Allowed>,
        shared: Arc<SharedZone>,
    ) -> Self {
        let (wake, stop) = (Notify::new(), Notify::new());
        Self { name, primaries, shared, catalog, times: Mutex::default(), notified: Mutex::default(), wake, stop }
    }

    /// Goes on with the version that another one has of the same zone, and with its times, if some primary is that of the other one and is
    /// not trusted less. Whether it does.
    pub(crate) fn take_over(&self, before: &Self) -> bool {
        let is_same = |own: &Primary| {
            let same = before.primaries.iter().find(|other| other.addr == own.addr);
            same.is_some_and(|other| other.key.is_some() || own.key.is_none())
        };
        if self.name != before.name || !self.primaries.iter().any(is_same) || before.current().is_none() {
            return false;
        }
        *self.lock_times() = *before.lock_times();
        self.shared.copy_from(&before.shared);
        true
    }

    /// Looks for something new at once if another one of the same zone has another version meanwhile.
    pub(crate) fn catch_up(&self, before: &Self) {
        let serial = |kept: &Self| kept.current().map(|zone| zone.serial());
        if serial(self) != serial(before) {
            self.wake.notify_one();
        }
    }

    /// Whether it would look at once.
    #[cfg(test)]
    pub(crate) fn is_woken(&self) -> bool {
        std::pin::pin!(self.wake.notified()).enable()
    }

    fn lock_times(&self) -> MutexGuard<'_, Option<Times>> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a primary has this address.
    pub(crate) fn is_from(&self, client: IpAddr) -> bool {
        self.primaries.iter().any(|primary| primary.addr.ip().to_canonical() == client.to_canonical())
    }

    /// A primary says that there is something new.
    pub(crate) fn notice(&self, client: IpAddr) {
        *self.notified.lock().unwrap_or_else(PoisonError::into_inner) = Some(client);
        self.wake.notify_one();
    }

    /// The zone is not wanted any more.
    pub(crate) fn stop(&self) {
        self.stop.notify_one();
    }

    pub(crate) fn current(&self) -> Option<Arc<Zone>> {
        self.shared.load().last().cloned()
    }

    /// Keeps the zone until it is not wanted any more.
    pub(crate) async fn run(self: Arc<Self>, members: Arc<Members>) {
        let kept = async {
            if self.current().is_none() {
                self.fetch_first(&members).await;
            }
            self.look_after(&members).await;
        };
        tokio::select! {
            () = kept => {}
            () = self.stop.notified() => {}
        }
    }

    async fn fetch_first(&self, members: &Arc<Members>) {
        let mut wait = FIRST_RETRY;
        while let Err(error) = self.transfer(members).await {
            let shown = catena_gocompat::duration::GoDuration::from_std(wait);
            let name = &self.name;
            members.log.warning(format_args!("All '{name}' masters failed to transfer, retrying in {shown}: {error}"));
            tokio::select! {
                () = sleep(wait) => {}
                () = self.wake.notified() => {}
            }
            wait = (wait * 2).min(FIRST_RETRY_MAX);
        }
    }

    /// Checks from time to time, and when a primary says so, whether there is something new.
    async fn look_after(&self, members: &Arc<Members>) {
        let known = *self.lock_times();
        if known.is_none() {
            self.set_times(true);
        }
        loop {
            let (Some(zone), Some(times)) = (self.current(), *self.lock_times()) else { return };
            let Times { confirmed, check_at, is_retrying } = times;
            let expire_at = confirmed + seconds(zone.expire());
            let client = tokio::select! {
                () = self.wake.notified() => self.notified.lock().unwrap_or_else(PoisonError::into_inner).take(),
                () = sleep_until(check_at) => None,
                () = sleep_until(expire_at), if self.shared.load().serving().is_some() => {
                    self.shared.expire();
                    members.zone_log.error(format_args!("Zone {} is expired", self.name));
                    continue;
                }
            };
            let is_current = match client {
                Some(client) => self.check_notified(client, zone.serial(), members).await,
                None => self.check(is_retrying, zone.serial(), members).await,
            };
            if is_current {
                self.shared.confirm();
            }
            self.set_times(is_current);
        }
    }

    /// Remembers that the zone was confirmed now, or could not be, and when to look again.
    fn set_times(&self, is_current: bool) {
        let Some(zone) = self.current() else { return };
        let now = Instant::now();
        let (every, jitter_ms) =
            if is_current { (zone.refresh(), REFRESH_JITTER_MS) } else { (zone.retry(), RETRY_JITTER_MS) };
        let check_at = now + seconds(every) + Duration::from_millis(rand::random_range(0..jitter_ms));
        let mut times = self.lock_times();
        let before = times.map_or(now, |times| times.confirmed);
        let confirmed = if is_current { now } else { before };
        *times = Some(Times { confirmed, check_at, is_retrying: !is_current });
    }

    /// Looks for something new in time; whether the zone is as a primary has it.
    async fn check(&self, is_retrying: bool, serial: u32, members: &Arc<Members>) -> bool {
        match self.is_outdated(serial, members).await {
            Ok(false) => true,
            Ok(true) => self.transfer(members).await.is_ok(),
            Err(error) => {
                let what = if is_retrying { "retry" } else { "refresh" };
                members.zone_log.warning(format_args!("Failed {what} check {error}"));
                false
            }
        }
    }

    async fn check_notified(&self, client: IpAddr, serial: u32, members: &Arc<Members>) -> bool {
        let (name, log) = (&self.name, &members.zone_log);
        match self.is_outdated(serial, members).await {
            Ok(false) => {
                log.info(format_args!("Notify from {client} for {name}: no SOA serial increase seen"));
                true
            }
            Ok(true) => match self.transfer(members).await {
                Ok(()) => true,
                Err(error) => {
                    log.warning(format_args!("Notify from {client} for {name}: transfer failed: {error}"));
                    false
                }
            },
            Err(error) => {
                log.warning(format_args!("Notify from {client} for {name}: failed primary check: {error}"));
                false
            }
        }
    }

    /// Asks the primaries, one after the other until one answers, whether they have a newer version.
    async fn is_outdated(&self, serial: u32, members: &Arc<Members>) -> Result<bool, FetchError> {
        let mut last = None;
        for primary in &self.primaries {
            match serial_of(primary, self.name.wire(), &*members.now).await {
                Ok(theirs) => return Ok(is_newer(theirs, serial)),
                Err(error) => last = Some(error),
            }
        }
        last.map_or(Ok(false), Err)
    }

    /// Fetches the zone from the first primary that has it whole, and tells who has to know.
    async fn transfer(&self, members: &Arc<Members>) -> Result<(), String> {
        let mut last = "no primaries".to_owned();
        for primary in &self.primaries {
            let here = self.current().filter(|zone| zone.len() >= DIFFERENCES_FROM_RECORDS);
            match fetch(primary, self.name.wire(), here, &*members.now).await {
                Ok(Fetched::UpToDate) => return Ok(()),
                Ok(Fetched::Zone(zone)) => return self.take(*zone, primary.addr, members).await,
                Err(error) => {
                    last = self.tell_failure(primary.addr, &error, members);
                }
            }
        }
        Err(last)
    }

    /// Logs why a primary was of no use, as CoreDNS words it, and returns the reason.
    fn tell_failure(&self, addr: SocketAddr, error: &FetchError, members: &Members) -> String {
        let (name, log, shown) = (&self.name, &members.zone_log, addr.to_string());
        match error {
            FetchError::Io(io) if is_of_connecting(io.kind()) => {
                let reason = format!("dial tcp {addr}: connect: {}", error_text(io));
                log.error(format_args!("Failed to setup transfer `{name}' with `{shown:?}': {reason}"));
                reason
            }
            error => {
                log.error(format_args!("Failed to transfer `{name}' from {shown:?}: {error}"));
                error.to_string()
            }
        }
    }

    async fn take(&self, zone: Zone, from: SocketAddr, members: &Arc<Members>) -> Result<(), String> {
        let listed = match &self.catalog {
            Some(allowed) => Some((allowed, crate::catalog::members(&zone)?)),
            None => None,
        };
        self.replace(zone).await;
        members.zone_log.info(format_args!("Transferred: {} from {from}", self.name));
        members.notify(&self.name);
        if let Some((allowed, listed)) = listed {
            let count = listed.len();
            members.apply(self, allowed, listed);
            members.log.info(format_args!("Parsed catalog zone {} with {count} member zones", self.name));
        }
        Ok(())
    }

    /// Takes over a version. Comparing it with the one before takes time, which is not that of the runtime's thread.
    async fn replace(&self, zone: Zone) {
        let shared = Arc::clone(&self.shared);
        // A failed join is a panic, which leaves the version before.
        let _ = tokio::task::spawn_blocking(move || shared.replace(zone)).await;
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds.max(1)))
}

fn is_of_connecting(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable
    )
}
