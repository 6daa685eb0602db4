//! Parameters of services: SVCB and HTTPS (RFC 9460).

use super::super::codec::{self, Bits, write_base64};
use super::super::error::{Problem, shown};
use super::super::lex::{Kind, unescape_into};
use super::super::time::number;
use super::Special;
use super::input::Input;
use super::output::{Octets, Unwritable, write_number, write_quoted};

/// `key=value` up to the end of the line, in any order; sorted on the wire.
pub(crate) const PARAMETERS: Special = Special { read, write };

const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
const PORT: u16 = 3;
const IPV4_HINT: u16 = 4;
const ECH: u16 = 5;
const IPV6_HINT: u16 = 6;
const DOH_PATH: u16 = 7;
const OHTTP: u16 = 8;
/// A key that is never used (RFC 9460 section 14.3.2).
const INVALID: u16 = 65_535;

/// The names of keys, in the order of their numbers (RFC 9460 section 14.3.2, RFC 9461, RFC 9540).
const KEYS: [&str; 9] =
    ["mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint", "dohpath", "ohttp"];

fn read(input: &mut Input<'_, '_>) -> Result<(), Problem> {
    let first = *input.peek();
    let mut params: Vec<(u16, Vec<u8>)> = Vec::new();
    let mut octets = 0;
    while !input.peek().is_end() {
        let (token, text) = input.word("a parameter")?;
        let (name, value) = match text.iter().position(|&octet| octet == b'=') {
            Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
            None => (text, None),
        };
        let key = key(name).ok_or_else(|| token.problem(format!("'{}' is not a key of a parameter", shown(name))))?;
        // A quoted value is a token of its own, without a blank before it.
        let next = *input.peek();
        let quoted = value == Some(b"") && next.kind == Kind::Quoted && next.start == token.end + 1;
        let value = if quoted { Some(input.take().map(|token| input.octets(&token))?) } else { value };
        let value = coded(key, name, value).map_err(|message| token.problem(message))?;
        octets += value.len();
        if octets > super::RDATA_OCTETS_MAX {
            return Err(first.problem("the parameters are too long"));
        }
        params.push((key, value));
    }
    params.sort_by_key(|(key, _)| *key);
    if params.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(first.problem("a parameter stands here twice"));
    }
    check(&params).map_err(|message| first.problem(message))?;
    for (key, value) in &params {
        let len = u16::try_from(value.len()).unwrap_or(u16::MAX);
        input.out.extend(key.to_be_bytes());
        input.out.extend(len.to_be_bytes());
        input.out.extend_from_slice(value);
    }
    Ok(())
}

fn key(name: &[u8]) -> Option<u16> {
    if let Some(at) = KEYS.iter().position(|known| known.as_bytes().eq_ignore_ascii_case(name)) {
        return u16::try_from(at).ok();
    }
    let digits = name.get(3..).filter(|_| name.get(..3).is_some_and(|key| key.eq_ignore_ascii_case(b"key")))?;
    let leading_zero = digits.len() > 1 && digits.first() == Some(&b'0');
    let key = u16::try_from(number(digits, u64::from(INVALID) - 1)?).ok()?;
    (!leading_zero).then_some(key)
}

/// A parameter's value on the wire.
fn coded(key: u16, name: &[u8], value: Option<&[u8]>) -> Result<Vec<u8>, &'static str> {
    let mut text = Vec::new();
    unescape_into(value.unwrap_or_default(), true, &mut text)?;
    // A known key by its number has its value as it is on the wire (RFC 9460 section 2.1).
    let opaque = KEYS.get(usize::from(key)).is_none_or(|known| !known.as_bytes().eq_ignore_ascii_case(name));
    let coded = if opaque { Some(text) } else { coded_known(key, &text) };
    let message = "the value is not one for this key";
    coded.filter(|value| value_text(key, value, &mut Vec::new()) != Err(Unwritable::Unusual)).ok_or(message)
}

fn coded_known(key: u16, text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match key {
        MANDATORY => {
            let mut keys = text.split(|&octet| octet == b',').map(self::key).collect::<Option<Vec<u16>>>()?;
            keys.sort_unstable();
            keys.iter().for_each(|key| out.extend(key.to_be_bytes()));
        }
        ALPN => {
            for id in list(text)? {
                out.push(u8::try_from(id.len()).ok()?);
                out.extend_from_slice(&id);
            }
        }
        PORT => out.extend(u16::try_from(number(text, u16::MAX.into())?).ok()?.to_be_bytes()),
        IPV4_HINT => {
            for address in text.split(|&octet| octet == b',') {
                out.extend(codec::ipv4(address)?);
            }
        }
        IPV6_HINT => {
            for address in text.split(|&octet| octet == b',') {
                out.extend(codec::ipv6(address)?);
            }
        }
        ECH => {
            let mut bits = Bits::default();
            bits.base64(text, &mut out).and_then(|()| bits.end_base64()).ok()?;
        }
        _ => out.extend_from_slice(text),
    }
    Some(out)
}

/// Splits a list at its commas; a comma or backslash in an item has a backslash before it (RFC 9460 appendix A.1).
fn list(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut items = vec![Vec::new()];
    let mut octets = text.iter().copied();
    while let Some(octet) = octets.next() {
        match octet {
            b',' => items.push(Vec::new()),
            b'\\' => items.last_mut()?.push(octets.next().filter(|next| matches!(next, b',' | b'\\'))?),
            _ => items.last_mut()?.push(octet),
        }
    }
    Some(items)
}

/// Checks what parameters say about each other (RFC 9460 sections 7.1.1 and 8).
fn check<V: AsRef<[u8]>>(params: &[(u16, V)]) -> Result<(), &'static str> {
    let has = |wanted: u16| params.iter().any(|(key, _)| *key == wanted);
    let mandatory = params.iter().find(|(key, _)| *key == MANDATORY).map_or(&[][..], |(_, value)| value.as_ref());
    if !mandatory.chunks(2).all(|key| <[u8; 2]>::try_from(key).is_ok_and(|key| has(u16::from_be_bytes(key)))) {
        return Err("a mandatory parameter is missing");
    }
    if has(NO_DEFAULT_ALPN) && !has(ALPN) {
        return Err("no-default-alpn needs alpn");
    }
    Ok(())
}

fn write(octets: &mut Octets<'_>, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let mut params: Vec<(u16, &[u8])> = Vec::new();
    let mut unusual = false;
    while !octets.is_empty() {
        let key = u16::try_from(octets.number(2)?).unwrap_or(INVALID);
        let len = usize::try_from(octets.number(2)?).unwrap_or(0);
        let value = octets.take(len)?;
        if params.last().is_some_and(|(before, _)| *before >= key) {
            return Err(Unwritable::Malformed);
        }
        if !params.is_empty() {
            out.push(b' ');
        }
        params.push((key, value));
        match KEYS.get(usize::from(key)).filter(|_| key != OHTTP) {
            Some(name) => out.extend_from_slice(name.as_bytes()),
            // Also keys that older readers do not know by name.
            None => out.extend_from_slice(format!("key{key}").as_bytes()),
        }
        unusual |= key == INVALID || value_text(key, value, out).is_err();
    }
    if unusual || check(&params).is_err() { Err(Unwritable::Unusual) } else { Ok(()) }
}

/// Writes a parameter's value with the sign before it.
fn value_text(key: u16, value: &[u8], out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let pairs_sorted = || value.chunks(2).zip(value.chunks(2).skip(1)).all(|(left, right)| left < right);
    let usual = match key {
        MANDATORY => {
            !value.is_empty() && value.len().is_multiple_of(2) && !value.starts_with(&[0, 0]) && pairs_sorted()
        }
        ALPN | DOH_PATH => !value.is_empty(),
        ECH => !value.is_empty(),
        NO_DEFAULT_ALPN | OHTTP => value.is_empty(),
        PORT => value.len() == 2,
        IPV4_HINT => !value.is_empty() && value.len().is_multiple_of(4),
        IPV6_HINT => !value.is_empty() && value.len().is_multiple_of(16),
        _ => true,
    };
    if !usual {
        return Err(Unwritable::Unusual);
    }
    if value.is_empty() {
        return Ok(());
    }
    out.push(b'=');
    let mut octets = Octets::new(value);
    match key {
        MANDATORY => separated(&mut octets, out, |octets, out| {
            let key = octets.number(2)?;
            match usize::try_from(key).ok().and_then(|key| KEYS.get(key)).filter(|_| key != u64::from(OHTTP)) {
                Some(name) => out.extend_from_slice(name.as_bytes()),
                None => out.extend_from_slice(format!("key{key}").as_bytes()),
            }
            Ok(())
        }),
        ALPN => write_alpn(&mut octets, out),
        PORT => {
            write_number(octets.number(2)?, out);
            Ok(())
        }
        IPV4_HINT => separated(&mut octets, out, |octets, out| octets.ipv4(out)),
        IPV6_HINT => separated(&mut octets, out, |octets, out| octets.ipv6(out)),
        ECH => {
            write_base64(value, out);
            Ok(())
        }
        _ => {
            write_quoted(value, out);
            Ok(())
        }
    }
}

type WriteItem = fn(&mut Octets<'_>, &mut Vec<u8>) -> Result<(), Unwritable>;

fn separated(octets: &mut Octets<'_>, out: &mut Vec<u8>, item: WriteItem) -> Result<(), Unwritable> {
    item(octets, out)?;
    while !octets.is_empty() {
        out.push(b',');
        item(octets, out)?;
    }
    Ok(())
}

fn write_alpn(octets: &mut Octets<'_>, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let mut text = Vec::new();
    while !octets.is_empty() {
        let id = octets.counted().ok().filter(|id| !id.is_empty()).ok_or(Unwritable::Unusual)?;
        if !text.is_empty() {
            text.push(b',');
        }
        for &octet in id {
            if matches!(octet, b',' | b'\\') {
                text.push(b'\\');
            }
            text.push(octet);
        }
    }
    write_quoted(&text, out);
    Ok(())
}
