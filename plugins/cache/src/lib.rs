//! *cache* keeps replies for as long as their records live, and gives them again.
//!
//! Two stores of fixed size (`store`) hold immutable items (`item`), one answers and delegations, the other denials and failures. A hit
//! copies an item into the query's own answer: no lock, no task, no allocation. What comes up the chain on a miss is judged (`judge`),
//! given one TTL and stored (`keep`), by network of clients where queries say theirs (`scopes`). `refresh` asks again in the background: before the end for entries in use, after it for old ones.

mod config;
mod item;
mod judge;
mod keep;
mod metrics;
mod refresh;
mod scopes;
mod store;

use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use catena_core::prelude::*;
use catena_core::{Foresight, LabelsSet, Question};
use foldhash::quality::RandomState;

use crate::config::Config;
use crate::item::{Item, Kept, Key, WILDCARD_LABEL};
use crate::metrics::{CacheMetrics, Handles, Kind};
use crate::scopes::Scopes;
use crate::store::{Held, Store, nothing};

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("cache", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let config = Config::parse(cx)?;
    let metrics = CacheMetrics::new(cx.metrics(), config.zones.joined());
    let estate = Arc::new(Estate::default());
    cx.bequeath(Arc::clone(&estate));
    cx.labels(Arc::new(LabelsSet(&[WILDCARD_LABEL])));
    cx.link_later(move |linked| {
        // A block that a reload finds unchanged goes on with the stores of its predecessor.
        let before = linked.inherited::<Estate>().and_then(|before| before.0.get().cloned());
        let stores = estate.0.get_or_init(|| before.unwrap_or_else(|| Arc::new(Stores::new(&config))));
        let stores = Arc::clone(stores);
        Ok(Cache(Arc::new(Inner { config, stores, metrics })))
    });
    Ok(())
}

/// What a block leaves to the one that takes its place.
#[derive(Default)]
struct Estate(OnceLock<Arc<Stores>>);

/// Both stores, and the hash of their keys, which nobody outside can foresee.
struct Stores {
    success: Store,
    denial: Store,
    hasher: RandomState,
    /// The networks for which there are replies, by question; made when there is one.
    scopes: OnceLock<Store<Arc<Scopes>>>,
    scopes_capacity: usize,
}

impl Stores {
    fn new(config: &Config) -> Self {
        Self {
            success: Store::new(config.success.capacity),
            denial: Store::new(config.denial.capacity),
            hasher: RandomState::default(),
            scopes: OnceLock::new(),
            scopes_capacity: config.success.capacity.max(config.denial.capacity),
        }
    }

    fn key_of(&self, query: &Query) -> Key {
        let (dnssec_ok, checking_disabled) = (query.dnssec_ok(), query.has(flags::CD));
        let hash = self.hash_of(query.question(), dnssec_ok, checking_disabled);
        Key { hash, dnssec_ok, checking_disabled }
    }

    /// Whether the query still asks what the key stands for, whatever links below did to its flags.
    fn is_key_of(&self, key: &Key, query: &Query) -> bool {
        self.hash_of(query.question(), key.dnssec_ok, key.checking_disabled) == key.hash
    }

    fn hash_of(&self, question: &Question, dnssec_ok: bool, checking_disabled: bool) -> u64 {
        let kind = u64::from(question.qtype().to_int()) << 32
            | u64::from(question.qclass().to_int()) << 16
            | u64::from(dnssec_ok) << 1
            | u64::from(checking_disabled);
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u64(kind);
        hasher.write(question.lower().as_slice());
        hasher.finish()
    }
}

struct Cache(Arc<Inner>);

struct Inner {
    config: Config,
    stores: Arc<Stores>,
    metrics: CacheMetrics,
}

/// What the stores say to a question.
enum Looked {
    /// The reply, on the spot.
    Hit(Reply),
    /// An old item, to be served unless the rest of the chain has better.
    Verify(Item),
    /// Nothing.
    Miss,
}

#[async_trait]
impl Plugin for Cache {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        let inner = &self.0;
        if inner.config.zones.longest(q.lower().as_slice(), q.question().labels()).is_none() {
            return next.run(q).await;
        }
        let key = inner.stores.key_of(q);
        match inner.look_up(q, next, key) {
            Looked::Hit(reply) => reply,
            Looked::Verify(item) => Box::pin(inner.verify(q, next, key, item)).await,
            Looked::Miss => {
                let asked = q.has(flags::AD);
                // With AD asked for, the AD of the reply means something to later queries too (RFC 6840 section 5.7).
                q.set_flag(flags::AD, true);
                let mut reply = next.run(q).await;
                q.set_flag(flags::AD, asked);
                if let Some(answer) = reply.answer_mut() {
                    inner.keep(q, key, answer);
                }
                reply
            }
        }
    }
    fn foresight(&self) -> Option<&dyn Foresight> {
        Some(self)
    }
}

impl Foresight for Cache {
    /// A hit in the store of answers is foreseen, and for denials whether there may be one.
    fn step(&self, query: &Query, step: usize, trace: u64) -> u64 {
        let stores = &self.0.stores;
        if step > 0 {
            stores.success.foresee(trace, step, Kept::foresee);
            return trace;
        }
        let hash = stores.key_of(query).hash;
        stores.success.foresee(hash, step, |_| ());
        stores.denial.foresee(hash, step, |_| ());
        hash
    }
}

impl Inner {
    fn look_up(self: &Arc<Self>, q: &mut Query, next: Next<'_>, key: Key) -> Looked {
        let handles = self.metrics.of(q);
        let now = q.now();
        handles.requests.inc(q.shard());
        if self.config.stale.prefer_positive
            && !self.config.stale.up_to.is_zero()
            && let Some(item) = self.answering(q, &key, now)
        {
            return self.found(q, next, key, &item, now, Kind::Success);
        }
        let denial = self.usable_in(&self.stores.denial, q, &key, now);
        let denial = denial.as_ref();
        let failed = denial.is_some_and(|item| item.head().rcode() == Rcode::SERVFAIL);
        if let Some(item) = denial
            && !failed
            && !self.is_overruled(item, q, &key, now)
        {
            return self.found(q, next, key, item, now, Kind::Denial);
        }
        // A failure passes; it does not hide an answer.
        let success = self.usable_in(&self.stores.success, q, &key, now);
        if let Some(item) = success.as_ref() {
            return self.found(q, next, key, item, now, Kind::Success);
        }
        if let Some(item) = denial {
            return self.found(q, next, key, item, now, Kind::Denial);
        }
        handles.misses.inc(q.shard());
        Looked::Miss
    }

    /// What a store has for the query, if it may be served.
    fn usable_in(&self, store: &Store, q: &Query, key: &Key, now: Instant) -> Held {
        if let Some(asked) = q.subnet() {
            return self.usable_for(store, q, key, asked, now);
        }
        let held = store.get(key.hash);
        if held.as_ref().is_some_and(|item| self.usable(item, q, key, now)) { held } else { nothing() }
    }

    /// The reply in the store, or behind one there, that answers the question and may be served.
    fn answering(&self, q: &Query, key: &Key, now: Instant) -> Option<Item> {
        if let Some(asked) = q.subnet() {
            return self.answering_for(q, key, asked, now);
        }
        let good = self.stores.success.get(key.hash).as_ref().and_then(Kept::answering);
        good.filter(|item| self.usable(item, q, key, now))
    }

    /// Whether an item may be served: it answers this question and is not over, or not for too long.
    fn usable(&self, item: &Item, q: &Query, key: &Key, now: Instant) -> bool {
        let ttl = item.head().ttl(now);
        let stale_max = i64::try_from(self.config.stale.up_to.as_secs()).unwrap_or(i64::MAX);
        item.matches(q.question(), key) && (ttl > 0 || -ttl < stale_max)
    }

    fn found(
        self: &Arc<Self>,
        q: &mut Query,
        next: Next<'_>,
        key: Key,
        item: &Item,
        now: Instant,
        kind: Kind,
    ) -> Looked {
        let handles = self.metrics.of(q);
        handles.hit(kind, q.shard());
        let ttl = item.head().ttl(now);
        if ttl <= 0 {
            if self.config.stale.verify {
                return Looked::Verify(item.clone());
            }
            self.refresh_later(q, next, key, item, now, true);
            return Looked::Hit(self.serve_stale(q, item, handles));
        }
        if self.wants_prefetch(item, ttl, now) {
            self.refresh_later(q, next, key, item, now, false);
        }
        Looked::Hit(item.answer(q, self.shown_ttl(item, ttl)).into())
    }

    /// The TTL that a client sees, seconds.
    fn shown_ttl(&self, item: &Item, left: i64) -> u32 {
        if self.config.keep_ttl { item.head().ttl_at_first() } else { u32::try_from(left).unwrap_or(0) }
    }

    fn serve_stale(&self, q: &mut Query, item: &Item, handles: &Handles) -> Reply {
        handles.served_stale.inc(q.shard());
        let ttl = match self.config.stale.ttl {
            0 => self.shown_ttl(item, 0),
            ttl => ttl,
        };
        item.answer(q, ttl).into()
    }

    /// Counts the hit; whether it is one of many and little time is left.
    fn wants_prefetch(&self, item: &Item, left: i64, now: Instant) -> bool {
        let prefetch = &self.config.prefetch;
        if prefetch.amount == 0 {
            return false;
        }
        let share = (u64::from(item.head().ttl_at_first()) * u64::from(prefetch.percentage)).div_ceil(100);
        item.head().count_hit(now, prefetch.gap) >= prefetch.amount && u64::try_from(left).unwrap_or(0) <= share
    }
}

#[cfg(test)]
mod tests;
