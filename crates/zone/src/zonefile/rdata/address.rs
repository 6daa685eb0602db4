//! Addresses that only one type has: WKS (RFC 1035 section 3.4.2), ATMA (the ATM Forum's AF-SAA-0069), A6 (RFC 2874).

use super::super::codec::{self, Bits, write_hex};
use super::super::error::Problem;
use super::input::Input;
use super::output::{Octets, Unwritable, write_number};
use super::{Special, codes};

/// The address, protocol and services of a WKS record: services are bits of a map.
pub(crate) const WELL_KNOWN_SERVICES: Special = Special { read: read_services, write: write_services };
/// An E.164 number with a plus, or an ATM end system address in base 16.
pub(crate) const ATM_ADDRESS: Special = Special { read: read_atm, write: write_atm };
/// How many bits of an address are elsewhere, the bits that are here, and the name that has the others.
pub(crate) const ADDRESS_CHAIN: Special = Special { read: read_chain, write: write_chain };

/// The longest bitmap of services, octets: one bit a port.
const SERVICE_OCTETS_MAX: usize = 65_536 / 8;

fn read_services(input: &mut Input<'_, '_>) -> Result<(), Problem> {
    let what = "a service or a port";
    let mut bits: Vec<u8> = Vec::new();
    while !input.peek().is_end() {
        let port = input.word_as(what, |text| codes::read(codes::SERVICES, text, u16::MAX))?;
        let at = usize::from(port / 8);
        bits.resize(bits.len().max(at + 1), 0);
        bits[at] |= 0x80 >> (port & 7);
    }
    input.out.extend_from_slice(&bits);
    Ok(())
}

fn write_services(octets: &mut Octets<'_>, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let bits = octets.all();
    if bits.len() > SERVICE_OCTETS_MAX {
        return Err(Unwritable::Malformed);
    }
    let set = (0u64..).zip(bits.iter().flat_map(|octet| (0..8).map(move |bit| octet & 0x80 >> bit != 0)));
    for (port, _) in set.filter(|(_, set)| *set) {
        if out.last() != Some(&b' ') {
            out.push(b' ');
        }
        write_number(port, out);
    }
    if bits.last() == Some(&0) { Err(Unwritable::Unusual) } else { Ok(()) }
}

fn read_atm(input: &mut Input<'_, '_>) -> Result<(), Problem> {
    let octets = input.word_as("an ATM address", |text| {
        if let Some(digits) = text.strip_prefix(b"+") {
            let fits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            return fits.then(|| [b"\x01", digits].concat());
        }
        let digits: Vec<u8> = text.iter().copied().filter(|&octet| octet != b'.').collect();
        let (mut bits, mut octets) = (Bits::default(), vec![0]);
        bits.hex(&digits, &mut octets).and_then(|()| bits.end_hex()).ok()?;
        (octets.len() > 1).then_some(octets)
    })?;
    input.out.extend_from_slice(&octets);
    Ok(())
}

fn write_atm(octets: &mut Octets<'_>, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let format = octets.u8()?;
    let address = octets.all();
    match format {
        _ if address.is_empty() => Err(Unwritable::Malformed),
        0 => {
            write_hex(address, out);
            Ok(())
        }
        1 if address.iter().all(u8::is_ascii_digit) => {
            out.push(b'+');
            out.extend_from_slice(address);
            Ok(())
        }
        _ => Err(Unwritable::Unusual),
    }
}

/// The octets that hold the bits of an address behind a prefix.
fn suffix_len(prefix: u8) -> usize {
    usize::from(128 - prefix.min(128)).div_ceil(8)
}

fn read_chain(input: &mut Input<'_, '_>) -> Result<(), Problem> {
    let place = *input.peek();
    let prefix = input.u8()?;
    if prefix > 128 {
        return Err(place.problem("a prefix of IPv6 has at most 128 bits"));
    }
    input.out.push(prefix);
    if prefix < 128 {
        let mut address = input.word_as("an IPv6 address", codec::ipv6)?;
        let first = 16 - suffix_len(prefix);
        if let Some(octet) = address.get_mut(first) {
            *octet &= 0xff >> (prefix % 8);
        }
        input.out.extend_from_slice(address.get(first..).unwrap_or_default());
    }
    if prefix > 0 { input.name() } else { Ok(()) }
}

fn write_chain(octets: &mut Octets<'_>, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let prefix = octets.u8()?;
    if prefix > 128 {
        return Err(Unwritable::Malformed);
    }
    write_number(prefix.into(), out);
    let suffix = octets.take(suffix_len(prefix))?;
    let mut address = [0; 16];
    address.get_mut(16 - suffix.len()..).ok_or(Unwritable::Malformed)?.copy_from_slice(suffix);
    if prefix < 128 {
        out.push(b' ');
        Octets::new(&address).ipv6(out)?;
    }
    // Bits of the prefix in front of the suffix are padding, which is zero.
    let padding = suffix.first().is_some_and(|octet| octet & !(0xff >> (prefix % 8)) != 0);
    if prefix > 0 {
        out.push(b' ');
        octets.name(out)?;
    }
    if padding { Err(Unwritable::Unusual) } else { Ok(()) }
}
