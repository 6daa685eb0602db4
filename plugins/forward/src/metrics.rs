//! What `forward` counts itself; the rest is counted per upstream.

use catena_core::Metrics;
use prometheus::Counter;

/// Ready handles.
pub(crate) struct ForwardMetrics {
    /// `coredns_forward_healthcheck_broken_total`
    pub(crate) broken: Counter,
    /// `coredns_forward_max_concurrent_rejects_total`
    pub(crate) rejects: Counter,
}

impl ForwardMetrics {
    pub(crate) fn of(metrics: &Metrics) -> Self {
        let counter = |name, help| metrics.counter(name, help, &[]).with_label_values(&[] as &[&str]);
        Self {
            broken: counter(
                "coredns_forward_healthcheck_broken_total",
                "Counter of the number of complete failures of the healthchecks.",
            ),
            rejects: counter(
                "coredns_forward_max_concurrent_rejects_total",
                "Counter of the number of queries rejected because the concurrent queries were at maximum.",
            ),
        }
    }
}
