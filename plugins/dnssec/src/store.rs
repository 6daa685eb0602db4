//! Signatures that were made, by what they are over.
//!
//! Each shard has two generations of entries. New ones and those that are found go into the young one; when it is full it becomes the old one, and
//! what was in the old one is gone. So there are never more entries than the capacity, and what is used stays.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use catena_zone::dnssec::Validity;
use foldhash::fast::RandomState;
use std::hash::BuildHasher;
use tokio::sync::OnceCell;

/// A signature that holds no longer than this is not given out any more, seconds. CoreDNS: plugin/dnssec.
const LEFT_MIN: u32 = 2 * 24 * 3600;
/// How many parts the store has, each with its lock.
const SHARDS: usize = 16;

/// The signatures over one set.
#[derive(Debug)]
pub(crate) struct Signed {
    /// The rdata of the RRSIG records, one for each key.
    pub(crate) rrsigs: Vec<Vec<u8>>,
    /// When they hold.
    pub(crate) validity: Validity,
}

impl Signed {
    fn is_fresh(&self, now: u32) -> bool {
        self.validity.holds_at(now.wrapping_add(LEFT_MIN))
    }
}

/// The place of a set's signatures. Whoever comes first makes them, the others wait.
pub(crate) type Cell = Arc<OnceCell<Signed>>;

/// Signatures by the zone that signs and the set in canonical form.
pub(crate) struct Store {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    /// The entries that one generation of a shard holds.
    generation_len: usize,
    len: AtomicUsize,
}

type Entries = HashMap<Box<[u8]>, Cell, RandomState>;

#[derive(Default)]
struct Shard {
    young: Entries,
    old: Entries,
}

impl Store {
    /// For the signatures of so many sets at most, some 32 at least.
    pub(crate) fn new(capacity: usize) -> Self {
        let shards = std::iter::repeat_with(Mutex::default).take(SHARDS).collect();
        let generation_len = (capacity / (2 * SHARDS)).max(1);
        Self { shards, hasher: RandomState::default(), generation_len, len: AtomicUsize::new(0) }
    }

    /// How many sets there are signatures of, or will be in a moment.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// The place for the signatures over a set, and whether there are some that hold for long enough.
    pub(crate) fn cell(&self, key: &[u8], now: u32) -> (Cell, bool) {
        let mut shard = self.shard(key);
        if let Some(cell) = shard.young.get(key).or_else(|| shard.old.get(key)) {
            let is_fresh = cell.get().is_none_or(|signed| signed.is_fresh(now));
            if is_fresh {
                let (cell, is_hit) = (Arc::clone(cell), cell.initialized());
                self.keep_young(&mut shard, key);
                return (cell, is_hit);
            }
            self.forget(&mut shard, key);
        }
        let cell = Cell::default();
        self.insert(&mut shard, key.into(), Arc::clone(&cell));
        (cell, false)
    }

    /// Moves an entry of the old generation, if it is one, into the young one.
    fn keep_young(&self, shard: &mut Shard, key: &[u8]) {
        if let Some((key, cell)) = shard.old.remove_entry(key) {
            self.len.fetch_sub(1, Ordering::Relaxed);
            self.insert(shard, key, cell);
        }
    }

    fn forget(&self, shard: &mut Shard, key: &[u8]) {
        if shard.young.remove(key).is_some() || shard.old.remove(key).is_some() {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn insert(&self, shard: &mut Shard, key: Box<[u8]>, cell: Cell) {
        if shard.young.len() >= self.generation_len {
            let gone = std::mem::replace(&mut shard.old, std::mem::take(&mut shard.young));
            self.len.fetch_sub(gone.len(), Ordering::Relaxed);
        }
        if shard.young.insert(key, cell).is_none() {
            self.len.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Throws away the signatures that hold no longer for long enough.
    pub(crate) fn sweep(&self, now: u32) {
        let stays = |cell: &Cell| cell.get().is_none_or(|signed| signed.is_fresh(now));
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let before = shard.young.len() + shard.old.len();
            shard.young.retain(|_, cell| stays(cell));
            shard.old.retain(|_, cell| stays(cell));
            let gone = before - shard.young.len() - shard.old.len();
            self.len.fetch_sub(gone, Ordering::Relaxed);
        }
    }

    fn shard(&self, key: &[u8]) -> MutexGuard<'_, Shard> {
        let at = self.hasher.hash_one(key) as usize % SHARDS;
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const NOW: u32 = 1_000_000_000;

    fn signed(expiration: u32) -> Signed {
        Signed { rrsigs: vec![vec![1]], validity: Validity { inception: NOW - 10_800, expiration } }
    }

    #[test]
    fn there_are_never_more_entries_than_the_capacity() {
        let store = Store::new(1024);
        for number in 0..20_000_u32 {
            store.cell(&number.to_be_bytes(), NOW);
            assert!(store.len() <= 1024, "{}", store.len());
        }
        let held: usize = store
            .shards
            .iter()
            .map(|shard| {
                let shard = shard.lock().unwrap();
                shard.young.len() + shard.old.len()
            })
            .sum();
        assert_eq!(store.len(), held);
        assert!(held > 512, "{held}");
    }

    #[test]
    fn what_is_asked_for_again_and_again_stays() {
        let store = Store::new(1024);
        store.cell(b"mine", NOW).0.set(signed(NOW + 691_200)).unwrap();
        for number in 0..20_000_u32 {
            store.cell(&number.to_be_bytes(), NOW);
            assert!(store.cell(b"mine", NOW).1);
        }
    }

    #[test]
    fn a_signature_with_less_than_two_days_left_is_made_again() {
        let store = Store::new(1024);
        store.cell(b"a", NOW).0.set(signed(NOW + 691_200)).unwrap();
        assert!(store.cell(b"a", NOW + 691_200 - LEFT_MIN).1);
        assert!(!store.cell(b"a", NOW + 691_200 - LEFT_MIN + 1).1);
        assert_eq!(store.len(), 1);
    }

    #[test]
    fn a_sweep_throws_old_signatures_away() {
        let store = Store::new(1024);
        store.cell(b"a", NOW).0.set(signed(NOW + 691_200)).unwrap();
        store.cell(b"b", NOW).0.set(signed(NOW + 691_201)).unwrap();
        store.cell(b"waiting", NOW);
        store.sweep(NOW + 691_201 - LEFT_MIN);
        assert_eq!(store.len(), 2);
        assert!(store.cell(b"b", NOW).1);
    }

    #[test]
    fn those_who_want_the_same_signature_share_its_place() {
        let store = Store::new(1024);
        let (first, second) = (store.cell(b"a", NOW), store.cell(b"a", NOW));
        assert!(Arc::ptr_eq(&first.0, &second.0));
        assert!(!first.1 && !second.1);
    }
}
