//! A server: it owns sockets, side HTTP listeners, counters and worker threads, and runs one instance after another.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use catena_core::{
    BuildContext, Clock, Diagnostic, Env, Exit, Files, Instance, Interfaces, ListenAddr, Log, Metrics, PluginList,
    Spawner, Transport,
};
use catena_server::{Bound, Context, Generation, Limits, Workers, bind, rebind, sockets_of};
use futures_util::FutureExt;
use prometheus::{CounterVec, GaugeVec};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Notify};

use crate::go_error;
use crate::http::{Prepared, SideHttp};
use crate::live::LiveContext;
use crate::load::{Failure, Loaded, load, tell_of_unset_variables};
use crate::services::{Services, Surroundings};
use crate::source::{Source, Text};
use crate::tasks::Tasks;

/// How long queries of an instance that was replaced, or of a server that ends, may take to finish.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// What a server is made of.
pub struct Options {
    /// The plugins that Corefiles may use, in order.
    pub plugins: PluginList,
    /// Directives that this build does not have and others do, for messages.
    pub elsewhere: Vec<&'static str>,
    /// Where the configuration comes from.
    pub source: Source,
    /// The port of keys without one.
    pub default_port: String,
    /// Name and version, such as `Catena-0.1.0`.
    pub product: String,
    /// How many worker threads answer queries.
    pub workers: usize,
    /// Where lines go.
    pub log: Log,
    /// How a plugin ends the process.
    pub exit: Arc<dyn Exit>,
    /// The files that directives name.
    pub files: Arc<dyn Files + Send + Sync>,
    /// The host's interfaces.
    pub interfaces: Arc<dyn Interfaces>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// A server at work.
pub struct Server {
    pub(crate) options: Options,
    metrics: Arc<Metrics>,
    pub(crate) reloads_failed: CounterVec,
    version_info: GaugeVec,
    state: Mutex<State>,
    /// An instance came into force.
    pub(crate) changed: Notify,
}

struct State {
    /// None: the sockets are closed.
    workers: Option<Workers>,
    http: SideHttp,
    running: Running,
    /// The hash that `coredns_reload_version_info` shows.
    shown_hash: Option<String>,
    /// The server ends: nothing is reloaded any more.
    ending: bool,
}

/// The instance in force and what belongs to it.
struct Running {
    instance: Arc<Instance>,
    tasks: Arc<Tasks>,
    services: Services,
    bound: Vec<Arc<Bound>>,
    facts: Facts,
    text: Text,
}

/// What is known of the configuration in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its hash, see [`crate::hash`].
    pub hash: String,
    /// The time between two looks at the source, jitter included; none: it is not looked at.
    pub interval: Option<Duration>,
    /// Whether it is the built-in default, for want of a file.
    pub built_in: bool,
}

/// An instance that only has to be put in force.
struct Ready {
    running: Running,
    http: Prepared,
}

impl Server {
    /// Starts a server. Its tasks run on the runtime that polls this.
    ///
    /// # Errors
    /// What is wrong with the configuration, or cannot be had.
    pub async fn start(options: Options) -> Result<Arc<Self>, Failure> {
        let metrics = Arc::new(Metrics::for_workers(options.workers));
        let Some(live) = options.source.live().map(Arc::clone) else { return Self::start_here(options, metrics).await };
        let context = LiveContext { log: &options.log, metrics: &metrics, clock: &options.clock };
        live.start(&context).await.map_err(Failure::plain)?;
        let started = Self::start_here(options, metrics).await;
        if let Err(failure) = &started {
            live.told(Err(failure)).await;
        }
        started
    }

    async fn start_here(options: Options, metrics: Arc<Metrics>) -> Result<Arc<Self>, Failure> {
        let http = SideHttp::new();
        let text = options.source.load(&options.default_port).map_err(|reason| match options.source {
            Source::File(_) => Failure::plain(format!("loading Caddyfile via flag: {reason}")),
            Source::Default | Source::Text { .. } | Source::Live(_) => Failure::plain(reason),
        })?;
        let Ready { running, http: prepared } = make_ready(&options, &metrics, &text, None, &http).await?;
        let context = Context { log: options.log.clone(), metrics: Arc::clone(&metrics), limits: Limits::default() };
        let workers = Workers::start(options.workers, context).map_err(no_workers)?;
        workers.adopt(running.generation(&options)).await.map_err(no_workers)?;
        let mut state = State { workers: Some(workers), http, running, shown_hash: None, ending: false };
        state.http.commit(prepared);
        state.running.tell_serving(&options).await;
        let reloads_failed =
            metrics.counter("coredns_reload_failed_total", "Counter of the number of failed reload attempts.", &[]);
        reloads_failed.with_label_values(&[] as &[&str]);
        let version_info = metrics.gauge(
            "coredns_reload_version_info",
            "A metric with a constant '1' value labeled by hash, and value which type of hash generated.",
            &["hash", "value"],
        );
        let state = Mutex::new(state);
        Ok(Arc::new(Self { options, metrics, reloads_failed, version_info, state, changed: Notify::new() }))
    }

    /// The server's metric families.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// What is known of the configuration in force.
    pub async fn facts(&self) -> Facts {
        self.state.lock().await.running.facts.clone()
    }

    /// The text of the configuration in force.
    pub(crate) async fn text(&self) -> Text {
        self.state.lock().await.running.text.clone()
    }

    /// The instance in force.
    pub async fn instance(&self) -> Arc<Instance> {
        Arc::clone(&self.state.lock().await.running.instance)
    }

    /// The addresses on which queries are answered: as the Corefile has them, and as they are.
    pub async fn addrs(&self) -> Vec<(ListenAddr, SocketAddr)> {
        let state = self.state.lock().await;
        state.running.bound.iter().map(|bound| (bound.addr().clone(), bound.local_addr())).collect()
    }

    /// The addresses of side HTTP listeners: as the Corefile has them, and as they are.
    pub async fn http_addrs(&self) -> Vec<(String, SocketAddr)> {
        self.state.lock().await.http.addrs().map(|(addr, local)| (addr.to_owned(), local)).collect()
    }

    /// Lets the instance in force answer a message as if it had come over TCP from the local host. `None`: nothing is said.
    pub async fn ask(&self, message: &[u8]) -> Option<Vec<u8>> {
        let env = {
            let state = self.state.lock().await;
            let Running { instance, .. } = &state.running;
            Env {
                instance: Arc::clone(instance),
                clock: Arc::clone(&self.options.clock),
                spawner: state.running.spawner(),
                worker: self.options.workers,
            }
        };
        crate::ask::ask(env, message).await
    }

    /// Puts another configuration in force. The one that runs goes on until the other has all that it needs.
    ///
    /// # Errors
    /// Why everything stays as it is.
    pub async fn replace(self: &Arc<Self>, text: Text) -> Result<(), Failure> {
        // A task of its own, for half a reload must not be dropped when whoever asked for it goes away.
        let server = Arc::clone(self);
        #[expect(
            clippy::disallowed_methods,
            reason = "a reload outlives the instance that it replaces; it is waited for"
        )]
        let done = tokio::spawn(async move { server.replace_here(&text).await });
        let outcome = done.await.unwrap_or_else(|error| {
            self.options.log.error(format_args!("Restart: {error}"));
            Err(Failure::plain("panicked"))
        });
        if outcome.is_err() {
            self.reloads_failed.with_label_values(&[] as &[&str]).inc();
        } else {
            self.changed.notify_waiters();
        }
        outcome
    }

    async fn replace_here(&self, text: &Text) -> Result<(), Failure> {
        let mut state = self.state.lock().await;
        let state = &mut *state;
        if state.ending {
            return Err(Failure::plain("the server is shutting down"));
        }
        let log = &self.options.log;
        log.info("Reloading");
        if let Ok(hash) = crate::load::hash(text, &*self.options.files) {
            self.show_hash(state, hash);
        }
        let made = make_ready(&self.options, &self.metrics, text, Some(&state.running), &state.http).await;
        let Ready { running, http } = made.map_err(|failure| self.restart_failed(failure))?;
        let Some(workers) = &state.workers else { return Err(Failure::plain("the server is closed")) };
        if let Err(error) = workers.adopt(running.generation(&self.options)).await {
            let Running { mut services, .. } = running;
            services.shutdown().await;
            return Err(self.restart_failed(no_workers(error)));
        }
        let mut old = std::mem::replace(&mut state.running, running);
        state.http.commit(http);
        state.running.tell_serving(&self.options).await;
        state.running.tell_hash(log);
        workers.drain(DRAIN_LIMIT).await;
        old.services.shutdown().await;
        old.tasks.end();
        // Sockets that are gone close with what held them.
        drop(old);
        log.info("Reloading complete");
        Ok(())
    }

    fn restart_failed(&self, failure: Failure) -> Failure {
        self.options.log.error(format_args!("Restart failed: {}", failure.whole()));
        Failure { line: format!("starting with listener file descriptors: {}", failure.line), ..failure }
    }

    fn show_hash(&self, state: &mut State, hash: String) {
        if let Some(before) = state.shown_hash.take() {
            // It is there, for it was put there below.
            let _ = self.version_info.remove_label_values(&["sha512", &before]);
        }
        self.version_info.with_label_values(&["sha512", &hash]).set(1.0);
        state.shown_hash = Some(hash);
    }

    /// Logs which configuration runs, if it is watched. CoreDNS: plugin/reload.
    pub async fn tell_hash(&self) {
        self.state.lock().await.running.tell_hash(&self.options.log);
    }

    /// Runs what plugins want to do at the end: first every `ending` and every `shutdown`, then plugin by plugin the last steps, with the side HTTP
    /// listeners closing in between. Queries are answered all the while.
    pub async fn end_services(&self) {
        let mut state = self.state.lock().await;
        let State { http, running, ending, .. } = &mut *state;
        *ending = true;
        running.services.ending().await;
        running.services.shutdown().await;
        for plugin in self.options.plugins.names() {
            http.close(|site| site.plugin == plugin && site.close == catena_core::SiteClose::Before);
            running.services.final_shutdown(plugin).await;
            http.close(|site| site.plugin == plugin);
        }
        running.tasks.end();
    }

    /// Closes the sockets; queries in flight have [`DRAIN_LIMIT`] to finish. Run [`Server::end_services`] before.
    pub async fn close(&self) {
        let mut state = self.state.lock().await;
        if let Some(workers) = state.workers.take() {
            workers.stop(DRAIN_LIMIT).await;
        }
        state.running.bound.clear();
    }
}

fn no_workers(error: std::io::Error) -> Failure {
    Failure::plain(format!("worker threads: {}", go_error(&error)))
}

impl Running {
    fn generation(&self, options: &Options) -> Generation {
        Generation {
            instance: Arc::clone(&self.instance),
            spawner: self.spawner(),
            clock: Arc::clone(&options.clock),
            listeners: self.bound.clone(),
        }
    }

    fn spawner(&self) -> Arc<dyn Spawner> {
        Arc::<Tasks>::clone(&self.tasks)
    }

    async fn tell_serving(&self, options: &Options) {
        let surroundings =
            Surroundings { interfaces: &*options.interfaces, spawner: &self.spawner(), exit: &options.exit };
        self.services.serving(&surroundings).await;
    }

    fn tell_hash(&self, log: &Log) {
        if self.facts.interval.is_some() {
            log.of("reload").info(format_args!("Running configuration SHA512 = {}", self.facts.hash));
        }
    }
}

/// Reads, sets up and starts an instance and opens what is new. What was begun is undone if it does not come to its end.
async fn make_ready(
    options: &Options,
    metrics: &Arc<Metrics>,
    text: &Text,
    before: Option<&Running>,
    http: &SideHttp,
) -> Result<Ready, Failure> {
    let Loaded { draft, sources, hash, warnings } =
        set_up(options, metrics, text, before.map(|running| &*running.instance))?;
    for warning in warnings {
        options.log.warning(warning);
    }
    let fault = |diagnostic: Diagnostic| Failure::of(&[tell_of_unset_variables(diagnostic, &sources)], &sources);
    let instance = Arc::new(draft.resolve(&*options.interfaces).map_err(fault)?);
    if !listens(&instance) && before.is_some_and(|running| listens(&running.instance)) {
        // Who starts so ends at once; who answers goes on.
        return Err(Failure::plain("nothing would be listened on"));
    }
    let tasks = Tasks::new(Handle::current());
    let spawner: Arc<dyn Spawner> = Arc::<Tasks>::clone(&tasks);
    let surroundings = Surroundings { interfaces: &*options.interfaces, spawner: &spawner, exit: &options.exit };
    let mut services = Services::of(&instance, &options.plugins);
    let starting = std::panic::AssertUnwindSafe(services.start(&surroundings)).catch_unwind().await;
    starting.map_err(|_| Failure::plain("a plugin panicked while it was started"))?.map_err(fault)?;
    let opened = open(options, &instance, http, before.map_or(&[], |running| &running.bound)).await;
    let (bound, http) = match opened {
        Ok(opened) => opened,
        Err(diagnostic) => {
            services.shutdown().await;
            return Err(fault(diagnostic));
        }
    };
    let interval = instance.settings.reload.map(crate::watch::interval);
    let facts = Facts { hash, interval, built_in: text.built_in };
    Ok(Ready { running: Running { instance, tasks, services, bound, facts, text: text.clone() }, http })
}

/// Whether an instance has an address that a socket is opened for; `unix://` keys open none.
pub(crate) fn listens(instance: &Instance) -> bool {
    instance.listeners().iter().any(|listener| listener.addr.transport != Transport::Unix)
}

fn set_up(
    options: &Options,
    metrics: &Arc<Metrics>,
    text: &Text,
    before: Option<&Instance>,
) -> Result<Loaded, Failure> {
    let context = BuildContext {
        metrics,
        log: &options.log,
        clock: &options.clock,
        files: &*options.files,
        default_port: &options.default_port,
        product: &options.product,
    };
    load(text, &options.plugins, &options.elsewhere, &context, before)
}

async fn open(
    options: &Options,
    instance: &Instance,
    http: &SideHttp,
    kept: &[Arc<Bound>],
) -> Result<(Vec<Arc<Bound>>, Prepared), Diagnostic> {
    let prepared = http.prepare(&instance.sites, &instance.log).await?;
    let mut bound = Vec::with_capacity(instance.listeners().len());
    for listener in instance.listeners() {
        let known = kept.iter().find(|known| *known.addr() == listener.addr);
        let count = sockets_of(listener.sockets.count, options.workers);
        let opened = match known {
            Some(known) if known.count() == count || known.count() == 0 => Ok(Arc::clone(known)),
            Some(known) => rebind(known, count, &options.log).map(Arc::new),
            None => bind(&listener.addr, count, &options.log).map(Arc::new),
        };
        bound.push(opened.map_err(|error| {
            let call = if error.is_udp() { "ListenPacket" } else { "Listen" };
            let span = listener.zones.first().and_then(|(_, block)| block.key_spans.first().copied().flatten());
            let fault = Diagnostic::error(format!("{call}: {error}"));
            span.map_or(fault.clone(), |span| fault.with_span(span))
        })?);
    }
    Ok((bound, prepared))
}
