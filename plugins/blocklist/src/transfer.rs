//! Response policy zones from their primaries.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use catena_core::name::{OwnedName, Zone as ZoneName};
use catena_core::prelude::*;
use catena_core::{Clock, Linked, Log, Service, StartContext};
use catena_zone::inbound::{Fetched, Primary, fetch, serial_of};
use catena_zone::tsig::{Key, KeyRing};
use catena_zone::{Zone, is_newer};

use crate::rpz;
use crate::source::Source;

/// The shortest and the longest time between two looks at the serial number, whatever the zone says.
const REFRESH_MIN: Duration = Duration::from_secs(1);
const REFRESH_MAX: Duration = Duration::from_secs(86_400);
/// How long to wait after the first failure without a zone; doubled with each further one.
const RETRY: Duration = Duration::from_secs(1);
/// The longest time between two attempts.
const RETRY_MAX: Duration = Duration::from_secs(300);

/// Follows a zone at its primaries as long as the instance lives.
#[derive(Clone)]
pub(crate) struct Follow {
    pub(crate) source: Arc<Source>,
    pub(crate) zone: ZoneName,
    pub(crate) primaries: Vec<SocketAddr>,
    /// The key's name, and the key when it was found.
    pub(crate) key_name: Option<OwnedName>,
    pub(crate) key: Arc<OnceLock<Arc<Key>>>,
    /// An error at the place of the list.
    pub(crate) at: Diagnostic,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) log: Log,
}

impl Follow {
    /// Finds the key among those of the plugin *tsig*.
    ///
    /// # Errors
    /// There is no such key.
    pub(crate) fn find_key(&self, linked: &Linked<'_>) -> Result<(), Diagnostic> {
        let Some(name) = &self.key_name else { return Ok(()) };
        let found = linked.offers::<KeyRing>().find_map(|(_, ring)| ring.get(name.as_slice()).cloned());
        match found {
            Some(key) => {
                let _ = self.key.set(key);
                Ok(())
            }
            None => {
                let mut error = self.at.clone();
                error.message = format!("no key {} in the server block", name.fmt_with_dot());
                Err(error.with_help("the plugin tsig has the keys: `tsig { secret NAME SECRET }`"))
            }
        }
    }

    async fn run(self) {
        let mut current = self.source.zone();
        let mut failures = 0;
        loop {
            let wait = match self.refresh(&mut current).await {
                Ok(()) => {
                    failures = 0;
                    self.source.tell(None);
                    seconds(current.as_ref().map_or(0, |zone| zone.refresh())).clamp(REFRESH_MIN, REFRESH_MAX)
                }
                Err(error) => {
                    self.source.tell(Some(error));
                    failures += 1;
                    (RETRY * (1 << (failures - 1).min(8))).min(RETRY_MAX)
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Brings the zone up to date from the first primary that can.
    async fn refresh(&self, current: &mut Option<Arc<Zone>>) -> Result<(), String> {
        let mut failure = String::new();
        for addr in &self.primaries {
            match self.refresh_from(*addr, current).await {
                Ok(()) => return Ok(()),
                Err(error) => failure = format!("transfer from {addr}: {error}"),
            }
        }
        Err(failure)
    }

    async fn refresh_from(&self, addr: SocketAddr, current: &mut Option<Arc<Zone>>) -> Result<(), String> {
        let primary = Primary { addr, key: self.key.get().cloned() };
        let now = || self.clock.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        if let Some(zone) = current.as_ref() {
            let serial = serial_of(&primary, self.zone.wire(), &now).await.map_err(|error| error.to_string())?;
            if !is_newer(serial, zone.serial()) {
                return Ok(());
            }
        }
        let fetched = fetch(&primary, self.zone.wire(), current.clone(), &now).await;
        let Fetched::Zone(zone) = fetched.map_err(|error| error.to_string())? else { return Ok(()) };
        let zone = Arc::<Zone>::from(zone);
        let (name, seed, from) = (self.zone.clone(), self.source.seed.clone(), Arc::clone(&zone));
        let made = tokio::task::spawn_blocking(move || rpz::of_zone(&from, &name, &seed)).await;
        let (rules, skipped) = made.map_err(|error| error.to_string())??;
        self.source.take(rules, &skipped);
        self.source.set_zone(Arc::clone(&zone));
        *current = Some(zone);
        Ok(())
    }
}

fn seconds(number: u32) -> Duration {
    Duration::from_secs(number.into())
}

#[async_trait]
impl Service for Follow {
    async fn start(&self, cx: &StartContext<'_>) -> Result<(), Diagnostic> {
        if !cx.spawner.spawn(Box::pin(self.clone().run())) {
            self.log.warning(format_args!("No task is left to follow the zone {}", self.zone));
        }
        Ok(())
    }
}
