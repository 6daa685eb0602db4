#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Whole questions against manifests.

use std::fs;
use std::sync::Arc;

use catena_core::prelude::*;
use catena_core::{Class, Fixed, LabelStarts, Transfer, name};
use catena_plugin_kubernetes::PLUGIN as KUBERNETES;
use catena_testkit::{Kit, Recipe, check_config};
use tempfile::TempDir;

use super::PLUGIN;

const WORLD: &str = "
kind: Namespace
metadata: {name: shop}
---
kind: Namespace
metadata: {name: empty}
---
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80}, {name: dns, port: 53, protocol: UDP}], externalIPs: [192.0.2.1, '2001:db8::1']}
---
kind: Service
metadata: {name: bare, namespace: shop}
spec: {type: LoadBalancer, clusterIP: 10.96.0.2, externalIPs: [192.0.2.2]}
status: {loadBalancer: {ingress: [{ip: 192.0.2.2}, {ip: 192.0.2.1}]}}
---
kind: Service
metadata: {name: away, namespace: shop}
spec: {type: LoadBalancer, clusterIP: 10.96.0.3, ports: [{name: a, port: 1}, {name: b, port: 2}]}
status: {loadBalancer: {ingress: [{hostname: lb.example.net}]}}
---
kind: Service
metadata: {name: inner, namespace: shop}
spec: {clusterIP: 10.96.0.4, ports: [{name: http, port: 80}]}
---
kind: EndpointSlice
metadata: {name: inner-1, namespace: shop, labels: {kubernetes.io/service-name: inner}}
endpoints: [{addresses: [10.1.0.9], hostname: one}]
ports: [{name: http, port: 8080}]
---
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: None, ports: [{name: pg, port: 5432}]}
---
kind: EndpointSlice
metadata: {name: db-1, namespace: shop, labels: {kubernetes.io/service-name: db}}
endpoints: [{addresses: [10.1.0.1], hostname: db-0}, {addresses: [10.1.0.2]}]
ports: [{name: pg, port: 5432}]
---
kind: EndpointSlice
metadata: {name: db-2, namespace: shop, labels: {kubernetes.io/service-name: db}}
endpoints: [{addresses: ['fd00::1']}]
ports: [{name: pg, port: 5432}]
";

/// Has addresses for lb.example.net, and denies everything else.
const REST: PluginDef = PluginDef::new("rest", |cx| {
    cx.link(Fixed(|q: &mut Query| {
        let mut answer = Answer::to(q);
        if q.lower().to_string() != "lb.example.net" {
            return answer.with_rcode(Rcode::NXDOMAIN).into();
        }
        match q.qtype() {
            Rtype::A => answer.push_address(Section::Answer, q.name(), Class::IN, 7, [198, 51, 100, 1].into()),
            _ => answer.set(flags::TC, true),
        }
        answer.into()
    }));
    Ok(())
});

/// A server over the world, with more properties and zones.
fn server(zones: &str, properties: &str) -> (Kit, TempDir) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("world.yaml"), WORLD).unwrap();
    let path = folder.path().display();
    let corefile = format!(
        ". {{\nkubernetes cluster.local {{\nmanifests {path}\nttl 40\n}}\nk8s_external {zones} {{\n{properties}\n}}\nrest\n}}\n"
    );
    let kit = Recipe::new([PLUGIN, KUBERNETES, REST], &corefile).build().map_err(|errors| errors[0].1.clone()).unwrap();
    (kit, folder)
}

/// `RCODE | answer | authority | additional` without class, each section sorted.
fn ask(kit: &Kit, question: &str) -> String {
    let seen = kit.ask_for(question);
    let mut text = seen.rcode.clone();
    for section in [&seen.answer, &seen.authority, &seen.additional] {
        let mut records: Vec<String> = section.iter().map(|record| record.replace(" IN ", " ")).collect();
        records.sort();
        text = format!("{text} | {}", records.join(", "));
    }
    text.trim_end_matches([' ', '|']).to_owned()
}

#[track_caller]
fn expect(properties: &str, pairs: &[(&str, &str)]) {
    let (kit, _folder) = server("example.org", properties);
    for (question, expected) in pairs {
        let expected = expected
            .replace("SOA", "example.org. 5 SOA ns1.dns.example.org. hostmaster.dns.example.org. 0 7200 1800 86400 5");
        assert_eq!(ask(&kit, question), expected, "{question}");
    }
}

#[test]
fn services_have_their_external_addresses_once() {
    expect(
        "",
        &[
            ("WEB.shop.Example.org A", "NOERROR | WEB.shop.Example.org. 5 A 192.0.2.1"),
            ("web.shop.example.org AAAA", "NOERROR | web.shop.example.org. 5 AAAA 2001:db8::1"),
            (
                "bare.shop.example.org A",
                "NOERROR | bare.shop.example.org. 5 A 192.0.2.1, bare.shop.example.org. 5 A 192.0.2.2",
            ),
            ("bare.shop.example.org AAAA", "NOERROR |  | SOA"),
            ("any.web.shop.example.org A", "NOERROR | any.web.shop.example.org. 5 A 192.0.2.1"),
            ("_dns._udp.web.shop.example.org A", "NOERROR | _dns._udp.web.shop.example.org. 5 A 192.0.2.1"),
            ("web.shop.example.org TXT", "NOERROR |  | SOA"),
            ("web.shop.example.org SOA", "NOERROR |  | SOA"),
        ],
    );
}

#[test]
fn names_that_lead_to_no_service_are_empty_or_not_there() {
    expect(
        "",
        &[
            ("empty.example.org A", "NOERROR |  | SOA"),
            ("none.example.org A", "NXDOMAIN |  | SOA"),
            ("none.shop.example.org A", "NXDOMAIN |  | SOA"),
            ("inner.shop.example.org A", "NXDOMAIN |  | SOA"),
            ("_http._udp.web.shop.example.org A", "NXDOMAIN |  | SOA"),
            ("a._http._tcp.web.shop.example.org A", "NXDOMAIN |  | SOA"),
            ("web.shop.example.org PTR", "NOERROR |  | SOA"),
            ("none.shop.example.org PTR", "NXDOMAIN |  | SOA"),
            ("db.shop.example.org A", "NXDOMAIN |  | SOA"),
        ],
    );
}

#[test]
fn ports_have_srv_records_with_the_ttl_of_the_cluster() {
    let target = "web.shop.example.org.";
    let addresses = format!("{target} 5 A 192.0.2.1, {target} 5 AAAA 2001:db8::1");
    expect(
        "",
        &[
            (
                "web.shop.example.org SRV",
                &format!(
                    "NOERROR | {target} 40 SRV 0 25 53 {target}, {target} 40 SRV 0 25 80 {target} |  | {addresses}"
                ),
            ),
            (
                "_http._tcp.web.shop.example.org SRV",
                &format!("NOERROR | _http._tcp.{target} 40 SRV 0 50 80 {target} |  | {addresses}"),
            ),
            ("bare.shop.example.org SRV", "NOERROR |  | SOA"),
        ],
    );
}

#[test]
fn the_name_of_a_load_balancer_is_looked_up() {
    let (kit, _folder) = server("example.org", "");
    let cname = "away.shop.example.org. 40 CNAME lb.example.net.";
    let address = "lb.example.net. 7 A 198.51.100.1";
    assert_eq!(ask(&kit, "away.shop.example.org A"), format!("NOERROR | {cname}, {address}"));
    let seen = kit.ask_for("away.shop.example.org AAAA");
    assert!(seen.flags.contains(&"tc") && seen.answer.len() == 1, "{seen:?}");
    let srv = |port| format!("away.shop.example.org. 40 SRV 0 50 {port} lb.example.net.");
    let expected = format!("NOERROR | {}, {} |  | {address}", srv(1), srv(2));
    assert_eq!(ask(&kit, "away.shop.example.org SRV"), expected);
}

#[test]
fn headless_services_have_their_endpoints_if_that_is_asked_for() {
    let db = "db.shop.example.org.";
    expect(
        "headless",
        &[
            ("db.shop.example.org A", &format!("NOERROR | {db} 5 A 10.1.0.1, {db} 5 A 10.1.0.2")),
            ("db.shop.example.org AAAA", &format!("NOERROR | {db} 5 AAAA fd00::1")),
            ("DB-0.db.shop.example.org A", "NOERROR | DB-0.db.shop.example.org. 5 A 10.1.0.1"),
            ("10-1-0-2.db.shop.example.org A", "NOERROR | 10-1-0-2.db.shop.example.org. 5 A 10.1.0.2"),
            ("10-1-0-1.db.shop.example.org A", "NXDOMAIN |  | SOA"),
            ("one.inner.shop.example.org A", "NOERROR | one.inner.shop.example.org. 5 A 10.1.0.9"),
            ("inner.shop.example.org A", "NXDOMAIN |  | SOA"),
            (
                "_pg._tcp.db.shop.example.org SRV",
                &format!(
                    "NOERROR | {0} 33 5432 10-1-0-2.{db}, {0} 33 5432 db-0.{db}, {0} 33 5432 fd00--1.{db} |  | 10-1-0-2.{db} 5 A 10.1.0.2, db-0.{db} 5 A 10.1.0.1, fd00--1.{db} 5 AAAA fd00::1",
                    "_pg._tcp.db.shop.example.org. 40 SRV 0"
                ),
            ),
        ],
    );
}

#[test]
fn the_apex_has_soa_and_ns_records_and_a_reserved_label() {
    let (kit, _folder) = server("example.org", "apex Edge\nttl 90");
    let soa = "example.org. 90 SOA ns1.edge.example.org. hostmaster.edge.example.org. 0 7200 1800 86400 90";
    let negative = |rcode: &str| format!("{rcode} |  | {soa}");
    assert_eq!(ask(&kit, "Example.org SOA"), format!("NOERROR | {soa}"));
    assert_eq!(ask(&kit, "example.org NS"), "NOERROR | example.org. 90 NS ns1.edge.example.org.");
    for (name, rcode) in [
        ("example.org", "NOERROR"),
        ("edge.example.org", "NOERROR"),
        ("NS1.edge.example.org", "NOERROR"),
        ("ns2.edge.example.org", "NXDOMAIN"),
        ("a.ns1.edge.example.org", "NXDOMAIN"),
        ("ns1.dns.example.org", "NXDOMAIN"),
    ] {
        assert_eq!(ask(&kit, &format!("{name} TXT")), negative(rcode), "{name}");
    }
}

#[test]
fn addresses_lead_back_to_every_service_that_has_them() {
    let (kit, _folder) = server("example.org 2.0.192.in-addr.arpa", "fallthrough 2.0.192.in-addr.arpa");
    let owner = "1.2.0.192.in-addr.arpa. 5 PTR";
    let expected = format!("NOERROR | {owner} bare.shop.example.org., {owner} web.shop.example.org.");
    assert_eq!(ask(&kit, "1.2.0.192.in-addr.arpa PTR"), expected);
    assert_eq!(ask(&kit, "9.2.0.192.in-addr.arpa PTR"), "NXDOMAIN", "fell through");
    assert!(ask(&kit, "none.shop.example.org A").starts_with("NXDOMAIN |  | example.org. 5 SOA"));
}

#[test]
fn names_outside_of_the_zones_pass() {
    let (kit, _folder) = server("example.org", "");
    assert_eq!(ask(&kit, "lb.example.net A"), "NOERROR | lb.example.net. 7 A 198.51.100.1");
    assert_eq!(ask(&kit, "web.shop.svc.cluster.local A"), "NOERROR | web.shop.svc.cluster.local. 40 A 10.96.0.1");
}

/// Writes what a transfer of a zone gives into TXT records: `take ZONE SERIAL`.
const TAKE: PluginDef = PluginDef::new("take", |cx| {
    cx.link_later(|linked| {
        let holders: Vec<Arc<dyn Transfer>> =
            linked.offers::<dyn Transfer>().filter(|(name, _)| *name == "k8s_external").map(|(_, it)| it).collect();
        Ok(Fixed(move |q: &mut Query| {
            let mut answer = Answer::to(q);
            let serial = (q.qtype() == Rtype::IXFR).then_some(u32::MAX / 4);
            match holders[0].transfer(q.lower(), serial, q) {
                None => answer.rcode = Rcode::NOTAUTH,
                Some(Err(_)) => answer.rcode = Rcode::SERVFAIL,
                Some(Ok(mut zone)) => {
                    while let Some(record) = zone.next() {
                        assert_eq!(LabelStarts::of(record.owner).suffix_start(0), Some(record.owner.len() - 1));
                        answer.push_wire(
                            Section::Answer,
                            record.owner,
                            record.rtype,
                            record.class,
                            record.ttl,
                            record.rdata,
                        );
                    }
                }
            }
            answer.into()
        }))
    });
    Ok(())
});

fn taken(properties: &str, question: &str) -> Vec<String> {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("world.yaml"), WORLD).unwrap();
    let path = folder.path().display();
    let corefile = format!(
        ". {{\ntake\nkubernetes cluster.local {{\nmanifests {path}\nttl 40\n}}\nk8s_external example.org 192.0.2.0/24 {{\n{properties}\n}}\n}}\n"
    );
    let kit = Recipe::new([TAKE, PLUGIN, KUBERNETES], &corefile).build().ok().unwrap();
    let seen = kit.ask(&catena_testkit::Ask::new(question).tcp());
    let mut lines = vec![seen.rcode];
    lines.extend(seen.answer.iter().map(|line| line.replace(" IN ", " ")));
    lines
}

#[test]
fn a_zone_goes_out_from_soa_to_soa_with_all_that_its_names_answer() {
    let lines = taken("headless", "example.org AXFR");
    let soa = "example.org. 5 SOA ns1.dns.example.org. hostmaster.dns.example.org. 0 7200 1800 86400 5";
    assert_eq!((lines[0].as_str(), lines[1].as_str(), lines.last().unwrap().as_str()), ("NOERROR", soa, soa));
    assert_eq!(lines[2], "example.org. 5 NS ns1.dns.example.org.");
    for wanted in [
        "web.shop.example.org. 5 A 192.0.2.1",
        "web.shop.example.org. 5 AAAA 2001:db8::1",
        "web.shop.example.org. 40 SRV 0 100 80 web.shop.example.org.",
        "_dns._udp.web.shop.example.org. 40 SRV 0 100 53 web.shop.example.org.",
        "away.shop.example.org. 40 CNAME lb.example.net.",
        "_b._tcp.away.shop.example.org. 40 SRV 0 100 2 lb.example.net.",
        "db.shop.example.org. 5 A 10.1.0.2",
        "db.shop.example.org. 40 SRV 0 33 5432 fd00--1.db.shop.example.org.",
        "db-0.db.shop.example.org. 5 A 10.1.0.1",
        "db-0.db.shop.example.org. 40 SRV 0 100 5432 db-0.db.shop.example.org.",
        "_pg._tcp.db.shop.example.org. 40 SRV 0 33 5432 10-1-0-2.db.shop.example.org.",
    ] {
        assert!(lines.iter().any(|line| line == wanted), "{wanted} is not among {lines:#?}");
    }
    let own = |line: &&String| line.starts_with("web.shop.example.org. 40 SRV");
    assert_eq!(lines.iter().filter(own).count(), 1, "one SRV record at the name itself");
    let away: Vec<&String> = lines.iter().filter(|line| line.starts_with("away.")).collect();
    assert_eq!(away, ["away.shop.example.org. 40 CNAME lb.example.net."], "nothing beside a CNAME record");
}

#[test]
fn without_headless_a_zone_has_no_endpoints_and_no_services_inside() {
    let lines = taken("", "example.org AXFR");
    assert!(!lines.iter().any(|line| line.contains("db.shop") || line.contains("inner")), "{lines:#?}");
}

#[test]
fn a_client_that_has_the_serial_gets_the_soa_record_alone() {
    assert_eq!(taken("", "example.org IXFR").len(), 2);
}

#[test]
fn only_a_zone_of_names_can_be_transferred_and_only_by_its_name() {
    for name in ["shop.example.org", "org", "2.0.192.in-addr.arpa"] {
        assert_eq!(taken("", &format!("{name} AXFR")), ["NOTAUTH"], "{name}");
    }
}

#[test]
fn a_name_too_long_for_a_target_is_left_out() {
    let zone = name::owned(&format!("{0}.{0}.{0}.{1}", "z".repeat(63), "y".repeat(40))).unwrap();
    let long = super::records::name(&[b"service", b"namespace"], zone.as_slice());
    assert_eq!(long.map(|name| name.len()), Some(252));
    assert_eq!(super::records::name(&[b"service-12", b"namespace1"], zone.as_slice()), None);
    assert_eq!(super::records::name(&[&[b'a'; 64]], &[0]), None);
    assert_eq!(super::records::name(&[b""], &[0]), None);
}

#[test]
fn mistakes_are_told() {
    let told = |properties: &str, expected: &str| {
        let body = format!("kubernetes {{\nendpoint http://127.0.0.1:1\n}}\nk8s_external {{\n{properties}\n}}");
        check_config(
            [PLUGIN],
            &body.split_once("}\n").unwrap().1.replace('\r', ""),
            &format!("plugin/k8s_external: {expected}"),
        );
    };
    let parsing = "Corefile:3 - Error during parsing:";
    told("ttl 3601", &format!("{parsing} ttl must be in range [0, 3600]: 3601"));
    told("ttl -1", &format!("{parsing} ttl must be in range [0, 3600]: -1"));
    told("ttl x", "strconv.Atoi: parsing \"x\": invalid syntax");
    told("ttl", &format!("{parsing} Wrong argument count or unexpected line ending after 'ttl'"));
    told("apex", &format!("{parsing} Wrong argument count or unexpected line ending after 'apex'"));
    told("apex a..b", &format!("{parsing} apex is not a valid name: a..b"));
    told("head", &format!("{parsing} unknown property 'head'"));
}

#[test]
fn it_needs_the_plugin_that_knows_the_cluster() {
    check_config([PLUGIN], "k8s_external example.org", "plugin/k8s_external: kubernetes plugin not loaded");
    const FAKE: PluginDef = PluginDef::new("kubernetes", |cx| {
        cx.link(Fixed(|_: &mut Query| Reply::silence()));
        Ok(())
    });
    let why = "plugin/k8s_external: kubernetes plugin does not implement the Externaler interface";
    check_config([PLUGIN, FAKE], "kubernetes\nk8s_external example.org", why);
}
