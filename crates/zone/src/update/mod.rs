//! Zones changed by messages (RFC 2136), and the journal that keeps what was changed.
//!
//! ```text
//! message --read--> Update --apply to a Zone--> Difference --append, fsync--> journal
//!                                                    |--apply--> the next version, served
//! ```
//!
//! `message` reads the sections, `apply` has the rules of RFC 2136 sections 3.2 and 3.4, `draft` the names that an update looks at and changes.
//! `journal` writes, `restore` reads again, `frame` is how both see the file. Who may update is not asked here.

mod apply;
mod draft;
mod frame;
mod fuzz;
mod journal;
mod message;
mod restore;

#[cfg(test)]
mod tests;

pub use apply::{STEP_OCTETS_MAX, apply};
pub use frame::JournalError;
pub use fuzz::fuzz_one;
pub use journal::{JOURNAL_STEPS_OCTETS_MIN, Writer};
pub use message::Update;
pub use restore::{Restored, restore};
