//! From a question to what the index has for it.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use catena_cluster::index::{Endpoint, Entry, Index, Service, ServiceKind, Slice};
use catena_core::name::{OwnedName, owned};
use catena_core::{Question, Zone};

use crate::config::{Config, PodMode};
use crate::handover::{Estate, Running};
use crate::request::{Asked, Detail, Grammar, parse};

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
    /// What was running before and goes on, if anything.
    pub(crate) estate: Arc<Estate>,
    /// What runs otherwise.
    pub(crate) fresh: Arc<Running>,
    /// The addresses, none of them loopback, that this server listens on; known once it starts.
    pub(crate) local: OnceLock<Vec<IpAddr>>,
}

impl Backend {
    /// What keeps the index in step.
    pub(crate) fn running(&self) -> &Arc<Running> {
        self.estate.running().unwrap_or(&self.fresh)
    }

    /// The objects.
    pub(crate) fn index(&self) -> &Index {
        &self.running().index
    }

    /// Whether a zone is that of a set of clusters; the objects are then the ServiceImports.
    fn imports(&self, zone: &Zone) -> Option<&Index> {
        let of_a_set = self.config.multicluster.longest_for(zone.name().for_slice()).is_some();
        self.index().imports().filter(|_| of_a_set).map(|imports| &**imports)
    }

    /// Whether a zone is that of a set of clusters.
    pub(crate) fn is_of_a_set(&self, zone: &Zone) -> bool {
        self.imports(zone).is_some()
    }

    /// The objects that a zone is answered from.
    pub(crate) fn objects(&self, zone: &Zone) -> &Index {
        self.imports(zone).unwrap_or(self.index())
    }

    /// The serial number of a zone. That of a set of clusters does not count what comes and goes (CoreDNS:
    /// plugin/kubernetes/controller.go).
    pub(crate) fn zone_serial(&self, zone: &Zone) -> u32 {
        self.imports(zone).map_or_else(|| self.index().serial(), Index::serial_updated)
    }

    /// What the names of a zone mean.
    pub(crate) fn grammar(&self, zone: &Zone) -> Grammar {
        match self.imports(zone) {
            Some(_) => Grammar::Multicluster,
            None if self.config.zonal => Grammar::Zonal,
            None => Grammar::Plain,
        }
    }

    /// What a name asks for.
    pub(crate) fn asked<'q>(&self, question: &'q Question, zone: &Zone) -> Asked<'q> {
        parse(question, zone, self.grammar(zone))
    }

    /// What a question's name stands for.
    pub(crate) fn find<'q>(&self, question: &'q Question, zone: &Zone) -> Found<'q> {
        match self.asked(question, zone) {
            Asked::Top => Found::Empty,
            Asked::NameServer => Found::NameServer,
            Asked::Version => Found::Version,
            Asked::Nothing => Found::Nothing,
            _ if zone.is_reverse() => Found::Nothing,
            Asked::Namespace { namespace, pods } => {
                let there = self.exposes(namespace) && (!pods || self.config.pods != PodMode::Disabled);
                if there { Found::Empty } else { Found::Nothing }
            }
            Asked::Name { namespace, .. } if !self.exposes(namespace) => Found::Nothing,
            Asked::Name { name, namespace, pods: true, .. } => match self.pod(name, namespace) {
                Some(address) => Found::Pod { address },
                None => Found::Nothing,
            },
            Asked::Name { name, namespace, pods: false, detail } => {
                self.find_service(self.objects(zone), name, namespace, detail)
            }
        }
    }

    /// Whether a namespace exists and is not left out by `namespaces`.
    pub(crate) fn exposes(&self, namespace: &[u8]) -> bool {
        self.is_configured(namespace) && self.index().has_namespace(namespace)
    }

    fn is_configured(&self, namespace: &[u8]) -> bool {
        let listed = &self.config.namespaces;
        listed.is_empty() || listed.iter().any(|one| one.as_bytes() == namespace)
    }

    fn find_service<'q>(&self, index: &Index, name: &[u8], namespace: &[u8], detail: Detail<'q>) -> Found<'q> {
        let Some(entry) = index.service(namespace, name) else { return Found::Nothing };
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
                (spelled == address.to_string() && self.index().pods_at(address).iter().any(lives)).then_some(address)
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
            Detail::Endpoint(label) => endpoints(
                entry,
                &|endpoint| endpoint.cluster.is_none_or(str::is_empty) && endpoint.is_called(label),
                (b"", b""),
                visit,
            ),
            Detail::Member { endpoint: label, cluster } => {
                let there = |own: &str| own.as_bytes().eq_ignore_ascii_case(cluster);
                let wanted = |one: &Endpoint<'e>| one.cluster.is_some_and(there) && one.is_called(label);
                endpoints(entry, &wanted, (b"", b""), visit)
            }
            Detail::Whole if headless => endpoints(entry, &|_| true, (b"", b""), visit),
            Detail::Port { name, protocol } if headless => endpoints(entry, &|_| true, (name, protocol), visit),
            Detail::Whole => cluster_ips(service, (b"", b""), visit),
            Detail::Port { name, protocol } => cluster_ips(service, (name, protocol), visit),
        }
    }

    /// Whether reverse look-ups tell of an entry: `namespace_labels` does not count here (CoreDNS: plugin/kubernetes/reverse.go).
    pub(crate) fn shows_reverse(&self, entry: &Entry) -> bool {
        self.config.namespaces.is_empty() || self.exposes(entry.namespace().as_bytes())
    }

    /// The endpoints of the slices that have this address.
    pub(crate) fn beside(entry: &Entry, address: IpAddr) -> impl Iterator<Item = Endpoint<'_>> {
        let has = move |slice: &&Slice| slice.endpoints().any(|endpoint| endpoint.address == address);
        entry.slices().filter(has).flat_map(|slice| slice.endpoints())
    }

    /// Visits the names of a reverse look-up, as endpoint and entry: of the first Service with this cluster address, or else of
    /// every endpoint. CoreDNS: plugin/kubernetes/reverse.go.
    pub(crate) fn visit_reverse(&self, address: IpAddr, visit: &mut dyn FnMut(&Entry, Option<Endpoint<'_>>)) {
        if let Some(entry) = self.index().services_at(address).iter().find(|entry| self.shows_reverse(entry)) {
            return visit(entry, None);
        }
        for entry in self.index().endpoints_at(address).iter().filter(|entry| self.shows_reverse(entry)) {
            let same = entry.endpoints().map(|(_, endpoint)| endpoint).filter(|endpoint| endpoint.address == address);
            same.for_each(|endpoint| visit(entry, Some(endpoint)));
        }
    }

    /// Visits the name servers: the Services behind which this server is an endpoint, or else its own addresses. CoreDNS: plugin/kubernetes/ns.go.
    pub(crate) fn visit_name_servers(&self, visit: &mut dyn FnMut(NameServer<'_>)) {
        let local = self.local.get().map_or(&[][..], Vec::as_slice);
        let mut is_endpoint = false;
        for address in local {
            for entry in self.index().endpoints_at(*address) {
                is_endpoint = true;
                let Some(service) = entry.service() else { continue };
                if service.kind != ServiceKind::Headless {
                    service
                        .cluster_ips
                        .iter()
                        .for_each(|ip| visit(NameServer { entry: Some(&entry), endpoint: None, address: *ip }));
                    continue;
                }
                Self::beside(&entry, *address).for_each(|endpoint| {
                    visit(NameServer { entry: Some(&entry), endpoint: Some(endpoint), address: endpoint.address });
                });
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
