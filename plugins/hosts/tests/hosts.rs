//! What `hosts` answers, as sentences.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use catena_core::Fixed;
use catena_core::prelude::*;
use catena_plugin_hosts::PLUGIN;
use catena_testkit::{Kit, Recipe, check, check_config};

/// The plugin behind: NXDOMAIN for everything.
const BELOW: PluginDef = PluginDef::new("below", |cx| {
    let mut words = cx.cursor();
    while words.next() {}
    cx.link(Fixed(|q: &mut Query| Answer::to(q).with_rcode(Rcode::NXDOMAIN).into()));
    Ok(())
});

fn inline(properties: &str, script: &str) {
    check([PLUGIN, BELOW], &format!("hosts /nothing/hosts {{\n{properties}\n}}\nbelow"), script);
}

fn told(properties: &str, expected: &str) {
    let expected = format!("plugin/hosts: Corefile:3 - Error during parsing: {expected}");
    check_config([PLUGIN], &format!("hosts /nothing/hosts {{\n{properties}\n}}"), &expected);
}

#[test]
fn addresses_are_answered_under_the_name_in_lower_case() {
    inline(
        "192.0.2.1 One.example.org\n2001:db8::1 one.example.org",
        "
        > ONE.Example.org A
        < NOERROR qr aa rd
        = one.example.org. 3600 IN A 192.0.2.1
        > one.example.org AAAA
        = one.example.org. 3600 IN AAAA 2001:db8::1",
    );
}

#[test]
fn a_name_with_other_records_only_gets_an_empty_answer_without_soa() {
    inline(
        "192.0.2.1 one.example.org\nfallthrough",
        "
        > one.example.org AAAA
        < NOERROR qr aa rd
        > one.example.org MX
        < NOERROR qr aa rd",
    );
}

#[test]
fn an_unknown_name_fails_without_fallthrough_and_never_is_denied() {
    inline(
        "192.0.2.1 one.example.org",
        "
        > two.example.org A
        < SERVFAIL qr rd
        > two.example.org TXT
        < SERVFAIL qr rd",
    );
}

#[test]
fn fallthrough_hands_on_names_inside_its_zones_only() {
    inline(
        "192.0.2.1 one.example.org\nfallthrough example.net",
        "
        > two.example.net A
        < NXDOMAIN qr rd
        > two.example.org A
        < SERVFAIL qr rd",
    );
}

#[test]
fn unsupported_types_of_known_names_fall_through_if_asked_to() {
    inline(
        "192.0.2.1 one.example.org\nfallthrough example.org\nfallthrough_unsupported",
        "
        > one.example.org MX
        < NXDOMAIN qr rd
        > one.example.org AAAA
        < NOERROR qr aa rd",
    );
}

#[test]
fn reverse_names_need_no_zone_and_go_on_if_unknown() {
    let body = "hosts /nothing/hosts example.org {\n192.0.2.1 one.example.org uno.example.org\n}\nbelow";
    check(
        [PLUGIN, BELOW],
        body,
        "
        > 1.2.0.192.in-addr.ARPA PTR
        < NOERROR qr aa rd
        = 1.2.0.192.in-addr.arpa. 3600 IN PTR one.example.org.
        = 1.2.0.192.in-addr.arpa. 3600 IN PTR uno.example.org.
        > 2.2.0.192.in-addr.arpa PTR
        < NXDOMAIN qr rd
        > one.example.org PTR
        < NXDOMAIN qr rd
        > one.example.net A
        < NXDOMAIN qr rd",
    );
}

#[test]
fn mapped_addresses_count_as_ipv4_both_ways() {
    inline(
        "::ffff:192.0.2.6 mapped.example.org\nfe80::1%eth0 local.example.org",
        "
        > mapped.example.org A
        = mapped.example.org. 3600 IN A 192.0.2.6
        > 6.2.0.192.in-addr.arpa PTR
        = 6.2.0.192.in-addr.arpa. 3600 IN PTR mapped.example.org.
        > 6.0.2.0.0.0.0.c.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa PTR
        = 6.0.2.0.0.0.0.c.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa. 3600 IN PTR mapped.example.org.
        > local.example.org AAAA
        = local.example.org. 3600 IN AAAA fe80::1",
    );
}

#[test]
fn a_wildcard_stands_for_one_label_and_gives_way_to_the_name_itself() {
    inline(
        "192.0.2.1 *.example.org\n192.0.2.2 exact.example.org\n2001:db8::4 six.example.org\nfallthrough",
        "
        > any.example.org A
        = any.example.org. 3600 IN A 192.0.2.1
        > exact.example.org A
        = exact.example.org. 3600 IN A 192.0.2.2
        > six.example.org A
        = six.example.org. 3600 IN A 192.0.2.1
        > any.example.org AAAA
        < NOERROR qr aa rd
        > a.b.example.org A
        < NXDOMAIN qr rd
        > example.org A
        < NXDOMAIN qr rd",
    );
}

#[test]
fn the_time_to_live_can_be_set_and_reverse_turned_off() {
    inline(
        "192.0.2.1 one.example.org\nno_reverse\nttl 17",
        "
        > one.example.org A
        = one.example.org. 17 IN A 192.0.2.1
        > 1.2.0.192.in-addr.arpa PTR
        < NXDOMAIN qr rd",
    );
}

#[test]
fn addresses_of_the_file_come_before_those_of_the_corefile() {
    let corefile = ". {\nhosts /hosts {\n192.0.2.9 one\n}\n}\n";
    let kit = Recipe::new([PLUGIN], corefile).file("/hosts", "192.0.2.2 one\n192.0.2.1 one\n").build().ok().unwrap();
    let answer = kit.ask_for("one A").answer;
    let addresses: Vec<&str> = answer.iter().filter_map(|line| line.rsplit(' ').next()).collect();
    assert_eq!(addresses, ["192.0.2.2", "192.0.2.1", "192.0.2.9"]);
}

#[test]
fn a_missing_file_and_a_directory_are_told_about_and_serve_nothing() {
    let kit = Kit::of([PLUGIN], "hosts /nothing/hosts");
    assert!(kit.log.lines().contains(&"[WARNING] plugin/hosts: File does not exist: /nothing/hosts".to_owned()));
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::of([PLUGIN], &format!("hosts {}", dir.path().display()));
    assert!(kit.log.lines().iter().any(|line| line.ends_with("is a directory")), "{:?}", kit.log.lines());
    assert_eq!(kit.ask_for("one A").rcode, "SERVFAIL");
}

fn write(path: &Path, text: &str, seconds: u64) {
    let mut file = std::fs::File::create(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
}

fn settles(mut holds: impl FnMut() -> bool) -> bool {
    (0..200).any(|_| holds())
}

#[test]
fn a_changed_file_is_read_again_and_a_vanished_one_keeps_its_data() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hosts");
    write(&path, "192.0.2.1 one\n", 1_000);
    let kit = Kit::of([PLUGIN], &format!("hosts {} {{\n192.0.2.9 nine\nreload 5ms\n}}", path.display()));
    let series = format!("coredns_hosts_entries{{hostsfile=\"{}\"}}", path.display());
    assert_eq!(kit.metric(&series), Some(4.0));
    assert_eq!(kit.metric("coredns_hosts_reload_timestamp_seconds"), Some(1_000.0));
    write(&path, "192.0.2.11 one two\n", 2_000);
    let reloaded = settles(|| {
        kit.wait(Duration::from_millis(20));
        kit.metric("coredns_hosts_reload_timestamp_seconds") == Some(2_000.0)
    });
    assert!(reloaded);
    assert_eq!(kit.metric(&series), Some(6.0));
    assert_eq!(kit.ask_for("one A").answer, ["one. 3600 IN A 192.0.2.11"]);
    std::fs::remove_file(&path).unwrap();
    kit.wait(Duration::from_millis(50));
    assert_eq!(kit.ask_for("two A").answer, ["two. 3600 IN A 192.0.2.11"]);
}

#[test]
fn without_reload_nothing_is_started() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hosts");
    write(&path, "192.0.2.1 one\n", 1_000);
    let kit = Kit::of([PLUGIN], &format!("hosts {} {{\nreload 0\n}}", path.display()));
    write(&path, "192.0.2.11 one\n", 2_000);
    kit.wait(Duration::from_millis(50));
    assert_eq!(kit.ask_for("one A").answer, ["one. 3600 IN A 192.0.2.1"]);
}

#[test]
fn a_broken_directive_is_told_in_the_words_of_coredns() {
    told("ttl", "ttl needs a time in second");
    told("ttl x", "ttl needs a number of second");
    told("ttl 0", "ttl provided is invalid");
    told("ttl 65536", "ttl provided is invalid");
    told("reload", "reload needs a duration (zero seconds to disable)");
    told("reload x", "invalid duration for reload 'x'");
    told("reload -1s", "invalid negative duration for reload '-1s'");
    told("fallthrough_unsupported 1", "Wrong argument count or unexpected line ending after '1'");
}

#[test]
fn unknown_words_after_fallthrough_are_errors() {
    let expected = "plugin/hosts: Corefile:4 - Error during parsing: unknown property '192.0.2.1'";
    check_config([PLUGIN], "hosts {\nfallthrough\n192.0.2.1 one\n}", expected);
    let expected = "plugin/hosts: Corefile:4 - Error during parsing: fallthrough_unsupported requires fallthrough";
    check_config([PLUGIN], "hosts {\nfallthrough_unsupported\n}", expected);
}

#[test]
fn the_directive_can_be_used_once() {
    check_config([PLUGIN], "hosts\nhosts", "plugin/hosts: this plugin can only be used once per Server Block");
}
