//! Gateways, relays and rendezvous servers: IPSECKEY (RFC 4025), AMTRELAY (RFC 8777), HIP (RFC 8005).

use super::super::codec::{self, Bits, write_base64, write_hex};
use super::super::error::Problem;
use super::input::Input;
use super::output::{Octets, Unwritable, write_number};
use super::{Field, Special};

/// Precedence, kind of gateway, algorithm, gateway.
pub(crate) const IPSEC_GATEWAY: Special = Special { read: read_ipsec, write: write_ipsec };
/// Precedence, discovery bit, kind of relay, relay.
pub(crate) const RELAY: Special = Special { read: read_relay, write: write_relay };
/// Algorithm, host identity tag, key; lengths come first on the wire.
pub(crate) const HOST_IDENTITY: Special = Special { read: read_identity, write: write_identity };

/// The bit of a relay's kind that asks for discovery first.
const DISCOVERY: u8 = 0x80;

/// Takes a gateway of a kind: none, IPv4, IPv6, a name.
fn read_gateway(kind: u8, input: &mut Input<'_, '_>) -> Result<(), Problem> {
    match kind {
        0 => input.word_as("a dot (there is no gateway)", |text| (text == b".").then_some(())),
        1 => {
            let address = input.word_as("an IPv4 address", codec::ipv4)?;
            input.out.extend_from_slice(&address);
            Ok(())
        }
        2 => {
            let address = input.word_as("an IPv6 address", codec::ipv6)?;
            input.out.extend_from_slice(&address);
            Ok(())
        }
        _ => input.name(),
    }
}

/// Takes the kind of a gateway.
fn read_kind(input: &mut Input<'_, '_>) -> Result<u8, Problem> {
    let place = *input.peek();
    match input.u8()? {
        kind @ 0..=3 => Ok(kind),
        _ => Err(place.problem("a gateway is of kind 0 (none), 1 (IPv4), 2 (IPv6) or 3 (a name)")),
    }
}

fn write_gateway(kind: u8, octets: &mut Octets<'_>, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    match kind {
        0 => {
            out.push(b'.');
            Ok(())
        }
        1 => octets.ipv4(out),
        2 => octets.ipv6(out),
        3 => octets.name(out),
        _ => {
            octets.all();
            Err(Unwritable::Unusual)
        }
    }
}

fn read_ipsec(input: &mut Input<'_, '_>) -> Result<(), Problem> {
    let precedence = input.u8()?;
    let kind = read_kind(input)?;
    let algorithm = input.u8()?;
    input.out.extend([precedence, kind, algorithm]);
    read_gateway(kind, input)
}

fn write_ipsec(octets: &mut Octets<'_>, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let (precedence, kind, algorithm) = (octets.u8()?, octets.u8()?, octets.u8()?);
    for number in [precedence, kind, algorithm] {
        write_number(number.into(), out);
        out.push(b' ');
    }
    write_gateway(kind, octets, out)
}

fn read_relay(input: &mut Input<'_, '_>) -> Result<(), Problem> {
    let precedence = input.u8()?;
    let discovery = input.number(1)?;
    let kind = read_kind(input)?;
    input.out.extend([precedence, if discovery == 1 { kind | DISCOVERY } else { kind }]);
    read_gateway(kind, input)
}

fn write_relay(octets: &mut Octets<'_>, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let (precedence, kind) = (octets.u8()?, octets.u8()?);
    for number in [precedence, kind >> 7, kind & !DISCOVERY] {
        write_number(number.into(), out);
        out.push(b' ');
    }
    write_gateway(kind & !DISCOVERY, octets, out)
}

fn read_identity(input: &mut Input<'_, '_>) -> Result<(), Problem> {
    let algorithm = input.u8()?;
    let (token, tag) = input.hex_word()?;
    let tag_len = u8::try_from(tag.len()).map_err(|_| token.problem("more than 255 octets"))?;
    let (token, text) = input.word("base 64")?;
    let (mut bits, mut key) = (Bits::default(), Vec::new());
    let read = bits.base64(text, &mut key).and_then(|()| bits.end_base64());
    read.map_err(|message| token.problem(message))?;
    let key_len = u16::try_from(key.len()).map_err(|_| token.problem("more than 65535 octets"))?;
    input.out.extend([tag_len, algorithm]);
    input.out.extend(key_len.to_be_bytes());
    input.out.extend_from_slice(&tag);
    input.out.extend_from_slice(&key);
    input.field(Field::Names)
}

fn write_identity(octets: &mut Octets<'_>, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let (tag_len, algorithm) = (octets.u8()?, octets.u8()?);
    let key_len = usize::try_from(octets.number(2)?).unwrap_or(0);
    let (tag, key) = (octets.take(tag_len.into())?, octets.take(key_len)?);
    write_number(algorithm.into(), out);
    out.push(b' ');
    write_hex(tag, out);
    out.push(b' ');
    write_base64(key, out);
    if !octets.is_empty() {
        out.push(b' ');
    }
    octets.field(Field::Names, out)?;
    if tag.is_empty() || key.is_empty() { Err(Unwritable::Unusual) } else { Ok(()) }
}
