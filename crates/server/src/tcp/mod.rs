//! The accepting loop of one TCP socket.

mod connection;
mod frames;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::bind::Bound;
use crate::serve::Route;
use crate::worker::Worker;
use connection::Connection;

/// The system's buffer for what a client is to read, octets. The socket takes more when a third of it is free, so a client that reads a few
/// kilobytes a second is seen to read; unset, the system lets it grow to megabytes.
const SEND_BUFFER_OCTETS: usize = 128 * 1024;
/// How long accepting rests when the process has no more descriptors or memory.
const REST: Duration = Duration::from_millis(50);

/// What the loop and the connections of a socket have to know. Of one worker's thread.
pub(crate) struct TcpSeat {
    route: RefCell<Option<Rc<Route>>>,
    closed: watch::Sender<Stage>,
}

/// What is done with the socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing yet.
    Opened,
    /// It is served.
    Served,
    /// It is gone; what was asked is still answered.
    Closed,
}

impl TcpSeat {
    pub(crate) fn new() -> Self {
        Self { route: RefCell::new(None), closed: watch::Sender::new(Stage::Opened) }
    }

    /// Serves connections, old and new, with this route.
    pub(crate) fn serve(&self, route: Rc<Route>) {
        *self.route.borrow_mut() = Some(route);
        self.closed.send_replace(Stage::Served);
    }

    /// Accepts and reads no more; the route stays for what was read.
    pub(crate) fn close(&self) {
        self.closed.send_replace(Stage::Closed);
    }

    pub(crate) fn route(&self) -> Option<Rc<Route>> {
        self.route.borrow().clone()
    }
}

struct Tcp {
    bound: Arc<Bound>,
    worker: Rc<Worker>,
    seat: Rc<TcpSeat>,
}

/// Opens the loop of one socket; the future that it returns accepts while the seat is served.
///
/// # Errors
/// The socket cannot be watched.
pub(crate) fn open(
    socket: &std::net::TcpListener,
    bound: &Arc<Bound>,
    worker: &Rc<Worker>,
    seat: &Rc<TcpSeat>,
) -> io::Result<impl Future<Output = ()> + 'static> {
    // A descriptor of its own; the socket behind it is the one that the server keeps.
    let socket = TcpListener::from_std(socket.try_clone()?)?;
    let tcp = Tcp { bound: Arc::clone(bound), worker: Rc::clone(worker), seat: Rc::clone(seat) };
    Ok(tcp.run(socket))
}

impl Tcp {
    async fn run(self, socket: TcpListener) {
        let mut connections = JoinSet::new();
        let mut closed = self.seat.closed.subscribe();
        // The sender lives in the seat, so waiting for it cannot fail.
        let _ = closed.wait_for(|stage| *stage != Stage::Opened).await;
        let mut is_told = false;
        loop {
            while connections.try_join_next().is_some() {}
            let accepted = tokio::select! {
                biased;
                _ = closed.wait_for(|stage| *stage == Stage::Closed) => break,
                Some(_) = connections.join_next() => continue,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    is_told = false;
                    self.welcome(stream, peer, &mut connections);
                }
                Err(error) if is_about_one(&error) => {}
                Err(error) => {
                    // Once, not twenty times a second.
                    if !std::mem::replace(&mut is_told, true) {
                        self.worker.log.error(format_args!("accept tcp {}: {error}", self.bound.local_addr()));
                    }
                    self.worker.close_longest_idle();
                    tokio::time::sleep(REST).await;
                }
            }
        }
        drop(socket);
        while connections.join_next().await.is_some() {}
    }

    fn welcome(&self, stream: TcpStream, peer: SocketAddr, connections: &mut JoinSet<()>) {
        let Some(route) = self.seat.route() else { return };
        let admission = self.worker.admit();
        if admission.as_ref().is_none_or(|admission| admission.is_full) {
            self.worker.count_shed(route.label(), "connections");
        }
        let Some(admission) = admission else { return };
        // Replies are small and wanted now; without it they come a little later.
        let _ = stream.set_nodelay(true);
        // A client that takes little at a time makes the system's own, growing buffer look like one that takes nothing.
        let _ = SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER_OCTETS);
        let connection = Connection::new(stream, peer, &self.bound, &self.worker, &self.seat, &route);
        connections.spawn_local(tokio::task::coop::unconstrained(async move {
            let _admitted = admission;
            connection.run().await;
        }));
    }
}

/// Errors of accept(2) that speak of one connection only.
fn is_about_one(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | WouldBlock)
}
