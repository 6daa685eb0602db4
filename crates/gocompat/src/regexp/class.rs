//! Character classes: brackets, Perl and POSIX classes, Unicode groups.

use super::RegexpErrorKind as Kind;
use super::parse::{Error, Parser};

/// The ranges of a Perl class (`\d`, `\s`, `\w`) by its lower-case letter.
fn perl_ranges(letter: char, fold: bool) -> Option<&'static str> {
    Some(match letter {
        'd' => "0-9",
        's' => r"\t\n\x0c\r ",
        // Two characters outside ASCII fold into letters: long s and the Kelvin sign.
        'w' if fold => r"0-9A-Za-z_\x{17f}\x{212a}",
        'w' => "0-9A-Za-z_",
        _ => return None,
    })
}

/// The ranges of a POSIX class by its name.
fn posix_ranges(name: &str, fold: bool) -> Option<&'static str> {
    Some(match (name, fold) {
        ("alnum", false) => "0-9A-Za-z",
        ("alnum", true) => r"0-9A-Za-z\x{17f}\x{212a}",
        ("alpha", false) => "A-Za-z",
        ("alpha" | "lower" | "upper", true) => r"A-Za-z\x{17f}\x{212a}",
        ("ascii", false) => r"\x00-\x7f",
        ("ascii", true) => r"\x00-\x7f\x{17f}\x{212a}",
        ("blank", _) => r"\t ",
        ("cntrl", _) => r"\x00-\x1f\x7f",
        ("digit", _) => "0-9",
        ("graph", false) => r"\x21-\x7e",
        ("graph", true) => r"\x21-\x7e\x{17f}\x{212a}",
        ("lower", false) => "a-z",
        ("print", false) => r"\x20-\x7e",
        ("print", true) => r"\x20-\x7e\x{17f}\x{212a}",
        ("punct", _) => r"\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e",
        ("space", _) => r"\t-\r ",
        ("upper", false) => "A-Z",
        ("word", _) => perl_ranges('w', fold)?,
        ("xdigit", _) => "0-9A-Fa-f",
        _ => return None,
    })
}

fn bracketed(negated: bool, ranges: &str) -> String {
    format!("[{}{ranges}]", if negated { "^" } else { "" })
}

/// A character as the `regex` crate reads it anywhere, brackets included.
pub(super) fn literal(c: char) -> String {
    if c.is_ascii_alphanumeric() { c.to_string() } else { format!("\\x{{{:x}}}", u32::from(c)) }
}

impl<'p> Parser<'p> {
    /// Reads `\d` and its like, if it stands here.
    pub(super) fn perl_class(&mut self) -> Option<String> {
        let letter = self.rest().strip_prefix('\\')?.chars().next()?;
        let ranges = perl_ranges(letter.to_ascii_lowercase(), self.flags.fold)?;
        self.advance(2);
        Some(bracketed(letter.is_ascii_uppercase(), ranges))
    }

    /// Reads `\pN`, `\p{Greek}` and `\P..`, if it stands here.
    pub(super) fn unicode_class(&mut self) -> Result<Option<String>, Error> {
        let start = self.rest();
        let mut negated = start.starts_with("\\P");
        if !negated && !start.starts_with("\\p") {
            return Ok(None);
        }
        let body = &start[2..];
        let (length, mut name) = if let Some(braced) = body.strip_prefix('{') {
            let end = braced.find('}').ok_or_else(|| Error::new(Kind::InvalidCharRange, start))?;
            (end + 4, &braced[..end])
        } else {
            // Go reads an empty name as a broken character.
            let c = body.chars().next().map_or(0, char::len_utf8);
            (2 + c, &body[..c])
        };
        if let Some(inner) = name.strip_prefix('^') {
            negated = !negated;
            name = inner;
        }
        let class = unicode_group(name, negated).ok_or_else(|| Error::new(Kind::InvalidCharRange, &start[..length]))?;
        self.advance(length);
        Ok(Some(class))
    }

    /// Reads `[[:alpha:]]`'s inner part, if it stands here.
    fn posix_class(&mut self) -> Result<Option<String>, Error> {
        let start = self.rest();
        let Some(body) = start.strip_prefix("[:") else {
            return Ok(None);
        };
        let Some(end) = body.find(":]") else {
            return Ok(None);
        };
        let whole = &start[..end + 4];
        let (negated, name) = match body[..end].strip_prefix('^') {
            Some(name) => (true, name),
            None => (false, &body[..end]),
        };
        let ranges = posix_ranges(name, self.flags.fold).ok_or_else(|| Error::new(Kind::InvalidCharRange, whole))?;
        self.advance(whole.len());
        Ok(Some(bracketed(negated, ranges)))
    }

    /// Reads a bracket expression; the parser stands at its `[`.
    pub(super) fn bracket(&mut self) -> Result<String, Error> {
        let start = self.rest();
        self.advance(1);
        let mut class = String::from("[");
        if self.rest().starts_with('^') {
            self.advance(1);
            class.push('^');
        }
        let mut first = true;
        while first || !self.rest().starts_with(']') {
            first = false;
            // `[:` with nothing to close it is a literal; as in Go it must have a third byte.
            let item = match self.posix_class()? {
                Some(item) => Some(item),
                None => match self.unicode_class()? {
                    Some(item) => Some(item),
                    None => self.perl_class(),
                },
            };
            match item {
                Some(item) => class.push_str(&item),
                None => class.push_str(&self.range(start)?),
            }
        }
        self.advance(1);
        class.push(']');
        Ok(class)
    }

    /// Reads one character or range of a bracket expression.
    fn range(&mut self, bracket: &'p str) -> Result<String, Error> {
        let start = self.rest();
        let low = self.class_char(bracket)?;
        let rest = self.rest();
        if !rest.starts_with('-') || rest.len() < 2 || rest[1..].starts_with(']') {
            return Ok(literal_scalar(low));
        }
        self.advance(1);
        let high = self.class_char(bracket)?;
        if high < low {
            let length = start.len() - self.rest().len();
            return Err(Error::new(Kind::InvalidCharRange, &start[..length]));
        }
        Ok(scalar_ranges(low, high))
    }

    fn class_char(&mut self, bracket: &'p str) -> Result<u32, Error> {
        match self.rest().chars().next() {
            None => Err(Error::new(Kind::MissingBracket, bracket)),
            Some('\\') => self.escape(),
            Some(c) => {
                self.advance(c.len_utf8());
                Ok(u32::from(c))
            }
        }
    }
}

/// A code point for inside brackets; surrogates, which no text holds, match nothing.
fn literal_scalar(code: u32) -> String {
    scalar_ranges(code, code)
}

/// A range of code points without the surrogates in it.
fn scalar_ranges(low: u32, high: u32) -> String {
    let mut ranges = String::new();
    for (from, to) in [(low, high.min(0xd7ff)), (low.max(0xe000), high)] {
        if from <= to {
            ranges.push_str(&format!("\\x{{{from:x}}}-\\x{{{to:x}}}"));
        }
    }
    if ranges.is_empty() {
        ranges.push_str("[^\\x00-\\x{10ffff}]");
    }
    ranges
}

/// The class of a Unicode category or script; `None` for a name that is neither.
fn unicode_group(name: &str, negated: bool) -> Option<String> {
    let canonical: String =
        name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).map(|c| c.to_ascii_lowercase()).collect();
    let sign = if negated { 'P' } else { 'p' };
    match canonical.as_str() {
        "any" => return Some(bracketed(negated, r"\x00-\x{10ffff}")),
        "ascii" => return Some(bracketed(negated, r"\x00-\x7f")),
        "assigned" => return Some(format!("\\{}{{gc=Cn}}", if negated { 'p' } else { 'P' })),
        _ => {}
    }
    if canonical.is_empty() || !canonical.bytes().all(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    // The crate knows the tables; a name is of the kind under which it compiles.
    ["gc", "sc"]
        .into_iter()
        .map(|kind| format!("\\{sign}{{{kind}={canonical}}}"))
        .find(|class| regex::Regex::new(class).is_ok())
}
