//! *kubernetes* answers for the Services and pods of a cluster, from its API or from manifests on disk.
//!
//! The objects are in an index (`catena-cluster`) that a source keeps in step; a query reads it and waits for nobody. A name goes
//! through four hands: `request` reads its labels, `backend` finds what they stand for, `answer` knows what each type of question
//! gets, `records` writes it.

mod answer;
mod backend;
mod config;
mod metrics;
mod records;
mod request;
mod reverse;
mod source;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, OnceLock};

use catena_cluster::index::Index;
use catena_core::prelude::*;

use answer::Outcome;
use backend::Backend;
use metrics::Handles;
use source::{Reporter, Source};

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("kubernetes", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let (config, start) = config::parse(cx)?;
    let reporter = Arc::new(Reporter { log: cx.log(), metrics: Handles::of(cx.metrics()), clock: cx.clock() });
    let clock = cx.clock();
    let index = Arc::new(Index::with_clock(config.keep, reporter, Arc::new(move || clock.unix_seconds())));
    let backend = Arc::new(Backend { config, index: Arc::clone(&index), local: OnceLock::new() });
    cx.service(Arc::new(Source { backend: Arc::clone(&backend), log: cx.log(), start: Mutex::new(Some(start)) }));
    cx.readiness(Arc::new(move || index.is_synced()));
    cx.link(Kubernetes { backend });
    Ok(())
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
            Outcome::NoName if !backend.index.is_synced() => answer.rcode = Rcode::SERVFAIL,
            Outcome::NoName => answer.rcode = Rcode::NXDOMAIN,
        }
        let as_asked = records::zone_as_asked(query.question(), zone);
        records::push_soa(&mut answer, Section::Authority, as_asked, backend.config.ttl, backend.index.serial());
        answer.into()
    }
}
