//! A zone on its way to a secondary, record by record, out of the zone itself.

use std::ops::Range;
use std::sync::Arc;

use catena_core::{Outgoing, RecordRef, Rtype};

use super::zone::Zone;

impl Zone {
    /// All records for AXFR (RFC 5936 section 2.2): the SOA record and its signatures, the name servers and theirs, the rest in canonical order,
    /// the SOA record again (CoreDNS: `plugin/file`).
    #[must_use]
    pub fn transfer(self: &Arc<Self>) -> Box<dyn Outgoing> {
        let mut head = vec![self.soa];
        for rtype in [Rtype::SOA, Rtype::NS] {
            let covered = rtype.to_int().to_be_bytes();
            if rtype == Rtype::NS {
                head.extend_from_slice(self.set(0, Rtype::NS));
            }
            let signatures = self.set(0, Rtype::RRSIG).iter();
            head.extend(signatures.filter(|at| self.entry(**at).rdata.starts_with(&covered)));
        }
        let rest = self.all(0).iter().filter(|at| !head.contains(at)).copied().collect::<Vec<_>>();
        head.extend(rest);
        Box::new(Whole { zone: Arc::clone(self), apex: head, passed: 0, place: Place::Apex, left: 0..0 })
    }

    /// Only the SOA record: nothing changed (RFC 1995 section 2).
    #[must_use]
    pub fn transfer_nothing(self: &Arc<Self>) -> Box<dyn Outgoing> {
        Box::new(Whole { zone: Arc::clone(self), apex: Vec::new(), passed: 0, place: Place::Close, left: 0..0 })
    }
}

/// Where a transfer is.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Among the records of the apex.
    Apex,
    /// Among the records of this name.
    Name(u32),
    /// Among the records of this owner of the NSEC3 chain.
    Hashed(u32),
    /// Before the closing SOA record.
    Close,
    /// After it.
    End,
}

/// A transfer under way.
struct Whole {
    zone: Arc<Zone>,
    /// The records of the apex in their order.
    apex: Vec<u32>,
    /// How many of them are through.
    passed: usize,
    place: Place,
    /// The records of the name that are still to come.
    left: Range<usize>,
}

impl Whole {
    /// Steps on to the next record: where its owner is, and where the record is.
    fn advance(&mut self) -> Option<(u32, u32)> {
        loop {
            let (nodes, node) = match self.place {
                Place::Apex => {
                    let Some(&at) = self.apex.get(self.passed) else {
                        self.place = Place::Name(0);
                        continue;
                    };
                    self.passed += 1;
                    return Some((self.zone.nodes.name(0), at));
                }
                Place::Name(node) => (&self.zone.nodes, node),
                Place::Hashed(node) => (&self.zone.hashed, node),
                Place::Close => {
                    self.place = Place::End;
                    return Some((self.zone.nodes.name(0), self.zone.soa));
                }
                Place::End => return None,
            };
            if let Some(index) = self.left.next() {
                let at = self.zone.records.get(index).copied()?;
                return Some((nodes.name(node), at));
            }
            let next = node + 1;
            self.place = match self.place {
                Place::Name(_) if (next as usize) < nodes.len() => Place::Name(next),
                Place::Name(_) if self.zone.hashed.is_empty() => Place::Close,
                Place::Name(_) => Place::Hashed(0),
                _ if (next as usize) < nodes.len() => Place::Hashed(next),
                _ => Place::Close,
            };
            self.left = match self.place {
                Place::Name(node) => self.zone.nodes.range(node),
                Place::Hashed(node) => self.zone.hashed.range(node),
                _ => 0..0,
            };
        }
    }
}

impl Outgoing for Whole {
    fn next(&mut self) -> Option<RecordRef<'_>> {
        let (owner, at) = self.advance()?;
        Some(self.zone.record_with(self.zone.arena.name(owner), at))
    }
}
