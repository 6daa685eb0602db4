//! Words of a Corefile, with their places.
//!
//! Words are separated by white space; `"` at the start of a word opens a quoted one, in which only `\"` is an escape; `#` outside
//! quotes starts a comment. CoreDNS: the lexer of its Caddyfile package. One difference: a comment that starts inside a word runs to
//! the end of the line, too.

use std::sync::Arc;

use nom::branch::alt;
use nom::bytes::complete::{tag, take_till, take_while1};
use nom::character::complete::{anychar, char, none_of, satisfy};
use nom::combinator::{map, opt, value};
use nom::multi::{fold_many0, fold_many1, many0_count};
use nom::sequence::preceded;
use nom::{IResult, Parser};

use crate::source::{FileId, Span, offset};

/// A word: a bare one, the content of a quoted one, or a brace that stands alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The word, without quotes; once parsed, with environment references expanded (but for the name of a directive).
    pub text: Arc<str>,
    /// Where the word was read: empty for the main file, the absolute path for an imported one.
    pub file: Arc<str>,
    /// Line in the Corefile on which the word starts, from 1.
    pub line: u32,
    /// Line that messages show: `line`, but for a Corefile inside a manifest the line of the YAML file.
    pub shown_line: u32,
    /// Place of the word in its source, quotes included.
    pub span: Span,
}

impl Token {
    /// The number of line ends in the word, which count when two words are compared for being on one line.
    pub(crate) fn line_breaks(&self) -> u32 {
        offset(self.text.matches('\n').count())
    }

    /// Whether `next`, the following word, is on the line on which this one ends (in the same file).
    pub(crate) fn same_line(&self, next: &Self) -> bool {
        self.file == next.file && self.line.saturating_add(self.line_breaks()) == next.line
    }

    /// Whether `next`, the following word, starts a line.
    pub(crate) fn line_ends_before(&self, next: &Self) -> bool {
        self.file != next.file || self.line.saturating_add(self.line_breaks()) < next.line
    }
}

/// White space that is not worth a look, and comments.
fn blank(input: &str) -> IResult<&str, ()> {
    let comment = preceded(char('#'), take_till(|c| c == '\n'));
    value((), many0_count(alt((take_while1(char::is_whitespace), comment)))).parse(input)
}

/// A bare word. Carriage returns are dropped without ending it.
fn bare(input: &str) -> IResult<&str, String> {
    let piece = satisfy(|c| c == '\r' || (!c.is_whitespace() && c != '#'));
    fold_many1(piece, String::new, |mut word, c| {
        if c != '\r' {
            word.push(c);
        }
        word
    })
    .parse(input)
}

/// One character of a quoted word, with the backslash kept unless it stands before a quote; nothing for a backslash at the end.
fn quoted_piece(input: &str) -> IResult<&str, (Option<char>, Option<char>)> {
    let quote = map(tag("\\\""), |_| (None, Some('"')));
    let kept = map(preceded(char('\\'), opt(anychar)), |c| (c.map(|_| '\\'), c));
    let plain = map(none_of("\\\""), |c| (None, Some(c)));
    alt((quote, kept, plain)).parse(input)
}

/// A quoted word and whether it was closed; an open one ends with the text.
fn quoted(input: &str) -> IResult<&str, (String, bool)> {
    let content = fold_many0(quoted_piece, String::new, |mut word, (first, second)| {
        word.extend(first);
        word.extend(second);
        word
    });
    let (rest, word) = preceded(char('"'), content).parse(input)?;
    let (rest, close) = opt(char('"')).parse(rest)?;
    Ok((rest, (word, close.is_some())))
}

/// A word of either kind; nothing for an open quote without content.
fn word(input: &str) -> IResult<&str, Option<String>> {
    let quoted = map(quoted, |(word, closed)| (closed || !word.is_empty()).then_some(word));
    alt((quoted, map(bare, Some))).parse(input)
}

/// Reads a text into words. Never fails: every text is a sequence of words.
pub(crate) fn tokens(text: &str, id: FileId, file: &Arc<str>) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut line = 1u32;
    let mut counted = text.len() - rest.len();
    while let Ok((at_word, ())) = blank(rest) {
        let Ok((after, word)) = word(at_word) else { break };
        let start = text.len() - at_word.len();
        let end = text.len() - after.len();
        line = line.saturating_add(offset(text.get(counted..start).unwrap_or("").matches('\n').count()));
        counted = start;
        if let Some(word) = word {
            let span = Span { file: id, start: offset(start), end: offset(start + trimmed(text, start, end)) };
            found.push(Token { text: word.into(), file: file.clone(), line, shown_line: line, span });
        }
        rest = after;
    }
    found
}

/// Length of a word in the source without the carriage returns at its end.
fn trimmed(text: &str, start: usize, end: usize) -> usize {
    text.get(start..end).map_or(0, |word| word.trim_end_matches('\r').len())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn lexed(text: &str) -> Vec<(String, u32)> {
        tokens(text, FileId(0), &Arc::from("")).iter().map(|token| (token.text.to_string(), token.line)).collect()
    }

    fn words(text: &str) -> Vec<String> {
        lexed(text).into_iter().map(|(word, _)| word).collect()
    }

    #[test]
    fn a_leading_byte_order_mark_is_dropped_and_another_is_not() {
        assert_eq!(words("\u{feff}a"), ["a"]);
        assert_eq!(words("\u{feff}\u{feff}a"), ["\u{feff}a"]);
        assert_eq!(tokens("\u{feff}a", FileId(0), &Arc::from(""))[0].span.start, 3);
    }

    #[test]
    fn every_unicode_white_space_separates() {
        assert_eq!(words("a\u{85}b\u{a0}c\u{2003}d\u{b}e\u{3000}f\tg"), ["a", "b", "c", "d", "e", "f", "g"]);
        assert_eq!(words("a\u{200b}b"), ["a\u{200b}b"]);
    }

    #[test]
    fn a_carriage_return_is_dropped_outside_quotes_and_kept_inside() {
        assert_eq!(words("a\rb\r\nc\r"), ["ab", "c"]);
        assert_eq!(words("\"a\r\nb\""), ["a\r\nb"]);
        assert_eq!(words("a\r\"b\""), ["a\"b\""]);
        assert_eq!(words("\r\"b c\""), ["b c"]);
    }

    #[test]
    fn quotes_open_at_the_start_of_a_word_only_and_close_it_at_once() {
        assert_eq!(words("a\"b c\"d"), ["a\"b", "c\"d"]);
        assert_eq!(words("\"a\"b"), ["a", "b"]);
        assert_eq!(words("\"\" x"), ["", "x"]);
        assert_eq!(words("\"{\" \"# no comment\""), ["{", "# no comment"]);
    }

    #[test]
    fn in_quotes_only_a_quote_can_be_escaped() {
        assert_eq!(words(r#""a\"b""#), ["a\"b"]);
        assert_eq!(words(r#""\\" "\n""#), [r"\\", r"\n"]);
        assert_eq!(words("\"a\\\nb\""), ["a\\\nb"]);
        assert_eq!(words(r#"\" a\ b"#), ["\\\"", "a\\", "b"]);
    }

    #[test]
    fn an_open_quote_ends_with_the_text() {
        assert_eq!(words("a \"b c\n"), ["a", "b c\n"]);
        assert_eq!(words("a \""), ["a"]);
        assert_eq!(words("\"a\\"), ["a"]);
        assert_eq!(words("\"\\"), Vec::<String>::new());
    }

    #[test]
    fn a_comment_runs_to_the_end_of_the_line_also_from_inside_a_word() {
        assert_eq!(words("a # b c\nd"), ["a", "d"]);
        assert_eq!(words("a#b c\nd"), ["a", "d"]);
        assert_eq!(words("# \"open\nd"), ["d"]);
    }

    #[test]
    fn braces_are_words_of_their_own_only_between_blanks() {
        assert_eq!(words(".:53{ {x } }}"), [".:53{", "{x", "}", "}}"]);
    }

    #[test]
    fn a_word_has_the_line_it_starts_on() {
        assert_eq!(
            lexed("a\n\"b\nc\" d\n# x\n\ne"),
            [("a".into(), 1), ("b\nc".into(), 2), ("d".into(), 3), ("e".into(), 6)]
        );
    }

    #[test]
    fn words_on_one_line_are_told_by_line_ends_and_file() {
        let all = tokens("a \"b\nc\" d\ne", FileId(0), &Arc::from(""));
        assert!(all[0].same_line(&all[1]) && all[1].same_line(&all[2]) && !all[2].same_line(&all[3]));
        assert!(all[2].line_ends_before(&all[3]) && !all[1].line_ends_before(&all[2]));
        let other = tokens("z", FileId(1), &Arc::from("/f"));
        assert!(!all[0].same_line(&other[0]) && all[0].line_ends_before(&other[0]));
    }

    #[test]
    fn spans_cover_the_word_with_its_quotes() {
        let text = "ä \"b c\" d\r\n";
        let spans: Vec<&str> = tokens(text, FileId(0), &Arc::from(""))
            .iter()
            .map(|token| &text[token.span.start as usize..token.span.end as usize])
            .collect();
        assert_eq!(spans, ["ä", "\"b c\"", "d"]);
    }
}
