//! Many datagrams a system call, for whoever has a UDP socket: listeners, upstreams, measurements.
//!
//! A [`Receiver`] reads a batch into buffers of its own, a [`Sender`] sends one. Both are used again and again and allocate nothing
//! on the way.

mod batch;

pub use batch::{
    BATCH_MAX, Datagram, Outgoing, QUERY_OCTETS_MAX, Receiver, Sender, ask_for_arrival, ask_for_destination,
};
