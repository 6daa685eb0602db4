//! Networks and what to do with them. The longest one that holds an address counts.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::table::Action;

/// The most networks of one kind in one list.
pub(crate) const NETWORKS_MAX: usize = 1 << 18;

/// A network: its first address, IPv4 as mapped IPv6, and the length of its prefix among 128 bits.
type Network = (u128, u8);

/// An action and, for records of the list, which.
type Said = (Action, Option<usize>);

/// Networks.
#[derive(Default)]
pub(crate) struct AddressTable {
    networks: HashMap<Network, Said, foldhash::fast::RandomState>,
    /// The lengths of prefixes that there are, the longest first.
    lengths: Vec<u8>,
}

impl AddressTable {
    pub(crate) fn len(&self) -> usize {
        self.networks.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// Adds a network; the first of equal ones stays. `false`: there are too many.
    pub(crate) fn insert(&mut self, ip: IpAddr, length: u8, said: Said) -> bool {
        let length = if ip.is_ipv4() { length.saturating_add(96) } else { length }.min(128);
        let network = (bits(ip) & mask(length), length);
        if self.networks.len() == NETWORKS_MAX && !self.networks.contains_key(&network) {
            return false;
        }
        self.networks.entry(network).or_insert(said);
        if let Err(at) = self.lengths.binary_search_by(|known| length.cmp(known)) {
            self.lengths.insert(at, length);
        }
        true
    }

    /// What is said about the longest network that holds an address.
    pub(crate) fn find(&self, ip: IpAddr) -> Option<Said> {
        let bits = bits(ip);
        self.lengths.iter().find_map(|&length| self.networks.get(&(bits & mask(length), length)).copied())
    }
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_longest_network_of_an_address_counts() {
        let mut table = AddressTable::default();
        for (ip, length, action) in [
            ("192.0.2.7", 24, Action::Drop),
            ("192.0.2.8", 32, Action::Pass),
            ("2001:db8::", 32, Action::NoData),
            ("192.0.2.8", 32, Action::Drop),
        ] {
            assert!(table.insert(ip.parse().unwrap(), length, (action, None)));
        }
        let find = |ip: &str| table.find(ip.parse().unwrap()).map(|(action, _)| action);
        assert_eq!(find("192.0.2.1"), Some(Action::Drop));
        assert_eq!(find("192.0.2.8"), Some(Action::Pass));
        assert_eq!(find("::ffff:192.0.2.8"), Some(Action::Pass));
        assert_eq!(find("192.0.3.1"), None);
        assert_eq!(find("2001:db8:1::1"), Some(Action::NoData));
        assert_eq!(find("2001:db9::1"), None);
    }

    #[test]
    fn a_network_of_no_bits_holds_everything() {
        let mut table = AddressTable::default();
        assert!(table.insert("::".parse().unwrap(), 0, (Action::Drop, None)));
        assert!(table.find("192.0.2.1".parse().unwrap()).is_some());
    }

    #[test]
    fn a_full_table_takes_no_other_network() {
        let mut table = AddressTable::default();
        let at = |number: usize| IpAddr::V4(u32::try_from(number).unwrap().into());
        for number in 0..NETWORKS_MAX {
            assert!(table.insert(at(number), 32, (Action::Drop, None)));
        }
        assert!(!table.insert(at(NETWORKS_MAX), 32, (Action::Drop, None)));
        assert!(table.insert(at(0), 32, (Action::Drop, None)), "it is there already");
        assert_eq!(table.len(), NETWORKS_MAX);
    }
}
