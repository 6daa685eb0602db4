//! One query on its walk through the chain: who asks what, over which listener, and what plugins keep about it.

mod arrival;
mod edns;
mod inside;
mod kept;

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::base::Name;
use domain::base::iana::{Class, Opcode, Rtype};

use crate::answer::{Answer, flags};
use crate::block::Block;
use crate::clock::Clock;
use crate::finish::Seal;
use crate::instance::Env;
use crate::metrics::Shard;
use crate::name::OwnedName;
use crate::question::Question;
use crate::subnet::Subnet;

pub use arrival::{Arrival, Protocol};
pub use edns::{Edns, edns_options};
pub use inside::LOOKUP_DEPTH_MAX;
pub use kept::Slot;

/// The smallest size of a UDP reply that every client takes, octets (RFC 1035 section 4.2.1).
pub const UDP_SIZE_MIN: u16 = 512;

/// A query and its context. One pointer wide; workers keep them and use them again.
pub struct Query(Box<Inner>);

struct Inner {
    request: Vec<u8>,
    request_len: usize,
    id: u16,
    flags: u16,
    question: Question,
    original: Option<Box<Question>>,
    /// What the reply shows instead of the question as it came.
    shown: Option<Box<Question>>,
    edns: Option<Edns>,
    subnet: Option<Subnet>,
    arrival: Arrival,
    deadline: Option<Instant>,
    env: Arc<Env>,
    /// The index of the server block.
    block: usize,
    /// The block was found before the query is served.
    is_placed: bool,
    /// Labels that plugins set on the way.
    labels: Vec<(&'static str, String)>,
    seal: Option<Box<dyn Seal>>,
    depth: u8,
    /// It lives on its own, perhaps on another thread than its worker's.
    is_fork: bool,
    spare: Option<Box<Answer>>,
    /// The buffer of the options of the query before.
    spare_options: Vec<u8>,
    slots: Vec<Option<Box<dyn Any + Send + Sync>>>,
}

impl Query {
    /// An empty query for the worker to read messages into. All that belong to one [`Env`] are served on one thread, forks excepted: they
    /// count in the cells of its worker.
    #[must_use]
    pub fn new(env: Arc<Env>, arrival: Arrival) -> Self {
        Self(Box::new(Inner {
            request: Vec::new(),
            request_len: 0,
            id: 0,
            flags: 0,
            original: None,
            shown: None,
            question: Question::none(),
            edns: None,
            subnet: None,
            arrival,
            deadline: None,
            env,
            block: usize::MAX,
            is_placed: false,
            labels: Vec::new(),
            seal: None,
            depth: 0,
            is_fork: false,
            spare: None,
            spare_options: Vec::new(),
            slots: Vec::new(),
        }))
    }

    pub(crate) fn start(&mut self, message: &[u8], arrival: Arrival) {
        let inner = &mut *self.0;
        inner.request.clear();
        inner.request.extend_from_slice(message);
        inner.request_len = message.len();
        inner.arrival = arrival;
        inner.deadline = None;
        if let Some(edns) = inner.edns.take() {
            inner.spare_options = edns.options;
        }
        inner.subnet = None;
        inner.depth = 0;
        inner.block = usize::MAX;
        inner.is_placed = false;
        inner.original = None;
        inner.shown = None;
        inner.labels.clear();
        inner.seal = None;
        inner.slots.clear();
    }

    /// The question, for the reader of a message.
    pub(crate) fn asked_mut(&mut self) -> &mut Question {
        &mut self.0.question
    }

    /// Sets what a message says besides its question.
    pub(crate) fn fill(&mut self, id: u16, flags: u16, edns: Option<Edns>, request_len: usize) {
        let inner = &mut *self.0;
        inner.id = id;
        inner.flags = flags;
        inner.edns = edns;
        inner.request_len = request_len;
    }

    /// The message as it came, octets on the wire.
    #[must_use]
    pub fn request(&self) -> &[u8] {
        &self.0.request
    }

    /// The message's id.
    #[must_use]
    pub fn id(&self) -> u16 {
        self.0.id
    }

    /// The request's flags, see [`flags`].
    #[must_use]
    pub fn flags(&self) -> u16 {
        self.0.flags
    }

    /// Whether the request has a flag.
    #[must_use]
    pub fn has(&self, flag: u16) -> bool {
        self.0.flags & flag != 0
    }

    /// Sets or clears a flag of the request, for what comes after in the chain.
    pub fn set_flag(&mut self, flag: u16, on: bool) {
        if on { self.0.flags |= flag } else { self.0.flags &= !flag }
    }

    /// The opcode.
    #[must_use]
    pub fn opcode(&self) -> Opcode {
        Opcode::from_int(((self.0.flags & flags::OPCODE) >> 11) as u8)
    }

    /// Whether it is an update (RFC 2136), not a query.
    #[must_use]
    pub fn is_update(&self) -> bool {
        self.0.flags & flags::OPCODE == flags::OPCODE_UPDATE
    }

    /// The flags with which a reply starts: QR, the opcode and, for opcode QUERY, RD and CD of the request.
    #[must_use]
    pub fn reply_flags(&self) -> u16 {
        let opcode = self.0.flags & flags::OPCODE;
        let taken = if opcode == 0 { self.0.flags & (flags::RD | flags::CD) } else { 0 };
        flags::QR | opcode | taken
    }

    /// The question, as plugins before may have changed it.
    #[must_use]
    pub fn question(&self) -> &Question {
        &self.0.question
    }

    /// The question as it came.
    #[must_use]
    pub fn original(&self) -> &Question {
        self.0.original.as_deref().unwrap_or(&self.0.question)
    }

    /// Asks something else from here on; the reply still shows the question as it came.
    pub fn set_question(&mut self, question: Question) {
        let before = std::mem::replace(&mut self.0.question, question);
        self.0.original.get_or_insert_with(|| Box::new(before));
    }

    /// Has the reply show the question as it is now, not as it came.
    pub fn show_changed_question(&mut self) {
        self.0.shown = Some(Box::new(self.0.question.clone()));
    }

    /// The question that the reply shows: that which came, unless [`Query::show_changed_question`] was called.
    #[must_use]
    pub fn shown_question(&self) -> &Question {
        self.0.shown.as_deref().unwrap_or_else(|| self.original())
    }

    /// The name asked, in its case.
    #[must_use]
    pub fn name(&self) -> &Name<[u8]> {
        self.0.question.name()
    }

    /// The name asked, in lower case.
    #[must_use]
    pub fn lower(&self) -> &Name<[u8]> {
        self.0.question.lower()
    }

    /// The type asked.
    #[must_use]
    pub fn qtype(&self) -> Rtype {
        self.0.question.qtype()
    }

    /// The class asked.
    #[must_use]
    pub fn qclass(&self) -> Class {
        self.0.question.qclass()
    }

    /// The OPT record, if the query has one.
    #[must_use]
    pub fn edns(&self) -> Option<&Edns> {
        self.0.edns.as_ref()
    }

    /// The OPT record, to be changed for what comes after in the chain and for the reply.
    pub fn edns_mut(&mut self) -> &mut Option<Edns> {
        &mut self.0.edns
    }

    /// For which network the query is asked, where replies are to be kept by network (RFC 7871). `None`: a reply is for everybody;
    /// [`Subnet::NONE`]: the query is for nobody in particular, and others may get other replies.
    #[must_use]
    pub fn subnet(&self) -> Option<Subnet> {
        self.0.subnet
    }

    /// Says for which network the query is asked. Forks have it too, look-ups from inside do not.
    pub fn set_subnet(&mut self, subnet: Option<Subnet>) {
        self.0.subnet = subnet;
    }

    /// DNSSEC OK.
    #[must_use]
    pub fn dnssec_ok(&self) -> bool {
        self.0.edns.as_ref().is_some_and(Edns::dnssec_ok)
    }

    /// The largest reply that the client takes, octets: over UDP its EDNS size, 512 at least; over TCP 65535.
    #[must_use]
    pub fn size_limit(&self) -> usize {
        match self.0.arrival.protocol {
            Protocol::Tcp => 65_535,
            Protocol::Udp => {
                usize::from(self.0.edns.as_ref().map_or(UDP_SIZE_MIN, |edns| edns.udp_size.max(UDP_SIZE_MIN)))
            }
        }
    }

    /// The length of the request without compression and without what lies behind its last record, octets: what CoreDNS logs and counts
    /// as its size.
    #[must_use]
    pub fn request_len(&self) -> usize {
        self.0.request_len
    }

    /// Where the message came in.
    #[must_use]
    pub fn arrival(&self) -> &Arrival {
        &self.0.arrival
    }

    /// Where the message came in, to be changed on a fork.
    pub fn arrival_mut(&mut self) -> &mut Arrival {
        &mut self.0.arrival
    }

    /// The client's address.
    #[must_use]
    pub fn client(&self) -> SocketAddr {
        self.0.arrival.client
    }

    /// The address that the client sent to.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.0.arrival.local
    }

    /// Datagram or stream.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.0.arrival.protocol
    }

    /// When the message was read.
    #[must_use]
    pub fn received(&self) -> Instant {
        self.0.arrival.received
    }

    /// What time it is, a few microseconds give or take: see [`Clock::now`].
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.env.clock.now()
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.0.env.clock
    }

    /// How long ago the message was read.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.env.clock.exact().saturating_duration_since(self.received())
    }

    /// Gives up on the query at that time. An earlier deadline stays; look-ups from inside have it too, forks do not.
    ///
    /// Nothing is interrupted: links that ask others on the query's behalf look at [`Query::is_overdue`] before they start anew.
    /// CoreDNS: `context.WithTimeout`.
    pub fn set_deadline(&mut self, deadline: Instant) {
        let earlier = self.0.deadline.map_or(deadline, |known| known.min(deadline));
        self.0.deadline = Some(earlier);
    }

    /// Whether the query's deadline has passed.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        self.0.deadline.is_some_and(|deadline| self.now() >= deadline)
    }

    /// The worker's surroundings: instance, clock, spawner.
    #[must_use]
    pub fn env(&self) -> &Arc<Env> {
        &self.0.env
    }

    /// In whose cells this query counts.
    #[must_use]
    pub fn shard(&self) -> Shard {
        if self.0.is_fork { Shard::SHARED } else { Shard::of_worker(self.0.env.worker) }
    }

    /// The index of the listener among the instance's, for [`crate::PerServer`].
    #[must_use]
    pub fn listener(&self) -> usize {
        self.0.arrival.listener
    }

    /// The `server` label of metrics, such as `dns://:53`.
    #[must_use]
    pub fn server(&self) -> &str {
        self.0.env.instance.listener_label(self.listener())
    }

    /// The query is in the hands of a server block.
    pub(crate) fn enter(&mut self, block: usize) {
        self.0.block = block;
    }

    /// The block that it is in is that which serves it.
    pub(crate) fn set_is_placed(&mut self) {
        self.0.is_placed = true;
    }

    /// The block that was found before, the first time that it is asked for.
    pub(crate) fn take_placed(&mut self) -> Option<usize> {
        std::mem::take(&mut self.0.is_placed).then_some(self.0.block)
    }

    /// The server block that has the query.
    #[must_use]
    pub fn block(&self) -> Option<&Block> {
        self.0.env.instance.blocks().get(self.0.block).map(|block| &**block)
    }

    /// The `view` label of metrics: the name of the block's view, empty if it has none.
    #[must_use]
    pub fn view(&self) -> &str {
        self.block().and_then(|block| block.view.as_ref()).map_or("", |view| view.name())
    }

    /// Has the reply signed, whatever it will be.
    pub fn set_seal(&mut self, seal: Box<dyn Seal>) {
        self.0.seal = Some(seal);
    }

    /// The name of the key with which the request was signed, lower case on the wire; `None` unless a plugin before found the signature to
    /// be right.
    #[must_use]
    pub fn signed_by(&self) -> Option<&[u8]> {
        self.0.seal.as_deref()?.signed_by()
    }

    pub(crate) fn seal(&self) -> Option<&dyn Seal> {
        self.0.seal.as_deref()
    }

    pub(crate) fn seal_mut(&mut self) -> Option<&mut Box<dyn Seal>> {
        self.0.seal.as_mut()
    }

    /// Whether it was made inside the server by [`Query::lookup`].
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.0.depth > 0
    }

    /// A buffer with a copy of these options.
    pub(crate) fn options_of(&mut self, octets: &[u8]) -> Vec<u8> {
        let mut options = std::mem::take(&mut self.0.spare_options);
        options.clear();
        options.extend_from_slice(octets);
        options
    }

    /// The answer that was given back, or a new one.
    pub(crate) fn take_spare(&mut self) -> Box<Answer> {
        self.0.spare.take().unwrap_or_default()
    }

    /// Gives an answer back whose buffers the next reply may use.
    pub fn recycle(&mut self, answer: Box<Answer>) {
        self.0.spare = Some(answer);
    }

    /// The name of the question as an owned one, in lower case.
    #[must_use]
    pub fn owned_lower(&self) -> OwnedName {
        OwnedName::from_octets(self.lower().as_slice().to_vec()).unwrap_or_else(|_| Name::root_vec())
    }
}
