//! One query on its walk through the chain: who asks what, over which listener, and what plugins keep about it.

use std::any::Any;
use std::borrow::Cow;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use catena_corefile::Transport;
use domain::base::Name;
use domain::base::iana::{Class, Opcode, Rtype};

use crate::answer::{Answer, flags};
use crate::block::Block;
use crate::clock::Clock;
use crate::finish::Seal;
use crate::instance::Env;
use crate::metrics::Shard;
use crate::name::OwnedName;
use crate::plugin::{Error, Reply};
use crate::question::Question;
use crate::subnet::Subnet;

/// How deep look-ups that plugins make from inside the chain may nest (a CNAME chase through templates, say).
pub const LOOKUP_DEPTH_MAX: u8 = 10;
/// The smallest size of a UDP reply that every client takes, octets (RFC 1035 section 4.2.1).
pub const UDP_SIZE_MIN: u16 = 512;

/// What carries the messages of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Datagrams: replies are cut to the client's size.
    Udp,
    /// Streams: replies are cut to 65535 octets.
    Tcp,
}

impl Protocol {
    /// `udp` or `tcp`, as logs and metrics say it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// The OPT record of a query (RFC 6891 section 6.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edns {
    /// The size that the client takes over UDP, octets; plugins may lower it.
    pub udp_size: u16,
    /// The EDNS version; only 0 exists.
    pub version: u8,
    /// The flags: DO is the highest bit.
    pub flags: u16,
    /// Options in wire form: code, length, data, one after the other.
    pub options: Vec<u8>,
}

impl Edns {
    /// DNSSEC OK (RFC 3225).
    #[must_use]
    pub fn dnssec_ok(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    /// The options as code and data; stops at a broken one.
    pub fn options(&self) -> impl Iterator<Item = (u16, &[u8])> {
        edns_options(&self.options)
    }
}

/// Reads options in wire form as code and data; stops at a broken one.
pub fn edns_options(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (head, tail) = rest.split_at_checked(4)?;
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (data, after) = tail.split_at_checked(len)?;
        rest = after;
        Some((u16::from_be_bytes([head[0], head[1]]), data))
    })
}

/// Where a message came in.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The client's address.
    pub client: SocketAddr,
    /// The address that the client sent to.
    pub local: SocketAddr,
    /// Datagram or stream.
    pub protocol: Protocol,
    /// The scheme of the listener.
    pub transport: Transport,
    /// Which of the instance's listeners it is.
    pub listener: usize,
    /// When it was read.
    pub received: Instant,
    /// The socket's queue of replies is full: a reply would put another one out. Only with [`crate::ReplyQueue`].
    pub is_crowded: bool,
}

/// A key for what a plugin keeps with a query, given out at setup by [`crate::Setup::slot`].
pub struct Slot<T> {
    index: usize,
    of: PhantomData<fn() -> T>,
}

impl<T> Slot<T> {
    pub(crate) fn new(index: usize) -> Self {
        Self { index, of: PhantomData }
    }
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Slot<T> {}

/// A query and its context. One pointer wide; workers keep them and use them again.
pub struct Query(Box<Inner>);

struct Inner {
    request: Vec<u8>,
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
        inner.arrival = arrival;
        inner.deadline = None;
        if let Some(edns) = inner.edns.take() {
            inner.spare_options = edns.options;
        }
        inner.subnet = None;
        inner.depth = 0;
        inner.block = usize::MAX;
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
    pub(crate) fn fill(&mut self, id: u16, flags: u16, edns: Option<Edns>) {
        let inner = &mut *self.0;
        inner.id = id;
        inner.flags = flags;
        inner.edns = edns;
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

    /// The length of the request without compression, octets: what CoreDNS logs and counts as its size.
    #[must_use]
    pub fn request_len(&self) -> usize {
        self.0.request.len()
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

    /// Whether labels can be set on the query: its block has the plugin `metadata`.
    #[must_use]
    pub fn has_labels(&self) -> bool {
        self.block().is_some_and(|block| block.settings.label_zones.is_some())
    }

    /// The value of a label such as `forward/upstream`: what a plugin set on the way, else what a plugin knows of queries for names in
    /// the zones of `metadata`. CoreDNS: `metadata.ValueFunc`.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<Cow<'_, str>> {
        if let Some((_, value)) = self.0.labels.iter().find(|(known, _)| *known == name) {
            return Some(value.as_str().into());
        }
        let block = self.block()?;
        let zones = block.settings.label_zones.as_ref()?;
        zones.longest(self.original().lower().as_slice(), self.original().labels())?;
        block.labels.iter().rev().find_map(|labels| labels.label(name, self))
    }

    /// Sets a label, or gives it another value, if the block has the plugin `metadata`; the value is made only then.
    pub fn set_label(&mut self, name: &'static str, value: impl FnOnce(&Self) -> String) {
        if self.has_labels() {
            let value = value(self);
            match self.0.labels.iter_mut().find(|(known, _)| *known == name) {
                Some((_, before)) => *before = value,
                None => self.0.labels.push((name, value)),
            }
        }
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

    /// Keeps something of a plugin's with the query.
    pub fn put<T: Send + Sync + 'static>(&mut self, slot: Slot<T>, value: T) {
        let slots = &mut self.0.slots;
        if slots.len() <= slot.index {
            slots.resize_with(slot.index + 1, || None);
        }
        slots[slot.index] = Some(Box::new(value));
    }

    /// Looks at what a plugin keeps with the query.
    #[must_use]
    pub fn get<T: Send + Sync + 'static>(&self, slot: Slot<T>) -> Option<&T> {
        self.0.slots.get(slot.index)?.as_ref()?.downcast_ref()
    }

    /// Takes out what a plugin keeps with the query.
    pub fn take<T: Send + Sync + 'static>(&mut self, slot: Slot<T>) -> Option<T> {
        let kept = self.0.slots.get_mut(slot.index)?.take()?;
        kept.downcast().ok().map(|value| *value)
    }

    /// A copy that lives on its own, for work that outlives the query. What plugins keep with the query stays behind.
    #[must_use]
    pub fn fork(&self) -> Self {
        let inner = &*self.0;
        Self(Box::new(Inner {
            request: inner.request.clone(),
            id: inner.id,
            flags: inner.flags,
            question: inner.question.clone(),
            original: inner.original.clone(),
            shown: inner.shown.clone(),
            edns: inner.edns.clone(),
            subnet: inner.subnet,
            arrival: inner.arrival.clone(),
            deadline: None,
            env: Arc::clone(&inner.env),
            block: inner.block,
            labels: Vec::new(),
            seal: None,
            depth: inner.depth,
            is_fork: true,
            spare: None,
            spare_options: Vec::new(),
            slots: Vec::new(),
        }))
    }

    /// Asks this server itself for a name in class IN: routing starts over, every plugin sees the query, nothing is sent.
    ///
    /// CoreDNS: plugin/pkg/upstream. The query keeps the client's address, protocol and EDNS.
    ///
    /// # Errors
    /// SERVFAIL blamed on the configuration when look-ups nest deeper than [`LOOKUP_DEPTH_MAX`].
    pub async fn lookup(&self, name: &Name<[u8]>, qtype: Rtype) -> Result<Reply, Error> {
        if self.0.depth >= LOOKUP_DEPTH_MAX {
            return Err(Error::ours(format!(
                "look-ups nested deeper than {LOOKUP_DEPTH_MAX} at {}",
                name.fmt_with_dot()
            )));
        }
        let mut inner = self.fork();
        let question = Question::new(name, qtype, Class::IN);
        inner.0.original = None;
        inner.0.shown = None;
        inner.0.question = question;
        inner.0.subnet = None;
        inner.0.depth += 1;
        inner.0.arrival.received = self.now();
        inner.0.deadline = self.0.deadline;
        inner.0.rewrite_request();
        let env = Arc::clone(&inner.0.env);
        Ok(Box::pin(async move { env.instance.serve(&mut inner).await }).await)
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

    /// The request as a message with the current question, flags and OPT record: what a plugin sends upstream.
    pub fn write_request(&self, id: u16, out: &mut Vec<u8>) {
        self.0.compose(id, out);
    }

    /// The name of the question as an owned one, in lower case.
    #[must_use]
    pub fn owned_lower(&self) -> OwnedName {
        OwnedName::from_octets(self.lower().as_slice().to_vec()).unwrap_or_else(|_| Name::root_vec())
    }
}

impl Inner {
    fn rewrite_request(&mut self) {
        let mut message = Vec::new();
        self.compose(self.id, &mut message);
        self.request = message;
    }

    fn compose(&self, id: u16, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&(self.flags & !flags::QR).to_be_bytes());
        let additional = u16::from(self.edns.is_some());
        for count in [1, 0, 0, additional] {
            out.extend_from_slice(&u16::to_be_bytes(count));
        }
        out.extend_from_slice(self.question.name().as_slice());
        out.extend_from_slice(&self.question.qtype().to_int().to_be_bytes());
        out.extend_from_slice(&self.question.qclass().to_int().to_be_bytes());
        if let Some(edns) = &self.edns {
            let ttl = u32::from(edns.version) << 16 | u32::from(edns.flags);
            crate::finish::write_opt(out, edns.udp_size, ttl, &edns.options);
        }
    }
}
