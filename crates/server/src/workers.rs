//! The threads, and the generations that they serve one after the other.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use catena_core::{Clock, Env, Instance, Log, Metrics, Spawner};
use prometheus::CounterVec;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::bind::{Bound, Sockets};
use crate::clock::HeldClock;
use crate::cpus::WORKERS_MAX;
use crate::flight::Flight;
use crate::limits::Limits;
use crate::serve::Route;
use crate::tcp::{self, TcpSeat};
use crate::udp::{self, UdpSeat};
use crate::worker::Worker;

/// The most orders that wait for a worker.
const ORDERS_MAX: usize = 4;

/// What workers get from the server and keep over all generations.
#[derive(Clone)]
pub struct Context {
    /// The server's log.
    pub log: Log,
    /// The server's metric families.
    pub metrics: Arc<Metrics>,
    /// How much each worker takes on.
    pub limits: Limits,
}

/// An instance with the sockets that it is served on.
#[derive(Clone)]
pub struct Generation {
    /// The instance.
    pub instance: Arc<Instance>,
    /// Starts tasks that end with the instance.
    pub spawner: Arc<dyn Spawner>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The sockets of the instance's listeners, in the order of [`Instance::listeners`].
    pub listeners: Vec<Arc<Bound>>,
}

/// Worker threads that answer queries.
pub struct Workers {
    threads: Vec<Thread>,
    flights: Mutex<Flights>,
}

struct Thread {
    orders: mpsc::Sender<Order>,
    thread: JoinHandle<()>,
}

/// The queries in flight: of the generation that is served now, and of those before it.
#[derive(Default)]
struct Flights {
    now: Vec<Arc<Flight>>,
    before: Vec<Arc<Flight>>,
}

/// What a worker is told.
enum Order {
    /// Watch these sockets, without reading them yet.
    Open(Vec<Arc<Bound>>, oneshot::Sender<io::Result<()>>),
    /// Serve this generation, count its queries here, and let go of sockets that are not among its own.
    Switch(Generation, Arc<Flight>, oneshot::Sender<()>),
    /// Let go of sockets that are opened but not served.
    Prune(oneshot::Sender<()>),
    /// Read no more, answer what is in flight until then, and end.
    Stop(Instant),
}

impl Workers {
    /// Starts `count` threads (one at least, [`WORKERS_MAX`] at most), each with a runtime of its own. They serve nothing yet.
    ///
    /// # Errors
    /// A thread or its runtime cannot be made.
    pub fn start(count: usize, context: Context) -> io::Result<Self> {
        let shed = context.metrics.counter(
            "catena_queries_shed_total",
            "Counter of queries and connections turned away because a limit was reached.",
            &["server", "reason"],
        );
        let count = count.clamp(1, WORKERS_MAX);
        let threads = (0..count).map(|index| Thread::start((index, count), &context, &shed));
        Ok(Self { threads: threads.collect::<io::Result<_>>()?, flights: Mutex::default() })
    }

    /// How many threads there are; sockets are to be bound for as many, see [`crate::sockets_of`].
    #[must_use]
    pub fn count(&self) -> usize {
        self.threads.len()
    }

    /// Goes over to a new generation. Every worker does so between two batches: an address that stays keeps its socket and
    /// connections, sockets that are new begin to be read, those that are gone are closed when their queries are answered.
    ///
    /// # Errors
    /// A new socket cannot be watched, or a worker is gone; the generation before goes on.
    pub async fn adopt(&self, generation: Generation) -> io::Result<()> {
        let mut flights = self.flights.lock().await;
        for thread in &self.threads {
            let opened = thread.ask(|answer| Order::Open(generation.listeners.clone(), answer)).await;
            if let Err(error) = opened.and_then(|opened| opened) {
                for thread in &self.threads {
                    // A worker that is gone has nothing to let go of.
                    let _ = thread.ask(Order::Prune).await;
                }
                return Err(error);
            }
        }
        let mut now = Vec::with_capacity(self.threads.len());
        for thread in &self.threads {
            let flight = Arc::new(Flight::default());
            thread.ask(|answer| Order::Switch(generation.clone(), Arc::clone(&flight), answer)).await?;
            now.push(flight);
        }
        let before = std::mem::replace(&mut flights.now, now);
        flights.before.retain(|flight| !flight.is_empty());
        flights.before.extend(before);
        Ok(())
    }

    /// Waits until the queries of generations before the current one are answered, for as long as the limit; `true`: they are.
    pub async fn drain(&self, limit: Duration) -> bool {
        let before = std::mem::take(&mut self.flights.lock().await.before);
        let all = async {
            for flight in &before {
                flight.landed().await;
            }
        };
        let drained = timeout(limit, all).await.is_ok();
        self.flights.lock().await.before.extend(before.into_iter().filter(|flight| !flight.is_empty()));
        drained
    }

    /// Reads no more, answers what is in flight for as long as the limit, and ends the threads.
    pub async fn stop(self, limit: Duration) {
        let deadline = Instant::now() + limit;
        for thread in &self.threads {
            // A worker that is gone has stopped.
            let _ = thread.orders.send(Order::Stop(deadline)).await;
        }
        for thread in self.threads {
            thread.orders.closed().await;
            // The thread has nothing left to do but to end; a panic in it was told when it happened.
            let _ = thread.thread.join();
        }
    }
}

impl Thread {
    fn start((index, count): (usize, usize), context: &Context, shed: &CounterVec) -> io::Result<Self> {
        let (orders, inbox) = mpsc::channel(ORDERS_MAX);
        let (context, shed) = (context.clone(), shed.clone());
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            let runtime =
                match Builder::new_current_thread().enable_io().enable_time().build_local(LocalOptions::default()) {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(started.send(Err(error))),
                };
            drop(started.send(Ok(())));
            let worker = Rc::new(Worker::new((index, count), context.limits, context.log, shed));
            runtime.block_on(Desk::new(worker).run(inbox));
        })?;
        start.recv().map_err(io::Error::other)??;
        Ok(Self { orders, thread })
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> io::Result<T> {
        let (answer, answered) = oneshot::channel();
        let gone = || io::Error::other("a worker thread is gone");
        self.orders.send(order(answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }
}

/// Where a worker takes orders. Lives on the worker's thread.
struct Desk {
    worker: Rc<Worker>,
    seats: Vec<Seat>,
    loops: JoinSet<()>,
}

/// A UDP and a TCP socket of one address, watched by this worker.
struct Seat {
    sockets: Arc<Sockets>,
    udp: Rc<UdpSeat>,
    tcp: Rc<TcpSeat>,
    is_served: bool,
}

impl Seat {
    fn serve(&mut self, route: &Rc<Route>) {
        self.is_served = true;
        self.udp.serve(Rc::clone(route));
        self.tcp.serve(Rc::clone(route));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.udp.close();
        self.tcp.close();
    }
}

impl Desk {
    fn new(worker: Rc<Worker>) -> Self {
        Self { worker, seats: Vec::new(), loops: JoinSet::new() }
    }

    async fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
        while let Some(order) = inbox.recv().await {
            // Who asked may have gone; the order is carried out all the same.
            match order {
                Order::Open(bounds, answer) => drop(answer.send(self.open(&bounds))),
                Order::Switch(generation, flight, answer) => {
                    self.switch(&generation, &flight);
                    let _ = answer.send(());
                }
                Order::Prune(answer) => {
                    self.seats.retain(|seat| seat.is_served);
                    let _ = answer.send(());
                }
                Order::Stop(deadline) => return self.stop(deadline).await,
            }
            // Loops that ended by themselves.
            while self.loops.try_join_next().is_some() {}
        }
    }
}

impl Desk {
    /// Starts the loops of sockets that are not watched yet.
    fn open(&mut self, bounds: &[Arc<Bound>]) -> io::Result<()> {
        for bound in bounds {
            for sockets in bound.sockets(self.worker.index, self.worker.count) {
                if !self.seats.iter().any(|seat| Arc::ptr_eq(&seat.sockets, sockets)) {
                    self.open_one(bound, sockets)?;
                }
            }
        }
        Ok(())
    }

    fn open_one(&mut self, bound: &Arc<Bound>, sockets: &Arc<Sockets>) -> io::Result<()> {
        let seat = Seat {
            sockets: Arc::clone(sockets),
            udp: Rc::new(UdpSeat::new()),
            tcp: Rc::new(TcpSeat::new()),
            is_served: false,
        };
        if let Some(socket) = &sockets.udp {
            self.loops.spawn_local(udp::open(socket, bound, &self.worker, &seat.udp)?);
        }
        if let Some(socket) = &sockets.tcp {
            self.loops.spawn_local(tcp::open(socket, bound, &self.worker, &seat.tcp)?);
        }
        self.seats.push(seat);
        Ok(())
    }

    fn switch(&mut self, generation: &Generation, flight: &Arc<Flight>) {
        let clock = Arc::new(HeldClock::new(Arc::clone(&generation.clock)));
        let env = Arc::new(Env {
            instance: Arc::clone(&generation.instance),
            clock: Arc::<HeldClock>::clone(&clock),
            spawner: Arc::clone(&generation.spawner),
            worker: self.worker.index,
        });
        let worker = Rc::clone(&self.worker);
        let routes: Vec<_> = generation
            .listeners
            .iter()
            .enumerate()
            .map(|(listener, bound)| {
                let route =
                    Route::new((Arc::clone(&env), Arc::clone(&clock)), listener, Arc::clone(flight), &worker, bound);
                (bound, Rc::new(route))
            })
            .collect();
        self.seats.retain_mut(|seat| {
            let has_seat = |bound: &Bound| {
                bound.sockets(worker.index, worker.count).any(|sockets| Arc::ptr_eq(sockets, &seat.sockets))
            };
            let route = routes.iter().find(|(bound, _)| has_seat(bound));
            if let Some((_, route)) = route {
                seat.serve(route);
            }
            route.is_some()
        });
    }

    /// Waits for the loops to answer what is in flight, until the deadline.
    async fn stop(mut self, deadline: Instant) {
        self.seats.clear();
        let ended = async { while self.loops.join_next().await.is_some() {} };
        // What is not answered by then is dropped with the runtime.
        let _ = timeout_at(deadline, ended).await;
    }
}
