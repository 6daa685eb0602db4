//! What the Kubernetes DNS specification 1.1.0 wants for a question, read from the objects one by one, and what CoreDNS adds to it:
//! names of endpoints for every Service, SRV at a Service's own name, ports at address questions, KEP-1645's names.

use std::net::IpAddr;

use crate::world::{Endpoint, Key, Port, Service, Slice, World};

/// The zone of the cluster, and that of the set of clusters.
pub(crate) const ZONE: &str = "cluster.local.";
pub(crate) const SET_ZONE: &str = "clusterset.local.";

/// What the Corefile says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// `namespaces shop`
    pub(crate) shop_alone: bool,
    /// `ignore empty_service`
    pub(crate) ignore_empty: bool,
    /// `endpoint_pod_names`
    pub(crate) pod_names: bool,
}

/// What is answered: the code and the records, in order, without TTLs and weights.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) exists: bool,
    pub(crate) answer: Vec<String>,
    pub(crate) additional: Vec<String>,
}

/// An address that a name stands for, the name of its SRV records, and the port there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    address: IpAddr,
    target: String,
    port: Option<u16>,
}

fn there(answer: Vec<String>) -> Option<Wanted> {
    Some(Wanted { exists: true, answer, additional: Vec::new() })
}

fn unique(mut all: Vec<String>) -> Vec<String> {
    all.sort();
    all.dedup();
    all
}

/// What a question gets, its name in lower case with its final dot.
pub(crate) fn wanted(world: &World, options: Options, name: &str, qtype: &str) -> Wanted {
    let found =
        if name.ends_with(".arpa.") { reverse(world, options, name) } else { forward(world, options, name, qtype) };
    found.unwrap_or_default()
}

/// `None`: the name is not there.
fn forward(world: &World, options: Options, name: &str, qtype: &str) -> Option<Wanted> {
    let zone = if name.ends_with(SET_ZONE) { SET_ZONE } else { ZONE };
    let rest = name.strip_suffix(zone)?.trim_end_matches('.');
    let labels: Vec<&str> = rest.split('.').rev().collect();
    match labels.as_slice() {
        ["dns-version"] if qtype == "TXT" => there(vec!["TXT \"1.1.0\"".to_owned()]),
        // 2.3 and 2.4: a name between the zone and a Service has no records.
        ["svc" | "pod" | ""] => there(Vec::new()),
        ["svc" | "pod", namespace] if exposed(world, options, namespace) => there(Vec::new()),
        ["pod", namespace, label] if exposed(world, options, namespace) => {
            let address = pod(world, namespace, label)?;
            let is_asked = (qtype == "AAAA") == address.is_ipv6() && qtype != "SRV";
            there(if is_asked { vec![format!("{qtype} {address}")] } else { Vec::new() })
        }
        ["svc", namespace, service, detail @ ..] if exposed(world, options, namespace) => {
            let key = ((*namespace).to_owned(), (*service).to_owned());
            match (if zone == ZONE { &world.services } else { &world.imports }).get(&key)? {
                // 2.5
                Service::External(target) if detail.is_empty() => match qtype {
                    // CoreDNS follows an external name for addresses alone.
                    "SRV" | "MX" => there(Vec::new()),
                    _ => there(vec![format!("CNAME {target}.")]),
                },
                Service::External(_) => None,
                service => of_service(world, options, zone, &key, service, detail, qtype),
            }
        }
        _ => None,
    }
}

fn exposed(world: &World, options: Options, namespace: &str) -> bool {
    world.namespaces.contains(namespace) && (!options.shop_alone || namespace == "shop")
}

/// 2.5 of the specification's pod section, for pods that live.
fn pod(world: &World, namespace: &str, label: &str) -> Option<IpAddr> {
    world.pods.iter().filter(|((of, _), _)| of == namespace).map(|(_, ip)| *ip).find(|ip| {
        let text = ip.to_string();
        // A pod has the spelling of its address with dashes for dots and colons.
        text.replace(['.', ':'], "-") == label
    })
}

/// 2.3 and 2.4.
fn of_service(
    world: &World,
    options: Options,
    zone: &str,
    key: &Key,
    service: &Service,
    detail: &[&str],
    qtype: &str,
) -> Option<Wanted> {
    let own = format!("{}.{}.svc.{zone}", key.1, key.0);
    let all = if zone == ZONE { &world.slices } else { &world.import_slices };
    let slices: Vec<&Slice> = all
        .iter()
        .filter(|((of, _), slice)| *of == key.0 && slice.owner.as_ref() == Some(&key.1))
        .map(|(_, slice)| slice)
        .collect();
    if let (Service::ClusterIp(..), true) = (service, options.ignore_empty)
        && !slices.iter().any(|slice| ready(slice).next().is_some())
    {
        return None;
    }
    let is_port = |label: &str| label.starts_with('_');
    let named = |label: &str| label.trim_start_matches('_').to_owned();
    let items = match (detail, service) {
        ([], Service::ClusterIp(ips, ports)) => cluster(ips, ports, &own, "", ""),
        ([], _) => endpoints(options, zone, &slices, &own, |_, _| true, "", ""),
        ([label], _) if zone == ZONE => endpoints(options, zone, &slices, &own, |_, host| host == *label, "", ""),
        // An endpoint in a set of clusters is named with its cluster (KEP-1645).
        ([_], _) => Vec::new(),
        ([protocol, port], Service::ClusterIp(ips, ports)) if is_port(protocol) && is_port(port) => {
            cluster(ips, ports, &own, &named(port), &named(protocol))
        }
        ([protocol, port], _) if is_port(protocol) && is_port(port) => {
            endpoints(options, zone, &slices, &own, |_, _| true, &named(port), &named(protocol))
        }
        ([cluster, label], _) if zone == SET_ZONE => {
            endpoints(options, zone, &slices, &own, |slice, host| slice.cluster == *cluster && host == *label, "", "")
        }
        _ => Vec::new(),
    };
    if items.is_empty() { None } else { Some(records(&items, qtype)) }
}

fn records(items: &[Item], qtype: &str) -> Wanted {
    let address = |item: &Item| format!("{} {}", if item.address.is_ipv6() { "AAAA" } else { "A" }, item.address);
    match qtype {
        "A" | "AAAA" => {
            let wanted = items.iter().filter(|item| item.address.is_ipv6() == (qtype == "AAAA"));
            Wanted { exists: true, answer: unique(wanted.map(address).collect()), additional: Vec::new() }
        }
        "SRV" => {
            let numbered: Vec<&Item> = items.iter().filter(|item| item.port.is_some()).collect();
            let record = |item: &&Item| format!("SRV 0 {} {}", item.port.unwrap_or(0), item.target);
            Wanted {
                exists: true,
                answer: unique(numbered.iter().map(record).collect()),
                additional: unique(numbered.iter().map(|item| format!("{} {}", item.target, address(item))).collect()),
            }
        }
        _ => Wanted { exists: true, ..Wanted::default() },
    }
}

/// The ports that are asked for; a list without ports has one without name and number.
fn asked(ports: &[Port], name: &str, protocol: &str) -> Vec<Option<u16>> {
    if ports.is_empty() {
        return if name.is_empty() && protocol.is_empty() { vec![None] } else { Vec::new() };
    }
    let fits = |port: &&Port| {
        (name.is_empty() || port.0.to_lowercase() == name) && (protocol.is_empty() || port.2.to_lowercase() == protocol)
    };
    ports.iter().filter(fits).map(|port| port.1).collect()
}

fn cluster(ips: &[IpAddr], ports: &[Port], own: &str, name: &str, protocol: &str) -> Vec<Item> {
    let each = asked(ports, name, protocol).into_iter();
    each.flat_map(|port| ips.iter().map(move |ip| Item { address: *ip, target: own.to_owned(), port })).collect()
}

fn ready(slice: &Slice) -> impl Iterator<Item = (&Endpoint, IpAddr)> {
    let ready = slice.endpoints.iter().filter(|endpoint| endpoint.ready != Some(false));
    ready.flat_map(|endpoint| endpoint.addresses.iter().map(move |ip| (endpoint, *ip)))
}

/// 2.4.1: the host name, or what an implementation chooses.
fn host(options: Options, endpoint: &Endpoint, ip: IpAddr) -> String {
    let pod = endpoint.pod.clone().filter(|_| options.pod_names);
    endpoint.hostname.clone().or(pod).unwrap_or_else(|| {
        let text = ip.to_string().replace(['.', ':'], "-");
        if text.ends_with('-') { text + "0" } else { text }
    })
}

fn endpoints(
    options: Options,
    zone: &str,
    slices: &[&Slice],
    own: &str,
    is_wanted: impl Fn(&Slice, &str) -> bool,
    name: &str,
    protocol: &str,
) -> Vec<Item> {
    let mut items = Vec::new();
    for slice in slices {
        for (endpoint, ip) in ready(slice) {
            let host = host(options, endpoint, ip);
            if !is_wanted(slice, &host) {
                continue;
            }
            let target = if zone == ZONE { format!("{host}.{own}") } else { format!("{host}.{}.{own}", slice.cluster) };
            for port in asked(&slice.ports, name, protocol) {
                items.push(Item { address: ip, target: target.clone(), port });
            }
        }
    }
    items
}

/// 2.3.3 and 2.4.3; of several Services with one address the first by namespace and name.
fn reverse(world: &World, options: Options, name: &str) -> Option<Wanted> {
    let shown = |namespace: &str| !options.shop_alone || exposed(world, options, namespace);
    let spells = |ip: &IpAddr| arpa(ip) == name;
    let has = |service: &Service| matches!(service, Service::ClusterIp(ips, _) if ips.iter().any(spells));
    if let Some(((namespace, service), _)) =
        world.services.iter().find(|((namespace, _), one)| shown(namespace) && has(one))
    {
        return there(vec![format!("PTR {service}.{namespace}.svc.{ZONE}")]);
    }
    let mut names = Vec::new();
    for ((namespace, _), slice) in world.slices.iter().filter(|((namespace, _), _)| shown(namespace)) {
        let Some(owner) = &slice.owner else { continue };
        for (endpoint, ip) in ready(slice).filter(|(_, ip)| spells(ip)) {
            names.push(format!("PTR {}.{owner}.{namespace}.svc.{ZONE}", host(options, endpoint, ip)));
        }
    }
    if names.is_empty() { None } else { there(unique(names)) }
}

/// The reverse name of an address.
pub(crate) fn arpa(ip: &IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
        }
        IpAddr::V6(ip) => {
            let digits = ip.octets().into_iter().rev().map(|octet| format!("{:x}.{:x}.", octet & 15, octet >> 4));
            digits.collect::<String>() + "ip6.arpa."
        }
    }
}
