//! Reverse zones of CIDR prefixes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Most zones that one prefix becomes: an IPv4 prefix one bit longer than a label boundary.
pub const CIDR_ZONES_MAX: usize = 128;

/// Whether a text is an address and a prefix length.
pub(crate) fn is_cidr(text: &str) -> bool {
    parse(text).is_some()
}

/// The reverse zones of a prefix, with the final dot: one if its length is on a label boundary (8 bits in IPv4, 4 in IPv6), else those of
/// the longer prefixes on the next boundary that it covers. None if the text is no prefix.
pub(crate) fn reverse_zones(text: &str) -> Vec<String> {
    match parse(text) {
        Some((IpAddr::V4(address), length)) => {
            let zones = split(u128::from(address.to_bits()), length, 32, 8);
            zones.map(|(bits, length)| reverse_v4(bits, length)).collect()
        }
        Some((IpAddr::V6(address), length)) => {
            split(address.to_bits(), length, 128, 4).map(|(bits, length)| reverse_v6(bits, length)).collect()
        }
        None => Vec::new(),
    }
}

fn parse(text: &str) -> Option<(IpAddr, u32)> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let length: u32 = length.parse().ok()?;
    (length <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, length))
}

/// The prefixes on the next label boundary that a prefix covers, host bits masked off.
fn split(address: u128, length: u32, width: u32, label: u32) -> impl Iterator<Item = (u128, u32)> {
    let rounded = length.div_ceil(label) * label;
    let base = address.checked_shr(width - length).unwrap_or(0).checked_shl(rounded - length).unwrap_or(0);
    let count = 1u128 << (rounded - length);
    (0..count).map(move |index| ((base + index).checked_shl(width - rounded).unwrap_or(0), rounded))
}

fn reverse_v4(bits: u128, length: u32) -> String {
    // The upper bits are zero: the address came from 32 bits.
    let octets = Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(0)).octets();
    let labels = octets.iter().take(length as usize / 8).rev();
    labels.map(|octet| format!("{octet}.")).collect::<String>() + "in-addr.arpa."
}

fn reverse_v6(bits: u128, length: u32) -> String {
    let octets = Ipv6Addr::from_bits(bits).octets();
    let nibbles: Vec<u8> = octets.iter().flat_map(|octet| [octet >> 4, octet & 15]).take(length as usize / 4).collect();
    nibbles.iter().rev().map(|nibble| format!("{nibble:x}.")).collect::<String>() + "ip6.arpa."
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_prefix_on_a_boundary_is_one_zone_with_host_bits_masked_off() {
        for (prefix, zone) in [
            ("192.0.2.7/24", "2.0.192.in-addr.arpa."),
            ("10.0.0.0/8", "10.in-addr.arpa."),
            ("0.0.0.0/0", "in-addr.arpa."),
            ("192.0.2.1/32", "1.2.0.192.in-addr.arpa."),
            ("2001:db8::/32", "8.b.d.0.1.0.0.2.ip6.arpa."),
            ("2001:db8::/036", "0.8.b.d.0.1.0.0.2.ip6.arpa."),
        ] {
            assert_eq!(reverse_zones(prefix), [zone], "{prefix}");
        }
    }

    #[test]
    fn a_prefix_between_boundaries_is_rounded_up_and_split() {
        let zones = reverse_zones("192.0.2.129/25");
        assert_eq!(zones.len(), CIDR_ZONES_MAX);
        assert_eq!(
            (zones[0].as_str(), zones[127].as_str()),
            ("128.2.0.192.in-addr.arpa.", "255.2.0.192.in-addr.arpa.")
        );
        let zones = reverse_zones("10.128.0.0/17");
        assert_eq!((zones.len(), zones[0].as_str()), (128, "0.128.10.in-addr.arpa."));
        assert_eq!(reverse_zones("10.0.0.0/15"), ["0.10.in-addr.arpa.", "1.10.in-addr.arpa."]);
        assert_eq!(reverse_zones("2001:db8::/31"), ["8.b.d.0.1.0.0.2.ip6.arpa.", "9.b.d.0.1.0.0.2.ip6.arpa."]);
        assert_eq!(reverse_zones("2001:db8::/33").len(), 8);
    }

    #[test]
    fn no_prefix_makes_more_than_the_limit() {
        for length in 0..=32 {
            assert!(reverse_zones(&format!("203.0.113.9/{length}")).len() <= CIDR_ZONES_MAX);
        }
        for length in 0..=128 {
            assert!(reverse_zones(&format!("2001:db8::9/{length}")).len() <= CIDR_ZONES_MAX);
        }
    }

    #[test]
    fn other_texts_are_no_prefixes() {
        for text in
            ["192.0.2.0", "192.0.2/24", "192.0.2.0/33", "192.0.02.0/24", "192.0.2.0/", "192.0.2.0/+8", "::1/129", "a/8"]
        {
            assert!(!is_cidr(text), "{text}");
            assert!(reverse_zones(text).is_empty());
        }
    }
}
