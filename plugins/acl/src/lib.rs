//! *acl* turns queries away by their type and by the network of the client.
//!
//! [`config`] reads the directive into rules, [`networks`] tells whether an address is in one of a policy's networks.

mod config;
mod metrics;
mod networks;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use catena_core::prelude::*;
use catena_core::{Question, ReplyEdns};

use crate::metrics::{Counters, Verdict};
use crate::networks::Networks;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("acl", setup);

/// The size that the OPT record of an extended error tells, octets. The server puts the client's in its place.
const EXTENDED_UDP_SIZE: u16 = 4096;
/// The option for extended errors (RFC 8914 section 2).
const OPTION_EXTENDED_ERROR: u16 = 15;
/// The extended error of a query that was blocked (RFC 8914 section 4.16).
const BLOCKED: u16 = 15;
/// The extended error of an answer that was filtered (RFC 8914 section 4.18).
const FILTERED: u16 = 17;

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let rules = config::parse(cx)?;
    let counters = Counters::new(cx.metrics(), rules.iter().map(|rule| &rule.zones));
    cx.sees_updates();
    cx.link(Acl { rules, counters });
    Ok(())
}

struct Acl {
    rules: Vec<Rule>,
    counters: Counters,
}

/// One `acl`: zones, and what happens to queries for names in them.
struct Rule {
    zones: Zones,
    policies: Vec<Policy>,
}

/// A line of the block.
struct Policy {
    action: Action,
    types: Types,
    /// `None`: every client.
    networks: Option<Networks>,
}

/// What happens to a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Allow,
    Refuse(Verdict),
}

/// The types that a policy is for.
#[derive(Debug)]
enum Types {
    Every,
    /// In order.
    These(Vec<Rtype>),
}

impl Types {
    fn hold(&self, rtype: Rtype) -> bool {
        match self {
            Self::Every => true,
            Self::These(types) => types.binary_search(&rtype).is_ok(),
        }
    }
}

impl Policy {
    fn fits(&self, rtype: Rtype, client: IpAddr) -> bool {
        self.types.hold(rtype) && self.networks.as_ref().is_none_or(|networks| networks.hold(client))
    }
}

impl Acl {
    /// The first policy that fits, rule by rule, if it does not allow the query; with the numbers of the rule and of its zone.
    fn judge(&self, question: &Question, client: IpAddr) -> Option<(Verdict, usize, usize)> {
        for (index, rule) in self.rules.iter().enumerate() {
            let Some(zone) = rule.zones.longest(question.lower().as_slice(), question.labels()) else { continue };
            let policy = rule.policies.iter().find(|policy| policy.fits(question.qtype(), client));
            match policy.map(|policy| policy.action) {
                None => {}
                Some(Action::Allow) => return None,
                Some(Action::Refuse(verdict)) => {
                    let place = rule.zones.iter().position(|known| std::ptr::eq(known, zone)).unwrap_or(0);
                    return Some((verdict, index, place));
                }
            }
        }
        None
    }
}

/// An empty reply that says why, if the client has EDNS.
fn refusal(q: &mut Query, rcode: Rcode, info_code: u16) -> Reply {
    let mut answer = Answer::to(q).with_rcode(rcode);
    if q.edns().is_some() {
        let options = [OPTION_EXTENDED_ERROR, 2, info_code].map(u16::to_be_bytes).concat();
        answer.edns = Some(ReplyEdns { udp_size: EXTENDED_UDP_SIZE, dnssec_ok: false, options });
    }
    answer.into()
}

#[async_trait]
impl Plugin for Acl {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        let Some((verdict, rule, zone)) = self.judge(q.question(), q.client().ip().to_canonical()) else {
            self.counters.allowed(q);
            return next.run(q).await;
        };
        self.counters.refused(q, verdict, rule, zone);
        match verdict {
            Verdict::Block => refusal(q, Rcode::REFUSED, BLOCKED),
            Verdict::Filter => refusal(q, Rcode::NOERROR, FILTERED),
            Verdict::Drop => Reply::silence(),
        }
    }
}
