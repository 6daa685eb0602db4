//! *errors* logs what went wrong further down the chain, line by line or summed up.

mod config;
mod tally;

use std::sync::Arc;

use catena_core::metrics::TypeText;
use catena_core::prelude::*;
use catena_core::{Body, Level, Log, Service};

use crate::config::Config;
use crate::tally::{Counted, Tally};

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("errors", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let config = Config::parse(cx.cursor())?;
    if config.stacktrace {
        cx.block_settings().stacktrace = true;
    }
    let log = cx.log();
    let tallies: Arc<[Arc<Tally>]> =
        config.patterns.into_iter().map(|pattern| Arc::new(Tally::new(pattern, log.clone()))).collect();
    if !tallies.is_empty() {
        cx.service(Arc::new(Flush(Arc::clone(&tallies))));
    }
    cx.sees_updates();
    cx.link(Errors { tallies, log });
    Ok(())
}

struct Errors {
    tallies: Arc<[Arc<Tally>]>,
    log: Log,
}

#[async_trait]
impl Plugin for Errors {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        let reply = next.run(q).await;
        if let Some(error) = &reply.error {
            self.report(q, &reply, &error.to_string());
        }
        reply
    }
}

impl Errors {
    fn report(&self, q: &Query, reply: &Reply, text: &str) {
        let tally = self.tallies.iter().find(|tally| tally.matches(text));
        let level = match tally.map(|tally| (tally.count(q), tally.level())) {
            Some((Counted::Later, _)) => return,
            Some((Counted::Now, level)) => level,
            None => Level::Error,
        };
        // A reply that was written counts as 0, whatever its code, as in CoreDNS.
        let rcode = if let Body::Status(rcode) = reply.body { rcode.to_int() } else { 0 };
        let (name, qtype) = (q.lower().fmt_with_dot(), TypeText(q.qtype()));
        self.log.line(level, format_args!("{rcode} {name} {qtype}: {text}"));
    }
}

/// Writes open sums when the instance ends.
struct Flush(Arc<[Arc<Tally>]>);

#[async_trait]
impl Service for Flush {
    async fn shutdown(&self) {
        for tally in self.0.iter() {
            tally.stop();
        }
    }
}

#[cfg(test)]
mod tests;
