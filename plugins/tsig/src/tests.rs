#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use catena_core::{
    Answer, Arrival, Class, Envelopes, Finished, Fixed, Intake, PluginDef, Protocol, Query, Rcode, Reply, Rtype,
    Section, Setup, Transport, finish, finish_part,
};
use catena_testkit::{Ask, Kit, Recipe, check_config};
use catena_zone::tsig::{Algorithm, Conversation, Key};

use super::PLUGIN;

const SECRET: &str = "NoTCJU+DMqFWywaPyxSijrDEA/eC3nK0xi3AMEZuPVk=";

/// `fail` fails without a message, AXFR has three messages, anything else an address.
const WORLD: PluginDef = PluginDef::new("world", |cx: &mut Setup<'_>| {
    cx.link(Fixed(|q: &mut Query| {
        if q.lower().to_string().starts_with("fail") {
            return Reply::status(Rcode::SERVFAIL);
        }
        if q.qtype() == Rtype::AXFR {
            return Reply::stream(Three(0));
        }
        let owner = q.name().as_slice().to_vec();
        let mut answer = Answer::to(q);
        answer.push_wire(Section::Answer, &owner, Rtype::A, Class::IN, 60, &[192, 0, 2, 1]);
        answer.into()
    }));
    Ok(())
});

struct Three(u8);

impl Envelopes for Three {
    fn next(&mut self, query: &mut Query) -> Option<Box<Answer>> {
        self.0 += 1;
        (self.0 <= 3).then(|| Answer::to(query))
    }
}

fn kit(properties: &str) -> Kit {
    Kit::of([PLUGIN, WORLD], &format!("tsig {{\n secret key.example.org {SECRET}\n {properties}\n}}\nworld"))
}

fn key(name: &str, secret: &str) -> Arc<Key> {
    Arc::new(Key::new(name, secret, Algorithm::Sha256).unwrap())
}

/// The messages of the reply to a query that is signed.
fn ask_signed(kit: &Kit, ask: &Ask, key: Arc<Key>) -> (Vec<Vec<u8>>, Conversation) {
    let mut message = ask.message();
    let now = kit.query(0, ask).clock().unix_seconds();
    let conversation = Conversation::sign(key, &mut message, now);
    let mut query = kit.query(0, ask);
    let arrival = Arrival {
        client: ask.client,
        local: ask.local,
        protocol: ask.protocol,
        transport: Transport::Dns,
        listener: 0,
        received: query.received(),
        is_crowded: false,
    };
    assert_eq!(query.read(&message, arrival), Intake::Serve);
    let reply = kit.run(kit.instance().serve(&mut query));
    let mut out = Vec::new();
    let messages = match finish(&mut query, reply, &mut out) {
        Finished::Send => vec![out],
        Finished::Silent => Vec::new(),
        Finished::Stream(mut envelopes) => std::iter::from_fn(|| {
            let answer = envelopes.next(&mut query)?;
            finish_part(&mut query, answer, &mut out);
            Some(out.clone())
        })
        .collect(),
    };
    (messages, conversation)
}

fn rcode(message: &[u8]) -> u8 {
    message[3] & 15
}

fn is_trusted(kit: &Kit, message: &[u8], conversation: &mut Conversation) -> bool {
    let now = kit.query(0, &Ask::new("x A")).clock().unix_seconds();
    conversation.check(message, now).is_ok()
}

#[test]
fn a_signed_query_gets_a_signed_reply() {
    let kit = kit("require all");
    let (messages, mut conversation) = ask_signed(&kit, &Ask::new("a.example.org A"), key("KEY.example.org", SECRET));
    assert_eq!(rcode(&messages[0]), 0);
    assert!(is_trusted(&kit, &messages[0], &mut conversation));
}

#[test]
fn a_failure_without_a_message_is_signed_too() {
    let kit = kit("require all");
    let (messages, mut conversation) =
        ask_signed(&kit, &Ask::new("fail.example.org A"), key("key.example.org", SECRET));
    assert_eq!(rcode(&messages[0]), 2);
    assert!(is_trusted(&kit, &messages[0], &mut conversation));
}

#[test]
fn every_message_of_a_transfer_is_signed() {
    let kit = kit("");
    let ask = Ask::new("example.org AXFR").tcp();
    let (messages, mut conversation) = ask_signed(&kit, &ask, key("key.example.org", SECRET));
    assert_eq!(messages.len(), 3);
    for message in &messages {
        assert!(is_trusted(&kit, message, &mut conversation));
        assert!(conversation.is_covered());
    }
}

#[test]
fn a_query_that_is_not_signed_is_refused_where_it_has_to_be() {
    let refused = |properties: &str, ask: &str| kit(properties).ask_for(ask).rcode == "REFUSED";
    assert!(refused("require all", "a.example.org A"));
    assert!(refused("require TXT AXFR", "a.example.org TXT"));
    assert!(!refused("require TXT AXFR", "a.example.org A"));
    assert!(!refused("", "a.example.org A"));
    assert!(refused("require_opcode QUERY", "a.example.org A"));
    assert!(!refused("require_opcode NOTIFY", "a.example.org A"));
    assert!(!refused("require all\n require none", "a.example.org A"));
}

#[test]
fn an_unknown_key_and_a_wrong_secret_are_not_authorised() {
    let kit = kit("");
    for key in [key("other.example.org", SECRET), key("key.example.org", "c2Vjb25k")] {
        let (messages, mut conversation) = ask_signed(&kit, &Ask::new("a.example.org A"), key);
        assert_eq!(rcode(&messages[0]), 9);
        assert!(!is_trusted(&kit, &messages[0], &mut conversation));
    }
}

#[test]
fn names_outside_of_the_zones_pass_with_a_signature_or_without() {
    let kit = Kit::of(
        [PLUGIN, WORLD],
        &format!("tsig example.net {{\n secret key.example.org {SECRET}\n require all\n}}\nworld"),
    );
    let (messages, _) = ask_signed(&kit, &Ask::new("a.example.org A"), key("other.example.org", SECRET));
    assert_eq!((rcode(&messages[0]), messages[0][11]), (0, 0), "a whole message without a signature");
    assert_eq!(kit.ask_for("a.example.org A").rcode, "NOERROR");
}

#[test]
fn a_signature_that_is_not_last_is_a_format_error() {
    let kit = kit("");
    let ask = Ask::new("a.example.org A").edns(1232, false);
    let mut message = Ask::new("a.example.org A").message();
    let _ = Conversation::sign(key("key.example.org", SECRET), &mut message, 0);
    message[11] = 2;
    message.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    let mut query = kit.query(0, &ask);
    let arrival = query.arrival().clone();
    assert_eq!(query.read(&message, arrival), Intake::Serve);
    let reply = kit.run(kit.instance().serve(&mut query));
    assert_eq!(reply.rcode(), Some(Rcode::FORMERR));
}

#[test]
fn a_signed_reply_over_udp_is_cut_to_the_clients_size_with_its_signature() {
    const BIG: PluginDef = PluginDef::new("world", |cx: &mut Setup<'_>| {
        cx.link(Fixed(|q: &mut Query| {
            let mut answer = Answer::to(q);
            for last in 0..200 {
                answer.push_wire(Section::Answer, &[0], Rtype::A, Class::IN, 60, &[192, 0, 2, last]);
            }
            answer.into()
        }));
        Ok(())
    });
    let kit = Kit::of([PLUGIN, BIG], &format!("tsig {{\n secret key.example.org {SECRET}\n}}\nworld"));
    let (messages, mut conversation) = ask_signed(&kit, &Ask::new("a.example.org A"), key("key.example.org", SECRET));
    assert!(messages[0].len() <= 512 && messages[0][2] & 2 == 2, "{} octets", messages[0].len());
    assert!(is_trusted(&kit, &messages[0], &mut conversation));
    assert_eq!(Protocol::Udp.as_str(), "udp");
}

#[test]
fn a_key_of_another_block_is_known() {
    let corefile = format!(
        "example.org {{\n tsig {{\n secret a.key {SECRET}\n }}\n world\n}}\nexample.net {{\n tsig {{\n secret b.key c2Vjb25k\n }}\n world\n}}\n"
    );
    let kit = Recipe::new([PLUGIN, WORLD], &corefile).build().ok().unwrap();
    let (messages, mut conversation) = ask_signed(&kit, &Ask::new("a.example.org A"), key("b.key", "c2Vjb25k"));
    assert!(is_trusted(&kit, &messages[0], &mut conversation));
}

#[test]
fn keys_come_from_files_too() {
    let file = format!("key \"one.example.org.\" {{\n algorithm hmac-sha512;\n secret \"{SECRET}\";\n}};\n");
    let recipe = Recipe::new([PLUGIN, WORLD], ". {\n tsig {\n secrets /keys\n }\n world\n}\n").file("/keys", &file);
    let kit = recipe.build().ok().unwrap();
    let (messages, mut conversation) = ask_signed(&kit, &Ask::new("a.example.org A"), key("one.example.org", SECRET));
    assert!(is_trusted(&kit, &messages[0], &mut conversation));
}

#[test]
fn what_is_wrong_has_one_text_and_a_place_that_says_what() {
    let wrong = |property: &str, word: &str| {
        let at = "plugin/tsig: Corefile:3 - Error during parsing:";
        let text = format!("{at} Wrong argument count or unexpected line ending after '{word}'");
        check_config([PLUGIN], &format!("tsig {{\n {property}\n}}"), &text);
    };
    wrong("secret only", "only");
    wrong("secret a.key ???", "a.key");
    wrong("secret a.key c2Vjb25k extra", "a.key");
    wrong("secrets /none", "/none");
    wrong("require", "require");
    wrong("require a", "a");
    wrong("require TYPE65", "TYPE65");
    wrong("require_opcode query", "query");
    wrong("nonsense", "nonsense");
}

#[test]
fn a_key_is_told_once_in_a_block_and_so_is_the_directive() {
    let wrong = |body: &str, line: u32, word: &str| {
        let at = format!("plugin/tsig: Corefile:{line} - Error during parsing:");
        check_config([PLUGIN], body, &format!("{at} Wrong argument count or unexpected line ending after '{word}'"));
    };
    wrong("tsig {\n secret a.key c2Vjb25k\n secret A.key. c2Vjb25k\n}", 4, "A.key.");
    wrong("tsig\ntsig", 3, "tsig");
}

#[test]
fn what_follows_all_or_none_does_not_matter() {
    let rcode_of = |require: &str| kit(require).ask_for("a.example.org A").rcode;
    assert_eq!(rcode_of("require all A nonsense"), "REFUSED");
    assert_eq!(rcode_of("require none A nonsense"), "NOERROR");
}

#[test]
fn a_secret_is_in_no_message() {
    let body = format!("tsig {{\n secret a.key {SECRET}\n secret a.key c2Vjb25k\n}}");
    let errors = Recipe::new([PLUGIN], &format!(". {{\n{body}\n}}\n")).build().err().unwrap();
    let line = errors[0].0.one_line();
    assert!(line.contains("plugin/tsig") && !line.contains(SECRET) && !line.contains("c2Vjb25k"), "{line}");
}
