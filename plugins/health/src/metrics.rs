//! The metrics of *health*.

use catena_core::metrics::SLIM_TIME_BUCKETS;
use prometheus::{Counter, Histogram};

/// What the check of itself counts.
pub(crate) struct Metrics {
    /// `coredns_health_request_duration_seconds`
    pub(crate) duration: Histogram,
    /// `coredns_health_request_failures_total`
    pub(crate) failures: Counter,
}

impl Metrics {
    pub(crate) fn of(metrics: &catena_core::Metrics) -> Self {
        let none: &[&str] = &[];
        let duration = metrics.histogram(
            "coredns_health_request_duration_seconds",
            "Histogram of the time (in seconds) each request took.",
            none,
            &SLIM_TIME_BUCKETS,
        );
        let failures = metrics.counter(
            "coredns_health_request_failures_total",
            "The number of times the health check failed.",
            none,
        );
        Self { duration: duration.with_label_values(none), failures: failures.with_label_values(none) }
    }
}
