//! Zones in memory: a compact immutable store, its look-ups, zone files read and written, differences between versions.
//!
//! A record travels between all of them as a [`RecordRef`]: everything in wire form, names uncompressed.

pub use catena_core::RecordRef;
