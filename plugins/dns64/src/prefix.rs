//! IPv4 addresses within IPv6 addresses (RFC 6052).

use std::net::Ipv6Addr;

/// The well-known prefix, `64:ff9b::/96` (RFC 6052 section 2.1).
const WELL_KNOWN: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);
/// The octet that stays zero (RFC 6052 section 2.2).
const RESERVED: usize = 8;

/// Where IPv4 addresses are put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    octets: [u8; 16],
    len: usize,
}

impl Default for Prefix {
    fn default() -> Self {
        Self { octets: WELL_KNOWN.octets(), len: 12 }
    }
}

impl Prefix {
    /// A prefix of so many bits; `None` unless it has whole octets, 4 to 12 of them. CoreDNS: plugin/dns64 takes lengths that RFC 6052
    /// leaves out.
    pub(crate) fn new(network: Ipv6Addr, bits: u8) -> Option<Self> {
        let is_whole = bits.is_multiple_of(8) && (32..=96).contains(&bits);
        is_whole.then(|| Self { octets: network.octets(), len: usize::from(bits / 8) })
    }

    /// The IPv6 address for an IPv4 address.
    pub(crate) fn embed(&self, v4: [u8; 4]) -> [u8; 16] {
        let mut v6 = [0; 16];
        v6[..self.len].copy_from_slice(&self.octets[..self.len]);
        let mut at = self.len;
        for octet in v4 {
            if at == RESERVED {
                at += 1;
            }
            v6[at] = octet;
            at += 1;
        }
        v6
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn embedded(network: &str, bits: u8) -> String {
        Ipv6Addr::from(Prefix::new(network.parse().unwrap(), bits).unwrap().embed([192, 0, 2, 33])).to_string()
    }

    #[test]
    fn addresses_are_those_of_rfc_6052_section_2_4() {
        for (network, bits, address) in [
            ("2001:db8::", 32, "2001:db8:c000:221::"),
            ("2001:db8:100::", 40, "2001:db8:1c0:2:21::"),
            ("2001:db8:122::", 48, "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:300::", 56, "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344::", 64, "2001:db8:122:344:c0:2:2100:0"),
            ("2001:db8:122:344::", 96, "2001:db8:122:344::c000:221"),
        ] {
            assert_eq!(embedded(network, bits), address, "{bits}");
        }
    }

    #[test]
    fn lengths_between_64_and_96_bits_are_taken() {
        for (bits, address) in [
            (72, "2001:db8:122:344:c0:2:2100:0"),
            (80, "2001:db8:122:344:0:c000:221:0"),
            (88, "2001:db8:122:344:0:c0:2:2100"),
        ] {
            assert_eq!(embedded("2001:db8:122:344::", bits), address, "{bits}");
        }
    }

    #[test]
    fn a_length_has_whole_octets_and_its_edges() {
        let network = Ipv6Addr::LOCALHOST;
        for bits in [0, 24, 31, 33, 95, 97, 104, 128] {
            assert_eq!(Prefix::new(network, bits), None, "{bits}");
        }
    }

    #[test]
    fn the_prefix_is_the_well_known_one_if_none_is_given() {
        assert_eq!(Ipv6Addr::from(Prefix::default().embed([192, 0, 2, 33])).to_string(), "64:ff9b::c000:221");
    }
}
