//! From a question to what the index has for it.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use catena_cluster::index::{Endpoint, Entry, Index, Service, ServiceKind};
use catena_core::name::{OwnedName, owned};
use catena_core::{Question, Zone};

use crate::config::{Config, PodMode};
use crate::request::{Asked, Detail, parse};

/// What a name stands for.
pub(crate) enum Found<'q> {
    /// There is no such name.
    Nothing,
    /// It is there and has no records.
    Empty,
    /// The name servers' addresses.
    NameServer,
    /// The version of the specification.
    Version,
    /// A pod.
    Pod { address: IpAddr },
    /// A Service, or a part of it that may turn out to be nothing.
    Service { entry: Arc<Entry>, detail: Detail<'q> },
    /// Another name.
    External { target: OwnedName },
}

/// An address that a name stands for.
#[derive(Clone, Copy)]
pub(crate) struct Item<'a> {
    pub(crate) address: IpAddr,
    /// `None` if there is no port to tell of.
    pub(crate) port: Option<u16>,
    /// The endpoint, if it is one.
    pub(crate) endpoint: Option<Endpoint<'a>>,
}

/// An address of a name server: that of a Service, of an endpoint of it, or of this host.
pub(crate) struct NameServer<'a> {
    pub(crate) entry: Option<&'a Entry>,
    pub(crate) endpoint: Option<Endpoint<'a>>,
    pub(crate) address: IpAddr,
}

/// The data behind the answers.
pub(crate) struct Backend {
    pub(crate) config: Config,
    pub(crate) index: Arc<Index>,
    /// The addresses, none of them loopback, that this server listens on; known once it starts.
    pub(crate) local: OnceLock<Vec<IpAddr>>,
}

impl Backend {
    /// What a question's name stands for.
    pub(crate) fn find<'q>(&self, question: &'q Question, zone: &Zone) -> Found<'q> {
        let asked = parse(question, zone, self.config.zonal);
        match asked {
            Asked::Top => Found::Empty,
            Asked::NameServer => Found::NameServer,
            Asked::Version => Found::Version,
            Asked::Nothing => Found::Nothing,
            _ if zone.is_reverse() => Found::Nothing,
            Asked::Namespace { namespace, pods } => {
                let there = self.is_exposed(namespace) && (!pods || self.config.pods != PodMode::Disabled);
                if there { Found::Empty } else { Found::Nothing }
            }
            Asked::Name { namespace, .. } if !self.is_exposed(namespace) => Found::Nothing,
            Asked::Name { name, namespace, pods: true, .. } => match self.pod(name, namespace) {
                Some(address) => Found::Pod { address },
                None => Found::Nothing,
            },
            Asked::Name { name, namespace, pods: false, detail } => self.service(name, namespace, detail),
        }
    }

    /// Whether a namespace exists and is not left out by `namespaces`.
    pub(crate) fn is_exposed(&self, namespace: &[u8]) -> bool {
        self.is_configured(namespace) && self.index.has_namespace(namespace)
    }

    fn is_configured(&self, namespace: &[u8]) -> bool {
        let listed = &self.config.namespaces;
        listed.is_empty() || listed.iter().any(|one| one.as_bytes() == namespace)
    }

    fn service<'q>(&self, name: &[u8], namespace: &[u8], detail: Detail<'q>) -> Found<'q> {
        let Some(entry) = self.index.service(namespace, name) else { return Found::Nothing };
        let Some(service) = entry.service() else { return Found::Nothing };
        match &service.kind {
            // CoreDNS: an external name has neither endpoints nor ports, and one that is an address is none.
            ServiceKind::ExternalName(target) if detail == Detail::Whole && target.parse::<IpAddr>().is_err() => {
                match owned(target) {
                    Some(target) => Found::External { target },
                    None => Found::Nothing,
                }
            }
            ServiceKind::ExternalName(_) => Found::Nothing,
            ServiceKind::ClusterIp if self.config.ignore_empty && entry.slices().all(|slice| slice.is_empty()) => {
                Found::Nothing
            }
            ServiceKind::ClusterIp | ServiceKind::Headless => Found::Service { entry, detail },
        }
    }

    /// The address that a pod's label spells, if there is such a pod.
    fn pod(&self, label: &[u8], namespace: &[u8]) -> Option<IpAddr> {
        let text = std::str::from_utf8(label).ok()?;
        let is_v4 = text.matches('-').count() == 3 && !text.contains("--");
        let spelled = text.replace('-', if is_v4 { "." } else { ":" });
        let address = spelled.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())?;
        match self.config.pods {
            PodMode::Disabled => None,
            PodMode::Insecure => Some(address),
            PodMode::Verified => {
                let lives =
                    |pod: &Arc<catena_cluster::index::Pod>| pod.namespace().as_bytes().eq_ignore_ascii_case(namespace);
                // Only the spelling that the API uses counts.
                (spelled == address.to_string() && self.index.pods_at(address).iter().any(lives)).then_some(address)
            }
        }
    }

    /// Visits the addresses of a Service, or of the part that is asked for, doubles and all. `false`: there is no such part.
    pub(crate) fn visit<'e>(&self, entry: &'e Entry, detail: &Detail<'_>, visit: &mut dyn FnMut(Item<'e>)) -> bool {
        let Some(service) = entry.service() else { return false };
        let headless = service.kind == ServiceKind::Headless;
        match detail {
            Detail::Zone { .. } if !headless => false,
            Detail::Zone { zone, prefer } => {
                let here = endpoints(
                    entry,
                    &|endpoint| endpoint.zone.is_some_and(|own| own.as_bytes() == &**zone),
                    (b"", b""),
                    visit,
                );
                if !here && *prefer {
                    endpoints(entry, &|_| true, (b"", b""), visit);
                }
                // The name of a headless Service's zone exists, be there endpoints in it or not.
                true
            }
            Detail::Endpoint(label) => endpoints(entry, &|endpoint| endpoint.is_called(label), (b"", b""), visit),
            Detail::Whole if headless => endpoints(entry, &|_| true, (b"", b""), visit),
            Detail::Port { name, protocol } if headless => endpoints(entry, &|_| true, (name, protocol), visit),
            Detail::Whole => cluster_ips(service, (b"", b""), visit),
            Detail::Port { name, protocol } => cluster_ips(service, (name, protocol), visit),
        }
    }

    /// Visits the names of a reverse look-up, as endpoint and entry: of the first Service with this cluster address, or else of
    /// every endpoint. CoreDNS: plugin/kubernetes/reverse.go.
    pub(crate) fn visit_reverse(&self, address: IpAddr, visit: &mut dyn FnMut(&Entry, Option<Endpoint<'_>>)) {
        let shown =
            |entry: &Arc<Entry>| self.config.namespaces.is_empty() || self.is_exposed(entry.namespace().as_bytes());
        if let Some(entry) = self.index.services_at(address).iter().find(|entry| shown(entry)) {
            return visit(entry, None);
        }
        for entry in self.index.endpoints_at(address).iter().filter(|entry| shown(entry)) {
            let same = entry.endpoints().map(|(_, endpoint)| endpoint).filter(|endpoint| endpoint.address == address);
            same.for_each(|endpoint| visit(entry, Some(endpoint)));
        }
    }

    /// Visits the name servers: the Services behind which this server is an endpoint, or else its own addresses. CoreDNS: plugin/kubernetes/ns.go.
    pub(crate) fn visit_name_servers(&self, visit: &mut dyn FnMut(NameServer<'_>)) {
        let local = self.local.get().map_or(&[][..], Vec::as_slice);
        let mut is_endpoint = false;
        for address in local {
            for entry in self.index.endpoints_at(*address) {
                is_endpoint = true;
                let Some(service) = entry.service() else { continue };
                if service.kind != ServiceKind::Headless {
                    service
                        .cluster_ips
                        .iter()
                        .for_each(|ip| visit(NameServer { entry: Some(&entry), endpoint: None, address: *ip }));
                    continue;
                }
                for slice in
                    entry.slices().filter(|slice| slice.endpoints().any(|endpoint| endpoint.address == *address))
                {
                    slice.endpoints().for_each(|endpoint| {
                        visit(NameServer { entry: Some(&entry), endpoint: Some(endpoint), address: endpoint.address })
                    });
                }
            }
        }
        if !is_endpoint {
            local.iter().for_each(|address| visit(NameServer { entry: None, endpoint: None, address: *address }));
        }
    }
}

fn endpoints<'e>(
    entry: &'e Entry,
    wanted: &dyn Fn(&Endpoint<'e>) -> bool,
    (name, protocol): (&[u8], &[u8]),
    visit: &mut dyn FnMut(Item<'e>),
) -> bool {
    let mut any = false;
    for (slice, endpoint) in entry.endpoints().filter(|(_, endpoint)| wanted(endpoint)) {
        for port in slice.ports().iter().filter(|port| port.matches(name, protocol)) {
            any = true;
            visit(Item { address: endpoint.address, port: port.number, endpoint: Some(endpoint) });
        }
    }
    any
}

fn cluster_ips<'e>(service: &'e Service, (name, protocol): (&[u8], &[u8]), visit: &mut dyn FnMut(Item<'e>)) -> bool {
    let mut any = false;
    for port in service.ports.iter().filter(|port| port.matches(name, protocol)) {
        any = true;
        for address in &service.cluster_ips {
            visit(Item { address: *address, port: port.number, endpoint: None });
        }
    }
    any
}
