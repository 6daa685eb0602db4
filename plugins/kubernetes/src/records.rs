//! The records of answers, written straight into them.

use std::collections::HashSet;
use std::hash::Hash;
use std::net::IpAddr;

use catena_cluster::index::{Endpoint, Entry};
use catena_core::name::NAME_OCTETS_MAX;
use catena_core::{Answer, Class, Question, Rtype, Section, Zone};
use foldhash::fast::RandomState;

/// The longest rdata that is put together here: an SOA's two names and five numbers.
const RDATA_OCTETS_MAX: usize = 2 * NAME_OCTETS_MAX + 20;

/// How many things are looked through one by one before a hash set is worth it.
const LINEAR_MAX: usize = 16;

/// Octets put together on the stack.
pub(crate) struct Octets<const N: usize> {
    octets: [u8; N],
    length: usize,
    fits: bool,
}

/// A name put together on the stack.
pub(crate) type WireName = Octets<NAME_OCTETS_MAX>;

impl<const N: usize> Octets<N> {
    pub(crate) fn new() -> Self {
        Self { octets: [0; N], length: 0, fits: true }
    }

    fn push(&mut self, more: &[u8]) {
        match self.octets.get_mut(self.length..self.length + more.len()) {
            Some(room) => {
                room.copy_from_slice(more);
                self.length += more.len();
            }
            None => self.fits = false,
        }
    }

    fn label(&mut self, label: &[u8]) {
        match u8::try_from(label.len()) {
            // A label is never empty: that would end the name.
            Ok(length @ 1..=63) => {
                self.push(&[length]);
                self.push(label);
            }
            _ => self.fits = false,
        }
    }

    /// What was put together; `None` if it did not fit.
    pub(crate) fn get(&self) -> Option<&[u8]> {
        self.fits.then(|| &self.octets[..self.length])
    }
}

/// A name of these labels in a zone.
pub(crate) fn name(labels: &[&[u8]], zone: &[u8]) -> WireName {
    let mut name = WireName::new();
    labels.iter().for_each(|label| name.label(label));
    name.push(zone);
    name
}

/// The name of a Service, or of an endpoint of it, in a zone.
pub(crate) fn service_name(entry: &Entry, endpoint: Option<Endpoint<'_>>, zone: &[u8]) -> WireName {
    let (service, namespace) = (entry.name().as_bytes(), entry.namespace().as_bytes());
    match endpoint {
        Some(endpoint) if endpoint.cluster.is_some_and(|cluster| !cluster.is_empty()) => {
            let cluster = endpoint.cluster.unwrap_or_default().as_bytes();
            name(&[endpoint.label().as_bytes(), cluster, service, namespace, b"svc"], zone)
        }
        Some(endpoint) => name(&[endpoint.label().as_bytes(), service, namespace, b"svc"], zone),
        None => name(&[service, namespace, b"svc"], zone),
    }
}

/// The zone as the question spells it: what is generated keeps its case.
pub(crate) fn zone_as_asked<'q>(question: &'q Question, zone: &Zone) -> &'q [u8] {
    let wire = question.name().as_slice();
    let start = question.labels().suffix_start(zone.labels()).unwrap_or(0);
    &wire[start.min(wire.len())..]
}

/// What was seen already.
pub(crate) struct Seen<T> {
    few: Vec<T>,
    many: HashSet<T, RandomState>,
}

impl<T: Copy + Eq + Hash> Seen<T> {
    pub(crate) fn new() -> Self {
        Self { few: Vec::new(), many: HashSet::default() }
    }

    /// Whether it is seen for the first time.
    pub(crate) fn first(&mut self, thing: T) -> bool {
        if self.many.is_empty() {
            if self.few.contains(&thing) {
                return false;
            }
            if self.few.len() < LINEAR_MAX {
                self.few.push(thing);
                return true;
            }
            self.many.extend(self.few.drain(..));
        }
        self.many.insert(thing)
    }
}

/// The type and the rdata of an address.
pub(crate) fn address_rdata(address: &IpAddr) -> (Rtype, Octets<16>) {
    let mut rdata = Octets::new();
    match address {
        IpAddr::V4(ip) => rdata.push(&ip.octets()),
        IpAddr::V6(ip) => rdata.push(&ip.octets()),
    }
    (if address.is_ipv4() { Rtype::A } else { Rtype::AAAA }, rdata)
}

/// Adds an address record under a name on the wire.
pub(crate) fn push_address(answer: &mut Answer, section: Section, owner: &[u8], ttl: u32, address: IpAddr) {
    let (rtype, rdata) = address_rdata(&address);
    if let Some(rdata) = rdata.get() {
        answer.push_wire(section, owner, rtype, Class::IN, ttl, rdata);
    }
}

/// The rdata of an SRV record of priority 0.
pub(crate) fn srv_rdata(weight: u16, port: u16, target: &[u8]) -> Octets<{ 6 + NAME_OCTETS_MAX }> {
    let mut rdata = Octets::new();
    for number in [0, weight, port] {
        rdata.push(&number.to_be_bytes());
    }
    rdata.push(target);
    rdata
}

/// Adds an SRV record of priority 0.
pub(crate) fn push_srv(answer: &mut Answer, owner: &[u8], ttl: u32, weight: u16, port: u16, target: &[u8]) {
    if let Some(rdata) = srv_rdata(weight, port, target).get() {
        answer.push_wire(Section::Answer, owner, Rtype::SRV, Class::IN, ttl, rdata);
    }
}

/// The rdata of the SOA record of a zone. CoreDNS: plugin/backend_lookup.go.
pub(crate) fn soa_rdata(zone: &[u8], ttl: u32, serial: u32) -> Octets<RDATA_OCTETS_MAX> {
    let mut rdata = Octets::new();
    for labels in [&[&b"ns"[..], b"dns"][..], &[b"hostmaster"]] {
        match name(labels, zone).get() {
            Some(name) => rdata.push(name),
            None => rdata.fits = false,
        }
    }
    for number in [serial, 7200, 1800, 86400, ttl] {
        rdata.push(&number.to_be_bytes());
    }
    rdata
}

/// Adds the SOA record of a zone; its own TTL is at most 300 seconds.
pub(crate) fn push_soa(answer: &mut Answer, section: Section, zone: &[u8], ttl: u32, serial: u32) {
    if let Some(rdata) = soa_rdata(zone, ttl, serial).get() {
        answer.push_wire(section, zone, Rtype::SOA, Class::IN, ttl.min(300), rdata);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_name_that_is_too_long_is_none() {
        let label = [b'a'; 63];
        let zone = [0];
        assert_eq!(name(&[&label, &label, &label, &[b'a'; 61]], &zone).get().map(<[u8]>::len), Some(255));
        assert!(name(&[&label, &label, &label, &[b'a'; 62]], &zone).get().is_none());
        assert!(name(&[&[b'a'; 64]], &zone).get().is_none());
        assert!(name(&[b""], &zone).get().is_none());
    }

    #[test]
    fn doubles_are_seen_among_few_and_among_many() {
        let mut seen = Seen::new();
        for round in 0..2 {
            for thing in 0..3 * LINEAR_MAX {
                assert_eq!(seen.first(thing), round == 0, "{thing}");
            }
        }
    }
}
