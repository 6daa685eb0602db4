//! One record from text, as templates make it (RFC 1035 section 5.1).
//!
//! The head of the line - owner, time to live, class, type - and the text types are read here, with what CoreDNS's library takes
//! there; rdata of the other types goes to `domain`.

use catena_core::name::owned;
use catena_core::{Class, OwnedName, Rtype};
use domain::base::Name;
use domain::base::name::ParsedName;
use domain::base::rdata::{ComposeRecordData, ParseRecordData};
use domain::dep::octseq::Parser;
use domain::rdata::ZoneRecordData;
use domain::zonefile::inplace::{Entry, Zonefile};

use crate::text::{Line, Lines, character_strings, seconds};

/// The time to live of a record whose text has none, seconds. CoreDNS's library: `dns.NewRR`.
const DEFAULT_TTL: u32 = 3600;
/// The longest text that is read for one record, octets: 65535 octets of rdata, each written as an escape, and the head.
pub(crate) const TEXT_OCTETS_MAX: usize = 512 * 1024;

/// Why a text is no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("no record")]
    Empty,
    #[error("more than {TEXT_OCTETS_MAX} octets")]
    TooLong,
    #[error("unbalanced quotes or brackets")]
    Unbalanced,
    #[error("no owner name at the beginning")]
    NoOwner,
    #[error("bad owner name: {0:?}")]
    Owner(String),
    #[error("not a TTL, class or type: {0:?}")]
    Head(String),
    #[error("not a type of records: {0}")]
    Meta(Rtype),
    #[error("directive is not supported: {0:?}")]
    Directive(String),
    #[error("no data for type {0}")]
    NoData(Rtype),
    #[error("bad data for type {0}: {1}")]
    Data(Rtype, String),
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextRecord {
    pub(crate) owner: OwnedName,
    pub(crate) class: Class,
    /// Seconds.
    pub(crate) ttl: u32,
    pub(crate) rtype: Rtype,
    /// Names in it are whole.
    pub(crate) rdata: Vec<u8>,
}

/// Reads the first record of a text; what follows is ignored, `$ORIGIN` and `$TTL` before it count.
pub(crate) fn parse(text: &str) -> Result<TextRecord, RecordError> {
    if text.len() > TEXT_OCTETS_MAX {
        return Err(RecordError::TooLong);
    }
    let mut origin = OwnedName::root_vec();
    let mut default_ttl = DEFAULT_TTL;
    for line in Lines::new(text) {
        let line = line.ok_or(RecordError::Unbalanced)?;
        let first = line.words.first().copied().unwrap_or("");
        let bad = || RecordError::Directive(line.words.join(" "));
        match (first, &line.words[..]) {
            ("$ORIGIN", [_, name]) => origin = absolute(name, &origin).ok_or_else(bad)?,
            ("$TTL", [_, ttl]) => default_ttl = seconds(ttl).ok_or_else(bad)?,
            _ if first.starts_with('$') => return Err(bad()),
            _ => return record(&line, &origin, default_ttl),
        }
    }
    Err(RecordError::Empty)
}

fn record(line: &Line<'_>, origin: &OwnedName, default_ttl: u32) -> Result<TextRecord, RecordError> {
    if line.indented {
        return Err(RecordError::NoOwner);
    }
    let mut words = line.words.iter().copied();
    let owner = words.next().unwrap_or("");
    let owner = absolute(owner, origin).ok_or_else(|| RecordError::Owner(owner.to_owned()))?;
    let (mut class, mut ttl) = (None, None);
    let rtype = loop {
        let word = words.next().ok_or_else(|| RecordError::Head(String::new()))?;
        if let Ok(rtype) = word.parse::<Rtype>() {
            break rtype;
        } else if let (None, Some(found)) = (class, class_of(word)) {
            class = Some(found);
        } else if let (None, Some(found)) = (ttl, seconds(word)) {
            ttl = Some(found);
        } else {
            return Err(RecordError::Head(word.to_owned()));
        }
    };
    // RFC 6895 section 3.1: OPT and 128 to 255 are no types of records.
    if rtype == Rtype::OPT || matches!(rtype.to_int(), 0 | 128..=255) {
        return Err(RecordError::Meta(rtype));
    }
    let words: Vec<&str> = words.collect();
    if words.is_empty() {
        return Err(RecordError::NoData(rtype));
    }
    let rdata = rdata(rtype, &words, origin)?;
    if rdata.len() > usize::from(u16::MAX) {
        return Err(RecordError::Data(rtype, format!("{} octets", rdata.len())));
    }
    // `domain` makes an empty label of two dots, which no client could read.
    if !is_data(rtype, &rdata) {
        return Err(RecordError::Data(rtype, "bad data".to_owned()));
    }
    Ok(TextRecord { owner, class: class.unwrap_or(Class::IN), ttl: ttl.unwrap_or(default_ttl), rtype, rdata })
}

/// A name of a line: `@` is the origin, and a name without a final dot is below it.
fn absolute(text: &str, origin: &OwnedName) -> Option<OwnedName> {
    match text {
        "@" => Some(origin.clone()),
        _ if origin.is_root() || text.ends_with('.') => owned(text),
        _ => owned(&format!("{text}.{}", catena_core::name::text(origin.for_slice()))),
    }
}

fn class_of(word: &str) -> Option<Class> {
    if let Some(digits) = word.get(..5).filter(|head| head.eq_ignore_ascii_case("CLASS")).and(word.get(5..)) {
        return digits.parse().ok().map(Class::from_int);
    }
    class_named(&word.to_ascii_uppercase())
}

/// The class of a mnemonic in capitals.
pub(crate) fn class_named(word: &str) -> Option<Class> {
    Some(match word {
        "IN" => Class::IN,
        "CS" => Class::from_int(2),
        "CH" => Class::CH,
        "HS" => Class::HS,
        "NONE" => Class::NONE,
        "ANY" => Class::ANY,
        _ => return None,
    })
}

fn rdata(rtype: Rtype, words: &[&str], origin: &OwnedName) -> Result<Vec<u8>, RecordError> {
    let failed = |why: &str| RecordError::Data(rtype, why.to_owned());
    if words[0] == "\\#" {
        let octets = scanned(rtype, words, origin)?;
        return checked(rtype, &octets);
    }
    match rtype {
        Rtype::TXT | Rtype::SPF | Rtype::NINFO => character_strings(words).ok_or_else(|| failed("bad string")),
        Rtype::HINFO => hinfo(words).ok_or_else(|| failed("bad string")),
        Rtype::SOA => scanned(rtype, &soa(words).ok_or_else(|| failed("bad number"))?, origin),
        Rtype::URI => uri(words).ok_or_else(|| failed("bad URI")),
        // The same form.
        Rtype::AFSDB | Rtype::RT | Rtype::KX => with_type(rtype, scanned(Rtype::MX, words, origin)),
        Rtype::SMIMEA => with_type(rtype, scanned(Rtype::TLSA, words, origin)),
        Rtype::DLV | Rtype::TA => with_type(rtype, scanned(Rtype::DS, words, origin)),
        Rtype::KEY => with_type(rtype, scanned(Rtype::DNSKEY, words, origin)),
        _ => scanned(rtype, words, origin),
    }
}

fn with_type(rtype: Rtype, scanned: Result<Vec<u8>, RecordError>) -> Result<Vec<u8>, RecordError> {
    scanned.map_err(|error| match error {
        RecordError::Data(_, why) => RecordError::Data(rtype, why),
        other => other,
    })
}

/// The four times at the end may have units.
fn soa<'a>(words: &[&'a str]) -> Option<Vec<std::borrow::Cow<'a, str>>> {
    let with_numbers = words.iter().enumerate().map(|(at, word)| match at {
        3..=6 => seconds(word).map(|seconds| seconds.to_string().into()),
        _ => Some((*word).into()),
    });
    with_numbers.collect()
}

/// Two strings; a single one is cut at its first blank. CoreDNS's library: `HINFO.parse`.
fn hinfo(words: &[&str]) -> Option<Vec<u8>> {
    match words {
        [one] => {
            let text = one.trim_matches('"');
            let (cpu, os) = text.split_once(' ').unwrap_or((text, ""));
            character_strings(&[&format!("\"{cpu}\""), &format!("\"{os}\"")])
        }
        [_, _] => character_strings(words),
        _ => None,
    }
}

/// RFC 7553 section 4.
fn uri(words: &[&str]) -> Option<Vec<u8>> {
    let [priority, weight, target] = words else { return None };
    let mut rdata = Vec::new();
    rdata.extend_from_slice(&priority.parse::<u16>().ok()?.to_be_bytes());
    rdata.extend_from_slice(&weight.parse::<u16>().ok()?.to_be_bytes());
    let target = target.strip_prefix('"')?.strip_suffix('"')?;
    rdata.extend(crate::text::unescape(target)?);
    Some(rdata)
}

/// Reads rdata with `domain`.
fn scanned<S: AsRef<str>>(rtype: Rtype, words: &[S], origin: &OwnedName) -> Result<Vec<u8>, RecordError> {
    let failed = |why: String| RecordError::Data(rtype, why);
    let mut line = format!(". 0 IN TYPE{}", rtype.to_int());
    let origin_text = catena_core::name::text(origin.for_slice());
    for word in words {
        let word = word.as_ref();
        // `domain` takes the sign for the origin in owner names only.
        let is_origin = word == "@" && !matches!(rtype, Rtype::HINFO | Rtype::CAA);
        line.push(' ');
        line.push_str(if is_origin { &origin_text } else { word });
    }
    line.push('\n');
    let mut zonefile = Zonefile::from(line.as_str());
    zonefile.set_origin(Name::bytes_from_str(&origin_text).map_err(|error| failed(error.to_string()))?);
    match zonefile.next_entry() {
        Ok(Some(Entry::Record(record))) => {
            let mut rdata = Vec::new();
            // Appending to a `Vec` cannot fail.
            let _ = record.data().compose_rdata(&mut rdata);
            Ok(rdata)
        }
        Ok(_) => Err(failed("no data".to_owned())),
        Err(error) => Err(failed(error.to_string())),
    }
}

fn is_data(rtype: Rtype, octets: &[u8]) -> bool {
    let mut parser = Parser::from_ref(octets);
    let data = ZoneRecordData::<&[u8], ParsedName<&[u8]>>::parse_rdata(rtype, &mut parser);
    matches!(data, Ok(Some(_))) && parser.remaining() == 0
}

/// Rdata that was given as octets must be rdata of its type, if that is known; names in it come out whole.
fn checked(rtype: Rtype, octets: &[u8]) -> Result<Vec<u8>, RecordError> {
    let failed = || RecordError::Data(rtype, "octets that are no data of the type".to_owned());
    let mut parser = Parser::from_ref(octets);
    let data = ZoneRecordData::<&[u8], ParsedName<&[u8]>>::parse_rdata(rtype, &mut parser);
    let data = data.ok().flatten().filter(|_| parser.remaining() == 0).ok_or_else(failed)?;
    let mut rdata = Vec::new();
    let _ = data.compose_rdata(&mut rdata);
    Ok(rdata)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use domain::base::zonefile_fmt::{DisplayKind, ZonefileFmt};

    fn shown(text: &str) -> String {
        let record = match parse(text) {
            Ok(record) => record,
            Err(error) => return error.to_string(),
        };
        let mut parser = Parser::from_ref(&record.rdata[..]);
        let data = ZoneRecordData::<&[u8], ParsedName<&[u8]>>::parse_rdata(record.rtype, &mut parser).unwrap().unwrap();
        let data = data.display_zonefile(DisplayKind::Simple).to_string();
        let data = data.split_whitespace().collect::<Vec<_>>().join(" ");
        format!("{} {} {} {} {data}", record.owner.fmt_with_dot(), record.ttl, record.class, record.rtype)
    }

    #[test]
    fn the_common_types_are_read() {
        for text in [
            "a. 60 IN A 192.0.2.1",
            "a. 60 IN AAAA 2001:db8::1",
            "a. 60 IN CNAME b.",
            "a. 60 IN MX 10 mx.b.",
            "a. 60 IN SRV 1 2 3 b.",
            "a. 60 IN TXT \"x y\" \"z\"",
            "a. 60 IN SOA ns. host. 1 2 3 4 5",
            "a. 60 IN CAA 0 issue \"ca.example\"",
            "a. 60 IN HTTPS 1 . alpn=h2 port=8443",
            "a. 60 IN SVCB 0 b.",
            "a. 60 IN NAPTR 10 20 \"u\" \"E2U+sip\" \"!^.*$!sip:x@y!\" .",
            "a. 60 IN PTR b.",
        ] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn what_is_left_out_of_the_head_has_defaults_and_any_order() {
        let whole = "a. 3600 IN A 192.0.2.1";
        for text in [
            "a A 192.0.2.1",
            "a. in a 192.0.2.1",
            "a IN 1h A 192.0.2.1",
            "a 1h IN A 192.0.2.1 ; a comment",
            "\n\na CLASS1 TYPE1 192.0.2.1",
        ] {
            assert_eq!(shown(text), whole, "{text}");
        }
        assert_eq!(shown("a 1w2d3h4m5s CH A 192.0.2.1"), "a. 788645 CH A 192.0.2.1");
    }

    #[test]
    fn a_record_may_span_lines_within_brackets() {
        let text = "a. 60 IN SOA ns. host. ( 1 ; serial\n 2h\n 15m 4 5 )\nb. A 192.0.2.1";
        assert_eq!(shown(text), "a. 60 IN SOA ns. host. 1 7200 900 4 5");
    }

    #[test]
    fn directives_before_the_record_count() {
        assert_eq!(shown("$ORIGIN example.org.\n$TTL 5m\n@ NS ns"), "example.org. 300 IN NS ns.example.org.");
        assert_eq!(shown("$ORIGIN example.org.\na MX 1 @"), "a.example.org. 3600 IN MX 1 example.org.");
        assert_eq!(shown("$INCLUDE /etc/passwd"), "directive is not supported: \"$INCLUDE /etc/passwd\"");
    }

    #[test]
    fn octets_are_taken_if_they_fit_the_type() {
        assert_eq!(shown("a. 60 IN A \\# 4 c0000201"), "a. 60 IN A 192.0.2.1");
        assert_eq!(parse("a. 60 IN TYPE65280 \\# 2 abcd").unwrap().rdata, [0xab, 0xcd]);
        assert!(matches!(parse("a. 60 IN A \\# 3 c00002"), Err(RecordError::Data(Rtype::A, _))));
        assert!(matches!(parse("a. 60 IN A \\# 5 c000020101"), Err(RecordError::Data(Rtype::A, _))));
    }

    #[test]
    fn types_that_only_the_text_form_knows_are_read() {
        assert_eq!(parse("a. AFSDB 1 b.").unwrap().rdata, b"\x00\x01\x01b\x00");
        assert_eq!(parse("a. URI 1 2 \"x:y\"").unwrap().rdata, b"\x00\x01\x00\x02x:y");
        assert_eq!(parse("a. HINFO \"x y\"").unwrap().rdata, b"\x01x\x01y");
        assert_eq!(parse("a. HINFO x y").unwrap().rdata, b"\x01x\x01y");
        assert_eq!(parse("a. SPF v=spf1").unwrap().rdata, b"\x06v=spf1");
    }

    #[test]
    fn what_is_no_record_is_told() {
        assert_eq!(parse(""), Err(RecordError::Empty));
        assert_eq!(parse(" ; nothing\n"), Err(RecordError::Empty));
        assert_eq!(parse(" IN A 192.0.2.1"), Err(RecordError::NoOwner));
        assert_eq!(parse("a..b A 192.0.2.1"), Err(RecordError::Owner("a..b".to_owned())));
        assert_eq!(parse("a NOTATYPE x"), Err(RecordError::Head("NOTATYPE".to_owned())));
        assert_eq!(parse("a 1 2 A 192.0.2.1"), Err(RecordError::Head("2".to_owned())));
        assert_eq!(parse("a A"), Err(RecordError::NoData(Rtype::A)));
        assert_eq!(parse("a ANY x"), Err(RecordError::Meta(Rtype::ANY)));
        assert_eq!(parse("a TXT \"x"), Err(RecordError::Unbalanced));
        for text in [
            "a A x",
            "a A 192.0.2.1 x",
            "a MX b.",
            "a SOA a. b. 1 2 3 4",
            "a SOA a. b. 1 x 3 4 5",
            "a A ::1",
            "a AAAA 192.0.2.1",
            "a MX 10 mx..",
            "a SOA a. b.. 1 2 3 4 5",
            "a SRV 1 2 3 a..b.",
        ] {
            assert!(matches!(parse(text), Err(RecordError::Data(..))), "{text}: {:?}", parse(text));
        }
    }

    #[test]
    fn a_text_at_the_limit_is_read_and_a_longer_one_is_not() {
        let record = "a A 192.0.2.1;";
        let text = format!("{record}{}", "x".repeat(TEXT_OCTETS_MAX - record.len()));
        assert!(parse(&text).is_ok());
        assert_eq!(parse(&format!("{text}x")), Err(RecordError::TooLong));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(4_000))]

        #[test]
        fn no_text_makes_the_reader_panic(
            rtype in proptest::sample::select(&["A", "TXT", "MX", "SOA", "SRV", "NAPTR", "CAA", "HTTPS", "URI", "HINFO", "NSEC",
                "DNSKEY", "TYPE65280", "RRSIG", "TLSA", "RP"][..]),
            rdata in "[a-z0-9 =,.\"()@;\\\\#é\n-]{0,40}",
        ) {
            if let Ok(record) = parse(&format!("a. 60 IN {rtype} {rdata}")) {
                assert!(record.rdata.len() <= 65_535 && is_data(record.rtype, &record.rdata), "{rdata:?}");
            }
        }
    }

    #[test]
    fn rdata_above_65535_octets_is_refused() {
        let strings = |count: usize| format!("a TXT {}", "x ".repeat(count));
        assert_eq!(parse(&strings(32_767)).unwrap().rdata.len(), 65_534);
        assert!(matches!(parse(&strings(32_768)), Err(RecordError::Data(Rtype::TXT, _))));
    }
}
