//! Octets as text: base 16, base 64 and base 32 with the extended hex alphabet (RFC 4648). The text may come in several words.

use super::time::number;

/// Text that is being decoded. Words can be put in one after the other.
#[derive(Debug, Default)]
pub(crate) struct Bits {
    value: u32,
    count: u32,
    padding: u32,
    digits: usize,
}

impl Bits {
    /// Puts in a word of base 16.
    pub(crate) fn hex(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        for &octet in text {
            self.push(hex_digit(octet).ok_or("not hexadecimal")?, 4, out);
        }
        Ok(())
    }

    /// Puts in a word of base 64.
    pub(crate) fn base64(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        for &octet in text {
            if octet == b'=' {
                self.padding += 1;
                continue;
            }
            if self.padding > 0 {
                return Err("base 64 goes on behind its padding");
            }
            self.push(base64_digit(octet).ok_or("not base 64")?, 6, out);
        }
        Ok(())
    }

    fn push(&mut self, digit: u8, bits: u32, out: &mut Vec<u8>) {
        self.digits += 1;
        self.value = self.value << bits | u32::from(digit);
        self.count += bits;
        if self.count >= 8 {
            self.count -= 8;
            out.push((self.value >> self.count).to_le_bytes()[0]);
            self.value &= (1 << self.count) - 1;
        }
    }

    /// Whether nothing was put in.
    pub(crate) fn is_empty(&self) -> bool {
        self.digits == 0 && self.padding == 0
    }

    /// Checks that base 16 ends with a whole octet.
    pub(crate) fn end_hex(&self) -> Result<(), &'static str> {
        if self.count == 0 { Ok(()) } else { Err("an odd number of hexadecimal digits") }
    }

    /// Checks that base 64 ends with a whole group.
    pub(crate) fn end_base64(&self) -> Result<(), &'static str> {
        let wanted = match self.digits % 4 {
            0 => 0,
            2 => 2,
            3 => 1,
            _ => return Err("base 64 ends inside of an octet"),
        };
        if self.padding == wanted { Ok(()) } else { Err("base 64 with wrong padding") }
    }
}

/// The value of a hexadecimal digit.
pub(crate) fn hex_digit(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'a'..=b'f' => Some(octet - b'a' + 10),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    }
}

fn base64_digit(octet: u8) -> Option<u8> {
    match octet {
        b'A'..=b'Z' => Some(octet - b'A'),
        b'a'..=b'z' => Some(octet - b'a' + 26),
        b'0'..=b'9' => Some(octet - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// Decodes a word of base 32 with the extended hex alphabet and without padding.
pub(crate) fn base32(text: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    let mut bits = Bits::default();
    for &octet in text {
        let digit = match octet {
            b'0'..=b'9' => octet - b'0',
            b'a'..=b'v' => octet - b'a' + 10,
            b'A'..=b'V' => octet - b'A' + 10,
            _ => return Err("not base 32 with the extended hex alphabet"),
        };
        bits.push(digit, 5, out);
    }
    // A rest of five bits or more is a digit too many.
    if bits.count >= 5 || bits.value != 0 { Err("base 32 ends inside of an octet") } else { Ok(()) }
}

/// Writes base 16, in upper case.
pub(crate) fn write_hex(octets: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for octet in octets {
        out.extend([DIGITS[usize::from(octet >> 4)], DIGITS[usize::from(octet & 15)]]);
    }
}

/// Writes base 64 with padding.
pub(crate) fn write_base64(octets: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in octets.chunks(3) {
        let value = group.iter().fold(0u32, |value, octet| value << 8 | u32::from(*octet)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = usize::try_from(value >> (18 - 6 * place) & 63).unwrap_or(0);
            out.push(if place <= group.len() { DIGITS[digit] } else { b'=' });
        }
    }
}

/// Writes base 32 with the extended hex alphabet, without padding, in upper case.
pub(crate) fn write_base32(octets: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHIJKLMNOPQRSTUV";
    for group in octets.chunks(5) {
        let value = group.iter().fold(0u64, |value, octet| value << 8 | u64::from(*octet)) << (8 * (5 - group.len()));
        for place in 0..(group.len() * 8).div_ceil(5) {
            out.push(DIGITS[usize::try_from(value >> (35 - 5 * place) & 31).unwrap_or(0)]);
        }
    }
}

/// Reads pairs of hexadecimal digits with hyphens between, so many of them (RFC 7043).
pub(crate) fn eui(text: &[u8], pairs: usize) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    for pair in text.split(|&octet| octet == b'-') {
        let &[high, low] = pair else { return None };
        octets.push(hex_digit(high)? << 4 | hex_digit(low)?);
    }
    (octets.len() == pairs).then_some(octets)
}

/// Reads four groups of up to four hexadecimal digits with colons between (RFC 6742 section 2.2).
pub(crate) fn locator(text: &[u8]) -> Option<[u8; 8]> {
    let mut value = 0u64;
    let mut groups = 0;
    for group in text.split(|&octet| octet == b':') {
        groups += 1;
        if groups > 4 || !(1..=4).contains(&group.len()) {
            return None;
        }
        let digits = group.iter().map(|&octet| hex_digit(octet).map(u64::from));
        value = value << 16 | digits.into_iter().try_fold(0, |value, digit| Some(value << 4 | digit?))?;
    }
    (groups == 4).then(|| value.to_be_bytes())
}

/// Reads an IPv4 address: four decimal numbers without leading zeros.
pub(crate) fn ipv4(text: &[u8]) -> Option<[u8; 4]> {
    let mut octets = [0; 4];
    let mut parts = text.split(|&octet| octet == b'.');
    for octet in &mut octets {
        let part = parts.next().filter(|part| part.len() == 1 || part.len() <= 3 && part.first() != Some(&b'0'))?;
        *octet = u8::try_from(number(part, 255)?).ok()?;
    }
    parts.next().is_none().then_some(octets)
}

/// Reads an IPv6 address.
pub(crate) fn ipv6(text: &[u8]) -> Option<[u8; 16]> {
    let address: std::net::Ipv6Addr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(address.octets())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn hex(words: &[&str]) -> Result<Vec<u8>, &'static str> {
        let (mut bits, mut out) = (Bits::default(), Vec::new());
        words.iter().try_for_each(|word| bits.hex(word.as_bytes(), &mut out))?;
        bits.end_hex().map(|()| out)
    }

    fn base64(words: &[&str]) -> Result<Vec<u8>, &'static str> {
        let (mut bits, mut out) = (Bits::default(), Vec::new());
        words.iter().try_for_each(|word| bits.base64(word.as_bytes(), &mut out))?;
        bits.end_base64().map(|()| out)
    }

    #[test]
    fn words_of_hexadecimal_are_joined() {
        assert_eq!(hex(&["0", "1fF"]).unwrap(), [0x01, 0xff]);
        assert!(hex(&["0", "1f"]).is_err());
        assert!(hex(&["0g"]).is_err());
    }

    #[test]
    fn base64_needs_its_padding() {
        assert_eq!(base64(&["Zm9", "vYg=", "="]).unwrap(), b"foob");
        assert_eq!(base64(&["Zm9v"]).unwrap(), b"foo");
        for wrong in ["Zg", "Zg=", "Zg===", "Zg==Zg==", "Z", "Zm9v=", "Zm9v!"] {
            assert!(base64(&[wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn base32_of_rfc_4648_section_10() {
        for (plain, coded) in
            [("f", "CO"), ("fo", "CPNG"), ("foo", "CPNMU"), ("foob", "CPNMUOG"), ("foobar", "CPNMUOJ1E8")]
        {
            let (mut text, mut octets) = (Vec::new(), Vec::new());
            write_base32(plain.as_bytes(), &mut text);
            assert_eq!(text, coded.as_bytes());
            base32(coded.to_lowercase().as_bytes(), &mut octets).unwrap();
            assert_eq!(octets, plain.as_bytes());
        }
        for wrong in ["C", "CPN", "COW", "C=", "CPNMUOJ1E8A"] {
            assert!(base32(wrong.as_bytes(), &mut Vec::new()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for len in 0..20u8 {
            let octets: Vec<u8> = (0..len).map(|at| at.wrapping_mul(37) ^ 0xa5).collect();
            let (mut text, mut again) = (Vec::new(), Vec::new());
            write_base64(&octets, &mut text);
            assert_eq!(base64(&[std::str::from_utf8(&text).unwrap()]).unwrap(), octets);
            text.clear();
            write_base32(&octets, &mut text);
            base32(&text, &mut again).unwrap();
            assert_eq!(again, octets);
            text.clear();
            write_hex(&octets, &mut text);
            assert_eq!(hex(&[std::str::from_utf8(&text).unwrap()]).unwrap(), octets);
        }
    }

    #[test]
    fn a_locator_is_four_groups_and_an_eui_pairs() {
        assert_eq!(locator(b"2001:db8:0:ffFF"), Some([0x20, 1, 0x0d, 0xb8, 0, 0, 0xff, 0xff]));
        for wrong in ["1:2:3", "1:2:3:4:5", "1:2:3:", "1:2:3:12345", "1:2:3:x"] {
            assert_eq!(locator(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(eui(b"00-0a-Ff", 3), Some(vec![0, 10, 255]));
        for wrong in ["00-0a", "00-0a-f", "00-0a-ff-00", "00-0a-fg", "000aff"] {
            assert_eq!(eui(wrong.as_bytes(), 3), None, "{wrong}");
        }
    }

    #[test]
    fn ipv4_addresses_have_four_plain_numbers() {
        assert_eq!(ipv4(b"192.0.2.255"), Some([192, 0, 2, 255]));
        for wrong in ["1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.", "1..2.3", "0x1.2.3.4", "1.2.3.4 ", ""] {
            assert_eq!(ipv4(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(ipv4(b"0.0.0.0"), Some([0; 4]));
    }
}
