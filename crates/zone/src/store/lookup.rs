//! Looking a name up: the algorithm of RFC 1034 section 4.3.2 with the wildcards of RFC 4592 and the DNAME records of RFC 6672.
//!
//! The name itself is looked for first. When it is there and not below a cut, that was all. Else the closest encloser is found by halving:
//! every name between the apex and a name of the zone is in the index, so a suffix that is there has all shorter ones there too.
//! Nothing is allocated; names that are made on the way live on the stack.

use std::ops::ControlFlow;

use catena_core::name::NAME_OCTETS_MAX;
use catena_core::wire;
use catena_core::{Answer, LabelStarts, Record, Rtype, Section};

use super::zone::{Node, Zone};

/// The most CNAME and DNAME records followed for one question; what was found so far is the answer then.
pub const CHAIN_MAX: usize = 10;
/// The most targets of SRV, MX, NS, SVCB and HTTPS records whose addresses are added to one answer.
pub const ADDITIONAL_TARGETS_MAX: usize = 64;

/// What to look up.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The name, lower-case and uncompressed; it is in the zone.
    pub lower: &'a [u8],
    /// Where its labels start.
    pub labels: &'a LabelStarts,
    /// The type.
    pub qtype: Rtype,
    /// Whether signatures and proofs are wanted.
    pub dnssec_ok: bool,
    /// Whether a target in the zone that does not exist is handed back as [`Outcome::Chase`] instead of being denied: for zones that fall
    /// through.
    pub chase_missing: bool,
}

/// What a look-up found. The records are in the answer, the header is left to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The answer is complete: NOERROR, authoritative.
    Answered,
    /// A referral: NOERROR, and not authoritative unless CNAME records stand in the answer section.
    Delegation,
    /// The name, or the target of the CNAME records in the answer section, does not exist: NXDOMAIN, authoritative.
    NxDomain,
    /// The name exists and has no records of this type: NOERROR, authoritative.
    NoData {
        /// The name owns nothing at all: it only has names below it.
        empty_non_terminal: bool,
    },
    /// A CNAME or DNAME leads to [`chase_target`], which is not here. The caller looks it up, appends what it finds to the answer section and adds the
    /// authority section with [`Zone::add_soa`] or [`Zone::add_ns`] and addresses with [`Zone::add_addresses`].
    Chase,
    /// A DNAME gives a name of more than 255 octets: YXDOMAIN (RFC 6672 section 2.2), authoritative.
    TooLong,
    /// A DNAME gives the name that was asked: SERVFAIL (CoreDNS: `plugin/file`).
    SelfMapped,
}

/// The outcome of a look-up.
#[derive(Clone, Debug)]
pub struct Found<'z> {
    /// What was found.
    pub outcome: Outcome,
    /// The last wildcard that records were made from, its `*` included.
    pub wildcard: Option<&'z [u8]>,
}

/// Where to go on with [`Outcome::Chase`]: the target of the last CNAME record in the answer section.
#[must_use]
pub fn chase_target(answer: &Answer) -> Option<&domain::base::Name<[u8]>> {
    answer.records(Section::Answer).rev().find(|record| record.rtype() == Rtype::CNAME).and_then(Record::target)
}

/// Where a name is in the zone.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// It is there.
    Exact(u32),
    /// It is at or below this cut.
    Cut(u32),
    /// It is below this DNAME, which has so many labels.
    Dname(u32, usize),
    /// It is not there, and this wildcard stands for it; its parent has so many labels.
    Wildcard(u32, usize),
    /// It is not there; its closest encloser has so many labels.
    Missing(usize),
}

/// A name on the stack.
#[derive(Clone)]
pub(super) struct NameBuffer {
    octets: [u8; NAME_OCTETS_MAX],
    len: usize,
}

impl NameBuffer {
    /// Puts pieces together; `None` if the name becomes too long.
    pub(super) fn of(pieces: [&[u8]; 2]) -> Option<Self> {
        let mut buffer = Self { octets: [0; NAME_OCTETS_MAX], len: 0 };
        for piece in pieces {
            buffer.octets.get_mut(buffer.len..buffer.len + piece.len())?.copy_from_slice(piece);
            buffer.len += piece.len();
        }
        Some(buffer)
    }

    pub(super) fn wire(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or(&[0])
    }

    pub(super) fn lower(mut self) -> Self {
        self.octets.make_ascii_lowercase();
        self
    }
}

impl Zone {
    /// Looks a name of the zone up and writes the records into the answer, which has none before.
    ///
    /// The authority section of a positive answer has the name servers of the zone, as CoreDNS's `file` answers.
    pub fn lookup(&self, asked: &Asked<'_>, answer: &mut Answer) -> Found<'_> {
        let mut lookup = Lookup { zone: self, asked, answer, wildcard: None };
        let outcome = lookup.run();
        Found { outcome, wildcard: lookup.wildcard }
    }

    /// Adds the SOA record to the authority section, with its signatures if they are wanted.
    pub fn add_soa(&self, answer: &mut Answer, dnssec_ok: bool) {
        let entry = self.entry(self.soa);
        answer.push_wire(Section::Authority, &self.apex, entry.rtype, self.class, entry.ttl, entry.rdata);
        if dnssec_ok {
            self.add_signatures(answer, Section::Authority, &self.apex, self.all(0), Rtype::SOA);
        }
    }

    /// Adds the name servers of the zone to the authority section, with their signatures if they are wanted.
    pub fn add_ns(&self, answer: &mut Answer, dnssec_ok: bool) {
        self.add_set(answer, Section::Authority, &self.apex, self.all(0), Rtype::NS, dnssec_ok);
    }

    /// Adds the addresses that the zone has for the targets of the SRV, MX, SVCB and HTTPS records in the answer section, each target once.
    pub fn add_addresses(&self, answer: &mut Answer, dnssec_ok: bool) {
        // Most answers have no such record, and room for targets need not be made then.
        if !answer.entries(Section::Answer).iter().any(|entry| before_target(entry.rtype).is_some()) {
            return;
        }
        let mut targets = Targets::default();
        for record in answer.records(Section::Answer) {
            if let Some(before) = before_target(record.rtype()) {
                targets.add(self, self.apex_labels, record.rdata().get(before..).unwrap_or(&[]));
            }
        }
        targets.push_addresses(self, answer, dnssec_ok);
    }

    /// Adds the addresses of name servers whose names are at or below the name that has them.
    fn add_glue(&self, answer: &mut Answer, node: u32, dnssec_ok: bool) {
        let within = LabelStarts::of(self.name(node)).count();
        let mut targets = Targets::default();
        for &at in self.set(node, Rtype::NS) {
            let target = self.entry(at).rdata;
            let below = LabelStarts::of(target).suffix_start(within).and_then(|start| target.get(start..));
            if below == Some(self.name(node)) {
                targets.add(self, within, target);
            }
        }
        targets.push_addresses(self, answer, dnssec_ok);
    }

    /// Adds the records of one type and their signatures. Returns whether there are any.
    pub(super) fn add_set(
        &self,
        answer: &mut Answer,
        section: Section,
        owner: &[u8],
        all: &[u32],
        rtype: Rtype,
        dnssec_ok: bool,
    ) -> bool {
        let set = self.set_of(all, rtype);
        for &at in set {
            let entry = self.entry(at);
            answer.push_wire(section, owner, rtype, self.class, entry.ttl, entry.rdata);
        }
        if dnssec_ok && !set.is_empty() && rtype != Rtype::RRSIG {
            self.add_signatures(answer, section, owner, all, rtype);
        }
        !set.is_empty()
    }

    fn add_signatures(&self, answer: &mut Answer, section: Section, owner: &[u8], all: &[u32], rtype: Rtype) {
        // RFC 4034 section 3.1: the type covered comes first.
        let covered = rtype.to_int().to_be_bytes();
        for &at in self.set_of(all, Rtype::RRSIG) {
            let entry = self.entry(at);
            if entry.rdata.starts_with(&covered) {
                answer.push_wire(section, owner, Rtype::RRSIG, self.class, entry.ttl, entry.rdata);
            }
        }
    }

    fn place(&self, lower: &[u8], labels: &LabelStarts, qtype: Rtype) -> Place {
        if let Some(node) = self.find(lower) {
            let flags = self.node(node);
            // DS records at a cut belong to the zone above (RFC 4035 section 3.1.4.1).
            let open = !flags.is(Node::HIDDEN) && (!flags.is(Node::CUT) || qtype == Rtype::DS);
            return if open { Place::Exact(node) } else { self.cover(lower, labels) };
        }
        let (mut there, mut missing) = (self.apex_labels, labels.count());
        let mut encloser = 0;
        while missing - there > 1 {
            let middle = there + (missing - there) / 2;
            match self.suffix(lower, labels, middle) {
                Some(node) => (there, encloser) = (middle, node),
                None => missing = middle,
            }
        }
        let flags = self.node(encloser);
        if flags.is(Node::HIDDEN) || flags.is(Node::CUT) || flags.is(Node::DNAME) {
            return self.cover(lower, labels);
        }
        let wildcard = flags.is(Node::STAR).then(|| self.wildcard_of(lower, labels, there)).flatten();
        wildcard.map_or(Place::Missing(there), |node| Place::Wildcard(node, there))
    }

    fn suffix(&self, lower: &[u8], labels: &LabelStarts, count: usize) -> Option<u32> {
        self.find(lower.get(labels.suffix_start(count)?..)?)
    }

    fn wildcard_of(&self, lower: &[u8], labels: &LabelStarts, encloser: usize) -> Option<u32> {
        let name = wildcard_name(lower, labels, encloser)?;
        self.find(name.wire())
    }

    /// The first cut or DNAME on the way down to a name.
    fn cover(&self, lower: &[u8], labels: &LabelStarts) -> Place {
        for count in self.apex_labels..=labels.count() {
            let Some(node) = self.suffix(lower, labels, count) else { return Place::Missing(count.saturating_sub(1)) };
            let flags = self.node(node);
            if flags.is(Node::DNAME) && count < labels.count() {
                return Place::Dname(node, count);
            }
            if flags.is(Node::CUT) {
                return Place::Cut(node);
            }
        }
        Place::Missing(self.apex_labels)
    }
}

/// `*` below the name that the last `encloser` labels make.
pub(super) fn wildcard_name(lower: &[u8], labels: &LabelStarts, encloser: usize) -> Option<NameBuffer> {
    NameBuffer::of([b"\x01*", lower.get(labels.suffix_start(encloser)?..)?])
}

/// The octets before the target in the rdata of types whose target's addresses belong into the answer.
fn before_target(rtype: Rtype) -> Option<usize> {
    match rtype {
        Rtype::MX | Rtype::SVCB | Rtype::HTTPS => Some(2),
        Rtype::SRV => Some(6),
        _ => None,
    }
}

/// Names whose addresses are wanted, each once.
struct Targets {
    nodes: [u32; ADDITIONAL_TARGETS_MAX],
    len: usize,
}

impl Default for Targets {
    fn default() -> Self {
        Self { nodes: [0; ADDITIONAL_TARGETS_MAX], len: 0 }
    }
}

impl Targets {
    /// Takes the name at the start of the octets if the zone has it.
    fn add(&mut self, zone: &Zone, labels_min: usize, octets: &[u8]) {
        let Some(name) = wire::skip_name(octets, 0).ok().and_then(|end| octets.get(..end)) else { return };
        let Some(lower) = NameBuffer::of([name, &[]]).map(NameBuffer::lower) else { return };
        if LabelStarts::of(lower.wire()).count() < labels_min {
            return;
        }
        let Some(node) = zone.find(lower.wire()) else { return };
        if self.nodes[..self.len].contains(&node) || self.len == ADDITIONAL_TARGETS_MAX {
            return;
        }
        self.nodes[self.len] = node;
        self.len += 1;
    }

    fn push_addresses(&self, zone: &Zone, answer: &mut Answer, dnssec_ok: bool) {
        for &node in &self.nodes[..self.len] {
            let (owner, all) = (zone.name(node), zone.all(node));
            for rtype in [Rtype::A, Rtype::AAAA] {
                zone.add_set(answer, Section::Additional, owner, all, rtype, dnssec_ok);
            }
        }
    }
}

/// Where the walk goes after a name: on to a target, or to its end.
type Step = ControlFlow<Outcome, NameBuffer>;

/// One look-up on its way.
struct Lookup<'z, 'a> {
    zone: &'z Zone,
    asked: &'a Asked<'a>,
    answer: &'a mut Answer,
    wildcard: Option<&'z [u8]>,
}

impl Lookup<'_, '_> {
    fn run(&mut self) -> Outcome {
        let (zone, asked) = (self.zone, self.asked);
        if !zone.holds(asked.lower, asked.labels) {
            return Outcome::NxDomain;
        }
        let mut step = self.step(asked.lower, asked.labels, 0);
        for hop in 1..=CHAIN_MAX {
            let name = match step {
                Step::Break(outcome) => return outcome,
                Step::Continue(target) => target,
            };
            let (lower, labels) = (name.wire(), LabelStarts::of(name.wire()));
            if self.is_told(lower, Rtype::CNAME) {
                break;
            }
            if !zone.holds(lower, &labels) {
                return Outcome::Chase;
            }
            if hop == CHAIN_MAX {
                break;
            }
            step = self.step(lower, &labels, hop);
        }
        // A loop, or a chain that is too long: what there is.
        zone.add_ns(self.answer, self.asked.dnssec_ok);
        Outcome::Answered
    }

    fn step(&mut self, lower: &[u8], labels: &LabelStarts, hop: usize) -> Step {
        match self.zone.place(lower, labels, self.asked.qtype) {
            Place::Exact(node) => self.data(lower, labels, node, None, hop),
            Place::Wildcard(node, encloser) => self.data(lower, labels, node, Some(encloser), hop),
            Place::Cut(node) => Step::Break(self.refer(node)),
            Place::Dname(node, count) => self.substitute(lower, labels, node, count),
            Place::Missing(encloser) => Step::Break(self.deny(lower, labels, encloser, hop)),
        }
    }

    /// Whether a record of this name and type is in the answer already.
    fn is_told(&self, owner: &[u8], rtype: Rtype) -> bool {
        let mut records = self.answer.records(Section::Answer);
        records.any(|record| record.rtype() == rtype && record.owner_wire() == owner)
    }

    /// The name is there, or a wildcard whose parent has `encloser` labels stands for it.
    fn data(&mut self, lower: &[u8], labels: &LabelStarts, node: u32, encloser: Option<usize>, hop: usize) -> Step {
        let (zone, dnssec_ok, qtype) = (self.zone, self.asked.dnssec_ok, self.asked.qtype);
        let all = zone.all(node);
        if encloser.is_some() {
            self.wildcard = Some(zone.name(node));
        }
        // What may stand beside a CNAME is asked for itself (RFC 4035 section 2.5).
        let follows = !matches!(qtype, Rtype::CNAME | Rtype::NSEC | Rtype::RRSIG);
        let alias = zone.set_of(all, Rtype::CNAME).first().filter(|_| follows);
        let found = match alias {
            Some(&at) => {
                let entry = zone.entry(at);
                self.answer.push_wire(Section::Answer, lower, Rtype::CNAME, zone.class, entry.ttl, entry.rdata);
                if dnssec_ok {
                    zone.add_signatures(self.answer, Section::Answer, lower, all, Rtype::CNAME);
                }
                true
            }
            // The DNAME that led here may be what is asked for.
            None if hop > 0 && self.is_told(lower, qtype) => true,
            None => zone.add_set(self.answer, Section::Answer, lower, all, qtype, dnssec_ok),
        };
        if !found {
            return Step::Break(self.no_data(lower, labels, node, encloser, hop));
        }
        if let Some(encloser) = encloser.filter(|_| dnssec_ok) {
            zone.prove_expansion(self.answer, lower, labels, encloser);
        }
        if let Some(&at) = alias {
            return NameBuffer::of([zone.entry(at).rdata, &[]]).map_or(Step::Break(Outcome::Answered), Step::Continue);
        }
        self.close_positive(node, hop);
        Step::Break(Outcome::Answered)
    }

    fn close_positive(&mut self, node: u32, hop: usize) {
        let (zone, dnssec_ok) = (self.zone, self.asked.dnssec_ok);
        if node == 0 && hop == 0 && self.asked.qtype == Rtype::NS {
            zone.add_glue(self.answer, node, dnssec_ok);
            return;
        }
        zone.add_ns(self.answer, dnssec_ok);
        zone.add_addresses(self.answer, dnssec_ok);
    }

    fn no_data(
        &mut self,
        lower: &[u8],
        labels: &LabelStarts,
        node: u32,
        encloser: Option<usize>,
        hop: usize,
    ) -> Outcome {
        let (zone, dnssec_ok) = (self.zone, self.asked.dnssec_ok);
        let empty_non_terminal = encloser.is_none() && zone.all(node).is_empty();
        if empty_non_terminal && hop > 0 && self.asked.chase_missing {
            return Outcome::Chase;
        }
        let proves = dnssec_ok && zone.proves_denial();
        // CoreDNS: at the end of a chain inside the zone stand the name servers, not the SOA. With DO there is a proof to give.
        let owns = encloser.is_none() && !empty_non_terminal;
        if hop > 0 && owns && !proves && self.asked.qtype != Rtype::NS {
            zone.add_ns(self.answer, dnssec_ok);
            return Outcome::Answered;
        }
        zone.add_soa(self.answer, dnssec_ok);
        if proves {
            match encloser {
                Some(encloser) => zone.prove_wildcard_no_data(self.answer, lower, labels, encloser, node),
                None => zone.prove_no_data(self.answer, lower, labels, node),
            }
        }
        Outcome::NoData { empty_non_terminal }
    }

    fn deny(&mut self, lower: &[u8], labels: &LabelStarts, encloser: usize, hop: usize) -> Outcome {
        if hop > 0 && self.asked.chase_missing {
            return Outcome::Chase;
        }
        self.zone.add_soa(self.answer, self.asked.dnssec_ok);
        if self.asked.dnssec_ok {
            self.zone.prove_missing(self.answer, lower, labels, encloser);
        }
        Outcome::NxDomain
    }

    fn refer(&mut self, node: u32) -> Outcome {
        let (zone, dnssec_ok) = (self.zone, self.asked.dnssec_ok);
        let (owner, all) = (zone.name(node), zone.all(node));
        // The name servers are not signed here: they belong to the zone below (RFC 4035 section 2.2).
        zone.add_set(self.answer, Section::Authority, owner, all, Rtype::NS, false);
        if dnssec_ok && !zone.add_set(self.answer, Section::Authority, owner, all, Rtype::DS, true) {
            zone.prove_insecure(self.answer, node);
        }
        zone.add_glue(self.answer, node, dnssec_ok);
        Outcome::Delegation
    }

    /// RFC 6672 section 3.2: the DNAME record and a CNAME record made from it.
    fn substitute(&mut self, lower: &[u8], labels: &LabelStarts, node: u32, count: usize) -> Step {
        let zone = self.zone;
        let (owner, all) = (zone.name(node), zone.all(node));
        let Some(&at) = zone.set_of(all, Rtype::DNAME).first() else { return Step::Break(Outcome::SelfMapped) };
        let entry = zone.entry(at);
        let prefix = labels.suffix_start(count).and_then(|end| lower.get(..end)).unwrap_or(&[]);
        let target = NameBuffer::of([prefix, entry.rdata]);
        let lower_target = target.clone().map(NameBuffer::lower);
        if lower_target.as_ref().is_some_and(|target| target.wire() == lower) {
            return Step::Break(Outcome::SelfMapped);
        }
        // Only one DNAME is allowed (RFC 6672 section 2.4); its signatures are those of the set. It may be used several times and is told once.
        if !self.is_told(owner, Rtype::DNAME) {
            self.answer.push_wire(Section::Answer, owner, Rtype::DNAME, zone.class, entry.ttl, entry.rdata);
            if self.asked.dnssec_ok {
                zone.add_signatures(self.answer, Section::Answer, owner, all, Rtype::DNAME);
            }
        }
        let (Some(target), Some(lower_target)) = (target, lower_target) else { return Step::Break(Outcome::TooLong) };
        self.answer.push_wire(Section::Answer, lower, Rtype::CNAME, zone.class, entry.ttl, target.wire());
        // A target below the DNAME itself leads there again and again.
        let end = LabelStarts::of(entry.rdata).suffix_start(count).and_then(|start| entry.rdata.get(start..));
        let returns = end.is_some_and(|end| end.eq_ignore_ascii_case(owner));
        if self.asked.qtype == Rtype::CNAME || returns {
            zone.add_ns(self.answer, self.asked.dnssec_ok);
            return Step::Break(Outcome::Answered);
        }
        Step::Continue(lower_target)
    }
}
