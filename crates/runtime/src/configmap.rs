//! A Corefile in a ConfigMap, read from the Kubernetes API and followed: `-conf configmap:NAMESPACE/NAME[/KEY]`.
//!
//! The other keys stand beside the Corefile like files of the directory that a ConfigMap is mounted as, so `import` finds them. Whatever
//! happens to the API or to the ConfigMap, the configuration in force stays until a better one is there.

mod address;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use catena_cluster::api::configmap::{ConfigMap, Event, EventKind, Follower, Seen};
use catena_cluster::api::{Access, Timing};
use catena_core::{Clock, Log, async_trait};
use prometheus::PullingGauge;
use tokio::sync::{Notify, OnceCell};
use tokio::task::JoinSet;

use crate::live::{LiveContext, LiveSource};
use crate::load::Failure;
use crate::sink::rfc3339;
use crate::source::Text;

pub use address::Address;

/// How long a start waits for the API and the ConfigMap.
pub const START_MAX: Duration = Duration::from_secs(30);
/// How long an Event may take.
const EVENT_MAX: Duration = Duration::from_secs(3);
/// The program as Events name it.
const COMPONENT: &str = "catena";

/// A ConfigMap that is followed.
pub struct ConfigMapSource {
    access: Access,
    timing: Timing,
    start_max: Duration,
    shared: Arc<Shared>,
    follower: OnceCell<Arc<Follower>>,
    /// Ends with the source.
    task: Mutex<JoinSet<()>>,
}

struct Shared {
    address: Address,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    log: Option<Log>,
    clock: Option<Arc<dyn Clock>>,
    /// As it was seen last.
    map: Option<Arc<ConfigMap>>,
    /// Since when the API has not told anything; `None` while it does.
    silent_since: Option<Instant>,
    /// What is wrong and was said.
    said: Option<String>,
    /// That Events do not come through was said.
    said_no_events: bool,
}

impl std::fmt::Debug for ConfigMapSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.shared.address)
    }
}

impl ConfigMapSource {
    /// A source that has asked nobody yet. The API is that of the kubeconfig given or, without one, of the file that `KUBECONFIG` names,
    /// or of the cluster that this is a pod of.
    #[must_use]
    pub fn new(address: Address, kubeconfig: Option<PathBuf>) -> Self {
        let named = || {
            let files = std::env::var_os("KUBECONFIG")?;
            std::env::split_paths(&files).find(|file| !file.as_os_str().is_empty())
        };
        let access = match kubeconfig.or_else(named) {
            Some(file) => Access::Kubeconfig { file, context: None },
            None => Access::InCluster,
        };
        Self::with(address, access, Timing::default(), START_MAX)
    }

    /// A source with its own idea of how to reach the API and for how long to wait for what.
    #[must_use]
    pub fn with(address: Address, access: Access, timing: Timing, start_max: Duration) -> Self {
        let shared = Shared { address, state: Mutex::default(), changed: Notify::new() };
        let (follower, task) = (OnceCell::new(), Mutex::default());
        Self { access, timing, start_max, shared: Arc::new(shared), follower, task }
    }

    async fn follow(&self) -> Result<(), String> {
        let Address { namespace, name, .. } = &self.shared.address;
        let told = |error: catena_cluster::api::ClientError| format!("{}: {error}", self.shared.address);
        let api = self.access.client().await.map_err(told)?;
        let made = Arc::new(Follower::new(api, namespace, name, self.timing));
        let follower = Arc::clone(self.follower.get_or_init(|| async { made }).await);
        let shared = Arc::clone(&self.shared);
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        task.abort_all();
        task.spawn(async move { follower.run(&|seen| shared.see(seen)).await });
        Ok(())
    }
}

#[async_trait]
impl LiveSource for ConfigMapSource {
    async fn start(&self, context: &LiveContext<'_>) -> Result<(), String> {
        let address = &self.shared.address;
        {
            let mut state = self.shared.state();
            state.log = Some(context.log.clone());
            state.clock = Some(Arc::clone(context.clock));
        }
        let shared = Arc::clone(&self.shared);
        let gauge = PullingGauge::new(
            "coredns_configmap_stale_seconds",
            "For how long the Kubernetes API has not told of the ConfigMap with the Corefile; 0 while it does.",
            Box::new(move || shared.stale().as_secs_f64()),
        );
        // It is there once, for a server has one source.
        let _ = gauge.map(|gauge| context.metrics.registry().register(Box::new(gauge)));
        self.follow().await?;
        let found = async {
            while self.shared.state().map.is_none() {
                self.shared.changed.notified().await;
            }
        };
        if tokio::time::timeout(self.start_max, found).await.is_ok() {
            return Ok(());
        }
        let said = self.shared.state().said.clone().unwrap_or_else(|| "no answer".to_owned());
        Err(format!("{address} was not there within {:?}: {said}", self.start_max))
    }

    fn load(&self) -> Result<Text, String> {
        let address = &self.shared.address;
        let state = self.shared.state();
        let map = state.map.as_ref().ok_or_else(|| format!("{address} was not read yet"))?;
        let Some(text) = map.data.get(&address.key) else {
            return Err(format!("{address}: {}", without_key(address, map)));
        };
        let text = text.clone();
        let name = address.to_string();
        Ok(Text { path: PathBuf::from(&name), name, text, built_in: false, beside: Arc::new(map.data.clone()) })
    }

    async fn changed(&self) {
        self.shared.changed.notified().await;
    }

    async fn told(&self, outcome: Result<(), &Failure>) {
        let (kind, reason, message) = match outcome {
            Ok(()) => (EventKind::Normal, "CorefileLoaded", "the Corefile is in force".to_owned()),
            Err(failure) => (EventKind::Warning, "CorefileRejected", failure.whole()),
        };
        let (map, time) = {
            let state = self.shared.state();
            let Some(time) = state.clock.as_ref().map(|clock| clock.wall()) else { return };
            (state.map.clone().unwrap_or_default(), rfc3339(time))
        };
        // An Event's time has whole seconds.
        let time = time.split_once('.').map_or(time.clone(), |(whole, _)| format!("{whole}Z"));
        let Some(follower) = self.follower.get() else { return };
        let instance = std::env::var("HOSTNAME").unwrap_or_default();
        let event = Event { kind, reason, message: &message, time: &time, component: COMPONENT, instance: &instance };
        let told = tokio::time::timeout(EVENT_MAX, follower.tell(&map, event)).await;
        let Err(fault) = told.unwrap_or_else(|_| Err(format!("no answer in {EVENT_MAX:?}"))) else { return };
        let mut state = self.shared.state();
        if !std::mem::replace(&mut state.said_no_events, true)
            && let Some(log) = &state.log
        {
            log.info(format_args!("{}: no Events are put on it: {fault}", self.shared.address));
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For how long the API has not told anything.
    fn stale(&self) -> Duration {
        let state = self.state();
        let now = state.clock.as_ref().map(|clock| clock.now());
        state.silent_since.zip(now).map_or(Duration::ZERO, |(since, now)| now.saturating_duration_since(since))
    }

    fn see(&self, seen: Seen) {
        let mut state = self.state();
        match seen {
            Seen::Found(map) => {
                let wrong = (!map.data.contains_key(&self.address.key)).then(|| without_key(&self.address, &map));
                let is_new = state.map.as_ref().is_none_or(|known| known.data != map.data);
                state.map = Some(Arc::new(map));
                state.silent_since = None;
                self.say(&mut state, wrong);
                if is_new {
                    drop(state);
                    self.changed.notify_one();
                }
            }
            Seen::Missing => {
                state.silent_since = None;
                let Address { namespace, name, .. } = &self.address;
                self.say(&mut state, Some(format!("there is no ConfigMap {name} in namespace {namespace}")));
            }
            Seen::Heard => state.silent_since = None,
            Seen::Failed(fault) => {
                let now = state.clock.as_ref().map(|clock| clock.now());
                state.silent_since = state.silent_since.or(now);
                self.say(&mut state, Some(fault));
            }
        }
    }

    /// Says what is wrong, or that nothing is any more; each once, however often it is found.
    fn say(&self, state: &mut State, wrong: Option<String>) {
        let Some(log) = &state.log else { return };
        match &wrong {
            Some(wrong) if state.map.is_none() && state.said.as_ref() != Some(wrong) => {
                log.info(format_args!("waiting for {}: {wrong}", self.address));
            }
            // An outage has many faces; one of them is enough.
            Some(wrong) if state.map.is_some() && state.said.is_none() => {
                log.error(format_args!("{}: {wrong}; the configuration in force stays", self.address));
            }
            None if state.said.is_some() => log.info(format_args!("{}: in step again", self.address)),
            Some(_) | None => {}
        }
        state.said = wrong;
    }
}

fn without_key(address: &Address, map: &ConfigMap) -> String {
    let keys: Vec<&str> = map.data.keys().map(String::as_str).collect();
    format!("the ConfigMap has no key {}; its keys are: {}", address.key, keys.join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::system::SystemClock;
    use catena_core::Metrics;
    use catena_testkit::FakeLog;

    /// A source that finds nobody at the API's address and does not wait for long.
    fn alone() -> ConfigMapSource {
        let timing = Timing { pause_min: Duration::from_millis(10), ..Timing::default() };
        let access = Access::Endpoint { url: "http://127.0.0.1:1".to_owned(), tls: None };
        ConfigMapSource::with(Address::parse("dns/names").unwrap(), access, timing, Duration::from_millis(200))
    }

    async fn started(source: &ConfigMapSource) -> (Result<(), String>, Vec<String>) {
        let sink = Arc::new(FakeLog::default());
        let log = Log::new(Arc::<FakeLog>::clone(&sink) as Arc<_>);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let context = LiveContext { log: &log, metrics: &Metrics::new(), clock: &clock };
        (source.start(&context).await, sink.lines())
    }

    fn map(version: &str, keys: &[(&str, &str)]) -> ConfigMap {
        let data = keys.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        ConfigMap { uid: String::new(), version: version.to_owned(), data }
    }

    #[tokio::test]
    async fn a_start_without_an_api_ends_with_the_reason_after_a_while() {
        let (ended, lines) = started(&alone()).await;
        let told = ended.unwrap_err();
        assert!(told.starts_with("configmap/dns/names/Corefile was not there within 200ms: "), "{told}");
        assert!(told.contains("onnection refused"), "{told}");
        let waiting = lines.iter().filter(|line| line.contains("waiting for configmap/dns/names/Corefile: ")).count();
        assert_eq!(waiting, 1, "{lines:?}");
    }

    #[tokio::test]
    async fn a_silent_api_makes_the_configmap_stale_until_it_speaks() {
        let source = alone();
        started(&source).await.0.unwrap_err();
        source.shared.see(Seen::Found(map("1", &[("Corefile", ".")])));
        assert_eq!(source.shared.stale(), Duration::ZERO);
        source.shared.see(Seen::Failed("away".to_owned()));
        tokio::time::sleep(Duration::from_millis(20)).await;
        source.shared.see(Seen::Failed("still away".to_owned()));
        assert!(source.shared.stale() >= Duration::from_millis(20));
        source.shared.see(Seen::Heard);
        assert_eq!(source.shared.stale(), Duration::ZERO);
    }

    #[tokio::test]
    async fn only_another_content_is_a_change() {
        let source = alone();
        let is_changed = || async { tokio::time::timeout(Duration::from_millis(50), source.changed()).await.is_ok() };
        source.shared.see(Seen::Found(map("1", &[("Corefile", ".")])));
        assert!(is_changed().await);
        source.shared.see(Seen::Found(map("2", &[("Corefile", ".")])));
        assert!(!is_changed().await);
        source.shared.see(Seen::Found(map("3", &[("Corefile", "."), ("more", "")])));
        assert!(is_changed().await);
        assert_eq!(source.load().unwrap().name, "configmap/dns/names/Corefile");
    }

    #[test]
    fn a_configmap_without_the_key_cannot_be_loaded() {
        let source = alone();
        source.shared.see(Seen::Found(map("1", &[("corefile", "."), ("x", "")])));
        let told = "configmap/dns/names/Corefile: the ConfigMap has no key Corefile; its keys are: corefile, x";
        assert_eq!(source.load(), Err(told.to_owned()));
    }
}
