//! PROXY headers, as a load balancer puts them in front of a connection or datagram.

use std::net::IpAddr;

use crate::Error;
use crate::message;

/// The first octets of version 2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The header of `v1 TCP4 SOURCE DESTINATION PORT PORT`, `v2 UDP4 SOURCE DESTINATION PORT PORT`, `v2 LOCAL` or of hexadecimal digits.
///
/// # Errors
/// [`Error::Case`] when it is none of these.
pub fn header(spec: &str) -> Result<Vec<u8>, Error> {
    let made = match spec.split_once(' ') {
        Some(("v1", rest)) => Some(format!("PROXY {rest}\r\n").into_bytes()),
        Some(("v2", "LOCAL")) => Some([SIGNATURE, &[0x20, 0, 0, 0]].concat()),
        Some(("v2", rest)) => version_2(rest),
        _ => message::unhex(spec),
    };
    made.ok_or_else(|| Error::Case(format!("proxy: {spec:?} is no header")))
}

fn version_2(rest: &str) -> Option<Vec<u8>> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let &[kind, source, destination, from, to] = words.as_slice() else { return None };
    let family = match kind {
        "TCP4" => 0x11,
        "UDP4" => 0x12,
        "TCP6" => 0x21,
        "UDP6" => 0x22,
        _ => return None,
    };
    let octets = |ip: &str| match ip.parse().ok()? {
        IpAddr::V4(ip) => Some(ip.octets().to_vec()),
        IpAddr::V6(ip) => Some(ip.octets().to_vec()),
    };
    let port = |text: &str| text.parse().ok().map(u16::to_be_bytes);
    let body = [octets(source)?, octets(destination)?, port(from)?.to_vec(), port(to)?.to_vec()].concat();
    Some([SIGNATURE, &[0x21, family, 0, u8::try_from(body.len()).ok()?], &body].concat())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn headers_of_both_versions_are_made() {
        assert_eq!(header("v1 TCP4 1.2.3.4 5.6.7.8 9 10").unwrap(), b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n");
        let expected = [SIGNATURE, &[0x21, 0x12, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 0, 10]].concat();
        assert_eq!(header("v2 UDP4 1.2.3.4 5.6.7.8 9 10").unwrap(), expected);
        assert_eq!(header("v2 LOCAL").unwrap().len(), 16);
        assert_eq!(header("0d0a 00").unwrap(), [13, 10, 0]);
    }

    #[test]
    fn what_is_no_header_is_an_error() {
        for spec in ["v2 UDP5 1.2.3.4 5.6.7.8 9 10", "v2 UDP4 1.2.3.4 5.6.7.8 9", "xyz"] {
            assert!(header(spec).is_err(), "{spec}");
        }
    }
}
