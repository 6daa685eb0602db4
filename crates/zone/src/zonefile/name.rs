//! Names in presentation form, read and written.

use catena_core::name::NAME_OCTETS_MAX;

use super::lex::unescape;

/// The longest label, octets (RFC 1035 section 2.3.4).
const LABEL_OCTETS_MAX: usize = 63;

/// A name on the wire that needs no heap.
#[derive(Clone)]
pub(crate) struct NameBuf {
    octets: [u8; NAME_OCTETS_MAX + 1],
    len: usize,
}

impl NameBuf {
    /// A copy of a name on the wire; of one that is too long the root.
    pub(crate) fn of(wire: &[u8]) -> Self {
        let mut name = Self { octets: [0; NAME_OCTETS_MAX + 1], len: 1 };
        if let Some(place) = name.octets.get_mut(..wire.len()).filter(|_| (1..=NAME_OCTETS_MAX).contains(&wire.len())) {
            place.copy_from_slice(wire);
            name.len = wire.len();
        }
        name
    }

    /// The name on the wire.
    pub(crate) fn wire(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }

    /// Reads a name: absolute with a dot at the end, else below the origin; `@` is the origin itself.
    pub(crate) fn read(&mut self, text: &[u8], origin: &[u8]) -> Result<(), &'static str> {
        match text {
            b"@" => return self.finish(0, origin),
            b"." => return self.finish(0, &[0]),
            b"" => return Err("an empty name"),
            _ => {}
        }
        // `label` is where the length of the current label goes, `len` where the next octet goes.
        let (mut label, mut len, mut at) = (0, 1, 0);
        while let Some(&octet) = text.get(at) {
            at += 1;
            let mut octet = octet;
            if octet == b'.' {
                self.octets[label] = label_len(label, len)?;
                label = len;
                len += 1;
            } else {
                if octet == b'\\' {
                    let (found, taken) = unescape(text.get(at..).unwrap_or_default())?;
                    octet = found;
                    at += taken;
                }
                self.octets[len] = octet;
                len += 1;
            }
            if len > NAME_OCTETS_MAX {
                // The root's octet behind a final dot still fits.
                return Err("a name is longer than 255 octets");
            }
        }
        if len == label + 1 {
            return self.finish(label, &[0]);
        }
        self.octets[label] = label_len(label, len)?;
        self.finish(len, origin)
    }

    fn finish(&mut self, at: usize, rest: &[u8]) -> Result<(), &'static str> {
        let end = at + rest.len();
        let place = self.octets.get_mut(at..end).filter(|_| end <= NAME_OCTETS_MAX);
        place.ok_or("a name is longer than 255 octets")?.copy_from_slice(rest);
        self.len = end;
        Ok(())
    }
}

fn label_len(label: usize, len: usize) -> Result<u8, &'static str> {
    match len - label - 1 {
        0 => Err("an empty label"),
        octets @ 1..=LABEL_OCTETS_MAX => u8::try_from(octets).map_err(|_| "a label is longer than 63 octets"),
        _ => Err("a label is longer than 63 octets"),
    }
}

/// How long the uncompressed name at the start of the octets is; `None` if there is none.
pub(crate) fn wire_len(octets: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let len = usize::from(*octets.get(at)?);
        at += 1;
        match len {
            0 => return (at <= NAME_OCTETS_MAX).then_some(at),
            1..=LABEL_OCTETS_MAX => at += len,
            _ => return None,
        }
    }
}

/// Writes an uncompressed name with its final dot. What means something in a zone file is escaped.
pub(crate) fn write(wire: &[u8], out: &mut Vec<u8>) {
    let mut rest = wire;
    let mut labels = 0;
    while let Some((&len, behind)) = rest.split_first() {
        let Some((label, behind)) = behind.split_at_checked(usize::from(len)).filter(|_| len > 0) else { break };
        label.iter().for_each(|&octet| write_octet(octet, out));
        out.push(b'.');
        labels += 1;
        rest = behind;
    }
    if labels == 0 {
        out.push(b'.');
    }
}

fn write_octet(octet: u8, out: &mut Vec<u8>) {
    match octet {
        b'.' | b';' | b'(' | b')' | b'"' | b'\\' | b'@' | b'$' => out.extend([b'\\', octet]),
        0x21..0x7f => out.push(octet),
        _ => write_decimal_escape(octet, out),
    }
}

/// Writes `\DDD`.
pub(crate) fn write_decimal_escape(octet: u8, out: &mut Vec<u8>) {
    out.extend([b'\\', b'0' + octet / 100, b'0' + octet / 10 % 10, b'0' + octet % 10]);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const ORIGIN: &[u8] = b"\x07example\x03org\0";

    fn read(text: &str) -> Result<Vec<u8>, &'static str> {
        let mut name = NameBuf::of(&[0]);
        name.read(text.as_bytes(), ORIGIN)?;
        Ok(name.wire().to_vec())
    }

    fn written(wire: &[u8]) -> String {
        let mut out = Vec::new();
        write(wire, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_name_without_a_final_dot_is_below_the_origin() {
        assert_eq!(read("www").unwrap(), b"\x03www\x07example\x03org\0");
        assert_eq!(read("a.b.").unwrap(), b"\x01a\x01b\0");
        assert_eq!(read("@").unwrap(), ORIGIN);
        assert_eq!(read(".").unwrap(), b"\0");
    }

    #[test]
    fn escapes_put_any_octet_into_a_label() {
        assert_eq!(read(r"a\.b\032\\\@.").unwrap(), b"\x06a.b \\@\0");
        assert_eq!(read(r"\@").unwrap(), b"\x01@\x07example\x03org\0");
    }

    #[test]
    fn empty_labels_and_what_is_too_long_are_refused() {
        for wrong in ["", "..", ".a", "a..b", r"a\25", r"a\256", r"a\"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read(&"x".repeat(63)).is_ok());
        assert!(read(&"x".repeat(64)).is_err());
        let longest = format!("{0}.{0}.{0}.{1}.", "x".repeat(63), "x".repeat(61));
        assert_eq!(read(&longest).unwrap().len(), 255);
        assert!(read(&format!("x{longest}")).is_err());
        assert!(read(&format!("{0}.{0}.{0}.{1}.", "x".repeat(63), "x".repeat(62))).is_err());
        assert!(read(&format!("{0}.{0}.{0}.{1}", "x".repeat(63), "x".repeat(49))).is_ok());
        assert!(read(&format!("{0}.{0}.{0}.{1}", "x".repeat(63), "x".repeat(50))).is_err());
        assert!(read(&"x.".repeat(2000)).is_err());
    }

    #[test]
    fn a_written_name_escapes_what_means_something_and_can_be_read_again() {
        assert_eq!(written(b"\0"), ".");
        assert_eq!(written(b"\x04a.b \x01*\x03$x@\0"), r"a\.b\032.*.\$x\@.");
        let all: Vec<u8> = (0..=255u8).collect();
        for chunk in all.chunks(60) {
            let wire = [&[u8::try_from(chunk.len()).unwrap()], chunk, &[0]].concat();
            assert_eq!(read(&written(&wire)).unwrap(), wire);
        }
    }
}
