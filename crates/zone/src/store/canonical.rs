//! The canonical order of names (RFC 4034 section 6.1): label by label from the right, octets as they are.
//!
//! All names here are in lower case. For sorting, a name is read as a string of octets that sorts the same way: its labels from the
//! right, each ended by a zero. A zero inside a label becomes one-one and a one becomes one-two, so that the end sorts first. Eight octets of that
//! string at a time are a number, and numbers are compared without looking at the name.

use std::cmp::Ordering;

use catena_core::LabelStarts;

use super::arena::Arena;

/// The octets of the sort string in one key.
const KEY_OCTETS: usize = 8;
/// Below this many names they are compared whole.
const SMALL_RUN: usize = 16;

/// A record on its way into the order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    /// Octets of the sort string of the owner.
    pub(crate) key: u64,
    /// Where the owner is.
    pub(crate) owner: u32,
    /// Where the record is.
    pub(crate) entry: u32,
}

/// One label of a name, counted from the right, the root being none; `None` beyond the first.
fn label<'a>(wire: &'a [u8], starts: &LabelStarts, from_right: usize) -> Option<&'a [u8]> {
    let start = starts.suffix_start(from_right)?;
    let end = starts.suffix_start(from_right.checked_sub(1)?)?;
    wire.get(start + 1..end)
}

/// Compares two lower-case names.
pub(crate) fn compare(a: &[u8], a_starts: &LabelStarts, b: &[u8], b_starts: &LabelStarts) -> Ordering {
    for from_right in 1.. {
        let (mine, other) = (label(a, a_starts, from_right), label(b, b_starts, from_right));
        match (mine, other) {
            (Some(mine), Some(other)) if mine == other => {}
            // No label sorts before any label.
            _ => return mine.cmp(&other),
        }
    }
    Ordering::Equal
}

/// How many labels two names share from the right.
pub(crate) fn shared_labels(a: &[u8], a_starts: &LabelStarts, b: &[u8], b_starts: &LabelStarts) -> usize {
    let most = a_starts.count().min(b_starts.count());
    (1..=most).find(|&labels| label(a, a_starts, labels) != label(b, b_starts, labels)).map_or(most, |other| other - 1)
}

/// The octets `depth..depth + 8` of the sort string of a name without its last `skip` labels.
pub(crate) fn key(wire: &[u8], starts: &LabelStarts, skip: usize, depth: usize) -> u64 {
    let mut window = Window { passed: 0, depth, filled: 0, key: 0 };
    for from_right in skip + 1..=starts.count() {
        for &octet in label(wire, starts, from_right).unwrap_or(&[]) {
            if octet <= 1 {
                window.push(1);
                window.push(octet + 1);
            } else {
                window.push(octet);
            }
        }
        window.push(0);
        if window.filled == KEY_OCTETS {
            break;
        }
    }
    window.finish()
}

/// Takes the octets of a string as they come and keeps those in its window.
struct Window {
    passed: usize,
    depth: usize,
    filled: usize,
    key: u64,
}

impl Window {
    fn push(&mut self, octet: u8) {
        if self.passed >= self.depth && self.filled < KEY_OCTETS {
            self.key = (self.key << 8) | u64::from(octet);
            self.filled += 1;
        }
        self.passed += 1;
    }

    fn finish(self) -> u64 {
        if self.filled == 0 { 0 } else { self.key << (8 * (KEY_OCTETS - self.filled)) }
    }
}

/// Whether the string ends within the key: two zeros do not follow each other before its end.
fn ended(key: u64) -> bool {
    key & 0xffff == 0
}

/// Sorts records by owner; each item's key is the one of `depth`. Records of the same owner come in any order.
pub(crate) fn sort(arena: &Arena, items: &mut [Item], skip: usize, depth: usize) {
    if items.len() <= SMALL_RUN {
        items.sort_unstable_by(|a, b| {
            let (mine, other) = (arena.name(a.owner), arena.name(b.owner));
            compare(mine, &LabelStarts::of(mine), other, &LabelStarts::of(other))
        });
        return;
    }
    items.sort_unstable_by_key(|item| item.key);
    for run in items.chunk_by_mut(|a, b| a.key == b.key) {
        let [first, .., _] = run else { continue };
        let owner = first.owner;
        if ended(first.key) || run.iter().all(|item| item.owner == owner) {
            continue;
        }
        for item in &mut *run {
            let name = arena.name(item.owner);
            item.key = key(name, &LabelStarts::of(name), skip, depth + KEY_OCTETS);
        }
        sort(arena, run, skip, depth + KEY_OCTETS);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn wire(labels: &[Vec<u8>]) -> Vec<u8> {
        let mut wire = Vec::new();
        for label in labels {
            wire.push(u8::try_from(label.len()).unwrap());
            wire.extend(label);
        }
        wire.push(0);
        wire
    }

    fn compared(a: &[u8], b: &[u8]) -> Ordering {
        compare(a, &LabelStarts::of(a), b, &LabelStarts::of(b))
    }

    fn sorted(names: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut arena = Arena::default();
        let item = |name: &Vec<u8>| Item {
            key: key(name, &LabelStarts::of(name), 0, 0),
            owner: arena.append(name).unwrap(),
            entry: 0,
        };
        let mut items: Vec<Item> = names.iter().map(item).collect();
        sort(&arena, &mut items, 0, 0);
        items.iter().map(|item| arena.name(item.owner).to_vec()).collect()
    }

    #[test]
    fn names_sort_as_in_the_example_of_rfc_4034() {
        let example: Vec<Vec<u8>> = [
            &b"\x07example\0"[..],
            b"\x01a\x07example\0",
            b"\x08yljkjljk\x01a\x07example\0",
            b"\x01z\x01a\x07example\0",
            b"\x04zabc\x01a\x07example\0",
            b"\x01z\x07example\0",
            b"\x01\x01\x01z\x07example\0",
            b"\x01*\x01z\x07example\0",
            b"\x01\xc8\x01z\x07example\0",
        ]
        .map(<[u8]>::to_vec)
        .to_vec();
        let mut shuffled = example.clone();
        shuffled.reverse();
        shuffled.extend(example.clone());
        let mut doubled = example;
        doubled.extend(doubled.clone());
        doubled.sort_by(|a, b| compared(a, b));
        assert_eq!(sorted(&shuffled), doubled);
    }

    #[test]
    fn a_zero_octet_in_a_label_sorts_after_the_end_of_the_label() {
        let (short, long) = (wire(&[b"z".to_vec(), b"a".to_vec()]), wire(&[b"a\0".to_vec()]));
        let mut names = vec![long; 20];
        names.extend(vec![short.clone(); 20]);
        assert_eq!(sorted(&names)[0], short);
    }

    #[test]
    fn a_zero_octet_at_the_end_of_a_label_is_not_the_end_of_the_name() {
        let name = |first: &[u8]| wire(&[first.to_vec(), b"aaaaa\0".to_vec()]);
        let mut names = vec![name(b"y"); 20];
        names.extend(vec![name(b"x"); 20]);
        assert_eq!(sorted(&names)[0], name(b"x"));
    }

    proptest! {
        #[test]
        fn keys_sort_as_names_compare(
            names in proptest::collection::vec(proptest::collection::vec(proptest::collection::vec(0u8..4, 1..12), 0..5), 0..80),
        ) {
            let names: Vec<Vec<u8>> = names.iter().map(|labels| wire(labels)).collect();
            let mut expected = names.clone();
            expected.sort_by(|a, b| compared(a, b));
            prop_assert_eq!(sorted(&names), expected);
        }
    }
}
