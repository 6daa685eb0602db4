//! *kubernetes* and *k8s_external* behind *dnssec*, with an API server of objects that have every kind of name.

use catena_tests::api::Cluster;

use crate::support::Found::{Denial, Insecure, Records};
use crate::support::{Server, free_port};

const OBJECTS: &str = r#"
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {type: LoadBalancer, clusterIP: 10.96.1.1, clusterIPs: [10.96.1.1, "fd00:96::1"], ports: [{name: http, port: 80, protocol: TCP}], externalIPs: [192.0.2.1]}
status: {loadBalancer: {ingress: [{ip: "2001:db8::3"}]}}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {type: ClusterIP, clusterIP: None, clusterIPs: [None], ports: [{name: pg, port: 5432, protocol: TCP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-1, namespace: shop, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
ports: [{name: pg, port: 5432, protocol: TCP}]
endpoints:
  - {addresses: [10.1.0.1], hostname: db-0, conditions: {ready: true}}
  - {addresses: [10.1.0.2], conditions: {ready: true}}
---
apiVersion: v1
kind: Service
metadata: {name: own, namespace: shop}
spec: {type: ExternalName, externalName: web.shop.svc.cluster.local}
---
apiVersion: v1
kind: Service
metadata: {name: gone, namespace: shop}
spec: {type: ExternalName, externalName: missing.shop.svc.cluster.local}
---
apiVersion: v1
kind: Service
metadata: {name: away, namespace: shop}
spec: {type: ExternalName, externalName: www.example.com}
---
apiVersion: v1
kind: Service
metadata: {name: lb, namespace: shop}
spec: {type: LoadBalancer, clusterIP: 10.96.1.2, clusterIPs: [10.96.1.2], ports: [{name: dns, port: 53, protocol: UDP}]}
status: {loadBalancer: {ingress: [{hostname: web.shop.example.org}]}}
"#;

/// An API server with the objects, on a thread of its own.
struct Api {
    port: u16,
    _runtime: tokio::runtime::Runtime,
    _cluster: Cluster,
}

impl Api {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let port = free_port();
        let cluster = runtime.block_on(Cluster::start(OBJECTS, port)).unwrap();
        Self { port, _runtime: runtime, _cluster: cluster }
    }
}

#[test]
fn answers_of_kubernetes_are_validated() {
    let api = Api::start();
    let body =
        format!("kubernetes cluster.local in-addr.arpa {{\nendpoint http://127.0.0.1:{}\npods insecure\n}}", api.port);
    let zones = ["cluster.local", "in-addr.arpa"];
    let server = Server::start(&zones, &[], &body, "", ("web.shop.svc.cluster.local", "A"));
    server.check(&[
        ("cluster.local", "SOA", Records),
        ("cluster.local", "DNSKEY", Records),
        ("dns-version.cluster.local", "TXT", Records),
        ("web.shop.svc.cluster.local", "A", Records),
        ("Web.Shop.svc.CLUSTER.local", "AAAA", Records),
        ("web.shop.svc.cluster.local", "SRV", Records),
        ("_http._tcp.web.shop.svc.cluster.local", "SRV", Records),
        ("db.shop.svc.cluster.local", "A", Records),
        ("db.shop.svc.cluster.local", "SRV", Records),
        ("_pg._tcp.db.shop.svc.cluster.local", "SRV", Records),
        ("db-0.db.shop.svc.cluster.local", "A", Records),
        ("10-1-0-2.db.shop.svc.cluster.local", "A", Records),
        ("10-1-0-9.shop.pod.cluster.local", "A", Records),
        ("own.shop.svc.cluster.local", "A", Records),
        ("own.shop.svc.cluster.local", "CNAME", Records),
        ("away.shop.svc.cluster.local", "CNAME", Records),
        ("away.shop.svc.cluster.local", "A", Insecure),
        ("1.1.96.10.in-addr.arpa", "PTR", Records),
        ("1.0.1.10.in-addr.arpa", "PTR", Records),
        ("in-addr.arpa", "SOA", Records),
        ("missing.shop.svc.cluster.local", "A", Denial),
        ("missing.svc.cluster.local", "A", Denial),
        ("missing.cluster.local", "A", Denial),
        ("web.shop.svc.cluster.local", "TXT", Denial),
        ("web.shop.svc.cluster.local", "DS", Denial),
        ("shop.svc.cluster.local", "A", Denial),
        ("svc.cluster.local", "A", Denial),
        ("cluster.local", "A", Denial),
        // Nobody is told of addresses of loopback.
        ("cluster.local", "NS", Denial),
        ("db-0.db.shop.svc.cluster.local", "AAAA", Denial),
        ("_http._udp.web.shop.svc.cluster.local", "SRV", Denial),
        ("9.1.96.10.in-addr.arpa", "PTR", Denial),
    ]);
}

#[test]
fn answers_of_k8s_external_are_validated() {
    let api = Api::start();
    let body = format!(
        "kubernetes cluster.local {{\nendpoint http://127.0.0.1:{}\n}}\nk8s_external example.org {{\nheadless\n}}",
        api.port
    );
    let zones = ["example.org", "cluster.local"];
    let server = Server::start(&zones, &[], &body, "", ("web.shop.example.org", "A"));
    server.check(&[
        ("example.org", "SOA", Records),
        ("example.org", "NS", Records),
        ("example.org", "DNSKEY", Records),
        ("web.shop.example.org", "A", Records),
        ("web.shop.example.org", "AAAA", Records),
        ("web.shop.example.org", "SRV", Records),
        ("_http._tcp.web.shop.example.org", "SRV", Records),
        ("db.shop.example.org", "A", Records),
        ("db-0.db.shop.example.org", "A", Records),
        ("lb.shop.example.org", "A", Records),
        ("web.shop.svc.cluster.local", "A", Records),
        ("web.shop.example.org", "TXT", Denial),
        ("web.shop.example.org", "DS", Denial),
        // Aliases are for those who want addresses.
        ("lb.shop.example.org", "CNAME", Denial),
        ("missing.shop.example.org", "A", Denial),
        ("missing.example.org", "A", Denial),
        ("example.org", "A", Denial),
        // Nobody is told of addresses of loopback.
        ("ns1.dns.example.org", "A", Denial),
        ("_http._udp.web.shop.example.org", "SRV", Denial),
    ]);
}
