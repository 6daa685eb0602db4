//! The task that sends and reads for the shared sockets of one worker.

use std::future::Future;
use std::io;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use catena_core::Clock;
use catena_datagrams::{BATCH_MAX, Receiver, Sender};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::{Instant, Sleep, sleep};

use crate::error::Step;
use crate::lanes::{Failed, Landing, Lanes, State, TICKS};

/// The most batches that are read from one socket before the others have their turn.
const READS_MAX: usize = 2;
/// The shortest part of the time for a reply, the precision of the runtime's timers.
const TICK_MIN: Duration = Duration::from_millis(1);

/// Sends what is launched and gives replies to those who wait, as long as there is a socket.
pub(crate) struct Driver {
    lanes: Arc<Lanes>,
    clock: Arc<dyn Clock>,
    sender: Sender,
    receiver: Receiver,
    /// Who is to be woken when nothing is locked any more.
    woken: Vec<Waker>,
    tick: Duration,
    timer: Pin<Box<Sleep>>,
    is_timed: bool,
    is_done: bool,
}

impl Driver {
    /// Lets a task of the current runtime work for the sockets: the worker's own, so that nothing goes from thread to thread. It ends when
    /// they are closed, with the upstream at the latest.
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn start(lanes: Arc<Lanes>, clock: Arc<dyn Clock>, read_timeout: Duration) {
        let tick = (read_timeout / TICKS).max(TICK_MIN);
        let driver = Self {
            lanes,
            clock,
            sender: Sender::new(false),
            receiver: Receiver::connected(),
            woken: Vec::new(),
            tick,
            timer: Box::pin(sleep(tick)),
            is_timed: false,
            is_done: false,
        };
        // A batch must not be cut short by tokio's budget; the task yields by itself.
        tokio::spawn(tokio::task::coop::unconstrained(driver));
    }

    fn send(&mut self, state: &mut State, at: usize, cx: &mut Context<'_>) {
        state.sort_outbox(at);
        loop {
            let Some((socket, messages)) = state.outbox(at) else { return };
            // Not asking the runtime first: a fresh socket is writable before the runtime knows.
            let error = match self.sender.send_segmented(socket.as_fd(), messages) {
                Ok(sent) => {
                    if let Some(lane) = state.lane(at) {
                        lane.outbox.drain(..sent.min(lane.outbox.len()));
                    }
                    continue;
                }
                Err(error) => error,
            };
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => {
                    let _ = socket.try_io(Interest::WRITABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
                    if socket.poll_send_ready(cx).is_pending() {
                        return;
                    }
                }
                io::ErrorKind::ConnectionRefused => {
                    return state.fail(at, failure(Step::Write, &error), &mut self.woken);
                }
                // This one cannot be sent: too long for the path, forbidden by a filter, no route.
                _ => state.fail_first(at, failure(Step::Write, &error), &mut self.woken),
            }
        }
    }

    /// Reads what there is; returns whether there may be more.
    fn read(&mut self, state: &mut State, at: usize, cx: &mut Context<'_>) -> bool {
        let Some(socket) = state.lane(at).map(|lane| Arc::clone(&lane.socket)) else { return false };
        for _ in 0..READS_MAX {
            if socket.poll_recv_ready(cx).is_pending() {
                return false;
            }
            let mut count = 0;
            let read = socket.try_io(Interest::READABLE, || {
                count = self.receiver.receive(socket.as_fd())?;
                // Fewer than a batch: nothing is left, and what comes next is told as news.
                if count < BATCH_MAX { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            if let Err(error) = read
                && !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
            {
                state.fail(at, failure(Step::Read, &error), &mut self.woken);
            }
            if count == 0 {
                continue;
            }
            let now = self.clock.now();
            for datagram in (0..count).filter_map(|index| self.receiver.datagram(index)) {
                self.woken.extend(state.land(at, &datagram, now));
            }
            state.check_strays(at, &mut self.woken);
        }
        true
    }

    /// Looks for an error that makes the socket neither readable nor writable.
    fn look_for_error(&mut self, state: &mut State, at: usize, cx: &mut Context<'_>) {
        let Some(lane) = state.lane(at).filter(|lane| lane.is_waiting()) else { return };
        while lane.failed.as_mut().poll(cx).is_ready() {
            let _ = lane.socket.try_io(Interest::ERROR, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
            lane.failed = failed(&lane.socket);
            if let Ok(Some(error)) = lane.socket.take_error() {
                return state.fail(at, failure(Step::Read, &error), &mut self.woken);
            }
        }
    }

    fn poll_timer(&mut self, state: &mut State, cx: &mut Context<'_>) {
        if !self.is_timed && state.is_busy() {
            self.is_timed = true;
            self.timer.as_mut().reset(Instant::now() + self.tick);
        }
        while self.is_timed && self.timer.as_mut().poll(cx).is_ready() {
            state.tick(&mut self.woken);
            self.is_timed = state.is_busy();
            self.timer.as_mut().reset(Instant::now() + self.tick);
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let lanes = Arc::clone(&this.lanes);
        let mut state = lanes.lock();
        let mut has_more = false;
        for at in 0..state.lane_count() {
            this.send(&mut state, at, cx);
            has_more |= this.read(&mut state, at, cx);
            this.look_for_error(&mut state, at, cx);
        }
        this.poll_timer(&mut state, cx);
        this.is_done = !state.close_drained();
        if this.is_done {
            state.is_driven = false;
        } else if has_more {
            cx.waker().wake_by_ref();
        } else {
            state.driver = Some(cx.waker().clone());
        }
        drop(state);
        this.woken.drain(..).for_each(Waker::wake);
        if this.is_done { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Driver {
    /// The task has ended, perhaps with its runtime: nobody reads replies any more.
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let mut state = self.lanes.lock();
        for at in 0..state.lane_count() {
            state.fail(at, Landing::Ended, &mut self.woken);
        }
        state.forget_sockets();
        state.is_driven = false;
        drop(state);
        self.woken.drain(..).for_each(Waker::wake);
    }
}

/// Waits for an error of this socket.
pub(crate) fn failed(socket: &Arc<UdpSocket>) -> Failed {
    let socket = Arc::clone(socket);
    Box::pin(async move { socket.ready(Interest::ERROR).await })
}

fn failure(step: Step, error: &io::Error) -> Landing {
    Landing::Failed(step, error.raw_os_error().unwrap_or_default())
}
