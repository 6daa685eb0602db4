//! The zone that a transfer gives, whatever its name.

use catena_core::prelude::*;
use catena_core::{Envelopes, OwnedName, name};
use domain::base::Name;

/// `sns.dns.icann.org. noc.dns.icann.org. 2018050825 7200 3600 1209600 3600`
const SOA: &[u8] = b"\x03sns\x03dns\x05icann\x03org\0\x03noc\x03dns\x05icann\x03org\0\
    \x78\x49\x03\x09\x00\x00\x1c\x20\x00\x00\x0e\x10\x00\x12\x75\x00\x00\x00\x0e\x10";
/// `2001:bd8::53`
const ADDRESS_OF_A: &[u8] = &[0x20, 0x01, 0x0b, 0xd8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53];
/// `2001:500::54`
const ADDRESS_OF_B: &[u8] = &[0x20, 0x01, 0x05, 0x00, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x54];

/// A zone of five records as one message.
pub(crate) struct SmallZone {
    apex: OwnedName,
    /// Whether the SOA record comes again at the end, without which a transfer is cut.
    closes: bool,
    sent: bool,
}

impl SmallZone {
    /// A zone of this name.
    pub(crate) fn new(apex: &Name<[u8]>, closes: bool) -> Self {
        let apex = OwnedName::from_octets(apex.as_slice().to_vec()).unwrap_or_else(|_| Name::root_vec());
        Self { apex, closes, sent: false }
    }

    /// The message. Hosts whose names are too long are left out.
    pub(crate) fn answer(&self, q: &mut Query) -> Box<Answer> {
        let mut answer = Answer::to(q).authoritative();
        let apex = self.apex.as_slice();
        let mut push = |owner: &[u8], rtype, rdata: &[u8]| {
            if owner.len() <= name::NAME_OCTETS_MAX && rdata.len() <= name::NAME_OCTETS_MAX {
                answer.push_wire(Section::Answer, owner, rtype, Class::IN, 0, rdata);
            }
        };
        let (a, b) = ([b"\x01a", apex].concat(), [b"\x01b", apex].concat());
        push(apex, Rtype::SOA, SOA);
        push(apex, Rtype::NS, &b);
        push(apex, Rtype::NS, &a);
        push(&a, Rtype::AAAA, ADDRESS_OF_A);
        push(&b, Rtype::AAAA, ADDRESS_OF_B);
        if self.closes {
            push(apex, Rtype::SOA, SOA);
        }
        answer
    }
}

impl Envelopes for SmallZone {
    fn next(&mut self, q: &mut Query) -> Option<Box<Answer>> {
        let is_first = !std::mem::replace(&mut self.sent, true);
        is_first.then(|| self.answer(q))
    }
}
