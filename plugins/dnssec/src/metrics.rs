//! What `dnssec` counts. CoreDNS: plugin/dnssec.

use std::sync::Arc;

use catena_core::{Metrics, PerServer, Query};
use prometheus::{Counter, CounterVec, Gauge, GaugeVec};

/// The families and, for each listener, the handles of its series.
pub(crate) struct DnssecMetrics {
    entries: GaugeVec,
    hits: CounterVec,
    misses: CounterVec,
    handles: PerServer<Handles>,
}

/// The series of one listener.
pub(crate) struct Handles {
    pub(crate) entries: Gauge,
    pub(crate) hits: Counter,
    pub(crate) misses: Counter,
}

impl DnssecMetrics {
    pub(crate) fn new(metrics: &Arc<Metrics>) -> Self {
        Self {
            entries: metrics.gauge(
                "coredns_dnssec_cache_entries",
                "The number of elements in the dnssec cache.",
                &["server", "type"],
            ),
            hits: metrics.counter("coredns_dnssec_cache_hits_total", "The count of cache hits.", &["server"]),
            misses: metrics.counter("coredns_dnssec_cache_misses_total", "The count of cache misses.", &["server"]),
            handles: PerServer::new(),
        }
    }

    /// The handles for the listener that took the query.
    pub(crate) fn of(&self, query: &Query) -> &Handles {
        self.handles.get(query, |server| Handles {
            entries: self.entries.with_label_values(&[server, "signature"]),
            hits: self.hits.with_label_values(&[server]),
            misses: self.misses.with_label_values(&[server]),
        })
    }
}
