//! Where and over what a message came in.

use std::net::SocketAddr;
use std::time::Instant;

use catena_corefile::Transport;

/// What carries the messages of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Datagrams: replies are cut to the client's size.
    Udp,
    /// Streams: replies are cut to 65535 octets.
    Tcp,
}

impl Protocol {
    /// `udp` or `tcp`, as logs and metrics say it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// Where a message came in.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The client's address.
    pub client: SocketAddr,
    /// The address that the client sent to.
    pub local: SocketAddr,
    /// Datagram or stream.
    pub protocol: Protocol,
    /// The scheme of the listener.
    pub transport: Transport,
    /// Which of the instance's listeners it is.
    pub listener: usize,
    /// When it was read.
    pub received: Instant,
    /// The socket's queue of replies is full: a reply would put another one out. Only with [`crate::ReplyQueue`].
    pub is_crowded: bool,
}
