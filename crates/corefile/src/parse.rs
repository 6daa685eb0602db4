//! Server blocks, snippets and imports out of words.
//!
//! CoreDNS: the parser of its Caddyfile package, with three differences. It goes on after an error, at the next directive or block, and
//! the first error is the one that CoreDNS would stop at; a stray `}` at top level is an error and not a zone; and references that
//! expand without end are an error.

mod glob;
mod import;
mod snippet;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ast::{Corefile, Key, ServerBlock};
use crate::diagnostic::{Diagnostic, Severity};
use crate::env;
use crate::lex::{Token, tokens};
use crate::nearest::nearest;
use crate::source::{SOURCE_BYTES_MAX, SourceMap};

pub use import::{FILE_EXPANSIONS_MAX, PATTERN_BYTES_MAX, SOURCES_BYTES_MAX, TOKENS_MAX};
pub use snippet::SNIPPET_EXPANSIONS_MAX;

/// Most diagnostics of one parse, which then ends.
pub const DIAGNOSTICS_MAX: usize = 100;

/// The file system as `import` sees it.
pub trait Files {
    /// The content of a file.
    ///
    /// # Errors
    /// What the system says; `NotFound` if there is no such file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Whether the path is a directory.
    fn is_dir(&self, path: &Path) -> bool;

    /// The names in a directory, in any order.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
}

/// No files at all, for texts that import nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _path: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn is_dir(&self, _path: &Path) -> bool {
        false
    }

    fn list(&self, _dir: &Path) -> io::Result<Vec<String>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// What a parse needs beside the text.
#[derive(Clone, Copy)]
pub struct ParseOptions<'a> {
    /// The name of the main file in messages: `Corefile`, `/dev/stdin`, or the path as given.
    pub name: &'a str,
    /// The absolute path of the main file; imports are relative to its directory.
    pub path: &'a Path,
    /// The names of the known directives; if empty, every name is taken.
    pub directives: &'a [&'a str],
    /// The environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// The files that can be imported.
    pub files: &'a dyn Files,
}

/// What a parse yields: always a Corefile, though only one without errors among the diagnostics is to be used.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The server blocks, as far as they could be read.
    pub corefile: Corefile,
    /// The texts that spans point into.
    pub sources: Arc<SourceMap>,
    /// What is wrong; the first error is the one that CoreDNS would print.
    pub diagnostics: Vec<Diagnostic>,
    /// What CoreDNS warns of; the one line is what it logs behind `[WARNING] `.
    pub warnings: Vec<Diagnostic>,
    /// The files that were imported, each once, in order.
    pub files: Vec<PathBuf>,
}

impl Parsed {
    /// The first error, the one that CoreDNS would print; nothing if the Corefile can be used.
    pub fn first_error(&self) -> Option<&Diagnostic> {
        self.diagnostics.iter().find(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

/// Parses a Corefile.
pub fn parse(text: &str, options: &ParseOptions<'_>) -> Parsed {
    let mut parser = Parser::new(options);
    if text.len() > SOURCE_BYTES_MAX {
        parser.report(Diagnostic::error(format!("Corefile is larger than {SOURCE_BYTES_MAX} bytes")));
        return parser.finish();
    }
    let id = parser.sources.add(options.name, text);
    let words = tokens(text, id, &Arc::from(""));
    parser.run(words)
}

/// Whether the header of a block is followed by a body.
#[derive(PartialEq, Eq)]
enum Header {
    Body,
    End,
}

pub(crate) struct Parser<'a> {
    options: &'a ParseOptions<'a>,
    pub(crate) sources: SourceMap,
    /// Words taken; the last is the current one.
    done: Vec<Token>,
    /// Words to come, the next one last.
    todo: Vec<Token>,
    /// The current word would be one past the last: an import at the end that brought nothing.
    past_end: bool,
    /// The end came in the middle of something and was reported.
    cut_short: bool,
    block: ServerBlock,
    blocks: Vec<ServerBlock>,
    snippets: HashMap<String, Arc<[Token]>>,
    imports: import::Imports,
    diagnostics: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl<'a> Parser<'a> {
    pub(crate) fn new(options: &'a ParseOptions<'a>) -> Self {
        Self {
            options,
            sources: SourceMap::new(),
            done: Vec::new(),
            todo: Vec::new(),
            past_end: false,
            cut_short: false,
            block: ServerBlock::default(),
            blocks: Vec::new(),
            snippets: HashMap::new(),
            imports: import::Imports::default(),
            diagnostics: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Parses words that were read from a source of `sources`.
    pub(crate) fn run(mut self, words: Vec<Token>) -> Parsed {
        if !self.imports.count_words(words.len()) {
            self.report(Diagnostic::error(format!("Corefile has more than {TOKENS_MAX} words")));
            return self.finish();
        }
        self.todo = words;
        self.todo.reverse();
        while self.next() {
            self.block = ServerBlock::default();
            self.server_block();
            let block = std::mem::take(&mut self.block);
            if !block.keys.is_empty() {
                self.blocks.push(block);
            }
            // Only the current word is looked at again.
            let spent = self.done.len().saturating_sub(1);
            self.done.drain(..spent);
        }
        self.finish()
    }

    pub(crate) fn finish(self) -> Parsed {
        Parsed {
            corefile: Corefile { blocks: self.blocks, name: Arc::from(self.options.name) },
            sources: Arc::new(self.sources),
            diagnostics: self.diagnostics,
            warnings: self.warnings,
            files: self.imports.into_files(),
        }
    }

    fn server_block(&mut self) {
        if self.keys() == Header::End {
            return;
        }
        if let [key] = self.block.keys.as_slice() {
            let name = key.text.strip_prefix('(').and_then(|name| name.strip_suffix(')'));
            if let Some(name) = name.map(str::to_owned) {
                self.block.keys.clear();
                self.snippet(name);
                return;
            }
        }
        self.contents();
    }

    /// Reads the keys; the current word is then the first one behind them.
    fn keys(&mut self) -> Header {
        let mut another = false;
        loop {
            let word = self.expanded();
            if word == "import" && self.is_new_line() {
                self.import_or_skip();
                self.past_end = !self.next();
                continue;
            }
            if word == "{" {
                if another {
                    self.report(self.err("Expected another address but had '{' - check for extra comma"));
                }
                return Header::Body;
            }
            if self.val() == "}" {
                let error = self.syntax_err("zone").with_label("closes nothing");
                self.report(error);
                if self.block.keys.is_empty() {
                    if self.next() {
                        continue;
                    }
                    return Header::End;
                }
            } else if !word.is_empty() {
                another = self.key(&word);
            }
            if !self.next() {
                if another {
                    self.report(self.err("Unexpected EOF").with_label("another key must follow the comma"));
                }
                return Header::End;
            }
            if !another && self.is_new_line() {
                return Header::Body;
            }
        }
    }

    /// Adds a key; true if a comma says that another must follow.
    fn key(&mut self, word: &str) -> bool {
        let text = word.strip_suffix(',');
        if let Some(token) = self.current() {
            let key = Key { text: text.unwrap_or(word).to_owned(), span: token.span };
            self.block.keys.push(key);
        }
        text.is_some()
    }

    fn contents(&mut self) {
        let opening = self.current().filter(|token| &*token.text == "{").cloned();
        if opening.is_none() {
            self.step_back();
        }
        while self.next() {
            match self.val() {
                "}" => break,
                "import" => self.import_or_skip(),
                _ => self.directive(),
            }
        }
        if let Some(opening) = opening
            && self.val() != "}"
            && !self.cut_short
        {
            let error = self.syntax_err("}").with_note(self.opened_at(&opening));
            self.report(self.with_open_quote(error));
        }
    }

    /// Reads one use of a directive: the words up to the end of the line and a block in braces.
    fn directive(&mut self) {
        let name = self.expanded();
        let known = self.options.directives;
        let known = known.is_empty() || known.contains(&name.as_str());
        if known {
            self.take_word(&name);
        } else {
            self.report(self.unknown_directive(&name));
        }
        let mut open: Vec<Token> = Vec::new();
        while self.next() {
            match self.val() {
                "{" => open.extend(self.current().cloned()),
                _ if open.is_empty() && self.is_new_line() => {
                    self.step_back();
                    return;
                }
                "}" if open.is_empty() => {
                    let error = self.err("Unexpected '}' because no matching opening brace");
                    self.report(error.with_help("put the `}` on a line of its own"));
                    // Taken as the end of the server block.
                    self.step_back();
                    return;
                }
                "}" => {
                    open.pop();
                }
                "import" if self.is_new_line() => {
                    self.import_or_skip();
                    continue;
                }
                _ => {}
            }
            let text = self.expanded();
            if let Some(token) = self.done.last_mut()
                && *token.text != *text
            {
                token.text = text.into();
            }
            if known {
                self.take_word(&name);
            }
        }
        if let Some(opening) = open.pop() {
            let error = self.err("Unexpected EOF").with_note(self.opened_at(&opening));
            self.report(self.with_open_quote(error));
            self.cut_short = true;
        }
    }

    fn take_word(&mut self, directive: &str) {
        if let Some(token) = self.done.last() {
            self.block.push(directive, token.clone());
        }
    }

    fn unknown_directive(&self, name: &str) -> Diagnostic {
        let error = self.err(format!("Unknown directive '{name}'")).with_label("not a directive");
        if let Some(found) = nearest(name, self.options.directives.iter().copied()) {
            return error.with_help(format!("did you mean `{found}`?"));
        }
        let opens_block = self.todo.last().is_some_and(|next| &*next.text == "{");
        if opens_block && name.contains(['.', ':']) {
            return error.with_help("this looks like a server block: is the `}` of the block above missing?");
        }
        error
    }

    /// Says so if the current word is a quoted one that ended only with the text.
    fn with_open_quote(&self, error: Diagnostic) -> Diagnostic {
        let Some(span) = self.current().map(|token| token.span) else { return error };
        let word = self.sources.text(span.file).get(span.start as usize..span.end as usize);
        let closed = |rest: &str| rest.ends_with('"') && !rest.ends_with("\\\"");
        match word.and_then(|word| word.strip_prefix('"')) {
            Some(rest) if !closed(rest) => error.with_help("the quote that opens here is never closed"),
            _ => error,
        }
    }

    fn opened_at(&self, opening: &Token) -> String {
        let file = if opening.file.is_empty() { self.options.name } else { &opening.file };
        format!("the block was opened at {file}:{}", opening.shown_line)
    }

    /// The current word with references expanded; as it is, with an error reported, if that has no end.
    fn expanded(&mut self) -> String {
        match env::expand(self.val(), self.options.env) {
            Ok(text) => text.unwrap_or_else(|| self.val().to_owned()),
            Err(env::Unbounded) => {
                let message = format!("environment references of '{}' expand without end", self.val());
                self.report(self.err(message).with_note(format!(
                    "at most {} replacements and {} bytes a word",
                    env::ENV_EXPANSIONS_MAX,
                    env::ENV_BYTES_MAX
                )));
                self.val().to_owned()
            }
        }
    }

    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        // A snippet used twice would report its errors twice.
        let seen = |other: &Diagnostic| other.span == diagnostic.span && other.message == diagnostic.message;
        if self.diagnostics.len() < DIAGNOSTICS_MAX && !self.diagnostics.iter().any(seen) {
            self.diagnostics.push(diagnostic);
        }
        if self.diagnostics.len() >= DIAGNOSTICS_MAX {
            self.todo.clear();
            self.cut_short = true;
        }
    }

    fn err(&self, message: impl Into<String>) -> Diagnostic {
        let error = Diagnostic::error(message).positioned();
        match self.current() {
            Some(token) => error.at(token),
            None => error,
        }
        .named(self.options.name)
    }

    fn syntax_err(&self, expected: &str) -> Diagnostic {
        let mut error = self.err(format!("Unexpected token '{}', expecting '{expected}'", self.val()));
        error.syntax = true;
        error
    }

    fn arg_err(&self) -> Diagnostic {
        match self.val() {
            "{" => self.err("Unexpected token '{', expecting argument"),
            word => self.err(format!("Wrong argument count or unexpected line ending after '{word}'")),
        }
    }

    fn next(&mut self) -> bool {
        match self.todo.pop() {
            Some(token) => {
                self.done.push(token);
                self.past_end = false;
                true
            }
            None => false,
        }
    }

    fn next_arg(&mut self) -> bool {
        match (self.done.last(), self.todo.last()) {
            (Some(current), Some(next)) if current.same_line(next) => self.next(),
            _ => false,
        }
    }

    fn step_back(&mut self) {
        self.todo.extend(self.done.pop());
    }

    fn current(&self) -> Option<&Token> {
        self.done.last().filter(|_| !self.past_end)
    }

    fn val(&self) -> &str {
        self.current().map_or("", |token| &token.text)
    }

    fn is_new_line(&self) -> bool {
        match self.done.as_slice() {
            [.., before, current] => before.line_ends_before(current),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests;
