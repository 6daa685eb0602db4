//! Endpoints in several slices, and more of them than a datagram holds.

use catena_testkit::{Ask, Kit, Recipe};
use tempfile::TempDir;

use super::{ask, fs};
use crate::PLUGIN;

fn server(world: &str) -> (Kit, TempDir) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("world.yaml"), world).unwrap();
    let zones = "cluster.local in-addr.arpa";
    let corefile = format!("{zones} {{\nkubernetes {{\nmanifests {}\n}}\n}}\n", folder.path().display());
    (Recipe::new([PLUGIN], &corefile).build().map_err(|errors| errors[0].1.clone()).unwrap(), folder)
}

fn slice(name: &str, endpoints: &str, ports: &str) -> String {
    format!(
        "---\nkind: EndpointSlice\nmetadata: {{name: {name}, labels: {{kubernetes.io/service-name: db}}}}\nendpoints: [{endpoints}]\nports: [{ports}]\n"
    )
}

const DB: &str = "kind: Service\nmetadata: {name: db}\nspec: {clusterIP: None, ports: [{name: pg, port: 5432}]}\n";
const PG: &str = "{name: pg, port: 5432}";

#[test]
fn endpoints_of_several_slices_are_one_answer_without_doubles() {
    let (kit, _folder) = server(
        &[
            DB,
            &slice("a", "{addresses: [10.1.0.1], hostname: db-0}, {addresses: [10.1.0.2], hostname: db-1}", PG),
            // While a controller moves endpoints, two slices have them.
            &slice("b", "{addresses: [10.1.0.2], hostname: db-1}, {addresses: [10.1.0.3]}", PG),
            &slice("c", "{addresses: [10.1.0.1], hostname: other}", "{name: admin, port: 8080}"),
            &slice("d", "", PG),
        ]
        .concat(),
    );
    let expect = |question: &str, expected: &str| {
        let expected = expected.replace('$', "db.default.svc.cluster.local.");
        assert_eq!(ask(&kit, &question.replace('$', "db.default.svc.cluster.local")), expected, "{question}");
    };
    expect("$ A", "NOERROR | $ A 10.1.0.1, $ A 10.1.0.2, $ A 10.1.0.3");
    expect("db-1.$ A", "NOERROR | db-1.$ A 10.1.0.2");
    expect("other.$ A", "NOERROR | other.$ A 10.1.0.1");
    expect("_pg._tcp.$ A", "NOERROR | _pg._tcp.$ A 10.1.0.1, _pg._tcp.$ A 10.1.0.2, _pg._tcp.$ A 10.1.0.3");
    expect("_admin._tcp.$ SRV", "NOERROR | _admin._tcp.$ SRV 0 100 8080 other.$ | other.$ A 10.1.0.1");
    expect(
        "_pg._tcp.$ SRV",
        "NOERROR | _pg._tcp.$ SRV 0 25 5432 10-1-0-3.$, _pg._tcp.$ SRV 0 25 5432 db-0.$, _pg._tcp.$ SRV 0 25 5432 db-1.$ | 10-1-0-3.$ A 10.1.0.3, db-0.$ A 10.1.0.1, db-1.$ A 10.1.0.2",
    );
    expect(
        "1.0.1.10.in-addr.arpa PTR",
        "NOERROR | 1.0.1.10.in-addr.arpa. PTR db-0.$, 1.0.1.10.in-addr.arpa. PTR other.$",
    );
}

#[test]
fn endpoints_with_one_host_name_share_it() {
    let (kit, _folder) = server(
        &[
            DB,
            &slice("a", "{addresses: [10.1.0.1, 10.1.0.2], hostname: db}, {addresses: [10.1.0.3], hostname: DB}", PG),
        ]
        .concat(),
    );
    let own = "db.db.default.svc.cluster.local";
    assert_eq!(
        ask(&kit, &format!("{own} A")),
        format!("NOERROR | {own}. A 10.1.0.1, {own}. A 10.1.0.2, {own}. A 10.1.0.3")
    );
}

#[test]
fn an_endpoint_that_is_not_ready_is_there_once_the_cluster_publishes_it() {
    // `publishNotReadyAddresses` makes the controller mark endpoints ready that are not; a manifest's pods are seen so, too.
    let pods = |publish: bool| {
        format!(
            "kind: Service\nmetadata: {{name: db}}\nspec: {{clusterIP: None, selector: {{app: db}}, publishNotReadyAddresses: {publish}}}\n---\nkind: Pod\nmetadata: {{name: db-0, labels: {{app: db}}}}\nspec: {{hostname: db-0, subdomain: db}}\nstatus: {{podIP: 10.1.0.1, conditions: [{{type: Ready, status: 'False'}}]}}\n"
        )
    };
    let own = "db-0.db.default.svc.cluster.local";
    assert_eq!(ask(&server(&pods(false)).0, &format!("{own} A")), "NXDOMAIN");
    assert_eq!(ask(&server(&pods(true)).0, &format!("{own} A")), format!("NOERROR | {own}. A 10.1.0.1"));
    let marked = [
        DB,
        &slice(
            "a",
            "{addresses: [10.1.0.1], hostname: db-0, conditions: {ready: true, serving: false, terminating: true}}",
            PG,
        ),
    ];
    assert_eq!(ask(&server(&marked.concat()).0, &format!("{own} A")), format!("NOERROR | {own}. A 10.1.0.1"));
}

#[test]
fn more_endpoints_than_a_datagram_holds_come_over_tcp_all_of_them() {
    let slices: String = (0..5)
        .map(|at| {
            let endpoints: Vec<String> = (0..100).map(|host| format!("{{addresses: [10.1.{at}.{host}]}}")).collect();
            slice(&format!("s-{at}"), &endpoints.join(", "), PG)
        })
        .collect();
    let (kit, _folder) = server(&[DB, &slices].concat());
    let question = Ask::new("db.default.svc.cluster.local A");
    for datagram in [question.clone(), question.clone().edns(1232, false)] {
        let seen = kit.ask(&datagram);
        assert!(seen.flags.contains(&"tc") && seen.answer.len() < 500, "{:?}", seen.flags);
    }
    let seen = kit.ask(&question.tcp());
    assert!(!seen.flags.contains(&"tc"));
    assert_eq!(seen.answer.len(), 500);
    let services = kit.ask(&Ask::new("_pg._tcp.db.default.svc.cluster.local SRV").tcp());
    assert!(!services.flags.contains(&"tc"), "{} records", services.answer.len());
    assert_eq!((services.answer.len(), services.additional.len()), (500, 500));
}
