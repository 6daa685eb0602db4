//! The types of records and the fields of their rdata, and the names of types and classes.

use super::super::time::number;
use super::Field::{self, *};
use super::Form;
use super::codes::{ALGORITHMS, CERTIFICATES, DIGESTS, KEY_PROTOCOLS, PROTOCOLS, SCHEMES};
use super::output::write_number;
use super::{address, gateway, host, location, prefixes, service};

/// Addresses of class CH: a name and an octal number (RFC 1035 section 3.4.1 is of class IN only; as BIND reads it).
pub(crate) static CHAOS_A: Form = Form::Fields(&[Name, Octal16]);

static OPAQUE: Form = Form::Opaque;

struct Entry {
    number: u16,
    name: &'static str,
    form: Form,
}

const fn fields(number: u16, name: &'static str, fields: &'static [Field]) -> Entry {
    Entry { number, name, form: Form::Fields(fields) }
}

const fn opaque(number: u16, name: &'static str) -> Entry {
    Entry { number, name, form: Form::Opaque }
}

const fn meta(number: u16, name: &'static str) -> Entry {
    Entry { number, name, form: Form::Meta }
}

const SOA: &[Field] = &[Name, Name, U32, Seconds, Seconds, Seconds, Seconds];
const SIGNATURE: &[Field] = &[Type, Code8(ALGORITHMS), U8, Seconds, Moment, Moment, U16, Name, Base64];
const KEY: &[Field] = &[U16, Code8(KEY_PROTOCOLS), Code8(ALGORITHMS), Base64Optional];
const DNSKEY: &[Field] = &[U16, Code8(KEY_PROTOCOLS), Code8(ALGORITHMS), Base64];
const DS: &[Field] = &[U16, Code8(ALGORITHMS), Code8(DIGESTS), Hex];
const TLSA: &[Field] = &[U8, U8, U8, Hex];
const NSEC3: &[Field] = &[U8, U8, U16, Salt, Hash32, Types];
const IPSECKEY: &[Field] = &[Special(&gateway::IPSEC_GATEWAY), Base64Optional];
const SVCB: &[Field] = &[U16, Name, Special(&service::PARAMETERS)];
const KEYDATA: &[Field] = &[Moment, Moment, Moment, U16, Code8(KEY_PROTOCOLS), Code8(ALGORITHMS), Base64];

/// Every type that CoreDNS's library or BIND writes as fields, and the names of those that have none, by number. The rest is RFC 3597's.
static TYPES: [Entry; 98] = [
    fields(1, "A", &[Ipv4]),
    fields(2, "NS", &[Name]),
    fields(3, "MD", &[Name]),
    fields(4, "MF", &[Name]),
    fields(5, "CNAME", &[Name]),
    fields(6, "SOA", SOA),
    fields(7, "MB", &[Name]),
    fields(8, "MG", &[Name]),
    fields(9, "MR", &[Name]),
    opaque(10, "NULL"),
    fields(11, "WKS", &[Ipv4, Code8(PROTOCOLS), Special(&address::WELL_KNOWN_SERVICES)]),
    fields(12, "PTR", &[Name]),
    fields(13, "HINFO", &[Special(&host::HOST)]),
    fields(14, "MINFO", &[Name, Name]),
    fields(15, "MX", &[U16, Name]),
    fields(16, "TXT", &[Texts]),
    fields(17, "RP", &[Name, Name]),
    fields(18, "AFSDB", &[U16, Name]),
    fields(19, "X25", &[Text]),
    fields(20, "ISDN", &[Text, TextOptional]),
    fields(21, "RT", &[U16, Name]),
    fields(22, "NSAP", &[HexDotted]),
    fields(23, "NSAP-PTR", &[Name]),
    fields(24, "SIG", SIGNATURE),
    fields(25, "KEY", KEY),
    fields(26, "PX", &[U16, Name, Name]),
    fields(27, "GPOS", &[Text, Text, Text]),
    fields(28, "AAAA", &[Ipv6]),
    fields(29, "LOC", &[Special(&location::LOCATION)]),
    fields(30, "NXT", &[Name, TypesOld]),
    fields(31, "EID", &[Hex]),
    fields(32, "NIMLOC", &[Hex]),
    fields(33, "SRV", &[U16, U16, U16, Name]),
    fields(34, "ATMA", &[Special(&address::ATM_ADDRESS)]),
    fields(35, "NAPTR", &[U16, U16, Text, Text, Text, Name]),
    fields(36, "KX", &[U16, Name]),
    fields(37, "CERT", &[Code16(CERTIFICATES), U16, Code8(ALGORITHMS), Base64]),
    fields(38, "A6", &[Special(&address::ADDRESS_CHAIN)]),
    fields(39, "DNAME", &[Name]),
    fields(40, "SINK", &[U8, U8, U8, Base64Optional]),
    meta(41, "OPT"),
    fields(42, "APL", &[Special(&prefixes::PREFIXES)]),
    fields(43, "DS", DS),
    fields(44, "SSHFP", &[U8, U8, Hex]),
    fields(45, "IPSECKEY", IPSECKEY),
    fields(46, "RRSIG", SIGNATURE),
    fields(47, "NSEC", &[Name, Types]),
    fields(48, "DNSKEY", DNSKEY),
    fields(49, "DHCID", &[Base64]),
    fields(50, "NSEC3", NSEC3),
    fields(51, "NSEC3PARAM", &[U8, U8, U16, Salt]),
    fields(52, "TLSA", TLSA),
    fields(53, "SMIMEA", TLSA),
    fields(55, "HIP", &[Special(&gateway::HOST_IDENTITY)]),
    fields(56, "NINFO", &[Texts]),
    fields(57, "RKEY", DNSKEY),
    fields(58, "TALINK", &[Name, Name]),
    fields(59, "CDS", DS),
    fields(60, "CDNSKEY", DNSKEY),
    fields(61, "OPENPGPKEY", &[Base64]),
    fields(62, "CSYNC", &[U32, U16, Types]),
    fields(63, "ZONEMD", &[U32, U8, U8, Hex]),
    fields(64, "SVCB", SVCB),
    fields(65, "HTTPS", SVCB),
    fields(66, "DSYNC", &[Type, Code8(SCHEMES), U16, Name]),
    fields(67, "HHIT", &[Base64]),
    fields(68, "BRID", &[Base64]),
    fields(99, "SPF", &[Texts]),
    fields(100, "UINFO", &[Text]),
    fields(101, "UID", &[U32]),
    fields(102, "GID", &[U32]),
    opaque(103, "UNSPEC"),
    fields(104, "NID", &[U16, Locator]),
    fields(105, "L32", &[U16, Ipv4]),
    fields(106, "L64", &[U16, Locator]),
    fields(107, "LP", &[U16, Name]),
    fields(108, "EUI48", &[Eui(6)]),
    fields(109, "EUI64", &[Eui(8)]),
    meta(128, "NXNAME"),
    meta(249, "TKEY"),
    meta(250, "TSIG"),
    meta(251, "IXFR"),
    meta(252, "AXFR"),
    meta(253, "MAILB"),
    meta(254, "MAILA"),
    meta(255, "ANY"),
    fields(256, "URI", &[U16, U16, TextRest]),
    fields(257, "CAA", &[U8, Tag, TextRest]),
    fields(258, "AVC", &[Texts]),
    fields(259, "DOA", &[U32, U32, U8, Text, Base64Dash]),
    fields(260, "AMTRELAY", &[Special(&gateway::RELAY)]),
    fields(261, "RESINFO", &[Texts]),
    fields(262, "WALLET", &[Texts]),
    opaque(263, "CLA"),
    fields(264, "IPN", &[U64]),
    fields(32_768, "TA", DS),
    fields(32_769, "DLV", DS),
    fields(65_533, "KEYDATA", KEYDATA),
];

/// The form of a type's rdata, for any class but CH.
pub(crate) fn form(rtype: u16) -> &'static Form {
    match entry(rtype) {
        Some(entry) => &entry.form,
        // Type 0 is reserved (RFC 6895 section 3.1).
        None if rtype == 0 => &META,
        None => &OPAQUE,
    }
}

static META: Form = Form::Meta;

fn entry(rtype: u16) -> Option<&'static Entry> {
    let at = TYPES.binary_search_by_key(&rtype, |entry| entry.number).ok()?;
    TYPES.get(at)
}

/// Places of the hash table of names.
const SLOTS: usize = 512;

/// Where each name is in [`TYPES`], plus one; 0 is an empty place. Names that fall on the same place follow each other.
static NAMES: [u8; SLOTS] = {
    let mut slots = [0; SLOTS];
    let mut at = 0;
    while at < TYPES.len() {
        let mut slot = slot_of(TYPES[at].name.as_bytes());
        while slots[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        at += 1;
        slots[slot] = at as u8;
    }
    slots
};

const fn slot_of(name: &[u8]) -> usize {
    let mut hash = name.len();
    let mut at = 0;
    while at < name.len() {
        hash = hash.wrapping_mul(31).wrapping_add((name[at] | 0x20) as usize);
        at += 1;
    }
    (hash ^ hash >> 9) % SLOTS
}

/// The longest name of a type, octets.
const NAME_LEN_MAX: usize = 10;

/// Reads the name of a type, of any case, or `TYPE123` (RFC 3597 section 5).
pub(crate) fn type_number(text: &[u8]) -> Option<u16> {
    if text.len() > NAME_LEN_MAX {
        return None;
    }
    let mut slot = slot_of(text);
    while let Some(at) = NAMES.get(slot).and_then(|&at| usize::from(at).checked_sub(1)) {
        let entry = TYPES.get(at)?;
        if entry.name.as_bytes().eq_ignore_ascii_case(text) {
            return Some(entry.number);
        }
        slot = (slot + 1) % SLOTS;
    }
    numbered(text, b"TYPE")
}

/// Reads the name of a class, of any case, or `CLASS123`.
pub(crate) fn class_number(text: &[u8]) -> Option<u16> {
    // Short, so that names of types leave quickly.
    match text.len() {
        2 => match [text[0].to_ascii_uppercase(), text[1].to_ascii_uppercase()] {
            [b'I', b'N'] => Some(1),
            [b'C', b'S'] => Some(2),
            [b'C', b'H'] => Some(3),
            [b'H', b'S'] => Some(4),
            _ => None,
        },
        _ if text.eq_ignore_ascii_case(b"CHAOS") => Some(3),
        _ if text.eq_ignore_ascii_case(b"HESIOD") => Some(4),
        _ => numbered(text, b"CLASS"),
    }
}

fn numbered(text: &[u8], prefix: &[u8]) -> Option<u16> {
    let (name, digits) = text.split_at_checked(prefix.len())?;
    let digits = Some(digits).filter(|_| name.eq_ignore_ascii_case(prefix))?;
    u16::try_from(number(digits, u16::MAX.into())?).ok()
}

/// Writes the name of a type.
pub(crate) fn write_type(rtype: u16, out: &mut Vec<u8>) {
    match entry(rtype) {
        Some(entry) => out.extend_from_slice(entry.name.as_bytes()),
        None => {
            out.extend_from_slice(b"TYPE");
            write_number(rtype.into(), out);
        }
    }
}

/// Writes the name of a class.
pub(crate) fn write_class(class: u16, out: &mut Vec<u8>) {
    match class {
        1 => out.extend_from_slice(b"IN"),
        3 => out.extend_from_slice(b"CH"),
        4 => out.extend_from_slice(b"HS"),
        _ => {
            out.extend_from_slice(b"CLASS");
            write_number(class.into(), out);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_table_is_in_order_and_every_name_is_found() {
        assert!(TYPES.is_sorted_by_key(|entry| entry.number));
        assert!(TYPES.windows(2).all(|pair| pair[0].number != pair[1].number));
        for entry in &TYPES {
            assert!(entry.name.len() <= NAME_LEN_MAX);
            assert_eq!(type_number(entry.name.to_lowercase().as_bytes()), Some(entry.number));
            assert_eq!(type_number(format!("type{}", entry.number).as_bytes()), Some(entry.number));
        }
    }

    #[test]
    fn names_of_types_and_classes_that_nobody_knows_are_refused() {
        for wrong in ["", "B", "AAAAA", "TYPE", "TYPE65536", "TYPE-1", "TYPE1x", "NSEC3PARAMS"] {
            assert_eq!(type_number(wrong.as_bytes()), None, "{wrong}");
        }
        for wrong in ["", "I", "INN", "XX", "CLASS", "CLASS65536"] {
            assert_eq!(class_number(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(class_number(b"class1"), Some(1));
    }

    #[test]
    fn a_type_without_a_name_is_written_as_its_number() {
        let mut out = Vec::new();
        write_type(731, &mut out);
        write_class(32, &mut out);
        assert_eq!(out, b"TYPE731CLASS32");
    }
}
