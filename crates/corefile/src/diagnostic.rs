//! What is wrong with a configuration, where, and what would help: as CoreDNS's one line, or as a source snippet.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::lex::Token;
use crate::nearest::nearest;
use crate::source::{SourceMap, Span};

/// How much a diagnostic weighs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// The configuration works, but perhaps not as meant.
    Warning,
}

/// Something wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// What stands before everything else in the one line, as `plugin/cache: `.
    pub prefix: String,
    /// Whether CoreDNS's line carries `FILE:LINE - Error during parsing: `.
    pub position: bool,
    /// Whether it is `Syntax error: ` in place of `Error during parsing: `.
    pub syntax: bool,
    /// What is wrong, in CoreDNS's words where it has some.
    pub message: String,
    /// The place, if it is known.
    pub span: Option<Span>,
    /// Line that the one line names; 0 if unknown.
    pub line: u32,
    /// File that the one line names; empty until known, then shown as `Corefile`.
    pub file: Arc<str>,
    /// Whether no further prefix is put in front.
    is_bare: bool,
    /// What the snippet tells beside the message; boxed, for diagnostics are returned as errors everywhere.
    hints: Option<Box<Hints>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Hints {
    label: Option<String>,
    notes: Vec<String>,
    help: Option<String>,
}

/// Most source lines that a snippet shows.
pub const SNIPPET_LINES_MAX: usize = 4;

impl Diagnostic {
    /// An error without a place.
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            prefix: String::new(),
            position: false,
            syntax: false,
            message: message.into(),
            span: None,
            line: 0,
            file: Arc::from(""),
            is_bare: false,
            hints: None,
        }
    }

    /// A warning without a place.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    /// Sets the place to that of a word. The one line does not show it unless `position` is set.
    #[must_use]
    pub fn at(mut self, token: &Token) -> Self {
        self.span = Some(token.span);
        self.line = token.shown_line;
        if !token.file.is_empty() {
            self.file = token.file.clone();
        }
        self
    }

    /// Sets the place that the snippet shows.
    #[must_use]
    pub fn with_span(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// Lets the one line carry the position, as errors of CoreDNS's parser do.
    #[must_use]
    pub fn positioned(mut self) -> Self {
        self.position = true;
        self
    }

    /// Names the main file, if the diagnostic does not come from an imported one.
    #[must_use]
    pub fn named(mut self, corefile_name: &str) -> Self {
        if self.file.is_empty() {
            self.file = Arc::from(corefile_name);
        }
        self
    }

    /// Sets the text beside the caret.
    #[must_use]
    pub fn with_label(mut self, label: impl Into<String>) -> Self {
        self.hints_mut().label = Some(label.into());
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.hints_mut().notes.push(note.into());
        self
    }

    /// Sets what to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.hints_mut().help = Some(help.into());
        self
    }

    /// Adds the known word nearest to this one as help; if none is near, all of them.
    #[must_use]
    pub fn with_nearest(self, word: &str, known: &[&str]) -> Self {
        match nearest(word, known.iter().copied()) {
            Some(found) => self.with_help(format!("did you mean `{found}`?")),
            None if known.is_empty() => self,
            None => self.with_help(format!("known here: `{}`", known.join("`, `"))),
        }
    }

    /// Puts `plugin/NAME: ` in front, as CoreDNS does with what a plugin's setup returns.
    #[must_use]
    pub fn with_prefix(mut self, plugin: &str) -> Self {
        if !self.is_bare {
            self.prefix.insert_str(0, &format!("plugin/{plugin}: "));
        }
        self
    }

    /// Lets no further `plugin/NAME: ` be put in front, for errors that CoreDNS tells without one.
    #[must_use]
    pub fn bare(mut self) -> Self {
        self.is_bare = true;
        self
    }

    /// The text beside the caret.
    pub fn label(&self) -> Option<&str> {
        self.hints.as_ref()?.label.as_deref()
    }

    /// Further facts.
    pub fn notes(&self) -> &[String] {
        self.hints.as_ref().map_or(&[], |hints| &hints.notes)
    }

    /// What to do about it.
    pub fn help(&self) -> Option<&str> {
        self.hints.as_ref()?.help.as_deref()
    }

    fn hints_mut(&mut self) -> &mut Hints {
        self.hints.get_or_insert_default()
    }

    /// CoreDNS's line, without a line end: `PREFIX` + `FILE:LINE - Error during parsing: ` (if positioned) + `MESSAGE`.
    pub fn one_line(&self) -> String {
        let Self { prefix, message, line, .. } = self;
        if !self.position {
            return format!("{prefix}{message}");
        }
        let file = if self.file.is_empty() { "Corefile" } else { &self.file };
        let kind = if self.syntax { "Syntax error" } else { "Error during parsing" };
        format!("{prefix}{file}:{line} - {kind}: {message}")
    }

    /// The source snippet with a caret, without colours and without a line end.
    pub fn render(&self, sources: &SourceMap) -> String {
        self.render_with(&Renderer::plain(), sources)
    }

    /// The source snippet with a caret and terminal colours.
    pub fn render_colour(&self, sources: &SourceMap) -> String {
        self.render_with(&Renderer::styled(), sources)
    }

    fn render_with(&self, renderer: &Renderer, sources: &SourceMap) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(format!("{}{}", self.prefix, self.message));
        let mut group = match self.span.filter(|span| !sources.text(span.file).is_empty()) {
            Some(span) => title.element(self.snippet(sources, span)),
            None => Group::with_title(title),
        };
        for note in self.notes() {
            group = group.element(Level::NOTE.message(note));
        }
        if let Some(help) = self.help() {
            group = group.element(Level::HELP.message(help));
        }
        renderer.render(&[group])
    }

    fn snippet<'a>(&'a self, sources: &'a SourceMap, span: Span) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let text = sources.text(span.file);
        let (lines, marked) = window(text, span.start as usize..span.end as usize);
        let (line, _) = sources.line_col(span);
        let mark = AnnotationKind::Primary.span(marked).label(self.label());
        Snippet::source(text.get(lines).unwrap_or(""))
            .line_start(line as usize)
            .path(sources.name(span.file))
            .annotation(mark)
    }
}

impl fmt::Display for Diagnostic {
    /// The one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.one_line())
    }
}

impl std::error::Error for Diagnostic {}

/// The lines that a range touches, as a range of the text, and the range inside of them.
fn window(text: &str, range: Range<usize>) -> (Range<usize>, Range<usize>) {
    let start = boundary(text, range.start);
    let end = boundary(text, range.end.max(range.start));
    let first = text.get(..start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let mut last = first;
    for line in text.get(first..).unwrap_or("").split_inclusive('\n').take(SNIPPET_LINES_MAX) {
        last += line.len();
        if last >= end {
            break;
        }
    }
    let trimmed = first + text.get(first..last).unwrap_or("").trim_end_matches(['\n', '\r']).len();
    let end = end.min(trimmed.max(start));
    (first..last, start - first..end - first)
}

/// The nearest character boundary at or before an offset.
fn boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::source::FileId;

    fn sample() -> (SourceMap, Span) {
        let mut sources = SourceMap::new();
        let file = sources.add("Corefile", ". {\n    cahce 30\n}\n");
        (sources, Span { file, start: 8, end: 13 })
    }

    #[test]
    fn the_one_line_carries_prefix_and_position_only_when_asked() {
        let mut error = Diagnostic::error("too much").with_prefix("cache");
        assert_eq!(error.one_line(), "plugin/cache: too much");
        error.line = 7;
        assert_eq!(error.clone().positioned().one_line(), "plugin/cache: Corefile:7 - Error during parsing: too much");
        assert_eq!(
            error.positioned().named("/etc/x").one_line(),
            "plugin/cache: /etc/x:7 - Error during parsing: too much"
        );
    }

    #[test]
    fn the_snippet_shows_the_line_a_caret_label_note_and_help() {
        let (sources, span) = sample();
        let error = Diagnostic::error("Unknown directive 'cahce'").with_span(span);
        let error = error.with_label("not a directive").with_note("a note").with_help("did you mean `cache`?");
        let shown = error.render(&sources);
        for part in
            ["--> Corefile:2:5", "cahce 30", "^^^^^ not a directive", "note: a note", "help: did you mean `cache`?"]
        {
            assert!(shown.contains(part), "{part} is not in\n{shown}");
        }
        assert!(!shown.contains('\u{1b}'));
        assert!(error.render_colour(&sources).contains('\u{1b}'));
    }

    #[test]
    fn a_diagnostic_without_a_place_is_a_title_only() {
        let shown = Diagnostic::warning("odd").render(&SourceMap::new());
        assert_eq!(shown, "warning: odd");
    }

    #[test]
    fn a_long_range_shows_a_bounded_number_of_lines_and_odd_offsets_do_no_harm() {
        let text = "ä\n".repeat(50);
        let mut sources = SourceMap::new();
        let file = sources.add("x", text.as_str());
        let shown = Diagnostic::error("e").with_span(Span { file, start: 1, end: 140 }).render(&sources);
        assert!(shown.lines().count() <= SNIPPET_LINES_MAX + 6, "{shown}");
        for (start, end) in [(0, 0), (150, 150), (900, 2), (5, 1)] {
            Diagnostic::error("e").with_span(Span { file, start, end }).render(&sources);
        }
        Diagnostic::error("e").with_span(Span { file: FileId(9), start: 0, end: 1 }).render(&sources);
    }
}
