//! What `ecs` counts.

use catena_core::Metrics;
use prometheus::{Counter, CounterVec};

/// What was done about a query's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The client said it, and upstreams are told.
    Forwarded,
    /// Upstreams are told what the client did not say.
    Set,
    /// The client said one, and upstreams are told none.
    Stripped,
    /// The client wants none to be told.
    OptedOut,
    /// The network means nothing elsewhere.
    Private,
    /// The client's option is broken.
    Malformed,
    /// There is none.
    Absent,
}

const ACTIONS: [&str; 7] = ["forwarded", "set", "stripped", "opted_out", "private", "malformed", "none"];

/// The families.
pub(crate) struct Families {
    queries: CounterVec,
    mismatches: CounterVec,
}

impl Families {
    pub(crate) fn of(metrics: &Metrics) -> Self {
        Self {
            queries: metrics.counter(
                "coredns_ecs_queries_total",
                "Counter of queries by what was done about their client subnet.",
                &["server", "view", "action"],
            ),
            mismatches: metrics.counter(
                "coredns_ecs_mismatches_total",
                "Counter of replies that were for another client subnet than their query.",
                &["server", "view"],
            ),
        }
    }

    pub(crate) fn for_server(&self, server: &str, view: &str) -> EcsMetrics {
        EcsMetrics {
            queries: ACTIONS.map(|action| self.queries.with_label_values(&[server, view, action])),
            mismatches: self.mismatches.with_label_values(&[server, view]),
        }
    }
}

/// The counters of one listener.
pub(crate) struct EcsMetrics {
    queries: [Counter; 7],
    pub(crate) mismatches: Counter,
}

impl EcsMetrics {
    pub(crate) fn count(&self, action: Action) {
        self.queries[action as usize].inc();
    }
}
