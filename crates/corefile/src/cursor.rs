//! The walk over the words of one directive, with the semantics of Caddy's Dispenser.

use std::sync::Arc;

use crate::ast::Directive;
use crate::diagnostic::Diagnostic;
use crate::lex::Token;
use crate::source::Span;

/// A reader of the words of a directive. It starts before the first word, which is the directive's name:
/// `while cursor.next() { let args = cursor.remaining_args(); while cursor.next_block() { match cursor.val() { .. } } }`.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    tokens: &'a [Token],
    name: Arc<str>,
    /// Number of words taken; the current one is the last of them.
    taken: usize,
    in_block: bool,
}

impl<'a> Cursor<'a> {
    /// A cursor before the first word; the name is that of the main file, for messages.
    pub fn new(directive: &'a Directive, corefile_name: &str) -> Self {
        Self::over(&directive.tokens, corefile_name)
    }

    /// A cursor over any words.
    pub fn over(tokens: &'a [Token], corefile_name: &str) -> Self {
        Self { tokens, name: Arc::from(corefile_name), taken: 0, in_block: false }
    }

    /// Goes back before the first word.
    pub fn reset(&mut self) {
        self.taken = 0;
        self.in_block = false;
    }

    /// Takes the next word, on whatever line; false at the end.
    #[expect(clippy::should_implement_trait, reason = "the name that plugin code knows; it yields no item")]
    pub fn next(&mut self) -> bool {
        let more = self.taken < self.tokens.len();
        self.taken += usize::from(more);
        more
    }

    /// Takes the next word if it is on the line of the current one.
    pub fn next_arg(&mut self) -> bool {
        let more = match (self.token(), self.tokens.get(self.taken)) {
            (None, next) => next.is_some(),
            (Some(current), Some(next)) => current.same_line(next),
            (Some(_), None) => false,
        };
        self.taken += usize::from(more);
        more
    }

    /// Takes the next word if it is on a later line than the current one.
    pub fn next_line(&mut self) -> bool {
        let more = match (self.token(), self.tokens.get(self.taken)) {
            (None, next) => next.is_some(),
            (Some(current), Some(next)) => current.line_ends_before(next),
            (Some(_), None) => false,
        };
        self.taken += usize::from(more);
        more
    }

    /// Opens a block on this line and takes its first word, or takes the next word of the open block. False when there is no block, at
    /// its closing brace (which is taken), and for an empty block. Blocks inside blocks are not supported.
    pub fn next_block(&mut self) -> bool {
        if self.in_block {
            if !self.next() {
                return false;
            }
            self.in_block = self.val() != "}";
            return self.in_block;
        }
        if !self.next_arg() {
            return false;
        }
        if self.val() != "{" {
            self.taken -= 1;
            return false;
        }
        self.in_block = self.next() && self.val() != "}";
        self.in_block
    }

    /// The current word; empty if there is none.
    pub fn val(&self) -> &'a str {
        self.token().map_or("", |token| &token.text)
    }

    /// The current word with its place.
    pub fn token(&self) -> Option<&'a Token> {
        self.taken.checked_sub(1).and_then(|current| self.tokens.get(current))
    }

    /// The place of the current word.
    pub fn span(&self) -> Option<Span> {
        self.token().map(|token| token.span)
    }

    /// The line of the current word as messages show it; 0 if there is none.
    pub fn line(&self) -> u32 {
        self.token().map_or(0, |token| token.shown_line)
    }

    /// The file of the current word as messages show it.
    pub fn file(&self) -> &str {
        match self.token() {
            Some(token) if !token.file.is_empty() => &token.file,
            _ => &self.name,
        }
    }

    /// The file of the current word if it is an imported one, else nothing: what relative paths are relative to.
    pub fn imported_file(&self) -> Option<&'a str> {
        self.token().map(|token| &*token.file).filter(|file| !file.is_empty())
    }

    /// Takes the next `n` words of the line; nothing if there are fewer (those that are there are taken).
    pub fn args(&mut self, n: usize) -> Option<Vec<&'a str>> {
        let mut args = Vec::new();
        for _ in 0..n {
            if !self.next_arg() {
                return None;
            }
            args.push(self.val());
        }
        Some(args)
    }

    /// Takes the words up to the end of the line or a `{`, which is left.
    pub fn remaining_args(&mut self) -> Vec<&'a str> {
        self.remaining_tokens().into_iter().map(|token| &*token.text).collect()
    }

    /// As [`Cursor::remaining_args`], with the places.
    pub fn remaining_tokens(&mut self) -> Vec<&'a Token> {
        let mut args = Vec::new();
        while self.next_arg() {
            if self.val() == "{" {
                self.taken -= 1;
                break;
            }
            args.extend(self.token());
        }
        args
    }

    /// An error for a missing or surplus argument, with position.
    pub fn arg_err(&self) -> Diagnostic {
        match self.val() {
            "{" => self.err("Unexpected token '{', expecting argument"),
            word => self.err(format!("Wrong argument count or unexpected line ending after '{word}'")),
        }
    }

    /// An error at the current word, whose one line carries the position.
    pub fn err(&self, message: impl Into<String>) -> Diagnostic {
        self.plain_err(message).positioned()
    }

    /// An error at the current word, whose one line does not carry the position.
    pub fn plain_err(&self, message: impl Into<String>) -> Diagnostic {
        let error = Diagnostic::error(message);
        match self.token() {
            Some(token) => error.at(token),
            None => error,
        }
        .named(&self.name)
    }

    /// An error for a word in place of the expected one.
    pub fn syntax_err(&self, expected: &str) -> Diagnostic {
        let word = self.val();
        let mut error = self.err(format!("Unexpected token '{word}', expecting '{expected}'"));
        error.syntax = true;
        error
    }

    /// An error for words that end too early.
    pub fn eof_err(&self) -> Diagnostic {
        self.err("Unexpected EOF")
    }

    /// An error for a property that is not among the known ones: `unknown property 'x'`, with the nearest known one, or all, as help.
    pub fn unknown_property(&self, known: &[&str]) -> Diagnostic {
        let word = self.val();
        self.with_nearest(self.err(format!("unknown property '{word}'")).with_label("unknown property"), known)
    }

    /// Adds the known word nearest to the current one as help; if none is near, all of them.
    pub fn with_nearest(&self, error: Diagnostic, known: &[&str]) -> Diagnostic {
        error.with_nearest(self.val(), known)
    }

    /// Takes the one argument of the line.
    ///
    /// # Errors
    /// An argument error if there is none or more than one; a `{` counts as one.
    pub fn one_arg(&mut self) -> Result<&'a str, Diagnostic> {
        if !self.next_arg() {
            return Err(self.arg_err());
        }
        let arg = self.val();
        self.no_more_args()?;
        Ok(arg)
    }

    /// Checks that the line has no further argument; a `{` counts as one.
    ///
    /// # Errors
    /// An argument error at the surplus word.
    pub fn no_more_args(&mut self) -> Result<(), Diagnostic> {
        if self.next_arg() { Err(self.arg_err()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::lex::tokens;
    use crate::source::FileId;

    fn words(text: &str) -> Vec<Token> {
        tokens(text, FileId(0), &Arc::from(""))
    }

    #[test]
    fn next_takes_everything_next_arg_the_line_and_next_line_the_others() {
        let words = words("log a\nb c");
        let mut cursor = Cursor::over(&words, "Corefile");
        assert_eq!((cursor.val(), cursor.line(), cursor.span()), ("", 0, None));
        assert!(cursor.next_arg() && cursor.val() == "log");
        assert!(!cursor.next_line() && cursor.next_arg() && cursor.val() == "a");
        assert!(!cursor.next_arg() && cursor.next_line() && cursor.val() == "b");
        assert_eq!(cursor.line(), 2);
        assert!(cursor.next() && !cursor.next() && cursor.val() == "c");
        cursor.reset();
        assert!(cursor.next() && cursor.val() == "log");
    }

    #[test]
    fn remaining_args_stop_before_a_brace_and_at_the_line_end() {
        let words = words("log a b {\n x\n}\nlog \"c\nd\" e");
        let mut cursor = Cursor::over(&words, "Corefile");
        assert!(cursor.next());
        assert_eq!(cursor.remaining_args(), ["a", "b"]);
        assert!(cursor.next_block() && cursor.val() == "x");
        assert!(!cursor.next_block() && cursor.val() == "}");
        assert!(cursor.next());
        assert_eq!(cursor.remaining_args(), ["c\nd", "e"]);
        assert!(cursor.remaining_args().is_empty());
    }

    #[test]
    fn a_block_opens_on_the_same_line_only_and_an_empty_one_is_none() {
        for (text, opens) in [("log {\n a\n}", true), ("log\n{\n a\n}", false), ("log {\n}", false), ("log {", false)] {
            let words = words(text);
            let mut cursor = Cursor::over(&words, "Corefile");
            assert!(cursor.next());
            assert_eq!(cursor.next_block(), opens, "{text}");
        }
        let words = words("log a");
        let mut cursor = Cursor::over(&words, "Corefile");
        assert!(cursor.next() && !cursor.next_block() && cursor.val() == "log");
    }

    #[test]
    fn args_takes_a_fixed_number() {
        let words = words("log a b\nc");
        let mut cursor = Cursor::over(&words, "Corefile");
        assert!(cursor.next());
        assert_eq!(cursor.args(2), Some(vec!["a", "b"]));
        assert_eq!(cursor.args(1), None);
    }

    #[test]
    fn one_arg_takes_exactly_one() {
        for (text, expected) in [("log a", Ok("a")), ("log", Err("'log'")), ("log a b", Err("'b'")), ("log {", Ok("{"))]
        {
            let words = words(text);
            let mut cursor = Cursor::over(&words, "Corefile");
            assert!(cursor.next());
            match (cursor.one_arg(), expected) {
                (Ok(arg), Ok(expected)) => assert_eq!(arg, expected),
                (Err(error), Err(part)) => assert!(error.message.ends_with(part), "{}", error.message),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn errors_carry_the_words_of_coredns() {
        let words = words("log {\n x");
        let mut cursor = Cursor::over(&words, "Corefile");
        assert_eq!(cursor.eof_err().one_line(), "Corefile:0 - Error during parsing: Unexpected EOF");
        assert!(cursor.next());
        assert_eq!(
            cursor.arg_err().one_line(),
            "Corefile:1 - Error during parsing: Wrong argument count or unexpected line ending after 'log'"
        );
        assert!(cursor.next());
        assert_eq!(
            cursor.arg_err().one_line(),
            "Corefile:1 - Error during parsing: Unexpected token '{', expecting argument"
        );
        assert!(cursor.next());
        assert_eq!(cursor.syntax_err("}").one_line(), "Corefile:2 - Syntax error: Unexpected token 'x', expecting '}'");
        assert_eq!(cursor.plain_err("no").one_line(), "no");
        assert_eq!(cursor.plain_err("no").span, cursor.span());
    }

    #[test]
    fn help_is_the_nearest_word_or_else_all_that_are_known() {
        for (word, help) in [("tll", "did you mean `ttl`?"), ("quux", "known here: `ttl`, `zones`")] {
            let words = words(word);
            let mut cursor = Cursor::over(&words, "Corefile");
            assert!(cursor.next());
            assert_eq!(cursor.unknown_property(&["ttl", "zones"]).help(), Some(help));
            assert_eq!(cursor.unknown_property(&[]).help(), None);
        }
    }

    #[test]
    fn words_of_imported_files_name_their_file() {
        let words = tokens("log", FileId(1), &Arc::from("/etc/part"));
        let mut cursor = Cursor::over(&words, "Corefile");
        assert_eq!((cursor.file(), cursor.imported_file()), ("Corefile", None));
        assert!(cursor.next());
        assert_eq!((cursor.file(), cursor.imported_file()), ("/etc/part", Some("/etc/part")));
        assert_eq!(cursor.err("x").one_line(), "/etc/part:1 - Error during parsing: x");
    }
}
