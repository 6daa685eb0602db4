//! PROXY headers by UDP: version 2 and datagrams only; whoever sends another is not served. CoreDNS: plugin/pkg/proxyproto.

use std::fmt;
use std::net::SocketAddr;
use std::sync::PoisonError;
use std::time::Instant;

use catena_core::ProxyPolicy;

use super::header::{Fault, Found, Header, read};
use super::{Proxied, Sessions};

/// Why a datagram is dropped.
#[derive(Debug)]
pub(crate) enum Dropped {
    /// The header is wrong.
    Malformed { len: usize, fault: Fault },
    /// The header is of the version for streams.
    Version(u8),
    /// The header speaks of something else than datagrams.
    NotUdp(u8),
    /// The peer may not send headers.
    Rejected,
    /// There is a header and nothing else. Nothing is wrong with that.
    HeaderOnly,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { len, fault } => write!(f, "parsing Proxy Protocol header (packet size: {len}): {fault}"),
            Self::Version(version) => {
                write!(f, "unsupported Proxy Protocol version {version} (only v2 supported for UDP)")
            }
            Self::NotUdp(family) => {
                write!(f, "PROXY Protocol header is not UDP type (transport protocol: {family:#x})")
            }
            Self::Rejected => f.write_str("connection rejected by Proxy Protocol connection policy"),
            Self::HeaderOnly => f.write_str("header-only datagram; no payload"),
        }
    }
}

impl Proxied {
    /// The client that a datagram comes from, and the datagram without its header.
    ///
    /// # Errors
    /// It is not to be served.
    pub(crate) fn unwrap_datagram<'a>(
        &self,
        peer: SocketAddr,
        octets: &'a [u8],
        received: Instant,
    ) -> Result<(SocketAddr, &'a [u8]), Dropped> {
        let policy = (self.protocol.policy)(peer.ip());
        if policy == ProxyPolicy::Skip {
            return Ok((peer, octets));
        }
        let Some(header) = udp_header(octets)? else {
            let client = if policy == ProxyPolicy::Use { self.remembered(peer, received) } else { None };
            return Ok((client.unwrap_or(peer), octets));
        };
        let payload = octets.get(header.len..).unwrap_or_default();
        match policy {
            ProxyPolicy::Reject => Err(Dropped::Rejected),
            ProxyPolicy::Ignore | ProxyPolicy::Skip => Ok((peer, payload)),
            ProxyPolicy::Use => {
                let client = header.ends.map_or(peer, |(source, _)| source);
                if self.protocol.sessions.is_some() {
                    self.remember(peer, client, received);
                    if payload.is_empty() {
                        return Err(Dropped::HeaderOnly);
                    }
                }
                Ok((client, payload))
            }
        }
    }

    fn remembered(&self, peer: SocketAddr, now: Instant) -> Option<SocketAddr> {
        let settings = self.protocol.sessions?;
        self.with_sessions(|sessions| sessions.get(peer, settings, now))
    }

    fn remember(&self, peer: SocketAddr, client: SocketAddr, now: Instant) {
        if let Some(settings) = self.protocol.sessions {
            self.with_sessions(|sessions| sessions.put(peer, client, settings, now));
        }
    }

    fn with_sessions<T>(&self, run: impl FnOnce(&mut Sessions) -> T) -> T {
        run(&mut self.sessions.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn udp_header(octets: &[u8]) -> Result<Option<Header>, Dropped> {
    let malformed = |fault| Dropped::Malformed { len: octets.len(), fault };
    match read(octets) {
        Ok(Found::Absent | Found::Partial(None)) => Ok(None),
        Ok(Found::Partial(Some(fault))) | Err(fault) => Err(malformed(fault)),
        Ok(Found::Header(header)) if header.version != 2 => Err(Dropped::Version(header.version)),
        Ok(Found::Header(header)) if !header.is_udp() => Err(Dropped::NotUdp(header.family)),
        Ok(Found::Header(header)) => Ok(Some(header)),
    }
}
