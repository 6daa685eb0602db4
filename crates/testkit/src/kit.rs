//! A server without sockets.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use catena_core::corefile::{ParseOptions, parse};
use catena_core::{
    Arrival, BuildContext, Clock, Diagnostic, Env, Exit, Finished, HttpReply, Instance, Intake, Interfaces, Log,
    LogSink, Metrics, PluginDef, PluginList, Query, Reply, Spawner, StartContext, Transport, build, finish,
    finish_part,
};
use tokio::runtime::{Builder, Runtime};

use crate::ask::{Ask, Seen};
use crate::fakes::{FakeClock, FakeExit, FakeFiles, FakeInterfaces, FakeLog, RuntimeSpawner};

/// The most tasks that the plugins of a kit may start.
const TASKS_MAX: u64 = 10_000;

/// What a kit is made of.
pub struct Recipe {
    plugins: PluginList,
    corefile: String,
    /// Files that directives may name.
    pub files: Arc<FakeFiles>,
    /// The interfaces of the host.
    pub interfaces: FakeInterfaces,
    /// The clock.
    pub clock: Arc<FakeClock>,
    /// The metric families; give those of another kit to see what survives.
    pub metrics: Arc<Metrics>,
    /// The instance that this one replaces.
    pub predecessor: Option<Arc<Instance>>,
}

impl Recipe {
    /// A kit for a whole Corefile.
    #[must_use]
    pub fn new(plugins: impl IntoIterator<Item = PluginDef>, corefile: &str) -> Self {
        Self {
            plugins: PluginList::new(plugins),
            corefile: corefile.to_owned(),
            files: Arc::default(),
            interfaces: FakeInterfaces::default(),
            clock: Arc::default(),
            metrics: Arc::new(Metrics::new()),
            predecessor: None,
        }
    }

    /// Puts a file where directives find it.
    #[must_use]
    pub fn file(self, path: &str, contents: &str) -> Self {
        self.files.put(path, contents);
        self
    }

    /// Builds the instance and starts its services.
    ///
    /// # Errors
    /// The diagnostics, each with the snippet that shows it.
    pub fn build(self) -> Result<Kit, Vec<(Diagnostic, String)>> {
        let lines = Arc::new(FakeLog::default());
        let sink: Arc<dyn LogSink> = Arc::<FakeLog>::clone(&lines);
        let log = Log::new(sink);
        let names = self.plugins.names();
        let options = ParseOptions {
            name: "Corefile",
            path: Path::new("/Corefile"),
            directives: &names,
            env: &|_| None,
            files: &*self.files,
        };
        let parsed = parse(&self.corefile, &options);
        let show = |found: Vec<Diagnostic>| -> Vec<(Diagnostic, String)> {
            found.into_iter().map(|diagnostic| (diagnostic.clone(), diagnostic.render(&parsed.sources))).collect()
        };
        if !parsed.diagnostics.is_empty() {
            return Err(show(parsed.diagnostics.clone()));
        }
        let clock: Arc<dyn Clock> = Arc::<FakeClock>::clone(&self.clock);
        let context = BuildContext {
            metrics: &self.metrics,
            log: &log,
            clock: &clock,
            files: &*self.files,
            default_port: "53",
            product: "Catena-0.1.0",
        };
        let built = build(&parsed.corefile, &self.plugins, &context, self.predecessor.as_deref());
        let draft = built.draft.map_err(show)?;
        let instance = draft.resolve(&self.interfaces).map_err(|error| show(vec![error]))?;
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let spawner = RuntimeSpawner::new(runtime.handle().clone(), TASKS_MAX);
        let env = Arc::new(Env {
            instance: Arc::new(instance),
            clock,
            spawner: Arc::<RuntimeSpawner>::clone(&spawner) as Arc<dyn Spawner>,
            worker: 0,
        });
        let kit = Kit {
            env,
            runtime,
            clock: self.clock,
            files: self.files,
            metrics: self.metrics,
            log: lines,
            exit: Arc::default(),
            spawner,
            interfaces: self.interfaces,
            warnings: built.warnings.iter().map(Diagnostic::one_line).collect(),
        };
        kit.start().map_err(|error| show(vec![error]))?;
        Ok(kit)
    }
}

/// A server without sockets: ask it, move its clock, read its log and its metrics.
pub struct Kit {
    env: Arc<Env>,
    runtime: Runtime,
    /// The clock, to be moved.
    pub clock: Arc<FakeClock>,
    /// The files.
    pub files: Arc<FakeFiles>,
    /// The metric families.
    pub metrics: Arc<Metrics>,
    /// The log.
    pub log: Arc<FakeLog>,
    /// Whether a plugin wanted to end the process.
    pub exit: Arc<FakeExit>,
    /// The starter of tasks.
    pub spawner: Arc<RuntimeSpawner>,
    /// What was odd about the Corefile.
    pub warnings: Vec<String>,
    interfaces: FakeInterfaces,
}

impl Kit {
    /// A kit for one block `.` with this body.
    ///
    /// # Panics
    /// If the body does not build.
    #[must_use]
    pub fn of(plugins: impl IntoIterator<Item = PluginDef>, body: &str) -> Self {
        match Recipe::new(plugins, &format!(". {{\n{body}\n}}\n")).build() {
            Ok(kit) => kit,
            Err(errors) => panic!("does not build:\n{}", errors.into_iter().map(|(_, text)| text).collect::<String>()),
        }
    }

    fn start(&self) -> Result<(), Diagnostic> {
        self.each_service(|service, cx| self.runtime.block_on(service.start(cx)))?;
        self.each_service(|service, cx| {
            self.runtime.block_on(service.serving(cx));
            Ok(())
        })
    }

    fn each_service(
        &self,
        mut act: impl FnMut(&dyn catena_core::Service, &StartContext<'_>) -> Result<(), Diagnostic>,
    ) -> Result<(), Diagnostic> {
        let instance = &self.env.instance;
        let spawner: Arc<dyn Spawner> = Arc::<RuntimeSpawner>::clone(&self.spawner);
        let exit: Arc<dyn Exit> = Arc::<FakeExit>::clone(&self.exit);
        for block in instance.blocks() {
            let listen = instance.listen_addrs(block);
            let interfaces: &dyn Interfaces = &self.interfaces;
            let cx = StartContext { listen: &listen, interfaces, spawner: &spawner, exit: &exit };
            for named in &block.services {
                act(&*named.service, &cx)?;
            }
        }
        Ok(())
    }

    /// Runs the services' `ending`, as a server does that was told to end.
    pub fn ending(&self) {
        for block in self.env.instance.blocks() {
            for named in &block.services {
                self.runtime.block_on(named.service.ending());
            }
        }
    }

    /// Runs the services' `shutdown`, as a reload does with the old instance.
    pub fn shutdown(&self) {
        for block in self.env.instance.blocks() {
            for named in &block.services {
                self.runtime.block_on(named.service.shutdown());
            }
        }
    }

    /// The instance.
    #[must_use]
    pub fn instance(&self) -> &Arc<Instance> {
        &self.env.instance
    }

    /// Runs a future on the kit's runtime.
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Lets tasks that were started go on for a while of real time.
    pub fn wait(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    /// Asks over the first listener.
    pub fn ask(&self, ask: &Ask) -> Seen {
        self.ask_at(0, ask)
    }

    /// Asks `NAME TYPE` over the first listener.
    pub fn ask_for(&self, text: &str) -> Seen {
        self.ask(&Ask::new(text))
    }

    /// A query as the chain gets it.
    ///
    /// # Panics
    /// If the message would not reach the chain.
    #[must_use]
    pub fn query(&self, listener: usize, ask: &Ask) -> Query {
        let arrival = Arrival {
            client: ask.client,
            local: ask.local,
            protocol: ask.protocol,
            transport: Transport::Dns,
            listener,
            received: self.clock.now(),
            is_crowded: false,
        };
        let mut query = Query::new(Arc::clone(&self.env), arrival.clone());
        assert_eq!(query.read(&ask.message(), arrival), Intake::Serve);
        query
    }

    /// A query that nothing was read into yet.
    pub(crate) fn empty_query(&self, arrival: &Arrival) -> Query {
        Query::new(Arc::clone(&self.env), arrival.clone())
    }

    pub(crate) fn clock_now(&self) -> std::time::Instant {
        self.clock.now()
    }

    /// Asks over a listener.
    pub fn ask_at(&self, listener: usize, ask: &Ask) -> Seen {
        let mut query = self.query(listener, ask);
        let reply = self.runtime.block_on(self.env.instance.serve(&mut query));
        Self::see(&mut query, reply)
    }

    /// What the client would get of a reply.
    pub fn see(query: &mut Query, reply: Reply) -> Seen {
        let (by, error) = (reply.by, reply.error.as_ref().map(ToString::to_string));
        let mut wire = Vec::new();
        let seen = match finish(query, reply, &mut wire) {
            Finished::Silent => Seen { silent: true, ..Seen::default() },
            Finished::Send => Seen { messages: 1, ..Seen::of(&wire) },
            Finished::Stream(mut envelopes) => {
                let mut whole = Seen::default();
                while let Some(answer) = envelopes.next(query) {
                    finish_part(query, answer, &mut wire);
                    whole.append(Seen::of(&wire));
                }
                whole
            }
        };
        Seen { by, error, ..seen }
    }

    /// What a side HTTP path replies.
    ///
    /// # Panics
    /// If no plugin asked for the path.
    #[must_use]
    pub fn http(&self, path: &str) -> HttpReply {
        let site = self.env.instance.sites.iter().find(|site| site.path == path);
        site.expect("a plugin that wants the path").handler.respond()
    }

    /// The value of a series as the metrics page shows it, such as `name{label="x"}`; `None` if it is not there.
    #[must_use]
    pub fn metric(&self, series: &str) -> Option<f64> {
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&self.metrics.registry().gather())
            .expect("metrics as text");
        let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit(' ').next()?.parse().ok()
    }
}
