//! Connections to an upstream: one query in flight on each, buffers kept with them.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use catena_core::wire::{self, HEADER_OCTETS};
use catena_core::{Answer, Query};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Interest, ReadBuf};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::error::{ExchangeError, Path, Step};
use crate::message;

/// The most messages with another id that one exchange reads past before it gives up: whoever sends more is guessing ids.
pub const SKIPPED_MAX: usize = 1000;
/// The buffer that a connection at rest keeps, octets.
const KEEP_OCTETS_MAX: usize = 4096;
/// The most octets of a message with the length before it (RFC 1035 section 4.2.2).
const FRAME_OCTETS_MAX: usize = 2 + u16::MAX as usize;

/// A datagram socket that is connected to the upstream.
pub(crate) struct UdpConn {
    socket: UdpSocket,
    peer: SocketAddr,
    outbox: Vec<u8>,
    inbox: Vec<u8>,
}

impl UdpConn {
    pub(crate) fn new(socket: UdpSocket, peer: SocketAddr) -> Self {
        Self { socket, peer, outbox: Vec::new(), inbox: Vec::new() }
    }

    /// Moves it to the runtime of the caller.
    pub(crate) fn rehomed(self) -> Option<Self> {
        let socket = UdpSocket::from_std(self.socket.into_std().ok()?).ok()?;
        Some(Self { socket, ..self })
    }

    /// Asks and waits for the reply. Returns whether the reply is one to this question; if not, the answer holds nothing of use.
    pub(crate) async fn exchange(
        &mut self,
        query: &mut Query,
        limits: Limits,
        answer: &mut Answer,
    ) -> Result<bool, ExchangeError> {
        let id = rand::random();
        message::write_query(query, id, &mut self.outbox);
        self.forget_readiness();
        self.send(limits.write).await.map_err(|error| self.fail(Step::Write, &error))?;
        let size = query.size_limit();
        if self.inbox.len() <= size {
            // One octet more than was offered shows a reply that is too long.
            self.inbox.resize(size + 1, 0);
        }
        let received = timeout(limits.read, receive(&self.socket, &mut self.inbox[..=size], id)).await;
        let len = match received {
            Ok(received) => received.map_err(|error| self.fail(Step::Read, &error))?,
            Err(_) => return Err(self.fail(Step::Read, &io::ErrorKind::TimedOut.into())),
        };
        let reply = &self.inbox[..len];
        message::read_datagram(reply, size, answer).map_err(|error| ExchangeError::new(error.to_string()))?;
        let matches = message::answers(reply, query);
        self.inbox.truncate(KEEP_OCTETS_MAX);
        self.inbox.shrink_to(KEEP_OCTETS_MAX);
        Ok(matches)
    }

    /// Spares the runtime a vain read: it still thinks that the socket is readable, from the reply before. That of this query will
    /// make it so again, as it comes after this.
    fn forget_readiness(&self) {
        let _ = self.socket.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    }

    /// Sends without waiting for the runtime to tell that a fresh socket is writable: it is.
    async fn send(&self, limit: Duration) -> io::Result<()> {
        match SockRef::from(&self.socket).send(&self.outbox) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                timeout(limit, self.socket.send(&self.outbox)).await??;
                Ok(())
            }
            sent => sent.map(|_| ()),
        }
    }

    fn fail(&self, step: Step, error: &io::Error) -> ExchangeError {
        let path = Path { local: self.socket.local_addr().ok(), peer: self.peer };
        ExchangeError::io(step, "udp", path, error)
    }
}

/// Waits for a datagram with this id. Others, and those too short for a header, are passed over. A refusal ends it at once.
pub(crate) async fn receive(socket: &UdpSocket, inbox: &mut [u8], id: u16) -> io::Result<usize> {
    for _ in 0..=SKIPPED_MAX {
        // It waits for errors, too: a refusal makes a socket neither readable nor writable.
        let len = socket.recv(inbox).await?;
        if message::has_id(&inbox[..len], id) {
            return Ok(len);
        }
    }
    Err(io::Error::other("too many replies with another id"))
}

/// How long the steps of an exchange may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) write: Duration,
    pub(crate) read: Duration,
}

/// A stream to the upstream, plain or encrypted.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A stream with what was read from it and not yet used.
pub(crate) struct StreamConn {
    stream: Stream,
    peer: SocketAddr,
    outbox: Vec<u8>,
    inbox: Vec<u8>,
    filled: usize,
}

impl StreamConn {
    pub(crate) fn new(stream: Stream, peer: SocketAddr) -> Self {
        Self { stream, peer, outbox: Vec::new(), inbox: Vec::new(), filled: 0 }
    }

    /// Moves it to the runtime of the caller. A stream with TLS cannot be taken apart; it works from any runtime, only slower.
    pub(crate) fn rehomed(self) -> Option<Self> {
        let stream = match self.stream {
            Stream::Plain(stream) => Stream::Plain(TcpStream::from_std(stream.into_std().ok()?).ok()?),
            tls @ Stream::Tls(_) => tls,
        };
        Some(Self { stream, ..self })
    }

    /// Asks and waits for the reply. Returns whether the reply is one to this question; if not, the answer holds nothing of use.
    pub(crate) async fn exchange(
        &mut self,
        query: &mut Query,
        limits: Limits,
        answer: &mut Answer,
    ) -> Result<bool, ExchangeError> {
        let id = rand::random();
        message::write_query(query, id, &mut self.outbox);
        self.send(limits.write).await?;
        let range = match timeout(limits.read, self.receive(id)).await {
            Ok(received) => received?,
            Err(_) => return Err(self.fail(Step::Read, &io::ErrorKind::TimedOut.into())),
        };
        let reply = &self.inbox[range];
        wire::read_reply(reply, answer).map_err(|error| ExchangeError::new(error.to_string()))?;
        let matches = message::answers(reply, query);
        self.inbox.truncate(KEEP_OCTETS_MAX);
        self.inbox.shrink_to(KEEP_OCTETS_MAX);
        Ok(matches)
    }

    /// Sends a message that is not a query of a client, and waits for any message.
    pub(crate) async fn probe(&mut self, question: &[u8], limits: Limits) -> Result<(), ExchangeError> {
        self.outbox.clear();
        self.outbox.extend_from_slice(question);
        self.send(limits.write).await?;
        match timeout(limits.read, self.read_message()).await {
            Ok(Ok(len)) if len >= HEADER_OCTETS => Ok(()),
            Ok(Ok(_)) => Err(ExchangeError::new("dns: short read")),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(self.fail(Step::Read, &io::ErrorKind::TimedOut.into())),
        }
    }

    /// Whether nothing lies unread, so that the next reply read will be one to the next query.
    pub(crate) fn is_quiet(&self) -> bool {
        self.filled == 0
    }

    /// Sends the outbox with its length before it, in one piece (RFC 7766 section 8).
    async fn send(&mut self, limit: Duration) -> Result<(), ExchangeError> {
        let len = u16::try_from(self.outbox.len()).map_err(|_| ExchangeError::new("dns: message too large"))?;
        self.outbox.splice(0..0, len.to_be_bytes());
        let write = async {
            self.stream.write_all(&self.outbox).await?;
            self.stream.flush().await
        };
        let written = timeout(limit, write).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        written.map_err(|error| self.fail(Step::Write, &error))
    }

    /// Waits for a message with this id and takes it out: it lies in the inbox at the range returned.
    async fn receive(&mut self, id: u16) -> Result<std::ops::Range<usize>, ExchangeError> {
        for _ in 0..=SKIPPED_MAX {
            let len = self.read_message().await?;
            let found = 2..2 + len;
            if len < HEADER_OCTETS {
                return Err(ExchangeError::new("dns: short read"));
            }
            if message::has_id(&self.inbox[found.clone()], id) {
                // What came behind the reply was not asked for; the connection will not be kept then.
                self.filled -= found.end;
                return Ok(found);
            }
            self.inbox.copy_within(found.end..self.filled, 0);
            self.filled -= found.end;
        }
        Err(ExchangeError::new("too many replies with another id"))
    }

    /// Reads until a whole message stands at the start of the inbox, behind its length; returns the length.
    async fn read_message(&mut self) -> Result<usize, ExchangeError> {
        loop {
            let wanted = match self.inbox.first_chunk::<2>() {
                Some(len) if self.filled >= 2 => 2 + usize::from(u16::from_be_bytes(*len)),
                _ => 2,
            };
            if self.filled >= 2 && self.filled >= wanted {
                return Ok(wanted - 2);
            }
            let room = wanted.clamp(KEEP_OCTETS_MAX, FRAME_OCTETS_MAX);
            if self.inbox.len() < room {
                self.inbox.resize(room, 0);
            }
            match self.stream.read(&mut self.inbox[self.filled..]).await {
                Ok(0) if self.filled == 0 => return Err(ExchangeError::eof()),
                // TLS without a closing alert ends so too.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && self.filled == 0 => {
                    return Err(ExchangeError::eof());
                }
                Ok(0) => return Err(self.fail(Step::Read, &io::ErrorKind::UnexpectedEof.into())),
                Ok(len) => self.filled += len,
                Err(error) => return Err(self.fail(Step::Read, &error)),
            }
        }
    }

    fn fail(&self, step: Step, error: &io::Error) -> ExchangeError {
        let path = Path { local: self.stream.tcp().local_addr().ok(), peer: self.peer };
        ExchangeError::io(step, "tcp", path, error)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    /// What comes of so many replies with another id before the right one.
    async fn after_wrong_ones(wrong: usize) -> io::Result<usize> {
        let upstream = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let socket = crate::dial::udp(upstream.local_addr().unwrap(), None).unwrap();
        upstream.connect(socket.local_addr().unwrap()).await.unwrap();
        let message = |id: u8| [&[0, id], [0; 10].as_slice()].concat();
        let send = async {
            for _ in 0..wrong {
                upstream.send(&message(1)).await.unwrap();
                // A socket holds only so many.
                tokio::task::yield_now().await;
            }
            upstream.send(&message(7)).await.unwrap();
        };
        let mut inbox = [0; 512];
        let ((), received) = tokio::join!(send, receive(&socket, &mut inbox, 7));
        received
    }

    #[tokio::test]
    async fn so_many_replies_with_another_id_are_read_past_and_no_more() {
        assert_eq!(after_wrong_ones(SKIPPED_MAX).await.unwrap(), 12);
        let error = after_wrong_ones(SKIPPED_MAX + 1).await.unwrap_err();
        assert_eq!(error.to_string(), "too many replies with another id");
    }

    #[tokio::test]
    async fn a_refusal_that_comes_after_the_query_was_sent_ends_the_wait_at_once() {
        let upstream = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let socket = crate::dial::udp(upstream.local_addr().unwrap(), None).unwrap();
        socket.send(&[7; 12]).await.unwrap();
        let refuse = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop(upstream);
            // What this host refuses, it refuses while it is being sent.
            SockRef::from(&socket).send(&[7; 12]).unwrap();
        };
        let mut inbox = [0; 512];
        let wait = timeout(Duration::from_secs(5), receive(&socket, &mut inbox, 7));
        let (received, ()) = tokio::join!(wait, refuse);
        assert_eq!(received.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
