//! The order of records in a section. Entries change places; their data stay where they are.

use catena_core::Entry;
use catena_core::prelude::*;
use catena_gocompat::address::Cidr;
use rand::RngExt;

use crate::weights::Weights;

/// The groups of a section, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Cname,
    Rest,
    Address,
    Mx,
}

fn group(entry: &Entry) -> Group {
    match entry.rtype {
        Rtype::CNAME => Group::Cname,
        Rtype::A | Rtype::AAAA => Group::Address,
        Rtype::MX => Group::Mx,
        _ => Group::Rest,
    }
}

/// Puts the groups in order and returns where the addresses begin and end.
fn regroup(entries: &mut [Entry]) -> std::ops::Range<usize> {
    // The usual section is in order already; sorting a short one allocates nothing either.
    if !entries.is_sorted_by_key(group) {
        entries.sort_by_key(group);
    }
    let from = entries.partition_point(|entry| group(entry) < Group::Address);
    from..entries.partition_point(|entry| group(entry) <= Group::Address)
}

/// Any order is as likely as any other.
fn shuffle_slice(entries: &mut [Entry]) {
    if entries.len() < 2 {
        return;
    }
    let mut random = rand::rng();
    for place in (1..entries.len()).rev() {
        entries.swap(place, random.random_range(0..=place));
    }
}

/// CNAMEs, then everything else, then addresses and MX records, these two shuffled.
pub(crate) fn shuffle(entries: &mut [Entry]) {
    if entries.len() < 2 {
        return;
    }
    let addresses = regroup(entries);
    shuffle_slice(&mut entries[addresses.clone()]);
    shuffle_slice(&mut entries[addresses.end..]);
}

/// CNAMEs, then addresses by the first network that holds them, then MX records and the rest.
pub(crate) fn prefer(answer: &mut Answer, section: Section, networks: &[Cidr]) {
    let mut entries = std::mem::take(answer.entries_mut(section));
    let rank = |entry: &Entry| {
        let place = match group(entry) {
            Group::Cname => 0,
            Group::Address => 1,
            Group::Mx => 2,
            Group::Rest => 3,
        };
        let network = answer.record(entry).address().map_or(0, |address| {
            networks.iter().position(|network| network.contains(address)).unwrap_or(networks.len())
        });
        (place, network)
    };
    if !entries.is_sorted_by_key(rank) {
        entries.sort_by_key(rank);
    }
    *answer.entries_mut(section) = entries;
}

/// CNAMEs, everything else, addresses, MX records; one address, drawn by weight, changes places with the first.
pub(crate) fn weigh(answer: &mut Answer, section: Section, weights: &Weights) {
    if !answer.entries(section).iter().any(|entry| group(entry) == Group::Address) {
        return;
    }
    let mut entries = std::mem::take(answer.entries_mut(section));
    let addresses = regroup(&mut entries);
    let weight = |entry: &Entry| {
        let record = answer.record(entry);
        record.address().map_or(1, |address| u64::from(weights.of(record.owner_wire(), address)))
    };
    let group = &mut entries[addresses];
    let sum: u64 = group.iter().map(weight).sum();
    let mut drawn = rand::rng().random_range(0..sum.max(1));
    let chosen = group.iter().position(|entry| {
        let weight = weight(entry);
        let here = drawn < weight;
        drawn = drawn.saturating_sub(weight);
        here
    });
    group.swap(0, chosen.unwrap_or(0));
    *answer.entries_mut(section) = entries;
}
