//! One upstream server: where it is, how often it failed, and how a query gets there and back.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use catena_core::wire::{self, HEADER_OCTETS};
use catena_core::{Answer, Clock, Protocol, Query, Rtype, Spawner};
use rustls_pki_types::ServerName;

use crate::conn::{Limits, Stream, StreamConn, UdpConn};
use crate::dial::{self, DialTime};
use crate::doh::{Doh, DohMethod, Way};
use crate::driver::Driver;
use crate::error::{ExchangeError, Path, Step};
use crate::health::Health;
use crate::lanes::{LANE_REPLY_OCTETS_MAX, Landing, Launched, Terms};
use crate::message;
use crate::metrics::{Proto, ProxyMetrics, UpstreamMetrics};
use crate::pool::{IdleCount, Lifetimes, Pool, Pools};
use crate::tls::TlsClient;

/// How long sending a query may take.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// What upstreams of one configuration have in common.
pub struct Options {
    /// How long a connection may rest before it is closed.
    pub expire: Duration,
    /// How old a connection may become; `None`: as old as it likes.
    pub max_age: Option<Duration>,
    /// How many connections of each of UDP and TCP may rest; 0: as many as fit.
    pub max_idle_conns: usize,
    /// How long to wait for a reply.
    pub read_timeout: Duration,
    /// The address to send from; `None`: as the routing table says.
    pub source: Option<IpAddr>,
    /// How the upstreams' health is checked.
    pub health: Health,
}

/// How one query is to be asked.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// Datagram or stream; an upstream with TLS is always asked over a stream.
    pub protocol: Protocol,
    /// The time of asking.
    pub now: Instant,
    /// The longest time for making a connection, whatever the upstream's history allows.
    pub dial_max: Duration,
}

/// An upstream server.
pub struct Upstream {
    label: Box<str>,
    peer: Result<SocketAddr, String>,
    tls: Option<(Arc<TlsClient>, ServerName<'static>)>,
    doh: Option<Doh>,
    options: Arc<Options>,
    clock: Arc<dyn Clock>,
    dial_time: DialTime,
    fails: AtomicU32,
    pub(crate) probing: AtomicBool,
    pools: Pools,
    idle: [IdleCount; 2],
    metrics: UpstreamMetrics,
}

impl Upstream {
    /// An upstream that is asked over UDP and TCP.
    ///
    /// `label` is the address as metrics and messages show it. One that is no `IP:PORT` makes an upstream that always fails.
    #[must_use]
    pub fn new(label: &str, options: Arc<Options>, clock: Arc<dyn Clock>, metrics: ProxyMetrics) -> Self {
        let peer = label.parse().map_err(|_| format!("lookup {label}: no such host"));
        Self {
            label: label.into(),
            peer,
            tls: None,
            doh: None,
            options,
            clock,
            dial_time: DialTime::new(),
            fails: AtomicU32::new(0),
            probing: AtomicBool::new(false),
            pools: Pools::new(),
            idle: Default::default(),
            metrics: UpstreamMetrics::new(metrics, label),
        }
    }

    /// Speaks TLS. `name` is what the certificate must be for; without one that is the address.
    ///
    /// # Errors
    /// The name, if it is none that a certificate could have.
    pub fn with_tls(mut self, client: Arc<TlsClient>, name: Option<&str>) -> Result<Self, String> {
        self.tls = Some((client, self.server_name(name)?));
        Ok(self)
    }

    /// Speaks HTTPS (RFC 8484), whatever carried the query. `name` is what the certificate must be for, and what requests name as their host; without one
    /// that is the address.
    ///
    /// # Errors
    /// The name, if it is none that a certificate could have.
    pub fn with_https(mut self, client: Arc<TlsClient>, name: Option<&str>, method: DohMethod) -> Result<Self, String> {
        let server_name = self.server_name(name)?;
        let authority = match (name, &self.peer) {
            (Some(name), Ok(peer)) => format!("{name}:{}", peer.port()),
            _ => self.label.to_string(),
        };
        self.doh = Some(Doh::new(client, server_name, authority, method));
        Ok(self)
    }

    fn server_name(&self, name: Option<&str>) -> Result<ServerName<'static>, String> {
        match (name, &self.peer) {
            (Some(name), _) => ServerName::try_from(name.to_owned()).map_err(|_| name.to_owned()),
            (None, Ok(peer)) => Ok(ServerName::IpAddress(peer.ip().into())),
            (None, Err(_)) => Err(self.label.to_string()),
        }
    }

    /// Reads what the system trusts, if the upstream is spoken to over TLS or HTTPS: else the first query would wait for it.
    pub fn prepare(&self) {
        if let Some((client, _)) = &self.tls {
            client.prepare();
        }
        if let Some(doh) = &self.doh {
            doh.tls().prepare_http2();
        }
    }

    /// The address as it was configured, with its port.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The address, if it is one.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer.as_ref().ok().copied()
    }

    /// Whether it is spoken to over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    pub(crate) fn options(&self) -> &Arc<Options> {
        &self.options
    }

    /// Whether health checks failed more often than `max_fails` in a row; 0 means that it never counts as down.
    #[must_use]
    pub fn is_down(&self, max_fails: u32) -> bool {
        max_fails != 0 && self.fails.load(Ordering::Relaxed) > max_fails
    }

    /// How many health checks failed in a row.
    #[must_use]
    pub fn fails(&self) -> u32 {
        self.fails.load(Ordering::Relaxed)
    }

    pub(crate) fn check_passed(&self) {
        self.fails.store(0, Ordering::Relaxed);
    }

    pub(crate) fn check_failed(&self) {
        self.metrics.check_failed();
        // Stays at the highest number rather than begin anew.
        let _ = self.fails.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |fails| fails.checked_add(1));
    }

    /// Sends the query and reads the reply into the answer: flags, code and records as the upstream gave them.
    ///
    /// Returns whether the reply is one to the question; if not, the answer is of no use. A kept connection that the upstream has
    /// closed meanwhile is replaced without a word.
    ///
    /// # Errors
    /// No connection, no reply in time, or one that cannot be read; Go's text.
    pub async fn ask(&self, query: &mut Query, ask: Ask, answer: &mut Answer) -> Result<bool, ExchangeError> {
        let Some(_in_flight) = self.pools.of(query.env().worker).enter() else {
            return Err(ExchangeError::ours(format!("too many queries in flight to {}", self.label)));
        };
        let (matches, replied) = match ask.protocol {
            Protocol::Udp if self.tls.is_none() && self.doh.is_none() => self.ask_udp(query, ask.now, answer).await?,
            // In a box, so that the future of the way that most queries take stays small.
            _ => Box::pin(self.ask_by_stream(query, ask.dial_max, answer)).await?,
        };
        self.metrics.replied(answer.rcode, replied.saturating_duration_since(ask.now).as_secs_f64());
        Ok(matches)
    }

    /// Asks over TCP, TLS or HTTPS. Returns whether the reply is one to the question, and when it was there, as those below do.
    async fn ask_by_stream(
        &self,
        query: &mut Query,
        dial_max: Duration,
        answer: &mut Answer,
    ) -> Result<(bool, Instant), ExchangeError> {
        let matches = match self.doh {
            Some(_) => self.ask_https(query, dial_max, answer).await?,
            None => self.ask_stream(query, dial_max, answer).await?,
        };
        Ok((matches, self.clock.now()))
    }

    async fn ask_udp(
        &self,
        query: &mut Query,
        now: Instant,
        answer: &mut Answer,
    ) -> Result<(bool, Instant), ExchangeError> {
        if let Some(launched) = self.launch(query, now) {
            self.metrics.looked_for_connection(Proto::Udp, launched.was_open);
            return self.land(launched, query, answer).await;
        }
        Box::pin(self.ask_alone(query, now, answer)).await
    }

    /// Asks on a socket that no other query has meanwhile.
    async fn ask_alone(
        &self,
        query: &mut Query,
        now: Instant,
        answer: &mut Answer,
    ) -> Result<(bool, Instant), ExchangeError> {
        let (worker, limit) = (query.env().worker, self.idle_limit(0).1);
        let kept = self.kept_udp(worker, now);
        self.metrics.looked_for_connection(Proto::Udp, kept.is_some());
        let (mut conn, created) = match kept {
            Some(kept) => kept,
            None => {
                let peer = self.peer_for("udp")?;
                let socket = dial::udp(peer, self.options.source)?;
                self.dial_time.observe(self.clock.now().saturating_duration_since(now));
                (UdpConn::new(socket, peer), now)
            }
        };
        let matches = conn.exchange(query, self.limits(), answer).await?;
        let replied = self.clock.now();
        self.pools.of(worker).udp.give(conn, created, replied, limit);
        Ok((matches, replied))
    }

    /// Puts the query on its way on a shared socket, if the worker is so busy that this pays and the reply will fit.
    fn launch(&self, query: &Query, now: Instant) -> Option<Launched> {
        let pool = self.pools.of(query.env().worker);
        if !pool.is_busy() || query.size_limit() > LANE_REPLY_OCTETS_MAX {
            return None;
        }
        let terms = Terms { now, lifetimes: self.lifetimes() };
        // Where none can be opened, a socket of its own tells why.
        let open = || dial::udp(self.peer().as_ref().copied()?, self.options.source).ok();
        let write = |id, out: &mut Vec<u8>| {
            message::write_query(query, id, out);
            HEADER_OCTETS + query.question().wire_len()
        };
        let question = (query.lower().as_slice(), query.qtype().to_int(), query.qclass().to_int());
        let launched = pool.lanes.launch(question, &terms, write, open)?;
        if !launched.was_open && pool.lanes.wants_driver() {
            Driver::start(Arc::clone(&pool.lanes), Arc::clone(&self.clock), self.options.read_timeout);
        }
        Some(launched)
    }

    /// Waits for the reply to a query on a shared socket.
    async fn land(
        &self,
        mut launched: Launched,
        query: &mut Query,
        answer: &mut Answer,
    ) -> Result<(bool, Instant), ExchangeError> {
        let local = launched.local;
        let fail = |step, error: std::io::Error| {
            let path = Path { local, peer: self.peer_for("udp")? };
            Err(ExchangeError::io(step, "udp", path, &error))
        };
        match (&mut launched).await {
            landing @ (Landing::Reply(at) | Landing::Mistaken(at)) => {
                let read = launched.read(|reply| message::read_datagram(reply, query.size_limit(), answer));
                read.map_err(|error| ExchangeError::new(error.to_string()))?;
                Ok((matches!(landing, Landing::Reply(_)), at))
            }
            Landing::Late => fail(Step::Read, std::io::ErrorKind::TimedOut.into()),
            Landing::Failed(step, code) => fail(step, std::io::Error::from_raw_os_error(code)),
            Landing::Strays => fail(Step::Read, std::io::Error::other("too many replies with another id")),
            Landing::Ended => fail(Step::Read, std::io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// A kept socket: one of the worker's own, or else one that another worker does not use now.
    fn kept_udp(&self, worker: usize, now: Instant) -> Option<(UdpConn, Instant)> {
        let take = |pool: &Pool| pool.udp.take(self.lifetimes(), now, self.idle_limit(0).0);
        take(self.pools.of(worker)).or_else(|| {
            let (conn, created) = self.pools.others(worker).find_map(take)?;
            Some((conn.rehomed()?, created))
        })
    }

    /// A kept stream, in the same way.
    fn kept_stream(&self, worker: usize, now: Instant) -> Option<(StreamConn, Instant)> {
        let take = |pool: &Pool| pool.stream.take(self.lifetimes(), now, self.idle_limit(1).0);
        take(self.pools.of(worker)).or_else(|| {
            let (conn, created) = self.pools.others(worker).find_map(take)?;
            Some((conn.rehomed()?, created))
        })
    }

    async fn ask_https(
        &self,
        query: &mut Query,
        dial_max: Duration,
        answer: &mut Answer,
    ) -> Result<bool, ExchangeError> {
        let mut message = Vec::new();
        // RFC 8484 section 4.1: an id of 0, so that caches find equal queries equal.
        message::write_query(query, 0, &mut message);
        let spawner = Arc::clone(&query.env().spawner);
        let limit = self.options.read_timeout;
        let reply = self.https(&message, self.dial_time.limit().min(dial_max), limit, &spawner).await?;
        if !message::has_id(&reply, 0) {
            return Err(ExchangeError::new(format!("https://{}: no DNS message in the reply", self.label)));
        }
        wire::read_reply(&reply, answer).map_err(|error| ExchangeError::new(error.to_string()))?;
        Ok(message::answers(&reply, query))
    }

    /// Whether it is spoken to over HTTPS.
    pub(crate) fn is_https(&self) -> bool {
        self.doh.is_some()
    }

    /// Sends a message over HTTPS.
    pub(crate) async fn https(
        &self,
        message: &[u8],
        dial_limit: Duration,
        limit: Duration,
        spawner: &Arc<dyn Spawner>,
    ) -> Result<bytes::Bytes, ExchangeError> {
        let Some(doh) = &self.doh else { return Err(ExchangeError::ours("not an HTTPS upstream")) };
        let way = Way {
            peer: self.peer_for("tcp")?,
            source: self.options.source,
            dial_limit,
            lifetimes: self.lifetimes(),
            clock: &*self.clock,
            spawner,
        };
        doh.exchange(&way, message, limit).await
    }

    async fn ask_stream(
        &self,
        query: &mut Query,
        dial_max: Duration,
        answer: &mut Answer,
    ) -> Result<bool, ExchangeError> {
        let (worker, limit) = (query.env().worker, self.idle_limit(1).1);
        let proto = if self.tls.is_some() { Proto::Tls } else { Proto::Tcp };
        loop {
            let now = self.clock.now();
            let kept = self.kept_stream(worker, now);
            let was_kept = kept.is_some();
            self.metrics.looked_for_connection(proto, was_kept);
            let (mut conn, created) = match kept {
                Some(kept) => kept,
                None => (self.connect(self.dial_time.limit().min(dial_max)).await?, self.clock.now()),
            };
            match conn.exchange(query, self.limits(), answer).await {
                Ok(matches) => {
                    if conn.is_quiet() && !has_more(query) {
                        self.pools.of(worker).stream.give(conn, created, self.clock.now(), limit);
                    }
                    return Ok(matches);
                }
                // The upstream closed it while it rested. There are only so many kept ones, so this ends.
                Err(error) if was_kept && error.closed => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes a stream, with TLS where that is wanted.
    pub(crate) async fn connect(&self, limit: Duration) -> Result<StreamConn, ExchangeError> {
        let started = self.clock.now();
        let peer = self.peer_for("tcp")?;
        let connected = async {
            let stream = dial::tcp(peer, self.options.source, limit).await?;
            let Some((client, name)) = &self.tls else { return Ok(Stream::Plain(stream)) };
            let left = limit.saturating_sub(self.clock.now().saturating_duration_since(started));
            Ok(Stream::Tls(Box::new(client.connect(stream, peer, name.clone(), left).await?)))
        };
        let connected = connected.await;
        self.dial_time.observe(self.clock.now().saturating_duration_since(started));
        connected.map(|stream| StreamConn::new(stream, peer))
    }

    pub(crate) fn peer_for(&self, network: &str) -> Result<SocketAddr, ExchangeError> {
        self.peer.clone().map_err(|why| ExchangeError::new(format!("dial {network}: {why}")))
    }

    /// Closes the connections of all workers that have rested too long.
    pub fn sweep(&self) {
        let now = self.clock.now();
        for pool in self.pools.all() {
            pool.lanes.sweep(&Terms { now, lifetimes: self.lifetimes() });
            pool.udp.sweep(self.lifetimes(), now, self.idle_limit(0).0);
            pool.stream.sweep(self.lifetimes(), now, self.idle_limit(1).0);
        }
        if let Some(doh) = &self.doh {
            doh.sweep(self.lifetimes(), now);
        }
    }

    fn lifetimes(&self) -> Lifetimes {
        Lifetimes { expire: self.options.expire, max_age: self.options.max_age }
    }

    fn limits(&self) -> Limits {
        Limits { write: WRITE_TIMEOUT, read: self.options.read_timeout }
    }

    fn idle_limit(&self, kind: usize) -> (Option<&IdleCount>, Option<(&IdleCount, usize)>) {
        match self.options.max_idle_conns {
            0 => (None, None),
            max => (Some(&self.idle[kind]), Some((&self.idle[kind], max))),
        }
    }
}

/// Whether more messages may follow the first one of the reply: those of a zone transfer (RFC 5936 section 2.2).
fn has_more(query: &Query) -> bool {
    matches!(query.qtype(), Rtype::AXFR | Rtype::IXFR)
}
