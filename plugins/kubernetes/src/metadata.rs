//! What is known about a query: who asks, and what the name asks for. CoreDNS: plugin/kubernetes/metadata.go.

use std::borrow::Cow;
use std::sync::Arc;

use catena_cluster::index::Pod;
use catena_core::{Labels, Query};

use crate::backend::Backend;
use crate::config::PodMode;
use crate::request::{Asked, Detail, Grammar};

/// What comes before every label of the client's pod.
const CLIENT_LABEL: &str = "client-label/";

/// Every label; the last two are there only where names can have such parts.
const NAMES: [&str; 11] = [
    "kubernetes/client-namespace",
    "kubernetes/client-pod-name",
    "kubernetes/client-label/",
    "kubernetes/parse-error",
    "kubernetes/port-name",
    "kubernetes/protocol",
    "kubernetes/endpoint",
    "kubernetes/service",
    "kubernetes/namespace",
    "kubernetes/kind",
    "kubernetes/cluster",
];
const ZONAL_NAMES: [&str; 12] = [
    NAMES[0],
    NAMES[1],
    NAMES[2],
    NAMES[3],
    NAMES[4],
    NAMES[5],
    NAMES[6],
    NAMES[7],
    NAMES[8],
    NAMES[9],
    NAMES[10],
    "kubernetes/zone",
];

impl Labels for Backend {
    fn names(&self) -> &[&'static str] {
        if self.config.zonal { &ZONAL_NAMES } else { &NAMES }
    }

    fn label<'a>(&'a self, name: &str, query: &'a Query) -> Option<Cow<'a, str>> {
        let name = name.strip_prefix("kubernetes/")?;
        if let Some(label) = name.strip_prefix(CLIENT_LABEL) {
            return self.client(query)?.label(label).map(|value| value.to_owned().into());
        }
        match name {
            "client-namespace" => Some(self.client(query)?.namespace().to_owned().into()),
            "client-pod-name" => Some(self.client(query)?.name().to_owned().into()),
            _ => self.part(name, query),
        }
    }
}

impl Backend {
    /// The pod that asks.
    fn client(&self, query: &Query) -> Option<Arc<Pod>> {
        (self.config.pods == PodMode::Verified).then(|| self.index().pod_at(query.client().ip().to_canonical()))?
    }

    /// A part of the name that was asked for; empty if names such as this one do not have it.
    fn part<'a>(&self, part: &str, query: &'a Query) -> Option<Cow<'a, str>> {
        let question = query.original();
        let zone = self.config.zones.longest(question.lower().as_slice(), question.labels())?;
        let parts = match self.asked(question, zone) {
            Asked::Nothing | Asked::NameServer | Asked::Version => {
                return (part == "parse-error").then_some(Cow::Borrowed("invalid query name"));
            }
            asked => Parts::of(asked),
        };
        let octets = match part {
            "port-name" => parts.port,
            "protocol" => parts.protocol,
            "endpoint" => parts.endpoint,
            "service" => parts.service,
            "namespace" => parts.namespace,
            "kind" => return Some(Cow::Borrowed(parts.kind)),
            "cluster" if self.grammar(zone) == Grammar::Multicluster => parts.cluster,
            "zone" if self.config.zonal => return Some(String::from_utf8_lossy(&parts.zone).into_owned().into()),
            _ => return None,
        };
        Some(String::from_utf8_lossy(octets))
    }
}

/// The parts of a name.
#[derive(Default)]
struct Parts<'q> {
    port: &'q [u8],
    protocol: &'q [u8],
    endpoint: &'q [u8],
    cluster: &'q [u8],
    zone: Box<[u8]>,
    service: &'q [u8],
    namespace: &'q [u8],
    kind: &'static str,
}

impl<'q> Parts<'q> {
    fn of(asked: Asked<'q>) -> Self {
        let kind = |pods| if pods { "pod" } else { "svc" };
        let (name, namespace, pods, detail) = match asked {
            Asked::Name { name, namespace, pods, detail } => (name, namespace, pods, detail),
            Asked::Namespace { namespace, pods } => return Self { namespace, kind: kind(pods), ..Self::default() },
            Asked::Top | Asked::NameServer | Asked::Version | Asked::Nothing => return Self::default(),
        };
        let whole = Self { service: name, namespace, kind: kind(pods), ..Self::default() };
        match detail {
            Detail::Whole => whole,
            Detail::Endpoint(endpoint) => Self { endpoint, ..whole },
            Detail::Member { endpoint, cluster } => Self { endpoint, cluster, ..whole },
            Detail::Port { name: port, protocol } => Self { port, protocol, ..whole },
            Detail::Zone { zone, .. } => Self { zone, ..whole },
        }
    }
}
