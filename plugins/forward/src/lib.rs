//! *forward* sends queries to other DNS servers and gives back what they answer.
//!
//! A query whose name is in FROM and in no `except` zone goes to one upstream after the other, in the order of the policy, until one
//! answers or its time is over. Upstreams that failed are checked until they answer again, and left out meanwhile. Each `forward` of a
//! server block is a link of its own; they are tried in the order of the Corefile.

mod config;
mod destination;
mod metrics;
mod start;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use catena_core::prelude::*;
use catena_core::{Clock, LabelsSet, Log, Protocol};
use catena_upstream::{Ask, ExchangeError, Health, Options, Policy, ProxyMetrics, Upstream};

use crate::config::Config;
use crate::destination::{Speech, Target};
use crate::metrics::ForwardMetrics;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("forward", setup);

/// The label of the upstream that was asked last.
const UPSTREAM_LABEL: &str = "forward/upstream";
/// How long a query may take before no further upstream is tried.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);
/// Failed attempts for each upstream, where `max_connect_attempts` does not say how many.
const ATTEMPTS_PER_UPSTREAM: usize = 2;
/// The pause before each attempt beyond these, so that an upstream that refuses at once is not asked in a busy loop.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(10);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    cx.labels(Arc::new(LabelsSet(&[UPSTREAM_LABEL])));
    for config in config::parse(cx)? {
        let forward = Forward(Arc::new(Forwarder::new(cx, config)));
        forward.0.fill(&[])?;
        cx.service(Arc::new(forward.clone()));
        cx.link(forward);
    }
    Ok(())
}

/// A `forward` directive as a link of the chain and as a service.
#[derive(Clone)]
struct Forward(Arc<Forwarder>);

/// A `forward` directive at work.
struct Forwarder {
    config: Config,
    options: Arc<Options>,
    policy: Policy,
    /// Filled at setup, or at the start where host names are to be looked up.
    upstreams: OnceLock<Vec<Arc<Upstream>>>,
    concurrent: AtomicUsize,
    metrics: ForwardMetrics,
    proxy_metrics: ProxyMetrics,
    clock: Arc<dyn Clock>,
    log: Log,
}

impl Forwarder {
    fn new(cx: &Setup<'_>, config: Config) -> Self {
        let health = Health {
            interval: config.health_interval,
            recursion_desired: config.health_recursion,
            domain: config.health_domain.clone(),
            tcp: config.force_tcp,
        };
        let options = Options {
            expire: config.expire.to_std().unwrap_or_default(),
            max_age: config.max_age.to_std().filter(|age| !age.is_zero()),
            max_idle_conns: config.max_idle_conns,
            read_timeout: config.read_timeout,
            source: config.source,
            health,
        };
        Self {
            policy: Policy::new(config.policy),
            options: Arc::new(options),
            upstreams: OnceLock::new(),
            concurrent: AtomicUsize::new(0),
            metrics: ForwardMetrics::of(cx.metrics()),
            proxy_metrics: ProxyMetrics::of(cx.metrics(), "forward"),
            clock: cx.clock(),
            log: cx.log(),
            config,
        }
    }

    /// The upstream for an address.
    fn upstream(&self, target: &Target) -> Result<Upstream, Diagnostic> {
        let clock = Arc::clone(&self.clock);
        let plain = Upstream::new(&target.label, Arc::clone(&self.options), clock, self.proxy_metrics.clone());
        let name = target.server_name.as_deref().or(self.config.tls_servername.as_deref());
        let tls = || Arc::clone(&self.config.tls);
        let made = match target.speech {
            Speech::Plain => return Ok(plain),
            Speech::Tls => plain.with_tls(tls(), name),
            Speech::Https => plain.with_https(tls(), name, self.config.doh_method),
        };
        made.map_err(|name| Diagnostic::error(format!("invalid TLS server name: '{name}'")))
    }

    /// Whether the query is one for this `forward`. CoreDNS: the name of FROM itself is never excepted.
    fn takes(&self, query: &Query) -> bool {
        let (lower, labels) = (query.lower().as_slice(), query.question().labels());
        if !self.config.from.holds(lower, labels) {
            return false;
        }
        lower == self.config.from.wire() || self.config.except.longest(lower, labels).is_none()
    }

    /// Counts a query for as long as the guard lives; nothing if there are too many.
    fn enter(&self) -> Option<Concurrent<'_>> {
        let max = self.config.max_concurrent.0;
        if max == 0 {
            return Some(Concurrent(None));
        }
        let guard = Concurrent(Some(&self.concurrent));
        (self.concurrent.fetch_add(1, Ordering::Relaxed) < max).then_some(guard)
    }

    /// Asks upstreams until one gives a reply that is to be used.
    async fn ask_all(
        &self,
        query: &mut Query,
        upstreams: &[Arc<Upstream>],
        answer: &mut Answer,
    ) -> Result<bool, Option<ExchangeError>> {
        let count = upstreams.len();
        let mut order = self.policy.order(count);
        let attempts_max = self.config.max_connect_attempts.map_or(ATTEMPTS_PER_UPSTREAM * count, |max| max as usize);
        let mut now = query.now();
        let deadline = now + QUERY_TIMEOUT;
        let (mut place, mut down, mut attempts, mut failovers) = (0, 0, 0, 0);
        let mut last_error = None;
        while now < deadline && !query.is_overdue() {
            if place == count {
                (place, down) = (0, 0);
            }
            let mut upstream = &upstreams[order.at(place)];
            place += 1;
            if upstream.is_down(self.config.max_fails) {
                down += 1;
                if down < count {
                    continue;
                }
                self.metrics.broken.inc();
                if self.config.failfast {
                    break;
                }
                // Perhaps it is only the health check that fails.
                upstream = &upstreams[rand::random_range(0..count)];
            }
            if attempts >= ATTEMPTS_PER_UPSTREAM * count {
                tokio::time::sleep(ATTEMPT_PAUSE).await;
                now = query.now();
            }
            query.set_label(UPSTREAM_LABEL, |_| upstream.label().to_owned());
            let asked = self.ask_one(query, upstream, (now, deadline), answer).await;
            match asked {
                Ok(false) => return Ok(false),
                Ok(true) => {
                    last_error = None;
                    let failed = self.config.failover.contains(&answer.rcode);
                    failovers += usize::from(failed);
                    if !failed || failovers >= count {
                        return Ok(true);
                    }
                }
                Err(error) => {
                    if self.config.max_fails != 0 && !error.is_ours() {
                        upstream.check_health(&query.env().spawner);
                    }
                    last_error = Some(error);
                    attempts += 1;
                    if attempts == attempts_max || down >= count {
                        break;
                    }
                }
            }
            now = query.now();
        }
        Err(last_error)
    }

    /// Asks one upstream; once more over TCP if its reply over UDP is truncated and UDP was not the client's choice.
    async fn ask_one(
        &self,
        query: &mut Query,
        upstream: &Upstream,
        (now, deadline): (Instant, Instant),
        answer: &mut Answer,
    ) -> Result<bool, ExchangeError> {
        let protocol = match (self.config.force_tcp, self.config.prefer_udp) {
            (true, _) => Protocol::Tcp,
            (false, true) => Protocol::Udp,
            (false, false) => query.protocol(),
        };
        let ask = Ask { protocol, now, dial_max: deadline.saturating_duration_since(now) };
        let matches = upstream.ask(query, ask, answer).await?;
        if !answer.has(flags::TC) || self.config.force_tcp || !self.config.prefer_udp {
            return Ok(matches);
        }
        let now = query.now();
        let ask = Ask { protocol: Protocol::Tcp, now, dial_max: deadline.saturating_duration_since(now) };
        upstream.ask(query, ask, answer).await
    }

    /// Whether the next `forward` is to be asked instead of giving this reply.
    fn passes_on(&self, answer: &Answer) -> bool {
        let no_data = || answer.rcode == Rcode::NOERROR && answer.count(Section::Answer) == 0;
        self.config.next.contains(&answer.rcode) || (self.config.next_on_nodata && no_data())
    }
}

/// A query under way, if they are counted.
struct Concurrent<'a>(Option<&'a AtomicUsize>);

impl Drop for Concurrent<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.0 {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[async_trait]
impl Plugin for Forward {
    async fn serve(&self, query: &mut Query, next: Next<'_>) -> Reply {
        let forward = &*self.0;
        if !forward.takes(query) {
            return next.run(query).await;
        }
        let Some(_concurrent) = forward.enter() else {
            forward.metrics.rejects.inc();
            let text = format!("concurrent queries exceeded maximum {}", forward.config.max_concurrent.1);
            return Reply::fail(Error::ours(text).with_rcode(Rcode::REFUSED));
        };
        let upstreams = forward.upstreams.get().map_or(&[][..], Vec::as_slice);
        if upstreams.is_empty() {
            return Reply::fail(Error::upstream("no healthy proxies"));
        }
        let mut answer = Answer::to(query);
        match forward.ask_all(query, upstreams, &mut answer).await {
            Ok(true) if forward.passes_on(&answer) && next.name() == Some(PLUGIN.name) => {
                query.recycle(answer);
                next.run(query).await
            }
            Ok(true) => answer.into(),
            Ok(false) => {
                query.recycle(answer);
                Answer::to(query).with_rcode(Rcode::FORMERR).into()
            }
            Err(why) => {
                query.recycle(answer);
                Reply::fail(match why {
                    Some(error) => Error::upstream(error.to_string()).caused_by(error),
                    None => Error::upstream("no healthy proxies"),
                })
            }
        }
    }
}
