//! A set of networks: disjoint ranges of addresses in order, found by bisection.

use std::net::IpAddr;

use catena_gocompat::address::Cidr;

/// The most networks of one policy.
pub(crate) const NETWORKS_MAX: usize = 100_000;

/// A set of networks.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

impl Networks {
    /// The addresses of all these networks.
    pub(crate) fn of(networks: &[Cidr]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match network.network {
                IpAddr::V4(first) => {
                    let hosts = u32::MAX.checked_shr(network.prefix_len.into()).unwrap_or(0);
                    v4.push((first.to_bits(), first.to_bits() | hosts));
                }
                IpAddr::V6(first) => {
                    let hosts = u128::MAX.checked_shr(network.prefix_len.into()).unwrap_or(0);
                    v6.push((first.to_bits(), first.to_bits() | hosts));
                }
            }
        }
        Self { v4: Ranges::of(v4), v6: Ranges::of(v6) }
    }

    /// Whether one of the networks holds the address.
    pub(crate) fn hold(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.v4.hold(ip.to_bits()),
            IpAddr::V6(ip) => self.v6.hold(ip.to_bits()),
        }
    }
}

/// Ranges from a first to a last number, in order, none reaching into the next.
#[derive(Debug, Default)]
struct Ranges<T>(Vec<(T, T)>);

impl<T: Copy + Ord> Ranges<T> {
    fn of(mut ranges: Vec<(T, T)>) -> Self {
        ranges.sort_unstable();
        ranges.dedup_by(|next, before| {
            let overlaps = next.0 <= before.1;
            if overlaps {
                before.1 = before.1.max(next.1);
            }
            overlaps
        });
        ranges.shrink_to_fit();
        Self(ranges)
    }

    fn hold(&self, number: T) -> bool {
        let behind = self.0.partition_point(|(first, _)| *first <= number);
        behind.checked_sub(1).is_some_and(|at| number <= self.0[at].1)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn networks(texts: &[&str]) -> Networks {
        Networks::of(&texts.iter().map(|text| Cidr::parse(text).unwrap()).collect::<Vec<_>>())
    }

    fn holds(texts: &[&str], ip: &str) -> bool {
        networks(texts).hold(ip.parse().unwrap())
    }

    #[test]
    fn a_network_holds_its_first_and_its_last_address_and_no_other() {
        for (network, inside, outside) in [
            ("192.0.2.64/26", ["192.0.2.64", "192.0.2.127"], ["192.0.2.63", "192.0.2.128"]),
            ("192.0.2.7/32", ["192.0.2.7", "192.0.2.7"], ["192.0.2.6", "192.0.2.8"]),
            ("2001:db8::/33", ["2001:db8::", "2001:db8:7fff:ffff::1"], ["2001:db7::", "2001:db8:8000::"]),
            ("2001:db8::1/128", ["2001:db8::1", "2001:db8::1"], ["2001:db8::", "2001:db8::2"]),
        ] {
            assert!(inside.iter().all(|ip| holds(&[network], ip)), "{network}");
            assert!(!outside.iter().any(|ip| holds(&[network], ip)), "{network}");
        }
    }

    #[test]
    fn all_of_one_family_is_nothing_of_the_other() {
        assert!(holds(&["0.0.0.0/0"], "255.255.255.255") && !holds(&["0.0.0.0/0"], "::1"));
        assert!(holds(&["::/0"], "::1") && !holds(&["::/0"], "192.0.2.1"));
    }

    #[test]
    fn an_ipv4_mapped_network_is_the_ipv4_network() {
        assert!(holds(&["::ffff:192.0.2.0/120"], "192.0.2.9"));
    }

    #[test]
    fn networks_within_others_are_one_range() {
        let set = networks(&["10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/9", "11.0.0.0/8", "192.0.2.0/24"]);
        assert_eq!(set.v4.0.len(), 3);
        for (ip, held) in
            [("10.255.0.1", true), ("11.0.0.0", true), ("12.0.0.0", false), ("192.0.2.1", true), ("9.9.9.9", false)]
        {
            assert_eq!(set.hold(ip.parse().unwrap()), held, "{ip}");
        }
    }

    #[test]
    fn bisection_agrees_with_a_look_at_every_network() {
        let text = |n: u32| format!("10.{}.{}.0/{}", n * 7 % 256, n * 13 % 256, 16 + n % 17);
        let all: Vec<Cidr> = (0..200).map(|n| Cidr::parse(&text(n)).unwrap()).collect();
        let set = Networks::of(&all);
        for n in 0..20_000u32 {
            let ip = IpAddr::from((0x0a00_0000 + n * 839).to_be_bytes());
            assert_eq!(set.hold(ip), all.iter().any(|network| network.contains(ip)), "{ip}");
        }
    }
}
