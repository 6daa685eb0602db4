//! The records of a zone, for answers and for transfers. CoreDNS: plugin/k8s_external/msg_to_dns.go and apex.go.

use std::collections::HashSet;
use std::net::IpAddr;

use catena_cluster::index::Entry;
use catena_core::name::NAME_OCTETS_MAX;
use catena_core::prelude::*;
use catena_core::{Class, OwnedName};

use crate::config::Config;
use crate::items::{Host, Item};

/// The numbers of every SOA record: refresh, retry, expire. Seconds.
const SOA_TIMES: [u32; 3] = [7200, 1800, 86_400];
/// The weight that the SRV records of an answer share.
const WEIGHT: usize = 100;

/// A name of labels in a zone; `None` if it is too long or a label is none.
pub(crate) fn name(labels: &[&[u8]], zone: &[u8]) -> Option<Vec<u8>> {
    let mut wire = Vec::with_capacity(NAME_OCTETS_MAX);
    for label in labels {
        let len = u8::try_from(label.len()).ok().filter(|len| (1..=63).contains(len))?;
        wire.push(len);
        wire.extend_from_slice(label);
    }
    wire.extend_from_slice(zone);
    (wire.len() <= NAME_OCTETS_MAX).then_some(wire)
}

/// The name of a Service or of one of its endpoints.
pub(crate) fn service_name(entry: &Entry, item: Option<&Item>, zone: &[u8]) -> Option<Vec<u8>> {
    let (service, namespace) = (entry.name().as_bytes(), entry.namespace().as_bytes());
    match item.and_then(|item| item.endpoint.as_ref()) {
        Some(label) => name(&[label.as_bytes(), service, namespace], zone),
        None => name(&[service, namespace], zone),
    }
}

/// The type of an address.
pub(crate) fn type_of(address: IpAddr) -> Rtype {
    if address.is_ipv4() { Rtype::A } else { Rtype::AAAA }
}

/// Takes records of class IN.
pub(crate) trait Sink {
    fn put(&mut self, section: Section, owner: &[u8], rtype: Rtype, ttl: u32, rdata: &[u8]);
}

impl Sink for Answer {
    fn put(&mut self, section: Section, owner: &[u8], rtype: Rtype, ttl: u32, rdata: &[u8]) {
        self.push_wire(section, owner, rtype, Class::IN, ttl, rdata);
    }
}

impl<T: Sink> Sink for Box<T> {
    fn put(&mut self, section: Section, owner: &[u8], rtype: Rtype, ttl: u32, rdata: &[u8]) {
        (**self).put(section, owner, rtype, ttl, rdata);
    }
}

/// Makes the records of one zone.
pub(crate) struct Records<'a> {
    pub(crate) config: &'a Config,
    pub(crate) zone: &'a [u8],
    /// The TTL of CNAME and SRV records, seconds: the cluster's.
    pub(crate) cluster_ttl: u32,
    pub(crate) serial: u32,
}

impl Records<'_> {
    /// The name of a label below the apex's, in this zone or as the client spells it.
    pub(crate) fn below_apex(&self, label: &[u8], zone: &[u8]) -> Option<Vec<u8>> {
        let mut labels = vec![label];
        labels.extend(self.config.apex.iter().filter(|label| !label.is_root()).map(|label| label.as_slice()));
        name(&labels, zone)
    }

    pub(crate) fn soa(&self, sink: &mut dyn Sink, section: Section) {
        let (Some(primary), Some(mailbox)) =
            (self.below_apex(b"ns1", self.zone), self.below_apex(b"hostmaster", self.zone))
        else {
            return;
        };
        let mut rdata = [primary, mailbox].concat();
        for number in [self.serial].into_iter().chain(SOA_TIMES).chain([self.config.ttl]) {
            rdata.extend_from_slice(&number.to_be_bytes());
        }
        sink.put(section, self.zone, Rtype::SOA, self.config.ttl, &rdata);
    }

    pub(crate) fn ns(&self, sink: &mut dyn Sink) {
        if let Some(target) = self.below_apex(b"ns1", self.zone) {
            sink.put(Section::Answer, self.zone, Rtype::NS, self.config.ttl, &target);
        }
    }

    pub(crate) fn address(&self, sink: &mut dyn Sink, section: Section, owner: &[u8], address: IpAddr) {
        match address {
            IpAddr::V4(ip) => sink.put(section, owner, Rtype::A, self.config.ttl, &ip.octets()),
            IpAddr::V6(ip) => sink.put(section, owner, Rtype::AAAA, self.config.ttl, &ip.octets()),
        }
    }

    pub(crate) fn cname(&self, sink: &mut dyn Sink, owner: &[u8], target: &OwnedName) {
        sink.put(Section::Answer, owner, Rtype::CNAME, self.cluster_ttl, target.as_slice());
    }

    /// Adds the addresses of one family, each once.
    pub(crate) fn addresses(&self, sink: &mut dyn Sink, owner: &[u8], items: &[Item], rtype: Rtype) {
        let mut seen = HashSet::new();
        for item in items {
            match item.host {
                Host::Address(ip) if type_of(ip) == rtype && seen.insert(ip) => {
                    self.address(sink, Section::Answer, owner, ip);
                }
                _ => {}
            }
        }
    }

    /// Adds an SRV record for each port of each host that has one, none twice; with `helpful` the addresses of their targets, too.
    pub(crate) fn srv(&self, sink: &mut dyn Sink, owner: &[u8], entry: &Entry, items: &[Item], helpful: bool) {
        let weight = u16::try_from(WEIGHT / items.len().max(1)).unwrap_or(1).max(1);
        let (mut seen, mut addresses) = (HashSet::new(), HashSet::new());
        for item in items {
            let Some(port) = item.port else { continue };
            let target = match &item.host {
                Host::Name(name) => Some(name.as_slice().to_vec()),
                Host::Address(_) => service_name(entry, Some(item), self.zone),
            };
            let Some(target) = target else { continue };
            if let Host::Address(ip) = item.host
                && helpful
                && addresses.insert((target.clone(), ip))
            {
                self.address(sink, Section::Additional, &target, ip);
            }
            if seen.insert((target.clone(), port)) {
                let mut rdata = Vec::with_capacity(6 + target.len());
                for number in [0, weight, port] {
                    rdata.extend_from_slice(&number.to_be_bytes());
                }
                rdata.extend_from_slice(&target);
                sink.put(Section::Answer, owner, Rtype::SRV, self.cluster_ttl, &rdata);
            }
        }
    }
}
