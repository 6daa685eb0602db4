//! Workers on real sockets of the loopback interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod adopt;
mod binding;
mod harness;
mod panics;
mod proxy;
mod settings;
mod tcp;
mod udp;
