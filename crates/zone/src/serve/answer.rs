//! A query asked of a zone: the look-up, the header, and what lies outside of the zone looked up from inside the server.

use catena_core::{Answer, Query, Rcode, Reply, Section, flags};

use crate::{Asked, Outcome, Zone};

/// Answers a query for a name of the zone; `None` hands it to the next plugin, which happens only if `falls_through`.
///
/// CoreDNS: plugin/file. Handed on are names that do not exist and empty non-terminals, not types that are not there. The target of a CNAME that leaves the
/// zone is looked up in the whole server; the reply has its code then, and behind the CNAMEs what was found (RFC 6604 section 3).
pub async fn serve(zone: &Zone, q: &mut Query, falls_through: bool) -> Option<Reply> {
    let mut answer = Answer::to(q).authoritative();
    let asked =
        Asked { lower: q.lower().as_slice(), qtype: q.qtype(), dnssec_ok: q.dnssec_ok(), chase_missing: falls_through };
    let found = zone.lookup(&asked, &mut answer);
    let is_empty = answer.count(Section::Answer) == 0;
    match found.outcome {
        Outcome::Answered => {}
        Outcome::Delegation => answer.set(flags::AA, !is_empty),
        Outcome::NxDomain | Outcome::NoData { empty_non_terminal: true } if falls_through && is_empty => {
            q.recycle(answer);
            return None;
        }
        Outcome::NxDomain => answer.rcode = Rcode::NXDOMAIN,
        Outcome::NoData { .. } => {}
        Outcome::TooLong => answer.rcode = Rcode::YXDOMAIN,
        Outcome::SelfMapped => return Some(Reply::status(Rcode::SERVFAIL)),
        Outcome::Chase => {
            if let Some(target) = &found.target {
                chase(zone, q, target.for_slice(), &mut answer).await;
            }
        }
    }
    if let Some(wildcard) = found.wildcard {
        q.set_label("zone/wildcard", |_| catena_core::name::text(name_of(wildcard)));
    }
    Some(answer.into())
}

fn name_of(wire: &[u8]) -> &domain::base::Name<[u8]> {
    domain::base::Name::from_slice(wire).unwrap_or_else(|_| domain::base::Name::root_slice())
}

/// Looks up where the CNAMEs lead. Nobody here being responsible for that name is no failure: the client goes on by itself.
async fn chase(zone: &Zone, q: &Query, target: &domain::base::Name<[u8]>, answer: &mut Answer) {
    let dnssec_ok = q.dnssec_ok();
    let Ok(reply) = q.lookup(target, q.qtype()).await else {
        answer.rcode = Rcode::SERVFAIL;
        return;
    };
    let mut denied = false;
    if let Some(found) = reply.answer() {
        answer.append_section(Section::Answer, found, Section::Answer);
        answer.set(flags::TC, found.has(flags::TC));
        denied = found.rcode == Rcode::NOERROR && found.count(Section::Answer) == 0;
    }
    match reply.rcode() {
        Some(Rcode::SERVFAIL) => {
            answer.rcode = Rcode::SERVFAIL;
            return;
        }
        Some(Rcode::NXDOMAIN) => {
            answer.rcode = Rcode::NXDOMAIN;
            denied = true;
        }
        _ => {}
    }
    if denied {
        zone.add_soa(answer, dnssec_ok);
    } else {
        zone.add_ns(answer, dnssec_ok);
        zone.add_addresses(answer, dnssec_ok);
    }
}
