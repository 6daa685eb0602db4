//! Moments as text: `2026-01-02T03:04:05Z`.

use catena_zone::dnssec::{date, moment};

/// Writes a moment, given in seconds since 1970; what is beyond 2106 becomes the last second.
pub(crate) fn write(at: u64) -> String {
    let text = date(u32::try_from(at).unwrap_or(u32::MAX));
    // Without the thousandths.
    format!("{}Z", text.get(..19).unwrap_or_default())
}

/// Reads one.
pub(crate) fn read(text: &str) -> Option<u64> {
    let shape = |(at, octet): (usize, u8)| match at {
        4 | 7 => octet == b'-',
        10 => octet == b'T',
        13 | 16 => octet == b':',
        19 => octet == b'Z',
        _ => octet.is_ascii_digit(),
    };
    if text.len() != 20 || !text.bytes().enumerate().all(shape) {
        return None;
    }
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_digit).collect();
    moment(&digits).map(u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_it_was_written() {
        for at in [0, 1_700_000_000, u64::from(u32::MAX)] {
            assert_eq!(read(&write(at)), Some(at));
        }
        assert_eq!(write(u64::MAX), "2106-02-07T06:28:15Z");
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "",
            "2026-01-02",
            "2026-01-02T03:04:05",
            "2026-13-02T03:04:05Z",
            "2026-01-02 03:04:05Z",
            "äää6-01-02T03:04Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
