//! The side of the client: a request signed, its replies checked (RFC 8945 sections 5.1, 5.3.1 and 5.4).

use std::sync::Arc;

use super::keys::Key;
use super::record::{TsigError, TsigRecord, find, is_timely, prior, stripped};

/// How many messages of a stream may come without a signature, one after the other (RFC 8945 section 5.3.1).
pub const UNSIGNED_MESSAGES_MAX: usize = 99;
/// The most octets of messages that wait for the signature which covers them.
pub const UNSIGNED_OCTETS_MAX: usize = UNSIGNED_MESSAGES_MAX * 65_535;

/// What is wrong with a reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConversationError {
    /// The message is broken, or has no signature where one has to be.
    #[error("no usable signature in the reply")]
    Unsigned,
    /// It is signed with another key or algorithm.
    #[error("the reply is signed with another key")]
    OtherKey,
    /// The MAC is wrong.
    #[error("the signature of the reply is wrong")]
    BadSignature,
    /// The clocks are too far apart.
    #[error("the time of the reply's signature is too far off")]
    BadTime,
    /// The server did not like ours.
    #[error("the server refused the signature: error {}", .0.to_int())]
    Refused(TsigError),
}

/// One signed request and the messages that reply to it.
pub struct Conversation {
    key: Arc<Key>,
    prior_mac: Vec<u8>,
    is_first: bool,
    /// What came since the last signature, to be covered by the next one.
    uncovered: Vec<u8>,
    unsigned: usize,
}

impl Conversation {
    /// Signs a request. `now` is in seconds since 1970.
    #[must_use]
    pub fn sign(key: Arc<Key>, message: &mut Vec<u8>, now: u64) -> Self {
        let id = message.first_chunk::<2>().map_or(0, |id| u16::from_be_bytes(*id));
        let mut record = TsigRecord::unsigned(key.name(), &key.algorithm.wire(), now, id);
        record.mac = key.mac(key.algorithm, &[message, &record.variables()]);
        record.append_to(message);
        Self { key, prior_mac: record.mac, is_first: true, uncovered: Vec::new(), unsigned: 0 }
    }

    /// Checks the next message of the reply. Of a stream only the first and the last one have to be signed, and every hundredth.
    ///
    /// # Errors
    /// The message is not to be trusted, nor any after it.
    pub fn check(&mut self, message: &[u8], now: u64) -> Result<(), ConversationError> {
        let found = find(message).map_err(|_| ConversationError::Unsigned)?;
        let Some((record, start)) = found else {
            self.unsigned += 1;
            if self.is_first || self.unsigned > UNSIGNED_MESSAGES_MAX || self.uncovered.len() > UNSIGNED_OCTETS_MAX {
                return Err(ConversationError::Unsigned);
            }
            self.uncovered.extend_from_slice(message);
            return Ok(());
        };
        if record.mac.is_empty() && record.error != TsigError::None {
            return Err(ConversationError::Refused(record.error));
        }
        let same_key = record.key_name.eq_ignore_ascii_case(self.key.name());
        if !same_key || !record.algorithm.eq_ignore_ascii_case(&self.key.algorithm.wire()) {
            return Err(ConversationError::OtherKey);
        }
        let variables = if self.is_first { record.variables() } else { record.timers() };
        let plain = stripped(message, start, record.original_id);
        let parts = [&prior(&self.prior_mac)[..], &self.uncovered, &plain, &variables];
        if !self.key.is_mac(self.key.algorithm, &parts, &record.mac) {
            return Err(ConversationError::BadSignature);
        }
        if record.error != TsigError::None {
            return Err(ConversationError::Refused(record.error));
        }
        if !is_timely(&record, now) {
            return Err(ConversationError::BadTime);
        }
        self.prior_mac = record.mac;
        self.is_first = false;
        self.unsigned = 0;
        self.uncovered.clear();
        Ok(())
    }

    /// Whether every message so far is covered by a signature: a stream may not end before.
    #[must_use]
    pub fn is_covered(&self) -> bool {
        !self.is_first && self.unsigned == 0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::tsig::{Algorithm, KeyRing, Verdict, verify_request};
    use catena_core::Seal;

    const NOW: u64 = 1_700_000_000;

    fn message() -> Vec<u8> {
        [&[0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], b"\x01a\x07example\x00\x00\x01\x00\x01"].concat()
    }

    fn both() -> (Conversation, impl Seal) {
        let key = Key::new("key.example", "c2VjcmV0", Algorithm::Sha256).unwrap();
        let mut ring = KeyRing::default();
        ring.add(key.clone()).unwrap();
        let mut request = message();
        let conversation = Conversation::sign(Arc::new(key), &mut request, NOW);
        let Verdict::Good(seal) = verify_request(&request, |name| ring.key(name), NOW) else { panic!() };
        (conversation, seal)
    }

    #[test]
    fn the_first_message_has_to_be_signed() {
        let (mut conversation, _) = both();
        assert_eq!(conversation.check(&message(), NOW), Err(ConversationError::Unsigned));
    }

    #[test]
    fn up_to_ninety_nine_messages_may_wait_for_their_signature() {
        let (mut conversation, mut seal) = both();
        let mut first = message();
        seal.seal(&mut first);
        conversation.check(&first, NOW).unwrap();
        assert!(conversation.is_covered());
        for _ in 0..UNSIGNED_MESSAGES_MAX {
            conversation.check(&message(), NOW).unwrap();
        }
        assert!(!conversation.is_covered());
        assert_eq!(conversation.check(&message(), NOW), Err(ConversationError::Unsigned));
    }

    #[test]
    fn a_message_changed_or_left_out_is_noticed() {
        let (mut conversation, mut seal) = both();
        let mut messages = [message(), message(), message()];
        for message in &mut messages {
            seal.seal(message);
        }
        conversation.check(&messages[0], NOW).unwrap();
        assert_eq!(conversation.check(&messages[2], NOW), Err(ConversationError::BadSignature));
        messages[1][13] ^= 1;
        assert_eq!(conversation.check(&messages[1], NOW), Err(ConversationError::BadSignature));
    }

    #[test]
    fn a_reply_from_long_ago_is_not_taken() {
        let (mut conversation, mut seal) = both();
        let mut reply = message();
        seal.seal(&mut reply);
        assert_eq!(conversation.check(&reply, NOW + 301), Err(ConversationError::BadTime));
    }
}
