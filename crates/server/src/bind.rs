//! Opening the sockets of a listen address.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};

use catena_core::{ListenAddr, Log, SocketCount, Transport};
use socket2::{Domain, Protocol, Socket, Type};

use crate::proxy::Sessions;
use crate::udp::ask_for_destination;

/// How many connections wait for being accepted, per socket; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG_MAX: i32 = 4096;
/// The receive buffer that is asked for, octets; the kernel cuts it to `net.core.rmem_max`.
const RECEIVE_BUFFER_OCTETS: usize = 1 << 20;
/// How often another free port is tried when port 0 was asked and the one that TCP got is taken for UDP.
const FREE_PORT_TRIES_MAX: usize = 16;

/// Why an address cannot be listened on, in Go's words: `listen tcp :53: bind: address already in use`.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The operating system says no.
    #[error("listen {network} {addr}: {step}{}", in_go_words(.source))]
    Os {
        /// `udp` or `tcp`.
        network: &'static str,
        /// Host and port.
        addr: String,
        /// The call that failed and a colon, if it is worth telling.
        step: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// A scheme that needs a part of the server that is not there.
    #[error("listen {addr}: transport {transport} is not supported by this build")]
    Transport {
        /// The scheme.
        transport: Transport,
        /// The address with its scheme.
        addr: String,
    },
}

impl BindError {
    /// Whether the UDP socket is the one that could not be had.
    #[must_use]
    pub fn is_udp(&self) -> bool {
        matches!(self, Self::Os { network: "udp", .. })
    }
}

/// The operating system's words as Go writes them: lower case, without the number.
fn in_go_words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// A UDP and a TCP socket, read by one worker.
pub(crate) struct Sockets {
    pub(crate) udp: Option<Arc<UdpSocket>>,
    pub(crate) tcp: Option<Arc<TcpListener>>,
}

/// Sockets of one listen address, which the kernel gives equal shares (SO_REUSEPORT); kept by the server over reloads.
pub struct Bound {
    addr: ListenAddr,
    local: SocketAddr,
    sockets: Vec<Arc<Sockets>>,
    /// Clients behind proxies, known by all sockets: which of them a datagram comes to is the kernel's choice.
    sessions: Arc<Mutex<Sessions>>,
}

impl Bound {
    fn new(addr: &ListenAddr, local: SocketAddr, sockets: Vec<Arc<Sockets>>) -> Self {
        Self { addr: addr.clone(), local, sockets, sessions: Arc::default() }
    }

    /// The address that was asked for.
    #[must_use]
    pub fn addr(&self) -> &ListenAddr {
        &self.addr
    }

    /// The address of the sockets, with the real port where 0 was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Whether the sockets take what comes to any address of the host.
    pub(crate) fn is_wildcard(&self) -> bool {
        self.local.ip().is_unspecified()
    }

    /// How many sockets of a kind there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sockets.len()
    }

    /// The sockets that a worker reads: every so many-th, so that all have equal shares.
    pub(crate) fn sockets(&self, worker: usize, workers: usize) -> impl Iterator<Item = &Arc<Sockets>> {
        self.sockets.iter().skip(worker).step_by(workers.max(1))
    }

    pub(crate) fn sessions(&self) -> &Arc<Mutex<Sessions>> {
        &self.sessions
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").field("addr", &self.addr).field("local", &self.local).finish_non_exhaustive()
    }
}

/// How many sockets of a kind an address has: as many as the Corefile says, and as many for each worker, one at least.
#[must_use]
pub fn sockets_of(count: Option<SocketCount>, workers: usize) -> usize {
    match count {
        Some(SocketCount::AtLeast(count)) => usize::from(count.get()).next_multiple_of(workers.max(1)),
        Some(SocketCount::Workers) | None => workers.max(1),
    }
}

/// Opens the sockets of an address, so many of each kind.
///
/// Without an IP, or with an unspecified one, the sockets take IPv6 and IPv4, as Go's do; on a host without IPv6, IPv4 only.
/// `tls://` is plain TCP until a plugin wraps it, `unix://` opens nothing.
///
/// # Errors
/// The operating system's refusal, TCP tried first, and schemes that this build does not speak.
pub fn bind(addr: &ListenAddr, count: usize, log: &Log) -> Result<Bound, BindError> {
    let scope = addr.scope.as_deref().map_or(0, interface_index);
    let local = addr.socket_addr(scope);
    match addr.transport {
        Transport::Dns | Transport::Tls => {}
        Transport::Unix => return Ok(Bound::new(addr, local, Vec::new())),
        transport => return Err(BindError::Transport { transport, addr: addr.to_string() }),
    }
    let mut tries = 0;
    loop {
        tries += 1;
        match open_all(addr, local, count, log) {
            Err(error) if addr.port == 0 && error.is_udp() && tries < FREE_PORT_TRIES_MAX => {}
            done => return done.map(|(local, sockets)| Bound::new(addr, local, sockets)),
        }
    }
}

/// The same address with another number of sockets: those that are there stay as far as they are wanted.
///
/// # Errors
/// As [`bind`].
pub fn rebind(known: &Bound, count: usize, log: &Log) -> Result<Bound, BindError> {
    let missing = if known.sockets.is_empty() { 0 } else { count.saturating_sub(known.sockets.len()) };
    let (_, more) = open_all(&known.addr, known.local, missing, log)?;
    let sockets = known.sockets.iter().take(count).cloned().chain(more).collect();
    Ok(Bound { addr: known.addr.clone(), local: known.local, sockets, sessions: Arc::clone(&known.sessions) })
}

type Opened = (SocketAddr, Vec<Arc<Sockets>>);

fn open_all(addr: &ListenAddr, local: SocketAddr, count: usize, log: &Log) -> Result<Opened, BindError> {
    let opener = Opener { shown: shown(addr), log };
    let mut local = local;
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let tcp = opener.open(Kind::Tcp, local)?;
        // The first socket says which address and port all others take.
        local = tcp.local_addr().ok().and_then(|bound| bound.as_socket()).unwrap_or(local);
        let udp = match addr.transport {
            Transport::Dns => Some(Arc::new(opener.open(Kind::Udp, local)?.into())),
            _ => None,
        };
        sockets.push(Arc::new(Sockets { udp, tcp: Some(Arc::new(tcp.into())) }));
    }
    Ok((local, sockets))
}

/// Host and port as Go shows them.
fn shown(addr: &ListenAddr) -> String {
    match addr.ip {
        Some(IpAddr::V6(_)) => format!("[{}]:{}", addr.host(), addr.port),
        _ => format!("{}:{}", addr.host(), addr.port),
    }
}

/// The number of an interface; 0 if there is none of that name.
fn interface_index(name: &str) -> u32 {
    let path = format!("/sys/class/net/{name}/ifindex");
    std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tcp,
    Udp,
}

struct Opener<'a> {
    shown: String,
    log: &'a Log,
}

impl Opener<'_> {
    fn open(&self, kind: Kind, local: SocketAddr) -> Result<Socket, BindError> {
        if !local.ip().is_unspecified() {
            return self.bind_one(kind, local, true);
        }
        let port = local.port();
        let dual = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
        match self.bind_one(kind, dual, false) {
            Err(BindError::Os { source, .. }) if lacks_ipv6(&source) => {
                self.bind_one(kind, SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port), false)
            }
            done => done,
        }
    }

    fn bind_one(&self, kind: Kind, local: SocketAddr, only_v6: bool) -> Result<Socket, BindError> {
        let network = if kind == Kind::Tcp { "tcp" } else { "udp" };
        let fault = |step| move |source| BindError::Os { network, addr: self.shown.clone(), step, source };
        let (sort, protocol) = match kind {
            Kind::Tcp => (Type::STREAM, Protocol::TCP),
            Kind::Udp => (Type::DGRAM, Protocol::UDP),
        };
        let socket = Socket::new(Domain::for_address(local), sort, Some(protocol)).map_err(fault("socket: "))?;
        socket.set_nonblocking(true).map_err(fault("fcntl: "))?;
        if let Err(error) = socket.set_reuse_port(true) {
            self.log.warning(format_args!("Failed to set SO_REUSEPORT on socket: {}", in_go_words(&error)));
        }
        if local.is_ipv6() {
            socket.set_only_v6(only_v6).map_err(fault("setsockopt: "))?;
        }
        match kind {
            Kind::Tcp => socket.set_reuse_address(true).map_err(fault("setsockopt: "))?,
            Kind::Udp => {
                // A wish: with a smaller buffer bursts are lost earlier, nothing else.
                let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_OCTETS);
                if local.ip().is_unspecified() {
                    ask_for_destination(socket.as_fd(), local.is_ipv6()).map_err(fault("setsockopt: "))?;
                }
            }
        }
        socket.bind(&local.into()).map_err(fault("bind: "))?;
        if kind == Kind::Tcp {
            socket.listen(BACKLOG_MAX).map_err(fault("listen: "))?;
        }
        Ok(socket)
    }
}

fn lacks_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL | libc::EPROTONOSUPPORT))
}
