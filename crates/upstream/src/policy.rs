//! The order in which upstreams are tried. CoreDNS: plugin/forward/policy.go.

use std::sync::atomic::{AtomicUsize, Ordering};

use rand::seq::SliceRandom as _;

/// How the order is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PolicyKind {
    /// Any order, anew for each query.
    #[default]
    Random,
    /// Each upstream is the first in turn, the others follow in the order of the configuration.
    RoundRobin,
    /// The order of the configuration.
    Sequential,
}

impl PolicyKind {
    /// Reads the name of a policy.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "random" => Some(Self::Random),
            "round_robin" => Some(Self::RoundRobin),
            "sequential" => Some(Self::Sequential),
            _ => None,
        }
    }
}

/// A policy at work.
#[derive(Debug, Default)]
pub struct Policy {
    kind: PolicyKind,
    turns: AtomicUsize,
}

impl Policy {
    /// A policy that has not been asked yet.
    #[must_use]
    pub fn new(kind: PolicyKind) -> Self {
        Self { kind, turns: AtomicUsize::new(0) }
    }

    /// The order in which to try `count` upstreams, 1 at least.
    #[must_use]
    pub fn order(&self, count: usize) -> Order {
        let count = count.max(1);
        let first = match self.kind {
            _ if count == 1 => 0,
            PolicyKind::Sequential => 0,
            PolicyKind::Random => rand::random_range(0..count),
            // CoreDNS counts before it looks, so the second upstream is the first to be first.
            PolicyKind::RoundRobin => self.turns.fetch_add(1, Ordering::Relaxed).wrapping_add(1) % count,
        };
        Order { first, count, shuffled: self.kind == PolicyKind::Random, rest: Vec::new() }
    }
}

/// The order in which one query tries the upstreams. What comes after the first is found only when it is needed.
#[derive(Debug)]
pub struct Order {
    first: usize,
    count: usize,
    shuffled: bool,
    rest: Vec<usize>,
}

impl Order {
    /// The upstream to try at a place; places beyond the last one begin anew.
    pub fn at(&mut self, place: usize) -> usize {
        let place = place % self.count;
        if place == 0 {
            return self.first;
        }
        if self.rest.is_empty() {
            self.rest.extend((0..self.count).filter(|index| *index != self.first));
            if self.shuffled {
                self.rest.shuffle(&mut rand::rng());
            }
        }
        self.rest.get(place - 1).copied().unwrap_or(self.first)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn orders(kind: PolicyKind, count: usize, queries: usize) -> Vec<Vec<usize>> {
        let policy = Policy::new(kind);
        let list = |mut order: Order| (0..count).map(|place| order.at(place)).collect();
        (0..queries).map(|_| list(policy.order(count))).collect()
    }

    #[test]
    fn sequential_keeps_the_order_of_the_configuration() {
        assert_eq!(orders(PolicyKind::Sequential, 3, 2), [[0, 1, 2], [0, 1, 2]]);
    }

    #[test]
    fn round_robin_puts_each_upstream_first_in_turn_and_the_second_one_first_of_all() {
        assert_eq!(orders(PolicyKind::RoundRobin, 3, 4), [[1, 0, 2], [2, 0, 1], [0, 1, 2], [1, 0, 2]]);
    }

    #[test]
    fn random_tries_every_upstream_once_and_lets_each_be_first() {
        let mut firsts = [false; 3];
        for order in orders(PolicyKind::Random, 3, 200) {
            firsts[order[0]] = true;
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2]);
        }
        assert_eq!(firsts, [true; 3]);
    }

    #[test]
    fn a_single_upstream_is_always_first() {
        for kind in [PolicyKind::Random, PolicyKind::RoundRobin, PolicyKind::Sequential] {
            assert_eq!(orders(kind, 1, 2), [[0], [0]]);
        }
    }
}
