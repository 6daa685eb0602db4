//! How much one worker takes on at a time, and how long it waits for clients.

use std::time::Duration;

use catena_core::{MessageLimit, Timeouts};

/// The most queries of one worker that wait for something, TCP included.
pub const TASKS_MAX: usize = 10_000;
/// The most TCP connections of one worker; one more takes the place of the one that is idle longest.
pub const CONNECTIONS_MAX: usize = 2_048;
/// The most queries of one TCP connection that are in flight; reading stops until there is room.
pub const CONNECTION_QUERIES_MAX: usize = 64;
/// The most octets of replies that wait for slow TCP clients in one worker; a connection beyond is closed.
pub const QUEUED_OCTETS_MAX: usize = 32 << 20;
/// The time within which the first query of a TCP connection is there (CoreDNS: `timeouts read`).
pub const READ_TIMEOUT: Duration = Duration::from_secs(3);
/// The time within which each later query of a TCP connection is there (CoreDNS: `timeouts idle`).
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// The time within which a TCP client takes replies.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// The time within which a reply of several messages, such as a zone transfer, is taken whole. However slow the client, what it is made of is
/// not held for longer.
pub const STREAM_TIMEOUT: Duration = Duration::from_secs(2 * 3600);
/// The time within which a PROXY header is there; after it, what came is no header.
pub const PROXY_HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The most replies that wait in the queue of a socket with [`catena_core::ReplyQueue`].
pub const REPLY_QUEUE_MAX: usize = 1024;

/// The limits of each worker. The default is what the constants of this crate say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most queries that wait for something.
    pub tasks_max: usize,
    /// The most TCP connections.
    pub connections_max: usize,
    /// The most queries in flight on one TCP connection.
    pub connection_queries_max: usize,
    /// The most octets of replies that wait for slow TCP clients.
    pub queued_octets_max: usize,
    /// The time within which the first query of a TCP connection is there.
    pub read_timeout: Duration,
    /// The time within which each later query of a TCP connection is there.
    pub idle_timeout: Duration,
    /// The time within which a TCP client takes replies.
    pub write_timeout: Duration,
    /// The time within which a reply of several messages is taken whole.
    pub stream_timeout: Duration,
    /// The time within which a PROXY header is there.
    pub proxy_header_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tasks_max: TASKS_MAX,
            connections_max: CONNECTIONS_MAX,
            connection_queries_max: CONNECTION_QUERIES_MAX,
            queued_octets_max: QUEUED_OCTETS_MAX,
            read_timeout: READ_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            write_timeout: WRITE_TIMEOUT,
            stream_timeout: STREAM_TIMEOUT,
            proxy_header_timeout: PROXY_HEADER_TIMEOUT,
        }
    }
}

/// What counts for the connections of a listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamLimits {
    pub(crate) read: Duration,
    pub(crate) idle: Duration,
    pub(crate) write: Duration,
    /// For a reply of several messages as a whole.
    pub(crate) stream: Duration,
    /// The most messages that are read; none: as many as come.
    pub(crate) messages_max: Option<u64>,
}

impl StreamLimits {
    /// What the listener sets, and the worker's limits for the rest.
    pub(crate) fn of(limits: &Limits, timeouts: Option<&Timeouts>) -> Self {
        let set = timeouts.copied().unwrap_or_default();
        Self {
            read: set.read.unwrap_or(limits.read_timeout),
            idle: set.idle.unwrap_or(limits.idle_timeout),
            write: set.write.unwrap_or(limits.write_timeout),
            stream: limits.stream_timeout,
            messages_max: match set.messages {
                Some(MessageLimit::AtMost(count)) => Some(count),
                Some(MessageLimit::Unlimited) | None => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_listener_sets_goes_before_the_limits_of_the_worker() {
        let limits = Limits::default();
        let none = StreamLimits::of(&limits, None);
        assert_eq!((none.read, none.idle, none.write), (READ_TIMEOUT, IDLE_TIMEOUT, WRITE_TIMEOUT));
        assert_eq!(none.messages_max, None);
        let [read, idle, write] = [21, 22, 23].map(|seconds| Some(Duration::from_secs(seconds)));
        let messages = Some(MessageLimit::AtMost(24));
        let set = StreamLimits::of(&limits, Some(&Timeouts { read, write, idle, messages }));
        assert_eq!((Some(set.read), Some(set.idle), Some(set.write)), (read, idle, write));
        assert_eq!(set.messages_max, Some(24));
        let unlimited = Timeouts { messages: Some(MessageLimit::Unlimited), ..Timeouts::default() };
        assert_eq!(StreamLimits::of(&limits, Some(&unlimited)).messages_max, None);
    }
}
