//! Names in one buffer and hash tables of where they begin: six octets a name beside the name itself.
//!
//! The hash of a name is made label by label from its end, so one walk over a question gives the hashes of all names that it is under. A
//! hash only finds a place: what is stored there is compared, so no name is ever taken for another.

use std::hash::{BuildHasher, Hasher};

use catena_core::LabelStarts;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// The most names of one list.
pub(crate) const NAMES_MAX: usize = 16 << 20;
/// The most octets of the names of one list: places have 32 bits.
const ARENA_OCTETS_MAX: usize = u32::MAX as usize;
/// The most names of one hash table, once a list is read: a little less than a table of 65536 places takes. Tables double, so many small ones
/// that are full take less than a large one that is half empty.
const SHARD_NAMES: usize = 56_000;
/// So many octets of names are taken for a table's worth at first.
const SHARD_OCTETS: usize = SHARD_NAMES * 24;
/// So many labels have their hashes made at once; names of more labels are rare.
const HASHES_LEN: usize = 16;
/// Names of as many labels or more share one mark.
const DEPTH_MARK_MAX: usize = 63;

/// Random for each instance, the same for all of its lists, so that a question is hashed once.
pub(crate) type Seed = foldhash::fast::RandomState;

/// What happens to a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Action {
    /// What the directive says under `answer`.
    Block = 1,
    /// The name does not exist.
    NxDomain = 2,
    /// The name has no records.
    NoData = 3,
    /// The query goes on, whatever other lists say.
    Pass = 4,
    /// Nothing is answered.
    Drop = 5,
    /// The client is to ask again over TCP.
    TcpOnly = 6,
    /// Records of the list.
    Local = 7,
}

impl Action {
    const ALL: [Self; 7] =
        [Self::Block, Self::NxDomain, Self::NoData, Self::Pass, Self::Drop, Self::TcpOnly, Self::Local];

    fn of_bits(bits: u8) -> Option<Self> {
        Self::ALL.get(usize::from(bits & 15).checked_sub(1)?).copied()
    }
}

/// What a listed name is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// Itself.
    Exact,
    /// What is below it.
    Below,
}

impl Scope {
    fn shift(self) -> u32 {
        if self == Self::Exact { 0 } else { 4 }
    }
}

/// A list has more names than may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {NAMES_MAX} names")]
pub(crate) struct Full;

/// A name with the hashes of all names that it is under.
pub(crate) struct Suffixes<'a> {
    wire: &'a [u8],
    labels: &'a LabelStarts,
    seed: &'a Seed,
    hashes: [u64; HASHES_LEN],
}

impl<'a> Suffixes<'a> {
    /// Hashes a lower-case name.
    pub(crate) fn of(seed: &'a Seed, wire: &'a [u8], labels: &'a LabelStarts) -> Self {
        let mut hashes = [0; HASHES_LEN];
        let mut hasher = seed.build_hasher();
        hashes[0] = hasher.finish();
        let mut end = labels.suffix_start(0).unwrap_or_default();
        for (count, hash) in hashes.iter_mut().enumerate().skip(1).take(labels.count()) {
            let start = labels.suffix_start(count).unwrap_or_default();
            hasher.write(wire.get(start..end).unwrap_or_default());
            *hash = hasher.finish();
            end = start;
        }
        Self { wire, labels, seed, hashes }
    }

    fn suffix(&self, labels: usize) -> (&[u8], u64) {
        let start = self.labels.suffix_start(labels).unwrap_or_default();
        let suffix = self.wire.get(start..).unwrap_or_default();
        let hash = self.hashes.get(labels).copied();
        (suffix, hash.unwrap_or_else(|| hash_of(self.seed, suffix, &LabelStarts::of(suffix))))
    }
}

/// What a table says about a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Which entry: the listed name and its scope.
    pub(crate) key: (u32, Scope),
    /// What to do.
    pub(crate) action: Action,
    /// How many labels the listed name has.
    pub(crate) labels: usize,
}

/// Names and what to do with them.
#[derive(Default)]
pub(crate) struct NameTable {
    seed: Seed,
    /// For each name one octet, the actions for both scopes, and the name, lower-case on the wire.
    arena: Vec<u8>,
    /// The hash tables. Which one a name is in, its hash tells.
    shards: Vec<HashTable<u32>>,
    len: usize,
    /// Which numbers of labels there are.
    depths: u64,
    /// At most so many names.
    names_max: usize,
}

impl NameTable {
    /// An empty table with room for names of so many octets.
    pub(crate) fn new(seed: &Seed, octets: usize) -> Self {
        let arena = Vec::with_capacity(octets.min(ARENA_OCTETS_MAX));
        let count = octets / SHARD_OCTETS;
        let shards = if count > 1 { empty_shards(count) } else { Vec::new() };
        Self { seed: seed.clone(), arena, shards, names_max: NAMES_MAX, ..Self::default() }
    }

    /// How many names there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The octets on the heap.
    #[cfg(test)]
    pub(crate) fn heap_octets(&self) -> usize {
        self.arena.capacity() + self.shards.iter().map(HashTable::allocation_size).sum::<usize>()
    }

    /// Adds a lower-case name. What an earlier one said about the same scope stays.
    ///
    /// # Errors
    /// There are too many.
    pub(crate) fn insert(&mut self, wire: &[u8], scope: Scope, action: Action) -> Result<(u32, Scope), Full> {
        let labels = LabelStarts::of(wire);
        let hash = hash_of(&self.seed, wire, &labels);
        let at = self.arena.len();
        let has_room = self.len < self.names_max && at + wire.len() < ARENA_OCTETS_MAX;
        if self.shards.is_empty() {
            self.shards.push(HashTable::new());
        }
        let (arena, seed) = (&self.arena, &self.seed);
        let shard = shard_of(hash, self.shards.len());
        let shard = self.shards.get_mut(shard).ok_or(Full)?;
        let again = |place: &u32| hash_at(seed, arena, *place);
        let place = match shard.entry(hash, |place| name_at(arena, *place).starts_with(wire), again) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(free) => {
                let place = u32::try_from(at).ok().filter(|_| has_room).ok_or(Full)?;
                free.insert(place);
                self.arena.push(0);
                self.arena.extend_from_slice(wire);
                self.depths |= mark(labels.count());
                self.len += 1;
                place
            }
        };
        if let Some(actions) = self.arena.get_mut(place as usize)
            && (*actions >> scope.shift()) & 15 == 0
        {
            *actions |= (action as u8) << scope.shift();
        }
        Ok((place, scope))
    }

    /// Gives back what building took too much.
    pub(crate) fn shrink(&mut self) {
        self.arena.shrink_to_fit();
        let (arena, seed) = (&self.arena, &self.seed);
        let again = |place: &u32| hash_at(seed, arena, *place);
        let count = self.len.div_ceil(SHARD_NAMES);
        if self.shards.len() > 1 {
            return;
        }
        if count <= 1 {
            self.shards.iter_mut().for_each(|shard| shard.shrink_to_fit(again));
            return;
        }
        let mut shards = empty_shards(count);
        for place in std::mem::take(&mut self.shards).into_iter().flatten() {
            let hash = again(&place);
            if let Some(shard) = shards.get_mut(shard_of(hash, count)) {
                shard.insert_unique(hash, place, again);
            }
        }
        self.shards = shards;
    }

    /// What the longest listed name says that the name is or is under.
    pub(crate) fn find(&self, name: &Suffixes<'_>) -> Option<Found> {
        let count = name.labels.count();
        for labels in (0..=count).rev() {
            if self.depths & mark(labels) == 0 {
                continue;
            }
            let (suffix, hash) = name.suffix(labels);
            let shard = self.shards.get(shard_of(hash, self.shards.len()));
            let is_same = |place: &u32| name_at(&self.arena, *place).starts_with(suffix);
            let Some(place) = shard.and_then(|shard| shard.find(hash, is_same)) else { continue };
            let scope = if labels == count { Scope::Exact } else { Scope::Below };
            let actions = self.arena.get(*place as usize).copied().unwrap_or_default();
            if let Some(action) = Action::of_bits(actions >> scope.shift()) {
                return Some(Found { key: (*place, scope), action, labels });
            }
        }
        None
    }
}

fn mark(labels: usize) -> u64 {
    1 << labels.min(DEPTH_MARK_MAX)
}

fn empty_shards(count: usize) -> Vec<HashTable<u32>> {
    (0..count).map(|_| HashTable::with_capacity(SHARD_NAMES)).collect()
}

/// The table that names of this hash are in. It goes by bits in the middle: a table itself goes by those at both ends.
fn shard_of(hash: u64, count: usize) -> usize {
    let middle = (hash >> 20) & u64::from(u32::MAX);
    usize::try_from((middle * count as u64) >> 32).unwrap_or_default()
}

fn hash_at(seed: &Seed, arena: &[u8], place: u32) -> u64 {
    let name = name_at(arena, place);
    hash_of(seed, name, &LabelStarts::of(name))
}

/// The arena from a name on; names end with their root octet.
fn name_at(arena: &[u8], place: u32) -> &[u8] {
    arena.get(place as usize + 1..).unwrap_or_default()
}

fn hash_of(seed: &Seed, wire: &[u8], labels: &LabelStarts) -> u64 {
    let mut hasher = seed.build_hasher();
    let mut end = labels.suffix_start(0).unwrap_or_default();
    for count in 1..=labels.count() {
        let start = labels.suffix_start(count).unwrap_or_default();
        hasher.write(wire.get(start..end).unwrap_or_default());
        end = start;
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use catena_core::name::{LABELS_MAX, owned};

    fn table(names: &[(&str, Scope)]) -> NameTable {
        let mut table = NameTable::new(&Seed::default(), 0);
        for (name, scope) in names {
            table.insert(owned(name).unwrap().as_slice(), *scope, Action::Block).unwrap();
        }
        table
    }

    fn labels(table: &NameTable, name: &str) -> Option<usize> {
        let name = owned(name).unwrap();
        let starts = LabelStarts::of(name.as_slice());
        table.find(&Suffixes::of(&table.seed, name.as_slice(), &starts)).map(|found| found.labels)
    }

    #[test]
    fn a_name_is_found_in_its_scope_alone() {
        let table = table(&[("a.org", Scope::Exact), ("b.org", Scope::Below)]);
        assert_eq!(labels(&table, "a.org"), Some(2));
        assert_eq!(labels(&table, "x.a.org"), None);
        assert_eq!(labels(&table, "b.org"), None);
        assert_eq!(labels(&table, "y.x.b.org"), Some(2));
        for other in ["org", "xb.org", "x.xb.org", "b.org.x", "."] {
            assert_eq!(labels(&table, other), None, "{other}");
        }
    }

    #[test]
    fn the_longest_name_counts() {
        let table = table(&[(".", Scope::Below), ("org", Scope::Below), ("a.b.org", Scope::Exact)]);
        assert_eq!(labels(&table, "a.b.org"), Some(3));
        assert_eq!(labels(&table, "b.org"), Some(1));
        assert_eq!(labels(&table, "net"), Some(0));
        assert_eq!(labels(&table, "."), None, "nothing is above the root");
    }

    #[test]
    fn a_name_of_127_labels_is_found() {
        let name = "a.".repeat(LABELS_MAX);
        let table = table(&[(name.as_str(), Scope::Exact), (&name[2 * 63..], Scope::Below)]);
        assert_eq!(labels(&table, &name), Some(LABELS_MAX));
        assert_eq!(labels(&table, &name[2..]), Some(64));
        assert_eq!(labels(&table, &name[2 * 63..]), None);
    }

    #[test]
    fn a_name_listed_twice_is_one_and_keeps_what_was_said_first() {
        let mut table = table(&[("a.org", Scope::Exact), ("a.org", Scope::Below)]);
        table.insert(owned("a.org").unwrap().as_slice(), Scope::Exact, Action::Drop).unwrap();
        assert_eq!(table.len(), 1);
        let name = owned("a.org").unwrap();
        let starts = LabelStarts::of(name.as_slice());
        assert_eq!(table.find(&Suffixes::of(&table.seed, name.as_slice(), &starts)).unwrap().action, Action::Block);
    }

    #[test]
    fn a_full_table_takes_no_other_name_and_still_knows_its_own() {
        let mut table = table(&[("a.org", Scope::Exact)]);
        table.names_max = 2;
        let insert = |table: &mut NameTable, name| {
            table.insert(owned(name).unwrap().as_slice(), Scope::Below, Action::Block).map(|_| ())
        };
        assert_eq!(insert(&mut table, "b.org"), Ok(()));
        assert_eq!(insert(&mut table, "c.org"), Err(Full));
        assert_eq!(insert(&mut table, "a.org"), Ok(()));
        assert_eq!((labels(&table, "x.a.org"), labels(&table, "x.c.org")), (Some(2), None));
    }

    #[test]
    fn no_name_is_taken_for_another() {
        let mut table = NameTable::new(&Seed::default(), 0);
        let count = 2 * SHARD_NAMES + 1;
        for number in 0..count {
            let name = owned(&format!("n{}.org", number * 2)).unwrap();
            table.insert(name.as_slice(), Scope::Exact, Action::Block).unwrap();
        }
        table.shrink();
        assert_eq!(table.shards.len(), 3);
        for number in 0..count * 2 {
            let found = labels(&table, &format!("n{number}.org")).is_some();
            assert_eq!(found, number % 2 == 0, "{number}");
        }
    }

    #[test]
    fn a_million_names_fit_into_forty_megabytes() {
        let mut table = NameTable::new(&Seed::default(), 30_000_000);
        for number in 0..1_000_000 {
            // 29 octets on the wire; names of public lists have about 22.
            let name = owned(&format!("host-{number:07}.adverts.test")).unwrap();
            table.insert(name.as_slice(), Scope::Exact, Action::Block).unwrap();
        }
        table.shrink();
        assert_eq!(table.len(), 1_000_000);
        assert!(table.heap_octets() < 40_000_000, "{}", table.heap_octets());
    }
}
