//! Sharded tables that are read under a lock held for one probe, and written one small element at a time.

use std::hash::{BuildHasher, Hash};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crossbeam_utils::sync::{ShardedLock, ShardedLockReadGuard, ShardedLockWriteGuard};
use foldhash::fast::RandomState;
use hashbrown::HashTable;

const SHARDS: usize = 64;

/// One shard, on cache lines of its own: readers of different shards do not meet.
#[derive(Debug)]
#[repr(align(128))]
struct Shard<T>(RwLock<HashTable<T>>);

/// A table of `T` in shards chosen by a 32-bit key.
#[derive(Debug)]
pub(super) struct Table<T> {
    shards: Box<[Shard<T>]>,
}

/// Spreads a 32-bit key over the bits that a hash table looks at.
pub(super) fn spread(key: u32) -> u64 {
    u64::from(key).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl<T> Table<T> {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Shard(RwLock::new(HashTable::new()))).collect() }
    }

    /// The shard of a key, for reading. A poisoned lock still guards whole elements.
    pub(super) fn read(&self, key: u32) -> RwLockReadGuard<'_, HashTable<T>> {
        self.shard(key).0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self, key: u32) -> RwLockWriteGuard<'_, HashTable<T>> {
        self.shard(key).0.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard(&self, key: u32) -> &Shard<T> {
        &self.shards[key as usize % SHARDS]
    }

    /// Copies what `pick` wants out of every shard, one shard after the other.
    pub(super) fn collect<U>(&self, mut pick: impl FnMut(&T) -> Option<U>) -> Vec<U> {
        let mut picked = Vec::new();
        for shard in &self.shards {
            picked.extend(shard.0.read().unwrap_or_else(PoisonError::into_inner).iter().filter_map(&mut pick));
        }
        picked
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.0.read().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }
}

/// A small table in which nearly every query looks for the same few things, and which seldom changes: readers on different threads take
/// different locks, so they do not pass a cache line to and fro; a writer takes all of them.
#[derive(Debug)]
pub(super) struct BusyTable<T>(ShardedLock<HashTable<T>>);

impl<T> BusyTable<T> {
    pub(super) fn new() -> Self {
        Self(ShardedLock::new(HashTable::new()))
    }

    /// For reading. A poisoned lock still guards whole elements.
    pub(super) fn read(&self) -> ShardedLockReadGuard<'_, HashTable<T>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> ShardedLockWriteGuard<'_, HashTable<T>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies what `pick` wants.
    pub(super) fn collect<U>(&self, pick: impl FnMut(&T) -> Option<U>) -> Vec<U> {
        self.read().iter().filter_map(pick).collect()
    }
}

/// From an address to the keys of the entries that hold it; an address can have several, and one several times.
#[derive(Debug)]
pub(super) struct AddressMap {
    v4: Table<(Ipv4Addr, u32)>,
    v6: Table<(Ipv6Addr, u32)>,
    seed: RandomState,
}

impl AddressMap {
    pub(super) fn new() -> Self {
        Self { v4: Table::new(), v6: Table::new(), seed: RandomState::default() }
    }

    pub(super) fn insert(&self, address: IpAddr, key: u32) {
        match address {
            IpAddr::V4(ip) => insert(&self.v4, &self.seed, ip, key),
            IpAddr::V6(ip) => insert(&self.v6, &self.seed, ip, key),
        }
    }

    pub(super) fn remove(&self, address: IpAddr, key: u32) {
        match address {
            IpAddr::V4(ip) => remove(&self.v4, &self.seed, ip, key),
            IpAddr::V6(ip) => remove(&self.v6, &self.seed, ip, key),
        }
    }

    /// The keys for an address, each once.
    pub(super) fn keys(&self, address: IpAddr) -> Vec<u32> {
        let mut keys = match address {
            IpAddr::V4(ip) => keys(&self.v4, &self.seed, ip),
            IpAddr::V6(ip) => keys(&self.v6, &self.seed, ip),
        };
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// How many pairs there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }
}

fn hash_of<A: Hash>(seed: &RandomState, address: A) -> u32 {
    (seed.hash_one(address) >> 32) as u32
}

fn insert<A: Hash + Copy>(table: &Table<(A, u32)>, seed: &RandomState, address: A, key: u32) {
    let hash = hash_of(seed, address);
    table.write(hash).insert_unique(spread(hash), (address, key), |(other, _)| spread(hash_of(seed, *other)));
}

fn remove<A: Hash + Eq + Copy>(table: &Table<(A, u32)>, seed: &RandomState, address: A, key: u32) {
    let hash = hash_of(seed, address);
    if let Ok(found) = table.write(hash).find_entry(spread(hash), |pair| *pair == (address, key)) {
        found.remove();
    }
}

fn keys<A: Hash + Eq + Copy>(table: &Table<(A, u32)>, seed: &RandomState, address: A) -> Vec<u32> {
    let hash = hash_of(seed, address);
    table.read(hash).iter_hash(spread(hash)).filter(|pair| pair.0 == address).map(|pair| pair.1).collect()
}
