//! From a Corefile to a running server.
//!
//! A [`Source`] gives a text; it is parsed and set up ([`load`], [`examine`]) without opening anything. [`Server::start`] looks up
//! addresses, starts services, opens sockets and side HTTP listeners and gives the instance to the worker threads.
//! [`Server::replace`] does the same for the next instance while the one before goes on: what can fail is done first, so a bad
//! Corefile or a taken port changes nothing. Sockets, side HTTP listeners and counters belong to the server, so an address that stays
//! keeps its socket. [`run`] is a server as a process: signals, pid file, banner, exit codes.

mod ask;
mod banner;
#[cfg(feature = "kubernetes")]
mod configmap;
pub mod http;
mod live;
mod load;
mod process;
mod server;
mod services;
mod sink;
mod source;
mod system;
mod tasks;
mod watch;

pub use banner::{version_lines, zone_lines};
pub use catena_gocompat::os::error_text as go_error;
pub use catena_server::{Parallelism, available_workers, install_panic_hook};
#[cfg(feature = "kubernetes")]
pub use configmap::{Address, ConfigMapSource, START_MAX};
pub use live::{LiveContext, LiveSource};
pub use load::{Examined, Failure, Loaded, examine, hash, load, tell_of_unset_variables};
pub use process::{EXIT_ENDED, EXIT_FATAL, EXIT_FORCED, ProcessExit, ProcessOptions, complain, run};
pub use server::{DRAIN_LIMIT, Facts, Options, Server};
pub use sink::{BUFFER_OCTETS_MAX, FLUSH_LIMIT, Format, Output, go_date};
pub use source::{DEFAULT_FILE, Source, Text, built_in};
pub use system::{Disk, FILE_OCTETS_MAX, HostInterfaces, SystemClock};
pub use tasks::{TASKS_MAX, Tasks};
