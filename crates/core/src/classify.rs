//! What kind of reply a message is, as caches and logs see it (CoreDNS: plugin/pkg/response).

use domain::base::iana::OptRcode as Rcode;
use domain::base::iana::{Opcode, Rtype};

use crate::answer::{Answer, Section, flags};

/// The TTL for replies of which no record says one, seconds.
const TTL_WITHOUT_RECORDS: u32 = 5;

/// What a reply says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// There are records, or nothing speaks against it.
    NoError,
    /// The name does not exist.
    NameError,
    /// SERVFAIL or NOTIMP.
    ServerError,
    /// The name exists without records of the type.
    NoData,
    /// The question is for the servers below a cut.
    Delegation,
    /// NOTIFY or a transfer.
    Meta,
    /// A dynamic update.
    Update,
    /// Anything else.
    OtherError,
}

/// The three classes of replies that `log` and `cache` tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// There is an answer, or a referral.
    Success,
    /// There is none, said with authority.
    Denial,
    /// Something failed.
    Error,
}

impl Kind {
    /// The class of the kind.
    #[must_use]
    pub fn class(self) -> Class {
        match self {
            Self::NoError | Self::Delegation => Class::Success,
            Self::NameError | Self::NoData => Class::Denial,
            _ => Class::Error,
        }
    }

    /// The word that CoreDNS uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoError => "NOERROR",
            Self::NameError => "NXDOMAIN",
            Self::ServerError => "SERVERERROR",
            Self::NoData => "NODATA",
            Self::Delegation => "DELEGATION",
            Self::Meta => "META",
            Self::Update => "UPDATE",
            Self::OtherError => "OTHERERROR",
        }
    }
}

/// Tells what kind of reply it is. `now` is the time in seconds since 1970, for the validity of signatures.
#[must_use]
pub fn classify(answer: &Answer, qtype: Rtype, now: u64) -> Kind {
    match Opcode::from_int(((answer.flags & flags::OPCODE) >> 11) as u8) {
        Opcode::UPDATE => return Kind::Update,
        Opcode::NOTIFY => return Kind::Meta,
        _ => {}
    }
    if matches!(qtype, Rtype::AXFR | Rtype::IXFR) {
        return Kind::Meta;
    }
    if answer.edns.as_ref().is_some_and(|edns| edns.dnssec_ok) && has_expired_signature(answer, now) {
        return Kind::OtherError;
    }
    let authority_has = |rtype| answer.entries(Section::Authority).iter().any(|entry| entry.rtype == rtype);
    let answered = answer.count(Section::Answer) > 0;
    match answer.rcode {
        Rcode::NOERROR if answered => Kind::NoError,
        Rcode::NXDOMAIN if answered => Kind::OtherError,
        Rcode::NOERROR if authority_has(Rtype::SOA) => Kind::NoData,
        Rcode::NXDOMAIN => Kind::NameError,
        Rcode::SERVFAIL | Rcode::NOTIMP => Kind::ServerError,
        Rcode::NOERROR if authority_has(Rtype::NS) => Kind::Delegation,
        Rcode::NOERROR => Kind::NoError,
        _ => Kind::OtherError,
    }
}

/// Whether a signature's time has not come or is over (RFC 4034 section 3.1.5, serial arithmetic).
fn has_expired_signature(answer: &Answer, now: u64) -> bool {
    let now = now as u32;
    answer.all_records().filter(|record| record.rtype() == Rtype::RRSIG).any(|record| {
        let time = |at: usize| record.rdata().get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
        let (Some(expires), Some(begins)) = (time(8), time(12)) else { return true };
        (expires.wrapping_sub(now) as i32) < 0 || (now.wrapping_sub(begins) as i32) < 0
    })
}

/// The smallest TTL of all records, at most `ttl_max`; 5 s for kinds that are not cacheable by their records and for replies without
/// records. Seconds. CoreDNS: plugin/pkg/dnsutil `MinimalTTL`.
#[must_use]
pub fn minimal_ttl(answer: &Answer, kind: Kind, ttl_max: u32) -> u32 {
    if !matches!(kind, Kind::NoError | Kind::NameError | Kind::NoData) {
        return TTL_WITHOUT_RECORDS;
    }
    answer.all_records().map(|record| record.ttl()).min().map_or(TTL_WITHOUT_RECORDS, |ttl| ttl.min(ttl_max))
}
