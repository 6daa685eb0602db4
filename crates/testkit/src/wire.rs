//! Octets through the whole way of a query, for fuzzing: read, a chain of plugins that never wait, finished.

use std::sync::Arc;

use catena_core::prelude::*;
use catena_core::wire::read_reply;
use catena_core::{
    Arrival, Edns, Instance, Intake, Opcode, Protocol, Question, ReplyEdns, SECTIONS, Transport, finish, finish_bare,
    will_truncate,
};
use domain::base::{Message, Name, ToName};
use domain::rdata::{AllRecordData, Cname, Mx, Ns, Soa};

use crate::kit::Kit;

/// Edits whatever comes back, and turns some bare codes into messages.
struct Edits;

#[async_trait]
impl Plugin for Edits {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        let mut reply = next.run(q).await;
        if q.has(flags::AD) {
            reply.materialise(q);
        }
        if let Some(answer) = reply.answer_mut() {
            answer.entries_mut(Section::Answer).reverse();
            answer.retain(Section::Authority, |record| record.rtype() != Rtype::NS || record.owner().label_count() > 2);
            answer.set_ttls(7);
        }
        reply
    }
}

/// Asks the rest for something else when a name has more than three labels, as `rewrite` does.
struct Changes;

#[async_trait]
impl Plugin for Changes {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        let name = q.name().as_slice();
        let parent = name.get(1 + usize::from(name[0])..).and_then(|rest| Name::from_slice(rest).ok());
        if let Some(parent) = parent.filter(|parent| parent.label_count() > 3) {
            let question = Question::new(parent, q.qtype(), q.qclass());
            q.set_question(question);
            if let Some(Edns { udp_size, .. }) = q.edns_mut() {
                *udp_size = (*udp_size).min(1232);
            }
        }
        next.run(q).await
    }
}

/// Answers by type: records with names to compress, many of them, bare codes, nothing at all.
struct Answers;

#[async_trait]
impl Plugin for Answers {
    async fn serve(&self, q: &mut Query, _next: Next<'_>) -> Reply {
        let mut answer = Answer::to(q);
        let (name, class): (Name<Vec<u8>>, _) = (q.name().to_name(), q.qclass());
        match q.qtype() {
            Rtype::NS => return Reply::status(Rcode::SERVFAIL),
            Rtype::PTR => return Reply::status(Rcode::NXDOMAIN),
            Rtype::HINFO => return Reply::silence(),
            Rtype::TXT => {
                for octet in 0..200 {
                    answer.push_wire(Section::Answer, name.as_slice(), Rtype::TXT, class, 0, &[1, octet]);
                }
            }
            Rtype::MX => {
                for preference in 0..3 {
                    answer.push(Section::Answer, &name, class, 60, &Mx::new(preference, &name));
                }
                answer.push(Section::Authority, &name, class, 60, &Ns::new(&name));
            }
            Rtype::SOA => {
                let soa = Soa::new(&name, &name, 1.into(), ttl(2), ttl(3), ttl(4), ttl(5));
                answer.push(Section::Authority, &name, class, 60, &soa);
                answer.rcode = Rcode::NXDOMAIN;
            }
            Rtype::CNAME => answer.push(Section::Answer, &name, class, 60, &Cname::new(&name)),
            Rtype::OPT => answer.rcode = Rcode::BADCOOKIE,
            _ => answer.push_address(Section::Answer, &name, class, 60, q.client().ip()),
        }
        if q.dnssec_ok() {
            answer.edns = Some(ReplyEdns { udp_size: 512, dnssec_ok: false, options: vec![0, 15, 0, 2, 0, 3] });
        }
        answer.into()
    }
}

fn ttl(seconds: u32) -> domain::base::Ttl {
    domain::base::Ttl::from_secs(seconds)
}

/// The way of a query, ready to be fed.
pub struct WireToChain(Kit);

impl Default for WireToChain {
    fn default() -> Self {
        const PLUGINS: [PluginDef; 3] = [
            PluginDef::new("edits", |cx| {
                cx.link(Edits);
                Ok(())
            }),
            PluginDef::new("changes", |cx| {
                cx.link(Changes);
                Ok(())
            }),
            PluginDef::new("answers", |cx| {
                cx.link(Answers);
                Ok(())
            }),
        ];
        Self(Kit::of(PLUGINS, "edits\nchanges\nanswers"))
    }
}

impl WireToChain {
    /// Serves the octets as a message over both protocols and checks what comes back.
    ///
    /// # Panics
    /// If a reply does not parse, belongs to another request, or is longer than the client takes.
    pub fn feed(&self, octets: &[u8]) {
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            for is_cut in [false, true] {
                self.serve(octets, protocol, is_cut);
            }
        }
    }

    fn serve(&self, octets: &[u8], protocol: Protocol, is_cut: bool) {
        let arrival = Arrival {
            client: ([192, 0, 2, 1], 4711).into(),
            local: ([192, 0, 2, 53], 53).into(),
            protocol,
            transport: Transport::Dns,
            listener: 0,
            received: self.0.clock_now(),
            is_crowded: false,
        };
        let mut query = self.0.empty_query(&arrival);
        let intake = if is_cut { query.read_cut(octets, arrival) } else { query.read(octets, arrival) };
        let mut out = Vec::new();
        match intake {
            Intake::Drop => assert!(octets.len() < 12 || octets[2] & 0x80 != 0, "a request is dropped"),
            Intake::Reject(reply) => check(octets, &reply),
            Intake::NoQuestion => {
                finish_bare(&query, Rcode::SERVFAIL, &mut out);
                check(octets, &out);
            }
            Intake::Serve => {
                assert!(!is_cut);
                let limit = query.size_limit();
                let instance: &Arc<Instance> = self.0.instance();
                let reply = self.0.run(instance.serve(&mut query));
                let truncated = reply.answer().map(|answer| will_truncate(&query, answer));
                if finish(&mut query, reply, &mut out).is_send() {
                    check(octets, &out);
                    assert!(out.len() <= limit, "{} octets where {limit} are taken", out.len());
                    assert!(
                        truncated.is_none_or(|truncated| truncated == (out[2] & 2 != 0)),
                        "the preview says otherwise"
                    );
                    let opcode = Opcode::from_int((out[2] >> 3) & 15);
                    assert_eq!(opcode, query.opcode());
                }
                query.write_request(1, &mut out);
                assert!(Message::from_octets(&out).is_ok());
            }
        }
    }
}

/// A reply belongs to its request and every record in it parses.
fn check(request: &[u8], reply: &[u8]) {
    assert_eq!(request[..2], reply[..2], "another id");
    let message = Message::from_octets(reply).expect("a header");
    assert!(message.header().qr());
    for question in message.question() {
        question.expect("a question that parses");
    }
    let (_, answer, authority, additional) = message.sections().expect("four sections");
    for section in [answer, authority, additional] {
        for record in section {
            let record = record.expect("a record that parses");
            record.to_record::<AllRecordData<_, _>>().expect("rdata that parses");
        }
    }
    let mut again = Answer::default();
    read_reply(reply, &mut again).expect("a reply that this server reads itself");
    assert!(SECTIONS.iter().all(|section| again.count(*section) <= 200));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ask;

    #[test]
    fn the_fuzz_corpus_holds() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/fuzz/corpus/wire_to_chain");
        let way = WireToChain::default();
        let mut fed = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            way.feed(&std::fs::read(entry.unwrap().path()).unwrap());
            fed += 1;
        }
        assert!(fed >= 10, "{fed} files");
    }

    #[test]
    fn every_type_comes_through_cut_anywhere() {
        let way = WireToChain::default();
        for qtype in ["A", "NS", "PTR", "HINFO", "TXT", "MX", "SOA", "CNAME", "AAAA"] {
            let message = Ask::new(&format!("a.b.c.d.example.org {qtype}")).edns(1232, true).message();
            for len in 0..=message.len() {
                way.feed(&message[..len]);
            }
        }
    }
}
