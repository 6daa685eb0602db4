//! The way of one message, whatever carried it: read, polled once, finished; or shed, or left to wait.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use catena_core::foresight::FORESIGHT_STEPS;
use catena_core::{
    Arrival, Env, Envelopes, Finished, Intake, Listener, Query, Rcode, Reply, finish, finish_bare, finish_part,
};
use prometheus::Counter;

use crate::bind::Bound;
use crate::clock::{HeldClock, QUERIES_A_LOOK};
use crate::exchange::{Exchange, Waiting};
use crate::flight::{Flight, Ticket};
use crate::limits::StreamLimits;
use crate::panics::{Caught, PanicPolicy, guarded};
use crate::proxy::Proxied;
use crate::worker::{TaskTicket, Worker};

/// The most queries that a route keeps to use again.
const SPARE_QUERIES_MAX: usize = 64;

/// The most queries that are read before the first of them is served.
pub(crate) const GROUP_MAX: usize = QUERIES_A_LOOK;

/// Where the messages of a socket go in one generation.
pub(crate) struct Route {
    pub(crate) env: Arc<Env>,
    /// The clock of `env`, held while a batch is answered.
    pub(crate) clock: Arc<HeldClock>,
    /// The index of the listener in the instance.
    pub(crate) listener: usize,
    pub(crate) panics: PanicPolicy,
    pub(crate) flight: Arc<Flight>,
    /// What counts for connections.
    pub(crate) stream: StreamLimits,
    /// How PROXY headers are read, if they are.
    pub(crate) proxied: Option<Proxied>,
    /// Replies by UDP wait in a queue of [`crate::REPLY_QUEUE_MAX`]; those that it forgets are counted here.
    pub(crate) forgotten: Option<Counter>,
    /// A few queries are read before the first of them is served, [`GROUP_MAX`] at most.
    pub(crate) is_grouping: bool,
    spare: RefCell<Vec<Query>>,
}

impl Route {
    pub(crate) fn new(
        (env, clock): (Arc<Env>, Arc<HeldClock>),
        listener: usize,
        flight: Arc<Flight>,
        worker: &Worker,
        bound: &Bound,
    ) -> Self {
        let policy = env.instance.listeners().get(listener);
        let panics = PanicPolicy {
            abort: policy.is_some_and(|listener| listener.debug),
            stacktrace: policy.is_some_and(|listener| listener.stacktrace),
        };
        let sockets = policy.map(|listener| &listener.sockets);
        let stream = StreamLimits::of(&worker.limits, sockets.map(|sockets| &sockets.timeouts));
        let protocol = sockets.and_then(|sockets| sockets.proxy.clone());
        let proxied = protocol.map(|protocol| Proxied::new(protocol, bound.sessions()));
        let queue = sockets.and_then(|sockets| sockets.reply_queue.as_ref());
        let label = env.instance.listener_label(listener);
        let forgotten = queue.map(|queue| queue.dropped.with_label_values(&[label, "response"]));
        // With a queue that forgets messages are read one by one, so that `is_crowded` is true of each.
        let is_grouping = forgotten.is_none() && policy.is_some_and(Listener::has_foresight);
        let spare = RefCell::new(Vec::new());
        Self { env, clock, listener, panics, flight, stream, proxied, forgotten, is_grouping, spare }
    }

    /// The `server` label of metrics.
    pub(crate) fn label(&self) -> &str {
        self.env.instance.listener_label(self.listener)
    }

    fn query(&self, arrival: &dyn Fn() -> Arrival) -> Query {
        let spare = self.spare.borrow_mut().pop();
        spare.unwrap_or_else(|| Query::new(Arc::clone(&self.env), arrival()))
    }

    fn put_back(&self, query: Query) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_QUERIES_MAX {
            spare.push(query);
        }
    }

    /// Logs and counts a panic.
    fn tell(&self, caught: &Caught) {
        let instance = &self.env.instance;
        let stack = caught.stack.as_deref().map(|stack| format!("\n{stack}")).unwrap_or_default();
        instance.log.error(format_args!(
            "Recovered from panic in server: {:?} {}{stack}",
            self.label(),
            caught.message
        ));
        instance.requests.panics.inc();
    }

    /// Tells of a panic and writes SERVFAIL for the message, of which the panic left nothing else.
    fn recover(&self, caught: &Caught, message: &[u8], arrival: Arrival, out: &mut Vec<u8>) -> bool {
        self.tell(caught);
        self.refuse(message, arrival, out)
    }

    /// Writes SERVFAIL for a message and counts it as dropped.
    fn refuse(&self, message: &[u8], arrival: Arrival, out: &mut Vec<u8>) -> bool {
        let mut query = self.query(&|| arrival.clone());
        if query.read(message, arrival) != Intake::Serve {
            return false;
        }
        self.env.instance.requests.count_dropped(&query, Rcode::SERVFAIL);
        let finished = finish(&mut query, Reply::status(Rcode::SERVFAIL), out);
        self.put_back(query);
        finished.is_send()
    }
}

/// A message that came in.
pub(crate) struct Message<'a> {
    pub(crate) octets: &'a [u8],
    /// It was longer and the rest is lost.
    pub(crate) is_cut: bool,
    /// Where it came in: asked for when it is needed, for it is wide, and seldom needed twice.
    pub(crate) arrival: &'a dyn Fn() -> Arrival,
}

/// What becomes of a message at once.
pub(crate) enum Outcome<F> {
    /// There is no reply.
    Nothing,
    /// The reply is in the buffer.
    Reply,
    /// The reply has several messages.
    Stream(Streaming),
    /// It waits; [`Later::reply`] gives the reply.
    Later(Later<F>),
}

/// What a message is.
pub(crate) enum Opened {
    /// A query, to be served.
    Query(Query),
    /// Nothing that is answered.
    Nothing,
    /// What is answered without being served: the reply is in the buffer.
    Reply,
}

/// Reads a message.
pub(crate) fn open(route: &Route, message: &Message<'_>, out: &mut Vec<u8>) -> Opened {
    let opened = guarded(route.panics, || read(route, message, out));
    opened.unwrap_or_else(|caught| match route.recover(&caught, message.octets, (message.arrival)(), out) {
        true => Opened::Reply,
        false => Opened::Nothing,
    })
}

/// Lets the links that will have the queries of a group look ahead, so that these need not wait for the memory one after the other.
pub(crate) fn foresee<'a>(route: &Route, queries: impl Iterator<Item = &'a mut Query>) {
    let looked = guarded(route.panics, || {
        let mut sights = [const { None }; GROUP_MAX];
        let mut group = [const { None }; GROUP_MAX];
        for ((sight, place), query) in sights.iter_mut().zip(&mut group).zip(queries) {
            *sight = route.env.instance.foresee(query);
            *place = Some(&*query);
        }
        for _ in 1..FORESIGHT_STEPS {
            for (sight, query) in sights.iter_mut().zip(group) {
                if let (Some(sight), Some(query)) = (sight, query) {
                    sight.go_on(query);
                }
            }
        }
    });
    if let Err(caught) = looked {
        route.tell(&caught);
    }
}

/// Reads a message and polls its query once, everything in place. Whoever takes a query that waits polls it again.
pub(crate) fn serve<F>(
    worker: &Rc<Worker>,
    route: &Rc<Route>,
    exchange: &mut Exchange<F>,
    start: impl FnOnce(Query) -> F,
    message: &Message<'_>,
    out: &mut Vec<u8>,
) -> Outcome<F>
where
    F: Future<Output = (Query, Reply)>,
{
    match open(route, message, out) {
        Opened::Query(query) => serve_query(worker, route, exchange, (start(query), Waker::noop()), message, out),
        Opened::Nothing => Outcome::Nothing,
        Opened::Reply => Outcome::Reply,
    }
}

/// Polls once what serves the query of a message; the waker is woken when a query that waits can go on.
pub(crate) fn serve_query<F>(
    worker: &Rc<Worker>,
    route: &Rc<Route>,
    exchange: &mut Exchange<F>,
    serving: (F, &Waker),
    message: &Message<'_>,
    out: &mut Vec<u8>,
) -> Outcome<F>
where
    F: Future<Output = (Query, Reply)>,
{
    let polled = guarded(route.panics, || step(route, exchange, serving, out));
    match polled {
        Ok(Step::Replied) => Outcome::Reply,
        Ok(Step::Silent) => Outcome::Nothing,
        Ok(Step::Streams(query, envelopes)) => match worker.start_task() {
            Some(task) => {
                let in_flight = Some((task, route.flight.board()));
                Outcome::Stream(Streaming { query, envelopes, route: Rc::clone(route), _in_flight: in_flight })
            }
            None => {
                worker.count_shed(route.label(), "tasks");
                outcome_of(route.refuse(message.octets, (message.arrival)(), out))
            }
        },
        Ok(Step::Waits) => match worker.start_task() {
            Some(task) => Outcome::Later(Later {
                waiting: exchange.take(),
                in_flight: Some((task, route.flight.board())),
                route: Rc::clone(route),
                octets: message.octets.into(),
                arrival: (message.arrival)(),
            }),
            None => {
                discard(route, exchange);
                worker.count_shed(route.label(), "tasks");
                outcome_of(route.refuse(message.octets, (message.arrival)(), out))
            }
        },
        Err(caught) => {
            discard(route, exchange);
            outcome_of(route.recover(&caught, message.octets, (message.arrival)(), out))
        }
    }
}

/// Drops a future of plugins, whose drop may panic as well.
fn discard<F: Future>(route: &Route, exchange: &mut Exchange<F>) {
    if let Err(caught) = guarded(route.panics, || exchange.clear()) {
        route.tell(&caught);
    }
}

fn outcome_of<F>(is_reply: bool) -> Outcome<F> {
    if is_reply { Outcome::Reply } else { Outcome::Nothing }
}

enum Step {
    Replied,
    Silent,
    Streams(Query, Box<dyn Envelopes>),
    Waits,
}

fn read(route: &Route, message: &Message<'_>, out: &mut Vec<u8>) -> Opened {
    let mut query = route.query(message.arrival);
    let intake = if message.is_cut {
        query.read_cut(message.octets, (message.arrival)())
    } else {
        query.read(message.octets, (message.arrival)())
    };
    let opened = match intake {
        Intake::Serve => return Opened::Query(query),
        Intake::Drop => Opened::Nothing,
        Intake::Reject(reply) => {
            out.clear();
            out.extend_from_slice(&reply);
            Opened::Reply
        }
        Intake::NoQuestion => {
            route.env.instance.requests.count_dropped(&query, Rcode::SERVFAIL);
            finish_bare(&query, Rcode::SERVFAIL, out);
            Opened::Reply
        }
    };
    route.put_back(query);
    opened
}

fn step<F>(route: &Route, exchange: &mut Exchange<F>, (serving, waker): (F, &Waker), out: &mut Vec<u8>) -> Step
where
    F: Future<Output = (Query, Reply)>,
{
    let Poll::Ready((mut query, reply)) = exchange.start(serving, waker) else { return Step::Waits };
    let finished = match finish(&mut query, reply, out) {
        Finished::Stream(envelopes) => return Step::Streams(query, envelopes),
        finished => finished,
    };
    route.put_back(query);
    if finished.is_send() { Step::Replied } else { Step::Silent }
}

/// A query that waits, with what is needed to answer it should it panic.
pub(crate) struct Later<F> {
    waiting: Waiting<F>,
    /// Until the reply is there.
    in_flight: Option<(TaskTicket, Ticket)>,
    route: Rc<Route>,
    octets: Box<[u8]>,
    arrival: Arrival,
}

impl<F: Future<Output = (Query, Reply)>> Later<F> {
    /// Waits for the reply and makes it a message.
    pub(crate) async fn reply(mut self) -> Ripe {
        poll_fn(|cx| self.poll_reply(cx, &mut Vec::new)).await
    }

    /// Makes the reply a message if it is there, in room that `buffer` gives.
    pub(crate) fn poll_reply(&mut self, cx: &mut Context<'_>, buffer: &mut dyn FnMut() -> Vec<u8>) -> Poll<Ripe> {
        let Self { waiting, in_flight, route, octets, arrival } = self;
        let polled = match guarded(route.panics, || Pin::new(waiting).poll(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(replied)) => Ok(replied),
            Err(caught) => Err(caught),
        };
        let mut out = buffer();
        let in_flight = in_flight.take();
        let finished = match polled {
            Ok((mut query, reply)) => match guarded(route.panics, || finish(&mut query, reply, &mut out)) {
                Ok(Finished::Stream(envelopes)) => {
                    let route = Rc::clone(route);
                    return Poll::Ready(Ripe::Stream(Streaming { query, envelopes, route, _in_flight: in_flight }));
                }
                finished => {
                    route.put_back(query);
                    finished.map(|finished| finished.is_send())
                }
            },
            Err(caught) => Err(caught),
        };
        let is_reply = finished.unwrap_or_else(|caught| route.recover(&caught, octets, arrival.clone(), &mut out));
        Poll::Ready(if is_reply { Ripe::Message(out) } else { Ripe::Nothing })
    }
}

/// What a query that waited came to.
pub(crate) enum Ripe {
    /// Nothing is sent.
    Nothing,
    /// One message.
    Message(Vec<u8>),
    /// Several.
    Stream(Streaming),
}

/// A reply of several messages on its way.
pub(crate) struct Streaming {
    query: Query,
    envelopes: Box<dyn Envelopes>,
    route: Rc<Route>,
    _in_flight: Option<(TaskTicket, Ticket)>,
}

impl Streaming {
    /// Writes the next message into `out`; `None` when there is none left, an error when the source panicked and the rest is lost.
    pub(crate) fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<()>, Caught> {
        let Self { query, envelopes, route, .. } = self;
        let pulled = guarded(route.panics, || {
            let answer = envelopes.next(query)?;
            finish_part(query, answer, out);
            Some(())
        });
        pulled.inspect_err(|caught| route.tell(caught))
    }
}
