//! Writing fields.

use super::super::codec::{write_base32, write_base64, write_hex};
use super::super::name::{self, write_decimal_escape};
use super::super::time::write_moment;
use super::{Field, bitmap, write_type};

/// Why octets cannot be written as fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unwritable {
    /// They are not rdata of the type.
    Malformed,
    /// They are, but no text of this form means them.
    Unusual,
}

/// Rdata that is being written.
#[derive(Clone, Copy)]
pub(crate) struct Octets<'a> {
    rest: &'a [u8],
}

impl<'a> Octets<'a> {
    pub(crate) fn new(rdata: &'a [u8]) -> Self {
        Self { rest: rdata }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes so many octets.
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Unwritable> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Unwritable::Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Takes all that is left.
    pub(crate) fn all(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Takes a number of so many octets.
    pub(crate) fn number(&mut self, octets: usize) -> Result<u64, Unwritable> {
        Ok(self.take(octets)?.iter().fold(0, |value, octet| value << 8 | u64::from(*octet)))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Unwritable> {
        Ok(self.number(1)?.to_le_bytes()[0])
    }

    /// Takes a name and writes it.
    pub(crate) fn name(&mut self, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        let len = name::wire_len(self.rest).ok_or(Unwritable::Malformed)?;
        name::write(self.take(len)?, out);
        Ok(())
    }

    /// Takes octets with their length before them.
    pub(crate) fn counted(&mut self) -> Result<&'a [u8], Unwritable> {
        let len = self.u8()?;
        self.take(len.into())
    }

    fn decimal(&mut self, octets: usize, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        write_number(self.number(octets)?, out);
        Ok(())
    }

    fn texts(&mut self, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        write_quoted(self.counted()?, out);
        while !self.is_empty() {
            out.push(b' ');
            write_quoted(self.counted()?, out);
        }
        Ok(())
    }

    /// Takes the rest, which is written as something that cannot be empty.
    fn rest_with(&mut self, out: &mut Vec<u8>, write: fn(&[u8], &mut Vec<u8>)) -> Result<(), Unwritable> {
        let octets = self.all();
        write(octets, out);
        if octets.is_empty() { Err(Unwritable::Unusual) } else { Ok(()) }
    }

    fn counted_with(&mut self, out: &mut Vec<u8>, write: fn(&[u8], &mut Vec<u8>)) -> Result<(), Unwritable> {
        let octets = self.counted()?;
        write(octets, out);
        if octets.is_empty() { Err(Unwritable::Unusual) } else { Ok(()) }
    }

    fn tag(&mut self, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        let tag = self.counted()?;
        out.extend_from_slice(tag);
        let usual = !tag.is_empty() && tag.iter().all(u8::is_ascii_alphanumeric);
        if usual { Ok(()) } else { Err(Unwritable::Unusual) }
    }

    fn salt(&mut self, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        let salt = self.counted()?;
        if salt.is_empty() {
            out.push(b'-');
        }
        write_hex(salt, out);
        Ok(())
    }

    fn names(&mut self, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        let mut between = false;
        while !self.is_empty() {
            if between {
                out.push(b' ');
            }
            self.name(out)?;
            between = true;
        }
        Ok(())
    }

    fn groups(&mut self, octets: usize, each: usize, separator: u8, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        for (at, group) in self.take(octets)?.chunks(each).enumerate() {
            if at > 0 {
                out.push(separator);
            }
            let start = out.len();
            write_hex(group, out);
            out.get_mut(start..).unwrap_or_default().make_ascii_lowercase();
        }
        Ok(())
    }

    pub(crate) fn ipv4(&mut self, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        for (at, octet) in self.take(4)?.iter().enumerate() {
            if at > 0 {
                out.push(b'.');
            }
            write_number((*octet).into(), out);
        }
        Ok(())
    }

    pub(crate) fn ipv6(&mut self, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        let octets: [u8; 16] = self.take(16)?.try_into().map_err(|_| Unwritable::Malformed)?;
        out.extend_from_slice(std::net::Ipv6Addr::from(octets).to_string().as_bytes());
        Ok(())
    }

    fn dotted(&mut self, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        out.extend_from_slice(b"0x");
        self.rest_with(out, write_hex)
    }

    /// Takes a field and writes it.
    pub(crate) fn field(&mut self, field: Field, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        match field {
            Field::U8 | Field::Code8(_) => self.decimal(1, out),
            Field::U16 | Field::Code16(_) => self.decimal(2, out),
            Field::U32 | Field::Seconds => self.decimal(4, out),
            Field::U64 => self.decimal(8, out),
            Field::Moment => {
                let moment = u32::try_from(self.number(4)?).unwrap_or(0);
                write_moment(moment, out);
                Ok(())
            }
            Field::Octal16 => {
                out.extend_from_slice(format!("{:o}", self.number(2)?).as_bytes());
                Ok(())
            }
            Field::Name => self.name(out),
            Field::Names => self.names(out),
            Field::Ipv4 => self.ipv4(out),
            Field::Ipv6 => self.ipv6(out),
            Field::TextOptional if self.is_empty() => Ok(()),
            Field::Text | Field::TextOptional => self.counted().map(|text| write_quoted(text, out)),
            Field::Texts => self.texts(out),
            Field::Tag => self.tag(out),
            Field::TextRest => {
                write_quoted(self.all(), out);
                Ok(())
            }
            Field::Hex => self.rest_with(out, write_hex),
            Field::HexDotted => self.dotted(out),
            Field::Salt => self.salt(out),
            Field::Hash32 => self.counted_with(out, write_base32),
            Field::Base64 => self.rest_with(out, write_base64),
            Field::Base64Optional => {
                write_base64(self.all(), out);
                Ok(())
            }
            Field::Base64Dash if self.is_empty() => {
                out.push(b'-');
                Ok(())
            }
            Field::Base64Dash => self.rest_with(out, write_base64),
            Field::Type => {
                write_type(u16::try_from(self.number(2)?).unwrap_or(0), out);
                Ok(())
            }
            Field::Types => bitmap::write(self, out),
            Field::TypesOld => bitmap::write_old(self, out),
            Field::Eui(groups) => self.groups(groups, 1, b'-', out),
            Field::Locator => self.groups(8, 2, b':', out),
            Field::Special(special) => (special.write)(self, out),
        }
    }
}

/// Writes a decimal number.
pub(crate) fn write_number(value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10).to_le_bytes()[0];
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Writes octets as a quoted string.
pub(crate) fn write_quoted(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &octet in text {
        match octet {
            b'"' | b'\\' => out.extend([b'\\', octet]),
            0x20..0x7f => out.push(octet),
            _ => write_decimal_escape(octet, out),
        }
    }
    out.push(b'"');
}
