//! Host names, files, and the server's own addresses.

use catena_testkit::{Kit, Recipe};

use super::{Act, Fake, ONE, address};
use crate::PLUGIN;

#[test]
fn a_host_name_is_looked_up_at_the_start_with_the_resolver_given() {
    // The resolver knows every name to be 127.0.0.1, so the upstream is the resolver itself.
    let up = Fake::new(Act::Answer([127, 0, 0, 1]));
    let body = format!("forward . dns.example.net:{} {{\n resolver {}\n}}", up.addr.port(), up.addr);
    let kit = Kit::of([PLUGIN], &body);
    let lookups = up.asked();
    assert_eq!(lookups.len(), 2, "A and AAAA");
    assert_eq!(lookups[0].1[12..], *b"\x03dns\x07example\x03net\x00\x00\x01\x00\x01");
    assert_eq!(lookups[1].1[12..], *b"\x03dns\x07example\x03net\x00\x00\x1c\x00\x01");
    assert_eq!(address(&kit.ask_for("a.example.org A")), Some("127.0.0.1"));
    assert_eq!(up.asked().len(), 1);
}

#[test]
fn a_host_name_without_addresses_ends_the_start() {
    let up = Fake::new(Act::NoData);
    let corefile = format!(". {{\n forward . dns.example.net {{\n resolver {}\n }}\n}}\n", up.addr);
    let errors = Recipe::new([PLUGIN], &corefile).build().err().unwrap();
    assert_eq!(
        errors[0].0.message,
        "failed to resolve \"dns.example.net\": no addresses found for \"dns.example.net\""
    );
}

#[test]
fn localhost_is_known_to_the_system() {
    let up = Fake::new(Act::Answer(ONE));
    let kit = Kit::of([PLUGIN], &format!("forward . localhost:{} {{\n policy sequential\n}}", up.addr.port()));
    assert_eq!(address(&kit.ask_for("a.example.org A")), Some("192.0.2.1"));
}

#[test]
fn an_upstream_that_is_an_own_address_is_warned_about() {
    for (to, warned) in [("127.0.0.1:53", true), ("[::1]:53", true), ("127.0.0.1:54", false), ("192.0.2.1", false)] {
        let kit = Kit::of([PLUGIN], &format!("forward . {to}"));
        let lines = kit.log.lines();
        let found =
            lines.iter().any(|line| line.starts_with(&format!("[WARNING] plugin/forward: upstream {to} is an")));
        assert_eq!(found, warned, "{to}: {lines:?}");
    }
}
