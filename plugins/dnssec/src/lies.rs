//! NSEC records for what is not there, made up for each question: the name exists and has every type but the one asked (black lies). CoreDNS:
//! plugin/dnssec.

use catena_core::name::NAME_OCTETS_MAX;
use catena_core::prelude::*;
use catena_zone::dnssec::nsec_rdata;

use crate::zones::SignedZone;

/// The types that any name is said to have.
const ANY_NAME: [Rtype; 14] = [
    Rtype::A,
    Rtype::HINFO,
    Rtype::TXT,
    Rtype::AAAA,
    Rtype::LOC,
    Rtype::SRV,
    Rtype::CERT,
    Rtype::SSHFP,
    Rtype::RRSIG,
    Rtype::NSEC,
    Rtype::TLSA,
    Rtype::HIP,
    Rtype::OPENPGPKEY,
    Rtype::SPF,
];
/// The types that an apex has besides.
const APEX: [Rtype; 4] = [Rtype::NS, Rtype::SOA, Rtype::MX, Rtype::DNSKEY];
/// The types that an apex has besides if the parent is told of its keys.
const APEX_FOR_PARENT: [Rtype; 2] = [Rtype::CDS, Rtype::CDNSKEY];
/// The types that a cut without DS records has (RFC 4035 section 2.3).
const CUT: [Rtype; 3] = [Rtype::NS, Rtype::RRSIG, Rtype::NSEC];

/// The rdata of the NSEC record that denies a type at the name asked.
pub(crate) fn denial(name: &[u8], qtype: Rtype, zone: &SignedZone) -> Option<Vec<u8>> {
    let mut types = ANY_NAME.to_vec();
    if zone.is_apex(&name.to_ascii_lowercase()) {
        types.extend(APEX);
        if zone.entries().next().is_some() {
            types.extend(APEX_FOR_PARENT);
        }
    } else if qtype == Rtype::DS {
        types.push(Rtype::NS);
    }
    types.retain(|rtype| *rtype != qtype || qtype == Rtype::NSEC);
    Some(nsec_rdata(&below(name)?, types))
}

/// The rdata of the NSEC record that denies DS records at a cut. It spans what is below the cut as well, where the zone has no say.
pub(crate) fn insecure_cut(cut: &[u8]) -> Option<Vec<u8>> {
    Some(nsec_rdata(&beside(cut).or_else(|| below(cut))?, CUT))
}

/// The first name below a name: with a label of one zero octet. `None` if that is too long.
fn below(name: &[u8]) -> Option<Vec<u8>> {
    (name.len() + 2 <= NAME_OCTETS_MAX).then(|| [b"\x01\0", name].concat())
}

/// The first name behind all that is below a name: with a zero octet at the end of its first label. `None` if that is too long.
fn beside(name: &[u8]) -> Option<Vec<u8>> {
    let len = *name.first().filter(|len| (1..63).contains(*len))?;
    let (first, rest) = name.split_at_checked(1 + usize::from(len))?;
    (name.len() < NAME_OCTETS_MAX).then(|| [&[len + 1], first.get(1..).unwrap_or_default(), &[0], rest].concat())
}
