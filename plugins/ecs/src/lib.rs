//! *ecs* decides what upstreams learn of the network of a client: EDNS Client Subnet (RFC 7871).
//!
//! On the way down it leaves, cuts, takes out or puts in the option, and says with [`Query::set_subnet`] for which network the query is
//! asked from there on, so that *cache* keeps replies by network. On the way back the query's OPT record is as the client sent it, and
//! the reply has the option only if the client sent one.

mod config;
mod metrics;
mod opt;

use std::net::IpAddr;

use catena_core::prelude::*;
use catena_core::{OPTION_SUBNET, PerServer, Subnet, edns_options, reply_options};

use crate::config::{Rule, Told};
use crate::metrics::{Action, EcsMetrics, Families};
use crate::opt::{Change, Sent};

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("ecs", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let rules = config::parse(cx)?;
    let metrics = Families::of(cx.metrics());
    cx.link_later(move |linked| {
        let place = |name| linked.link_names().iter().position(|known| *known == name);
        if let (Some(cache), Some(ecs)) = (place("cache"), place("ecs"))
            && cache < ecs
        {
            linked.warn(Diagnostic::warning(
                "plugin/ecs: with cache before ecs no reply to a query with a client subnet is found again",
            ));
        }
        Ok(Ecs { rules, metrics, per_server: PerServer::new() })
    });
    Ok(())
}

struct Ecs {
    /// In the order of the Corefile; the first that is about a name counts.
    rules: Vec<Rule>,
    metrics: Families,
    per_server: PerServer<EcsMetrics>,
}

/// What comes of a rule for a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    /// What upstreams are told; `None`: nothing.
    told: Option<Subnet>,
    /// A client that sent an option gets one back.
    answers: bool,
    action: Action,
}

impl Plan {
    const fn nothing(action: Action) -> Self {
        Self { told: None, answers: true, action }
    }
}

#[async_trait]
impl Plugin for Ecs {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        let Some(rule) = self.rules.iter().find(|rule| rule.is_about(q)) else { return next.run(q).await };
        let sent = Sent::of(q);
        let Ok(plan) = plan(rule, q.client().ip(), &sent) else {
            // RFC 7871 section 6: so that who sent it learns of it.
            self.of(q).count(Action::Malformed);
            return Answer::to(q).with_rcode(Rcode::FORMERR).into();
        };
        self.of(q).count(plan.action);
        // What is asked for nobody is not for everybody: others may get other replies. Only where nobody tells anything all are the same.
        let told = plan.told.filter(|told| opt::has_room(q, &sent, *told));
        let asked = told.unwrap_or(Subnet::NONE);
        q.set_subnet((rule.told != Told::Nothing).then_some(asked));
        let change = Change::make(q, &sent, told);
        let mut reply = next.run(q).await;
        change.undo(q);
        let Some(answer) = reply.answer_mut() else { return reply };
        let Ok(told) = asked.scope_in(answer.edns.as_ref()) else {
            self.of(q).mismatches.inc();
            return Reply::fail(Error::upstream("reply for another client subnet than the query's"));
        };
        let scope = told.unwrap_or(answer.scope);
        if let Some(edns) = &mut answer.edns {
            opt::remove(&mut edns.options);
        }
        if plan.answers {
            put_back(q, answer, &sent, scope);
        }
        reply
    }
}

impl Ecs {
    fn of(&self, q: &Query) -> &EcsMetrics {
        self.per_server.get(q, |server| self.metrics.for_server(server, q.view()))
    }
}

/// The client's option was broken.
struct Broken;

fn plan(rule: &Rule, client: IpAddr, sent: &Sent) -> Result<Plan, Broken> {
    let is_stripped = rule.told == Told::Nothing || !rule.is_for(client);
    let theirs = match sent {
        Sent::Broken if is_stripped => None,
        Sent::Broken => return Err(Broken),
        Sent::Nothing => None,
        Sent::Subnet(subnet) => Some(*subnet),
    };
    if is_stripped {
        let action = if matches!(sent, Sent::Nothing) { Action::Absent } else { Action::Stripped };
        return Ok(Plan { answers: false, ..Plan::nothing(action) });
    }
    // RFC 7871 section 7.1.2: whoever wants none to be told is not overruled, by nobody.
    if theirs.is_some_and(|subnet| subnet.bits() == 0) {
        return Ok(Plan { told: theirs, answers: true, action: Action::OptedOut });
    }
    let theirs = theirs.filter(|_| !rule.overrides);
    let (told, action) = match (rule.told, theirs) {
        (Told::Client(bits) | Told::Address(bits), Some(theirs)) => (bits.cut(theirs), Action::Forwarded),
        (_, Some(theirs)) => (theirs, Action::Forwarded),
        (Told::Address(bits), None) => (bits.of_client(client), Action::Set),
        (Told::Fixed(subnet), None) => return Ok(Plan { told: Some(subnet), answers: true, action: Action::Set }),
        (Told::Client(_) | Told::Nothing, None) => return Ok(Plan::nothing(Action::Absent)),
    };
    if is_private(told.address()) && !rule.tells_private {
        return Ok(Plan::nothing(Action::Private));
    }
    Ok(Plan { told: Some(told), answers: true, action })
}

/// Whether an address means nothing outside of its own network (RFC 6890), so that telling it helps nobody (RFC 7871 section 10).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            let is_shared = first == 100 && second & 0xc0 == 64;
            first == 0 || is_shared || v4.is_private() || v4.is_loopback() || v4.is_link_local()
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_private(v4.into()),
            None => v6.is_unspecified() || v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
        },
    }
}

/// Gives a client its option back with the scope (RFC 7871 section 7.2.1): family, address and bits as it sent them.
fn put_back(q: &Query, answer: &mut Answer, sent: &Sent, scope: u8) {
    let Sent::Subnet(_) = sent else { return };
    let theirs = q.edns().and_then(|edns| edns_options(&edns.options).find(|(code, _)| *code == OPTION_SUBNET));
    let Some(data) = theirs.map(|(_, data)| data) else { return };
    let Some(options) = reply_options(q, answer) else { return };
    opt::push(options, data);
    let scope_at = options.len() + 3 - data.len();
    if let Some(octet) = options.get_mut(scope_at) {
        *octet = scope;
    }
}

#[cfg(test)]
mod tests;
