//! Queries of one socket that wait for something. The loop of the socket polls those that were woken, all in one turn, so that their
//! replies leave together; none of them is a task of its own.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use catena_core::{Query, Reply};
use catena_datagrams::Outgoing;

use crate::serve::{Later, Ripe};

/// The queries of one socket that wait.
pub(super) struct Waiters<F> {
    places: Vec<Place<F>>,
    free: Vec<usize>,
    calls: Arc<Calls>,
    /// The places that are polled in this turn.
    called: Vec<usize>,
}

/// Room for one query after the other.
struct Place<F> {
    waiter: Option<Waiter<F>>,
    call: Arc<Call>,
    waker: Waker,
}

/// A query that waits, and where its reply goes.
pub(super) struct Waiter<F> {
    pub(super) later: Later<F>,
    pub(super) peer: SocketAddr,
    pub(super) source: Option<IpAddr>,
}

/// The places that were woken since the last turn.
#[derive(Default)]
struct Calls(Mutex<Called>);

#[derive(Default)]
struct Called {
    places: Vec<usize>,
    /// The loop of the socket.
    seat: Option<Waker>,
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, Called> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes one place.
struct Call {
    calls: Arc<Calls>,
    place: usize,
    is_called: AtomicBool,
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_called.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut called = self.calls.lock();
        called.places.push(self.place);
        let seat = called.seat.take();
        drop(called);
        if let Some(seat) = seat {
            seat.wake();
        }
    }
}

impl<F: Future<Output = (Query, Reply)>> Waiters<F> {
    pub(super) fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new(), calls: Arc::default(), called: Vec::new() }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// What wakes the query that is put here next.
    pub(super) fn next_waker(&mut self) -> &Waker {
        let place = match self.free.last() {
            Some(place) => *place,
            None => {
                let place = self.places.len();
                let call = Arc::new(Call { calls: Arc::clone(&self.calls), place, is_called: AtomicBool::new(false) });
                let waker = Waker::from(Arc::clone(&call));
                self.places.push(Place { waiter: None, call, waker });
                self.free.push(place);
                place
            }
        };
        &self.places[place].waker
    }

    /// Keeps a query that was polled with [`Waiters::next_waker`].
    pub(super) fn put(&mut self, waiter: Waiter<F>) {
        self.next_waker();
        if let Some(place) = self.free.pop() {
            self.places[place].waiter = Some(waiter);
        }
    }

    /// Whether any place was woken; if not, the next one that is wakes the caller.
    pub(super) fn poll_called(&self, cx: &Context<'_>) -> Poll<()> {
        let mut called = self.calls.lock();
        if !called.places.is_empty() {
            return Poll::Ready(());
        }
        match &mut called.seat {
            Some(seat) => seat.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Polls the queries that were woken. `buffer` gives room for a reply, `push` gets it.
    pub(super) fn resume(&mut self, mut buffer: impl FnMut() -> Vec<u8>, mut push: impl FnMut(Outgoing)) {
        std::mem::swap(&mut self.calls.lock().places, &mut self.called);
        while let Some(at) = self.called.pop() {
            let place = &mut self.places[at];
            place.call.is_called.store(false, Ordering::Release);
            let Some(waiter) = &mut place.waiter else { continue };
            let Poll::Ready(ripe) = waiter.later.poll_reply(&mut Context::from_waker(&place.waker), &mut buffer) else {
                continue;
            };
            let (peer, source) = (waiter.peer, waiter.source);
            place.waiter = None;
            self.free.push(at);
            // A datagram carries no stream: `finish` refuses it.
            if let Ripe::Message(octets) = ripe {
                push(Outgoing { octets, peer, source });
            }
        }
    }
}
