//! A fake Kubernetes API server: discovery, list (with limit and continue) and watch over the objects of a
//! [`Store`], as client libraries' informers use them.

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::Error;
use crate::cluster::{self, RESOURCES, Store, Wanted};

/// How long a quiet watch goes without a bookmark.
const BOOKMARK_EVERY: Duration = Duration::from_secs(5);
/// How long a watch lives unless it says so itself, in seconds.
const WATCH_SECONDS: u64 = 600;
/// Events that wait for a slow client.
const EVENTS_MAX: usize = 64;
/// Marks the bookmark after which a streaming list is complete.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

type Reply = Response<BoxBody<Bytes, Infallible>>;

/// What the connections share.
#[derive(Debug)]
struct Shared {
    store: Mutex<Store>,
    /// Says that objects have changed.
    changed: watch::Sender<()>,
    /// Ends every connection that is open.
    end: watch::Sender<()>,
    /// Whether Events are refused.
    forbids_events: AtomicBool,
    port: u16,
}

impl Shared {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running API server; it ends when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

impl Cluster {
    /// Starts one with the objects of some manifests.
    ///
    /// # Errors
    /// When the manifests are wrong or the port is taken.
    pub async fn start(manifests: &str, port: u16) -> Result<Self, Error> {
        let store = Mutex::new(Store::new(manifests)?);
        let (changed, end) = (watch::Sender::new(()), watch::Sender::new(()));
        let shared = Shared { store, changed, end, forbids_events: AtomicBool::new(false), port };
        let mut cluster = Self { shared: Arc::new(shared), listening: None };
        cluster.end_outage().await?;
        Ok(cluster)
    }

    /// Creates or replaces objects.
    ///
    /// # Errors
    /// As [`Store::apply`].
    pub fn apply(&self, manifests: &str) -> Result<(), Error> {
        self.shared.store().apply(manifests)?;
        self.shared.changed.send_replace(());
        Ok(())
    }

    /// Deletes objects.
    ///
    /// # Errors
    /// As [`Store::delete`].
    pub fn delete(&self, manifests: &str) -> Result<(), Error> {
        self.shared.store().delete(manifests)?;
        self.shared.changed.send_replace(());
        Ok(())
    }

    /// Forgets history and ends all watches: resuming one gives 410.
    pub fn compact(&self) {
        self.shared.store().compact();
        self.shared.end.send_replace(());
    }

    /// From now on Events are refused, as by a Role that does not allow them.
    pub fn forbid_events(&self) {
        self.shared.forbids_events.store(true, Ordering::Relaxed);
    }

    /// The Events that were put on objects, the first one first: type, reason, and message.
    pub fn events(&self) -> Vec<(String, String, String)> {
        let wanted = |plural: &str| Wanted {
            group: String::new(),
            plural: plural.to_owned(),
            namespace: String::new(),
            labels: Vec::new(),
            fields: Vec::new(),
        };
        let mut found = self.shared.store().current(&wanted("events"));
        let version =
            |event: &Json| event["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse::<u64>().ok());
        found.sort_by_key(|event| version(event));
        let word = |event: &Json, key: &str| event[key].as_str().unwrap_or_default().to_owned();
        found.iter().map(|event| (word(event, "type"), word(event, "reason"), word(event, "message"))).collect()
    }

    /// From now on connections are refused, and those that are open end.
    pub async fn begin_outage(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
            // Its end is what counts, not that it was told to.
            let _ = listening.await;
        }
        self.shared.end.send_replace(());
    }

    /// Accepts connections again.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn end_outage(&mut self) -> Result<(), Error> {
        if self.listening.is_none() {
            let listener = bind_again(self.shared.port).await?;
            self.listening = Some(tokio::spawn(accept(listener, Arc::clone(&self.shared))));
        }
        Ok(())
    }

    /// What was asked since the start, each request once, sorted.
    pub fn requests(&self) -> Vec<String> {
        let mut requests = self.shared.store().requests.clone();
        requests.sort();
        requests.dedup();
        requests
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Its connections end with it.
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let end = shared.end.subscribe();
        connections.spawn(serve(stream, Arc::clone(&shared), end));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>, mut end: watch::Receiver<()>) {
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(handle(request, &shared).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // What clients do to a connection is no error of ours.
    tokio::select! {
        _ = connection => {}
        _ = end.changed() => {}
    }
}

/// Takes an Event, as clients put them on objects.
async fn create(request: Request<Incoming>, shared: &Shared) -> Reply {
    let refused = |code, reason, message: &str| status(code, reason, message);
    if shared.forbids_events.load(Ordering::Relaxed) {
        return refused(StatusCode::FORBIDDEN, "Forbidden", "events is forbidden");
    }
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let Ok(mut object) = serde_json::from_slice::<Json>(&body) else {
        return refused(StatusCode::BAD_REQUEST, "BadRequest", "no JSON");
    };
    let mut store = shared.store();
    let name = format!("{}{:x}", object["metadata"]["generateName"].as_str().unwrap_or_default(), store.version);
    object["metadata"]["name"] = json!(name);
    match store.apply(&object.to_string()) {
        Ok(()) => send(StatusCode::CREATED, &object),
        Err(error) => refused(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", &error.to_string()),
    }
}

async fn handle(request: Request<Incoming>, shared: &Arc<Shared>) -> Reply {
    let path = unescape(request.uri().path());
    let path = path.trim_end_matches('/');
    let query = parameters(request.uri().query().unwrap_or_default());
    let Some((resource, namespace, name)) = route(path) else {
        let missing = || status(StatusCode::NOT_FOUND, "NotFound", &format!("{path} not found"));
        return discovery(path, shared.port).unwrap_or_else(missing);
    };
    let selectors = ["labelSelector", "fieldSelector"];
    let chosen = selectors.into_iter().filter_map(|key| Some((key, query.get(key).filter(|value| !value.is_empty())?)));
    let noted: String = chosen.map(|(key, value)| format!(" {key}={value}")).collect();
    shared.store().requests.push(format!("{path}{noted}"));
    if request.method() == Method::POST && resource.2 == "events" {
        return create(request, shared).await;
    }
    if request.method() != Method::GET {
        return status(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "only GET is supported");
    }
    let (group, _, plural, ..) = resource;
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let view = View { resource, meta_only: accept.contains("as=PartialObjectMetadata") };
    if !name.is_empty() {
        let found = shared.store().object(group, plural, &namespace, &name);
        let missing = || status(StatusCode::NOT_FOUND, "NotFound", &format!("{plural} \"{name}\" not found"));
        return found.map_or_else(missing, |object| send(StatusCode::OK, &view.show(&object)));
    }
    let selector = |key: &str| cluster::terms(query.get(key).map(String::as_str).unwrap_or_default());
    let (labels, fields) = (selector("labelSelector"), selector("fieldSelector"));
    let wanted = Wanted { group: (*group).into(), plural: (*plural).into(), namespace, labels, fields };
    if is_true(&query, "watch") {
        return watch_reply(Watch { wanted, view, query, shared: Arc::clone(shared) });
    }
    list(&wanted, &view, &query, &shared.store())
}

type Resource = &'static (&'static str, &'static str, &'static str, &'static str, bool);

/// How objects are shown: whole, or their metadata alone.
#[derive(Debug, Clone, Copy)]
struct View {
    resource: Resource,
    meta_only: bool,
}

impl View {
    fn show(&self, object: &Json) -> Json {
        if self.meta_only {
            return json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]});
        }
        object.clone()
    }

    fn api_version(&self) -> String {
        let (group, version, ..) = self.resource;
        if group.is_empty() { (*version).into() } else { format!("{group}/{version}") }
    }

    fn list_head(&self) -> (String, String) {
        if self.meta_only {
            return ("PartialObjectMetadataList".into(), "meta.k8s.io/v1".into());
        }
        (format!("{}List", self.resource.3), self.api_version())
    }
}

/// The resource, the namespace and the name of a path.
fn route(path: &str) -> Option<(Resource, String, String)> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        _ => ("", rest),
    };
    let (plural, name) = (rest.first()?, rest.get(1).copied().unwrap_or_default());
    let known = RESOURCES.iter().find(|known| (known.0, known.1, known.2) == (group, version, *plural));
    Some((known?, namespace.into(), name.into()))
}

fn discovery(path: &str, port: u16) -> Option<Reply> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let body = match parts.as_slice() {
        ["version"] => json!({"major": "1", "minor": "34", "gitVersion": "v1.34.0", "platform": "linux/amd64"}),
        ["healthz" | "livez" | "readyz"] => return Some(body(StatusCode::OK, "text/plain", "ok".into())),
        ["api"] => json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs":
            [{"clientCIDR": "0.0.0.0/0", "serverAddress": format!("127.0.0.1:{port}")}]}),
        ["apis"] => json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups()}),
        ["apis", name] => {
            let mut group = groups().into_iter().find(|group| group["name"] == *name)?;
            group["kind"] = json!("APIGroup");
            group["apiVersion"] = json!("v1");
            group
        }
        ["api", version] => resources("", version)?,
        ["apis", group, version] => resources(group, version)?,
        _ => return None,
    };
    Some(send(StatusCode::OK, &body))
}

fn groups() -> Vec<Json> {
    let mut known: Vec<(&str, &str)> =
        RESOURCES.iter().map(|one| (one.0, one.1)).filter(|one| !one.0.is_empty()).collect();
    known.dedup();
    let shown = known.into_iter().map(|(group, version)| {
        let version = json!({"groupVersion": format!("{group}/{version}"), "version": version});
        json!({"name": group, "versions": [version], "preferredVersion": version})
    });
    shown.collect()
}

fn resources(group: &str, version: &str) -> Option<Json> {
    let of_group = RESOURCES.iter().filter(|known| (known.0, known.1) == (group, version));
    let shown: Vec<Json> = of_group
        .map(|(_, _, plural, kind, namespaced)| {
            json!({"name": plural, "singularName": kind.to_lowercase(), "namespaced": namespaced, "kind": kind,
            "verbs": ["get", "list", "watch"]})
        })
        .collect();
    let name = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    (!shown.is_empty())
        .then(|| json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": shown}))
}

fn list(wanted: &Wanted, view: &View, query: &HashMap<String, String>, store: &Store) -> Reply {
    let items = store.current(wanted);
    let number = |key: &str| query.get(key).and_then(|text| text.parse::<usize>().ok()).unwrap_or_default();
    let mut start = 0;
    if let Some((at, offset)) = query.get("continue").and_then(|token| token.split_once('.')) {
        if at.parse::<u64>().is_ok_and(|at| at < store.oldest) {
            return status(StatusCode::GONE, "Expired", "The provided continue parameter is too old");
        }
        start = offset.parse().unwrap_or_default();
    }
    let limit = if number("limit") == 0 { usize::MAX } else { number("limit") };
    let page: Vec<Json> = items.iter().skip(start).take(limit).map(|object| view.show(object)).collect();
    let end = start + page.len();
    let mut meta = json!({"resourceVersion": store.version.to_string()});
    if end < items.len() {
        meta["continue"] = json!(format!("{}.{end}", store.version));
        meta["remainingItemCount"] = json!(items.len() - end);
    }
    let (kind, version) = view.list_head();
    send(StatusCode::OK, &json!({"kind": kind, "apiVersion": version, "metadata": meta, "items": page}))
}

struct Watch {
    wanted: Wanted,
    view: View,
    query: HashMap<String, String>,
    shared: Arc<Shared>,
}

fn watch_reply(watch: Watch) -> Reply {
    let (events, receiver) = mpsc::channel(EVENTS_MAX);
    // Ends when the client is gone: then nobody takes its events.
    tokio::spawn(async move { watch.run(&events).await });
    let mut reply = Response::new(BodyExt::boxed(Events(receiver)));
    reply.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    reply
}

/// The chunks of a watch.
struct Events(mpsc::Receiver<Bytes>);

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

impl Watch {
    async fn run(self, events: &mpsc::Sender<Bytes>) -> Option<()> {
        let mut changed = self.shared.changed.subscribe();
        let bookmarks = is_true(&self.query, "allowWatchBookmarks");
        let mut at = self.begin(bookmarks, events).await?;
        let seconds = self.query.get("timeoutSeconds").and_then(|text| text.parse().ok()).unwrap_or(WATCH_SECONDS);
        let deadline = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < deadline {
            let (version, news) = {
                let store = self.shared.store();
                (store.version, store.since(at, &self.wanted))
            };
            for (kind, object) in news {
                emit(events, kind, &self.view.show(&object)).await?;
            }
            at = version;
            let quiet = deadline.min(Instant::now() + BOOKMARK_EVERY);
            tokio::select! {
                done = changed.changed() => done.ok()?,
                () = events.closed() => return None,
                () = tokio::time::sleep_until(quiet) => if bookmarks {
                    emit(events, "BOOKMARK", &self.bookmark(at, json!({}))).await?;
                },
            }
        }
        Some(())
    }

    /// What comes before the first change, and the version from which changes count.
    async fn begin(&self, bookmarks: bool, events: &mpsc::Sender<Bytes>) -> Option<u64> {
        let asked = self.query.get("resourceVersion").map(String::as_str).unwrap_or_default();
        let streaming = is_true(&self.query, "sendInitialEvents");
        if !streaming && !matches!(asked, "" | "0") {
            let (asked, oldest) = (asked.parse().unwrap_or_default(), self.shared.store().oldest);
            if asked < oldest {
                let text = format!("too old resource version: {asked} ({oldest})");
                emit(events, "ERROR", &status_object(StatusCode::GONE, "Expired", &text)).await?;
                return None;
            }
            return Some(asked);
        }
        let (version, objects) = {
            let store = self.shared.store();
            (store.version, store.current(&self.wanted))
        };
        for object in objects {
            emit(events, "ADDED", &self.view.show(&object)).await?;
        }
        if streaming && bookmarks {
            let notes = json!({"annotations": {INITIAL_EVENTS_END: "true"}});
            emit(events, "BOOKMARK", &self.bookmark(version, notes)).await?;
        }
        Some(version)
    }

    fn bookmark(&self, version: u64, mut meta: Json) -> Json {
        meta["resourceVersion"] = json!(version.to_string());
        meta["creationTimestamp"] = Json::Null;
        json!({"kind": self.view.resource.3, "apiVersion": self.view.api_version(), "metadata": meta})
    }
}

async fn emit(events: &mpsc::Sender<Bytes>, kind: &str, object: &Json) -> Option<()> {
    let line = format!("{}\n", json!({"type": kind, "object": object}));
    events.send(Bytes::from(line)).await.ok()
}

fn status_object(code: StatusCode, reason: &str, text: &str) -> Json {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": text,
        "reason": reason, "code": code.as_u16()})
}

fn status(code: StatusCode, reason: &str, text: &str) -> Reply {
    send(code, &status_object(code, reason, text))
}

fn send(code: StatusCode, object: &Json) -> Reply {
    body(code, "application/json", object.to_string())
}

fn body(code: StatusCode, kind: &'static str, text: String) -> Reply {
    let mut reply = Response::new(BodyExt::boxed(Full::new(Bytes::from(text))));
    *reply.status_mut() = code;
    reply.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    reply
}

fn is_true(query: &HashMap<String, String>, key: &str) -> bool {
    matches!(query.get(key).map(String::as_str), Some("true" | "1"))
}

fn parameters(query: &str) -> HashMap<String, String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let split = |pair: &str| {
        pair.split_once('=')
            .map_or_else(|| (pair.to_owned(), String::new()), |(key, value)| (key.to_owned(), value.to_owned()))
    };
    pairs.map(|pair| split(&pair.replace('+', " "))).map(|(key, value)| (unescape(&key), unescape(&value))).collect()
}

/// A text with its `%XX` replaced (RFC 3986, section 2.1).
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let pair = after.get(..2).filter(|_| *first == b'%').and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &after[2..];
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Binds a port again that was given up: for a moment it may be the other end of somebody's connection.
async fn bind_again(port: u16) -> Result<TcpListener, Error> {
    const TRIES: u32 = 100;
    for _ in 1..TRIES {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            bound => return Ok(bound?),
        }
    }
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?)
}
