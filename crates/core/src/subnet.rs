//! The network for which a query is asked, as its OPT record says it: EDNS Client Subnet (RFC 7871).
//!
//! A plugin that lets it count sets [`Query::set_subnet`](crate::Query::set_subnet); from then on whoever keeps replies keeps them by
//! network, and tells in [`Answer::scope`](crate::Answer::scope) for how large a one a reply is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::answer::ReplyEdns;
use crate::query::edns_options;
use crate::wire::Malformed;

/// The code of the option (RFC 7871 section 6).
pub const OPTION_SUBNET: u16 = 8;
/// The families of addresses in the option (RFC 7871 section 6).
const FAMILY_NONE: u16 = 0;
const FAMILY_V4: u16 = 1;
const FAMILY_V6: u16 = 2;

/// A network: so many leading bits of an address, all others zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subnet {
    /// The address, its first bit the highest, whatever the family.
    prefix: u128,
    bits: u8,
    is_v6: bool,
}

impl Subnet {
    /// No network at all: the query is for nobody in particular (RFC 7871 section 7.1.2).
    pub const NONE: Self = Self { prefix: 0, bits: 0, is_v6: false };

    /// The first `bits` bits of an address, at most as many as it has.
    #[must_use]
    pub fn new(address: IpAddr, bits: u8) -> Self {
        let (prefix, most, is_v6) = match address {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32, false),
            IpAddr::V6(v6) => (v6.to_bits(), 128, true),
        };
        Self { prefix, bits: most, is_v6 }.cut(bits)
    }

    /// The network around it of `bits` bits; itself if it has no more.
    #[must_use]
    pub fn cut(self, bits: u8) -> Self {
        let bits = bits.min(self.bits);
        let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
        Self { prefix: self.prefix & mask, bits, is_v6: self.is_v6 }
    }

    /// The first address.
    #[must_use]
    pub fn address(self) -> IpAddr {
        // Of an IPv4 address all lies in the upper 32 bits.
        if self.is_v6 {
            Ipv6Addr::from_bits(self.prefix).into()
        } else {
            Ipv4Addr::from((self.prefix >> 96) as u32).into()
        }
    }

    /// How many bits of the address count; 0: none, see [`Subnet::NONE`].
    #[must_use]
    pub fn bits(self) -> u8 {
        self.bits
    }

    /// Whether all addresses of the other network are in this one. One without bits covers every other, whatever its family.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.bits == 0 || self.is_v6 == other.is_v6 && self.bits <= other.bits && other.cut(self.bits) == self
    }

    /// Reads an option's data: the network, and the scope.
    ///
    /// # Errors
    /// [`Malformed`] for other families, more bits than the family has, more or fewer octets of address than the bits need, and bits set
    /// behind them.
    pub fn read(data: &[u8]) -> Result<(Self, u8), Malformed> {
        let (head, octets) = data.split_first_chunk::<4>().ok_or(Malformed)?;
        let [_, _, bits, scope] = *head;
        let (most, is_v6) = match u16::from_be_bytes([head[0], head[1]]) {
            FAMILY_V4 => (32, false),
            FAMILY_V6 => (128, true),
            // Some clients that want no network told do not say of which family it would be.
            FAMILY_NONE => (0, false),
            _ => return Err(Malformed),
        };
        if bits > most || scope > most || octets.len() != usize::from(bits).div_ceil(8) {
            return Err(Malformed);
        }
        let mut address = [0; 16];
        address[..octets.len()].copy_from_slice(octets);
        let whole = Self { prefix: u128::from_be_bytes(address), bits: most, is_v6 };
        let cut = whole.cut(bits);
        if cut.prefix == whole.prefix { Ok((cut, scope)) } else { Err(Malformed) }
    }

    /// Appends the option to others: code, length, data.
    pub fn write(self, scope: u8, options: &mut Vec<u8>) {
        let octets = usize::from(self.bits).div_ceil(8);
        options.extend_from_slice(&OPTION_SUBNET.to_be_bytes());
        // 20 at most.
        options.extend_from_slice(&(4 + octets as u16).to_be_bytes());
        options.extend_from_slice(&(if self.is_v6 { FAMILY_V6 } else { FAMILY_V4 }).to_be_bytes());
        options.extend_from_slice(&[self.bits, scope]);
        options.extend_from_slice(&self.prefix.to_be_bytes()[..octets]);
    }

    /// The scope that a reply tells for a query with this network: how many bits of it the reply depends on. `None`: it tells nothing.
    ///
    /// # Errors
    /// [`Malformed`] if its option is broken or about another network: then the reply is not to be used (RFC 7871 section 7.3).
    pub fn scope_in(self, reply: Option<&ReplyEdns>) -> Result<Option<u8>, Malformed> {
        // Where no network was told, an option says nothing.
        let Some(edns) = reply.filter(|_| self.bits > 0) else { return Ok(None) };
        let Some((_, data)) = edns_options(&edns.options).find(|(code, _)| *code == OPTION_SUBNET) else {
            return Ok(None);
        };
        let (told, scope) = Self::read(data)?;
        if told == self { Ok(Some(scope)) } else { Err(Malformed) }
    }
}

impl std::fmt::Display for Subnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address(), self.bits)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn net(text: &str) -> Subnet {
        let (address, bits) = text.split_once('/').unwrap();
        Subnet::new(address.parse().unwrap(), bits.parse().unwrap())
    }

    #[test]
    fn bits_behind_the_prefix_are_zero() {
        for (whole, cut) in [
            ("192.0.2.255/24", "192.0.2.0/24"),
            ("192.0.2.255/28", "192.0.2.240/28"),
            ("192.0.2.255/33", "192.0.2.255/32"),
            ("192.0.2.255/0", "0.0.0.0/0"),
            ("2001:db8:ffff::1/33", "2001:db8:8000::/33"),
            ("2001:db8::1/128", "2001:db8::1/128"),
        ] {
            assert_eq!(net(whole).to_string(), cut);
        }
    }

    #[test]
    fn a_network_covers_those_within_it_and_no_others() {
        assert!(net("192.0.0.0/16").covers(net("192.0.2.0/24")));
        assert!(net("192.0.2.0/24").covers(net("192.0.2.0/24")));
        assert!(!net("192.0.2.0/24").covers(net("192.0.0.0/16")));
        assert!(!net("192.0.2.0/24").covers(net("192.0.3.0/24")));
        assert!(!net("32.1.0.0/8").covers(net("2001:db8::/32")));
        assert!(Subnet::NONE.covers(net("2001:db8::/32")));
    }

    #[test]
    fn an_option_is_read_as_it_was_written() {
        for text in ["192.0.2.0/24", "192.0.0.0/17", "2001:db8::/56", "0.0.0.0/0"] {
            let mut options = Vec::new();
            net(text).write(9, &mut options);
            assert_eq!(edns_options(&options).count(), 1);
            assert_eq!(Subnet::read(&options[4..]), Ok((net(text), 9)));
        }
        let mut options = Vec::new();
        net("192.0.2.77/24").write(0, &mut options);
        assert_eq!(options, [0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2]);
    }

    #[test]
    fn broken_options_are_malformed() {
        let right = [0, 1, 24, 0, 192, 0, 2];
        assert!(Subnet::read(&right).is_ok());
        for (wrong, why) in [
            (&[0, 1, 24][..], "no scope"),
            (&[0, 3, 24, 0, 192, 0, 2], "another family"),
            (&[0, 1, 24, 0, 192, 0], "too few octets"),
            (&[0, 1, 24, 0, 192, 0, 2, 0], "too many octets"),
            (&[0, 1, 23, 0, 192, 0, 3], "a bit behind the prefix"),
            (&[0, 1, 33, 0, 192, 0, 2, 1, 0], "more bits than an address has"),
            (&[0, 0, 8, 0, 10], "bits without a family"),
            (&[0, 1, 24, 33, 192, 0, 2], "a scope beyond an address"),
        ] {
            assert_eq!(Subnet::read(wrong), Err(Malformed), "{why}");
        }
        assert_eq!(Subnet::read(&[0, 0, 0, 0]), Ok((Subnet::NONE, 0)));
    }

    #[test]
    fn a_reply_tells_its_scope_only_for_the_network_that_was_asked_for() {
        let reply = |data: &[u8]| {
            let head = [0, 10, 0, 1, 7, 0, 8, 0, u8::try_from(data.len()).unwrap()];
            ReplyEdns { options: [&head, data].concat(), ..ReplyEdns::default() }
        };
        let asked = net("192.0.2.0/24");
        assert_eq!(asked.scope_in(Some(&reply(&[0, 1, 24, 16, 192, 0, 2]))), Ok(Some(16)));
        assert_eq!(asked.scope_in(Some(&reply(&[0, 1, 24, 16, 192, 0, 3]))), Err(Malformed));
        assert_eq!(asked.scope_in(Some(&reply(&[0, 1, 16, 16, 192, 0]))), Err(Malformed));
        assert_eq!(asked.scope_in(Some(&reply(&[0, 1]))), Err(Malformed));
        assert_eq!(asked.scope_in(Some(&ReplyEdns::default())), Ok(None));
        assert_eq!(asked.scope_in(None), Ok(None));
        assert_eq!(Subnet::NONE.scope_in(Some(&reply(&[0, 1, 24, 16, 192, 0, 2]))), Ok(None));
    }
}
