//! Single questions outside of any chain.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use catena_core::wire::{HEADER_OCTETS, read_reply};
use catena_core::{Answer, OwnedName, Rtype, Section, flags};
use tokio::time::timeout;

use crate::conn::receive;
use crate::dial;
use crate::error::{ExchangeError, Path, Step};
use crate::message::write_question;

/// The most addresses that are taken from one look-up.
pub const LOOKUP_ADDRESSES_MAX: usize = 64;
/// How long a server may take to answer a look-up.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// Sends a message in a datagram and waits for the reply with its id; others are passed over.
///
/// # Errors
/// What kept the reply away, in Go's words; a message without a whole header.
pub async fn exchange_udp(peer: SocketAddr, message: &[u8], limit: Duration) -> Result<Vec<u8>, ExchangeError> {
    exchange_udp_from(None, peer, message, limit).await
}

pub(crate) async fn exchange_udp_from(
    source: Option<IpAddr>,
    peer: SocketAddr,
    message: &[u8],
    limit: Duration,
) -> Result<Vec<u8>, ExchangeError> {
    let Some(id) = message.first_chunk::<2>().filter(|_| message.len() >= HEADER_OCTETS) else {
        return Err(ExchangeError::new("dns: message without a header"));
    };
    let id = u16::from_be_bytes(*id);
    let socket = dial::udp(peer, source)?;
    let fail = |step, error: &io::Error| {
        ExchangeError::io(step, "udp", Path { local: socket.local_addr().ok(), peer }, error)
    };
    let late = || io::Error::from(io::ErrorKind::TimedOut);
    let sent = timeout(limit, socket.send(message)).await.unwrap_or_else(|_| Err(late()));
    sent.map_err(|error| fail(Step::Write, &error))?;
    let mut inbox = vec![0; usize::from(u16::MAX)];
    let received = timeout(limit, receive(&socket, &mut inbox, id)).await.unwrap_or_else(|_| Err(late()));
    let len = received.map_err(|error| fail(Step::Read, &error))?;
    inbox.truncate(len);
    Ok(inbox)
}

/// Asks servers one after the other for the A and AAAA records of a name, until one knows an address.
///
/// # Errors
/// `no addresses found for "NAME"`, with the last failure behind it if there was one.
pub async fn lookup_addresses(name: &OwnedName, shown: &str, servers: &[SocketAddr]) -> Result<Vec<IpAddr>, String> {
    let mut last_error = None;
    for server in servers {
        let mut found = Vec::new();
        for qtype in [Rtype::A, Rtype::AAAA] {
            match lookup(name, qtype, *server).await {
                Ok(addresses) => found.extend(addresses),
                // The other server may know more, unless there is something already.
                Err(_) if !found.is_empty() => break,
                Err(error) => {
                    last_error = Some(error);
                    break;
                }
            }
        }
        if !found.is_empty() {
            found.truncate(LOOKUP_ADDRESSES_MAX);
            return Ok(found);
        }
    }
    let quoted = catena_gocompat::quote::quote(shown);
    Err(match last_error {
        Some(error) => format!("no addresses found for {quoted}: {error}"),
        None => format!("no addresses found for {quoted}"),
    })
}

async fn lookup(name: &OwnedName, qtype: Rtype, server: SocketAddr) -> Result<Vec<IpAddr>, ExchangeError> {
    let mut message = Vec::new();
    write_question(rand::random(), flags::RD, name.as_slice(), qtype, &mut message);
    let reply = exchange_udp(server, &message, LOOKUP_TIMEOUT).await?;
    let mut answer = Answer::default();
    read_reply(&reply, &mut answer).map_err(|error| ExchangeError::new(error.to_string()))?;
    let of_type = answer.records(Section::Answer).filter(|record| record.rtype() == qtype);
    Ok(of_type.filter_map(|record| record.address()).collect())
}
