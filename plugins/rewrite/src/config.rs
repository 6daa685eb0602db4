//! What the `rewrite` directives say: one [`Rule`] for each.

use std::sync::Arc;

use catena_core::corefile::Token;
use catena_core::metrics::{rcode_mnemonic, type_named};
use catena_core::prelude::*;
use catena_gocompat::number::parse_uint;
use catena_gocompat::quote::quote;
use catena_gocompat::regexp::{PATTERN_BYTES_MAX, Regexp};

use crate::back::Back;
use crate::edns::EdnsRule;
use crate::fault::Fault;
use crate::name::NameRule;
use crate::pattern::{Pattern, normal};
use crate::target::TargetRule;

/// The most rules of a server block.
pub(crate) const RULES_MAX: usize = 10_000;
/// The highest response code that has a mnemonic.
const RCODE_NAMED_MAX: u16 = 23;
/// The highest TTL of a range without an upper end, seconds (RFC 2181 section 8).
const TTL_MAX: u32 = 0x7fff_ffff;
/// The classes that have a mnemonic.
/// What a rule may be of.
const TYPES: [&str; 7] = ["name", "class", "type", "edns0", "ttl", "rcode", "cname"];
const CLASSES: [(&str, Class); 6] = [
    ("IN", Class::IN),
    ("CS", Class::from_int(2)),
    ("CH", Class::CH),
    ("HS", Class::HS),
    ("NONE", Class::NONE),
    ("ANY", Class::ANY),
];

/// One `rewrite`.
pub(crate) struct Rule {
    /// No later rule is tried when this one matched.
    pub(crate) stops: bool,
    /// What it is about.
    pub(crate) kind: Kind,
}

/// What a rule is about.
pub(crate) enum Kind {
    /// Another class is asked for.
    Class(Class, Class),
    /// Another type is asked for.
    Type(Rtype, Rtype),
    /// Another name is asked for.
    Name(NameRule),
    /// An option of the OPT record.
    Edns(EdnsRule),
    /// What is done to replies for names that match.
    Reply(Pattern, Back),
    /// Other targets of CNAME records in all replies.
    Target(Arc<TargetRule>),
}

/// Reads every `rewrite` of the block.
pub(crate) fn parse(cx: &mut Setup<'_>) -> Result<Vec<Rule>, Diagnostic> {
    let mut words = cx.cursor();
    let mut rules = Vec::new();
    while words.next() {
        let start = words.token();
        let mut tokens = words.remaining_tokens();
        if tokens.len() < 2 {
            while words.next_block() {
                tokens.extend(words.token());
            }
        }
        let args: Vec<&str> = tokens.iter().map(|token| &*token.text).collect();
        let rule = parse_rule(&args).map_err(|fault| located(&words, start, &tokens, fault))?;
        if rules.len() >= RULES_MAX {
            return Err(words.err(format!("more than {RULES_MAX} rules")));
        }
        if let Kind::Edns(rule) = &rule.kind {
            cx.instance_settings().echoed_options.extend(rule.local_code());
            check_label(cx, rule, &tokens);
        }
        rules.push(rule);
    }
    Ok(rules)
}

/// The error at the word that is wrong; for a rule in braces at the directive, since no other line of it makes sense alone.
fn located(words: &Cursor<'_>, start: Option<&Token>, tokens: &[&Token], fault: Fault<'_>) -> Diagnostic {
    let is_word = |token: &&&Token| fault.word.is_some_and(|word| std::ptr::eq(&*token.text, word));
    let on_line = |token: &&Token| start.is_some_and(|start| start.line == token.line);
    let error = words.plain_err(fault.text.as_str());
    let error = error.with_nearest(fault.word.unwrap_or_default(), fault.known);
    match tokens.iter().find(is_word).copied().filter(on_line).or(start) {
        Some(token) => error.at(token),
        None => error,
    }
}

fn check_label(cx: &mut Setup<'_>, rule: &EdnsRule, tokens: &[&Token]) {
    let Some(label) = rule.label().map(str::to_owned) else { return };
    let span = tokens.iter().find(|token| token.text.contains(&label)).map(|token| token.span);
    cx.on_linked(move |linked| {
        linked.check_label(&label, span);
        Ok(())
    });
}

fn parse_rule<'a>(args: &[&'a str]) -> Result<Rule, Fault<'a>> {
    let Some(first) = args.first() else { return Err(Fault::new("no rule type specified for rewrite")) };
    let mode = first.to_lowercase();
    let (stops, rest) = match mode.as_str() {
        "continue" => (false, &args[1..]),
        "stop" => (true, &args[1..]),
        _ => (true, args),
    };
    let [word, args @ ..] = rest else {
        return Err(Fault::at(first, format!("{mode} rule must begin with a rule type")));
    };
    let name = word.to_lowercase();
    let kind = match name.as_str() {
        "answer" => return Err(Fault::at(word, "response rewrites must begin with a name rule")),
        "name" => Kind::Name(NameRule::parse(args)?),
        "class" => class_rule(&name, args)?,
        "type" => type_rule(&name, args)?,
        "edns0" => Kind::Edns(EdnsRule::parse(args)?),
        "ttl" => ttl_rule(args)?,
        "rcode" => rcode_rule(args)?,
        "cname" => Kind::Target(Arc::new(TargetRule::parse(args)?)),
        _ => return Err(Fault::at(word, format!("invalid rule type {}", quote(first))).known(&TYPES)),
    };
    Ok(Rule { stops, kind })
}

fn two<'a>(rule: &str, args: &[&'a str]) -> Result<[&'a str; 2], Fault<'a>> {
    <[&str; 2]>::try_from(args).map_err(|_| Fault::new(format!("{rule} rules must have exactly two arguments")))
}

fn class_rule<'a>(rule: &str, args: &[&'a str]) -> Result<Kind, Fault<'a>> {
    let class = |word: &'a str| {
        let name = word.to_uppercase();
        let found = CLASSES.iter().find(|(known, _)| *known == name).map(|(_, class)| *class);
        found.ok_or_else(|| Fault::at(word, format!("invalid class {}", quote(&name))))
    };
    let [from, to] = two(rule, args)?;
    Ok(Kind::Class(class(from)?, class(to)?))
}

fn type_rule<'a>(rule: &str, args: &[&'a str]) -> Result<Kind, Fault<'a>> {
    let rtype = |word: &'a str| {
        let name = word.to_uppercase();
        type_named(&name).ok_or_else(|| Fault::at(word, format!("invalid type {}", quote(&name))))
    };
    let [from, to] = two(rule, args)?;
    Ok(Kind::Type(rtype(from)?, rtype(to)?))
}

fn ttl_rule<'a>(args: &[&'a str]) -> Result<Kind, Fault<'a>> {
    let (kind, name, ttl) = match args[..] {
        [name, ttl] => (None, name, ttl),
        [kind, name, ttl] => (Some(kind), name, ttl),
        [_, _, ..] => return Err(Fault::new("invalid TTL '' for a ttl rule")),
        _ => return Err(Fault::new(format!("too few ({}) arguments for a ttl rule", args.len()))),
    };
    let step = ttl_range(ttl).ok_or_else(|| Fault::at(ttl, format!("invalid TTL '{ttl}' for a ttl rule")))?;
    Ok(Kind::Reply(name_pattern("ttl", kind, name)?, step))
}

/// `SECONDS`, `MIN-MAX`, `MIN-` or `-MAX`.
fn ttl_range(text: &str) -> Option<Back> {
    let number = |text: &str| parse_uint(text, 10, 32).ok().and_then(|number| u32::try_from(number).ok());
    let (min, max) = match text.split('-').collect::<Vec<_>>()[..] {
        [exact] => (number(exact)?, number(exact)?),
        ["", ""] => return None,
        ["", max] => (0, number(max)?),
        [min, ""] => (number(min)?, TTL_MAX),
        [min, max] => (number(min)?, number(max)?),
        _ => return None,
    };
    (min <= max).then_some(Back::Ttl { min, max })
}

fn rcode_rule<'a>(args: &[&'a str]) -> Result<Kind, Fault<'a>> {
    let (kind, name, old, new) = match args[..] {
        [name, old, new] => (None, name, old, new),
        [kind, name, old, new] => (Some(kind), name, old, new),
        [_, _, _, ..] => return Err(Fault::new("invalid matching RCODE '' for a rcode rule")),
        _ => return Err(Fault::new(format!("too few ({}) arguments for a rcode rule", args.len()))),
    };
    let invalid =
        |which: &str, word: &'a str| Fault::at(word, format!("invalid {which} RCODE '{word}' for a rcode rule"));
    let old_code = rcode(old).ok_or_else(|| invalid("matching", old))?;
    let new_code = rcode(new).ok_or_else(|| invalid("replacement", new))?;
    Ok(Kind::Reply(name_pattern("rcode", kind, name)?, Back::Rcode { old: old_code, new: new_code }))
}

fn rcode(word: &str) -> Option<Rcode> {
    if let Ok(number) = parse_uint(word, 10, 32)
        && number <= u64::from(RCODE_NAMED_MAX)
    {
        return u16::try_from(number).ok().map(Rcode::masked_from_int);
    }
    let name = word.to_uppercase();
    // CoreDNS's library keeps a misspelling of NOTIMP.
    if name == "NOTIMPL" {
        return Some(Rcode::NOTIMP);
    }
    (0..=RCODE_NAMED_MAX).map(Rcode::masked_from_int).find(|code| rcode_mnemonic(*code) == Some(name.as_str()))
}

/// The pattern of a rule for replies; without a kind it is the whole name.
fn name_pattern<'a>(rule: &str, kind: Option<&'a str>, name: &'a str) -> Result<Pattern, Fault<'a>> {
    Ok(match kind.unwrap_or("exact").to_lowercase().as_str() {
        "exact" => Pattern::Exact(normal(name)),
        "prefix" => Pattern::Prefix(normal(name)),
        "suffix" => Pattern::Suffix(normal(name)),
        "substring" => Pattern::Substring(normal(name)),
        "regex" => {
            if name.len() > PATTERN_BYTES_MAX {
                let text = format!("regex pattern too long in a {rule} rule: {} > {PATTERN_BYTES_MAX}", name.len());
                return Err(Fault::at(name, text));
            }
            let regex = Regexp::new(name);
            Pattern::Regex(
                regex.map_err(|_| Fault::at(name, format!("invalid regex pattern in a {rule} rule: {name}")))?,
            )
        }
        _ => {
            let text = format!("{rule} rule supports only exact, prefix, suffix, substring, and regex name matching");
            return Err(Fault { text, word: kind, known: &[] });
        }
    })
}
