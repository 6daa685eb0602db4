//! From sorted records to a zone: one node a name, names between them that own nothing, what lies below cuts, the index of names.

use catena_core::{Class, LabelStarts, Rtype};

use super::arena::Arena;
use super::builder::{BuildError, Builder, NSEC3_ITERATIONS_MAX, ZONE_RECORDS_MAX};
use super::canonical::{self, Item};
use super::index::{Index, NAMES_MAX};
use super::zone::{Denial, Node, Nodes, Zone, text_of};

/// Sorts the records of a builder and makes the index.
pub(super) fn assemble(builder: Builder) -> Result<Zone, BuildError> {
    let Builder { apex, apex_labels, class, mut arena, mut items, mut hashed, .. } = builder;
    arena.shrink();
    let mut records = Vec::with_capacity(items.len() + hashed.len());
    canonical::sort(&arena, &mut items, apex_labels, 0);
    let mut names = Names::new(&arena, apex_labels, items.len());
    names.fill(&items, &mut records);
    drop(items);
    let nodes = names.nodes.close(&records)?;
    canonical::sort(&arena, &mut hashed, apex_labels, 0);
    let hashed = hashed_nodes(&arena, &hashed, &mut records)?;
    let index = index(&arena, &nodes);
    let mut zone = Zone {
        soa: 0,
        class: class.unwrap_or(Class::IN),
        denial: Denial::None,
        apex,
        apex_labels,
        arena,
        nodes,
        hashed,
        records,
        index,
    };
    let apex_is_first = !zone.nodes.is_empty() && *zone.name(0) == *zone.apex;
    let Some(&soa) = zone.set(0, Rtype::SOA).first().filter(|_| apex_is_first) else {
        return Err(BuildError::NoSoa(text_of(&zone.apex)));
    };
    zone.soa = soa;
    zone.denial = denial(&zone)?;
    Ok(zone)
}

/// How the zone proves that something is not there.
fn denial(zone: &Zone) -> Result<Denial, BuildError> {
    // RFC 5155 section 4.1: algorithm, flags, iterations, salt; of several chains the first that this server can hash.
    for &at in zone.set(0, Rtype::NSEC3PARAM) {
        let rdata = zone.arena.entry(at).rdata;
        let &[1, 0, high, low, ..] = rdata else { continue };
        let iterations = u16::from_be_bytes([high, low]);
        if iterations > NSEC3_ITERATIONS_MAX {
            return Err(BuildError::Iterations(iterations));
        }
        if !zone.hashed.is_empty() {
            return Ok(Denial::Nsec3 { params: at, iterations });
        }
    }
    Ok(if zone.set(0, Rtype::NSEC).is_empty() { Denial::None } else { Denial::Nsec })
}

/// Puts the records of one name into their order and takes away what is there twice.
fn close_set(arena: &Arena, group: &mut Vec<u32>) {
    if group.len() < 2 {
        return;
    }
    let of = |at: &u32| {
        let entry = arena.entry(*at);
        (entry.rtype, entry.rdata)
    };
    group.sort_unstable_by(|a, b| of(a).cmp(&of(b)).then(a.cmp(b)));
    group.dedup_by(|later, first| of(later) == of(first));
    // Within a set the order of the file, as CoreDNS answers.
    group.sort_unstable_by_key(|at| (arena.entry(*at).rtype, *at));
    let is_soa = |at: &u32| arena.entry(*at).rtype == Rtype::SOA;
    if let Some(&last) = group.iter().rfind(|at| is_soa(at)) {
        group.retain(|at| !is_soa(at) || *at == last);
    }
}

/// The items of each owner, one owner after the other.
fn owners<'a>(arena: &'a Arena, items: &'a [Item]) -> impl Iterator<Item = &'a [Item]> {
    items.chunk_by(|a, b| a.owner == b.owner || arena.name(a.owner) == arena.name(b.owner))
}

/// Makes the nodes of the names of a zone.
struct Names<'a> {
    arena: &'a Arena,
    apex_labels: usize,
    nodes: Nodes,
    /// The nodes of the current name and of those above it; the first one is the apex.
    path: Vec<u32>,
    /// How many names at the start of the path are at or above a cut or a DNAME, that included.
    covered: Option<usize>,
}

impl<'a> Names<'a> {
    fn new(arena: &'a Arena, apex_labels: usize, names: usize) -> Self {
        Self { arena, apex_labels, nodes: Nodes::with_capacity(names + 1), path: Vec::new(), covered: None }
    }

    fn fill(&mut self, items: &[Item], records: &mut Vec<u32>) {
        let mut group = Vec::new();
        let mut before: Option<(&[u8], LabelStarts)> = None;
        for run in owners(self.arena, items) {
            let Some(owner) = run.first().map(|item| item.owner) else { continue };
            let name = self.arena.name(owner);
            let starts = LabelStarts::of(name);
            let shared = before.as_ref().map_or(0, |(other, other_starts)| {
                canonical::shared_labels(other, other_starts, name, &starts).saturating_sub(self.apex_labels) + 1
            });
            self.leave(shared);
            for depth in self.path.len()..starts.count() - self.apex_labels {
                // An empty non-terminal: its name is the end of the name below it.
                let start = starts.suffix_start(self.apex_labels + depth).unwrap_or(0);
                self.enter(owner + start as u32, records.len(), Node::default());
            }
            group.clear();
            group.extend(run.iter().map(|item| item.entry));
            close_set(self.arena, &mut group);
            let flags = self.flags(&group);
            self.enter(owner, records.len(), flags);
            records.extend_from_slice(&group);
            before = Some((name, starts));
        }
    }

    /// Goes up to a name that has `depth` names on its path.
    fn leave(&mut self, depth: usize) {
        self.path.truncate(depth);
        if self.covered.is_some_and(|covered| covered > depth) {
            self.covered = None;
        }
    }

    fn flags(&self, group: &[u32]) -> Node {
        let has = |rtype| group.iter().any(|at| self.arena.entry(*at).rtype == rtype);
        let below_apex = !self.path.is_empty();
        let mut flags = Node::default();
        if below_apex && has(Rtype::NS) {
            flags.set(Node::CUT);
        }
        if has(Rtype::DNAME) {
            flags.set(Node::DNAME);
        }
        flags
    }

    fn enter(&mut self, name: u32, first: usize, mut node: Node) {
        if self.covered.is_some() {
            node.set(Node::HIDDEN);
        }
        if self.arena.from(name).starts_with(b"\x01*")
            && let Some(above) = self.path.last()
        {
            self.nodes.set(*above, Node::STAR);
        }
        let opens = node.is(Node::CUT) || node.is(Node::DNAME);
        let index = self.nodes.push(name, first, node);
        self.path.push(index);
        if opens && self.covered.is_none() {
            self.covered = Some(self.path.len());
        }
    }
}

/// The nodes of the NSEC3 chain.
fn hashed_nodes(arena: &Arena, items: &[Item], records: &mut Vec<u32>) -> Result<Nodes, BuildError> {
    let mut nodes = Nodes::with_capacity(if items.is_empty() { 0 } else { items.len() + 1 });
    let mut group = Vec::new();
    for run in owners(arena, items) {
        group.clear();
        group.extend(run.iter().map(|item| item.entry));
        close_set(arena, &mut group);
        if let Some(item) = run.first() {
            nodes.push(item.owner, records.len(), Node::default());
        }
        records.extend_from_slice(&group);
    }
    nodes.close(records)
}

fn index(arena: &Arena, nodes: &Nodes) -> Index {
    let mut index = Index::with_capacity(nodes.len());
    for node in 0..nodes.len() as u32 {
        index.insert(arena.name(nodes.name(node)), node);
    }
    index
}

impl Nodes {
    /// Ends the list: the last node's records end where the records end.
    fn close(mut self, records: &[u32]) -> Result<Self, BuildError> {
        if records.len() > ZONE_RECORDS_MAX || self.len() >= NAMES_MAX {
            return Err(BuildError::TooLarge);
        }
        self.end(records.len());
        self.shrink();
        Ok(self)
    }
}
