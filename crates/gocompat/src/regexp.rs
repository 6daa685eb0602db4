//! Go's `regexp`: the RE2 syntax of Go, translated to the `regex` crate, with Go's error texts.
//!
//! Perl classes and word boundaries are ASCII, `(?i)` folds by Unicode, repeat operators do not
//! stack, as in Go. The leftmost-first choice of a match is the same in both.

mod class;
mod parse;

use regex::bytes;
use std::ops::Range;

/// Memory that a compiled expression may take, in bytes; Go's own bound is 128 MiB.
pub const COMPILED_BYTES_MAX: usize = 64 << 20;

/// How deep groups and repetitions may nest. Go allows 1000; compiling recurses, so that the
/// stack of a worker thread sets this one.
pub const NESTING_MAX: usize = 250;

/// The length that CoreDNS's plugins allow a pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 10_000;

/// What is wrong with a pattern, in Go's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum RegexpErrorKind {
    InvalidCharRange,
    InvalidEscape,
    InvalidNamedCapture,
    InvalidPerlOp,
    InvalidRepeatOp,
    InvalidRepeatSize,
    MissingBracket,
    MissingParen,
    MissingRepeatArgument,
    TrailingBackslash,
    UnexpectedParen,
    NestingDepth,
    Large,
}

impl std::fmt::Display for RegexpErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::InvalidCharRange => "invalid character class range",
            Self::InvalidEscape => "invalid escape sequence",
            Self::InvalidNamedCapture => "invalid named capture",
            Self::InvalidPerlOp => "invalid or unsupported Perl syntax",
            Self::InvalidRepeatOp => "invalid nested repetition operator",
            Self::InvalidRepeatSize => "invalid repeat count",
            Self::MissingBracket => "missing closing ]",
            Self::MissingParen => "missing closing )",
            Self::MissingRepeatArgument => "missing argument to repetition operator",
            Self::TrailingBackslash => "trailing backslash at end of expression",
            Self::UnexpectedParen => "unexpected )",
            Self::NestingDepth => "expression nests too deeply",
            Self::Large => "expression too large",
        })
    }
}

/// Why a pattern does not compile; prints as Go's `*syntax.Error` does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {kind}: `{fragment}`")]
pub struct RegexpError {
    /// What is wrong.
    pub kind: RegexpErrorKind,
    /// The part of the pattern that is.
    pub fragment: String,
}

/// A compiled expression over text.
#[derive(Debug, Clone)]
pub struct Regexp {
    source: String,
    compiled: bytes::Regex,
    names: Vec<Option<String>>,
}

impl Regexp {
    /// Compiles a pattern in Go's syntax.
    pub fn new(pattern: &str) -> Result<Self, RegexpError> {
        let translated = parse::translate(pattern)?;
        // Over bytes, because only there the ASCII `\B` is allowed; `.` and classes still match
        // whole characters.
        let compiled = bytes::RegexBuilder::new(&translated.pattern)
            .size_limit(COMPILED_BYTES_MAX)
            .nest_limit(u32::MAX)
            .build()
            .map_err(|_| RegexpError { kind: RegexpErrorKind::Large, fragment: pattern.to_owned() })?;
        Ok(Self { source: pattern.to_owned(), compiled, names: translated.names })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// Whether the expression matches anywhere in `text`.
    pub fn is_match(&self, text: &str) -> bool {
        self.compiled.is_match(text.as_bytes())
    }

    /// Groups with group 0, the whole match, counted: Go's `NumSubexp` plus one.
    pub fn group_count(&self) -> usize {
        self.names.len()
    }

    /// The names of the groups; group 0 and unnamed ones have none: Go's `SubexpNames`.
    pub fn group_names(&self) -> impl Iterator<Item = Option<&str>> {
        self.names.iter().map(Option::as_deref)
    }

    /// The leftmost match and its groups: Go's `FindStringSubmatch`.
    pub fn captures<'t>(&self, text: &'t str) -> Option<Captures<'_, 't>> {
        let found = self.compiled.captures(text.as_bytes())?;
        let spans = found.iter().map(|group| group.map(|group| group.range()));
        Some(Captures { text, spans: spans.collect(), names: &self.names })
    }

    /// The leftmost match as a range of bytes: Go's `FindStringIndex`.
    pub fn find(&self, text: &str) -> Option<Range<usize>> {
        self.compiled.find(text.as_bytes()).map(|found| found.range())
    }
}

/// One match of a [`Regexp`].
#[derive(Debug, Clone)]
pub struct Captures<'r, 't> {
    text: &'t str,
    spans: Vec<Option<Range<usize>>>,
    names: &'r [Option<String>],
}

impl<'r, 't> Captures<'r, 't> {
    /// Groups with group 0 counted.
    pub fn count(&self) -> usize {
        self.spans.len()
    }

    /// The bytes that group `index` matched; `None` for a group that took no part.
    pub fn span(&self, index: usize) -> Option<Range<usize>> {
        self.spans.get(index)?.clone()
    }

    /// The text of group `index`; `None` for a group that took no part or is not there.
    pub fn get(&self, index: usize) -> Option<&'t str> {
        self.text.get(self.span(index)?)
    }

    /// The text of a named group; of several with one name, the last.
    pub fn name(&self, name: &str) -> Option<&'t str> {
        let named = |group: &Option<String>| group.as_deref() == Some(name);
        self.get(self.names.iter().rposition(named)?)
    }

    /// Name and text of every group in order; no part in the match is empty text, as in Go.
    pub fn groups(&self) -> impl Iterator<Item = (Option<&'r str>, &'t str)> {
        let texts = (0..self.count()).map(|index| self.get(index).unwrap_or_default());
        self.names.iter().map(Option::as_deref).zip(texts)
    }
}

#[cfg(test)]
mod tests;
