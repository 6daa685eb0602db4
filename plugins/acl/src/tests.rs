#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write;

use catena_core::Fixed;
use catena_core::prelude::*;
use catena_testkit::{Ask, Kit, Recipe, check, check_config};

use super::PLUGIN;
use crate::config::POLICIES_MAX;
use crate::networks::NETWORKS_MAX;

/// The plugin behind: NXDOMAIN for everything.
const BELOW: PluginDef = PluginDef::new("below", |cx: &mut Setup<'_>| {
    cx.link(Fixed(|q: &mut Query| Answer::to(q).with_rcode(Rcode::NXDOMAIN).into()));
    Ok(())
});

fn with(acl: &str, script: &str) {
    check([PLUGIN, BELOW], &format!("{acl}\nbelow"), script);
}

fn told(policy: &str, expected: &str) {
    let expected = format!("plugin/acl: Corefile:3 - Error during parsing: {expected}");
    check_config([PLUGIN, BELOW], &format!("acl {{\n{policy}\n}}"), &expected);
}

#[test]
fn the_first_policy_that_fits_the_client_decides() {
    with(
        "acl {
            allow net 192.0.2.1
            block net 192.0.2.0/24
            filter net 198.51.100.0/24 2001:db8::/32
            drop net 203.0.113.9
        }",
        "
        > a.example.org A from 192.0.2.1:9
        < NXDOMAIN qr rd
        > a.example.org A from 192.0.2.2:9
        < REFUSED qr rd
        > a.example.org A from 198.51.100.7:9
        < NOERROR qr rd
        > a.example.org A from [2001:db8::7]:9
        < NOERROR qr rd
        > a.example.org A from 203.0.113.9:9
        !
        > a.example.org A from 203.0.113.10:9
        < NXDOMAIN qr rd",
    );
}

#[test]
fn type_and_network_both_have_to_fit() {
    with(
        "acl {
            BLOCK TYPE A AAAA NET 192.0.2.0/24
        }",
        "
        > a.example.org AAAA from 192.0.2.2:9
        < REFUSED qr rd
        > a.example.org MX from 192.0.2.2:9
        < NXDOMAIN qr rd
        > a.example.org A from 198.51.100.2:9
        < NXDOMAIN qr rd",
    );
}

#[test]
fn an_asterisk_stands_for_all_and_hides_what_is_behind_it() {
    with(
        "acl {
            block type MX * bogus net 192.0.2.1 * bogus
        }",
        "
        > a.example.org TXT from 198.51.100.2:9
        < REFUSED qr rd",
    );
}

#[test]
fn a_policy_without_sections_is_for_everybody() {
    with("acl {\n drop\n}", "> a.example.org TYPE65280\n!");
}

#[test]
fn without_a_fitting_policy_the_next_acl_is_asked_and_allow_ends_the_search() {
    with(
        "acl example.org {
            allow type A
        }
        acl {
            block
        }",
        "
        > example.org A
        < NXDOMAIN qr rd
        > example.org MX
        < REFUSED qr rd
        > example.net A
        < REFUSED qr rd",
    );
}

#[test]
fn an_ipv4_client_on_an_ipv6_socket_is_an_ipv4_client() {
    with("acl {\n block net 192.0.2.1\n}", "> a.example.org A from [::ffff:192.0.2.1]:9\n< REFUSED qr rd");
}

#[test]
fn a_client_with_edns_is_told_why() {
    let kit = Kit::of([PLUGIN, BELOW], "acl {\n block type A\n filter type AAAA\n}\nbelow");
    for (question, info_code) in [("example.org A", 15), ("example.org AAAA", 17)] {
        let seen = kit.ask(&Ask::new(question).edns(1400, false));
        assert_eq!(seen.edns, Some((1400, false, vec![(15, vec![0, info_code])])), "{question}");
        assert!(kit.ask(&Ask::new(question).edns(1400, true)).edns.unwrap().1);
    }
}

#[test]
fn a_client_without_edns_gets_no_opt_record() {
    let kit = Kit::of([PLUGIN, BELOW], "acl {\n block type A\n filter type AAAA\n}\nbelow");
    for question in ["example.org A", "example.org AAAA"] {
        assert_eq!(kit.ask_for(question).edns, None);
    }
}

#[test]
fn verdicts_are_counted_by_the_longest_zone_and_passing_without_one() {
    with(
        "acl example.org a.example.org {
            block type A
            filter type AAAA
            drop type TXT
            allow type MX
        }",
        r#"
        > a.example.org A
        > b.example.org A
        > a.a.example.org A
        > b.example.org AAAA
        > b.example.org TXT
        !
        > b.example.org MX
        > example.net A
        metric coredns_acl_blocked_requests_total{server="dns://:53",view="",zone="a.example.org."} 2
        metric coredns_acl_blocked_requests_total{server="dns://:53",view="",zone="example.org."} 1
        metric coredns_acl_filtered_requests_total{server="dns://:53",view="",zone="example.org."} 1
        metric coredns_acl_dropped_requests_total{server="dns://:53",view="",zone="example.org."} 1
        metric coredns_acl_allowed_requests_total{server="dns://:53",view=""} 2"#,
    );
}

#[test]
fn the_zones_of_the_server_block_are_meant_if_none_is_given() {
    let kit = Recipe::new([PLUGIN, BELOW], "example.org example.net {\n acl {\n block\n }\n below\n}\n").build();
    let Ok(kit) = kit else { panic!("does not build") };
    assert_eq!(kit.ask_for("a.example.net A").rcode, "REFUSED");
    let series = "coredns_acl_blocked_requests_total{server=\"dns://:53\",view=\"\",zone=\"example.net.\"}";
    assert_eq!(kit.metric(series), Some(1.0));
}

#[test]
fn an_unknown_action_is_told() {
    told("deny net *", "unexpected token \"deny\"; expect 'allow', 'block', 'filter' or 'drop'");
}

#[test]
fn a_word_that_opens_no_section_is_told() {
    told("block A", "unexpected token \"A\"; expect 'type | net'");
}

#[test]
fn an_empty_section_is_told() {
    told("block type net 192.0.2.1", "no token specified in \"type\" section");
    told("block type A NET", "no token specified in \"net\" section");
}

#[test]
fn a_type_that_is_none_is_told() {
    told("block type a", "unexpected token \"a\"; expect legal QTYPE");
    told("block type A TYPE1", "unexpected token \"TYPE1\"; expect legal QTYPE");
}

#[test]
fn a_network_that_is_none_is_told_with_the_length_that_was_added() {
    told("block net 192.0.2.1/33", "illegal CIDR notation \"192.0.2.1/33\"");
    told("block net 192.0.2.x", "illegal CIDR notation \"192.0.2.x/32\"");
    told("block net 2001:db8:::", "illegal CIDR notation \"2001:db8:::/128\"");
}

#[test]
fn an_error_points_at_its_word() {
    let built = Recipe::new([PLUGIN], ". {\n acl {\n block net 192.0.2.1 nowhere 192.0.2.2\n }\n}\n").build();
    let Err(errors) = built else { panic!("builds") };
    assert!(errors[0].1.contains("Corefile:3:22"), "{}", errors[0].1);
}

fn builds(body: &str) -> bool {
    Recipe::new([PLUGIN, BELOW], &format!(". {{\n{body}\n}}\n")).build().is_ok()
}

#[test]
fn the_number_of_networks_has_an_edge() {
    let policy = |count: usize| {
        let mut text = "acl {\n block net".to_owned();
        for n in 0..count {
            write!(text, " 10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255).unwrap();
        }
        text + "\n}"
    };
    assert!(builds(&policy(NETWORKS_MAX)));
    assert!(!builds(&policy(NETWORKS_MAX + 1)));
}

#[test]
fn the_number_of_policies_has_an_edge() {
    let acl = |count: usize| format!("acl {{\n{}}}", "block type A\n".repeat(count));
    assert!(builds(&acl(POLICIES_MAX)));
    assert!(!builds(&acl(POLICIES_MAX + 1)));
}
