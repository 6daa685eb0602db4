//! Zones held in memory.
//!
//! ```text
//! Builder --push--> arena: names and records, as they come          Zone --lookup--> Answer
//!         --finish-> nodes: one a name, in canonical order            |--records---> Outgoing (transfers), differences
//!                    records: those of each node, sorted by type
//!                    index: name -> node
//! ```
//!
//! A million A records of distinct names take about 60 octets each: the name, 12 octets of record, 12 of node and list, 8 of index. All names
//! between the apex and a name are nodes too, so the closest encloser of any name is found by halving.

mod arena;
mod assemble;
mod builder;
mod canonical;
mod denial;
mod difference;
mod index;
mod journal;
mod lookup;
pub(crate) mod nsec3;
mod outgoing;
mod shared;
mod zone;

#[cfg(test)]
mod tests;

pub use arena::ZONE_OCTETS_MAX;
pub use builder::{BuildError, Builder, NSEC3_ITERATIONS_MAX, Taken, ZONE_RECORDS_MAX};
pub use difference::{Difference, RecordList};
pub use journal::{JOURNAL_DIFFERENCES_MAX, JOURNAL_OCTETS_MAX, Journal, is_newer};
pub use lookup::{ADDITIONAL_TARGETS_MAX, Asked, CHAIN_MAX, Found, Outcome, chase_target};
pub use shared::{SharedZone, Snapshot};
pub use zone::{NameView, Zone};
