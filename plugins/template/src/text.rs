//! The words of zone-file text: quotes, brackets, comments, escapes, times (RFC 1035 section 5.1).

/// The longest character-string, octets (RFC 1035 section 3.3).
const STRING_OCTETS_MAX: usize = 255;

/// An entry: a line, or several within brackets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// There is white space before the first word.
    pub(crate) indented: bool,
    /// The words, with their quotes and escapes.
    pub(crate) words: Vec<&'a str>,
}

/// Reads the entries of a text that have words; `None` where quotes or brackets do not match.
pub(crate) struct Lines<'a> {
    text: &'a str,
    at: usize,
    failed: bool,
}

impl<'a> Lines<'a> {
    /// Starts at the beginning of the text.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, failed: false }
    }

    /// Reads up to the next line end outside of brackets; `None` where quotes or brackets do not match.
    fn entry(&mut self) -> Option<Line<'a>> {
        let octets = self.text.as_bytes();
        let mut line = Line { indented: matches!(octets.get(self.at), Some(b' ' | b'\t')), words: Vec::new() };
        let mut depth = 0usize;
        while let Some(&octet) = octets.get(self.at) {
            match octet {
                b'\n' if depth == 0 => {
                    self.at += 1;
                    return Some(line);
                }
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                b';' => {
                    self.at +=
                        octets[self.at..].iter().position(|octet| *octet == b'\n').unwrap_or(octets.len() - self.at)
                }
                b'(' => {
                    depth += 1;
                    self.at += 1;
                }
                b')' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                _ => line.words.push(self.word()?),
            }
        }
        (depth == 0).then_some(line)
    }

    /// Reads a word up to white space, a bracket or a comment outside of quotes.
    fn word(&mut self) -> Option<&'a str> {
        let start = self.at;
        let octets = self.text.as_bytes();
        let mut quoted = false;
        while let Some(&octet) = octets.get(self.at) {
            match octet {
                b'\\' => self.at += 1,
                b'"' => quoted = !quoted,
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'(' | b')' if !quoted => break,
                _ => {}
            }
            self.at += 1;
        }
        // An escape at the end has nothing to escape.
        (!quoted && self.at <= octets.len()).then(|| self.text.get(start..self.at)).flatten()
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Option<Line<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed && self.at < self.text.len() {
            match self.entry() {
                Some(line) if line.words.is_empty() => {}
                Some(line) => return Some(Some(line)),
                None => {
                    self.failed = true;
                    return Some(None);
                }
            }
        }
        None
    }
}

/// A time in seconds, plain or with the units `s m h d w`. CoreDNS's library: `stringToTTL`.
pub(crate) fn seconds(word: &str) -> Option<u32> {
    let (mut sum, mut number) = (0u64, 0u64);
    for letter in word.bytes() {
        let unit = match letter.to_ascii_lowercase() {
            b'0'..=b'9' => {
                number = number.checked_mul(10)?.checked_add(u64::from(letter - b'0'))?;
                continue;
            }
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        sum = sum.checked_add(number.checked_mul(unit)?)?;
        number = 0;
    }
    u32::try_from(sum.checked_add(number)?).ok()
}

/// The octets behind `\DDD` and `\X`; `None` if an escape is broken.
pub(crate) fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&octet, tail)) = rest.split_first() {
        rest = tail;
        if octet != b'\\' {
            octets.push(octet);
        } else if rest.first()?.is_ascii_digit() {
            let (digits, after) = rest.split_at_checked(3)?;
            let digits = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
            octets.push(digits.parse().ok()?);
            rest = after;
        } else {
            octets.push(rest[0]);
            rest = &rest[1..];
        }
    }
    Some(octets)
}

/// Words as character-strings in wire form, those that are too long as several. CoreDNS's library: `endingToTxtSlice`.
pub(crate) fn character_strings(words: &[&str]) -> Option<Vec<u8>> {
    let mut rdata = Vec::new();
    for word in words {
        for part in parts(word) {
            let octets = unescape(part)?;
            if octets.is_empty() {
                rdata.push(0);
            }
            for chunk in octets.chunks(STRING_OCTETS_MAX) {
                rdata.push(u8::try_from(chunk.len()).ok()?);
                rdata.extend_from_slice(chunk);
            }
        }
    }
    Some(rdata)
}

/// The strings of a word, in which quoted and bare ones may touch.
fn parts(word: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut at, mut quoted) = (0, 0, false);
    let octets = word.as_bytes();
    while at < octets.len() {
        match octets[at] {
            b'\\' => at += 1,
            b'"' => {
                if quoted || at > start {
                    parts.push(&word[start..at]);
                }
                quoted = !quoted;
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    if start < octets.len() {
        parts.push(&word[start..]);
    }
    parts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn words(text: &str) -> Vec<Option<Vec<&str>>> {
        Lines::new(text).map(|line| line.map(|line| line.words)).collect()
    }

    #[test]
    fn quotes_keep_blanks_and_brackets_join_lines() {
        assert_eq!(
            words("a \"b ; c\"\n\nd ( e ; f\n g ) h"),
            [Some(vec!["a", "\"b ; c\""]), Some(vec!["d", "e", "g", "h"])]
        );
        assert_eq!(words("a\\ b\\\"c d"), [Some(vec!["a\\ b\\\"c", "d"])]);
    }

    #[test]
    fn what_does_not_match_is_told_once() {
        for text in ["a \"b", "a ( b", "a ) b\nc", "a b\\"] {
            assert_eq!(words(text), [None], "{text}");
        }
    }

    #[test]
    fn times_have_units() {
        assert_eq!(seconds("90"), Some(90));
        assert_eq!(seconds("1H30m"), Some(5400));
        assert_eq!(seconds("4294967295"), Some(u32::MAX));
        assert_eq!(seconds("4294967296"), None);
        assert_eq!(seconds("99999999999999999999"), None);
        assert_eq!(seconds("1x"), None);
    }

    #[test]
    fn strings_touch_escape_and_split() {
        assert_eq!(character_strings(&["\"a\"\"b\"c", "\"\""]).unwrap(), b"\x01a\x01b\x01c\x00");
        assert_eq!(character_strings(&["\"\\065\\\"\""]).unwrap(), b"\x02A\"");
        assert_eq!(character_strings(&["\\256"]), None);
        let long = "x".repeat(STRING_OCTETS_MAX);
        assert_eq!(character_strings(&[&long]).unwrap().len(), 256);
        assert_eq!(character_strings(&[&format!("{long}y")]).unwrap()[256..], *b"\x01y");
    }
}
