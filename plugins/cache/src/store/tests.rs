#![allow(clippy::unwrap_used)]
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use catena_core::name::owned;
use catena_core::prelude::*;
use catena_core::{Question, Section};
use proptest::prelude::*;

use super::*;
use crate::item::{Draft, Kept, Key};

fn item(hash: u64, ttl: u32) -> Item {
    let name = owned("a.example.org").unwrap();
    let question = Question::new(name.for_slice(), Rtype::A, Class::IN);
    let mut answer = Answer::default();
    answer.push_address(Section::Answer, &name, Class::IN, ttl, "192.0.2.1".parse().unwrap());
    let key = Key { hash, dnssec_ok: false, checking_disabled: false };
    Draft::new(&question, key, &answer, true, ttl, epoch()).keep()
}

#[allow(clippy::disallowed_methods)]
fn epoch() -> Instant {
    Instant::now()
}

/// Spreads small numbers over the sets and tags as a real hash does.
fn hash_of(number: u64) -> u64 {
    (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn ttl_of(store: &Store, hash: u64) -> Option<u32> {
    store.get(hash).as_ref().map(|item| item.head().ttl_at_first())
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u64, u32),
    Remove(u64),
    Get(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // So few that no set can be full.
    let key = 0..WAYS as u64;
    prop::collection::vec(
        prop_oneof![
            (key.clone(), any::<u32>()).prop_map(|(key, ttl)| Step::Insert(key, ttl)),
            key.clone().prop_map(Step::Remove),
            key.prop_map(Step::Get),
        ],
        0..200,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_store_that_is_not_full_is_a_map(steps in steps(), same_set in any::<bool>()) {
        let store = Store::new(0);
        let mut model = HashMap::new();
        // All in one set, or spread.
        let hash = |key: u64| if same_set { (key + 1) << 1 } else { hash_of(key) };
        for step in steps {
            match step {
                Step::Insert(key, ttl) => {
                    prop_assert!(!store.insert(item(hash(key), ttl)));
                    model.insert(key, ttl);
                }
                Step::Remove(key) => {
                    store.remove(hash(key));
                    model.remove(&key);
                }
                Step::Get(key) => prop_assert_eq!(ttl_of(&store, hash(key)), model.get(&key).copied()),
            }
            prop_assert_eq!(store.len(), model.len());
        }
    }

    #[test]
    fn a_store_that_overflows_gives_back_only_what_was_last_put_in(keys in prop::collection::vec(0..4000u64, 0..6000)) {
        let store = Store::new(0);
        let mut model = HashMap::new();
        let mut evicted = 0;
        for (ttl, key) in keys.into_iter().enumerate() {
            evicted += usize::from(store.insert(item(hash_of(key), ttl as u32)));
            model.insert(key, ttl as u32);
            prop_assert!(store.len() <= store.capacity());
        }
        let found = model.iter().filter(|(key, ttl)| match ttl_of(&store, hash_of(**key)) {
            Some(stored) => { assert_eq!(stored, **ttl); true }
            None => false,
        });
        prop_assert_eq!(found.count(), store.len());
        prop_assert!(evicted >= model.len() - store.len());
    }
}

#[test]
fn capacity_is_rounded_as_in_coredns() {
    for (asked, given) in [(0, 1024), (1024, 1024), (1279, 1024), (1280, 1280), (10_000, 9984)] {
        assert_eq!(Store::<Item>::new(asked).capacity(), given, "{asked}");
    }
}

#[test]
fn capacity_ends_at_its_limit() {
    assert_eq!(Store::<Item>::new(CAPACITY_MAX).capacity(), CAPACITY_MAX);
    assert_eq!(Store::<Item>::new(usize::MAX).capacity(), CAPACITY_MAX);
}

#[test]
fn a_store_is_nearly_full_before_an_item_has_to_go() {
    let store = Store::new(10_000);
    let fits = (store.capacity() * 95 / 100) as u64;
    let evicted = (0..fits).filter(|number| store.insert(item(scattered(*number), 60))).count();
    assert_eq!(evicted, 0);
    assert_eq!(store.len() as u64, fits);
}

#[test]
fn a_full_store_gives_up_one_item_for_one() {
    let store = Store::new(0);
    let mut number = 0;
    while store.len() < store.capacity() {
        store.insert(item(scattered(number), 60));
        number += 1;
    }
    for further in number..number + 100 {
        assert!(store.insert(item(scattered(further), 60)));
        assert_eq!(store.len(), store.capacity());
        assert_eq!(ttl_of(&store, scattered(further)), Some(60));
    }
}

/// Spreads small numbers over all bits (the finaliser of splitmix64).
fn scattered(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def0;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[test]
fn two_hashes_with_one_tag_are_two_items() {
    let store = Store::new(0);
    // The same set and tag: the lowest bit is not part of the tag.
    store.insert(item(2, 20));
    store.insert(item(3, 30));
    assert_eq!((ttl_of(&store, 2), ttl_of(&store, 3)), (Some(20), Some(30)));
    store.remove(2);
    assert_eq!((ttl_of(&store, 2), ttl_of(&store, 3)), (None, Some(30)));
}

#[test]
fn a_reader_sees_only_whole_items_while_another_thread_writes() {
    let store = Store::new(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..2_000u64 {
                // More keys than one set holds, all in it.
                let key = round % (2 * WAYS as u64);
                store.insert(item((key + 1) << 1, key as u32));
                if round % 7 == 0 {
                    store.remove((key + 1) << 1);
                }
            }
            done.store(true, Ordering::SeqCst);
        });
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                for key in 0..2 * WAYS as u64 {
                    if let Some(ttl) = ttl_of(&store, (key + 1) << 1) {
                        assert_eq!(u64::from(ttl), key);
                    }
                }
            }
        });
    });
    let present = (0..2 * WAYS as u64).filter(|key| ttl_of(&store, (key + 1) << 1).is_some()).count();
    assert_eq!(present, store.len());
}
