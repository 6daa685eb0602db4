//! The records that publish the keys of a zone: DNSKEY, and for its parent CDNSKEY and CDS (RFC 7344).

use std::sync::Arc;

use catena_core::prelude::*;
use catena_zone::dnssec::Digest;

use crate::signer::{Signer, form};
use crate::zones::SignedZone;

/// The TTL of signatures over keys and of CDS records, seconds. CoreDNS: plugin/dnssec.
const TTL: u32 = 3600;

/// The type asked, if it is one that is answered here: DNSKEY at an apex, CDS and CDNSKEY if some key has the SEP flag.
pub(crate) fn published(q: &Query, zone: &SignedZone) -> Option<Rtype> {
    let is_published = match q.qtype() {
        Rtype::DNSKEY => true,
        Rtype::CDS | Rtype::CDNSKEY => zone.entries().next().is_some(),
        _ => false,
    };
    (is_published && zone.is_apex(q.lower().as_slice())).then(|| q.qtype())
}

/// Answers with the keys, signed if the client wants signatures.
pub(crate) async fn answer(q: &mut Query, zone: &Arc<SignedZone>, rtype: Rtype, signer: &Signer) -> Reply {
    let rdatas = rdatas(zone, rtype);
    let mut answer = Answer::to(q).authoritative();
    for (ttl, rdata) in &rdatas {
        answer.push_wire(Section::Answer, zone.zone.wire(), rtype, Class::IN, *ttl, rdata);
    }
    if q.dnssec_ok() {
        let set = form(zone.zone.wire(), rtype, Class::IN, rdatas.iter().map(|(_, rdata)| &rdata[..]));
        for rrsig in signer.session(q).sign(zone, set).await.unwrap_or_default() {
            answer.push_wire(Section::Answer, zone.zone.wire(), Rtype::RRSIG, Class::IN, TTL, &rrsig);
        }
    }
    answer.into()
}

/// TTL and rdata of each record.
fn rdatas(zone: &SignedZone, rtype: Rtype) -> Vec<(u32, Vec<u8>)> {
    if rtype == Rtype::DNSKEY {
        return zone.keys.iter().map(|key| (key.public().ttl(), key.public().rdata().to_vec())).collect();
    }
    let entries = zone.entries().map(|key| key.public());
    let rdata = |public: &catena_zone::dnssec::PublicKey| match rtype {
        Rtype::CDS => public.ds(zone.zone.wire(), Digest::Sha256),
        _ => public.rdata().to_vec(),
    };
    entries.map(|public| (TTL, rdata(public))).collect()
}
