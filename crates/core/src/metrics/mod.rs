//! Metric families that belong to a server and outlive its instances, and those that the server itself counts.

mod workers;

use std::fmt;
use std::sync::OnceLock;

use dashmap::DashMap;
use domain::base::iana::OptRcode as Rcode;
use domain::base::iana::Rtype;
use prometheus::{CounterVec, GaugeVec, HistogramOpts, HistogramVec, Opts, Registry};

pub use workers::{
    BUCKETS_MAX, Family as WorkerFamily, Series, Shard, WorkerCounter, WorkerCounterVec, WorkerHistogram,
    WorkerHistogramVec,
};

use crate::query::Query;
use crate::question::Question;

/// The buckets of request times: 0.25 ms, doubled fifteen times. Seconds.
pub const TIME_BUCKETS: [f64; 16] =
    [0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192];
/// The buckets of times that are told more coarsely: 0.25 ms, times ten. Seconds.
pub const SLIM_TIME_BUCKETS: [f64; 5] = [0.00025, 0.0025, 0.025, 0.25, 2.5];
/// The buckets of message sizes, octets.
pub const SIZE_BUCKETS: [f64; 14] =
    [0.0, 100.0, 200.0, 300.0, 400.0, 511.0, 1023.0, 2047.0, 4095.0, 8291.0, 16_000.0, 32_000.0, 48_000.0, 64_000.0];
/// The zone label of queries that no server block took.
pub const DROPPED: &str = "dropped";

#[derive(Clone)]
enum Family {
    Counter(CounterVec),
    Gauge(GaugeVec),
    Histogram(HistogramVec),
    WorkerCounter(WorkerCounterVec),
    WorkerHistogram(WorkerHistogramVec),
}

/// The metric families of one server. A family asked for twice is the same one, so its values survive a reload.
pub struct Metrics {
    registry: Registry,
    families: DashMap<&'static str, Family>,
    workers: usize,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::for_workers(0)
    }
}

impl Metrics {
    /// No families; no worker has cells of its own, so that any number of threads may count.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// No families. Workers with a number from 0 to one below `workers` have cells of their own in [`WorkerCounterVec`] and
    /// [`WorkerHistogramVec`].
    #[must_use]
    pub fn for_workers(workers: usize) -> Self {
        Self { registry: Registry::default(), families: DashMap::default(), workers }
    }

    /// The registry, for whoever shows the metrics.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The counters of this name. `name` is whole, `coredns_` included.
    #[must_use]
    pub fn counter(&self, name: &'static str, help: &str, labels: &[&str]) -> CounterVec {
        let known = self.family(name, || CounterVec::new(Opts::new(name, help), labels).map(Family::Counter));
        match known {
            Some(Family::Counter(vec)) => vec,
            _ => detached(CounterVec::new(Opts::new("detached", help), labels)),
        }
    }

    /// The gauges of this name.
    #[must_use]
    pub fn gauge(&self, name: &'static str, help: &str, labels: &[&str]) -> GaugeVec {
        let known = self.family(name, || GaugeVec::new(Opts::new(name, help), labels).map(Family::Gauge));
        match known {
            Some(Family::Gauge(vec)) => vec,
            _ => detached(GaugeVec::new(Opts::new("detached", help), labels)),
        }
    }

    /// The histograms of this name.
    #[must_use]
    pub fn histogram(&self, name: &'static str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        let options = || HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let known = self.family(name, || HistogramVec::new(options(), labels).map(Family::Histogram));
        match known {
            Some(Family::Histogram(vec)) => vec,
            _ => detached(HistogramVec::new(HistogramOpts::new("detached", help), labels)),
        }
    }

    /// The counters of this name in which every query counts.
    #[must_use]
    pub fn worker_counter(&self, name: &'static str, help: &str, labels: &[&str]) -> WorkerCounterVec {
        let make = |name| WorkerFamily::counters((name, help), labels, self.workers);
        match self.family(name, || make(name).map(Family::WorkerCounter)) {
            Some(Family::WorkerCounter(vec)) => vec,
            _ => detached(make("detached")),
        }
    }

    /// The histograms of this name in which every query counts; buckets beyond [`BUCKETS_MAX`] are left out.
    #[must_use]
    pub fn worker_histogram(
        &self,
        name: &'static str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> WorkerHistogramVec {
        let make = |name| WorkerFamily::histograms((name, help), labels, buckets, self.workers);
        match self.family(name, || make(name).map(Family::WorkerHistogram)) {
            Some(Family::WorkerHistogram(vec)) => vec,
            _ => detached(make("detached")),
        }
    }

    fn family(&self, name: &'static str, make: impl FnOnce() -> prometheus::Result<Family>) -> Option<Family> {
        let entry = self.families.entry(name).or_try_insert_with(|| {
            let family = make()?;
            match family.clone() {
                Family::Counter(vec) => self.registry.register(Box::new(vec))?,
                Family::Gauge(vec) => self.registry.register(Box::new(vec))?,
                Family::Histogram(vec) => self.registry.register(Box::new(vec))?,
                Family::WorkerCounter(vec) => self.registry.register(Box::new(vec))?,
                Family::WorkerHistogram(vec) => self.registry.register(Box::new(vec))?,
            }
            Ok::<_, prometheus::Error>(family)
        });
        entry.ok().map(|entry| entry.clone())
    }
}

/// A family whose name is taken by one of another kind counts for itself and is not shown; label names here are constants.
#[allow(clippy::expect_used)]
fn detached<T>(made: prometheus::Result<T>) -> T {
    made.expect("metric names and labels are constants that the tests of their plugins make")
}

/// One thing for each listener of the instance, made when the listener first needs it.
#[derive(Default)]
pub struct PerServer<T>(OnceLock<Vec<OnceLock<T>>>);

impl<T> PerServer<T> {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// The thing for the listener that took the query; `make` gets its `server` label.
    pub fn get(&self, query: &Query, make: impl FnOnce(&str) -> T) -> &T {
        let count = query.env().instance.listeners().len().max(1);
        let all = self.0.get_or_init(|| std::iter::repeat_with(OnceLock::new).take(count).collect());
        all[query.listener().min(count - 1)].get_or_init(|| make(query.server()))
    }
}

/// Holds zones that are not in the Corefile and come and go. Offered with [`crate::Setup::offer`], found by `prometheus`, which then counts their
/// queries under their names and not under that of the block's zone.
///
/// CoreDNS: `Metrics.AddZone`.
pub trait CountedZones: Send + Sync + 'static {
    /// How many labels the longest of the zones that hold the question's name has, the root not counted.
    fn labels_of_longest(&self, question: &Question) -> Option<usize>;
}

/// What the server counts about requests. `prometheus` fills it per zone, the server itself for what no block took.
pub struct RequestMetrics {
    /// `coredns_dns_requests_total`
    pub requests: WorkerCounterVec,
    /// `coredns_dns_request_duration_seconds`
    pub duration: WorkerHistogramVec,
    /// `coredns_dns_request_size_bytes`
    pub request_size: WorkerHistogramVec,
    /// `coredns_dns_response_size_bytes`
    pub response_size: WorkerHistogramVec,
    /// `coredns_dns_do_requests_total`
    pub do_requests: WorkerCounterVec,
    /// `coredns_dns_responses_total`
    pub responses: WorkerCounterVec,
    /// `coredns_panics_total`
    pub panics: prometheus::Counter,
}

impl RequestMetrics {
    /// The families, made or found.
    #[must_use]
    pub fn of(metrics: &Metrics) -> Self {
        let place = ["server", "zone", "view"];
        let with_proto = ["server", "zone", "view", "proto"];
        Self {
            requests: metrics.worker_counter(
                "coredns_dns_requests_total",
                "Counter of DNS requests made per zone, protocol and family.",
                &["server", "zone", "view", "proto", "family", "type"],
            ),
            duration: metrics.worker_histogram(
                "coredns_dns_request_duration_seconds",
                "Histogram of the time (in seconds) each request took per zone.",
                &place,
                &TIME_BUCKETS,
            ),
            request_size: metrics.worker_histogram(
                "coredns_dns_request_size_bytes",
                "Size of the EDNS0 UDP buffer in bytes (64K for TCP) per zone and protocol.",
                &with_proto,
                &SIZE_BUCKETS,
            ),
            response_size: metrics.worker_histogram(
                "coredns_dns_response_size_bytes",
                "Size of the returned response in bytes.",
                &with_proto,
                &SIZE_BUCKETS,
            ),
            do_requests: metrics.worker_counter(
                "coredns_dns_do_requests_total",
                "Counter of DNS requests with DO bit set per zone.",
                &place,
            ),
            responses: metrics.worker_counter(
                "coredns_dns_responses_total",
                "Counter of response status codes.",
                &["server", "zone", "view", "rcode", "plugin"],
            ),
            panics: metrics
                .counter("coredns_panics_total", "A metrics that counts the number of panics.", &[])
                .with_label_values(&[] as &[&str]),
        }
    }

    /// Counts a query that no server block took, with the code that it got.
    pub fn count_dropped(&self, query: &Query, rcode: Rcode) {
        let (server, shard) = (query.server(), query.shard());
        let proto = query.protocol().as_str();
        let kind = type_label(query.qtype());
        self.requests.with_label_values(&[server, DROPPED, "", proto, family_label(query), kind]).inc(shard);
        if query.dnssec_ok() {
            self.do_requests.with_label_values(&[server, DROPPED, ""]).inc(shard);
        }
        self.duration.with_label_values(&[server, DROPPED, ""]).observe(query.elapsed().as_secs_f64(), shard);
        self.request_size.with_label_values(&[server, DROPPED, "", proto]).observe(query.request_len() as f64, shard);
        self.response_size.with_label_values(&[server, DROPPED, "", proto]).observe(0.0, shard);
        self.responses.with_label_values(&[server, DROPPED, "", &rcode_text(rcode), ""]).inc(shard);
    }
}

/// `1` for IPv4 clients, `2` for IPv6 clients.
#[must_use]
pub fn family_label(query: &Query) -> &'static str {
    if query.client().ip().to_canonical().is_ipv4() { "1" } else { "2" }
}

/// The type label: one of the common types, or `other`.
#[must_use]
pub fn type_label(qtype: Rtype) -> &'static str {
    match qtype {
        Rtype::A => "A",
        Rtype::AAAA => "AAAA",
        Rtype::CNAME => "CNAME",
        Rtype::DNSKEY => "DNSKEY",
        Rtype::DS => "DS",
        Rtype::MX => "MX",
        Rtype::NSEC3 => "NSEC3",
        Rtype::NSEC => "NSEC",
        Rtype::NS => "NS",
        Rtype::PTR => "PTR",
        Rtype::RRSIG => "RRSIG",
        Rtype::SOA => "SOA",
        Rtype::SRV => "SRV",
        Rtype::TXT => "TXT",
        Rtype::HTTPS => "HTTPS",
        Rtype::SVCB => "SVCB",
        Rtype::IXFR => "IXFR",
        Rtype::AXFR => "AXFR",
        Rtype::ANY => "ANY",
        _ => "other",
    }
}

/// The mnemonic of a code, or `RCODEn` (CoreDNS: plugin/pkg/rcode).
#[must_use]
pub fn rcode_text(rcode: Rcode) -> std::borrow::Cow<'static, str> {
    match rcode_mnemonic(rcode) {
        Some(known) => known.into(),
        None => format!("RCODE{}", rcode.to_int()).into(),
    }
}

/// The mnemonic of a code as miekg/dns has it.
#[must_use]
pub fn rcode_mnemonic(rcode: Rcode) -> Option<&'static str> {
    Some(match rcode.to_int() {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        11 => "DSOTYPENI",
        16 => "BADSIG",
        17 => "BADKEY",
        18 => "BADTIME",
        19 => "BADMODE",
        20 => "BADNAME",
        21 => "BADALG",
        22 => "BADTRUNC",
        23 => "BADCOOKIE",
        _ => return None,
    })
}

/// A type as miekg/dns writes it, which knows fewer names than we do and spells one differently: for logs, where people search for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeText(pub Rtype);

impl fmt::Display for TypeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.to_int() {
            0 => f.write_str("None"),
            23 => f.write_str("NSAP-PTR"),
            65_535 => f.write_str("Reserved"),
            number @ (11 | 22 | 38 | 40 | 66 | 67 | 68 | 259 | 262 | 263 | 264) => write!(f, "TYPE{number}"),
            _ => write!(f, "{}", self.0),
        }
    }
}

/// The type of a mnemonic of miekg/dns, in capitals: for directives that name types. `TYPE65280` is none.
#[must_use]
pub fn type_named(word: &str) -> Option<Rtype> {
    let number = match word {
        "None" => 0,
        "NSAP-PTR" => 23,
        "Reserved" => 65_535,
        _ => {
            let rtype = word.parse::<Rtype>().ok()?;
            let is_mnemonic = !word.starts_with("TYPE") && TypeText(rtype).to_string() == word;
            return is_mnemonic.then_some(rtype);
        }
    };
    Some(Rtype::from_int(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_the_names_of_the_reference() {
        let names = [
            (0, "None"),
            (1, "A"),
            (10, "NULL"),
            (11, "TYPE11"),
            (23, "NSAP-PTR"),
            (64, "SVCB"),
            (255, "ANY"),
            (65_400, "TYPE65400"),
        ];
        for (number, name) in names {
            assert_eq!(TypeText(Rtype::from_int(number)).to_string(), name);
        }
    }

    #[test]
    fn a_mnemonic_in_capitals_names_its_type_and_back() {
        for number in 0..=u16::MAX {
            let rtype = Rtype::from_int(number);
            let text = TypeText(rtype).to_string();
            let named = type_named(&text);
            assert_eq!(named, Some(rtype).filter(|_| !text.starts_with("TYPE")), "{text}");
        }
        for word in ["a", "TYPE1", "TYPE65280", "", "A ", "BOGUS"] {
            assert_eq!(type_named(word), None, "{word}");
        }
    }
}
