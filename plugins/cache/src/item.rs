//! A stored reply. All of it stays as it was stored but the marks of its use.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use catena_core::prelude::*;
use catena_core::{Question, Record, SECTIONS, Shape, foresight};
use triomphe::ThinArc;

use crate::scopes::{Network, Place};
use crate::store::Stored;

/// What an answer depends on beside name, type and class of the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
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

/// A reply that can be given again, in one piece of memory: behind the numbers of its head are the question's name in lower case, the octets
/// of the records one after the other, and the numbers of each record.
pub(crate) type Item = ThinArc<Head, u8>;

/// The lines of the CPU's caches that an item of one or two records has.
const LINES: usize = 4;

/// What an item says of itself. A cache has many items, so what few have is apart. The hash is where it begins, see [`Kept::foresee`].
#[repr(C)]
pub(crate) struct Head {
    key: Key,
    qtype: Rtype,
    qclass: Class,
    rcode: Rcode,
    /// AD and RA as they came.
    flags: u16,
    /// Of the network for which the reply is, 0 where there is none.
    scope: u8,
    answering: bool,
    /// The question's name is so long.
    lower_len: u8,
    ttl: u32,
    /// The octets of the records end so far from the beginning.
    octets_end: u32,
    /// The records of each section.
    counts: [u16; 3],
    stored: Instant,
    usage: Usage,
    rare: Option<Box<Rare>>,
}

/// What few items have.
#[derive(Default)]
struct Rare {
    /// For whom it is. `None`: queries do not say for whom they are, or for nobody.
    network: Option<Network>,
    last_known_good: Option<Item>,
    /// The wildcard of which the reply was made; empty: none.
    wildcard: Box<str>,
}

impl Stored for Item {
    /// The hash of the question and what else the answer depends on.
    fn hash(&self) -> u64 {
        self.head().key.hash
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

/// The octets of all records of a reply, those that it has dropped left out.
pub(crate) fn octets_of(answer: &Answer) -> usize {
    answer.all_records().map(|record| record.owner_wire().len() + record.rdata().len()).sum()
}

/// An item before it is kept.
pub(crate) struct Draft {
    head: Head,
    octets: Vec<u8>,
}

impl Draft {
    /// The reply to a question for `ttl` seconds from `now` on. `answering`: it really answers the question.
    pub(crate) fn new(question: &Question, key: Key, answer: &Answer, answering: bool, ttl: u32, now: Instant) -> Self {
        let lower = question.lower().as_slice();
        let counts = SECTIONS.map(|section| answer.count(section));
        let mut octets =
            Vec::with_capacity(lower.len() + octets_of(answer) + counts.iter().sum::<usize>() * Packed::OCTETS);
        octets.extend_from_slice(lower);
        for record in answer.all_records() {
            octets.extend_from_slice(record.owner_wire());
            octets.extend_from_slice(record.rdata());
        }
        // The octets of an answer are below ANSWER_OCTETS_MAX, and those that are kept below ITEM_OCTETS_MAX.
        let octets_end = octets.len() as u32;
        octets.extend(answer.all_records().flat_map(|record| Packed::of(record).0));
        let head = Head {
            key,
            qtype: question.qtype(),
            qclass: question.qclass(),
            rcode: answer.rcode,
            flags: answer.flags & (flags::AD | flags::RA),
            scope: 0,
            answering,
            // Names have 255 octets at most, and sections SECTION_RECORDS_MAX records.
            lower_len: lower.len() as u8,
            ttl,
            octets_end,
            counts: counts.map(|count| count as u16),
            stored: now,
            usage: Usage::default(),
            rare: None,
        };
        Self { head, octets }
    }

    /// Remembers an earlier reply that did answer the question.
    pub(crate) fn after(mut self, earlier: Option<Item>) -> Self {
        if earlier.is_some() {
            self.head.rare_mut().last_known_good = earlier;
        }
        self
    }

    /// Remembers the wildcard of which the reply was made.
    pub(crate) fn of_wildcard(mut self, wildcard: &str) -> Self {
        if !wildcard.is_empty() {
            self.head.rare_mut().wildcard = wildcard.into();
        }
        self
    }

    /// Remembers for whom the reply is.
    pub(crate) fn at(mut self, place: &Place) -> Self {
        self.head.scope = place.scope;
        if place.network.is_some() {
            self.head.rare_mut().network = place.network;
        }
        self
    }

    /// The item.
    pub(crate) fn keep(self) -> Item {
        ThinArc::from_header_and_slice(self.head, &self.octets)
    }
}

/// The numbers of a record whose owner and rdata lie behind those of the record before it. Its TTL is the item's.
struct Packed([u8; Self::OCTETS]);

impl Packed {
    const OCTETS: usize = 7;

    fn of(record: Record<'_>) -> Self {
        let [type_low, type_high] = record.rtype().to_int().to_le_bytes();
        let [class_low, class_high] = record.class().to_int().to_le_bytes();
        // Names have 255 octets at most, rdata 65535.
        let [len_low, len_high] = (record.rdata().len() as u16).to_le_bytes();
        Self([record.owner_wire().len() as u8, type_low, type_high, class_low, class_high, len_low, len_high])
    }

    fn shape(&self) -> Shape {
        let [owner_len, type_low, type_high, class_low, class_high, len_low, len_high] = self.0;
        Shape {
            owner_len,
            rtype: Rtype::from_int(u16::from_le_bytes([type_low, type_high])),
            class: Class::from_int(u16::from_le_bytes([class_low, class_high])),
            rdata_len: u16::from_le_bytes([len_low, len_high]),
        }
    }
}

impl Head {
    fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
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
}

/// What is done with an item as a whole.
pub(crate) trait Kept {
    /// Its numbers.
    fn head(&self) -> &Head;

    /// Whether this is the question that it answers: two questions may have one hash.
    fn matches(&self, question: &Question, key: &Key) -> bool;

    /// This reply or the earlier one that it remembers, whichever answers the question.
    fn answering(&self) -> Option<Item>;

    /// The reply for a client, all records with the same time to live.
    fn answer(&self, query: &mut Query, ttl: u32) -> Box<Answer>;

    /// Claims the refreshing of the item. `None`: someone is at it, or the last one failed less than `recheck` ago.
    fn begin_refresh(&self, now: Instant, recheck: Duration) -> Option<Refreshing>;

    /// Asks the memory for what a hit reads.
    fn foresee(&self);
}

impl Kept for Item {
    fn head(&self) -> &Head {
        &self.header.header
    }

    fn matches(&self, question: &Question, key: &Key) -> bool {
        let head = self.head();
        head.key == *key
            && head.qtype == question.qtype()
            && head.qclass == question.qclass()
            && self.slice.get(..usize::from(head.lower_len)) == Some(question.lower().as_slice())
    }

    fn answering(&self) -> Option<Item> {
        if self.head().answering { Some(self.clone()) } else { self.head().rare.as_ref()?.last_known_good.clone() }
    }

    fn answer(&self, query: &mut Query, ttl: u32) -> Box<Answer> {
        let head = self.head();
        // RFC 6840 section 5.7: AD is for those who asked for it.
        let shown = if query.dnssec_ok() || query.has(flags::AD) { flags::AD | flags::RA } else { flags::RA };
        if let Some(rare) = &head.rare
            && !rare.wildcard.is_empty()
        {
            query.set_label(WILDCARD_LABEL, |_| rare.wildcard.to_string());
        }
        let mut answer = Answer::to(query);
        // CoreDNS: some resolvers of old systems take no reply without AA, so all hits have it.
        answer.flags |= flags::AA | head.flags & shown;
        answer.rcode = head.rcode;
        answer.scope = head.scope;
        let (octets, packed) = self.slice.split_at_checked(head.octets_end as usize).unwrap_or_default();
        let shapes = packed.as_chunks().0.iter().map(|packed| Packed(*packed).shape());
        answer.load(octets.get(usize::from(head.lower_len)..).unwrap_or_default(), head.counts, shapes, ttl);
        answer
    }

    fn begin_refresh(&self, now: Instant, recheck: Duration) -> Option<Refreshing> {
        let usage = &self.head().usage;
        if !recheck.is_zero() && self.head().mark(now) < usage.retry_after.load(Ordering::Acquire) {
            return None;
        }
        let claimed = usage.refreshing.compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed);
        claimed.is_ok().then(|| Refreshing { item: self.clone(), recheck })
    }

    fn foresee(&self) {
        foresight::ask_for_lines(&self.head().key.hash, LINES);
    }
}

/// The claim to refresh an item. Given up when it is dropped, so that a task that ends early leaves no item claimed for ever.
pub(crate) struct Refreshing {
    item: Item,
    recheck: Duration,
}

impl Refreshing {
    /// The item.
    pub(crate) fn item(&self) -> &Item {
        &self.item
    }

    /// Ends the refresh; a failed one holds off the next.
    pub(crate) fn end(self, now: Instant, refreshed: bool) {
        let hold_off = !refreshed && !self.recheck.is_zero();
        let until = if hold_off { self.item.head().mark(now + self.recheck) } else { 0 };
        self.item.head().usage.retry_after.store(until, Ordering::Release);
    }
}

impl Drop for Refreshing {
    fn drop(&mut self) {
        self.item.head().usage.refreshing.store(false, Ordering::Release);
    }
}
