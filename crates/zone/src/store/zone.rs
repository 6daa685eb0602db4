//! A zone that does not change any more.

use catena_core::{Class, LabelStarts, OwnedName, RecordRef, Rtype};

use super::arena::{Arena, Entry};
use super::index::Index;

/// Up to so many records of a name are looked through one by one.
const LINEAR_MAX: usize = 8;

/// One name of the zone: where its name is, and where its records begin in the list of records; four flags above that number.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Node {
    name: u32,
    first: u32,
}

impl Node {
    /// NS records below the apex: here another zone begins.
    pub(crate) const CUT: u32 = 1 << 28;
    /// A DNAME record.
    pub(crate) const DNAME: u32 = 1 << 29;
    /// Below a cut or a DNAME.
    pub(crate) const HIDDEN: u32 = 1 << 30;
    /// Has a child `*`.
    pub(crate) const STAR: u32 = 1 << 31;
    const FIRST: u32 = Self::CUT - 1;

    pub(crate) fn is(self, flag: u32) -> bool {
        self.first & flag != 0
    }

    pub(crate) fn set(&mut self, flag: u32) {
        self.first |= flag;
    }
}

/// Nodes in canonical order and one more, which says where the records of the last one end.
#[derive(Debug, Default)]
pub(crate) struct Nodes(Vec<Node>);

impl Nodes {
    pub(super) fn with_capacity(nodes: usize) -> Self {
        Self(Vec::with_capacity(nodes))
    }

    pub(super) fn push(&mut self, name: u32, first: usize, flags: Node) -> u32 {
        // Checked against ZONE_RECORDS_MAX when the list is closed, before anything reads it.
        self.0.push(Node { name, first: (first as u32 & Node::FIRST) | (flags.first & !Node::FIRST) });
        (self.0.len() - 1) as u32
    }

    pub(super) fn end(&mut self, records: usize) {
        self.push(0, records, Node::default());
    }

    pub(super) fn set(&mut self, node: u32, flag: u32) {
        if let Some(node) = self.0.get_mut(node as usize) {
            node.set(flag);
        }
    }

    pub(super) fn shrink(&mut self) {
        if self.0.capacity() > self.0.len() + self.0.len() / 8 {
            self.0.shrink_to_fit();
        }
    }

    /// How many names there are, the end not counted.
    pub(crate) fn len(&self) -> usize {
        self.0.len().saturating_sub(1)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn get(&self, node: u32) -> Node {
        self.0.get(node as usize).copied().unwrap_or_default()
    }

    pub(crate) fn name(&self, node: u32) -> u32 {
        self.get(node).name
    }

    /// Where the records of a name are in the list of records.
    pub(crate) fn range(&self, node: u32) -> std::ops::Range<usize> {
        let first = |index: usize| self.0.get(index).map_or(0, |node| node.first & Node::FIRST) as usize;
        first(node as usize)..first(node as usize + 1)
    }
}

/// How a zone proves that something is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// It is not signed.
    None,
    /// With NSEC records (RFC 4035 section 3.1.3).
    Nsec,
    /// With NSEC3 records (RFC 5155 section 7.2).
    Nsec3 {
        /// The NSEC3PARAM record.
        params: u32,
        /// How often names are hashed again.
        iterations: u16,
    },
}

/// The records of one zone, sorted and indexed. It does not change; a new version is a new zone.
#[derive(Debug)]
pub struct Zone {
    pub(super) apex: Box<[u8]>,
    pub(super) apex_labels: usize,
    pub(super) class: Class,
    pub(super) soa: u32,
    pub(super) denial: Denial,
    pub(super) arena: Arena,
    /// The names in canonical order; the first is the apex.
    pub(super) nodes: Nodes,
    /// The owners of NSEC3 records in canonical order.
    pub(super) hashed: Nodes,
    /// The records of all nodes, one node after the other, sorted by type.
    pub(super) records: Vec<u32>,
    pub(super) index: Index,
}

/// The presentation form of an uncompressed name.
pub(super) fn text_of(wire: &[u8]) -> String {
    OwnedName::from_octets(wire.to_vec())
        .map_or_else(|_| String::new(), |name| catena_core::name::text(name.for_slice()))
}

impl Zone {
    /// The name of the zone, lower-case and uncompressed.
    #[must_use]
    pub fn apex(&self) -> &[u8] {
        &self.apex
    }

    /// The class of all records.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// The SOA record.
    #[must_use]
    pub fn soa(&self) -> RecordRef<'_> {
        self.record(0, self.soa)
    }

    /// The serial number in the SOA record (RFC 1035 section 3.3.13).
    #[must_use]
    pub fn serial(&self) -> u32 {
        self.timer(0)
    }

    /// How long a secondary waits before it looks for a new serial, seconds.
    #[must_use]
    pub fn refresh(&self) -> u32 {
        self.timer(1)
    }

    /// How long a secondary waits after it could not look for a new serial, seconds.
    #[must_use]
    pub fn retry(&self) -> u32 {
        self.timer(2)
    }

    /// How long a secondary goes on answering without having reached its primary, seconds.
    #[must_use]
    pub fn expire(&self) -> u32 {
        self.timer(3)
    }

    /// One of the five numbers that end the SOA record.
    fn timer(&self, which: usize) -> u32 {
        let rdata = self.arena.entry(self.soa).rdata;
        let numbers = rdata.last_chunk::<20>().unwrap_or(&[0; 20]);
        numbers.as_chunks::<4>().0.get(which).map_or(0, |number| u32::from_be_bytes(*number))
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no record, which cannot be.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How many names there are, empty non-terminals included, owners of NSEC3 records not.
    #[must_use]
    pub fn names_len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether the zone has NSEC or NSEC3 records to prove with that something is not there.
    #[must_use]
    pub fn proves_denial(&self) -> bool {
        self.denial != Denial::None
    }

    /// The octets that the zone holds on the heap.
    #[must_use]
    pub fn heap_octets(&self) -> usize {
        self.arena.heap_octets()
            + (self.nodes.0.capacity() + self.hashed.0.capacity()) * size_of::<Node>()
            + self.records.capacity() * size_of::<u32>()
            + self.index.heap_octets()
    }

    /// Whether a lower-case name, given with its label starts, is the zone's or below it.
    #[must_use]
    pub fn holds(&self, lower: &[u8], labels: &LabelStarts) -> bool {
        labels.suffix_start(self.apex_labels).is_some_and(|start| lower.get(start..) == Some(&self.apex))
    }

    /// The records of one type of one lower-case name, as they are stored: no wildcard, no cut is looked at.
    pub fn records_of(&self, lower: &[u8], rtype: Rtype) -> impl Iterator<Item = RecordRef<'_>> {
        let node = self.find(lower);
        let set = node.map_or(&[][..], |node| self.set(node, rtype));
        set.iter().map(move |at| self.record(node.unwrap_or(0), *at))
    }

    /// All records in canonical order of their owners, those of an NSEC3 chain last.
    pub fn records(&self) -> impl Iterator<Item = RecordRef<'_>> {
        let of = |nodes: &'_ Nodes, node: u32| (nodes.name(node), nodes.range(node));
        let names = (0..self.nodes.len() as u32).map(move |node| of(&self.nodes, node));
        let hashed = (0..self.hashed.len() as u32).map(move |node| of(&self.hashed, node));
        names.chain(hashed).flat_map(move |(name, range)| {
            let owner = self.arena.name(name);
            self.records.get(range).unwrap_or(&[]).iter().map(move |at| self.record_with(owner, *at))
        })
    }

    /// The names in canonical order with what a signer needs to know of them.
    pub fn names(&self) -> impl Iterator<Item = NameView<'_>> {
        (0..self.nodes.len() as u32).map(|node| NameView { zone: self, node })
    }

    pub(crate) fn find(&self, lower: &[u8]) -> Option<u32> {
        self.index.find(lower, |node| self.arena.from(self.nodes.name(node)).starts_with(lower))
    }

    pub(crate) fn name(&self, node: u32) -> &[u8] {
        self.arena.name(self.nodes.name(node))
    }

    pub(crate) fn node(&self, node: u32) -> Node {
        self.nodes.get(node)
    }

    /// All records of a name.
    pub(crate) fn all(&self, node: u32) -> &[u32] {
        self.records.get(self.nodes.range(node)).unwrap_or(&[])
    }

    /// The records of one type of a name.
    pub(crate) fn set(&self, node: u32, rtype: Rtype) -> &[u32] {
        self.set_of(self.all(node), rtype)
    }

    /// The records of one type among the records of one name.
    pub(crate) fn set_of<'a>(&self, all: &'a [u32], rtype: Rtype) -> &'a [u32] {
        let of = |at: &u32| self.entry(*at).rtype;
        let (start, len);
        if all.len() <= LINEAR_MAX {
            start = all.iter().take_while(|at| of(at) < rtype).count();
            len = all[start..].iter().take_while(|at| of(at) == rtype).count();
        } else {
            start = all.partition_point(|at| of(at) < rtype);
            len = all[start..].partition_point(|at| of(at) == rtype);
        }
        &all[start..start + len]
    }

    pub(crate) fn entry(&self, at: u32) -> Entry<'_> {
        self.arena.entry(at)
    }

    fn record(&self, node: u32, at: u32) -> RecordRef<'_> {
        self.record_with(self.name(node), at)
    }

    pub(crate) fn record_with<'a>(&'a self, owner: &'a [u8], at: u32) -> RecordRef<'a> {
        let entry = self.entry(at);
        RecordRef { owner, rtype: entry.rtype, class: self.class, ttl: entry.ttl, rdata: entry.rdata }
    }
}

/// One name of a zone.
#[derive(Clone, Copy, Debug)]
pub struct NameView<'a> {
    zone: &'a Zone,
    node: u32,
}

impl<'a> NameView<'a> {
    /// The name, lower-case and uncompressed.
    #[must_use]
    pub fn name(self) -> &'a [u8] {
        self.zone.name(self.node)
    }

    /// Whether another zone begins here.
    #[must_use]
    pub fn is_cut(self) -> bool {
        self.zone.node(self.node).is(Node::CUT)
    }

    /// Whether it lies below a cut or a DNAME: it is not authoritative.
    #[must_use]
    pub fn is_hidden(self) -> bool {
        self.zone.node(self.node).is(Node::HIDDEN)
    }

    /// Its records, sorted by type; an empty non-terminal has none.
    pub fn records(self) -> impl Iterator<Item = RecordRef<'a>> {
        let owner = self.name();
        self.zone.all(self.node).iter().map(move |at| self.zone.record_with(owner, *at))
    }
}
