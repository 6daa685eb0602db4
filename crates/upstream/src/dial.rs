//! Making connections, with a time limit that learns.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

use crate::error::{ExchangeError, os_text};

/// The shortest time that is given to making a connection.
pub const DIAL_TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// The longest time that is given to making a connection.
pub const DIAL_TIMEOUT_MAX: Duration = Duration::from_secs(30);
/// How much of the average an observation does not change: one part in four is new.
const AVERAGE_WEIGHT: i64 = 4;

/// A moving average of how long making a connection took. CoreDNS: plugin/pkg/proxy/connect.go.
#[derive(Debug)]
pub(crate) struct DialTime(AtomicI64);

impl DialTime {
    pub(crate) fn new() -> Self {
        Self(AtomicI64::new(nanos(DIAL_TIMEOUT_MAX / 2)))
    }

    /// The time to give to the next connection: twice the average, within the limits.
    pub(crate) fn limit(&self) -> Duration {
        let average = Duration::from_nanos(u64::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(0));
        if average < DIAL_TIMEOUT_MIN {
            DIAL_TIMEOUT_MIN
        } else if average < DIAL_TIMEOUT_MAX / 2 {
            average * 2
        } else {
            DIAL_TIMEOUT_MAX
        }
    }

    /// Takes in how long it took.
    pub(crate) fn observe(&self, took: Duration) {
        let average = self.0.load(Ordering::Relaxed);
        self.0.fetch_add((nanos(took) - average) / AVERAGE_WEIGHT, Ordering::Relaxed);
    }
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

fn source_addr(source: Option<IpAddr>) -> Option<SocketAddr> {
    source.map(|ip| SocketAddr::new(ip, 0))
}

/// A fresh datagram socket that sends to `peer` only and hears it only; the kernel picks a random port.
pub(crate) fn udp(peer: SocketAddr, source: Option<IpAddr>) -> Result<UdpSocket, ExchangeError> {
    let source = source_addr(source);
    let fail = |step: &str, error: io::Error| {
        ExchangeError::dial("udp", source, peer, &format!("{step}: {}", os_text(&error)))
    };
    let socket =
        Socket::new(Domain::for_address(peer), Type::DGRAM, Some(Protocol::UDP)).map_err(|e| fail("socket", e))?;
    socket.set_nonblocking(true).map_err(|e| fail("setnonblock", e))?;
    if let Some(source) = source {
        socket.bind(&source.into()).map_err(|e| fail("bind", e))?;
    }
    socket.connect(&peer.into()).map_err(|e| fail("connect", e))?;
    UdpSocket::from_std(socket.into()).map_err(|e| fail("register", e))
}

/// A fresh stream to `peer`.
pub(crate) async fn tcp(peer: SocketAddr, source: Option<IpAddr>, limit: Duration) -> Result<TcpStream, ExchangeError> {
    let source = source_addr(source);
    let fail = |step: &str, error: io::Error| {
        ExchangeError::dial("tcp", source, peer, &format!("{step}: {}", os_text(&error)))
    };
    let socket =
        if peer.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(|e| fail("socket", e))?;
    if let Some(source) = source {
        socket.bind(source).map_err(|e| fail("bind", e))?;
    }
    let stream = match tokio::time::timeout(limit, socket.connect(peer)).await {
        Ok(connected) => connected.map_err(|e| fail("connect", e))?,
        Err(_) => return Err(ExchangeError::dial("tcp", source, peer, "i/o timeout")),
    };
    // Only latency is lost when this fails.
    stream.set_nodelay(true).ok();
    Ok(stream)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_first_connection_has_the_longest_time_and_quick_ones_bring_it_down() {
        let time = DialTime::new();
        assert_eq!(time.limit(), DIAL_TIMEOUT_MAX);
        time.observe(Duration::ZERO);
        assert_eq!(time.limit(), Duration::from_millis(22_500));
        for _ in 0..50 {
            time.observe(Duration::from_millis(1));
        }
        assert_eq!(time.limit(), DIAL_TIMEOUT_MIN);
        for _ in 0..50 {
            time.observe(Duration::from_secs(60));
        }
        assert_eq!(time.limit(), DIAL_TIMEOUT_MAX);
    }

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_refused() {
        let port = { std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
        let error = tcp(port, None, DIAL_TIMEOUT_MIN).await.unwrap_err();
        assert_eq!(error.to_string(), format!("dial tcp {port}: connect: connection refused"));
        let error = tcp(port, Some("127.0.0.2".parse().unwrap()), DIAL_TIMEOUT_MIN).await.unwrap_err();
        assert_eq!(error.to_string(), format!("dial tcp 127.0.0.2:0->{port}: connect: connection refused"));
    }
}
