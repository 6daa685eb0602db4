//! From all objects of all files to what a cluster would show, and into the index.

use std::collections::{BTreeMap, BTreeSet};

use super::read::Objects;
use crate::index::{Index, Kind, Kinds};
use crate::types::{
    AllLabels, Conditions, Endpoint, EndpointPort, EndpointSlice, Endpoints, Meta, Pod, Service, ServiceImport,
    ServicePort, SliceAnnotations, SliceLabels, TargetPort, TargetRef,
};

type Key<'a> = (&'a str, &'a str);

/// All objects, each once: of two with the same name the later counts.
#[derive(Default)]
struct World<'a> {
    namespaces: BTreeSet<&'a str>,
    services: BTreeMap<Key<'a>, &'a Service>,
    imports: BTreeMap<Key<'a>, &'a ServiceImport>,
    slices: BTreeMap<Key<'a>, &'a EndpointSlice>,
    endpoints: BTreeMap<Key<'a>, &'a Endpoints>,
    pods: BTreeMap<Key<'a>, &'a Pod<AllLabels>>,
}

/// The kinds that manifests keep in step.
pub(super) fn kinds() -> Kinds {
    Kinds::of(&Kind::ALL)
}

/// Makes the index show these objects and no others.
pub(super) fn fill<'a>(index: &Index, files: impl Iterator<Item = &'a Objects>) {
    let mut world = World::default();
    files.for_each(|objects| world.add(objects));
    index.begin(Kind::Namespaces);
    world.namespaces.iter().for_each(|name| index.apply_namespace(name));
    index.finish(Kind::Namespaces);
    // Endpoints before Services, so that a new headless Service has its endpoints from the start.
    index.begin(Kind::Slices);
    world.slices.values().for_each(|slice| index.apply_slice(slice));
    world.endpoints.values().flat_map(|endpoints| mirrored(endpoints)).for_each(|slice| index.apply_slice(&slice));
    world.selecting().flat_map(|service| world.selected(service)).for_each(|slice| index.apply_slice(&slice));
    index.finish(Kind::Slices);
    index.begin(Kind::Services);
    world.services.values().for_each(|service| index.apply_service(service));
    index.finish(Kind::Services);
    index.begin(Kind::Pods);
    world
        .pods
        .values()
        .filter(|pod| is_live(pod) && pod.status.phase != "Unknown")
        .for_each(|pod| index.apply_pod(pod));
    index.finish(Kind::Pods);
    if let Some(imports) = index.imports() {
        imports.begin(Kind::Slices);
        world.slices.values().for_each(|slice| imports.apply_import_slice(slice));
        imports.finish(Kind::Slices);
        imports.begin(Kind::Services);
        world.imports.values().for_each(|import| imports.apply_import(import));
        imports.finish(Kind::Services);
    }
}

impl<'a> World<'a> {
    fn add(&mut self, objects: &'a Objects) {
        fn key<L, A>(meta: &Meta<L, A>) -> Key<'_> {
            (&meta.namespace, &meta.name)
        }
        self.services.extend(objects.services.iter().map(|one| (key(&one.metadata), one)));
        self.imports.extend(objects.imports.iter().map(|one| (key(&one.metadata), one)));
        self.slices.extend(objects.slices.iter().map(|one| (key(&one.metadata), one)));
        self.endpoints.extend(objects.endpoints.iter().map(|one| (key(&one.metadata), one)));
        self.pods.extend(objects.pods.iter().map(|one| (key(&one.metadata), one)));
        self.namespaces.extend(objects.namespaces.iter().map(|one| one.metadata.name.as_str()));
        // A namespace that objects live in exists.
        let used = self.services.keys().chain(self.slices.keys()).chain(self.endpoints.keys()).chain(self.pods.keys());
        self.namespaces.extend(used.chain(self.imports.keys()).map(|key| key.0));
    }

    /// The Services whose endpoints a cluster's controllers would find: those with a selector for which no file has endpoints.
    fn selecting(&self) -> impl Iterator<Item = &'a Service> {
        let owners: BTreeSet<Key<'_>> = self
            .slices
            .values()
            .filter_map(|slice| Some((slice.metadata.namespace.as_str(), slice.metadata.labels.service.as_deref()?)))
            .collect();
        self.services.iter().filter_map(move |(key, service)| {
            let wanted = !service.spec.selector.is_empty() && service.spec.kind != "ExternalName";
            (wanted && !owners.contains(key) && !self.endpoints.contains_key(key)).then_some(*service)
        })
    }

    /// The slices of a Service with a selector: one for each list of ports that its pods resolve to.
    fn selected(&self, service: &Service) -> Vec<EndpointSlice> {
        let meta = &service.metadata;
        let mut by_ports: BTreeMap<Vec<(String, i32, String)>, Vec<Endpoint>> = BTreeMap::new();
        for pod in self.pods.values().filter(|pod| pod.metadata.namespace == meta.namespace && is_live(pod)) {
            let matches =
                service.spec.selector.iter().all(|(name, value)| pod.metadata.labels.get(name) == Some(value));
            let addresses = if matches { addresses(service, pod) } else { Vec::new() };
            if !addresses.is_empty() {
                by_ports.entry(ports(service, pod)).or_default().push(endpoint(service, pod, addresses));
            }
        }
        let slices = by_ports.into_iter().enumerate().map(|(at, (ports, endpoints))| {
            let ports = ports.into_iter().map(|(name, port, protocol)| EndpointPort {
                name: Some(name),
                port: Some(port),
                protocol: Some(protocol),
            });
            slice(&meta.namespace, &meta.name, &format!("selected-{at}"), ports.collect(), endpoints)
        });
        slices.collect()
    }
}

fn is_live(pod: &Pod<AllLabels>) -> bool {
    !matches!(pod.status.phase.as_str(), "Succeeded" | "Failed")
}

fn is_ready(pod: &Pod<AllLabels>) -> bool {
    let told = pod.status.conditions.iter().find(|condition| condition.kind == "Ready");
    told.map_or(pod.status.conditions.is_empty(), |condition| condition.status == "True")
}

/// The addresses that a Service takes from a pod: of the families that it names or has, else the pod's first.
fn addresses(service: &Service, pod: &Pod<AllLabels>) -> Vec<String> {
    let first = &pod.status.pod_ip;
    let mut all: Vec<&String> = pod.status.pod_ips.iter().map(|one| &one.ip).filter(|ip| !ip.is_empty()).collect();
    if all.is_empty() && !first.is_empty() {
        all.push(first);
    }
    let is_v6 = |ip: &str| ip.contains(':');
    let own =
        service.spec.cluster_ips.iter().chain([&service.spec.cluster_ip]).filter(|ip| !ip.is_empty() && *ip != "None");
    let mut families: Vec<bool> =
        service.spec.ip_families.iter().map(|family| family == "IPv6").chain(own.map(|ip| is_v6(ip))).collect();
    if families.is_empty() {
        families.extend(all.first().map(|ip| is_v6(ip)));
    }
    all.into_iter().filter(|ip| families.contains(&is_v6(ip))).cloned().collect()
}

/// The ports of a Service as a pod has them; one that the pod does not name is left out.
fn ports(service: &Service, pod: &Pod<AllLabels>) -> Vec<(String, i32, String)> {
    let of = |port: &ServicePort| {
        let number = match &port.target_port {
            None | Some(TargetPort::Number(0)) => port.port,
            Some(TargetPort::Number(number)) => *number,
            Some(TargetPort::Name(name)) => container_port(pod, name, &port.protocol)?,
        };
        Some((port.name.clone(), number, port.protocol.clone()))
    };
    service.spec.ports.iter().filter_map(of).collect()
}

fn container_port(pod: &Pod<AllLabels>, name: &str, protocol: &str) -> Option<i32> {
    let mut all = pod.spec.containers.iter().flat_map(|container| &container.ports);
    let same = |own: &str| if own.is_empty() { protocol == "TCP" } else { own == protocol };
    all.find(|port| port.name == name && same(&port.protocol)).map(|port| port.container_port)
}

fn endpoint(service: &Service, pod: &Pod<AllLabels>, addresses: Vec<String>) -> Endpoint {
    let named = !pod.spec.hostname.is_empty() && pod.spec.subdomain == service.metadata.name;
    Endpoint {
        addresses,
        conditions: Conditions { ready: Some(service.spec.publish_not_ready_addresses || is_ready(pod)) },
        hostname: named.then(|| pod.spec.hostname.clone()),
        target_ref: Some(TargetRef { name: pod.metadata.name.clone() }),
        zone: None,
    }
}

/// The slices that a cluster would mirror from a legacy Endpoints object.
fn mirrored(endpoints: &Endpoints) -> Vec<EndpointSlice> {
    let meta = &endpoints.metadata;
    let slices = endpoints.subsets.iter().enumerate().map(|(at, subset)| {
        let each = subset.addresses.iter().map(|address| Endpoint {
            addresses: vec![address.ip.clone()],
            hostname: address.hostname.clone(),
            target_ref: address.target_ref.clone(),
            ..Endpoint::default()
        });
        slice(&meta.namespace, &meta.name, &format!("mirrored-{at}"), subset.ports.clone(), each.collect())
    });
    slices.collect()
}

/// A slice of our own making; its name cannot be that of an object, which has no slash.
fn slice(
    namespace: &str,
    service: &str,
    name: &str,
    ports: Vec<EndpointPort>,
    endpoints: Vec<Endpoint>,
) -> EndpointSlice {
    let metadata = Meta {
        name: format!("{service}/{name}"),
        namespace: namespace.to_owned(),
        labels: SliceLabels { service: Some(service.to_owned()), ..SliceLabels::default() },
        annotations: SliceAnnotations::default(),
        ..Meta::default()
    };
    EndpointSlice { metadata, endpoints, ports }
}
