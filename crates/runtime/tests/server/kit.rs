//! What the tests have in common.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use catena_core::prelude::*;
use catena_core::{
    BindFailure, HttpReply, HttpSite, Log, LogSink, PluginList, ReloadSettings, Service, SiteClose, StartContext,
};
use catena_runtime::{Disk, Failure, HostInterfaces, Options, Server, Source, SystemClock, Text};
use catena_testkit::{FakeExit, FakeLog};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Watches the Corefile every 30 ms.
const OFTEN: PluginDef = PluginDef::new("often", |cx| {
    let interval = Duration::from_millis(30);
    cx.instance_settings().reload = Some(ReloadSettings { interval, jitter: Duration::ZERO });
    Ok(())
});

/// `page WORD`: a path on a side HTTP listener of a free port, which replies with the word.
const PAGE: PluginDef = PluginDef::new("page", |cx| {
    let mut words = cx.cursor();
    words.next();
    let body = words.one_arg()?.to_owned();
    cx.http(HttpSite {
        plugin: "page",
        addr: "127.0.0.1:0".to_owned(),
        path: "/",
        handler: Arc::new(move || HttpReply::text(200, body.clone())),
        tls: None,
        on_failure: BindFailure::Fatal,
        close: SiteClose::After,
        span: None,
    });
    Ok(())
});

/// `first NAME` and `second NAME`: services that log what happens to them; the NAME `broken` does not start, `panics` does worse.
const FIRST: PluginDef = PluginDef::new("first", note);
const SECOND: PluginDef = PluginDef::new("second", note);

fn note(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let mut words = cx.cursor();
    words.next();
    let name = words.one_arg()?.to_owned();
    let started = cx.metrics().counter("test_started_total", "Starts.", &[]).with_label_values(&[] as &[&str]);
    let log = cx.log();
    cx.service(Arc::new(Noted { name, log, started }));
    Ok(())
}

struct Noted {
    name: String,
    log: Log,
    started: prometheus::Counter,
}

#[async_trait]
impl Service for Noted {
    async fn start(&self, cx: &StartContext<'_>) -> Result<(), Diagnostic> {
        match self.name.as_str() {
            "broken" => return Err(Diagnostic::error("does not start")),
            "panics" => panic!("at the start"),
            _ => {}
        }
        self.started.inc();
        self.log.info(format_args!("start {}", self.name));
        let end = AtEnd(self.log.clone(), self.name.clone());
        cx.spawner.spawn(Box::pin(async move {
            let _end = end;
            std::future::pending::<()>().await;
        }));
        Ok(())
    }

    async fn serving(&self, cx: &StartContext<'_>) {
        self.log.info(format_args!("serving {} on {}", self.name, cx.listen.len()));
    }

    async fn ending(&self) {
        self.log.info(format_args!("ending {}", self.name));
    }

    async fn shutdown(&self) {
        self.log.info(format_args!("shutdown {}", self.name));
    }

    async fn final_shutdown(&self) {
        self.log.info(format_args!("final {}", self.name));
    }
}

struct AtEnd(Log, String);

impl Drop for AtEnd {
    fn drop(&mut self) {
        self.0.info(format_args!("task of {} ended", self.1));
    }
}

/// `count`: answers with how many queries came before, in a TTL.
const COUNT: PluginDef = PluginDef::new("count", |cx| {
    cx.link(Count(AtomicU64::new(0)));
    Ok(())
});

struct Count(AtomicU64);

#[async_trait]
impl Plugin for Count {
    async fn serve(&self, q: &mut Query, _next: Next<'_>) -> Reply {
        let ttl = u32::try_from(self.0.fetch_add(1, Ordering::Relaxed)).unwrap();
        let mut answer = Answer::to(q);
        answer.push_address(Section::Answer, q.name(), Class::IN, ttl, [192, 0, 2, 1].into());
        answer.into()
    }
}

/// A server with the log lines that it wrote.
pub(crate) struct Kit {
    pub(crate) server: Arc<Server>,
    pub(crate) log: Arc<FakeLog>,
}

pub(crate) fn options(source: Source, log: &Arc<FakeLog>) -> Options {
    let sink: Arc<dyn LogSink> = Arc::<FakeLog>::clone(log);
    Options {
        plugins: PluginList::new([OFTEN, PAGE, FIRST, SECOND, COUNT, catena_plugin_whoami::PLUGIN]),
        elsewhere: vec![],
        source,
        default_port: "53".to_owned(),
        product: "Catena-0.1.0".to_owned(),
        workers: 2,
        log: Log::new(sink),
        exit: Arc::new(FakeExit::default()),
        files: Arc::new(Disk),
        interfaces: Arc::new(HostInterfaces),
        clock: Arc::new(SystemClock),
    }
}

impl Kit {
    pub(crate) async fn try_start(source: Source) -> Result<Self, (Failure, Vec<String>)> {
        let log = Arc::new(FakeLog::default());
        match Server::start(options(source, &log)).await {
            Ok(server) => Ok(Self { server, log }),
            Err(failure) => Err((failure, log.lines())),
        }
    }

    pub(crate) async fn start(corefile: &str) -> Self {
        Self::try_start(Source::text(corefile)).await.ok().unwrap()
    }

    pub(crate) async fn replace(&self, corefile: &str) -> Result<(), Failure> {
        self.server.replace(text(corefile)).await
    }

    pub(crate) async fn addr(&self) -> SocketAddr {
        let port = self.server.addrs().await[0].1.port();
        ([127, 0, 0, 1], port).into()
    }

    /// The value of a series without labels, or with them as the page shows them.
    pub(crate) fn metric(&self, series: &str) -> Option<f64> {
        let text = prometheus::TextEncoder::new().encode_to_string(&self.server.metrics().registry().gather()).unwrap();
        let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    pub(crate) async fn end(self) {
        self.server.end_services().await;
        self.server.close().await;
    }
}

pub(crate) fn text(corefile: &str) -> Text {
    Source::text(corefile).load("53").unwrap()
}

/// A query for `example.org A`.
pub(crate) fn query(id: u16) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend_from_slice(b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x01\x00\x01");
    message
}

/// The rcode of the reply over UDP; none if none comes within two seconds.
pub(crate) async fn ask(addr: SocketAddr) -> Option<u8> {
    tokio::task::spawn_blocking(move || ask_blocking(addr, 7)).await.unwrap()
}

pub(crate) fn ask_blocking(addr: SocketAddr, id: u16) -> Option<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    socket.send_to(&query(id), addr).unwrap();
    let mut reply = [0; 512];
    let len = socket.recv(&mut reply).ok()?;
    assert!(len >= 12 && reply[..2] == id.to_be_bytes());
    Some(reply[3] & 15)
}

pub(crate) async fn ask_tcp(stream: &mut TcpStream) -> u8 {
    let message = query(9);
    let mut framed = u16::try_from(message.len()).unwrap().to_be_bytes().to_vec();
    framed.extend_from_slice(&message);
    stream.write_all(&framed).await.unwrap();
    let len = usize::from(stream.read_u16().await.unwrap());
    let mut reply = vec![0; len];
    stream.read_exact(&mut reply).await.unwrap();
    reply[3] & 15
}

/// What the page replies.
pub(crate) async fn page(addr: SocketAddr) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    reply.rsplit("\r\n\r\n").next().unwrap().to_owned()
}

/// Waits until the condition holds, five seconds at most.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not happen");
}

/// Whether connections are refused there, now or within a second: workers close sockets when they come to it.
pub(crate) async fn is_closed(addr: SocketAddr) -> bool {
    for _ in 0..100 {
        if TcpStream::connect(addr).await.is_err() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}
