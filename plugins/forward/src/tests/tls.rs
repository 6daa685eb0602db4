//! Upstreams that are spoken to over TLS.

use std::sync::Arc;

use catena_testkit::{Kit, Recipe};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;

use super::{Act, Fake, ONE, address};

/// A server for `dns.example.net` and 127.0.0.1 with a certificate of its own making.
fn server() -> (Fake, String) {
    let (config, ca) = identity();
    (Fake::tls(Act::Answer(ONE), config), ca)
}

/// What a server for `dns.example.net` and 127.0.0.1 shows, and the root that vouches for it.
pub(super) fn identity() -> (ServerConfig, String) {
    let names = ["dns.example.net".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (config, made.cert.pem())
}

pub(super) fn kit(ca: &str, body: &str) -> Kit {
    let recipe = Recipe::new([crate::PLUGIN], &format!(". {{\n{body}\n}}\n")).file("/ca.pem", ca);
    recipe.build().unwrap_or_else(|errors| panic!("{}", errors[0].1))
}

pub(super) const ONCE: &str = "tls /ca.pem\n max_fails 0\n max_connect_attempts 1";

#[test]
fn the_certificate_must_be_for_the_name_or_for_the_address() {
    let (up, ca) = server();
    let addr = up.addr;
    for (to, property) in [
        (format!("tls://{addr}"), "tls_servername dns.example.net"),
        (format!("tls://127.0.0.1%dns.example.net:{}", addr.port()), ""),
        (format!("tls://{addr}"), ""),
    ] {
        let kit = kit(&ca, &format!("forward . {to} {{\n {ONCE}\n {property}\n}}"));
        for _ in 0..2 {
            let seen = kit.ask_for("a.example.org A");
            assert_eq!(address(&seen), Some("192.0.2.1"), "{to} {property}: {:?}", seen.error);
        }
        assert_eq!(up.protocols(), ["tls", "tls"]);
        let labels = format!("{{proto=\"tcp-tls\",proxy_name=\"forward\",to=\"{addr}\"}}");
        assert_eq!(kit.metric(&format!("coredns_proxy_conn_cache_hits_total{labels}")), Some(1.0));
    }
}

#[test]
fn a_certificate_for_another_name_is_not_accepted() {
    let (up, ca) = server();
    let kit = kit(&ca, &format!("forward . tls://{} {{\n {ONCE}\n tls_servername other.example.net\n}}", up.addr));
    let error = kit.ask_for("a.example.org A").error.unwrap();
    assert!(error.starts_with("tls: failed to verify certificate: x509: "), "{error}");
    assert_eq!(up.asked(), []);
}

#[test]
fn a_certificate_from_nobody_known_is_not_accepted() {
    let (up, _) = server();
    let (_, ca) = server();
    let kit = kit(&ca, &format!("forward . tls://{} {{\n {ONCE}\n}}", up.addr));
    let error = kit.ask_for("a.example.org A").error.unwrap();
    assert!(error.starts_with("tls: failed to verify certificate: x509: "), "{error}");
}

#[test]
fn a_session_is_resumed_on_the_next_connection() {
    let (up, ca) = server();
    let kit = kit(&ca, &format!("forward . tls://{} {{\n {ONCE}\n expire 1s\n}}", up.addr));
    for _ in 0..2 {
        assert_eq!(address(&kit.ask_for("a.example.org A")), Some("192.0.2.1"));
        kit.clock.advance(std::time::Duration::from_secs(2));
    }
    assert_eq!(up.resumed(), [false, true]);
}
