//! What the plugin offers to others of its block, seen by a plugin that asks for all of it.

use std::sync::Arc;

use catena_cluster::External;
use catena_core::prelude::*;
use catena_core::{AutoPath, Class, Transfer, name};
use catena_testkit::{Ask, Kit, Recipe};
use domain::base::Name;
use tempfile::TempDir;

use super::{WORLD, fs};
use crate::PLUGIN;

/// Answers AXFR and IXFR (of the present serial) with the records of a transfer, HINFO with the search path of the client, LOC with
/// the addresses of name servers, X25 with the Services at an address, and RP with a label.
const PROBE: PluginDef = PluginDef::new("probe", |cx: &mut Setup<'_>| {
    cx.block_settings().label_zones = Some(Zones::everything());
    cx.link_later(|linked| {
        let external = linked.offers::<dyn External>().next().unwrap().1;
        external.keep_external();
        let (paths, transfers) = (linked.offers::<dyn AutoPath>(), linked.offers::<dyn Transfer>());
        Ok(Probe { external, path: paths.last().unwrap().1, transfer: transfers.last().unwrap().1 })
    });
    Ok(())
});

struct Probe {
    external: Arc<dyn External>,
    path: Arc<dyn AutoPath>,
    transfer: Arc<dyn Transfer>,
}

#[async_trait]
impl Plugin for Probe {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        let mut answer = Answer::to(q);
        let text = |answer: &mut Answer, text: &str| {
            let rdata = [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
            answer.push_wire(Section::Answer, Name::root_slice().as_slice(), Rtype::TXT, Class::IN, 0, &rdata);
        };
        match q.qtype() {
            Rtype::AXFR | Rtype::IXFR => {
                let serial = (q.qtype() == Rtype::IXFR).then(|| u32::try_from(q.env().clock.unix_seconds()).unwrap());
                match self.transfer.transfer(q.lower(), serial, q) {
                    None => return Reply::status(Rcode::REFUSED),
                    Some(Err(error)) => return Reply::fail(error),
                    Some(Ok(mut stream)) => {
                        while let Some(record) = stream.next() {
                            let (owner, rtype) = (record.owner, record.rtype);
                            answer.push_wire(Section::Answer, owner, rtype, record.class, record.ttl, record.rdata);
                        }
                    }
                }
            }
            Rtype::HINFO => {
                for element in self.path.search_path(q, q.client().ip()).unwrap_or_default() {
                    text(&mut answer, &name::text(element.for_slice()));
                }
            }
            Rtype::LOC => {
                for headless in [false, true] {
                    text(&mut answer, &format!("{:?}", self.external.name_servers(headless)));
                }
            }
            Rtype::X25 => {
                for entry in self.external.services_outside("192.0.2.80".parse().unwrap()) {
                    text(&mut answer, entry.name());
                }
            }
            Rtype::RP => {
                let names = "client-namespace client-pod-name client-label/app parse-error port-name protocol endpoint service namespace kind zone cluster";
                for label in names.split(' ') {
                    if let Some(value) = q.label(&format!("kubernetes/{label}")) {
                        text(&mut answer, &format!("{label}={value}"));
                    }
                }
            }
            _ => return next.run(q).await,
        }
        answer.into()
    }
}

/// More than the world of other tests has: a Service for the outside, name servers, a pod with labels.
const MORE: &str = "
---
kind: Service
metadata: {name: front, namespace: shop}
spec: {clusterIP: 10.96.0.9, externalIPs: [192.0.2.80], ports: [{name: HTTP, port: 80}]}
---
kind: Service
metadata: {name: dns, namespace: empty}
spec: {clusterIP: 10.96.0.10, externalIPs: [192.0.2.80, '2001:db8::80']}
---
kind: EndpointSlice
metadata: {name: d, namespace: empty, labels: {kubernetes.io/service-name: dns}}
endpoints: [{addresses: [192.0.2.5]}]
---
kind: Service
metadata: {name: peers, namespace: empty}
spec: {clusterIP: None}
---
kind: EndpointSlice
metadata: {name: p, namespace: empty, labels: {kubernetes.io/service-name: peers}}
endpoints: [{addresses: [192.0.2.5]}, {addresses: [192.0.2.6]}]
---
kind: Pod
metadata: {name: q, namespace: empty, labels: {app: till}}
status: {podIP: 10.1.0.8}
";

fn probed(properties: &str) -> (Kit, TempDir) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("world.yaml"), [WORLD, MORE].concat()).unwrap();
    let path = folder.path().display();
    let corefile = format!(
        "cluster.local in-addr.arpa {{\nprobe\nkubernetes cluster.local in-addr.arpa {{\nmanifests {path}\n{properties}\n}}\n}}\n"
    );
    let mut recipe = Recipe::new([PROBE, PLUGIN], &corefile);
    recipe.files.put("/etc/resolv.conf", "search Example.org corp.example\n");
    recipe.interfaces.0.push(("eth0".to_owned(), "192.0.2.5".parse().unwrap()));
    (recipe.build().map_err(|errors| errors[0].1.clone()).unwrap(), folder)
}

/// The records of the answer without their class; texts alone.
fn records(kit: &Kit, ask: &Ask) -> Vec<String> {
    let seen = kit.ask(&ask.clone().tcp());
    let short = |record: &String| match record.split_once(" TXT ") {
        Some((_, text)) => text.trim_matches('"').to_owned(),
        None => record.replacen(" IN ", " ", 1),
    };
    seen.answer.iter().map(short).collect()
}

#[test]
fn a_transfer_has_every_record_of_the_zone_by_the_names_of_services() {
    let (kit, _folder) = probed("ttl 30");
    let all = records(&kit, &Ask::new("cluster.local AXFR"));
    assert!(
        all[0].starts_with("cluster.local. 30 SOA ns.dns.cluster.local. ") && all.last() == Some(&all[0]),
        "{all:?}"
    );
    let inner: Vec<&str> = all[1..all.len() - 1].iter().map(String::as_str).collect();
    let expected = "
        cluster.local. 30 NS dns.empty.svc.cluster.local.
        cluster.local. 30 NS 192-0-2-5.peers.empty.svc.cluster.local.
        cluster.local. 30 NS 192-0-2-6.peers.empty.svc.cluster.local.
        alias.shop.svc.cluster.local. 30 CNAME web.shop.svc.cluster.local.
        away.shop.svc.cluster.local. 30 CNAME www.example.org.
        bare.shop.svc.cluster.local. 30 A 10.96.0.3
        circle.shop.svc.cluster.local. 30 CNAME ring.shop.svc.cluster.local.
        db.shop.svc.cluster.local. 30 A 10.1.0.1
        DB-0.db.shop.svc.cluster.local. 30 A 10.1.0.1
        _pg._tcp.db.shop.svc.cluster.local. 30 SRV 0 50 5432 DB-0.db.shop.svc.cluster.local.
        db.shop.svc.cluster.local. 30 A 10.1.0.2
        10-1-0-2.db.shop.svc.cluster.local. 30 A 10.1.0.2
        _pg._tcp.db.shop.svc.cluster.local. 30 SRV 0 50 5432 10-1-0-2.db.shop.svc.cluster.local.
        dns.empty.svc.cluster.local. 30 A 10.96.0.10
        front.shop.svc.cluster.local. 30 A 10.96.0.9
        front.shop.svc.cluster.local. 30 SRV 0 100 80 front.shop.svc.cluster.local.
        _http._tcp.front.shop.svc.cluster.local. 30 SRV 0 100 80 front.shop.svc.cluster.local.
        peers.empty.svc.cluster.local. 30 A 192.0.2.5
        192-0-2-5.peers.empty.svc.cluster.local. 30 A 192.0.2.5
        peers.empty.svc.cluster.local. 30 A 192.0.2.6
        192-0-2-6.peers.empty.svc.cluster.local. 30 A 192.0.2.6
        ring.shop.svc.cluster.local. 30 CNAME circle.shop.svc.cluster.local.
        second.shop.svc.cluster.local. 30 CNAME Alias.shop.svc.cluster.local.
        web.shop.svc.cluster.local. 30 A 10.96.0.1
        web.shop.svc.cluster.local. 30 AAAA fd00::1
        web.shop.svc.cluster.local. 30 SRV 0 100 80 web.shop.svc.cluster.local.
        _http._tcp.web.shop.svc.cluster.local. 30 SRV 0 100 80 web.shop.svc.cluster.local.
        web.shop.svc.cluster.local. 30 SRV 0 100 53 web.shop.svc.cluster.local.
        _dns._udp.web.shop.svc.cluster.local. 30 SRV 0 100 53 web.shop.svc.cluster.local.";
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(inner, expected);
}

#[test]
fn a_transfer_is_of_a_whole_zone_that_is_not_a_reverse_one() {
    let (kit, _folder) = probed("");
    for name in ["svc.cluster.local", "local", "in-addr.arpa"] {
        assert_eq!(kit.ask(&Ask::new(&format!("{name} AXFR")).tcp()).rcode, "REFUSED", "{name}");
    }
}

#[test]
fn a_client_that_has_the_serial_number_gets_no_more_than_that() {
    let (kit, _folder) = probed("");
    assert_eq!(records(&kit, &Ask::new("cluster.local IXFR")).len(), 1);
    kit.clock.advance(std::time::Duration::from_secs(5));
    assert!(records(&kit, &Ask::new("cluster.local IXFR")).len() > 2);
}

#[test]
fn namespaces_that_are_left_out_are_not_transferred_but_name_servers_have_addresses() {
    let (kit, _folder) = probed("namespaces shop");
    let all = records(&kit, &Ask::new("cluster.local AXFR"));
    let of_empty: Vec<&String> =
        all.iter().filter(|record| record.contains(".empty.") && !record.contains(" NS ")).collect();
    let expected = [
        "dns.empty.svc.cluster.local. 5 A 10.96.0.10",
        "192-0-2-5.peers.empty.svc.cluster.local. 5 A 192.0.2.5",
        "192-0-2-6.peers.empty.svc.cluster.local. 5 A 192.0.2.6",
    ];
    assert_eq!(of_empty, expected);
}

#[test]
fn pods_that_are_known_have_a_search_path() {
    let (kit, _folder) = probed("pods verified");
    let ask = Ask::new("x.shop.svc.cluster.local HINFO");
    let path =
        ["shop.svc.cluster.local.", "svc.cluster.local.", "cluster.local.", "example.org.", "corp.example.", "."];
    assert_eq!(records(&kit, &ask.clone().from("10.1.0.7:4000")), path);
    assert_eq!(records(&kit, &ask.clone().from("[::ffff:10.1.0.7]:4000")), path);
    assert!(records(&kit, &ask.from("10.1.0.70:4000")).is_empty());
    let (insecure, _folder) = probed("pods insecure");
    assert!(records(&insecure, &Ask::new("x.cluster.local HINFO").from("10.1.0.7:4000")).is_empty());
}

#[test]
fn the_outside_reaches_services_by_external_addresses() {
    let (kit, _folder) = probed("");
    assert_eq!(records(&kit, &Ask::new("x.cluster.local X25")), ["dns", "front"]);
    let servers = records(&kit, &Ask::new("x.cluster.local LOC"));
    assert_eq!(servers, ["[192.0.2.80, 2001:db8::80]", "[192.0.2.80, 2001:db8::80, 192.0.2.5, 192.0.2.6]"]);
    let (limited, _folder) = probed("namespaces shop");
    assert_eq!(records(&limited, &Ask::new("x.cluster.local X25")), ["front"]);
}

#[test]
fn labels_tell_who_asks_and_for_what() {
    let (kit, _folder) = probed("pods verified\nzonal");
    let told = |name: &str, client: &str| records(&kit, &Ask::new(&format!("{name} RP")).from(client)).join(" ");
    let pod = "10.1.0.8:4000";
    assert_eq!(
        told("_http._TCP.Web.shop.svc.cluster.local", pod),
        "client-namespace=empty client-pod-name=q client-label/app=till port-name=http protocol=tcp endpoint= service=web namespace=shop kind=svc zone="
    );
    let stranger = "10.9.9.9:4000";
    assert_eq!(
        told("db-0.db.shop.svc.cluster.local", stranger),
        "port-name= protocol= endpoint=db-0 service=db namespace=shop kind=svc zone="
    );
    assert_eq!(
        told("west.pin._zone.db.shop.svc.cluster.local", stranger),
        "port-name= protocol= endpoint= service=db namespace=shop kind=svc zone=west"
    );
    assert_eq!(
        told("shop.pod.cluster.local", stranger),
        "port-name= protocol= endpoint= service= namespace=shop kind=pod zone="
    );
    assert_eq!(told("svc.cluster.local", stranger), "port-name= protocol= endpoint= service= namespace= kind= zone=");
    assert_eq!(told("www.cluster.local", stranger), "parse-error=invalid query name");
}
