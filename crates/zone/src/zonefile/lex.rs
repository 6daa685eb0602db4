//! Words, quoted strings and line ends of a zone file (RFC 1035 section 5.1). Nothing is copied: a token is a range of the text.

use super::error::Problem;

/// The longest word or quoted string, octets: 65535 octets of rdata, each written as an escape, and some air.
pub const TOKEN_OCTETS_MAX: usize = 4 * 65_536;

/// What a token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A word without quotes.
    Word,
    /// What stands between quotes.
    Quoted,
    /// The end of the line or of the text, outside of parentheses. It is seen again and again until [`Lexer::pass_line_end`].
    End,
}

/// A part of a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// Whether there is a backslash in it.
    pub(crate) escaped: bool,
    /// Offset of the first octet, quotes not counted.
    pub(crate) start: usize,
    /// Offset behind the last octet, quotes not counted.
    pub(crate) end: usize,
}

impl Token {
    /// Something wrong with this token.
    pub(crate) fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(self.start, self.end, message)
    }

    pub(crate) fn is_end(&self) -> bool {
        self.kind == Kind::End
    }
}

const WORD_END: u8 = 1;
const BACKSLASH: u8 = 2;

/// What each octet means inside of a word: nothing, its end, or an escape.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let ends = b" \t\r\n;()\"";
    let mut at = 0;
    while at < ends.len() {
        classes[ends[at] as usize] = WORD_END;
        at += 1;
    }
    classes[b'\\' as usize] = BACKSLASH;
    classes
};

/// Reads tokens, one after the other. Plain loops over the octets: this is where loading spends its time.
#[derive(Debug)]
pub(crate) struct Lexer<'t> {
    text: &'t [u8],
    at: usize,
    /// How many parentheses are open.
    depth: usize,
    /// Where the first of them is.
    opened: usize,
}

impl<'t> Lexer<'t> {
    pub(crate) fn new(text: &'t [u8]) -> Self {
        // A byte order mark means nothing in UTF-8.
        let at = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Self { text, at, depth: 0, opened: 0 }
    }

    /// The octets of a token.
    pub(crate) fn octets(&self, token: &Token) -> &'t [u8] {
        self.text.get(token.start..token.end).unwrap_or_default()
    }

    /// The next octet.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// The offset of the next octet.
    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    /// Goes behind the line end at which [`Kind::End`] was seen; `false` at the end of the text.
    pub(crate) fn pass_line_end(&mut self) -> bool {
        let more = self.at < self.text.len();
        self.at += usize::from(more);
        more
    }

    /// The next token. Inside of parentheses a line end is a blank.
    pub(crate) fn next(&mut self) -> Result<Token, Problem> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r') => self.at += 1,
                Some(b'\n') if self.depth > 0 => self.at += 1,
                Some(b'\n') => return Ok(self.end()),
                None if self.depth > 0 => {
                    return Err(Problem::new(self.opened, self.opened + 1, "this parenthesis is never closed"));
                }
                None => return Ok(self.end()),
                Some(b';') => self.skip_comment(),
                Some(b'(') => self.open(),
                Some(b')') => self.close()?,
                Some(b'"') => return self.quoted(),
                Some(_) => return self.word(),
            }
        }
    }

    fn end(&self) -> Token {
        Token { kind: Kind::End, escaped: false, start: self.at, end: self.at }
    }

    fn skip_comment(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|&octet| octet == b'\n').unwrap_or(rest.len());
    }

    fn open(&mut self) {
        if self.depth == 0 {
            self.opened = self.at;
        }
        self.depth += 1;
        self.at += 1;
    }

    fn close(&mut self) -> Result<(), Problem> {
        if self.depth == 0 {
            return Err(Problem::new(self.at, self.at + 1, "this parenthesis closes none"));
        }
        self.depth -= 1;
        self.at += 1;
        Ok(())
    }

    fn word(&mut self) -> Result<Token, Problem> {
        let start = self.at;
        let mut at = start;
        let mut escaped = false;
        while let Some(&octet) = self.text.get(at) {
            match CLASSES[usize::from(octet)] {
                0 => at += 1,
                BACKSLASH => {
                    escaped = true;
                    at = self.behind_escape(at)?;
                }
                _ => break,
            }
        }
        self.at = at;
        self.limited(Token { kind: Kind::Word, escaped, start, end: at })
    }

    fn quoted(&mut self) -> Result<Token, Problem> {
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            match self.text.get(at) {
                None => return Err(Problem::new(self.at, self.at + 1, "this quote is never closed")),
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at = self.behind_escape(at)?;
                }
                Some(_) => at += 1,
            }
        }
        self.at = at + 1;
        self.limited(Token { kind: Kind::Quoted, escaped, start, end: at })
    }

    /// Past a backslash and the octet after it; of `\DDD` the other digits are plain octets.
    fn behind_escape(&self, at: usize) -> Result<usize, Problem> {
        match self.text.get(at + 1) {
            None | Some(b'\n') => Err(Problem::new(at, at + 1, "nothing stands behind this backslash")),
            Some(_) => Ok(at + 2),
        }
    }

    fn limited(&self, token: Token) -> Result<Token, Problem> {
        if token.end - token.start > TOKEN_OCTETS_MAX {
            let message = format!("longer than {TOKEN_OCTETS_MAX} octets");
            return Err(Problem::new(token.start, token.start + 1, message));
        }
        Ok(token)
    }
}

/// Reads what a backslash stands before, `rest` being what comes behind it: `\DDD` or any octet (RFC 1035 section 5.1). Gives the octet
/// and how many octets of `rest` it took.
pub(crate) fn unescape(rest: &[u8]) -> Result<(u8, usize), &'static str> {
    let Some(&first) = rest.first() else { return Err("nothing stands behind the backslash") };
    if !first.is_ascii_digit() {
        return Ok((first, 1));
    }
    let digits = rest.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit));
    let value = digits.map(|digits| digits.iter().fold(0u16, |value, digit| value * 10 + u16::from(digit - b'0')));
    match value.map(u8::try_from) {
        Some(Ok(octet)) => Ok((octet, 3)),
        _ => Err("a backslash and a digit need three digits, at most 255"),
    }
}

/// Appends a token's octets with the escapes resolved.
pub(crate) fn unescape_into(text: &[u8], escaped: bool, out: &mut Vec<u8>) -> Result<(), &'static str> {
    if !escaped {
        out.extend_from_slice(text);
        return Ok(());
    }
    let mut rest = text;
    while let Some((&octet, behind)) = rest.split_first() {
        rest = behind;
        if octet != b'\\' {
            out.push(octet);
            continue;
        }
        let (octet, taken) = unescape(rest)?;
        out.push(octet);
        rest = rest.get(taken..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn tokens(text: &str) -> Result<Vec<String>, String> {
        let mut lexer = Lexer::new(text.as_bytes());
        let mut found = Vec::new();
        loop {
            let token = lexer.next().map_err(|problem| problem.located("f", text.as_bytes()).to_string())?;
            let octets = String::from_utf8_lossy(lexer.octets(&token)).into_owned();
            match token.kind {
                Kind::Word => found.push(octets),
                Kind::Quoted => found.push(format!("<{octets}>")),
                Kind::End if lexer.pass_line_end() => found.push("$".to_owned()),
                Kind::End => return Ok(found),
            }
        }
    }

    #[test]
    fn words_end_at_blanks_comments_parentheses_and_quotes() {
        assert_eq!(tokens("a b\t;c\r\nd\"e;f\"g(h\ni)j;").unwrap(), ["a", "b", "$", "d", "<e;f>", "g", "h", "i", "j"]);
    }

    #[test]
    fn escapes_hide_what_would_end_a_word_or_a_quoted_string() {
        assert_eq!(tokens(r#"a\ b\;\" "c\"d\\" "#).unwrap(), [r#"a\ b\;\""#, r#"<c\"d\\>"#]);
    }

    #[test]
    fn what_is_never_closed_is_shown_where_it_opens() {
        assert_eq!(tokens("a\n b ( c (\n d )").unwrap_err(), "f:2:4: this parenthesis is never closed");
        assert_eq!(tokens("a )").unwrap_err(), "f:1:3: this parenthesis closes none");
        assert_eq!(tokens("a \"b\nc").unwrap_err(), "f:1:3: this quote is never closed");
        assert_eq!(tokens("a \\\nb").unwrap_err(), "f:1:3: nothing stands behind this backslash");
    }

    #[test]
    fn a_token_has_a_longest_length() {
        assert!(tokens(&"x".repeat(TOKEN_OCTETS_MAX)).is_ok());
        assert!(tokens(&"x".repeat(TOKEN_OCTETS_MAX + 1)).is_err());
    }

    #[test]
    fn decimal_escapes_are_of_three_digits_up_to_255() {
        assert_eq!(unescape(b"0651"), Ok((b'A', 3)));
        assert_eq!(unescape(b"x"), Ok((b'x', 1)));
        for wrong in [&b"256"[..], b"12", b"1x3", b""] {
            assert!(unescape(wrong).is_err(), "{wrong:?}");
        }
    }
}
