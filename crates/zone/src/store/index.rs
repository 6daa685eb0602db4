//! The index of names: a table of hashes with open addressing.
//!
//! A slot is four octets, the number of a node and four bits of its hash, so a look-up that finds its slot at once touches one line of memory and
//! rarely a wrong name. The table is made once in its final size.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;

/// The most names of one zone, empty non-terminals included: a slot has 28 bits for them, and nought is an empty slot.
pub(super) const NAMES_MAX: usize = (1 << TAG_SHIFT) - 1;
/// Where in a slot the bits of the hash are.
const TAG_SHIFT: u32 = 28;

/// Nodes by the hash of their names.
#[derive(Debug)]
pub(super) struct Index {
    /// At most three quarters are in use; their number is a power of two.
    slots: Vec<u32>,
    hasher: RandomState,
}

impl Index {
    /// Has room for so many names, [`NAMES_MAX`] at most.
    pub(super) fn with_capacity(names: usize) -> Self {
        let slots = (names + names / 3 + 1).next_power_of_two();
        Self { slots: vec![0; slots], hasher: RandomState::default() }
    }

    /// Adds a node whose name is not there yet.
    pub(super) fn insert(&mut self, name: &[u8], node: u32) {
        let (mut at, tag) = self.start(name);
        while let Some(slot) = self.slots.get_mut(at) {
            if *slot == 0 {
                *slot = tag | (node + 1);
                return;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// The node of a name; `is_it` compares the name itself.
    pub(super) fn find(&self, name: &[u8], is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let (mut at, tag) = self.start(name);
        loop {
            let slot = *self.slots.get(at)?;
            if slot == 0 {
                return None;
            }
            let node = (slot & NAMES_MAX as u32).wrapping_sub(1);
            if slot & !(NAMES_MAX as u32) == tag && is_it(node) {
                return Some(node);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// The slot where the search for a name begins, and the bits that its slot has.
    fn start(&self, name: &[u8]) -> (usize, u32) {
        let mut state = self.hasher.build_hasher();
        state.write(name);
        let hash = state.finish();
        (hash as usize & (self.slots.len() - 1), (hash >> 32) as u32 & !(NAMES_MAX as u32))
    }

    /// The octets taken from the system.
    pub(super) fn heap_octets(&self) -> usize {
        self.slots.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_name_is_found_and_no_other_at_any_number_of_names() {
        for names in 0..70u32 {
            let mut index = Index::with_capacity(names as usize);
            for node in 0..names {
                index.insert(&node.to_le_bytes(), node);
            }
            for asked in 0..140u32 {
                let found = index.find(&asked.to_le_bytes(), |node| node == asked);
                assert_eq!(found, (asked < names).then_some(asked));
            }
        }
    }

    #[test]
    fn the_highest_number_of_a_node_fits_into_a_slot() {
        let mut index = Index::with_capacity(1);
        index.insert(b"a", NAMES_MAX as u32 - 1);
        assert_eq!(index.find(b"a", |_| true), Some(NAMES_MAX as u32 - 1));
    }
}
