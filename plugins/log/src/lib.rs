//! *log* writes a line about every query, with its reply.

mod config;
mod format;
mod line;

use catena_core::classify;
use catena_core::prelude::*;
use catena_core::{Body, Log, is_unwritten};

use crate::config::{Classes, Rule};
use crate::line::{Line, Written};

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("log", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let rules = config::parse(cx.cursor())?;
    let log = cx.log();
    cx.link(QueryLog { rules, log });
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
        let written = written(q, &reply.body);
        if rule.classes.has(Classes::ALL) || rule.classes.has(class_of(q, &reply.body)) {
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

/// Bare codes are failures, and so is silence.
fn class_of(q: &Query, body: &Body) -> Classes {
    let Body::Answer(answer) = body else { return Classes::ERROR };
    match classify::classify(answer, q.qtype(), q.clock().unix_seconds()).class() {
        classify::Class::Success => Classes::SUCCESS,
        classify::Class::Denial => Classes::DENIAL,
        classify::Class::Error => Classes::ERROR,
    }
}

#[cfg(test)]
mod tests;
