//! Walking over messages: names with compression pointers, records, and rdata with its names made whole.

use domain::base::iana::OptRcode as Rcode;
use domain::base::iana::{Class, Rtype};

use crate::answer::{Answer, ReplyEdns, SECTIONS, Section, flags};
use crate::name::NAME_OCTETS_MAX;

/// The length of a message header, octets (RFC 1035 section 4.1.1).
pub const HEADER_OCTETS: usize = 12;
/// The most compression pointers followed within one name.
pub const POINTERS_MAX: usize = 126;

/// The message does not follow its own counts, lengths or pointers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("dns: malformed message")]
pub struct Malformed;

/// Reads two octets.
pub fn u16_at(message: &[u8], at: usize) -> Result<u16, Malformed> {
    let bytes = message.get(at..at + 2).ok_or(Malformed)?;
    Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// Reads four octets.
pub fn u32_at(message: &[u8], at: usize) -> Result<u32, Malformed> {
    let bytes = message.get(at..at + 4).ok_or(Malformed)?;
    Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// Where the name at `at` ends in the message, pointers not followed.
pub fn skip_name(message: &[u8], mut at: usize) -> Result<usize, Malformed> {
    loop {
        let len = *message.get(at).ok_or(Malformed)?;
        match len {
            0 => return Ok(at + 1),
            1..=63 => at += 1 + usize::from(len),
            0xc0..=0xff if at + 2 <= message.len() => return Ok(at + 2),
            _ => return Err(Malformed),
        }
    }
}

/// Appends the name at `at`, made whole, to `out`; returns where it ends in the message.
pub fn expand_name(message: &[u8], at: usize, out: &mut Vec<u8>) -> Result<usize, Malformed> {
    let start = out.len();
    let mut position = at;
    let mut end = None;
    let mut pointers = 0;
    loop {
        let len = *message.get(position).ok_or(Malformed)?;
        match len {
            0 => {
                out.push(0);
                return if out.len() - start <= NAME_OCTETS_MAX {
                    Ok(end.unwrap_or(position + 1))
                } else {
                    Err(Malformed)
                };
            }
            1..=63 => {
                let next = position + 1 + usize::from(len);
                out.extend_from_slice(message.get(position..next).ok_or(Malformed)?);
                if out.len() - start > NAME_OCTETS_MAX {
                    return Err(Malformed);
                }
                position = next;
            }
            0xc0..=0xff => {
                let target = usize::from(u16_at(message, position)? & 0x3fff);
                end.get_or_insert(position + 2);
                pointers += 1;
                // A pointer goes backwards (RFC 1035 section 4.1.4); the count bounds chains of them.
                if target >= position || pointers > POINTERS_MAX {
                    return Err(Malformed);
                }
                position = target;
            }
            _ => return Err(Malformed),
        }
    }
}

/// One record of a message, as it stands there.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord {
    /// Where the owner name starts.
    pub owner: usize,
    /// The type.
    pub rtype: Rtype,
    /// The class, or the UDP size of an OPT record.
    pub class: Class,
    /// The TTL, or the extended flags of an OPT record.
    pub ttl: u32,
    /// Where the rdata starts.
    pub rdata: usize,
    /// Where the rdata, and the record, ends.
    pub end: usize,
}

/// Reads the frame of the record at `at`.
pub fn raw_record(message: &[u8], at: usize) -> Result<RawRecord, Malformed> {
    let fixed = skip_name(message, at)?;
    let len = usize::from(u16_at(message, fixed + 8)?);
    let end = fixed + 10 + len;
    if end > message.len() {
        return Err(Malformed);
    }
    Ok(RawRecord {
        owner: at,
        rtype: Rtype::from_int(u16_at(message, fixed)?),
        class: Class::from_int(u16_at(message, fixed + 2)?),
        ttl: u32_at(message, fixed + 4)?,
        rdata: fixed + 10,
        end,
    })
}

/// How the rdata of a type is built, as far as names in it are concerned: octets before the first name, how many names.
/// Everything after the last name is opaque. Types that may hold compressed names only (RFC 3597 section 4).
#[must_use]
pub const fn names_in(rtype: Rtype) -> Option<(usize, usize)> {
    Some(match rtype {
        Rtype::NS
        | Rtype::MD
        | Rtype::MF
        | Rtype::CNAME
        | Rtype::MB
        | Rtype::MG
        | Rtype::MR
        | Rtype::PTR
        | Rtype::DNAME => (0, 1),
        Rtype::SOA | Rtype::MINFO | Rtype::RP => (0, 2),
        Rtype::MX | Rtype::AFSDB | Rtype::RT | Rtype::KX => (2, 1),
        Rtype::PX => (2, 2),
        Rtype::SRV => (6, 1),
        Rtype::RRSIG | Rtype::SIG => (18, 1),
        Rtype::NXT | Rtype::NSEC => (0, 1),
        _ => return None,
    })
}

/// The octets of rdata before the first name and the number of names that a writer may compress (RFC 1035 types only).
#[must_use]
pub const fn compressible(rtype: Rtype) -> Option<(usize, usize)> {
    Some(match rtype {
        Rtype::NS | Rtype::CNAME | Rtype::PTR | Rtype::MB | Rtype::MG | Rtype::MR | Rtype::MD | Rtype::MF => (0, 1),
        Rtype::SOA | Rtype::MINFO => (0, 2),
        Rtype::MX => (2, 1),
        _ => return None,
    })
}

/// Whether so many octets may follow the names in the rdata of a type of [`names_in`].
const fn may_follow_names(rtype: Rtype, octets: usize) -> bool {
    match rtype {
        // Five numbers (RFC 1035 section 3.3.13).
        Rtype::SOA => octets == 20,
        Rtype::RRSIG | Rtype::SIG | Rtype::NXT | Rtype::NSEC => true,
        _ => octets == 0,
    }
}

/// Appends the rdata of a record to `out`, its names made whole.
///
/// # Errors
/// [`Malformed`] if the rdata is not built as its type wants it, as far as that is known here.
pub fn expand_rdata(message: &[u8], record: &RawRecord, out: &mut Vec<u8>) -> Result<(), Malformed> {
    if record.rtype == Rtype::NAPTR {
        return expand_naptr(message, record, out);
    }
    let Some((before, names)) = names_in(record.rtype) else {
        let rdata = message.get(record.rdata..record.end).ok_or(Malformed)?;
        out.extend_from_slice(rdata);
        return if is_plausible(record.rtype, rdata) { Ok(()) } else { Err(Malformed) };
    };
    let mut at = record.rdata + before;
    out.extend_from_slice(message.get(record.rdata..at).ok_or(Malformed)?);
    for _ in 0..names {
        at = expand_name(message, at, out)?;
    }
    let rest = message.get(at..record.end).ok_or(Malformed)?;
    out.extend_from_slice(rest);
    if may_follow_names(record.rtype, rest.len()) { Ok(()) } else { Err(Malformed) }
}

fn expand_naptr(message: &[u8], record: &RawRecord, out: &mut Vec<u8>) -> Result<(), Malformed> {
    // RFC 3403 section 4.1: order, preference, three character strings, a name.
    let mut at = record.rdata + 4;
    for _ in 0..3 {
        at += 1 + usize::from(*message.get(at).ok_or(Malformed)?);
    }
    out.extend_from_slice(message.get(record.rdata..at).ok_or(Malformed)?);
    if expand_name(message, at, out)? == record.end { Ok(()) } else { Err(Malformed) }
}

/// Whether rdata without names can be of this type: what a typed parser would refuse outright.
fn is_plausible(rtype: Rtype, rdata: &[u8]) -> bool {
    match rtype {
        Rtype::A => rdata.len() == 4,
        Rtype::AAAA => rdata.len() == 16,
        Rtype::TXT | Rtype::SPF => is_strings(rdata),
        // Four octets before the key or the digest (RFC 4034 sections 2.1 and 5.1).
        Rtype::DNSKEY | Rtype::CDNSKEY | Rtype::DS | Rtype::CDS => rdata.len() >= 4,
        _ => true,
    }
}

/// Whether the octets are character strings, one after the other (RFC 1035 section 3.3.14).
fn is_strings(mut rest: &[u8]) -> bool {
    while let Some((len, after)) = rest.split_first() {
        let Some(next) = after.get(usize::from(*len)..) else { return false };
        rest = next;
    }
    true
}

/// The question of a reply as it stood there: name made whole, type, class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplyQuestion {
    /// The name, uncompressed.
    pub name: Vec<u8>,
    /// The type.
    pub rtype: u16,
    /// The class.
    pub class: u16,
}

/// Reads a reply from an upstream into `answer`: flags, rcode, records with whole names, the OPT record as [`ReplyEdns`].
///
/// Returns the first question, if there is one.
///
/// # Errors
/// [`Malformed`] if the message does not follow its own counts and lengths.
pub fn read_reply(message: &[u8], answer: &mut Answer) -> Result<Option<ReplyQuestion>, Malformed> {
    answer.clear();
    let bits = u16_at(message, 2)?;
    answer.flags = bits & !flags::RCODE;
    let mut rcode = bits & flags::RCODE;
    let mut at = HEADER_OCTETS;
    let mut question = None;
    for _ in 0..u16_at(message, 4)? {
        let mut name = Vec::with_capacity(64);
        let end = expand_name(message, at, &mut name)?;
        let found = ReplyQuestion { name, rtype: u16_at(message, end)?, class: u16_at(message, end + 2)? };
        question.get_or_insert(found);
        at = end + 4;
    }
    for section in SECTIONS {
        for _ in 0..u16_at(message, 6 + 2 * (section as usize))? {
            let record = raw_record(message, at)?;
            at = record.end;
            if record.rtype == Rtype::OPT && section == Section::Additional {
                rcode |= u16::try_from(record.ttl >> 24).unwrap_or(0) << 4;
                answer.edns = Some(ReplyEdns {
                    udp_size: record.class.to_int(),
                    dnssec_ok: record.ttl & 0x8000 != 0,
                    options: message[record.rdata..record.end].to_vec(),
                });
                continue;
            }
            answer.push_written(section, (record.rtype, record.class, record.ttl), |octets| {
                expand_name(message, record.owner, octets)?;
                let rdata_at = octets.len();
                expand_rdata(message, &record, octets)?;
                Ok(rdata_at)
            })?;
        }
    }
    answer.rcode = Rcode::masked_from_int(rcode);
    Ok(question)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_pointer_to_itself_is_malformed() {
        let mut message = vec![0; 12];
        message.extend([0xc0, 12]);
        assert_eq!(expand_name(&message, 12, &mut Vec::new()), Err(Malformed));
    }

    #[test]
    fn a_pointer_forwards_is_malformed() {
        let message = [0xc0, 2, 1, b'a', 0];
        assert_eq!(expand_name(&message, 0, &mut Vec::new()), Err(Malformed));
    }

    #[test]
    fn a_name_of_255_octets_is_read_and_one_of_256_is_not() {
        let mut message = Vec::new();
        for _ in 0..3 {
            message.push(63);
            message.extend([b'a'; 63]);
        }
        let mut longest = message.clone();
        longest.push(61);
        longest.extend([b'b'; 61]);
        longest.push(0);
        let mut out = Vec::new();
        assert_eq!(expand_name(&longest, 0, &mut out), Ok(255));
        message.push(62);
        message.extend([b'b'; 62]);
        message.push(0);
        assert_eq!(expand_name(&message, 0, &mut Vec::new()), Err(Malformed));
    }

    #[test]
    fn an_address_of_five_octets_is_malformed() {
        let mut message = vec![0, 1, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        message.extend([0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 5, 1, 2, 3, 4, 5]);
        assert_eq!(read_reply(&message, &mut Answer::default()), Err(Malformed));
    }

    /// A reply with one record of the root name.
    fn reply_with(rtype: u8, rdata: &[u8]) -> Vec<u8> {
        let mut message = vec![0, 1, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        message.extend([0, 0, rtype, 0, 1, 0, 0, 0, 1, 0, u8::try_from(rdata.len()).unwrap()]);
        message.extend(rdata);
        message
    }

    #[test]
    fn rdata_that_does_not_end_where_its_type_ends_is_malformed() {
        let soa = [&[0, 0][..], &[0; 20]].concat();
        for (rtype, whole) in [(2, &[0][..]), (15, &[0, 1, 0]), (6, &soa), (16, b"\x02ab\x00"), (43, &[0; 4])] {
            let read = |rdata: &[u8]| read_reply(&reply_with(rtype, rdata), &mut Answer::default());
            assert_eq!(read(whole), Ok(None), "{rtype}");
            assert_eq!(read(&whole[..whole.len() - 1]).is_err(), rtype != 16, "{rtype} cut");
            assert_eq!(read(&[whole, &[9]].concat()).is_err(), rtype != 43, "{rtype} with one octet more");
        }
    }

    #[test]
    fn a_compressed_target_is_made_whole() {
        // example.org. CNAME a.example.org., the target pointing at the owner.
        let mut message = vec![0, 1, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        message.extend(b"\x07example\x03org\x00");
        message.extend([0, 5, 0, 1, 0, 0, 0, 9, 0, 4, 1, b'a', 0xc0, 12]);
        let mut answer = Answer::default();
        read_reply(&message, &mut answer).unwrap();
        let record = answer.records(Section::Answer).next().unwrap();
        assert_eq!(record.target().unwrap().to_string(), "a.example.org");
    }
}
