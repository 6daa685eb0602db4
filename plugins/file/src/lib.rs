//! *file* answers with authority from zones in files (RFC 1035 section 5), and reads them again when they change.
//!
//! `config` reads the directive, `reload` looks at the files; a query finds its zone by name and asks the snapshot that is there. What zones
//! answer is in the crate `catena-zone`.

mod config;
mod reload;

use std::sync::Arc;

use catena_core::prelude::*;
use catena_core::{Log, Opcode, Outgoing, Transfer};
use catena_gocompat::os::error_text;
use catena_zone::{Checked, ZoneFile, ZoneMap, serve};
use domain::base::Name;

use crate::config::{Config, FileZone};
use crate::reload::Watch;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("file", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let config = config::parse(cx)?;
    read_all(&config, cx)?;
    let watch = Arc::new(Watch::new(config.files, cx.log()));
    let mut zones = ZoneMap::default();
    for (file, _) in watch.files() {
        zones.insert(file.name().clone(), Arc::clone(file));
    }
    let zones = Arc::new(zones);
    cx.offer::<dyn Transfer>(Arc::new(Held(Arc::clone(&zones))));
    let notifies = Arc::clone(&watch);
    cx.on_linked(move |linked| {
        notifies.find_notifier(linked);
        Ok(())
    });
    cx.service(watch);
    cx.link(Files { zones, fall: config.fall, log: cx.log() });
    Ok(())
}

/// Reads every file for the first time. One that is not there is waited for, unless files are never looked at again.
fn read_all(config: &Config, cx: &Setup<'_>) -> Result<(), Diagnostic> {
    let mut missing = None;
    for zone in &config.files {
        match zone.file.check() {
            Checked::Loaded(_) | Checked::Unchanged => {}
            Checked::Broken(error) => {
                return Err(error.explain(told(zone, error.to_string())));
            }
            Checked::Unreadable(error) => {
                missing = Some((zone, format!("open {}: {}", zone.file.path().display(), error_text(&error))));
            }
        }
    }
    let Some((zone, text)) = missing else { return Ok(()) };
    match config.files.last().and_then(|last| last.reload) {
        // CoreDNS names the plugin twice.
        None => Err(told(zone, format!("plugin/file: {text}"))),
        Some(every) => {
            let every = catena_gocompat::duration::GoDuration::from_std(every);
            cx.log().warning(format_args!("Failed to open {text:?}: trying again in {every}"));
            Ok(())
        }
    }
}

/// An error at the name of the zone's file.
fn told(zone: &FileZone, message: String) -> Diagnostic {
    let mut told = zone.at.clone();
    told.message = message;
    told
}

struct Files {
    zones: Arc<ZoneMap<Arc<ZoneFile>>>,
    fall: Fallthrough,
    log: Log,
}

#[async_trait]
impl Plugin for Files {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        let Some((name, file)) = self.zones.find(q.question()) else { return pass(q, next).await };
        if matches!(q.qtype(), Rtype::AXFR | Rtype::IXFR) {
            // Who may have the zone is told by `transfer`, which comes before.
            return Reply::status(Rcode::REFUSED);
        }
        if q.opcode() == Opcode::NOTIFY {
            self.log.info(format_args!("Dropping notify from {} for {name}", q.client().ip()));
            return Reply::silence();
        }
        let Some(zone) = file.shared().load().serving().cloned() else { return Reply::status(Rcode::SERVFAIL) };
        match serve(&zone, q, self.fall.covers(q.question())).await {
            Some(reply) => reply,
            None => next.run(q).await,
        }
    }
}

/// A name that no zone here holds: an authoritative server at the end of its chain refuses.
async fn pass(q: &mut Query, next: Next<'_>) -> Reply {
    if next.name().is_none() {
        return Reply::status(Rcode::REFUSED);
    }
    next.run(q).await
}

/// The zones as `transfer` sees them.
struct Held(Arc<ZoneMap<Arc<ZoneFile>>>);

impl Transfer for Held {
    fn transfer(
        &self,
        zone: &Name<[u8]>,
        serial: Option<u32>,
        _query: &Query,
    ) -> Option<Result<Box<dyn Outgoing>, Error>> {
        let file = self.0.get(zone.as_slice())?;
        Some(file.shared().transfer(serial).ok_or_else(|| Error::ours("the zone is not loaded yet")))
    }
}

#[cfg(test)]
mod tests;
