//! Proofs that something is not there: NSEC (RFC 4035 section 3.1.3) and NSEC3 (RFC 5155 section 7.2).

use std::cmp::Ordering;

use catena_core::{Answer, LabelStarts, Rtype, Section};

use super::canonical;
use super::lookup::wildcard_name;
use super::nsec3::{self, HASH_TEXT_OCTETS};
use super::zone::{Denial, Zone};

impl Zone {
    /// A name does not exist, nor does a wildcard that could stand for it.
    pub(super) fn prove_missing(&self, answer: &mut Answer, lower: &[u8], labels: &LabelStarts, encloser: usize) {
        match self.denial {
            Denial::None => {}
            Denial::Nsec => {
                self.push_covering(answer, lower, labels);
                if let Some(wildcard) = wildcard_name(lower, labels, encloser) {
                    self.push_covering(answer, wildcard.wire(), &LabelStarts::of(wildcard.wire()));
                }
            }
            Denial::Nsec3 { .. } => {
                let provable = self.push_encloser(answer, lower, labels, encloser);
                if let Some(wildcard) = wildcard_name(lower, labels, provable) {
                    self.push_hash_covering(answer, wildcard.wire());
                }
            }
        }
    }

    /// A name exists and the type does not.
    pub(super) fn prove_no_data(&self, answer: &mut Answer, lower: &[u8], labels: &LabelStarts, node: u32) {
        match self.denial {
            Denial::None => {}
            Denial::Nsec if self.push_nsec(answer, node) => {}
            // An empty non-terminal: between the name before and the next one.
            Denial::Nsec => self.push_covering(answer, lower, labels),
            Denial::Nsec3 { .. } => {
                if !self.push_hash_matching(answer, lower) {
                    // Left out of the chain by opt-out (RFC 5155 section 7.2.4).
                    self.push_encloser(answer, lower, labels, labels.count().saturating_sub(1));
                }
            }
        }
    }

    /// Records were made from a wildcard: the name itself does not exist.
    pub(super) fn prove_expansion(&self, answer: &mut Answer, lower: &[u8], labels: &LabelStarts, encloser: usize) {
        match self.denial {
            Denial::None => {}
            Denial::Nsec => self.push_covering(answer, lower, labels),
            Denial::Nsec3 { .. } => {
                if let Some(next_closer) = suffix(lower, labels, encloser + 1) {
                    self.push_hash_covering(answer, next_closer);
                }
            }
        }
    }

    /// A wildcard stands for the name and does not have the type.
    pub(super) fn prove_wildcard_no_data(
        &self,
        answer: &mut Answer,
        lower: &[u8],
        labels: &LabelStarts,
        encloser: usize,
        wildcard: u32,
    ) {
        match self.denial {
            Denial::None => {}
            Denial::Nsec => {
                if !self.push_nsec(answer, wildcard) {
                    let name = self.name(wildcard);
                    self.push_covering(answer, name, &LabelStarts::of(name));
                }
                self.push_covering(answer, lower, labels);
            }
            Denial::Nsec3 { .. } => {
                self.push_encloser(answer, lower, labels, encloser);
                self.push_hash_matching(answer, self.name(wildcard));
            }
        }
    }

    /// A cut has no DS records.
    pub(super) fn prove_insecure(&self, answer: &mut Answer, cut: u32) {
        let name = self.name(cut);
        self.prove_no_data(answer, name, &LabelStarts::of(name), cut);
    }

    /// Adds the NSEC records of a name, unless they are there already; `false` if it has none.
    fn push_nsec(&self, answer: &mut Answer, node: u32) -> bool {
        let owner = self.name(node);
        if has(answer, owner, Rtype::NSEC) {
            return true;
        }
        self.add_set(answer, Section::Authority, owner, self.all(node), Rtype::NSEC, true)
    }

    /// Adds the NSEC record of the last name that has one and is not after this one.
    fn push_covering(&self, answer: &mut Answer, lower: &[u8], labels: &LabelStarts) {
        let nodes = self.nodes.len() as u32;
        let not_after = |node: u32| {
            let name = self.name(node);
            canonical::compare(name, &LabelStarts::of(name), lower, labels) != Ordering::Greater
        };
        let mut node = partition_point(nodes, not_after);
        while node > 0 {
            node -= 1;
            if self.push_nsec(answer, node) {
                return;
            }
        }
    }

    /// Adds the proof of the closest encloser (RFC 5155 section 7.2.1): the hash of the longest name above that is in the chain, and what covers the
    /// name one label longer. Returns the labels of the former.
    fn push_encloser(&self, answer: &mut Answer, lower: &[u8], labels: &LabelStarts, encloser: usize) -> usize {
        for count in (self.apex_labels..=encloser).rev() {
            if !suffix(lower, labels, count).is_some_and(|name| self.push_hash_matching(answer, name)) {
                continue;
            }
            if let Some(next_closer) = suffix(lower, labels, count + 1) {
                self.push_hash_covering(answer, next_closer);
            }
            return count;
        }
        self.apex_labels
    }

    fn push_hash_matching(&self, answer: &mut Answer, name: &[u8]) -> bool {
        let Some(text) = self.hash(name) else { return false };
        let node = partition_point(self.hashed.len() as u32, |node| self.hash_text(node) < &text[..]);
        self.hash_text(node) == text && self.push_hashed(answer, node)
    }

    fn push_hash_covering(&self, answer: &mut Answer, name: &[u8]) {
        let Some(text) = self.hash(name) else { return };
        let nodes = self.hashed.len() as u32;
        let after = partition_point(nodes, |node| self.hash_text(node) < &text[..]);
        // The chain is a ring: before the first comes the last.
        for back in 1..=nodes {
            if self.push_hashed(answer, (after + nodes - back) % nodes) {
                return;
            }
        }
    }

    /// Adds the NSEC3 records of an owner if they are of the chain that is used.
    fn push_hashed(&self, answer: &mut Answer, node: u32) -> bool {
        let Denial::Nsec3 { params, .. } = self.denial else { return false };
        let all = self.records.get(self.hashed.range(node)).unwrap_or(&[]);
        let Some(&at) = self.set_of(all, Rtype::NSEC3).first() else { return false };
        if !nsec3::same_chain(self.entry(params).rdata, self.entry(at).rdata) {
            return false;
        }
        let owner = self.arena.name(self.hashed.name(node));
        has(answer, owner, Rtype::NSEC3) || self.add_set(answer, Section::Authority, owner, all, Rtype::NSEC3, true)
    }

    fn hash(&self, name: &[u8]) -> Option<[u8; HASH_TEXT_OCTETS]> {
        let Denial::Nsec3 { params, iterations } = self.denial else { return None };
        Some(nsec3::hash_text(name, nsec3::salt(self.entry(params).rdata), iterations))
    }

    /// The first label of an owner in the chain.
    fn hash_text(&self, node: u32) -> &[u8] {
        if node as usize >= self.hashed.len() {
            return &[];
        }
        let name = self.arena.from(self.hashed.name(node));
        let len = usize::from(name.first().copied().unwrap_or(0));
        name.get(1..1 + len).unwrap_or(&[])
    }
}

fn suffix<'a>(lower: &'a [u8], labels: &LabelStarts, count: usize) -> Option<&'a [u8]> {
    lower.get(labels.suffix_start(count)?..)
}

/// Whether the authority section has a record of this owner and type.
fn has(answer: &Answer, owner: &[u8], rtype: Rtype) -> bool {
    answer.records(Section::Authority).any(|record| record.rtype() == rtype && record.owner_wire() == owner)
}

/// The first number of `0..len` for which `before` does not hold.
fn partition_point(len: u32, before: impl Fn(u32) -> bool) -> u32 {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}
