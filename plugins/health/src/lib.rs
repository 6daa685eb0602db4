//! *health* tells over HTTP that the process is alive, watches how long that takes, and lets the server go lame before it ends.

mod check;
mod config;
mod metrics;

use std::sync::Arc;
use std::time::Duration;

use catena_core::prelude::*;
use catena_core::{BindFailure, Clock, HttpReply, HttpSite, Log, Service, SiteClose, StartContext};
use catena_gocompat::duration::GoDuration;

use crate::check::Target;
use crate::config::Config;
use crate::metrics::Metrics;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("health", setup);

/// The time between two checks.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// A check that takes longer is worth a warning.
const CHECK_SLOW: Duration = Duration::from_secs(1);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let config = Config::parse(&mut cx.cursor())?;
    cx.http(HttpSite {
        plugin: "health",
        addr: config.addr.clone(),
        path: "/health",
        handler: Arc::new(|| HttpReply::text(200, "OK")),
        tls: None,
        on_failure: BindFailure::Fatal,
        close: SiteClose::After,
        span: config.span,
    });
    let work = Arc::new(Work {
        target: Target::of(&config.addr),
        metrics: Metrics::of(cx.metrics()),
        clock: cx.clock(),
        log: cx.log(),
    });
    cx.service(Arc::new(Health { lameduck: config.lameduck, work }));
    Ok(())
}

struct Health {
    lameduck: GoDuration,
    work: Arc<Work>,
}

#[async_trait]
impl Service for Health {
    async fn serving(&self, cx: &StartContext<'_>) {
        let work = Arc::clone(&self.work);
        let started = cx.spawner.spawn(Box::pin(async move {
            loop {
                tokio::time::sleep(CHECK_INTERVAL).await;
                work.check().await;
            }
        }));
        if !started {
            self.work.log.warning("no room for the local health check");
        }
    }

    async fn final_shutdown(&self) {
        let Some(lameduck) = self.lameduck.to_std().filter(|time| !time.is_zero()) else { return };
        self.work.log.info(format_args!("Going into lameduck mode for {}", self.lameduck));
        tokio::time::sleep(lameduck).await;
    }
}

/// What the check of itself needs.
struct Work {
    target: Target,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    log: Log,
}

impl Work {
    async fn check(&self) {
        let begun = self.clock.now();
        let asked = self.target.ask().await;
        let elapsed = self.clock.now().saturating_duration_since(begun);
        self.metrics.duration.observe(elapsed.as_secs_f64());
        let url = self.target.url();
        match asked {
            Err(reason) => {
                self.metrics.failures.inc();
                self.log.warning(format_args!("Local health request to {url:?} failed: Get {url:?}: {reason}"));
            }
            Ok(()) if elapsed > CHECK_SLOW => {
                let elapsed = GoDuration::from_std(elapsed);
                self.log.warning(format_args!("Local health request to {url:?} took more than 1s: {elapsed}"));
            }
            Ok(()) => {}
        }
    }
}

#[cfg(test)]
mod tests;
