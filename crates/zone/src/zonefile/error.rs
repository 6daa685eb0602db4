//! What is wrong with a zone file, and where: one line for logs, the source line with a caret for people.

use std::fmt;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// Most octets of a source line that an error keeps.
pub const LINE_SHOWN_MAX: usize = 160;

/// Most characters of a file that a message quotes.
const QUOTED_CHARS_MAX: usize = 80;

/// What is wrong at a range of one text, before it is known which file and line that is. Boxed: results are returned everywhere.
#[derive(Debug)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    start: usize,
    end: usize,
    message: String,
    notes: Vec<String>,
}

impl Problem {
    /// Something wrong with the octets from `start` to `end`.
    pub(crate) fn new(start: usize, end: usize, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { start, end, message: message.into(), notes: Vec::new() }))
    }

    /// The same at another place.
    pub(crate) fn moved(mut self, start: usize, end: usize) -> Self {
        self.0.start = start;
        self.0.end = end;
        self
    }

    /// Adds a fact.
    pub(crate) fn with_note(mut self, note: impl Into<String>) -> Self {
        self.0.notes.push(note.into());
        self
    }

    /// Finds the line and column in the text.
    pub(crate) fn located(self, file: &str, text: &[u8]) -> ZoneError {
        let Inner { start, end, message, notes } = *self.0;
        let start = start.min(text.len());
        let before = text.get(..start).unwrap_or_default();
        let line = 1 + before.iter().filter(|&&octet| octet == b'\n').count();
        let line_start = before.iter().rposition(|&octet| octet == b'\n').map_or(0, |at| at + 1);
        let rest = text.get(line_start..).unwrap_or_default();
        let line_len = rest.iter().position(|&octet| octet == b'\n').unwrap_or(rest.len());
        let full = rest.get(..line_len).unwrap_or_default();
        let full = full.strip_suffix(b"\r").unwrap_or(full);
        let mark = start - line_start;
        let column = 1 + chars(full.get(..mark).unwrap_or(full));
        // A long line is shown from a little before the mark.
        let from =
            if full.len() > LINE_SHOWN_MAX { mark.saturating_sub(LINE_SHOWN_MAX / 4).min(full.len()) } else { 0 };
        let shown = full.get(from..full.len().min(from + LINE_SHOWN_MAX)).unwrap_or_default();
        let marked = shown.get(..(mark - from).min(shown.len())).unwrap_or_default();
        let mark_end = (end.max(start) - line_start - from).min(shown.len()).max(marked.len());
        let under = shown.get(marked.len()..mark_end).unwrap_or_default();
        let text = lossy(shown);
        let first = text.floor_char_boundary(lossy(marked).len());
        let last = text.floor_char_boundary(first + lossy(under).len());
        ZoneError(Box::new(Fault {
            file: file.to_owned(),
            line,
            column,
            message,
            marked: (first, last),
            text,
            notes,
            included_from: Vec::new(),
        }))
    }
}

fn chars(octets: &[u8]) -> usize {
    String::from_utf8_lossy(octets).chars().count()
}

/// The text of a line.
fn lossy(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// Words of a file as a message can quote them: not too many, and nothing that does something to a terminal.
pub(crate) fn shown(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    let invisible = |char: char| {
        // Zero widths, line separators, and what turns the direction of text.
        char.is_control()
            || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut chars = text.chars().map(|char| if invisible(char) { char::REPLACEMENT_CHARACTER } else { char });
    let mut shown: String = chars.by_ref().take(QUOTED_CHARS_MAX).collect();
    if chars.next().is_some() {
        shown.push_str("...");
    }
    shown
}

/// Something wrong with a zone file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneError(Box<Fault>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    file: String,
    line: usize,
    column: usize,
    message: String,
    /// The line, or a part of it around the fault.
    text: String,
    /// What the caret points at, octets of `text`.
    marked: (usize, usize),
    notes: Vec<String>,
    /// The lines of the `$INCLUDE`s that led here, the innermost first.
    included_from: Vec<(String, usize)>,
}

impl ZoneError {
    /// The file that holds the fault, which may be an included one.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.0.file
    }

    /// The line, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.0.line
    }

    /// The column, from 1, counted in characters.
    #[must_use]
    pub fn column(&self) -> usize {
        self.0.column
    }

    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The text of the line; of one longer than [`LINE_SHOWN_MAX`] octets a part.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The files and lines of the `$INCLUDE`s that led to the file, the innermost first.
    pub fn included_from(&self) -> impl Iterator<Item = (&str, usize)> {
        self.0.included_from.iter().map(|(file, line)| (file.as_str(), *line))
    }

    /// The same with one more file around it.
    pub(crate) fn through(mut self, file: &str, text: &[u8], at: usize) -> Self {
        let line = 1 + text.get(..at).unwrap_or_default().iter().filter(|&&octet| octet == b'\n').count();
        self.0.included_from.push((file.to_owned(), line));
        self
    }

    /// The line with a caret under the fault, without colours and without a line end.
    #[must_use]
    pub fn render(&self) -> String {
        let fault = &*self.0;
        let mark = AnnotationKind::Primary.span(fault.marked.0..fault.marked.1);
        let snippet =
            Snippet::source(fault.text.as_str()).line_start(fault.line).path(fault.file.as_str()).annotation(mark);
        let mut group = Level::ERROR.primary_title(fault.message.as_str()).element(snippet);
        for note in &fault.notes {
            group = group.element(Level::NOTE.message(note.as_str()));
        }
        for (file, line) in &fault.included_from {
            group = group.element(Level::NOTE.message(format!("included from {file}:{line}")));
        }
        Renderer::plain().render(&[group])
    }
}

impl fmt::Display for ZoneError {
    /// `FILE:LINE:COLUMN: MESSAGE`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { file, line, column, message, .. } = &*self.0;
        write!(f, "{file}:{line}:{column}: {message}")
    }
}

impl std::error::Error for ZoneError {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_one_line_names_file_line_and_column() {
        let error = Problem::new(6, 8, "odd").located("db.example.org", b"one\n\xc3\xa4bcd\nx");
        assert_eq!(error.to_string(), "db.example.org:2:2: odd");
        assert_eq!(error.text(), "\u{e4}bcd");
    }

    #[test]
    fn the_snippet_shows_the_line_a_caret_and_the_way_through_includes() {
        let error = Problem::new(6, 9, "odd").with_note("a fact").located("sub", b"one\n  two three\n");
        let shown = error.through("main", b"\n\n$INCLUDE sub\n", 2).render();
        for part in ["error: odd", "--> sub:2:3", "2 |   two three", "^^^", "note: a fact", "included from main:3"] {
            assert!(shown.contains(part), "{part} is not in\n{shown}");
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_fault_and_odd_ranges_do_no_harm() {
        let line = format!("{}bad{}", "x".repeat(9000), "y".repeat(9000));
        let error = Problem::new(9000, 9003, "odd").located("f", line.as_bytes());
        assert!(error.text().len() <= LINE_SHOWN_MAX && error.text().contains("xxbadyy"), "{error:?}");
        assert_eq!(error.column(), 9001);
        for (start, end) in [(0, 0), (99, 2), (4, 99), (1, 1), (3, 3)] {
            assert!(!Problem::new(start, end, "odd").located("f", b"\xc3\xa4\n\xff").render().is_empty());
        }
    }
}
