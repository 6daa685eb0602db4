//! *rewrite* asks something else than the client did, and turns the reply back into one to what the client asked.
//!
//! On the way in the rules of the block are tried in order against the question as it stands ([`config`] reads them, [`pattern`]
//! compares names, [`edns`] changes options). A rule that matches changes the question or the OPT record and may leave steps for the way
//! back ([`back`]), which are taken in reverse order. [`target`] is the one step that has to ask again: another target for a CNAME record.

mod answer;
mod back;
mod config;
mod edns;
mod fault;
mod name;
mod pattern;
mod target;

use catena_core::name::{OwnedName, lower_text, owned};
use catena_core::prelude::*;
use catena_core::{Body, Log, Question};

use crate::back::{Back, Reverted};
use crate::config::{Kind, Rule};

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("rewrite", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let rules = config::parse(cx)?;
    cx.link(Rewrite { rules, log: cx.log() });
    Ok(())
}

struct Rewrite {
    rules: Vec<Rule>,
    log: Log,
}

/// A query on its way through the rules.
struct Way<'q> {
    q: &'q mut Query,
    /// The name asked as lower-case text, if a rule wanted to see it.
    text: Option<String>,
    /// What is to be done to the reply, the last first.
    steps: Vec<Back>,
    /// A rule asks something else.
    is_changed: bool,
    had_edns: bool,
}

impl Drop for Way<'_> {
    /// An OPT record that a rule made is not the client's: no reply may have one then (RFC 6891 section 6.1.1), not even one that is made
    /// because this query was given up.
    fn drop(&mut self) {
        if !self.had_edns {
            *self.q.edns_mut() = None;
        }
    }
}

impl<'q> Way<'q> {
    fn new(q: &'q mut Query) -> Self {
        let had_edns = q.edns().is_some();
        Self { q, text: None, steps: Vec::new(), is_changed: false, had_edns }
    }

    /// The name as the rules compare it.
    fn text(&mut self) -> &str {
        self.text.get_or_insert_with(|| lower_text(self.q.lower()))
    }

    fn ask(&mut self, question: Question) {
        self.q.set_question(question);
        self.is_changed = true;
    }

    /// Asks for another name; the error if it is none.
    fn rename(&mut self, to: &str) -> Result<OwnedName, Error> {
        let Some(name) = owned(to) else {
            let came = self.q.original().clone();
            self.q.set_question(came);
            return Err(Error::ours(format!("invalid name after rewrite: {to}")));
        };
        self.ask(Question::new(name.for_slice(), self.q.qtype(), self.q.qclass()));
        self.text = None;
        Ok(name)
    }

    /// Tries a rule; whether it matched.
    fn try_rule(&mut self, rule: &Rule) -> Result<bool, Error> {
        match &rule.kind {
            Kind::Class(from, to) if self.q.qclass() == *from => {
                self.ask(Question::new(self.q.name(), self.q.qtype(), *to));
            }
            Kind::Type(from, to) if self.q.qtype() == *from => {
                self.ask(Question::new(self.q.name(), *to, self.q.qclass()));
            }
            Kind::Class(..) | Kind::Type(..) => return Ok(false),
            Kind::Name(rule) => {
                let Some(to) = rule.pattern.replaced(self.text(), &rule.to) else { return Ok(false) };
                let before = self.q.owned_lower();
                let after = self.rename(&to)?;
                self.steps.extend(rule.remap(&after, &before));
                self.steps.extend(rule.back.iter().cloned());
            }
            Kind::Edns(rule) => return Ok(rule.apply(self.q, &mut self.steps)),
            Kind::Reply(pattern, step) => {
                if !pattern.matches(self.text()) {
                    return Ok(false);
                }
                self.steps.push(step.clone());
            }
            Kind::Target(rule) => self.steps.push(Back::Target(std::sync::Arc::clone(rule))),
        }
        Ok(true)
    }
}

impl Rewrite {
    /// Tries the rules in order; whether one that stops matched.
    fn try_rules(&self, way: &mut Way<'_>) -> Result<bool, Error> {
        for rule in &self.rules {
            if way.try_rule(rule)? && rule.stops {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[async_trait]
impl Plugin for Rewrite {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        let mut way = Way::new(q);
        let stopped = match self.try_rules(&mut way) {
            Ok(stopped) => stopped,
            Err(error) => return Reply::fail(error),
        };
        if !stopped && way.steps.is_empty() {
            // CoreDNS: plugin/rewrite. Rules that go on and want nothing of the reply leave the changed question in it.
            if way.is_changed {
                way.q.show_changed_question();
            }
            return next.run(way.q).await;
        }
        let mut reply = next.run(way.q).await;
        reply.materialise(way.q);
        reply.body = match reply.body {
            Body::Answer(mut answer) => {
                answer::take_back(&mut answer, way.q, &way.steps, &self.log).await;
                Body::Answer(answer)
            }
            Body::Stream(messages) => Body::Stream(Box::new(Reverted::new(messages, std::mem::take(&mut way.steps)))),
            other => other,
        };
        if let Some(edns) = way.q.edns_mut() {
            back::revert_options(&mut edns.options, &way.steps);
        }
        reply
    }
}
