#![allow(clippy::unwrap_used, clippy::expect_used)]
//! The index against hand-made objects, and against a naive model over random histories.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::types;

fn index() -> Index {
    Index::with_clock(Keep::default(), Arc::new(Quiet), Arc::new(|| 1000))
}

fn service(namespace: &str, name: &str, spec: serde_json::Value) -> types::Service {
    serde_json::from_value(json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec})).unwrap()
}

fn slice(namespace: &str, name: &str, owner: &str, endpoints: serde_json::Value) -> types::EndpointSlice {
    serde_json::from_value(json!({
        "metadata": {"namespace": namespace, "name": name, "labels": {"kubernetes.io/service-name": owner}},
        "endpoints": endpoints, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
    }))
    .unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn labels(entry: &Entry) -> Vec<String> {
    entry.endpoints().map(|(_, endpoint)| endpoint.label().to_string()).collect()
}

#[test]
fn finds_a_service_in_any_case_and_by_its_addresses() {
    let index = index();
    index.apply_service(&service(
        "shop",
        "web",
        json!({"clusterIPs": ["10.96.0.1", "fd00::1"], "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}),
    ));
    let entry = index.service(b"SHOP", b"Web").unwrap();
    assert_eq!((entry.namespace(), entry.name()), ("shop", "web"));
    let found = entry.service().unwrap();
    assert_eq!(found.kind, ServiceKind::ClusterIp);
    assert_eq!(&*found.cluster_ips, [ip("10.96.0.1"), ip("fd00::1")]);
    assert_eq!(index.services_at(ip("fd00::1"))[0].name(), "web");
    assert!(index.service(b"shop", b"we").is_none());
    assert!(index.services_at(ip("10.96.0.2")).is_empty());
}

#[test]
fn keeps_namespace_and_name_apart() {
    let index = index();
    index.apply_service(&service("a", "bc", json!({"clusterIP": "10.0.0.1"})));
    assert!(index.service(b"ab", b"c").is_none());
    assert!(index.service(b"a", b"bc").is_some());
}

#[test]
fn a_name_longer_than_a_label_is_never_found() {
    let index = index();
    let long = "x".repeat(LABEL_MAX + 1);
    index.apply_service(&service("a", &long, json!({"clusterIP": "10.0.0.1"})));
    index.apply_namespace(&long);
    assert!(index.service(b"a", long.as_bytes()).is_none());
    assert!(!index.has_namespace(long.as_bytes()));
    let longest = "x".repeat(LABEL_MAX);
    index.apply_service(&service(&longest, &longest, json!({"clusterIP": "10.0.0.1"})));
    assert!(index.service(longest.as_bytes(), longest.as_bytes()).is_some());
}

#[test]
fn tells_headless_external_and_unaddressed_services_apart() {
    let index = index();
    index.apply_service(&service("a", "headless", json!({"clusterIP": "None"})));
    index.apply_service(&service("a", "external", json!({"type": "ExternalName", "externalName": "www.example.org"})));
    index.apply_service(&service("a", "bare", json!({"type": "ClusterIP"})));
    let kind = |name: &[u8]| index.service(b"a", name).unwrap().service().unwrap().kind.clone();
    assert_eq!(kind(b"headless"), ServiceKind::Headless);
    assert_eq!(kind(b"external"), ServiceKind::ExternalName("www.example.org".into()));
    assert_eq!(kind(b"bare"), ServiceKind::Headless);
}

#[test]
fn an_object_without_ports_has_one_port_without_a_number() {
    let index = index();
    index.apply_service(&service("a", "b", json!({"clusterIP": "10.0.0.1"})));
    let entry = index.service(b"a", b"b").unwrap();
    assert_eq!(entry.service().unwrap().ports.len(), 1);
    assert_eq!(entry.service().unwrap().ports[0].number, None);
    assert!(!entry.service().unwrap().ports[0].matches(b"http", b"tcp"));
    assert!(entry.service().unwrap().ports[0].matches(b"", b""));
}

#[test]
fn leaves_out_endpoints_that_are_not_ready() {
    let index = index();
    index.apply_slice(&slice(
        "a",
        "b-1",
        "b",
        json!([{"addresses": ["10.0.0.1"], "conditions": {"ready": false}}, {"addresses": ["10.0.0.2"]},
            {"addresses": ["10.0.0.3"], "conditions": {"ready": true}}]),
    ));
    assert_eq!(labels(&index.service(b"a", b"b").unwrap()), ["10-0-0-2", "10-0-0-3"]);
    assert!(index.endpoints_at(ip("10.0.0.1")).is_empty());
}

#[test]
fn names_endpoints_by_host_then_pod_then_address() {
    let index = Index::new(Keep { pod_names: true, ..Keep::default() }, Arc::new(Quiet));
    let long = "p".repeat(LABEL_MAX + 1);
    index.apply_slice(&slice(
        "a",
        "b-1",
        "b",
        json!([{"addresses": ["10.0.0.1"], "hostname": "Db-0", "targetRef": {"name": "pod-0"}},
            {"addresses": ["10.0.0.2"], "targetRef": {"name": "pod-1"}}, {"addresses": ["10.0.0.3"], "targetRef": {"name": long}},
            {"addresses": ["fd00::"]}]),
    ));
    let entry = index.service(b"a", b"b").unwrap();
    assert_eq!(labels(&entry), ["Db-0", "pod-1", "10-0-0-3", "fd00--0"]);
    assert!(entry.endpoints().next().unwrap().1.is_called(b"dB-0"));
}

#[test]
fn a_slice_whose_label_moves_leaves_its_old_service() {
    let index = index();
    index.apply_slice(&slice("a", "s", "one", json!([{"addresses": ["10.0.0.1"]}])));
    index.apply_slice(&slice("a", "s", "two", json!([{"addresses": ["10.0.0.1"]}])));
    assert!(index.service(b"a", b"one").is_none());
    assert_eq!(index.endpoints_at(ip("10.0.0.1")).len(), 1);
    assert_eq!(index.endpoints_at(ip("10.0.0.1"))[0].name(), "two");
}

#[test]
fn a_repeated_list_deletes_what_it_does_not_hold() {
    let index = index();
    let fill = |names: &[&str]| {
        for kind in Kind::ALL {
            index.begin(kind);
        }
        for name in names {
            index.apply_service(&service("a", name, json!({"clusterIP": "10.0.0.1"})));
            index.apply_slice(&slice("a", &format!("{name}-1"), name, json!([{"addresses": ["10.1.0.1"]}])));
            index.apply_namespace(name);
        }
        for kind in Kind::ALL {
            index.finish(kind);
        }
    };
    fill(&["x", "y"]);
    fill(&["y", "z"]);
    assert!(index.service(b"a", b"x").is_none() && !index.has_namespace(b"x"));
    assert!(index.service(b"a", b"y").is_some() && index.has_namespace(b"y"));
    assert_eq!(index.services_at(ip("10.0.0.1")).len(), 2);
    fill(&[]);
    assert_eq!(index.sizes(), (0, 0, 0, 0, 0));
}

#[test]
fn a_list_that_broke_off_deletes_nothing() {
    let index = index();
    index.begin(Kind::Services);
    index.apply_service(&service("a", "x", json!({"clusterIP": "10.0.0.1"})));
    index.finish(Kind::Services);
    index.begin(Kind::Services);
    index.begin(Kind::Services);
    index.apply_service(&service("a", "x", json!({"clusterIP": "10.0.0.1"})));
    assert!(index.service(b"a", b"x").is_some());
    index.finish(Kind::Services);
    assert!(index.service(b"a", b"x").is_some());
}

#[test]
fn is_in_step_once_every_required_kind_was_listed() {
    let index = index();
    assert!(!index.is_synced());
    index.require(Kinds::of(&[Kind::Services, Kind::Namespaces]));
    index.begin(Kind::Services);
    index.finish(Kind::Services);
    assert!(!index.is_synced());
    index.begin(Kind::Namespaces);
    index.finish(Kind::Namespaces);
    assert!(index.is_synced());
    index.heard(Kind::Services, false);
    assert!(index.is_synced());
}

#[test]
fn the_serial_moves_with_what_answers_show() {
    static NOW: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let index = Index::with_clock(Keep::default(), Arc::new(Quiet), Arc::new(|| NOW.fetch_add(1, Ordering::Relaxed)));
    index.keep_external();
    let moved = |apply: &dyn Fn(&Index)| {
        let before = (index.serial(), index.serial_external());
        apply(&index);
        (index.serial() != before.0, index.serial_external() != before.1)
    };
    let web = |spec| service("a", "web", spec);
    assert_eq!(moved(&|i| i.apply_service(&web(json!({"clusterIP": "10.0.0.1"})))), (true, false));
    assert_eq!(moved(&|i| i.apply_service(&web(json!({"clusterIP": "10.0.0.2"})))), (false, false));
    assert_eq!(
        moved(&|i| i.apply_service(&web(json!({"clusterIP": "10.0.0.2", "ports": [{"port": 1}]})))),
        (true, true)
    );
    let external = json!({"clusterIP": "10.0.0.2", "ports": [{"port": 1}], "externalIPs": ["192.0.2.1"]});
    assert_eq!(moved(&|i| i.apply_service(&web(external.clone()))), (false, true));
    assert_eq!(moved(&|i| i.apply_service(&web(external.clone()))), (false, false));
    assert_eq!(moved(&|i| i.apply_namespace("a")), (false, false));
    assert_eq!(moved(&|i| i.apply_slice(&slice("a", "s", "web", json!([])))), (true, false));
    assert_eq!(moved(&|i| i.delete_slice("a", "s")), (true, false));
    assert_eq!(moved(&|i| i.delete_service("a", "web")), (true, false));
}

#[test]
fn external_addresses_are_kept_once_somebody_asks_for_them() {
    let index = index();
    let front = service("shop", "front", json!({"clusterIP": "10.0.0.1", "externalIPs": ["192.0.2.1", "192.0.2.2"]}));
    index.apply_service(&front);
    assert!(index.services_outside(ip("192.0.2.1")).is_empty());
    index.keep_external();
    index.apply_service(&front);
    assert_eq!(index.services_outside(ip("192.0.2.1"))[0].name(), "front");
    index.apply_service(&service("shop", "front", json!({"clusterIP": "10.0.0.1", "externalIPs": ["192.0.2.2"]})));
    assert!(index.services_outside(ip("192.0.2.1")).is_empty());
    assert_eq!(index.services_outside(ip("192.0.2.2")).len(), 1);
    index.delete_service("shop", "front");
    assert!(index.services_outside(ip("192.0.2.2")).is_empty());
}

#[test]
fn imports_are_services_of_their_own_with_endpoints_by_cluster() {
    let keep = Keep { imports: true, ..Keep::default() };
    let index = Index::with_clock(keep, Arc::new(Quiet), Arc::new(|| 1000));
    let imports = index.imports().unwrap();
    let import: types::ServiceImport = serde_json::from_value(
        json!({"metadata": {"namespace": "a", "name": "db"}, "spec": {"type": "Headless", "ips": []}}),
    )
    .unwrap();
    let mut east = slice("a", "s-east", "own", json!([{"addresses": ["10.1.0.1"], "hostname": "db-0"}]));
    east.metadata.labels.import = Some("db".to_owned());
    east.metadata.labels.cluster = Some("east".to_owned());
    imports.apply_import(&import);
    imports.apply_import_slice(&east);
    let entry = imports.service(b"a", b"db").unwrap();
    assert_eq!(entry.service().unwrap().kind, ServiceKind::Headless);
    let clusters: Vec<_> = entry.endpoints().map(|(_, endpoint)| endpoint.cluster).collect();
    assert_eq!(clusters, [Some("east")]);
    assert!(index.service(b"a", b"db").is_none() && imports.service(b"a", b"own").is_none());
    // What comes shows in the serial number of the cluster's own zone, what changes in that of the set of clusters.
    assert_eq!((index.serial(), imports.serial_updated()), (1000, 0));
    east.metadata.labels.cluster = Some("west".to_owned());
    imports.apply_import_slice(&east);
    assert_eq!(imports.serial_updated(), 1000);
    assert!(!index.is_synced());
    index.require(Kinds::of(&[Kind::Services]));
    index.finish(Kind::Services);
    assert!(!index.is_synced(), "the imports are not");
    imports.finish(Kind::Services);
    imports.finish(Kind::Slices);
    assert!(index.is_synced());
}

#[test]
fn labels_of_pods_are_kept_once_somebody_asks_for_them() {
    let index = index();
    let pod = |name: &str, app: &str| -> types::Pod<types::AllLabels> {
        let metadata = json!({"namespace": "a", "name": name, "labels": {"app": app}});
        serde_json::from_value(json!({"metadata": metadata, "status": {"podIP": "10.1.0.1"}})).unwrap()
    };
    index.apply_pod(&pod("y", "till"));
    assert_eq!(index.pod_at(ip("10.1.0.1")).unwrap().label("app"), None);
    index.keep_pod_labels();
    index.apply_pod(&pod("y", "till"));
    assert_eq!(index.pod_at(ip("10.1.0.1")).unwrap().label("app"), Some("till"));
    index.apply_pod(&pod("y", "shop"));
    assert_eq!(index.pod_at(ip("10.1.0.1")).unwrap().label("app"), Some("shop"));
    // Of several pods with one address it is always the same.
    index.apply_pod(&pod("x", "first"));
    assert_eq!(index.pod_at(ip("10.1.0.1")).unwrap().name(), "x");
    assert_eq!(index.pods_at(ip("10.1.0.1")).len(), 2);
}

#[test]
fn pods_are_found_by_address_until_they_are_gone() {
    let index = index();
    let pod = |address: &str, deleted: bool| -> types::Pod {
        let stamp = deleted.then_some("2024-01-01T00:00:00Z");
        serde_json::from_value(json!({"metadata": {"namespace": "a", "name": "p", "deletionTimestamp": stamp}, "status": {"podIP": address}}))
            .unwrap()
    };
    index.apply_pod(&pod("10.0.0.1", false));
    index.apply_pod(&pod("10.0.0.2", false));
    assert!(index.pods_at(ip("10.0.0.1")).is_empty());
    index.apply_pod(&pod("10.0.0.3", true));
    assert_eq!(index.pods_at(ip("10.0.0.2"))[0].name(), "p");
    index.delete_pod("a", "p");
    assert!(index.pods_at(ip("10.0.0.2")).is_empty());
    assert_eq!(index.sizes(), (0, 0, 0, 0, 0));
}

#[test]
fn observers_hear_a_change_after_readers_can_see_it() {
    #[derive(Default)]
    struct Heard(Mutex<Vec<(String, bool)>>);
    impl Observer for Heard {
        fn changed(&self, _index: &Index, change: Change<'_>) {
            self.0.lock().unwrap().push((format!("{:?} {}", change.kind, change.name), change.deleted));
        }
    }
    let heard = Arc::new(Heard::default());
    let index = Index::new(Keep::default(), heard.clone());
    index.apply_slice(&slice("a", "s", "web", json!([])));
    index.apply_slice(&slice("a", "s", "web", json!([])));
    index.delete_slice("a", "s");
    assert_eq!(*heard.0.lock().unwrap(), [("Slices web".to_owned(), false), ("Slices web".to_owned(), true)]);
}

#[derive(Debug, Clone)]
enum Step {
    Service(u8, u8, bool),
    DropService(u8),
    Slice(u8, u8, Vec<u8>),
    DropSlice(u8),
    /// A repeated list of Services (`true`) or slices that holds only these.
    Relist(bool, BTreeSet<u8>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0_u8..6, 0_u8..8, any::<bool>()).prop_map(|(name, address, headless)| Step::Service(name, address, headless)),
        (0_u8..6).prop_map(Step::DropService),
        (0_u8..8, 0_u8..6, prop::collection::vec(0_u8..12, 0..5))
            .prop_map(|(name, owner, ips)| Step::Slice(name, owner, ips)),
        (0_u8..8).prop_map(Step::DropSlice),
        (any::<bool>(), prop::collection::btree_set(0_u8..8, 0..8))
            .prop_map(|(services, kept)| Step::Relist(services, kept)),
    ];
    prop::collection::vec(step, 1..60)
}

/// The world as plain maps.
#[derive(Default)]
struct Model {
    services: BTreeMap<u8, (u8, bool)>,
    slices: BTreeMap<u8, (u8, Vec<u8>)>,
}

fn given_service(name: u8, (address, headless): (u8, bool)) -> types::Service {
    let cluster_ip = if headless { "None".to_owned() } else { format!("10.96.0.{address}") };
    service("ns", &format!("s{name}"), json!({"clusterIP": cluster_ip}))
}

fn given_slice(name: u8, owner: u8, ips: &[u8]) -> types::EndpointSlice {
    let endpoints: Vec<_> = ips.iter().map(|last| json!({"addresses": [format!("10.1.0.{last}")]})).collect();
    slice("ns", &format!("e{name}"), &format!("s{owner}"), json!(endpoints))
}

fn play(index: &Index, model: &mut Model, step: Step) {
    match step {
        Step::Service(name, address, headless) => {
            model.services.insert(name, (address, headless));
            index.apply_service(&given_service(name, (address, headless)));
        }
        Step::DropService(name) => {
            model.services.remove(&name);
            index.delete_service("ns", &format!("s{name}"));
        }
        Step::Slice(name, owner, ips) => {
            index.apply_slice(&given_slice(name, owner, &ips));
            model.slices.insert(name, (owner, ips));
        }
        Step::DropSlice(name) => {
            model.slices.remove(&name);
            index.delete_slice("ns", &format!("e{name}"));
        }
        Step::Relist(true, kept) => {
            model.services.retain(|name, _| kept.contains(name));
            index.begin(Kind::Services);
            model.services.iter().for_each(|(name, spec)| index.apply_service(&given_service(*name, *spec)));
            index.finish(Kind::Services);
        }
        Step::Relist(false, kept) => {
            model.slices.retain(|name, _| kept.contains(name));
            index.begin(Kind::Slices);
            model.slices.iter().for_each(|(name, (owner, ips))| index.apply_slice(&given_slice(*name, *owner, ips)));
            index.finish(Kind::Slices);
        }
    }
}

fn agree(index: &Index, model: &Model) {
    for name in 0..6_u8 {
        let entry = index.service(b"ns", format!("S{name}").as_bytes());
        let slices: Vec<_> = model.slices.values().filter(|(owner, _)| *owner == name).collect();
        let spec = model.services.get(&name);
        assert_eq!(entry.is_some(), spec.is_some() || !slices.is_empty());
        let Some(entry) = entry else { continue };
        assert_eq!(entry.service().map(|service| service.kind == ServiceKind::Headless), spec.map(|spec| spec.1));
        let expected: Vec<IpAddr> =
            slices.iter().flat_map(|(_, ips)| ips.iter().map(|last| ip(&format!("10.1.0.{last}")))).collect();
        assert_eq!(entry.endpoints().map(|(_, endpoint)| endpoint.address).collect::<Vec<_>>(), expected);
    }
    for last in 0..12_u8 {
        let names =
            |entries: Vec<Arc<Entry>>| entries.iter().map(|entry| entry.name().to_owned()).collect::<BTreeSet<_>>();
        let holders = model
            .slices
            .values()
            .filter(|(_, ips)| ips.contains(&last))
            .map(|(owner, _)| format!("s{owner}"))
            .collect();
        assert_eq!(names(index.endpoints_at(ip(&format!("10.1.0.{last}")))), holders);
        let owners = model
            .services
            .iter()
            .filter(|(_, spec)| **spec == (last, false))
            .map(|(name, _)| format!("s{name}"))
            .collect();
        assert_eq!(names(index.services_at(ip(&format!("10.96.0.{last}")))), owners);
    }
    let addresses = model.slices.values().map(|(_, ips)| ips.len()).sum::<usize>();
    let (_, clusters, endpoints, slices, _) = index.sizes();
    assert_eq!((endpoints, slices), (addresses, model.slices.len()));
    assert_eq!(clusters, model.services.values().filter(|spec| !spec.1).count());
}

proptest! {
    #[test]
    fn agrees_with_a_naive_model_after_every_step(steps in steps()) {
        let index = index();
        let mut model = Model::default();
        for step in steps {
            play(&index, &mut model, step);
            agree(&index, &model);
        }
    }
}
