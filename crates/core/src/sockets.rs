//! What directives set for the sockets of their server block, and what counts where blocks share an address.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use prometheus::CounterVec;

/// What directives set for the sockets of a server block, or of a listener.
#[derive(Clone, Debug, Default)]
pub struct SocketSettings {
    /// How long clients of a stream may take, and how much they may ask.
    pub timeouts: Timeouts,
    /// How many sockets an address has; none: what the server finds best.
    pub count: Option<SocketCount>,
    /// PROXY headers are read.
    pub proxy: Option<ProxyProtocol>,
    /// Replies by UDP wait in a queue that sends the newest first and forgets the oldest.
    pub reply_queue: Option<ReplyQueue>,
}

impl SocketSettings {
    /// Adds what one more block on the same address sets: of each setting the last block's counts, but for the number of sockets, where
    /// it is the first block's. CoreDNS: `NewServer`, `makeServersForGroup`.
    pub(crate) fn take(&mut self, block: &Self, is_first: bool) {
        self.timeouts.take(&block.timeouts);
        if is_first {
            self.count = block.count;
        }
        if let Some(proxy) = &block.proxy {
            let sessions = proxy.sessions.or_else(|| self.proxy.as_ref().and_then(|before| before.sessions));
            self.proxy = Some(ProxyProtocol { sessions, ..proxy.clone() });
        }
        if let Some(queue) = &block.reply_queue {
            self.reply_queue = Some(queue.clone());
        }
    }
}

/// How long clients of a stream may take, and how much they may ask; what is not set is the server's to choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// The time within which the first query of a connection is there.
    pub read: Option<Duration>,
    /// The time within which a client takes the replies that wait for it.
    pub write: Option<Duration>,
    /// The time within which each later query is there.
    pub idle: Option<Duration>,
    /// How many messages of a connection are read.
    pub messages: Option<MessageLimit>,
}

impl Timeouts {
    fn take(&mut self, block: &Self) {
        self.read = block.read.or(self.read);
        self.write = block.write.or(self.write);
        self.idle = block.idle.or(self.idle);
        self.messages = block.messages.or(self.messages);
    }
}

/// How many messages of a connection are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageLimit {
    /// As many as come.
    Unlimited,
    /// So many; then the connection ends.
    AtMost(u64),
}

/// How many sockets an address has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketCount {
    /// One for each worker.
    Workers,
    /// So many at least, and one for each worker at least.
    AtLeast(NonZeroU16),
}

/// What is done with the PROXY header of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyPolicy {
    /// It is believed; messages without one are served too.
    Use,
    /// It is taken off and not believed.
    Ignore,
    /// Who sends one is not served.
    Reject,
    /// It is not looked for.
    Skip,
}

/// How PROXY headers are read.
#[derive(Clone)]
pub struct ProxyProtocol {
    /// What is done with the header of a peer.
    pub policy: Arc<dyn Fn(IpAddr) -> ProxyPolicy + Send + Sync>,
    /// For how long, and for how many peers, a header by UDP counts for the datagrams behind it; none: for its own datagram only.
    pub sessions: Option<ProxySessions>,
}

impl fmt::Debug for ProxyProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyProtocol").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}

/// How long a PROXY header by UDP counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxySessions {
    /// The time after the last datagram of a peer.
    pub ttl: Duration,
    /// The most peers that are remembered; the one that was silent longest is forgotten.
    pub sessions_max: usize,
}

/// A queue of replies that sends the newest first and forgets the oldest.
#[derive(Clone)]
pub struct ReplyQueue {
    /// What was forgotten or could not be sent is counted here, under `server` and the reason `response`.
    pub dropped: CounterVec,
}

impl fmt::Debug for ReplyQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyQueue").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn secs(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn of_each_timeout_the_last_block_that_sets_it_counts() {
        let mut listener = SocketSettings::default();
        let unlimited = Some(MessageLimit::Unlimited);
        let first = Timeouts { read: secs(1), idle: secs(2), messages: Some(MessageLimit::AtMost(3)), write: None };
        let second = Timeouts { idle: secs(4), messages: unlimited, ..Timeouts::default() };
        for (at, timeouts) in [first, second, Timeouts::default()].into_iter().enumerate() {
            listener.take(&SocketSettings { timeouts, ..SocketSettings::default() }, at == 0);
        }
        assert_eq!(listener.timeouts, Timeouts { read: secs(1), write: None, idle: secs(4), messages: unlimited });
    }

    #[test]
    fn of_the_number_of_sockets_the_first_block_counts() {
        for (first, second) in [(None, Some(SocketCount::Workers)), (Some(SocketCount::Workers), None)] {
            let mut listener = SocketSettings::default();
            listener.take(&SocketSettings { count: first, ..SocketSettings::default() }, true);
            listener.take(&SocketSettings { count: second, ..SocketSettings::default() }, false);
            assert_eq!(listener.count, first);
        }
    }

    #[test]
    fn the_last_policy_counts_and_sessions_of_a_block_before_it_stay() {
        let mut listener = SocketSettings::default();
        let sessions = Some(ProxySessions { ttl: Duration::from_secs(1), sessions_max: 2 });
        for (at, (policy, sessions)) in
            [(ProxyPolicy::Use, sessions), (ProxyPolicy::Skip, None)].into_iter().enumerate()
        {
            let proxy = Some(ProxyProtocol { policy: Arc::new(move |_| policy), sessions });
            listener.take(&SocketSettings { proxy, ..SocketSettings::default() }, at == 0);
        }
        let proxy = listener.proxy.unwrap();
        assert_eq!(((proxy.policy)(IpAddr::from([127, 0, 0, 1])), proxy.sessions), (ProxyPolicy::Skip, sessions));
    }
}
