//! Kubernetes objects as DNS needs them: slim types, a compact index, and the sources that keep it current.
//!
//! An [`Index`] is what queries read. A source fills it: `ApiSource` from a live API (feature `api`, on by default), or
//! `ManifestSource` from files. Sources run until the guard that starting them returned is dropped.

#[cfg(feature = "api")]
pub mod api;
mod external;
pub mod index;
pub mod manifest;
pub mod selector;
pub mod types;

pub use external::External;
pub use index::{
    Change, Clock, Endpoint, Entry, HostLabel, Index, Keep, Kind, Kinds, Level, Observer, Port, Protocol, Quiet,
    Service, ServiceKind, Slice,
};
