//! The SOA record of denials that come without one.
//!
//! *hosts*, and templates that say no more, answer "no such type" with nothing at all. Without a SOA record no NSEC record would be believed, and
//! resolvers that check signatures would fail for, say, every AAAA query for a host with an IPv4 address alone.

use catena_core::name::NAME_OCTETS_MAX;
use catena_core::prelude::*;

use crate::zones::SignedZone;

/// How long such a denial may be kept, seconds, if the zone has no SOA record that says so.
const TTL: u32 = 300;
/// Serial, refresh, retry, expire, minimum of a zone that has no SOA record. Nobody transfers it.
const NUMBERS: [u32; 5] = [1, 7200, 1800, 86400, TTL];
const MAILBOX: &[u8] = b"\x0ahostmaster";

/// Whether a reply says with authority that there is nothing, and nothing else.
pub(crate) fn is_missing(answer: &Answer) -> bool {
    let is_empty = |section| answer.count(section) == 0;
    answer.rcode == Rcode::NOERROR && answer.has(flags::AA) && is_empty(Section::Answer) && is_empty(Section::Authority)
}

/// Adds the SOA record that the server has for the zone, or else one that is made up.
pub(crate) async fn add(answer: &mut Answer, q: &Query, zone: &SignedZone) {
    let is_asked_itself = q.qtype() == Rtype::SOA && zone.is_apex(q.lower().as_slice());
    if !is_asked_itself
        && let Ok(reply) = q.lookup(zone.zone.name().for_slice(), Rtype::SOA).await
        && let Some(found) = reply.answer()
    {
        let mut records = found.records(Section::Answer);
        let is_it =
            |record: &catena_core::Record<'_>| record.rtype() == Rtype::SOA && record.owner() == zone.zone.name();
        if let Some(soa) = records.find(is_it) {
            answer.push_record(Section::Authority, soa);
            return;
        }
    }
    answer.push_wire(Section::Authority, zone.zone.wire(), Rtype::SOA, Class::IN, TTL, &made_up(zone.zone.wire()));
}

/// The rdata of the SOA record of a zone that has none.
fn made_up(zone: &[u8]) -> Vec<u8> {
    let mailbox = if zone.len() + MAILBOX.len() <= NAME_OCTETS_MAX { MAILBOX } else { b"" };
    let mut rdata = [zone, mailbox, zone].concat();
    for number in NUMBERS {
        rdata.extend_from_slice(&number.to_be_bytes());
    }
    rdata
}
