//! Opening the socket of a side HTTP address.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use catena_core::Log;
use catena_gocompat::address::split_host_port;
use socket2::{Domain, Protocol, Socket, Type};

use crate::go_error;

/// How long the look-up of a host name in an address may take.
pub const LOOKUP_LIMIT: Duration = Duration::from_secs(5);
/// How many connections wait for being accepted.
const BACKLOG_MAX: i32 = 128;

/// Opens `HOST:PORT`. Without a host it takes IPv6 and IPv4, as Go's listeners do.
///
/// # Errors
/// Go's text: `listen tcp HOST:PORT: bind: address already in use`.
pub(super) async fn open(addr: &str, log: &Log) -> Result<TcpListener, String> {
    let fault = |reason: String| format!("listen tcp {addr}: {reason}");
    let (host, port) = split_host_port(addr).map_err(|error| format!("listen tcp: {error}"))?;
    let port: u16 = match port {
        "" => 0,
        digits => digits.parse().map_err(|_| format!("listen tcp: address {digits}: invalid port"))?,
    };
    if host.is_empty() {
        return match bind((Ipv6Addr::UNSPECIFIED, port).into(), log) {
            Err((_, error)) if error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(97) => {
                bind((Ipv4Addr::UNSPECIFIED, port).into(), log)
            }
            done => done,
        }
        .map_err(|(call, error)| fault(format!("{call}: {}", go_error(&error))));
    }
    let local = resolve(host, port).await.map_err(|error| format!("listen tcp: lookup {host}: {error}"))?;
    bind(local, log).map_err(|(call, error)| fault(format!("{call}: {}", go_error(&error))))
}

/// The address of a host; IPv4 is preferred, as Go's listeners prefer it.
async fn resolve(host: &str, port: u16) -> Result<SocketAddr, String> {
    let found = tokio::time::timeout(LOOKUP_LIMIT, tokio::net::lookup_host((host, port))).await;
    let found = found.map_err(|_| "i/o timeout".to_owned())?.map_err(|_| "no such host".to_owned())?;
    let mut all: Vec<SocketAddr> = found.collect();
    all.sort_by_key(SocketAddr::is_ipv6);
    all.first().copied().ok_or_else(|| "no such host".to_owned())
}

type Refusal = (&'static str, io::Error);

fn bind(local: SocketAddr, log: &Log) -> Result<TcpListener, Refusal> {
    let at = |call: &'static str| move |error| (call, error);
    let socket = Socket::new(Domain::for_address(local), Type::STREAM, Some(Protocol::TCP)).map_err(at("socket"))?;
    socket.set_nonblocking(true).map_err(at("fcntl"))?;
    socket.set_reuse_address(true).map_err(at("setsockopt"))?;
    if let Err(error) = socket.set_reuse_port(true) {
        log.warning(format_args!("Failed to set SO_REUSEPORT on socket: {}", go_error(&error)));
    }
    if local.is_ipv6() {
        socket.set_only_v6(!local.ip().is_unspecified()).map_err(at("setsockopt"))?;
    }
    socket.bind(&local.into()).map_err(at("bind"))?;
    socket.listen(BACKLOG_MAX).map_err(at("listen"))?;
    Ok(socket.into())
}
