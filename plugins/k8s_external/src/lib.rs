//! *k8s_external* answers for Services as they are reached from outside of the cluster.
//!
//! What is known of the cluster comes from *kubernetes* by way of [`catena_cluster::External`], read when it is needed: nothing is kept
//! here. `items` finds what stands behind a name, `records` makes records of it, `apex` is the top of a zone, `outgoing` a whole one.

mod apex;
mod config;
mod items;
mod outgoing;
mod records;

use std::sync::{Arc, OnceLock};

use catena_cluster::External as Cluster;
use catena_core::prelude::*;
use catena_core::{Class, OwnedName, Transfer};

use crate::config::Config;
use crate::items::{Found, Host, Item, find};
use crate::outgoing::Handle;
use crate::records::{Records, name};

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("k8s_external", setup);

/// The plugin that knows the cluster.
const CLUSTER_PLUGIN: &str = "kubernetes";
/// The most names of load balancers that are looked up for one answer.
const LOOKUPS_MAX: usize = 8;

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let outside = Arc::new(Outside { config: Config::parse(cx)?, cluster: OnceLock::new() });
    cx.offer::<dyn Transfer>(Arc::new(Handle(Arc::clone(&outside))));
    let late = Arc::clone(&outside);
    cx.on_linked(move |linked| {
        let Some((_, cluster)) = linked.offers::<dyn Cluster>().next() else {
            let why = if linked.link_names().contains(&CLUSTER_PLUGIN) {
                "kubernetes plugin does not implement the Externaler interface"
            } else {
                "kubernetes plugin not loaded"
            };
            let error = Diagnostic::error(why);
            return Err(match late.config.at {
                Some(at) => error.with_span(at),
                None => error,
            });
        };
        cluster.keep_external();
        late.cluster.get_or_init(|| cluster);
        Ok(())
    });
    cx.link(Link(outside));
    Ok(())
}

/// The zones of a server block, and the cluster that fills them.
struct Outside {
    config: Config,
    /// Set before the first query.
    cluster: OnceLock<Arc<dyn Cluster>>,
}

struct Link(Arc<Outside>);

#[async_trait]
impl Plugin for Link {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        let outside = &*self.0;
        let (lower, labels) = (q.lower().as_slice(), q.question().labels());
        let (Some(zone), Some(cluster)) = (outside.config.zones.longest(lower, labels), outside.cluster.get()) else {
            return next.run(q).await;
        };
        let records = outside.records(&**cluster, zone);
        match outside.place(q) {
            Place::Apex => return apex::answer(&records, &**cluster, q).into(),
            Place::BelowApex => return apex::below(&records, &**cluster, q, zone).into(),
            Place::Elsewhere => {}
        }
        match find(&**cluster, q, zone, outside.config.headless) {
            Found::Nothing(Rcode::NXDOMAIN) if outside.config.fall.covers(q.question()) => next.run(q).await,
            // What was not listed yet is not known not to be there.
            Found::Nothing(Rcode::NXDOMAIN) if !cluster.is_synced() => nothing(&records, q, Rcode::SERVFAIL),
            Found::Nothing(rcode) => nothing(&records, q, rcode),
            Found::Services(services) => {
                let mut answer = Answer::to(q).authoritative();
                // CoreDNS: all names are in the zone that was named first.
                let first = outside.config.zones.iter().next().unwrap_or(zone);
                let ttl = outside.config.ttl;
                for service in services {
                    let labels = [service.name().as_bytes(), service.namespace().as_bytes()];
                    if let Some(target) = name(&labels, first.wire()) {
                        let owner = q.name().as_slice();
                        answer.push_wire(Section::Answer, owner, Rtype::PTR, Class::IN, ttl, &target);
                    }
                }
                answer.into()
            }
            Found::Items(entry, items) => {
                let mut answer = Answer::to(q).authoritative();
                match q.qtype() {
                    rtype @ (Rtype::A | Rtype::AAAA) => {
                        records.addresses(&mut answer, q.name().as_slice(), &items, rtype);
                        add_names(&records, &mut answer, q, &items).await;
                    }
                    Rtype::SRV => {
                        records.srv(&mut answer, q.name().as_slice(), &entry, &items, true);
                        add_targets(&mut answer, q, &items).await;
                    }
                    _ => {}
                }
                if answer.count(Section::Answer) == 0 {
                    records.soa(&mut answer, Section::Authority);
                }
                answer.into()
            }
        }
    }
}

/// A reply without records.
fn nothing(records: &Records<'_>, q: &mut Query, rcode: Rcode) -> Reply {
    let mut answer = Answer::to(q).authoritative().with_rcode(rcode);
    records.soa(&mut answer, Section::Authority);
    answer.into()
}

/// The names of load balancers among the ways to a Service, each once.
fn names(items: &[Item]) -> Vec<OwnedName> {
    let mut names: Vec<OwnedName> = Vec::new();
    for item in items {
        if let Host::Name(name) = &item.host
            && names.len() < LOOKUPS_MAX
            && !names.contains(name)
        {
            names.push(name.clone());
        }
    }
    names
}

/// Adds a CNAME record for each name, and what it has.
async fn add_names(records: &Records<'_>, answer: &mut Answer, q: &Query, items: &[Item]) {
    for target in names(items) {
        records.cname(answer, q.name().as_slice(), &target);
        let found = q.lookup(target.for_slice(), q.qtype()).await;
        if let Some(found) = found.as_ref().ok().and_then(Reply::answer) {
            answer.set(flags::TC, answer.has(flags::TC) || found.has(flags::TC));
            answer.append_section(Section::Answer, found, Section::Answer);
        }
    }
}

/// Adds the addresses of each name.
async fn add_targets(answer: &mut Answer, q: &Query, items: &[Item]) {
    for target in names(items) {
        for rtype in [Rtype::A, Rtype::AAAA] {
            let found = q.lookup(target.for_slice(), rtype).await;
            if let Some(found) = found.as_ref().ok().and_then(Reply::answer) {
                answer.append_section(Section::Additional, found, Section::Answer);
            }
        }
    }
}

/// Where in a zone a name is.
enum Place {
    Apex,
    /// At or below the label of `apex`.
    BelowApex,
    Elsewhere,
}

impl Outside {
    fn records<'a>(&'a self, cluster: &dyn Cluster, zone: &'a Zone) -> Records<'a> {
        Records { config: &self.config, zone: zone.wire(), cluster_ttl: cluster.ttl(), serial: cluster.serial() }
    }

    /// Looks through the zones in the order in which they were named.
    fn place(&self, q: &Query) -> Place {
        let question = q.question();
        let (lower, labels) = (question.lower().as_slice(), question.labels());
        let apex = &self.config.apex.as_slice()[..self.config.apex.len() - 1];
        for zone in self.config.zones.iter() {
            if lower == zone.wire() {
                return Place::Apex;
            }
            let depth = zone.labels() + self.config.apex.label_count() - 1;
            let suffix = labels.suffix_start(depth).and_then(|start| lower.get(start..));
            if suffix.and_then(|suffix| suffix.strip_prefix(apex)) == Some(zone.wire()) {
                return Place::BelowApex;
            }
        }
        Place::Elsewhere
    }
}

#[cfg(test)]
mod tests;
