//! *tsig* checks the signatures of queries, asks for one where there has to be one, and has replies signed (RFC 8945).
//!
//! The reply is signed by the core after everything else in it is written, so plugins before and after see it as they always do. What a signature is made
//! of is in the crate `catena-zone`.

mod config;

use std::sync::{Arc, Mutex, PoisonError};

use catena_core::metrics::TypeText;
use catena_core::prelude::*;
use catena_core::{Log, Opcode};
use catena_zone::tsig::{Key, KeyRing, TsigError, Verdict, verify_request};

use crate::config::Demand;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("tsig", setup);

/// The keys of all server blocks: a signature counts whichever block its key is in (CoreDNS merges those of a listener).
#[derive(Default)]
struct AllKeys(Mutex<KeyRing>);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let all = cx.shared::<AllKeys>();
    let config = config::parse(cx)?;
    let own = Arc::new(config.keys);
    {
        let mut all = all.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Of two keys of one name in two blocks the first one is the one for third blocks.
        for key in own.iter().filter(|key| all.get(key.name()).is_none()).cloned().collect::<Vec<_>>() {
            let mut words = cx.cursor();
            words.next();
            all.add((*key).clone()).map_err(|error| words.err(error.to_string()))?;
        }
    }
    // For plugins that sign what they send themselves.
    cx.offer::<KeyRing>(Arc::clone(&own));
    let (zones, demand, log) = (config.zones, config.demand, cx.log());
    cx.sees_updates();
    cx.link_later(move |_| {
        let all = all.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Tsig { zones, demand, own, all, log })
    });
    Ok(())
}

struct Tsig {
    zones: Zones,
    demand: Demand,
    own: Arc<KeyRing>,
    all: KeyRing,
    log: Log,
}

#[async_trait]
impl Plugin for Tsig {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        let is_ours = self.zones.longest(q.lower().as_slice(), q.question().labels()).is_some();
        if !is_ours || q.is_internal() {
            return next.run(q).await;
        }
        match verify_request(q.request(), |name| self.key(name), q.clock().unix_seconds()) {
            Verdict::Unsigned if self.demand.wants(q.qtype(), q.opcode()) => {
                self.log.debug(format_args!("rejecting '{}' request without TSIG", TypeText(q.qtype())));
                Answer::to(q).with_rcode(Rcode::REFUSED).into()
            }
            Verdict::Unsigned => next.run(q).await,
            Verdict::Malformed => Answer::to(q).with_rcode(Rcode::FORMERR).into(),
            Verdict::Good(seal) => {
                q.set_seal(Box::new(seal));
                next.run(q).await
            }
            Verdict::Bad(error, seal) => {
                self.log.debug(format_args!("TSIG validation failed: {} {}", TypeText(q.qtype()), reason(error)));
                q.set_seal(Box::new(seal));
                Answer::to(q).with_rcode(Rcode::NOTAUTH).into()
            }
        }
    }
}

impl Tsig {
    fn key(&self, name: &[u8]) -> Option<Arc<Key>> {
        self.own.key(name).or_else(|| self.all.key(name))
    }
}

fn reason(error: TsigError) -> &'static str {
    match error {
        TsigError::BadKey => "no such key",
        TsigError::BadTime => "bad time",
        _ => "bad signature",
    }
}

/// The opcodes by the names that CoreDNS has for them.
pub(crate) const OPCODES: [(&str, Opcode); 5] = [
    ("QUERY", Opcode::QUERY),
    ("IQUERY", Opcode::IQUERY),
    ("STATUS", Opcode::STATUS),
    ("NOTIFY", Opcode::NOTIFY),
    ("UPDATE", Opcode::UPDATE),
];

#[cfg(test)]
mod tests;
