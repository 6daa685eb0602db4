//! Health checks: none while all is well, then one after the other until one passes. CoreDNS: plugin/pkg/proxy/health.go.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use catena_core::{OwnedName, Rtype, Spawner, flags};
use tokio::time::{sleep, timeout};

use crate::conn::Limits;
use crate::error::ExchangeError;
use crate::message::{has_id, write_question};
use crate::single;
use crate::upstream::Upstream;

/// The shortest pause between two checks, whatever is configured: an interval of 0 would be a busy loop.
pub const INTERVAL_MIN: Duration = Duration::from_millis(10);
/// How long making a connection for a check may take.
const DIAL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long sending a check, and waiting for its reply, may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// How health is checked.
#[derive(Clone, Debug)]
pub struct Health {
    /// The pause between two checks.
    pub interval: Duration,
    /// Whether checks ask for recursion.
    pub recursion_desired: bool,
    /// The name whose NS records are asked for.
    pub domain: OwnedName,
    /// Over TCP; upstreams with TLS are checked over TLS in any case.
    pub tcp: bool,
}

impl Upstream {
    /// Begins to check the upstream's health, unless that is under way: until one check passes, each failure adds to the fails.
    pub fn check_health(self: &Arc<Self>, spawner: &Arc<dyn Spawner>) {
        if self.probing.swap(true, Ordering::AcqRel) {
            return;
        }
        let upstream = Arc::downgrade(self);
        if !spawner.spawn(Box::pin(probe(upstream, Arc::clone(spawner)))) {
            self.probing.store(false, Ordering::Release);
        }
    }

    /// One check. Whatever comes back passes, as long as it has a header.
    async fn check(&self, spawner: &Arc<dyn Spawner>) -> Result<(), ExchangeError> {
        let health = &self.options().health;
        let bits = if health.recursion_desired { flags::RD } else { 0 };
        let id = rand::random();
        let mut question = Vec::new();
        write_question(id, bits, health.domain.as_slice(), Rtype::NS, &mut question);
        if self.is_https() {
            question[..2].fill(0);
            let reply = self.https(&question, DIAL_TIMEOUT, CHECK_TIMEOUT, spawner).await?;
            let is_message = has_id(&reply, 0);
            return if is_message { Ok(()) } else { Err(ExchangeError::new("no DNS message in the reply")) };
        }
        if health.tcp || self.is_tls() {
            let mut conn = self.connect(DIAL_TIMEOUT).await?;
            return conn.probe(&question, Limits { write: CHECK_TIMEOUT, read: CHECK_TIMEOUT }).await;
        }
        let peer = self.peer_for("udp")?;
        single::exchange_udp_from(self.options().source, peer, &question, CHECK_TIMEOUT).await.map(|_| ())
    }
}

async fn probe(upstream: Weak<Upstream>, spawner: Arc<dyn Spawner>) {
    let mut wait = Duration::ZERO;
    loop {
        sleep(wait).await;
        // The upstream may go while nobody looks.
        let Some(upstream) = upstream.upgrade() else { return };
        let checked = timeout(DIAL_TIMEOUT + 2 * CHECK_TIMEOUT, upstream.check(&spawner)).await;
        if matches!(checked, Ok(Ok(()))) {
            upstream.check_passed();
            upstream.probing.store(false, Ordering::Release);
            return;
        }
        upstream.check_failed();
        wait = upstream.options().health.interval.max(INTERVAL_MIN);
    }
}
