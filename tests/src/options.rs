//! EDNS options: as cases write them, and as recordings show them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Error;
use crate::message::{hex, unhex};
use crate::value::Value;

const NSID: u16 = 3;
const ECS: u16 = 8;
const COOKIE: u16 = 10;
const KEEPALIVE: u16 = 11;
const PADDING: u16 = 12;
const EDE: u16 = 15;

/// The purposes of extended errors (RFC 8914, section 5.2), by their code.
const EDE_PURPOSES: [&str; 33] = [
    "Other",
    "Unsupported DNSKEY Algorithm",
    "Unsupported DS Digest Type",
    "Stale Answer",
    "Forged Answer",
    "DNSSEC Indeterminate",
    "DNSSEC Bogus",
    "Signature Expired",
    "Signature Not Yet Valid",
    "DNSKEY Missing",
    "RRSIGs Missing",
    "No Zone Key Bit Set",
    "NSEC Missing",
    "Cached Error",
    "Not Ready",
    "Blocked",
    "Censored",
    "Filtered",
    "Prohibited",
    "Stale NXDOMAIN Answer",
    "Not Authoritative",
    "Not Supported",
    "No Reachable Authority",
    "Network Error",
    "Invalid Data",
    "Signature Expired Before Valid",
    "Too Early",
    "Unsupported NSEC3 Iterations Value",
    "Unable To Conform To Policy",
    "Synthesized",
    "Invalid Query Type",
    "Rate Limited",
    "Over Quota",
];

/// The code and data of an option of a case: `nsid`, `cookie`, `ecs`, `keepalive`, `padding`, or `code` with `hex`.
///
/// # Errors
/// [`Error::Case`] for anything else.
pub fn build(spec: &Value) -> Result<(u16, Vec<u8>), Error> {
    let wrong = || Error::Case(format!("unknown EDNS option {spec}"));
    let bytes = |key: &str| unhex(spec.str_of(key).unwrap_or_default()).ok_or_else(wrong);
    let Some((kind, _)) = spec.entries().first() else { return Err(wrong()) };
    match kind.as_str() {
        "nsid" => Ok((NSID, Vec::new())),
        "keepalive" => Ok((KEEPALIVE, Vec::new())),
        "cookie" => Ok((COOKIE, bytes("cookie")?)),
        "padding" => Ok((PADDING, vec![0; spec.number_of("padding")?.unwrap_or_default()])),
        "ecs" => Ok((ECS, ecs(spec.str_of("ecs").unwrap_or_default()).ok_or_else(wrong)?)),
        "code" | "hex" => Ok((spec.number_of("code")?.ok_or_else(wrong)?, bytes("hex")?)),
        _ => Err(wrong()),
    }
}

/// The client's subnet (RFC 7871, section 6) from `ADDRESS/LENGTH`.
fn ecs(text: &str) -> Option<Vec<u8>> {
    let (address, length) = text.split_once('/')?;
    let length: u8 = length.parse().ok()?;
    let (family, octets) = match address.parse().ok()? {
        IpAddr::V4(address) => (1, address.octets().to_vec()),
        IpAddr::V6(address) => (2, address.octets().to_vec()),
    };
    let kept = usize::from(length).div_ceil(8);
    Some([&[0, family, length, 0], octets.get(..kept)?].concat())
}

/// An option as recordings show it.
pub fn text(code: u16, data: &[u8]) -> String {
    let shown = match code {
        NSID => return format!("NSID {}", data.iter().map(|byte| char::from(*byte)).collect::<String>()),
        ECS => ecs_text(data),
        EDE => ede_text(data),
        _ => None,
    };
    let name = match code {
        COOKIE => "COOKIE".into(),
        KEEPALIVE => "KEEPALIVE".into(),
        PADDING => "PADDING".into(),
        _ => format!("OPT{code}"),
    };
    shown.unwrap_or_else(|| format!("{name} {}", hex(data)).trim_end().to_owned())
}

fn ecs_text(data: &[u8]) -> Option<String> {
    let (head, rest) = data.split_at_checked(4)?;
    let mut octets = [0_u8; 16];
    octets.get_mut(..rest.len())?.copy_from_slice(rest);
    let address: IpAddr = match head[1] {
        1 => Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]).into(),
        2 => Ipv6Addr::from(octets).into(),
        _ => return None,
    };
    Some(format!("ECS {address}/{} scope/{}", head[2], head[3]))
}

fn ede_text(data: &[u8]) -> Option<String> {
    let (code, text) = data.split_at_checked(2)?;
    let code = u16::from_be_bytes([code[0], code[1]]);
    let purpose = EDE_PURPOSES.get(usize::from(code)).map(|purpose| format!(" ({purpose})")).unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    let text = text.trim_end_matches('\0');
    let text = if text.is_empty() { String::new() } else { format!(": {text}") };
    Some(format!("EDE {code}{purpose}{text}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::value::parse;

    #[test]
    fn options_come_back_as_recordings_show_them() {
        for (spec, shown) in [
            ("nsid: true", "NSID "),
            ("cookie: 0123456789abcdef", "COOKIE 0123456789abcdef"),
            ("keepalive: true", "KEEPALIVE"),
            ("padding: 3", "PADDING 000000"),
            ("ecs: 192.0.2.0/24", "ECS 192.0.2.0/24 scope/0"),
            ("{code: 65001, hex: beef}", "OPT65001 beef"),
            ("{code: 15, hex: '001562'}", "EDE 21 (Not Supported): b"),
            ("{code: 15, hex: '0003'}", "EDE 3 (Stale Answer)"),
        ] {
            let (code, data) = build(&parse(spec).unwrap()).unwrap();
            assert_eq!(text(code, &data), shown);
        }
    }

    #[test]
    fn an_unknown_option_is_an_error() {
        assert!(build(&parse("cooky: 01").unwrap()).is_err());
    }
}
