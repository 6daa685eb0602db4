//! What replies on a shared socket are told apart by: questions, and what each id was last in use for.

use std::hash::BuildHasher as _;

use catena_core::flags;
use catena_core::name::NAME_OCTETS_MAX;
use catena_core::wire::{self, HEADER_OCTETS};
use foldhash::fast::RandomState;

/// A question: its name in lower case on the wire, its type and its class.
pub(crate) type Asked<'a> = (&'a [u8], u16, u16);

/// For each id of a socket, the question that it was last in use for, as far as 16 bits of a hash tell it; zero: it never was.
///
/// Some upstreams send each reply several times, and some replies come when nobody waits any more. Such a message is no guess at the
/// id of a query: whoever guesses does not know which ids were in use for a question, as ids come by lot. So it does not count among the
/// strays, for which a socket is given up, however many there are of it; and it does not end the query that has its id meanwhile. All
/// other messages that nobody waits for count.
pub(super) struct Done(pub(super) Box<[u16]>);

/// A message without a question that can be read.
pub(super) const NO_QUESTION: u16 = 1;

impl Default for Done {
    fn default() -> Self {
        Self(vec![0; 1 << u16::BITS].into())
    }
}

impl Done {
    /// Whether the id was last in use for this question.
    pub(super) fn was(&self, id: u16, tag: u16) -> bool {
        self.0.get(usize::from(id)) == Some(&tag)
    }

    pub(super) fn set(&mut self, id: u16, tag: u16) {
        if let Some(place) = self.0.get_mut(usize::from(id)) {
            *place = tag;
        }
    }
}

/// What is kept of a question's hash.
pub(super) fn tag(hash: u64) -> u16 {
    (hash as u16).max(NO_QUESTION + 1)
}

/// The same for the question of a message.
pub(super) fn tag_of(message: &[u8], seed: &RandomState) -> u16 {
    let mut lower = [0; NAME_OCTETS_MAX];
    asked_in(message, &mut lower).map_or(NO_QUESTION, |asked| tag(seed.hash_one(asked)))
}

/// The question of a message, its name in lower case in the buffer.
fn asked_in<'a>(message: &[u8], lower: &'a mut [u8; NAME_OCTETS_MAX]) -> Option<Asked<'a>> {
    if wire::u16_at(message, 4) != Ok(1) {
        return None;
    }
    let end = wire::skip_name(message, HEADER_OCTETS).ok()?;
    let name = message.get(HEADER_OCTETS..end)?;
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    Some((lower, wire::u16_at(message, end).ok()?, wire::u16_at(message, end + 2).ok()?))
}

/// Whether the message is a reply to this question: RFC 5452 section 9.1. Lengths of labels are no letters.
pub(super) fn answers(message: &[u8], question: &[u8]) -> bool {
    wire::u16_at(message, 2).is_ok_and(|bits| bits & flags::QR != 0)
        && wire::u16_at(message, 4) == Ok(1)
        && message
            .get(HEADER_OCTETS..HEADER_OCTETS + question.len())
            .is_some_and(|asked| asked == question || is_same_name(asked, question))
}

/// Whether two questions differ in the case of their names only.
pub(super) fn is_same_name(one: &[u8], other: &[u8]) -> bool {
    let (one_name, one_kind) = one.split_at(one.len().saturating_sub(4));
    let (other_name, other_kind) = other.split_at(other.len().saturating_sub(4));
    one_kind == other_kind && one_name.eq_ignore_ascii_case(other_name)
}
