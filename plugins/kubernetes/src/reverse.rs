//! Addresses in reverse names, RFC 1035 section 3.5 and RFC 3596 section 2.5.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use catena_core::Question;

/// The address that a question's name spells; `None` if it is not the name of a whole address.
pub(crate) fn address(question: &Question) -> Option<IpAddr> {
    let mut labels = question.lower().iter().map(|label| label.as_slice());
    let mut next = || labels.next();
    match question.labels().count() {
        6 => {
            let mut octets = [0_u8; 4];
            for octet in octets.iter_mut().rev() {
                *octet = decimal(next()?)?;
            }
            (next()? == b"in-addr" && next()? == b"arpa").then(|| Ipv4Addr::from(octets).into())
        }
        34 => {
            let mut bits = 0_u128;
            for place in 0..32 {
                let [digit] = next()? else { return None };
                bits |= u128::from(char::from(*digit).to_digit(16)?) << (4 * place);
            }
            (next()? == b"ip6" && next()? == b"arpa").then(|| IpAddr::V6(Ipv6Addr::from(bits)).to_canonical())
        }
        _ => None,
    }
}

/// Go's `net.ParseIP` takes no leading zeros.
fn decimal(label: &[u8]) -> Option<u8> {
    let plain = label.iter().all(u8::is_ascii_digit) && (label.len() == 1 || label.first() != Some(&b'0'));
    std::str::from_utf8(label).ok().filter(|_| plain)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use catena_core::{Class, Rtype, name};

    fn read(text: &str) -> Option<String> {
        let question = Question::new(name::owned(text).unwrap().for_slice(), Rtype::PTR, Class::IN);
        address(&question).map(|ip| ip.to_string())
    }

    #[test]
    fn whole_addresses_are_read_and_nothing_else() {
        assert_eq!(read("1.0.96.10.IN-ADDR.arpa").as_deref(), Some("10.96.0.1"));
        let v6 = format!("7{}.8.b.d.0.1.0.0.2.ip6.arpa", ".0".repeat(23));
        assert_eq!(read(&v6).as_deref(), Some("2001:db8::7"));
        for none in [
            "96.10.in-addr.arpa",
            "01.0.96.10.in-addr.arpa",
            "256.0.96.10.in-addr.arpa",
            "1.0.96.10.example.org",
            "+1.0.96.10.in-addr.arpa",
        ] {
            assert_eq!(read(none), None, "{none}");
        }
        assert_eq!(read(&v6.replace("7.0", "g.0")), None);
    }
}
