//! *kubernetes* answers for the Services and pods of a cluster, from its API or from manifests on disk.
//!
//! The objects are in an index (`catena-cluster`) that a source keeps in step; a query reads it and waits for nobody. A name goes
//! through four hands: `request` reads its labels, `backend` finds what they stand for, `answer` knows what each type of question
//! gets, `records` writes it.

mod answer;
mod backend;
mod config;
mod handover;
mod metadata;
mod metrics;
mod outside;
mod records;
mod request;
mod source;
#[cfg(test)]
mod tests;
mod transfer;

use std::sync::{Arc, Mutex, OnceLock};

use catena_cluster::External;
use catena_cluster::index::Index;
use catena_core::prelude::*;
use catena_core::{AutoPath, Transfer};

use answer::Outcome;
use backend::Backend;
use config::Origin;
use handover::{Estate, Running};
use metrics::{Handles, Staleness};
use source::{Reporter, Source};

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("kubernetes", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let (config, start) = config::parse(cx)?;
    let reporter = Arc::new(Reporter { log: cx.log(), metrics: Handles::of(cx.metrics()), clock: cx.clock() });
    let clock = cx.clock();
    let index = Arc::new(Index::with_clock(config.keep, reporter, Arc::new(move || clock.unix_seconds())));
    let fresh = Arc::new(Running::new(index, Staleness::of(cx.metrics(), config.primary.text())));
    let estate = Arc::new(Estate::default());
    let backend = Arc::new(Backend { config, estate: Arc::clone(&estate), fresh, local: OnceLock::new() });
    cx.bequeath(Arc::clone(&estate));
    hand_over(cx, &backend, matches!(start.origin, Origin::Api(_)));
    cx.offer::<dyn External>(Arc::<Backend>::clone(&backend));
    cx.offer::<dyn AutoPath>(Arc::<Backend>::clone(&backend));
    cx.offer::<dyn Transfer>(Arc::<Backend>::clone(&backend));
    cx.labels(Arc::<Backend>::clone(&backend));
    cx.service(Arc::new(Source { backend: Arc::clone(&backend), log: cx.log(), start: Mutex::new(Some(start)) }));
    let asked = Arc::clone(&backend);
    cx.readiness(Arc::new(move || asked.index().is_synced()));
    cx.link(Kubernetes { backend });
    Ok(())
}

/// Takes over what the block had before the reload, if that is an API that is followed: files are read anew anyway.
fn hand_over(cx: &mut Setup<'_>, backend: &Arc<Backend>, from_api: bool) {
    let backend = Arc::clone(backend);
    cx.on_linked(move |linked| {
        let before = linked.inherited::<Estate>().filter(|_| from_api);
        let running = before.as_deref().and_then(Estate::running).unwrap_or(&backend.fresh);
        backend.estate.settle(Arc::clone(running));
        if linked.has_labels() {
            backend.index().keep_pod_labels();
        }
        Ok(())
    });
}

struct Kubernetes {
    backend: Arc<Backend>,
}

#[async_trait]
impl Plugin for Kubernetes {
    async fn serve(&self, query: &mut Query, next: Next<'_>) -> Reply {
        let backend = &*self.backend;
        let question = query.question();
        let Some(zone) = backend.config.zones.longest(question.lower().as_slice(), question.labels()) else {
            return next.run(query).await;
        };
        let mut answer = Answer::to(query).authoritative();
        match backend.answer(query, zone, &mut answer).await {
            Outcome::Answered => return answer.into(),
            Outcome::Refused => {
                query.recycle(answer);
                return Reply::status(Rcode::REFUSED);
            }
            Outcome::NoData => {}
            Outcome::NoName if backend.config.fall.covers(query.question()) => {
                query.recycle(answer);
                return next.run(query).await;
            }
            // Before the first list nobody knows that a name is not there.
            Outcome::NoName if !backend.index().is_synced() => answer.rcode = Rcode::SERVFAIL,
            Outcome::NoName => answer.rcode = Rcode::NXDOMAIN,
        }
        let as_asked = records::zone_as_asked(query.question(), zone);
        records::push_soa(&mut answer, Section::Authority, as_asked, backend.config.ttl, backend.zone_serial(zone));
        answer.into()
    }
}
