//! The core of Catena: what a query is, what a plugin is, and how the one walks through the others.
//!
//! A query is read from octets by [`Query::read`], finds its server block in [`Instance::serve`], walks along the links of the
//! block's chain ([`Plugin::serve`], [`Next::run`]) and comes back as a [`Reply`], which [`finish`] turns into octets. A Corefile
//! becomes an [`Instance`] in two steps: [`build`] runs every directive's [`SetupFn`] and opens nothing, [`Draft::resolve`] looks up
//! addresses. There are no sockets here, no runtime, no global state: time, tasks, files and interfaces come in as traits.

mod answer;
mod block;
mod build;
pub mod classify;
mod clock;
mod finish;
pub mod foresight;
mod instance;
mod intake;
mod labels;
mod log;
pub mod metrics;
pub mod name;
mod plugin;
mod query;
mod question;
mod record;
mod service;
mod setup;
mod sockets;
mod subnet;
mod transfer;
pub mod wire;

pub use answer::{ANSWER_OCTETS_MAX, Answer, ReplyEdns, SECTION_RECORDS_MAX, SECTIONS, Section, flags};
pub use async_trait::async_trait;
pub use block::{BindSpec, Block, BlockSettings, InstanceSettings, NamedService, ReloadSettings};
pub use build::{Built, DIAGNOSTICS_MAX, DIRECTIVE_ERRORS_MAX, build};
pub use catena_corefile as corefile;
pub use catena_corefile::{Address, Cursor, Diagnostic, Files, Span, Transport};
pub use clock::{Clock, Spawner, Task};
pub use domain::base::iana::OptRcode as Rcode;
pub use domain::base::iana::{Class, Opcode, Rtype};
pub use finish::{DATAGRAM_OCTETS_MAX, Finished, Seal, finish, finish_bare, finish_part, reply_options, will_truncate};
pub use foresight::{Foresight, Sight};
pub use instance::{Draft, Env, Instance, ListenAddr, Listener};
pub use intake::{Intake, UPDATE_ADDITIONAL_MAX, UPDATE_RECORDS_MAX};
pub use labels::{AutoPath, Labels, LabelsSet, View, is_label};
pub use log::{Level, Log, LogSink, NoLog};
pub use metrics::{Metrics, PerServer};
pub use name::{Fallthrough, InlineName, LabelStarts, OwnedName, Zone, Zones};
pub use plugin::{Blame, Body, Error, Fixed, Link, Next, Plugin, Reply, Rest, Run, is_unwritten};
pub use query::{Arrival, Edns, LOOKUP_DEPTH_MAX, Protocol, Query, Slot, UDP_SIZE_MIN, edns_options};
pub use question::Question;
pub use record::{Entry, Record, Shape};
pub use service::{
    BindFailure, ClientAuth, Exit, HttpHandler, HttpReply, HttpSite, HttpTls, Interfaces, Readiness, Service,
    SiteClose, StartContext, TlsVersions,
};
pub use setup::{BuildContext, Linked, PluginDef, PluginList, Setup, SetupFn};
pub use sockets::{
    MessageLimit, ProxyPolicy, ProxyProtocol, ProxySessions, ReplyQueue, SocketCount, SocketSettings, Timeouts,
};
pub use subnet::{OPTION_SUBNET, Subnet};
pub use transfer::{Envelopes, Notifier, Outgoing, RecordRef, Transfer};

/// What a plugin's file usually needs.
pub mod prelude {
    pub use crate::{
        Answer, Class, Cursor, Diagnostic, Error, Fallthrough, Next, Plugin, PluginDef, Query, Rcode, Reply, Rtype,
        Section, Setup, Zone, Zones, async_trait, flags,
    };
}
