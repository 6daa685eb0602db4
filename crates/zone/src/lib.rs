//! Zones in memory: a compact immutable store, its look-ups, zone files read and written, differences between versions.
//!
//! A record travels between all of them as a [`RecordRef`]: everything in wire form, names uncompressed.
//!
//! ```text
//! let mut builder = Builder::new(apex);          // the origin, wire form
//! builder.push(record)?;                         // any order; Taken says what was left out
//! let zone = Arc::new(builder.finish()?);        // BuildError::NoSoa reads as CoreDNS says it
//!
//! let (lower, labels) = (question.lower().as_slice(), question.labels());
//! let asked = Asked { lower, labels, qtype, dnssec_ok, chase_missing: falls_through };
//! let mut answer = Answer::to(query);
//! let found = zone.lookup(&asked, &mut answer);  // writes records; rcode and AA are the caller's, see Outcome
//! ```

pub mod dnssec;
pub mod inbound;
mod serve;
mod store;
pub mod tsig;
pub mod update;
pub mod zonefile;

pub use catena_core::RecordRef;
pub use serve::{
    Checked, LoadError, Look, Looked, Sent, UpdatedZone, ZONE_FILE_OCTETS_MAX, ZONES_MAX, ZoneFile, ZoneMap, load,
    look_up, pass,
};
pub use store::{
    ADDITIONAL_TARGETS_MAX, Asked, BuildError, Builder, CHAIN_MAX, Difference, Found, JOURNAL_DIFFERENCES_MAX,
    JOURNAL_OCTETS_MAX, Journal, NSEC3_ITERATIONS_MAX, NameView, Outcome, RecordList, SharedZone, Snapshot, Taken,
    ZONE_OCTETS_MAX, ZONE_RECORDS_MAX, Zone, chase_target, is_newer,
};
