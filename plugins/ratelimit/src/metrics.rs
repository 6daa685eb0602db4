//! What `ratelimit` counts.

use catena_core::Metrics;
use prometheus::{Counter, CounterVec};

/// The families.
pub(crate) struct Families {
    requests: CounterVec,
    responses: CounterVec,
    slipped: CounterVec,
}

impl Families {
    pub(crate) fn of(metrics: &Metrics) -> Self {
        let labels = ["server", "view"];
        Self {
            requests: metrics.counter(
                "coredns_ratelimit_requests_exceeded_total",
                "Counter of queries over the limit of their client's network.",
                &labels,
            ),
            responses: metrics.counter(
                "coredns_ratelimit_responses_exceeded_total",
                "Counter of replies over the limit of their client's network.",
                &labels,
            ),
            slipped: metrics.counter(
                "coredns_ratelimit_slipped_total",
                "Counter of truncated replies sent in place of those held back.",
                &labels,
            ),
        }
    }

    pub(crate) fn for_server(&self, server: &str, view: &str) -> LimitMetrics {
        let of = |family: &CounterVec| family.with_label_values(&[server, view]);
        LimitMetrics { requests: of(&self.requests), responses: of(&self.responses), slipped: of(&self.slipped) }
    }
}

/// The counters of one listener.
pub(crate) struct LimitMetrics {
    pub(crate) requests: Counter,
    pub(crate) responses: Counter,
    pub(crate) slipped: Counter,
}
