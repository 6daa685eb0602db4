//! A small cluster, and random changes of it: what the API is told, and what the model then holds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::{Value as Json, json};

/// The namespaces that there may be; the last never is.
pub(crate) const NAMESPACES: [&str; 3] = ["shop", "lab", "ghost"];
/// The names that Services and ServiceImports may have.
pub(crate) const SERVICES: [&str; 3] = ["web", "db", "api"];
/// The addresses that endpoints and pods may have.
pub(crate) const ADDRESSES: [&str; 7] =
    ["10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4", "fd00::1", "fd00::2", "2001:db8:0:1::"];
/// The addresses that Services may have.
pub(crate) const CLUSTER_IPS: [&str; 5] = ["10.96.0.1", "10.96.0.2", "10.96.0.3", "fd00:96::1", "fd00:96::2"];
/// The host names that endpoints may have.
pub(crate) const HOSTS: [&str; 2] = ["db-0", "db-1"];
/// The names that pods may have.
pub(crate) const PODS: [&str; 3] = ["p-0", "p-1", "p-2"];
/// The clusters that slices of ServiceImports may come from.
pub(crate) const CLUSTERS: [&str; 2] = ["east", "west"];

/// Namespace and name.
pub(crate) type Key = (String, String);

/// A port: name, number, protocol.
pub(crate) type Port = (String, Option<u16>, String);

/// A Service or a ServiceImport.
#[derive(Debug, Clone)]
pub(crate) enum Service {
    /// With addresses and ports.
    ClusterIp(Vec<IpAddr>, Vec<Port>),
    /// Without.
    Headless,
    /// Another name.
    External(String),
}

/// An endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) ready: Option<bool>,
    pub(crate) hostname: Option<String>,
    pub(crate) pod: Option<String>,
}

/// An EndpointSlice: of which Service, in which cluster if it is of a ServiceImport.
#[derive(Debug, Clone)]
pub(crate) struct Slice {
    pub(crate) owner: Option<String>,
    pub(crate) cluster: String,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) ports: Vec<Port>,
}

/// What DNS has to show.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) namespaces: BTreeSet<String>,
    pub(crate) services: BTreeMap<Key, Service>,
    pub(crate) slices: BTreeMap<Key, Slice>,
    pub(crate) imports: BTreeMap<Key, Service>,
    pub(crate) import_slices: BTreeMap<Key, Slice>,
    pub(crate) pods: BTreeMap<Key, IpAddr>,
    /// What the API holds, by kind and key.
    held: BTreeSet<(&'static str, Key)>,
}

/// What the API is told.
#[derive(Debug)]
pub(crate) enum Change {
    Apply(String),
    Delete(String),
}

/// Numbers that look random, the same for the same seed (SplitMix64).
#[derive(Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(end).unwrap()).unwrap()
    }

    /// True once in so often.
    pub(crate) fn once_in(&mut self, often: usize) -> bool {
        self.below(often) == 0
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn some<'a>(&mut self, of: &[&'a str], most: usize) -> Vec<&'a str> {
        let mut chosen: Vec<&str> = (0..self.below(most + 1)).map(|_| self.one(of)).collect();
        chosen.dedup();
        chosen
    }

    fn ports(&mut self) -> Vec<Port> {
        let known = [("http", Some(80), "TCP"), ("dns", Some(53), "UDP"), ("", Some(9), "TCP"), ("HTTP", None, "TCP")];
        let from = self.below(known.len());
        let count = self.below(3);
        let mut ports: Vec<Port> = Vec::new();
        for (name, number, protocol) in known.into_iter().cycle().skip(from).take(count) {
            ports.push((name.to_owned(), number, protocol.to_owned()));
        }
        ports
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ports_json(ports: &[Port]) -> Json {
    ports.iter().map(|(name, number, protocol)| json!({"name": name, "port": number, "protocol": protocol})).collect()
}

impl World {
    /// Changes one thing, and returns what the API is told.
    pub(crate) fn change(&mut self, dice: &mut Dice) -> Change {
        let kinds = [
            "Namespace",
            "Service",
            "Service",
            "EndpointSlice",
            "EndpointSlice",
            "Pod",
            "ServiceImport",
            "ImportSlice",
        ];
        let kind = if self.namespaces.is_empty() { "Namespace" } else { dice.one(&kinds) };
        let namespace = dice.one(&NAMESPACES[..2]);
        let name = match kind {
            "Namespace" => namespace,
            "Service" | "ServiceImport" => dice.one(&SERVICES),
            "Pod" => dice.one(&PODS),
            _ => dice.one(&["s-1", "s-2", "s-3", "s-4"]),
        };
        let name = if kind == "ImportSlice" { format!("mc-{name}") } else { name.to_owned() };
        let key = (namespace.to_owned(), name);
        if self.held.contains(&(kind, key.clone())) && dice.once_in(3) {
            return self.delete(kind, key);
        }
        self.held.insert((kind, key.clone()));
        let object = match kind {
            "Namespace" => self.put_namespace(&key),
            "Service" => self.put_service(key, dice),
            "ServiceImport" => self.put_import(key, dice),
            "Pod" => self.put_pod(key, dice),
            _ => self.put_slice(kind == "ImportSlice", key, dice),
        };
        Change::Apply(object.to_string())
    }

    fn delete(&mut self, kind: &'static str, key: Key) -> Change {
        self.held.remove(&(kind, key.clone()));
        let api = match kind {
            "ServiceImport" => "multicluster.x-k8s.io/v1alpha1",
            "EndpointSlice" | "ImportSlice" => "discovery.k8s.io/v1",
            _ => "v1",
        };
        let metadata = json!({"namespace": key.0, "name": key.1});
        match kind {
            "Namespace" => drop(self.namespaces.remove(&key.0)),
            "Service" => drop(self.services.remove(&key)),
            "ServiceImport" => drop(self.imports.remove(&key)),
            "EndpointSlice" => drop(self.slices.remove(&key)),
            "ImportSlice" => drop(self.import_slices.remove(&key)),
            _ => drop(self.pods.remove(&key)),
        }
        let kind = if kind == "ImportSlice" { "EndpointSlice" } else { kind };
        Change::Delete(json!({"apiVersion": api, "kind": kind, "metadata": metadata}).to_string())
    }

    fn put_namespace(&mut self, key: &Key) -> Json {
        self.namespaces.insert(key.0.clone());
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": key.0}})
    }

    fn put_service(&mut self, key: Key, dice: &mut Dice) -> Json {
        let ports = dice.ports();
        // A Service's port has a number.
        let ports: Vec<Port> = ports.into_iter().filter(|(_, number, _)| number.is_some()).collect();
        let (spec, service) = match dice.below(4) {
            0 => (json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": ports_json(&ports)}), Service::Headless),
            1 => {
                let target = dice.one(&["www.example.org", "a.example.org"]).to_owned();
                (json!({"type": "ExternalName", "externalName": target}), Service::External(target))
            }
            _ => {
                let mut ips = dice.some(&CLUSTER_IPS, 2);
                if ips.is_empty() {
                    ips.push(CLUSTER_IPS[0]);
                }
                let spec = json!({"clusterIP": ips[0], "clusterIPs": ips, "ports": ports_json(&ports)});
                (spec, Service::ClusterIp(ips.into_iter().map(ip).collect(), ports))
            }
        };
        let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": key.0, "name": key.1}, "spec": spec});
        self.services.insert(key, service);
        object
    }

    fn put_import(&mut self, key: Key, dice: &mut Dice) -> Json {
        let ports: Vec<Port> = dice.ports().into_iter().filter(|(_, number, _)| number.is_some()).collect();
        let (kind, ips, service) = if dice.once_in(2) {
            ("Headless", Vec::new(), Service::Headless)
        } else {
            let ips = vec![dice.one(&CLUSTER_IPS)];
            ("ClusterSetIP", ips.clone(), Service::ClusterIp(ips.into_iter().map(ip).collect(), ports.clone()))
        };
        let object = json!({"apiVersion": "multicluster.x-k8s.io/v1alpha1", "kind": "ServiceImport",
            "metadata": {"namespace": key.0, "name": key.1}, "spec": {"type": kind, "ips": ips, "ports": ports_json(&ports)}});
        self.imports.insert(key, service);
        object
    }

    fn put_slice(&mut self, of_import: bool, key: Key, dice: &mut Dice) -> Json {
        let owner = (!dice.once_in(8)).then(|| dice.one(&SERVICES).to_owned());
        let cluster = dice.one(&CLUSTERS).to_owned();
        let endpoints: Vec<Endpoint> = (0..dice.below(4)).map(|_| endpoint(dice)).collect();
        let ports = dice.ports();
        let mut labels = serde_json::Map::new();
        let prefix = if of_import { "multicluster.kubernetes.io" } else { "kubernetes.io" };
        if let Some(owner) = &owner {
            labels.insert(format!("{prefix}/service-name"), json!(owner));
        }
        if of_import {
            labels.insert(format!("{prefix}/source-cluster"), json!(cluster));
        }
        let shown: Vec<Json> = endpoints.iter().map(endpoint_json).collect();
        let object = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"namespace": key.0, "name": key.1, "labels": labels}, "endpoints": shown, "ports": ports_json(&ports)});
        let slices = if of_import { &mut self.import_slices } else { &mut self.slices };
        slices.insert(key, Slice { owner, cluster, endpoints, ports });
        object
    }

    /// A pod that is being deleted is not looked at any more until it is gone; one that ended, or has no address, is not there.
    fn put_pod(&mut self, key: Key, dice: &mut Dice) -> Json {
        let address = dice.one(&ADDRESSES);
        let (ended, leaving, bare) = (dice.once_in(6), dice.once_in(6), dice.once_in(6));
        let mut object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": key.0, "name": key.1},
            "status": {"phase": if ended { "Succeeded" } else { "Running" }, "podIP": if bare { "" } else { address }}});
        if leaving {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        match () {
            () if ended => drop(self.pods.remove(&key)),
            () if leaving => {}
            () if bare => drop(self.pods.remove(&key)),
            () => drop(self.pods.insert(key, ip(address))),
        }
        object
    }
}

fn endpoint(dice: &mut Dice) -> Endpoint {
    let mut addresses: Vec<IpAddr> = dice.some(&ADDRESSES, 2).into_iter().map(ip).collect();
    if addresses.is_empty() {
        addresses.push(ip(ADDRESSES[0]));
    }
    Endpoint {
        addresses,
        ready: [Some(true), None, Some(false)][dice.below(3)],
        hostname: dice.once_in(2).then(|| dice.one(&HOSTS).to_owned()),
        pod: dice.once_in(2).then(|| dice.one(&PODS).to_owned()),
    }
}

fn endpoint_json(endpoint: &Endpoint) -> Json {
    let mut shown = json!({"addresses": endpoint.addresses, "conditions": {"ready": endpoint.ready}});
    if let Some(hostname) = &endpoint.hostname {
        shown["hostname"] = json!(hostname);
    }
    if let Some(pod) = &endpoint.pod {
        shown["targetRef"] = json!({"kind": "Pod", "name": pod});
    }
    shown
}
