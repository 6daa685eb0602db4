//! The `process_*` metrics of Prometheus's client libraries, read from `/proc/self` when they are asked for.

use std::fs;
use std::sync::{Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, Opts};

/// The ticks of a second in `/proc`: `USER_HZ`, which is 100 on every Linux.
const TICKS: f64 = 100.0;
/// The most file descriptors that are counted one by one.
const DESCRIPTORS_MAX: usize = 1 << 20;

/// Reads the metrics of this process.
pub(crate) struct ProcessCollector {
    scrape: Mutex<()>,
    cpu: Counter,
    gauges: [(Gauge, Reader); 6],
}

/// Reads a value; `None` where the system does not tell.
type Reader = fn(&Sources) -> Option<f64>;

/// The files, as far as they can be read.
struct Sources {
    stat: String,
    limits: String,
    boot: String,
}

impl Sources {
    fn read() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self { stat: read("/proc/self/stat"), limits: read("/proc/self/limits"), boot: read("/proc/stat") }
    }

    /// A field of `/proc/self/stat` by its number in proc_pid_stat(5), from 3 on: the name before it may have blanks.
    fn field(&self, number: usize) -> Option<f64> {
        let (_, after_name) = self.stat.rsplit_once(") ")?;
        after_name.split(' ').nth(number.checked_sub(3)?)?.trim().parse().ok()
    }

    fn limit(&self, name: &str) -> Option<f64> {
        let line = self.limits.lines().find_map(|line| line.strip_prefix(name))?;
        match line.split_whitespace().next()? {
            // The largest number, as Prometheus's own libraries show it.
            "unlimited" => Some(u64::MAX as f64),
            number => number.parse().ok(),
        }
    }

    fn resident() -> Option<f64> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib * 1024.0)
    }

    fn start(&self) -> Option<f64> {
        let boot: f64 = self.boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        Some(boot + self.field(22)? / TICKS)
    }

    fn open_descriptors() -> Option<f64> {
        fs::read_dir("/proc/self/fd").ok().map(|entries| entries.take(DESCRIPTORS_MAX).count() as f64)
    }
}

impl ProcessCollector {
    /// Makes the metrics.
    ///
    /// # Errors
    /// A name that is none; they are constants.
    pub(crate) fn new() -> prometheus::Result<Self> {
        let gauge = |name, help, read: Reader| Gauge::with_opts(Opts::new(name, help)).map(|gauge| (gauge, read));
        let cpu = Opts::new("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.");
        Ok(Self {
            scrape: Mutex::new(()),
            cpu: Counter::with_opts(cpu)?,
            gauges: [
                gauge("process_open_fds", "Number of open file descriptors.", |_| Sources::open_descriptors())?,
                gauge("process_max_fds", "Maximum number of open file descriptors.", |files| {
                    files.limit("Max open files")
                })?,
                gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", |files| files.field(23))?,
                gauge(
                    "process_virtual_memory_max_bytes",
                    "Maximum amount of virtual memory available in bytes.",
                    |files| files.limit("Max address space"),
                )?,
                gauge("process_resident_memory_bytes", "Resident memory size in bytes.", |_| Sources::resident())?,
                gauge(
                    "process_start_time_seconds",
                    "Start time of the process since unix epoch in seconds.",
                    Sources::start,
                )?,
            ],
        })
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = self.gauges.iter().flat_map(|(gauge, _)| gauge.desc());
        self.cpu.desc().into_iter().chain(gauges).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Of two scrapes at a time both would add the same step to the counter.
        let _alone = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        let sources = Sources::read();
        let mut families = Vec::new();
        if let (Some(user), Some(system)) = (sources.field(14), sources.field(15)) {
            self.cpu.inc_by(((user + system) / TICKS - self.cpu.get()).max(0.0));
            families.extend(self.cpu.collect());
        }
        for (gauge, read) in &self.gauges {
            if let Some(value) = read(&sources) {
                gauge.set(value);
                families.extend(gauge.collect());
            }
        }
        families
    }
}
