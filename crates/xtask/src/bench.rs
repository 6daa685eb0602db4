//! Measurements of a release build beside a real load: `cargo xtask bench cluster`.
#![allow(clippy::disallowed_methods)]

mod api;
mod cluster;
mod load;
mod process;
mod world;

use crate::Outcome;

/// Runs the measurement of this name.
pub(crate) fn run(root: &std::path::Path, what: &str, options: &[&str]) -> Outcome {
    match what {
        "cluster" => cluster::run(root, options),
        _ => Err(vec![format!("no measurement `{what}`; there is: cluster")]),
    }
}
