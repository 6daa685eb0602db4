//! Sockets that many queries share. A worker with many queries under way sends and reads them in batches, where a socket for each would
//! cost two system calls, an event and a timer a query.
//!
//! A query is put on its way with [`Lanes::launch`]; the socket's batch is sent, and replies are read, by the [`Driver`](crate::driver).
//! A reply belongs to the query with its id. If its question is another one, it ends the query all the same, as on a socket of its own;
//! see [`Done`](asked::Done) for what is read twice.

mod asked;

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::hash::BuildHasher as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use catena_core::wire::HEADER_OCTETS;
use catena_datagrams::{Datagram, QUERY_OCTETS_MAX};
use foldhash::fast::RandomState;
use socket2::SockRef;
use tokio::io::Ready;
use tokio::net::UdpSocket;

use self::asked::{Asked, Done, NO_QUESTION, answers, tag, tag_of};
use crate::conn::SKIPPED_MAX;
use crate::error::Step;
use crate::pool::Lifetimes;

/// From so many exchanges of a worker with an upstream on, the next ones share sockets; below it a batch would hold one datagram.
pub const LANES_FROM: usize = 8;
/// How many sockets a worker's queries to one upstream share. The port is chosen by lot for each query.
pub const LANES_MAX: usize = 4;
/// The most sockets that take no more queries and wait for their last replies.
pub const LANES_DRAINING_MAX: usize = 8;
/// The most queries in flight on one socket: ids stay hard to guess as long as few of them are in use.
pub const LANE_FLIGHTS_MAX: usize = 1024;
/// How long a socket is used before another one, with another port, takes its place.
pub const LANE_AGE_MAX: Duration = Duration::from_secs(5);
/// The longest reply that is read from a shared socket, octets; queries that allow longer ones go out on a socket of their own.
pub(crate) const LANE_REPLY_OCTETS_MAX: usize = QUERY_OCTETS_MAX;
/// What a socket may hold unread, octets.
const RECEIVE_OCTETS: usize = 1 << 20;
/// The buffer that a place keeps when its query is done, octets.
const KEEP_OCTETS_MAX: usize = 1024;
/// The time for a reply is measured in so many parts: a reply may take this much longer than its time.
pub(crate) const TICKS: u32 = 16;

/// One worker's shared sockets to one upstream.
#[derive(Default)]
pub(crate) struct Lanes(Mutex<State>);

#[derive(Default)]
pub(crate) struct State {
    open: [Option<Lane>; LANES_MAX],
    draining: Vec<Lane>,
    /// A place for each query in flight, used again and again.
    flights: Vec<Flight>,
    free: Vec<usize>,
    /// What is asked now. A question asked again goes out on a socket of its own: many ids for one question would be easy to guess.
    asked: HashSet<u64, RandomState>,
    seed: RandomState,
    lanes_opened: u32,
    /// Parts of the time for a reply that have passed.
    tick: u32,
    pub(crate) driver: Option<Waker>,
    pub(crate) is_driven: bool,
}

/// One socket.
pub(crate) struct Lane {
    number: u32,
    pub(crate) socket: Arc<UdpSocket>,
    /// Tells an error that makes the socket neither readable nor writable.
    pub(crate) failed: Failed,
    local: Option<SocketAddr>,
    created: Instant,
    used: Instant,
    /// The places of what is in flight.
    by_id: HashMap<u16, usize, RandomState>,
    /// The places of what is not sent yet.
    pub(crate) outbox: Vec<usize>,
    /// Replies that nobody waited for.
    strays: usize,
    done: Done,
    /// No more queries, whatever its age.
    is_spent: bool,
}

/// Waits for an error of a socket.
pub(crate) type Failed = Pin<Box<dyn Future<Output = io::Result<Ready>> + Send>>;

/// One query in flight.
#[derive(Default)]
struct Flight {
    /// The query, then the reply.
    message: Vec<u8>,
    question_end: usize,
    hash: u64,
    lane: u32,
    id: u16,
    tick: u32,
    phase: Phase,
}

#[derive(Default)]
enum Phase {
    #[default]
    Free,
    Out {
        waker: Option<Waker>,
    },
    /// Nobody waits any more; the id stays taken until the reply is there or its time is over.
    Abandoned,
    In(Landing),
}

/// What became of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Landing {
    /// A reply, read at this time.
    Reply(Instant),
    /// A reply with its id that answers something else, read at this time.
    Mistaken(Instant),
    /// No reply in time.
    Late,
    /// The socket failed; by the number of the operating system.
    Failed(Step, i32),
    /// Somebody is guessing ids.
    Strays,
    /// The worker has ended.
    Ended,
}

/// What a launch needs to know beside the query.
pub(crate) struct Terms {
    pub(crate) now: Instant,
    pub(crate) lifetimes: Lifetimes,
}

impl Lanes {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a query on its way. `write` writes it with an id and tells where its question ends; `open` makes a socket where one is
    /// missing. Nothing: there is no room, no socket, or the same question is being asked.
    pub(crate) fn launch(
        self: &Arc<Self>,
        question: Asked<'_>,
        terms: &Terms,
        write: impl FnOnce(u16, &mut Vec<u8>) -> usize,
        open: impl FnOnce() -> Option<UdpSocket>,
    ) -> Option<Launched> {
        let lot: u32 = rand::random();
        let mut guard = self.lock();
        let state = &mut *guard;
        let hash = state.seed.hash_one(question);
        let open_place = lot as usize % LANES_MAX;
        let was_open = state.find_open(open_place, terms, open)?;
        let lane = state.open[open_place].as_mut().filter(|lane| lane.by_id.len() < LANE_FLIGHTS_MAX)?;
        if !state.asked.insert(hash) {
            return None;
        }
        // The upper half of the lot, which the choice of the socket says nothing about.
        let mut id = (lot >> 16) as u16;
        while lane.by_id.contains_key(&id) {
            id = rand::random();
        }
        let place = state.free.pop().unwrap_or(state.flights.len());
        if place == state.flights.len() {
            state.flights.push(Flight::default());
        }
        let flight = &mut state.flights[place];
        flight.question_end = write(id, &mut flight.message);
        (flight.hash, flight.lane, flight.id, flight.tick) = (hash, lane.number, id, state.tick);
        flight.phase = Phase::Out { waker: None };
        lane.by_id.insert(id, place);
        lane.outbox.push(place);
        lane.used = terms.now;
        let local = lane.local;
        if let Some(driver) = state.driver.take() {
            driver.wake();
        }
        Some(Launched { lanes: Arc::clone(self), place, local, was_open })
    }

    /// Whether a driver has to be started, which then is as good as done.
    pub(crate) fn wants_driver(&self) -> bool {
        !std::mem::replace(&mut self.lock().is_driven, true)
    }

    /// Closes the sockets that have rested too long or are too old, as soon as their last replies are there.
    pub(crate) fn sweep(&self, terms: &Terms) {
        self.retire(|lane| lane.is_over(terms));
    }

    /// Closes all sockets, as soon as their last replies are there.
    pub(crate) fn close(&self) {
        self.retire(|_| true);
    }

    fn retire(&self, which: impl Fn(&Lane) -> bool) {
        let mut state = self.lock();
        for place in 0..LANES_MAX {
            if let Some(lane) = state.open[place].take_if(|lane| which(lane)) {
                state.draining.push(lane);
            }
        }
        if let Some(driver) = state.driver.take() {
            driver.wake();
        }
    }
}

impl State {
    /// Sees to it that there is a socket in a place; returns whether there was one.
    fn find_open(&mut self, place: usize, terms: &Terms, open: impl FnOnce() -> Option<UdpSocket>) -> Option<bool> {
        if let Some(lane) = &self.open[place]
            && (!lane.is_over(terms) || (self.draining.len() >= LANES_DRAINING_MAX && !lane.is_spent))
        {
            return Some(true);
        }
        if self.draining.len() >= LANES_DRAINING_MAX {
            return None;
        }
        let socket = open()?;
        // As much as the system allows: replies to all that is in flight may come at once.
        let _ = SockRef::from(&socket).set_recv_buffer_size(RECEIVE_OCTETS);
        let lane = Lane::new(self.lanes_opened, socket, terms.now);
        self.lanes_opened = self.lanes_opened.wrapping_add(1);
        self.draining.extend(self.open[place].replace(lane));
        Some(false)
    }

    /// Sockets are counted from 0 to this; not all of them are there.
    pub(crate) fn lane_count(&self) -> usize {
        LANES_MAX + self.draining.len()
    }

    /// One of the sockets.
    pub(crate) fn lane(&mut self, at: usize) -> Option<&mut Lane> {
        match at.checked_sub(LANES_MAX) {
            None => self.open[at].as_mut(),
            Some(at) => self.draining.get_mut(at),
        }
    }

    /// Puts the longest of the queries that are not sent yet first: those of one length leave in one piece.
    pub(crate) fn sort_outbox(&mut self, at: usize) {
        let Some(lane) = self.lane(at).filter(|lane| lane.outbox.len() > 1) else { return };
        let mut outbox = std::mem::take(&mut lane.outbox);
        outbox.sort_unstable_by_key(|place| Reverse(self.flights[*place].message.len()));
        if let Some(lane) = self.lane(at) {
            lane.outbox = outbox;
        }
    }

    /// The queries of a socket that are not sent yet, in order.
    pub(crate) fn outbox(&self, at: usize) -> Option<(&UdpSocket, impl Iterator<Item = &[u8]> + Clone)> {
        let lane = match at.checked_sub(LANES_MAX) {
            None => self.open[at].as_ref(),
            Some(at) => self.draining.get(at),
        };
        let lane = lane.filter(|lane| !lane.outbox.is_empty())?;
        let messages = lane.outbox.iter().map(|place| self.flights[*place].message.as_slice());
        Some((&lane.socket, messages))
    }

    /// Gives a datagram to the query that it answers. Nothing to wake: it answers none, or nobody waits.
    pub(crate) fn land(&mut self, at: usize, datagram: &Datagram<'_>, now: Instant) -> Option<Waker> {
        let octets = datagram.octets;
        let id = octets.first_chunk::<2>().map(|id| u16::from_be_bytes(*id))?;
        let seed = self.seed.clone();
        let lane = self.lane(at)?;
        let Some(place) = lane.by_id.get(&id).copied().filter(|_| octets.len() >= HEADER_OCTETS) else {
            lane.strays += usize::from(!lane.done.was(id, tag_of(octets, &seed)));
            return None;
        };
        let flight = &self.flights[place];
        let answers = answers(octets, flight.message.get(HEADER_OCTETS..flight.question_end).unwrap_or_default());
        let tag = if answers { tag(flight.hash) } else { tag_of(octets, &seed) };
        let lane = self.lane(at)?;
        // Without a question nothing tells a copy from what a server says that does not understand the query.
        if !answers && tag != NO_QUESTION && lane.done.was(id, tag) {
            return None;
        }
        lane.done.set(id, tag);
        lane.by_id.remove(&id);
        let flight = &mut self.flights[place];
        flight.message.clear();
        flight.message.extend_from_slice(octets);
        self.settle(place, if answers { Landing::Reply(now) } else { Landing::Mistaken(now) })
    }

    /// Ends a query that its socket knows no more.
    fn settle(&mut self, place: usize, landing: Landing) -> Option<Waker> {
        let flight = &mut self.flights[place];
        self.asked.remove(&flight.hash);
        match std::mem::replace(&mut flight.phase, Phase::In(landing)) {
            Phase::Out { waker } => waker,
            _ => {
                self.free(place);
                None
            }
        }
    }

    fn free(&mut self, place: usize) {
        let flight = &mut self.flights[place];
        flight.phase = Phase::Free;
        flight.message.clear();
        flight.message.shrink_to(KEEP_OCTETS_MAX);
        self.free.push(place);
    }

    /// Ends all queries of a socket in the same way.
    pub(crate) fn fail(&mut self, at: usize, landing: Landing, woken: &mut Vec<Waker>) {
        let Some(lane) = self.lane(at) else { return };
        lane.outbox.clear();
        let ended: Vec<(u16, usize)> = lane.by_id.drain().collect();
        for (id, place) in ended {
            let tag = tag(self.flights[place].hash);
            if let Some(lane) = self.lane(at) {
                lane.done.set(id, tag);
            }
            woken.extend(self.settle(place, landing));
        }
    }

    /// Ends the first query that waits to be sent on a socket.
    pub(crate) fn fail_first(&mut self, at: usize, landing: Landing, woken: &mut Vec<Waker>) {
        let Some(lane) = self.lane(at).filter(|lane| !lane.outbox.is_empty()) else { return };
        let place = lane.outbox.remove(0);
        let id = self.flights[place].id;
        if let Some(lane) = self.lane(at) {
            lane.by_id.remove(&id);
        }
        woken.extend(self.settle(place, landing));
    }

    /// Gives up a socket on which somebody guesses ids: first no more queries go there, then those in flight fail.
    pub(crate) fn check_strays(&mut self, at: usize, woken: &mut Vec<Waker>) {
        let Some(lane) = self.lane(at) else { return };
        lane.is_spent |= lane.strays > SKIPPED_MAX / 2;
        if lane.strays > SKIPPED_MAX {
            self.fail(at, Landing::Strays, woken);
        }
    }

    /// One more part of the time for a reply has passed; ends the queries whose time is over.
    pub(crate) fn tick(&mut self, woken: &mut Vec<Waker>) {
        self.tick = self.tick.wrapping_add(1);
        for place in 0..self.flights.len() {
            let flight = &self.flights[place];
            let is_out = matches!(flight.phase, Phase::Out { .. } | Phase::Abandoned);
            if !is_out || self.tick.wrapping_sub(flight.tick) <= TICKS {
                continue;
            }
            let (id, number, tag) = (flight.id, flight.lane, tag(flight.hash));
            let lanes = self.open.iter_mut().flatten().chain(&mut self.draining);
            if let Some(lane) = lanes.into_iter().find(|lane| lane.number == number) {
                lane.by_id.remove(&id);
                lane.outbox.retain(|waiting| *waiting != place);
                lane.done.set(id, tag);
            }
            woken.extend(self.settle(place, Landing::Late));
        }
    }

    /// Drops all sockets.
    pub(crate) fn forget_sockets(&mut self) {
        self.open = Default::default();
        self.draining.clear();
    }

    /// Whether any query is in flight.
    pub(crate) fn is_busy(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Closes sockets that take no more queries and wait for no reply; returns whether any is left.
    pub(crate) fn close_drained(&mut self) -> bool {
        self.draining.retain(|lane| !lane.by_id.is_empty());
        !self.draining.is_empty() || self.open.iter().any(Option::is_some)
    }
}

impl Lane {
    fn new(number: u32, socket: UdpSocket, now: Instant) -> Self {
        let socket = Arc::new(socket);
        Self {
            number,
            failed: crate::driver::failed(&socket),
            local: socket.local_addr().ok(),
            socket,
            created: now,
            used: now,
            by_id: HashMap::default(),
            outbox: Vec::new(),
            strays: 0,
            done: Done::default(),
            is_spent: false,
        }
    }

    fn is_over(&self, terms: &Terms) -> bool {
        self.is_spent
            || terms.now.saturating_duration_since(self.created) > LANE_AGE_MAX
            || terms.lifetimes.is_over(self.created, self.used, terms.now)
    }

    /// Whether replies may come.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.by_id.is_empty()
    }
}

/// A query that was put on its way; whoever drops it waits no longer.
pub(crate) struct Launched {
    lanes: Arc<Lanes>,
    place: usize,
    /// The address that it was sent from.
    pub(crate) local: Option<SocketAddr>,
    /// Whether no socket had to be opened for it.
    pub(crate) was_open: bool,
}

impl Launched {
    /// Looks at the reply.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&[u8]) -> T) -> T {
        read(&self.lanes.lock().flights[self.place].message)
    }
}

impl Future for Launched {
    type Output = Landing;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Landing> {
        let mut state = self.lanes.lock();
        match &mut state.flights[self.place].phase {
            Phase::In(landing) => Poll::Ready(*landing),
            Phase::Out { waker: Some(waker) } => {
                waker.clone_from(cx.waker());
                Poll::Pending
            }
            Phase::Out { waker } => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            // Whoever waits has not abandoned it.
            Phase::Free | Phase::Abandoned => Poll::Pending,
        }
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        let mut state = self.lanes.lock();
        match state.flights[self.place].phase {
            Phase::In(_) => state.free(self.place),
            _ => state.flights[self.place].phase = Phase::Abandoned,
        }
    }
}

#[cfg(test)]
mod tests;
