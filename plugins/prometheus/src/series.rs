//! The series of one zone on one listener. Each is looked up in its family when it is first counted; after that counting is a step in
//! the worker's cells of a handle found by number.

use std::sync::{Arc, OnceLock};

use catena_core::Protocol;
use catena_core::metrics::{
    RequestMetrics, Shard, WorkerCounter, WorkerHistogram, family_label, rcode_text, type_label,
};
use catena_core::prelude::*;

/// The label values of types with a label of their own; the last one is for all others.
const TYPES: [Rtype; 19] = [
    Rtype::A,
    Rtype::AAAA,
    Rtype::CNAME,
    Rtype::DNSKEY,
    Rtype::DS,
    Rtype::MX,
    Rtype::NSEC3,
    Rtype::NSEC,
    Rtype::NS,
    Rtype::PTR,
    Rtype::RRSIG,
    Rtype::SOA,
    Rtype::SRV,
    Rtype::TXT,
    Rtype::HTTPS,
    Rtype::SVCB,
    Rtype::IXFR,
    Rtype::AXFR,
    Rtype::ANY,
];
/// The codes with a handle of their own; rarer ones are looked up.
const RCODES: usize = 24;
/// The zone of names that are in none of the block's zones.
const NO_ZONE: &str = ".";

/// What the labels of a block can be.
pub(crate) struct Places {
    /// The zones of its keys.
    pub(crate) zones: Vec<Zone>,
    /// Its links.
    pub(crate) plugins: Vec<&'static str>,
    /// The name of its view, empty if it has none.
    pub(crate) view: String,
}

impl Places {
    /// The number of the longest zone that holds the name; one past the last if none does.
    pub(crate) fn zone_of(&self, q: &Query) -> usize {
        let (lower, labels) = (q.lower().as_slice(), q.question().labels());
        let holding = self.zones.iter().enumerate().filter(|(_, zone)| zone.holds(lower, labels));
        holding.max_by_key(|(_, zone)| zone.labels()).map_or(self.zones.len(), |(index, _)| index)
    }

    /// The number of a plugin of the chain; one past the last for none.
    pub(crate) fn plugin_index(&self, name: &str) -> usize {
        self.plugins.iter().position(|known| *known == name).unwrap_or(self.plugins.len())
    }

    /// The series of all zones on a listener.
    pub(crate) fn series(&self, requests: &Arc<RequestMetrics>, server: &str) -> Vec<ZoneSeries> {
        let zones = self.zones.iter().map(Zone::text).chain([NO_ZONE]);
        zones.map(|zone| ZoneSeries::new(requests, [server, zone, &self.view], &self.plugins)).collect()
    }
}

/// The series of one zone on one listener.
pub(crate) struct ZoneSeries {
    families: Arc<RequestMetrics>,
    server: String,
    zone: String,
    view: String,
    plugins: Vec<&'static str>,
    requests: Box<[OnceLock<Arc<WorkerCounter>>]>,
    responses: Box<[OnceLock<Arc<WorkerCounter>>]>,
    do_requests: OnceLock<Arc<WorkerCounter>>,
    duration: OnceLock<Arc<WorkerHistogram>>,
    request_size: [OnceLock<Arc<WorkerHistogram>>; 2],
    response_size: [OnceLock<Arc<WorkerHistogram>>; 2],
}

fn unmade<T>(count: usize) -> Box<[OnceLock<T>]> {
    std::iter::repeat_with(OnceLock::new).take(count).collect()
}

impl ZoneSeries {
    pub(crate) fn new(
        families: &Arc<RequestMetrics>,
        [server, zone, view]: [&str; 3],
        plugins: &[&'static str],
    ) -> Self {
        Self {
            families: Arc::clone(families),
            server: server.to_owned(),
            zone: zone.to_owned(),
            view: view.to_owned(),
            plugins: plugins.to_vec(),
            requests: unmade(2 * 2 * (TYPES.len() + 1)),
            responses: unmade((plugins.len() + 1) * RCODES),
            do_requests: OnceLock::new(),
            duration: OnceLock::new(),
            request_size: Default::default(),
            response_size: Default::default(),
        }
    }

    /// Counts a query and its reply: the code, the number of the plugin that made it, its length in octets.
    pub(crate) fn count(&self, q: &Query, rcode: Rcode, plugin: usize, len: usize) {
        let [server, zone, view] = [&*self.server, &*self.zone, &*self.view];
        let (proto, shard) = (q.protocol(), q.shard());
        let proto_label = proto.as_str();
        if q.dnssec_ok() {
            let make = || self.families.do_requests.with_label_values(&[server, zone, view]);
            self.do_requests.get_or_init(make).inc(shard);
        }
        self.request(q).inc(shard);
        let duration = self.duration.get_or_init(|| self.families.duration.with_label_values(&[server, zone, view]));
        // A clock that never stands still would cost as much as all the rest of this.
        let elapsed = q.now().saturating_duration_since(q.received());
        duration.observe(elapsed.as_secs_f64(), shard);
        let sizes = [
            (&self.response_size, &self.families.response_size, len),
            (&self.request_size, &self.families.request_size, q.request_len()),
        ];
        for (made, family, octets) in sizes {
            let size = made[usize::from(proto == Protocol::Tcp)]
                .get_or_init(|| family.with_label_values(&[server, zone, view, proto_label]));
            size.observe(octets as f64, shard);
        }
        self.response(rcode, plugin, shard);
    }

    fn request(&self, q: &Query) -> &WorkerCounter {
        let family = family_label(q);
        let kind = TYPES.iter().position(|known| *known == q.qtype()).unwrap_or(TYPES.len());
        let index = (kind * 2 + usize::from(family == "2")) * 2 + usize::from(q.protocol() == Protocol::Tcp);
        self.requests[index].get_or_init(|| {
            let labels =
                [&*self.server, &*self.zone, &*self.view, q.protocol().as_str(), family, type_label(q.qtype())];
            self.families.requests.with_label_values(&labels)
        })
    }

    fn response(&self, rcode: Rcode, plugin: usize, shard: Shard) {
        let code = usize::from(rcode.to_int());
        let name = self.plugins.get(plugin).copied().unwrap_or_default();
        let make = || {
            let labels = [&*self.server, &*self.zone, &*self.view, &*rcode_text(rcode), name];
            self.families.responses.with_label_values(&labels)
        };
        if code < RCODES {
            self.responses[plugin.min(self.plugins.len()) * RCODES + code].get_or_init(make).inc(shard);
        } else {
            make().inc(shard);
        }
    }
}
