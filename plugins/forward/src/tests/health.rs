//! Upstreams that go down and come back.

use std::time::Duration;

use super::{Act, Fake, ONE, TWO, address, kit};

const QUICK: &str = "policy sequential\n force_tcp\n max_fails 1\n health_check 10ms";

#[test]
fn an_upstream_whose_checks_fail_is_left_out_until_one_passes() {
    let (one, two) = (Fake::new(Act::Close), Fake::new(Act::Answer(TWO)));
    let kit = kit(&format!("forward . {{1}} {{2}} {{\n {QUICK}\n}}"), &[&one, &two]);
    assert_eq!(address(&kit.ask_for("a.example.org A")), Some("192.0.2.2"));
    kit.wait(Duration::from_millis(200));
    assert_eq!(one.asked().len(), 1);
    assert_eq!(address(&kit.ask_for("a.example.org A")), Some("192.0.2.2"));
    assert_eq!(one.asked().len(), 0, "it is not even tried");
    let failures = format!("coredns_proxy_healthcheck_failures_total{{proxy_name=\"forward\",to=\"{}\"}}", one.addr);
    assert!(kit.metric(&failures).unwrap() > 1.0);
    one.act(Act::Answer(ONE));
    kit.wait(Duration::from_millis(200));
    assert_eq!(address(&kit.ask_for("a.example.org A")), Some("192.0.2.1"));
}

#[test]
fn nothing_is_checked_while_all_is_well_and_nothing_more_once_a_check_passed() {
    let up = Fake::new(Act::Answer(ONE));
    let kit = kit(&format!("forward . {{1}} {{\n {QUICK}\n max_connect_attempts 1\n}}"), &[&up]);
    kit.ask_for("a.example.org A");
    kit.wait(Duration::from_millis(100));
    assert_eq!(up.everything().len(), 1);
    up.act(Act::Close);
    kit.ask_for("a.example.org A");
    up.act(Act::Answer(ONE));
    kit.wait(Duration::from_millis(200));
    up.everything();
    kit.wait(Duration::from_millis(100));
    assert_eq!(up.everything().len(), 0);
}

#[test]
fn when_all_are_down_one_is_tried_once_or_with_failfast_none() {
    for (failfast, asked, error) in [("", 1, "EOF"), ("failfast_all_unhealthy_upstreams", 0, "no healthy proxies")] {
        let up = Fake::new(Act::Close);
        let kit = kit(&format!("forward . {{1}} {{\n {QUICK}\n {failfast}\n}}"), &[&up]);
        kit.ask_for("a.example.org A");
        kit.wait(Duration::from_millis(200));
        up.asked();
        let seen = kit.ask_for("a.example.org A");
        assert_eq!((seen.rcode.as_str(), seen.error.as_deref()), ("SERVFAIL", Some(error)));
        assert_eq!(up.asked().len(), asked);
        assert_eq!(kit.metric("coredns_forward_healthcheck_broken_total"), Some(1.0));
    }
}

#[test]
fn with_max_fails_0_no_upstream_is_ever_down_and_none_is_checked() {
    let up = Fake::new(Act::Close);
    let kit = kit("forward . {1} {\n force_tcp\n max_fails 0\n health_check 10ms\n}", &[&up]);
    kit.ask_for("a.example.org A");
    kit.wait(Duration::from_millis(100));
    assert_eq!(up.everything().len(), 2, "two attempts and no check");
}

#[test]
fn checks_ask_for_the_ns_records_of_the_domain_as_told() {
    let up = Fake::new(Act::Drop);
    let body = "forward . {1} {\n health_check 10ms no_rec domain Check.example.net\n\
                max_connect_attempts 1\n read_timeout 20ms\n}";
    let kit = kit(body, &[&up]);
    kit.ask_for("a.example.org A");
    kit.wait(Duration::from_millis(100));
    let check = up.everything().pop().unwrap();
    assert_eq!(check[2..], *b"\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05check\x07example\x03net\x00\x00\x02\x00\x01");
}

#[test]
fn a_check_over_udp_passes_whatever_the_code() {
    let up = Fake::new(Act::Drop);
    let body = "forward . {1} {\n health_check 10ms\n max_connect_attempts 1\n read_timeout 20ms\n}";
    let kit = kit(body, &[&up]);
    kit.ask_for("a.example.org A");
    up.act(Act::Rcode(5));
    kit.wait(Duration::from_millis(1300));
    up.everything();
    kit.wait(Duration::from_millis(100));
    assert_eq!(up.everything().len(), 0);
}

#[test]
fn an_interval_of_0_is_no_busy_loop() {
    let up = Fake::new(Act::Close);
    let kit = kit("forward . {1} {\n force_tcp\n max_connect_attempts 1\n health_check 0s\n}", &[&up]);
    kit.ask_for("a.example.org A");
    kit.wait(Duration::from_millis(200));
    let checks = up.everything().len() - 1;
    assert!((2..=21).contains(&checks), "{checks}");
}
