//! What the `template` directive says: one [`Rule`] for each of its occurrences.

use std::collections::BTreeSet;

use catena_core::metrics::rcode_mnemonic;
use catena_core::prelude::*;
use catena_core::{Linked, Span};
use catena_gocompat::expr::{DEFAULT_FUNCTIONS, Function, GROUP, Program, is_free_name};
use catena_gocompat::number::parse_uint;
use catena_gocompat::quote::quote;
use catena_gocompat::regexp::{PATTERN_BYTES_MAX, Regexp};
use catena_gocompat::template::Template;

use crate::metrics::Matches;
use crate::record::class_named;

/// The longest text of an extended error, octets: with it a reply still fits where it would fit without.
pub(crate) const EXTENDED_TEXT_OCTETS_MAX: usize = 256;
/// The code of the option for extended errors (RFC 8914).
const OPTION_EXTENDED_ERROR: u16 = 15;
/// The highest response code that has a mnemonic.
const RCODE_NAMED_MAX: u16 = 23;

/// One `template`.
pub(crate) struct Rule {
    /// The class; ANY stands for all.
    pub(crate) class: Class,
    /// The type; ANY stands for all.
    pub(crate) rtype: Rtype,
    /// Names outside are for the next template.
    pub(crate) zones: Zones,
    /// Of which one has to match the name.
    pub(crate) patterns: Vec<Regexp>,
    /// One for each record.
    pub(crate) answer: Vec<Template>,
    /// The same for the additional section.
    pub(crate) additional: Vec<Template>,
    /// The same for the authority section.
    pub(crate) authority: Vec<Template>,
    /// The code of the reply.
    pub(crate) rcode: Rcode,
    /// The extended error in wire form, as an option.
    pub(crate) extended: Option<Vec<u8>>,
    /// Worked out in order; later ones see earlier ones.
    pub(crate) variables: Vec<(String, Program)>,
    /// All have to hold.
    pub(crate) conditions: Vec<Program>,
    /// For which names the next template is tried when this one does not match.
    pub(crate) fall: Fallthrough,
    /// How often it matched.
    pub(crate) matches: Matches,
    /// Where it stands in the Corefile.
    at: Option<Span>,
}

impl Rule {
    /// Warns about labels in templates and expressions that never have a value.
    pub(crate) fn check_labels(&self, linked: &Linked<'_>) {
        let templates = [&self.answer, &self.additional, &self.authority].into_iter().flatten();
        let programs = self.variables.iter().map(|(_, program)| program).chain(&self.conditions);
        let labels: BTreeSet<&str> =
            templates.flat_map(Template::labels).chain(programs.flat_map(Program::labels)).collect();
        labels.into_iter().for_each(|label| linked.check_label(label, self.at));
    }
}

/// Reads every `template` of the block.
pub(crate) fn parse(cx: &Setup<'_>) -> Result<Vec<Rule>, Diagnostic> {
    let mut words = cx.cursor();
    let mut rules = Vec::new();
    while words.next() {
        let at = words.span();
        if !words.next_arg() {
            return Err(words.arg_err());
        }
        let class = words.val();
        let class = class_named(class).ok_or_else(|| words.err(format!("invalid query class {class}")))?;
        if !words.next_arg() {
            return Err(words.arg_err());
        }
        let rtype = words.val();
        let rtype = type_named(rtype).ok_or_else(|| words.err(format!("invalid RR class {rtype}")))?;
        let zones = Zones::from_args_or_block(&words.remaining_args(), cx.zones());
        let mut rule = Rule {
            class,
            rtype,
            matches: Matches::new(cx.metrics(), zones.len()),
            zones,
            patterns: Vec::new(),
            answer: Vec::new(),
            additional: Vec::new(),
            authority: Vec::new(),
            rcode: Rcode::NOERROR,
            extended: None,
            variables: Vec::new(),
            conditions: Vec::new(),
            fall: Fallthrough::default(),
            at,
        };
        while words.next_block() {
            property(&mut words, &mut rule)?;
        }
        if rule.patterns.is_empty() {
            rule.patterns.push(Regexp::new(".*").map_err(|error| words.err(error.to_string()))?);
        }
        rules.push(rule);
    }
    Ok(rules)
}

/// The type of a mnemonic in capitals; `TYPE65280` is none.
fn type_named(word: &str) -> Option<Rtype> {
    word.parse::<Rtype>().ok().filter(|rtype| type_name(*rtype) == word)
}

/// The mnemonic of a type; empty for one without.
pub(crate) fn type_name(rtype: Rtype) -> String {
    let text = rtype.to_string();
    let numbered = text.strip_prefix("TYPE").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
    if numbered { String::new() } else { text }
}

fn property(words: &mut Cursor<'_>, rule: &mut Rule) -> Result<(), Diagnostic> {
    let name = words.val();
    match name {
        "match" => {
            for pattern in some_args(words)? {
                rule.patterns.push(compiled_pattern(words, pattern)?);
            }
        }
        "answer" => compile_into(words, name, &mut rule.answer)?,
        "additional" => compile_into(words, name, &mut rule.additional)?,
        "authority" => compile_into(words, name, &mut rule.authority)?,
        "var" => variable(words, rule)?,
        "expr" => {
            let source = some_args(words)?.join(" ");
            let condition = compiled_expression(&source, rule);
            rule.conditions.push(condition.map_err(|why| words.err(format!("could not compile expression: {why}")))?);
        }
        "rcode" => {
            if !words.next_arg() {
                return Err(words.arg_err());
            }
            let code = words.val();
            rule.rcode = rcode_named(code).ok_or_else(|| words.err(format!("unknown rcode {code}")))?;
        }
        "ederror" => rule.extended = Some(extended_error(words)?),
        "fallthrough" => rule.fall = Fallthrough::from_args(&words.remaining_args()),
        // CoreDNS: plugin/template takes it for old Corefiles; look-ups always go through this server.
        "upstream" => drop(words.remaining_args()),
        _ => return Err(words.arg_err()),
    }
    Ok(())
}

fn some_args<'a>(words: &mut Cursor<'a>) -> Result<Vec<&'a str>, Diagnostic> {
    let args = words.remaining_args();
    if args.is_empty() { Err(words.arg_err()) } else { Ok(args) }
}

fn compiled_pattern(words: &Cursor<'_>, pattern: &str) -> Result<Regexp, Diagnostic> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(words.err(format!("regex pattern too long: {} > {PATTERN_BYTES_MAX}", pattern.len())));
    }
    Regexp::new(pattern).map_err(|error| words.err(format!("could not parse regex: {pattern}, {error}")))
}

fn compile_into(words: &mut Cursor<'_>, section: &str, templates: &mut Vec<Template>) -> Result<(), Diagnostic> {
    for source in some_args(words)? {
        let template = Template::new(section, source);
        let last = words.val();
        templates.push(template.map_err(|error| words.err(format!("could not compile template: {last}, {error}")))?);
    }
    Ok(())
}

fn functions() -> Vec<Function> {
    DEFAULT_FUNCTIONS.into_iter().chain([GROUP]).collect()
}

fn compiled_expression(source: &str, rule: &Rule) -> Result<Program, String> {
    let known: Vec<&str> = rule.variables.iter().map(|(name, _)| name.as_str()).collect();
    Program::compile(source, &functions(), &known).map_err(|error| error.to_string())
}

fn variable(words: &mut Cursor<'_>, rule: &mut Rule) -> Result<(), Diagnostic> {
    let args = words.remaining_args();
    let [name, source @ ..] = &args[..] else { return Err(words.arg_err()) };
    if source.is_empty() {
        return Err(words.arg_err());
    }
    let first_fits = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !first_fits || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(words.err(format!("invalid variable name {}", quote(name))));
    }
    let taken = rule.variables.iter().any(|(known, _)| known == name);
    if taken || !is_free_name(name, &functions()) {
        return Err(words.err(format!("variable name {} is reserved", quote(name))));
    }
    let program = compiled_expression(&source.join(" "), rule);
    let program = program.map_err(|why| words.err(format!("could not compile expression: {name}, {why}")))?;
    rule.variables.push(((*name).to_owned(), program));
    Ok(())
}

fn rcode_named(word: &str) -> Option<Rcode> {
    // CoreDNS's library keeps a misspelling of NOTIMP.
    if word == "NOTIMPL" {
        return Some(Rcode::NOTIMP);
    }
    (0..=RCODE_NAMED_MAX).map(Rcode::masked_from_int).find(|code| rcode_mnemonic(*code) == Some(word))
}

fn extended_error(words: &mut Cursor<'_>) -> Result<Vec<u8>, Diagnostic> {
    let args = words.remaining_args();
    let (code, text) = match args[..] {
        [code] => (code, ""),
        [code, text] => (code, text),
        _ => return Err(words.arg_err()),
    };
    let last = words.val();
    let number = parse_uint(code, 10, 16)
        .map_err(|error| words.err(format!("error parsing extended DNS error code {last}, {error}")))?;
    if text.len() > EXTENDED_TEXT_OCTETS_MAX {
        let text = format!("extended DNS error text too long: {} > {EXTENDED_TEXT_OCTETS_MAX}", text.len());
        return Err(words.err(text));
    }
    // Both fit: the number has 16 bits, the text is short.
    let (number, len) = (number as u16, 2 + text.len() as u16);
    let mut option = Vec::new();
    for field in [OPTION_EXTENDED_ERROR, len, number] {
        option.extend_from_slice(&field.to_be_bytes());
    }
    option.extend_from_slice(text.as_bytes());
    Ok(option)
}
