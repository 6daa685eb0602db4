//! *dns64* makes IPv6 addresses of IPv4 addresses, for clients that reach IPv4 hosts through a translator (RFC 6147).

mod config;
mod prefix;

#[cfg(test)]
mod tests;

use catena_core::classify::{Kind, classify};
use catena_core::prelude::*;
use catena_core::{Body, PerServer, SECTIONS};
use prometheus::{Counter, CounterVec};

use crate::config::Config;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("dns64", setup);

/// The longest time to live of an address that was made, seconds, where no SOA record says how long its absence may be believed (RFC 6147
/// section 5.1.7).
const TTL_WITHOUT_SOA: u32 = 600;

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let config = config::parse(cx.cursor())?;
    let translated = cx.metrics().counter(
        "coredns_dns64_requests_translated_total",
        "Counter of DNS requests translated by dns64.",
        &["server"],
    );
    cx.link(Dns64 { config, translated, handles: PerServer::new() });
    Ok(())
}

struct Dns64 {
    config: Config,
    translated: CounterVec,
    handles: PerServer<Counter>,
}

impl Dns64 {
    /// Whether a query is one that addresses are made for: RFC 6147 section 5.1, and clients that have IPv6.
    fn takes(&self, q: &Query) -> bool {
        let has_family = self.config.allow_ipv4 || q.client().ip().to_canonical().is_ipv6();
        has_family && q.qtype() == Rtype::AAAA && q.qclass() == Class::IN
    }

    /// Whether a reply lacks what addresses are made for: the name exists, and has no IPv6 address (RFC 6147 sections 5.1.1 and 5.1.2).
    fn lacks(&self, q: &Query, answer: &Answer) -> bool {
        let denied = classify(answer, q.qtype(), q.clock().unix_seconds()) == Kind::NameError;
        let has_address = || answer.records(Section::Answer).any(|record| record.rtype() == Rtype::AAAA);
        !denied && (self.config.translate_all || !has_address())
    }

    /// The reply made of the reply to a question about IPv4 addresses. Its code is not taken over (CoreDNS: plugin/dns64).
    fn translate(&self, q: &mut Query, found: &Answer, ttl_max: u32) -> Box<Answer> {
        let mut made = Answer::to(q);
        made.set(flags::TC, found.has(flags::TC));
        made.edns.clone_from(&found.edns);
        for section in SECTIONS {
            for record in found.records(section) {
                match (section, <[u8; 4]>::try_from(record.rdata())) {
                    (Section::Answer, Ok(v4)) if record.rtype() == Rtype::A => {
                        let (ttl, v6) = (record.ttl().min(ttl_max), self.config.prefix.embed(v4));
                        made.push_wire(section, record.owner_wire(), Rtype::AAAA, record.class(), ttl, &v6);
                    }
                    _ => made.push_record(section, record),
                }
            }
        }
        made
    }
}

/// How long the absence of IPv6 addresses may be believed.
fn ttl_of_absence(answer: &Answer) -> u32 {
    let soa = answer.records(Section::Authority).rfind(|record| record.rtype() == Rtype::SOA);
    soa.map_or(TTL_WITHOUT_SOA, |soa| soa.ttl())
}

#[async_trait]
impl Plugin for Dns64 {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        if !self.takes(q) {
            return next.run(q).await;
        }
        let reply = next.run(q).await;
        let Some(before) = reply.answer().filter(|answer| self.lacks(q, answer)) else { return reply };
        let ttl_max = ttl_of_absence(before);
        let mut found = match q.lookup(q.lower(), Rtype::A).await {
            Ok(found) => found,
            Err(error) => return Reply::fail(error),
        };
        if let Body::Answer(answer) = reply.body {
            q.recycle(answer);
        }
        let Some(found) = found.materialise(q) else {
            // Nobody answers, as where `acl` drops the look-up. CoreDNS ends in a panic, and the client gets the same.
            return Reply::fail(Error::ours("no reply to the look-up of IPv4 addresses"));
        };
        let made = self.translate(q, found, ttl_max);
        self.handles.get(q, |server| self.translated.with_label_values(&[server])).inc();
        made.into()
    }
}
