//! The check of types before an expression is compiled, as far as they are seen without working the expression out: an operator between
//! two literals or calls of the environment's functions, and literals as arguments of these.

use super::Function;
use super::scan::{Kind, Token, located, tokens};
use crate::regexp::Regexp;

/// The type of a literal or of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Text,
    Int,
    Bool,
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Int => "int",
            Self::Bool => "bool",
        }
    }
}

/// What binds more loosely than every operator that is looked at, or brackets it.
const LOOSE: [&str; 14] = ["(", ")", "[", "]", "{", "}", ",", ";", "?", ":", "&", "||", "and", "or"];
/// Operators of letters.
const WORDS: [&str; 7] = ["in", "contains", "startsWith", "endsWith", "matches", "and", "or"];
/// Operators of symbols, the longer ones first.
const SYMBOLS: [&str; 13] = ["==", "!=", "<=", ">=", "&&", "||", "**", "<", ">", "+", "-", "*", "/"];

/// Checks the source; the error is the whole text, with the place as Go's expr-lang shows it.
pub(super) fn check(source: &str, functions: &[Function]) -> Result<(), String> {
    let tokens = tokens(source);
    let seen = Seen { tokens: &tokens, functions };
    let mut at = 0;
    while at < tokens.len() {
        seen.check_arguments(at).map_err(|(why, place)| located(&why, source, place))?;
        let Some((operator, width)) = operator_at(source, &tokens, at) else {
            at += 1;
            continue;
        };
        let operands = seen.ending_before(at).zip(seen.beginning_at(at + width));
        if let Some((left, right)) = operands
            && !fits(operator, left, right)
        {
            let (left, right) = (left.name(), right.name());
            let why = format!("invalid operation: {operator} (mismatched types {left} and {right})");
            return Err(located(&why, source, tokens[at].at));
        }
        if operator == "matches" {
            check_pattern(tokens.get(at + 1)).map_err(|why| located(&why, source, tokens[at].at))?;
        }
        at += width;
    }
    Ok(())
}

/// The operator at a token, and how many tokens it is.
fn operator_at(source: &str, tokens: &[Token<'_>], at: usize) -> Option<(&'static str, usize)> {
    let token = &tokens[at];
    match token.kind {
        Kind::Name => WORDS.into_iter().find(|word| *word == token.text).map(|word| (word, 1)),
        Kind::Symbol => {
            let operator = SYMBOLS.into_iter().find(|symbol| source[token.at..].starts_with(symbol))?;
            Some((operator, if token.text == operator { 1 } else { 2 }))
        }
        _ => None,
    }
}

/// Whether an operator takes operands of these types.
fn fits(operator: &str, left: Type, right: Type) -> bool {
    match operator {
        "==" | "!=" => left == right,
        "&&" | "||" | "and" | "or" => left == Type::Bool && right == Type::Bool,
        "<" | ">" | "<=" | ">=" | "+" => left == right && left != Type::Bool,
        "in" => false,
        "contains" | "startsWith" | "endsWith" | "matches" => left == Type::Text && right == Type::Text,
        _ => left == Type::Int && right == Type::Int,
    }
}

/// The pattern of `matches`, if it is a literal without escapes but that of the backslash.
fn check_pattern(token: Option<&Token<'_>>) -> Result<(), String> {
    let literal = token.filter(|token| token.kind == Kind::Text && token.text.len() >= 2);
    let Some(literal) = literal else { return Ok(()) };
    let text = literal.text[1..literal.text.len() - 1].replace("\\\\", "\u{0}");
    if text.contains('\\') {
        return Ok(());
    }
    Regexp::new(&text.replace('\u{0}', "\\")).map(|_| ()).map_err(|error| error.to_string())
}

struct Seen<'a> {
    tokens: &'a [Token<'a>],
    functions: &'a [Function],
}

impl Seen<'_> {
    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| token.text)
    }

    /// The type of the operand that ends before a token, if it is one literal or call and nothing binds to it from the left.
    fn ending_before(&self, at: usize) -> Option<Type> {
        let last = at.checked_sub(1)?;
        let (start, found) = match self.literal(last) {
            Some(found) => (last, found),
            None if self.text(last) == ")" => {
                let name = self.opening(last)?.checked_sub(1)?;
                (name, self.result(name)?)
            }
            None => return None,
        };
        let is_free = start.checked_sub(1).is_none_or(|before| LOOSE.contains(&self.text(before)));
        is_free.then_some(found)
    }

    /// The type of the operand that begins at a token, if it is one literal or call and nothing binds to it from the right.
    fn beginning_at(&self, at: usize) -> Option<Type> {
        let (end, found) = match self.literal(at) {
            Some(found) => (at, found),
            None => (self.closing(at + 1)?, self.result(at)?),
        };
        let is_free = end + 1 >= self.tokens.len() || LOOSE.contains(&self.text(end + 1));
        is_free.then_some(found)
    }

    fn literal(&self, at: usize) -> Option<Type> {
        let token = self.tokens.get(at)?;
        match token.kind {
            Kind::Text => Some(Type::Text),
            Kind::Number => token.text.bytes().all(|octet| octet.is_ascii_digit()).then_some(Type::Int),
            Kind::Name if matches!(token.text, "true" | "false") => Some(Type::Bool),
            _ => None,
        }
    }

    /// The type of a call of one of the environment's functions.
    fn result(&self, at: usize) -> Option<Type> {
        let name = self.text(at);
        if self.text(at + 1) != "(" || !self.functions.iter().any(|function| function.name == name) {
            return None;
        }
        match name {
            "incidr" | "do" => Some(Type::Bool),
            "size" | "id" | "opcode" | "bufsize" => Some(Type::Int),
            "metadata" | "type" | "name" | "class" | "proto" | "client_ip" | "port" | "server_ip" | "server_port" => {
                Some(Type::Text)
            }
            _ => None,
        }
    }

    /// The bracket that a closing one closes.
    fn opening(&self, at: usize) -> Option<usize> {
        let mut depth = 0usize;
        (0..=at).rev().find(|at| {
            match self.text(*at) {
                ")" | "]" | "}" => depth += 1,
                "(" | "[" | "{" => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0
        })
    }

    /// The bracket that closes an opening one.
    fn closing(&self, at: usize) -> Option<usize> {
        let mut depth = 0usize;
        (at..self.tokens.len()).find(|at| {
            match self.text(*at) {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0
        })
    }

    /// Literals that are arguments of functions that take text.
    fn check_arguments(&self, at: usize) -> Result<(), (String, usize)> {
        let name = self.text(at);
        if !matches!(name, "incidr" | "metadata") || self.text(at + 1) != "(" {
            return Ok(());
        }
        let end = self.closing(at + 1).unwrap_or(self.tokens.len());
        let mut depth = 0usize;
        for argument in at + 1..end {
            match self.text(argument) {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
            let is_whole = matches!(self.text(argument - 1), "(" | ",") && matches!(self.text(argument + 1), ")" | ",");
            // What stands deeper is an argument of something else.
            let wrong = self.literal(argument).filter(|found| depth == 1 && is_whole && *found != Type::Text);
            if let Some(wrong) = wrong {
                let why = format!("cannot use {} as argument (type string) to call {name} ", wrong.name());
                return Err((why, self.tokens[argument].at));
            }
        }
        Ok(())
    }
}
