//! Snippets: blocks named `(name)`, kept as words and put in place where they are imported.

use std::sync::Arc;

use super::Parser;
use crate::env;
use crate::lex::Token;

/// Most snippets that one parse puts in place.
pub const SNIPPET_EXPANSIONS_MAX: usize = 10_000;

impl Parser<'_> {
    /// Reads the body of a snippet; the current word is the one behind its name.
    pub(super) fn snippet(&mut self, name: String) {
        let declared = self.snippets.contains_key(&name);
        if declared {
            self.report(self.err(format!("redeclaration of previously declared snippet {name}")));
        }
        if self.val() != "{" {
            self.report(self.syntax_err("{").with_note(format!("the body of the snippet ({name}) must be in braces")));
            // Nothing tells where the snippet was meant to end.
            self.todo.clear();
            return;
        }
        let Some(body) = self.snippet_body() else { return };
        if declared {
            return;
        }
        if self.imports_itself(&body, &name) {
            let message = format!("maximum snippet import depth ({SNIPPET_EXPANSIONS_MAX}) exceeded");
            self.report(self.err(message).with_note(format!("the snippet ({name}) imports itself")));
            self.snippets.insert(name, Arc::from([]));
            return;
        }
        self.snippets.insert(name, body.into());
    }

    fn snippet_body(&mut self) -> Option<Vec<Token>> {
        let opening = self.current().cloned();
        let mut depth = 1usize;
        let mut body = Vec::new();
        while self.next() {
            match self.val() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Some(body);
            }
            body.extend(self.current().cloned());
        }
        let error = self.syntax_err("}");
        self.report(match opening {
            Some(opening) => error.with_note(self.opened_at(&opening)),
            None => error,
        });
        self.cut_short = true;
        None
    }

    fn imports_itself(&self, body: &[Token], name: &str) -> bool {
        body.windows(2).enumerate().any(|(at, pair)| {
            let [word, argument] = pair else { return false };
            let before = at.checked_sub(1).and_then(|before| body.get(before));
            let starts_line = before.is_none_or(|before| before.file != word.file || before.line != word.line);
            let target = env::expand(&argument.text, self.options.env).ok().flatten();
            &*word.text == "import" && starts_line && target.as_deref().unwrap_or(&argument.text) == name
        })
    }
}
