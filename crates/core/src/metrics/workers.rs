//! Counters and histograms for what happens with every query: each worker counts in cells of its own, which are added up when somebody
//! looks. So no worker waits for a cache line that another one has just written, and counting needs no atomic read-modify-write.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use prometheus::core::{Collector, Desc};
use prometheus::proto;

/// In whose cells is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard(usize);

impl Shard {
    /// Cells in which anybody may count, at the price of an atomic read-modify-write.
    pub const SHARED: Self = Self(0);

    /// The cells of a worker. Only its thread may count in them: what two threads count there at once may be counted once.
    #[must_use]
    pub fn of_worker(worker: usize) -> Self {
        Self(worker.saturating_add(1))
    }
}

/// The cells of one worker; no other worker's are in the same cache lines.
#[repr(align(128))]
struct Cells<const N: usize>([AtomicU64; N]);

/// The same cells for each worker, made when it first counts.
struct Sharded<const N: usize>(Box<[OnceLock<Box<Cells<N>>>]>);

impl<const N: usize> Sharded<N> {
    fn new(workers: usize) -> Self {
        Self(std::iter::repeat_with(OnceLock::new).take(workers + 1).collect())
    }

    /// The cells of a shard, and whether nobody else writes to them.
    fn of(&self, shard: Shard) -> Option<(&[AtomicU64; N], bool)> {
        // A worker that was not announced counts where anybody does.
        let index = if shard.0 < self.0.len() { shard.0 } else { 0 };
        let cells = self.0.get(index)?.get_or_init(|| Box::new(Cells([const { AtomicU64::new(0) }; N])));
        Some((&cells.0, index != 0))
    }

    fn all(&self) -> impl Iterator<Item = &[AtomicU64; N]> {
        self.0.iter().filter_map(|cells| Some(&cells.get()?.0))
    }

    fn sum(&self, cell: usize) -> u64 {
        self.all().filter_map(|cells| cells.get(cell)).map(|cell| cell.load(Ordering::Relaxed)).sum()
    }
}

fn add(cell: &AtomicU64, more: u64, is_own: bool) {
    if is_own {
        cell.store(cell.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    } else {
        cell.fetch_add(more, Ordering::Relaxed);
    }
}

/// Adds to a cell that holds the bits of a floating point number.
fn add_float(cell: &AtomicU64, more: f64, is_own: bool) {
    let added = |bits: u64| (f64::from_bits(bits) + more).to_bits();
    if is_own {
        cell.store(added(cell.load(Ordering::Relaxed)), Ordering::Relaxed);
    } else {
        // The closure always gives a value, so this cannot fail.
        let _ = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| Some(added(bits)));
    }
}

/// A count of events.
pub struct WorkerCounter(Sharded<1>);

impl WorkerCounter {
    /// One more.
    pub fn inc(&self, shard: Shard) {
        if let Some(([cell], is_own)) = self.0.of(shard) {
            add(cell, 1, is_own);
        }
    }

    /// How many there were.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.sum(0)
    }
}

/// The most buckets of a histogram; more are left out. One cell more is for what is above all of them, one for the sum.
pub const BUCKETS_MAX: usize = 30;
const CELLS: usize = BUCKETS_MAX + 2;
const ABOVE: usize = BUCKETS_MAX;
const SUM: usize = BUCKETS_MAX + 1;

/// How values are spread.
pub struct WorkerHistogram {
    bounds: Arc<[f64]>,
    cells: Sharded<CELLS>,
}

impl WorkerHistogram {
    /// Counts a value in the first bucket whose upper bound it does not exceed.
    pub fn observe(&self, value: f64, shard: Shard) {
        let Some((cells, is_own)) = self.cells.of(shard) else { return };
        let bucket = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(ABOVE);
        if let Some(cell) = cells.get(bucket) {
            add(cell, 1, is_own);
        }
        add_float(&cells[SUM], value, is_own);
    }

    fn shown(&self) -> proto::Histogram {
        let mut shown = proto::Histogram::default();
        let mut count = 0;
        let buckets = self.bounds.iter().enumerate().map(|(index, bound)| {
            count += self.cells.sum(index);
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(count);
            bucket
        });
        shown.set_bucket(buckets.collect());
        shown.set_sample_count(count + self.cells.sum(ABOVE));
        let sums = self.cells.all().map(|cells| f64::from_bits(cells[SUM].load(Ordering::Relaxed)));
        shown.set_sample_sum(sums.sum());
        shown
    }
}

/// What can be a series of a family.
pub trait Series: Send + Sync + 'static {
    /// What the family's series have in common.
    type Kind: Clone + Send + Sync + 'static;

    /// A series without counts.
    fn new(kind: &Self::Kind, workers: usize) -> Self;

    /// What the metrics page shows.
    fn show(&self, metric: &mut proto::Metric);

    /// The type of the family on the metrics page.
    fn field_type() -> proto::MetricType;
}

impl Series for WorkerCounter {
    type Kind = ();

    fn new((): &(), workers: usize) -> Self {
        Self(Sharded::new(workers))
    }

    fn show(&self, metric: &mut proto::Metric) {
        let mut counter = proto::Counter::default();
        counter.set_value(self.get() as f64);
        metric.set_counter(counter);
    }

    fn field_type() -> proto::MetricType {
        proto::MetricType::COUNTER
    }
}

impl Series for WorkerHistogram {
    type Kind = Arc<[f64]>;

    fn new(bounds: &Arc<[f64]>, workers: usize) -> Self {
        Self { bounds: Arc::clone(bounds), cells: Sharded::new(workers) }
    }

    fn show(&self, metric: &mut proto::Metric) {
        metric.set_histogram(self.shown());
    }

    fn field_type() -> proto::MetricType {
        proto::MetricType::HISTOGRAM
    }
}

/// The counters of one name.
pub type WorkerCounterVec = Family<WorkerCounter>;
/// The histograms of one name.
pub type WorkerHistogramVec = Family<WorkerHistogram>;

/// All series of one name, by the values of their labels.
pub struct Family<S: Series>(Arc<Inner<S>>);

impl<S: Series> Clone for Family<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Inner<S: Series> {
    desc: Desc,
    kind: S::Kind,
    workers: usize,
    series: RwLock<BTreeMap<Vec<String>, Arc<S>>>,
}

impl Family<WorkerCounter> {
    pub(super) fn counters((name, help): (&str, &str), labels: &[&str], workers: usize) -> prometheus::Result<Self> {
        Self::new((name, help), labels, (), workers)
    }
}

impl Family<WorkerHistogram> {
    pub(super) fn histograms(
        (name, help): (&str, &str),
        labels: &[&str],
        bounds: &[f64],
        workers: usize,
    ) -> prometheus::Result<Self> {
        Self::new((name, help), labels, bounds.iter().copied().take(BUCKETS_MAX).collect(), workers)
    }
}

impl<S: Series> Family<S> {
    fn new((name, help): (&str, &str), labels: &[&str], kind: S::Kind, workers: usize) -> prometheus::Result<Self> {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let desc = Desc::new(name.to_owned(), help.to_owned(), labels, std::collections::HashMap::new())?;
        Ok(Self(Arc::new(Inner { desc, kind, workers, series: RwLock::default() })))
    }

    /// The series with these values of the labels, in their order; it shows up on the metrics page from now on. To be asked for once and kept.
    #[must_use]
    pub fn with_label_values(&self, values: &[&str]) -> Arc<S> {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        if let Some(known) = self.0.series.read().unwrap_or_else(PoisonError::into_inner).get(&values) {
            return Arc::clone(known);
        }
        let mut series = self.0.series.write().unwrap_or_else(PoisonError::into_inner);
        let made = series.entry(values).or_insert_with(|| Arc::new(S::new(&self.0.kind, self.0.workers)));
        Arc::clone(made)
    }
}

impl<S: Series> Collector for Family<S> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let desc = &self.0.desc;
        let series = self.0.series.read().unwrap_or_else(PoisonError::into_inner);
        let metrics = series.iter().map(|(values, series)| {
            let mut metric = proto::Metric::from_label(label_pairs(&desc.variable_labels, values));
            series.show(&mut metric);
            metric
        });
        let mut family = proto::MetricFamily::default();
        family.set_name(desc.fq_name.clone());
        family.set_help(desc.help.clone());
        family.set_field_type(S::field_type());
        family.set_metric(metrics.collect());
        vec![family]
    }
}

/// Labels with their values, by name.
fn label_pairs(names: &[String], values: &[String]) -> Vec<proto::LabelPair> {
    let pairs = names.iter().zip(values).map(|(name, value)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name(name.clone());
        pair.set_value(value.clone());
        pair
    });
    let mut pairs: Vec<proto::LabelPair> = pairs.collect();
    pairs.sort_by(|a, b| a.name().cmp(b.name()));
    pairs
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SHARDS: [Shard; 4] = [Shard::SHARED, Shard(1), Shard(2), Shard(77)];

    fn text(collector: impl Collector + 'static) -> String {
        let registry = prometheus::Registry::new();
        registry.register(Box::new(collector)).unwrap();
        prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
    }

    #[test]
    fn what_workers_and_others_count_is_added_up() {
        let family = Family::counters(("c", "help"), &["zone", "by"], 2).unwrap();
        let counter = family.with_label_values(&["a.", "x"]);
        for (times, shard) in SHARDS.into_iter().enumerate() {
            (0..=times).for_each(|_| counter.inc(shard));
        }
        assert_eq!(counter.get(), 10);
        assert_eq!(text(family), "# HELP c help\n# TYPE c counter\nc{by=\"x\",zone=\"a.\"} 10\n");
    }

    #[test]
    fn a_value_is_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        let family = Family::histograms(("h", "help"), &["zone"], &[1.0, 10.0], 2).unwrap();
        let histogram = family.with_label_values(&["a."]);
        for (value, shard) in [0.5, 1.0, 1.5, 11.0].into_iter().zip(SHARDS) {
            histogram.observe(value, shard);
        }
        let lines = "h_bucket{zone=\"a.\",le=\"1\"} 2\nh_bucket{zone=\"a.\",le=\"10\"} 3\nh_bucket{zone=\"a.\",le=\"+Inf\"} 4\n\
                     h_sum{zone=\"a.\"} 14\nh_count{zone=\"a.\"} 4\n";
        assert_eq!(text(family), format!("# HELP h help\n# TYPE h histogram\n{lines}"));
    }

    #[test]
    fn threads_that_share_cells_lose_no_count() {
        let family = Family::counters(("c", "help"), &[], 1).unwrap();
        let counter = family.with_label_values(&[]);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| counter.inc(Shard::SHARED)));
            }
        });
        assert_eq!(counter.get(), 40_000);
    }

    #[test]
    fn the_same_labels_are_the_same_series() {
        let family = Family::counters(("c", "help"), &["zone"], 1).unwrap();
        family.with_label_values(&["a."]).inc(Shard(1));
        assert_eq!(family.with_label_values(&["a."]).get(), 1);
        assert_eq!(family.with_label_values(&["b."]).get(), 0);
    }

    #[test]
    fn a_histogram_has_as_many_buckets_as_may_be() {
        let bounds: Vec<f64> = (0..=BUCKETS_MAX).map(|bound| bound as f64).collect();
        let family = Family::histograms(("h", "help"), &[], &bounds, 1).unwrap();
        let histogram = family.with_label_values(&[]);
        histogram.observe(BUCKETS_MAX as f64, Shard(1));
        assert_eq!((histogram.bounds.len(), histogram.shown().get_sample_count()), (BUCKETS_MAX, 1));
    }
}
