//! Listeners and worker threads: from sockets to the chain and back.
//!
//! [`bind`] opens the sockets of an address, at least one UDP and one TCP socket for each worker. [`Workers`] are threads, each with a runtime
//! of its own, that read these sockets: a batch of datagrams, or the frames of a connection. Every query is polled once in place;
//! one that has to wait is polled again when it is woken, with all others of its socket that were. [`Workers::adopt`] gives all workers a new [`Generation`] between two batches, so
//! nothing is lost when the configuration changes.

mod bind;
mod clock;
mod cpus;
mod exchange;
mod flight;
mod limits;
mod panics;
mod proxy;
mod serve;
mod tcp;
mod udp;
mod worker;
mod workers;

pub use bind::{BindError, Bound, bind, rebind, sockets_of};
pub use cpus::{Parallelism, WORKERS_MAX, available_workers};
pub use limits::{
    CONNECTION_QUERIES_MAX, CONNECTIONS_MAX, IDLE_TIMEOUT, Limits, PROXY_HEADER_TIMEOUT, QUEUED_OCTETS_MAX,
    READ_TIMEOUT, REPLY_QUEUE_MAX, STREAM_TIMEOUT, TASKS_MAX, WRITE_TIMEOUT,
};
pub use panics::install_panic_hook;
pub use workers::{Context, Generation, Workers};
