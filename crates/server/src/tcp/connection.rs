//! One TCP connection: frames in as they come, replies out as they are ready, in whatever order.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use catena_core::{Arrival, Protocol, ProxyPolicy, Query, Reply};
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::frames::{Input, Output};
use super::{Stage, TcpSeat};
use crate::bind::Bound;
use crate::exchange::{Exchange, serve_one};
use crate::limits::StreamLimits;
use crate::proxy::{Found, read};
use crate::serve::{Message, Outcome, Ripe, Route, Streaming, serve};
use crate::worker::{IdleTicket, Worker};

/// Nothing more is read while this much waits for the client, octets: one reply of the longest kind.
const OUTPUT_OCTETS_MAX: usize = 64 * 1024;
/// How many frames are served before other connections have their turn.
const FRAMES_MAX: usize = 64;

/// A connection at work.
pub(crate) struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
    bound: Arc<Bound>,
    worker: Rc<Worker>,
    seat: Rc<TcpSeat>,
    stage: watch::Receiver<Stage>,
    limits: StreamLimits,
    /// A PROXY header may be what comes first.
    awaited: Option<Awaited>,
    /// How many messages were read.
    messages: u64,
    input: Input,
    output: Output,
    /// What of the output the worker counts.
    queued: usize,
    /// Replies that are waited for.
    waiting: FuturesUnordered<LocalBoxFuture<'static, Ripe>>,
    /// Replies of several messages, each with the time by which the client has to have taken it; the first is being pulled.
    streams: VecDeque<(Instant, Streaming)>,
    /// Told when the place is needed.
    evict: Rc<Notify>,
    idle: Option<IdleTicket>,
    /// The client sends no more.
    is_at_end: bool,
    /// When the client has to have sent, or taken, something.
    deadline: Instant,
    /// Whether the deadline is for taking.
    is_writing: bool,
    /// How much of the output the client has to take by then, octets.
    due: usize,
}

/// A PROXY header that may come.
struct Awaited {
    policy: ProxyPolicy,
    /// What came by then is no header.
    until: Instant,
}

/// The connection ends.
struct Closed;

impl Drop for Connection {
    fn drop(&mut self) {
        self.worker.requeue(self.queued, 0);
    }
}

impl Connection {
    pub(crate) fn new(
        stream: TcpStream,
        peer: SocketAddr,
        bound: &Arc<Bound>,
        worker: &Rc<Worker>,
        seat: &Rc<TcpSeat>,
        route: &Route,
    ) -> Self {
        let local = stream.local_addr().unwrap_or_else(|_| bound.local_addr());
        let peer = canonical(peer);
        let policy = route.proxied.as_ref().map(|proxied| (proxied.protocol.policy)(peer.ip()));
        let now = Instant::now();
        let until = now + worker.limits.proxy_header_timeout;
        let awaited = policy.filter(|policy| *policy != ProxyPolicy::Skip).map(|policy| Awaited { policy, until });
        Self {
            stream,
            peer,
            local: canonical(local),
            bound: Arc::clone(bound),
            worker: Rc::clone(worker),
            seat: Rc::clone(seat),
            stage: seat.closed.subscribe(),
            limits: route.stream,
            awaited,
            messages: 0,
            input: Input::default(),
            output: Output::default(),
            queued: 0,
            waiting: FuturesUnordered::new(),
            streams: VecDeque::new(),
            evict: Rc::new(Notify::new()),
            idle: None,
            is_at_end: false,
            deadline: now + route.stream.read,
            is_writing: false,
            due: 0,
        }
    }

    /// Serves the connection until it ends; dropping the future drops the queries that wait.
    pub(crate) async fn run(mut self) {
        let mut exchange = Exchange::new();
        loop {
            if self.read_proxy_header().is_err() {
                return;
            }
            let served = self.serve_frames(&mut exchange, serve_one);
            if self.pull().is_err() || self.write().is_err() {
                return;
            }
            // Writing may have made room for what had to wait.
            let may_pull = !self.streams.is_empty() && self.output.pending().len() < OUTPUT_OCTETS_MAX;
            if may_pull || served == FRAMES_MAX || (self.has_frame() && self.has_room()) {
                tokio::task::yield_now().await;
                continue;
            }
            if self.wait().await.is_err() {
                return;
            }
        }
    }

    /// Serves what frames are there, [`FRAMES_MAX`] at most, as long as there is room for their replies.
    fn serve_frames<F>(&mut self, exchange: &mut Exchange<F>, start: fn(Query) -> F) -> usize
    where
        F: Future<Output = (Query, Reply)> + 'static,
    {
        let Some(route) = self.seat.route() else { return 0 };
        self.limits = route.stream;
        let mut served = 0;
        let mut reply = Vec::new();
        while served < FRAMES_MAX && self.awaited.is_none() && self.has_room() {
            if self.has_read_all() {
                break;
            }
            let Some(octets) = self.input.next_frame() else { break };
            served += 1;
            self.messages += 1;
            let received = route.env.clock.now();
            let (peer, local, transport) = (self.peer, self.local, self.bound.addr().transport);
            let arrival = || Arrival {
                client: peer,
                local,
                protocol: Protocol::Tcp,
                transport,
                listener: route.listener,
                received,
                is_crowded: false,
            };
            let message = Message { octets, is_cut: false, arrival: &arrival };
            match serve(&self.worker, &route, exchange, start, &message, &mut reply) {
                Outcome::Reply => self.output.push(&reply),
                Outcome::Nothing => {}
                Outcome::Stream(stream) => self.push_stream(stream),
                Outcome::Later(later) => self.waiting.push(Box::pin(later.reply())),
            }
        }
        // Who asks on does not get more time to take what is there.
        if served > 0 && !self.is_writing {
            self.deadline = Instant::now() + self.limits.idle;
        }
        served
    }

    /// Whether the connection had its share of messages; what else it sent is not looked at.
    fn has_read_all(&mut self) -> bool {
        let is_over = self.limits.messages_max.is_some_and(|most| self.messages >= most);
        if is_over {
            self.is_at_end = true;
            self.input.clear();
        }
        is_over
    }

    /// Whether a message is there whole.
    fn has_frame(&self) -> bool {
        self.awaited.is_none() && self.input.has_frame()
    }

    /// Takes off the PROXY header that may come first, as soon as it is there or it is clear that there is none.
    fn read_proxy_header(&mut self) -> Result<(), Closed> {
        let Some(awaited) = &self.awaited else { return Ok(()) };
        let policy = awaited.policy;
        match read(self.input.pending()) {
            Ok(Found::Partial(_)) if !self.is_at_end && Instant::now() < awaited.until => return Ok(()),
            Ok(Found::Absent | Found::Partial(_)) => {}
            Ok(Found::Header(_)) if policy == ProxyPolicy::Reject => return Err(Closed),
            Ok(Found::Header(header)) => {
                self.input.skip(header.len);
                if let Some((source, destination)) = header.ends.filter(|_| policy == ProxyPolicy::Use) {
                    (self.peer, self.local) = (source, destination);
                }
            }
            // Whose header is wrong is nobody.
            Err(_) => return Err(Closed),
        }
        self.awaited = None;
        Ok(())
    }

    fn push_stream(&mut self, stream: Streaming) {
        self.streams.push_back((Instant::now() + self.limits.stream, stream));
    }

    /// When the connection ends if nothing happens.
    fn end(&self) -> Instant {
        let streamed = self.streams.front().map(|(end, _)| *end);
        streamed.map_or(self.deadline, |end| end.min(self.deadline))
    }

    /// Takes the next message of the first stream, if the client took most of what came before. One message at a time, so that a client
    /// that takes fast does not keep the worker from others.
    fn pull(&mut self) -> Result<(), Closed> {
        let is_full = self.output.pending().len() >= OUTPUT_OCTETS_MAX;
        let Some((end, stream)) = self.streams.front_mut() else { return Ok(()) };
        if Instant::now() >= *end {
            return Err(Closed);
        }
        if is_full {
            return Ok(());
        }
        let mut message = Vec::new();
        match stream.next(&mut message) {
            Ok(Some(())) => self.output.push(&message),
            Ok(None) => {
                self.streams.pop_front();
            }
            // The client must not take half a zone for a whole one.
            Err(_) => return Err(Closed),
        }
        Ok(())
    }

    /// Whether one more query may be served.
    fn has_room(&self) -> bool {
        self.waiting.len() + self.streams.len() < self.worker.limits.connection_queries_max
            && self.output.pending().len() < OUTPUT_OCTETS_MAX
            && self.worker.has_room()
    }

    /// Writes what the client takes now.
    fn write(&mut self) -> Result<(), Closed> {
        let mut taken = 0;
        while !self.output.pending().is_empty() {
            match self.stream.try_write(self.output.pending()) {
                Ok(0) => return Err(Closed),
                Ok(written) => {
                    self.output.advance(written);
                    taken += written;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Closed),
            }
        }
        let queued = self.output.pending().len();
        self.set_write_deadline(taken, queued);
        let before = std::mem::replace(&mut self.queued, queued);
        if !self.worker.requeue(before, queued) {
            if let Some(route) = self.seat.route() {
                self.worker.count_shed(route.label(), "output");
            }
            return Err(Closed);
        }
        Ok(())
    }

    /// Gives the client the time for writing for all that waits now, and again for what came since when it
    /// has taken that. A client that takes an octet now and then does not hold its connection with it.
    fn set_write_deadline(&mut self, taken: usize, queued: usize) {
        let limits = self.limits;
        if queued == 0 {
            if self.is_writing {
                self.deadline = Instant::now() + limits.idle;
            }
            self.is_writing = false;
        } else if !self.is_writing || taken >= self.due {
            self.is_writing = true;
            self.due = queued;
            self.deadline = Instant::now() + limits.write;
        } else {
            self.due -= taken;
        }
    }

    /// Waits until there is something to do.
    async fn wait(&mut self) -> Result<(), Closed> {
        let is_closing = *self.stage.borrow() == Stage::Closed;
        let is_reading = !self.is_at_end && !is_closing && !self.has_frame() && self.has_room();
        let is_quiet = self.waiting.is_empty() && self.streams.is_empty() && !self.is_writing && !self.has_frame();
        if is_quiet && (self.is_at_end || is_closing) {
            return Err(Closed);
        }
        self.idle = is_quiet.then(|| self.worker.rest(&self.evict));
        // Without queries in flight the client has to send, with replies pending it has to take.
        let has_deadline = is_quiet || self.is_writing;
        let header = self.awaited.as_ref().map(|awaited| awaited.until).filter(|until| *until < self.deadline);
        let end = self.end();
        tokio::select! {
            biased;
            Some(reply) = self.waiting.next(), if !self.waiting.is_empty() => {
                match reply {
                    Ripe::Message(reply) => self.output.push(&reply),
                    Ripe::Stream(stream) => self.push_stream(stream),
                    Ripe::Nothing => {}
                }
                if self.waiting.is_empty() && !self.is_writing {
                    self.deadline = Instant::now() + self.limits.idle;
                }
                Ok(())
            }
            writable = self.stream.writable(), if self.is_writing => writable.map_err(|_| Closed),
            readable = self.stream.readable(), if is_reading => {
                readable.map_err(|_| Closed)?;
                self.read()
            }
            // Who is not read from shows only by an error that the connection is gone, and its queries with it.
            _ = self.stream.ready(Interest::ERROR), if !is_reading => Err(Closed),
            () = self.worker.room.notified(), if !self.worker.has_room() => Ok(()),
            changed = self.stage.changed(), if !is_closing => changed.map_err(|_| Closed),
            () = self.evict.notified() => Err(Closed),
            () = sleep_until(header.unwrap_or(end)), if has_deadline => header.map(|_| ()).ok_or(Closed),
        }
    }

    /// Reads what is there, up to the size of the worker's scratch buffer.
    fn read(&mut self) -> Result<(), Closed> {
        let mut scratch = self.worker.scratch.borrow_mut();
        match self.stream.try_read(&mut scratch) {
            Ok(0) => self.is_at_end = true,
            Ok(count) => self.input.extend(&scratch[..count]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => return Err(Closed),
        }
        Ok(())
    }
}

/// An IPv4 address that came as a mapped IPv6 one is shown as what it is.
fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        std::net::IpAddr::V4(ip) => (ip, addr.port()).into(),
        std::net::IpAddr::V6(_) => addr,
    }
}
