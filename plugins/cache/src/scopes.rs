//! Replies that hold for a network of clients only (RFC 7871 section 7.3).
//!
//! Where queries say for which network they are asked ([`Query::subnet`]), a reply lies under a hash of its question and of the network
//! that the upstream told. [`Scopes`] lists the networks of a question, so that a look-up tries only those that there are, the narrowest
//! first. Where no query says so, nothing of this is touched.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use catena_core::Subnet;
use catena_core::classify;
use catena_core::prelude::*;
use catena_core::wire::Malformed;

use crate::item::{Item, Kept, Key};
use crate::judge::Verdict;
use crate::metrics::Kind;
use crate::store::{Held, Store, Stored, nothing};
use crate::{Inner, Stores};

/// The most networks for which replies to one question are kept; the one that came first is forgotten for another. So nobody fills the
/// cache with one name that has a reply for each of many networks.
pub(crate) const SCOPES_MAX: usize = 256;

/// For whom a reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network {
    /// The network; [`Subnet::NONE`] is everybody.
    subnet: Subnet,
    /// Only for queries of exactly this network: the upstream would tell smaller ones apart (RFC 7871 section 7.3.1).
    exact: bool,
}

impl Network {
    /// All networks have the same reply.
    const EVERYBODY: Self = Self { subnet: Subnet::NONE, exact: false };

    /// The part of the query's network for which a reply of this scope is.
    fn of_scope(asked: Subnet, scope: u8) -> Self {
        match scope {
            0 => Self::EVERYBODY,
            _ => Self { subnet: asked.cut(scope), exact: scope > asked.bits() },
        }
    }

    /// The larger, the smaller the network; see [`Item::narrowness`].
    pub(crate) fn narrowness(self) -> u16 {
        2 * u16::from(self.subnet.bits()) + u16::from(self.exact)
    }
}

/// Where a reply lies, or would lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) key: Key,
    /// `None`: queries do not say for whom they are, or for nobody.
    pub(crate) network: Option<Network>,
    /// The scope that the upstream told.
    pub(crate) scope: u8,
}

/// The networks for which there are, or were, replies to a question; the oldest first.
pub(crate) struct Scopes {
    hash: u64,
    networks: Box<[Network]>,
}

impl Stored for Arc<Scopes> {
    fn hash(&self) -> u64 {
        self.hash
    }
}

impl Scopes {
    /// Which of the networks a query's network is in: the exact one, and one bit for each length of prefix, that of 1 the lowest.
    fn around(&self, asked: Subnet) -> (bool, u128) {
        let holds = |network: &Network| match network.exact {
            true => network.subnet == asked,
            false => network.subnet.covers(asked),
        };
        self.networks.iter().filter(|network| holds(network)).fold(
            (false, 0),
            |(exact, lengths), network| match network.exact {
                true => (true, lengths),
                false => (exact, lengths | 1 << (network.subnet.bits() - 1)),
            },
        )
    }
}

impl Stores {
    /// Where the reply to a query belongs.
    ///
    /// # Errors
    /// [`Malformed`] if it is for another network.
    pub(crate) fn place_of(&self, q: &Query, key: Key, answer: &Answer, verdict: Verdict) -> Result<Place, Malformed> {
        let Some(asked) = q.subnet() else { return Ok(Place { key, network: None, scope: 0 }) };
        let told = asked.scope_in(answer.edns.as_ref())?;
        if asked.bits() == 0 {
            return Ok(Place { key, network: None, scope: 0 });
        }
        // Who says nothing means everybody, but a failure may be that of one network.
        let untold = if verdict.kind == classify::Kind::ServerError { asked.bits() } else { 0 };
        let scope = told.unwrap_or(untold);
        Ok(Place { scope, ..self.place(key, Network::of_scope(asked, scope)) })
    }

    fn place(&self, key: Key, network: Network) -> Place {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u64(key.hash);
        network.hash(&mut hasher);
        Place { key: Key { hash: hasher.finish(), ..key }, network: Some(network), scope: 0 }
    }

    /// Where replies for a query's network may lie, the narrowest first. `key` is that of the question.
    fn places(&self, key: Key, asked: Subnet) -> impl Iterator<Item = Place> + '_ {
        let networks = self.scopes.get().filter(|_| asked.bits() > 0);
        let known = networks.map_or_else(nothing, |scopes| scopes.get(key.hash));
        let (exact, lengths) = known.as_ref().map_or((false, 0), |scopes| scopes.around(asked));
        let own = (asked.bits() == 0).then_some(Place { key, network: None, scope: 0 });
        let exact = exact.then_some(Network { subnet: asked, exact: true });
        let others = (1..=asked.bits()).rev().filter(move |bits| lengths >> (bits - 1) & 1 == 1);
        let others = others.map(move |bits| Network { subnet: asked.cut(bits), exact: false });
        let networks = exact.into_iter().chain(others).chain([Network::EVERYBODY]);
        own.into_iter().chain(networks.map(move |network| self.place(key, network)))
    }

    /// Remembers that there is a reply for a network; returns the one that had to be forgotten for it.
    fn remember(&self, key: Key, network: Network) -> Option<Network> {
        let scopes = self.scopes.get_or_init(|| Store::new(self.scopes_capacity));
        let mut forgotten = None;
        scopes.update(key.hash, |before| {
            let known = before.map_or(&[][..], |before| &before.networks);
            if known.contains(&network) {
                return None;
            }
            let first = usize::from(known.len() == SCOPES_MAX);
            forgotten = known.first().copied().filter(|_| first == 1);
            let networks = [&known[first..], &[network]].concat().into();
            Some(Arc::new(Scopes { hash: key.hash, networks }))
        });
        forgotten
    }
}

impl Inner {
    /// What a store has for a query's network: the narrowest that lives, else the narrowest that may be served although it is over.
    pub(crate) fn usable_for(&self, store: &Store, q: &Query, key: &Key, asked: Subnet, now: Instant) -> Held {
        let mut stale = nothing();
        for place in self.stores.places(*key, asked) {
            let held = store.get(place.key.hash);
            let left =
                held.as_ref().filter(|item| item.head().is_for(place.network) && self.usable(item, q, &place.key, now));
            match left.map(|item| item.head().ttl(now)) {
                Some(1..) => return held,
                Some(_) if stale.is_none() => stale = held,
                _ => {}
            }
        }
        stale
    }

    /// The same for the replies that answer the question, those included that others remember.
    pub(crate) fn answering_for(&self, q: &Query, key: &Key, asked: Subnet, now: Instant) -> Option<Item> {
        let mut found = self.stores.places(*key, asked).filter_map(|place| {
            let held = self.stores.success.get(place.key.hash);
            let item = held.as_ref().filter(|item| item.head().is_for(place.network)).and_then(Kept::answering)?;
            self.usable(&item, q, &place.key, now).then_some(item)
        });
        let first = found.next()?;
        if first.head().ttl(now) > 0 {
            return Some(first);
        }
        let fresh = found.find(|item| item.head().ttl(now) > 0);
        Some(fresh.unwrap_or(first))
    }

    /// Whether an answer for a narrower network than that of a denial is there.
    pub(crate) fn is_overruled(&self, denial: &Item, q: &Query, key: &Key, now: Instant) -> bool {
        q.subnet().is_some_and(|asked| {
            let success = self.usable_for(&self.stores.success, q, key, asked, now);
            success.as_ref().is_some_and(|item| item.head().narrowness() > denial.head().narrowness())
        })
    }

    /// A reply was stored: what was known for narrower networks around the client is old, and `denied` says that so is every denial.
    /// `key` is that of the question.
    pub(crate) fn stored_at(&self, q: &Query, key: Key, place: &Place, kind: Kind, denied: bool) {
        let (Some(asked), Some(network)) = (q.subnet(), place.network) else { return };
        let stores = &self.stores;
        if network != Network::EVERYBODY
            && let Some(forgotten) = stores.remember(key, network)
        {
            let hash = stores.place(key, forgotten).key.hash;
            for (store, kind) in [(&stores.success, Kind::Success), (&stores.denial, Kind::Denial)] {
                if store.remove(hash) {
                    self.metrics.of(q).eviction(kind, q.shard());
                }
            }
        }
        let store = if kind == Kind::Success { &stores.success } else { &stores.denial };
        let mut is_narrower = true;
        for other in stores.places(key, asked) {
            is_narrower &= other.network != place.network;
            if is_narrower {
                store.remove(other.key.hash);
            }
            if denied {
                stores.denial.remove(other.key.hash);
            }
        }
    }
}
