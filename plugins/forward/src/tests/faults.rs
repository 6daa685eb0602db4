//! Upstreams that do wrong, and how much of it a query bears.

use std::net::TcpListener;
use std::time::Duration;

use catena_testkit::{Ask, Kit};

use super::{Act, Fake, ONE, TWO, address, kit};

/// A port on which nobody listens.
fn nowhere() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The error with the own port made `*`.
fn masked(error: Option<String>) -> String {
    let error = error.unwrap_or_default();
    let Some((before, after)) = error.split_once("->") else { return error };
    let host = before.rsplit_once(':').map_or(before, |(host, _)| host);
    format!("{host}:*->{after}")
}

const ONCE: &str = "max_fails 0\n max_connect_attempts 1\n read_timeout 50ms";

#[test]
fn errors_read_as_gos() {
    let up = Fake::new(Act::Drop);
    let silent = kit(&format!("forward . {{1}} {{\n {ONCE}\n}}"), &[&up]);
    let read = |ask: &Ask| masked(silent.ask(ask).error);
    assert_eq!(read(&Ask::new("a. A")), format!("read udp 127.0.0.1:*->{}: i/o timeout", up.addr));
    assert_eq!(read(&Ask::new("a. A").tcp()), format!("read tcp 127.0.0.1:*->{}: i/o timeout", up.addr));
    up.act(Act::Close);
    assert_eq!(read(&Ask::new("a. A").tcp()), "EOF");
    let nowhere = nowhere();
    let refused = Kit::of([crate::PLUGIN], &format!("forward . {nowhere} {{\n {ONCE}\n}}"));
    let read = |ask: &Ask| masked(refused.ask(ask).error);
    assert_eq!(read(&Ask::new("a. A")), format!("read udp 127.0.0.1:*->{nowhere}: read: connection refused"));
    assert_eq!(read(&Ask::new("a. A").tcp()), format!("dial tcp {nowhere}: connect: connection refused"));
    assert_eq!(refused.ask_for("a. A").rcode, "SERVFAIL");
}

#[test]
fn what_is_sent_from_is_what_source_address_says() {
    let up = Fake::new(Act::Drop);
    let kit = kit(&format!("forward . {{1}} {{\n {ONCE}\n source_address 127.0.0.9\n}}"), &[&up]);
    for ask in [Ask::new("a. A"), Ask::new("a. A").tcp()] {
        let error = kit.ask(&ask).error.unwrap();
        assert!(error.contains(" 127.0.0.9:"), "{error}");
    }
}

#[test]
fn a_silent_upstream_is_passed_over() {
    let (one, two) = (Fake::new(Act::Drop), Fake::new(Act::Answer(TWO)));
    let kit = kit("forward . {1} {2} {\n policy sequential\n read_timeout 50ms\n}", &[&one, &two]);
    assert_eq!(address(&kit.ask_for("a.example.org A")), Some("192.0.2.2"));
    assert_eq!((one.asked().len(), two.asked().len()), (1, 1));
}

#[test]
fn replies_with_another_id_are_waited_out() {
    let (one, two) = (Fake::new(Act::WrongId), Fake::new(Act::Answer(TWO)));
    let kit = kit("forward . {1} {2} {\n policy sequential\n read_timeout 50ms\n}", &[&one, &two]);
    assert_eq!(address(&kit.ask_for("a.example.org A")), Some("192.0.2.2"));
    assert_eq!(address(&kit.ask(&Ask::new("a.example.org A").tcp())), Some("192.0.2.2"));
}

#[test]
fn a_reply_to_another_question_or_no_reply_at_all_is_formerr() {
    let (one, two) = (Fake::new(Act::WrongQuestion), Fake::new(Act::Answer(TWO)));
    let kit = kit("forward . {1} {2} {\n policy sequential\n}", &[&one, &two]);
    let seen = kit.ask_for("a.example.org A");
    assert_eq!((seen.rcode.as_str(), seen.flags, seen.error), ("FORMERR", vec!["qr", "rd"], None));
    one.act(Act::NoReply);
    assert_eq!(kit.ask_for("a.example.org A").rcode, "FORMERR");
    assert_eq!(two.asked().len(), 0);
}

#[test]
fn a_datagram_larger_than_the_client_takes_becomes_a_truncated_reply() {
    let up = Fake::new(Act::Large(512));
    let kit = kit("forward . {1}", &[&up]);
    assert_eq!(kit.ask_for("a.example.org NULL").answer.len(), 1);
    up.act(Act::Large(513));
    let seen = kit.ask_for("a.example.org NULL");
    assert_eq!((seen.answer.len(), seen.flags.contains(&"tc")), (0, true));
    assert_eq!(kit.ask(&Ask::new("a.example.org NULL").edns(1232, false)).answer.len(), 1);
    // Over a stream the largest message there is comes through whole.
    up.act(Act::Large(65_535));
    let seen = kit.ask(&Ask::new("a.example.org NULL").tcp());
    assert_eq!((seen.answer.len(), seen.wire.len()), (1, 65_535));
}

#[test]
fn a_broken_reply_is_an_error_and_its_connection_is_not_kept() {
    let up = Fake::new(Act::Broken);
    let kit = kit(&format!("forward . {{1}} {{\n {ONCE}\n}}"), &[&up]);
    for ask in [Ask::new("a.example.org A"), Ask::new("a.example.org A").tcp()] {
        assert_eq!(kit.ask(&ask).error.as_deref(), Some("dns: malformed message"));
    }
    up.act(Act::Answer(ONE));
    kit.ask_for("a.example.org A");
    let labels = format!("{{proto=\"udp\",proxy_name=\"forward\",to=\"{}\"}}", up.addr);
    assert_eq!(kit.metric(&format!("coredns_proxy_conn_cache_misses_total{labels}")), Some(2.0));
}

#[test]
fn a_late_reply_is_waited_for_as_long_as_read_timeout() {
    let up = Fake::new(Act::Late(Duration::from_millis(150), ONE));
    let patient = kit("forward . {1}", &[&up]);
    assert_eq!(address(&patient.ask_for("a.example.org A")), Some("192.0.2.1"));
    let hasty = kit(&format!("forward . {{1}} {{\n {ONCE}\n}}"), &[&up]);
    assert_eq!(hasty.ask_for("a.example.org A").rcode, "SERVFAIL");
}

#[test]
fn failed_attempts_are_two_for_each_upstream_or_as_many_as_told() {
    for (property, expected) in [("max_fails 0", 4), ("max_connect_attempts 1", 1), ("max_connect_attempts 3", 3)] {
        let (one, two) = (Fake::new(Act::Close), Fake::new(Act::Close));
        let kit = kit(&format!("forward . {{1}} {{2}} {{\n force_tcp\n {property}\n}}"), &[&one, &two]);
        assert_eq!(kit.ask_for("a.example.org A").error.as_deref(), Some("EOF"));
        assert_eq!(one.asked().len() + two.asked().len(), expected, "{property}");
    }
}

#[test]
fn queries_beyond_max_concurrent_are_refused_and_counted() {
    for (max, refused) in [(1, 1), (2, 0)] {
        let up = Fake::new(Act::Drop);
        let body = format!("forward . {{1}} {{\n {ONCE}\n max_concurrent {max}\n}}");
        let kit = kit(&body, &[&up]);
        let ask = Ask::new("a.example.org A");
        let (mut first, mut second) = (kit.query(0, &ask), kit.query(0, &ask));
        let instance = kit.instance();
        let (_, reply) = kit.run(async { tokio::join!(instance.serve(&mut first), instance.serve(&mut second)) });
        let seen = Kit::see(&mut second, reply);
        assert_eq!(seen.rcode == "REFUSED", refused == 1, "{max}");
        if refused == 1 {
            assert_eq!(seen.error.as_deref(), Some("concurrent queries exceeded maximum 1"));
        }
        let rejects = kit.metric("coredns_forward_max_concurrent_rejects_total");
        assert_eq!(rejects, Some(f64::from(refused)));
        // Those that ended made room.
        up.act(Act::Answer(ONE));
        assert_eq!(kit.ask_for("a.example.org A").rcode, "NOERROR");
    }
}
