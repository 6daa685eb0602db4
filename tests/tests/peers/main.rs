//! Transfers between this server and NSD, Knot and BIND, each the primary once and once the secondary. What is not installed is left out with a message.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_macros
)]

mod catalog;
mod from_them;
mod kill;
mod large;
mod reload;
mod scripted;
mod support;
mod to_them;
