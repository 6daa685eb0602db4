#![allow(clippy::unwrap_used, clippy::expect_used)]
//! The API source against a small scripted server.

mod outages;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;
use crate::index::{Keep, Level, Observer};

/// How the server answers one request.
pub(super) enum Answer {
    /// With a status, more headers and a body.
    Whole(u16, &'static str, String),
    /// With lines, and then an end of the body.
    Ends(Vec<String>),
    /// With lines, and then silence.
    Stays(Vec<String>),
    /// With lines, each so long after the one before, and then silence.
    Trickles(Duration, Vec<String>),
    /// With nothing for so long.
    Late(Duration),
}

pub(super) type Script = Arc<dyn Fn(&str) -> Answer + Send + Sync>;

pub(super) async fn serve(listener: TcpListener, script: Script) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(answer(stream, Arc::clone(&script)));
    }
}

async fn answer(mut stream: TcpStream, script: Script) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read_exact(&mut byte).await.is_err() {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1).unwrap();
    let (code, headers, body, stays) = match script(target) {
        Answer::Whole(code, headers, body) => (code, headers, body, false),
        Answer::Ends(lines) => (200, "", lines.concat(), false),
        Answer::Stays(lines) => (200, "", lines.concat(), true),
        Answer::Trickles(pause, lines) => return trickle(stream, pause, lines).await,
        Answer::Late(time) => return tokio::time::sleep(time).await,
    };
    let text = format!("HTTP/1.1 {code} X\r\nConnection: close\r\n{headers}\r\n{body}");
    stream.write_all(text.as_bytes()).await.unwrap();
    if stays {
        // Until the client hangs up.
        let _read = stream.read(&mut [0]).await;
    }
}

async fn trickle(mut stream: TcpStream, pause: Duration, lines: Vec<String>) {
    let head = "HTTP/1.1 200 X\r\nConnection: close\r\n\r\n".to_owned();
    for line in std::iter::once(head).chain(lines) {
        if stream.write_all(line.as_bytes()).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
    }
    let _read = stream.read(&mut [0]).await;
}

#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Observer for Log {
    fn log(&self, level: Level, line: &str) {
        self.0.lock().unwrap().push(format!("{level:?} {line}"));
    }
}

/// A server, an index that follows it, and what was logged. All of it ends with the value.
struct World {
    index: Arc<Index>,
    log: Arc<Log>,
    address: SocketAddr,
    server: Option<JoinSet<()>>,
    _source: JoinSet<()>,
}

impl World {
    async fn start(script: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        Self::patient(Duration::from_secs(5), script).await
    }

    async fn patient(silence_max: Duration, script: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Log::default());
        let index = Arc::new(Index::new(Keep::default(), log.clone()));
        let watches = Watches { slices: true, ..Watches::default() };
        index.require(watches.kinds());
        let access = Access::Endpoint { url: format!("http://{address}"), tls: None };
        let api = access.client().await.unwrap();
        let timing = Timing {
            pause_min: Duration::from_millis(20),
            pause_max: Duration::from_millis(50),
            silence_max,
            watch: Duration::from_secs(60),
        };
        let mut source = JoinSet::new();
        source.spawn(run(api, watches, timing, Arc::clone(&index)));
        let mut world = Self { index, log, address, server: None, _source: source };
        world.listen(listener, script);
        world
    }

    fn listen(&mut self, listener: TcpListener, script: impl Fn(&str) -> Answer + Send + Sync + 'static) {
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::new(script)));
        self.server = Some(server);
    }

    async fn until(&self, what: &str, seen: impl Fn(&Self) -> bool) {
        for _ in 0..500 {
            if seen(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {what}; log: {:?}", self.log.0.lock().unwrap());
    }

    fn knows(&self, name: &str) -> bool {
        self.index.service(b"shop", name.as_bytes()).is_some_and(|entry| entry.service().is_some())
    }

    fn logged(&self, part: &str) -> usize {
        self.log.0.lock().unwrap().iter().filter(|line| line.contains(part)).count()
    }
}

fn object(name: &str, version: u32) -> String {
    format!(
        r#"{{"metadata":{{"name":"{name}","namespace":"shop","resourceVersion":"{version}"}},"spec":{{"clusterIP":"10.96.0.1","ports":[{{"port":80}}]}}}}"#
    )
}

fn event(kind: &str, object: &str) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")
}

fn added(name: &str, version: u32) -> String {
    event("ADDED", &object(name, version))
}

fn listed(version: u32) -> String {
    let note = r#""annotations":{"k8s.io/initial-events-end":"true"}"#;
    event("BOOKMARK", &format!(r#"{{"metadata":{{"resourceVersion":"{version}",{note}}}}}"#))
}

fn gone() -> String {
    event("ERROR", r#"{"kind":"Status","code":410,"reason":"Expired","message":"too old"}"#)
}

pub(super) fn refused(code: u16, headers: &'static str, message: &str) -> Answer {
    Answer::Whole(code, headers, format!(r#"{{"kind":"Status","code":{code},"message":"{message}"}}"#))
}

/// Every kind but Services is empty, and streamed.
fn others(target: &str) -> Option<Answer> {
    (!target.starts_with("/api/v1/services")).then(|| Answer::Stays(vec![listed(1)]))
}

#[tokio::test]
async fn streams_a_list_and_then_follows_events() {
    let world = World::start(|target| {
        others(target).unwrap_or_else(|| {
            assert!(target.contains("sendInitialEvents=true"), "{target}");
            let changed = event("MODIFIED", &object("web", 5).replace("10.96.0.1", "10.96.0.2"));
            let lines = vec![
                added("web", 3),
                added("old", 1),
                listed(4),
                changed,
                event("DELETED", &object("old", 6)),
                added("new", 7),
            ];
            Answer::Stays(lines)
        })
    })
    .await;
    world.index.synced().await;
    world.until("new", |world| world.knows("new")).await;
    assert!(!world.knows("old"));
    assert_eq!(world.index.services_at("10.96.0.2".parse().unwrap()).len(), 1);
    assert_eq!(world.log.0.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn reads_pages_where_lists_are_not_streamed() {
    let world = World::start(|target| {
        others(target).unwrap_or_else(|| {
            let page = |name: &str, next: &str| {
                Answer::Whole(
                    200,
                    "",
                    format!(
                        r#"{{"metadata":{{"resourceVersion":"9","continue":"{next}"}},"items":[{}]}}"#,
                        object(name, 1)
                    ),
                )
            };
            match target {
                _ if target.contains("sendInitialEvents") => refused(422, "", "sendInitialEvents is forbidden"),
                _ if target.contains("continue=a%2Fb") => page("two", ""),
                _ if target.contains("limit=500") => page("one", "a/b"),
                _ if target.contains("resourceVersion=9") => Answer::Stays(vec![added("three", 10)]),
                _ => panic!("{target}"),
            }
        })
    })
    .await;
    world.index.synced().await;
    world.until("three", |world| world.knows("three")).await;
    assert!(world.knows("one") && world.knows("two"));
    assert_eq!(world.log.0.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn lists_again_after_410_and_forgets_what_vanished() {
    let lists = AtomicUsize::new(0);
    let world = World::start(move |target| {
        others(target).unwrap_or_else(|| match lists.fetch_add(1, Ordering::Relaxed) {
            0 => Answer::Ends(vec![added("kept", 1), added("vanished", 2), listed(2), gone()]),
            _ => Answer::Stays(vec![added("kept", 1), listed(9)]),
        })
    })
    .await;
    world.until("a second list", |world| world.knows("kept") && !world.knows("vanished")).await;
    assert!(world.index.is_synced());
    assert_eq!(world.log.0.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_forbidden_kind_is_said_once_and_keeps_the_index_out_of_step() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let world = World::start(move |target| {
        others(target).unwrap_or_else(|| {
            count.fetch_add(1, Ordering::Relaxed);
            refused(403, "", "services is forbidden: User cannot list")
        })
    })
    .await;
    world.until("three tries", |_| asked.load(Ordering::Relaxed) >= 3).await;
    assert_eq!(world.logged("Error Kubernetes API: services is forbidden: User cannot list"), 1);
    assert!(world.index.is_synced_kind(Kind::Namespaces) && !world.index.is_synced());
}

#[tokio::test]
async fn half_a_line_is_not_lost_but_asked_for_again() {
    let asked = AtomicUsize::new(0);
    let world = World::start(move |target| {
        others(target).unwrap_or_else(|| match asked.fetch_add(1, Ordering::Relaxed) {
            0 => Answer::Ends(vec![added("web", 1), listed(2), added("new", 3)[..30].to_owned()]),
            1 => Answer::Ends(vec!["{rubbish\n".to_owned()]),
            _ => {
                assert!(target.contains("resourceVersion=2"), "{target}");
                Answer::Stays(vec![added("new", 3)])
            }
        })
    })
    .await;
    world.until("new", |world| world.knows("new") && world.logged("in step again") == 1).await;
    assert!(world.knows("web"));
    assert_eq!(world.logged("a watch event ends in the middle; answering from what is known"), 1);
}

#[tokio::test]
async fn an_object_of_the_wrong_shape_is_skipped_and_said_once() {
    let wrong =
        |name: &str| event("ADDED", &format!(r#"{{"metadata":{{"name":"{name}","namespace":"shop"}},"spec":7}}"#));
    let world = World::start(move |target| {
        others(target).unwrap_or_else(|| Answer::Stays(vec![wrong("bad"), wrong("worse"), added("web", 1), listed(2)]))
    })
    .await;
    world.index.synced().await;
    assert!(world.knows("web") && !world.knows("bad"));
    assert_eq!(world.logged("Warning services: skipping shop/bad: "), 1);
    assert_eq!(world.log.0.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn answers_from_what_is_known_while_the_api_is_away_and_forgets_what_went_meanwhile() {
    let mut world = World::start(|target| {
        others(target).unwrap_or_else(|| Answer::Stays(vec![added("kept", 1), added("went", 2), listed(2)]))
    })
    .await;
    world.index.synced().await;
    world.server = None;
    world.until("notice", |world| world.logged("Error") > 0).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(world.knows("kept") && world.knows("went") && world.index.is_synced());
    let listener = TcpListener::bind(world.address).await.unwrap();
    world.listen(listener, |target| match target {
        _ if target.contains("sendInitialEvents") => {
            others(target).unwrap_or_else(|| Answer::Stays(vec![added("kept", 1), listed(9)]))
        }
        _ => Answer::Ends(vec![gone()]),
    });
    world.until("return", |world| !world.knows("went") && world.logged("in step again") == 1).await;
    assert!(world.knows("kept"));
    assert!(world.logged("Error") <= 2, "{:?}", world.log.0.lock().unwrap());
}

#[tokio::test]
async fn leaves_an_overloaded_api_alone_for_as_long_as_it_asks() {
    let asked = AtomicUsize::new(0);
    let start = tokio::time::Instant::now();
    let world = World::start(move |target| {
        others(target).unwrap_or_else(|| match asked.fetch_add(1, Ordering::Relaxed) {
            0 => refused(429, "Retry-After: 1\r\n", "slow down"),
            _ => Answer::Stays(vec![listed(1)]),
        })
    })
    .await;
    world.index.synced().await;
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(world.logged("slow down"), 1);
}

#[tokio::test]
async fn selectors_go_with_every_request() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let access = Access::Endpoint { url: listener.local_addr().unwrap().to_string(), tls: None };
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(
        listener,
        Arc::new(move |target| {
            record.lock().unwrap().push(target.to_owned());
            Answer::Stays(vec![listed(1)])
        }),
    ));
    let index = Arc::new(Index::new(Keep::default(), Arc::new(crate::Quiet)));
    let watches = Watches {
        slices: true,
        pods: true,
        labels: Selector::parse("app in (a, b)").unwrap(),
        namespace_labels: Selector::parse("env=dev").unwrap(),
    };
    index.require(watches.kinds());
    tasks.spawn(run(access.client().await.unwrap(), watches, Timing::default(), Arc::clone(&index)));
    index.synced().await;
    let seen = seen.lock().unwrap();
    let of = |path: &str| seen.iter().find(|target| target.split('?').next() == Some(path)).unwrap().clone();
    assert!(of("/api/v1/services").ends_with("&labelSelector=app%20in%20%28a%2Cb%29"));
    assert!(of("/api/v1/namespaces").ends_with("&labelSelector=env%3Ddev"));
    assert!(of("/api/v1/pods").contains("&fieldSelector=status.phase%21%3DSucceeded%2C"));
}

#[tokio::test]
async fn a_server_that_never_ends_a_streamed_list_is_asked_for_pages() {
    let world = World::patient(Duration::from_millis(100), |target| {
        others(target).unwrap_or_else(|| match target {
            _ if target.contains("sendInitialEvents") => Answer::Stays(vec![added("web", 1)]),
            _ if target.contains("limit=") => Answer::Whole(
                200,
                "",
                format!(r#"{{"metadata":{{"resourceVersion":"9"}},"items":[{}]}}"#, object("web", 1)),
            ),
            _ => Answer::Stays(vec![]),
        })
    })
    .await;
    world.index.synced().await;
    assert!(world.knows("web"));
}

#[tokio::test]
async fn a_streamed_list_that_breaks_off_is_streamed_again() {
    let asked = AtomicUsize::new(0);
    let world = World::start(move |target| {
        others(target).unwrap_or_else(|| {
            assert!(target.contains("sendInitialEvents"), "{target}");
            match asked.fetch_add(1, Ordering::Relaxed) {
                0 => Answer::Ends(vec![added("web", 1)]),
                _ => Answer::Stays(vec![added("web", 1), listed(2)]),
            }
        })
    })
    .await;
    world.index.synced().await;
    assert_eq!(world.logged("a streamed list ends in the middle"), 1);
}
