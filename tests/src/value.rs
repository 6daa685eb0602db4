//! YAML as a tree of texts: what a case says is never turned into a number behind its back.

use saphyr_parser::{Event, Parser, ScalarStyle};
use std::collections::HashMap;

use crate::Error;

/// The deepest nesting that a file may have; deeper ones are refused instead of exhausting the stack.
pub const DEPTH_MAX: usize = 64;

/// One node of a YAML document. Mappings keep the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A quoted, folded or literal text; or one that the harness made itself.
    Text(String),
    /// A plain scalar: `12`, `true`, `~` or bare words. Only manifests care for the difference.
    Plain(String),
    /// A sequence.
    List(Vec<Self>),
    /// A mapping.
    Map(Vec<(String, Self)>),
}

impl Value {
    /// A text made by the harness.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A list of texts.
    pub fn texts<T: Into<String>>(lines: impl IntoIterator<Item = T>) -> Self {
        Self::List(lines.into_iter().map(Self::text).collect())
    }

    /// The member of a mapping; nothing for any other node.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Whether the node is a mapping with that key.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The text of a scalar; nothing for lists and mappings.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Plain(text) => Some(text),
            Self::List(_) | Self::Map(_) => None,
        }
    }

    /// The text of a scalar member of a mapping.
    pub fn str_of(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Self::as_str)
    }

    /// A member that holds a number.
    ///
    /// # Errors
    /// [`Error::Case`] when it is there and is none.
    pub fn number_of<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>, Error> {
        let Some(text) = self.str_of(key) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Error::Case(format!("{key}: {text:?} is no such number")))
    }

    /// Whether the member is the boolean `true`.
    pub fn is_true(&self, key: &str) -> bool {
        self.str_of(key) == Some("true")
    }

    /// The items of a list; none for any other node.
    pub fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// The items of a member that is a list of texts.
    pub fn list_of(&self, key: &str) -> Vec<String> {
        let items = self.get(key).map(Self::items).unwrap_or_default();
        items.iter().filter_map(Self::as_str).map(str::to_owned).collect()
    }

    /// The members of a mapping in the order of the file; none for any other node.
    pub fn entries(&self) -> &[(String, Self)] {
        match self {
            Self::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Whether the node is absent in all but name: `key:` with nothing behind it, or `~`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Plain(text) if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The tree with every text replaced by what `change` makes of it.
    ///
    /// # Errors
    /// The first one of `change`.
    pub fn map_texts(&self, change: &mut dyn FnMut(&str) -> Result<String, Error>) -> Result<Self, Error> {
        Ok(match self {
            Self::Text(text) => Self::Text(change(text)?),
            Self::Plain(text) => Self::Plain(change(text)?),
            Self::List(items) => Self::List(items.iter().map(|one| one.map_texts(change)).collect::<Result<_, _>>()?),
            Self::Map(entries) => {
                let changed = entries.iter().map(|(key, one)| Ok((key.clone(), one.map_texts(change)?)));
                Self::Map(changed.collect::<Result<_, Error>>()?)
            }
        })
    }

    /// The tree as JSON, with the types of YAML's core schema; as in the cases, only `true` and `false` are
    /// booleans and digits after a leading zero stay text.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Self::Text(text) => Json::String(text.clone()),
            Self::Plain(_) if self.is_null() => Json::Null,
            Self::Plain(text) => match text.as_str() {
                "true" => Json::Bool(true),
                "false" => Json::Bool(false),
                _ => integer(text).map_or_else(|| Json::String(text.clone()), Json::from),
            },
            Self::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Self::Map(entries) => Json::Object(entries.iter().map(|(key, one)| (key.clone(), one.to_json())).collect()),
        }
    }
}

/// Shows a node on one line, lists as `[a, b]`.
impl std::fmt::Display for Value {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) | Self::Plain(text) => out.write_str(text),
            Self::List(items) => {
                let shown: Vec<String> = items.iter().map(ToString::to_string).collect();
                write!(out, "[{}]", shown.join(", "))
            }
            Self::Map(entries) => {
                let shown: Vec<String> = entries.iter().map(|(key, one)| format!("{key}: {one}")).collect();
                write!(out, "{{{}}}", shown.join(", "))
            }
        }
    }
}

fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = digits == "0" || !digits.starts_with('0');
    (canonical && !digits.is_empty() && digits.bytes().all(|one| one.is_ascii_digit())).then(|| text.parse().ok())?
}

/// The first document of a YAML text; a null when there is none.
///
/// # Errors
/// [`Error::Case`] when it is no YAML or nested deeper than [`DEPTH_MAX`].
pub fn parse(text: &str) -> Result<Value, Error> {
    Ok(parse_all(text)?.into_iter().next().unwrap_or_else(|| Value::Plain(String::new())))
}

/// Every document of a YAML text that is not empty.
///
/// # Errors
/// As [`parse`].
pub fn parse_all(text: &str) -> Result<Vec<Value>, Error> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|err| Error::Case(format!("YAML: {err}")))?;
        builder.take(event)?;
    }
    builder.documents.retain(|one| !one.is_null());
    Ok(builder.documents)
}

/// A list or mapping whose end has not come yet.
struct Open {
    value: Value,
    key: Option<String>,
    anchor: usize,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Value>,
    documents: Vec<Value>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>) -> Result<(), Error> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let text = text.into_owned();
                let value = if style == ScalarStyle::Plain { Value::Plain(text) } else { Value::Text(text) };
                self.put(value, anchor)
            }
            Event::SequenceStart(anchor, _) => self.begin(Value::List(Vec::new()), anchor),
            Event::MappingStart(anchor, _) => self.begin(Value::Map(Vec::new()), anchor),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(done) => self.put(done.value, done.anchor),
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor).cloned();
                self.put(value.ok_or_else(|| Error::Case("YAML: an alias to nothing".into()))?, 0)
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, value: Value, anchor: usize) -> Result<(), Error> {
        if self.open.len() >= DEPTH_MAX {
            return Err(Error::Case(format!("YAML: nested deeper than {DEPTH_MAX}")));
        }
        self.open.push(Open { value, key: None, anchor });
        Ok(())
    }

    fn put(&mut self, value: Value, anchor: usize) -> Result<(), Error> {
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        let Some(parent) = self.open.last_mut() else {
            self.documents.push(value);
            return Ok(());
        };
        match (&mut parent.value, parent.key.take()) {
            (Value::List(items), _) => items.push(value),
            (Value::Map(entries), Some(key)) => {
                if entries.iter().any(|(name, _)| *name == key) {
                    return Err(Error::Case(format!("YAML: the key {key:?} comes twice")));
                }
                entries.push((key, value));
            }
            (_, _) => match value {
                Value::Text(key) | Value::Plain(key) => parent.key = Some(key),
                _ => return Err(Error::Case("YAML: a key that is no text".into())),
            },
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn digits_after_a_leading_zero_stay_text() {
        let tree = parse("a: 0012\nb: 12\nc: '12'\nd: on\ne: true\nf: -3\ng: ~\n").unwrap().to_json();
        assert_eq!(tree.to_string(), r#"{"a":"0012","b":12,"c":"12","d":"on","e":true,"f":-3,"g":null}"#);
    }

    #[test]
    fn several_documents_are_told_apart_and_empty_ones_left_out() {
        let found = parse_all("---\na: 1\n---\n---\n- b\n").unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].items()[0].as_str(), Some("b"));
    }

    #[test]
    fn a_key_that_comes_twice_is_an_error() {
        assert!(parse("a: 1\na: 2\n").is_err());
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(&nested(DEPTH_MAX)).is_ok());
        assert!(parse(&nested(DEPTH_MAX + 1)).is_err());
    }
}
