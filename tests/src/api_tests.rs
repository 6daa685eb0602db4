//! The fake API answers as client libraries rely on.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use serde_json::Value as Json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::api::Cluster;
use crate::http::{self, Answer};
use crate::names::Ports;
use crate::value::parse;

const PODS: &str = "\
{apiVersion: v1, kind: Pod, metadata: {name: a}}
---
{apiVersion: v1, kind: Pod, metadata: {name: b}}
---
{apiVersion: v1, kind: Pod, metadata: {name: c}}
";
const D: &str = "{apiVersion: v1, kind: Pod, metadata: {name: d}}";

/// Another test may take the port that was found free before the cluster has it.
async fn cluster() -> (Cluster, u16) {
    for _ in 0..10 {
        let port = Ports::default().take().unwrap();
        if let Ok(cluster) = Cluster::start(PODS, port).await {
            return (cluster, port);
        }
    }
    panic!("there is no free port");
}

async fn get(port: u16, path: &str) -> (u16, Json) {
    let spec = parse(&format!("{{path: '{path}'}}")).unwrap();
    match http::ask(&spec, port, Duration::from_secs(5)).await.unwrap() {
        Answer::Status(status, body) => (status, serde_json::from_str(&body).unwrap_or_default()),
        Answer::Nothing(why) => (0, Json::from(why)),
    }
}

/// Opens a watch on pods.
async fn watch(port: u16, query: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("GET /api/v1/pods?watch=true&{query} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Reads on until the text has come.
async fn until(stream: &mut TcpStream, text: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(text) {
        let mut buffer = [0; 4096];
        let size = timeout(Duration::from_secs(5), stream.read(&mut buffer)).await.expect(&seen).unwrap();
        assert!(size > 0, "ended after {seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..size]));
    }
    seen
}

#[tokio::test]
async fn a_list_comes_in_pages() {
    let (_cluster, port) = cluster().await;
    let (_, first) = get(port, "/api/v1/pods?limit=2").await;
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let (_, last) = get(port, &format!("/api/v1/pods?limit=2&continue={token}")).await;
    assert_eq!(last["items"][0]["metadata"]["name"], "c");
    assert!(last["metadata"]["continue"].is_null());
}

#[tokio::test]
async fn a_streaming_list_ends_with_its_bookmark_and_goes_on_as_a_watch() {
    let (cluster, port) = cluster().await;
    let mut stream = watch(port, "sendInitialEvents=true&allowWatchBookmarks=true&resourceVersion=").await;
    let seen = until(&mut stream, "k8s.io/initial-events-end").await;
    assert_eq!(seen.matches("\"ADDED\"").count(), 3);
    cluster.apply(D).unwrap();
    until(&mut stream, "\"ADDED\"").await;
    cluster.delete(D).unwrap();
    until(&mut stream, "\"DELETED\"").await;
}

#[tokio::test]
async fn resuming_after_compaction_is_gone() {
    let (cluster, port) = cluster().await;
    let version = get(port, "/api/v1/pods").await.1["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let mut open = watch(port, &format!("resourceVersion={version}")).await;
    until(&mut open, "200 OK").await;
    cluster.compact();
    let mut rest = Vec::new();
    let _ = timeout(Duration::from_secs(5), open.read_to_end(&mut rest)).await.expect("the watch goes on");
    let mut again = watch(port, &format!("resourceVersion={version}")).await;
    assert!(until(&mut again, "too old").await.contains("410"));
}

#[tokio::test]
async fn an_outage_refuses_and_ends_connections_until_it_is_over() {
    let (mut cluster, port) = cluster().await;
    let mut open = watch(port, "").await;
    until(&mut open, "\"ADDED\"").await;
    cluster.begin_outage().await;
    assert_eq!(get(port, "/version").await, (0, Json::from("refused")));
    let mut rest = Vec::new();
    let _ = timeout(Duration::from_secs(5), open.read_to_end(&mut rest)).await.expect("the watch goes on");
    cluster.end_outage().await.unwrap();
    assert_eq!(get(port, "/version").await.0, 200);
}

#[tokio::test]
async fn requests_are_noted_with_their_selectors() {
    let (cluster, port) = cluster().await;
    get(port, "/api/v1/namespaces/default/pods?labelSelector=a%3Db%2Cc").await;
    get(port, "/apis").await;
    assert_eq!(get(port, "/api/v1/widgets").await.0, 404);
    assert_eq!(cluster.requests(), ["/api/v1/namespaces/default/pods labelSelector=a=b,c"]);
}
