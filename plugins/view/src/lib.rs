//! *view* lets a server block take only the queries for which expressions hold, so that several blocks can serve one zone.

use std::borrow::Cow;
use std::sync::Arc;

use catena_core::prelude::*;
use catena_core::{Labels, View as Chooser};
use catena_gocompat::expr::{DEFAULT_FUNCTIONS, Env, ExprError, Program, Value, query_value};

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("view", setup);

/// The most expressions of one view: all of them may run for a query.
const EXPRESSIONS_MAX: usize = 1000;
/// The label with the view's name.
const NAME_LABEL: &str = "view/name";
const ONCE: &str = "this plugin can only be used once per Server Block";

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let mut words = cx.cursor();
    words.next();
    let args = words.remaining_args();
    let [name] = args[..] else { return Err(words.arg_err()) };
    let mut expressions = Vec::new();
    while words.next_block() {
        if words.val() != "expr" {
            return Err(words.unknown_property(&["expr"]));
        }
        if expressions.len() == EXPRESSIONS_MAX {
            return Err(words.err(format!("more than {EXPRESSIONS_MAX} expressions")));
        }
        expressions.push(expression(&mut words)?);
    }
    if words.next() {
        return Err(words.plain_err(ONCE));
    }
    let view = Arc::new(View { name: name.to_owned(), expressions });
    let chooser = Arc::<View>::clone(&view);
    if !cx.view(chooser) {
        return Err(words.plain_err("multiple views defined in server block"));
    }
    cx.labels(view);
    cx.link(Passage);
    Ok(())
}

/// Reads the rest of the line. Of an expression of several words the first is where an error is shown.
fn expression(words: &mut Cursor<'_>) -> Result<Program, Diagnostic> {
    let tokens = words.remaining_tokens();
    let source = tokens.iter().map(|token| &*token.text).collect::<Vec<_>>().join(" ");
    Program::compile(&source, &DEFAULT_FUNCTIONS, &[]).map_err(|error| {
        let told = words.plain_err(error.to_string());
        match tokens.first() {
            Some(first) => told.with_span(first.span),
            None => told,
        }
    })
}

struct View {
    name: String,
    expressions: Vec<Program>,
}

impl Chooser for View {
    fn name(&self) -> &str {
        &self.name
    }

    /// All expressions have to be true. One that fails when it runs is not.
    fn takes(&self, query: &Query) -> bool {
        let seen = Seen(query);
        self.expressions.iter().all(|program| program.run(&seen).is_ok_and(|value| value == Value::Bool(true)))
    }
}

impl Labels for View {
    fn names(&self) -> &[&'static str] {
        &[NAME_LABEL]
    }

    fn label<'a>(&'a self, name: &str, _: &'a Query) -> Option<Cow<'a, str>> {
        (name == NAME_LABEL).then_some(Cow::Borrowed(&self.name))
    }
}

/// What an expression sees of a query.
struct Seen<'a>(&'a Query);

impl Env for Seen<'_> {
    fn call(&self, function: &str, args: &[Value]) -> Result<Value, ExprError> {
        query_value(self.0, function, args)
    }

    fn variable(&self, _: &str) -> Option<Value> {
        None
    }
}

/// The link: the view did its work before the chain began.
struct Passage;

#[async_trait]
impl Plugin for Passage {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        next.run(q).await
    }
}

#[cfg(test)]
mod tests;
