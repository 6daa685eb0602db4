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

/// As [`exchange_udp`], from an address of this host.
///
/// # Errors
/// As [`exchange_udp`]; an address that is not this host's.
pub async fn exchange_udp_from(
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
    let fail =
        |step, error: &io::Error| ExchangeError::io(step, "udp", Path { local: socket.local_addr().ok(), peer }, error);
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use catena_core::name::owned;
    use tokio::net::UdpSocket;

    /// Looks a name up at a server that answers A queries with so many addresses, and other queries with none.
    async fn found(count: u8) -> Result<Vec<IpAddr>, String> {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let servers = [server.local_addr().unwrap()];
        let serve = async {
            let mut message = vec![0; 512];
            loop {
                let (len, from) = server.recv_from(&mut message).await.unwrap();
                let mut reply = message[..len].to_vec();
                reply[2] |= 0x80;
                if reply[len - 3] == 1 {
                    reply[7] = count;
                    for n in 0..count {
                        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 192, 0, 2, n]);
                    }
                }
                server.send_to(&reply, from).await.unwrap();
            }
        };
        let name = owned("dns.example.org").unwrap();
        tokio::select! {
            found = lookup_addresses(&name, "dns.example.org", &servers) => found,
            () = serve => unreachable!(),
        }
    }

    #[tokio::test]
    async fn so_many_addresses_are_taken_and_no_more() {
        let max = u8::try_from(LOOKUP_ADDRESSES_MAX).unwrap();
        assert_eq!(found(max).await.unwrap().len(), LOOKUP_ADDRESSES_MAX);
        assert_eq!(found(max + 1).await.unwrap().len(), LOOKUP_ADDRESSES_MAX);
        assert_eq!(found(0).await.unwrap_err(), "no addresses found for \"dns.example.org\"");
    }

    #[tokio::test]
    async fn a_message_without_a_header_is_not_sent() {
        let error = exchange_udp("127.0.0.1:1".parse().unwrap(), &[0; 11], Duration::ZERO).await.unwrap_err();
        assert_eq!(error.to_string(), "dns: message without a header");
    }
}
