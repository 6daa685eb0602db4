//! The test kit: a whole server block, or several, built from a Corefile and asked without sockets.
//!
//! [`Kit`] builds the instance, runs its services and asks it; [`check`] runs a script of questions and expected replies, one line
//! each; [`check_config`] compares what a broken Corefile is told. Time is a [`FakeClock`], files live in memory, log lines are kept.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod ask;
mod fakes;
mod kit;
mod labels;
mod script;
mod wire;

pub use ask::{Ask, Seen, SeenEdns};
pub use fakes::{FakeClock, FakeExit, FakeFiles, FakeInterfaces, FakeLog, RealClock, RuntimeSpawner};
pub use kit::{Kit, Recipe};
pub use labels::{METADATA, TELL};
pub use script::{check, check_config, check_corefile};
pub use wire::WireToChain;
