//! Go's `net` and `net/netip` texts: host and port, addresses, CIDR networks.

use catena_corefile::{Cursor, Diagnostic, Token};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// What keeps a text from being `host:port`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressErrorKind {
    /// No colon where the port would begin.
    MissingPort,
    /// A colon in the host, outside brackets.
    TooManyColons,
    /// A `[` that nothing closes.
    MissingBracket,
    /// A `[` that is not in front.
    UnexpectedOpening,
    /// A `]` without its `[`.
    UnexpectedClosing,
}

impl fmt::Display for AddressErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MissingPort => "missing port in address",
            Self::TooManyColons => "too many colons in address",
            Self::MissingBracket => "missing ']' in address",
            Self::UnexpectedOpening => "unexpected '[' in address",
            Self::UnexpectedClosing => "unexpected ']' in address",
        })
    }
}

/// Why a text is not `host:port`; prints as Go's `*net.AddrError` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressError {
    /// The text that was read.
    pub address: String,
    /// What is wrong with it.
    pub kind: AddressErrorKind,
}

impl std::error::Error for AddressError {}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.address.is_empty() {
            write!(f, "address {}: ", self.address)?;
        }
        self.kind.fmt(f)
    }
}

/// Splits `host:port`, `[host]:port` or `[host%zone]:port`: Go's `net.SplitHostPort`. Either part
/// may be empty, and neither is looked into.
pub fn split_host_port(text: &str) -> Result<(&str, &str), AddressError> {
    let fail = |kind| AddressError { address: text.to_owned(), kind };
    let colon = text.rfind(':').ok_or_else(|| fail(AddressErrorKind::MissingPort))?;
    let (host, openings_from, closings_from) = if text.starts_with('[') {
        let end = text.find(']').ok_or_else(|| fail(AddressErrorKind::MissingBracket))?;
        if end + 1 != colon {
            let colon_follows = text[end + 1..].starts_with(':');
            return Err(fail(if colon_follows {
                AddressErrorKind::TooManyColons
            } else {
                AddressErrorKind::MissingPort
            }));
        }
        (&text[1..end], 1, end + 1)
    } else {
        let host = &text[..colon];
        if host.contains(':') {
            return Err(fail(AddressErrorKind::TooManyColons));
        }
        (host, 0, 0)
    };
    if text[openings_from..].contains('[') {
        return Err(fail(AddressErrorKind::UnexpectedOpening));
    }
    if text[closings_from..].contains(']') {
        return Err(fail(AddressErrorKind::UnexpectedClosing));
    }
    Ok((host, &text[colon + 1..]))
}

/// Joins host and port, with brackets where the host has a colon: Go's `net.JoinHostPort`.
pub fn join_host_port(host: &str, port: &str) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Cuts the zone id off an address: everything from the last `%` on.
pub fn strip_zone(host: &str) -> &str {
    host.rfind('%').map_or(host, |at| &host[..at])
}

/// Reads an address: Go's `net.ParseIP`. No leading zeros, no zone id; an IPv4-mapped IPv6
/// address is the IPv4 address, as Go prints and compares it.
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    text.parse().ok().map(canonical)
}

/// The address as Go's `net.IP` compares and prints it: IPv4 where it is IPv4-mapped.
pub fn canonical(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

/// An address in the text of Go's `IP.String`: RFC 5952, IPv4 where it is IPv4-mapped.
pub fn ip_text(ip: IpAddr) -> String {
    canonical(ip).to_string()
}

/// An address with its zone id, Go's `netip.Addr`: unlike `net.IP`, IPv4-mapped addresses stay
/// IPv6.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ZonedAddr {
    /// The address, as written.
    pub ip: IpAddr,
    /// The zone id behind `%`, not empty; IPv6 only.
    pub zone: Option<String>,
}

impl fmt::Display for ZonedAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ip.fmt(f)?;
        match &self.zone {
            Some(zone) => write!(f, "%{zone}"),
            None => Ok(()),
        }
    }
}

/// Reads an address that may have a zone id: Go's `netip.ParseAddr`.
pub fn parse_addr(text: &str) -> Option<ZonedAddr> {
    let Some((ip, zone)) = text.split_once('%') else {
        return Some(ZonedAddr { ip: text.parse().ok()?, zone: None });
    };
    if zone.is_empty() {
        return None;
    }
    Some(ZonedAddr { ip: IpAddr::V6(ip.parse().ok()?), zone: Some(zone.to_owned()) })
}

/// Why a text is no CIDR network; prints as Go's `*net.ParseError` does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid CIDR address: {0}")]
pub struct CidrError(
    /// The text that was read.
    pub String,
);

/// A network, Go's `net.IPNet`. Prints as `address/length`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr {
    /// The address as written in front of the slash; IPv4 where it is IPv4-mapped.
    pub ip: IpAddr,
    /// The address with the host bits cleared.
    pub network: IpAddr,
    /// Leading one bits of the mask, within the family of `network`.
    pub prefix_len: u8,
}

impl Cidr {
    /// Reads `address/length`: Go's `net.ParseCIDR`. The length may have leading zeros.
    pub fn parse(text: &str) -> Result<Self, CidrError> {
        Self::read(text).ok_or_else(|| CidrError(text.to_owned()))
    }

    /// Reads a network, or an address alone, which is a network of one.
    ///
    /// # Errors
    /// A message that names the text.
    pub fn parse_network(text: &str) -> Result<Self, String> {
        let whole = match text.parse::<IpAddr>() {
            Ok(ip) if ip.is_ipv4() => format!("{text}/32"),
            Ok(_) => format!("{text}/128"),
            Err(_) => text.to_owned(),
        };
        Self::parse(&whole).map_err(|error| format!("invalid network {text:?}: {error}"))
    }

    fn read(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let written: IpAddr = address.parse().ok()?;
        if length.is_empty() || !length.bytes().all(|c| c.is_ascii_digit()) {
            return None;
        }
        let length: u8 = length.parse().ok()?;
        let (bits, length) = match written {
            IpAddr::V4(v4) if length <= 32 => (v4.to_ipv6_mapped().to_bits(), length + 96),
            IpAddr::V6(v6) if length <= 128 => (v6.to_bits(), length),
            _ => return None,
        };
        let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
        let network = canonical(IpAddr::V6(Ipv6Addr::from_bits(bits & mask)));
        // An IPv4-mapped network is an IPv4 network to Go once its mask reaches into the IPv4 part.
        let prefix_len = match network {
            IpAddr::V4(_) => length.checked_sub(96)?,
            IpAddr::V6(_) => length,
        };
        Some(Self { ip: canonical(written), network, prefix_len })
    }

    /// Whether the network holds `ip`: Go's `IPNet.Contains`, where an IPv4-mapped address is its
    /// IPv4 address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let (bits, network, width) = match (canonical(ip), self.network) {
            (IpAddr::V4(ip), IpAddr::V4(network)) => (u128::from(ip.to_bits()), u128::from(network.to_bits()), 32),
            (IpAddr::V6(ip), IpAddr::V6(network)) => (ip.to_bits(), network.to_bits(), 128),
            _ => return false,
        };
        let host_bits = width - u32::from(self.prefix_len);
        (bits ^ network).checked_shr(host_bits).unwrap_or(0) == 0
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix_len)
    }
}

/// Takes the words on a directive's line as the address of a side listener, `HOST:PORT`, if there is one (CoreDNS: plugins/health, ready
/// and metrics).
///
/// # Errors
/// More than one word, or one that is no address: Go's words, without the place in them.
pub fn listen_address<'a>(words: &mut Cursor<'a>) -> Result<Option<&'a Token>, Diagnostic> {
    match words.remaining_tokens()[..] {
        [] => Ok(None),
        [addr] => match split_host_port(&addr.text) {
            Ok(_) => Ok(Some(addr)),
            Err(error) => Err(Diagnostic::error(error.to_string()).at(addr)),
        },
        _ => Err(words.arg_err()),
    }
}

/// What is wrong with the port of a side listener's address, as it is told when there should be listened; `None` for a number up to
/// 65535 and for no port. Go would look other words up among the system's services.
#[must_use]
pub fn port_fault(addr: &str) -> Option<String> {
    let (_, port) = split_host_port(addr).ok()?;
    let is_port = port.is_empty() || port.parse::<u16>().is_ok();
    (!is_port).then(|| format!("listen tcp: address {port}: invalid port"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn host_and_port_split_as_in_go() {
        for (text, host, port) in [
            ("a:1", "a", "1"),
            (":53", "", "53"),
            ("a:", "a", ""),
            ("[::1]:53", "::1", "53"),
            ("[fe80::1%eth0]:53", "fe80::1%eth0", "53"),
            ("[]:", "", ""),
        ] {
            assert_eq!(split_host_port(text), Ok((host, port)), "{text}");
        }
    }

    #[test]
    fn host_and_port_errors_read_as_in_go() {
        for (text, want) in [
            ("", "missing port in address"),
            ("a", "address a: missing port in address"),
            ("::1", "address ::1: too many colons in address"),
            ("[::1]", "address [::1]: missing port in address"),
            ("[::1", "address [::1: missing ']' in address"),
            ("[::1]a:1", "address [::1]a:1: missing port in address"),
            ("[::1]:1:2", "address [::1]:1:2: too many colons in address"),
            ("a[b:1", "address a[b:1: unexpected '[' in address"),
            ("ab]:1", "address ab]:1: unexpected ']' in address"),
            ("[a]:[1", "address [a]:[1: unexpected '[' in address"),
        ] {
            assert_eq!(split_host_port(text).unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn addresses_parse_and_print_as_in_go() {
        for (text, want) in [
            ("1.2.3.4", Some("1.2.3.4")),
            ("::ffff:1.2.3.4", Some("1.2.3.4")),
            ("2001:DB8:0:0:1:0:0:1", Some("2001:db8::1:0:0:1")),
            ("1:2:3:4:5:6:7::", Some("1:2:3:4:5:6:7:0")),
            ("::1.2.3.4", Some("::102:304")),
            ("01.2.3.4", None),
            ("1.2.3", None),
            ("1.2.3.4.5", None),
            ("1.2.3.256", None),
            ("fe80::1%eth0", None),
            ("1:2:3:4:5:6:7::8", None),
            ("12345::", None),
            ("", None),
            (" 1.2.3.4", None),
        ] {
            let got = parse_ip(text).map(ip_text);
            assert_eq!(got.as_deref(), want, "{text}");
        }
    }

    #[test]
    fn zone_ids_are_read_on_request_only() {
        let text = |addr| parse_addr(addr).map(|addr| addr.to_string());
        assert_eq!(text("fe80::1%eth0").as_deref(), Some("fe80::1%eth0"));
        assert_eq!(text("::ffff:1.2.3.4").as_deref(), Some("::ffff:1.2.3.4"));
        assert_eq!(text("1.2.3.4%eth0"), None);
        assert_eq!(text("fe80::1%"), None);
        assert_eq!(strip_zone("fe80::1%a%b"), "fe80::1%a");
    }

    #[test]
    fn networks_parse_as_in_go() {
        for (text, want) in [
            ("1.2.3.4/24", Some("1.2.3.0/24")),
            ("1.2.3.4/000008", Some("1.0.0.0/8")),
            ("1.2.3.4/0", Some("0.0.0.0/0")),
            ("2001:db8::1/32", Some("2001:db8::/32")),
            ("::1/0", Some("::/0")),
            ("::1/128", Some("::1/128")),
            ("::ffff:1.2.3.4/120", Some("1.2.3.0/24")),
            ("::ffff:1.2.3.4/96", Some("0.0.0.0/0")),
            ("::ffff:1.2.3.4/24", Some("::/24")),
            ("1.2.3.4/33", None),
            ("::1/129", None),
            ("::1/1000", None),
            ("fe80::1%e/64", None),
            ("1.2.3.4/+1", None),
            ("1.2.3.4/", None),
            ("1.2.3.4", None),
        ] {
            match Cidr::parse(text) {
                Ok(cidr) => assert_eq!(Some(cidr.to_string().as_str()), want, "{text}"),
                Err(error) => {
                    assert_eq!(want, None, "{text}");
                    assert_eq!(error.to_string(), format!("invalid CIDR address: {text}"));
                }
            }
        }
    }

    #[test]
    fn a_network_holds_its_addresses_in_both_forms() {
        let holds = |net: &str, ip: &str| Cidr::parse(net).unwrap().contains(ip.parse().unwrap());
        assert!(holds("10.0.0.0/8", "10.255.0.1"));
        assert!(holds("10.0.0.0/8", "::ffff:10.255.0.1"));
        assert!(holds("0.0.0.0/0", "1.2.3.4"));
        assert!(holds("::/0", "2001:db8::1"));
        assert!(!holds("::/0", "1.2.3.4"));
        assert!(!holds("10.0.0.0/8", "11.0.0.1"));
        assert!(!holds("2001:db8::/32", "2001:db9::"));
    }

    proptest! {
        #[test]
        fn what_is_joined_splits_back(host in "[a-z0-9:.%]{0,20}", port in "[0-9]{0,5}") {
            let joined = join_host_port(&host, &port);
            prop_assert_eq!(split_host_port(&joined), Ok((host.as_str(), port.as_str())));
        }

        #[test]
        fn no_text_panics(text in "[\\[\\]:.%/0-9a-f]{0,30}|\\PC{0,20}") {
            let _ = split_host_port(&text);
            let _ = parse_addr(&text);
            if let Ok(cidr) = Cidr::parse(&text) {
                prop_assert!(cidr.contains(cidr.ip));
            }
        }
    }
}
