//! Words of the directive, and whom they believe.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::IpAddr;
use std::time::Duration;

use catena_core::{ProxyPolicy, ProxyProtocol, ProxySessions};
use catena_testkit::{Kit, Recipe, check_config};

use crate::PLUGIN;
use crate::config::{SESSIONS_DEFAULT, SESSIONS_MAX};

fn proxy(block: &str) -> ProxyProtocol {
    Kit::of([PLUGIN], block).instance().listeners()[0].sockets.proxy.clone().unwrap()
}

fn policies<const N: usize>(block: &str, peers: [&str; N]) -> [ProxyPolicy; N] {
    let proxy = proxy(block);
    peers.map(|peer| (proxy.policy)(peer.parse::<IpAddr>().unwrap()))
}

fn told(property: &str) -> String {
    let errors = Recipe::new([PLUGIN], &format!(".:53 {{\nproxyproto {{\n{property}\n}}\n}}")).build();
    errors.map(|_| ()).unwrap_err()[0].0.one_line()
}

#[test]
fn without_a_list_everybody_is_believed() {
    assert_eq!(policies("proxyproto", ["192.0.2.1", "2001:db8::1"]), [ProxyPolicy::Use; 2]);
    assert_eq!(policies("proxyproto {\n allow\n}", ["192.0.2.1"]), [ProxyPolicy::Use]);
}

#[test]
fn without_a_list_the_default_is_for_everybody() {
    for (word, policy) in [
        ("use", ProxyPolicy::Use),
        ("Ignore", ProxyPolicy::Ignore),
        ("REJECT", ProxyPolicy::Reject),
        ("skip", ProxyPolicy::Skip),
    ] {
        assert_eq!(policies(&format!("proxyproto {{\n default {word}\n}}"), ["192.0.2.1"]), [policy]);
    }
}

#[test]
fn with_a_list_who_is_in_it_is_believed_and_others_are_ignored() {
    let block = "proxyproto {\n allow 192.0.2.0/24 2001:db8::/32\n allow 198.51.100.7/32\n}";
    let peers = ["192.0.2.9", "2001:db8::1", "198.51.100.7", "198.51.100.8", "::1"];
    use ProxyPolicy::{Ignore, Use};
    assert_eq!(policies(block, peers), [Use, Use, Use, Ignore, Ignore]);
}

#[test]
fn with_a_list_the_default_is_for_others() {
    let block = "proxyproto {\n allow 192.0.2.0/24\n default reject\n}";
    assert_eq!(policies(block, ["192.0.2.9", "192.0.3.9"]), [ProxyPolicy::Use, ProxyPolicy::Reject]);
}

#[test]
fn sessions_have_a_time_and_a_limit() {
    let sessions = |words: &str| proxy(&format!("proxyproto {{\n udp_session_tracking {words}\n}}")).sessions;
    let of = |secs, sessions_max| Some(ProxySessions { ttl: Duration::from_secs(secs), sessions_max });
    assert_eq!(sessions("28s"), of(28, SESSIONS_DEFAULT));
    assert_eq!(sessions("1m 5"), of(60, 5));
    assert_eq!(sessions(&format!("1s {SESSIONS_MAX}")), of(1, SESSIONS_MAX));
    assert_eq!((sessions("0s"), sessions("-1s")), (None, None));
    assert_eq!(proxy("proxyproto").sessions, None);
}

#[test]
fn all_keys_of_a_block_and_all_blocks_on_an_address_have_it() {
    let corefile = "dns://a:53 dns://b:54 {\n proxyproto\n}\nc:53 {\n}";
    let Ok(kit) = Recipe::new([PLUGIN], corefile).build() else { panic!("does not build") };
    assert!(kit.instance().listeners().iter().all(|listener| listener.sockets.proxy.is_some()));
}

#[test]
fn faults_are_told_in_the_words_of_the_reference() {
    let wrong = |word: &str| {
        format!(
            "plugin/proxyproto: Corefile:3 - Error during parsing: Wrong argument count or unexpected line ending after '{word}'"
        )
    };
    assert_eq!(told("allow 192.0.2.1"), "plugin/proxyproto: 192.0.2.1: invalid CIDR address: 192.0.2.1");
    assert_eq!(told("default"), wrong("default"));
    assert_eq!(told("default use skip"), wrong("skip"));
    assert_eq!(told("default require"), wrong("require"));
    assert_eq!(told("udp_session_tracking"), wrong("udp_session_tracking"));
    assert_eq!(told("udp_session_tracking 1s 2 3"), wrong("3"));
    assert_eq!(
        told("udp_session_tracking 20"),
        "plugin/proxyproto: udp_session_tracking: invalid duration \"20\": time: missing unit in duration \"20\""
    );
    for count in ["0", "-1", "x"] {
        assert_eq!(
            told(&format!("udp_session_tracking 1s {count}")),
            format!(
                "plugin/proxyproto: udp_session_tracking: invalid max sessions \"{count}\": must be a positive integer"
            )
        );
    }
    let over = SESSIONS_MAX + 1;
    assert_eq!(
        told(&format!("udp_session_tracking 1s {over}")),
        format!("plugin/proxyproto: udp_session_tracking: max sessions exceeds maximum ({SESSIONS_MAX}): {over}")
    );
    assert_eq!(told("timeout 1s"), "Corefile:3 - Error during parsing: unknown option 'timeout'");
}

#[test]
fn takes_no_arguments() {
    check_config(
        [PLUGIN],
        "proxyproto use",
        "plugin/proxyproto: Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 'use'",
    );
}
