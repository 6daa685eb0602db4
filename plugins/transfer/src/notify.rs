//! NOTIFY: telling secondaries that a zone changed (RFC 1996).

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use catena_core::metrics::rcode_text;
use catena_core::prelude::*;
use catena_core::wire::HEADER_OCTETS;
use catena_core::{Clock, LabelStarts, Linked, Log, Notifier, OwnedName, Service, Spawner, StartContext, name};
use catena_gocompat::quote::quote;
use catena_upstream::{exchange_udp_from, write_question};
use catena_zone::tsig::{Conversation, Key, KeyRing};
use domain::base::Name;
use futures_util::stream::{self, StreamExt as _};

use crate::config::{Stanza, Stanzas};

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
    /// For each stanza the key that it names, from the linking of the block on.
    keys: OnceLock<Vec<Option<Arc<Key>>>>,
    log: Log,
    clock: Arc<dyn Clock>,
    /// From the start of the instance on.
    spawner: OnceLock<Arc<dyn Spawner>>,
}

impl Teller {
    pub(crate) fn new(stanzas: Arc<Stanzas>, log: Log, clock: Arc<dyn Clock>) -> Self {
        Self { stanzas, keys: OnceLock::new(), log, clock, spawner: OnceLock::new() }
    }

    /// Finds the keys of the stanzas, which `tsig` of the same block holds.
    pub(crate) fn find_keys(&self, linked: &Linked<'_>) -> Result<(), Diagnostic> {
        let find = |stanza: &Stanza| {
            let Some((name, at)) = &stanza.key else { return Ok(None) };
            let wire = name::owned(name);
            let found = linked.offers::<KeyRing>().find_map(|(_, ring)| ring.key(wire.as_ref()?.as_slice()));
            found.map(Some).ok_or_else(|| {
                let mut told = at.clone();
                told.message = format!("no key {name:?} in `tsig` of this server block");
                told
            })
        };
        let keys = self.stanzas.iter().map(find).collect::<Result<_, _>>()?;
        let _ = self.keys.set(keys);
        Ok(())
    }

    fn key(&self, stanza: usize) -> Option<Arc<Key>> {
        self.keys.get()?.get(stanza)?.clone()
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
        let Some(at) = self.stanzas.position(lower.as_slice(), &labels) else { return };
        let Some(stanza) = self.stanzas.iter().nth(at) else { return };
        let Some(spawner) = self.spawner.get() else { return };
        let Ok(zone) = OwnedName::from_octets(lower.as_slice().to_vec()) else { return };
        let hosts: Vec<SocketAddr> = stanza.hosts().collect();
        let (log, shown) = (self.log.clone(), stanza.shown.clone());
        let news =
            News { zone, source: stanza.source, key: self.key(at), log: log.clone(), clock: Arc::clone(&self.clock) };
        let task = async move {
            stream::iter(hosts).for_each_concurrent(TOLD_AT_ONCE_MAX, |host| news.tell(host)).await;
            log.debug(format_args!("Sent notifies for zone {} to {shown}", quote(&name::text(news.zone.for_slice()))));
        };
        // A zone may change while its instance ends; the one that takes its place tells of all its zones.
        if !spawner.spawn(Box::pin(task)) && !spawner.has_ended() {
            self.log.warning(format_args!("Failed sending notifies: too many tasks, {} is not told", stanza.shown));
        }
    }
}

/// That a zone changed, and how targets are told.
struct News {
    zone: OwnedName,
    source: Option<IpAddr>,
    /// Signs what is sent; replies have to be signed then.
    key: Option<Arc<Key>>,
    log: Log,
    clock: Arc<dyn Clock>,
}

impl News {
    /// Tells one target until it says NOERROR, or too often.
    async fn tell(&self, host: SocketAddr) {
        let mut refusal = String::new();
        for _ in 0..TRIES {
            refusal = match self.try_once(host).await {
                Ok(Rcode::NOERROR) => return,
                Ok(code) => format!("rcode was {}", quote(&rcode_text(code))),
                Err(error) => quote(&error),
            };
        }
        let (zone, host) = (quote(&name::text(self.zone.for_slice())), quote(&host.to_string()));
        self.log.warning(format_args!(
            "Failed sending notifies: notify for zone {zone} was not accepted by {host}: {refusal}"
        ));
    }

    /// What a target says to it; an error if it says nothing that can be trusted.
    async fn try_once(&self, host: SocketAddr) -> Result<Rcode, String> {
        let mut message = Vec::new();
        write_question(rand::random(), NOTIFY_FLAGS, self.zone.as_slice(), Rtype::SOA, &mut message);
        let signed = self.key.clone().map(|key| Conversation::sign(key, &mut message, self.clock.unix_seconds()));
        let sent = exchange_udp_from(self.source, host, &message, TRY_TIMEOUT).await;
        let reply = sent.map_err(|error| error.to_string())?;
        if let Some(mut conversation) = signed {
            conversation.check(&reply, self.clock.unix_seconds()).map_err(|error| error.to_string())?;
        }
        Ok(rcode(&reply))
    }
}

/// The code of a reply; what has no header is taken as a failure.
fn rcode(reply: &[u8]) -> Rcode {
    let bits = reply.get(3).filter(|_| reply.len() >= HEADER_OCTETS);
    bits.map_or(Rcode::SERVFAIL, |bits| Rcode::masked_from_int(u16::from(bits & 0x0f)))
}
