//! The names and addresses of one source of host lines.

use std::collections::HashMap;
use std::net::IpAddr;

use catena_core::name::owned;
use catena_core::{LabelStarts, OwnedName, Zones};
use catena_gocompat::address::{canonical, parse_ip, strip_zone};

/// The most entries of one source: an address of a name is one, a name of an address another. What is beyond is left out.
pub(crate) const ENTRIES_MAX: usize = 4_000_000;
/// What is logged when entries are left out.
pub(crate) const CUT: &str = "more than 4000000 entries, the rest is left out";

/// Which of the two kinds of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

type Hasher = foldhash::fast::RandomState;

/// Addresses by name and names by address. Names are keyed by their octets in lower case.
#[derive(Default)]
pub(crate) struct HostMap {
    v4: Names,
    v6: Names,
    reverse: HashMap<IpAddr, Vec<OwnedName>, Hasher>,
    entries: usize,
}

/// Addresses of one kind by name, and by what follows the asterisk of a wildcard.
#[derive(Default)]
struct Names {
    exact: HashMap<Box<[u8]>, Vec<IpAddr>, Hasher>,
    wild: HashMap<Box<[u8]>, Vec<IpAddr>, Hasher>,
}

impl Names {
    fn add(&mut self, name: &[u8], address: IpAddr) {
        let (map, key) = match name.strip_prefix(b"\x01*") {
            Some(parent) => (&mut self.wild, parent),
            None => (&mut self.exact, name),
        };
        map.entry(key.into()).or_default().push(address);
    }

    /// CoreDNS: plugin/hosts puts the asterisk in place of one label only, and never right below the root.
    fn find(&self, lower: &[u8]) -> &[IpAddr] {
        if let Some(found) = self.exact.get(lower) {
            return found;
        }
        let first = 1 + usize::from(lower.first().copied().unwrap_or(0));
        match lower.get(first..) {
            Some(parent) if parent.len() > 1 => self.wild.get(parent).map_or(&[], Vec::as_slice),
            _ => &[],
        }
    }
}

impl HostMap {
    /// The addresses of a name in lower case, or of the wildcard next above it, in the order of the lines.
    pub(crate) fn addresses(&self, lower: &[u8], family: Family) -> &[IpAddr] {
        match family {
            Family::V4 => self.v4.find(lower),
            Family::V6 => self.v6.find(lower),
        }
    }

    /// The names of an address, in the order of the lines.
    pub(crate) fn names(&self, address: IpAddr) -> impl Iterator<Item = &OwnedName> + '_ {
        self.reverse.get(&address).into_iter().flatten()
    }

    /// How many entries there are: addresses of names, and names of addresses.
    pub(crate) fn len(&self) -> usize {
        self.entries
    }

    fn add(&mut self, name: OwnedName, address: IpAddr, reverse: bool) {
        match address {
            IpAddr::V4(_) => self.v4.add(name.as_slice(), address),
            IpAddr::V6(_) => self.v6.add(name.as_slice(), address),
        }
        self.entries += 1;
        if reverse && !name.as_slice().starts_with(b"\x01*") {
            self.reverse.entry(address).or_default().push(name);
            self.entries += 1;
        }
    }
}

/// What [`parse`] makes of a text.
pub(crate) struct Parsed {
    /// The names and addresses.
    pub(crate) map: HostMap,
    /// Entries were left out because there are more than [`ENTRIES_MAX`].
    pub(crate) cut: bool,
}

/// Reads host lines: an address, then names. Everything that is no such line, and every name outside of `zones`, is passed over.
pub(crate) fn parse(text: &[u8], zones: &Zones, reverse: bool) -> Parsed {
    parse_some(text, zones, reverse, ENTRIES_MAX)
}

fn parse_some(text: &[u8], zones: &Zones, reverse: bool, entries_max: usize) -> Parsed {
    let mut map = HostMap::default();
    for line in text.split(|octet| *octet == b'\n') {
        let line = line.split(|octet| *octet == b'#').next().unwrap_or(&[]);
        // Names and addresses are ASCII; what is not cannot be either.
        let mut words =
            line.split(|octet| octet.is_ascii_whitespace() || *octet == 0x0b).filter(|word| !word.is_empty());
        let mut words = words.by_ref().map(|word| std::str::from_utf8(word).unwrap_or(""));
        let Some(address) = words.next().and_then(|word| parse_ip(strip_zone(word))).map(canonical) else { continue };
        for mut name in words.filter_map(owned) {
            name.make_canonical();
            if zones.longest(name.as_slice(), &LabelStarts::of(name.as_slice())).is_none() {
                continue;
            }
            if map.entries + 2 > entries_max {
                return Parsed { map, cut: true };
            }
            map.add(name, address, reverse);
        }
    }
    Parsed { map, cut: false }
}

/// The address that a reverse name in lower case stands for; `None` if it is not the whole name of one (RFC 1035 section 3.5,
/// RFC 3596 section 2.5).
pub(crate) fn address_of_reverse(lower: &[u8]) -> Option<IpAddr> {
    if let Some(labels) = lower.strip_suffix(b"\x07in-addr\x04arpa\x00") {
        let mut octets = [0u8; 4];
        let mut rest = labels;
        for octet in octets.iter_mut().rev() {
            let (&len, tail) = rest.split_first()?;
            let (label, after) = tail.split_at_checked(usize::from(len))?;
            let digits = std::str::from_utf8(label).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
            // Go: an octet has no leading zeros.
            *octet = digits.parse().ok().filter(|_| digits == "0" || !digits.starts_with('0'))?;
            rest = after;
        }
        return rest.is_empty().then(|| IpAddr::from(octets));
    }
    let labels = lower.strip_suffix(b"\x03ip6\x04arpa\x00")?;
    if labels.len() != 64 {
        return None;
    }
    let mut bits = 0u128;
    for label in labels.chunks_exact(2).rev() {
        let [1, digit] = *label else { return None };
        bits = bits << 4 | u128::from(char::from(digit).to_digit(16)?);
    }
    Some(canonical(IpAddr::from(bits.to_be_bytes())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn wire(text: &str) -> OwnedName {
        owned(text).unwrap()
    }

    fn addresses(map: &HostMap, name: &str, family: Family) -> Vec<String> {
        map.addresses(wire(name).as_slice(), family).iter().map(|address| address.to_string()).collect()
    }

    fn reverse(name: &str) -> Option<String> {
        address_of_reverse(wire(name).as_slice()).map(|address| address.to_string())
    }

    #[test]
    fn entries_at_the_limit_are_taken_and_those_beyond_are_left_out() {
        let text = b"192.0.2.1 a\n192.0.2.2 b\n192.0.2.3 c";
        let all = parse_some(text, &Zones::everything(), true, 6);
        assert_eq!((all.map.len(), all.cut), (6, false));
        let some = parse_some(text, &Zones::everything(), true, 5);
        assert_eq!((some.map.len(), some.cut), (4, true));
        assert!(addresses(&some.map, "c", Family::V4).is_empty());
        assert_eq!(addresses(&some.map, "b", Family::V4), ["192.0.2.2"]);
        assert!(CUT.contains(&ENTRIES_MAX.to_string()));
    }

    #[test]
    fn names_outside_the_zones_are_not_taken() {
        let zones = Zones::from_args(["example.org"]);
        let parsed = parse(b"192.0.2.1 a.example.org b.example.net", &zones, true);
        assert_eq!(parsed.map.len(), 2);
    }

    #[test]
    fn wildcards_count_once_and_have_no_reverse() {
        let parsed = parse(b"192.0.2.1 *.example.org *", &Zones::everything(), true);
        assert_eq!(parsed.map.len(), 2);
        assert_eq!(parsed.map.names("192.0.2.1".parse().unwrap()).count(), 0);
        assert_eq!(addresses(&parsed.map, "a.example.org", Family::V4), ["192.0.2.1"]);
        assert!(addresses(&parsed.map, "a", Family::V4).is_empty());
        assert!(addresses(&parsed.map, ".", Family::V4).is_empty());
    }

    #[test]
    fn text_that_is_no_name_or_no_text_is_passed_over() {
        let text = b"192.0.2.1 a..b \xff\xfe good\n\xff x\n192.0.2.1";
        let parsed = parse(text, &Zones::everything(), true);
        assert_eq!(parsed.map.len(), 2);
        assert_eq!(addresses(&parsed.map, "good", Family::V4), ["192.0.2.1"]);
    }

    #[test]
    fn reverse_names_are_read_whole_or_not_at_all() {
        assert_eq!(reverse("7.2.0.192.in-addr.arpa").as_deref(), Some("192.0.2.7"));
        let wrong =
            ["2.0.192.in-addr.arpa", "1.7.2.0.192.in-addr.arpa", "07.2.0.192.in-addr.arpa", "256.2.0.192.in-addr.arpa"];
        let short = ["in-addr.arpa", "+7.2.0.192.in-addr.arpa", "1.ip6.arpa", "."];
        for name in wrong.into_iter().chain(short) {
            assert_eq!(reverse(name), None, "{name}");
        }
        let nibbles = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2";
        assert_eq!(reverse(&format!("{nibbles}.ip6.arpa")).as_deref(), Some("2001:db8::1"));
        assert_eq!(reverse(&format!("{}.ip6.arpa", nibbles.replace('b', "g"))), None);
    }
}
