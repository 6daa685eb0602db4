//! Follows one kind of object: a streamed list, or pages, and then a watch that goes on where the last one ended.

use std::borrow::Cow;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use kube::client::Body;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep, timeout};

use super::Timing;
use super::access::Api;
use super::lines::{LINE_BYTES_MAX, Lines};
use super::outage::Outage;
use super::request::{PAGE_BYTES_MAX, Status, Trouble, collect, encode, get, piece};
use super::resource::Resource;
use crate::index::{Index, Kind, Level};

/// How many objects a page of a list has, at first.
const PAGE_OBJECTS_MAX: usize = 500;

/// A watch that lived shorter than this counts as a failure, so that a server that hangs up at once is not asked at once.
const WATCH_MIN: Duration = Duration::from_secs(1);

/// Follows one kind of object.
pub(super) struct Follower {
    kind: Kind,
    api: Api,
    selector: String,
    timing: Timing,
    index: Arc<Index>,
    outage: Arc<Outage>,
    /// Where a watch goes on; `None` means that all objects have to be listed.
    version: Option<String>,
    /// Whether lists are streamed.
    streams: bool,
    page: usize,
    said_unreadable: bool,
}

/// An event of a watch.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// A page of a list.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(default)]
    metadata: PageMeta,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
struct PageMeta {
    #[serde(rename = "resourceVersion", default)]
    resource_version: String,
    #[serde(rename = "continue", default)]
    next: Option<String>,
}

/// What a bookmark says, and every object's own version.
#[derive(Default, Deserialize)]
struct Bookmark {
    #[serde(default)]
    metadata: BookmarkMeta,
}

#[derive(Default, Deserialize)]
struct BookmarkMeta {
    #[serde(rename = "resourceVersion", default)]
    resource_version: String,
    #[serde(default)]
    annotations: Option<BookmarkAnnotations>,
}

#[derive(Default, Deserialize)]
struct BookmarkAnnotations {
    #[serde(rename = "k8s.io/initial-events-end", default)]
    initial_events_end: Option<String>,
}

impl Follower {
    pub(super) fn new(
        kind: Kind,
        api: Api,
        selector: &str,
        timing: Timing,
        index: Arc<Index>,
        outage: Arc<Outage>,
    ) -> Self {
        Self {
            kind,
            api,
            selector: selector.to_owned(),
            timing,
            index,
            outage,
            version: None,
            streams: true,
            page: PAGE_OBJECTS_MAX,
            said_unreadable: false,
        }
    }

    /// Lists and watches for ever.
    pub(super) async fn run<T: Resource>(mut self) {
        let mut pause = self.timing.pause_min;
        loop {
            let start = Instant::now();
            let ended = self.turn::<T>().await;
            let lived = start.elapsed() >= WATCH_MIN;
            if lived {
                pause = self.timing.pause_min;
            }
            let mut wait = pause;
            match ended {
                Ok(()) | Err(Trouble::Expired) if lived => continue,
                Ok(()) | Err(Trouble::Expired) => {}
                Err(Trouble::NotStreaming) => {
                    self.streams = false;
                    continue;
                }
                Err(Trouble::PageTooLarge) if self.page > 1 => {
                    self.page = (self.page / 4).max(1);
                    continue;
                }
                Err(trouble) => {
                    if let Trouble::Refused { retry_after: Some(asked), .. } = &trouble {
                        wait = wait.max(*asked);
                    }
                    self.outage.failed(&self.index, self.kind, T::NAME, &trouble.to_string());
                }
            }
            sleep(wait.mul_f64(1.0 + jitter() / 2.0)).await;
            pause = (pause * 2).min(self.timing.pause_max);
        }
    }

    /// One list, if there is need of one, and one watch.
    async fn turn<T: Resource>(&mut self) -> Result<(), Trouble> {
        if self.version.is_none() && !self.streams {
            self.list::<T>().await?;
            self.outage.works(&self.index, self.kind, T::NAME);
        }
        let ended = self.watch::<T>().await;
        if matches!(ended, Err(Trouble::Expired)) {
            self.version = None;
        }
        ended
    }

    /// Reads all objects page by page.
    async fn list<T: Resource>(&mut self) -> Result<(), Trouble> {
        self.index.begin(self.kind);
        let mut next = String::new();
        loop {
            let path = self.path::<T>(&format!("limit={}{next}", self.page));
            let body = get(&self.api, &self.index, &path, false, self.timing.silence_max).await?;
            let text = collect(body, PAGE_BYTES_MAX, self.timing.silence_max).await?;
            let page: Page<'_> = serde_json::from_slice(&text).map_err(|error| unreadable("list", &error))?;
            for item in page.items.iter().flatten() {
                self.take::<T>(item, T::apply);
            }
            match page.metadata.next.filter(|token| !token.is_empty()) {
                Some(token) => next = format!("&continue={}", encode(&token)),
                None => {
                    self.index.finish(self.kind);
                    self.version = Some(page.metadata.resource_version);
                    return Ok(());
                }
            }
        }
    }

    /// Watches from where the last watch or list ended, or, without such a place, streams a list first.
    async fn watch<T: Resource>(&mut self) -> Result<(), Trouble> {
        let mut listing = self.version.is_none();
        let seconds = self.timing.watch.as_secs_f64() * (1.0 + jitter());
        let from = match &self.version {
            Some(version) => format!("resourceVersion={}", encode(version)),
            None => "sendInitialEvents=true&resourceVersionMatch=NotOlderThan".to_owned(),
        };
        let path = self.path::<T>(&format!("watch=1&allowWatchBookmarks=true&timeoutSeconds={seconds:.0}&{from}"));
        if listing {
            self.index.begin(self.kind);
        }
        let mut body = get(&self.api, &self.index, &path, listing, self.timing.silence_max).await?;
        let mut settled = false;
        let mut lines = Lines::default();
        loop {
            let silence_max =
                self.timing.silence_max + if listing { Duration::ZERO } else { Duration::from_secs_f64(seconds) };
            let piece = self.next_piece::<T>(&mut body, listing, &mut settled, silence_max).await?;
            let Some(piece) = piece else { break };
            self.index.heard(self.kind, true);
            lines
                .push(&piece)
                .map_err(|_too_long| Trouble::Broken(format!("a watch event is longer than {LINE_BYTES_MAX} bytes")))?;
            while let Some(line) = lines.next() {
                self.event::<T>(line, &mut listing)?;
            }
            if !listing && !settled {
                settled = true;
                self.outage.works(&self.index, self.kind, T::NAME);
            }
        }
        if lines.is_open() {
            return Err(Trouble::Broken("a watch event ends in the middle".to_owned()));
        }
        if listing { Err(Trouble::Broken("a streamed list ends in the middle".to_owned())) } else { Ok(()) }
    }

    /// The next piece of a watch. One that stays open for a while works, though nothing may happen in it for long.
    async fn next_piece<T: Resource>(
        &mut self,
        body: &mut Body,
        listing: bool,
        settled: &mut bool,
        silence_max: Duration,
    ) -> Result<Option<Bytes>, Trouble> {
        if !listing && !*settled {
            if let Ok(piece) = timeout(WATCH_MIN, piece(body, silence_max)).await {
                return piece;
            }
            *settled = true;
            self.outage.works(&self.index, self.kind, T::NAME);
        }
        let piece = piece(body, silence_max).await;
        if listing && matches!(piece, Err(Trouble::Silent(_))) {
            // A server that does not know streamed lists sends the objects and never says that these are all.
            self.streams = false;
        }
        piece
    }

    fn event<T: Resource>(&mut self, line: &[u8], listing: &mut bool) -> Result<(), Trouble> {
        let event: Event<'_> = serde_json::from_slice(line).map_err(|error| unreadable("watch event", &error))?;
        let version = match &*event.kind {
            "ADDED" | "MODIFIED" => self.take::<T>(event.object, T::apply),
            "DELETED" => self.take::<T>(event.object, T::delete),
            "BOOKMARK" => self.bookmark(event.object, listing),
            "ERROR" => {
                let status: Status = serde_json::from_str(event.object.get()).unwrap_or_default();
                return Err(status.into_trouble(500, *listing, None));
            }
            other => return Err(Trouble::Broken(format!("unknown watch event '{other}'"))),
        };
        // The objects of a list come in any order: their versions are no place to go on from.
        if !*listing && !version.is_empty() {
            self.version = Some(version);
        }
        Ok(())
    }

    /// Takes note of a bookmark, which may be the end of a list, and returns its version.
    fn bookmark(&self, object: &RawValue, listing: &mut bool) -> String {
        let mark: Bookmark = serde_json::from_str(object.get()).unwrap_or_default();
        let ends = mark.metadata.annotations.and_then(|notes| notes.initial_events_end);
        if *listing && ends.as_deref() == Some("true") {
            *listing = false;
            self.index.finish(self.kind);
        }
        mark.metadata.resource_version
    }

    /// Hands an object on and returns its version. One that is well-formed but not what its kind should be is skipped, and said
    /// once.
    fn take<T: Resource>(&mut self, object: &RawValue, act: fn(&T, &Index)) -> String {
        match serde_json::from_str::<T>(object.get()) {
            Ok(mut object) => {
                act(&object, &self.index);
                object.take_version()
            }
            Err(error) => {
                let meta = serde_json::from_str::<crate::types::Namespace>(object.get()).unwrap_or_default().metadata;
                if !self.said_unreadable {
                    self.said_unreadable = true;
                    let line = format!("{}: skipping {}/{}: {error}", T::NAME, meta.namespace, meta.name);
                    self.index.log(Level::Warning, &line);
                }
                meta.resource_version
            }
        }
    }

    fn path<T: Resource>(&self, query: &str) -> String {
        let mut path = format!("{}?{query}", T::PATH);
        let comma = if T::LABELS.is_empty() || self.selector.is_empty() { "" } else { "," };
        let labels = format!("{}{comma}{}", self.selector, T::LABELS);
        for (name, value) in [("labelSelector", labels.as_str()), ("fieldSelector", T::FIELDS)] {
            if !value.is_empty() {
                path.push_str(&format!("&{name}={}", encode(value)));
            }
        }
        path
    }
}

fn unreadable(what: &str, error: &serde_json::Error) -> Trouble {
    Trouble::Broken(format!("unreadable {what}: {error}"))
}

/// A number from 0 to 1 that spreads the requests of many servers.
fn jitter() -> f64 {
    let hash = foldhash::fast::RandomState::default().hash_one(0_u8);
    f64::from((hash >> 32) as u32) / f64::from(u32::MAX)
}
