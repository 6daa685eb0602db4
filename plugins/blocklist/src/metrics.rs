//! What `blocklist` counts.

use std::sync::OnceLock;

use catena_core::{Metrics, PerServer, Query};
use prometheus::{Counter, CounterVec, Gauge};

/// What was done about a query, as the `action` label says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    NxDomain,
    NoData,
    Refused,
    Dropped,
    Address,
    Cname,
    Local,
    TcpOnly,
    Passed,
    Allowed,
}

/// As many as [`Done`] has.
const DONE_LEN: usize = 10;

impl Done {
    fn label(self) -> &'static str {
        match self {
            Self::NxDomain => "nxdomain",
            Self::NoData => "nodata",
            Self::Refused => "refused",
            Self::Dropped => "drop",
            Self::Address => "address",
            Self::Cname => "cname",
            Self::Local => "local",
            Self::TcpOnly => "tcp-only",
            Self::Passed => "passthru",
            Self::Allowed => "allow",
        }
    }
}

/// The counters of queries, each made when it first counts.
pub(crate) struct Hits {
    family: CounterVec,
    lists: Vec<String>,
    per_server: PerServer<Vec<[OnceLock<Counter>; DONE_LEN]>>,
}

impl Hits {
    /// Counters for lists of these names.
    pub(crate) fn of(metrics: &Metrics, lists: Vec<String>) -> Self {
        let family = metrics.counter(
            "coredns_blocklist_hits_total",
            "Counter of queries about which a list had something to say.",
            &["server", "view", "list", "action"],
        );
        Self { family, lists, per_server: PerServer::new() }
    }

    /// Counts a query.
    pub(crate) fn count(&self, q: &Query, list: usize, done: Done) {
        let all = self.per_server.get(q, |_| self.lists.iter().map(|_| Default::default()).collect());
        let (Some(counters), Some(name)) = (all.get(list), self.lists.get(list)) else { return };
        let make = || self.family.with_label_values(&[q.server(), q.view(), name, done.label()]);
        if let Some(counter) = counters.get(done as usize) {
            counter.get_or_init(make).inc();
        }
    }
}

/// The series of one list.
pub(crate) struct ListMetrics {
    /// How many names and networks it has.
    pub(crate) entries: Gauge,
    /// When it was last taken in, seconds since 1970.
    pub(crate) reloaded: Gauge,
    /// How often it could not be.
    pub(crate) failures: Counter,
    /// Lines or records of it that are not understood.
    pub(crate) skipped: Gauge,
}

impl ListMetrics {
    pub(crate) fn of(metrics: &Metrics, list: &str) -> Self {
        let gauge = |name, help| metrics.gauge(name, help, &["list"]).with_label_values(&[list]);
        Self {
            entries: gauge("coredns_blocklist_entries", "The number of names and networks of a list."),
            reloaded: gauge(
                "coredns_blocklist_reload_timestamp_seconds",
                "The time at which a list was last taken in, in seconds since 1970.",
            ),
            failures: metrics
                .counter("coredns_blocklist_failures_total", "Counter of failures to take a list in.", &["list"])
                .with_label_values(&[list]),
            skipped: gauge(
                "coredns_blocklist_skipped_entries",
                "The number of lines or records of a list that were not understood.",
            ),
        }
    }

    /// Tells what another list's series tell.
    pub(crate) fn take_over(&self, before: &Self) {
        for (own, theirs) in
            [(&self.entries, &before.entries), (&self.reloaded, &before.reloaded), (&self.skipped, &before.skipped)]
        {
            own.set(theirs.get());
        }
    }
}
