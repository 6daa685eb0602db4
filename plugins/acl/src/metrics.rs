//! What `acl` counts. A series shows up when it is first counted, as in CoreDNS.

use std::sync::OnceLock;

use catena_core::{Metrics, PerServer, Query, Zones};
use prometheus::{Counter, CounterVec};

/// How a query is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// REFUSED.
    Block,
    /// An empty answer.
    Filter,
    /// No reply.
    Drop,
}

/// The handles of one zone of one rule: a series for each verdict.
type OfZone = [OnceLock<Counter>; 3];

/// The plugin's counters.
pub(crate) struct Counters {
    /// By verdict.
    families: [CounterVec; 3],
    allowed: CounterVec,
    /// The zones of each rule.
    zones: Vec<Vec<String>>,
    refused: PerServer<Vec<Vec<OfZone>>>,
    passed: PerServer<Counter>,
}

impl Counters {
    /// The counters for rules with these zones.
    pub(crate) fn new<'a>(metrics: &Metrics, rules: impl Iterator<Item = &'a Zones>) -> Self {
        let labels = ["server", "zone", "view"];
        Self {
            families: [
                metrics.counter(
                    "coredns_acl_blocked_requests_total",
                    "Counter of DNS requests being blocked.",
                    &labels,
                ),
                metrics.counter(
                    "coredns_acl_filtered_requests_total",
                    "Counter of DNS requests being filtered.",
                    &labels,
                ),
                metrics.counter(
                    "coredns_acl_dropped_requests_total",
                    "Counter of DNS requests being dropped.",
                    &labels,
                ),
            ],
            allowed: metrics.counter(
                "coredns_acl_allowed_requests_total",
                "Counter of DNS requests being allowed.",
                &["server", "view"],
            ),
            zones: rules.map(|zones| zones.iter().map(|zone| zone.text().to_owned()).collect()).collect(),
            refused: PerServer::new(),
            passed: PerServer::new(),
        }
    }

    /// Counts a query that passes.
    pub(crate) fn allowed(&self, q: &Query) {
        self.passed.get(q, |server| self.allowed.with_label_values(&[server, q.view()])).inc();
    }

    /// Counts a query that is turned away, by the numbers of the rule and of its zone.
    pub(crate) fn refused(&self, q: &Query, verdict: Verdict, rule: usize, zone: usize) {
        let unmade = || self.zones.iter().map(|zones| zones.iter().map(|_| OfZone::default()).collect()).collect();
        let handles: &Vec<Vec<OfZone>> = self.refused.get(q, |_| unmade());
        let series = || {
            let text = self.zones.get(rule).and_then(|zones| zones.get(zone)).map_or("", String::as_str);
            self.families[verdict as usize].with_label_values(&[q.server(), text, q.view()])
        };
        match handles.get(rule).and_then(|zones| zones.get(zone)) {
            Some(of_zone) => of_zone[verdict as usize].get_or_init(series).inc(),
            None => series().inc(),
        }
    }
}
