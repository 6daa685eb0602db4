//! *prometheus* counts queries and replies by zone and shows the metrics of all plugins on a side HTTP listener.

mod config;
mod enabled;
mod held;
mod process;
mod series;
mod web;

use std::path::Path;
use std::sync::Arc;

use catena_core::metrics::{CountedZones, RequestMetrics};
use catena_core::prelude::*;
use catena_core::{
    BindFailure, Body, HttpReply, HttpSite, Log, Metrics, PerServer, Service, SiteClose, StartContext, is_unwritten,
};
use catena_gocompat::address::port_fault;
use prometheus::{Encoder, TextEncoder};

use crate::config::{Config, WebFile};
use crate::enabled::{Enabled, Latch};
use crate::held::Held;
use crate::process::ProcessCollector;
use crate::series::{Places, ZoneSeries};
use crate::web::Web;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("prometheus", setup);

/// The media type of the text format, as CoreDNS sends it.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// What stands where CoreDNS tells its version of Go.
const RUST: &str = concat!("rust", env!("CARGO_PKG_RUST_VERSION"));

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let config = Config::parse(cx.cursor())?;
    if let (Some(fault), Some(span)) = (port_fault(&config.addr), config.span) {
        cx.warn(Diagnostic::warning(format!("plugin/prometheus: there will be no page: {fault}")).with_span(span));
    }
    if let Some(span) = config.runtime_metrics {
        let warning =
            "plugin/prometheus: runtime_metrics has no effect: there is no Go runtime whose metrics could be shown";
        cx.warn(Diagnostic::warning(warning).with_span(span));
    }
    let metrics = Arc::clone(cx.metrics());
    if let Ok(process) = ProcessCollector::new() {
        // Registered once; a reload finds it there, which is the error that is let go here.
        drop(metrics.registry().register(Box::new(process)));
    }
    let version = cx.product().rsplit('-').next().unwrap_or_default().to_owned();
    let build_info = metrics.gauge(
        "coredns_build_info",
        "A metric with a constant '1' value labeled by version, revision, and goversion from which CoreDNS was built.",
        &["version", "revision", "goversion"],
    );
    build_info
        .with_label_values(&[version.as_str(), option_env!("CATENA_REVISION").unwrap_or_default(), RUST])
        .set(1.0);

    show_page(cx, config, &metrics)?;
    let enabled = Arc::new(Enabled::new(&metrics, cx.shared::<Latch>()));
    let names = Arc::clone(&enabled);
    let zones: Vec<Zone> = cx.zones().iter().cloned().collect();
    let requests = Arc::new(RequestMetrics::of(&metrics));
    cx.service(enabled);
    cx.sees_updates();
    cx.link_later(move |linked| {
        names.set_block(linked.link_names(), linked.keys(), linked.view());
        let places = Places { zones, plugins: linked.link_names().to_vec(), view: linked.view().to_owned() };
        let held = linked.offers::<dyn CountedZones>().map(|(_, zones)| zones).collect();
        Ok(Prometheus { places, requests, series: PerServer::new(), held: Held::new(held) })
    });
    Ok(())
}

/// Puts the page on its address, unless the file that says how is not there.
fn show_page(cx: &mut Setup<'_>, config: Config, metrics: &Arc<Metrics>) -> Result<(), Diagnostic> {
    let tls = match config.tls {
        None => None,
        Some(file) => match read_web(cx, &file)? {
            Web::Missing => {
                cx.service(Arc::new(NoPage { path: file.path, log: cx.log().without_plugin() }));
                return Ok(());
            }
            Web::Plain => None,
            Web::Tls(tls) => Some(tls),
        },
    };
    let shown = Arc::clone(metrics);
    cx.http(HttpSite {
        plugin: "prometheus",
        addr: config.addr,
        path: "/metrics",
        handler: Arc::new(move || page(&shown)),
        tls,
        on_failure: BindFailure::Log("Failed to start metrics handler"),
        close: SiteClose::Before,
        span: config.span,
    });
    Ok(())
}

fn read_web(cx: &mut Setup<'_>, file: &WebFile) -> Result<Web, Diagnostic> {
    let at = |diagnostic: Diagnostic| match file.span {
        Some(span) => diagnostic.with_span(span),
        None => diagnostic,
    };
    let web = web::read(Path::new(&file.path), |path| cx.read_file(path));
    let web = web.map_err(|reason| at(Diagnostic::error(format!("Failed to start HTTPS metrics server: {reason}"))))?;
    if web == Web::Plain {
        let warning = "plugin/prometheus: TLS config is not present: the metrics page is served without TLS";
        cx.warn(at(Diagnostic::warning(warning)));
    }
    Ok(web)
}

/// Tells that there is no metrics page, for there is no web configuration file.
struct NoPage {
    path: String,
    log: Log,
}

#[async_trait]
impl Service for NoPage {
    async fn start(&self, _cx: &StartContext<'_>) -> Result<(), Diagnostic> {
        self.log.error(format_args!("TLS config file does not exist: {}", self.path));
        Ok(())
    }
}

fn page(metrics: &Metrics) -> HttpReply {
    let mut body = Vec::new();
    match TextEncoder::new().encode(&metrics.registry().gather(), &mut body) {
        Ok(()) => HttpReply { status: 200, content_type: Some(TEXT_FORMAT), body },
        Err(error) => HttpReply::text(500, error.to_string()),
    }
}

struct Prometheus {
    places: Places,
    requests: Arc<RequestMetrics>,
    series: PerServer<Vec<ZoneSeries>>,
    /// Zones that plugins hold beside those of the block.
    held: Held,
}

#[async_trait]
impl Plugin for Prometheus {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        // Plugins below may ask for another name.
        let zone = self.places.zone_of(q);
        let held = self.held.series(q, &self.places, zone, &self.requests);
        let reply = next.run(q).await;
        let all = self.series.get(q, |server| self.places.series(&self.requests, server));
        if let Some(series) = held.as_deref().or_else(|| all.get(zone)) {
            let (rcode, by, len) = match &reply.body {
                Body::Answer(answer) => (answer.rcode, reply.by, answer.plain_len(q.original().wire_len())),
                Body::Status(rcode) if is_unwritten(*rcode) => (*rcode, "", 0),
                // Nothing is sent: CoreDNS counts it so.
                Body::Stream(_) => (Rcode::NOERROR, reply.by, 0),
                Body::Status(_) | Body::Silence => (Rcode::NOERROR, "", 0),
            };
            series.count(q, rcode, self.places.plugin_index(by), len);
        }
        reply
    }
}

#[cfg(test)]
mod tests;
