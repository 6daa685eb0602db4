//! The words of the directive.

use std::path::{Path, PathBuf};
use std::time::Duration;

use catena_cluster::api::{Access, Limits, TlsFiles};
use catena_cluster::index::Keep;
use catena_cluster::manifest::Manifests;
use catena_cluster::selector::Selector;
use catena_core::Span;
use catena_core::name::OwnedName;
use catena_core::prelude::*;
use catena_gocompat::duration::GoDuration;
use catena_gocompat::number::{atoi, parse_float};
use catena_gocompat::quote::quote;
use catena_gocompat::resolvconf::ResolvConf;

/// Everything that may stand in the block.
const PROPERTIES: [&str; 19] = [
    "endpoint",
    "tls",
    "kubeconfig",
    "namespaces",
    "labels",
    "namespace_labels",
    "pods",
    "endpoint_pod_names",
    "noendpoints",
    "zonal",
    "ignore",
    "ttl",
    "fallthrough",
    "multicluster",
    "startup_timeout",
    "apiserver_qps",
    "apiserver_burst",
    "apiserver_max_inflight",
    "manifests",
];

/// The largest TTL, seconds.
const TTL_MAX: i64 = 3600;

/// Where a host keeps its search list.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// For which pods there are names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum PodMode {
    /// None.
    #[default]
    Disabled,
    /// Whatever address a name spells.
    Insecure,
    /// Those that live in the namespace.
    Verified,
}

/// What the directive says.
#[derive(Debug)]
pub(crate) struct Config {
    /// The zones, forward and reverse.
    pub(crate) zones: Zones,
    /// The zone of PTR targets: the first that is not a reverse one.
    pub(crate) primary: Zone,
    /// The namespaces that are answered for; empty: all.
    pub(crate) namespaces: Vec<String>,
    pub(crate) pods: PodMode,
    pub(crate) keep: Keep,
    /// Whether endpoints are known at all.
    pub(crate) endpoints: bool,
    /// Whether a Service without ready endpoints has no name.
    pub(crate) ignore_empty: bool,
    /// Whether names may pick a topology zone.
    pub(crate) zonal: bool,
    /// The zones of a set of clusters, answered from ServiceImports.
    pub(crate) multicluster: Zones,
    /// The search list of this host's resolv.conf, for `autopath`.
    pub(crate) search: Vec<OwnedName>,
    /// Of all records, seconds.
    pub(crate) ttl: u32,
    pub(crate) fall: Fallthrough,
}

/// Where the objects come from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// The API.
    Api(Box<FromApi>),
    /// Files.
    Manifests(Box<Manifests>),
}

/// The API, and what is asked of it.
#[derive(Debug)]
pub(crate) struct FromApi {
    pub(crate) access: Access,
    pub(crate) limits: Limits,
    /// Selects Services, EndpointSlices and Pods.
    pub(crate) labels: Selector,
    /// Selects Namespaces.
    pub(crate) namespace_labels: Selector,
}

/// What is needed to start.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) origin: Origin,
    /// The word that errors at start point to.
    pub(crate) span: Option<Span>,
    /// How long to wait for the API.
    pub(crate) timeout: Duration,
}

/// The directive while it is read.
struct Draft {
    config: Config,
    timeout: Duration,
    span: Option<Span>,
    endpoint: Option<String>,
    tls: Option<(TlsFiles, Option<Span>)>,
    kubeconfig: Option<(PathBuf, Option<String>)>,
    manifests: Vec<(PathBuf, Span)>,
    limits: Limits,
    labels: Selector,
    namespace_labels: Option<Selector>,
    /// An error for the first property that only an API can serve.
    of_api: Option<Diagnostic>,
}

/// Reads the directive.
pub(crate) fn parse(cx: &mut Setup<'_>) -> Result<(Config, Start), Diagnostic> {
    let mut words = cx.cursor();
    words.next();
    let span = words.span();
    let zones = Zones::from_args_or_block(&words.remaining_args(), cx.zones());
    let Some(primary) = zones.iter().find(|zone| !is_reverse(zone)).cloned() else {
        return Err(words.plain_err("non-reverse zone name must be used"));
    };
    let config = Config {
        zones,
        primary,
        namespaces: Vec::new(),
        pods: PodMode::default(),
        keep: Keep::default(),
        endpoints: true,
        ignore_empty: false,
        zonal: false,
        multicluster: Zones::default(),
        search: Vec::new(),
        ttl: 5,
        fall: Fallthrough::default(),
    };
    let timeout = Duration::from_secs(5);
    let mut draft = Draft {
        config,
        timeout,
        span,
        endpoint: None,
        tls: None,
        kubeconfig: None,
        manifests: Vec::new(),
        limits: Limits::default(),
        labels: Selector::default(),
        namespace_labels: None,
        of_api: None,
    };
    while words.next_block() {
        draft.property(cx, &mut words)?;
    }
    if !draft.config.namespaces.is_empty() && draft.namespace_labels.is_some() {
        return Err(words.err("namespaces and namespace_labels cannot both be set"));
    }
    let foreign = |zone: &&Zone| !draft.config.zones.iter().any(|own| own == *zone);
    if let Some(zone) = draft.config.multicluster.iter().find(foreign) {
        let own: Vec<&str> = draft.config.zones.iter().map(Zone::text).collect();
        return Err(words.err(format!(
            "is not authoritative for the multicluster zone {zone} (authoritative zones: [{}])",
            own.join(" ")
        )));
    }
    if draft.config.zonal && !draft.config.endpoints {
        return Err(words.err("zonal requires the endpoint cache; remove noendpoints"));
    }
    if words.next() {
        return Err(words.plain_err("this plugin can only be used once per Server Block"));
    }
    draft.finish(cx)
}

/// CoreDNS: plugin/pkg/dnsutil, `IsReverse`: a name below the two trees, not their tops.
fn is_reverse(zone: &Zone) -> bool {
    zone.text().ends_with(".in-addr.arpa.") || zone.text().ends_with(".ip6.arpa.")
}

impl Draft {
    fn property(&mut self, cx: &mut Setup<'_>, words: &mut Cursor<'_>) -> Result<(), Diagnostic> {
        let config = &mut self.config;
        match words.val() {
            "endpoint_pod_names" => {
                no_args(words)?;
                config.keep.pod_names = true;
            }
            "noendpoints" => {
                no_args(words)?;
                config.endpoints = false;
            }
            "zonal" => {
                no_args(words)?;
                config.zonal = true;
                config.keep.zones = true;
            }
            "pods" => config.pods = pod_mode(words)?,
            "namespaces" => config.namespaces.extend(some_args(words)?.into_iter().map(str::to_owned)),
            "ttl" => config.ttl = ttl(words)?,
            "fallthrough" => config.fall = Fallthrough::from_args(&words.remaining_args()),
            "ignore" => {
                let args = words.remaining_args();
                match args.first() {
                    // CoreDNS: a bare `ignore` ignores nothing.
                    None => {}
                    Some(&"empty_service") => config.ignore_empty = true,
                    Some(other) => return Err(words.plain_err(format!("unable to parse ignore value: '{other}'"))),
                }
            }
            "startup_timeout" => {
                let given = some_args(words)?[0];
                let parsed = GoDuration::parse(given);
                let parsed = parsed
                    .map_err(|error| words.plain_err(format!("failed to parse startup_timeout: {given}, {error}")))?;
                // A time before now is none.
                self.timeout = parsed.to_std().unwrap_or_default();
            }
            "manifests" => self.manifests(cx, words)?,
            "endpoint" | "tls" | "kubeconfig" => self.access(cx, words)?,
            "labels" => {
                self.only_api(words);
                self.labels = selector(words, "label")?;
            }
            "namespace_labels" => {
                self.only_api(words);
                self.namespace_labels = Some(selector(words, "namespace_label")?);
            }
            "apiserver_qps" | "apiserver_burst" | "apiserver_max_inflight" => self.limit(words)?,
            "multicluster" => {
                config.multicluster = Zones::from_args(words.remaining_args());
                config.keep.imports = !config.multicluster.is_empty();
            }
            _ => return Err(words.unknown_property(&PROPERTIES)),
        }
        Ok(())
    }

    /// Notes that the present property has no meaning for manifests.
    fn only_api(&mut self, words: &Cursor<'_>) {
        let property = words.val();
        self.of_api.get_or_insert_with(|| words.err(format!("'{property}' and 'manifests' cannot both be set")));
    }

    fn limit(&mut self, words: &mut Cursor<'_>) -> Result<(), Diagnostic> {
        self.only_api(words);
        let property = words.val();
        let [given] = words.remaining_args()[..] else { return Err(words.arg_err()) };
        let told = |error: String| words.err(format!("invalid {property} {}: {error}", quote(given)));
        let negative = || words.err(format!("{property} must be >= 0"));
        if property == "apiserver_qps" {
            let qps = parse_float(given).map_err(|error| told(error.to_string()))?;
            if qps < 0.0 {
                return Err(negative());
            }
            self.limits.qps = qps;
            return Ok(());
        }
        let number = atoi(given).map_err(|error| told(error.to_string()))?;
        if number < 0 {
            return Err(negative());
        }
        let of = if property == "apiserver_burst" { &mut self.limits.burst } else { &mut self.limits.inflight };
        *of = u32::try_from(number).unwrap_or(u32::MAX);
        Ok(())
    }

    fn manifests(&mut self, cx: &Setup<'_>, words: &mut Cursor<'_>) -> Result<(), Diagnostic> {
        self.span = words.span();
        let paths = words.remaining_tokens();
        if paths.is_empty() {
            return Err(words.arg_err());
        }
        self.manifests.extend(paths.into_iter().map(|token| (cx.path(&token.text), token.span)));
        Ok(())
    }

    fn access(&mut self, cx: &mut Setup<'_>, words: &mut Cursor<'_>) -> Result<(), Diagnostic> {
        let property = words.val();
        let span = words.span();
        self.only_api(words);
        match property {
            "endpoint" => {
                let urls = some_args(words)?;
                if urls.len() > 1 {
                    let used = urls[0];
                    cx.log().warning(format_args!(
                        "Multiple endpoints have been deprecated, only the first specified endpoint '{used}' is used"
                    ));
                }
                self.endpoint = Some(urls[0].to_owned());
            }
            "tls" => {
                let [certificate, key, authority] = words.remaining_args()[..] else { return Err(words.arg_err()) };
                let files = TlsFiles { certificate: certificate.into(), key: key.into(), authority: authority.into() };
                self.tls = Some((files, span));
            }
            _ => {
                let args = words.remaining_args();
                match args[..] {
                    [file] => self.kubeconfig = Some((file.into(), None)),
                    [file, context] => self.kubeconfig = Some((file.into(), Some(context.to_owned()))),
                    _ => return Err(words.arg_err()),
                }
            }
        }
        // A kubeconfig wins over an endpoint, and errors at start point to what is used.
        if property == "kubeconfig" || (property == "endpoint" && self.kubeconfig.is_none()) {
            self.span = span;
        }
        Ok(())
    }

    fn finish(self, cx: &mut Setup<'_>) -> Result<(Config, Start), Diagnostic> {
        let Self {
            mut config,
            timeout,
            span,
            endpoint,
            tls,
            kubeconfig,
            manifests,
            limits,
            labels,
            namespace_labels,
            of_api,
        } = self;
        if config.pods == PodMode::Verified {
            config.search = host_search(cx);
        }
        if let (Some(both), false) = (of_api, manifests.is_empty()) {
            return Err(both);
        }
        if !manifests.is_empty() {
            let origin = Origin::Manifests(Box::new(read_manifests(manifests)?));
            return Ok((config, Start { origin, span, timeout }));
        }
        if let (Some((_, unused)), None) = (&tls, &endpoint) {
            cx.warn(at(*unused, Diagnostic::warning("'tls' has no use without 'endpoint'")));
        }
        let access = match (kubeconfig, endpoint) {
            (Some((file, context)), _) => Access::Kubeconfig { file, context },
            (None, Some(url)) => Access::Endpoint { url, tls: tls.map(|(files, _)| files) },
            (None, None) => Access::InCluster,
        };
        access.check().map_err(|error| at(span, Diagnostic::error(error.to_string())))?;
        // Changed credentials are a reason to start afresh; whether they can be read is found at the start.
        for file in access.files() {
            let _counted = cx.read_file(file);
        }
        let api = FromApi { access, limits, labels, namespace_labels: namespace_labels.unwrap_or_default() };
        Ok((config, Start { origin: Origin::Api(Box::new(api)), span, timeout }))
    }
}

/// Puts an error to a place, if there is one.
pub(crate) fn at(span: Option<Span>, error: Diagnostic) -> Diagnostic {
    match span {
        Some(span) => error.with_span(span),
        None => error,
    }
}

/// Reads manifests; what is wrong with them is one error, at the path that leads there.
fn read_manifests(paths: Vec<(PathBuf, Span)>) -> Result<Manifests, Diagnostic> {
    Manifests::read(paths.iter().map(|(path, _)| path.clone()).collect()).map_err(|errors| {
        let mut shown = errors.iter().map(ToString::to_string);
        let span = errors
            .first()
            .and_then(|error| paths.iter().find(|(path, _)| error.file.starts_with(path)))
            .map(|(_, span)| *span);
        let error = Diagnostic::error(shown.next().unwrap_or_default()).with_label("read from here");
        shown.fold(at(span, error), Diagnostic::with_note)
    })
}

/// The search list of the host, in lower case. CoreDNS: plugin/kubernetes/setup.go, `searchFromResolvConf`.
fn host_search(cx: &mut Setup<'_>) -> Vec<OwnedName> {
    let text = cx.read_file(Path::new(RESOLV_CONF)).unwrap_or_default();
    let conf = ResolvConf::parse(&String::from_utf8_lossy(&text)).unwrap_or_default();
    Zones::from_args(conf.search.iter().map(String::as_str)).iter().map(|zone| zone.name().clone()).collect()
}

fn no_args(words: &mut Cursor<'_>) -> Result<(), Diagnostic> {
    if words.remaining_args().is_empty() { Ok(()) } else { Err(words.arg_err()) }
}

fn some_args<'a>(words: &mut Cursor<'a>) -> Result<Vec<&'a str>, Diagnostic> {
    let args = words.remaining_args();
    if args.is_empty() { Err(words.arg_err()) } else { Ok(args) }
}

/// Reads a label selector from the rest of the line.
fn selector(words: &mut Cursor<'_>, kind: &str) -> Result<Selector, Diagnostic> {
    let text = some_args(words)?.join(" ");
    Selector::parse(&text)
        .map_err(|error| words.plain_err(format!("unable to parse {kind} selector value: '{text}': {error}")))
}

fn pod_mode(words: &mut Cursor<'_>) -> Result<PodMode, Diagnostic> {
    let [mode] = words.remaining_args()[..] else { return Err(words.arg_err()) };
    match mode {
        "disabled" => Ok(PodMode::Disabled),
        "insecure" => Ok(PodMode::Insecure),
        "verified" => Ok(PodMode::Verified),
        _ => {
            let wrong =
                words.plain_err(format!("wrong value for pods: {mode},  must be one of: disabled, verified, insecure"));
            Err(words.with_nearest(wrong, &["disabled", "verified", "insecure"]))
        }
    }
}

fn ttl(words: &mut Cursor<'_>) -> Result<u32, Diagnostic> {
    // CoreDNS takes the first argument and leaves further ones alone.
    let given = some_args(words)?[0];
    let seconds = atoi(given).map_err(|error| words.plain_err(error.to_string()))?;
    match u32::try_from(seconds) {
        Ok(ttl) if seconds <= TTL_MAX => Ok(ttl),
        _ => Err(words.err(format!("ttl must be in range [0, {TTL_MAX}]: {seconds}"))),
    }
}
