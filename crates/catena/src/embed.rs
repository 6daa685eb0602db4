//! Lists of plugins, and servers inside of other programs.

use std::net::SocketAddr;
use std::sync::Arc;

use catena_core::{Exit, Log, LogSink, NoLog, PluginDef, PluginList, Rtype};
use catena_runtime::{Disk, Failure, HostInterfaces, Options, Server, Source, SystemClock};
use catena_stock::COREDNS_DIRECTIVES;
use domain::base::{Message, MessageBuilder, Name};
use tokio::sync::mpsc;

use crate::PRODUCT;

/// The worker threads of an embedded server, unless it is told otherwise.
const WORKERS_DEFAULT: usize = 1;

/// What a server is made of: a list of plugins first of all.
#[derive(Clone)]
pub struct Builder {
    plugins: PluginList,
    log: Arc<dyn LogSink>,
    workers: usize,
}

/// The stock plugins, in CoreDNS's order.
#[must_use]
pub fn stock() -> Builder {
    Builder::new(catena_stock::stock())
}

impl Builder {
    /// A server of these plugins.
    #[must_use]
    pub fn new(plugins: PluginList) -> Self {
        Self { plugins, log: Arc::new(NoLog), workers: WORKERS_DEFAULT }
    }

    /// Puts a plugin right before the one named, or last if there is none of that name.
    #[must_use]
    pub fn before(mut self, name: &str, plugin: PluginDef) -> Self {
        self.plugins = self.plugins.before(name, plugin);
        self
    }

    /// Puts a plugin right after the one named, or last if there is none of that name.
    #[must_use]
    pub fn after(mut self, name: &str, plugin: PluginDef) -> Self {
        self.plugins = self.plugins.after(name, plugin);
        self
    }

    /// Leaves the plugin named out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.plugins = self.plugins.without(name);
        self
    }

    /// Where an embedded server's lines go; nowhere unless set.
    #[must_use]
    pub fn log(mut self, sink: Arc<dyn LogSink>) -> Self {
        self.log = sink;
        self
    }

    /// How many threads of an embedded server answer queries; one unless set.
    #[must_use]
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count;
        self
    }

    /// The plugins, in order.
    #[must_use]
    pub fn plugins(&self) -> &PluginList {
        &self.plugins
    }

    pub(crate) fn into_plugins(self) -> PluginList {
        self.plugins
    }

    /// Starts a server with a Corefile. Its services run on the runtime that polls this, which needs I/O and time.
    ///
    /// # Errors
    /// What is wrong with the Corefile, or cannot be had.
    pub async fn start(self, corefile: &str) -> Result<Running, Failure> {
        let log = Log::new(self.log);
        let (fatal, mut told) = mpsc::unbounded_channel();
        let options = Options {
            plugins: self.plugins,
            elsewhere: COREDNS_DIRECTIVES.to_vec(),
            source: Source::text(corefile),
            default_port: "53".to_owned(),
            product: PRODUCT.to_owned(),
            workers: self.workers,
            log: log.clone(),
            exit: Arc::new(StopOnFatal { fatal, log }),
            files: Arc::new(Disk),
            interfaces: Arc::new(HostInterfaces),
            clock: Arc::new(SystemClock),
        };
        let server = Server::start(options).await?;
        let watched = Arc::downgrade(&server);
        #[expect(clippy::disallowed_methods, reason = "it stops the server, and ends with it")]
        tokio::spawn(async move {
            if told.recv().await.is_some()
                && let Some(server) = watched.upgrade()
            {
                server.end_services().await;
                server.close().await;
            }
        });
        Ok(Running { server })
    }
}

/// Stops the server where a process would be ended: the program around it goes on.
struct StopOnFatal {
    fatal: mpsc::UnboundedSender<()>,
    log: Log,
}

impl Exit for StopOnFatal {
    fn fatal(&self, plugin: &'static str, message: &str) {
        self.log.of(plugin).line(catena_core::Level::Fatal, message);
        // A server that is gone need not be stopped.
        let _ = self.fatal.send(());
    }
}

/// A server inside of this process. Dropping it closes its sockets; only [`Running::stop`] gives plugins their last word.
pub struct Running {
    server: Arc<Server>,
}

impl Running {
    /// The addresses on which queries are answered, in the order of the Corefile.
    pub async fn addrs(&self) -> Vec<SocketAddr> {
        self.server.addrs().await.into_iter().map(|(_, local)| local).collect()
    }

    /// The addresses of side HTTP listeners: as the Corefile has them, and as they are.
    pub async fn http_addrs(&self) -> Vec<(String, SocketAddr)> {
        self.server.http_addrs().await
    }

    /// Asks for a name and a type in class IN, without a socket. `None`: the name is none, or the server says nothing.
    pub async fn ask(&self, name: &str, rtype: Rtype) -> Option<Message<Vec<u8>>> {
        let name: Name<Vec<u8>> = name.parse().ok()?;
        let mut query = MessageBuilder::new_vec().question();
        query.header_mut().set_rd(true);
        query.push((name, rtype)).ok()?;
        let reply = self.server.ask(query.as_slice()).await?;
        Message::from_octets(reply).ok()
    }

    /// Puts another Corefile in force. Nothing changes if it cannot be.
    ///
    /// # Errors
    /// Why not.
    pub async fn reload(&self, corefile: &str) -> Result<(), Failure> {
        let text = Source::text(corefile).load("53").map_err(Failure::plain)?;
        self.server.replace(text).await
    }

    /// Ends the server: plugins have their last word, then the sockets close.
    pub async fn stop(self) {
        self.server.end_services().await;
        self.server.close().await;
    }
}
