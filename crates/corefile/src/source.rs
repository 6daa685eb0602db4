//! Source texts and places in them.

use std::sync::Arc;

/// One source text of a [`SourceMap`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub struct FileId(pub u32);

/// A range of bytes in a source text, end excluded. For a ConfigMap manifest the text is the YAML file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Span {
    /// The text that the range belongs to.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// Largest source text in bytes; a longer one is refused before it is read into tokens.
pub const SOURCE_BYTES_MAX: usize = 16 * 1024 * 1024;

#[derive(Clone, Debug)]
struct Source {
    name: Arc<str>,
    text: Arc<str>,
    /// Byte offset of the first byte of every line.
    line_starts: Vec<u32>,
}

impl Source {
    fn line(&self, at: u32) -> usize {
        self.line_starts.partition_point(|start| *start <= at).max(1)
    }
}

/// The texts that a configuration was read from, with their names.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    sources: Vec<Source>,
}

impl SourceMap {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text under the name that messages show, and returns its id.
    pub fn add(&mut self, name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> FileId {
        let text = text.into();
        let mut line_starts = vec![0];
        line_starts.extend(text.match_indices('\n').map(|(at, _)| offset(at + 1)));
        let id = FileId(offset(self.sources.len()));
        self.sources.push(Source { name: name.into(), text, line_starts });
        id
    }

    /// The name of a text; empty if the id is not of this map.
    pub fn name(&self, id: FileId) -> &str {
        self.source(id).map_or("", |source| &source.name)
    }

    /// A text; empty if the id is not of this map.
    pub fn text(&self, id: FileId) -> &str {
        self.source(id).map_or("", |source| &source.text)
    }

    /// Line and column of the start of a span, both from 1; the column counts characters.
    pub fn line_col(&self, span: Span) -> (u32, u32) {
        let Some(source) = self.source(span.file) else {
            return (1, 1);
        };
        let line = source.line(span.start);
        let line_start = source.line_starts.get(line - 1).copied().unwrap_or(0);
        let before = source.text.get(line_start as usize..span.start as usize).unwrap_or("");
        (offset(line), offset(before.chars().count() + 1))
    }

    /// Line of the start of a span, from 1.
    pub fn line(&self, span: Span) -> u32 {
        self.source(span.file).map_or(1, |source| offset(source.line(span.start)))
    }

    /// The whole line on which a span starts, without its end; empty if the span is not of this map.
    pub fn line_text(&self, span: Span) -> &str {
        let (text, at) = (self.text(span.file), span.start as usize);
        let start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
        text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or("")
    }

    fn source(&self, id: FileId) -> Option<&Source> {
        self.sources.get(id.0 as usize)
    }
}

/// A byte offset or count as the 32 bits that spans hold; texts are kept below that by [`SOURCE_BYTES_MAX`].
pub(crate) fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Reads bytes as UTF-8, with one U+FFFD for every byte that is not part of a valid sequence (as Go reads runes).
pub fn decode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_and_columns_count_characters() {
        let mut sources = SourceMap::new();
        let file = sources.add("Corefile", "a\nß bc\n");
        let at = |start| sources.line_col(Span { file, start, end: start });
        assert_eq!(at(0), (1, 1));
        assert_eq!(at(2), (2, 1));
        assert_eq!(at(5), (2, 3));
        assert_eq!(at(8), (3, 1));
    }

    #[test]
    fn a_foreign_id_has_no_name_and_no_text() {
        let sources = SourceMap::new();
        assert_eq!(sources.name(FileId(3)), "");
        assert_eq!(sources.text(FileId(3)), "");
        assert_eq!(sources.line_col(Span { file: FileId(3), start: 9, end: 9 }), (1, 1));
    }

    #[test]
    fn every_invalid_byte_becomes_one_replacement_character() {
        assert_eq!(decode(b"a\xe2\x82b\xffc"), "a\u{fffd}\u{fffd}b\u{fffd}c");
        assert_eq!(decode("häß".as_bytes()), "häß");
    }
}
