//! Zones at work: loaded from files, found by name, asked by queries. What `file`, `auto` and `secondary` have in common.

mod answer;
mod file;
mod link;
mod load;
mod map;
mod updated;

pub use answer::{Looked, look_up};
pub use file::{Checked, ZONE_FILE_OCTETS_MAX, ZoneFile};
pub use link::{Sent, pass};
pub use load::{LoadError, load};
pub use map::{ZONES_MAX, ZoneMap};
pub use updated::{Look, UpdatedZone};
