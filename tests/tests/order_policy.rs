//! Pairs of plugins whose order matters, among those that decide who gets what.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{IpAddr, Ipv4Addr};

use catena_core::Fixed;
use catena_core::prelude::*;
use catena_testkit::{Ask, Kit, Recipe, check_corefile};

/// A client that *acl* turns away.
const BAD: &str = "192.0.2.66:9";

/// Stands for an upstream that has an IPv4 address for every name, and counts what it is asked. Its argument is the last octet.
const UPSTREAM: PluginDef = PluginDef::new("upstream", |cx: &mut Setup<'_>| {
    let mut words = cx.cursor();
    words.next();
    let host = words.one_arg()?.parse().unwrap_or(1);
    let asked = cx.metrics().counter("asked_total", "Queries asked of the upstream.", &["type"]);
    cx.link(Fixed(move |q: &mut Query| {
        asked.with_label_values(&[&q.qtype().to_string()]).inc();
        let name = q.owned_lower();
        let mut answer = Answer::to(q);
        if q.qtype() == Rtype::A {
            let address = IpAddr::from(Ipv4Addr::new(192, 0, 2, host));
            answer.push_address(Section::Answer, &name, Class::IN, 300, address);
        } else {
            let soa = [&[0, 0][..], &[0; 20]].concat();
            answer.push_wire(Section::Authority, name.as_slice(), Rtype::SOA, Class::IN, 100, &soa);
        }
        answer.into()
    }));
    Ok(())
});

fn plugins() -> Vec<PluginDef> {
    catena_stock::stock().iter().copied().chain([UPSTREAM]).collect()
}

fn asked(kit: &Kit, rtype: &str) -> f64 {
    kit.metric(&format!("asked_total{{type=\"{rtype}\"}}")).unwrap_or(0.0)
}

#[test]
fn acl_before_cache_a_client_that_is_turned_away_gets_nothing_that_is_cached() {
    let kit = Kit::of(plugins(), "cache\nacl {\n block net 192.0.2.66\n}\nupstream 1");
    let good = Ask::new("www.example.org A");
    assert_eq!(kit.ask(&good).answer, ["www.example.org. 300 IN A 192.0.2.1"]);
    let turned_away = kit.ask(&good.clone().from(BAD));
    assert_eq!((turned_away.rcode.as_str(), turned_away.answer.len()), ("REFUSED", 0));
    assert_eq!(kit.ask(&good).answer, ["www.example.org. 300 IN A 192.0.2.1"]);
    assert_eq!(asked(&kit, "A"), 1.0);
}

#[test]
fn acl_before_cache_a_refusal_is_not_cached_for_others() {
    let kit = Kit::of(plugins(), "cache\nacl {\n filter net 192.0.2.66\n}\nupstream 1");
    let good = Ask::new("www.example.org A");
    assert_eq!(kit.ask(&good.clone().from(BAD)).answer.len(), 0);
    assert_eq!(kit.ask(&good).answer.len(), 1);
}

/// A file that lists `www.example.org`.
fn list() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "www.example.org\n").unwrap();
    file
}

#[test]
fn blocklist_before_cache_what_is_cached_for_others_is_blocked_and_stays() {
    let list = list();
    let body = format!("cache\nblocklist {{\n list {}\n net 192.0.2.66\n}}\nupstream 1", list.path().display());
    let kit = Kit::of(plugins(), &body);
    let good = Ask::new("www.example.org A");
    for _ in 0..2 {
        assert_eq!(kit.ask(&good).answer, ["www.example.org. 300 IN A 192.0.2.1"]);
        let blocked = kit.ask(&good.clone().from(BAD));
        assert_eq!((blocked.rcode.as_str(), blocked.answer.len()), ("NXDOMAIN", 0));
    }
    assert_eq!(asked(&kit, "A"), 1.0);
}

#[test]
fn dns64_before_blocklist_no_address_is_made_of_a_blocked_one() {
    let list = list();
    let body = format!("dns64\nblocklist {{\n list {}\n answer nodata\n}}\nupstream 33", list.path().display());
    let kit = Kit::of(plugins(), &body);
    let seen = kit.ask(&Ask::new("www.example.org AAAA").from("[2001:db8::1]:9"));
    assert_eq!((seen.rcode.as_str(), seen.answer.len()), ("NOERROR", 0), "{seen:?}");
    assert_eq!((asked(&kit, "AAAA"), asked(&kit, "A")), (0.0, 0.0));
}

#[test]
fn acl_before_blocklist_who_is_turned_away_is_not_looked_up() {
    let list = list();
    let body =
        format!("blocklist {{\n list {}\n}}\nacl {{\n block net 192.0.2.66\n}}\nupstream 1", list.path().display());
    let kit = Kit::of(plugins(), &body);
    assert_eq!(kit.ask(&Ask::new("www.example.org A").from(BAD)).rcode, "REFUSED");
    assert_eq!(kit.ask_for("www.example.org A").rcode, "NXDOMAIN");
}

#[test]
fn local_before_acl_names_of_the_host_itself_are_for_everybody() {
    let kit = Kit::of(plugins(), "acl {\n block\n}\nlocal\nupstream 1");
    assert_eq!(kit.ask_for("localhost A").rcode, "NOERROR");
    assert_eq!(kit.ask_for("www.example.org A").rcode, "REFUSED");
}

#[test]
fn dns64_before_cache_both_look_ups_are_cached_and_what_is_made_of_them_is_not() {
    let kit = Kit::of(plugins(), "cache\ndns64\nupstream 33");
    let six = Ask::new("www.example.org AAAA").from("[2001:db8::1]:9");
    for _ in 0..3 {
        assert_eq!(kit.ask(&six).answer, ["www.example.org. 100 IN AAAA 64:ff9b::c000:221"]);
    }
    assert_eq!((asked(&kit, "AAAA"), asked(&kit, "A")), (1.0, 1.0));
    // A client with IPv4 shares the cache, and gets what there is.
    assert_eq!(kit.ask_for("www.example.org AAAA").answer, [""; 0]);
    assert_eq!((asked(&kit, "AAAA"), asked(&kit, "A")), (1.0, 1.0));
}

#[test]
fn dns64_before_acl_its_look_up_is_judged_like_any_other() {
    let kit = Kit::of(plugins(), "acl {\n block type A\n}\ndns64\nupstream 33");
    let seen = kit.ask(&Ask::new("www.example.org AAAA").from("[2001:db8::1]:9"));
    assert_eq!((seen.rcode.as_str(), seen.answer.len()), ("NOERROR", 0));
}

/// Two blocks for one zone, of which a label chooses.
const VIEWS: &str = "example.org {
    metadata
    view inside {
        expr incidr(client_ip(), '10.0.0.0/8') && metadata('view/name') == 'inside'
    }
    prometheus 127.0.0.1:0
    acl {
        block type MX
    }
    cache
    template IN TXT {
        answer \"{{ .Name }} 60 IN TXT {{ .Meta \\\"view/name\\\" }}\"
    }
    upstream 1
}
example.org {
    prometheus 127.0.0.1:0
    cache
    upstream 2
}
";

#[test]
fn metadata_before_view_labels_are_there_when_a_block_is_chosen() {
    let script = "
        > www.example.org A from 10.1.1.1:9
        = www.example.org. 300 IN A 192.0.2.1
        > www.example.org A from 192.0.2.1:9
        = www.example.org. 300 IN A 192.0.2.2";
    check_corefile(plugins(), VIEWS, script);
    // Without them the view holds for nobody.
    check_corefile(
        plugins(),
        &VIEWS.replacen("    metadata\n", "", 1),
        "> www.example.org A from 10.1.1.1:9\n= www.example.org. 300 IN A 192.0.2.2",
    );
}

#[test]
fn view_before_cache_each_view_has_a_cache_of_its_own() {
    let question = |client| format!("> www.example.org A from {client}\n= www.example.org. 300 IN A 192.0.2.");
    let (inside, outside) = (question("10.1.1.1:9") + "1\n", question("192.0.2.1:9") + "2\n");
    check_corefile(
        plugins(),
        VIEWS,
        &(inside.clone() + &outside + &inside + &outside + "metric asked_total{type=\"A\"} 2"),
    );
}

#[test]
fn metrics_tell_the_view() {
    let Ok(kit) = Recipe::new(plugins(), VIEWS).build() else { panic!("does not build") };
    for (question, client) in [
        ("www.example.org A", "10.1.1.1:9"),
        ("www.example.org MX", "10.1.1.1:9"),
        ("www.example.org TXT", "10.1.1.1:9"),
        ("www.example.org A", "192.0.2.1:9"),
    ] {
        kit.ask(&Ask::new(question).from(client));
    }
    let server = "server=\"dns://:53\"";
    for (series, value) in [
        (format!("coredns_acl_blocked_requests_total{{{server},view=\"inside\",zone=\"example.org.\"}}"), 1.0),
        (format!("coredns_acl_allowed_requests_total{{{server},view=\"inside\"}}"), 2.0),
        (format!("coredns_cache_requests_total{{{server},view=\"inside\",zones=\"example.org.\"}}"), 2.0),
        (format!("coredns_cache_requests_total{{{server},view=\"\",zones=\"example.org.\"}}"), 1.0),
        (format!("coredns_cache_entries{{{server},type=\"success\",view=\"inside\",zones=\"example.org.\"}}"), 2.0),
        (format!("coredns_dns_request_duration_seconds_count{{{server},view=\"inside\",zone=\"example.org.\"}}"), 3.0),
        (format!("coredns_dns_request_duration_seconds_count{{{server},view=\"\",zone=\"example.org.\"}}"), 1.0),
        (
            format!(
                "coredns_dns_responses_total{{plugin=\"acl\",rcode=\"REFUSED\",{server},view=\"inside\",zone=\"example.org.\"}}"
            ),
            1.0,
        ),
        (format!("coredns_plugin_enabled{{name=\"view\",{server},view=\"inside\",zone=\"example.org.\"}}"), 1.0),
        (
            format!(
                "coredns_template_matches_total{{class=\"IN\",{server},type=\"TXT\",view=\"inside\",zone=\"example.org.\"}}"
            ),
            1.0,
        ),
    ] {
        assert_eq!(kit.metric(&series), Some(value), "{series}");
    }
}
