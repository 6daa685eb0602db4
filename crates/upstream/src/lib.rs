//! The client side of DNS: asking other servers on behalf of queries, for `forward` and its like.
//!
//! An [`Upstream`] is one server: an address, how to reach it, how often it failed. [`Upstream::ask`] sends a query over UDP, TCP or TLS
//! on a connection that is kept for the next query, and reads the reply into an [`Answer`](catena_core::Answer). Connections are kept per
//! worker, because a socket belongs to the runtime that opened it, and moved when another worker has need of one; a worker with many
//! queries under way lets them share sockets, and sends and reads them in batches. Fails, health checks and metrics are the upstream's. A [`Policy`] says
//! in which order upstreams are tried. [`exchange_udp`] is a single question outside of any chain.
//!
//! What goes wrong is told in the words of Go's `net` package, since that is what operators of CoreDNS search their logs for.

mod conn;
mod dial;
mod doh;
mod driver;
mod error;
mod health;
mod lanes;
mod message;
mod metrics;
mod policy;
mod pool;
mod single;
mod tls;
mod upstream;

pub use conn::SKIPPED_MAX;
pub use dial::{DIAL_TIMEOUT_MAX, DIAL_TIMEOUT_MIN};
pub use doh::DohMethod;
pub use error::{ExchangeError, os_text};
pub use health::{Health, INTERVAL_MIN};
pub use lanes::{LANE_AGE_MAX, LANE_FLIGHTS_MAX, LANES_DRAINING_MAX, LANES_FROM, LANES_MAX};
pub use message::write_question;
pub use metrics::ProxyMetrics;
pub use policy::{Order, Policy, PolicyKind};
pub use pool::{IDLE_MAX, IN_FLIGHT_MAX, WORKERS_MAX};
pub use single::{LOOKUP_ADDRESSES_MAX, exchange_udp, exchange_udp_from, lookup_addresses};
pub use tls::{TlsClient, TlsError};
pub use upstream::{Ask, Options, Upstream, WRITE_TIMEOUT};
