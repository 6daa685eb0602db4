//! Queries as octets.

/// The longest query that is sent, octets.
pub(crate) const QUERY_OCTETS_MAX: usize = 12 + 255 + 4 + 11;
const TYPES: [(&str, u16); 10] = [
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("SRV", 33),
    ("HTTPS", 65),
];
/// An OPT record: 1232 octets, no flags, no options.
const OPT: [u8; 11] = [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0];

/// Reads lines of a name and a type.
pub(crate) fn queries(text: &str) -> Result<Vec<Vec<u8>>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let read = |line: &str| {
        let (name, kind) = line.split_once(char::is_whitespace).ok_or_else(|| format!("`{line}`: no type"))?;
        query(name, kind.trim())
    };
    lines.map(read).collect()
}

/// A query with RD and EDNS, as a stub resolver sends it; its id is 0.
pub(crate) fn query(name: &str, kind: &str) -> Result<Vec<u8>, String> {
    let number = TYPES.iter().find(|(known, _)| *known == kind).ok_or_else(|| format!("unknown type {kind}"))?.1;
    let mut message = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let len = u8::try_from(label.len()).ok().filter(|len| *len < 64).ok_or_else(|| format!("{name}: label"))?;
        message.push(len);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend_from_slice(&number.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    message.extend_from_slice(&OPT);
    if message.len() > QUERY_OCTETS_MAX { Err(format!("{name}: too long")) } else { Ok(message) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_query_has_its_question_and_an_opt_record() {
        let message = query("a.bc.", "AAAA").unwrap();
        assert_eq!(&message[12..22], b"\x01a\x02bc\x00\x00\x1c\x00\x01");
        assert_eq!(&message[22..25], [0, 0, 41]);
    }

    #[test]
    fn a_label_of_63_octets_is_taken_and_a_longer_one_is_not() {
        assert!(query(&"a".repeat(63), "A").is_ok());
        assert!(query(&"a".repeat(64), "A").is_err());
    }
}
