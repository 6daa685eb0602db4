//! A server with one tiny plugin, and clients.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use catena_core::corefile::{ParseOptions, parse};
use catena_core::prelude::*;
use catena_core::{
    BuildContext, Clock, Envelopes, Instance, ListenAddr, Log, LogSink, Metrics, PluginList, Spawner, build,
};
use catena_server::{Bound, Context, Generation, Limits, Workers, bind, sockets_of};
use catena_testkit::{FakeFiles, FakeInterfaces, FakeLog, RealClock, RuntimeSpawner};
use tokio::runtime::{Builder, Runtime};

/// How long a client waits for a reply that should come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How long a client waits to see that nothing comes.
pub(crate) const SILENCE: Duration = Duration::from_millis(150);

/// Answers by the first label of the name: `waitN` after N milliseconds, `never`, `boom` panics, `later` panics after waiting,
/// `where` with the address that was asked, `who` with the client's, `bigN` with N records, `streamN` with N messages
/// of 30,000 octets, `breakN` with N of them, the last a panic; anything else at once with its argument.
pub(crate) const PLAY: PluginDef = PluginDef::new("play", |cx| {
    let mut words = cx.cursor();
    words.next();
    let address =
        words.remaining_args().first().and_then(|word| word.parse().ok()).unwrap_or(IpAddr::from([192, 0, 2, 1]));
    let pulled = cx.shared::<AtomicUsize>();
    cx.link(Play(address, pulled));
    Ok(())
});

struct Play(IpAddr, Arc<AtomicUsize>);

/// Messages of 30,000 octets, each telling in its TTL how many were pulled before it.
struct Messages {
    left: usize,
    breaks: bool,
    pulled: Arc<AtomicUsize>,
}

impl Envelopes for Messages {
    fn next(&mut self, query: &mut Query) -> Option<Box<Answer>> {
        self.left = self.left.checked_sub(1)?;
        let pulled = self.pulled.fetch_add(1, Ordering::Relaxed);
        assert!(self.left > 0 || !self.breaks, "it went boom");
        let mut answer = Answer::to(query);
        let ttl = u32::try_from(pulled).unwrap();
        answer.push_wire(Section::Answer, &[0], Rtype::TXT, Class::IN, ttl, &[0; 30_000]);
        Some(answer)
    }
}

#[async_trait]
impl Plugin for Play {
    async fn serve(&self, q: &mut Query, _next: Next<'_>) -> Reply {
        let label = first_label(q);
        let digits = label.trim_start_matches(char::is_alphabetic);
        let number: usize = digits.parse().unwrap_or(0);
        let mut count = 1;
        let mut address = self.0;
        match label.trim_end_matches(char::is_numeric) {
            "wait" => tokio::time::sleep(Duration::from_millis(number as u64)).await,
            "never" => std::future::pending().await,
            "boom" => panic!("it went boom"),
            "later" => {
                tokio::time::sleep(Duration::from_millis(1)).await;
                panic!("it went boom {}", "later");
            }
            "where" => address = q.local().ip(),
            "who" => address = q.client().ip(),
            "big" => count = number,
            "stream" => return Reply::stream(Messages { left: number, breaks: false, pulled: Arc::clone(&self.1) }),
            "break" => return Reply::stream(Messages { left: number, breaks: true, pulled: Arc::clone(&self.1) }),
            _ => {}
        }
        let mut answer = Answer::to(q).authoritative();
        for _ in 0..count {
            answer.push_address(Section::Answer, q.name(), q.qclass(), 30, address);
        }
        answer.into()
    }
}

fn first_label(q: &Query) -> String {
    let name = q.lower().as_slice();
    let label = name.get(1..=usize::from(name[0])).unwrap_or_default();
    String::from_utf8_lossy(label).into_owned()
}

/// A plugin that only says that it is there: another list than the one with `play`.
pub(crate) const REFUSE: PluginDef = PluginDef::new("refuse", |cx| {
    cx.link(catena_core::Fixed(|_: &mut Query| Reply::status(Rcode::REFUSED)));
    Ok(())
});

/// A running server.
pub(crate) struct Server {
    pub(crate) runtime: Runtime,
    pub(crate) workers: Option<Workers>,
    pub(crate) bound: Vec<Arc<Bound>>,
    pub(crate) log: Arc<FakeLog>,
    pub(crate) metrics: Arc<Metrics>,
    plugins: PluginList,
}

impl Server {
    /// One worker, default limits, on 127.0.0.1, with `play`.
    pub(crate) fn new(corefile: &str) -> Self {
        Self::with([PLAY], corefile, 1, Limits::default(), Some("127.0.0.1"))
    }

    pub(crate) fn limited(limits: Limits) -> Self {
        Self::with([PLAY], ".:0 {\n play\n}", 1, limits, Some("127.0.0.1"))
    }

    pub(crate) fn with(
        plugins: impl IntoIterator<Item = PluginDef>,
        corefile: &str,
        workers: usize,
        limits: Limits,
        ip: Option<&str>,
    ) -> Self {
        let log = Arc::new(FakeLog::default());
        let metrics = Arc::new(Metrics::new());
        let context = Context { log: log_of(&log), metrics: Arc::clone(&metrics), limits };
        let started = Workers::start(workers, context).unwrap();
        let mut server = Self {
            runtime: Builder::new_current_thread().enable_all().build().unwrap(),
            workers: Some(started),
            bound: Vec::new(),
            log,
            metrics,
            plugins: PluginList::new(plugins),
        };
        let instance = server.build(corefile);
        server.bound = server.bind(&instance, ip);
        server.adopt(instance, server.bound.clone());
        server
    }

    pub(crate) fn build(&self, corefile: &str) -> Arc<Instance> {
        let names = self.plugins.names();
        let files = FakeFiles::default();
        let options = ParseOptions {
            name: "Corefile",
            path: Path::new("/Corefile"),
            directives: &names,
            env: &|_| None,
            files: &files,
        };
        let parsed = parse(corefile, &options);
        assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
        let clock: Arc<dyn Clock> = Arc::new(RealClock);
        let log = log_of(&self.log);
        let context = BuildContext {
            metrics: &self.metrics,
            log: &log,
            clock: &clock,
            files: &files,
            default_port: "53",
            product: "Catena-0.1.0",
        };
        let draft = build(&parsed.corefile, &self.plugins, &context, None).draft.expect("a draft");
        Arc::new(draft.resolve(&FakeInterfaces::default()).expect("an instance"))
    }

    pub(crate) fn bind(&self, instance: &Instance, ip: Option<&str>) -> Vec<Arc<Bound>> {
        let workers = self.workers.as_ref().unwrap().count();
        let on = |addr: &ListenAddr| ListenAddr { ip: ip.map(|ip| ip.parse().unwrap()), ..addr.clone() };
        let listeners = instance.listeners().iter();
        let opened = listeners.map(|listener| {
            let count = sockets_of(listener.sockets.count, workers);
            Arc::new(bind(&on(&listener.addr), count, &log_of(&self.log)).unwrap())
        });
        opened.collect()
    }

    pub(crate) fn adopt(&self, instance: Arc<Instance>, listeners: Vec<Arc<Bound>>) {
        let spawner: Arc<dyn Spawner> = RuntimeSpawner::new(self.runtime.handle().clone(), 100);
        let generation = Generation { instance, spawner, clock: Arc::new(RealClock), listeners };
        self.runtime.block_on(self.workers.as_ref().unwrap().adopt(generation)).unwrap();
    }

    pub(crate) fn port(&self) -> u16 {
        self.bound[0].local_addr().port()
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port()).into()
    }

    pub(crate) fn udp(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(self.addr()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    pub(crate) fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    pub(crate) fn stop(&mut self, limit: Duration) {
        self.runtime.block_on(self.workers.take().unwrap().stop(limit));
    }

    /// The value of a counter with these label values in its text.
    pub(crate) fn counter(&self, name: &str, labels: &[&str]) -> f64 {
        let families = self.metrics.registry().gather();
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family.map(|family| family.get_metric()).unwrap_or_default();
        let matching = metrics
            .iter()
            .filter(|metric| labels.iter().all(|label| metric.get_label().iter().any(|pair| pair.value() == *label)));
        matching.map(|metric| metric.get_counter().get_value()).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(workers) = self.workers.take() {
            self.runtime.block_on(workers.stop(Duration::ZERO));
        }
    }
}

pub(crate) fn log_of(log: &Arc<FakeLog>) -> Log {
    let sink: Arc<dyn LogSink> = Arc::<FakeLog>::clone(log);
    Log::new(sink)
}

/// A question in class IN.
pub(crate) fn question(id: u16, name: &str, qtype: Rtype) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(qtype.to_int().to_be_bytes());
    message.extend([0, 1]);
    message
}

/// A question with an OPT record of so many octets of padding, for a reply of `size` octets.
pub(crate) fn padded(id: u16, name: &str, size: u16, padding: u16) -> Vec<u8> {
    let mut message = question(id, name, Rtype::A);
    message[11] = 1;
    message.extend([0, 0, 41]);
    message.extend(size.to_be_bytes());
    message.extend([0; 4]);
    message.extend((padding + 4).to_be_bytes());
    // A local option, which does not come back.
    message.extend(65_001_u16.to_be_bytes());
    message.extend(padding.to_be_bytes());
    message.resize(message.len() + usize::from(padding), 0);
    message
}

pub(crate) fn id_of(reply: &[u8]) -> u16 {
    u16::from_be_bytes([reply[0], reply[1]])
}

pub(crate) fn rcode_of(reply: &[u8]) -> u8 {
    reply[3] & 15
}

/// The last four octets: the address of a lone A record in a reply without OPT record.
pub(crate) fn address_of(reply: &[u8]) -> IpAddr {
    let octets: [u8; 4] = reply[reply.len() - 4..].try_into().unwrap();
    octets.into()
}

/// Sends a datagram and waits for the reply.
pub(crate) fn ask(socket: &UdpSocket, message: &[u8]) -> Vec<u8> {
    socket.send(message).unwrap();
    receive(socket).expect("a reply")
}

/// Waits for a datagram.
pub(crate) fn receive(socket: &UdpSocket) -> Option<Vec<u8>> {
    let mut reply = vec![0; 65_535];
    let len = socket.recv(&mut reply).ok()?;
    reply.truncate(len);
    Some(reply)
}

/// Whether nothing comes for a while.
pub(crate) fn is_silent(socket: &UdpSocket) -> bool {
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    let silent = receive(socket).is_none();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    silent
}

pub(crate) fn frame(message: &[u8]) -> Vec<u8> {
    let mut framed = u16::try_from(message.len()).unwrap().to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    framed
}

pub(crate) fn send_frame(stream: &mut TcpStream, message: &[u8]) {
    stream.write_all(&frame(message)).unwrap();
}

/// The next frame; `None` when the connection ends.
pub(crate) fn read_frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).ok()?;
    Some(message)
}

/// How long it takes until the connection ends; panics when something comes instead.
pub(crate) fn time_to_close(stream: &mut TcpStream) -> Duration {
    let start = Instant::now();
    match stream.read(&mut [0]) {
        Ok(0) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        other => panic!("the connection is open: {other:?}"),
    }
    start.elapsed()
}
