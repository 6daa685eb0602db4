//! What is done to replies: steps that rules leave for the way back, taken in reverse order.

use std::borrow::Cow;
use std::sync::Arc;

use catena_core::name::{NAME_OCTETS_MAX, text};
use catena_core::prelude::*;
use catena_core::{Envelopes, edns_options};
use catena_gocompat::regexp::Regexp;
use domain::base::Name;

use crate::answer;
use crate::pattern::{wire, with_groups};
use crate::target::TargetRule;

/// A step of the way back.
#[derive(Clone)]
pub(crate) enum Back {
    /// Names in records become others.
    Names(Arc<Naming>),
    /// TTLs are kept within bounds, seconds.
    Ttl {
        /// The smallest.
        min: u32,
        /// The largest.
        max: u32,
    },
    /// One code becomes another.
    Rcode {
        /// The code that is replaced.
        old: Rcode,
        /// What comes in its place.
        new: Rcode,
    },
    /// Other targets for CNAME records.
    Target(Arc<TargetRule>),
    /// The option of this code that a rule added last goes.
    DropOption(u16),
    /// The option of this code has its data again.
    RestoreOption(u16, Vec<u8>),
}

/// Where in a record names become others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// In the owner name.
    Owner,
    /// In the rdata.
    Value,
    /// In both.
    Both,
}

/// How names in a part of each record become others.
pub(crate) struct Naming {
    /// Where.
    pub(crate) part: Part,
    /// How.
    pub(crate) map: Map,
}

/// How one name becomes another.
pub(crate) enum Map {
    /// The last labels of names below `from`, in wire form, and of `from` itself if so said. Case counts (CoreDNS: plugin/rewrite).
    Tail {
        /// What is replaced.
        from: Vec<u8>,
        /// What comes in its place.
        to: Vec<u8>,
        /// Whether `from` itself is replaced.
        itself: bool,
    },
    /// The end of the text.
    Suffix {
        /// What is replaced.
        from: String,
        /// What comes in its place.
        to: String,
    },
    /// All of the text, if an expression matches in it.
    Regex {
        /// The expression.
        pattern: Regexp,
        /// What comes in its place, groups in it.
        to: String,
    },
}

/// A name on its way through maps: as text once a map made one, for what is no name may become one again.
enum Spelling<'a> {
    Wire(Cow<'a, [u8]>),
    Text(String),
}

impl Spelling<'_> {
    fn text(&self) -> Option<String> {
        match self {
            Self::Wire(octets) => Some(text(Name::from_slice(octets).ok()?)),
            Self::Text(text) => Some(text.clone()),
        }
    }

    fn wire(self) -> Option<Vec<u8>> {
        match self {
            Self::Wire(octets) => Some(octets.into_owned()),
            Self::Text(text) => wire(&text),
        }
    }
}

/// What a name, given in wire form, becomes by all the maps, one after the other; `None` if it stays as it is, also where it would become
/// none.
pub(crate) fn apply_all<'a>(name: &[u8], maps: impl Iterator<Item = &'a Map>) -> Option<Vec<u8>> {
    let mut now = Spelling::Wire(name.into());
    let mut has_changed = false;
    for map in maps {
        if let Some(changed) = map.apply(&now) {
            now = changed;
            has_changed = true;
        }
    }
    if has_changed { now.wire() } else { None }
}

impl Map {
    /// What a name becomes; `None` if it stays as it is.
    fn apply(&self, name: &Spelling<'_>) -> Option<Spelling<'static>> {
        match self {
            Self::Tail { from, to, itself } => {
                let octets = match name {
                    Spelling::Wire(octets) => Cow::Borrowed(&**octets),
                    Spelling::Text(text) => Cow::Owned(wire(text)?),
                };
                let at = tail(&octets, from)?;
                if at == 0 && !itself || at + to.len() > NAME_OCTETS_MAX {
                    return None;
                }
                Some(Spelling::Wire([&octets[..at], to].concat().into()))
            }
            Self::Suffix { from, to } => Some(Spelling::Text([name.text()?.strip_suffix(from.as_str())?, to].concat())),
            Self::Regex { pattern, to } => {
                let before = name.text()?;
                Some(Spelling::Text(with_groups(to, &pattern.captures(&before)?)))
            }
        }
    }
}

/// Where in a name the labels of `suffix` start; `None` if it does not end with them.
fn tail(name: &[u8], suffix: &[u8]) -> Option<usize> {
    let start = name.len().checked_sub(suffix.len())?;
    let mut at = 0;
    while at < start {
        at += 1 + usize::from(*name.get(at)?);
    }
    (at == start && name[start..] == *suffix).then_some(start)
}

/// Takes the steps about options, in reverse order.
pub(crate) fn revert_options(options: &mut Vec<u8>, steps: &[Back]) {
    for step in steps.iter().rev() {
        match step {
            Back::DropOption(code) => {
                let count = edns_options(options).filter(|(known, _)| known == code).count();
                replace_option(options, *code, count.wrapping_sub(1), None);
            }
            Back::RestoreOption(code, data) => replace_option(options, *code, 0, Some(data)),
            _ => {}
        }
    }
}

/// Gives the option of this code, of several the one of this place, other data, or drops it.
pub(crate) fn replace_option(options: &mut Vec<u8>, code: u16, place: usize, data: Option<&[u8]>) {
    let mut changed = Vec::with_capacity(options.len() + data.map_or(0, <[u8]>::len));
    let mut seen = 0;
    for (known, before) in edns_options(options) {
        let is_it = known == code && seen == place;
        seen += usize::from(known == code);
        match data {
            _ if !is_it => push_option(&mut changed, known, before),
            Some(data) => push_option(&mut changed, known, data),
            None => {}
        }
    }
    *options = changed;
}

/// Appends an option in wire form; data that has no room in one is left out.
pub(crate) fn push_option(options: &mut Vec<u8>, code: u16, data: &[u8]) {
    let Ok(len) = u16::try_from(data.len()) else { return };
    options.extend_from_slice(&code.to_be_bytes());
    options.extend_from_slice(&len.to_be_bytes());
    options.extend_from_slice(data);
}

/// A reply of several messages on its way back.
pub(crate) struct Reverted {
    messages: Box<dyn Envelopes>,
    steps: Vec<Back>,
}

impl Reverted {
    /// Takes the steps for each of the messages.
    pub(crate) fn new(messages: Box<dyn Envelopes>, steps: Vec<Back>) -> Self {
        Self { messages, steps }
    }
}

impl Envelopes for Reverted {
    fn next(&mut self, query: &mut Query) -> Option<Box<Answer>> {
        let mut message = self.messages.next(query)?;
        answer::take_back_records(&mut message, &self.steps);
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn told(map: &Map, name: &str) -> Option<String> {
        let after = apply_all(&wire(name).unwrap(), std::iter::once(map))?;
        Some(text(Name::from_slice(&after).unwrap()))
    }

    fn tail_of(from: &str, to: &str, itself: bool) -> Map {
        Map::Tail { from: wire(from).unwrap(), to: wire(to).unwrap(), itself }
    }

    #[test]
    fn a_name_and_what_is_below_it_move_together() {
        let map = tail_of("new.net.", "old.org.", true);
        assert_eq!(told(&map, "new.net.").as_deref(), Some("old.org."));
        assert_eq!(told(&map, "a.new.net.").as_deref(), Some("a.old.org."));
        for other in ["anew.net.", "net.", "new.net.x.", "a.New.net."] {
            assert_eq!(told(&map, other), None, "{other}");
        }
        assert_eq!(told(&tail_of("new.net.", "old.org.", false), "new.net."), None);
    }

    #[test]
    fn octets_that_look_like_labels_are_not_taken_for_labels() {
        // One label: an octet 3, then "net".
        let name = b"\x05a\x03net\x00".to_vec();
        let map = tail_of("net.", "org.", true);
        assert_eq!(apply_all(&name, std::iter::once(&map)), None);
    }

    #[test]
    fn a_name_that_would_be_too_long_stays() {
        let long = vec!["a".repeat(61); 4].join(".") + ".x.";
        assert_eq!(wire(&long).unwrap().len(), 251);
        assert!(told(&tail_of("x.", "123456.", true), &long).is_none());
        assert!(told(&tail_of("x.", "12345.", true), &long).is_some());
    }

    #[test]
    fn text_that_is_no_name_leaves_the_name_as_it_is() {
        let map = Map::Regex { pattern: Regexp::new("^(.*)$").unwrap(), to: "{1}.".to_owned() };
        assert_eq!(told(&map, "a.org."), None);
        let map = Map::Suffix { from: "rg.".to_owned(), to: "x.".to_owned() };
        assert_eq!(told(&map, "a.org.").as_deref(), Some("a.ox."));
        assert_eq!(told(&map, "a.net."), None);
    }

    #[test]
    fn what_is_no_name_may_become_one_by_the_next_map() {
        let regex = |pattern: &str, to: &str| Map::Regex { pattern: Regexp::new(pattern).unwrap(), to: to.to_owned() };
        let maps = [regex("mx\\.(.*)", "mail.{1}."), regex("(.*)\\.net", "{1}.org.")];
        let after = |maps: &[Map]| apply_all(&wire("mx.a.net.").unwrap(), maps.iter());
        assert_eq!(after(&maps[..1]), None);
        assert_eq!(after(&maps), wire("mail.a.org."));
    }

    #[test]
    fn the_last_option_goes_and_the_first_is_restored() {
        let mut options = Vec::new();
        for (code, data) in [(1, b"a"), (2, b"b"), (1, b"c")] {
            push_option(&mut options, code, data);
        }
        let steps = [Back::RestoreOption(1, b"z".to_vec()), Back::DropOption(1), Back::DropOption(7)];
        revert_options(&mut options, &steps);
        assert_eq!(edns_options(&options).collect::<Vec<_>>(), [(1, &b"z"[..]), (2, &b"b"[..])]);
    }
}
