//! One query at a time, polled once in place; what has to wait is taken out and goes on elsewhere.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use catena_core::{Query, Reply};

/// Answers a query; owns all it needs.
pub(crate) async fn serve_one(mut query: Query) -> (Query, Reply) {
    let env = Arc::clone(query.env());
    let reply = env.instance.serve(&mut query).await;
    (query, reply)
}

/// A place for one future, allocated once and used for every query that does not wait.
pub(crate) struct Exchange<F> {
    slot: Pin<Box<Option<F>>>,
}

impl<F: Future> Exchange<F> {
    pub(crate) fn new() -> Self {
        Self { slot: Box::pin(None) }
    }

    /// Polls the future once. If it has to wait it stays here until [`Exchange::take`] or the next start.
    ///
    /// With a `waker` that wakes nobody, whoever takes the future polls it again.
    pub(crate) fn start(&mut self, future: F, waker: &Waker) -> Poll<F::Output> {
        self.slot.set(Some(future));
        let Some(future) = self.slot.as_mut().as_pin_mut() else { return Poll::Pending };
        let polled = future.poll(&mut Context::from_waker(waker));
        if polled.is_ready() {
            self.slot.set(None);
        }
        polled
    }

    /// Takes out the future that has to wait.
    pub(crate) fn take(&mut self) -> Waiting<F> {
        Waiting(std::mem::replace(&mut self.slot, Box::pin(None)))
    }

    /// Drops the future that has to wait, or panicked.
    pub(crate) fn clear(&mut self) {
        self.slot.set(None);
    }
}

/// A future taken out of its exchange.
pub(crate) struct Waiting<F>(Pin<Box<Option<F>>>);

impl<F: Future> Future for Waiting<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.0.as_mut().as_pin_mut() {
            Some(future) => future.poll(cx),
            None => Poll::Pending,
        }
    }
}
