//! *transfer* hands whole zones to other servers, and tells them when a zone changed.
//!
//! Who holds zones offers [`Transfer`], found here in the order of the plugin list; who may take them says `config`. The records are
//! pulled, packed into messages (`outgoing`), as the client takes these: nothing is held beyond one message. `notify` is offered to
//! those who hold zones.

mod config;
mod notify;
mod outgoing;

use std::sync::Arc;

use catena_core::prelude::*;
use catena_core::wire::{HEADER_OCTETS, expand_rdata, raw_record, skip_name, u16_at, u32_at};
use catena_core::{Log, Notifier, Protocol, Transfer, name};

use crate::config::Stanzas;
use crate::notify::Teller;
use crate::outgoing::{Bill, Opened, open, soa_alone};

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("transfer", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let stanzas = Arc::new(config::parse(cx)?);
    let log = cx.log();
    let teller = Arc::new(Teller::new(Arc::clone(&stanzas), log.clone(), cx.clock()));
    cx.offer::<dyn Notifier>(Arc::<Teller>::clone(&teller));
    cx.service(Arc::<Teller>::clone(&teller));
    cx.on_linked(move |linked| teller.find_keys(linked));
    cx.link_later(move |linked| {
        let holders = linked.offers::<dyn Transfer>().map(|(_, holder)| holder).collect();
        Ok(Transfers { stanzas, holders, log })
    });
    Ok(())
}

struct Transfers {
    stanzas: Arc<Stanzas>,
    /// In the order of the plugin list.
    holders: Vec<Arc<dyn Transfer>>,
    log: Log,
}

#[async_trait]
impl Plugin for Transfers {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        if !matches!(q.qtype(), Rtype::AXFR | Rtype::IXFR) {
            return next.run(q).await;
        }
        if q.protocol() != Protocol::Tcp {
            return Reply::status(Rcode::REFUSED);
        }
        let Some(stanza) = self.stanzas.find(q.lower().as_slice(), q.question().labels()) else {
            return next.run(q).await;
        };
        if !stanza.admits(q.client().ip()) {
            return Answer::to(q).with_rcode(Rcode::REFUSED).into();
        }
        let serial = if q.qtype() == Rtype::IXFR {
            match known_serial(q.request()) {
                Some(serial) => Some(serial).filter(|serial| *serial != 0),
                None => return Reply::status(Rcode::SERVFAIL),
            }
        } else {
            None
        };
        for holder in &self.holders {
            match holder.transfer(q.lower(), serial, q) {
                None => {}
                Some(Err(error)) => return Reply::fail(error),
                Some(Ok(source)) => {
                    let client = q.client().ip().to_canonical();
                    let bill = Bill { log: self.log.clone(), zone: name::text(q.name()), client };
                    return match open(source, serial, bill) {
                        Opened::Empty => Reply::fail(Error::ours("the zone has no records")),
                        Opened::UpToDate(soa) => soa_alone(q, &soa).into(),
                        Opened::Zone(packer) => Reply::stream(*packer),
                    };
                }
            }
        }
        next.run(q).await
    }
}

/// The serial of the SOA record that is all of the authority section of an IXFR query (RFC 1995 section 3); `None` if there is more, less,
/// or something else.
fn known_serial(request: &[u8]) -> Option<u32> {
    let count = |at| u16_at(request, at).ok();
    if count(8)? != 1 {
        return None;
    }
    let mut at = HEADER_OCTETS;
    for _ in 0..count(4)? {
        at = skip_name(request, at).ok()? + 4;
    }
    for _ in 0..count(6)? {
        at = raw_record(request, at).ok()?.end;
    }
    let record = raw_record(request, at).ok()?;
    if record.rtype != Rtype::SOA || expand_rdata(request, &record, &mut Vec::new()).is_err() {
        return None;
    }
    u32_at(request, record.end - 20).ok()
}

#[cfg(test)]
mod tests;
