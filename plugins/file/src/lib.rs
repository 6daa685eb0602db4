//! *file* answers with authority from zones in files (RFC 1035 section 5), and reads them again when they change.
//!
//! `config` reads the directive, `reload` looks at the files; a query finds its zone by name and asks the snapshot that is there. `updates` lets
//! in who may change a zone (RFC 2136). What zones answer, and how they change, is in the crate `catena-zone`.

mod config;
mod held;
mod reload;
mod updates;

use std::io;
use std::sync::Arc;

use catena_core::prelude::*;
use catena_core::{Log, Opcode, Transfer};
use catena_gocompat::os::error_text;
use catena_zone::{Checked, LoadError, Look, Sent, ZoneMap, look_up, pass};

use crate::config::{Config, FileZone, told};
use crate::held::Held;
use crate::reload::Watch;
use crate::updates::{Updates, of_journal};

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("file", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let config = config::parse(cx)?;
    take_over(&config, cx);
    read_all(&config, cx)?;
    let watch = Arc::new(Watch::new(config.files, cx.log()));
    let mut zones = ZoneMap::default();
    for (held, _) in watch.files() {
        zones.insert(held.name().clone(), held.clone());
    }
    let zones = Arc::new(zones);
    let sent = Arc::clone(&zones);
    cx.offer::<dyn Transfer>(Arc::new(Sent(move |zone: &[u8], serial| {
        Some(sent.get(zone)?.shared().transfer(serial))
    })));
    if watch.files().any(|(held, _)| held.updated().is_some()) {
        cx.takes_updates();
    }
    cx.bequeath(Arc::clone(&watch));
    let later = Arc::clone(&watch);
    cx.on_linked(move |linked| {
        later.find_notifier(linked);
        updates::link(&later, linked)
    });
    let updates = Updates::new(Arc::clone(&watch), cx.log());
    cx.service(watch);
    cx.link(Files { zones, fall: config.fall, updates, log: cx.log() });
    Ok(())
}

/// Goes on with the zones that the instance before has of the same files: what did not change is not read again, and what cannot be read
/// now is served as it was.
fn take_over(config: &Config, cx: &Setup<'_>) {
    let before: Vec<_> = cx.left_behind::<Watch>().collect();
    for zone in &config.files {
        let mut known = before.iter().flat_map(|watch| watch.files());
        known.any(|(before, _)| zone.held.take_over(before));
    }
}

/// Reads every file for the first time. One that is not there is waited for, unless files are never looked at again.
fn read_all(config: &Config, cx: &Setup<'_>) -> Result<(), Diagnostic> {
    let mut missing = None;
    for zone in &config.files {
        let unreadable = |error| (zone, format!("open {}: {}", zone.held.path().display(), error_text(&error)));
        match &zone.held {
            Held::File(file) => match file.check_first() {
                Checked::Loaded(_) | Checked::Unchanged => {}
                Checked::Broken(error) => return Err(broken(zone, &error)),
                Checked::Unreadable(error) if is_directory(&error) => return Err(directory(zone)),
                Checked::Unreadable(error) => missing = Some(unreadable(error)),
            },
            // What its file says now changes the zone of the instance before as well, so that is looked at when this one starts.
            Held::Updated { zone: updated, .. } if updated.is_continued() => {}
            Held::Updated { zone: updated, .. } => match updated.check() {
                Look::Broken(error) => return Err(broken(zone, &error)),
                Look::Journal(error) => return Err(of_journal(&zone.at, &error)),
                Look::Unreadable(error) if is_directory(&error) => return Err(directory(zone)),
                Look::Unreadable(error) => missing = Some(unreadable(error)),
                look => reload::tell(&cx.log(), updated, look),
            },
        }
    }
    let Some((zone, text)) = missing else { return Ok(()) };
    match config.files.last().and_then(|last| last.reload) {
        // CoreDNS names the plugin twice.
        None => Err(told(&zone.at, format!("plugin/file: {text}"))),
        Some(every) => {
            let every = catena_gocompat::duration::GoDuration::from_std(every);
            cx.log().warning(format_args!("Failed to open {text:?}: trying again in {every}"));
            Ok(())
        }
    }
}

fn broken(zone: &FileZone, error: &LoadError) -> Diagnostic {
    error.explain(told(&zone.at, error.to_string()))
}

fn is_directory(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::IsADirectory
}

/// A directory is opened by CoreDNS, and then not read: no file to wait for.
fn directory(zone: &FileZone) -> Diagnostic {
    let (path, name) = (zone.held.path(), zone.held.name());
    let shown = path.display();
    told(&zone.at, format!("failed to parse file {path:?} for origin {name} with error read {shown}: is a directory"))
}

struct Files {
    zones: Arc<ZoneMap<Held>>,
    fall: Fallthrough,
    updates: Updates,
    log: Log,
}

#[async_trait]
impl Plugin for Files {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        if q.is_update() {
            let held = self.zones.get(q.lower().as_slice());
            return self.updates.serve(q, held).await;
        }
        let Some((name, held)) = self.zones.find(q.question()) else { return pass(q, next).await };
        if q.opcode() == Opcode::NOTIFY {
            self.log.info(format_args!("Dropping notify from {} for {name}", q.client().ip()));
            return Reply::silence();
        }
        let falls_through = self.fall.covers(q.question());
        look_up(held.shared(), q, falls_through).finish(q, next).await
    }
}

#[cfg(test)]
mod tests;
