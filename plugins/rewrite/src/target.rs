//! Rules for the targets of CNAME records: another target, and what this server has for it.

use catena_core::name::{owned, text};
use catena_core::prelude::*;
use catena_core::{Body, Log, OwnedName};
use catena_gocompat::regexp::{PATTERN_BYTES_MAX, Regexp};

use crate::answer::take_back_record;
use crate::back::Back;
use crate::fault::Fault;
use crate::pattern::{Pattern, normal};

/// A rule for targets.
pub(crate) struct TargetRule {
    pattern: Pattern,
    to: String,
}

impl TargetRule {
    /// Reads the words behind `cname`.
    pub(crate) fn parse<'a>(args: &[&'a str]) -> Result<Self, Fault<'a>> {
        let (kind, from, to) = match args[..] {
            [from, to] => ("exact", from, to),
            [kind, from, to] => (kind, from, to),
            _ => return Err(Fault::new(format!("too few ({}) arguments for a cname rule", args.len()))),
        };
        let lower = from.to_lowercase();
        let (pattern, to) = match kind.to_lowercase().as_str() {
            "exact" => (Pattern::Exact(normal(from)), normal(to)),
            "prefix" => (Pattern::Prefix(lower), to.to_lowercase()),
            "suffix" => (Pattern::Suffix(lower), to.to_lowercase()),
            "substring" => (Pattern::Substring(lower), to.to_lowercase()),
            "regex" => (Pattern::Regex(expression(from)?), to.to_lowercase()),
            other => return Err(Fault::at(kind, format!("unknown cname rewrite type: {other}"))),
        };
        Ok(Self { pattern, to })
    }

    /// What a target becomes; `None` if it stays. CoreDNS: plugin/rewrite, rules with an empty word are never for anything.
    fn replaced(&self, target: &str) -> Option<String> {
        let is_empty = match &self.pattern {
            Pattern::Exact(from) | Pattern::Prefix(from) | Pattern::Suffix(from) | Pattern::Substring(from) => {
                from.is_empty()
            }
            Pattern::Regex(regex) => regex.as_str().is_empty(),
        };
        if is_empty || self.to.is_empty() { None } else { self.pattern.replaced_in_any_case(target, &self.to) }
    }
}

/// The case of targets does not matter, so that of the expression must not, either.
fn expression(from: &str) -> Result<Regexp, Fault<'_>> {
    if from.len() > PATTERN_BYTES_MAX {
        let text = format!("regex pattern too long in a cname rule: {} > {PATTERN_BYTES_MAX}", from.len());
        return Err(Fault::at(from, text));
    }
    if from.is_empty() {
        return Regexp::new("").map_err(|error| Fault::at(from, error.to_string()));
    }
    let compiled = Regexp::new(from).and_then(|_| Regexp::new(&format!("(?i){from}")));
    compiled.map_err(|error| Fault::at(from, format!("invalid cname rewrite regex pattern: {error}")))
}

/// Takes the steps for the records of the answer section. The first CNAME record with another target ends it: behind that stands what this
/// server has for the target, and of the records before only other CNAME records stay.
pub(crate) async fn take_back_answer(answer: &mut Answer, q: &Query, steps: &[Back], log: &Log) {
    for index in 0..answer.count(Section::Answer) {
        let mut found = None;
        let mut rest = steps;
        while let Some((last, Back::Target(rule))) = last_target(rest) {
            take_back_record(answer, Section::Answer, index, &rest[last + 1..]);
            rest = &rest[..last];
            let Some(target) = other_target(answer, index, rule) else { continue };
            let Some((name, reply)) = look_up(q, &target, log).await else { continue };
            if answer.set_rdata(Section::Answer, index, name.as_slice()) {
                found = Some(reply);
            }
        }
        take_back_record(answer, Section::Answer, index, rest);
        if let Some(found) = found {
            let entries = answer.entries_mut(Section::Answer);
            entries.truncate(index + 1);
            entries.retain(|entry| entry.rtype == Rtype::CNAME);
            if let Some(found) = found.answer() {
                answer.append_section(Section::Answer, found, Section::Answer);
            }
            answer.set(flags::TC, found.answer().is_some_and(|found| found.has(flags::TC)));
            return;
        }
    }
}

/// The step of that kind which is taken first, that is the last one.
fn last_target(steps: &[Back]) -> Option<(usize, &Back)> {
    steps.iter().enumerate().rfind(|(_, step)| matches!(step, Back::Target(_)))
}

fn other_target(answer: &Answer, index: usize, rule: &TargetRule) -> Option<String> {
    let entry = answer.entries(Section::Answer).get(index).filter(|entry| entry.rtype == Rtype::CNAME)?;
    rule.replaced(&text(answer.record(entry).target()?))
}

/// What this server has for a target; `None`, and a line in the log, if it cannot be asked.
async fn look_up(q: &Query, target: &str, log: &Log) -> Option<(OwnedName, Reply)> {
    let Some(name) = owned(target) else {
        log.error(format_args!("upstream lookup failed: {target} is not a domain name"));
        return None;
    };
    match q.lookup(name.for_slice(), q.qtype()).await {
        Err(error) => log.error(format_args!("upstream lookup failed: {error}")),
        Ok(reply) if is_nothing(&reply) => log.error("upstream lookup returned nil"),
        Ok(reply) => return Some((name, reply)),
    }
    None
}

/// Whether no message would be sent for a reply.
fn is_nothing(reply: &Reply) -> bool {
    match &reply.body {
        Body::Answer(_) => false,
        Body::Status(rcode) => !catena_core::is_unwritten(*rcode),
        Body::Stream(_) | Body::Silence => true,
    }
}
