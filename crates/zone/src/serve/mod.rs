//! Zones at work: loaded from files, found by name, asked by queries. What `file`, `auto` and `secondary` have in common.

mod answer;
mod load;
mod map;

pub use answer::serve;
pub use load::{LoadError, load};
pub use map::ZoneMap;
