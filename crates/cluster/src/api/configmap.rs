//! One ConfigMap: read, followed, and spoken about in Events.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::BuildHasher as _;
use std::time::Duration;

use hyper::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use hyper::{Method, Request};
use kube::client::Body;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep, timeout};

use super::Timing;
use super::access::Api;
use super::lines::Lines;
use super::request::{Status, Trouble, collect, encode, innermost, piece};

/// The largest answer to a list; an API server takes no ConfigMap above 1 MiB.
const LIST_BYTES_MAX: usize = 4 << 20;
/// How much is read of the answer to an Event, and of an error.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// The longest wait that the API may ask for, seconds.
const RETRY_AFTER_SECONDS_MAX: u64 = 60;
/// A watch that lived shorter than this is followed by a pause, so that a server that hangs up at once is not asked at once.
const WATCH_MIN: Duration = Duration::from_secs(1);
/// The longest message of an Event, octets. An API server takes less than 1024.
pub const MESSAGE_BYTES_MAX: usize = 1000;

/// A ConfigMap as it was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigMap {
    /// `metadata.uid`
    pub uid: String,
    /// `metadata.resourceVersion`
    pub version: String,
    /// `data`; what is under `binaryData` is no Corefile.
    pub data: BTreeMap<String, String>,
}

/// What a follower has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The ConfigMap, new or changed or the same as before.
    Found(ConfigMap),
    /// There is none of that name.
    Missing,
    /// The API spoke, and nothing has changed.
    Heard,
    /// The API cannot be asked; it is asked again before long.
    Failed(String),
}

/// Whether an Event tells of something bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// `Normal`
    Normal,
    /// `Warning`
    Warning,
}

/// Something that happened to a ConfigMap.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Good or bad.
    pub kind: EventKind,
    /// One word, such as `CorefileRejected`.
    pub reason: &'a str,
    /// What happened; cut at [`MESSAGE_BYTES_MAX`].
    pub message: &'a str,
    /// When, as RFC 3339 in whole seconds.
    pub time: &'a str,
    /// The program that tells it.
    pub component: &'a str,
    /// The pod or host that it runs on.
    pub instance: &'a str,
}

/// Follows the ConfigMap of a name. It asks for list and watch of that object alone, so that a Role with `resourceNames` is enough.
#[derive(Debug)]
pub struct Follower {
    api: Api,
    namespace: String,
    name: String,
    timing: Timing,
}

#[derive(Default, Deserialize)]
struct Object {
    #[serde(default)]
    metadata: Meta,
    #[serde(default)]
    data: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
struct Meta {
    #[serde(default)]
    name: String,
    #[serde(default)]
    uid: String,
    #[serde(rename = "resourceVersion", default)]
    version: String,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    metadata: Meta,
    #[serde(default)]
    items: Option<Vec<Object>>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

impl From<Object> for ConfigMap {
    fn from(object: Object) -> Self {
        let Object { metadata, data } = object;
        Self { uid: metadata.uid, version: metadata.version, data: data.unwrap_or_default() }
    }
}

impl Follower {
    /// A follower that has not asked yet.
    pub fn new(api: Api, namespace: &str, name: &str, timing: Timing) -> Self {
        Self { api, namespace: namespace.to_owned(), name: name.to_owned(), timing }
    }

    /// Lists and watches for ever. After every watch that ends the object is listed again, so that nothing is missed: neither what a
    /// version that is gone (410) would have told, nor what happened while the API was away or would not let it be watched.
    pub async fn run(&self, see: &(dyn Fn(Seen) + Send + Sync)) {
        let mut pause = self.timing.pause_min;
        loop {
            let start = Instant::now();
            let ended = self.turn(see).await;
            let lived = start.elapsed() >= WATCH_MIN;
            if lived {
                pause = self.timing.pause_min;
            }
            let mut wait = pause;
            match ended {
                Ok(()) | Err(Trouble::Expired) if lived => continue,
                Ok(()) | Err(Trouble::Expired) => {}
                Err(trouble) => {
                    if let Trouble::Refused { retry_after: Some(asked), .. } = &trouble {
                        wait = wait.max(*asked);
                    }
                    see(Seen::Failed(trouble.to_string()));
                }
            }
            sleep(wait.mul_f64(1.0 + jitter() / 2.0)).await;
            pause = (pause * 2).min(self.timing.pause_max);
        }
    }

    /// One list and one watch.
    async fn turn(&self, see: &(dyn Fn(Seen) + Send + Sync)) -> Result<(), Trouble> {
        let body = self.ask(Method::GET, &self.path("limit=1"), Body::empty()).await?;
        let text = collect(body, LIST_BYTES_MAX, self.timing.silence_max).await?;
        let list: List = serde_json::from_slice(&text).map_err(|error| unreadable("list", &error))?;
        let found = list.items.into_iter().flatten().find(|item| item.metadata.name == self.name);
        see(found.map_or(Seen::Missing, |object| Seen::Found(object.into())));
        self.watch(&list.metadata.version, see).await
    }

    async fn watch(&self, version: &str, see: &(dyn Fn(Seen) + Send + Sync)) -> Result<(), Trouble> {
        let seconds = self.timing.watch.as_secs_f64() * (1.0 + jitter());
        let query =
            format!("watch=1&allowWatchBookmarks=true&timeoutSeconds={seconds:.0}&resourceVersion={}", encode(version));
        let mut body = self.ask(Method::GET, &self.path(&query), Body::empty()).await?;
        let silence_max = self.timing.silence_max + Duration::from_secs_f64(seconds);
        let mut lines = Lines::default();
        while let Some(piece) = piece(&mut body, silence_max).await? {
            lines.push(&piece).map_err(|_too_long| Trouble::Broken("a watch event is too long".to_owned()))?;
            while let Some(line) = lines.next() {
                if let Some(seen) = self.event(line)? {
                    see(seen);
                }
            }
        }
        if lines.is_open() { Err(Trouble::Broken("a watch event ends in the middle".to_owned())) } else { Ok(()) }
    }

    fn event(&self, line: &[u8]) -> Result<Option<Seen>, Trouble> {
        let line: Line<'_> = serde_json::from_slice(line).map_err(|error| unreadable("watch event", &error))?;
        let object = || serde_json::from_str::<Object>(line.object.get()).map_err(|error| unreadable("object", &error));
        match &*line.kind {
            "ADDED" | "MODIFIED" | "DELETED" => {
                let object = object()?;
                // A proxy may not know field selectors.
                let ours = object.metadata.name == self.name;
                let seen = if line.kind == "DELETED" { Seen::Missing } else { Seen::Found(object.into()) };
                Ok(ours.then_some(seen))
            }
            "BOOKMARK" => Ok(Some(Seen::Heard)),
            "ERROR" => {
                let status: Status = serde_json::from_str(line.object.get()).unwrap_or_default();
                Err(status.into_trouble(500, false, None))
            }
            other => Err(Trouble::Broken(format!("unknown watch event '{other}'"))),
        }
    }

    /// Puts an Event on the ConfigMap.
    ///
    /// # Errors
    /// Why there is none, in the API's words: most often that RBAC forbids it.
    pub async fn tell(&self, map: &ConfigMap, event: Event<'_>) -> Result<(), String> {
        let Event { kind, reason, message, time, component, instance } = event;
        let kind = if kind == EventKind::Warning { "Warning" } else { "Normal" };
        let object = json!({
            "kind": "ConfigMap", "apiVersion": "v1", "namespace": self.namespace, "name": self.name,
            "uid": map.uid, "resourceVersion": map.version,
        });
        let body = json!({
            "kind": "Event", "apiVersion": "v1",
            "metadata": {"generateName": format!("{}.", self.name), "namespace": self.namespace},
            "involvedObject": object, "type": kind, "reason": reason, "message": cut(message),
            "firstTimestamp": time, "lastTimestamp": time, "count": 1,
            "source": {"component": component, "host": instance},
            "reportingComponent": component, "reportingInstance": instance,
        });
        let path = format!("/api/v1/namespaces/{}/events", encode(&self.namespace));
        let answer = self.ask(Method::POST, &path, Body::from(body.to_string().into_bytes())).await;
        let answer = answer.map_err(|trouble| trouble.to_string())?;
        // It is read so that the connection can be used again; what it says is known.
        let _ = collect(answer, ANSWER_BYTES_MAX, self.timing.silence_max).await;
        Ok(())
    }

    fn path(&self, query: &str) -> String {
        let field = encode(&format!("metadata.name={}", self.name));
        format!("/api/v1/namespaces/{}/configmaps?{query}&fieldSelector={field}", encode(&self.namespace))
    }

    /// Asks, and returns the body of an answer that is not an error.
    async fn ask(&self, method: Method, path: &str, body: Body) -> Result<Body, Trouble> {
        let request = Request::builder().method(method).uri(path).header(ACCEPT, "application/json");
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        let request = request.map_err(|error| Trouble::Broken(error.to_string()))?;
        let silence_max = self.timing.silence_max;
        let answer = timeout(silence_max, self.api.client.send(request)).await;
        let response = answer
            .map_err(|_elapsed| Trouble::Broken(format!("no answer from {} in {silence_max:?}", self.api.host)))?
            .map_err(|error| Trouble::Broken(innermost(&error)))?;
        let code = response.status();
        if code.is_success() {
            return Ok(response.into_body());
        }
        let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let wait = asked.map(|seconds| Duration::from_secs(seconds.min(RETRY_AFTER_SECONDS_MAX)));
        let text = collect(response.into_body(), ANSWER_BYTES_MAX, silence_max).await.unwrap_or_default();
        Err(serde_json::from_slice::<Status>(&text).unwrap_or_default().into_trouble(code.as_u16(), false, wait))
    }
}

fn unreadable(what: &str, error: &serde_json::Error) -> Trouble {
    Trouble::Broken(format!("unreadable {what}: {error}"))
}

/// At most [`MESSAGE_BYTES_MAX`] of a text, with a mark where more would be.
fn cut(text: &str) -> Cow<'_, str> {
    const MARK: &str = "...";
    if text.len() <= MESSAGE_BYTES_MAX {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(MESSAGE_BYTES_MAX - MARK.len());
    Cow::Owned(format!("{}{MARK}", &text[..end]))
}

/// A number from 0 to 1 that spreads the requests of many servers.
fn jitter() -> f64 {
    let hash = foldhash::fast::RandomState::default().hash_one(0_u8);
    f64::from((hash >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::access::Access;
    use super::super::tests::{Answer, refused, serve};
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use tokio::task::JoinSet;

    /// What a follower of `dns/names` sees of a scripted API, until so many things were seen.
    async fn seen(count: usize, script: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Vec<Seen> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let access = Access::Endpoint { url: listener.local_addr().unwrap().to_string(), tls: None };
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::new(script)));
        let timing = Timing { pause_min: Duration::from_millis(10), ..Timing::default() };
        let follower = Follower::new(access.client().await.unwrap(), "dns", "names", timing);
        let all = Mutex::new(Vec::new());
        let enough = tokio::sync::Notify::new();
        let see = |seen| {
            let mut all = all.lock().unwrap();
            all.push(seen);
            if all.len() == count {
                enough.notify_one();
            }
        };
        tokio::select! {
            () = follower.run(&see) => {}
            () = enough.notified() => {}
            () = sleep(Duration::from_secs(10)) => {}
        }
        let mut all = all.lock().unwrap();
        all.truncate(count);
        std::mem::take(&mut all)
    }

    fn object(name: &str, text: &str) -> String {
        format!(r#"{{"metadata":{{"name":"{name}","uid":"u","resourceVersion":"7"}},"data":{{"Corefile":"{text}"}}}}"#)
    }

    fn list(items: &str) -> Answer {
        Answer::Whole(200, "", format!(r#"{{"metadata":{{"resourceVersion":"7"}},"items":[{items}]}}"#))
    }

    fn found(text: &str) -> Seen {
        let data = BTreeMap::from([("Corefile".to_owned(), text.to_owned())]);
        Seen::Found(ConfigMap { uid: "u".to_owned(), version: "7".to_owned(), data })
    }

    #[tokio::test]
    async fn follows_the_object_from_where_the_list_ended() {
        let event = |kind: &str, object: String| format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n");
        let seen = seen(5, move |target| {
            assert!(target.ends_with("&fieldSelector=metadata.name%3Dnames"), "{target}");
            match target {
                _ if target.contains("watch=1&") => {
                    assert!(target.contains("&resourceVersion=7&"), "{target}");
                    Answer::Stays(vec![
                        event("MODIFIED", object("names", "b")),
                        event("MODIFIED", object("others", "x")),
                        event("BOOKMARK", object("", "")),
                        event("DELETED", object("names", "b")),
                        event("ADDED", object("names", "c")),
                    ])
                }
                _ => list(&object("names", "a")),
            }
        });
        assert_eq!(seen.await, [found("a"), found("b"), Seen::Heard, Seen::Missing, found("c")]);
    }

    #[tokio::test]
    async fn what_may_not_be_watched_is_listed_again_and_again() {
        let lists = AtomicUsize::new(0);
        let seen = seen(4, move |target| match target {
            _ if target.contains("watch=1&") => refused(403, "", "configmaps is forbidden"),
            _ if lists.fetch_add(1, Ordering::Relaxed) == 0 => list(""),
            _ => list(&object("names", "a")),
        });
        let forbidden = || Seen::Failed("configmaps is forbidden".to_owned());
        assert_eq!(seen.await, [Seen::Missing, forbidden(), found("a"), forbidden()]);
    }

    #[tokio::test]
    async fn half_a_line_and_a_version_that_is_gone_lead_to_another_list() {
        let watches = AtomicUsize::new(0);
        let gone = r#"{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old"}}"#;
        let seen = seen(4, move |target| match target {
            _ if !target.contains("watch=1&") => list(&object("names", "a")),
            _ if watches.fetch_add(1, Ordering::Relaxed) == 0 => Answer::Ends(vec![format!("{gone}\n")]),
            _ => Answer::Ends(vec!["{\"type\":\"ADD".to_owned()]),
        });
        let half = Seen::Failed("a watch event ends in the middle".to_owned());
        assert_eq!(seen.await, [found("a"), found("a"), half, found("a")]);
    }

    #[test]
    fn a_message_may_be_as_long_as_the_limit_and_is_cut_beyond_between_characters() {
        let fits = "x".repeat(MESSAGE_BYTES_MAX);
        assert_eq!(cut(&fits), fits);
        let long = format!("{}{}", "x".repeat(MESSAGE_BYTES_MAX - 4), "ßßß");
        let told = cut(&long);
        assert_eq!(told.len(), MESSAGE_BYTES_MAX - 1);
        assert!(told.ends_with("x..."), "{told}");
    }
}
