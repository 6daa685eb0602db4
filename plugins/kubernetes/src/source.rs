//! Starts what fills the index, and passes on what it has to say.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use catena_cluster::api::{self, Timing, Watches};
use catena_cluster::index::{Change, Index, Kind, Level, Observer, ServiceKind};
use catena_cluster::manifest::POLL;
use catena_core::{Clock, Diagnostic, Log, Service, StartContext, Task, async_trait};

use crate::backend::Backend;
use crate::config::{FromApi, Origin, PodMode, Start, at};
use crate::metrics::{Handles, rfc3339, since};

/// How often a start that waits says so.
const WAIT_SAID_EVERY: Duration = Duration::from_millis(500);

/// Writes what happens to the index into log and metrics.
pub(crate) struct Reporter {
    pub(crate) log: Log,
    pub(crate) metrics: Handles,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Observer for Reporter {
    fn changed(&self, index: &Index, change: Change<'_>) {
        let (Kind::Slices, Some(triggered)) = (change.kind, change.triggered) else { return };
        let Some(moment) = rfc3339(triggered) else {
            let annotation = "endpoints.kubernetes.io/last-change-trigger-time";
            return self.log.warning(format_args!(
                "DnsProgrammingLatency cannot be calculated for Endpoints '{}/{}'; invalid {annotation:?} annotation RFC3339 value of {triggered:?}",
                change.namespace, change.name
            ));
        };
        let entry = index.service(change.namespace.as_bytes(), change.name.as_bytes());
        let Some(service) = entry.as_ref().and_then(|entry| entry.service()) else { return };
        if let Some(elapsed) = since(moment, self.clock.wall()) {
            self.metrics.programming(service.kind == ServiceKind::Headless).observe(elapsed.as_secs_f64());
        }
    }

    fn requested(&self, host: &str, code: Option<u16>, waited: Duration, elapsed: Duration) {
        self.metrics.request(host, code, waited, elapsed);
    }

    fn log(&self, level: Level, line: &str) {
        match level {
            Level::Info => self.log.info(line),
            Level::Warning => self.log.warning(line),
            Level::Error => self.log.error(line),
        }
    }
}

/// Fills the index for as long as the instance lives.
pub(crate) struct Source {
    pub(crate) backend: Arc<Backend>,
    pub(crate) log: Log,
    /// Taken by the start.
    pub(crate) start: Mutex<Option<Start>>,
}

#[async_trait]
impl Service for Source {
    async fn start(&self, cx: &StartContext<'_>) -> Result<(), Diagnostic> {
        // Set once: an instance starts once.
        let _first = self.backend.local.set(local_addresses(cx));
        let start = self.start.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Start { origin, span, timeout }) = start else { return Ok(()) };
        let running = self.backend.running();
        if !running.is_begun() {
            let index = Arc::clone(&running.index);
            running.begin(match origin {
                Origin::Manifests(manifests) => {
                    manifests.fill(&index);
                    Box::pin(manifests.watch(index, POLL))
                }
                Origin::Api(api) => self.follow(*api, index).await.map_err(|error| at(span, error))?,
            });
        }
        if !cx.spawner.spawn(Box::pin(running.drive())) {
            return Err(at(span, Diagnostic::error("no task can be started").with_prefix("kubernetes")));
        }
        self.wait(timeout).await;
        Ok(())
    }
}

impl Source {
    async fn follow(&self, from: FromApi, index: Arc<Index>) -> Result<Task, Diagnostic> {
        let FromApi { access, limits, labels, namespace_labels } = from;
        let api =
            access.client().await.map_err(|error| Diagnostic::error(error.to_string()).with_prefix("kubernetes"))?;
        let config = &self.backend.config;
        let pods = config.pods == PodMode::Verified;
        let watches = Watches { slices: config.endpoints, pods, labels, namespace_labels };
        index.require(watches.kinds());
        Ok(Box::pin(api::run(api.limited(limits), watches, Timing::default(), index)))
    }

    /// Holds the start until the index is in step, or for so long. CoreDNS: plugin/kubernetes, `InitKubeCache`.
    async fn wait(&self, timeout: Duration) {
        let index = self.backend.index();
        let mut left = timeout;
        while !index.is_synced() {
            let step = left.min(WAIT_SAID_EVERY);
            if tokio::time::timeout(step, index.synced()).await.is_ok() {
                return;
            }
            left -= step;
            if left.is_zero() {
                return self.log.warning("starting server with unsynced Kubernetes API");
            }
            self.log.info("waiting for Kubernetes API before starting server");
        }
    }
}

/// The addresses that the block listens on, without loopback ones: those of all interfaces, unless it is bound to some.
fn local_addresses(cx: &StartContext<'_>) -> Vec<IpAddr> {
    let bound: Vec<Option<IpAddr>> = cx.listen.iter().map(|addr| addr.ip).collect();
    let all = if bound.contains(&None) || bound.is_empty() {
        cx.interfaces.addresses().unwrap_or_default().into_iter().map(|(_, ip)| ip).collect()
    } else {
        bound.into_iter().flatten().collect::<Vec<_>>()
    };
    let mut local: Vec<IpAddr> = Vec::new();
    for ip in all.into_iter().map(|ip| ip.to_canonical()).filter(|ip| !ip.is_loopback()) {
        if !local.contains(&ip) {
            local.push(ip);
        }
    }
    local
}
