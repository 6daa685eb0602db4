//! How many keys are in which stage, and when something happens next.

use catena_core::{Metrics, Zone};
use prometheus::GaugeVec;

use super::state::{Role, Stage, State};

/// The gauges of one zone.
pub(crate) struct Gauges {
    zone: String,
    keys: GaugeVec,
    next: GaugeVec,
}

impl Gauges {
    pub(crate) fn new(metrics: &Metrics, zone: &Zone) -> Self {
        let keys = metrics.gauge("coredns_sign_keys", "Keys of a zone in a stage.", &["zone", "role", "stage"]);
        let help = "When a key is made or goes to its next stage by itself, seconds since 1970, 0 for never.";
        let next = metrics.gauge("coredns_sign_next_rollover_timestamp_seconds", help, &["zone"]);
        Self { zone: zone.to_string(), keys, next }
    }

    /// Shows a state, and when it will change by itself.
    pub(crate) fn show(&self, state: &State, next_due: Option<u64>) {
        for role in Role::ALL {
            for stage in Stage::ALL.into_iter().filter(|stage| stage.is_published()) {
                let labels = [&*self.zone, role.word(), stage.word()];
                self.keys.with_label_values(&labels).set(state.of(role, stage).count() as f64);
            }
        }
        self.next.with_label_values(&[&self.zone]).set(next_due.unwrap_or(0) as f64);
    }
}
