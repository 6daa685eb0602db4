//! *ratelimit* keeps a server from being used against others and from being used up by one client.
//!
//! Replies over UDP are counted for each network and what they say, as BIND's and NSD's response rate limiting does: who sends queries in another's name
//! gets that one few replies. Queries are counted for each network whatever they ask. All accounts live in one [`table`] of fixed size.

mod config;
mod metrics;
mod table;

use std::hash::{BuildHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use catena_core::classify::{self, Kind};
use catena_core::prelude::*;
use catena_core::{Body, Log, PerServer, Protocol, is_unwritten};
use catena_gocompat::address::canonical;

use crate::config::Config;
use crate::metrics::{Families, LimitMetrics};
use crate::table::Table;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("ratelimit", setup);

/// How often a line tells that something was held back, at most.
const LOG_EVERY: Duration = Duration::from_secs(60);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let config = config::parse(cx)?;
    let start = cx.clock().now();
    cx.sees_updates();
    cx.link(RateLimit {
        table: Table::new(config.table_size, config.window),
        seed: foldhash::fast::RandomState::default(),
        start,
        log: cx.log(),
        logged: AtomicU64::new(0),
        families: Families::of(cx.metrics()),
        per_server: PerServer::new(),
        config,
    });
    Ok(())
}

struct RateLimit {
    config: Config,
    table: Table,
    seed: foldhash::fast::RandomState,
    start: Instant,
    log: Log,
    /// When the last line was logged, milliseconds since `start`, plus one.
    logged: AtomicU64,
    families: Families,
    per_server: PerServer<LimitMetrics>,
}

#[async_trait]
impl Plugin for RateLimit {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        if !self.is_limited(q) {
            return next.run(q).await;
        }
        let network = self.network(q.client().ip());
        let time = q.received().saturating_duration_since(self.start);
        if let Some(rate) = self.config.requests {
            let key = self.seed.hash_one((network, "query"));
            if self.table.is_over(key, rate, time) {
                self.of(q).requests.inc();
                if !self.tell(network, time, "queries from") {
                    return self.hold_back(q);
                }
            }
        }
        let reply = next.run(q).await;
        // An address that can speak TCP is the client's own.
        if q.protocol() != Protocol::Udp {
            return reply;
        }
        let Some((key, rate)) = self.account(q, &reply, network) else { return reply };
        if !self.table.is_over(key, rate, time) {
            return reply;
        }
        self.of(q).responses.inc();
        if self.tell(network, time, "replies to") {
            return reply;
        }
        self.hold_back(q)
    }
}

impl RateLimit {
    fn is_limited(&self, q: &Query) -> bool {
        let (lower, labels) = (q.lower().as_slice(), q.question().labels());
        let ip = q.client().ip();
        !q.is_internal()
            && self.config.zones.longest(lower, labels).is_some()
            && !self.config.exempt.iter().any(|net| net.contains(ip))
    }

    fn of(&self, q: &Query) -> &LimitMetrics {
        self.per_server.get(q, |server| self.families.for_server(server, q.view()))
    }

    /// The network of a client: the first bits of its address, the rest zero, IPv4 and IPv6 never equal.
    fn network(&self, ip: IpAddr) -> IpAddr {
        match canonical(ip) {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.config.ipv4_prefix_len)).unwrap_or(0);
                IpAddr::V4((u32::from(v4) & mask).into())
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.config.ipv6_prefix_len)).unwrap_or(0);
                IpAddr::V6((u128::from(v6) & mask).into())
            }
        }
    }

    /// The account of a reply and its rate. Replies that say that something is not there are counted for the zone that says so, else
    /// random names would have an account each; `None`: not limited.
    fn account(&self, q: &Query, reply: &Reply, network: IpAddr) -> Option<(u64, u32)> {
        let mut hasher = self.seed.build_hasher();
        network.hash(&mut hasher);
        let owner_of = |answer: &Answer, rtype, hasher: &mut foldhash::fast::FoldHasher<'_>| {
            let found = answer.records(Section::Authority).find(|record| record.rtype() == rtype);
            hasher.write(found.map_or(q.lower().as_slice(), |record| record.owner_wire()));
        };
        let (kind, rate) = match &reply.body {
            Body::Answer(answer) => match classify::classify(answer, q.qtype(), q.clock().unix_seconds()) {
                Kind::NoError => {
                    hasher.write(q.lower().as_slice());
                    hasher.write_u16(q.qtype().to_int());
                    (0_u8, self.config.responses)
                }
                Kind::NoData => {
                    owner_of(answer, Rtype::SOA, &mut hasher);
                    (1, self.config.nodata)
                }
                Kind::NameError => {
                    owner_of(answer, Rtype::SOA, &mut hasher);
                    (2, self.config.nxdomains)
                }
                Kind::Delegation => {
                    owner_of(answer, Rtype::NS, &mut hasher);
                    (3, self.config.referrals)
                }
                _ => (4, self.config.errors),
            },
            Body::Status(rcode) if is_unwritten(*rcode) => (4, self.config.errors),
            Body::Status(_) | Body::Stream(_) | Body::Silence => return None,
        };
        hasher.write_u8(kind);
        Some((hasher.finish(), rate?))
    }

    /// Nothing, or now and then a truncated reply: a client that was spoken for by another can come back over TCP.
    fn hold_back(&self, q: &mut Query) -> Reply {
        let slips = self.config.slip > 0 && rand::random_range(0..self.config.slip) == 0;
        if !slips || q.protocol() != Protocol::Udp {
            return Reply::silence();
        }
        self.of(q).slipped.inc();
        let mut answer = Answer::to(q);
        answer.set(flags::TC, true);
        answer.into()
    }

    /// Logs now and then that a network is over its limit; whether that is all that is to be done.
    fn tell(&self, network: IpAddr, time: Duration, what: &str) -> bool {
        let now = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let before = self.logged.load(Ordering::Relaxed);
        let is_due = before == 0 || now.saturating_sub(before) >= LOG_EVERY.as_millis() as u64;
        if is_due && self.logged.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let bits = if network.is_ipv4() { self.config.ipv4_prefix_len } else { self.config.ipv6_prefix_len };
            let only = if self.config.log_only { " (log-only)" } else { "" };
            self.log.warning(format_args!(
                "Limiting {what} {network}/{bits}{only}; no more lines for {}s",
                LOG_EVERY.as_secs()
            ));
        }
        self.config.log_only
    }
}

#[cfg(test)]
mod tests;
