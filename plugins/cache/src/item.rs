//! A stored reply. All of it stays as it was stored but the marks of its use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use catena_core::prelude::*;
use catena_core::{Entry, Question, SECTIONS};

use crate::scopes::{Network, Place};
use crate::store::Stored;

/// What an answer depends on beside name, type and class of the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// A hash of all of it, and of the question.
    pub(crate) hash: u64,
    /// The query has DO (RFC 3225).
    pub(crate) dnssec_ok: bool,
    /// The query has CD (RFC 4035 section 3.2.2).
    pub(crate) checking_disabled: bool,
}

/// The label of the wildcard of which a reply was made.
pub(crate) const WILDCARD_LABEL: &str = "zone/wildcard";

/// A reply that can be given again.
pub(crate) struct Item {
    key: Key,
    lower: Box<[u8]>,
    qtype: Rtype,
    qclass: Class,
    /// Of the network for which the reply is, 0 where there is none.
    scope: u8,
    /// For whom it is. `None`: queries do not say for whom they are, or for nobody.
    network: Option<Box<Network>>,
    rcode: Rcode,
    /// AD and RA as they came.
    flags: u16,
    octets: Box<[u8]>,
    /// The records of all sections; those of the second and third begin at `starts`.
    entries: Box<[Entry]>,
    starts: [usize; 2],
    answering: bool,
    last_known_good: Option<Arc<Self>>,
    /// The wildcard of which the reply was made; empty: none.
    wildcard: Box<str>,
    ttl: u32,
    stored: Instant,
    usage: Usage,
}

impl Stored for Item {
    /// The hash of the question and what else the answer depends on.
    fn hash(&self) -> u64 {
        self.key.hash
    }
}

/// The marks that hits and refreshes leave. Times are milliseconds since the item was stored, plus one; 0 is never.
#[derive(Default)]
struct Usage {
    hits: AtomicU32,
    last_hit: AtomicU64,
    refreshing: AtomicBool,
    retry_after: AtomicU64,
}

impl Item {
    /// Keeps the reply to a question for `ttl` seconds from `now` on. `answering`: it really answers the question.
    pub(crate) fn new(question: &Question, key: Key, answer: &Answer, answering: bool, ttl: u32, now: Instant) -> Self {
        let used: usize = answer.all_records().map(|record| record.owner_wire().len() + record.rdata().len()).sum();
        if used < answer.octets().len() {
            // Records were dropped on the way: their octets are not worth keeping.
            let mut compact = answer.clone();
            compact.clear_records();
            compact.append(answer);
            return Self::of_compact(question, key, &compact, answering, ttl, now);
        }
        Self::of_compact(question, key, answer, answering, ttl, now)
    }

    fn of_compact(question: &Question, key: Key, answer: &Answer, answering: bool, ttl: u32, now: Instant) -> Self {
        let first = answer.count(Section::Answer);
        Self {
            key,
            lower: question.lower().as_slice().into(),
            qtype: question.qtype(),
            qclass: question.qclass(),
            scope: 0,
            network: None,
            rcode: answer.rcode,
            flags: answer.flags & (flags::AD | flags::RA),
            octets: answer.octets().into(),
            entries: SECTIONS.map(|section| answer.entries(section)).concat().into(),
            starts: [first, first + answer.count(Section::Authority)],
            answering,
            last_known_good: None,
            wildcard: Box::default(),
            ttl,
            stored: now,
            usage: Usage::default(),
        }
    }

    /// Remembers an earlier reply that did answer the question.
    pub(crate) fn after(mut self, earlier: Option<Arc<Self>>) -> Self {
        self.last_known_good = earlier;
        self
    }

    /// Remembers the wildcard of which the reply was made.
    pub(crate) fn of_wildcard(mut self, wildcard: &str) -> Self {
        self.wildcard = wildcard.into();
        self
    }

    /// Remembers for whom the reply is.
    pub(crate) fn at(mut self, place: &Place) -> Self {
        self.scope = place.scope;
        self.network = place.network.map(Box::new);
        self
    }

    /// Whether it is the reply for this network.
    pub(crate) fn is_for(&self, network: Option<Network>) -> bool {
        self.network.as_deref() == network.as_ref()
    }

    /// The larger, the fewer clients it is for: 0 for everybody, 1 for queries that are for nobody, more for networks.
    pub(crate) fn narrowness(&self) -> u16 {
        self.network.as_deref().map_or(1, |network| network.narrowness())
    }

    /// Whether this is the question that it answers: two questions may have one hash.
    pub(crate) fn matches(&self, question: &Question, key: &Key) -> bool {
        self.key == *key
            && self.qtype == question.qtype()
            && self.qclass == question.qclass()
            && *self.lower == *question.lower().as_slice()
    }

    /// The response code.
    pub(crate) fn rcode(&self) -> Rcode {
        self.rcode
    }

    /// The time to live with which it was stored, seconds.
    pub(crate) fn ttl_at_first(&self) -> u32 {
        self.ttl
    }

    /// The seconds it has left; from its end on 0, then how long it is over, negative.
    pub(crate) fn ttl(&self, now: Instant) -> i64 {
        let elapsed = now.saturating_duration_since(self.stored).as_secs();
        i64::from(self.ttl).saturating_sub_unsigned(elapsed)
    }

    /// This reply or the earlier one that it remembers, whichever answers the question.
    pub(crate) fn answering(self: &Arc<Self>) -> Option<Arc<Self>> {
        if self.answering { Some(Arc::clone(self)) } else { self.last_known_good.clone() }
    }

    /// The reply for a client, all records with the same time to live.
    pub(crate) fn answer(&self, query: &mut Query, ttl: u32) -> Box<Answer> {
        // RFC 6840 section 5.7: AD is for those who asked for it.
        let shown = if query.dnssec_ok() || query.has(flags::AD) { flags::AD | flags::RA } else { flags::RA };
        if !self.wildcard.is_empty() {
            query.set_label(WILDCARD_LABEL, |_| self.wildcard.to_string());
        }
        let mut answer = Answer::to(query);
        // CoreDNS: some resolvers of old systems take no reply without AA, so all hits have it.
        answer.flags |= flags::AA | self.flags & shown;
        answer.rcode = self.rcode;
        answer.scope = self.scope;
        let [first, second] = self.starts;
        answer.load(&self.octets, [&self.entries[..first], &self.entries[first..second], &self.entries[second..]]);
        answer.set_ttls(ttl);
        answer
    }

    fn mark(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.stored).as_millis()).unwrap_or(u64::MAX - 1).saturating_add(1)
    }

    /// Counts a hit; one more than `gap` after the one before starts at 1 again. Returns the hits.
    pub(crate) fn count_hit(&self, now: Instant, gap: Duration) -> u32 {
        let mark = self.mark(now);
        let last = self.usage.last_hit.swap(mark, Ordering::Relaxed);
        let gap = u64::try_from(gap.as_millis()).unwrap_or(u64::MAX);
        if last == 0 || mark.saturating_sub(last) > gap {
            self.usage.hits.store(1, Ordering::Relaxed);
            return 1;
        }
        self.usage.hits.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Takes over the hits of the item before it.
    pub(crate) fn inherit_hits(&self, before: &Self, now: Instant) {
        self.usage.hits.store(before.usage.hits.load(Ordering::Relaxed), Ordering::Relaxed);
        self.usage.last_hit.store(self.mark(now), Ordering::Relaxed);
    }

    /// Claims the refreshing of the item. `None`: someone is at it, or the last one failed less than `recheck` ago.
    pub(crate) fn begin_refresh(self: &Arc<Self>, now: Instant, recheck: Duration) -> Option<Refreshing> {
        if !recheck.is_zero() && self.mark(now) < self.usage.retry_after.load(Ordering::Acquire) {
            return None;
        }
        let claimed = self.usage.refreshing.compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed);
        claimed.is_ok().then(|| Refreshing { item: Arc::clone(self), recheck })
    }
}

/// The claim to refresh an item. Given up when it is dropped, so that a task that ends early leaves no item claimed for ever.
pub(crate) struct Refreshing {
    item: Arc<Item>,
    recheck: Duration,
}

impl Refreshing {
    /// The item.
    pub(crate) fn item(&self) -> &Arc<Item> {
        &self.item
    }

    /// Ends the refresh; a failed one holds off the next.
    pub(crate) fn end(self, now: Instant, refreshed: bool) {
        let hold_off = !refreshed && !self.recheck.is_zero();
        let until = if hold_off { self.item.mark(now + self.recheck) } else { 0 };
        self.item.usage.retry_after.store(until, Ordering::Release);
    }
}

impl Drop for Refreshing {
    fn drop(&mut self) {
        self.item.usage.refreshing.store(false, Ordering::Release);
    }
}
