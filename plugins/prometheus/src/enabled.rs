//! `coredns_plugin_enabled`: which plugins the blocks with *prometheus* have.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use catena_core::prelude::*;
use catena_core::{Address, Metrics, Service, StartContext};
use prometheus::GaugeVec;

/// Lets the first block of an instance clear what the instance before it showed.
#[derive(Default)]
pub(crate) struct Latch(AtomicBool);

struct Shown {
    plugins: Vec<&'static str>,
    key: Option<Address>,
    view: String,
}

/// Shows the plugins of a block as soon as it serves.
pub(crate) struct Enabled {
    gauge: GaugeVec,
    latch: Arc<Latch>,
    block: OnceLock<Shown>,
}

impl Enabled {
    pub(crate) fn new(metrics: &Metrics, latch: Arc<Latch>) -> Self {
        let gauge = metrics.gauge(
            "coredns_plugin_enabled",
            "A metric that indicates whether a plugin is enabled on per server and zone basis.",
            &["server", "zone", "view", "name"],
        );
        Self { gauge, latch, block: OnceLock::new() }
    }

    /// Tells what the block is, once all of it is read. CoreDNS shows its first key only.
    pub(crate) fn set_block(&self, plugins: &[&'static str], keys: &[Address], view: &str) {
        self.block.get_or_init(|| Shown {
            plugins: plugins.to_vec(),
            key: keys.first().cloned(),
            view: view.to_owned(),
        });
    }
}

#[async_trait]
impl Service for Enabled {
    async fn serving(&self, cx: &StartContext<'_>) {
        if !self.latch.0.swap(true, Ordering::SeqCst) {
            self.gauge.reset();
        }
        let Some(Shown { plugins, key: Some(key), view }) = self.block.get() else { return };
        let of_key = |port: u16| key.port_number().is_ok_and(|number| number == port);
        for addr in cx.listen.iter().filter(|addr| addr.transport == key.transport && of_key(addr.port)) {
            for plugin in plugins {
                let labels = [&*addr.to_string(), &*key.zone, view, plugin];
                self.gauge.with_label_values(&labels).set(1.0);
            }
        }
    }
}
