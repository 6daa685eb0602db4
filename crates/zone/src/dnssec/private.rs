//! Private keys as BIND writes them: lines of a word, a colon and a value.

use crate::zonefile::codec::Bits;

/// The most octets of a file with a private key: one of 8192 bits of RSA needs 7 kB.
pub(super) const PRIVATE_OCTETS_MAX: usize = 64 * 1024;

/// The fields of the file that say what the key is.
#[derive(Default)]
pub(super) struct Fields<'a> {
    lines: Vec<(&'a str, &'a str)>,
}

impl<'a> Fields<'a> {
    /// Finds the lines; `None` if it is not such a file, or is of a version before 1.2.
    pub(super) fn read(text: &'a [u8]) -> Option<Self> {
        if text.len() > PRIVATE_OCTETS_MAX {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?;
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        let fields = Self { lines: lines.map(|(word, value)| (word.trim(), value.trim())).collect() };
        let format = fields.value("Private-key-format")?;
        matches!(format, "v1.2" | "v1.3").then_some(fields)
    }

    fn value(&self, word: &str) -> Option<&'a str> {
        self.lines.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, value)| *value)
    }

    /// The number of the algorithm; its name may follow.
    pub(super) fn algorithm(&self) -> Option<u8> {
        self.value("Algorithm")?.split_whitespace().next()?.parse().ok()
    }

    /// The octets of a field.
    pub(super) fn octets(&self, word: &str) -> Option<Vec<u8>> {
        let (mut bits, mut octets) = (Bits::default(), Vec::new());
        for word in self.value(word)?.split_whitespace() {
            bits.base64(word.as_bytes(), &mut octets).ok()?;
        }
        bits.end_base64().ok()?;
        Some(octets)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn fields_are_found_whatever_their_case() {
        let fields = Fields::read(b"private-key-format: v1.3\nALGORITHM: 15 (ED25519)\nPrivateKey: AQI=\n").unwrap();
        assert_eq!(fields.algorithm(), Some(15));
        assert_eq!(fields.octets("privatekey"), Some(vec![1, 2]));
        assert_eq!(fields.octets("Modulus"), None);
    }

    #[test]
    fn an_old_format_is_refused() {
        for text in ["", "Private-key-format: v1.1\nAlgorithm: 15", "Algorithm: 15"] {
            assert!(Fields::read(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn a_file_beyond_the_limit_is_refused() {
        let mut text = b"Private-key-format: v1.2\n".to_vec();
        text.resize(PRIVATE_OCTETS_MAX, b'\n');
        assert!(Fields::read(&text).is_some());
        text.push(b'\n');
        assert!(Fields::read(&text).is_none());
    }
}
