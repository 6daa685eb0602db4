//! A whole zone, for *transfer*: a snapshot of references to the Services, and of each its records when they are asked for.
//! CoreDNS: plugin/kubernetes/xfr.go.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use catena_cluster::index::{Entry, Port, Service, ServiceKind, Slice};
use catena_core::name::owned;
use catena_core::{Class, Error, Outgoing, Query, RecordRef, Rtype, Transfer, Zone};
use domain::base::Name;

use crate::backend::Backend;
use crate::records::{address_rdata, name, service_name, soa_rdata, srv_rdata};

/// The weight of an SRV record that shares it with nobody.
const WEIGHT: usize = 100;

impl Transfer for Backend {
    fn transfer(
        &self,
        zone: &Name<[u8]>,
        serial: Option<u32>,
        _query: &Query,
    ) -> Option<Result<Box<dyn Outgoing>, Error>> {
        let zone = self.config.zones.iter().find(|own| own.name() == zone && !own.is_reverse())?;
        if !self.index().is_synced() {
            // Half a zone would replace a whole one.
            return Some(Err(Error::ours(format!("zone {zone} is not in step with the cluster yet"))));
        }
        Some(Ok(Box::new(Stream::of(self, zone, serial))))
    }
}

/// The records of one Service at most, or of a slice of it; names and rdata lie in one buffer.
#[derive(Default)]
struct Batch {
    octets: Vec<u8>,
    records: Vec<Record>,
    next: usize,
}

struct Record {
    owner: Range<usize>,
    rdata: Range<usize>,
    rtype: Rtype,
    ttl: u32,
}

impl Batch {
    fn put(&mut self, octets: &[u8]) -> Range<usize> {
        let from = self.octets.len();
        self.octets.extend_from_slice(octets);
        from..self.octets.len()
    }

    /// Adds a record; one that has no room for its name, or none for its rdata's, is left out.
    fn push(&mut self, owner: Option<&[u8]>, rtype: Rtype, ttl: u32, rdata: Option<&[u8]>) {
        let (Some(owner), Some(rdata)) = (owner, rdata) else { return };
        let (owner, rdata) = (self.put(owner), self.put(rdata));
        self.records.push(Record { owner, rdata, rtype, ttl });
    }

    fn push_address(&mut self, owner: Option<&[u8]>, ttl: u32, address: IpAddr) {
        let (rtype, rdata) = address_rdata(&address);
        self.push(owner, rtype, ttl, rdata.get());
    }

    fn clear(&mut self) {
        self.octets.clear();
        self.records.clear();
        self.next = 0;
    }
}

/// What is sent next.
enum Step {
    /// The Service of this number, from the slice of this number on.
    Service { at: usize, slice: usize },
    /// The SOA record again.
    Close,
    /// Nothing more.
    End,
}

struct Stream {
    zone: Vec<u8>,
    ttl: u32,
    serial: u32,
    services: Vec<Arc<Entry>>,
    step: Step,
    batch: Batch,
}

impl Stream {
    fn of(backend: &Backend, zone: &Zone, serial: Option<u32>) -> Self {
        let mut stream = Self {
            zone: zone.wire().to_vec(),
            ttl: backend.config.ttl,
            serial: backend.zone_serial(zone),
            services: Vec::new(),
            step: Step::End,
            batch: Batch::default(),
        };
        stream.soa();
        if serial.is_some_and(|known| known != 0 && known == stream.serial) {
            return stream;
        }
        stream.services = backend.objects(zone).services();
        stream.services.retain(|entry| backend.exposes(entry.namespace().as_bytes()));
        // By namespace and name they are already.
        stream.services.sort_by(|a, b| a.name().cmp(b.name()));
        stream.name_servers(backend, zone);
        stream.step = Step::Service { at: 0, slice: 0 };
        stream
    }

    fn soa(&mut self) {
        let rdata = soa_rdata(&self.zone, self.ttl, self.serial);
        self.batch.push(Some(&self.zone), Rtype::SOA, self.ttl.min(300), rdata.get());
    }

    /// The name servers; their addresses where no Service of the zone has them. CoreDNS has them twice, once with the TTL 0.
    fn name_servers(&mut self, backend: &Backend, zone: &Zone) {
        let mut seen: Vec<Vec<u8>> = Vec::new();
        let of_a_set = backend.is_of_a_set(zone);
        backend.visit_name_servers(&mut |server| {
            let target = match server.entry {
                Some(entry) => service_name(entry, server.endpoint, &self.zone),
                None => name(&[b"ns", b"dns"], &self.zone),
            };
            let Some(target) = target.get() else { return };
            if !seen.iter().any(|known| known == target) {
                self.batch.push(Some(&self.zone), Rtype::NS, self.ttl, Some(target));
                seen.push(target.to_vec());
            }
            let comes_later =
                server.entry.is_some_and(|entry| !of_a_set && backend.exposes(entry.namespace().as_bytes()));
            if !comes_later {
                self.batch.push_address(Some(target), self.ttl, server.address);
            }
        });
    }

    /// Fills the batch again; `false` when there is nothing more.
    fn refill(&mut self) -> bool {
        self.batch.clear();
        match self.step {
            Step::Service { at, slice } => match self.services.get(at).map(Arc::clone) {
                Some(entry) => {
                    let more = self.service(&entry, slice);
                    self.step = if more {
                        Step::Service { at, slice: slice + 1 }
                    } else {
                        Step::Service { at: at + 1, slice: 0 }
                    };
                }
                None => self.step = Step::Close,
            },
            Step::Close => {
                self.soa();
                self.step = Step::End;
            }
            Step::End => return false,
        }
        true
    }

    /// The records of a Service or, of a headless one, those of a slice; `true`: it has more slices.
    fn service(&mut self, entry: &Entry, slice: usize) -> bool {
        let Some(service) = entry.service() else { return false };
        match &service.kind {
            ServiceKind::ClusterIp => self.cluster_ips(entry, service),
            ServiceKind::Headless => {
                if let Some(one) = entry.slices().nth(slice) {
                    self.endpoints(entry, one);
                }
                return slice + 1 < entry.slices().len();
            }
            ServiceKind::ExternalName(target) if target.parse::<IpAddr>().is_err() => {
                let owner = service_name(entry, None, &self.zone);
                let target = owned(target);
                self.batch.push(owner.get(), Rtype::CNAME, self.ttl, target.as_ref().map(|target| target.as_slice()));
            }
            ServiceKind::ExternalName(_) => {}
        }
        false
    }

    fn cluster_ips(&mut self, entry: &Entry, service: &Service) {
        let owner = service_name(entry, None, &self.zone);
        for address in &service.cluster_ips {
            self.batch.push_address(owner.get(), self.ttl, *address);
        }
        let Some(target) = owner.get() else { return };
        for port in service.ports.iter() {
            let Some(number) = port.number else { continue };
            let rdata = srv_rdata(share(1), number, target);
            self.batch.push(Some(target), Rtype::SRV, self.ttl, rdata.get());
            self.named_port(entry, port, rdata.get());
        }
    }

    fn endpoints(&mut self, entry: &Entry, slice: &Slice) {
        let owner = service_name(entry, None, &self.zone);
        let weight = share(slice.len());
        for endpoint in slice.endpoints() {
            self.batch.push_address(owner.get(), self.ttl, endpoint.address);
            let target = service_name(entry, Some(endpoint), &self.zone);
            let Some(target) = target.get() else { continue };
            self.batch.push_address(Some(target), self.ttl, endpoint.address);
            for port in slice.ports() {
                let Some(number) = port.number else { continue };
                self.named_port(entry, port, srv_rdata(weight, number, target).get());
            }
        }
    }

    /// The SRV record of a port that has a name.
    fn named_port(&mut self, entry: &Entry, port: &Port, rdata: Option<&[u8]>) {
        if port.name.is_empty() {
            return;
        }
        let label = format!("_{}", port.name.to_ascii_lowercase());
        let protocol = format!("_{}", port.protocol.label());
        let labels =
            [label.as_bytes(), protocol.as_bytes(), entry.name().as_bytes(), entry.namespace().as_bytes(), b"svc"];
        let owner = name(&labels, &self.zone);
        self.batch.push(owner.get(), Rtype::SRV, self.ttl, rdata);
    }
}

/// The weight of one of so many, at least 1.
fn share(all: usize) -> u16 {
    u16::try_from(WEIGHT / all.max(1)).unwrap_or(1).max(1)
}

impl Outgoing for Stream {
    fn next(&mut self) -> Option<RecordRef<'_>> {
        while self.batch.next == self.batch.records.len() {
            if !self.refill() {
                return None;
            }
        }
        let at = self.batch.next;
        self.batch.next += 1;
        let Record { owner, rdata, rtype, ttl } = self.batch.records.get(at)?;
        Some(RecordRef {
            owner: self.batch.octets.get(owner.clone())?,
            rtype: *rtype,
            class: Class::IN,
            ttl: *ttl,
            rdata: self.batch.octets.get(rdata.clone())?,
        })
    }
}
