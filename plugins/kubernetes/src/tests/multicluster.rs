//! Zones of a set of clusters.

use catena_testkit::{Kit, Recipe};
use tempfile::TempDir;

use super::{ask, fs};
use crate::PLUGIN;

const WORLD: &str = "
kind: Service
metadata: {name: own, namespace: shop}
spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}
---
kind: EndpointSlice
metadata: {name: own-1, namespace: shop, labels: {kubernetes.io/service-name: own}}
endpoints: [{addresses: [10.1.0.9]}]
---
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceImport
metadata: {name: Web, namespace: shop}
spec: {type: ClusterSetIP, ips: [10.200.0.1, 'fd00::200'], ports: [{name: http, port: 80}]}
---
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceImport
metadata: {name: db, namespace: shop}
spec: {type: Headless, ports: [{name: pg, port: 5432}]}
---
kind: EndpointSlice
metadata: {name: db-east, namespace: shop, labels: {multicluster.kubernetes.io/service-name: db, multicluster.kubernetes.io/source-cluster: east}}
endpoints: [{addresses: [10.18.1.1], hostname: db-0, zone: a}, {addresses: [10.18.1.9], conditions: {ready: false}}]
ports: [{name: pg, port: 5432}]
---
kind: EndpointSlice
metadata: {name: db-west, namespace: shop, labels: {multicluster.kubernetes.io/service-name: db, multicluster.kubernetes.io/source-cluster: west}}
endpoints: [{addresses: [10.18.2.1], hostname: db-0}]
ports: [{name: pg, port: 5432}]
---
kind: EndpointSlice
metadata: {name: db-lost, namespace: shop, labels: {multicluster.kubernetes.io/service-name: db}}
endpoints: [{addresses: [10.18.3.1], hostname: db-9}]
ports: [{name: pg, port: 5432}]
";

fn server(properties: &str) -> (Kit, TempDir) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("world.yaml"), WORLD).unwrap();
    let (zones, path) = ("cluster.local clusterset.local in-addr.arpa", folder.path().display());
    let corefile =
        format!("{zones} {{\nkubernetes {{\nmanifests {path}\nmulticluster clusterset.local\n{properties}\n}}\n}}\n");
    (Recipe::new([PLUGIN], &corefile).build().map_err(|errors| errors[0].1.clone()).unwrap(), folder)
}

#[track_caller]
fn expect(properties: &str, pairs: &[(&str, &str)]) {
    let (kit, _folder) = server(properties);
    for (question, expected) in pairs {
        let expected = expected.replace("$", "db.shop.svc.clusterset.local.");
        assert_eq!(ask(&kit, question), expected, "{question}");
    }
}

#[test]
fn an_import_is_answered_in_its_zone_and_a_service_in_the_clusters_own() {
    expect(
        "",
        &[
            ("web.shop.svc.clusterset.local A", "NOERROR | web.shop.svc.clusterset.local. A 10.200.0.1"),
            ("web.shop.svc.clusterset.local AAAA", "NOERROR | web.shop.svc.clusterset.local. AAAA fd00::200"),
            (
                "_http._tcp.web.shop.svc.clusterset.local A",
                "NOERROR | _http._tcp.web.shop.svc.clusterset.local. A 10.200.0.1",
            ),
            ("_http._udp.web.shop.svc.clusterset.local A", "NXDOMAIN"),
            ("web.shop.svc.cluster.local A", "NXDOMAIN"),
            ("own.shop.svc.clusterset.local A", "NXDOMAIN"),
            ("own.shop.svc.cluster.local A", "NOERROR | own.shop.svc.cluster.local. A 10.96.0.1"),
            ("shop.svc.clusterset.local A", "NOERROR"),
            ("1.0.200.10.in-addr.arpa PTR", "NXDOMAIN"),
            ("1.1.18.10.in-addr.arpa PTR", "NXDOMAIN"),
        ],
    );
}

#[test]
fn endpoints_are_named_with_their_cluster() {
    expect(
        "",
        &[
            ("db.shop.svc.clusterset.local A", "NOERROR | $ A 10.18.1.1, $ A 10.18.2.1, $ A 10.18.3.1"),
            ("DB-0.East.db.shop.svc.clusterset.local A", "NOERROR | DB-0.East.$ A 10.18.1.1"),
            ("db-0.west.db.shop.svc.clusterset.local A", "NOERROR | db-0.west.$ A 10.18.2.1"),
            ("db-0.north.db.shop.svc.clusterset.local A", "NXDOMAIN"),
            ("db-0.db.shop.svc.clusterset.local A", "NXDOMAIN"),
            ("10-18-1-9.east.db.shop.svc.clusterset.local A", "NXDOMAIN"),
            (
                "db.shop.svc.clusterset.local SRV",
                "NOERROR | $ SRV 0 33 5432 db-0.east.$, $ SRV 0 33 5432 db-0.west.$, $ SRV 0 33 5432 db-9.$ | db-0.east.$ A 10.18.1.1, db-0.west.$ A 10.18.2.1, db-9.$ A 10.18.3.1",
            ),
            // One whose slice does not tell its cluster has a name without.
            ("db-9.db.shop.svc.clusterset.local A", "NOERROR | db-9.$ A 10.18.3.1"),
        ],
    );
}

#[test]
fn topology_zones_are_of_the_clusters_own_zone() {
    expect("zonal", &[("a.pin._zone.db.shop.svc.clusterset.local A", "NXDOMAIN")]);
}

#[test]
fn an_import_without_endpoints_is_empty_too() {
    expect(
        "ignore empty_service",
        &[
            ("web.shop.svc.clusterset.local A", "NXDOMAIN"),
            ("own.shop.svc.cluster.local A", "NOERROR | own.shop.svc.cluster.local. A 10.96.0.1"),
        ],
    );
}

#[test]
fn the_serial_number_of_its_zone_moves_with_changes_and_not_with_what_comes() {
    let (kit, folder) = server("");
    let serial = |zone: &str| {
        let seen = kit.ask_for(&format!("{zone} SOA"));
        seen.answer[0].split_whitespace().nth(6).unwrap().parse::<u32>().unwrap()
    };
    let first = serial("cluster.local");
    assert_eq!(serial("clusterset.local"), 0);
    assert!(first > 0);
    kit.clock.advance(std::time::Duration::from_secs(100));
    fs::write(folder.path().join("world.yaml"), WORLD.replace("name: http, port: 80", "name: http, port: 81")).unwrap();
    for _ in 0..50 {
        kit.wait(std::time::Duration::from_millis(100));
        if serial("clusterset.local") > 0 {
            assert_eq!((serial("clusterset.local"), serial("cluster.local")), (first + 100, first));
            return;
        }
    }
    panic!("the edit was not seen");
}
