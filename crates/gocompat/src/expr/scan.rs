//! The check of names, argument counts, nesting and ranges before an expression is compiled.

use super::{BUILTINS, Function, NESTING_MAX};

/// Words of the language that are no names.
pub(super) const KEYWORDS: [&str; 14] = [
    "true",
    "false",
    "nil",
    "not",
    "and",
    "or",
    "in",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "let",
    "if",
    "else",
];

/// The largest difference between the ends of a range.
const RANGE_MAX: i64 = 1_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    Number,
    Text,
    Symbol,
}

pub(super) struct Token<'s> {
    pub(super) kind: Kind,
    pub(super) text: &'s str,
    pub(super) at: usize,
}

/// Splits the source into tokens, without comments and blanks. What the language does not know
/// becomes a symbol; the compiler refuses it later.
pub(super) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(c) = source[at..].chars().next() {
        let rest = &source[at..];
        let span = |fits: fn(char) -> bool| rest.find(|c| !fits(c)).unwrap_or(rest.len());
        let (kind, length) = match c {
            c if c.is_whitespace() => (None, c.len_utf8()),
            '/' if rest.starts_with("//") => (None, rest.find('\n').unwrap_or(rest.len())),
            '/' if rest.starts_with("/*") => (None, rest.find("*/").map_or(rest.len(), |e| e + 2)),
            '"' | '\'' | '`' => (Some(Kind::Text), text_length(rest, c)),
            '0'..='9' => (Some(Kind::Number), span(|c| c.is_ascii_alphanumeric() || c == '_')),
            'a'..='z' | 'A'..='Z' | '_' | '$' | '#' => {
                let word = span(|c| c.is_ascii_alphanumeric() || "_$#".contains(c));
                (Some(Kind::Name), word)
            }
            '.' if rest.starts_with("..") => (Some(Kind::Symbol), 2),
            '|' if rest.starts_with("||") => (Some(Kind::Symbol), 2),
            '?' if rest.starts_with("?.") || rest.starts_with("??") => (Some(Kind::Symbol), 2),
            c => (Some(Kind::Symbol), c.len_utf8()),
        };
        if let Some(kind) = kind {
            found.push(Token { kind, text: &rest[..length], at });
        }
        at += length;
    }
    found
}

/// The texts in calls of `metadata` with nothing but a text; those with escapes are left out.
pub(super) fn labels(source: &str) -> Vec<&str> {
    let tokens = tokens(source);
    let calls = tokens.windows(4).filter(|call| {
        call[0].text == "metadata" && call[1].text == "(" && call[2].kind == Kind::Text && call[3].text == ")"
    });
    calls.filter_map(|call| call[2].text.get(1..call[2].text.len() - 1)).filter(|text| !text.contains('\\')).collect()
}

fn text_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped && quote != '`';
    }
    rest.len()
}

/// Checks the source; the error is the whole text, with the place as Go's expr-lang shows it.
pub(super) fn check(source: &str, functions: &[Function], variables: &[&str]) -> Result<(), String> {
    let tokens = tokens(source);
    check_nesting(&tokens)?;
    let text = |at: usize| tokens.get(at).map_or("", |token: &Token<'_>| token.text);
    let before = |at: usize| at.checked_sub(1).map_or("", text);
    let bound: Vec<&str> = (1..tokens.len()).filter(|at| before(*at) == "let").map(text).collect();
    for (at, token) in tokens.iter().enumerate() {
        if token.text == ".." && !is_small_range(text(at.wrapping_sub(1)), text(at + 1)) {
            return Err(located("range is too large or has no literal ends", source, token.at));
        }
        let is_member = matches!(before(at), "." | "?.");
        let is_map_key = text(at + 1) == ":" && matches!(before(at), "{" | ",");
        if token.kind != Kind::Name || is_member || is_map_key {
            continue;
        }
        let name = token.text;
        let own = functions.iter().find(|function| function.name == name);
        if text(at + 1) == "(" && !KEYWORDS.contains(&name) {
            match own {
                Some(function) => check_count(&tokens, at, function).map_err(|why| located(&why, source, token.at))?,
                None if BUILTINS.contains(&name) && name != "type" => {}
                None => return Err(located(&format!("unknown name {name}"), source, token.at)),
            }
        } else if !(KEYWORDS.contains(&name)
            || name.starts_with('#')
            || variables.contains(&name)
            || bound.contains(&name))
        {
            let why = match own {
                Some(_) => format!("function {name} is not called"),
                None => format!("unknown name {name}"),
            };
            return Err(located(&why, source, token.at));
        }
    }
    Ok(())
}

fn is_small_range(low: &str, high: &str) -> bool {
    match (low.parse::<i64>(), high.parse::<i64>()) {
        (Ok(low), Ok(high)) => high.saturating_sub(low) <= RANGE_MAX,
        _ => false,
    }
}

/// Bounds what the recursive parser of the engine would recurse into.
fn check_nesting(tokens: &[Token<'_>]) -> Result<(), String> {
    let (mut depth, mut prefixes) = (0usize, 0usize);
    for token in tokens {
        match token.text {
            "(" | "[" | "{" | "?" | "if" | "??" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        prefixes = match token.text {
            "!" | "-" | "+" | "not" | "**" | "^" => prefixes + 1,
            _ => prefixes,
        };
        if depth > NESTING_MAX || prefixes > 4 * NESTING_MAX {
            return Err(format!("expression nests too deeply: more than {NESTING_MAX}"));
        }
    }
    Ok(())
}

/// Compares the arguments of the call at token `at` with what the function takes.
fn check_count(tokens: &[Token<'_>], at: usize, function: &Function) -> Result<(), String> {
    let (mut depth, mut commas, mut empty) = (0usize, 0usize, true);
    for token in tokens.iter().skip(at + 1) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            "," if depth == 1 => commas += 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        empty &= token.text == "(" && depth == 1;
    }
    // A value piped into the call is its first argument.
    let piped = usize::from(at > 0 && tokens[at - 1].text == "|");
    let count = piped + if empty { 0 } else { commas + 1 };
    match count.cmp(&function.arity) {
        std::cmp::Ordering::Less => Err(format!("not enough arguments to call {}", function.name)),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(format!("too many arguments to call {}", function.name)),
    }
}

/// Adds line, column and the line with a caret, in the form of Go's expr-lang.
pub(super) fn located(why: &str, source: &str, at: usize) -> String {
    let start = source[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = source[start..].lines().next().unwrap_or_default();
    let number = source[..at].matches('\n').count() + 1;
    let column = source[start..at].chars().count();
    let dots = ".".repeat(column);
    format!("{why} ({number}:{})\n | {line}\n | {dots}^", column + 1)
}

/// What the parser of the engine says of a broken expression, in the form of Go's expr-lang: its own text has the place alone, as
/// `--> LINE:COLUMN`.
pub(super) fn syntax_error(source: &str, told: &str) -> String {
    let Some(at) = told.split_once("--> ").and_then(|(_, place)| offset(source, place)) else {
        return told.to_owned();
    };
    if source.trim().is_empty() {
        return "unexpected token EOF".to_owned();
    }
    let Some(token) = tokens(source).into_iter().find(|token| at < token.at + token.text.len()) else {
        let last = source.char_indices().next_back().map_or(0, |(last, _)| last);
        return located("unexpected token EOF", source, last);
    };
    let text = token.text;
    let kind = match token.kind {
        Kind::Name if matches!(text, "not" | "and" | "or" | "in" | "matches" | "contains") => "Operator",
        Kind::Name => "Identifier",
        Kind::Number => "Number",
        Kind::Text => "String",
        Kind::Symbol if "()[]{}".contains(text) => "Bracket",
        Kind::Symbol => "Operator",
    };
    located(&format!("unexpected token {kind}({text:?})"), source, token.at)
}

/// The offset of a place such as `1:9` in the source.
fn offset(source: &str, place: &str) -> Option<usize> {
    let (line, rest) = place.split_once(':')?;
    let column = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    let (line, column): (usize, usize) = (line.parse().ok()?, column.parse().ok()?);
    let start = match line.checked_sub(2) {
        Some(newlines) => source.match_indices('\n').nth(newlines)?.0 + 1,
        None => 0,
    };
    let skipped: usize = source[start..].chars().take(column.saturating_sub(1)).map(char::len_utf8).sum();
    Some(start + skipped)
}
