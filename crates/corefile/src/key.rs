//! Keys of server blocks: `[SCHEME://]ZONE[:PORT]`, where the zone may be a CIDR prefix.

use std::fmt;

use crate::reverse::{is_cidr, reverse_zones};

/// How queries of a zone arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Plain UDP and TCP.
    Dns,
    /// DNS over TLS.
    Tls,
    /// DNS over QUIC.
    Quic,
    /// DNS over gRPC.
    Grpc,
    /// DNS over HTTPS.
    Https,
    /// DNS over HTTP/3.
    Https3,
    /// A Unix socket; known as a scheme, but nothing listens on it (as in CoreDNS).
    Unix,
}

impl Transport {
    /// Every transport, in the order in which prefixes are tried.
    pub const ALL: [Self; 7] = [Self::Tls, Self::Dns, Self::Quic, Self::Grpc, Self::Https3, Self::Https, Self::Unix];

    /// The scheme, without `://`.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Quic => "quic",
            Self::Grpc => "grpc",
            Self::Https => "https",
            Self::Https3 => "https3",
            Self::Unix => "unix",
        }
    }

    /// The port of a key that has none; nothing for plain DNS, where a flag gives it, and for Unix sockets.
    pub const fn default_port(self) -> Option<&'static str> {
        match self {
            Self::Dns | Self::Unix => None,
            Self::Tls | Self::Quic => Some("853"),
            Self::Grpc | Self::Https | Self::Https3 => Some("443"),
        }
    }

    /// Takes the scheme off an address; without one (schemes are lower-case) it is plain DNS.
    pub fn split(address: &str) -> (Self, &str) {
        Self::ALL
            .into_iter()
            .find_map(|transport| {
                let rest = address.strip_prefix(transport.scheme())?.strip_prefix("://")?;
                Some((transport, rest))
            })
            .unwrap_or((Self::Dns, address))
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scheme())
    }
}

/// A zone with the transport and port on which it is served. Written as `SCHEME://ZONE:PORT`.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Address {
    /// How queries arrive.
    pub transport: Transport,
    /// The zone in lower case with the final dot.
    pub zone: String,
    /// The port as a decimal number of whatever size, or the text of the port flag; empty for a Unix socket.
    pub port: String,
}

impl Address {
    /// The port as a number.
    ///
    /// # Errors
    /// Go's words if it is not within 0 to 65535; CoreDNS looks at this only when it listens.
    pub fn port_number(&self) -> Result<u16, String> {
        self.port.parse().map_err(|_| format!("address {}: invalid port", self.port))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.transport, self.zone, self.port)
    }
}

/// Longest zone of a key in bytes.
pub const ZONE_BYTES_MAX: usize = 255;

/// Reads a key. More than one address comes of a CIDR prefix between two label boundaries; at most
/// [`CIDR_ZONES_MAX`](crate::CIDR_ZONES_MAX).
///
/// # Errors
/// CoreDNS's words, without the `error inspecting server blocks: ` that it puts in front.
pub fn parse_key(key: &str, default_port: &str) -> Result<Vec<Address>, String> {
    let (transport, rest) = Transport::split(key);
    let (hosts, port) = split_host_port(rest)?;
    for host in &hosts {
        split_host_port(&fqdn(host))?;
    }
    let port = port.unwrap_or_else(|| match transport {
        Transport::Dns => default_port.to_owned(),
        _ => transport.default_port().unwrap_or("").to_owned(),
    });
    let address = |host: String| Address { transport, zone: normalize(&host), port: port.clone() };
    Ok(hosts.into_iter().map(address).collect())
}

/// Reads a zone argument of a plugin: scheme and port are taken off, a CIDR prefix becomes reverse zones, and zones are lower-case with
/// the final dot. What is not a zone yields nothing.
pub fn zones_from_arg(arg: &str) -> Vec<String> {
    let (_, rest) = Transport::split(arg);
    let hosts = split_host_port(rest).map_or_else(|_| Vec::new(), |(hosts, _)| hosts);
    hosts.iter().map(|host| normalize(host)).collect()
}

/// The zones and the port of a key without scheme.
fn split_host_port(key: &str) -> Result<(Vec<String>, Option<String>), String> {
    if key.is_empty() || key.ends_with(':') {
        return Err(format!("expecting data after last colon: {}", quoted(key)));
    }
    let (host, port) = match key.rsplit_once(':') {
        Some((host, port)) => match go_integer(port) {
            Some(port) => (host, Some(port.to_string())),
            None => (key, None),
        },
        None => (key, None),
    };
    if host.len() > ZONE_BYTES_MAX {
        return Err(format!("specified zone is too long: {} > {ZONE_BYTES_MAX}", host.len()));
    }
    if !is_domain_name(host) {
        return Err(format!("zone is not a valid domain name: {host}"));
    }
    if !is_cidr(host) {
        return Ok((vec![host.to_owned()], port));
    }
    if host.starts_with(':') || (host.starts_with('0') && host.contains(':')) {
        return Err(format!("invalid CIDR {host}"));
    }
    Ok((reverse_zones(host), port))
}

/// A decimal number with an optional sign.
fn go_integer(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// A text in quotes, with the escapes of Go's `%q`.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\n' | '\r' | '\t' => out.extend(c.escape_debug()),
            '\0'..='\u{1f}' | '\u{7f}' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            ' '..='~' => out.push(c),
            // Behind a letter, what is escaped is not printable rather than a combining mark.
            _ if !format!("a{c}").escape_debug().any(|escaped| escaped == '\\') => out.push(c),
            '\0'..='\u{ffff}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

/// Whether a name ends in a dot that is not escaped.
fn is_fqdn(name: &str) -> bool {
    let Some(before) = name.strip_suffix('.') else { return false };
    let backslashes = before.len() - before.trim_end_matches('\\').len();
    backslashes % 2 == 0
}

fn fqdn(name: &str) -> String {
    if is_fqdn(name) { name.to_owned() } else { format!("{name}.") }
}

/// Lower case, letter by letter, with the final dot.
fn normalize(name: &str) -> String {
    fqdn(name).chars().map(|c| c.to_lowercase().next().unwrap_or(c)).collect()
}

/// Whether a text is a name with labels of at most 63 octets and at most 255 in all, escapes `\.` and `\DDD` counted as the library
/// that CoreDNS uses counts them.
fn is_domain_name(name: &str) -> bool {
    const WIRE_BYTES_MAX: usize = 256;
    if name.is_empty() {
        return false;
    }
    let name = fqdn(name);
    let bytes = name.as_bytes();
    let (mut at, mut begin, mut used) = (0, 0, 0);
    let (mut was_dot, mut escaped) = (false, false);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => {
                escaped = !escaped;
                if used + 1 > WIRE_BYTES_MAX {
                    return false;
                }
                let digits = bytes.get(at + 1..at + 4).is_some_and(|next| next.iter().all(u8::is_ascii_digit));
                let skipped = if digits { 3 } else { 1 };
                at += skipped;
                begin += skipped;
                was_dot = false;
            }
            b'.' => {
                escaped = false;
                if (at == 0 && bytes.len() > 1) || was_dot {
                    return false;
                }
                was_dot = true;
                let length = at.saturating_sub(begin);
                used += 1 + length;
                if length >= 64 || used > WIRE_BYTES_MAX {
                    return false;
                }
                begin = at + 1;
            }
            _ => (escaped, was_dot) = (false, false),
        }
        at += 1;
    }
    !escaped
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn shown(key: &str) -> Vec<String> {
        parse_key(key, "53").unwrap().iter().map(ToString::to_string).collect()
    }

    fn fails(key: &str) -> String {
        parse_key(key, "53").unwrap_err()
    }

    #[test]
    fn schemes_are_exact_prefixes_and_bring_their_default_ports() {
        for (key, expected) in [
            ("example.org", "dns://example.org.:53"),
            ("dns://.", "dns://.:53"),
            ("tls://example.org", "tls://example.org.:853"),
            ("quic://example.org", "quic://example.org.:853"),
            ("grpc://example.org", "grpc://example.org.:443"),
            ("https://example.org", "https://example.org.:443"),
            ("https3://example.org", "https3://example.org.:443"),
            ("unix://example.org", "unix://example.org.:"),
            ("TLS://example.org", "dns://tls://example.org.:53"),
        ] {
            assert_eq!(shown(key), [expected], "{key}");
        }
        assert_eq!(parse_key("a", "1053").unwrap()[0].port, "1053");
    }

    #[test]
    fn a_port_is_a_number_behind_the_last_colon_and_is_normalised() {
        assert_eq!(shown("example.org:053"), ["dns://example.org.:53"]);
        assert_eq!(shown("example.org:+5"), ["dns://example.org.:5"]);
        assert_eq!(shown("example.org:dns"), ["dns://example.org:dns.:53"]);
        assert_eq!(shown("a:99999"), ["dns://a.:99999"]);
        assert_eq!(parse_key("a:99999", "53").unwrap()[0].port_number().unwrap_err(), "address 99999: invalid port");
        assert!(parse_key("a:-1", "53").unwrap()[0].port_number().is_err());
        assert_eq!(parse_key("a:65535", "53").unwrap()[0].port_number(), Ok(65535));
    }

    #[test]
    fn bad_keys_are_told_in_the_words_of_coredns() {
        assert_eq!(fails("example.org:"), "expecting data after last colon: \"example.org:\"");
        assert_eq!(fails(""), "expecting data after last colon: \"\"");
        assert_eq!(fails("\"\\\u{7}\u{1}\u{ad}é':"), r#"expecting data after last colon: "\"\\\a\x01\u00adé':""#);
        assert_eq!(fails("dns://"), "expecting data after last colon: \"\"");
        assert_eq!(fails(":53"), "zone is not a valid domain name: ");
        assert_eq!(fails("a..b"), "zone is not a valid domain name: a..b");
        assert_eq!(fails(".a"), "zone is not a valid domain name: .a");
        assert_eq!(
            fails(&format!("{}.org", "a".repeat(64))),
            format!("zone is not a valid domain name: {}.org", "a".repeat(64))
        );
        assert_eq!(fails("::/8"), "invalid CIDR ::/8");
        assert_eq!(fails("0::1/8"), "invalid CIDR 0::1/8");
    }

    #[test]
    fn the_length_of_a_zone_has_an_edge() {
        let label = "a".repeat(62);
        let zone = format!("{}abc.", format!("{label}.").repeat(4));
        let at: String = zone.chars().skip(1).collect();
        assert_eq!(at.len(), ZONE_BYTES_MAX);
        assert!(parse_key(&at, "53").is_ok());
        assert_eq!(fails(&zone), format!("specified zone is too long: 256 > {ZONE_BYTES_MAX}"));
    }

    #[test]
    fn zones_are_lower_case_and_end_in_a_dot() {
        assert_eq!(shown("EXAMPLE.Org."), ["dns://example.org.:53"]);
        assert_eq!(shown(r"a\."), [r"dns://a\..:53"]);
        assert_eq!(shown("}"), ["dns://}.:53"]);
    }

    #[test]
    fn prefixes_become_reverse_zones_that_share_the_port() {
        assert_eq!(shown("192.0.2.0/24:5300"), ["dns://2.0.192.in-addr.arpa.:5300"]);
        let many = parse_key("tls://10.0.0.0/25", "53").unwrap();
        assert_eq!(many.len(), 128);
        assert_eq!(many[127].to_string(), "tls://127.0.0.10.in-addr.arpa.:853");
    }

    #[test]
    fn zone_arguments_lose_scheme_and_port_and_bad_ones_vanish() {
        assert_eq!(zones_from_arg("tls://Example.org:853"), ["example.org."]);
        assert_eq!(zones_from_arg("10.0.0.0/8"), ["10.in-addr.arpa."]);
        assert!(zones_from_arg("a..b").is_empty());
        assert!(zones_from_arg("").is_empty());
    }
}
