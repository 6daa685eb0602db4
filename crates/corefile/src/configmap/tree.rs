//! YAML documents as trees that know where their scalars stand.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};

use crate::diagnostic::Diagnostic;
use crate::source::{FileId, Span, offset};

/// Deepest nesting of a manifest.
pub const YAML_DEPTH_MAX: usize = 64;

/// A scalar with its place, in characters from the start of the text.
#[derive(Clone, Debug)]
pub(super) struct Scalar {
    pub(super) text: String,
    pub(super) start: usize,
    pub(super) end: usize,
    style: ScalarStyle,
}

impl Scalar {
    /// Whether it is written as `|` or `>`.
    pub(super) fn is_block(&self) -> bool {
        matches!(self.style, ScalarStyle::Literal | ScalarStyle::Folded)
    }

    /// Whether it is written as `|`.
    pub(super) fn is_literal(&self) -> bool {
        self.style == ScalarStyle::Literal
    }
}

/// A value of a document. Aliases are not followed.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Scalar(Scalar),
    Map(Vec<(Self, Self)>),
    List(Vec<Self>),
    Alias,
}

impl Node {
    /// The key and value of a map's entry.
    pub(super) fn entry(&self, name: &str) -> Option<(&Scalar, &Self)> {
        let Self::Map(entries) = self else { return None };
        entries.iter().find_map(|(key, value)| match key {
            Self::Scalar(key) if key.text == name => Some((key, value)),
            _ => None,
        })
    }

    /// The value of a map's entry.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        self.entry(name).map(|(_, value)| value)
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }
}

/// A collection that is still open.
enum Open {
    Map(Vec<(Node, Node)>, Option<Node>),
    List(Vec<Node>),
}

/// Reads all documents of a text.
pub(super) fn read(yaml: &str) -> Result<Vec<Node>, Diagnostic> {
    let mut documents = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    for event in Parser::new_from_str(yaml) {
        let (event, span) = event.map_err(|error| malformed(yaml, &error))?;
        let node = match event {
            Event::Scalar(text, style, ..) => {
                let (start, end) = (span.start.index(), span.end.index());
                Node::Scalar(Scalar { text: text.into_owned(), start, end, style })
            }
            Event::Alias(_) => Node::Alias,
            Event::MappingStart(..) | Event::SequenceStart(..) if open.len() >= YAML_DEPTH_MAX => {
                let message = format!("the manifest is nested deeper than {YAML_DEPTH_MAX} levels");
                return Err(Diagnostic::error(message).with_span(place(yaml, span.start.index())));
            }
            Event::MappingStart(..) => {
                open.push(Open::Map(Vec::new(), None));
                continue;
            }
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingEnd | Event::SequenceEnd => match open.pop() {
                Some(Open::Map(entries, _)) => Node::Map(entries),
                Some(Open::List(items)) => Node::List(items),
                None => continue,
            },
            _ => continue,
        };
        match open.last_mut() {
            Some(Open::List(items)) => items.push(node),
            Some(Open::Map(entries, key)) => match key.take() {
                Some(key) => entries.push((key, node)),
                None => *key = Some(node),
            },
            None => documents.push(node),
        }
    }
    Ok(documents)
}

fn malformed(yaml: &str, error: &ScanError) -> Diagnostic {
    let span = place(yaml, error.marker().index());
    let mut diagnostic = Diagnostic::error(format!("the manifest is not well-formed YAML: {}", error.info()));
    diagnostic.line = offset(error.marker().line());
    diagnostic.position = true;
    diagnostic.with_span(span)
}

/// One character at an index in characters.
fn place(yaml: &str, index: usize) -> Span {
    let (start, length) = yaml.char_indices().nth(index).map_or((yaml.len(), 0), |(at, c)| (at, c.len_utf8()));
    Span { file: FileId(0), start: offset(start), end: offset(start + length) }
}
