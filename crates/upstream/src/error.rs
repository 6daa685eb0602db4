//! What can go wrong between this server and an upstream, in the words of Go's `net` package.

use std::io;
use std::net::SocketAddr;

/// An exchange with an upstream failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ExchangeError {
    text: String,
    /// The other side had closed the connection before it saw the query.
    pub(crate) closed: bool,
    ours: bool,
}

impl ExchangeError {
    /// An error with this text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), closed: false, ours: false }
    }

    /// An error that this server makes by its own limits.
    pub(crate) fn ours(text: impl Into<String>) -> Self {
        Self { ours: true, ..Self::new(text) }
    }

    /// Whether the upstream has nothing to do with it, so that its health is not in doubt.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.ours
    }

    /// A connection that could not be made: `dial tcp 192.0.2.1:53: connect: connection refused`.
    pub(crate) fn dial(network: &str, source: Option<SocketAddr>, to: impl std::fmt::Display, why: &str) -> Self {
        match source {
            Some(source) => Self::new(format!("dial {network} {source}->{to}: {why}")),
            None => Self::new(format!("dial {network} {to}: {why}")),
        }
    }

    /// A failed read or write: `read udp 192.0.2.9:4711->192.0.2.1:53: i/o timeout`.
    pub(crate) fn io(step: Step, network: &str, path: Path, error: &io::Error) -> Self {
        let name = step.name();
        let closed = is_gone(error.kind());
        let text = match (error.kind(), step) {
            (io::ErrorKind::UnexpectedEof, _) => "unexpected EOF".to_owned(),
            (io::ErrorKind::TimedOut, _) if error.raw_os_error().is_none() => {
                format!("{name} {network} {path}: i/o timeout")
            }
            _ if error.raw_os_error().is_none() => format!("{name} {network} {path}: {error}"),
            _ => format!("{name} {network} {path}: {name}: {}", os_text(error)),
        };
        Self { closed, ..Self::new(text) }
    }

    /// The end of the stream where a message could have begun.
    pub(crate) fn eof() -> Self {
        Self { closed: true, ..Self::new("EOF") }
    }
}

/// Whether an error says that the connection had ended.
fn is_gone(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted)
}

/// What was tried on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Reading.
    Read,
    /// Writing.
    Write,
}

impl Step {
    const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// Both ends of a connection; the own one only if it is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    pub(crate) local: Option<SocketAddr>,
    pub(crate) peer: SocketAddr,
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.local {
            Some(local) => write!(f, "{local}->{}", self.peer),
            None => write!(f, "{}", self.peer),
        }
    }
}

/// What the operating system says, as Go prints it: lower case and without the number.
#[must_use]
pub fn os_text(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split_once(" (os error").map_or(&*text, |(words, _)| words);
    words.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn path() -> Path {
        Path { local: Some("127.0.0.1:1".parse().unwrap()), peer: "127.0.0.1:2".parse().unwrap() }
    }

    #[test]
    fn errors_read_as_gos() {
        let refused = io::Error::from_raw_os_error(111);
        assert_eq!(
            ExchangeError::io(Step::Read, "udp", path(), &refused).to_string(),
            "read udp 127.0.0.1:1->127.0.0.1:2: read: connection refused"
        );
        assert_eq!(
            ExchangeError::io(Step::Write, "tcp", path(), &io::ErrorKind::TimedOut.into()).to_string(),
            "write tcp 127.0.0.1:1->127.0.0.1:2: i/o timeout"
        );
        assert_eq!(
            ExchangeError::dial("tcp", None, "127.0.0.1:1", "connect: connection refused").to_string(),
            "dial tcp 127.0.0.1:1: connect: connection refused"
        );
    }

    #[test]
    fn a_reset_connection_counts_as_closed_and_a_refused_one_does_not() {
        let error = |code| ExchangeError::io(Step::Read, "tcp", path(), &io::Error::from_raw_os_error(code));
        assert!(error(104).closed);
        assert!(!error(111).closed);
        assert!(ExchangeError::eof().closed);
    }

    #[test]
    fn only_our_own_limits_leave_the_upstreams_health_out_of_doubt() {
        assert!(ExchangeError::ours("too many").is_ours());
        assert!(!ExchangeError::eof().is_ours());
    }
}
