//! What the sockets of one worker share: limits, counts, buffers. Nobody but the worker's own thread ever sees it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use catena_core::Log;
use prometheus::CounterVec;
use tokio::sync::Notify;

use crate::limits::Limits;

/// How much is read from a TCP connection at a time, octets.
const READ_OCTETS: usize = 16 * 1024;

/// One worker.
pub(crate) struct Worker {
    pub(crate) index: usize,
    /// How many workers there are.
    pub(crate) count: usize,
    pub(crate) limits: Limits,
    pub(crate) log: Log,
    /// `catena_queries_shed_total` by server and reason.
    shed: CounterVec,
    tasks: Cell<usize>,
    /// Told when as many queries waited as may wait and one was answered.
    pub(crate) room: Notify,
    connections: Cell<usize>,
    /// Octets of replies that TCP clients did not take yet.
    queued_octets: Cell<usize>,
    /// Idle connections, the one that is idle longest first.
    idle: RefCell<BTreeMap<u64, Rc<Notify>>>,
    idle_next: Cell<u64>,
    /// Where TCP connections read to; empty ones need no buffer of their own.
    pub(crate) scratch: RefCell<Box<[u8]>>,
}

impl Worker {
    pub(crate) fn new((index, count): (usize, usize), limits: Limits, log: Log, shed: CounterVec) -> Self {
        Self {
            index,
            count,
            limits,
            log,
            shed,
            tasks: Cell::new(0),
            room: Notify::new(),
            connections: Cell::new(0),
            queued_octets: Cell::new(0),
            idle: RefCell::new(BTreeMap::new()),
            idle_next: Cell::new(0),
            scratch: RefCell::new(vec![0; READ_OCTETS].into_boxed_slice()),
        }
    }

    /// Counts what was not served, and why.
    pub(crate) fn count_shed(&self, server: &str, reason: &str) {
        self.shed.with_label_values(&[server, reason]).inc();
    }

    /// Room for one more query that waits; `None` if there is none.
    pub(crate) fn start_task(self: &Rc<Self>) -> Option<TaskTicket> {
        let tasks = self.tasks.get();
        (tasks < self.limits.tasks_max).then(|| {
            self.tasks.set(tasks + 1);
            TaskTicket(Rc::clone(self))
        })
    }

    /// Whether one more query could wait.
    pub(crate) fn has_room(&self) -> bool {
        self.tasks.get() < self.limits.tasks_max
    }

    /// Counts a new connection. If there are as many as may be, the one that is idle longest is told to close; `None` if none is idle.
    pub(crate) fn admit(self: &Rc<Self>) -> Option<Admission> {
        let is_full = self.connections.get() >= self.limits.connections_max;
        if is_full && !self.close_longest_idle() {
            return None;
        }
        self.connections.set(self.connections.get() + 1);
        Some(Admission { worker: Rc::clone(self), is_full })
    }

    /// Tells the connection that is idle longest to close; `false` if none is idle.
    pub(crate) fn close_longest_idle(&self) -> bool {
        let longest = self.idle.borrow_mut().pop_first();
        if let Some((_, close)) = &longest {
            close.notify_one();
        }
        longest.is_some()
    }

    /// Notes that a connection is idle from now until the ticket is dropped; `close` is told when its place is needed.
    pub(crate) fn rest(self: &Rc<Self>, close: &Rc<Notify>) -> IdleTicket {
        let at = self.idle_next.get();
        self.idle_next.set(at + 1);
        self.idle.borrow_mut().insert(at, Rc::clone(close));
        IdleTicket { worker: Rc::clone(self), at }
    }

    /// Changes how many octets of replies wait for TCP clients; `false` if there are more than may be.
    pub(crate) fn requeue(&self, before: usize, now: usize) -> bool {
        let queued = self.queued_octets.get().saturating_sub(before) + now;
        self.queued_octets.set(queued);
        queued <= self.limits.queued_octets_max
    }
}

/// One query that waits.
pub(crate) struct TaskTicket(Rc<Worker>);

impl Drop for TaskTicket {
    fn drop(&mut self) {
        if !self.0.has_room() {
            self.0.room.notify_waiters();
        }
        self.0.tasks.set(self.0.tasks.get() - 1);
    }
}

/// One open connection.
pub(crate) struct Admission {
    worker: Rc<Worker>,
    /// Another one had to close for it.
    pub(crate) is_full: bool,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.worker.connections.set(self.worker.connections.get() - 1);
    }
}

/// One idle connection.
pub(crate) struct IdleTicket {
    worker: Rc<Worker>,
    at: u64,
}

impl Drop for IdleTicket {
    fn drop(&mut self) {
        self.worker.idle.borrow_mut().remove(&self.at);
    }
}
