//! A DNS server on loopback that does as it is told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};

/// What a fake does with a query.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Act {
    /// Answers A queries with this address.
    Answer([u8; 4]),
    /// Says nothing.
    Drop,
    /// Replies with another id, and never with the right one.
    WrongId,
    /// Replies to another name.
    WrongQuestion,
    /// Replies with a request.
    NoReply,
    /// Replies with this code.
    Rcode(u8),
    /// Over UDP an empty reply with TC, over TCP the address.
    Truncate([u8; 4]),
    /// A reply of so many octets, truthfully counted.
    Large(usize),
    /// A reply with a record whose data is broken.
    Broken,
    /// Over streams: answers, then closes.
    AnswerAndClose([u8; 4]),
    /// Over streams: closes.
    Close,
    /// Answers so late.
    Late(Duration, [u8; 4]),
    /// An empty NOERROR.
    NoData,
}

pub(super) struct Shared {
    act: Mutex<Act>,
    asked: Mutex<Vec<(&'static str, Vec<u8>)>>,
    pub(super) resumed: Mutex<Vec<bool>>,
    pub(super) stop: AtomicBool,
    pub(super) tls: Option<Arc<ServerConfig>>,
}

/// The fake.
pub(crate) struct Fake {
    pub(crate) addr: SocketAddr,
    shared: Arc<Shared>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

impl Fake {
    pub(crate) fn new(act: Act) -> Self {
        Self::start(act, None)
    }

    pub(crate) fn tls(act: Act, config: ServerConfig) -> Self {
        Self::start(act, Some(Arc::new(config)))
    }

    /// A server over HTTP/2: POST with a body, GET with `dns=` in the URI.
    pub(crate) fn https(act: Act, mut config: ServerConfig) -> Self {
        config.alpn_protocols = vec![b"h2".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            act: Mutex::new(act),
            asked: Mutex::default(),
            resumed: Mutex::default(),
            stop: AtomicBool::new(false),
            tls: Some(Arc::new(config)),
        });
        let for_server = Arc::clone(&shared);
        std::thread::spawn(move || super::https::serve(listener, &for_server));
        Self { addr, shared }
    }

    fn start(act: Act, tls: Option<Arc<ServerConfig>>) -> Self {
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
                break (tcp, udp);
            }
        };
        let addr = tcp.local_addr().unwrap();
        let shared = Arc::new(Shared {
            act: Mutex::new(act),
            asked: Mutex::default(),
            resumed: Mutex::default(),
            stop: AtomicBool::new(false),
            tls,
        });
        let (for_udp, for_tcp) = (Arc::clone(&shared), Arc::clone(&shared));
        std::thread::spawn(move || serve_udp(&udp, &for_udp));
        std::thread::spawn(move || serve_tcp(&tcp, &for_tcp));
        Self { addr, shared }
    }

    /// Does something else from now on.
    pub(crate) fn act(&self, act: Act) {
        *self.shared.act.lock().unwrap() = act;
    }

    /// What was asked since the last look, health checks left out: transport and message.
    pub(crate) fn asked(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut asked = std::mem::take(&mut *self.shared.asked.lock().unwrap());
        asked.retain(|(_, message)| message[12] != 0);
        asked
    }

    /// The transports of what was asked since the last look, health checks left out.
    pub(crate) fn protocols(&self) -> Vec<&'static str> {
        self.asked().into_iter().map(|(protocol, _)| protocol).collect()
    }

    /// Which handshakes took up an earlier session.
    pub(crate) fn resumed(&self) -> Vec<bool> {
        self.shared.resumed.lock().unwrap().clone()
    }

    /// Every message since the last look, health checks too.
    pub(crate) fn everything(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.shared.asked.lock().unwrap()).into_iter().map(|(_, message)| message).collect()
    }
}

fn serve_udp(socket: &UdpSocket, shared: &Shared) {
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut buffer = [0; 65_535];
    while !shared.stop.load(Ordering::SeqCst) {
        let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
        if let Some(reply) = reply_to(&buffer[..len], "udp", shared) {
            socket.send_to(&reply, from).unwrap();
        }
    }
}

fn serve_tcp(listener: &TcpListener, shared: &Arc<Shared>) {
    listener.set_nonblocking(true).unwrap();
    while !shared.stop.load(Ordering::SeqCst) {
        let Ok((stream, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        stream.set_nonblocking(false).unwrap();
        let shared = Arc::clone(shared);
        std::thread::spawn(move || match &shared.tls {
            Some(config) => {
                let session = ServerConnection::new(Arc::clone(config)).unwrap();
                let mut stream = StreamOwned::new(session, stream);
                if stream.conn.complete_io(&mut stream.sock).is_ok() {
                    let resumed = stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
                    shared.resumed.lock().unwrap().push(resumed);
                    serve_stream(stream, "tls", &shared);
                }
            }
            None => serve_stream::<TcpStream>(stream, "tcp", &shared),
        });
    }
}

fn serve_stream<S: Read + Write>(mut stream: S, protocol: &'static str, shared: &Shared) {
    let mut len = [0; 2];
    while stream.read_exact(&mut len).is_ok() {
        let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
        if stream.read_exact(&mut message).is_err() {
            return;
        }
        let Some(reply) = reply_to(&message, protocol, shared) else { continue };
        if reply.is_empty() {
            return;
        }
        let mut framed = u16::try_from(reply.len()).unwrap().to_be_bytes().to_vec();
        framed.extend(reply);
        stream.write_all(&framed).unwrap();
        if matches!(*shared.act.lock().unwrap(), Act::AnswerAndClose(_)) {
            return;
        }
    }
}

/// The reply; nothing for silence, an empty one for a connection to be closed.
pub(super) fn reply_to(query: &[u8], protocol: &'static str, shared: &Shared) -> Option<Vec<u8>> {
    shared.asked.lock().unwrap().push((protocol, query.to_vec()));
    let act = shared.act.lock().unwrap().clone();
    let mut end = 12;
    while query[end] != 0 {
        end += 1 + usize::from(query[end]);
    }
    let question = &query[12..end + 5];
    let is_a = question[question.len() - 4..] == [0, 1, 0, 1];
    let mut reply = query[..2].to_vec();
    reply.extend([0x84 | query[2] & 1, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]);
    reply.extend(question);
    let head = reply.len();
    let mut records = |list: &[Vec<u8>]| {
        reply[7] = u8::try_from(list.len()).unwrap();
        list.iter().for_each(|record| reply.extend(record));
    };
    let record = |ip: &[u8]| [&[0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, u8::try_from(ip.len()).unwrap()], ip].concat();
    match act {
        Act::Drop => return None,
        Act::Close => return Some(Vec::new()),
        Act::Truncate(_) if protocol == "udp" => reply[2] |= 2,
        Act::Answer(ip) | Act::Truncate(ip) | Act::AnswerAndClose(ip) if is_a => records(&[record(&ip)]),
        Act::Late(wait, ip) => {
            std::thread::sleep(wait);
            records(&[record(&ip)]);
        }
        Act::Broken => records(&[record(&[1, 2, 3])]),
        Act::WrongId => reply[0] ^= 0x55,
        Act::WrongQuestion => reply[13] ^= 1,
        Act::NoReply => reply[2] &= 0x7f,
        Act::Rcode(rcode) => reply[3] |= rcode,
        Act::Large(size) => {
            let text = size - head - 12;
            let mut record = vec![0xc0, 12, 0, 10, 0, 1, 0, 0, 1, 44];
            record.extend(u16::try_from(text).unwrap().to_be_bytes());
            record.resize(record.len() + text, 7);
            records(&[record]);
        }
        _ => {}
    }
    Some(reply)
}
