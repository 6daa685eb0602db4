//! What is answered to which type of question.

use catena_core::name::{OwnedName, reverse_address};
use catena_core::{Answer, Body, Class, Query, Question, Rtype, Section, Zone, flags};
use domain::base::Name;
use domain::base::name::ToName as _;
use domain::rdata::{Cname, Ns, Ptr};

use crate::backend::{Backend, Found, NameServer};
use crate::records::{Seen, name, push_address, push_soa, push_srv, service_name, zone_as_asked};
use crate::request::Detail;

/// How many names an external name may lead to, one after the other, before the last (CoreDNS: plugin/backend_lookup.go).
const CNAME_CHAIN_MAX: usize = 10;

/// The version of the specification that is served, and how long that may be kept, seconds.
const DNS_VERSION: &[u8] = b"1.1.0";
const DNS_VERSION_TTL: u32 = 28800;

/// What came of a question.
pub(crate) enum Outcome {
    /// The answer has records.
    Answered,
    /// The name is there, but has nothing of this type.
    NoData,
    /// The name is not there.
    NoName,
    /// Not answered to anybody.
    Refused,
}

/// A name is there, or it is not; records are in the answer, or not.
fn outcome(there: bool, answer: &Answer) -> Outcome {
    match (there, answer.count(Section::Answer)) {
        (false, _) => Outcome::NoName,
        (true, 0) => Outcome::NoData,
        (true, _) => Outcome::Answered,
    }
}

impl Backend {
    /// Fills an answer for a question in a zone. CoreDNS: plugin/kubernetes/handler.go.
    pub(crate) async fn answer(&self, query: &Query, zone: &Zone, answer: &mut Answer) -> Outcome {
        let question = query.question();
        match question.qtype() {
            Rtype::A | Rtype::AAAA => match self.addresses(question, zone, answer) {
                Ok(outcome) => outcome,
                Err(target) => self.chase(query, zone, target, answer).await,
            },
            Rtype::SRV => self.services(question, zone, answer),
            Rtype::CNAME => self.alias(question, zone, answer),
            Rtype::TXT => self.text(question, zone, answer),
            Rtype::PTR => self.pointers(question, zone, answer),
            Rtype::SOA => {
                if is_apex(question, zone) {
                    push_soa(
                        answer,
                        Section::Answer,
                        zone_as_asked(question, zone),
                        self.config.ttl,
                        self.zone_serial(zone),
                    );
                }
                outcome(true, answer)
            }
            Rtype::NS if is_apex(question, zone) => self.name_servers(question, zone, answer),
            Rtype::AXFR | Rtype::IXFR => Outcome::Refused,
            // All other types, MX too: no records, but the name may be there.
            _ => self.existence(question, zone),
        }
    }

    /// A and AAAA; an error is another name that has to be asked for.
    fn addresses(&self, question: &Question, zone: &Zone, answer: &mut Answer) -> Result<Outcome, OwnedName> {
        let v6 = question.qtype() == Rtype::AAAA;
        let owner = question.name().as_slice();
        let ttl = self.config.ttl;
        let mut seen = Seen::new();
        let mut push = |address: std::net::IpAddr| {
            if address.is_ipv6() == v6 && seen.first(address) {
                push_address(answer, Section::Answer, owner, ttl, address);
            }
        };
        let there = match self.find(question, zone) {
            // `dns-version` has a text and nothing else.
            Found::Nothing | Found::Version => false,
            Found::Empty => true,
            Found::NameServer => {
                self.visit_name_servers(&mut |server| push(server.address));
                true
            }
            Found::Pod { address } => {
                push(address);
                true
            }
            Found::Service { entry, detail } => self.visit(&entry, &detail, &mut |item| push(item.address)),
            Found::External { target } => return Err(target),
        };
        Ok(outcome(there, answer))
    }

    /// Whether a name is there, whatever it has.
    fn existence(&self, question: &Question, zone: &Zone) -> Outcome {
        let there = match self.find(question, zone) {
            Found::Nothing | Found::Version => false,
            Found::Service { entry, detail } => self.visit(&entry, &detail, &mut |_| {}),
            Found::Empty | Found::NameServer | Found::Pod { .. } | Found::External { .. } => true,
        };
        if there { Outcome::NoData } else { Outcome::NoName }
    }

    /// SRV: a record for every address's name and port, the addresses beside them.
    fn services(&self, question: &Question, zone: &Zone, answer: &mut Answer) -> Outcome {
        let ttl = self.config.ttl;
        let owner = question.name().as_slice();
        let as_asked = zone_as_asked(question, zone);
        let there = match self.find(question, zone) {
            Found::Service { entry, detail } => {
                let mut items = Vec::new();
                let there = self.visit(&entry, &detail, &mut |item| items.push(item));
                // CoreDNS shares 100 among all of them, those too that are left out.
                let weight = u16::try_from(100 / items.len().max(1)).unwrap_or(1).max(1);
                let (mut seen, mut seen_address) = (Seen::new(), Seen::new());
                for item in items {
                    let Some(port) = item.port else { continue };
                    let target = service_name(&entry, item.endpoint, as_asked);
                    let Some(target) = target.get() else { continue };
                    let label = item.endpoint.map(|endpoint| (Label::of(&endpoint), endpoint.cluster));
                    if seen.first((label, port)) {
                        push_srv(answer, owner, ttl, weight, port, target);
                    }
                    if seen_address.first((label, item.address)) {
                        push_address(answer, Section::Additional, target, ttl, item.address);
                    }
                }
                there
            }
            Found::Pod { address } => {
                // The name of a pod is its own target. CoreDNS gives it the port 0.
                let labels = question.lower().as_slice();
                let start = question.labels().suffix_start(zone.labels() + 3).unwrap_or(0);
                let own = labels.get(start..labels.len() - as_asked.len()).unwrap_or_default();
                let target = [own, as_asked].concat();
                push_srv(answer, owner, ttl, 100, 0, &target);
                push_address(answer, Section::Additional, &target, ttl, address);
                true
            }
            Found::Nothing | Found::Version => false,
            Found::Empty | Found::NameServer | Found::External { .. } => true,
        };
        outcome(there, answer)
    }

    fn alias(&self, question: &Question, zone: &Zone, answer: &mut Answer) -> Outcome {
        match self.find(question, zone) {
            Found::External { target } => {
                answer.push(Section::Answer, question.name(), Class::IN, self.config.ttl, &Cname::new(target));
                Outcome::Answered
            }
            _ => self.existence(question, zone),
        }
    }

    /// TXT: a name without addresses is as good as none here (CoreDNS: plugin/kubernetes, `Services`).
    fn text(&self, question: &Question, zone: &Zone, answer: &mut Answer) -> Outcome {
        match self.find(question, zone) {
            Found::Version => {
                let mut text = vec![u8::try_from(DNS_VERSION.len()).unwrap_or(0)];
                text.extend_from_slice(DNS_VERSION);
                answer.push_wire(
                    Section::Answer,
                    question.name().as_slice(),
                    Rtype::TXT,
                    Class::IN,
                    DNS_VERSION_TTL,
                    &text,
                );
                Outcome::Answered
            }
            Found::Service { entry, detail } => {
                let mut any = matches!(detail, Detail::Zone { .. });
                let there = self.visit(&entry, &detail, &mut |_| any = true);
                if there && any { Outcome::NoData } else { Outcome::NoName }
            }
            Found::Pod { .. } | Found::External { .. } => Outcome::NoData,
            Found::Nothing | Found::Empty | Found::NameServer => Outcome::NoName,
        }
    }

    fn pointers(&self, question: &Question, zone: &Zone, answer: &mut Answer) -> Outcome {
        let Some(address) = reverse_address(question.lower()) else { return self.existence(question, zone) };
        let mut seen = Vec::new();
        self.visit_reverse(address, &mut |entry, endpoint| {
            let target = service_name(entry, endpoint, self.config.primary.wire());
            if let Some(target) = target.get().and_then(|wire| Name::from_slice(wire).ok())
                && !seen.iter().any(|known: &OwnedName| known == target)
            {
                answer.push(Section::Answer, question.name(), Class::IN, self.config.ttl, &Ptr::new(target));
                seen.push(target.to_vec());
            }
        });
        outcome(!seen.is_empty(), answer)
    }

    fn name_servers(&self, question: &Question, zone: &Zone, answer: &mut Answer) -> Outcome {
        let as_asked = zone_as_asked(question, zone);
        let mut servers: Vec<OwnedName> = Vec::new();
        let mut pairs = Vec::new();
        self.visit_name_servers(&mut |NameServer { entry, endpoint, address }| {
            let target = match entry {
                Some(entry) => service_name(entry, endpoint, as_asked),
                None => name(&[b"ns", b"dns"], as_asked),
            };
            let Some(target) = target.get().and_then(|wire| Name::from_slice(wire).ok()) else { return };
            let target: OwnedName = target.to_vec();
            if !servers.contains(&target) {
                answer.push(Section::Answer, question.name(), Class::IN, self.config.ttl, &Ns::new(&target));
                servers.push(target.clone());
            }
            if !pairs.contains(&(target.clone(), address)) {
                push_address(answer, Section::Additional, target.as_slice(), self.config.ttl, address);
                pairs.push((target, address));
            }
        });
        outcome(true, answer)
    }

    /// Follows an external name: within the zone by the index, outside by asking this server. CoreDNS: plugin/backend_lookup.go.
    async fn chase(&self, query: &Query, zone: &Zone, first: OwnedName, answer: &mut Answer) -> Outcome {
        let qtype = query.qtype();
        let mut owner: OwnedName = query.name().to_name();
        let mut target = first;
        for _ in 0..=CNAME_CHAIN_MAX {
            // A name at or above its own target's would lead round in a circle.
            let doubled = answer
                .records(Section::Answer)
                .any(|record| record.owner() == &owner && record.target().is_some_and(|known| known == &target));
            if target.ends_with(&owner) || doubled {
                break;
            }
            answer.push(Section::Answer, &owner, Class::IN, self.config.ttl, &Cname::new(&target));
            if !zone.holds_name(target.for_slice()) {
                return outside(query, &target, qtype, answer).await;
            }
            let question = Question::new(target.for_slice(), qtype, Class::IN);
            let aliases = answer.count(Section::Answer);
            match self.addresses(&question, zone, answer) {
                Err(next) => {
                    owner = std::mem::replace(&mut target, next);
                }
                Ok(_) if answer.count(Section::Answer) > aliases => return Outcome::Answered,
                Ok(_) => break,
            }
        }
        // Aliases that end nowhere are not shown.
        answer.clear_records();
        Outcome::NoData
    }
}

/// Adds what this server answers for a name outside the zone.
async fn outside(query: &Query, target: &OwnedName, qtype: Rtype, answer: &mut Answer) -> Outcome {
    match query.lookup(target.for_slice(), qtype).await {
        Ok(reply) => match reply.body {
            Body::Answer(found) => {
                answer.append_section(Section::Answer, &found, Section::Answer);
                answer.set(flags::TC, found.has(flags::TC));
                Outcome::Answered
            }
            // A bare code is a message without records.
            Body::Status(_) => Outcome::Answered,
            Body::Stream(_) | Body::Silence => nowhere(answer),
        },
        Err(_too_deep) => nowhere(answer),
    }
}

fn nowhere(answer: &mut Answer) -> Outcome {
    answer.clear_records();
    Outcome::NoData
}

fn is_apex(question: &Question, zone: &Zone) -> bool {
    question.labels().count() == zone.labels()
}

/// A label to compare by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Label {
    octets: [u8; 63],
    length: u8,
}

impl Label {
    fn of(endpoint: &catena_cluster::index::Endpoint<'_>) -> Self {
        let label = endpoint.label();
        let mut octets = [0; 63];
        let bytes = label.as_bytes();
        octets[..bytes.len()].copy_from_slice(bytes);
        Self { octets, length: u8::try_from(bytes.len()).unwrap_or(0) }
    }
}
