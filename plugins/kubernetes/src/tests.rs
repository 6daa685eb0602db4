#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Whole questions against manifests.

mod handover;
mod headless;
mod multicluster;
mod offers;

use std::fs;
use std::time::Duration;

use catena_testkit::{Kit, Recipe, check_config};
use tempfile::TempDir;

use crate::PLUGIN;

const WORLD: &str = "
kind: Namespace
metadata: {name: shop}
---
kind: Namespace
metadata: {name: empty}
---
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1, 'fd00::1'], ports: [{name: http, port: 80}, {name: dns, port: 53, protocol: UDP}]}
---
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
endpoints: [{addresses: [10.1.0.9]}]
ports: [{name: http, port: 8080}]
---
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: None, ports: [{name: pg, port: 5432}]}
---
kind: EndpointSlice
metadata: {name: db-1, namespace: shop, labels: {kubernetes.io/service-name: db}}
endpoints:
- {addresses: [10.1.0.1], hostname: DB-0, zone: West}
- {addresses: [10.1.0.2], zone: east, targetRef: {name: pod-2}}
ports: [{name: pg, port: 5432}]
---
kind: Service
metadata: {name: bare, namespace: shop}
spec: {clusterIP: 10.96.0.3}
---
kind: Service
metadata: {name: alias, namespace: shop}
spec: {type: ExternalName, externalName: web.shop.svc.cluster.local}
---
kind: Service
metadata: {name: second, namespace: shop}
spec: {type: ExternalName, externalName: Alias.shop.svc.cluster.local}
---
kind: Service
metadata: {name: circle, namespace: shop}
spec: {type: ExternalName, externalName: ring.shop.svc.cluster.local}
---
kind: Service
metadata: {name: ring, namespace: shop}
spec: {type: ExternalName, externalName: circle.shop.svc.cluster.local}
---
kind: Service
metadata: {name: away, namespace: shop}
spec: {type: ExternalName, externalName: www.example.org}
---
kind: Service
metadata: {name: number, namespace: shop}
spec: {type: ExternalName, externalName: 192.0.2.1}
---
kind: Pod
metadata: {name: p, namespace: shop}
status: {podIP: 10.1.0.7}
";

/// A server over the world, with more properties.
fn server(properties: &str) -> (Kit, TempDir) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("world.yaml"), WORLD).unwrap();
    let zones = "cluster.local in-addr.arpa ip6.arpa";
    let path = folder.path().display();
    let corefile = format!("{zones} {{\nkubernetes {{\nmanifests {path}\n{properties}\n}}\n}}\n");
    let kit = Recipe::new([PLUGIN], &corefile).build().map_err(|errors| errors[0].1.clone()).unwrap();
    (kit, folder)
}

/// `RCODE | answer | additional` without TTL and class, sorted.
fn ask(kit: &Kit, question: &str) -> String {
    let seen = kit.ask_for(question);
    let section = |records: &[String]| {
        let short = |record: &String| {
            record
                .split_whitespace()
                .enumerate()
                .filter(|(at, _)| !matches!(at, 1 | 2))
                .map(|(_, word)| word)
                .collect::<Vec<_>>()
                .join(" ")
        };
        let mut all: Vec<String> = records.iter().map(short).collect();
        all.sort();
        all.join(", ")
    };
    let mut text = seen.rcode.clone();
    for records in [&seen.answer, &seen.additional] {
        if !records.is_empty() {
            text = format!("{text} | {}", section(records));
        }
    }
    text
}

#[track_caller]
fn expect(properties: &str, pairs: &[(&str, &str)]) {
    let (kit, _folder) = server(properties);
    for (question, expected) in pairs {
        assert_eq!(ask(&kit, question), *expected, "{question}");
    }
}

#[test]
fn services_have_addresses_of_both_families_and_ports() {
    expect(
        "",
        &[
            ("WEB.Shop.svc.cluster.LOCAL A", "NOERROR | WEB.Shop.svc.cluster.LOCAL. A 10.96.0.1"),
            ("web.shop.svc.cluster.local AAAA", "NOERROR | web.shop.svc.cluster.local. AAAA fd00::1"),
            ("bare.shop.svc.cluster.local AAAA", "NOERROR"),
            (
                "_http._tcp.web.shop.svc.cluster.local SRV",
                "NOERROR | _http._tcp.web.shop.svc.cluster.local. SRV 0 50 80 web.shop.svc.cluster.local. | web.shop.svc.cluster.local. A 10.96.0.1, web.shop.svc.cluster.local. AAAA fd00::1",
            ),
            ("_http._udp.web.shop.svc.cluster.local A", "NXDOMAIN"),
            ("_dns._udp.web.shop.svc.cluster.local A", "NOERROR | _dns._udp.web.shop.svc.cluster.local. A 10.96.0.1"),
            ("bare.shop.svc.cluster.local SRV", "NOERROR"),
            ("none.shop.svc.cluster.local A", "NXDOMAIN"),
            ("web.none.svc.cluster.local A", "NXDOMAIN"),
            ("web.shop.svc.cluster.local MX", "NOERROR"),
            ("web.shop.svc.cluster.local TXT", "NOERROR"),
            ("web.shop.svc.cluster.local HTTPS", "NOERROR"),
            ("none.shop.svc.cluster.local HTTPS", "NXDOMAIN"),
        ],
    );
}

#[test]
fn headless_services_have_their_endpoints() {
    expect(
        "",
        &[
            (
                "db.shop.svc.cluster.local A",
                "NOERROR | db.shop.svc.cluster.local. A 10.1.0.1, db.shop.svc.cluster.local. A 10.1.0.2",
            ),
            (
                "db.shop.svc.Cluster.local SRV",
                "NOERROR | db.shop.svc.Cluster.local. SRV 0 50 5432 10-1-0-2.db.shop.svc.Cluster.local., db.shop.svc.Cluster.local. SRV 0 50 5432 DB-0.db.shop.svc.Cluster.local. | 10-1-0-2.db.shop.svc.Cluster.local. A 10.1.0.2, DB-0.db.shop.svc.Cluster.local. A 10.1.0.1",
            ),
            ("db-0.db.shop.svc.cluster.local A", "NOERROR | db-0.db.shop.svc.cluster.local. A 10.1.0.1"),
            ("10-1-0-1.db.shop.svc.cluster.local A", "NXDOMAIN"),
            ("10-1-0-9.web.shop.svc.cluster.local A", "NOERROR | 10-1-0-9.web.shop.svc.cluster.local. A 10.1.0.9"),
            ("a.b.c.db.shop.svc.cluster.local A", "NXDOMAIN"),
        ],
    );
}

#[test]
fn an_empty_name_is_there_without_records() {
    expect(
        "pods insecure",
        &[
            ("cluster.local A", "NOERROR"),
            ("svc.cluster.local A", "NOERROR"),
            ("pod.cluster.local SRV", "NOERROR"),
            ("empty.svc.cluster.local A", "NOERROR"),
            ("empty.pod.cluster.local A", "NOERROR"),
            ("none.pod.cluster.local A", "NXDOMAIN"),
            ("cluster.local TXT", "NXDOMAIN"),
            ("other.cluster.local A", "NXDOMAIN"),
            ("other.cluster.local SOA", "NOERROR"),
            ("dns-version.cluster.local TXT", "NOERROR | dns-version.cluster.local. TXT \"1.1.0\""),
            ("dns-version.cluster.local A", "NXDOMAIN"),
            ("cluster.local AXFR", "REFUSED"),
        ],
    );
}

#[test]
fn the_soa_record_keeps_the_spelling_of_the_zone_and_no_more_than_five_minutes() {
    let (kit, _folder) = server("ttl 3600");
    let seen = kit.ask_for("none.shop.svc.Cluster.local A");
    assert!(
        seen.authority[0].starts_with("Cluster.local. 300 IN SOA ns.dns.Cluster.local. hostmaster.Cluster.local. "),
        "{seen:?}"
    );
    assert!(seen.authority[0].ends_with(" 7200 1800 86400 3600"), "{seen:?}");
    assert_eq!(seen.flags, ["qr", "aa", "rd"]);
}

#[test]
fn external_names_are_followed_within_the_zone() {
    expect(
        "",
        &[
            (
                "alias.shop.svc.cluster.local A",
                "NOERROR | alias.shop.svc.cluster.local. CNAME web.shop.svc.cluster.local., web.shop.svc.cluster.local. A 10.96.0.1",
            ),
            (
                "second.shop.svc.cluster.local A",
                "NOERROR | Alias.shop.svc.cluster.local. CNAME web.shop.svc.cluster.local., second.shop.svc.cluster.local. CNAME Alias.shop.svc.cluster.local., web.shop.svc.cluster.local. A 10.96.0.1",
            ),
            ("circle.shop.svc.cluster.local A", "NOERROR"),
            ("number.shop.svc.cluster.local A", "NXDOMAIN"),
            ("x.alias.shop.svc.cluster.local A", "NXDOMAIN"),
            ("alias.shop.svc.cluster.local SRV", "NOERROR"),
            (
                "alias.shop.svc.cluster.local CNAME",
                "NOERROR | alias.shop.svc.cluster.local. CNAME web.shop.svc.cluster.local.",
            ),
            ("away.shop.svc.cluster.local A", "NOERROR | away.shop.svc.cluster.local. CNAME www.example.org."),
        ],
    );
}

#[test]
fn pods_have_the_names_that_the_mode_gives() {
    expect("", &[("10-1-0-7.shop.pod.cluster.local A", "NXDOMAIN"), ("shop.pod.cluster.local A", "NXDOMAIN")]);
    expect(
        "pods insecure",
        &[
            ("192-0-2-7.shop.pod.cluster.local A", "NOERROR | 192-0-2-7.shop.pod.cluster.local. A 192.0.2.7"),
            ("192-0-2-7.shop.pod.cluster.local AAAA", "NOERROR"),
            (
                "2001-db8--7.shop.pod.cluster.local AAAA",
                "NOERROR | 2001-db8--7.shop.pod.cluster.local. AAAA 2001:db8::7",
            ),
            ("192-0-2-300.shop.pod.cluster.local A", "NXDOMAIN"),
            ("192-0-2-7.none.pod.cluster.local A", "NXDOMAIN"),
            ("x.192-0-2-7.shop.pod.cluster.local A", "NOERROR | x.192-0-2-7.shop.pod.cluster.local. A 192.0.2.7"),
            (
                "192-0-2-7.shop.pod.cluster.local SRV",
                "NOERROR | 192-0-2-7.shop.pod.cluster.local. SRV 0 100 0 192-0-2-7.shop.pod.cluster.local. | 192-0-2-7.shop.pod.cluster.local. A 192.0.2.7",
            ),
        ],
    );
    expect(
        "pods verified",
        &[
            ("10-1-0-7.shop.pod.cluster.local A", "NOERROR | 10-1-0-7.shop.pod.cluster.local. A 10.1.0.7"),
            ("10-1-0-8.shop.pod.cluster.local A", "NXDOMAIN"),
            ("10-1-0-7.empty.pod.cluster.local A", "NXDOMAIN"),
        ],
    );
}

#[test]
fn reverse_names_give_the_service_or_else_its_endpoints() {
    expect(
        "endpoint_pod_names",
        &[
            ("1.0.96.10.in-addr.arpa PTR", "NOERROR | 1.0.96.10.in-addr.arpa. PTR web.shop.svc.cluster.local."),
            ("2.0.1.10.in-addr.arpa PTR", "NOERROR | 2.0.1.10.in-addr.arpa. PTR pod-2.db.shop.svc.cluster.local."),
            ("3.0.1.10.in-addr.arpa PTR", "NXDOMAIN"),
            ("0.1.10.in-addr.arpa PTR", "NXDOMAIN"),
            ("in-addr.arpa PTR", "NOERROR"),
            ("1.0.96.10.in-addr.arpa A", "NXDOMAIN"),
            ("web.shop.svc.cluster.local PTR", "NOERROR"),
            ("none.shop.svc.cluster.local PTR", "NXDOMAIN"),
        ],
    );
}

#[test]
fn namespaces_limits_what_is_answered() {
    expect(
        "namespaces empty\nnamespaces other",
        &[
            ("web.shop.svc.cluster.local A", "NXDOMAIN"),
            ("empty.svc.cluster.local A", "NOERROR"),
            ("1.0.96.10.in-addr.arpa PTR", "NXDOMAIN"),
        ],
    );
    expect("namespaces shop", &[("web.shop.svc.cluster.local A", "NOERROR | web.shop.svc.cluster.local. A 10.96.0.1")]);
}

#[test]
fn ignore_empty_service_drops_services_without_endpoints() {
    expect(
        "ignore empty_service",
        &[
            ("bare.shop.svc.cluster.local A", "NXDOMAIN"),
            ("web.shop.svc.cluster.local A", "NOERROR | web.shop.svc.cluster.local. A 10.96.0.1"),
        ],
    );
}

#[test]
fn zonal_names_pick_endpoints_of_a_topology_zone() {
    expect(
        "zonal",
        &[
            (
                "west.pin._zone.db.shop.svc.cluster.local A",
                "NOERROR | west.pin._zone.db.shop.svc.cluster.local. A 10.1.0.1",
            ),
            ("north.pin._zone.db.shop.svc.cluster.local A", "NOERROR"),
            ("north.pin._zone.db.shop.svc.cluster.local TXT", "NOERROR"),
            (
                "north.prefer._zone.db.shop.svc.cluster.local A",
                "NOERROR | north.prefer._zone.db.shop.svc.cluster.local. A 10.1.0.1, north.prefer._zone.db.shop.svc.cluster.local. A 10.1.0.2",
            ),
            ("west.pin._zone.web.shop.svc.cluster.local A", "NXDOMAIN"),
        ],
    );
}

#[test]
fn the_name_servers_are_this_hosts_service() {
    let folder = TempDir::new().unwrap();
    let world = "kind: Service\nmetadata: {name: dns, namespace: kube-system}\nspec: {clusterIP: 10.96.0.10}\n---\nkind: EndpointSlice\nmetadata: {name: d, namespace: kube-system, labels: {kubernetes.io/service-name: dns}}\nendpoints: [{addresses: [192.0.2.5]}]\n";
    fs::write(folder.path().join("world.yaml"), world).unwrap();
    let corefile = format!("cluster.local {{\nkubernetes {{\nmanifests {}\n}}\n}}\n", folder.path().display());
    let kit = |address: &str| {
        let mut recipe = Recipe::new([PLUGIN], &corefile);
        recipe.interfaces.0.push(("eth0".to_owned(), address.parse().unwrap()));
        recipe.build().map_err(|errors| errors[0].1.clone()).unwrap()
    };
    let served = kit("192.0.2.5");
    let named = "NOERROR | Cluster.local. NS dns.kube-system.svc.Cluster.local. | dns.kube-system.svc.Cluster.local. A 10.96.0.10";
    assert_eq!(ask(&served, "Cluster.local NS"), named);
    assert_eq!(ask(&served, "ns.dns.cluster.local A"), "NOERROR | ns.dns.cluster.local. A 10.96.0.10");
    assert_eq!(ask(&served, "ns.dns.cluster.local TXT"), "NXDOMAIN");
    let alone = kit("192.0.2.6");
    assert_eq!(
        ask(&alone, "cluster.local NS"),
        "NOERROR | cluster.local. NS ns.dns.cluster.local. | ns.dns.cluster.local. A 192.0.2.6"
    );
    assert_eq!(ask(&alone, "ns.dns.cluster.local AAAA"), "NOERROR");
}

#[test]
fn names_that_may_exist_fail_until_the_first_list() {
    let corefile = "cluster.local {\nkubernetes {\nendpoint http://127.0.0.1:1\nstartup_timeout 600ms\n}\n}\n";
    let kit = Recipe::new([PLUGIN], corefile).build().map_err(|errors| errors[0].1.clone()).unwrap();
    assert_eq!(ask(&kit, "web.shop.svc.cluster.local A"), "SERVFAIL");
    assert_eq!(ask(&kit, "svc.cluster.local A"), "NOERROR");
    let log = kit.log.take().join("\n");
    assert!(log.contains("[INFO] plugin/kubernetes: waiting for Kubernetes API before starting server"), "{log}");
    assert!(log.contains("[WARNING] plugin/kubernetes: starting server with unsynced Kubernetes API"), "{log}");
    assert_eq!(log.matches("[ERROR] plugin/kubernetes: Kubernetes API: ").count(), 1, "{log}");
}

#[test]
fn an_edited_manifest_is_answered_without_a_reload() {
    let (kit, folder) = server("");
    fs::write(folder.path().join("world.yaml"), WORLD.replace("10.96.0.3", "10.96.0.4")).unwrap();
    for _ in 0..50 {
        kit.wait(Duration::from_millis(100));
        if ask(&kit, "bare.shop.svc.cluster.local A").ends_with("10.96.0.4") {
            return;
        }
    }
    panic!("the edit was not seen");
}

#[test]
fn mistakes_are_told_in_corednss_words() {
    for (body, told) in [
        ("kubernetes 10.0.0.0/8", "non-reverse zone name must be used"),
        ("kubernetes {\npods some\n}", "wrong value for pods: some,  must be one of: disabled, verified, insecure"),
        ("kubernetes {\nttl 3601\n}", "Corefile:3 - Error during parsing: ttl must be in range [0, 3600]: 3601"),
        ("kubernetes {\nttl x\n}", "strconv.Atoi: parsing \"x\": invalid syntax"),
        ("kubernetes {\nnames\n}", "Corefile:3 - Error during parsing: unknown property 'names'"),
        ("kubernetes {\nignore it\n}", "unable to parse ignore value: 'it'"),
        ("kubernetes {\nstartup_timeout x\n}", "failed to parse startup_timeout: x, time: invalid duration \"x\""),
        (
            "kubernetes {\nzonal\nnoendpoints\n}",
            "Corefile:5 - Error during parsing: zonal requires the endpoint cache; remove noendpoints",
        ),
        (
            "kubernetes {\nendpoint\n}",
            "Corefile:3 - Error during parsing: Wrong argument count or unexpected line ending after 'endpoint'",
        ),
        (
            "kubernetes {\ntls a b\n}",
            "Corefile:3 - Error during parsing: Wrong argument count or unexpected line ending after 'b'",
        ),
        (
            "kubernetes {\nkubeconfig a\nmanifests src\n}",
            "Corefile:3 - Error during parsing: 'kubeconfig' and 'manifests' cannot both be set",
        ),
        ("kubernetes {\nendpoint http://\n}", "invalid endpoint 'http://': empty string"),
        (
            "kubernetes cluster.local 10.in-addr.arpa {\nmulticluster cluster.local clusterset.local\n}",
            "Corefile:4 - Error during parsing: is not authoritative for the multicluster zone clusterset.local. (authoritative zones: [cluster.local. 10.in-addr.arpa.])",
        ),
        (
            "kubernetes {\nlabels a b\n}",
            "unable to parse label selector value: 'a b': unable to parse requirement: found 'b', expected: in, notin, =, ==, !=",
        ),
        (
            "kubernetes {\nnamespaces a\nnamespace_labels b\n}",
            "Corefile:5 - Error during parsing: namespaces and namespace_labels cannot both be set",
        ),
        (
            "kubernetes {\napiserver_qps x\n}",
            "Corefile:3 - Error during parsing: invalid apiserver_qps \"x\": strconv.ParseFloat: parsing \"x\": invalid syntax",
        ),
        ("kubernetes {\napiserver_burst -1\n}", "Corefile:3 - Error during parsing: apiserver_burst must be >= 0"),
        (
            "kubernetes {\napiserver_max_inflight 1 2\n}",
            "Corefile:3 - Error during parsing: Wrong argument count or unexpected line ending after '2'",
        ),
        (
            "kubernetes {\nmanifests src\nlabels b\n}",
            "Corefile:4 - Error during parsing: 'labels' and 'manifests' cannot both be set",
        ),
        ("kubernetes\nkubernetes", "this plugin can only be used once per Server Block"),
    ] {
        check_config([PLUGIN], body, &format!("plugin/kubernetes: {told}"));
    }
}

#[test]
fn a_broken_manifest_is_told_with_its_place() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a.yaml");
    fs::write(&file, "kind: Service\nmetadata: {}\n").unwrap();
    let told = format!("plugin/kubernetes: {}:2:11: missing field `name`", file.display());
    check_config([PLUGIN], &format!("kubernetes {{\nmanifests {}\n}}", folder.path().display()), &told);
}

#[test]
fn external_names_lead_on_as_often_as_the_limit_and_no_further() {
    let folder = TempDir::new().unwrap();
    let alias = |number: usize| {
        let target = if number == 0 { "web".to_owned() } else { format!("n{}", number - 1) };
        format!(
            "kind: Service\nmetadata: {{name: n{number}}}\nspec: {{type: ExternalName, externalName: {target}.default.svc.cluster.local}}\n---\n"
        )
    };
    let web = "kind: Service\nmetadata: {name: web}\nspec: {clusterIP: 10.96.0.1}\n";
    let world = (0..20).map(alias).collect::<String>() + web;
    fs::write(folder.path().join("world.yaml"), world).unwrap();
    let corefile = format!("cluster.local {{\nkubernetes {{\nmanifests {}\n}}\n}}\n", folder.path().display());
    let kit = Recipe::new([PLUGIN], &corefile).build().map_err(|errors| errors[0].1.clone()).unwrap();
    // CoreDNS gives up on an alias that has more than ten before it.
    assert_eq!(kit.ask_for("n10.default.svc.cluster.local A").answer.len(), 12);
    assert_eq!(kit.ask_for("n11.default.svc.cluster.local A").answer.len(), 0);
}
