//! PROXY headers: who the client behind a proxy is. Costs a socket nothing whose listener does not ask for them.

mod datagram;
mod header;
mod sessions;

use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use catena_core::ProxyProtocol;

pub(crate) use datagram::Dropped;
pub(crate) use header::{Found, read};
pub(crate) use sessions::Sessions;

/// The most warnings about datagrams of a listener in a worker and a second: senders need not give their own address.
const WARNINGS_MAX: u32 = 100;

/// How PROXY headers are read on the sockets of a listener. Of one worker's thread.
pub(crate) struct Proxied {
    pub(crate) protocol: ProxyProtocol,
    sessions: Arc<Mutex<Sessions>>,
    /// When the second began in which warnings are counted, and how many there were.
    warnings: Cell<Option<(Instant, u32)>>,
}

impl Proxied {
    pub(crate) fn new(protocol: ProxyProtocol, sessions: &Arc<Mutex<Sessions>>) -> Self {
        Self { protocol, sessions: Arc::clone(sessions), warnings: Cell::new(None) }
    }

    /// Whether one more warning is no flood.
    pub(crate) fn may_warn(&self, now: Instant) -> bool {
        let (begun, count) = match self.warnings.get() {
            Some((begun, count)) if now.saturating_duration_since(begun) < Duration::from_secs(1) => (begun, count),
            _ => (now, 0),
        };
        self.warnings.set(Some((begun, count.saturating_add(1))));
        count < WARNINGS_MAX
    }
}
