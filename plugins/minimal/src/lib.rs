//! *minimal* leaves authority and additional records out of replies that do not need them.

use catena_core::classify::{Kind, classify};
use catena_core::prelude::*;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("minimal", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let mut words = cx.cursor();
    words.next();
    words.no_more_args()?;
    cx.link(Minimal);
    Ok(())
}

struct Minimal;

#[async_trait]
impl Plugin for Minimal {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        let mut reply = next.run(q).await;
        let (qtype, now) = (q.qtype(), q.clock().unix_seconds());
        // Denials need their SOA record (RFC 2308 section 3), referrals their name servers and the addresses of those.
        if let Some(answer) = reply.answer_mut()
            && classify(answer, qtype, now) == Kind::NoError
        {
            answer.entries_mut(Section::Authority).clear();
            answer.entries_mut(Section::Additional).clear();
            // CoreDNS: plugin/minimal. The server puts the client's own OPT record in.
            answer.edns = None;
        }
        reply
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::PLUGIN;
    use catena_core::prelude::*;
    use catena_core::{Fixed, ReplyEdns};
    use catena_testkit::{Ask, Kit, check, check_config};

    const ADDRESS: &[u8] = &[192, 0, 2, 1];
    const ZONE: &[u8] = b"\x07example\x03org\0";

    /// Every section has a record; the first label asked says what the reply is.
    const EVERYTHING: PluginDef = PluginDef::new("everything", |cx: &mut Setup<'_>| {
        cx.link(Fixed(|q: &mut Query| {
            let first = q.lower().first().as_slice().to_vec();
            let mut answer = Answer::to(q).authoritative();
            let soa = [&[0, 0][..], &[0; 20]].concat();
            match &first[..] {
                b"refused" => return Reply::status(Rcode::REFUSED),
                b"denied" => answer.push_wire(Section::Authority, ZONE, Rtype::SOA, Class::IN, 9, &soa),
                b"absent" => answer.rcode = Rcode::NXDOMAIN,
                b"sub" => answer.push_wire(Section::Authority, ZONE, Rtype::NS, Class::IN, 9, ZONE),
                _ => {
                    answer.push_wire(Section::Answer, ZONE, Rtype::A, Class::IN, 9, ADDRESS);
                    answer.push_wire(Section::Authority, ZONE, Rtype::NS, Class::IN, 9, ZONE);
                }
            }
            answer.push_wire(Section::Additional, ZONE, Rtype::A, Class::IN, 9, ADDRESS);
            answer.edns = Some(ReplyEdns { options: b"\x00\x0f\x00\x02\x00\x00".to_vec(), ..ReplyEdns::default() });
            answer.into()
        }));
        Ok(())
    });

    #[test]
    fn an_answer_keeps_only_its_answer_section() {
        let script = "
            > www.example.org A
            < NOERROR qr aa rd
            = example.org. 9 IN A 192.0.2.1";
        check([PLUGIN, EVERYTHING], "minimal\neverything", script);
    }

    #[test]
    fn an_answer_gets_the_clients_own_opt_record() {
        let kit = Kit::of([PLUGIN, EVERYTHING], "minimal\neverything");
        assert_eq!(kit.ask(&Ask::new("www.example.org A").edns(1400, true)).edns, Some((1400, true, vec![])));
        let denied = kit.ask(&Ask::new("denied.example.org A").edns(1400, true));
        assert_eq!(denied.edns, Some((1400, true, vec![(15, vec![0, 0])])));
    }

    #[test]
    fn denials_and_referrals_keep_all_they_have() {
        let script = "
            > denied.example.org A
            < NOERROR qr aa rd
            ~ example.org. 9 IN SOA . . 0 0 0 0 0
            + example.org. 9 IN A 192.0.2.1
            > absent.example.org A
            < NXDOMAIN qr aa rd
            + example.org. 9 IN A 192.0.2.1
            > sub.example.org A
            < NOERROR qr aa rd
            ~ example.org. 9 IN NS example.org.
            + example.org. 9 IN A 192.0.2.1";
        check([PLUGIN, EVERYTHING], "minimal\neverything", script);
    }

    #[test]
    fn an_error_without_a_message_passes() {
        check([PLUGIN, EVERYTHING], "minimal\neverything", "> refused.example.org A\n < REFUSED qr rd");
        check([PLUGIN], "minimal", "> example.org A\n < SERVFAIL qr rd");
    }

    #[test]
    fn takes_no_arguments() {
        let told = "plugin/minimal: Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 'x'";
        check_config([PLUGIN], "minimal x", told);
    }
}
