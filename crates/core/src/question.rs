//! What a query asks: name, type and class.

use domain::base::Name;
use domain::base::iana::{Class, Rtype};

use crate::name::{LabelStarts, OwnedName};

/// What is asked: a name, its lower-case form with label starts, type and class.
///
/// Workers read one question after the other into the same one, so its buffers are the heap's.
#[derive(Clone, Debug)]
pub struct Question {
    /// `None`: the root.
    name: Option<OwnedName>,
    /// The name in lower case; means something if the name has capitals.
    lower: Option<OwnedName>,
    has_capitals: bool,
    labels: LabelStarts,
    qtype: Rtype,
    qclass: Class,
}

impl Question {
    /// Makes a question of its parts.
    #[must_use]
    pub fn new(name: &Name<[u8]>, qtype: Rtype, qclass: Class) -> Self {
        let mut made = Self { qtype, qclass, ..Self::none() };
        made.labels.find(name.as_slice());
        made.set_name(name.as_slice());
        made
    }

    /// The root name, of no type and class.
    pub(crate) fn none() -> Self {
        Self {
            name: None,
            lower: None,
            has_capitals: false,
            labels: LabelStarts::of(&[0]),
            qtype: Rtype::from_int(0),
            qclass: Class::from_int(0),
        }
    }

    /// Reads the question at the beginning of `octets` and returns its length. `None`: there is none, and what this one asks then says
    /// nothing. A pointer is no name here: it has nothing to point at but the header.
    pub(crate) fn read(&mut self, octets: &[u8]) -> Option<usize> {
        let len = self.labels.find(octets)?;
        let (wire, rest) = octets.split_at_checked(len)?;
        let &[type_high, type_low, class_high, class_low, ..] = rest else { return None };
        self.qtype = Rtype::from_int(u16::from_be_bytes([type_high, type_low]));
        self.qclass = Class::from_int(u16::from_be_bytes([class_high, class_low]));
        self.set_name(wire).then_some(len + 4)
    }

    /// `false`: the octets are no name, and the question's is the root's.
    fn set_name(&mut self, wire: &[u8]) -> bool {
        // All of them are looked at, several at once, which is sooner done than to stop at the first. No length is a letter.
        self.has_capitals = wire.iter().fold(false, |found, octet| found | octet.is_ascii_uppercase());
        if self.has_capitals {
            put(&mut self.lower, wire, <[u8]>::make_ascii_lowercase);
        }
        put(&mut self.name, wire, |_| ())
    }

    /// The name, in the case in which it was asked.
    #[must_use]
    pub fn name(&self) -> &Name<[u8]> {
        self.name.as_ref().map_or(Name::root_slice(), Name::for_slice)
    }

    /// The name in lower case.
    #[must_use]
    pub fn lower(&self) -> &Name<[u8]> {
        let lower = if self.has_capitals { &self.lower } else { &self.name };
        lower.as_ref().map_or(Name::root_slice(), Name::for_slice)
    }

    /// Where the labels start, the same for both forms of the name.
    #[must_use]
    pub fn labels(&self) -> &LabelStarts {
        &self.labels
    }

    /// The type.
    #[must_use]
    pub fn qtype(&self) -> Rtype {
        self.qtype
    }

    /// The class.
    #[must_use]
    pub fn qclass(&self) -> Class {
        self.qclass
    }

    /// The length of the question on the wire, octets.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        self.name().len() + 4
    }
}

/// Puts octets in the place of a name's, changed by `change`. `false`: they are none, and there is no name then.
fn put(name: &mut Option<OwnedName>, wire: &[u8], change: impl FnOnce(&mut [u8])) -> bool {
    let mut octets = name.take().map_or_else(Vec::new, Name::into_octets);
    octets.clear();
    octets.extend_from_slice(wire);
    change(&mut octets);
    *name = Name::from_octets(octets).ok();
    name.is_some()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::name::{LABELS_MAX, owned};

    fn read(octets: &[u8]) -> (Question, Option<usize>) {
        let mut question = Question::new(owned("BEFORE.example").unwrap().for_slice(), Rtype::TXT, Class::CH);
        let len = question.read(octets);
        (question, len)
    }

    #[test]
    fn a_question_is_read_with_its_length_whatever_was_read_before() {
        let (question, len) = read(b"\x01a\x02Bc\0\0\x1c\0\x01rest");
        assert_eq!(len, Some(10));
        assert_eq!(
            (question.name().as_slice(), question.lower().as_slice()),
            (&b"\x01a\x02Bc\0"[..], &b"\x01a\x02bc\0"[..])
        );
        assert_eq!((question.qtype(), question.qclass(), question.labels().count()), (Rtype::AAAA, Class::IN, 2));
        let (question, _) = read(b"\x01a\0\0\x01\0\x01");
        assert_eq!(question.lower().as_slice(), b"\x01a\0");
        let (question, _) = read(b"\0\0\x01\0\x01");
        assert_eq!((question.name().as_slice(), question.labels().count()), (&[0][..], 0));
    }

    #[test]
    fn what_is_no_question_is_not_read() {
        let pointer = &b"\x01a\xc0\x0c\0\x01\0\x01"[..];
        let endless = &b"\x05abc"[..];
        let untyped = &b"\x01a\0\0\x01\0"[..];
        let reserved = &b"\x41a\0\0\x01\0\x01"[..];
        for octets in [pointer, endless, untyped, reserved, b""] {
            assert_eq!(read(octets).1, None, "{octets:?}");
        }
    }

    #[test]
    fn a_name_of_255_octets_is_asked_for_and_one_of_256_is_not() {
        let name_of = |last: u8| {
            let mut wire = [[63].as_slice(), &[b'a'; 63]].concat().repeat(3);
            wire.push(last);
            wire.extend(vec![b'b'; usize::from(last)]);
            wire.extend([0, 0, 1, 0, 1]);
            wire
        };
        assert_eq!(read(&name_of(61)).1, Some(259));
        assert_eq!(read(&name_of(62)).1, None);
    }

    #[test]
    fn a_name_of_127_labels_is_asked_for_and_one_of_128_is_not() {
        let name_of = |labels: usize| [b"\x01a".repeat(labels), vec![0, 0, 1, 0, 1]].concat();
        assert_eq!(read(&name_of(LABELS_MAX)).0.labels().count(), LABELS_MAX);
        assert_eq!(read(&name_of(LABELS_MAX + 1)).1, None);
    }
}
