//! Label selectors, as Kubernetes writes them.

use std::fmt;

/// The longest name or value of a label, octets.
const LABEL_TEXT_MAX: usize = 63;

/// The longest prefix of a label's name, octets.
const PREFIX_MAX: usize = 253;

/// What the labels of an object have to be. Prints in the form that an API server takes, sorted by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

/// One requirement: a label's name, and what of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Requirement {
    name: String,
    wanted: Wanted,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Wanted {
    Exists,
    Absent,
    Is(String),
    OneOf(Vec<String>),
    NoneOf(Vec<String>),
}

/// Why a text is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Something else should stand here.
    #[error("unable to parse requirement: found '{found}', expected: {expected}")]
    Unexpected {
        /// What stands there; empty at the end.
        found: String,
        /// What should.
        expected: &'static str,
    },
    /// A label cannot be called so, or have this value.
    #[error("invalid label {what} {text:?}: {reason}")]
    Invalid {
        /// `key` or `value`.
        what: &'static str,
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An operator that selects nothing by.
    #[error("{0:?} is not a valid label selector operator")]
    Operator(String),
}

impl Selector {
    /// Reads `a=b,c!=d,e in (f,g),h notin (i),j,!k`.
    ///
    /// # Errors
    /// The first thing that is not as it should be.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let tokens = tokens(text);
        let mut rest = tokens.as_slice();
        let mut requirements = Vec::new();
        while !rest.is_empty() {
            requirements.push(requirement(&mut rest)?);
            match rest {
                [] => break,
                [","] => return Err(unexpected("", "identifier after ','")),
                [",", more @ ..] => rest = more,
                [other, ..] => return Err(unexpected(other, "',' or 'end of string'")),
            }
        }
        requirements.sort();
        Ok(Self { requirements })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Requirement { name, wanted }) in self.requirements.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            match wanted {
                Wanted::Exists => write!(f, "{name}")?,
                Wanted::Absent => write!(f, "!{name}")?,
                Wanted::Is(value) => write!(f, "{name}={value}")?,
                Wanted::OneOf(values) => write!(f, "{name} in ({})", values.join(","))?,
                Wanted::NoneOf(values) => write!(f, "{name} notin ({})", values.join(","))?,
            }
        }
        Ok(())
    }
}

fn unexpected(found: &str, expected: &'static str) -> SelectorError {
    SelectorError::Unexpected { found: found.to_owned(), expected }
}

/// Words and signs.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_sign = |char: char| "=!(),<>".contains(char);
        let length = match first {
            '=' if rest.starts_with("==") => 2,
            '!' if rest.starts_with("!=") => 2,
            sign if is_sign(sign) => 1,
            _ => rest.find(|char: char| is_sign(char) || char.is_whitespace()).unwrap_or(rest.len()),
        };
        let (token, more) = rest.split_at(length);
        tokens.push(token);
        rest = more.trim_start();
    }
    tokens
}

fn is_word(token: &str) -> bool {
    !token.starts_with(['=', '!', '(', ')', ',', '<', '>'])
}

fn requirement(rest: &mut &[&str]) -> Result<Requirement, SelectorError> {
    let mut next = || {
        let (first, more) = rest.split_first().unwrap_or((&"", &[]));
        *rest = more;
        *first
    };
    let mut name = next();
    let absent = name == "!";
    if absent {
        name = next();
    }
    if name.is_empty() || !is_word(name) {
        return Err(unexpected(name, "identifier"));
    }
    check_name(name)?;
    let made = |wanted| Ok(Requirement { name: name.to_owned(), wanted });
    if absent {
        return made(Wanted::Absent);
    }
    match rest.first().copied() {
        None | Some(",") => made(Wanted::Exists),
        Some(sign @ ("=" | "==" | "!=")) => {
            *rest = &rest[1..];
            let value = match rest.first() {
                Some(word) if is_word(word) => {
                    let word = *word;
                    *rest = &rest[1..];
                    word
                }
                // An empty value is one.
                None | Some(&",") => "",
                Some(other) => return Err(unexpected(other, "identifier")),
            };
            check_value(value)?;
            made(if sign == "!=" { Wanted::NoneOf(vec![value.to_owned()]) } else { Wanted::Is(value.to_owned()) })
        }
        Some(sign @ ("in" | "notin")) => {
            *rest = &rest[1..];
            let values = values(rest)?;
            made(if sign == "in" { Wanted::OneOf(values) } else { Wanted::NoneOf(values) })
        }
        Some(sign @ ("<" | ">")) => Err(SelectorError::Operator(sign.to_owned())),
        Some(other) => Err(unexpected(other, "in, notin, =, ==, !=")),
    }
}

/// Reads `(a, b)`.
fn values(rest: &mut &[&str]) -> Result<Vec<String>, SelectorError> {
    let Some((&"(", mut inside)) = rest.split_first() else {
        return Err(unexpected(rest.first().unwrap_or(&""), "'('"));
    };
    let mut values = Vec::new();
    loop {
        let (value, more) = match inside {
            [word, more @ ..] if is_word(word) => (*word, more),
            ["," | ")", ..] => ("", inside),
            _ => return Err(unexpected(inside.first().unwrap_or(&""), "',', or identifier")),
        };
        check_value(value)?;
        values.push(value.to_owned());
        match more {
            [")", more @ ..] => {
                *rest = more;
                values.sort();
                values.dedup();
                return Ok(values);
            }
            [",", more @ ..] => inside = more,
            _ => return Err(unexpected(more.first().unwrap_or(&""), "',' or ')'")),
        }
    }
}

/// `[PREFIX/]NAME`: a domain name, and letters, digits, `-`, `_` and `.` between letters or digits.
fn check_name(text: &str) -> Result<(), SelectorError> {
    let wrong = |reason| SelectorError::Invalid { what: "key", text: text.to_owned(), reason };
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    if let Some(prefix) = prefix {
        let fine = |label: &str| {
            let ends = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
            let inner = label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
            inner && ends(label.as_bytes().first()) && ends(label.as_bytes().last())
        };
        if prefix.len() > PREFIX_MAX || !prefix.split('.').all(fine) {
            return Err(wrong("the prefix must be a lower-case domain name of at most 253 characters"));
        }
    }
    if name.is_empty() || !is_label_text(name) {
        return Err(wrong("must be 1 to 63 letters, digits, '-', '_' and '.', a letter or digit first and last"));
    }
    Ok(())
}

fn check_value(text: &str) -> Result<(), SelectorError> {
    if text.is_empty() || is_label_text(text) {
        return Ok(());
    }
    let reason = "must be at most 63 letters, digits, '-', '_' and '.', a letter or digit first and last";
    Err(SelectorError::Invalid { what: "value", text: text.to_owned(), reason })
}

fn is_label_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()].iter().all(|byte| byte.is_some_and(u8::is_ascii_alphanumeric));
    bytes.len() <= LABEL_TEXT_MAX
        && ends
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn every_form_is_read_and_printed_in_order() {
        for (text, printed) in [
            ("", ""),
            ("tier in (public, front),!draft", "!draft,tier in (front,public)"),
            ("b = c , a==d", "a=d,b=c"),
            ("a!=b", "a notin (b)"),
            ("x notin (b,,a)", "x notin (,a,b)"),
            ("example.org/app", "example.org/app"),
            ("a=", "a="),
        ] {
            // Requirements are sorted by name, and `!draft` by `draft`.
            assert_eq!(Selector::parse(text).unwrap().to_string(), printed, "{text}");
        }
    }

    #[test]
    fn what_is_no_selector_is_an_error() {
        for (text, told) in [
            ("=b", "unable to parse requirement: found '=', expected: identifier"),
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !="),
            ("a in b", "unable to parse requirement: found 'b', expected: '('"),
            ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("a,", "unable to parse requirement: found '', expected: identifier after ','"),
            ("a=b c", "unable to parse requirement: found 'c', expected: ',' or 'end of string'"),
            ("a>1", "\">\" is not a valid label selector operator"),
        ] {
            assert_eq!(Selector::parse(text).unwrap_err().to_string(), told, "{text}");
        }
        for text in ["-a", "a=-b", "A.org/x", "/x", "a/b/c", &"x".repeat(LABEL_TEXT_MAX + 1)] {
            assert!(matches!(Selector::parse(text), Err(SelectorError::Invalid { .. })), "{text}");
        }
        assert!(Selector::parse(&"x".repeat(LABEL_TEXT_MAX)).is_ok());
    }
}
