//! Asking again: in the background before an entry ends or after it, or first of all with the old entry in reserve.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use catena_core::classify;
use catena_core::prelude::*;
use catena_core::{Body, Protocol};
use tokio::sync::oneshot;

use crate::Inner;
use crate::item::{Item, Kept, Key, Refreshing};
use crate::judge::{Verdict, judge};
use crate::store::Stored;

/// What became of asking again.
struct Outcome {
    /// The reply took the place of the old entry.
    refreshed: bool,
    /// What was stored of it.
    item: Option<Item>,
    reply: Reply,
}

impl Inner {
    /// Asks again in the background, unless someone does already or a failure is too fresh.
    pub(crate) fn refresh_later(
        self: &Arc<Self>,
        q: &Query,
        next: Next<'_>,
        key: Key,
        item: &Item,
        now: Instant,
        stale: bool,
    ) {
        let recheck = if stale { self.config.stale.recheck } else { std::time::Duration::ZERO };
        let Some(claim) = item.begin_refresh(now, recheck) else { return };
        let (inner, rest, mut fork) = (Arc::clone(self), next.detach(), q.fork());
        // There is no client to wait or to take a short reply: as over TCP, so that nothing is cut.
        let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let arrival = fork.arrival_mut();
        (arrival.client, arrival.local, arrival.protocol) = (nobody, nobody, Protocol::Tcp);
        arrival.received = now;
        let task = async move {
            let outcome = inner.ask_again(&mut fork, rest.next(), key, stale).await;
            if outcome.refreshed {
                inner.carry_hits_over(claim.item(), now);
            }
            claim.end(fork.now(), outcome.refreshed);
        };
        if q.env().spawner.spawn(Box::pin(task)) {
            self.metrics.of(q).prefetch.inc(q.shard());
        }
    }

    /// The hits of an entry count for the one that took its place.
    fn carry_hits_over(&self, before: &Item, now: Instant) {
        let denial = self.stores.denial.get(before.hash());
        let success = self.stores.success.get(before.hash());
        if let Some(item) = denial.as_ref().or(success.as_ref())
            && !std::ptr::eq(item.head(), before.head())
        {
            item.head().inherit_hits(before.head(), now);
        }
    }

    async fn ask_again(&self, q: &mut Query, next: Next<'_>, key: Key, stale: bool) -> Outcome {
        let asked = q.has(flags::AD);
        q.set_flag(flags::AD, true);
        let mut reply = next.run(q).await;
        q.set_flag(flags::AD, asked);
        let (mut refreshed, mut item) = (!stale, None);
        if let Some(answer) = reply.answer_mut() {
            if stale {
                (refreshed, item) = self.replace_stale(q, key, answer);
            } else {
                item = self.keep(q, key, answer);
            }
        }
        Outcome { refreshed, item, reply }
    }

    /// Stores a reply over an old entry if it is good enough for that (RFC 8767 section 4), and whether it is good enough for the
    /// client.
    fn replace_stale(&self, q: &Query, key: Key, answer: &mut Answer) -> (bool, Option<Item>) {
        if answer.has(flags::TC) || !answer.has(flags::QR) || !self.stores.is_key_of(&key, q) {
            return (false, None);
        }
        let verdict = judge(answer, q.question(), q.clock().unix_seconds());
        if self.stores.place_of(q, key, answer, verdict).is_err() {
            return (false, None);
        }
        let good = if self.config.stale.prefer_positive {
            verdict.kind == classify::Kind::NoError && verdict.answers
        } else {
            replaces(answer.rcode, verdict)
        };
        if good {
            return (true, self.keep_judged(q, key, answer, verdict));
        }
        if self.config.stale.prefer_positive {
            // Kept beside the old answer, which goes on being served.
            self.keep_judged(q, key, answer, verdict);
        }
        (false, None)
    }

    /// Asks the rest of the chain, and serves the old item if that gives nothing good, or not in time.
    pub(crate) async fn verify(self: &Arc<Self>, q: &mut Query, next: Next<'_>, key: Key, item: Item) -> Reply {
        let stale = &self.config.stale;
        let claim = if stale.recheck.is_zero() {
            None
        } else {
            let claim = item.begin_refresh(q.now(), stale.recheck);
            if claim.is_none() {
                return self.serve_stale(q, &item, self.metrics.of(q));
            }
            claim
        };
        let outcome = if stale.verify_timeout.is_zero() {
            let outcome = self.ask_again(q, next, key, true).await;
            end(claim, q.now(), outcome.refreshed);
            Some(outcome)
        } else {
            self.verify_in_time(q, next, key, claim).await
        };
        match outcome {
            Some(Outcome { refreshed: true, item, reply }) => self.fresh_reply(q, item, reply),
            other => {
                if let Some(Outcome { reply: Reply { body: Body::Answer(answer), .. }, .. }) = other {
                    q.recycle(answer);
                }
                self.serve_stale(q, &item, self.metrics.of(q))
            }
        }
    }

    /// Asks in a task of its own, which goes on when the time is over.
    async fn verify_in_time(
        self: &Arc<Self>,
        q: &mut Query,
        next: Next<'_>,
        key: Key,
        claim: Option<Refreshing>,
    ) -> Option<Outcome> {
        let (sender, receiver) = oneshot::channel();
        let (inner, rest, mut fork) = (Arc::clone(self), next.detach(), q.fork());
        let task = async move {
            let outcome = inner.ask_again(&mut fork, rest.next(), key, true).await;
            end(claim, fork.now(), outcome.refreshed);
            // Whoever waited may have gone: what is worth keeping is stored.
            drop(sender.send(outcome));
        };
        if !q.env().spawner.spawn(Box::pin(task)) {
            return None;
        }
        tokio::time::timeout(self.config.stale.verify_timeout, receiver).await.ok()?.ok()
    }

    /// What the client gets of a refresh: the stored item if the wait was for a task, else the reply as it came.
    fn fresh_reply(&self, q: &mut Query, item: Option<Item>, reply: Reply) -> Reply {
        if self.config.stale.verify_timeout.is_zero() {
            return reply;
        }
        match item {
            Some(item) => {
                let left = item.head().ttl(q.now());
                item.answer(q, self.shown_ttl(&item, left)).into()
            }
            None => reply,
        }
    }
}

fn end(claim: Option<Refreshing>, now: Instant, refreshed: bool) {
    if let Some(claim) = claim {
        claim.end(now, refreshed);
    }
}

/// Only answers and denials of the name replace what is old, failures never.
fn replaces(rcode: Rcode, verdict: Verdict) -> bool {
    use classify::Kind::{Meta, OtherError, Update};
    matches!(rcode, Rcode::NOERROR | Rcode::NXDOMAIN) && !matches!(verdict.plain, OtherError | Meta | Update)
}
