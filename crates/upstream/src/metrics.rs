//! What is counted about upstreams. CoreDNS: plugin/pkg/proxy/metrics.go.

use std::borrow::Cow;
use std::sync::OnceLock;

use catena_core::Rcode;
use catena_core::metrics::{Metrics, TIME_BUCKETS, rcode_mnemonic};
use prometheus::{Counter, CounterVec, Histogram, HistogramVec};

/// Codes below this one have their histogram at hand.
const COMMON_RCODES: usize = 24;

/// How a connection reaches an upstream, as the `proto` label tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proto {
    Udp,
    Tcp,
    Tls,
}

impl Proto {
    const fn label(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tcp-tls",
        }
    }
}

/// The families `coredns_proxy_*`.
#[derive(Clone)]
pub struct ProxyMetrics {
    proxy_name: &'static str,
    duration: HistogramVec,
    failures: CounterVec,
    hits: CounterVec,
    misses: CounterVec,
}

impl ProxyMetrics {
    /// The families, made or found; `proxy_name` is the directive that asks.
    #[must_use]
    pub fn of(metrics: &Metrics, proxy_name: &'static str) -> Self {
        Self {
            proxy_name,
            duration: metrics.histogram(
                "coredns_proxy_request_duration_seconds",
                "Histogram of the time each request took.",
                &["proxy_name", "to", "rcode"],
                &TIME_BUCKETS,
            ),
            failures: metrics.counter(
                "coredns_proxy_healthcheck_failures_total",
                "Counter of the number of failed healthchecks.",
                &["proxy_name", "to"],
            ),
            hits: metrics.counter(
                "coredns_proxy_conn_cache_hits_total",
                "Counter of connection cache hits per upstream and protocol.",
                &["proxy_name", "to", "proto"],
            ),
            misses: metrics.counter(
                "coredns_proxy_conn_cache_misses_total",
                "Counter of connection cache misses per upstream and protocol.",
                &["proxy_name", "to", "proto"],
            ),
        }
    }
}

/// One upstream's metrics; a series begins to exist when it is first counted.
pub(crate) struct UpstreamMetrics {
    families: ProxyMetrics,
    to: Box<str>,
    durations: [OnceLock<Histogram>; COMMON_RCODES],
    hits: [OnceLock<Counter>; 3],
    misses: [OnceLock<Counter>; 3],
}

impl UpstreamMetrics {
    pub(crate) fn new(families: ProxyMetrics, to: &str) -> Self {
        Self {
            families,
            to: to.into(),
            durations: [const { OnceLock::new() }; COMMON_RCODES],
            hits: [const { OnceLock::new() }; 3],
            misses: [const { OnceLock::new() }; 3],
        }
    }

    /// A reply with this code came after so many seconds.
    pub(crate) fn replied(&self, rcode: Rcode, seconds: f64) {
        match self.durations.get(usize::from(rcode.to_int())) {
            Some(known) => known.get_or_init(|| self.duration_of(rcode)).observe(seconds),
            None => self.duration_of(rcode).observe(seconds),
        }
    }

    fn duration_of(&self, rcode: Rcode) -> Histogram {
        let text = rcode_mnemonic(rcode).map_or_else(|| Cow::Owned(rcode.to_int().to_string()), Cow::Borrowed);
        self.families.duration.with_label_values(&[self.families.proxy_name, &self.to, &text])
    }

    /// A health check failed.
    pub(crate) fn check_failed(&self) {
        self.families.failures.with_label_values(&[self.families.proxy_name, &self.to]).inc();
    }

    /// A kept connection was used, or there was none.
    pub(crate) fn looked_for_connection(&self, proto: Proto, found: bool) {
        let (known, family) =
            if found { (&self.hits, &self.families.hits) } else { (&self.misses, &self.families.misses) };
        let counter = known[proto as usize]
            .get_or_init(|| family.with_label_values(&[self.families.proxy_name, &*self.to, proto.label()]));
        counter.inc();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_code_without_a_name_is_counted_under_its_number() {
        let metrics = Metrics::new();
        let upstream = UpstreamMetrics::new(ProxyMetrics::of(&metrics, "forward"), "192.0.2.1:53");
        upstream.replied(Rcode::NXDOMAIN, 0.5);
        upstream.replied(Rcode::masked_from_int(3841), 0.5);
        upstream.looked_for_connection(Proto::Tls, false);
        let text = prometheus::TextEncoder::new().encode_to_string(&metrics.registry().gather()).unwrap();
        assert!(text.contains(r#"proxy_name="forward",rcode="NXDOMAIN",to="192.0.2.1:53",le="#), "{text}");
        assert!(text.contains(r#"rcode="3841""#), "{text}");
        assert!(
            text.contains(
                r#"coredns_proxy_conn_cache_misses_total{proto="tcp-tls",proxy_name="forward",to="192.0.2.1:53"} 1"#
            ),
            "{text}"
        );
        assert!(!text.contains("coredns_proxy_conn_cache_hits_total{"), "{text}");
    }
}
