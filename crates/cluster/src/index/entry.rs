//! What a lookup hands out: immutable, packed, shared snapshots of a Service and its endpoints.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// The longest label of a name, RFC 1035 section 2.3.4.
pub const LABEL_MAX: usize = 63;

/// A transport protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// None was given; it matches only where none is asked for.
    Unset,
    /// TCP
    Tcp,
    /// UDP
    Udp,
    /// SCTP
    Sctp,
}

impl Protocol {
    /// Reads the API's spelling in any case; what is unknown is [`Protocol::Unset`].
    pub fn parse(text: &str) -> Self {
        [Self::Tcp, Self::Udp, Self::Sctp]
            .into_iter()
            .find(|known| known.label().eq_ignore_ascii_case(text))
            .unwrap_or(Self::Unset)
    }

    /// The label for it in a name, without the underscore; empty for [`Protocol::Unset`].
    pub fn label(self) -> &'static str {
        match self {
            Self::Unset => "",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// A port of a Service or of its endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Port {
    /// Its name, often empty.
    pub name: Arc<str>,
    /// Its number; `None` stands for the whole object when it lists no ports, and for a port without a number.
    pub number: Option<u16>,
    /// Its protocol.
    pub protocol: Protocol,
}

impl Port {
    /// Tells whether it is the asked one; an empty name or protocol asks for any (CoreDNS: plugin/kubernetes).
    pub fn matches(&self, name: &[u8], protocol: &[u8]) -> bool {
        (name.is_empty() || name.eq_ignore_ascii_case(self.name.as_bytes()))
            && (protocol.is_empty() || protocol.eq_ignore_ascii_case(self.protocol.label().as_bytes()))
    }
}

/// What sort of Service it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceKind {
    /// It has addresses of its own.
    ClusterIp,
    /// Its endpoints answer for it.
    Headless,
    /// It is another name for this one.
    ExternalName(Box<str>),
}

/// A way in from outside: an external address or a load balancer's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum External {
    /// An address.
    Address(IpAddr),
    /// A name.
    Name(Box<str>),
}

/// A Service, packed.
#[derive(Debug)]
pub struct Service {
    /// What sort it is.
    pub kind: ServiceKind,
    /// Its cluster addresses, in the API's order.
    pub cluster_ips: Box<[IpAddr]>,
    /// Its ports; never empty, see [`Port::number`].
    pub ports: Arc<[Port]>,
    /// External addresses, then the load balancer's.
    pub external: Box<[External]>,
    pub(super) mark: AtomicU32,
}

impl Service {
    /// Its external addresses; names are left out.
    pub fn external_ips(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.external.iter().filter_map(|one| match one {
            External::Address(ip) => Some(*ip),
            External::Name(_) => None,
        })
    }
}

impl PartialEq for Service {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.cluster_ips == other.cluster_ips
            && self.ports == other.ports
            && self.external == other.external
    }
}

/// The addresses of a slice, as small as their family lets them be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Addresses {
    V4(Box<[Ipv4Addr]>),
    V6(Box<[Ipv6Addr]>),
    Mixed(Box<[IpAddr]>),
}

impl Addresses {
    pub(super) fn pack(all: Vec<IpAddr>) -> Self {
        if all.iter().all(IpAddr::is_ipv4) {
            Self::V4(all.into_iter().filter_map(|ip| if let IpAddr::V4(ip) = ip { Some(ip) } else { None }).collect())
        } else if all.iter().all(IpAddr::is_ipv6) {
            Self::V6(all.into_iter().filter_map(|ip| if let IpAddr::V6(ip) = ip { Some(ip) } else { None }).collect())
        } else {
            Self::Mixed(all.into())
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::V4(all) => all.len(),
            Self::V6(all) => all.len(),
            Self::Mixed(all) => all.len(),
        }
    }

    pub(super) fn get(&self, at: usize) -> Option<IpAddr> {
        match self {
            Self::V4(all) => all.get(at).map(|ip| IpAddr::V4(*ip)),
            Self::V6(all) => all.get(at).map(|ip| IpAddr::V6(*ip)),
            Self::Mixed(all) => all.get(at).copied(),
        }
    }
}

/// An EndpointSlice, packed: ready endpoints only.
#[derive(Debug)]
pub struct Slice {
    pub(super) name: Box<str>,
    pub(super) ports: Arc<[Port]>,
    // The cluster that it comes from, if it is of a ServiceImport; empty if its label is missing.
    pub(super) cluster: Option<Arc<str>>,
    pub(super) addresses: Addresses,
    // One length-prefixed label an address (0: none); empty if no address has one.
    pub(super) hosts: Box<[u8]>,
    pub(super) zones: Box<[u8]>,
    pub(super) mark: AtomicU32,
}

impl PartialEq for Slice {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.ports == other.ports
            && self.cluster == other.cluster
            && self.addresses == other.addresses
            && self.hosts == other.hosts
            && self.zones == other.zones
    }
}

impl Slice {
    /// The slice's own name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The ports of every endpoint; never empty, see [`Port::number`].
    pub fn ports(&self) -> &[Port] {
        &self.ports
    }

    /// How many addresses are ready.
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Tells whether no address is ready.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ready addresses with their names.
    pub fn endpoints(&self) -> Endpoints<'_> {
        Endpoints { slice: self, at: 0, hosts: &self.hosts, zones: &self.zones }
    }
}

/// One ready address of a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint<'a> {
    /// The address.
    pub address: IpAddr,
    /// The name it was given: its host name, or the pod's where the index keeps these.
    pub host: Option<&'a str>,
    /// Its topology zone in lower case, where the index keeps these.
    pub zone: Option<&'a str>,
    /// The cluster that it is in, if it is of a ServiceImport; empty if its slice does not tell.
    pub cluster: Option<&'a str>,
}

impl Endpoint<'_> {
    /// Its label under the Service: the given name, or the address with dashes (CoreDNS: plugin/kubernetes).
    pub fn label(&self) -> HostLabel {
        let mut label = HostLabel { bytes: [0; LABEL_MAX], length: 0 };
        match (self.host, self.address) {
            (Some(host), _) => label.push(host.as_bytes()),
            (None, address) => {
                // Writing to a label cannot fail; what does not fit is left out, and no address is that long.
                let _fits = write!(label, "{address}");
                for byte in &mut label.bytes[..label.length] {
                    if matches!(byte, b'.' | b':') {
                        *byte = b'-';
                    }
                }
                if label.as_bytes().ends_with(b"-") {
                    label.push(b"0");
                }
            }
        }
        label
    }

    /// Tells whether the label of the question names this endpoint, in any case.
    pub fn is_called(&self, label: &[u8]) -> bool {
        match self.host {
            Some(host) => host.as_bytes().eq_ignore_ascii_case(label),
            None => self.label().as_bytes().eq_ignore_ascii_case(label),
        }
    }
}

/// A label built on the stack.
#[derive(Debug, Clone, Copy)]
pub struct HostLabel {
    bytes: [u8; LABEL_MAX],
    length: usize,
}

impl HostLabel {
    /// The label's octets, at most [`LABEL_MAX`].
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn push(&mut self, more: &[u8]) {
        for byte in more.iter().take(LABEL_MAX - self.length) {
            self.bytes[self.length] = *byte;
            self.length += 1;
        }
    }
}

impl std::fmt::Write for HostLabel {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

impl std::fmt::Display for HostLabel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

/// Iterates over the ready addresses of a slice.
#[derive(Debug, Clone)]
pub struct Endpoints<'a> {
    slice: &'a Slice,
    at: usize,
    hosts: &'a [u8],
    zones: &'a [u8],
}

impl<'a> Iterator for Endpoints<'a> {
    type Item = Endpoint<'a>;

    fn next(&mut self) -> Option<Endpoint<'a>> {
        let address = self.slice.addresses.get(self.at)?;
        self.at += 1;
        let cluster = self.slice.cluster.as_deref();
        Some(Endpoint { address, host: take_label(&mut self.hosts), zone: take_label(&mut self.zones), cluster })
    }
}

/// Packs one label an address; empty if none has one.
pub(super) fn pack_labels<'a>(labels: impl Iterator<Item = &'a str> + Clone) -> Box<[u8]> {
    if labels.clone().all(str::is_empty) {
        return Box::default();
    }
    let mut packed = Vec::new();
    for label in labels {
        let length = u8::try_from(label.len()).unwrap_or(0);
        packed.push(length);
        packed.extend_from_slice(&label.as_bytes()[..usize::from(length)]);
    }
    packed.into()
}

fn take_label<'a>(packed: &mut &'a [u8]) -> Option<&'a str> {
    let (length, rest) = packed.split_first()?;
    let (label, rest) = rest.split_at_checked(usize::from(*length))?;
    *packed = rest;
    std::str::from_utf8(label).ok().filter(|label| !label.is_empty())
}

/// All that is known under one namespace and Service name, at one moment.
#[derive(Debug)]
pub struct Entry {
    pub(super) key: u32,
    pub(super) namespace: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) service: Option<Arc<Service>>,
    // In order of their names.
    pub(super) slices: Box<[Arc<Slice>]>,
}

impl Entry {
    /// The namespace, as the API spells it.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The Service's name, as the API spells it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Service; `None` while only slices name it.
    pub fn service(&self) -> Option<&Service> {
        self.service.as_deref()
    }

    /// Its slices in order of their names.
    pub fn slices(&self) -> impl ExactSizeIterator<Item = &Slice> + Clone {
        self.slices.iter().map(AsRef::as_ref)
    }

    /// Every ready address with the slice that holds it; an address of two slices comes twice.
    pub fn endpoints(&self) -> impl Iterator<Item = (&Slice, Endpoint<'_>)> {
        self.slices().flat_map(|slice| slice.endpoints().map(move |endpoint| (slice, endpoint)))
    }

    pub(super) fn is_named(&self, namespace: &[u8], name: &[u8]) -> bool {
        is_same(self.namespace.as_bytes(), namespace) && is_same(self.name.as_bytes(), name)
    }

    pub(super) fn slice(&self, name: &str) -> Option<&Arc<Slice>> {
        self.slices.iter().find(|slice| &*slice.name == name)
    }
}

/// Whether two labels are the same but for the case, which mostly is the same too.
pub(super) fn is_same(one: &[u8], other: &[u8]) -> bool {
    one == other || one.eq_ignore_ascii_case(other)
}

/// A live pod: only what maps an address to it. Its name tells it from others when it goes.
#[derive(Debug)]
pub struct Pod {
    pub(super) namespace: Arc<str>,
    pub(super) name: Box<str>,
    // Names and values, which hardly differ from pod to pod; empty unless the index keeps them.
    pub(super) labels: Box<[(Arc<str>, Arc<str>)]>,
    pub(super) address: IpAddr,
    pub(super) mark: AtomicU32,
}

impl Pod {
    /// The pod's namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The pod's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of a label, where the index keeps these.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(known, _)| &**known == name).map(|(_, value)| &**value)
    }

    /// The pod's first address.
    pub fn address(&self) -> IpAddr {
        self.address
    }
}
