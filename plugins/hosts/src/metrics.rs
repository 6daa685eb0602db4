//! What `hosts` counts.

use catena_core::Metrics;
use prometheus::{Gauge, GaugeVec};

/// The plugin's gauges.
pub(crate) struct HostsMetrics {
    entries: GaugeVec,
    reloaded: Gauge,
    file: String,
}

impl HostsMetrics {
    /// The gauges for a hosts file.
    pub(crate) fn new(metrics: &Metrics, file: String) -> Self {
        let entries = metrics.gauge(
            "coredns_hosts_entries",
            "The combined number of entries in hosts and Corefile.",
            &["hostsfile"],
        );
        let reloaded = metrics
            .gauge("coredns_hosts_reload_timestamp_seconds", "The timestamp of the last reload of hosts file.", &[])
            .with_label_values(&[] as &[&str]);
        Self { entries, reloaded, file }
    }

    /// Notes that a file was read: the entries of file and Corefile, and its modification time in seconds since 1970.
    pub(crate) fn read(&self, entries: usize, modified_seconds: f64) {
        self.entries.with_label_values(&[&self.file]).set(entries as f64);
        self.reloaded.set(modified_seconds);
    }
}
