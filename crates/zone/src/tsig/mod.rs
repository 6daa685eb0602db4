//! Transaction signatures (RFC 8945): keys, requests and replies checked and signed.
//!
//! The plugin `tsig` checks queries with [`verify_request`] and has replies signed by [`ReplySeal`]; whoever sends queries of its own signs them and checks what comes back
//! with a [`Conversation`].

mod conversation;
mod keys;
mod record;
mod reply;

pub use conversation::{Conversation, ConversationError, UNSIGNED_MESSAGES_MAX, UNSIGNED_OCTETS_MAX};
pub use keys::{Algorithm, KEYS_MAX, Key, KeyError, KeyRing, read_key_file};
pub use record::{FUDGE_SECONDS, TsigError, TsigRecord, find};
pub use reply::{ReplySeal, Verdict, verify_request};
