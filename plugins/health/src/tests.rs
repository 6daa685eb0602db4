#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]
use super::*;
use catena_testkit::{Kit, Recipe, check_config};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Instant;

fn kit(body: &str) -> Kit {
    Recipe::new([PLUGIN], &format!(". {{\n{body}\n}}")).build().ok().unwrap()
}

#[test]
fn the_path_always_says_ok() {
    let reply = kit("health").http("/health");
    assert_eq!((reply.status, reply.body), (200, b"OK".to_vec()));
}

#[test]
fn the_last_address_counts() {
    let kit = kit("health 127.0.0.1:1\nhealth\nhealth :2");
    assert_eq!(kit.instance().sites[0].addr, ":2");
    assert_eq!(super::Target::of(":2").url(), "http://:2/health");
}

#[test]
fn the_check_counts_failures_and_says_why() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let kit = kit(&format!("health {addr}"));
    kit.wait(Duration::from_millis(1200));
    assert_eq!(kit.metric("coredns_health_request_failures_total"), Some(1.0));
    assert_eq!(kit.metric("coredns_health_request_duration_seconds_count"), Some(1.0));
    let url = format!("\"http://{addr}/health\"");
    assert_eq!(
        kit.log.lines(),
        [format!(
            "[WARNING] plugin/health: Local health request to {url} failed: Get {url}: dial tcp {addr}: connect: connection refused"
        )]
    );
}

#[test]
fn a_check_that_succeeds_is_timed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 512];
        let len = stream.read(&mut request).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK").unwrap();
        String::from_utf8(request[..len].to_vec()).unwrap()
    });
    let kit = kit(&format!("health {addr}"));
    kit.wait(Duration::from_millis(1300));
    assert!(answering.join().unwrap().starts_with("GET /health HTTP/1.1\r\nHost: 127.0.0.1:"));
    assert_eq!(kit.metric("coredns_health_request_failures_total"), Some(0.0));
    assert_eq!(kit.metric("coredns_health_request_duration_seconds_count"), Some(1.0));
    assert!(kit.log.lines().is_empty());
}

#[test]
fn lameduck_waits_at_the_end_and_says_so() {
    for (body, wait, line) in [
        ("health {\n lameduck 200ms\n}", 200, Some("[INFO] plugin/health: Going into lameduck mode for 200ms")),
        ("health {\n lameduck -1s\n}", 0, None),
        ("health", 0, None),
    ] {
        let kit = kit(body);
        let begun = Instant::now();
        kit.run(kit.instance().blocks()[0].services[0].service.final_shutdown());
        assert!((wait..wait + 150).contains(&(begun.elapsed().as_millis() as u64)), "{body}");
        assert_eq!(kit.log.lines().first().map(String::as_str), line);
    }
}

#[test]
fn a_port_that_is_no_number_is_told_by_the_check() {
    for port in ["foo", "70000", "-1"] {
        let told =
            Recipe::new([PLUGIN], &format!(". {{\nhealth localhost:{port}\n}}")).build().map(|_| ()).unwrap_err();
        assert_eq!(told[0].0.to_string(), format!("listen tcp: address {port}: invalid port"));
        assert!(told[0].0.span.is_some());
    }
}

#[test]
fn faults_are_told() {
    for (body, told) in [
        ("health foo", "address foo: missing port in address"),
        (
            "health {\n lameduck 5\n}",
            "unable to parse lameduck duration value: '5' : time: missing unit in duration \"5\"",
        ),
        ("health {\n lameduk 5s\n}", "Corefile:3 - Error during parsing: unknown property 'lameduk'"),
        (
            "health :1 :2",
            "Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after ':2'",
        ),
        (
            "health {\n lameduck\n}",
            "Corefile:3 - Error during parsing: Wrong argument count or unexpected line ending after 'lameduck'",
        ),
    ] {
        check_config([PLUGIN], body, &format!("plugin/health: {told}"));
    }
}
