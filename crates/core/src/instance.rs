//! What a Corefile became: listeners with their zones, blocks with their chains, and the way of a query to its block.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

use catena_corefile::{Diagnostic, Span, Transport};
use domain::base::iana::OptRcode as Rcode;
use domain::base::iana::{Class, Rtype};
use hashbrown::HashMap as FastMap;

use crate::answer::{Answer, ReplyEdns};
use crate::block::{BindSpec, Block, InstanceSettings};
use crate::clock::{Clock, Spawner};
use crate::foresight::Sight;
use crate::log::Log;
use crate::metrics::{Metrics, RequestMetrics};
use crate::name::Zone;
use crate::plugin::{Next, Reply};
use crate::query::Query;
use crate::service::{HttpSite, Interfaces};
use crate::sockets::SocketSettings;

/// Plugins that want to see queries of every class; one of them on a listener opens all its blocks (CoreDNS: `EnableChaos`).
const CLASS_OPENERS: [&str; 3] = ["chaos", "forward", "proxy"];

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenAddr {
    /// How queries arrive.
    pub transport: Transport,
    /// The address; none: all of the host's.
    pub ip: Option<IpAddr>,
    /// The interface of a link-local IPv6 address.
    pub scope: Option<String>,
    /// The port; 0: one that is free.
    pub port: u16,
}

impl ListenAddr {
    /// The host as banners and messages show it: IPv6 without brackets, the interface behind a `%`.
    #[must_use]
    pub fn host(&self) -> String {
        let ip = self.ip.map(|ip| ip.to_string()).unwrap_or_default();
        match &self.scope {
            Some(scope) => format!("{ip}%{scope}"),
            None => ip,
        }
    }

    /// The socket address; `scope_id` is the number of the interface.
    #[must_use]
    pub fn socket_addr(&self, scope_id: u32) -> SocketAddr {
        match self.ip {
            Some(IpAddr::V6(ip)) => SocketAddrV6::new(ip, self.port, 0, scope_id).into(),
            Some(IpAddr::V4(ip)) => (ip, self.port).into(),
            None => (std::net::Ipv6Addr::UNSPECIFIED, self.port).into(),
        }
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host();
        match self.ip {
            Some(IpAddr::V6(_)) => write!(f, "{}://[{host}]:{}", self.transport, self.port),
            _ => write!(f, "{}://{host}:{}", self.transport, self.port),
        }
    }
}

/// An address with the zones that are served there.
pub struct Listener {
    /// The address.
    pub addr: ListenAddr,
    /// The `server` label of metrics.
    pub label: String,
    /// The zones with the block of each, in the order of the Corefile.
    pub zones: Vec<(Zone, Arc<Block>)>,
    /// For each of `zones`, the next one of the same name: blocks whose views are asked one after the other.
    same: Vec<Option<usize>>,
    /// Panics end the process.
    pub debug: bool,
    /// Panics are logged with their stack.
    pub stacktrace: bool,
    /// What the blocks' directives set for the sockets.
    pub sockets: SocketSettings,
    /// Some block takes updates (RFC 2136).
    pub takes_updates: bool,
    table: FastMap<Box<[u8]>, usize, foldhash::fast::RandomState>,
    depths: u128,
    root: Option<usize>,
    every_class: bool,
}

impl Listener {
    fn new(addr: ListenAddr) -> Self {
        Self {
            label: addr.to_string(),
            addr,
            zones: Vec::new(),
            same: Vec::new(),
            debug: false,
            stacktrace: false,
            sockets: SocketSettings::default(),
            takes_updates: false,
            table: FastMap::default(),
            depths: 0,
            root: None,
            every_class: false,
        }
    }

    fn add(&mut self, zone: Zone, block: &Arc<Block>) {
        let index = self.zones.len();
        let first = if zone.labels() == 0 {
            *self.root.get_or_insert(index)
        } else {
            self.depths |= 1 << zone.labels();
            *self.table.entry(zone.wire().into()).or_insert(index)
        };
        if first != index {
            let mut last = first;
            while let Some(next) = self.same[last] {
                last = next;
            }
            self.same[last] = Some(index);
        }
        self.debug |= block.settings.debug;
        self.stacktrace = block.settings.stacktrace;
        self.takes_updates |= block.takes_updates;
        self.sockets.take(&block.settings.sockets, index == 0);
        self.every_class |= block.links.iter().any(|link| CLASS_OPENERS.contains(&link.name));
        self.zones.push((zone, Arc::clone(block)));
        self.same.push(None);
    }

    /// Whether a link of some chain looks ahead.
    #[must_use]
    pub fn has_foresight(&self) -> bool {
        self.zones.iter().any(|(_, block)| block.seer.is_some())
    }

    /// The block for a query: the longest zone, the root last, and of the blocks of one zone the first whose view takes the query. A
    /// DS query for a zone's own name goes on to the zone above, for the parent holds it (RFC 4035 section 3.1.4.1), unless only the
    /// root is left.
    ///
    /// The query's block is that returned; while a view looks at the query it is the view's.
    fn route(&self, query: &mut Query) -> Option<&Arc<Block>> {
        let count = query.question().labels().count();
        let is_ds = query.qtype() == Rtype::DS;
        let mut own = None;
        for depth in (1..=count).rev().filter(|depth| self.depths >> depth & 1 == 1) {
            let question = query.question();
            let Some(start) = question.labels().suffix_start(depth) else { continue };
            let Some(&first) = self.table.get(&question.lower().as_slice()[start..]) else { continue };
            let Some(block) = self.choose(first, query) else { continue };
            if is_ds && start == 0 {
                own = Some(block);
                continue;
            }
            return Some(block);
        }
        let block = own.or_else(|| self.choose(self.root?, query))?;
        query.enter(block.index);
        Some(block)
    }

    /// Of the blocks of one zone, the first that takes the query. A block without a chain takes it and refuses.
    fn choose(&self, first: usize, query: &mut Query) -> Option<&Arc<Block>> {
        let mut at = Some(first);
        while let Some(index) = at {
            let block = &self.zones[index].1;
            query.enter(block.index);
            if block.links.is_empty() || block.view.as_ref().is_none_or(|view| view.takes(query)) {
                return Some(block);
            }
            at = self.same[index];
        }
        None
    }
}

/// An instance before its interfaces were looked up.
pub struct Draft {
    pub(crate) blocks: Vec<Arc<Block>>,
    pub(crate) settings: InstanceSettings,
    pub(crate) sites: Vec<HttpSite>,
    pub(crate) log: Log,
    pub(crate) metrics: Arc<Metrics>,
}

/// A server that a Corefile describes.
pub struct Instance {
    listeners: Vec<Listener>,
    blocks: Vec<Arc<Block>>,
    /// What directives set for the instance.
    pub settings: InstanceSettings,
    /// The paths wanted on side HTTP listeners.
    pub sites: Vec<HttpSite>,
    /// The instance's log, with its debug switch.
    pub log: Log,
    /// What the server counts about requests.
    pub requests: RequestMetrics,
}

impl Draft {
    /// The blocks.
    #[must_use]
    pub fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    /// Looks up what `bind` names and lays out the listeners.
    ///
    /// # Errors
    /// An interface or address that is none, a port that is none, a zone that is served twice.
    pub fn resolve(self, interfaces: &dyn Interfaces) -> Result<Instance, Diagnostic> {
        let mut listeners: Vec<Listener> = Vec::new();
        let mut seen = Seen::default();
        for block in &self.blocks {
            let hosts = bind_hosts(&block.settings.bind, interfaces, &self.log)?;
            for (key, span) in block.keys.iter().zip(&block.key_spans) {
                let fault = |message: String| located(Diagnostic::error(message), *span);
                let port = if key.transport == Transport::Unix { 0 } else { key.port_number().map_err(fault)? };
                let Some(zone) = Zone::parse(&key.zone) else { continue };
                for (ip, scope) in &hosts {
                    let addr = ListenAddr { transport: key.transport, ip: *ip, scope: scope.clone(), port };
                    seen.check(&zone, &addr, block.view.is_some()).map_err(fault)?;
                    let at = listeners.iter().position(|listener| listener.addr == addr).unwrap_or_else(|| {
                        listeners.push(Listener::new(addr));
                        listeners.len() - 1
                    });
                    listeners[at].add(zone.clone(), block);
                }
            }
        }
        if self.blocks.iter().any(|block| block.settings.debug) {
            self.log.turn_debug_on();
        }
        let requests = RequestMetrics::of(&self.metrics);
        Ok(Instance {
            listeners,
            blocks: self.blocks,
            settings: self.settings,
            sites: self.sites,
            log: self.log,
            requests,
        })
    }
}

fn located(diagnostic: Diagnostic, span: Option<Span>) -> Diagnostic {
    match span {
        Some(span) => diagnostic.with_span(span),
        None => diagnostic,
    }
}

type Host = (Option<IpAddr>, Option<String>);

/// The hosts of all `bind` lines of a block; without one, all addresses. CoreDNS: plugin/bind.
fn bind_hosts(specs: &[BindSpec], interfaces: &dyn Interfaces, log: &Log) -> Result<Vec<Host>, Diagnostic> {
    if specs.is_empty() {
        return Ok(vec![(None, None)]);
    }
    let known = interfaces.addresses().unwrap_or_else(|error| {
        log.of("bind").warning(format_args!("failed to get interfaces list, cannot bind by interface name: {error}"));
        Vec::new()
    });
    let mut hosts = Vec::new();
    for spec in specs {
        let except = expand(&spec.except, &known)?;
        hosts.extend(expand(&spec.hosts, &known)?.into_iter().filter(|host| !except.contains(host)));
    }
    if hosts.is_empty() {
        log.of("bind").warning("every address is excepted: the server block listens nowhere");
    }
    Ok(hosts)
}

fn expand(words: &[(String, Option<Span>)], known: &[(String, IpAddr)]) -> Result<Vec<Host>, Diagnostic> {
    let mut hosts = Vec::new();
    for (word, span) in words {
        let mut of_interface = known.iter().filter(|(name, _)| name == word).peekable();
        if of_interface.peek().is_some() {
            hosts.extend(of_interface.map(|(name, ip)| (Some(*ip), link_local(ip).then(|| name.clone()))));
            continue;
        }
        let ip = word.parse().map_err(|_| {
            let fault = Diagnostic::error(format!("not a valid IP address or interface name: {word:?}"));
            located(fault, *span).with_prefix("bind")
        })?;
        hosts.push((Some(ip), None));
    }
    Ok(hosts)
}

fn link_local(ip: &IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// The zones laid out so far, to find those that are served twice. CoreDNS: `zoneOverlap`.
#[derive(Default)]
struct Seen {
    bound: HashMap<(Zone, ListenAddr), ()>,
    /// For each zone and port, whatever the address: the first listener.
    any: HashMap<(Zone, Transport, u16), ListenAddr>,
}

impl Seen {
    /// Blocks with views may share a zone with each other and come before one without; behind that they would never be asked.
    fn check(&mut self, zone: &Zone, addr: &ListenAddr, has_view: bool) -> Result<(), String> {
        if self.bound.contains_key(&(zone.clone(), addr.clone())) {
            return Err(format!("cannot serve {} - it is already defined", shown(zone, addr)));
        }
        if !has_view {
            self.bound.insert((zone.clone(), addr.clone()), ());
        }
        let place = (zone.clone(), addr.transport, addr.port);
        match self.any.get(&place) {
            Some(first) if first.ip.is_none() != addr.ip.is_none() => Err(format!(
                "cannot serve {} - zone overlap listener capacity with {}",
                shown(zone, addr),
                shown(zone, first)
            )),
            None if !has_view => {
                self.any.insert(place, addr.clone());
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn shown(zone: &Zone, addr: &ListenAddr) -> String {
    let on = if addr.ip.is_some() { format!(" on {}", addr.host()) } else { String::new() };
    format!("{}://{}:{}{on}", addr.transport, zone, addr.port)
}

impl Instance {
    /// The listeners.
    #[must_use]
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// The blocks.
    #[must_use]
    pub fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    /// The addresses on which a block listens, in the order of its keys and hosts.
    #[must_use]
    pub fn listen_addrs(&self, block: &Block) -> Vec<ListenAddr> {
        let serves = |listener: &&Listener| listener.zones.iter().any(|(_, served)| served.index == block.index);
        self.listeners.iter().filter(serves).map(|listener| listener.addr.clone()).collect()
    }

    /// The `server` label of a listener; empty if there is none of that index.
    #[must_use]
    pub fn listener_label(&self, index: usize) -> &str {
        self.listeners.get(index).map_or("", |listener| &listener.label)
    }

    /// Answers a query: class and EDNS version are checked, then the block's chain runs.
    pub async fn serve(&self, query: &mut Query) -> Reply {
        let block = query.take_placed().and_then(|index| self.blocks.get(index));
        match block.map_or_else(|| self.block_for(query), Ok) {
            Ok(block) => Next::whole(block).run(query).await,
            Err(reply) => {
                if let Some(rcode) = reply.rcode()
                    && rcode != Rcode::BADVERS
                {
                    self.requests.count_dropped(query, rcode);
                }
                reply
            }
        }
    }

    /// Finds the block of a query that was read and will be served, and takes the first step of what its chain foresees. `None`: nothing.
    pub fn foresee(&self, query: &mut Query) -> Option<Sight<'_>> {
        // What is refused is refused when it is served, and to refuse a version changes the query.
        if query.edns().is_some_and(|edns| edns.version != 0) {
            return None;
        }
        let block = self.block_for(query).ok()?;
        query.set_is_placed();
        let foresight = block.links.get(block.seer?)?.plugin.foresight()?;
        let mut sight = Sight::new(foresight);
        sight.go_on(query);
        Some(sight)
    }

    fn block_for(&self, query: &mut Query) -> Result<&Arc<Block>, Reply> {
        let Some(listener) = self.listeners.get(query.listener()) else { return Err(refused()) };
        if query.qclass() != Class::IN && !listener.every_class {
            return Err(refused());
        }
        if query.edns().is_some_and(|edns| edns.version != 0) {
            return Err(bad_version(query));
        }
        match listener.route(query) {
            // A zone without a chain refuses, and no shorter zone is tried.
            // As it is where no block of the listener takes any.
            Some(block) if query.is_update() && !block.takes_updates => Err(Reply::status(Rcode::NOTIMP)),
            Some(block) if !block.links.is_empty() => Ok(block),
            _ => Err(refused()),
        }
    }
}

/// REFUSED without a message, for queries that nothing here is responsible for.
fn refused() -> Reply {
    Reply::status(Rcode::REFUSED)
}

/// RFC 6891 section 6.1.3. CoreDNS replies with a size of 0 and without DO.
fn bad_version(query: &mut Query) -> Reply {
    let mut answer = Answer::to(query).with_rcode(Rcode::BADVERS);
    answer.edns = Some(ReplyEdns::default());
    if let Some(edns) = query.edns_mut() {
        edns.udp_size = 0;
        edns.flags = 0;
        edns.version = 0;
    }
    answer.into()
}

/// A worker's surroundings, shared by its queries and by nobody else, so that counting references stays within one core.
pub struct Env {
    /// The instance.
    pub instance: Arc<Instance>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Starts tasks that end with the instance.
    pub spawner: Arc<dyn Spawner>,
    /// Which worker it is, from 0; work outside workers has the number after the last.
    pub worker: usize,
}
