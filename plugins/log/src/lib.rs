//! *log* writes a line about every query, with its reply.

mod config;
mod format;
mod line;

use std::sync::Arc;

use catena_core::classify;
use catena_core::prelude::*;
use catena_core::{Body, LabelsSet, Log, Opcode, is_unwritten};

use crate::config::{Classes, Rule};
use crate::line::{Line, Written};

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("log", setup);

/// The label of the kind of reply.
const TYPE_LABEL: &str = "log/type";
/// The label of its class.
const CLASS_LABEL: &str = "log/class";

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let rules = config::parse(cx.cursor())?;
    let log = cx.log();
    cx.labels(Arc::new(LabelsSet(&[TYPE_LABEL, CLASS_LABEL])));
    cx.sees_updates();
    cx.link_later(move |linked| {
        let mut told = Vec::new();
        for rule in &rules {
            // The rules of one line have one format.
            if !told.contains(&rule.format_at) {
                rule.format.labels().for_each(|label| linked.check_label(label, rule.format_at));
                told.push(rule.format_at);
            }
        }
        Ok(QueryLog { rules, log })
    });
    Ok(())
}

struct QueryLog {
    rules: Vec<Rule>,
    log: Log,
}

#[async_trait]
impl Plugin for QueryLog {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        let (lower, labels) = (q.lower().as_slice(), q.question().labels());
        let Some(rule) = self.rules.iter().find(|rule| rule.covers(lower, labels)) else { return next.run(q).await };
        let reply = next.run(q).await;
        let kind = kind_of(q, &reply.body);
        let (class, class_word) = class_of(kind);
        if q.has_labels() {
            q.set_label(TYPE_LABEL, |_| kind.as_str().to_owned());
            q.set_label(CLASS_LABEL, |_| class_word.to_owned());
        }
        if rule.classes.has(Classes::ALL) || rule.classes.has(class) {
            let written = written(q, &reply.body);
            self.log.bare(Line { format: &rule.format, q, written });
        }
        reply
    }
}

/// What the client is told: a message, the code of one that the server makes, or nothing.
fn written<'a>(q: &Query, body: &'a Body) -> Written<'a> {
    match body {
        Body::Answer(answer) => Written::Message(answer),
        Body::Status(rcode) if is_unwritten(*rcode) => Written::Code(*rcode, q.reply_flags()),
        Body::Stream(_) => Written::Code(Rcode::NOERROR, q.reply_flags() | flags::AA),
        Body::Status(_) | Body::Silence => Written::Nothing,
    }
}

/// What kind of reply it is. A bare code is judged as the message that the server makes of it; silence is a failure.
fn kind_of(q: &Query, body: &Body) -> classify::Kind {
    use classify::Kind;
    match body {
        Body::Answer(answer) => classify::classify(answer, q.qtype(), q.clock().unix_seconds()),
        Body::Stream(_) => Kind::Meta,
        Body::Status(rcode) if is_unwritten(*rcode) => match (q.opcode(), q.qtype()) {
            (Opcode::UPDATE, _) => Kind::Update,
            (Opcode::NOTIFY, _) | (_, Rtype::AXFR | Rtype::IXFR) => Kind::Meta,
            _ if matches!(*rcode, Rcode::SERVFAIL | Rcode::NOTIMP) => Kind::ServerError,
            _ => Kind::OtherError,
        },
        Body::Status(_) | Body::Silence => Kind::OtherError,
    }
}

/// The class of a kind of reply, and the word for it.
fn class_of(kind: classify::Kind) -> (Classes, &'static str) {
    match kind.class() {
        classify::Class::Success => (Classes::SUCCESS, "success"),
        classify::Class::Denial => (Classes::DENIAL, "denial"),
        classify::Class::Error => (Classes::ERROR, "error"),
    }
}

#[cfg(test)]
mod tests;
