//! The parser: Go's grammar in, a pattern of the `regex` crate out.

use super::class::literal;
use super::{NESTING_MAX, RegexpError, RegexpErrorKind as Kind};

/// The largest count of a repetition, alone and multiplied with those inside it.
const REPEAT_MAX: u32 = 1000;

/// A pattern of the `regex` crate and the names of its groups.
pub(super) struct Translated {
    pub(super) pattern: String,
    pub(super) names: Vec<Option<String>>,
}

pub(super) struct Error(RegexpError);

impl Error {
    pub(super) fn new(kind: Kind, fragment: &str) -> Self {
        Self(RegexpError { kind, fragment: fragment.to_owned() })
    }
}

/// The flags of `(?imsU)`.
#[derive(Clone, Copy, Default)]
pub(super) struct Flags {
    pub(super) fold: bool,
    multi_line: bool,
    dot_newline: bool,
    lazy: bool,
}

/// A piece that a repetition operator can stand behind.
struct Atom {
    pattern: String,
    height: usize,
    /// The product of the counted repetitions inside, along the largest path.
    repeats: u32,
}

/// An open group: what was read before it.
struct Group {
    opening: String,
    flags: Flags,
    atoms: Vec<Atom>,
    branches: Vec<Atom>,
}

pub(super) struct Parser<'p> {
    whole: &'p str,
    at: usize,
    pub(super) flags: Flags,
    atoms: Vec<Atom>,
    branches: Vec<Atom>,
    groups: Vec<Group>,
    names: Vec<Option<String>>,
}

/// Translates a pattern in Go's syntax.
pub(super) fn translate(pattern: &str) -> Result<Translated, RegexpError> {
    let mut parser = Parser {
        whole: pattern,
        at: 0,
        flags: Flags::default(),
        atoms: Vec::new(),
        branches: Vec::new(),
        groups: Vec::new(),
        names: vec![None],
    };
    parser.run().map_err(|error| error.0)?;
    if !parser.groups.is_empty() {
        return Err(Error::new(Kind::MissingParen, pattern).0);
    }
    let whole = parser.close_branches();
    Ok(Translated { pattern: whole.pattern, names: parser.names })
}

impl<'p> Parser<'p> {
    pub(super) fn rest(&self) -> &'p str {
        self.whole.get(self.at..).unwrap_or_default()
    }

    pub(super) fn advance(&mut self, bytes: usize) {
        self.at += bytes;
    }

    fn push(&mut self, pattern: impl Into<String>) {
        self.atoms.push(Atom { pattern: pattern.into(), height: 1, repeats: 1 });
    }

    fn push_literal(&mut self, code: u32) {
        let text = match char::from_u32(code) {
            Some(c) => literal(c),
            // Go takes an escaped surrogate, which no text holds.
            None => "[^\\x00-\\x{10ffff}]".to_owned(),
        };
        self.push_folded(text);
    }

    fn push_folded(&mut self, pattern: String) {
        if self.flags.fold {
            self.push(format!("(?i:{pattern})"));
        } else {
            self.push(pattern);
        }
    }

    fn run(&mut self) -> Result<(), Error> {
        let mut last_repeat = "";
        while let Some(c) = self.rest().chars().next() {
            let before = self.rest();
            let mut repeated = false;
            match c {
                '(' => self.open()?,
                ')' => self.close()?,
                '|' => {
                    self.end_branch();
                    self.advance(1);
                }
                '^' => self.simple(1, if self.flags.multi_line { "(?m:^)" } else { "\\A" }),
                '$' => self.simple(1, if self.flags.multi_line { "(?m:$)" } else { "\\z" }),
                '.' => self.simple(1, if self.flags.dot_newline { "(?s:.)" } else { "[^\\n]" }),
                '[' => {
                    let class = self.bracket()?;
                    self.push_folded(class);
                }
                '*' | '+' | '?' => {
                    self.advance(1);
                    self.repeat(before, last_repeat, &c.to_string(), 1)?;
                    repeated = true;
                }
                '{' => match counted(before) {
                    Some((operator, length, count)) => {
                        self.advance(length);
                        let count = count.ok_or_else(|| Error::new(Kind::InvalidRepeatSize, &before[..length]))?;
                        self.repeat(before, last_repeat, &operator, count)?;
                        repeated = true;
                    }
                    None => self.simple(1, "\\{"),
                },
                '\\' => self.backslash()?,
                _ => {
                    self.advance(c.len_utf8());
                    self.push_literal(u32::from(c));
                }
            }
            last_repeat = if repeated { before } else { "" };
        }
        Ok(())
    }

    fn simple(&mut self, bytes: usize, pattern: &str) {
        self.advance(bytes);
        self.push(pattern);
    }

    /// Puts a repetition around the last atom. The parser stands behind the operator; `before` is
    /// the text from it on, `last_repeat` the text from an operator directly in front on.
    fn repeat(&mut self, before: &str, last_repeat: &str, operator: &str, count: u32) -> Result<(), Error> {
        let mut lazy = self.flags.lazy;
        if self.rest().starts_with('?') {
            self.advance(1);
            lazy = !lazy;
        }
        let upto_here = |text: &'_ str, rest: usize| text[..text.len() - rest].to_owned();
        let rest = self.rest().len();
        if !last_repeat.is_empty() {
            return Err(Error::new(Kind::InvalidRepeatOp, &upto_here(last_repeat, rest)));
        }
        let written = upto_here(before, rest);
        let Some(atom) = self.atoms.pop() else {
            return Err(Error::new(Kind::MissingRepeatArgument, &written));
        };
        let repeats = atom.repeats.saturating_mul(count.max(1));
        if count >= 2 && repeats > REPEAT_MAX {
            return Err(Error::new(Kind::InvalidRepeatSize, &written));
        }
        let height = self.checked_height(atom.height)?;
        let lazy = if lazy { "?" } else { "" };
        self.atoms.push(Atom { pattern: format!("(?:{}){operator}{lazy}", atom.pattern), height, repeats });
        Ok(())
    }

    fn checked_height(&self, inner: usize) -> Result<usize, Error> {
        if inner >= NESTING_MAX {
            return Err(Error::new(Kind::NestingDepth, self.whole));
        }
        Ok(inner + 1)
    }

    /// Reads `(`, `(?flags)`, `(?flags:` or a named group's opening.
    fn open(&mut self) -> Result<(), Error> {
        let start = self.rest();
        if !start.starts_with("(?") {
            self.advance(1);
            return self.begin(Some(None));
        }
        let named = ["(?P<", "(?<"].into_iter().find(|p| start.starts_with(p));
        // Go wants a byte behind the `<`.
        if let Some(prefix) = named.filter(|prefix| start.len() > prefix.len()) {
            let end = start.find('>').ok_or_else(|| Error::new(Kind::InvalidNamedCapture, start))?;
            let name = start.get(prefix.len()..end).unwrap_or_default();
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(word) {
                return Err(Error::new(Kind::InvalidNamedCapture, &start[..=end]));
            }
            self.advance(end + 1);
            return self.begin(Some(Some(name)));
        }
        self.flag_group(start)
    }

    fn flag_group(&mut self, start: &str) -> Result<(), Error> {
        let (mut flags, mut negative, mut saw_flag) = (self.flags, false, false);
        let mut read = 2;
        for c in start[2..].chars() {
            read += c.len_utf8();
            let flag = match c {
                'i' => &mut flags.fold,
                'm' => &mut flags.multi_line,
                's' => &mut flags.dot_newline,
                'U' => &mut flags.lazy,
                '-' if !negative => {
                    (negative, saw_flag) = (true, false);
                    continue;
                }
                ':' | ')' if !negative || saw_flag => {
                    self.advance(read);
                    if c == ':' {
                        self.begin(None)?;
                    }
                    self.flags = flags;
                    return Ok(());
                }
                _ => return Err(Error::new(Kind::InvalidPerlOp, &start[..read])),
            };
            *flag = !negative;
            saw_flag = true;
        }
        // Unfinished flags are reported with all that is left.
        Err(Error::new(Kind::InvalidPerlOp, start))
    }

    /// Opens a group: `None` does not capture, `Some(name)` does.
    fn begin(&mut self, capture: Option<Option<&str>>) -> Result<(), Error> {
        if self.groups.len() >= NESTING_MAX {
            return Err(Error::new(Kind::NestingDepth, self.whole));
        }
        let opening = match capture {
            None => "(?:",
            Some(name) => {
                self.names.push(name.map(str::to_owned));
                "("
            }
        };
        self.groups.push(Group {
            opening: opening.to_owned(),
            flags: self.flags,
            atoms: std::mem::take(&mut self.atoms),
            branches: std::mem::take(&mut self.branches),
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        let Some(group) = self.groups.pop() else {
            return Err(Error::new(Kind::UnexpectedParen, self.whole));
        };
        self.advance(1);
        let inner = self.close_branches();
        let height = self.checked_height(inner.height)?;
        self.flags = group.flags;
        self.atoms = group.atoms;
        self.branches = group.branches;
        self.atoms.push(Atom {
            pattern: format!("{}{})", group.opening, inner.pattern),
            height,
            repeats: inner.repeats,
        });
        Ok(())
    }

    fn end_branch(&mut self) {
        let atoms = std::mem::take(&mut self.atoms);
        let mut branch = Atom { pattern: String::new(), height: 1, repeats: 1 };
        for atom in atoms {
            branch.pattern.push_str(&atom.pattern);
            branch.height = branch.height.max(atom.height);
            branch.repeats = branch.repeats.max(atom.repeats);
        }
        self.branches.push(branch);
    }

    fn close_branches(&mut self) -> Atom {
        self.end_branch();
        let branches = std::mem::take(&mut self.branches);
        Atom {
            height: branches.iter().map(|branch| branch.height).max().unwrap_or(1),
            repeats: branches.iter().map(|branch| branch.repeats).max().unwrap_or(1),
            pattern: branches.into_iter().map(|branch| branch.pattern).collect::<Vec<_>>().join("|"),
        }
    }

    fn backslash(&mut self) -> Result<(), Error> {
        let rest = self.rest();
        match rest.as_bytes().get(1) {
            Some(b'A') => self.simple(2, "\\A"),
            Some(b'z') => self.simple(2, "\\z"),
            Some(b'b') => self.simple(2, "(?-u:\\b)"),
            Some(b'B') => self.simple(2, "(?-u:\\B)"),
            Some(b'C') => return Err(Error::new(Kind::InvalidEscape, &rest[..2])),
            Some(b'Q') => {
                let body = &rest[2..];
                let (quoted, length) = match body.find("\\E") {
                    Some(end) => (&body[..end], end + 4),
                    None => (body, body.len() + 2),
                };
                self.advance(length);
                quoted.chars().for_each(|c| self.push_literal(u32::from(c)));
            }
            _ => {
                let class = match self.unicode_class()? {
                    Some(class) => Some(class),
                    None => self.perl_class(),
                };
                match class {
                    Some(class) => self.push_folded(class),
                    None => {
                        let code = self.escape()?;
                        self.push_literal(code);
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads the escape of one character; the parser stands at its backslash.
    pub(super) fn escape(&mut self) -> Result<u32, Error> {
        let start = self.rest();
        let mut chars = start[1..].chars();
        let Some(c) = chars.next() else {
            return Err(Error::new(Kind::TrailingBackslash, ""));
        };
        let code = match c {
            '1'..='7' if !matches!(chars.clone().next(), Some('0'..='7')) => None,
            '0'..='7' => {
                let mut code = u32::from(c) - 48;
                for _ in 0..2 {
                    let Some(digit @ '0'..='7') = chars.clone().next() else {
                        break;
                    };
                    chars.next();
                    code = code * 8 + u32::from(digit) - 48;
                }
                Some(code)
            }
            'x' => hex_escape(&mut chars),
            'a' => Some(7),
            'f' => Some(12),
            'n' => Some(10),
            'r' => Some(13),
            't' => Some(9),
            'v' => Some(11),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(u32::from(c)),
            _ => None,
        };
        let length = start.len() - chars.as_str().len();
        let code = code.ok_or_else(|| Error::new(Kind::InvalidEscape, &start[..length]))?;
        self.advance(length);
        Ok(code)
    }
}

/// Reads what stands behind `\x`: two digits, or any number of them in braces.
fn hex_escape(chars: &mut std::str::Chars<'_>) -> Option<u32> {
    let first = chars.next()?;
    if first != '{' {
        let second = chars.next();
        return Some(first.to_digit(16)? * 16 + second?.to_digit(16)?);
    }
    let (mut code, mut digits) = (0, 0);
    loop {
        match chars.next()? {
            '}' if digits > 0 => return Some(code),
            c => code = code * 16 + c.to_digit(16)?,
        }
        digits += 1;
        if code > 0x10_ffff {
            return None;
        }
    }
}

/// Reads `{n}`, `{n,}` or `{n,m}` from the front of `text`: the operator, its length in bytes and
/// the count that multiplies, `None` where the counts are out of range. Anything else is a
/// literal brace.
fn counted(text: &str) -> Option<(String, usize, Option<u32>)> {
    let end = text.find('}')?;
    let body = &text[1..end];
    let (low, high) = match body.split_once(',') {
        Some((low, "")) => (repeat_count(low)?, None),
        Some((low, high)) => (repeat_count(low)?, Some(repeat_count(high)?)),
        None => (repeat_count(body)?, Some(repeat_count(body)?)),
    };
    let in_range = low <= REPEAT_MAX && high.is_none_or(|high| low <= high && high <= REPEAT_MAX);
    let count = in_range.then(|| high.unwrap_or(low));
    Some((text[..=end].to_owned(), end + 1, count))
}

/// A decimal without leading zeros; too large a one is larger than [`REPEAT_MAX`].
fn repeat_count(digits: &str) -> Option<u32> {
    let leading_zero = digits.len() > 1 && digits.starts_with('0');
    if digits.is_empty() || leading_zero || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u32::MAX))
}
