//! Where the characters of a YAML scalar stand in the source.

use crate::source::offset;

/// A map of offsets in a scalar's text to offsets in the source.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    /// Text offset and source offset of each run of bytes that stand side by side in both, ascending.
    runs: Vec<(u32, u32)>,
    /// End of the source: a last line without line end gets one in the text.
    end: u32,
}

impl Origin {
    /// The source offset of an offset in the text.
    pub(super) fn map(&self, at: u32) -> u32 {
        let behind = self.runs.partition_point(|(text, _)| *text <= at);
        let Some((text, source)) = behind.checked_sub(1).and_then(|run| self.runs.get(run)) else { return 0 };
        let mapped = source.saturating_add(at - text);
        match self.runs.get(behind) {
            Some((_, next)) => mapped.min(*next),
            None => mapped.min(self.end),
        }
    }

    fn add(&mut self, text: usize, source: usize) {
        let continues = self.runs.last().is_some_and(|(last_text, last_source)| {
            (offset(text) - last_text).checked_add(*last_source) == Some(offset(source))
        });
        if !continues {
            self.runs.push((offset(text), offset(source)));
        }
    }

    /// A block scalar, whose header is the first `|` or `>` from an offset on.
    pub(super) fn of_block(yaml: &str, from: usize, text: &str, literal: bool) -> Self {
        let behind = |at: usize, c: &[char]| yaml.get(at..).and_then(|rest| rest.find(c)).map(|found| at + found + 1);
        let content = behind(from, &['|', '>']).and_then(|header| behind(header, &['\n'])).unwrap_or(yaml.len());
        if literal { Self::of_literal(yaml, content, text) } else { Self::of_folded(yaml, content, text) }
    }

    /// Line by line: every source line ends with the text line.
    fn of_literal(yaml: &str, content: usize, text: &str) -> Self {
        let mut origin = Self { runs: Vec::new(), end: offset(yaml.len()) };
        let mut source = content;
        let mut at = 0;
        let mut lines = yaml.get(content..).unwrap_or("").split_inclusive('\n');
        for line in text.split_inclusive('\n') {
            let source_line = lines.next().unwrap_or("");
            let bare = source_line.trim_end_matches(['\n', '\r']);
            let indent = if bare.ends_with(line.trim_end_matches('\n')) {
                bare.len() - line.trim_end_matches('\n').len()
            } else {
                0
            };
            origin.add(at, source + indent);
            at += line.len();
            source += source_line.len();
        }
        origin
    }

    /// A folded block: the blanks before its first word are put aside, and the rest is matched.
    fn of_folded(yaml: &str, content: usize, text: &str) -> Self {
        let blanks = |text: &str| text.len() - text.trim_start_matches([' ', '\t', '\r', '\n']).len();
        let mut origin = Self { runs: Vec::new(), end: offset(yaml.len()) };
        origin.add(0, content);
        origin.align(yaml, content + blanks(yaml.get(content..).unwrap_or("")), text, blanks(text), None);
        origin
    }

    /// Quoted and plain scalars, from the opening quote or the first character on.
    pub(super) fn of_flow(yaml: &str, start: usize, text: &str) -> Self {
        let mut origin = Self { runs: Vec::new(), end: offset(yaml.len()) };
        let quote = yaml.get(start..).and_then(|rest| rest.chars().next()).filter(|c| matches!(c, '"' | '\''));
        origin.align(yaml, start + usize::from(quote.is_some()), text, 0, quote);
        origin
    }

    /// Matches text and source character by character. Where they can no longer be matched, the rest is taken to stand at the last place
    /// that could.
    fn align(&mut self, yaml: &str, mut source: usize, text: &str, mut at: usize, quote: Option<char>) {
        let rest = |at: usize| yaml.get(at..).unwrap_or("");
        self.add(at, source);
        while let Some(c) = text.get(at..).and_then(|left| left.chars().next()) {
            let here = rest(source);
            let blanks = here.len() - here.trim_start_matches([' ', '\t', '\r', '\n']).len();
            let breaks = here.get(..blanks).unwrap_or("").matches('\n').count();
            if quote == Some('"') && here.starts_with('\\') {
                let (length, yields) = escape(here);
                if yields {
                    self.add(at, source);
                    at += c.len_utf8();
                }
                source += length;
            } else if breaks > 0 {
                self.add(at, source);
                at += folded(text, at, breaks, quote.is_some());
                source += blanks;
                self.add(at, source);
            } else if blanks > 0 {
                let left = text.get(at..).unwrap_or("");
                let common = left.bytes().zip(here.bytes().take(blanks)).take_while(|(a, b)| a == b).count();
                if common == 0 {
                    return;
                }
                self.add(at, source);
                at += common;
                source += common;
            } else if here.starts_with(c) {
                self.add(at, source);
                at += c.len_utf8();
                source += c.len_utf8() + usize::from(c == '\'' && quote == Some('\''));
            } else {
                return;
            }
        }
    }
}

/// Bytes of the text that a run of blanks with line ends became.
fn folded(text: &str, at: usize, breaks: usize, quoted: bool) -> usize {
    let left = text.get(at..).unwrap_or("");
    let blank = left.len() - left.trim_start_matches([' ', '\n']).len();
    // In quotes one line end is a space and more are one fewer line ends; further blanks of the text are escapes.
    if quoted { blank.min(breaks.saturating_sub(1).max(1)) } else { blank }
}

/// Length of an escape in double quotes, and whether it stands for a character (an escaped line end does not).
fn escape(source: &str) -> (usize, bool) {
    let Some(kind) = source.chars().nth(1) else { return (source.len(), false) };
    match kind {
        'x' => (4, true),
        'u' => (6, true),
        'U' => (10, true),
        '\n' | '\r' => {
            let behind = source.get(1..).unwrap_or("");
            (source.len() - behind.trim_start_matches([' ', '\t', '\r', '\n']).len(), false)
        }
        kind => (1 + kind.len_utf8(), true),
    }
}
