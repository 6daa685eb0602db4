//! From decoded objects to packed ones.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use hashbrown::HashSet;

use super::entry::{Addresses, External, LABEL_MAX, Port, Protocol, Service, ServiceKind, Slice, pack_labels};
use super::{Keep, NAMES_MIN};
use crate::types;

/// One shared copy of every namespace, Service name, port name and list of ports.
#[derive(Debug, Default)]
pub(super) struct Interner {
    names: HashSet<Arc<str>>,
    ports: HashSet<Arc<[Port]>>,
    sweep_at: usize,
}

impl Interner {
    pub(super) fn name(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.names.get(text) {
            return Arc::clone(known);
        }
        self.forget_unused();
        let new = Arc::<str>::from(text);
        self.names.insert(Arc::clone(&new));
        new
    }

    fn ports(&mut self, list: Vec<Port>) -> Arc<[Port]> {
        if let Some(known) = self.ports.get(list.as_slice()) {
            return Arc::clone(known);
        }
        let new = Arc::<[Port]>::from(list);
        self.ports.insert(Arc::clone(&new));
        new
    }

    /// Drops what nobody else holds whenever the sets have doubled, so they stay within twice of what is in use.
    fn forget_unused(&mut self) {
        if self.names.len() + self.ports.len() < self.sweep_at.max(NAMES_MIN) {
            return;
        }
        self.ports.retain(|ports| Arc::strong_count(ports) > 1);
        self.names.retain(|name| Arc::strong_count(name) > 1);
        self.sweep_at = 2 * (self.names.len() + self.ports.len());
    }
}

/// Reads an address as Go's `net.ParseIP` does: an IPv4 address mapped into IPv6 is an IPv4 address.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// Packs a Service; CoreDNS: plugin/kubernetes/object/service.go.
pub(super) fn service(names: &mut Interner, given: &types::Service, keep_external: bool, mark: u32) -> Service {
    let spec = &given.spec;
    let cluster_ips: Vec<&str> = match spec.cluster_ips.as_slice() {
        [] => vec![&spec.cluster_ip],
        several => several.iter().map(String::as_str).collect(),
    };
    // A Service without an address, which an API server never shows, is one whose endpoints answer for it.
    let headless = cluster_ips.first().is_none_or(|first| first.is_empty() || *first == "None");
    let kind = match spec.kind.as_str() {
        "ExternalName" => ServiceKind::ExternalName(spec.external_name.as_str().into()),
        _ if headless => ServiceKind::Headless,
        _ => ServiceKind::ClusterIp,
    };
    let ports = spec.ports.iter().map(|port| one_port(names, &port.name, Some(port.port), &port.protocol)).collect();
    Service {
        kind,
        cluster_ips: cluster_ips.iter().filter_map(|ip| address(ip)).collect(),
        ports: ports_or_sentinel(names, ports),
        external: if keep_external { external(given) } else { Box::default() },
        mark: AtomicU32::new(mark),
    }
}

/// Packs a ServiceImport as a Service; CoreDNS: plugin/kubernetes/object/serviceimport.go.
pub(super) fn import(names: &mut Interner, given: &types::ServiceImport, mark: u32) -> Service {
    let spec = &given.spec;
    let ports = spec.ports.iter().map(|port| one_port(names, &port.name, Some(port.port), &port.protocol)).collect();
    Service {
        kind: if spec.kind == "Headless" { ServiceKind::Headless } else { ServiceKind::ClusterIp },
        cluster_ips: spec.ips.iter().filter_map(|ip| address(ip)).collect(),
        ports: ports_or_sentinel(names, ports),
        external: Box::default(),
        mark: AtomicU32::new(mark),
    }
}

fn external(given: &types::Service) -> Box<[External]> {
    let ingress =
        given.status.load_balancer.ingress.iter().map(|one| if one.ip.is_empty() { &one.hostname } else { &one.ip });
    let all = given.spec.external_ips.iter().chain(ingress).filter(|text| !text.is_empty());
    all.map(|text| address(text).map_or_else(|| External::Name(text.as_str().into()), External::Address)).collect()
}

/// Packs a slice; CoreDNS: plugin/kubernetes/object/endpoint.go. Only IP addresses are kept: of the type `FQDN`, which
/// no controller writes, nothing is.
pub(super) fn slice(
    names: &mut Interner,
    given: &types::EndpointSlice,
    cluster: Option<&str>,
    keep: Keep,
    mark: u32,
) -> Slice {
    let ready = given.endpoints.iter().filter(|endpoint| endpoint.conditions.ready.unwrap_or(true));
    let each =
        ready.flat_map(|endpoint| endpoint.addresses.iter().filter_map(move |text| Some((endpoint, address(text)?))));
    let (endpoints, addresses): (Vec<&types::Endpoint>, Vec<IpAddr>) = each.unzip();
    let zones: Vec<String> = if keep.zones {
        endpoints
            .iter()
            .map(|endpoint| endpoint.zone.as_deref().map_or_else(String::new, str::to_ascii_lowercase))
            .collect()
    } else {
        Vec::new()
    };
    let ports = given.ports.iter().map(|port| {
        let name = port.name.as_deref().unwrap_or_default();
        one_port(names, name, port.port, port.protocol.as_deref().unwrap_or_default())
    });
    let ports = ports.collect();
    Slice {
        name: given.metadata.name.as_str().into(),
        ports: ports_or_sentinel(names, ports),
        cluster: cluster.map(|cluster| names.name(cluster)),
        addresses: Addresses::pack(addresses),
        hosts: pack_labels(endpoints.iter().map(|endpoint| host(endpoint, keep))),
        zones: pack_labels(zones.iter().map(String::as_str)),
        mark: AtomicU32::new(mark),
    }
}

fn host(endpoint: &types::Endpoint, keep: Keep) -> &str {
    let given = endpoint.hostname.as_deref().unwrap_or_default();
    let pod = endpoint.target_ref.as_ref().filter(|_| keep.pod_names).map_or("", |target| target.name.as_str());
    // A name too long for a label is as good as none.
    [given, pod].into_iter().find(|name| !name.is_empty() && name.len() <= LABEL_MAX).unwrap_or_default()
}

fn one_port(names: &mut Interner, name: &str, number: Option<i32>, protocol: &str) -> Port {
    Port {
        name: names.name(name),
        number: number.and_then(|port| u16::try_from(port).ok()),
        protocol: Protocol::parse(protocol),
    }
}

fn ports_or_sentinel(names: &mut Interner, mut ports: Vec<Port>) -> Arc<[Port]> {
    if ports.is_empty() {
        ports.push(one_port(names, "", None, ""));
    }
    names.ports(ports)
}
