//! What stands behind a name: addresses or names of a Service with its ports, or its endpoints.

use std::net::IpAddr;
use std::sync::Arc;

use catena_cluster::External as Cluster;
use catena_cluster::index::{Entry, External, HostLabel, Service, ServiceKind};
use catena_core::name::reverse_address;
use catena_core::prelude::*;
use catena_core::{OwnedName, name};

/// Where a Service is reached from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Address(IpAddr),
    Name(OwnedName),
}

/// One way to a Service: a host and a port.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) host: Host,
    /// `None`: the Service has no ports.
    pub(crate) port: Option<u16>,
    /// The endpoint's label; `None` for the Service as a whole.
    pub(crate) endpoint: Option<HostLabel>,
}

/// The labels of a name before those of its Service; empty ones fit everything.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wanted<'q> {
    endpoint: &'q [u8],
    port: &'q [u8],
    protocol: &'q [u8],
}

/// What a question finds.
pub(crate) enum Found {
    /// Never empty.
    Items(Arc<Entry>, Vec<Item>),
    /// The Services that have an address; never empty.
    Services(Vec<Arc<Entry>>),
    /// No records, and the code for that.
    Nothing(Rcode),
}

/// Looks up a name below the apex of a zone. CoreDNS: plugin/kubernetes/external.go.
pub(crate) fn find(cluster: &dyn Cluster, q: &Query, zone: &Zone, headless: bool) -> Found {
    let is_pointer = q.qtype() == Rtype::PTR;
    if let Some(address) = reverse_address(q.lower()).filter(|_| is_pointer) {
        let services = cluster.services_outside(address);
        return if services.is_empty() { Found::Nothing(Rcode::NXDOMAIN) } else { Found::Services(services) };
    }
    let own = q.question().labels().count().saturating_sub(zone.labels());
    let labels: Vec<&[u8]> = q.lower().iter().take(own).map(|label| label.as_slice()).collect();
    let Some((namespace, rest)) = labels.split_last() else { return Found::Nothing(Rcode::SERVFAIL) };
    if !cluster.is_exposed(namespace) {
        return Found::Nothing(Rcode::NXDOMAIN);
    }
    let Some((service, rest)) = rest.split_last() else { return Found::Nothing(Rcode::NOERROR) };
    let wanted = match *rest {
        [] => Wanted::default(),
        [endpoint] => Wanted { endpoint: bare(endpoint), ..Wanted::default() },
        [port, protocol] => Wanted { port: bare(port), protocol: bare(protocol), ..Wanted::default() },
        _ => return Found::Nothing(Rcode::NXDOMAIN),
    };
    let entry = cluster.service(namespace, service);
    let items = entry.as_deref().map(|entry| items(entry, headless, wanted)).unwrap_or_default();
    match entry {
        Some(entry) if !items.is_empty() && !is_pointer => Found::Items(entry, items),
        _ if items.is_empty() => Found::Nothing(Rcode::NXDOMAIN),
        _ => Found::Nothing(Rcode::NOERROR),
    }
}

/// A label without its underscore.
fn bare(label: &[u8]) -> &[u8] {
    label.strip_prefix(b"_").unwrap_or(label)
}

fn items(entry: &Entry, headless: bool, wanted: Wanted<'_>) -> Vec<Item> {
    let Some(service) = entry.service() else { return Vec::new() };
    let by_endpoint = service.kind == ServiceKind::Headless || !wanted.endpoint.is_empty();
    if headless && service.external.is_empty() && by_endpoint {
        return endpoints(entry, wanted);
    }
    // The label of an endpoint makes no difference here.
    let mut items = Vec::new();
    for host in hosts(service) {
        let ports = service.ports.iter().filter(|port| port.matches(wanted.port, wanted.protocol));
        items.extend(ports.map(|port| Item { host: host.clone(), port: port.number, endpoint: None }));
    }
    items
}

/// The external addresses and names of a Service; what is no name is left out.
pub(crate) fn hosts(service: &Service) -> impl Iterator<Item = Host> + '_ {
    service.external.iter().filter_map(|external| match external {
        External::Address(ip) => Some(Host::Address(*ip)),
        External::Name(text) => name::owned(text).map(Host::Name),
    })
}

fn endpoints(entry: &Entry, wanted: Wanted<'_>) -> Vec<Item> {
    let mut items = Vec::new();
    for (slice, endpoint) in entry.endpoints() {
        if !wanted.endpoint.is_empty() && !endpoint.is_called(wanted.endpoint) {
            continue;
        }
        let label = Some(endpoint.label());
        let ports = slice.ports().iter().filter(|port| port.matches(wanted.port, wanted.protocol));
        items.extend(ports.map(|port| Item {
            host: Host::Address(endpoint.address),
            port: port.number,
            endpoint: label,
        }));
    }
    items
}

/// Every endpoint of a headless Service with each port.
pub(crate) fn all_endpoints(entry: &Entry) -> Vec<Item> {
    endpoints(entry, Wanted::default())
}
