//! A reload goes on with the watches of the block, if the block is as it was.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use catena_testkit::{Kit, Recipe};

use super::ask;
use crate::PLUGIN;

/// An API with one Service, which ends with the test's process; and how many lists it was asked for.
fn api() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, lists) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&lists);
    std::thread::spawn(move || {
        let open = Mutex::new(Vec::new());
        for stream in listener.incoming().map_while(Result::ok) {
            count.fetch_add(1, Ordering::SeqCst);
            open.lock().unwrap().push(answer(stream));
        }
    });
    (address, lists)
}

/// Streams a list, and leaves the watch open.
fn answer(mut stream: TcpStream) -> TcpStream {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let target = lines.next().unwrap_or_default();
    let _headers = lines.take_while(|line| !line.is_empty()).count();
    let meta = r#""namespace":"shop","resourceVersion":"1""#;
    let object = match () {
        () if target.contains("/services?") => {
            format!(r#"{{"metadata":{{"name":"web",{meta}}},"spec":{{"clusterIP":"10.96.0.1"}}}}"#)
        }
        () if target.contains("/namespaces?") => r#"{"metadata":{"name":"shop"}}"#.to_owned(),
        () => format!(r#"{{"metadata":{{"name":"none",{meta}}}}}"#),
    };
    let end = r#"{"metadata":{"resourceVersion":"2","annotations":{"k8s.io/initial-events-end":"true"}}}"#;
    let body = format!("{{\"type\":\"ADDED\",\"object\":{object}}}\n{{\"type\":\"BOOKMARK\",\"object\":{end}}}\n");
    stream.write_all(format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{body}").as_bytes()).unwrap();
    stream
}

fn build(corefile: &str, predecessor: Option<&Kit>) -> Kit {
    let mut recipe = Recipe::new([PLUGIN], corefile);
    if let Some(before) = predecessor {
        recipe.predecessor = Some(Arc::clone(before.instance()));
        recipe.metrics = Arc::clone(&before.metrics);
    }
    recipe.build().map_err(|errors| errors[0].1.clone()).unwrap()
}

#[test]
fn a_block_that_is_as_it_was_does_not_list_again() {
    let (address, lists) = api();
    let corefile = format!("cluster.local {{\nkubernetes {{\nendpoint http://{address}\n}}\n}}\n");
    let known = "NOERROR | web.shop.svc.cluster.local. A 10.96.0.1";
    let first = build(&corefile, None);
    assert_eq!(ask(&first, "web.shop.svc.cluster.local A"), known);
    assert_eq!(lists.load(Ordering::SeqCst), 3, "services, namespaces, endpointslices");
    let second = build(&corefile, Some(&first));
    let third = build(&corefile, Some(&second));
    drop((first, second));
    assert_eq!(ask(&third, "web.shop.svc.cluster.local A"), known);
    assert_eq!(lists.load(Ordering::SeqCst), 3);
    let changed = build(&corefile.replace("}\n}", "ttl 7\n}\n}"), Some(&third));
    assert_eq!(ask(&changed, "web.shop.svc.cluster.local A"), known);
    assert_eq!(lists.load(Ordering::SeqCst), 6);
}

#[test]
fn the_age_of_the_data_is_told_while_somebody_follows() {
    let (address, _lists) = api();
    let corefile = format!("cluster.local {{\nkubernetes {{\nendpoint http://{address}\n}}\n}}\n");
    let kit = build(&corefile, None);
    let series = "coredns_kubernetes_stale_seconds{zone=\"cluster.local.\"}";
    kit.wait(std::time::Duration::from_millis(50));
    assert_eq!(kit.metric(series), Some(0.0));
    let metrics = Arc::clone(&kit.metrics);
    drop(kit);
    let shown = metrics.registry().gather();
    assert!(shown.iter().all(|family| family.name() != "coredns_kubernetes_stale_seconds"), "nobody follows any more");
}

#[test]
fn the_age_grows_while_the_api_is_away() {
    let corefile = "cluster.local {\nkubernetes {\nendpoint http://127.0.0.1:1\nstartup_timeout 100ms\n}\n}\n";
    let kit = build(corefile, None);
    kit.clock.advance(std::time::Duration::from_secs(60));
    kit.wait(std::time::Duration::from_millis(1200));
    assert_eq!(kit.metric("coredns_kubernetes_stale_seconds{zone=\"cluster.local.\"}"), Some(60.0));
}
