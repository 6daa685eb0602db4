#![allow(clippy::unwrap_used, clippy::expect_used)]

mod answers;
mod building;
mod kit;
mod model;
mod proofs;
mod proved;
mod versions;
