//! *loop* finds out at the start whether queries that this server sends come back to it, and ends the process if they do.
//!
//! Once the server listens, a query for a name that nobody can guess is sent to its own first address. If the name is seen more than
//! twice, the server forwards to itself, whatever the way.

mod probe;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use catena_core::prelude::*;
use catena_core::{Exit, OwnedName, Service, StartContext};

use crate::probe::Target;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("loop", setup);

/// How often the name may be seen. Once is the probe itself; CoreDNS allows one more.
const SIGHTINGS_MAX: u32 = 2;

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let mut words = cx.cursor();
    let mut seen = false;
    while words.next() {
        if seen {
            return Err(words.plain_err("this plugin can only be used once per Server Block"));
        }
        seen = true;
        if words.next_arg() {
            return Err(words.arg_err());
        }
    }
    let zone = cx.zones().iter().next().cloned().unwrap_or_else(Zone::root);
    let watch = Arc::new(Watch::new(zone));
    cx.service(Arc::new(Loop(Arc::clone(&watch))));
    cx.link(Loop(watch));
    Ok(())
}

/// What the link and the probe know in common.
struct Watch {
    zone: Zone,
    /// The name that is asked for, in lower case; none where the zone has no room for it.
    name: Option<OwnedName>,
    sightings: AtomicU32,
    /// Nothing is counted any more.
    off: AtomicBool,
    /// Known once the server listens.
    started: OnceLock<(Target, Arc<dyn Exit>)>,
}

impl Watch {
    fn new(zone: Zone) -> Self {
        let name = probe::name(&zone);
        Self { zone, name, sightings: AtomicU32::new(0), off: AtomicBool::new(false), started: OnceLock::new() }
    }

    /// Takes notice of a query for the probe's name, perhaps for the last time.
    fn sighted(&self, query: &Query) {
        let sightings = self.sightings.fetch_add(1, Ordering::Relaxed) + 1;
        if sightings <= SIGHTINGS_MAX {
            return;
        }
        let (Some((target, exit)), Some(name)) = (self.started.get(), &self.name) else { return };
        self.off.store(true, Ordering::Relaxed);
        let name = name.fmt_with_dot();
        exit.fatal(
            PLUGIN.name,
            &format!(
                "Loop ({} -> {}) detected for zone \"{}\", see https://coredns.io/plugins/loop#troubleshooting. Query: \"HINFO {name}\". \
                 An upstream of `forward`, or a nameserver of the file that it reads, leads back to this server: name another one there",
                query.client(),
                target.shown,
                self.zone,
            ),
        );
    }
}

/// The directive as a link of the chain and as a service.
struct Loop(Arc<Watch>);

#[async_trait]
impl Plugin for Loop {
    async fn serve(&self, query: &mut Query, next: Next<'_>) -> Reply {
        let watch = &*self.0;
        let is_probe = query.qtype() == Rtype::HINFO
            && !watch.off.load(Ordering::Relaxed)
            && watch.name.as_ref().is_some_and(|name| query.lower().as_slice() == name.as_slice());
        if is_probe {
            watch.sighted(query);
        }
        next.run(query).await
    }
}

#[async_trait]
impl Service for Loop {
    async fn serving(&self, cx: &StartContext<'_>) {
        let (Some(target), Some(name)) = (Target::of(cx.listen), self.0.name.clone()) else {
            self.0.off.store(true, Ordering::Relaxed);
            return;
        };
        let peer = target.peer;
        let _ = self.0.started.set((target, Arc::clone(cx.exit)));
        if !cx.spawner.spawn(Box::pin(probe::run(Arc::clone(&self.0), name, peer))) {
            self.0.off.store(true, Ordering::Relaxed);
        }
    }
}
