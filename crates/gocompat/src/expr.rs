//! expr-lang expressions, as `view` and `template` use them (CoreDNS: plugin/pkg/expression).
//!
//! The `expr-lang` crate checks names when a program runs. This module checks them, and the count
//! of arguments, when it compiles, with the texts of Go's expr-lang. Types are checked where an
//! operator stands between literals and calls; elsewhere wrong ones fail when it runs.

mod query;
mod scan;
mod types;

pub use query::query_value;

use expr::{Context, ContextProvider, Environment, Value as Inner};
use std::cell::OnceCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The length of an expression that is accepted, in bytes.
pub const SOURCE_BYTES_MAX: usize = 10_000;

/// How deep brackets and operators in front of their operand may nest.
pub const NESTING_MAX: usize = 48;

/// How many calls of environment functions one run may make.
pub const CALLS_MAX: usize = 10_000;

/// The functions of an expression in `view`; `template` adds [`GROUP`].
pub const DEFAULT_FUNCTIONS: [Function; 15] = [
    Function::new("incidr", 2),
    Function::new("metadata", 1),
    Function::new("type", 0),
    Function::new("name", 0),
    Function::new("class", 0),
    Function::new("proto", 0),
    Function::new("size", 0),
    Function::new("client_ip", 0),
    Function::new("port", 0),
    Function::new("id", 0),
    Function::new("opcode", 0),
    Function::new("do", 0),
    Function::new("bufsize", 0),
    Function::new("server_ip", 0),
    Function::new("server_port", 0),
];

/// `group(index or name)`, which `template` has.
pub const GROUP: Function = Function::new("group", 1);

/// Functions of the language itself.
pub const BUILTINS: [&str; 71] = [
    "abs",
    "all",
    "any",
    "bitand",
    "bitnand",
    "bitnot",
    "bitor",
    "bitshl",
    "bitshr",
    "bitushr",
    "bitxor",
    "ceil",
    "concat",
    "count",
    "date",
    "duration",
    "filter",
    "find",
    "findIndex",
    "findLast",
    "findLastIndex",
    "first",
    "flatten",
    "float",
    "floor",
    "fromBase64",
    "fromJSON",
    "fromPairs",
    "get",
    "groupBy",
    "hasPrefix",
    "hasSuffix",
    "indexOf",
    "int",
    "join",
    "keys",
    "last",
    "lastIndexOf",
    "len",
    "lower",
    "map",
    "max",
    "mean",
    "median",
    "min",
    "none",
    "now",
    "one",
    "reduce",
    "repeat",
    "replace",
    "reverse",
    "round",
    "sort",
    "sortBy",
    "split",
    "splitAfter",
    "string",
    "sum",
    "take",
    "timezone",
    "toBase64",
    "toJSON",
    "toPairs",
    "trim",
    "trimPrefix",
    "trimSuffix",
    "type",
    "uniq",
    "upper",
    "values",
];

/// A function of the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// How many arguments it takes.
    pub arity: usize,
}

impl Function {
    /// A function `name` of `arity` arguments.
    pub const fn new(name: &'static str, arity: usize) -> Self {
        Self { name, arity }
    }
}

/// A value of an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `nil`.
    Nil,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// Anything else, as the language prints it.
    Other(String),
}

impl Value {
    /// The boolean; `None` for any other kind.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The integer; `None` for any other kind.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The text; `None` for any other kind.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl From<Inner> for Value {
    fn from(value: Inner) -> Self {
        match value {
            Inner::Nil => Self::Nil,
            Inner::Bool(value) => Self::Bool(value),
            Inner::Integer(value) => Self::Int(value),
            Inner::Float(value) => Self::Float(value),
            Inner::String(text) => Self::Text(text),
            Inner::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            other => Self::Other(other.to_string()),
        }
    }
}

impl From<&Value> for Inner {
    fn from(value: &Value) -> Self {
        match value {
            Value::Nil => Self::Nil,
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Integer(*value),
            Value::Float(value) => Self::Float(*value),
            Value::Text(text) | Value::Other(text) => Self::String(text.clone()),
            Value::List(items) => Self::Array(items.iter().map(Self::from).collect()),
        }
    }
}

/// Why an expression does not compile or run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExprError(
    /// The text.
    pub String,
);

/// What an expression sees of the query. Only what it names is asked for.
pub trait Env {
    /// Calls a function that the program was compiled with, with as many arguments as it takes.
    fn call(&self, function: &str, args: &[Value]) -> Result<Value, ExprError>;

    /// The value of a variable that the program was compiled with.
    fn variable(&self, name: &str) -> Option<Value>;
}

/// `incidr(ip, cidr)`, for every [`Env`] (CoreDNS: plugin/pkg/expression).
pub fn incidr(args: &[Value]) -> Result<Value, ExprError> {
    let [Value::Text(ip), Value::Text(cidr)] = args else {
        return Err(ExprError("incidr takes two strings".to_owned()));
    };
    let ip = crate::address::parse_ip(ip).ok_or_else(|| ExprError("first argument is not an IP address".to_owned()))?;
    let cidr = crate::address::Cidr::parse(cidr).map_err(|error| ExprError(error.to_string()))?;
    Ok(Value::Bool(cidr.contains(ip)))
}

/// Whether `name` can be a variable's: an identifier that is no function and no keyword.
pub fn is_free_name(name: &str, functions: &[Function]) -> bool {
    let first_fits = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let rest_fits = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    first_fits
        && rest_fits
        && !BUILTINS.contains(&name)
        && !scan::KEYWORDS.contains(&name)
        && !functions.iter().any(|function| function.name == name)
}

/// A compiled expression.
pub struct Program {
    source: String,
    program: expr::Program,
    environment: Environment<'static>,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Program").field(&self.source).finish()
    }
}

impl Program {
    /// Compiles `source`, which may use the given functions and variables besides the language's
    /// own functions; `type` is only a function of the environment.
    pub fn compile(source: &str, functions: &[Function], variables: &[&str]) -> Result<Self, ExprError> {
        if source.len() > SOURCE_BYTES_MAX {
            let (got, max) = (source.len(), SOURCE_BYTES_MAX);
            return Err(ExprError(format!("expression too long: {got} > {max}")));
        }
        scan::check(source, functions, variables).map_err(ExprError)?;
        types::check(source, functions).map_err(ExprError)?;
        // The parser of the crate has assertions of its own; none may end the server.
        let program = catch_unwind(AssertUnwindSafe(|| expr::compile(source)))
            .map_err(|_| ExprError("expression is not supported".to_owned()))?
            .map_err(|error| ExprError(scan::syntax_error(source, &error.to_string())))?;
        let mut environment = Environment::new();
        for function in functions {
            environment.add_function(function.name, move |call| {
                let key = encode_call(&call.ident, &call.args);
                match call.ctx.get(&key) {
                    Some(Inner::Bytes(text)) => Err(String::from_utf8_lossy(text).into_owned().into()),
                    Some(value) => Ok(value.clone()),
                    None => Err("too many function calls".to_owned().into()),
                }
            });
        }
        Ok(Self { source: source.to_owned(), program, environment })
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The labels that the expression asks for with `metadata("LABEL")`, as far as they are written so.
    pub fn labels(&self) -> Vec<&str> {
        scan::labels(&self.source)
    }

    /// Runs the expression.
    pub fn run(&self, env: &dyn Env) -> Result<Value, ExprError> {
        let bridge = Bridge { env, first: OnceCell::new() };
        catch_unwind(AssertUnwindSafe(|| self.environment.run(&self.program, &bridge)))
            .map_err(|_| ExprError("expression failed".to_owned()))?
            .map(Value::from)
            .map_err(|error| ExprError(error.to_string()))
    }
}

/// In front of the key of a call; no identifier has it.
const CALL: char = '\u{1}';

/// Between the parts of the key of a call; text that has it is escaped.
const PART: char = '\u{2}';

/// A call as the key under which the context of the engine is asked for its result.
fn encode_call(function: &str, args: &[Inner]) -> String {
    let mut key = format!("{CALL}{function}");
    for arg in args {
        key.push(PART);
        match arg {
            Inner::String(text) => {
                key.push('s');
                key.push_str(&text.replace('\u{3}', "\u{3}3").replace(PART, "\u{3}2"));
            }
            Inner::Integer(value) => key.push_str(&format!("i{value}")),
            Inner::Float(value) => key.push_str(&format!("f{value}")),
            Inner::Bool(value) => key.push_str(&format!("b{value}")),
            _ => key.push('n'),
        }
    }
    key
}

fn decode_arg(part: &str) -> Value {
    let text = part.get(1..).unwrap_or_default();
    match part.as_bytes().first() {
        Some(b's') => Value::Text(text.replace("\u{3}2", "\u{2}").replace("\u{3}3", "\u{3}")),
        Some(b'i') => text.parse().map_or(Value::Nil, Value::Int),
        Some(b'f') => text.parse().map_or(Value::Nil, Value::Float),
        Some(b'b') => Value::Bool(text == "true"),
        _ => Value::Nil,
    }
}

/// One result that was asked for, and the next.
struct Slot {
    key: String,
    value: Option<Inner>,
    next: OnceCell<Box<Self>>,
}

/// Lends the engine values that are made when it asks: a list that only grows, so that what it
/// borrowed stays.
struct Bridge<'e> {
    env: &'e dyn Env,
    first: OnceCell<Box<Slot>>,
}

impl Bridge<'_> {
    fn make(&self, key: &str) -> Option<Inner> {
        let Some(call) = key.strip_prefix(CALL) else {
            return self.env.variable(key).as_ref().map(Inner::from);
        };
        let mut parts = call.split(PART);
        let function = parts.next().unwrap_or_default();
        let args: Vec<Value> = parts.map(decode_arg).collect();
        Some(match self.env.call(function, &args) {
            Ok(value) => Inner::from(&value),
            // No function gives bytes, so that they can stand for an error.
            Err(error) => Inner::Bytes(error.0.into_bytes()),
        })
    }
}

impl ContextProvider for Bridge<'_> {
    fn get(&self, key: &str) -> Option<&Inner> {
        let mut cell = &self.first;
        for _ in 0..CALLS_MAX {
            let slot = cell
                .get_or_init(|| Box::new(Slot { key: key.to_owned(), value: self.make(key), next: OnceCell::new() }));
            if slot.key == key {
                return slot.value.as_ref();
            }
            cell = &slot.next;
        }
        None
    }

    fn to_context(&self) -> Context {
        Context::default()
    }
}

impl Drop for Bridge<'_> {
    /// Takes the list apart from its head; dropping it link by link would recurse.
    fn drop(&mut self) {
        let mut next = self.first.take();
        while let Some(mut slot) = next {
            next = slot.next.take();
        }
    }
}

#[cfg(test)]
mod tests;
