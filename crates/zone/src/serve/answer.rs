//! A query asked of a zone: the look-up, the header, and what lies outside of the zone looked up from inside the server.

use std::sync::Arc;

use catena_core::{Answer, Next, Query, Rcode, Reply, Rtype, Section, flags};

use crate::{Asked, Outcome, SharedZone, Zone, chase_target};

/// What a zone says to a question.
pub enum Looked {
    /// The reply.
    Done(Reply),
    /// The next plugin is asked.
    Pass,
    /// The answer so far leads out of this version of the zone.
    Chase(Arc<Zone>, Box<Answer>),
}

impl Looked {
    /// The reply, with what is found where the answer leads to, or that of the next plugin.
    ///
    /// The target of a CNAME that leaves the zone is looked up in the whole server; the reply has its code then, and behind the CNAMEs what
    /// was found (RFC 6604 section 3).
    pub async fn finish(self, q: &mut Query, next: Next<'_>) -> Reply {
        match self {
            Self::Done(reply) => reply,
            Self::Pass => next.run(q).await,
            Self::Chase(zone, mut answer) => {
                chase(&zone, q, &mut answer).await;
                answer.into()
            }
        }
    }
}

/// Looks the question up in the version of the zone that is served now: SERVFAIL if there is none. It is passed on only if `falls_through`.
/// Transfers are refused: who may have the zone is told by `transfer`, which comes before.
///
/// The version is borrowed and not counted, so that workers do not write to the same place for every query.
///
/// CoreDNS: plugin/file. Passed on are names that do not exist and empty non-terminals, not types that are not there.
pub fn look_up(zone: &SharedZone, q: &mut Query, falls_through: bool) -> Looked {
    if matches!(q.qtype(), Rtype::AXFR | Rtype::IXFR) {
        return Looked::Done(Reply::status(Rcode::REFUSED));
    }
    let snapshot = zone.load();
    let Some(zone) = snapshot.serving() else { return Looked::Done(Reply::status(Rcode::SERVFAIL)) };
    let mut answer = Answer::to(q).authoritative();
    let question = q.question();
    let asked = Asked {
        lower: question.lower().as_slice(),
        labels: question.labels(),
        qtype: question.qtype(),
        dnssec_ok: q.dnssec_ok(),
        chase_missing: falls_through,
    };
    let found = zone.lookup(&asked, &mut answer);
    let is_empty = answer.count(Section::Answer) == 0;
    match found.outcome {
        Outcome::Answered | Outcome::Chase => {}
        Outcome::Delegation => answer.set(flags::AA, !is_empty),
        Outcome::NxDomain | Outcome::NoData { empty_non_terminal: true } if falls_through && is_empty => {
            q.recycle(answer);
            return Looked::Pass;
        }
        Outcome::NxDomain => answer.rcode = Rcode::NXDOMAIN,
        Outcome::NoData { .. } => {}
        Outcome::TooLong => answer.rcode = Rcode::YXDOMAIN,
        Outcome::SelfMapped => return Looked::Done(Reply::status(Rcode::SERVFAIL)),
    }
    if let Some(wildcard) = found.wildcard {
        q.set_label("zone/wildcard", |_| catena_core::name::text(name_of(wildcard)));
    }
    match found.outcome {
        Outcome::Chase => Looked::Chase(Arc::clone(zone), answer),
        _ => Looked::Done(answer.into()),
    }
}

fn name_of(wire: &[u8]) -> &domain::base::Name<[u8]> {
    domain::base::Name::from_slice(wire).unwrap_or_else(|_| domain::base::Name::root_slice())
}

/// Looks up where the CNAMEs lead. Nobody here being responsible for that name is no failure: the client goes on by itself.
async fn chase(zone: &Zone, q: &Query, answer: &mut Answer) {
    let dnssec_ok = q.dnssec_ok();
    let Some(target) = chase_target(answer).map(catena_core::name::inline) else { return };
    let Ok(reply) = q.lookup(target.for_slice(), q.qtype()).await else {
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
