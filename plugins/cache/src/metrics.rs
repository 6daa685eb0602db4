//! What `cache` counts. A series shows up when it is first counted, as in CoreDNS.

use std::sync::{Arc, OnceLock};

use catena_core::metrics::{Shard, WorkerCounter, WorkerCounterVec};
use catena_core::{Metrics, PerServer, Query};
use prometheus::{Gauge, GaugeVec};

/// Which of the two stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Answers and delegations.
    Success,
    /// Denials and failures.
    Denial,
}

impl Kind {
    fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Denial => "denial",
        }
    }
}

/// A series that is made when it is first counted; after that counting is one step in the cells of the worker.
pub(crate) struct Series {
    family: WorkerCounterVec,
    labels: Vec<String>,
    made: OnceLock<Arc<WorkerCounter>>,
}

impl Series {
    fn new(family: &WorkerCounterVec, labels: &[&str]) -> Self {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        Self { family: family.clone(), labels, made: OnceLock::new() }
    }

    pub(crate) fn inc(&self, shard: Shard) {
        let make = || {
            let labels: Vec<&str> = self.labels.iter().map(String::as_str).collect();
            self.family.with_label_values(&labels)
        };
        self.made.get_or_init(make).inc(shard);
    }
}

/// The families and, for each listener, the handles of its series.
pub(crate) struct CacheMetrics {
    families: Families,
    zones: String,
    handles: PerServer<Handles>,
}

struct Families {
    entries: GaugeVec,
    hits: WorkerCounterVec,
    evictions: WorkerCounterVec,
    requests: WorkerCounterVec,
    misses: WorkerCounterVec,
    prefetch: WorkerCounterVec,
    drops: WorkerCounterVec,
    served_stale: WorkerCounterVec,
}

impl CacheMetrics {
    pub(crate) fn new(metrics: &Arc<Metrics>, zones: String) -> Self {
        let typed = ["server", "type", "zones", "view"];
        let plain = ["server", "zones", "view"];
        let families = Families {
            entries: metrics.gauge("coredns_cache_entries", "The number of elements in the cache.", &typed),
            hits: metrics.worker_counter("coredns_cache_hits_total", "The count of cache hits.", &typed),
            evictions: metrics.worker_counter("coredns_cache_evictions_total", "The count of cache evictions.", &typed),
            requests: metrics.worker_counter("coredns_cache_requests_total", "The count of cache requests.", &plain),
            misses: metrics.worker_counter(
                "coredns_cache_misses_total",
                "The count of cache misses. Deprecated, derive misses from cache hits/requests counters.",
                &plain,
            ),
            prefetch: metrics.worker_counter(
                "coredns_cache_prefetch_total",
                "The number of times the cache has prefetched a cached item.",
                &plain,
            ),
            drops: metrics.worker_counter(
                "coredns_cache_drops_total",
                "The number responses that are not cached, because the reply is malformed.",
                &plain,
            ),
            served_stale: metrics.worker_counter(
                "coredns_cache_served_stale_total",
                "The number of requests served from stale cache entries.",
                &plain,
            ),
        };
        Self { families, zones, handles: PerServer::new() }
    }

    /// The handles for the listener that took the query.
    pub(crate) fn of(&self, query: &Query) -> &Handles {
        self.handles.get(query, |server| Handles::new(&self.families, [server, &self.zones, query.view()]))
    }
}

/// The series of one listener.
pub(crate) struct Handles {
    entries: GaugeVec,
    /// Server, zones, view.
    place: [String; 3],
    sizes: OnceLock<[Gauge; 2]>,
    hits: [Series; 2],
    evictions: [Series; 2],
    pub(crate) requests: Series,
    pub(crate) misses: Series,
    pub(crate) prefetch: Series,
    pub(crate) drops: Series,
    pub(crate) served_stale: Series,
}

impl Handles {
    fn new(families: &Families, [server, zones, view]: [&str; 3]) -> Self {
        let plain = |family| Series::new(family, &[server, zones, view]);
        let typed = |family| {
            [Kind::Success, Kind::Denial].map(|kind| Series::new(family, &[server, kind.label(), zones, view]))
        };
        Self {
            entries: families.entries.clone(),
            place: [server, zones, view].map(str::to_owned),
            sizes: OnceLock::new(),
            hits: typed(&families.hits),
            evictions: typed(&families.evictions),
            requests: plain(&families.requests),
            misses: plain(&families.misses),
            prefetch: plain(&families.prefetch),
            drops: plain(&families.drops),
            served_stale: plain(&families.served_stale),
        }
    }

    pub(crate) fn hit(&self, kind: Kind, shard: Shard) {
        self.hits[kind as usize].inc(shard);
    }

    pub(crate) fn eviction(&self, kind: Kind, shard: Shard) {
        self.evictions[kind as usize].inc(shard);
    }

    /// Shows how many entries each store has.
    pub(crate) fn set_sizes(&self, success: usize, denial: usize) {
        let [server, zones, view] = &self.place;
        let sizes = self.sizes.get_or_init(|| {
            [Kind::Success, Kind::Denial]
                .map(|kind| self.entries.with_label_values(&[server, kind.label(), zones, view]))
        });
        sizes[0].set(success as f64);
        sizes[1].set(denial as f64);
    }
}
