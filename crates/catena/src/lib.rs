//! Catena as a library.
//!
//! ```no_run
//! # async fn run() -> Result<(), catena::Failure> {
//! let dns = catena::stock().without("etcd").start("example.org:0 {\n whoami\n}").await?;
//! let reply = dns.ask("www.example.org", catena::Rtype::A).await;
//! dns.reload("example.org:0 {\n}").await?;
//! dns.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! A list of plugins is a value ([`Builder`]), and so is a server ([`Running`]): two of them with different lists live in one
//! process. [`main`] is the whole program for somebody's own list.

mod check;
mod embed;
mod flags;
mod program;

pub use catena_core::{Level, Log, LogSink, NoLog, PluginDef, PluginList, Rtype};
pub use catena_runtime::Failure;
pub use check::{Report, check};
pub use embed::{Builder, Running, stock};
pub use flags::{Flags, Stop, usage};
pub use program::main;

/// Name and version, as the banner shows them.
pub const PRODUCT: &str = concat!("Catena-", env!("CARGO_PKG_VERSION"));
