//! The answers that a listed name gets.

use std::net::IpAddr;
use std::sync::Arc;

use catena_core::ReplyEdns;
use catena_core::prelude::*;
use domain::base::Name;

use crate::config::{BlockAnswer, Policy};
use crate::metrics::Done;
use crate::rules::{LocalRecord, Rules, Verdict};
use crate::table::Action;

/// The option of extended errors and two of its codes (RFC 8914 sections 4.5 and 4.16).
const OPTION_EXTENDED_ERROR: u16 = 15;
const FORGED_ANSWER: u16 = 4;
const BLOCKED: u16 = 15;
/// The most octets of a list's name in an extended error.
const EXTRA_TEXT_MAX: usize = 64;
/// The SOA rdata of answers for names that no zone lists: `localhost. nobody.localhost. 1 3600 600 86400`, the last number is the TTL.
const SOA_RDATA: &[u8] =
    b"\x09localhost\0\x06nobody\x09localhost\0\0\0\0\x01\0\0\x0e\x10\0\0\x02\x58\0\x01\x51\x80\0\0\0\0";

/// A list has something to say about a query.
pub(crate) struct Hit {
    /// Which policy, and which of all lists.
    pub(crate) policy: usize,
    pub(crate) list: usize,
    /// The list as it was when it was asked.
    pub(crate) rules: Arc<Rules>,
    pub(crate) verdict: Verdict,
}

/// An answer in the making.
struct Respond<'a> {
    hit: &'a Hit,
    policy: &'a Policy,
    /// The name of the list.
    list: &'a str,
}

/// Answers a query as the list says. A verdict that lets the query pass gives SERVFAIL: whoever asks has passed it on.
pub(crate) async fn respond(q: &mut Query, hit: &Hit, policy: &Policy, list: &str) -> (Done, Reply) {
    let respond = Respond { hit, policy, list };
    match hit.verdict.action {
        Action::Block => match &policy.answer {
            BlockAnswer::NxDomain => respond.negative(q, Rcode::NXDOMAIN),
            BlockAnswer::NoData => respond.negative(q, Rcode::NOERROR),
            BlockAnswer::Refused => respond.refused(q),
            BlockAnswer::Drop => (Done::Dropped, Reply::silence()),
            BlockAnswer::Addresses(addresses) => respond.addresses(q, addresses),
            BlockAnswer::Cname(target) => (Done::Cname, respond.alias(q, target.as_slice(), policy.ttl).await),
        },
        Action::NxDomain => respond.negative(q, Rcode::NXDOMAIN),
        Action::NoData => respond.negative(q, Rcode::NOERROR),
        Action::Drop => (Done::Dropped, Reply::silence()),
        Action::TcpOnly => {
            let mut answer = Answer::to(q);
            answer.set(flags::TC, true);
            (Done::TcpOnly, answer.into())
        }
        Action::Local => respond.local(q).await,
        Action::Pass => (Done::Passed, Reply::status(Rcode::SERVFAIL)),
    }
}

impl Respond<'_> {
    /// No name or no data (RFC 2308 section 2), with a SOA record at the listed name that says for how long.
    fn negative(&self, q: &mut Query, rcode: Rcode) -> (Done, Reply) {
        let mut answer = Answer::to(q).authoritative().with_rcode(rcode);
        let labels = q.question().labels();
        let listed = self.hit.verdict.labels.and_then(|count| labels.suffix_start(count)).unwrap_or_default();
        let owner = q.name().as_slice().get(listed..).unwrap_or(&[0]);
        let soa = self.hit.rules.soa.as_ref();
        let mut rdata = soa.map_or(SOA_RDATA, |soa| &soa.record.rdata).to_vec();
        if let Some(minimum) = rdata.last_chunk_mut::<4>() {
            *minimum = self.policy.ttl.to_be_bytes();
        }
        answer.push_wire(Section::Authority, owner, Rtype::SOA, Class::IN, self.policy.ttl, &rdata);
        if let Some(soa) = soa {
            let LocalRecord { rtype, class, ttl, rdata } = &soa.record;
            answer.push_wire(Section::Additional, &soa.owner, *rtype, *class, *ttl, rdata);
        }
        self.explain(q, &mut answer, BLOCKED);
        (if rcode == Rcode::NXDOMAIN { Done::NxDomain } else { Done::NoData }, answer.into())
    }

    fn refused(&self, q: &mut Query) -> (Done, Reply) {
        let mut answer = Answer::to(q).with_rcode(Rcode::REFUSED);
        self.explain(q, &mut answer, BLOCKED);
        (Done::Refused, answer.into())
    }

    fn addresses(&self, q: &mut Query, addresses: &[IpAddr]) -> (Done, Reply) {
        let wanted = |ip: &&IpAddr| if ip.is_ipv4() { q.qtype() == Rtype::A } else { q.qtype() == Rtype::AAAA };
        if !addresses.iter().any(|ip| wanted(&ip)) {
            return self.negative(q, Rcode::NOERROR);
        }
        let is_v4 = q.qtype() == Rtype::A;
        let mut answer = Answer::to(q).authoritative();
        for ip in addresses.iter().filter(|ip| ip.is_ipv4() == is_v4) {
            answer.push_address(Section::Answer, q.name(), Class::IN, self.policy.ttl, *ip);
        }
        self.explain(q, &mut answer, FORGED_ANSWER);
        (Done::Address, answer.into())
    }

    /// The records of the list, an alias with what it leads to.
    async fn local(&self, q: &mut Query) -> (Done, Reply) {
        let set = self.hit.verdict.local.and_then(|set| self.hit.rules.local.get(set));
        let records = set.map_or(&[][..], Vec::as_slice);
        if let Some(alias) = records.iter().find(|record| record.rtype == Rtype::CNAME) {
            return (Done::Local, self.alias(q, &alias.rdata, alias.ttl).await);
        }
        let is_wanted = |record: &&LocalRecord| matches!(q.qtype(), Rtype::ANY) || record.rtype == q.qtype();
        if !records.iter().any(|record| is_wanted(&record)) {
            return self.negative(q, Rcode::NOERROR);
        }
        let mut answer = Answer::to(q).authoritative();
        let qtype = q.qtype();
        for LocalRecord { rtype, class, ttl, rdata } in records {
            if qtype == Rtype::ANY || qtype == *rtype {
                answer.push_wire(Section::Answer, q.name().as_slice(), *rtype, *class, *ttl, rdata);
            }
        }
        self.explain(q, &mut answer, FORGED_ANSWER);
        (Done::Local, answer.into())
    }

    /// An alias, and what the server itself knows of its target. `*.garden` puts the name asked in the place of the star.
    async fn alias(&self, q: &mut Query, target: &[u8], ttl: u32) -> Reply {
        let whole = match target.strip_prefix(b"\x01*") {
            Some(garden) => [q.name().as_slice().strip_suffix(&[0]).unwrap_or_default(), garden].concat(),
            None => target.to_vec(),
        };
        let Ok(target) = Name::from_slice(&whole).map_err(|_| ()) else { return self.negative(q, Rcode::NXDOMAIN).1 };
        let mut answer = Answer::to(q).authoritative();
        answer.push_wire(Section::Answer, q.name().as_slice(), Rtype::CNAME, Class::IN, ttl, &whole);
        self.explain(q, &mut answer, FORGED_ANSWER);
        if matches!(q.qtype(), Rtype::CNAME | Rtype::ANY) {
            return answer.into();
        }
        match q.lookup(target, q.qtype()).await {
            Err(error) => return Reply::fail(error),
            Ok(reply) => {
                if let Some(found) = reply.answer() {
                    answer.rcode = found.rcode;
                    answer.append_section(Section::Answer, found, Section::Answer);
                    answer.append_section(Section::Authority, found, Section::Authority);
                }
            }
        }
        answer.into()
    }

    /// Tells clients with EDNS why, and which list it was.
    fn explain(&self, q: &Query, answer: &mut Answer, code: u16) {
        let Some(edns) = q.edns() else { return };
        let end = self.list.floor_char_boundary(EXTRA_TEXT_MAX);
        let text = self.list.get(..end).unwrap_or_default().as_bytes();
        let mut options = Vec::with_capacity(6 + text.len());
        for number in [OPTION_EXTENDED_ERROR, (2 + text.len()) as u16, code] {
            options.extend(number.to_be_bytes());
        }
        options.extend_from_slice(text);
        answer.edns = Some(ReplyEdns { udp_size: edns.udp_size, dnssec_ok: false, options });
    }
}
