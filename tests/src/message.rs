//! DNS messages taken apart, strictly, into the texts that recordings hold.

use domain::base::iana::{Class, Opcode, Rtype};
use domain::base::message::RecordSection;
use domain::base::name::{Label, ToName};
use domain::base::opt::UnknownOptData;
use domain::base::{Message as Wire, ParsedRecord, UnknownRecordData};
use domain::rdata::{AllRecordData, Soa};
use std::fmt::{Display, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::options;
use crate::value::Value;

/// The flags of the header by name, with their bit.
pub const FLAGS: [(&str, u16); 8] = [
    ("qr", 0x8000),
    ("aa", 0x0400),
    ("tc", 0x0200),
    ("rd", 0x0100),
    ("ra", 0x0080),
    ("z", 0x0040),
    ("ad", 0x0020),
    ("cd", 0x0010),
];

/// A serial this close to the clock, in seconds, was taken from it.
const SERIAL_NEAR: u64 = 2 * 86_400;

/// The extended part of a message (RFC 6891).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edns {
    /// The UDP payload size, in octets.
    pub size: u16,
    /// Whether DNSSEC records are wanted.
    pub dnssec_ok: bool,
    /// The version; 0 is the only one there is.
    pub version: u8,
    /// Code and data of every option, in order.
    pub options: Vec<(u16, Vec<u8>)>,
}

/// A message as one that wants to read it sees it.
#[derive(Debug, Clone)]
pub struct Message {
    /// The id.
    pub id: u16,
    /// The second 16 bits of the header: flags, opcode and response code.
    pub bits: u16,
    /// The operation.
    pub opcode: Opcode,
    /// The response code with its extended bits.
    pub rcode: u16,
    /// The questions, as `NAME CLASS TYPE`.
    pub question: Vec<String>,
    /// Answer, authority and additional as `NAME TTL CLASS TYPE RDATA`, without OPT and TSIG.
    pub sections: [Vec<String>; 3],
    /// What the OPT record said.
    pub edns: Option<Edns>,
    /// Whether a TSIG record closed the message.
    pub signed: bool,
}

impl Message {
    /// Takes a message apart; nothing when it is malformed: wrong counts, broken names or record data, bytes left
    /// over, an OPT record that is doubled or out of place (RFC 1035, section 4; RFC 6891, section 6.1.1).
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let wire = Wire::from_octets(bytes).ok()?;
        let header = wire.header();
        let mut message = Self {
            id: header.id(),
            bits: u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]),
            opcode: header.opcode(),
            rcode: u16::from(header.rcode().to_int()),
            question: Vec::new(),
            sections: [Vec::new(), Vec::new(), Vec::new()],
            edns: None,
            signed: false,
        };
        let mut questions = wire.question();
        for question in questions.by_ref() {
            let question = question.ok()?;
            let (class, kind) = (class_text(question.qclass()), question.qtype());
            message.question.push(format!("{} {class} {kind}", name_text(question.qname())));
        }
        let mut section = questions.answer().ok()?;
        for at in 0..3 {
            message.take_section(&mut section, at)?;
            if at == 2 {
                break;
            }
            section = section.next_section().ok()??;
        }
        (section.pos() == bytes.len()).then_some(message)
    }

    fn take_section(&mut self, section: &mut RecordSection<'_, &[u8]>, at: usize) -> Option<()> {
        for record in section.by_ref() {
            let record = record.ok()?;
            if self.signed {
                return None;
            }
            match record.rtype() {
                Rtype::OPT => self.take_opt(&record, at)?,
                Rtype::TSIG => self.signed = at == 2,
                _ => self.sections[at].push(record_text(&record)?),
            }
        }
        Some(())
    }

    fn take_opt(&mut self, record: &ParsedRecord<'_, &[u8]>, at: usize) -> Option<()> {
        if at != 2 || self.edns.is_some() || !record.owner().is_root() {
            return None;
        }
        let data = record.to_record::<domain::base::opt::Opt<_>>().ok()??;
        let mut options = Vec::new();
        for option in data.data().iter::<UnknownOptData<_>>() {
            let option = option.ok()?;
            options.push((option.code().to_int(), option.as_slice().to_vec()));
        }
        let [extended, version, flags, _] = record.ttl().as_secs().to_be_bytes();
        self.rcode |= u16::from(extended) << 4;
        let size = record.class().to_int();
        self.edns = Some(Edns { size, dnssec_ok: flags & 0x80 != 0, version, options });
        Some(())
    }

    /// The names of the flags that are set.
    pub fn flags(&self) -> Vec<&'static str> {
        FLAGS.iter().filter(|(_, bit)| self.bits & bit != 0).map(|(name, _)| *name).collect()
    }

    /// The observation of a reply. What is as it must be (id, opcode, the question's echo) is left out.
    pub fn observed(&self, query: Option<&Self>) -> Vec<(String, Value)> {
        let mut seen = vec![
            ("rcode".to_owned(), Value::text(rcode_text(self.rcode))),
            ("flags".to_owned(), Value::texts(self.flags())),
        ];
        if let Some(query) = query {
            if self.id != query.id {
                seen.push(("id".into(), Value::text("not that of the query")));
            }
            if self.opcode != query.opcode {
                seen.push(("opcode".into(), Value::text(opcode_text(self.opcode))));
            }
            if self.question != query.question {
                seen.push(("question".into(), Value::texts(self.question.iter().cloned())));
            }
        }
        for (name, lines) in ["answer", "authority", "additional"].into_iter().zip(&self.sections) {
            if !lines.is_empty() {
                seen.push((name.into(), Value::texts(lines.iter().cloned())));
            }
        }
        if let Some(edns) = &self.edns {
            seen.push(("edns".into(), edns.observed()));
        }
        if self.signed {
            seen.push(("tsig".into(), Value::text("unexpected")));
        }
        seen
    }
}

impl Edns {
    fn observed(&self) -> Value {
        let mut seen = vec![
            ("size".to_owned(), Value::text(self.size.to_string())),
            ("do".to_owned(), Value::text(self.dnssec_ok.to_string())),
        ];
        if self.version > 0 {
            seen.push(("version".into(), Value::text(self.version.to_string())));
        }
        if !self.options.is_empty() {
            let shown = self.options.iter().map(|(code, data)| options::text(*code, data));
            seen.push(("options".into(), Value::texts(shown)));
        }
        Value::Map(seen)
    }
}

/// The response code by its name, or its number when it has none.
pub fn rcode_text(code: u16) -> String {
    let known = [
        "NOERROR",
        "FORMERR",
        "SERVFAIL",
        "NXDOMAIN",
        "NOTIMP",
        "REFUSED",
        "YXDOMAIN",
        "YXRRSET",
        "NXRRSET",
        "NOTAUTH",
        "NOTZONE",
        "DSOTYPENI",
    ];
    match (known.get(usize::from(code)), code) {
        (Some(name), _) => (*name).into(),
        (None, 16) => "BADVERS".into(),
        (None, 17) => "BADKEY".into(),
        (None, 18) => "BADTIME".into(),
        (None, 23) => "BADCOOKIE".into(),
        (None, code) => code.to_string(),
    }
}

/// The operation by its name, or its number when it has none.
pub fn opcode_text(opcode: Opcode) -> String {
    match opcode.to_int() {
        0 => "QUERY".into(),
        1 => "IQUERY".into(),
        2 => "STATUS".into(),
        4 => "NOTIFY".into(),
        5 => "UPDATE".into(),
        other => other.to_string(),
    }
}

/// The class by its name.
pub fn class_text(class: Class) -> String {
    if class == Class::ANY { "ANY".into() } else { class.to_string() }
}

/// A name with its closing dot, in the presentation form of RFC 1035, section 5.1.
pub fn name_text(name: &impl ToName) -> String {
    let mut out = String::new();
    for label in name.iter_labels().filter(|label| !label.is_root()) {
        push_label(&mut out, label);
        out.push('.');
    }
    if out.is_empty() { ".".into() } else { out }
}

fn push_label(out: &mut String, label: &Label) {
    for byte in label.as_slice() {
        match byte {
            b'"' | b'(' | b')' | b'.' | b';' | b'\\' | b'@' | b'$' => out.extend(['\\', char::from(*byte)]),
            0x21..=0x7e => out.push(char::from(*byte)),
            _ => push_number(out, *byte),
        }
    }
}

fn push_number(out: &mut String, byte: u8) {
    // Writing into a text cannot fail.
    let _ = write!(out, "\\{byte:03}");
}

fn record_text(record: &ParsedRecord<'_, &[u8]>) -> Option<String> {
    let (name, class) = (name_text(&record.owner()), class_text(record.class()));
    let (kind, ttl) = (record.rtype(), record.ttl().as_secs());
    // Beyond 31 bits a TTL counts as 0 (RFC 2181, section 8).
    let ttl = if ttl > i32::MAX as u32 { 0 } else { ttl };
    Some(format!("{name} {ttl} {class} {kind} {}", rdata_text(record)?))
}

/// A key as recordings have it.
fn key_text(flags: u16, protocol: u8, algorithm: domain::base::iana::SecurityAlgorithm, key: &[u8]) -> String {
    format!("{flags} {protocol} {} {}", algorithm.to_int(), base64_text(key))
}

/// Base 64 in pieces of 32 letters, as recordings have it.
fn base64_text(octets: &[u8]) -> String {
    let text = domain::utils::base64::encode_string(octets);
    let pieces: Vec<&str> = (0..text.len()).step_by(32).map(|at| &text[at..text.len().min(at + 32)]).collect();
    pieces.join(" ")
}

/// A signature with its times as dates (RFC 4034, section 3.2).
fn rrsig_text(data: &domain::rdata::Rrsig<impl AsRef<[u8]>, impl ToName>) -> String {
    format!(
        "{} {} {} {} {} {} {} {} {}",
        data.type_covered(),
        data.algorithm().to_int(),
        data.labels(),
        data.original_ttl().as_secs(),
        date_text(data.expiration().into_int()),
        date_text(data.inception().into_int()),
        data.key_tag(),
        name_text(data.signer_name()),
        base64_text(data.signature().as_ref()),
    )
}

/// Seconds since 1970 as `YYYYMMDDHHmmSS`.
fn date_text(seconds: u32) -> String {
    let (days, rest) = (i64::from(seconds) / 86_400, seconds % 86_400);
    // Days are counted from the first of March, so that a leap day is the last one of its year.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}{:02}{:02}{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

fn rdata_text(record: &ParsedRecord<'_, &[u8]>) -> Option<String> {
    let parsed = record.to_any_record::<AllRecordData<_, _>>().ok()?;
    Some(match parsed.data() {
        AllRecordData::A(data) => data.addr().to_string(),
        AllRecordData::Aaaa(data) => data.addr().to_string(),
        AllRecordData::Ns(data) => name_text(data.nsdname()),
        AllRecordData::Cname(data) => name_text(data.cname()),
        AllRecordData::Ptr(data) => name_text(data.ptrdname()),
        AllRecordData::Dname(data) => name_text(data.dname()),
        AllRecordData::Mx(data) => format!("{} {}", data.preference(), name_text(data.exchange())),
        AllRecordData::Rrsig(data) => rrsig_text(data),
        AllRecordData::Dnskey(data) => key_text(data.flags(), data.protocol(), data.algorithm(), data.public_key()),
        AllRecordData::Cdnskey(data) => key_text(data.flags(), data.protocol(), data.algorithm(), data.public_key()),
        AllRecordData::Srv(data) => {
            format!("{} {} {} {}", data.priority(), data.weight(), data.port(), name_text(data.target()))
        }
        AllRecordData::Soa(data) => soa_text(data),
        AllRecordData::Txt(data) => data.iter().map(quoted).collect::<Vec<_>>().join(" "),
        AllRecordData::Hinfo(data) => format!("{} {}", quoted(data.cpu().as_slice()), quoted(data.os().as_slice())),
        AllRecordData::Svcb(data) => svcb_text(data.priority(), &name_text(data.target()), &data.params().to_string()),
        AllRecordData::Https(data) => svcb_text(data.priority(), &name_text(data.target()), &data.params().to_string()),
        AllRecordData::Unknown(data) => unknown_text(data),
        other => other.to_string(),
    })
}

/// Service parameters with their values in quotes, as recordings have them.
fn svcb_text(priority: u16, target: &str, params: &str) -> String {
    let quote = |param: &str| match param.split_once('=') {
        Some((key, value)) => format!("{key}=\"{}\"", value.trim_matches('"')),
        None => param.to_owned(),
    };
    let params: Vec<String> = params.split_whitespace().map(quote).collect();
    format!("{priority} {target} {}", params.join(" ")).trim_end().to_owned()
}

fn soa_text<N: ToName>(data: &Soa<N>) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default();
    let serial = data.serial().into_int();
    let serial = if u64::from(serial).abs_diff(now) < SERIAL_NEAR { "NOW".into() } else { serial.to_string() };
    let [refresh, retry, expire, minimum] =
        [data.refresh(), data.retry(), data.expire(), data.minimum()].map(|one| one.as_secs());
    let (mname, rname) = (name_text(data.mname()), name_text(data.rname()));
    format!("{mname} {rname} {serial} {refresh} {retry} {expire} {minimum}")
}

/// A record of a type without a form of its own (RFC 3597, section 5).
fn unknown_text(data: &UnknownRecordData<impl AsRef<[u8]>>) -> String {
    let data = data.data().as_ref();
    format!("\\# {} {}", data.len(), hex(data)).trim_end().to_owned()
}

fn quoted(data: impl AsRef<[u8]>) -> String {
    let mut out = String::from('"');
    for byte in data.as_ref() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(*byte)]),
            0x20..=0x7e => out.push(char::from(*byte)),
            _ => push_number(&mut out, *byte),
        }
    }
    out.push('"');
    out
}

/// Bytes in lower-case hexadecimal digits.
pub fn hex(data: &[u8]) -> String {
    let mut out = String::with_capacity(2 * data.len());
    for byte in data {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// Bytes from hexadecimal digits, between which there may be blanks; nothing for anything else.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().filter(|one| !one.is_whitespace()).map(|one| Some(one.to_digit(16)? as u8)).collect();
    let digits = digits?;
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// A question as upstreams note it: `NAME TYPE`, with the class unless it is IN.
pub fn question_text(question: &str) -> String {
    let mut parts = question.split(' ');
    let mut next = || parts.next().unwrap_or_default();
    let (name, class, kind): (&str, &str, &str) = (next(), next(), next());
    let class: &dyn Display = if class == "IN" { &"" } else { &format!(" {class}") };
    format!("{name} {kind}{class}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    /// A reply to `a. IN A` with one record, 192.0.2.1, TTL 60.
    const REPLY: &str = "04d2 8580 0001 0001 0000 0000 0161 00 0001 0001 c00c 0001 0001 0000003c 0004 c0000201";

    #[test]
    fn times_of_signatures_are_dates() {
        assert_eq!(date_text(0), "19700101000000");
        assert_eq!(date_text(1_709_210_096), "20240229123456");
        assert_eq!(date_text(2_145_916_800), "20380101000000");
    }

    #[test]
    fn a_reply_is_shown_as_recordings_have_it() {
        let message = Message::parse(&unhex(REPLY).unwrap()).unwrap();
        assert_eq!(message.flags(), ["qr", "aa", "rd", "ra"]);
        assert_eq!(message.question, ["a. IN A"]);
        assert_eq!(message.sections[0], ["a. 60 IN A 192.0.2.1"]);
    }

    #[test]
    fn an_echo_of_another_question_or_id_is_told() {
        let reply = Message::parse(&unhex(REPLY).unwrap()).unwrap();
        let query = Message { id: 1, question: vec!["b. IN A".into()], ..reply.clone() };
        let keys: Vec<String> = reply.observed(Some(&query)).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["rcode", "flags", "id", "question", "answer"]);
        assert_eq!(reply.observed(Some(&reply)).len(), 3);
    }

    #[test]
    fn bytes_left_over_and_records_cut_short_are_malformed() {
        let whole = unhex(REPLY).unwrap();
        assert!(Message::parse(&[whole.clone(), vec![0]].concat()).is_none());
        assert!(Message::parse(&whole[..whole.len() - 1]).is_none());
        assert!(Message::parse(&whole[..11]).is_none());
    }

    #[test]
    fn two_opt_records_are_malformed() {
        let opt = "00 0029 04d0 00000000 0000";
        let head = |count: usize| format!("04d2 8180 0000 0000 0000 000{count}");
        let parse = |text: String| Message::parse(&unhex(&text).unwrap());
        assert_eq!(parse(format!("{} {opt}", head(1))).unwrap().edns.unwrap().size, 1232);
        assert!(parse(format!("{} {opt} {opt}", head(2))).is_none());
    }

    #[test]
    fn odd_bytes_of_names_are_escaped() {
        let name = domain::base::Name::from_octets(b"\x04a.\x07@\x00".to_vec()).unwrap();
        assert_eq!(name_text(&name), "a\\.\\007\\@.");
    }
}
