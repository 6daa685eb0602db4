//! Sets of types: bitmaps of NSEC, NSEC3 and CSYNC (RFC 4034 section 4.1.2), and of NXT (RFC 2535 section 5.2).

use super::super::error::Problem;
use super::input::Input;
use super::output::{Octets, Unwritable};
use super::{type_number, write_type};

/// The first type that a bitmap of NXT has no place for.
const OLD_TYPE_END: u16 = 128;

fn types(input: &mut Input<'_, '_>, end: u32) -> Result<Vec<u16>, Problem> {
    let mut types = Vec::new();
    while !input.peek().is_end() {
        let fits = |text: &[u8]| type_number(text).filter(|rtype| u32::from(*rtype) < end);
        types.push(input.word_as("a type of records", fits)?);
    }
    types.sort_unstable();
    types.dedup();
    Ok(types)
}

/// Takes types up to the end of the line.
pub(crate) fn read(input: &mut Input<'_, '_>) -> Result<(), Problem> {
    let types = types(input, 1 << 16)?;
    for block in types.chunk_by(|left, right| left >> 8 == right >> 8) {
        let mut bits = [0u8; 32];
        let mut len = 0;
        for rtype in block {
            let at = usize::from(rtype & 0xff) / 8;
            bits[at] |= 0x80 >> (rtype & 7);
            len = at + 1;
        }
        let window = block.first().map_or(0, |rtype| rtype.to_be_bytes()[0]);
        input.out.extend([window, u8::try_from(len).unwrap_or(0)]);
        input.out.extend_from_slice(&bits[..len]);
    }
    Ok(())
}

/// Takes types up to the end of the line, each below 128.
pub(crate) fn read_old(input: &mut Input<'_, '_>) -> Result<(), Problem> {
    let mut bits = [0u8; 16];
    let mut len = 0;
    for rtype in types(input, OLD_TYPE_END.into())? {
        let at = usize::from(rtype) / 8;
        bits[at] |= 0x80 >> (rtype & 7);
        len = at + 1;
    }
    input.out.extend_from_slice(&bits[..len]);
    Ok(())
}

/// Writes the types of a bitmap.
pub(crate) fn write(octets: &mut Octets<'_>, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let mut before = None;
    let mut unusual = false;
    while !octets.is_empty() {
        let window = octets.u8()?;
        let bits = octets.counted()?;
        if bits.is_empty() || bits.len() > 32 || before.is_some_and(|before| before >= window) {
            return Err(Unwritable::Malformed);
        }
        // Octets of zero at the end say nothing.
        unusual |= bits.last() == Some(&0);
        write_bits(u16::from(window) << 8, bits, out);
        before = Some(window);
    }
    if unusual { Err(Unwritable::Unusual) } else { Ok(()) }
}

/// Writes the types of an NXT record's bitmap.
pub(crate) fn write_old(octets: &mut Octets<'_>, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let bits = octets.all();
    write_bits(0, bits.get(..16).unwrap_or(bits), out);
    if bits.len() > 16 || bits.last() == Some(&0) { Err(Unwritable::Unusual) } else { Ok(()) }
}

fn write_bits(base: u16, bits: &[u8], out: &mut Vec<u8>) {
    let places = (0u16..).zip(bits.iter().flat_map(|octet| (0..8).map(move |bit| octet & 0x80 >> bit != 0)));
    for (place, _) in places.filter(|(_, set)| *set) {
        if !matches!(out.last(), None | Some(b' ')) {
            out.push(b' ');
        }
        write_type(base + place, out);
    }
}
