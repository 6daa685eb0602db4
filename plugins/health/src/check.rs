//! The request that *health* makes to itself.

use std::io;
use std::time::Duration;

use catena_gocompat::address::{join_host_port, split_host_port};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The time that a request may take.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The most octets of a reply that are read; its end is not waited for.
const REPLY_OCTETS_MAX: usize = 512;

/// Where the requests go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    addr: String,
    connect: String,
}

impl Target {
    /// The target for a listen address. Without a host it is the local one.
    pub(crate) fn of(addr: &str) -> Self {
        let connect = match split_host_port(addr) {
            Ok(("", port)) => join_host_port("127.0.0.1", port),
            _ => addr.to_owned(),
        };
        Self { addr: addr.to_owned(), connect }
    }

    /// The address as log lines show it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/health", self.addr)
    }

    /// Asks; any HTTP reply will do, as in CoreDNS.
    pub(crate) async fn ask(&self) -> Result<(), String> {
        match tokio::time::timeout(TIMEOUT, self.exchange()).await {
            Err(_) => Err("context deadline exceeded (Client.Timeout exceeded while awaiting headers)".to_owned()),
            Ok(done) => done,
        }
    }

    async fn exchange(&self) -> Result<(), String> {
        let dialled = TcpStream::connect(&self.connect).await;
        let mut stream =
            dialled.map_err(|error| format!("dial tcp {}: connect: {}", self.connect, in_go_words(&error)))?;
        let request = format!("GET /health HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.addr);
        stream.write_all(request.as_bytes()).await.map_err(|error| in_go_words(&error))?;
        let mut reply = [0; REPLY_OCTETS_MAX];
        let mut len = 0;
        while let Some(room) = reply.get_mut(len..).filter(|room| !room.is_empty()) {
            let read = stream.read(room).await.map_err(|error| in_go_words(&error))?;
            len += read;
            if read == 0 || reply[..len].windows(4).any(|end| end == b"\r\n\r\n") {
                break;
            }
        }
        match reply.get(..len) {
            Some([]) | None => Err("EOF".to_owned()),
            Some(reply) if reply.starts_with(b"HTTP/1.") => Ok(()),
            Some(_) => Err("malformed HTTP response".to_owned()),
        }
    }
}

/// The operating system's words as Go writes them: lower case, without the number.
fn in_go_words(error: &io::Error) -> String {
    let text = error.to_string();
    let mut letters = text.split(" (os error").next().unwrap_or_default().chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
