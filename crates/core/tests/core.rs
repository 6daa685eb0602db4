//! The way of a message: what is read, where it goes, how the reply is fitted. Seen from outside, with small plugins made here.

#![allow(clippy::unwrap_used, missing_docs)]

use catena_core::{Answer, Class, Intake, PluginDef, Protocol, Query, Reply, Rtype, Section, Setup, flags};
use catena_core::{Arrival, Diagnostic, Error, Fixed, Rcode, Transport, is_unwritten};
use catena_testkit::{Ask, Kit, Recipe, check_corefile};

/// Answers A queries with as many addresses as its argument says; other types with nothing.
const ADDRESSES: PluginDef = PluginDef::new("addresses", |cx: &mut Setup<'_>| {
    let mut words = cx.cursor();
    words.next();
    let count: u8 = words.one_arg()?.parse().map_err(|_| words.arg_err())?;
    cx.link(Fixed(move |q: &mut Query| {
        let name = q.name().to_owned_name();
        let mut answer = Answer::to(q);
        for host in 0..count {
            answer.push_address(Section::Answer, &name, Class::IN, 60, [192, 0, 2, host].into());
        }
        answer.into()
    }));
    Ok::<(), Diagnostic>(())
});

/// Gives back a bare code.
const STATUS: PluginDef = PluginDef::new("status", |cx: &mut Setup<'_>| {
    let mut words = cx.cursor();
    words.next();
    let code: u16 = words.one_arg()?.parse().map_err(|_| words.arg_err())?;
    cx.link(Fixed(move |_: &mut Query| Reply::status(Rcode::masked_from_int(code))));
    Ok(())
});

/// Answers with a code of more than four bits.
const EXTENDED: PluginDef = PluginDef::new("extended", |cx: &mut Setup<'_>| {
    cx.link(Fixed(|q: &mut Query| Answer::to(q).with_rcode(Rcode::BADVERS).into()));
    Ok(())
});

/// Answers with the name of its zone as TXT, so that a test sees who answered.
const MARK: PluginDef = PluginDef::new("mark", |cx: &mut Setup<'_>| {
    let zone = cx.zones().iter().next().unwrap().text().to_owned();
    cx.link(Fixed(move |q: &mut Query| {
        let name = q.name().to_owned_name();
        let mut answer = Answer::to(q);
        let mut rdata = vec![u8::try_from(zone.len()).unwrap()];
        rdata.extend(zone.as_bytes());
        answer.push_wire(Section::Answer, name.as_slice(), Rtype::TXT, Class::IN, 0, &rdata);
        answer.into()
    }));
    Ok(())
});

/// Looks its own question up from inside, without end.
const DEEP: PluginDef = PluginDef::new("deep", |cx: &mut Setup<'_>| {
    cx.link(Deep);
    Ok(())
});

struct Deep;

#[catena_core::async_trait]
impl catena_core::Plugin for Deep {
    async fn serve(&self, q: &mut Query, _next: catena_core::Next<'_>) -> Reply {
        match q.lookup(q.name(), q.qtype()).await {
            Ok(reply) => reply,
            Err(error) => Reply::fail(error),
        }
    }
}

trait ToOwnedName {
    fn to_owned_name(&self) -> catena_core::OwnedName;
}
impl ToOwnedName for domain::base::Name<[u8]> {
    fn to_owned_name(&self) -> catena_core::OwnedName {
        catena_core::OwnedName::from_octets(self.as_slice().to_vec()).unwrap()
    }
}

fn intake(message: &[u8]) -> Intake {
    let kit = Kit::of([STATUS], "status 2");
    let mut query = kit.query(0, &Ask::new("example.org A"));
    let arrival = Arrival {
        client: "127.0.0.1:1".parse().unwrap(),
        local: "127.0.0.1:53".parse().unwrap(),
        protocol: Protocol::Udp,
        transport: Transport::Dns,
        listener: 0,
        received: query.now(),
        is_crowded: false,
    };
    query.read(message, arrival)
}

fn header(bits: u16, counts: [u16; 4]) -> Vec<u8> {
    [0x1234, bits].into_iter().chain(counts).flat_map(u16::to_be_bytes).collect()
}

#[test]
fn less_than_a_header_is_dropped() {
    assert_eq!(intake(&header(0, [1, 0, 0, 0])[..11]), Intake::Drop);
    assert_eq!(intake(&[]), Intake::Drop);
}

#[test]
fn a_response_is_dropped() {
    assert_eq!(intake(&header(flags::QR, [1, 0, 0, 0])), Intake::Drop);
}

#[test]
fn an_unknown_opcode_is_not_implemented_and_kept() {
    let Intake::Reject(reply) = intake(&header(5 << 11 | flags::RD, [1, 0, 0, 0])) else { panic!("no reject") };
    assert_eq!(reply, header(flags::QR | 5 << 11 | flags::RD | 4, [0; 4]));
}

#[test]
fn counts_that_no_query_has_are_a_format_error() {
    for counts in [[0, 0, 0, 0], [2, 0, 0, 0], [1, 2, 0, 0], [1, 0, 2, 0], [1, 0, 0, 3]] {
        let Intake::Reject(reply) = intake(&header(0, counts)) else { panic!("no reject for {counts:?}") };
        assert_eq!(reply, header(flags::QR | 1, [0; 4]));
    }
}

/// A query for the root's address with an OPT record that holds one option.
fn with_option(code: u16, data: &[u8]) -> Vec<u8> {
    Ask::new(". A").edns(1232, false).option(code, data).message()
}

#[test]
fn an_option_that_is_not_of_its_kind_is_a_format_error() {
    let is_served = |code, data: &[u8]| intake(&with_option(code, data)) == Intake::Serve;
    // Client subnet: family, prefix lengths, address.
    assert!(is_served(8, &[0, 1, 24, 0, 192, 0, 2]) && is_served(8, &[0, 2, 128, 128]) && is_served(8, &[0; 4]));
    assert!(!is_served(8, &[0, 1, 33, 0]) && !is_served(8, &[0, 3, 0, 0]) && !is_served(8, &[0, 0, 1, 0]));
    assert!(!is_served(8, &[0, 1, 0]));
    // EXPIRE, TCP keepalive, extended error, update lease, LLQ.
    for (code, good, bad) in [(9, 4, 3), (11, 2, 1), (15, 2, 1), (2, 8, 5), (1, 18, 17)] {
        assert!(is_served(code, &vec![0; good]), "{code}");
        assert!(!is_served(code, &vec![0; bad]), "{code}");
    }
    assert!(is_served(10, b"x") && is_served(65_001, b"") && is_served(19, b""));
}

#[test]
fn a_record_of_a_query_that_is_not_of_its_type_is_a_format_error() {
    let with = |rtype: u8, rdata: &[u8]| {
        let mut message = header(0, [1, 1, 0, 0]);
        message.extend([0, 0, 1, 0, 1, 0, 0, rtype, 0, 1, 0, 0, 0, 0, 0, u8::try_from(rdata.len()).unwrap()]);
        message.extend(rdata);
        intake(&message)
    };
    assert_eq!(with(1, &[192, 0, 2, 1]), Intake::Serve);
    assert_eq!(with(1, &[]), Intake::Serve);
    let Intake::Reject(reply) = with(1, &[192, 0, 2]) else { panic!("an address of three octets was served") };
    assert_eq!((reply.len(), reply[3] & 15), (12 + 5, 1), "FORMERR with the question");
    assert!(matches!(with(5, &[1, b'a']), Intake::Reject(_)), "a name without an end");
}

#[test]
fn an_extended_code_without_an_opt_record_is_a_server_failure() {
    let kit = Kit::of([EXTENDED], "extended");
    assert_eq!(kit.ask_for("example.org A").rcode, "SERVFAIL");
    // BADVERS has the number of BADSIG.
    assert_eq!(kit.ask(&Ask::new("example.org A").edns(1232, false)).rcode, "BADSIG");
}

#[test]
fn a_header_alone_has_no_question() {
    assert_eq!(intake(&header(0, [1, 0, 0, 0])), Intake::NoQuestion);
}

#[test]
fn a_question_cut_after_its_name_is_a_format_error() {
    let mut message = header(0, [1, 0, 0, 0]);
    message.extend(b"\x07example\x03org\x00");
    assert!(matches!(intake(&message), Intake::Reject(reply) if reply.len() == 12 && reply[3] & 15 == 1));
    message.extend([0, 1, 0]);
    assert!(matches!(intake(&message), Intake::Reject(_)));
}

#[test]
fn a_broken_record_keeps_the_question_in_the_format_error() {
    let mut message = header(0, [1, 0, 0, 1]);
    message.extend(b"\x07example\x03org\x00\x00\x01\x00\x01");
    let question = message[12..].to_vec();
    message.extend([0, 0, 41, 4]);
    let Intake::Reject(reply) = intake(&message) else { panic!("no reject") };
    assert_eq!(reply[12..], question);
    assert_eq!(reply[5], 1);
}

#[test]
fn missing_records_and_trailing_octets_are_let_pass() {
    let mut message = header(0, [1, 0, 0, 2]);
    message.extend(b"\x07example\x03org\x00\x00\x01\x00\x01");
    assert_eq!(intake(&message), Intake::Serve);
    let mut trailing = header(0, [1, 0, 0, 0]);
    trailing.extend(b"\x07example\x03org\x00\x00\x01\x00\x01junk");
    assert_eq!(intake(&trailing), Intake::Serve);
}

#[test]
fn the_longest_zone_answers_and_the_root_is_last() {
    let corefile = ". {\n mark\n}\nexample.org {\n mark\n}\na.example.org {\n mark\n}\n";
    let script = r#"
        > b.a.example.org TXT
        = b.a.example.org. 0 IN TXT "a.example.org."
        > b.Example.org TXT
        = b.Example.org. 0 IN TXT "example.org."
        > badexample.org TXT
        = badexample.org. 0 IN TXT ".""#;
    check_corefile([MARK], corefile, script);
}

#[test]
fn a_ds_query_for_a_zones_own_name_goes_to_its_parent() {
    let corefile = "example.org {\n mark\n}\na.example.org {\n mark\n}\norg {\n mark\n}\n";
    let script = r#"
        > a.example.org DS
        = a.example.org. 0 IN TXT "example.org."
        > b.a.example.org DS
        = b.a.example.org. 0 IN TXT "a.example.org."
        > org DS
        = org. 0 IN TXT "org.""#;
    check_corefile([MARK], corefile, script);
}

#[test]
fn what_no_zone_holds_is_refused_and_counted_as_dropped() {
    let script = r#"
        > example.com A
        < REFUSED qr rd
        metric coredns_dns_responses_total{plugin="",rcode="REFUSED",server="dns://:53",view="",zone="dropped"} 1"#;
    check_corefile([MARK], "example.org {\n mark\n}\n", script);
}

#[test]
fn another_class_is_refused() {
    check_corefile([MARK], ". {\n mark\n}\n", "> example.org TXT CH\n < REFUSED qr rd");
}

#[test]
fn a_name_of_many_labels_is_routed() {
    let name = "a.".repeat(120) + "org";
    check_corefile([STATUS], "org {\n status 5\n}\n", &format!("> {name} A\n < REFUSED qr rd"));
}

#[test]
fn a_bare_code_becomes_a_message_or_silence() {
    for code in [1, 2, 4, 5] {
        assert!(is_unwritten(Rcode::masked_from_int(code)));
        assert!(!Kit::of([STATUS], &format!("status {code}")).ask_for("example.org A").silent);
    }
    for code in [0, 3, 9] {
        assert!(Kit::of([STATUS], &format!("status {code}")).ask_for("example.org A").silent);
    }
}

#[test]
fn udp_replies_are_cut_to_512_octets_and_marked() {
    let kit = Kit::of([ADDRESSES], "addresses 100");
    let seen = kit.ask_for("example.org A");
    assert!(seen.flags.contains(&"tc"));
    assert!(seen.wire.len() <= 512);
    // 12 octets of header, 17 of question, 16 for each record with a pointer.
    assert_eq!(seen.answer.len(), (512 - 12 - 17) / 16);
}

#[test]
fn the_clients_size_counts_and_the_opt_record_has_its_place() {
    let kit = Kit::of([ADDRESSES], "addresses 100");
    let seen = kit.ask(&Ask::new("example.org A").edns(800, true));
    assert!(seen.wire.len() <= 800);
    assert_eq!(seen.answer.len(), (800 - 12 - 17 - 11) / 16);
    assert_eq!(seen.edns, Some((800, true, vec![])));
}

#[test]
fn tcp_replies_are_whole() {
    let seen = Kit::of([ADDRESSES], "addresses 255").ask(&Ask::new("example.org A").tcp());
    assert_eq!(seen.answer.len(), 255);
    assert!(!seen.flags.contains(&"tc"));
}

#[test]
fn known_options_come_back_and_others_do_not() {
    let ask = Ask::new("example.org A").edns(1232, false).option(10, b"cookie!!").option(65_001, b"x").option(3, b"");
    let seen = Kit::of([ADDRESSES], "addresses 1").ask(&ask);
    assert_eq!(seen.edns, Some((1232, false, vec![(10, b"cookie!!".to_vec()), (3, vec![])])));
}

#[test]
fn options_that_a_directive_asks_for_come_back_too() {
    const ECHO: PluginDef = PluginDef::new("echo", |cx: &mut Setup<'_>| {
        cx.instance_settings().echoed_options.push(65_001);
        cx.link(Fixed(|q: &mut Query| Answer::to(q).into()));
        Ok(())
    });
    let ask = Ask::new("example.org A").edns(1232, false).option(65_001, b"x").option(65_002, b"y");
    assert_eq!(Kit::of([ECHO], "echo").ask(&ask).edns, Some((1232, false, vec![(65_001, b"x".to_vec())])));
}

#[test]
fn a_reply_shows_the_question_as_it_came_unless_a_plugin_wants_the_changed_one() {
    const CHANGE: PluginDef = PluginDef::new("change", |cx: &mut Setup<'_>| {
        cx.link(Fixed(|q: &mut Query| {
            let shows = q.qtype() == Rtype::TXT;
            let changed = catena_core::Question::new(q.name(), Rtype::AAAA, q.qclass());
            q.set_question(changed);
            if shows {
                q.show_changed_question();
            }
            Answer::to(q).into()
        }));
        Ok(())
    });
    let kit = Kit::of([CHANGE], "change");
    for (qtype, shown) in [("A", 1), ("TXT", 28)] {
        let wire = kit.ask_for(&format!("example.org {qtype}")).wire;
        assert_eq!(wire[wire.len() - 4..], [0, shown, 0, 1]);
    }
}

#[test]
fn an_edns_version_that_does_not_exist_is_bad() {
    let kit = Kit::of([ADDRESSES], "addresses 1");
    let mut message = Ask::new("example.org A").edns(1232, true).message();
    let version = message.len() - 5;
    message[version] = 1;
    let mut query = kit.query(0, &Ask::new("example.org A"));
    let arrival = query.arrival().clone();
    assert_eq!(query.read(&message, arrival), Intake::Serve);
    let reply = kit.run(kit.instance().serve(&mut query));
    let seen = Kit::see(&mut query, reply);
    // BADVERS has the number of BADSIG.
    assert_eq!((seen.rcode.as_str(), seen.edns), ("BADSIG", Some((0, false, vec![]))));
}

#[test]
fn look_ups_from_inside_end_at_their_depth() {
    let seen = Kit::of([DEEP], "deep").ask_for("example.org A");
    assert_eq!(seen.rcode, "SERVFAIL");
    assert!(seen.error.unwrap().contains("nested deeper than 10"));
}

#[test]
fn the_end_of_the_chain_names_the_last_link() {
    const PASS: PluginDef = PluginDef::new("pass", |cx: &mut Setup<'_>| {
        cx.link(Pass);
        Ok(())
    });
    struct Pass;
    #[catena_core::async_trait]
    impl catena_core::Plugin for Pass {
        async fn serve(&self, q: &mut Query, next: catena_core::Next<'_>) -> Reply {
            next.run(q).await
        }
    }
    let seen = Kit::of([PASS], "pass").ask_for("example.org A");
    assert_eq!(seen.error.as_deref(), Some("plugin/pass: no next plugin found"));
    assert_eq!(seen.rcode, "SERVFAIL");
}

#[test]
fn every_fault_of_a_file_is_told_at_once() {
    let corefile = ". {\n status x\n addresses\n}\nexample.org {\n status\n}\n";
    let errors = Recipe::new([ADDRESSES, STATUS], corefile).build().err().unwrap();
    let lines: Vec<String> = errors.into_iter().map(|(diagnostic, _)| diagnostic.one_line()).collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with("plugin/addresses: Corefile:3 - "), "the plugin list's order comes first: {lines:?}");
}

#[test]
fn every_fault_of_one_directive_is_told() {
    const PROPERTIES: PluginDef = PluginDef::new("properties", |cx: &mut Setup<'_>| {
        let mut words = cx.cursor();
        while words.next() {
            while words.next_block() {
                match words.val() {
                    "known" => drop(words.one_arg()?),
                    _ => return Err(words.unknown_property(&["known"])),
                }
            }
        }
        Ok(())
    });
    let corefile = ". {\n properties {\n knwon 1\n known 1\n known\n other 2\n }\n}\n";
    let errors = Recipe::new([PROPERTIES], corefile).build().err().unwrap();
    let lines: Vec<u32> = errors.iter().map(|(diagnostic, _)| diagnostic.line).collect();
    assert_eq!(lines, [3, 5, 6]);
}

#[test]
fn a_zone_served_twice_is_an_error() {
    let errors = Recipe::new([STATUS], "a.org A.ORG {\n status 2\n}\n").build().err().unwrap();
    assert_eq!(errors[0].0.one_line(), "cannot serve dns://a.org.:53 - it is already defined");
}

#[test]
fn an_error_tells_its_blame() {
    let error = Error::upstream("i/o timeout");
    assert!(error.retry);
    assert_eq!(error.to_string(), "i/o timeout");
}
