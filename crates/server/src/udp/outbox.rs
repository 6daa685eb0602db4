//! Replies that wait to be sent on one UDP socket: first come, first sent; or, with a queue that forgets, the newest first.

use std::collections::VecDeque;
use std::task::Waker;

use catena_datagrams::{BATCH_MAX, Outgoing};
use prometheus::Counter;

use super::KEEP_OCTETS_MAX;
use crate::limits::REPLY_QUEUE_MAX;

#[derive(Default)]
pub(super) struct Outbox {
    /// The oldest first.
    replies: VecDeque<Outgoing>,
    spare: Vec<Vec<u8>>,
    pub(super) waker: Option<Waker>,
    /// The newest reply is sent first, the oldest of [`REPLY_QUEUE_MAX`] is forgotten for one more, and that is counted. Who waits for an
    /// old reply has asked again meanwhile.
    forgotten: Option<Counter>,
}

impl Outbox {
    /// Whether replies are forgotten, and where that is counted.
    pub(super) fn set_forgotten(&mut self, forgotten: Option<Counter>) {
        self.forgotten = forgotten;
    }

    /// Whether more may be read while the socket takes no replies.
    pub(super) fn forgets(&self) -> bool {
        self.forgotten.is_some()
    }

    /// Whether one more reply puts another one out.
    pub(super) fn is_full(&self) -> bool {
        self.forgotten.is_some() && self.replies.len() >= REPLY_QUEUE_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.replies.is_empty()
    }

    pub(super) fn push(&mut self, reply: Outgoing) {
        while self.is_full() {
            self.count_forgotten();
            if let Some(oldest) = self.replies.pop_front() {
                self.put_back(oldest.octets);
            }
        }
        self.replies.push_back(reply);
    }

    /// Gives the replies to be sent next, in order.
    pub(super) fn send<T>(&self, send: impl FnOnce(&mut dyn Iterator<Item = &Outgoing>) -> T) -> T {
        match self.forgotten {
            Some(_) => send(&mut self.replies.iter().rev()),
            None => send(&mut self.replies.iter()),
        }
    }

    /// Forgets the first replies, which are sent, and keeps their buffers.
    pub(super) fn retire(&mut self, count: usize) {
        for _ in 0..count {
            let next = if self.forgotten.is_some() { self.replies.pop_back() } else { self.replies.pop_front() };
            let Some(reply) = next else { return };
            self.put_back(reply.octets);
        }
    }

    /// Forgets the first reply, which cannot be sent.
    pub(super) fn give_up(&mut self) {
        self.count_forgotten();
        self.retire(1);
    }

    fn count_forgotten(&self) {
        if let Some(forgotten) = &self.forgotten {
            forgotten.inc();
        }
    }

    /// A buffer for a reply.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    pub(super) fn put_back(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < BATCH_MAX {
            buffer.clear();
            buffer.shrink_to(KEEP_OCTETS_MAX);
            self.spare.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn reply(number: usize) -> Outgoing {
        let octets = u16::try_from(number).unwrap().to_be_bytes().to_vec();
        Outgoing { octets, peer: ([127, 0, 0, 1], 1).into(), source: None }
    }

    fn order(outbox: &Outbox) -> Vec<u16> {
        outbox.send(|replies| replies.map(|reply| u16::from_be_bytes([reply.octets[0], reply.octets[1]])).collect())
    }

    fn forgetting() -> (Outbox, Counter) {
        let counter = Counter::new("forgotten", "forgotten").unwrap();
        let mut outbox = Outbox::default();
        outbox.set_forgotten(Some(counter.clone()));
        (outbox, counter)
    }

    #[test]
    fn without_a_queue_that_forgets_the_oldest_reply_goes_first_and_none_is_lost() {
        let mut outbox = Outbox::default();
        (0..REPLY_QUEUE_MAX + 2).for_each(|number| outbox.push(reply(number)));
        outbox.retire(1);
        assert_eq!((order(&outbox)[0], order(&outbox).len()), (1, REPLY_QUEUE_MAX + 1));
        assert!(!outbox.is_full());
    }

    #[test]
    fn with_one_the_newest_reply_goes_first() {
        let (mut outbox, _) = forgetting();
        (1..=3).for_each(|number| outbox.push(reply(number)));
        assert_eq!(order(&outbox), [3, 2, 1]);
        outbox.retire(2);
        assert_eq!(order(&outbox), [1]);
    }

    #[test]
    fn over_the_limit_the_oldest_reply_is_forgotten_and_counted() {
        let (mut outbox, counter) = forgetting();
        (1..REPLY_QUEUE_MAX).for_each(|number| outbox.push(reply(number)));
        assert!(!outbox.is_full());
        outbox.push(reply(REPLY_QUEUE_MAX));
        assert!(outbox.is_full() && counter.get() < 0.5);
        outbox.push(reply(REPLY_QUEUE_MAX + 1));
        let kept = order(&outbox);
        assert_eq!((kept.len(), kept[0], kept[REPLY_QUEUE_MAX - 1]), (REPLY_QUEUE_MAX, 1025, 2));
        assert!((counter.get() - 1.0).abs() < 0.5);
    }

    #[test]
    fn a_reply_that_cannot_be_sent_is_counted() {
        let (mut outbox, counter) = forgetting();
        (1..=2).for_each(|number| outbox.push(reply(number)));
        outbox.give_up();
        assert_eq!(order(&outbox), [1]);
        assert!((counter.get() - 1.0).abs() < 0.5);
    }
}
