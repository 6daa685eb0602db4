//! *dnssec* signs replies on the fly, with NSEC black lies for what is not there.
//!
//! ```text
//! DNSKEY, CDS, CDNSKEY at an apex --apex--> answered here
//! anything else --next--> reply --reply--> which sets to sign, which NSEC record to make up --signer--> signatures, kept in the store
//! ```
//!
//! `config` reads the directive, `zones` knows whose keys sign what, `lies` makes NSEC records, `soa` finds the SOA record of a denial without one.

mod apex;
mod config;
mod lies;
mod metrics;
mod reply;
mod signer;
mod soa;
mod store;
mod zones;

use std::sync::Arc;
use std::time::Duration;

use catena_core::prelude::*;
use catena_core::{Body, Clock, Service, StartContext};

use crate::signer::Signer;
use crate::store::Store;
use crate::zones::SignedZones;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("dnssec", setup);

/// How often signatures that will soon be too old are thrown away. CoreDNS: plugin/dnssec.
const SWEEP_INTERVAL: Duration = Duration::from_secs(8 * 3600);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let config = config::parse(cx)?;
    let store = Arc::new(Store::new(config.cache_capacity));
    cx.service(Arc::new(Sweeper { store: Arc::clone(&store), clock: cx.clock(), log: cx.log() }));
    let signer = Signer::new(store, cx.metrics());
    cx.link(Dnssec { zones: config.zones, signer });
    Ok(())
}

struct Dnssec {
    zones: SignedZones,
    signer: Signer,
}

#[async_trait]
impl Plugin for Dnssec {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        let Some(zone) = self.zones.of_question(q.question()) else { return next.run(q).await };
        if let Some(rtype) = apex::published(q, zone) {
            return apex::answer(q, zone, rtype, &self.signer).await;
        }
        let mut reply = next.run(q).await;
        if q.dnssec_ok()
            && let Body::Answer(answer) = &mut reply.body
        {
            reply::sign(answer, q, &self.zones, &self.signer).await;
        }
        reply
    }
}

/// Throws old signatures away from time to time.
struct Sweeper {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    log: catena_core::Log,
}

#[async_trait]
impl Service for Sweeper {
    async fn start(&self, cx: &StartContext<'_>) -> Result<(), Diagnostic> {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        let task = Box::pin(async move {
            loop {
                tokio::time::sleep(SWEEP_INTERVAL).await;
                store.sweep(signer::seconds(&*clock));
            }
        });
        if !cx.spawner.spawn(task) {
            self.log.warning("No task is left to sweep signatures");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
