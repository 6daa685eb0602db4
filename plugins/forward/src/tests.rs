#![allow(clippy::unwrap_used, clippy::expect_used)]

mod config;
mod fake;
mod faults;
mod health;
mod https;
mod many;
mod start;
mod tls;

use std::time::Duration;

use catena_testkit::{Ask, Kit, METADATA, Seen, TELL};
use fake::{Act, Fake};

use crate::PLUGIN;

const ONE: [u8; 4] = [192, 0, 2, 1];
const TWO: [u8; 4] = [192, 0, 2, 2];

/// A kit with this body, in which `{1}`, `{2}` are the addresses of the fakes.
fn kit(body: &str, fakes: &[&Fake]) -> Kit {
    let mut body = body.to_owned();
    for (at, fake) in fakes.iter().enumerate() {
        body = body.replace(&format!("{{{}}}", at + 1), &fake.addr.to_string());
    }
    Kit::of([PLUGIN], &body)
}

fn address(seen: &Seen) -> Option<&str> {
    seen.answer.first()?.rsplit(' ').next()
}

#[test]
fn the_reply_of_the_upstream_is_the_reply() {
    let up = Fake::new(Act::Answer(ONE));
    let kit = kit("forward . {1}", &[&up]);
    let seen = kit.ask_for("A.Example.org A");
    assert_eq!(seen.answer, ["A.Example.org. 300 IN A 192.0.2.1"]);
    assert_eq!((seen.rcode.as_str(), seen.by), ("NOERROR", "forward"));
    assert_eq!(seen.flags, ["qr", "aa", "rd", "ra"]);
    assert_eq!(up.protocols(), ["udp"]);
}

#[test]
fn the_query_travels_unchanged_but_for_its_id() {
    let up = Fake::new(Act::Answer(ONE));
    let kit = kit("forward . {1}", &[&up]);
    let flags = catena_core::flags::CD | catena_core::flags::AD;
    let ask = Ask::new("A.Example.org A").flags(flags).edns(1400, true).option(65001, b"xy");
    kit.ask(&ask);
    let (_, sent) = up.asked().remove(0);
    assert_eq!(sent[2..], ask.message()[2..]);
}

#[test]
fn ids_are_not_those_of_the_client_and_differ() {
    let up = Fake::new(Act::Answer(ONE));
    let kit = kit("forward . {1}", &[&up]);
    for _ in 0..8 {
        assert_eq!(kit.ask_for("a.example.org A").wire[..2], 4711u16.to_be_bytes());
    }
    let mut ids: Vec<_> = up.asked().iter().map(|(_, sent)| [sent[0], sent[1]]).collect();
    ids.sort_unstable();
    ids.dedup();
    assert!(ids.len() > 4, "{ids:?}");
}

#[test]
fn records_that_came_with_the_query_travel_with_it() {
    let up = Fake::new(Act::Answer(ONE));
    let kit = kit("forward . {1}", &[&up]);
    // An IXFR with its SOA in the authority section (RFC 1995 section 3), the owner compressed, and an OPT record.
    let mut message = Ask::new("example.org IXFR").message();
    message[9] = 1;
    message[11] = 1;
    message.extend([0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0]);
    message.extend([0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5]);
    let opt = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
    message.extend(opt);
    let mut query = kit.query(0, &Ask::new("example.org IXFR"));
    let arrival = query.arrival().clone();
    assert_eq!(query.read(&message, arrival), catena_core::Intake::Serve);
    kit.run(kit.instance().serve(&mut query));
    let (_, sent) = up.asked().remove(0);
    assert_eq!(sent[4..12], [0, 1, 0, 0, 0, 1, 0, 1]);
    let soa: Vec<u8> = [b"\x07example\x03org\x00".as_slice(), &message[31..message.len() - 11]].concat();
    assert_eq!(sent[29..], [soa.as_slice(), &opt].concat());
}

#[test]
fn a_connection_is_used_again() {
    let up = Fake::new(Act::Answer(ONE));
    let kit = kit("forward . {1}", &[&up]);
    for _ in 0..3 {
        kit.ask_for("a.example.org A");
        kit.ask(&Ask::new("a.example.org A").tcp());
    }
    for proto in ["udp", "tcp"] {
        let labels = format!("{{proto=\"{proto}\",proxy_name=\"forward\",to=\"{}\"}}", up.addr);
        assert_eq!(kit.metric(&format!("coredns_proxy_conn_cache_hits_total{labels}")), Some(2.0), "{proto}");
        assert_eq!(kit.metric(&format!("coredns_proxy_conn_cache_misses_total{labels}")), Some(1.0), "{proto}");
    }
    let labels = format!("{{proxy_name=\"forward\",rcode=\"NOERROR\",to=\"{}\"}}", up.addr);
    assert_eq!(kit.metric(&format!("coredns_proxy_request_duration_seconds_count{labels}")), Some(6.0));
}

#[test]
fn a_stream_on_which_a_zone_transfer_may_go_on_is_not_used_again() {
    let up = Fake::new(Act::NoData);
    let kit = kit("forward . {1}", &[&up]);
    for _ in 0..2 {
        kit.ask(&Ask::new("example.org AXFR").tcp());
    }
    let labels = format!("{{proto=\"tcp\",proxy_name=\"forward\",to=\"{}\"}}", up.addr);
    assert_eq!(kit.metric(&format!("coredns_proxy_conn_cache_misses_total{labels}")), Some(2.0));
}

#[test]
fn a_connection_that_rested_longer_than_expire_or_is_older_than_max_age_is_not_used_again() {
    let up = Fake::new(Act::Answer(ONE));
    let kit = kit("forward . {1} {\n expire 5s\n max_age 8s\n}", &[&up]);
    let misses = || {
        let series = "coredns_proxy_conn_cache_misses_total{proto=\"udp\",proxy_name=\"forward\",to=\"ADDR\"}";
        kit.metric(&series.replace("ADDR", &up.addr.to_string())).unwrap()
    };
    kit.ask_for("a.example.org A");
    kit.clock.advance(Duration::from_secs(5));
    kit.ask_for("a.example.org A");
    assert_eq!(misses(), 1.0);
    kit.clock.advance(Duration::from_secs(4));
    kit.ask_for("a.example.org A");
    assert_eq!(misses(), 2.0, "older than max_age");
    kit.clock.advance(Duration::from_millis(5001));
    kit.ask_for("a.example.org A");
    assert_eq!(misses(), 3.0, "rested longer than expire");
}

#[test]
fn a_stream_that_the_upstream_closed_is_replaced_without_an_attempt_being_lost() {
    let up = Fake::new(Act::AnswerAndClose(ONE));
    let kit = kit("forward . {1} {\n force_tcp\n max_connect_attempts 1\n}", &[&up]);
    for _ in 0..3 {
        let seen = kit.ask_for("a.example.org A");
        assert_eq!((address(&seen), seen.error.as_deref()), (Some("192.0.2.1"), None));
        // Time for the other side to close.
        kit.wait(Duration::from_millis(20));
    }
}

#[test]
fn the_protocol_is_the_clients_unless_told_otherwise() {
    let up = Fake::new(Act::Answer(ONE));
    let (udp, tcp) = (Ask::new("a.example.org A"), Ask::new("a.example.org A").tcp());
    for (property, expected) in [
        ("", ["udp", "tcp"]),
        ("force_tcp", ["tcp", "tcp"]),
        ("prefer_udp", ["udp", "udp"]),
        ("prefer_udp\n force_tcp", ["tcp", "tcp"]),
    ] {
        let kit = kit(&format!("forward . {{1}} {{\n expire 10s\n {property}\n}}"), &[&up]);
        kit.ask(&udp);
        kit.ask(&tcp);
        assert_eq!(up.protocols(), expected, "{property}");
    }
}

#[test]
fn a_truncated_reply_is_passed_on_and_with_prefer_udp_asked_for_again_over_tcp() {
    let up = Fake::new(Act::Truncate(ONE));
    let plain = kit("forward . {1}", &[&up]);
    assert!(plain.ask_for("a.example.org A").flags.contains(&"tc"));
    assert_eq!(up.protocols(), ["udp"]);
    let preferring = kit("forward . {1} {\n prefer_udp\n}", &[&up]);
    let seen = preferring.ask_for("a.example.org A");
    assert_eq!((address(&seen), seen.flags.contains(&"tc")), (Some("192.0.2.1"), false));
    assert_eq!(up.protocols(), ["udp", "tcp"]);
}

#[test]
fn names_are_taken_as_from_and_except_say() {
    let up = Fake::new(Act::Answer(ONE));
    let body = "forward example.org {1} {\n except inner.example.org example.org\n}\n\
                forward example.net {1} {\n except Inner.example.net\n}";
    let kit = kit(body, &[&up]);
    for (name, taken) in [
        ("example.org", true),
        ("a.example.org", false),
        ("EXAMPLE.net", true),
        ("a.example.net", true),
        ("x.inner.Example.net", false),
        ("badexample.net", false),
        ("example.com", false),
    ] {
        let seen = kit.ask_for(&format!("{name} A"));
        assert_eq!(seen.rcode == "NOERROR", taken, "{name}");
        if !taken {
            assert_eq!(seen.error.as_deref(), Some("plugin/forward: no next plugin found"));
        }
    }
}

#[test]
fn failover_goes_on_to_the_next_upstream_and_keeps_the_last_reply() {
    let (one, two) = (Fake::new(Act::Rcode(2)), Fake::new(Act::Answer(TWO)));
    let kit = kit("forward . {1} {2} {\n policy sequential\n failover servfail REFUSED\n}", &[&one, &two]);
    assert_eq!(address(&kit.ask_for("a.example.org A")), Some("192.0.2.2"));
    one.act(Act::Rcode(3));
    assert_eq!(kit.ask_for("a.example.org A").rcode, "NXDOMAIN");
    one.act(Act::Rcode(2));
    two.act(Act::Rcode(5));
    assert_eq!(kit.ask_for("a.example.org A").rcode, "REFUSED");
    assert_eq!((one.asked().len(), two.asked().len()), (3, 2));
}

#[test]
fn next_hands_a_query_to_the_next_forward_only() {
    let (one, two) = (Fake::new(Act::Rcode(3)), Fake::new(Act::Answer(TWO)));
    let both = kit("forward . {1} {\n next NXDOMAIN\n}\nforward . {2}", &[&one, &two]);
    assert_eq!(address(&both.ask_for("a.example.org A")), Some("192.0.2.2"));
    one.act(Act::NoData);
    assert_eq!(address(&both.ask_for("a.example.org A")), None);
    let alone = kit("forward . {1} {\n next NXDOMAIN\n}", &[&one]);
    one.act(Act::Rcode(3));
    assert_eq!(alone.ask_for("a.example.org A").rcode, "NXDOMAIN");
}

#[test]
fn next_on_nodata_hands_an_empty_noerror_on_and_nothing_else() {
    let (one, two) = (Fake::new(Act::NoData), Fake::new(Act::Answer(TWO)));
    let kit = kit("forward . {1} {\n next_on_nodata\n}\nforward . {2}", &[&one, &two]);
    assert_eq!(address(&kit.ask_for("a.example.org A")), Some("192.0.2.2"));
    one.act(Act::Rcode(3));
    assert_eq!(kit.ask_for("a.example.org A").rcode, "NXDOMAIN");
    one.act(Act::Answer(ONE));
    assert_eq!(address(&kit.ask_for("a.example.org A")), Some("192.0.2.1"));
}

#[test]
fn round_robin_gives_each_upstream_its_turn() {
    let (one, two) = (Fake::new(Act::Answer(ONE)), Fake::new(Act::Answer(TWO)));
    let kit = kit("forward . {1} {2} {\n policy round_robin\n}", &[&one, &two]);
    let addresses: Vec<_> = (0..4).map(|_| address(&kit.ask_for("a.example.org A")).unwrap().to_owned()).collect();
    assert_eq!(addresses, ["192.0.2.2", "192.0.2.1", "192.0.2.2", "192.0.2.1"]);
}

#[test]
fn a_connection_at_rest_moves_to_the_worker_that_needs_one() {
    let up = Fake::new(Act::Answer(ONE));
    let kit = kit("forward . {1}", &[&up]);
    for ask in [Ask::new("a.example.org A"), Ask::new("a.example.org A").tcp()] {
        kit.ask(&ask);
        let first = kit.query(0, &ask);
        let env = first.env();
        let other = catena_core::Env {
            instance: std::sync::Arc::clone(&env.instance),
            clock: std::sync::Arc::clone(&env.clock),
            spawner: std::sync::Arc::clone(&env.spawner),
            worker: 1,
        };
        let mut query = catena_core::Query::new(std::sync::Arc::new(other), first.arrival().clone());
        assert_eq!(query.read(&ask.message(), first.arrival().clone()), catena_core::Intake::Serve);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let reply = runtime.block_on(kit.instance().serve(&mut query));
        assert_eq!(address(&Kit::see(&mut query, reply)), Some("192.0.2.1"));
        let labels = format!("{{proto=\"{}\",proxy_name=\"forward\",to=\"{}\"}}", ask.protocol.as_str(), up.addr);
        assert_eq!(kit.metric(&format!("coredns_proxy_conn_cache_hits_total{labels}")), Some(1.0));
    }
}

#[test]
fn the_upstream_asked_last_has_a_label() {
    let (dead, up) = (Fake::new(Act::Rcode(2)), Fake::new(Act::Answer(ONE)));
    let body = format!(
        "metadata\ntell forward/upstream\nforward . {} {} {{\n policy sequential\n failover SERVFAIL\n}}",
        dead.addr, up.addr
    );
    let kit = Kit::of([METADATA, TELL, PLUGIN], &body);
    kit.ask_for("a.example.org A");
    assert_eq!(kit.log.take().last(), Some(&format!("[INFO] plugin/tell: {}", up.addr)));
}
