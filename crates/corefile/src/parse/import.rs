//! `import`: the words of a snippet or of files in place of the directive.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::snippet::SNIPPET_EXPANSIONS_MAX;
use super::{Parser, glob};
use crate::diagnostic::Diagnostic;
use crate::lex::{Token, tokens};
use crate::source::{SOURCE_BYTES_MAX, decode};

/// Most imports of files in one parse.
pub const FILE_EXPANSIONS_MAX: usize = 100_000;

/// Most words of one parse, those of every import counted.
pub const TOKENS_MAX: usize = 500_000;

/// Largest sum in bytes of the imported files of one parse, each counted once.
pub const SOURCES_BYTES_MAX: usize = 4 * SOURCE_BYTES_MAX;

/// Longest path or pattern of an import in bytes.
pub const PATTERN_BYTES_MAX: usize = 4096;

/// What the imports of one parse have used up.
#[derive(Default)]
pub(super) struct Imports {
    snippets: usize,
    files: usize,
    words: usize,
    bytes: usize,
    /// The words of the files read so far, by path.
    read: HashMap<String, Arc<[Token]>>,
    paths: Vec<PathBuf>,
}

impl Imports {
    /// Counts words in; false if they are too many.
    pub(super) fn count_words(&mut self, count: usize) -> bool {
        self.words = self.words.saturating_add(count);
        self.words <= TOKENS_MAX
    }

    pub(super) fn into_files(self) -> Vec<PathBuf> {
        self.paths
    }
}

impl Parser<'_> {
    /// Puts what an `import` names in its place, so that the next word is the first imported one. If that fails, reports it and
    /// passes over the line.
    pub(super) fn import_or_skip(&mut self) {
        if let Err(error) = self.import() {
            self.report(error);
            while self.next_arg() {}
        }
    }

    fn import(&mut self) -> Result<(), Diagnostic> {
        if !self.next_arg() {
            return Err(self.arg_err());
        }
        let pattern = self.expanded();
        if pattern.is_empty() {
            return Err(self.err("Import requires a non-empty filepath"));
        }
        if self.next_arg() {
            return Err(self.err("Import takes only one argument (glob pattern or file)"));
        }
        let imported = match self.snippets.get(&pattern).cloned() {
            Some(body) => self.import_snippet(body)?,
            None => self.import_files(&pattern)?,
        };
        let count = imported.iter().map(|part| part.len()).sum();
        if !self.imports.count_words(count) {
            // Whatever follows would fail the same way.
            self.todo.clear();
            self.cut_short = true;
            return Err(self.err(format!("imports make more than {TOKENS_MAX} words")));
        }
        // The argument and the word `import` itself.
        self.done.pop();
        self.done.pop();
        self.todo.extend(imported.iter().rev().flat_map(|part| part.iter().rev().cloned()));
        Ok(())
    }

    fn import_snippet(&mut self, body: Arc<[Token]>) -> Result<Vec<Arc<[Token]>>, Diagnostic> {
        if self.imports.snippets >= SNIPPET_EXPANSIONS_MAX {
            self.todo.clear();
            self.cut_short = true;
            return Err(self.err(format!("maximum snippet import depth ({SNIPPET_EXPANSIONS_MAX}) exceeded")));
        }
        self.imports.snippets += 1;
        Ok(vec![body])
    }

    fn import_files(&mut self, pattern: &str) -> Result<Vec<Arc<[Token]>>, Diagnostic> {
        if self.imports.files >= FILE_EXPANSIONS_MAX {
            self.todo.clear();
            self.cut_short = true;
            // CoreDNS names the limit of snippets here, and people search for its words.
            return Err(self.err(format!("maximum file import depth ({SNIPPET_EXPANSIONS_MAX}) exceeded")));
        }
        self.imports.files += 1;
        let full = self.full_pattern(pattern);
        if full.len() > PATTERN_BYTES_MAX {
            return Err(self.err(format!("Failed to use import pattern {pattern}: file name too long")));
        }
        let count = |c: char| full.matches(c).count();
        if count('*') > 1 || count('?') > 1 || (full.contains('[') && full.contains(']')) {
            let message = format!("Glob pattern may only contain one wildcard (*), but has others: {full}");
            return Err(self.err(message));
        }
        let matches = glob::glob(&full, self.options.files)
            .map_err(|error| self.err(format!("Failed to use import pattern {pattern}: {error}")))?;
        if matches.is_empty() {
            if !full.contains(['*', '?', '[', ']']) {
                let error = self.err(format!("File to import not found: {pattern}"));
                return Err(error.with_note(format!("looked for {full}, and for a snippet ({pattern}) further up")));
            }
            let warning = Diagnostic::warning(format!("No files matching import glob pattern: {pattern}"));
            self.warnings.push(match self.current() {
                Some(token) => warning.at(token),
                None => warning,
            });
        }
        matches.iter().map(|path| self.import_file(path)).collect()
    }

    /// The pattern below the directory of the file that holds the import, unless it is absolute.
    fn full_pattern(&self, pattern: &str) -> String {
        if pattern.starts_with('/') {
            return pattern.to_owned();
        }
        let main = self.options.path.to_string_lossy();
        let file = self.current().map(|token| token.file.clone()).filter(|file| !file.is_empty());
        glob::join(&glob::parent(file.as_deref().unwrap_or(&main)), pattern)
    }

    fn import_file(&mut self, path: &str) -> Result<Arc<[Token]>, Diagnostic> {
        let name = glob::clean(path);
        if let Some(words) = self.imports.read.get(&name) {
            return Ok(words.clone());
        }
        if self.options.files.is_dir(Path::new(path)) {
            return Err(self.err(format!("Could not import {path}: is a directory")));
        }
        let bytes = self
            .options
            .files
            .read(Path::new(path))
            .map_err(|error| self.err(format!("Could not import {path}: open {path}: {}", system_error(&error))))?;
        self.imports.bytes = self.imports.bytes.saturating_add(bytes.len());
        if bytes.len() > SOURCE_BYTES_MAX || self.imports.bytes > SOURCES_BYTES_MAX {
            let limits = format!("a file may have {SOURCE_BYTES_MAX} bytes, all of them together {SOURCES_BYTES_MAX}");
            return Err(self.err(format!("Could not import {path}: too large")).with_note(limits));
        }
        let file: Arc<str> = Arc::from(name.as_str());
        let text: Arc<str> = decode(&bytes).into();
        let id = self.sources.add(file.clone(), text.clone());
        let words: Arc<[Token]> = tokens(&text, id, &file).into();
        self.imports.paths.push(PathBuf::from(&name));
        self.imports.read.insert(name, words.clone());
        Ok(words)
    }
}

/// A system error in the words that Go has for it.
fn system_error(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => {
            let text = error.to_string();
            let end = text.find(" (os error").unwrap_or(text.len());
            text.get(..end).unwrap_or(&text).to_lowercase()
        }
    }
}
