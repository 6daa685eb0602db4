//! The store that DNS reads: compact, sharded, and never in the way of a reader.
//!
//! Everything under one namespace and Service name is one immutable [`Entry`] behind an `Arc`. A writer makes the next
//! entry beside the present one and swaps the pointer; a reader holds a shard's lock for one probe and one reference count.
//! Addresses map to entries by the entries' 32-bit keys, and whoever follows a key checks the entry: so neither a key that two
//! entries share nor a map that is one step behind can give a wrong answer.
//!
//! A list of all objects, first or repeated, is a diff: [`Index::begin`] opens a new epoch, every object marks itself with
//! it, and [`Index::finish`] deletes what was not marked. There is never a second copy.

mod entry;
mod pack;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod write;

use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use foldhash::fast::RandomState;

pub use entry::{
    Endpoint, Endpoints, Entry, External, HostLabel, LABEL_MAX, Pod, Port, Protocol, Service, ServiceKind, Slice,
};
pub use state::{Kind, Kinds};
use table::{AddressMap, BusyTable, Table, spread};

/// How many names are interned before the unused ones are looked for.
const NAMES_MIN: usize = 1024;

/// The longest namespace or Service name that DNS can ask for.
const KEY_MAX: usize = 2 * LABEL_MAX;

/// What to keep beyond the addresses, hosts and ports of every endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keep {
    /// Names of the pods behind endpoints, used where an endpoint has no host name.
    pub pod_names: bool,
    /// Topology zones of endpoints.
    pub zones: bool,
    /// ServiceImports and their endpoints, see [`Index::imports`].
    pub imports: bool,
}

/// A change that readers can see by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<'a> {
    /// What kind of object changed.
    pub kind: Kind,
    /// Its namespace; empty for a Namespace.
    pub namespace: &'a str,
    /// The name that DNS knows it by: of a slice its Service's.
    pub name: &'a str,
    /// Whether it is gone.
    pub deleted: bool,
    /// Whether it came with a list of all objects, and not as news.
    pub listed: bool,
    /// When the cause of a new slice happened, RFC 3339, where the API tells.
    pub triggered: Option<&'a str>,
}

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Good to know.
    Info,
    /// Something is degraded.
    Warning,
    /// Something does not work.
    Error,
}

/// Hears what happens to an index; called by the writer, so it must not block.
pub trait Observer: Send + Sync + 'static {
    /// An object came, changed or went.
    fn changed(&self, _index: &Index, _change: Change<'_>) {}
    /// A request to the API waited for its turn, and was then answered with a status code, or failed (`None`).
    fn requested(&self, _host: &str, _code: Option<u16>, _waited: Duration, _elapsed: Duration) {}
    /// A line for the log.
    fn log(&self, _level: Level, _line: &str) {}
}

/// An observer that does not listen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;
impl Observer for Quiet {}

/// Hears of the API, but not of changes.
struct Deaf(Arc<dyn Observer>);

impl Observer for Deaf {
    fn requested(&self, host: &str, code: Option<u16>, waited: Duration, elapsed: Duration) {
        self.0.requested(host, code, waited, elapsed);
    }

    fn log(&self, level: Level, line: &str) {
        self.0.log(level, line);
    }
}

/// Tells the time in seconds since 1970, for serial numbers and ages.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

#[allow(clippy::disallowed_methods)] // the one place where time enters
fn system_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Kubernetes objects, indexed for DNS.
pub struct Index {
    entries: Table<Arc<Entry>>,
    namespaces: BusyTable<write::Marked>,
    cluster_addresses: AddressMap,
    endpoint_addresses: AddressMap,
    external_addresses: AddressMap,
    pods: Table<Arc<Pod>>,
    seed: RandomState,
    keep: Keep,
    keep_external: AtomicBool,
    keep_pod_labels: AtomicBool,
    imports: Option<Arc<Self>>,
    clock: Clock,
    state: state::State,
    serial_arrived: AtomicU32,
    serial_updated: AtomicU32,
    serial_external: AtomicU32,
    writer: Mutex<write::Writer>,
    observer: Arc<dyn Observer>,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index")
            .field("entries", &self.entries.len())
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Index {
    /// An empty index that is not in step with anything yet.
    pub fn new(keep: Keep, observer: Arc<dyn Observer>) -> Self {
        Self::with_clock(keep, observer, Arc::new(system_clock))
    }

    /// The same with a clock of the caller's.
    pub fn with_clock(keep: Keep, observer: Arc<dyn Observer>, clock: Clock) -> Self {
        let imports = keep.imports.then(|| {
            let (keep, deaf) = (Keep { imports: false, zones: false, ..keep }, Arc::new(Deaf(Arc::clone(&observer))));
            let imports = Self::with_clock(keep, deaf, Arc::clone(&clock));
            imports.require(Kinds::of(&[Kind::Services, Kind::Slices]));
            Arc::new(imports)
        });
        Self {
            entries: Table::new(),
            namespaces: BusyTable::new(),
            cluster_addresses: AddressMap::new(),
            endpoint_addresses: AddressMap::new(),
            external_addresses: AddressMap::new(),
            pods: Table::new(),
            seed: RandomState::default(),
            keep,
            keep_external: AtomicBool::new(false),
            keep_pod_labels: AtomicBool::new(false),
            imports,
            clock,
            state: state::State::default(),
            serial_arrived: AtomicU32::new(0),
            serial_updated: AtomicU32::new(0),
            serial_external: AtomicU32::new(0),
            writer: Mutex::default(),
            observer,
        }
    }

    /// The ServiceImports as Services, with the endpoints that each cluster has for them, if these are kept.
    pub fn imports(&self) -> Option<&Arc<Self>> {
        self.imports.as_ref()
    }

    /// What is known under a namespace and a Service name, given in any case; allocates nothing.
    pub fn service(&self, namespace: &[u8], name: &[u8]) -> Option<Arc<Entry>> {
        let key = self.key(namespace, name)?;
        self.entries.read(key).find(spread(key), |entry| entry.is_named(namespace, name)).map(Arc::clone)
    }

    /// Tells whether a namespace exists, given in any case; allocates nothing.
    pub fn has_namespace(&self, namespace: &[u8]) -> bool {
        let Some(key) = self.key(namespace, b"") else { return false };
        self.namespaces.read().find(spread(key), |one| one.is_named(namespace)).is_some()
    }

    /// The entries whose Service has this cluster address, in order of namespace and name.
    pub fn services_at(&self, cluster_ip: IpAddr) -> Vec<Arc<Entry>> {
        let has = |entry: &Entry| entry.service().is_some_and(|service| service.cluster_ips.contains(&cluster_ip));
        self.at(&self.cluster_addresses, cluster_ip, has)
    }

    /// The entries of which a slice has this ready address, in order of namespace and name.
    pub fn endpoints_at(&self, address: IpAddr) -> Vec<Arc<Entry>> {
        self.at(&self.endpoint_addresses, address, |entry| {
            entry.endpoints().any(|(_, endpoint)| endpoint.address == address)
        })
    }

    /// The entries whose Service has this external address, in order of namespace and name; see [`Index::keep_external`].
    pub fn services_outside(&self, address: IpAddr) -> Vec<Arc<Entry>> {
        let has = |entry: &Entry| entry.service().is_some_and(|service| service.external_ips().any(|ip| ip == address));
        self.at(&self.external_addresses, address, has)
    }

    /// Keeps external addresses of the Services that come from now on.
    pub fn keep_external(&self) {
        self.keep_external.store(true, Ordering::Release);
    }

    /// Keeps labels of the pods that come from now on.
    pub fn keep_pod_labels(&self) {
        self.keep_pod_labels.store(true, Ordering::Release);
    }

    /// Whether labels of pods are kept.
    pub(crate) fn keeps_pod_labels(&self) -> bool {
        self.keep_pod_labels.load(Ordering::Acquire)
    }

    fn at(&self, map: &AddressMap, address: IpAddr, has: impl Fn(&Entry) -> bool) -> Vec<Arc<Entry>> {
        let mut found = Vec::new();
        for key in map.keys(address) {
            found.extend(
                self.entries
                    .read(key)
                    .iter_hash(spread(key))
                    .filter(|entry| entry.key == key && has(entry))
                    .map(Arc::clone),
            );
        }
        found.sort_unstable_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        found
    }

    /// The pods with this address, of all namespaces.
    pub fn pods_at(&self, address: IpAddr) -> Vec<Arc<Pod>> {
        let key = self.pod_key(address);
        self.pods.read(key).iter_hash(spread(key)).filter(|pod| pod.address == address).map(Arc::clone).collect()
    }

    /// The pod with this address; of several, as pods on the host's network are, the first by namespace and name.
    pub fn pod_at(&self, address: IpAddr) -> Option<Arc<Pod>> {
        let key = self.pod_key(address);
        let shard = self.pods.read(key);
        let here = shard.iter_hash(spread(key)).filter(|pod| pod.address == address);
        here.min_by_key(|pod| (&pod.namespace, &pod.name)).map(Arc::clone)
    }

    /// Every entry with a Service, in order of namespace and name; for zone transfers.
    pub fn services(&self) -> Vec<Arc<Entry>> {
        let mut all = self.entries.collect(|entry| entry.service.is_some().then(|| Arc::clone(entry)));
        all.sort_unstable_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        all
    }

    /// When something last changed that an answer can show, in seconds since 1970; 0 before the first change.
    ///
    /// A changed cluster address does not count, a ServiceImport that comes or goes does (CoreDNS: plugin/kubernetes/controller.go).
    pub fn serial(&self) -> u32 {
        let imports = self.imports.as_ref().map_or(0, |imports| imports.serial_arrived());
        self.serial_arrived().max(self.serial_updated()).max(imports)
    }

    /// When something last came or went that an answer can show, in seconds since 1970.
    pub fn serial_arrived(&self) -> u32 {
        self.serial_arrived.load(Ordering::Relaxed)
    }

    /// When something that was there last changed in what an answer can show, in seconds since 1970.
    pub fn serial_updated(&self) -> u32 {
        self.serial_updated.load(Ordering::Relaxed)
    }

    /// When an external address or a port of a Service last changed, in seconds since 1970.
    pub fn serial_external(&self) -> u32 {
        self.serial_external.load(Ordering::Relaxed)
    }

    /// The key of an entry: a seeded hash of its names in lower case. `None` if a name is no label.
    fn key(&self, namespace: &[u8], name: &[u8]) -> Option<u32> {
        if namespace.len() > LABEL_MAX || name.len() > LABEL_MAX {
            return None;
        }
        let has_capitals = |octets: &[u8]| octets.iter().fold(false, |found, octet| found | octet.is_ascii_uppercase());
        if has_capitals(namespace) || has_capitals(name) {
            let mut text = [0_u8; KEY_MAX];
            let (left, rest) = text.split_at_mut(namespace.len());
            left.copy_from_slice(namespace);
            rest[..name.len()].copy_from_slice(name);
            text.make_ascii_lowercase();
            let (left, rest) = text.split_at(namespace.len());
            return Some(self.key_of_lower(left, &rest[..name.len()]));
        }
        Some(self.key_of_lower(namespace, name))
    }

    fn key_of_lower(&self, namespace: &[u8], name: &[u8]) -> u32 {
        let mut hasher = self.seed.build_hasher();
        hasher.write(namespace);
        // What parts the names.
        hasher.write_u8(0);
        hasher.write(name);
        (hasher.finish() >> 32) as u32
    }

    fn pod_key(&self, address: IpAddr) -> u32 {
        (self.seed.hash_one(address) >> 32) as u32
    }
}
