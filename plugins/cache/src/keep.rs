//! What happens to a reply from further down the chain: one TTL for all of it, and a place in a store.

use catena_core::SECTIONS;
use catena_core::classify;
use catena_core::prelude::*;

use crate::Inner;
use crate::item::{Draft, Item, Kept, Key, WILDCARD_LABEL, octets_of};
use crate::judge::{Verdict, judge};
use crate::metrics::Kind;
use crate::scopes::Place;

/// The most octets of records that one entry may have; larger replies are passed on and not kept.
pub(crate) const ITEM_OCTETS_MAX: usize = 256 * 1024;

impl Inner {
    /// Gives all records of the reply one TTL, takes the OPT record off and stores the reply, if it may be stored.
    pub(crate) fn keep(&self, q: &Query, key: Key, answer: &mut Answer) -> Option<Item> {
        let verdict = judge(answer, q.question(), q.clock().unix_seconds());
        self.keep_judged(q, key, answer, verdict)
    }

    /// As [`Inner::keep`], for a reply that was looked at already.
    pub(crate) fn keep_judged(&self, q: &Query, key: Key, answer: &mut Answer, verdict: Verdict) -> Option<Item> {
        let Ok(place) = self.stores.place_of(q, key, answer, verdict) else {
            // For another network than the query's: not to be used, and not for the cache to say so.
            self.metrics.of(q).drops.inc(q.shard());
            return None;
        };
        strip_opt(answer);
        answer.scope = place.scope;
        let (ttl, lives) = self.ttl_of(answer, verdict);
        // The same TTL as later hits start from, so that clients see no jump.
        answer.set_ttls(ttl);
        let mut item = None;
        if verdict.storable && lives && octets_of(answer) <= ITEM_OCTETS_MAX {
            if answers_this(q, key, answer, self) {
                item = self.store(q, key, &place, answer, verdict, ttl);
                self.metrics.of(q).set_sizes(self.stores.success.len(), self.stores.denial.len());
            } else {
                self.metrics.of(q).drops.inc(q.shard());
            }
        }
        if !key.dnssec_ok && !q.has(flags::AD) {
            answer.set(flags::AD, false);
        }
        item
    }

    /// The TTL in seconds, and whether there is any time at all to keep the reply.
    fn ttl_of(&self, answer: &Answer, verdict: Verdict) -> (u32, bool) {
        use classify::Kind::{NameError, NoData, ServerError};
        let config = &self.config;
        let limits = match verdict.kind {
            ServerError => {
                let ttl = u32::try_from(config.servfail.as_secs()).unwrap_or(u32::MAX);
                return (ttl, !config.servfail.is_zero());
            }
            NameError | NoData => &config.denial,
            _ => &config.success,
        };
        let ttl = limits.clamp(classify::minimal_ttl(answer, verdict.kind, limits.ttl_max));
        (ttl, ttl > 0)
    }

    fn store(&self, q: &Query, key: Key, place: &Place, answer: &Answer, verdict: Verdict, ttl: u32) -> Option<Item> {
        let (config, stores, handles) = (&self.config, &self.stores, self.metrics.of(q));
        let (name, labels) = (q.lower().as_slice(), q.question().labels());
        let wildcard = q.label(WILDCARD_LABEL).unwrap_or_default();
        let draft = || {
            Draft::new(q.question(), place.key, answer, verdict.answers, ttl, q.now()).of_wildcard(&wildcard).at(place)
        };
        if verdict.kind.class() != classify::Class::Success {
            if config.except_denial.longest(name, labels).is_some() {
                return None;
            }
            let item = draft().keep();
            if stores.denial.insert(item.clone()) {
                handles.eviction(Kind::Denial, q.shard());
            }
            self.stored_at(q, key, place, Kind::Denial, false);
            return Some(item);
        }
        if config.except_success.longest(name, labels).is_some() {
            return None;
        }
        let positive_first = config.stale.prefer_positive;
        let earlier = if positive_first && !verdict.answers {
            let before = stores.success.get(place.key.hash);
            before.as_ref().and_then(Kept::answering).filter(|item| item.matches(q.question(), &place.key))
        } else {
            None
        };
        let item = draft().after(earlier).keep();
        if stores.success.insert(item.clone()) {
            handles.eviction(Kind::Success, q.shard());
        }
        // What was denied before is there now.
        let denied = !positive_first || verdict.answers;
        if denied {
            stores.denial.remove(place.key.hash);
        }
        self.stored_at(q, key, place, Kind::Success, denied);
        Some(item)
    }
}

/// Whether the message is a response to the question under which it would be stored.
fn answers_this(q: &Query, key: Key, answer: &Answer, inner: &Inner) -> bool {
    answer.has(flags::QR) && inner.stores.is_key_of(&key, q)
}

/// OPT belongs to one hop (RFC 6891 section 6.1.1).
fn strip_opt(answer: &mut Answer) {
    answer.edns = None;
    for section in SECTIONS {
        if answer.entries(section).iter().any(|entry| entry.rtype == Rtype::OPT) {
            answer.retain(section, |record| record.rtype() != Rtype::OPT);
        }
    }
}
