//! Zones fetched from their primaries: SOA queries, AXFR (RFC 5936) and IXFR (RFC 1995) over TCP, signed if there is a key.
//!
//! [`client`] speaks with the primary at a [`pace`] that it has to keep up, [`assembly`] makes a zone of the messages that come, which may be anything.

mod assembly;
mod client;
mod fuzz;
mod pace;

#[cfg(test)]
mod tests;

pub use assembly::{
    Assembly, AssemblyError, CHANGES_OCTETS_MAX, Progress, TRANSFER_MESSAGES_MAX, TRANSFER_OCTETS_MAX,
    TRANSFER_RECORDS_MAX,
};
pub use client::{FetchError, Fetched, Primary, fetch, records_of, serial_of};
pub use fuzz::fuzz_one;
pub use pace::{PROGRESS_OCTETS_MIN, PROGRESS_SPAN, TRANSFER_DURATION_MAX, TooSlow};
