//! The zone that a transfer gives, whatever its name.

use catena_core::name;
use catena_core::prelude::*;

/// `sns.dns.icann.org. noc.dns.icann.org. 2018050825 7200 3600 1209600 3600`
const SOA: &[u8] = b"\x03sns\x03dns\x05icann\x03org\0\x03noc\x03dns\x05icann\x03org\0\
    \x78\x49\x03\x09\x00\x00\x1c\x20\x00\x00\x0e\x10\x00\x12\x75\x00\x00\x00\x0e\x10";
/// `2001:bd8::53`
const ADDRESS_OF_A: &[u8] = &[0x20, 0x01, 0x0b, 0xd8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53];
/// `2001:500::54`
const ADDRESS_OF_B: &[u8] = &[0x20, 0x01, 0x05, 0x00, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x54];

/// A zone of five records by the name asked, as one message, which is why it is no stream: it may go over UDP, too, and plugins above see
/// what is sent. Without the closing SOA record a transfer is cut. Hosts whose names are too long are left out.
pub(crate) fn answer(q: &mut Query, closes: bool) -> Box<Answer> {
    let mut answer = Answer::to(q).authoritative();
    let apex = q.name().as_slice();
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
    if closes {
        push(apex, Rtype::SOA, SOA);
    }
    answer
}
