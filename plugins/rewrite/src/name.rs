//! Rules for names, and the answer rules behind them.

use std::sync::Arc;

use catena_core::OwnedName;
use catena_gocompat::quote::quote;
use catena_gocompat::regexp::{PATTERN_BYTES_MAX, Regexp};

use crate::back::{Back, Map, Naming, Part};
use crate::fault::Fault;
use crate::pattern::{Pattern, normal, wire};

/// The highest group that a replacement may name.
const GROUP_MAX: usize = 100;

/// A rule for names.
pub(crate) struct NameRule {
    /// The names that it is for.
    pub(crate) pattern: Pattern,
    /// What comes in place of what matches.
    pub(crate) to: String,
    /// The name asked instead is turned back into the one before, in owner names and values.
    remaps: bool,
    /// More steps for the way back.
    pub(crate) back: Vec<Back>,
}

/// What the answer part of a rule says.
#[derive(Default)]
struct Answers {
    auto: bool,
    explicit: Vec<Back>,
}

impl NameRule {
    /// Reads the words behind `name`.
    pub(crate) fn parse<'a>(args: &[&'a str]) -> Result<Self, Fault<'a>> {
        let (kind, from, to, rest) = match args {
            [from, to] => ("exact", *from, *to, &[][..]),
            [kind, from, to, rest @ ..] => (*kind, *from, *to, rest),
            _ => return Err(Fault::new("too few arguments for a name rule")),
        };
        let name = kind.to_lowercase();
        let answers = if rest.is_empty() { Answers::default() } else { Answers::parse(&name, rest)? };
        let pattern = match name.as_str() {
            "exact" => {
                // CoreDNS: plugin/rewrite checks an exact rule as if it were an expression read backwards.
                let (from, to_whole) = (normal(from), normal(to));
                expression(&to_whole, &from).map_err(|text| Fault::at(to, text))?;
                Pattern::Exact(from)
            }
            "prefix" => Pattern::Prefix(normal(from)),
            "suffix" => Pattern::Suffix(normal(from)),
            "substring" => Pattern::Substring(normal(from)),
            "regex" => Pattern::Regex(expression(from, to).map_err(|text| Fault::at(from, text))?),
            _ => {
                let kinds = "exact, prefix, suffix, substring, and regex";
                let text = format!("name rule supports only {kinds} name matching, received: {name}");
                return Err(Fault::at(kind, text));
            }
        };
        let to = normal(to);
        let mut back = Vec::new();
        let mut remaps = answers.auto;
        match &pattern {
            Pattern::Exact(_) => remaps = true,
            Pattern::Suffix(from) if answers.auto => {
                back.push(Back::Names(Arc::new(Naming { part: Part::Both, map: Map::suffix(&to, from) })));
                remaps = false;
            }
            _ => {}
        }
        back.extend(answers.explicit);
        Ok(Self { pattern, to, remaps, back })
    }

    /// The step that turns the name asked instead, and names below it, back into the one before.
    pub(crate) fn remap(&self, after: &OwnedName, before: &OwnedName) -> Option<Back> {
        let map = || Map::Tail { from: after.as_slice().to_vec(), to: before.as_slice().to_vec(), itself: true };
        self.remaps.then(|| Back::Names(Arc::new(Naming { part: Part::Both, map: map() })))
    }
}

impl Answers {
    fn parse<'a>(rule: &str, args: &[&'a str]) -> Result<Self, Fault<'a>> {
        if args.len() < 2 {
            return Err(Fault::new(format!("invalid arguments for {rule} rule")));
        }
        if args[0] != "answer" {
            let what = "exceeded the number of arguments for a non-answer rule argument";
            return Err(Fault::at(args[0], format!("{what} for {rule} rule")));
        }
        let mut answers = Self::default();
        let mut names = false;
        let mut rest = args;
        while !rest.is_empty() {
            if rest[0] == "answer" {
                rest = &rest[1..];
            }
            let [kind, after @ ..] = rest else {
                return Err(Fault::new(format!("type missing for answer rule for {rule} rule")));
            };
            rest = after;
            let part = match *kind {
                "auto" => {
                    answers.auto = true;
                    continue;
                }
                "name" => Part::Owner,
                "value" => Part::Value,
                _ => {
                    let text = format!("invalid type {} for answer rule for {rule} rule", quote(kind));
                    return Err(Fault::at(kind, text));
                }
            };
            let [from, to, after @ ..] = rest else {
                return Err(Fault::at(kind, format!("{kind} answer rule for {rule} rule: 2 arguments required")));
            };
            let pattern = expression(from, to)
                .map_err(|text| Fault::at(from, format!("{kind} answer rule for {rule} rule: {text}")))?;
            answers.explicit.push(Back::Names(Arc::new(Naming { part, map: Map::Regex { pattern, to: normal(to) } })));
            names |= part == Part::Owner;
            rest = after;
        }
        if answers.auto && names {
            // CoreDNS's spelling, which people search for.
            return Err(Fault::new("auto name answer rule cannot be combined with explicit name anwer rules"));
        }
        Ok(answers)
    }
}

/// The expression `from`, which has to have as many groups as `to` uses; `{0}` counts as one of them (CoreDNS: plugin/rewrite).
fn expression(from: &str, to: &str) -> Result<Regexp, String> {
    if from.len() > PATTERN_BYTES_MAX {
        return Err(format!("regex pattern too long: {} > {PATTERN_BYTES_MAX}", from.len()));
    }
    let regex = Regexp::new(from).map_err(|_| format!("invalid regex matching pattern: {from}"))?;
    let used = (0..=GROUP_MAX).filter(|group| to.contains(&format!("{{{group}}}"))).count();
    if used >= regex.group_count() {
        let than = "uses more subexpressions than its corresponding matching regex pattern";
        return Err(format!("the rewrite regex pattern ({to}) {than} ({from})"));
    }
    Ok(regex)
}

impl Map {
    /// Puts `to` in place of the suffix `from`. Suffixes of whole labels are compared without text.
    fn suffix(from: &str, to: &str) -> Self {
        let below = |suffix: &str| wire(suffix.strip_prefix('.').filter(|rest| !rest.is_empty())?);
        match (below(from), below(to)) {
            (Some(from), Some(to)) => Self::Tail { from, to, itself: false },
            _ => Self::Suffix { from: from.to_owned(), to: to.to_owned() },
        }
    }
}
