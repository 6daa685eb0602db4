//! A Kubernetes API server that has a [`World`] and nothing else: lists in pages, streamed lists, watches in which nothing happens,
//! and a restart that drops every connection and forgets every version.

use std::io::{BufWriter, Read as _, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::world::{Kind, World};

/// The longest head of a request, octets.
const HEAD_MAX: usize = 64 << 10;
/// How much of a body is collected before it is written.
const CHUNK: usize = 32 << 10;
/// How often the resource version grows by a restart.
const VERSIONS_A_LIFE: u64 = 1_000_000;

/// The server; it runs until the process ends.
pub(crate) struct Api {
    shared: Arc<Shared>,
    /// Where it listens, `127.0.0.1:PORT`.
    pub(crate) addr: String,
}

struct Shared {
    world: World,
    /// How often the server has started.
    life: AtomicU64,
    connections: Mutex<Vec<TcpStream>>,
    /// How many whole lists of each kind were written in this life.
    listed: Mutex<[u32; Kind::ALL.len()]>,
    finished: Condvar,
}

impl Api {
    /// Starts the server.
    pub(crate) fn start(world: World) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?.to_string();
        let shared = Arc::new(Shared {
            world,
            life: AtomicU64::new(1),
            connections: Mutex::default(),
            listed: Mutex::default(),
            finished: Condvar::new(),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                if let Ok(copy) = stream.try_clone() {
                    serving.connections.lock().unwrap_or_else(PoisonError::into_inner).push(copy);
                }
                let shared = Arc::clone(&serving);
                // Whoever hangs up ends his thread.
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Ok(Self { shared, addr })
    }

    /// Drops every connection; versions from before are gone.
    pub(crate) fn restart(&self) {
        *self.shared.listed.lock().unwrap_or_else(PoisonError::into_inner) = Default::default();
        self.shared.life.fetch_add(1, Ordering::SeqCst);
        let dropped = std::mem::take(&mut *self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner));
        for stream in dropped {
            // It may be closed by the other side already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Waits until these kinds have been listed whole since the start or restart. False: not within `limit`.
    pub(crate) fn wait_listed(&self, kinds: &[Kind], limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let mut listed = self.shared.listed.lock().unwrap_or_else(PoisonError::into_inner);
        while kinds.iter().any(|kind| listed[*kind as usize] == 0) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            listed = self.shared.finished.wait_timeout(listed, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) {
        // A head that cannot be read is the end of a connection.
        while let Ok(Some(target)) = read_head(&mut stream) {
            if self.answer(&mut stream, &target).is_err() {
                return;
            }
        }
    }

    fn version(&self) -> u64 {
        self.life.load(Ordering::SeqCst) * VERSIONS_A_LIFE
    }

    fn answer(&self, stream: &mut TcpStream, target: &str) -> std::io::Result<()> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parameter = |name: &str| {
            query
                .split('&')
                .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
                .filter(|value| !value.is_empty())
        };
        let Some(kind) = Kind::at(path) else {
            let known = path == "/version";
            let body = if known {
                r#"{"major":"1","minor":"34","gitVersion":"v1.34.0","platform":"linux/amd64"}"#
            } else {
                r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}"#
            };
            return whole(stream, if known { 200 } else { 404 }, body);
        };
        let from: u64 = parameter("resourceVersion").and_then(|text| text.parse().ok()).unwrap_or(0);
        if parameter("watch").is_some_and(|value| value == "1" || value == "true") {
            let streamed = parameter("sendInitialEvents") == Some("true");
            return self.watch(stream, kind, streamed, from);
        }
        let number = |name| parameter(name).and_then(|text| text.parse().ok());
        self.list(stream, kind, number("limit").unwrap_or(usize::MAX), number("continue").unwrap_or(0))
    }

    /// One page of a list.
    fn list(&self, stream: &mut TcpStream, kind: Kind, limit: usize, first: usize) -> std::io::Result<()> {
        let (version, count) = (self.version(), self.world.count(kind));
        let end = first.saturating_add(limit).min(count);
        let next = if end < count { end.to_string() } else { String::new() };
        let (api_version, name) = kind.names();
        let mut body = Chunked::start(stream)?;
        body.text.push_str(&format!(
            r#"{{"kind":"{name}List","apiVersion":"{api_version}","metadata":{{"resourceVersion":"{version}","continue":"{next}"}},"items":["#
        ));
        for number in first..end {
            if number > first {
                body.text.push(',');
            }
            self.world.write(kind, number, version, &mut body.text);
            body.flush_if_full()?;
        }
        body.text.push_str("]}");
        body.end()?;
        if end == count {
            self.note_listed(kind);
        }
        Ok(())
    }

    /// A watch, with all objects first if it is a streamed list. Nothing ever happens in it.
    fn watch(&self, stream: &mut TcpStream, kind: Kind, streamed: bool, from: u64) -> std::io::Result<()> {
        let version = self.version();
        let mut body = Chunked::start(stream)?;
        if streamed {
            for number in 0..self.world.count(kind) {
                body.text.push_str(r#"{"type":"ADDED","object":"#);
                self.world.write(kind, number, version, &mut body.text);
                body.text.push_str("}\n");
                body.flush_if_full()?;
            }
            let (api_version, name) = kind.names();
            body.text.push_str(&format!(
                "{{\"type\":\"BOOKMARK\",\"object\":{{\"kind\":\"{name}\",\"apiVersion\":\"{api_version}\",\"metadata\":{{\"resourceVersion\":\"{version}\",\"annotations\":{{\"k8s.io/initial-events-end\":\"true\"}}}}}}}}\n"
            ));
            body.flush()?;
            self.note_listed(kind);
        } else if from < version {
            body.text.push_str("{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":\"too old resource version\",\"reason\":\"Expired\",\"code\":410}}\n");
            return body.end();
        }
        body.flush()?;
        // Until one side hangs up.
        let _ = body.stream.get_mut().read(&mut [0]);
        Err(std::io::ErrorKind::ConnectionAborted.into())
    }

    fn note_listed(&self, kind: Kind) {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)[kind as usize] += 1;
        self.finished.notify_all();
    }
}

/// The target of the next request; none at the end of the connection.
fn read_head(stream: &mut TcpStream) -> std::io::Result<Option<String>> {
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        let length = stream.read(&mut piece)?;
        if length == 0 || head.len() > HEAD_MAX {
            return Ok(None);
        }
        head.extend_from_slice(&piece[..length]);
    }
    let head = String::from_utf8_lossy(&head);
    Ok(head.split(' ').nth(1).map(str::to_owned))
}

fn whole(stream: &mut TcpStream, code: u16, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let reply =
        format!("HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(reply.as_bytes())
}

/// A body of unknown length.
struct Chunked<'a> {
    stream: BufWriter<&'a mut TcpStream>,
    text: String,
}

impl<'a> Chunked<'a> {
    fn start(stream: &'a mut TcpStream) -> std::io::Result<Self> {
        let mut stream = BufWriter::new(stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        Ok(Self { stream, text: String::with_capacity(2 * CHUNK) })
    }

    fn flush_if_full(&mut self) -> std::io::Result<()> {
        if self.text.len() < CHUNK { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if !self.text.is_empty() {
            write!(self.stream, "{:x}\r\n{}\r\n", self.text.len(), self.text)?;
            self.text.clear();
        }
        self.stream.flush()
    }

    fn end(mut self) -> std::io::Result<()> {
        self.flush()?;
        self.stream.write_all(b"0\r\n\r\n")?;
        self.stream.flush()
    }
}
