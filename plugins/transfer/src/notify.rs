//! NOTIFY: telling secondaries that a zone changed (RFC 1996).

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use catena_core::metrics::rcode_text;
use catena_core::prelude::*;
use catena_core::wire::HEADER_OCTETS;
use catena_core::{LabelStarts, Log, Notifier, OwnedName, Service, Spawner, StartContext, name};
use catena_gocompat::quote::quote;
use catena_upstream::{exchange_udp_from, write_question};
use domain::base::Name;
use futures_util::stream::{self, StreamExt as _};

use crate::config::Stanzas;

/// How often a target is told until it says NOERROR. CoreDNS: plugin/transfer/notify.go.
const TRIES: usize = 3;
/// How long one try waits for the reply.
const TRY_TIMEOUT: Duration = Duration::from_secs(2);
/// How many targets of one zone are told at the same time.
const TOLD_AT_ONCE_MAX: usize = 64;
/// The header's flags: opcode NOTIFY (RFC 1996 section 3.3) and AA.
const NOTIFY_FLAGS: u16 = 4 << 11 | flags::AA;

/// Tells the targets of a server block's stanzas.
pub(crate) struct Teller {
    stanzas: Arc<Stanzas>,
    log: Log,
    /// From the start of the instance on.
    spawner: OnceLock<Arc<dyn Spawner>>,
}

impl Teller {
    pub(crate) fn new(stanzas: Arc<Stanzas>, log: Log) -> Self {
        Self { stanzas, log, spawner: OnceLock::new() }
    }
}

#[async_trait]
impl Service for Teller {
    async fn start(&self, cx: &StartContext<'_>) -> Result<(), Diagnostic> {
        self.spawner.get_or_init(|| Arc::clone(cx.spawner));
        Ok(())
    }
}

impl Notifier for Teller {
    fn notify(&self, zone: &Name<[u8]>) {
        let mut lower = name::inline(zone);
        lower.make_canonical();
        let labels = LabelStarts::of(lower.as_slice());
        let Some(stanza) = self.stanzas.find(lower.as_slice(), &labels) else { return };
        let Some(spawner) = self.spawner.get() else { return };
        let Ok(zone) = OwnedName::from_octets(lower.as_slice().to_vec()) else { return };
        let (hosts, source): (Vec<SocketAddr>, _) = (stanza.hosts().collect(), stanza.source);
        let (log, shown) = (self.log.clone(), stanza.shown.clone());
        let task = async move {
            stream::iter(hosts).for_each_concurrent(TOLD_AT_ONCE_MAX, |host| tell(&zone, host, source, &log)).await;
            log.debug(format_args!("Sent notifies for zone {} to {shown}", quote(&name::text(zone.for_slice()))));
        };
        if !spawner.spawn(Box::pin(task)) {
            self.log.warning(format_args!("Failed sending notifies: too many tasks, {} is not told", stanza.shown));
        }
    }
}

/// Tells one target until it says NOERROR, or too often.
async fn tell(zone: &OwnedName, host: SocketAddr, source: Option<IpAddr>, log: &Log) {
    let mut message = Vec::new();
    let mut refusal = String::new();
    for _ in 0..TRIES {
        write_question(rand::random(), NOTIFY_FLAGS, zone.as_slice(), Rtype::SOA, &mut message);
        refusal = match exchange_udp_from(source, host, &message, TRY_TIMEOUT).await.as_deref().map(rcode) {
            Ok(Rcode::NOERROR) => return,
            Ok(code) => format!("rcode was {}", quote(&rcode_text(code))),
            Err(error) => quote(&error.to_string()),
        };
    }
    let (zone, host) = (quote(&name::text(zone.for_slice())), quote(&host.to_string()));
    log.warning(format_args!("Failed sending notifies: notify for zone {zone} was not accepted by {host}: {refusal}"));
}

/// The code of a reply; what has no header is taken as a failure.
fn rcode(reply: &[u8]) -> Rcode {
    let bits = reply.get(3).filter(|_| reply.len() >= HEADER_OCTETS);
    bits.map_or(Rcode::SERVFAIL, |bits| Rcode::masked_from_int(u16::from(bits & 0x0f)))
}
