//! A stored reply. All of it stays as it was stored but the marks of its use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use catena_core::prelude::*;
use catena_core::{Entry, Question, SECTIONS, foresight};

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

/// A reply that can be given again. A cache has many of them, so what few have is apart.
pub(crate) struct Item {
    key: Key,
    qtype: Rtype,
    qclass: Class,
    rcode: Rcode,
    /// AD and RA as they came.
    flags: u16,
    /// Of the network for which the reply is, 0 where there is none.
    scope: u8,
    answering: bool,
    /// The question's name, in lower case, is so long.
    lower_len: u8,
    ttl: u32,
    /// The name, and behind it the octets of the records.
    octets: Box<[u8]>,
    /// The records of all sections; those of the second and third begin at `starts`.
    entries: Box<[Entry]>,
    starts: [u32; 2],
    stored: Instant,
    usage: Usage,
    rare: Option<Box<Rare>>,
}

/// What few items have.
#[derive(Default)]
struct Rare {
    /// For whom it is. `None`: queries do not say for whom they are, or for nobody.
    network: Option<Network>,
    last_known_good: Option<Arc<Item>>,
    /// The wildcard of which the reply was made; empty: none.
    wildcard: Box<str>,
}

impl Stored for Item {
    /// The hash of the question and what else the answer depends on.
    fn hash(&self) -> u64 {
        self.key.hash
    }
}

/// The marks that hits and refreshes leave. Times are milliseconds since the item was stored, plus one; 0 is never, and the last one is
/// 49 days.
#[derive(Default)]
struct Usage {
    hits: AtomicU32,
    last_hit: AtomicU32,
    retry_after: AtomicU32,
    refreshing: AtomicBool,
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
        let lower = question.lower().as_slice();
        // Sections have 65535 records at most, and names 255 octets.
        let starts = [first as u32, (first + answer.count(Section::Authority)) as u32];
        Self {
            key,
            qtype: question.qtype(),
            qclass: question.qclass(),
            rcode: answer.rcode,
            flags: answer.flags & (flags::AD | flags::RA),
            scope: 0,
            answering,
            lower_len: lower.len() as u8,
            ttl,
            octets: [lower, answer.octets()].concat().into(),
            entries: SECTIONS.map(|section| answer.entries(section)).concat().into(),
            starts,
            stored: now,
            usage: Usage::default(),
            rare: None,
        }
    }

    /// Asks the memory for what a hit reads: for the item itself, or for what hangs on it.
    pub(crate) fn foresee(&self, hangs_on_it: bool) {
        if hangs_on_it {
            foresight::ask_for_octets(&self.octets);
            if let Some(first) = self.entries.first() {
                foresight::ask_for(first);
            }
        } else {
            foresight::ask_for(&self.key);
            foresight::ask_for(&self.octets);
            foresight::ask_for(&self.usage);
        }
    }

    fn lower_and_octets(&self) -> (&[u8], &[u8]) {
        self.octets.split_at_checked(usize::from(self.lower_len)).unwrap_or_default()
    }

    fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Remembers an earlier reply that did answer the question.
    pub(crate) fn after(mut self, earlier: Option<Arc<Self>>) -> Self {
        if earlier.is_some() {
            self.rare_mut().last_known_good = earlier;
        }
        self
    }

    /// Remembers the wildcard of which the reply was made.
    pub(crate) fn of_wildcard(mut self, wildcard: &str) -> Self {
        if !wildcard.is_empty() {
            self.rare_mut().wildcard = wildcard.into();
        }
        self
    }

    /// Remembers for whom the reply is.
    pub(crate) fn at(mut self, place: &Place) -> Self {
        self.scope = place.scope;
        if place.network.is_some() {
            self.rare_mut().network = place.network;
        }
        self
    }

    fn network(&self) -> Option<Network> {
        self.rare.as_ref().and_then(|rare| rare.network)
    }

    /// Whether it is the reply for this network.
    pub(crate) fn is_for(&self, network: Option<Network>) -> bool {
        self.network() == network
    }

    /// The larger, the fewer clients it is for: 0 for everybody, 1 for queries that are for nobody, more for networks.
    pub(crate) fn narrowness(&self) -> u16 {
        self.network().map_or(1, |network| network.narrowness())
    }

    /// Whether this is the question that it answers: two questions may have one hash.
    pub(crate) fn matches(&self, question: &Question, key: &Key) -> bool {
        self.key == *key
            && self.qtype == question.qtype()
            && self.qclass == question.qclass()
            && self.lower_and_octets().0 == question.lower().as_slice()
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
        if self.answering { Some(Arc::clone(self)) } else { self.rare.as_ref()?.last_known_good.clone() }
    }

    /// The reply for a client, all records with the same time to live.
    pub(crate) fn answer(&self, query: &mut Query, ttl: u32) -> Box<Answer> {
        // RFC 6840 section 5.7: AD is for those who asked for it.
        let shown = if query.dnssec_ok() || query.has(flags::AD) { flags::AD | flags::RA } else { flags::RA };
        if let Some(rare) = &self.rare
            && !rare.wildcard.is_empty()
        {
            query.set_label(WILDCARD_LABEL, |_| rare.wildcard.to_string());
        }
        let mut answer = Answer::to(query);
        // CoreDNS: some resolvers of old systems take no reply without AA, so all hits have it.
        answer.flags |= flags::AA | self.flags & shown;
        answer.rcode = self.rcode;
        answer.scope = self.scope;
        let [first, second] = self.starts.map(|start| start as usize);
        answer.load(
            self.lower_and_octets().1,
            [&self.entries[..first], &self.entries[first..second], &self.entries[second..]],
        );
        answer.set_ttls(ttl);
        answer
    }

    fn mark(&self, now: Instant) -> u32 {
        let millis = now.saturating_duration_since(self.stored).as_millis();
        u32::try_from(millis).unwrap_or(u32::MAX - 1).saturating_add(1)
    }

    /// Counts a hit; one more than `gap` after the one before starts at 1 again. Returns the hits.
    pub(crate) fn count_hit(&self, now: Instant, gap: Duration) -> u32 {
        let mark = self.mark(now);
        let last = self.usage.last_hit.swap(mark, Ordering::Relaxed);
        let gap = u32::try_from(gap.as_millis()).unwrap_or(u32::MAX);
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
