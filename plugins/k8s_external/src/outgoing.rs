//! A whole zone, for *transfer*: references to the Services, and of each its records when they are asked for. CoreDNS:
//! plugin/k8s_external/transfer.go.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use catena_cluster::External as Cluster;
use catena_cluster::index::{Entry, Port, Service, ServiceKind};
use catena_core::prelude::*;
use catena_core::{Class, Outgoing, RecordRef, Transfer};
use domain::base::{Name, Serial};

use crate::Outside;
use crate::items::{Host, Item, all_endpoints, hosts};
use crate::records::{Records, Sink, name, service_name, type_of};

impl Transfer for Handle {
    fn transfer(
        &self,
        zone: &Name<[u8]>,
        serial: Option<u32>,
        _query: &Query,
    ) -> Option<Result<Box<dyn Outgoing>, Error>> {
        // A reverse zone has no list of its names.
        let zone = self.0.config.zones.iter().find(|own| own.name() == zone && !own.is_reverse())?;
        let cluster = self.0.cluster.get()?;
        if !cluster.is_synced() {
            // Half a zone would replace a whole one.
            return Some(Err(Error::ours(format!("zone {zone} is not in step with the cluster yet"))));
        }
        Some(Ok(Box::new(Stream::new(Arc::clone(&self.0), Arc::clone(cluster), zone.clone(), serial))))
    }
}

/// What *transfer* holds of the zones.
pub(crate) struct Handle(pub(crate) Arc<Outside>);

/// Records that were made and not sent: those of one Service at most.
#[derive(Default)]
struct Batch {
    octets: Vec<u8>,
    records: Vec<Made>,
    /// The number of the next to be sent.
    next: usize,
}

struct Made {
    /// Owner and rdata.
    octets: Range<usize>,
    owner_len: usize,
    rtype: Rtype,
    ttl: u32,
}

impl Batch {
    fn clear(&mut self) {
        self.octets.clear();
        self.records.clear();
        self.next = 0;
    }
}

impl Sink for Batch {
    fn put(&mut self, _: Section, owner: &[u8], rtype: Rtype, ttl: u32, rdata: &[u8]) {
        let from = self.octets.len();
        self.octets.extend_from_slice(owner);
        self.octets.extend_from_slice(rdata);
        self.records.push(Made { octets: from..self.octets.len(), owner_len: owner.len(), rtype, ttl });
    }
}

/// What is sent next.
enum Step {
    /// The Service of this number.
    Service(usize),
    /// The SOA record again.
    Close,
    /// Nothing more.
    End,
}

struct Stream {
    outside: Arc<Outside>,
    cluster: Arc<dyn Cluster>,
    zone: Zone,
    serial: u32,
    services: Vec<Arc<Entry>>,
    step: Step,
    batch: Batch,
}

impl Stream {
    fn new(outside: Arc<Outside>, cluster: Arc<dyn Cluster>, zone: Zone, known: Option<u32>) -> Self {
        let serial = cluster.serial();
        let is_current = known.is_some_and(|known| known != 0 && Serial(known) >= Serial(serial));
        let services = if is_current { Vec::new() } else { cluster.services() };
        let step = if is_current { Step::End } else { Step::Service(0) };
        let mut stream = Self { outside, cluster, zone, serial, services, step, batch: Batch::default() };
        let mut batch = Batch::default();
        stream.records().soa(&mut batch, Section::Answer);
        if !is_current {
            stream.name_server(&mut batch);
        }
        stream.batch = batch;
        stream
    }

    fn records(&self) -> Records<'_> {
        let config = &self.outside.config;
        Records { config, zone: self.zone.wire(), cluster_ttl: self.cluster.ttl(), serial: self.serial }
    }

    fn name_server(&self, batch: &mut Batch) {
        let records = self.records();
        records.ns(batch);
        let Some(owner) = records.below_apex(b"ns1", self.zone.wire()) else { return };
        for address in self.cluster.name_servers(self.outside.config.headless) {
            records.address(batch, Section::Answer, &owner, address);
        }
    }

    /// Fills the batch again; `false` when there is nothing more.
    fn refill(&mut self) -> bool {
        let mut batch = std::mem::take(&mut self.batch);
        batch.clear();
        match self.step {
            Step::Service(at) => match self.services.get(at) {
                Some(entry) => {
                    self.service(entry, &mut batch);
                    self.step = Step::Service(at + 1);
                }
                None => self.step = Step::Close,
            },
            Step::Close => {
                self.records().soa(&mut batch, Section::Answer);
                self.step = Step::End;
            }
            Step::End => return false,
        }
        self.batch = batch;
        true
    }

    fn service(&self, entry: &Entry, batch: &mut Batch) {
        let Some(service) = entry.service() else { return };
        let is_headless = service.external.is_empty() && service.kind == ServiceKind::Headless;
        if is_headless && self.outside.config.headless {
            self.headless(entry, batch);
        } else {
            self.outside_of(entry, service, batch);
        }
    }

    /// The records of external addresses: at the Service's name the addresses and one SRV record, and one for each port's name. A Service
    /// that has only names has a CNAME record and nothing beside it (RFC 1034 section 3.6.2).
    fn outside_of(&self, entry: &Entry, service: &Service, batch: &mut Batch) {
        let records = self.records();
        let Some(owner) = service_name(entry, None, self.zone.wire()) else { return };
        let hosts: Vec<Host> = hosts(service).collect();
        let has_address = hosts.iter().any(|host| matches!(host, Host::Address(_)));
        let mut named = HashSet::new();
        if let (false, Some(Host::Name(target))) = (has_address, hosts.first()) {
            records.cname(batch, &owner, target);
            named.insert(owner.clone());
        }
        for host in hosts {
            for port in service.ports.iter() {
                let item = [Item { host: host.clone(), port: port.number, endpoint: None }];
                if let Host::Address(ip) = host {
                    records.addresses(batch, &owner, &item, type_of(ip));
                }
                for name in [Some(owner.clone()), self.port_name(entry, port)].into_iter().flatten() {
                    if port.number.is_some() && named.insert(name.clone()) {
                        records.srv(batch, &name, entry, &item, false);
                    }
                }
            }
        }
    }

    /// The records of a headless Service: all endpoints at its name, each at its own, and the named ports.
    fn headless(&self, entry: &Entry, batch: &mut Batch) {
        let records = self.records();
        let items = all_endpoints(entry);
        let mut group = |owner: Option<Vec<u8>>, items: &[Item]| {
            let Some(owner) = owner else { return };
            records.addresses(batch, &owner, items, Rtype::A);
            records.addresses(batch, &owner, items, Rtype::AAAA);
            // CoreDNS sends these twice.
            records.srv(batch, &owner, entry, items, false);
            records.srv(batch, &owner, entry, items, false);
        };
        group(service_name(entry, None, self.zone.wire()), &items);
        for item in &items {
            group(service_name(entry, Some(item), self.zone.wire()), std::slice::from_ref(item));
        }
        self.named_ports(entry, batch);
    }

    fn named_ports(&self, entry: &Entry, batch: &mut Batch) {
        let mut done = HashSet::new();
        for port in entry.slices().flat_map(|slice| slice.ports()).filter(|port| !port.name.is_empty()) {
            let Some(owner) = self.port_name(entry, port).filter(|owner| done.insert(owner.clone())) else { continue };
            let same = |other: &&Port| self.port_name(entry, other).as_deref() == Some(&owner);
            let mut items = Vec::new();
            for slice in entry.slices() {
                for endpoint in slice.endpoints() {
                    let label = Some(endpoint.label());
                    let host = Host::Address(endpoint.address);
                    let ports = slice.ports().iter().filter(same);
                    items.extend(ports.map(|port| Item { host: host.clone(), port: port.number, endpoint: label }));
                }
            }
            self.records().srv(batch, &owner, entry, &items, false);
        }
    }

    fn port_name(&self, entry: &Entry, port: &Port) -> Option<Vec<u8>> {
        let label = format!("_{}", port.name.to_ascii_lowercase());
        let protocol = format!("_{}", port.protocol.label());
        let labels = [label.as_bytes(), protocol.as_bytes(), entry.name().as_bytes(), entry.namespace().as_bytes()];
        name(&labels, self.zone.wire())
    }
}

impl Outgoing for Stream {
    fn next(&mut self) -> Option<RecordRef<'_>> {
        while self.batch.next == self.batch.records.len() {
            if !self.refill() {
                return None;
            }
        }
        self.batch.next += 1;
        let record = self.batch.records.get(self.batch.next - 1)?;
        let octets = self.batch.octets.get(record.octets.clone())?;
        let (owner, rdata) = octets.split_at_checked(record.owner_len)?;
        Some(RecordRef { owner, rtype: record.rtype, class: Class::IN, ttl: record.ttl, rdata })
    }
}
