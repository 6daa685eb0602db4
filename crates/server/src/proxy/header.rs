//! The two forms of a PROXY header (haproxy.org, proxy-protocol.txt, sections 2.1 and 2.2), with the strictness and the words of
//! CoreDNS's parser.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The first octets of version 1.
const SIGNATURE_1: &[u8] = b"PROXY";
/// The first octets of version 2.
const SIGNATURE_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest header of version 1, octets, line end included.
const LINE_OCTETS_MAX: usize = 107;
/// The octets of a version 2 header before its addresses.
const FIXED_OCTETS: usize = 16;
/// The most octets of addresses and what follows them that a version 2 header may announce.
const ANNOUNCED_OCTETS_MAX: usize = 4096;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

/// A header that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Fault(&'static str);

const LINE_UNREADABLE: Fault = Fault("proxyproto: can't read version 1 header");
const LINE_TOO_LONG: Fault = Fault("proxyproto: version 1 header must be 107 bytes or less");
const LINE_END: Fault = Fault("proxyproto: version 1 header is invalid, must end with \\r\\n");
const NO_COMMAND: Fault = Fault("proxyproto: can't read proxy protocol version and command: EOF");
const BAD_COMMAND: Fault = Fault("proxyproto: unsupported proxy protocol version and command");
const NO_FAMILY: Fault = Fault("proxyproto: can't read address family or protocol: EOF");
const UNKNOWN_FAMILY: Fault = Fault("proxyproto: can't read address family or protocol");
const BAD_FAMILY: Fault = Fault("proxyproto: unsupported address family and protocol");
const NO_LENGTH: Fault = Fault("proxyproto: can't read length: EOF");
const HALF_LENGTH: Fault = Fault("proxyproto: can't read length: unexpected EOF");
const BAD_LENGTH: Fault = Fault("proxyproto: invalid length");
const SKIPPED_SHORT: Fault = Fault("proxyproto: invalid length: EOF");
const NO_ADDRESS: Fault = Fault("proxyproto: invalid address: EOF");
const HALF_ADDRESS: Fault = Fault("proxyproto: invalid address: unexpected EOF");
const BAD_ADDRESS: Fault = Fault("proxyproto: invalid address");
const BAD_PORT: Fault = Fault("proxyproto: invalid port number");
const SHORT: Fault = Fault("unexpected EOF");

/// What stands at the beginning of a stream or datagram.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No header.
    Absent,
    /// Perhaps the beginning of one. If nothing follows it is none, or it is wrong.
    Partial(Option<Fault>),
    /// A header.
    Header(Header),
}

/// A header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// 1 or 2.
    pub(crate) version: u8,
    /// Address family and protocol as version 2 writes them: 0x12 is UDP over IPv4.
    pub(crate) family: u8,
    /// How long it is, octets.
    pub(crate) len: usize,
    /// Client and the address that it sent to; none: the proxy speaks for itself, or not of IP addresses.
    pub(crate) ends: Option<(SocketAddr, SocketAddr)>,
}

impl Header {
    /// Whether it speaks of datagrams between IP addresses.
    pub(crate) fn is_udp(&self) -> bool {
        matches!(self.family, 0x12 | 0x22)
    }
}

/// Reads the header with which the octets begin.
///
/// # Errors
/// There is one, and whatever follows it is wrong.
pub(crate) fn read(octets: &[u8]) -> Result<Found, Fault> {
    if octets.starts_with(SIGNATURE_1) {
        return read_line(octets);
    }
    if octets.starts_with(SIGNATURE_2) {
        return read_binary(octets);
    }
    if SIGNATURE_1.starts_with(octets) || SIGNATURE_2.starts_with(octets) {
        return Ok(Found::Partial(None));
    }
    Ok(Found::Absent)
}

fn read_line(octets: &[u8]) -> Result<Found, Fault> {
    let window = octets.get(..LINE_OCTETS_MAX).unwrap_or(octets);
    let Some(end) = window.iter().position(|octet| *octet == b'\n') else {
        return match window.len() {
            LINE_OCTETS_MAX => Err(LINE_TOO_LONG),
            // What is no text never becomes a line; there is no need to wait for its end.
            _ if !window.starts_with(b"PROXY UNKNOWN") && window.iter().any(|octet| !is_text(*octet)) => {
                Err(LINE_UNREADABLE)
            }
            _ => Ok(Found::Partial(Some(LINE_UNREADABLE))),
        };
    };
    let line = window[..end].strip_suffix(b"\r").ok_or(LINE_END)?;
    let mut words = line.split(|octet| *octet == b' ');
    if words.next() != Some(SIGNATURE_1) {
        return Err(LINE_UNREADABLE);
    }
    let header = |family, ends| Ok(Found::Header(Header { version: 1, family, len: end + 1, ends }));
    let kind = words.next().ok_or(UNKNOWN_FAMILY)?;
    // What follows UNKNOWN is ignored.
    if kind == b"UNKNOWN" {
        return header(0, None);
    }
    let (Some(source), Some(destination), Some(source_port), Some(destination_port), None) =
        (words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return Err(UNKNOWN_FAMILY);
    };
    let (family, source, destination) = match kind {
        b"TCP4" => (0x11, ip::<Ipv4Addr>(source)?, ip::<Ipv4Addr>(destination)?),
        b"TCP6" => (0x21, ip::<Ipv6Addr>(source)?, ip::<Ipv6Addr>(destination)?),
        _ => return Err(UNKNOWN_FAMILY),
    };
    let ends = ((source, port(source_port)?).into(), (destination, port(destination_port)?).into());
    header(family, Some(ends))
}

fn is_text(octet: u8) -> bool {
    matches!(octet, b' '..=b'~' | b'\r')
}

fn ip<T: FromStr + Into<IpAddr>>(word: &[u8]) -> Result<IpAddr, Fault> {
    let ip = str::from_utf8(word).ok().and_then(|word| word.parse::<T>().ok()).ok_or(BAD_ADDRESS)?;
    Ok(ip.into().to_canonical())
}

/// Digits alone, and no zero before others.
fn port(word: &[u8]) -> Result<u16, Fault> {
    let is_plain = word.iter().all(u8::is_ascii_digit) && (word.len() == 1 || !word.starts_with(b"0"));
    let number = str::from_utf8(word).ok().and_then(|word| word.parse().ok());
    number.filter(|_| is_plain).ok_or(BAD_PORT)
}

fn read_binary(octets: &[u8]) -> Result<Found, Fault> {
    let partial = |fault| Ok(Found::Partial(Some(fault)));
    let Some(&command) = octets.get(12) else { return partial(NO_COMMAND) };
    if !matches!(command, LOCAL | PROXY) {
        return Err(BAD_COMMAND);
    }
    let Some(&family) = octets.get(13) else { return partial(NO_FAMILY) };
    let addresses = match family {
        0x00 if command == LOCAL => 0,
        0x11 | 0x12 => 12,
        0x21 | 0x22 => 36,
        0x31 | 0x32 => 216,
        _ => return Err(BAD_FAMILY),
    };
    let (Some(&high), Some(&low)) = (octets.get(14), octets.get(15)) else {
        return partial(if octets.len() == 14 { NO_LENGTH } else { HALF_LENGTH });
    };
    let announced = usize::from(u16::from_be_bytes([high, low]));
    // What the proxy says of itself is skipped, however long it is: its addresses do not count.
    let is_skipped = announced < addresses && command == LOCAL;
    if (announced < addresses && !is_skipped) || announced > ANNOUNCED_OCTETS_MAX {
        return Err(BAD_LENGTH);
    }
    let rest = octets.get(FIXED_OCTETS..).unwrap_or_default();
    let Some(body) = rest.get(..announced) else {
        return partial(match rest.len() {
            _ if is_skipped => SKIPPED_SHORT,
            0 if addresses > 0 => NO_ADDRESS,
            there if there < addresses => HALF_ADDRESS,
            there if there == addresses => BAD_LENGTH,
            _ => SHORT,
        });
    };
    let ends = if command == LOCAL { None } else { ends_of(family, body) };
    let family = if is_skipped { 0 } else { family };
    Ok(Found::Header(Header { version: 2, family, len: FIXED_OCTETS + announced, ends }))
}

/// Addresses and ports; an IPv4 address that is mapped into IPv6 is shown as what it is.
fn ends_of(family: u8, body: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (source, destination, ports): (IpAddr, IpAddr, &[u8]) = match family {
        0x11 | 0x12 => {
            let at = |from: usize| <[u8; 4]>::try_from(body.get(from..from + 4)?).ok();
            (at(0)?.into(), at(4)?.into(), body.get(8..12)?)
        }
        0x21 | 0x22 => {
            let at = |from: usize| <[u8; 16]>::try_from(body.get(from..from + 16)?).ok();
            (at(0)?.into(), at(16)?.into(), body.get(32..36)?)
        }
        _ => return None,
    };
    let &[high, low, other_high, other_low] = ports else { return None };
    let source = SocketAddr::new(source.to_canonical(), u16::from_be_bytes([high, low]));
    let destination = SocketAddr::new(destination.to_canonical(), u16::from_be_bytes([other_high, other_low]));
    Some((source, destination))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    /// A version 2 header with this command, family and body, and an octet behind it.
    fn binary(command: u8, family: u8, announced: u16, body: &[u8]) -> Vec<u8> {
        let mut octets = SIGNATURE_2.to_vec();
        octets.extend([command, family]);
        octets.extend(announced.to_be_bytes());
        octets.extend(body);
        octets
    }

    const FOUR: [u8; 12] = [198, 51, 100, 9, 203, 0, 113, 1, 0x12, 0x67, 0, 53];

    fn ends(source: &str, destination: &str) -> Option<(SocketAddr, SocketAddr)> {
        Some((source.parse().unwrap(), destination.parse().unwrap()))
    }

    fn header(octets: &[u8]) -> Header {
        match read(octets) {
            Ok(Found::Header(header)) => header,
            other => panic!("no header: {other:?}"),
        }
    }

    fn fault(octets: &[u8]) -> String {
        match read(octets) {
            Err(fault) | Ok(Found::Partial(Some(fault))) => fault.to_string(),
            other => panic!("no fault: {other:?}"),
        }
    }

    #[test]
    fn a_line_names_client_and_destination() {
        let line = b"PROXY TCP4 198.51.100.9 203.0.113.1 4711 53\r\nrest";
        let expected = Header { version: 1, family: 0x11, len: 45, ends: ends("198.51.100.9:4711", "203.0.113.1:53") };
        assert_eq!(header(line), expected);
        let six = header(b"PROXY TCP6 2001:db8::9 2001:db8::1 4711 53\r\n");
        assert_eq!(six.ends, ends("[2001:db8::9]:4711", "[2001:db8::1]:53"));
        assert_eq!(header(b"PROXY UNKNOWN what \xff\r\n").ends, None);
    }

    #[test]
    fn octets_name_client_and_destination() {
        let found = header(&binary(PROXY, 0x12, 12, &FOUR));
        assert_eq!((found.ends, found.len, found.is_udp()), (ends("198.51.100.9:4711", "203.0.113.1:53"), 28, true));
        let with_more = header(&binary(PROXY, 0x11, 14, &[&FOUR[..], &[4, 0]].concat()));
        assert_eq!((with_more.len, with_more.is_udp()), (30, false));
    }

    #[test]
    fn a_mapped_address_is_an_ipv4_address() {
        let mut body = [0; 36];
        body[10..16].copy_from_slice(&[0xff, 0xff, 198, 51, 100, 9]);
        body[26..32].copy_from_slice(&[0xff, 0xff, 203, 0, 113, 1]);
        body[32..].copy_from_slice(&FOUR[8..]);
        assert_eq!(header(&binary(PROXY, 0x22, 36, &body)).ends, ends("198.51.100.9:4711", "203.0.113.1:53"));
        let line = header(b"PROXY TCP6 ::ffff:198.51.100.9 ::ffff:203.0.113.1 4711 53\r\n");
        assert_eq!(line.ends, ends("198.51.100.9:4711", "203.0.113.1:53"));
    }

    #[test]
    fn what_a_proxy_says_of_itself_names_nobody() {
        for (family, announced, body) in [(0, 0, &[][..]), (0x11, 12, &FOUR), (0x12, 0, &[]), (0x21, 3, &[1, 2, 3])] {
            let found = header(&binary(LOCAL, family, announced, body));
            assert_eq!((found.ends, found.len), (None, 16 + body.len()), "family {family:x}");
        }
    }

    #[test]
    fn a_unix_socket_names_nobody() {
        assert_eq!(header(&binary(PROXY, 0x31, 216, &[1; 216])).ends, None);
    }

    #[test]
    fn other_beginnings_are_no_headers() {
        for other in [&b"\0\x1f\xab"[..], b"PRO!Y", b"\r\n\r\n\0\r\nQUIT!", b"X"] {
            assert_eq!(read(other), Ok(Found::Absent), "{other:?}");
        }
    }

    #[test]
    fn every_beginning_of_a_header_may_become_one() {
        for whole in [b"PROXY TCP4 198.51.100.9 203.0.113.1 4711 53\r\n".to_vec(), binary(PROXY, 0x12, 12, &FOUR)] {
            for len in 0..whole.len() {
                assert!(matches!(read(&whole[..len]), Ok(Found::Partial(_))), "{len}");
            }
        }
    }

    #[test]
    fn wrong_lines_are_told() {
        let line = |words: &str| fault(format!("PROXY{words}\r\n").as_bytes());
        assert_eq!(line(" TCP4 198.51.100.9"), UNKNOWN_FAMILY.to_string());
        assert_eq!(line(" TCP5 1.2.3.4 1.2.3.4 1 1"), UNKNOWN_FAMILY.to_string());
        assert_eq!(line(" TCP4 198.51.100.999 203.0.113.1 4711 53"), BAD_ADDRESS.to_string());
        assert_eq!(line(" TCP4 2001:db8::1 203.0.113.1 4711 53"), BAD_ADDRESS.to_string());
        for port in ["+1", "01", "65536", "", "x"] {
            assert_eq!(line(&format!(" TCP4 1.2.3.4 1.2.3.4 {port} 53")), BAD_PORT.to_string(), "{port}");
        }
        assert_eq!(line("X TCP4 1.2.3.4 1.2.3.4 1 1"), LINE_UNREADABLE.to_string());
        assert_eq!(fault(b"PROXY UNKNOWN\n"), LINE_END.to_string());
    }

    #[test]
    fn a_line_without_an_end_is_wrong_as_soon_as_something_else_follows() {
        for more in [&b"\0\x1f"[..], b"\r\0", b"\x80"] {
            let octets = [b"PROXY TCP4 198.51.100.9 203.0.113.1 4711 53", more].concat();
            assert_eq!(read(&octets), Err(LINE_UNREADABLE));
        }
        assert!(matches!(read(b"PROXY UNKNOWN \0"), Ok(Found::Partial(_))));
    }

    #[test]
    fn a_line_has_at_most_107_octets() {
        let long = |blanks: usize| format!("PROXY UNKNOWN {}\r\n", "f".repeat(blanks));
        assert_eq!(header(long(91).as_bytes()).len, LINE_OCTETS_MAX);
        assert_eq!(fault(long(92).as_bytes()), LINE_TOO_LONG.to_string());
    }

    #[test]
    fn wrong_octets_are_told() {
        assert_eq!(fault(&binary(0x31, 0x11, 12, &FOUR)), BAD_COMMAND.to_string());
        assert_eq!(fault(&binary(PROXY, 0x00, 0, &[])), BAD_FAMILY.to_string());
        assert_eq!(fault(&binary(PROXY, 0x13, 12, &FOUR)), BAD_FAMILY.to_string());
        assert_eq!(fault(&binary(PROXY, 0x11, 4, &FOUR)), BAD_LENGTH.to_string());
        assert_eq!(fault(&binary(PROXY, 0x11, 4095, &FOUR[..4])), HALF_ADDRESS.to_string());
        assert_eq!(fault(&binary(PROXY, 0x11, 20, &FOUR)), BAD_LENGTH.to_string());
        assert_eq!(fault(&binary(PROXY, 0x11, 20, &[0; 13])), SHORT.to_string());
    }

    #[test]
    fn a_header_announces_at_most_4096_octets() {
        let body = vec![0; ANNOUNCED_OCTETS_MAX + 1];
        assert_eq!(header(&binary(PROXY, 0x11, 4096, &body)).len, 4112);
        assert_eq!(fault(&binary(PROXY, 0x11, 4097, &body)), BAD_LENGTH.to_string());
    }

    #[test]
    fn no_octets_make_it_panic() {
        let mut state = 0x9e37_79b9_u32;
        for _ in 0..20_000 {
            let mut octets = if state & 1 == 0 { SIGNATURE_2.to_vec() } else { b"PROXY TCP4 ".to_vec() };
            for _ in 0..state % 48 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                octets.push((state >> 24) as u8);
            }
            state = state.wrapping_add(1);
            if let Ok(Found::Header(header)) = read(&octets) {
                assert!(header.len <= octets.len());
            }
        }
    }
}
