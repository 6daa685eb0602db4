//! Sets signed, from the store where their signatures are known.
//!
//! A signature with Ed25519 or P-256 takes less than 50 µs and is made in place, with a pause for others between two of them. One with RSA or P-384
//! takes up to several ms and is made on a thread for such work.

use std::sync::Arc;

use catena_core::{Class, Clock, Metrics, Query, Rtype};
use catena_zone::dnssec::{CanonicalSet, Validity};
use tokio::sync::Semaphore;

use crate::metrics::{DnssecMetrics, Handles};
use crate::store::{Cell, Signed, Store};
use crate::zones::SignedZone;

/// The TTL that signatures say the records had, seconds, whatever it was. CoreDNS: plugin/dnssec.
const ORIGINAL_TTL: u32 = 3600;
/// How long before now a signature begins to hold, seconds.
const INCEPTION_BEFORE: u32 = 3 * 3600;
/// How long from now it holds, seconds.
const EXPIRATION_AFTER: u32 = 8 * 24 * 3600;
/// The most threads that sign at the same time.
const SIGNING_THREADS_MAX: usize = 4;

/// The time of day as signatures write it, seconds.
pub(crate) fn seconds(clock: &dyn Clock) -> u32 {
    // The numbers wrap (RFC 4034 section 3.1.5).
    clock.unix_seconds() as u32
}

/// Signs sets.
pub(crate) struct Signer {
    store: Arc<Store>,
    threads: Semaphore,
    metrics: DnssecMetrics,
}

/// The signing of one reply.
pub(crate) struct Session<'a> {
    signer: &'a Signer,
    handles: &'a Handles,
    now: u32,
    has_signed: bool,
}

impl Signer {
    pub(crate) fn new(store: Arc<Store>, metrics: &Arc<Metrics>) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(SIGNING_THREADS_MAX);
        Self { store, threads: Semaphore::new(threads), metrics: DnssecMetrics::new(metrics) }
    }

    /// Begins with the signatures of a reply.
    pub(crate) fn session(&self, query: &Query) -> Session<'_> {
        let handles = self.metrics.of(query);
        Session { signer: self, handles, now: seconds(query.clock()), has_signed: false }
    }

    async fn make(&self, zone: &Arc<SignedZone>, set: CanonicalSet, now: u32) -> Option<Signed> {
        let validity =
            Validity { inception: now.wrapping_sub(INCEPTION_BEFORE), expiration: now.wrapping_add(EXPIRATION_AFTER) };
        if !zone.is_slow(set.rtype()) {
            return sign_all(zone, &set, validity);
        }
        // The semaphore is never closed.
        let _permit = self.threads.acquire().await.ok()?;
        let zone = Arc::clone(zone);
        tokio::task::spawn_blocking(move || sign_all(&zone, &set, validity)).await.ok()?
    }
}

fn sign_all(zone: &SignedZone, set: &CanonicalSet, validity: Validity) -> Option<Signed> {
    let signers = zone.signers(set.rtype());
    let rrsigs: Result<Vec<_>, _> = signers.map(|key| key.sign(set, zone.zone.wire(), validity)).collect();
    Some(Signed { rrsigs: rrsigs.ok()?, validity })
}

impl Session<'_> {
    /// The signatures over a set; `None` if a key failed.
    pub(crate) async fn sign(&mut self, zone: &Arc<SignedZone>, set: CanonicalSet) -> Option<Vec<Vec<u8>>> {
        let key = [&zone.index.to_be_bytes(), set.octets()].concat();
        let (cell, is_hit) = self.signer.store.cell(&key, self.now);
        self.handles.entries.set(self.signer.store.len() as f64);
        if is_hit {
            self.handles.hits.inc();
            return cell.get().map(|signed| signed.rrsigs.clone());
        }
        self.handles.misses.inc();
        self.fill(&cell, zone, set).await
    }

    async fn fill(&mut self, cell: &Cell, zone: &Arc<SignedZone>, set: CanonicalSet) -> Option<Vec<Vec<u8>>> {
        if std::mem::replace(&mut self.has_signed, true) {
            tokio::task::yield_now().await;
        }
        let make = || async { self.signer.make(zone, set, self.now).await.ok_or(()) };
        cell.get_or_try_init(make).await.ok().map(|signed| signed.rrsigs.clone())
    }
}

/// A set in canonical form, with the TTL that signatures here say it had.
pub(crate) fn form<'a>(
    owner: &[u8],
    rtype: Rtype,
    class: Class,
    rdatas: impl IntoIterator<Item = &'a [u8]>,
) -> CanonicalSet {
    CanonicalSet::new(owner, rtype, class, ORIGINAL_TTL, rdatas)
}
