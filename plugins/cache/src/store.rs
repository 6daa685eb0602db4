//! A store of fixed size that readers never wait for.
//!
//! An item lives in one of the ways of the two sets that its hash names, in the emptier one once the first is half full: so the store is
//! nearly full before anything has to go, and a look-up needs one set until then. Readers scan the sets' tags and load an item only where
//! the tag fits, from a snapshot cell; they take no lock. Writers of one set wait for each other. If both sets are full, the first one gives up the way whose turn it is.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::{ArcSwapAny, Guard, RefCnt};
use catena_core::foresight;

use crate::item::Item;

/// The most entries that a store may be asked to hold.
pub(crate) const CAPACITY_MAX: usize = 1 << 24;
/// The shards over which CoreDNS spreads its capacity, which is rounded down to a multiple of them.
const SHARDS: usize = 256;
/// The fewest entries that it gives to a shard.
const PER_SHARD_MIN: usize = 4;
/// The places in a set; their tags fill a cache line.
const WAYS: usize = 32;
/// As long as its first set has so many free places an item goes there.
const FIRST_FREE_MIN: usize = WAYS / 2;
/// The tags in a word, which are compared at once.
const LANES: usize = 4;
const LANE_BITS: usize = 16;
/// The tag of a way without an item.
const FREE: u16 = 0;

/// A snapshot of a place in the store: an item, or nothing.
pub(crate) type Held<P = Item> = Guard<Option<P>>;

/// What a store may hold: pointers that are counted.
pub(crate) trait Stored: RefCnt {
    /// The hash under which it lies.
    fn hash(&self) -> u64;
}

/// A snapshot of nothing.
pub(crate) fn nothing<P: Stored>() -> Held<P> {
    Guard::from_inner(None)
}

/// The entries of one kind.
pub(crate) struct Store<P: Stored = Item> {
    sets: Box<[OnceLock<Box<Set<P>>>]>,
    len: AtomicUsize,
}

struct Set<P: Stored> {
    tags: Tags,
    items: [ArcSwapAny<Option<P>>; WAYS],
    /// An item for which it is the first set is, or was, in its second.
    has_spilled: AtomicBool,
    /// The way to give up next; whoever writes holds the lock.
    turn: Mutex<usize>,
}

impl<P: Stored> Set<P> {
    fn new() -> Box<Self> {
        Box::new(Self {
            tags: Tags::default(),
            items: std::array::from_fn(|_| ArcSwapAny::new(None)),
            has_spilled: AtomicBool::new(false),
            turn: Mutex::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the memory for the tags.
    fn foresee_tags(&self) {
        foresight::ask_for(&self.tags);
    }

    /// Asks the memory for the first place with the tag of this hash. The tags are read.
    fn foresee_place(&self, hash: u64) {
        if let Some(way) = self.tags.ways_of(tag_of(hash)).next() {
            foresight::ask_for(&self.items[way]);
        }
    }

    /// The first item with the tag of this hash, which may be another's.
    fn first_with_tag(&self, hash: u64) -> Option<Held<P>> {
        let way = self.tags.ways_of(tag_of(hash)).next()?;
        Some(self.items[way].load())
    }

    /// The item with this hash and its way.
    fn find(&self, hash: u64) -> Option<(usize, Held<P>)> {
        self.tags.ways_of(tag_of(hash)).find_map(|way| {
            let held = self.items[way].load();
            held.as_ref().is_some_and(|item| item.hash() == hash).then_some((way, held))
        })
    }

    /// The way of the item with this hash.
    fn way_of(&self, hash: u64) -> Option<usize> {
        self.find(hash).map(|(way, _)| way)
    }

    fn free_ways(&self) -> usize {
        self.tags.ways_of(FREE).count()
    }

    fn free_way(&self) -> Option<usize> {
        self.tags.ways_of(FREE).next()
    }

    /// For whoever holds the lock.
    fn put(&self, way: usize, item: P) {
        let tag = tag_of(item.hash());
        // A reader between the two steps compares the hash of the item, so the worst that it sees is a miss.
        self.items[way].store(Some(item));
        self.tags.set(way, tag);
    }

    /// For whoever holds the lock.
    fn clear(&self, way: usize) {
        self.tags.set(way, FREE);
        self.items[way].store(None);
    }
}

/// A few bits of the hash of each item of a set.
#[derive(Default)]
struct Tags([AtomicU64; WAYS / LANES]);

impl Tags {
    /// The ways that have a tag.
    fn ways_of(&self, tag: u16) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(move |(word, lanes)| {
            let mut found = lanes_with(lanes.load(Ordering::Acquire), tag);
            std::iter::from_fn(move || {
                let lane = (found != 0).then(|| found.trailing_zeros() as usize / LANE_BITS)?;
                found &= found - 1;
                Some(word * LANES + lane)
            })
        })
    }

    /// Gives a way a tag. Only one thread at a time does so.
    fn set(&self, way: usize, tag: u16) {
        let (word, shift) = (&self.0[way / LANES], way % LANES * LANE_BITS);
        let others = word.load(Ordering::Relaxed) & !(u64::from(u16::MAX) << shift);
        word.store(others | (u64::from(tag) << shift), Ordering::Release);
    }
}

/// The highest bit of each lane of a word that is the tag.
fn lanes_with(word: u64, tag: u16) -> u64 {
    const ONES: u64 = 0x0001_0001_0001_0001;
    const LOW: u64 = 0x7fff_7fff_7fff_7fff;
    let different = word ^ (u64::from(tag) * ONES);
    // The sum has a lane's highest bit if one of its lower ones is set; no lane's sum reaches the next one.
    !(((different & LOW) + LOW) | different | LOW)
}

fn tag_of(hash: u64) -> u16 {
    hash as u16 | 1
}

impl<P: Stored> Store<P> {
    /// A store for about so many entries, 1024 at least and [`CAPACITY_MAX`] at most. Memory for entries is taken as they come.
    pub(crate) fn new(capacity: usize) -> Self {
        let rounded = (capacity.min(CAPACITY_MAX) / SHARDS).max(PER_SHARD_MIN) * SHARDS;
        Self { sets: std::iter::repeat_with(OnceLock::new).take(rounded / WAYS).collect(), len: AtomicUsize::new(0) }
    }

    /// The two sets of a hash, which may be the same one.
    fn indexes_of(&self, hash: u64) -> [usize; 2] {
        // Half of the hash, scaled to the number of sets, which is below 2^32. The tag is made of the lower half, so the second half is
        // mixed first (the multiplier is 2^64 over the golden ratio).
        let scaled = |half: u64| ((half * self.sets.len() as u64) >> 32) as usize;
        [scaled(hash >> 32), scaled(hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32)]
    }

    /// The most entries that it holds.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.sets.len() * WAYS
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// The item with this hash. Takes no lock and allocates nothing.
    pub(crate) fn get(&self, hash: u64) -> Held<P> {
        let [first, second] = self.indexes_of(hash);
        let Some(first) = self.sets[first].get() else { return nothing() };
        let spilled = || self.sets[second].get().filter(|_| first.has_spilled.load(Ordering::Acquire))?.find(hash);
        first.find(hash).or_else(spilled).map_or_else(nothing, |(_, held)| held)
    }

    /// The first of the two sets of a hash, if it was ever written. Few items are in the second.
    fn first_set(&self, hash: u64) -> Option<&Set<P>> {
        let [first, _] = self.indexes_of(hash);
        self.sets[first].get().map(|set| &**set)
    }

    /// One of the steps on the way to the item with this hash; from the third on `ask` asks the memory for what the item has.
    pub(crate) fn foresee(&self, hash: u64, step: usize, ask: impl FnOnce(&P)) {
        let Some(set) = self.first_set(hash) else { return };
        match step {
            0 => set.foresee_tags(),
            1 => set.foresee_place(hash),
            _ => {
                if let Some(item) = set.first_with_tag(hash).as_ref().and_then(|held| held.as_ref()) {
                    ask(item);
                }
            }
        }
    }

    /// The sets of a hash, locked in the order of their indexes, so that two writers cannot wait for each other. The first one is that of
    /// the hash's first half.
    fn lock_both(&self, hash: u64) -> [Option<Locked<'_, P>>; 2] {
        let [first, second] = self.indexes_of(hash);
        let lock = |index: usize| {
            let set = self.sets[index].get_or_init(Set::new);
            Some(Locked { set, turn: set.lock() })
        };
        match first.cmp(&second) {
            std::cmp::Ordering::Less => {
                let locked = lock(first);
                [locked, lock(second)]
            }
            std::cmp::Ordering::Equal => [lock(first), None],
            std::cmp::Ordering::Greater => {
                let locked = lock(second);
                [lock(first), locked]
            }
        }
    }

    /// Puts an item in, over one with the same hash. `true`: another one had to go.
    pub(crate) fn insert(&self, item: P) -> bool {
        self.update(item.hash(), |_| Some(item))
    }

    /// Puts in what is made of the item with this hash, if anything is; nobody else writes it meanwhile. `true`: another one had to go.
    pub(crate) fn update(&self, hash: u64, make: impl FnOnce(Option<&P>) -> Option<P>) -> bool {
        let mut sets = self.lock_both(hash);
        for locked in sets.iter().flatten() {
            if let Some(way) = locked.set.way_of(hash) {
                let before = locked.set.items[way].load();
                if let Some(item) = make(before.as_ref()) {
                    locked.set.put(way, item);
                }
                return false;
            }
        }
        let Some(item) = make(None) else { return false };
        if let Some((set, way)) = free_way_of(&sets) {
            set.put(way, item);
            self.len.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let Some(locked) = &mut sets[0] else { return false };
        let way = *locked.turn % WAYS;
        *locked.turn = way + 1;
        locked.set.put(way, item);
        true
    }

    /// Takes the item with this hash out; whether there was one.
    pub(crate) fn remove(&self, hash: u64) -> bool {
        // Looked at first without the locks: mostly there is nothing to take out.
        let holds = |index: usize| self.sets[index].get().is_some_and(|set| set.way_of(hash).is_some());
        if !self.indexes_of(hash).into_iter().any(holds) {
            return false;
        }
        let mut removed = false;
        for locked in self.lock_both(hash).iter().flatten() {
            if let Some(way) = locked.set.way_of(hash) {
                locked.set.clear(way);
                self.len.fetch_sub(1, Ordering::Relaxed);
                removed = true;
            }
        }
        removed
    }
}

/// Where a new item goes, if there is room in one of its sets.
fn free_way_of<'a, P: Stored>([first, second]: &[Option<Locked<'a, P>>; 2]) -> Option<(&'a Set<P>, usize)> {
    let first = first.as_ref()?.set;
    let free = first.free_ways();
    if free < FIRST_FREE_MIN
        && let Some(Locked { set: second, .. }) = second
        && second.free_ways() > free
    {
        // Said before the item is there, so that nobody who could find it does not look.
        first.has_spilled.store(true, Ordering::Release);
        return Some((second, second.free_way()?));
    }
    Some((first, first.free_way()?))
}

/// A set that is being written.
struct Locked<'a, P: Stored> {
    set: &'a Set<P>,
    /// The way to give up next.
    turn: MutexGuard<'a, usize>,
}

#[cfg(test)]
mod tests;
