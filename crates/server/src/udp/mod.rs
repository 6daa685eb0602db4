//! The receive loop of one UDP socket: a batch in, each query polled once in place, a batch out.

mod outbox;
mod waiters;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use catena_core::{Arrival, Clock, Protocol, Query, Reply};
pub(crate) use catena_datagrams::ask_for_destination;
use catena_datagrams::{Datagram, Outgoing, Receiver, Sender};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::yield_now;

use outbox::Outbox;
use waiters::{Waiter, Waiters};

use crate::bind::Bound;
use crate::clock::QUERIES_A_LOOK;
use crate::exchange::{Exchange, serve_one};
use crate::proxy::Dropped;
use crate::serve::{GROUP_MAX, Message, Opened, Outcome, Route, foresee, open as open_message, serve_query};
use crate::worker::Worker;

/// The room that a reply buffer keeps between datagrams, octets.
const KEEP_OCTETS_MAX: usize = 4096;
/// How long a socket rests after an error of the system that is not about one datagram.
const REST: Duration = Duration::from_millis(10);

/// Replies that wait to be sent, and what the loop of the socket has to know. Of one worker's thread.
pub(crate) struct UdpSeat {
    route: RefCell<Option<Rc<Route>>>,
    is_closed: Cell<bool>,
    state: RefCell<Outbox>,
}

impl UdpSeat {
    pub(crate) fn new() -> Self {
        Self { route: RefCell::new(None), is_closed: Cell::new(false), state: RefCell::new(Outbox::default()) }
    }

    /// Reads for this route from the next batch on.
    pub(crate) fn serve(&self, route: Rc<Route>) {
        self.state.borrow_mut().set_forgotten(route.forgotten.clone());
        *self.route.borrow_mut() = Some(route);
        self.wake();
    }

    /// Reads no more and ends when all replies are sent.
    pub(crate) fn close(&self) {
        *self.route.borrow_mut() = None;
        self.is_closed.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.state.borrow_mut().waker.take() {
            waker.wake();
        }
    }

    fn buffer(&self) -> Vec<u8> {
        self.state.borrow_mut().buffer()
    }

    fn put_back(&self, buffer: Vec<u8>) {
        self.state.borrow_mut().put_back(buffer);
    }

    fn push(&self, reply: Outgoing) {
        self.state.borrow_mut().push(reply);
    }
}

/// What the loop does next.
enum Turn {
    Read,
    Resume,
    Send,
    End,
}

/// One socket at work.
struct Udp {
    socket: UdpSocket,
    bound: Arc<Bound>,
    worker: Rc<Worker>,
    seat: Rc<UdpSeat>,
    sender: Sender,
    /// The socket takes no more replies for now.
    is_blocked: bool,
}

/// A query that was read and is to be served.
struct Admitted<'a> {
    query: Query,
    octets: &'a [u8],
    client: SocketAddr,
    /// The room for its reply.
    reply: Vec<u8>,
    peer: SocketAddr,
    source: Option<IpAddr>,
}

/// The queries that a socket is busy with: the one that is being served, and those that wait.
struct Table<F> {
    exchange: Exchange<F>,
    start: fn(Query) -> F,
    waiters: Waiters<F>,
}

impl<F: Future<Output = (Query, Reply)>> Table<F> {
    fn new(start: fn(Query) -> F) -> Self {
        Self { exchange: Exchange::new(), start, waiters: Waiters::new() }
    }
}

/// Opens the loop of one socket; the future that it returns reads while the seat has a route.
///
/// # Errors
/// The socket cannot be watched.
pub(crate) fn open(
    socket: &std::net::UdpSocket,
    bound: &Arc<Bound>,
    worker: &Rc<Worker>,
    seat: &Rc<UdpSeat>,
) -> io::Result<impl Future<Output = ()> + 'static> {
    let udp = Udp {
        // A descriptor of its own; the socket behind it is the one that the server keeps.
        socket: UdpSocket::from_std(socket.try_clone()?)?,
        bound: Arc::clone(bound),
        worker: Rc::clone(worker),
        seat: Rc::clone(seat),
        sender: Sender::new(bound.local_addr().is_ipv6()),
        is_blocked: false,
    };
    // Polling queries in place must not be cut short by tokio's budget; the loop yields by itself.
    Ok(tokio::task::coop::unconstrained(udp.run()))
}

impl Udp {
    async fn run(mut self) {
        let mut receiver = Receiver::new(self.bound.is_wildcard());
        let mut table = Table::new(serve_one);
        loop {
            let turn = poll_fn(|cx| self.poll_turn(cx, &table.waiters)).await;
            let done = match turn {
                Turn::End => return,
                Turn::Send | Turn::Resume => Ok(()),
                Turn::Read => self.read_batch(&mut receiver, &mut table),
            };
            table.waiters.resume(|| self.seat.buffer(), |reply| self.seat.push(reply));
            if done.is_err() {
                tokio::time::sleep(REST).await;
            }
            // Nothing more is read while the system has no room for replies.
            while self.flush().is_err() {
                tokio::time::sleep(REST).await;
            }
            yield_now().await;
        }
    }

    fn poll_turn<F>(&self, cx: &mut Context<'_>, waiters: &Waiters<F>) -> Poll<Turn>
    where
        F: Future<Output = (Query, Reply)>,
    {
        let is_reading = self.seat.route.borrow().is_some();
        let mut state = self.seat.state.borrow_mut();
        if self.is_blocked && self.socket.poll_send_ready(cx).is_ready() {
            return Poll::Ready(Turn::Send);
        }
        // While the socket takes no replies, queries wait in the kernel; a queue that forgets takes newer ones in place of older ones.
        let may_read = is_reading && (!self.is_blocked || state.forgets());
        if may_read && self.socket.poll_recv_ready(cx).is_ready() {
            return Poll::Ready(Turn::Read);
        }
        if waiters.poll_called(cx).is_ready() {
            return Poll::Ready(Turn::Resume);
        }
        if !self.is_blocked && !state.is_empty() {
            return Poll::Ready(Turn::Send);
        }
        if !self.is_blocked && self.seat.is_closed.get() && waiters.len() == 0 {
            return Poll::Ready(Turn::End);
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Reads a batch and answers it.
    fn read_batch<F>(&self, receiver: &mut Receiver, table: &mut Table<F>) -> io::Result<()>
    where
        F: Future<Output = (Query, Reply)> + 'static,
    {
        let Some(route) = self.seat.route.borrow().clone() else { return Ok(()) };
        let count = match self.socket.try_io(Interest::READABLE, || receiver.receive(self.socket.as_fd())) {
            Ok(count) => count,
            Err(error) if is_passing(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        // A query that is alone is told the exact time.
        let held = (count >= QUERIES_A_LOOK).then(|| route.clock.hold());
        let received = route.clock.now();
        let datagrams = |range: Range<usize>| range.map_while(|index| receiver.datagram(index));
        if !route.is_grouping {
            for (index, datagram) in datagrams(0..count).enumerate() {
                if let Some(held) = held.as_ref().filter(|_| index > 0 && index % QUERIES_A_LOOK == 0) {
                    held.look();
                }
                if let Some(admitted) = self.admit(&route, datagram, received) {
                    self.answer(&route, table, admitted, received);
                }
            }
            return Ok(());
        }
        for first in (0..count).step_by(GROUP_MAX) {
            if let Some(held) = held.as_ref().filter(|_| first > 0) {
                held.look();
            }
            self.take_on(&route, table, datagrams(first..count.min(first + GROUP_MAX)), received);
        }
        Ok(())
    }

    /// Reads and answers a few datagrams, [`GROUP_MAX`] at most.
    fn take_on<'a, F>(
        &self,
        route: &Rc<Route>,
        table: &mut Table<F>,
        datagrams: impl Iterator<Item = Datagram<'a>>,
        received: Instant,
    ) where
        F: Future<Output = (Query, Reply)> + 'static,
    {
        let mut group = [const { None }; GROUP_MAX];
        let mut len = 0;
        for datagram in datagrams {
            group[len] = self.admit(route, datagram, received);
            len += usize::from(group[len].is_some());
        }
        if len > 1 {
            foresee(route, group.iter_mut().flatten().map(|admitted| &mut admitted.query));
        }
        for admitted in &mut group[..len] {
            if let Some(admitted) = admitted.take() {
                self.answer(route, table, admitted, received);
            }
        }
    }

    /// Reads a datagram. `None`: there is nothing to serve, and what is answered all the same is answered.
    #[inline]
    fn admit<'a>(&self, route: &Route, datagram: Datagram<'a>, received: Instant) -> Option<Admitted<'a>> {
        // Nobody can be answered on port 0, and an address that is none is no client.
        let peer = datagram.peer.filter(|peer| peer.port() != 0)?;
        let (client, octets) = unwrapped(route, peer, datagram.octets, received)?;
        let (source, is_cut) = (datagram.destination, datagram.is_cut);
        let arrival = || self.arrival(route, client, source, received);
        let mut reply = self.seat.buffer();
        match open_message(route, &Message { octets, is_cut, arrival: &arrival }, &mut reply) {
            Opened::Query(query) => return Some(Admitted { query, octets, client, reply, peer, source }),
            Opened::Reply => self.seat.push(Outgoing { octets: reply, peer, source }),
            Opened::Nothing => self.seat.put_back(reply),
        }
        None
    }

    fn arrival(&self, route: &Route, client: SocketAddr, source: Option<IpAddr>, received: Instant) -> Arrival {
        let bound = self.bound.local_addr();
        Arrival {
            client,
            local: source.map_or(bound, |ip| SocketAddr::new(ip, bound.port())),
            protocol: Protocol::Udp,
            transport: self.bound.addr().transport,
            listener: route.listener,
            received,
            is_crowded: self.seat.state.borrow().is_full(),
        }
    }

    #[inline]
    fn answer<F>(&self, route: &Rc<Route>, table: &mut Table<F>, admitted: Admitted<'_>, received: Instant)
    where
        F: Future<Output = (Query, Reply)> + 'static,
    {
        let Admitted { query, octets, client, mut reply, peer, source } = admitted;
        let arrival = || self.arrival(route, client, source, received);
        let message = Message { octets, is_cut: false, arrival: &arrival };
        let serving = ((table.start)(query), table.waiters.next_waker());
        match serve_query(&self.worker, route, &mut table.exchange, serving, &message, &mut reply) {
            Outcome::Reply => self.seat.push(Outgoing { octets: reply, peer, source }),
            // A datagram carries no stream: `finish` refuses it.
            Outcome::Nothing | Outcome::Stream(_) => self.seat.put_back(reply),
            Outcome::Later(later) => {
                self.seat.put_back(reply);
                table.waiters.put(Waiter { later, peer, source });
            }
        }
    }

    /// Sends replies until none is left or the socket takes no more.
    fn flush(&mut self) -> io::Result<()> {
        self.is_blocked = false;
        loop {
            let mut state = self.seat.state.borrow_mut();
            if state.is_empty() {
                return Ok(());
            }
            let (socket, sender) = (&self.socket, &mut self.sender);
            let sent = state.send(|replies| socket.try_io(Interest::WRITABLE, || sender.send(socket.as_fd(), replies)));
            match sent {
                Ok(sent) => state.retire(sent),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_blocked = true;
                    return Ok(());
                }
                // Memory is short: all of them would fail now, so all are kept.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM)) => return Err(error),
                // Too long for the path, forbidden by a filter, no route to the client: this one only.
                Err(_) => state.give_up(),
            }
        }
    }
}

/// The client that a datagram comes from and the message in it; `None`: it is not served.
fn unwrapped<'a>(
    route: &Route,
    peer: SocketAddr,
    octets: &'a [u8],
    received: Instant,
) -> Option<(SocketAddr, &'a [u8])> {
    let Some(proxied) = &route.proxied else { return Some((peer, octets)) };
    let found = proxied.unwrap_datagram(peer, octets, received);
    found
        .inspect_err(|dropped| {
            if !matches!(dropped, Dropped::HeaderOnly) && proxied.may_warn(received) {
                let log = &route.env.instance.log;
                log.warning(format_args!("dropping invalid Proxy Protocol packet from {peer}: {dropped}"));
            }
        })
        .ok()
}

/// Errors after which the socket is fine: nothing to read, a signal, or news of an earlier datagram.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests;
