//! Rdata in presentation form: what fields each type has, how a field is read and written. A type is a line of a table.

mod address;
mod bitmap;
mod codes;
mod gateway;
mod host;
mod input;
mod location;
mod output;
mod prefixes;
mod service;
mod table;

use catena_core::{Class, Rtype};

use super::error::Problem;
use super::lex::{Lexer, Token};
use codes::Codes;
use input::Input;
pub(crate) use output::{Octets, Unwritable};
pub(crate) use table::{class_number, type_number, write_class, write_type};

/// The longest rdata, octets (RFC 1035 section 3.2.1: its length has 16 bits).
pub const RDATA_OCTETS_MAX: usize = 65_535;

/// One field of a type's rdata.
#[derive(Clone, Copy)]
pub(crate) enum Field {
    U8,
    U16,
    U32,
    U64,
    /// Seconds, with units.
    Seconds,
    /// `YYYYMMDDHHmmSS` or seconds since 1970.
    Moment,
    /// An octal number of 16 bits: addresses of class CH.
    Octal16,
    Name,
    /// Names up to the end of the line.
    Names,
    Ipv4,
    Ipv6,
    /// A character-string (RFC 1035 section 3.3).
    Text,
    /// A character-string or nothing.
    TextOptional,
    /// One or more character-strings; a longer one becomes several, as in CoreDNS.
    Texts,
    /// A character-string of letters and digits.
    Tag,
    /// The rest of the rdata as one string.
    TextRest,
    /// The rest of the rdata in base 16.
    Hex,
    /// The rest of the rdata in base 16, perhaps with `0x` and dots.
    HexDotted,
    /// A length octet and base 16 in one word; `-` if empty.
    Salt,
    /// A length octet and base 32 in one word.
    Hash32,
    /// The rest of the rdata in base 64.
    Base64,
    /// The same, or nothing.
    Base64Optional,
    /// The same, `-` if empty.
    Base64Dash,
    /// A type of records.
    Type,
    /// Types of records as a bitmap (RFC 4034 section 4.1.2).
    Types,
    /// Types below 128 as a bitmap (RFC 2535 section 5.2).
    TypesOld,
    /// A number of 8 bits or its name.
    Code8(&'static Codes),
    /// A number of 16 bits or its name.
    Code16(&'static Codes),
    /// Octets in base 16 with hyphens between (RFC 7043).
    Eui(usize),
    /// 64 bits as four groups in base 16 (RFC 6742).
    Locator,
    /// What only one type or two have.
    Special(&'static Special),
}

/// How a field that only one type or two have is read and written.
pub(crate) struct Special {
    read: fn(&mut Input<'_, '_>) -> Result<(), Problem>,
    write: fn(&mut Octets<'_>, &mut Vec<u8>) -> Result<(), Unwritable>,
}

/// What stands on a line behind the type.
pub(crate) enum Form {
    /// These fields, or RFC 3597's form.
    Fields(&'static [Field]),
    /// RFC 3597's form only.
    Opaque,
    /// Nothing: there are no records of this type (RFC 6895 section 3.1).
    Meta,
}

/// The form of a type's rdata.
pub(crate) fn form(rtype: Rtype, class: Class) -> &'static Form {
    if class == Class::CH && rtype == Rtype::A { &table::CHAOS_A } else { table::form(rtype.to_int()) }
}

/// Reads rdata up to the end of the line and appends it to `out`, which is empty. `type_token` is shown if there are no such records.
pub(crate) fn read(
    (rtype, class): (Rtype, Class),
    type_token: &Token,
    lexer: &mut Lexer<'_>,
    origin: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    let form = form(rtype, class);
    if matches!(form, Form::Meta) {
        return Err(type_token.problem("there are no records of this type"));
    }
    let mut input = Input::new(lexer, origin, out)?;
    if input.takes_generic_sign()? {
        let place = input.generic()?;
        if is_valid(rtype, class, out) {
            return Ok(());
        }
        return Err(place.problem("these octets are not rdata of the type"));
    }
    let Form::Fields(fields) = form else {
        return Err(type_token.problem(r"rdata of this type is written as \# LENGTH HEX (RFC 3597)"));
    };
    for field in *fields {
        input.field(*field)?;
        input.check_len()?;
    }
    input.end()
}

/// Whether octets can be the rdata of a type: every field is there, names are whole and uncompressed, nothing is left over. Of types that
/// are not known, everything can.
#[must_use]
pub fn is_valid(rtype: Rtype, class: Class, rdata: &[u8]) -> bool {
    rdata.len() <= RDATA_OCTETS_MAX
        && match form(rtype, class) {
            Form::Meta => false,
            Form::Opaque => true,
            Form::Fields(fields) => write_fields(fields, rdata, &mut Vec::new()) != Err(Unwritable::Malformed),
        }
}

/// Writes rdata as fields, or in RFC 3597's form where the type has no fields or the octets no text.
pub(crate) fn write(rtype: Rtype, class: Class, rdata: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    if let Form::Fields(fields) = form(rtype, class)
        && write_fields(fields, rdata, out).is_ok()
    {
        // An optional field that is not there leaves the blank before it.
        if out.len() > start && out.last() == Some(&b' ') {
            out.pop();
        }
        return;
    }
    out.truncate(start);
    out.extend_from_slice(format!("\\# {}", rdata.len()).as_bytes());
    if !rdata.is_empty() {
        out.push(b' ');
        super::codec::write_hex(rdata, out);
    }
}

fn write_fields(fields: &[Field], rdata: &[u8], out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let mut octets = Octets::new(rdata);
    let mut unusual = false;
    for (at, field) in fields.iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        match octets.field(*field, out) {
            Ok(()) => {}
            // The rest may be broken as well.
            Err(Unwritable::Unusual) => unusual = true,
            Err(Unwritable::Malformed) => return Err(Unwritable::Malformed),
        }
    }
    match (octets.is_empty(), unusual) {
        (false, _) => Err(Unwritable::Malformed),
        (true, true) => Err(Unwritable::Unusual),
        (true, false) => Ok(()),
    }
}
