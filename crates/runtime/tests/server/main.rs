//! A whole server on the loopback interface: start, reload, watch, end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, missing_docs)]

mod kit;
mod life;
mod reload;
mod watch;
