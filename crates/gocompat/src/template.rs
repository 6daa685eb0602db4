//! Go's `text/template` for the `template` plugin, with the data that CoreDNS hands to it
//! (CoreDNS: plugin/template).

mod print;

use crate::number;
use crate::quote::quote;
use gotmpl::parse::{BranchNode, CommandNode, Expr, ListNode, Node, Parser, PipeNode};
use gotmpl::{TemplateError as Inner, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// How many labels one execution may ask `.Meta` for that are not written as literals.
pub const DYNAMIC_LABELS_MAX: usize = 64;

/// How many iterations of `range` one execution may make.
pub const RANGE_ITERATIONS_MAX: u64 = 100_000;

/// The source text that is accepted, in bytes.
pub const SOURCE_BYTES_MAX: usize = 64 * 1024;

/// The fields of the data, which are those of CoreDNS's `templateData`.
pub const FIELDS: [&str; 10] =
    ["Zone", "Name", "Regex", "Match", "Group", "Class", "Type", "Message", "Question", "Remote"];

/// The one field of the data that is not in [`FIELDS`]: the variables.
const VAR: &str = "Var";

/// A value inside a template.
#[derive(Debug, Clone, PartialEq)]
pub enum Datum {
    /// Nothing; prints `<no value>`.
    Nil,
    /// A boolean.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// A float.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// A map or a struct, by name.
    Map(BTreeMap<String, Self>),
}

impl From<&str> for Datum {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Datum> for Value {
    fn from(datum: Datum) -> Self {
        match datum {
            Datum::Nil => Self::Nil,
            Datum::Bool(value) => Self::Bool(value),
            Datum::Int(value) => Self::Int(value),
            Datum::Uint(value) => Self::Uint(value),
            Datum::Float(value) => Self::Float(value),
            Datum::Text(text) => Self::String(text.into()),
            Datum::List(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Datum::Map(entries) => {
                Self::Map(Arc::new(entries.into_iter().map(|(name, datum)| (name.into(), datum.into())).collect()))
            }
        }
    }
}

/// What a template is executed with. Only fields that the template names are asked for.
pub trait TemplateData {
    /// The value of one of [`FIELDS`], or of `Var`: `Match` is a list of text, `Group` and `Var`
    /// are maps, `Message` and `Question` maps of Go's field names, the rest is text.
    fn field(&self, name: &str) -> Datum;

    /// The metadata label's value, empty where there is none: `.Meta "label"`.
    fn meta(&self, label: &str) -> String;
}

/// Why a template does not compile or execute, with the position where that is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(
    /// The text, in the form of Go's: `template: NAME:LINE: ...`.
    pub String,
);

/// A compiled template.
pub struct Template {
    name: String,
    source: String,
    canonical: String,
    compiled: gotmpl::Template,
    fields: BTreeSet<&'static str>,
    labels: BTreeSet<String>,
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Template").field(&self.source).finish()
    }
}

impl Template {
    /// Compiles `source`; `name` is the one that errors show, such as `answer`.
    pub fn new(name: &str, source: &str) -> Result<Self, TemplateError> {
        let failed = |error: Inner| compile_error(name, &error);
        if source.len() > SOURCE_BYTES_MAX {
            let (got, max) = (source.len(), SOURCE_BYTES_MAX);
            return Err(TemplateError(format!("template: {name}: too long: {got} > {max}")));
        }
        let parsed = gotmpl::Template::new(name)
            .max_range_iters(RANGE_ITERATIONS_MAX)
            .func("parseInt", parse_int)
            .func(INDEX_TEXT, index_text)
            .func(NO_FIELD, no_field)
            .parse(source)
            .map_err(failed)?;
        // The engine shows the trees of `define` only, so the main one is parsed once more.
        let (main, _) = Parser::new(source, "{{", "}}").and_then(Parser::parse).map_err(failed)?;
        if !reaches_end(source).map_err(failed)? {
            return Err(TemplateError(format!("template: {name}:1: unexpected {{{{end}}}}")));
        }
        let canonical = print::list(&main);
        let mut rewriter = Rewriter::default();
        let mut trees: BTreeMap<String, ListNode> = BTreeMap::new();
        for defined in parsed.templates() {
            if let Some(tree) = parsed.lookup(defined) {
                // What `template` calls has whatever dot it was given.
                trees.insert(defined.to_owned(), rewriter.list(tree.clone(), false));
            }
        }
        trees.insert(MAIN.to_owned(), rewriter.list(main, true));
        if let Some((line, function)) = rewriter.unknown_function {
            let why = format!("function {} not defined", quote(&function));
            return Err(TemplateError(format!("template: {name}:{line}: {why}")));
        }
        let compiled = trees.into_iter().fold(parsed, |template, (name, tree)| template.add_parse_tree(&name, tree));
        Ok(Self {
            name: name.to_owned(),
            source: source.to_owned(),
            canonical,
            compiled,
            fields: rewriter.fields,
            labels: rewriter.labels,
        })
    }

    /// The template as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The template as Go prints its tree, `{{ .Name }}` as `{{.Name}}`: the label `template` of
    /// the plugin's counters.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// The metadata labels that the template asks for, as far as they are written as literals.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.labels.iter().map(String::as_str)
    }

    /// Executes the template.
    pub fn execute(&self, data: &dyn TemplateData) -> Result<String, TemplateError> {
        let mut known: BTreeMap<String, String> =
            self.labels.iter().map(|label| (label.clone(), data.meta(label))).collect();
        let mut root: BTreeMap<Arc<str>, Value> =
            self.fields.iter().map(|field| (Arc::from(*field), data.field(field).into())).collect();
        // A function inside a value must not borrow. It notes a label that it does not know and
        // fails; then the label is looked up and the template executed again.
        for _ in 0..=DYNAMIC_LABELS_MAX {
            let missing = Arc::new(Mutex::new(None));
            root.insert(Arc::from("Meta"), meta_function(&known, &missing));
            let result = self.compiled.execute_template_to_string(MAIN, &Value::Map(Arc::new(root.clone())));
            let asked = missing.lock().unwrap_or_else(PoisonError::into_inner).take();
            match (result, asked) {
                (_, Some(label)) => drop(known.insert(label.clone(), data.meta(&label))),
                (Ok(text), None) => return Ok(text),
                (Err(error), None) => return Err(self.execution_error(&error)),
            }
        }
        let max = DYNAMIC_LABELS_MAX;
        Err(self.execution_error(&Inner::Exec(format!("more than {max} metadata labels"))))
    }

    fn execution_error(&self, error: &Inner) -> TemplateError {
        let name = &self.name;
        let text = match error {
            Inner::Exec(text) => text.clone(),
            other => other.to_string(),
        };
        TemplateError(format!("template: {name}: executing \"{name}\": {text}"))
    }
}

/// Whether the parser reads to the end: a stray `{{end}}` or `{{else}}` stops it without an error,
/// and a mark put behind the source is then not found.
fn reaches_end(source: &str) -> Result<bool, Inner> {
    const MARK: &str = "\u{0}end";
    let marked = format!("{source}{MARK}");
    let (tree, _) = Parser::new(&marked, "{{", "}}")?.parse()?;
    Ok(matches!(tree.nodes.last(), Some(Node::Text(last)) if last.text.ends_with(MARK)))
}

/// Go names the template and the line, not the column.
fn compile_error(name: &str, error: &Inner) -> TemplateError {
    TemplateError(match error {
        Inner::Parse { line, message, .. } | Inner::Lex { line, message, .. } => {
            format!("template: {name}:{line}: {message}")
        }
        other => format!("template: {name}:1: {other}"),
    })
}

/// The name of the main tree among those that the engine executes by name.
const MAIN: &str = "\u{0}main";

/// The functions that a template may call.
const FUNCTIONS: [&str; 20] = [
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "parseInt", "print",
    "printf", "println", "slice", "urlquery",
];

type Asked = Arc<Mutex<Option<String>>>;

fn meta_function(known: &BTreeMap<String, String>, asked: &Asked) -> Value {
    let (known, asked) = (known.clone(), Arc::clone(asked));
    Value::Function(Arc::new(move |args: &[Value]| match args {
        [Value::String(label)] => match known.get(label.as_ref()) {
            Some(text) => Ok(Value::String(text.as_str().into())),
            None => {
                *asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(label.to_string());
                Err(Inner::Exec("metadata label is not looked up yet".to_owned()))
            }
        },
        [_] => Err(Inner::Exec("wrong type of argument for Meta: expected string".to_owned())),
        _ => Err(Inner::Exec(format!("wrong number of args for Meta: want 1 got {}", args.len()))),
    }))
}

/// `parseInt TEXT BASE BITS`, which in CoreDNS is the unsigned `strconv.ParseUint`.
fn parse_int(args: &[Value]) -> gotmpl::Result<Value> {
    let [Value::String(text), base, bits] = args else {
        return Err(Inner::Exec(match args.len() {
            3 => "error calling parseInt: expected string".to_owned(),
            got => format!("wrong number of args for parseInt: want 3 got {got}"),
        }));
    };
    let size = |value: &Value| value.as_int().and_then(|value| u32::try_from(value).ok());
    let (Some(base), Some(bits)) = (size(base), size(bits)) else {
        return Err(Inner::Exec("error calling parseInt: expected int".to_owned()));
    };
    number::parse_uint(text, base, bits)
        .map(Value::Uint)
        .map_err(|error| Inner::Exec(format!("error calling parseInt: {error}")))
}

/// Stands in for `index .Group KEY`: a missing key of a map of text is empty text in Go.
const INDEX_TEXT: &str = "catenaIndexText";

fn index_text(args: &[Value]) -> gotmpl::Result<Value> {
    let [map, key] = args else {
        return Err(Inner::Exec("error calling index: cannot index string".to_owned()));
    };
    map.index(key).map(|value| match value {
        Value::Nil => Value::String("".into()),
        value => value,
    })
}

/// Stands in for a field that the data does not have, which fails when it is executed.
const NO_FIELD: &str = "catenaNoField";

fn no_field(args: &[Value]) -> gotmpl::Result<Value> {
    let name = args.first().and_then(Value::as_str).unwrap_or_default();
    Err(Inner::Exec(format!("can't evaluate field {name} in type *template.templateData")))
}

/// Makes Go's method call and Go's strictness of what the engine lacks, and notes what is used.
#[derive(Default)]
struct Rewriter {
    fields: BTreeSet<&'static str>,
    labels: BTreeSet<String>,
    /// The first function that is not in [`FUNCTIONS`], with its line.
    unknown_function: Option<(usize, String)>,
}

impl Rewriter {
    fn list(&mut self, mut list: ListNode, dot_is_data: bool) -> ListNode {
        list.nodes = list.nodes.into_iter().map(|node| self.node(node, dot_is_data)).collect();
        list
    }

    fn node(&mut self, node: Node, dot_is_data: bool) -> Node {
        match node {
            Node::List(list) => Node::List(self.list(list, dot_is_data)),
            Node::Action(mut action) => {
                action.pipe = self.pipe(action.pipe, dot_is_data);
                Node::Action(action)
            }
            Node::If(branch) => Node::If(self.branch(branch, dot_is_data, dot_is_data)),
            Node::Range(branch) => Node::Range(self.branch(branch, dot_is_data, false)),
            Node::With(branch) => Node::With(self.branch(branch, dot_is_data, false)),
            Node::Template(mut call) => {
                call.pipe = call.pipe.map(|pipe| self.pipe(pipe, dot_is_data));
                Node::Template(call)
            }
            other => other,
        }
    }

    fn branch(&mut self, mut branch: BranchNode, outer: bool, inner: bool) -> BranchNode {
        branch.pipe = self.pipe(branch.pipe, outer);
        branch.body = self.list(branch.body, inner);
        branch.else_body = branch.else_body.map(|body| self.list(body, outer));
        branch
    }

    fn pipe(&mut self, mut pipe: PipeNode, dot_is_data: bool) -> PipeNode {
        pipe.commands = pipe.commands.into_iter().map(|command| self.command(command, dot_is_data)).collect();
        pipe
    }

    fn command(&mut self, mut command: CommandNode, dot_is_data: bool) -> CommandNode {
        let pos = command.pos;
        let is_meta = command.args.first().is_some_and(is_meta);
        if let (true, Some(Expr::String(_, label))) = (is_meta, command.args.get(1)) {
            self.labels.insert(label.to_string());
        }
        let indexes_text = matches!(
            command.args.as_slice(),
            [Expr::Identifier(_, name), of, _] if name == "index" && last_field(of) == Some("Group")
        );
        command.args = command.args.into_iter().map(|arg| self.expr(arg, dot_is_data)).collect();
        if is_meta {
            command.args.insert(0, Expr::Identifier(pos, "call".into()));
        } else if indexes_text && let Some(function) = command.args.first_mut() {
            *function = Expr::Identifier(pos, INDEX_TEXT.into());
        }
        command
    }

    fn expr(&mut self, expr: Expr, dot_is_data: bool) -> Expr {
        match expr {
            Expr::Field(pos, fields) => {
                let first = fields.first().map(ToString::to_string).unwrap_or_default();
                // Outside the data the field may still be one of it, through `template "x" .`.
                let known = self.note(&first);
                if dot_is_data && !known {
                    let args = vec![Expr::Identifier(pos, NO_FIELD.into()), Expr::String(pos, first.into())];
                    return Expr::Pipe(
                        pos,
                        PipeNode { pos, decl: Vec::new(), commands: vec![CommandNode { pos, args }], is_assign: false },
                    );
                }
                Expr::Field(pos, fields)
            }
            Expr::Variable(pos, name, fields) => {
                for field in &fields {
                    self.note(field);
                }
                Expr::Variable(pos, name, fields)
            }
            Expr::Pipe(pos, pipe) => Expr::Pipe(pos, self.pipe(pipe, dot_is_data)),
            Expr::Chain(pos, inner, fields) => {
                for field in &fields {
                    self.note(field);
                }
                Expr::Chain(pos, Box::new(self.expr(*inner, dot_is_data)), fields)
            }
            Expr::Identifier(pos, name) => {
                if !FUNCTIONS.contains(&name.as_str()) && self.unknown_function.is_none() {
                    self.unknown_function = Some((pos.line, name.to_string()));
                }
                Expr::Identifier(pos, name)
            }
            other => other,
        }
    }

    /// Notes a field as used; whether the data has it.
    fn note(&mut self, name: &str) -> bool {
        let field = FIELDS.into_iter().chain([VAR]).find(|field| *field == name);
        self.fields.extend(field);
        field.is_some() || name == "Meta"
    }
}

/// Whether the expression names the method `Meta` of the data.
fn is_meta(expr: &Expr) -> bool {
    match expr {
        Expr::Field(_, fields) => fields.len() == 1 && fields[0] == "Meta",
        Expr::Variable(_, name, fields) => name == "$" && fields.len() == 1 && fields[0] == "Meta",
        _ => false,
    }
}

fn last_field(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Field(_, fields) | Expr::Variable(_, _, fields) => fields.last().map(|f| f.as_str()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
