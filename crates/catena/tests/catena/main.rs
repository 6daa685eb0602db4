//! The program as a process, and servers inside of this one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, missing_docs)]

mod embed;
mod flags;
mod process;
mod signals;
