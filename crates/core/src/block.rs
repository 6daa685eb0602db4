//! A server block at work: its zones, its chain and what its directives set.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;

use catena_corefile::{Address, Span};

use crate::labels::{Labels, View};
use crate::name::Zones;
use crate::plugin::Link;
use crate::service::{Readiness, Service};
use crate::sockets::SocketSettings;

/// One `bind` line: addresses or interface names, and those left out again.
#[derive(Clone, Debug, Default)]
pub struct BindSpec {
    /// What to listen on, with its place in the Corefile.
    pub hosts: Vec<(String, Option<Span>)>,
    /// What not to listen on.
    pub except: Vec<(String, Option<Span>)>,
}

/// What directives set for their server block as a whole.
#[derive(Clone, Debug, Default)]
pub struct BlockSettings {
    /// The directory for relative paths; empty: the working directory.
    pub root: PathBuf,
    /// Addresses to listen on; empty: all of the host's.
    pub bind: Vec<BindSpec>,
    /// Panics end the process.
    pub debug: bool,
    /// Panics are logged with their stack.
    pub stacktrace: bool,
    /// Plugins whose links change places so that they come in this order; the others stay.
    pub order: Vec<String>,
    /// What counts for the block's sockets.
    pub sockets: SocketSettings,
    /// The zones whose queries have labels; none: labels are off. CoreDNS: plugin/metadata.
    pub label_zones: Option<Zones>,
}

/// What directives set for the instance as a whole.
#[derive(Clone, Debug, Default)]
pub struct InstanceSettings {
    /// Codes of options of queries that come back in replies, besides those that always do. CoreDNS: `edns.SetSupportedOption`.
    pub echoed_options: Vec<u16>,
    /// How the Corefile is watched, if it is.
    pub reload: Option<ReloadSettings>,
}

/// How often the Corefile is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReloadSettings {
    /// The time between two looks.
    pub interval: std::time::Duration,
    /// The time by which it varies, as a whole.
    pub jitter: std::time::Duration,
}

/// A named service.
pub struct NamedService {
    /// The directive's name.
    pub plugin: &'static str,
    /// The service.
    pub service: Arc<dyn Service>,
}

/// A server block at work.
pub struct Block {
    /// Its place in the Corefile.
    pub index: usize,
    /// Its keys: scheme, zone, port.
    pub keys: Vec<Address>,
    /// Where each key stands, for messages.
    pub key_spans: Vec<Option<Span>>,
    /// The zones of its keys.
    pub zones: Zones,
    /// Its chain.
    pub links: Vec<Link>,
    /// The first link of the chain that has foresight.
    pub(crate) seer: Option<usize>,
    /// What runs beside the chain, in the order of the plugin list.
    pub services: Vec<NamedService>,
    /// Who tells whether the block is ready.
    pub readiness: Vec<(&'static str, Arc<dyn Readiness>)>,
    /// What directives set.
    pub settings: BlockSettings,
    /// Equal for two blocks whose text and files are equal.
    pub fingerprint: u64,
    /// Which queries the block takes; none: all of its zones.
    pub view: Option<Arc<dyn View>>,
    /// Who knows labels of queries, in the order of the plugin list.
    pub labels: Vec<Arc<dyn Labels>>,
    /// Whether updates (RFC 2136) come to its chain.
    pub takes_updates: bool,
    /// What an unchanged successor of the block takes over.
    pub heirlooms: Vec<(&'static str, Arc<dyn Any + Send + Sync>)>,
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Block").field("index", &self.index).field("zones", &self.zones).finish_non_exhaustive()
    }
}
