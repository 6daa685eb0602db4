//! A line about a query, written piece by piece into the log.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use catena_core::metrics::{TypeText, rcode_mnemonic};
use catena_core::prelude::*;
use catena_core::will_truncate;

use crate::format::{Format, Label, Piece};

/// What stands for a value that there is not.
const NONE: &str = "-";
/// The flags of a reply in the order in which they are shown.
const FLAGS: [(u16, &str); 8] = [
    (flags::QR, "qr"),
    (flags::AA, "aa"),
    (flags::TC, "tc"),
    (flags::RD, "rd"),
    (flags::RA, "ra"),
    (flags::Z, "z"),
    (flags::AD, "ad"),
    (flags::CD, "cd"),
];
/// The length of a message's header, octets (RFC 1035 section 4.1.1).
const HEADER_OCTETS: usize = 12;

/// What the client is told.
pub(crate) enum Written<'a> {
    /// A message.
    Message(&'a Answer),
    /// A message of the server's own with this code and these flags.
    Code(Rcode, u16),
    /// Nothing.
    Nothing,
}

/// The line about a query.
pub(crate) struct Line<'a> {
    pub(crate) format: &'a Format,
    pub(crate) q: &'a Query,
    pub(crate) written: Written<'a>,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in self.format.pieces() {
            match piece {
                Piece::Text(text) => f.write_str(text)?,
                Piece::Value(label) => self.value(label, f)?,
            }
        }
        Ok(())
    }
}

impl Line<'_> {
    fn value(&self, label: &Label, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let q = self.q;
        match label {
            Label::Type => write!(f, "{}", TypeText(q.qtype())),
            Label::Name => write!(f, "{}", q.original().lower().fmt_with_dot()),
            Label::Class => class(q.qclass(), f),
            Label::Proto => f.write_str(q.protocol().as_str()),
            Label::Size => write!(f, "{}", q.request_len()),
            Label::Remote => address(q.client().ip(), f),
            Label::Port => write!(f, "{}", q.client().port()),
            Label::Local => address(q.local().ip(), f),
            Label::Id => write!(f, "{}", q.id()),
            Label::Opcode => write!(f, "{}", q.opcode().to_int()),
            Label::DnssecOk => write!(f, "{}", q.dnssec_ok()),
            Label::BufSize => write!(f, "{}", q.size_limit()),
            Label::Rcode => self.rcode(f),
            Label::ReplySize => write!(f, "{}", self.reply_len()),
            // The shortest digits that mean the number, never with an exponent: what Go prints, too.
            Label::Duration => write!(f, "{}s", q.elapsed().as_secs_f64()),
            Label::ReplyFlags => self.reply_flags(f),
            Label::Metadata(label) => f.write_str(&q.label(label).unwrap_or(Cow::Borrowed(NONE))),
        }
    }

    fn rcode(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rcode = match &self.written {
            Written::Message(answer) => answer.rcode,
            Written::Code(rcode, _) => *rcode,
            Written::Nothing => return f.write_str(NONE),
        };
        match rcode_mnemonic(rcode) {
            Some(mnemonic) => f.write_str(mnemonic),
            None => write!(f, "{}", rcode.to_int()),
        }
    }

    /// The length before compression, truncation and the OPT record, octets.
    fn reply_len(&self) -> usize {
        let question_len = self.q.original().wire_len();
        match &self.written {
            Written::Message(answer) => answer.plain_len(question_len),
            Written::Code(..) => HEADER_OCTETS + question_len,
            Written::Nothing => 0,
        }
    }

    fn reply_flags(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = match &self.written {
            Written::Message(answer) if will_truncate(self.q, answer) => answer.flags | flags::TC,
            Written::Message(answer) => answer.flags,
            Written::Code(_, set) => *set,
            Written::Nothing => return f.write_str(NONE),
        };
        let mut comma = "";
        for (flag, name) in FLAGS {
            if set & flag != 0 {
                write!(f, "{comma}{name}")?;
                comma = ",";
            }
        }
        Ok(())
    }
}

fn address(ip: IpAddr, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match ip.to_canonical() {
        IpAddr::V4(v4) => write!(f, "{v4}"),
        IpAddr::V6(v6) => write!(f, "[{v6}]"),
    }
}

/// The classes' names as miekg/dns has them.
fn class(class: Class, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match class.to_int() {
        1 => f.write_str("IN"),
        2 => f.write_str("CS"),
        3 => f.write_str("CH"),
        4 => f.write_str("HS"),
        254 => f.write_str("NONE"),
        255 => f.write_str("ANY"),
        other => write!(f, "CLASS{other}"),
    }
}
