//! Lists of address prefixes: APL (RFC 3123).

use nom::bytes::complete::{tag, take_till};
use nom::character::complete::{char, digit1};
use nom::combinator::{all_consuming, map_opt, opt, rest};
use nom::sequence::{preceded, separated_pair};
use nom::{IResult, Parser};

use super::super::codec;
use super::super::error::Problem;
use super::super::time::number;
use super::Special;
use super::input::Input;
use super::output::{Octets, Unwritable, write_number};

/// Items as `!1:192.0.2.0/24` up to the end of the line.
pub(crate) const PREFIXES: Special = Special { read, write };

/// The bit of a length that stands for the exclamation mark.
const NEGATED: u8 = 0x80;

struct Item {
    family: u16,
    prefix: u8,
    negated: bool,
    /// As far as it is not zero.
    address: Vec<u8>,
}

fn read(input: &mut Input<'_, '_>) -> Result<(), Problem> {
    while !input.peek().is_end() {
        let item = input.word_as("a prefix as 1:192.0.2.0/24", |text| Some(all_consuming(item).parse(text).ok()?.1))?;
        let len = u8::try_from(item.address.len()).unwrap_or(0);
        input.out.extend(item.family.to_be_bytes());
        input.out.extend([item.prefix, if item.negated { len | NEGATED } else { len }]);
        input.out.extend_from_slice(&item.address);
        input.check_len()?;
    }
    Ok(())
}

fn item(text: &[u8]) -> IResult<&[u8], Item> {
    let family = map_opt(digit1, |digits| number(digits, u16::MAX.into()).and_then(|value| u16::try_from(value).ok()));
    let prefix = map_opt(rest, |digits| number(digits, 128).and_then(|value| u8::try_from(value).ok()));
    let address = separated_pair(take_till(|octet| octet == b'/'), char('/'), prefix);
    let whole = (opt(tag(&b"!"[..])), family, preceded(char(':'), address));
    map_opt(whole, |(negated, family, (address, prefix))| {
        let mut address: Vec<u8> = match family {
            1 if prefix <= 32 => codec::ipv4(address)?.into(),
            2 => codec::ipv6(address)?.into(),
            _ => return None,
        };
        let len = address.iter().rposition(|&octet| octet != 0).map_or(0, |at| at + 1);
        address.truncate(len);
        Some(Item { family, prefix, negated: negated.is_some(), address })
    })
    .parse(text)
}

fn write(octets: &mut Octets<'_>, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let mut unusual = false;
    let mut between = false;
    while !octets.is_empty() {
        let family = octets.number(2)?;
        let (prefix, len) = (octets.u8()?, octets.u8()?);
        let part = octets.take((len & !NEGATED).into())?;
        let (size, bits_max) = if family == 1 { (4, 32) } else { (16, 128) };
        // Zeros at the end are not sent (RFC 3123 section 4.1).
        unusual |= !(1..=2).contains(&family) || part.len() > size || prefix > bits_max || part.last() == Some(&0);
        let mut address = [0; 16];
        let kept = part.get(..part.len().min(size)).unwrap_or_default();
        address.get_mut(..kept.len()).unwrap_or_default().copy_from_slice(kept);
        if between {
            out.push(b' ');
        }
        between = true;
        if len & NEGATED != 0 {
            out.push(b'!');
        }
        write_number(family, out);
        out.push(b':');
        let mut address = Octets::new(&address);
        if family == 1 {
            address.ipv4(out)?
        } else {
            address.ipv6(out)?
        }
        out.push(b'/');
        write_number(prefix.into(), out);
    }
    if unusual { Err(Unwritable::Unusual) } else { Ok(()) }
}
