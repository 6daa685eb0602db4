//! What was dropped.

use catena_core::{PerServer, Query};
use prometheus::{Counter, CounterVec};

pub(crate) struct Metrics {
    /// `coredns_shed_dropped_total`
    pub(crate) dropped: CounterVec,
    queries: PerServer<Counter>,
}

impl Metrics {
    pub(crate) fn of(metrics: &catena_core::Metrics) -> Self {
        let help = "Counter of queries and responses dropped, per server, by reason.";
        let dropped = metrics.counter("coredns_shed_dropped_total", help, &["server", "reason"]);
        Self { dropped, queries: PerServer::new() }
    }

    /// Shows both series of a server.
    pub(crate) fn show(&self, server: &str) {
        for reason in ["query", "response"] {
            self.dropped.with_label_values(&[server, reason]);
        }
    }

    pub(crate) fn count_query(&self, query: &Query) {
        self.queries.get(query, |server| self.dropped.with_label_values(&[server, "query"])).inc();
    }
}
