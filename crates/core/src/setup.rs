//! What a plugin sees while its directive is read, and the list of plugins.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use catena_corefile::{Address, Corefile, Cursor, Diagnostic, Directive, Files, Span};

use crate::block::{BlockSettings, InstanceSettings, NamedService};
use crate::clock::Clock;
use crate::labels::{Labels, View};
use crate::log::Log;
use crate::metrics::Metrics;
use crate::name::Zones;
use crate::plugin::Plugin;
use crate::query::Slot;
use crate::service::{HttpSite, Readiness, Service};

/// Reads a directive and adds what it asks for to the server block.
pub type SetupFn = fn(&mut Setup<'_>) -> Result<(), Diagnostic>;

/// An entry of the plugin list.
#[derive(Clone, Copy)]
pub struct PluginDef {
    /// The directive.
    pub name: &'static str,
    /// What reads it.
    pub setup: SetupFn,
}

impl PluginDef {
    /// Makes an entry.
    #[must_use]
    pub const fn new(name: &'static str, setup: SetupFn) -> Self {
        Self { name, setup }
    }
}

/// Plugins in the order in which queries pass them. A value: two servers of one process may have different lists.
#[derive(Clone, Default)]
pub struct PluginList(Vec<PluginDef>);

impl PluginList {
    /// A list of these plugins in this order.
    #[must_use]
    pub fn new(plugins: impl IntoIterator<Item = PluginDef>) -> Self {
        Self(plugins.into_iter().collect())
    }

    /// Puts a plugin right before the one named, or last if there is none of that name.
    #[must_use]
    pub fn before(mut self, name: &str, plugin: PluginDef) -> Self {
        let at = self.0.iter().position(|known| known.name == name).unwrap_or(self.0.len());
        self.0.insert(at, plugin);
        self
    }

    /// Puts a plugin right after the one named, or last if there is none of that name.
    #[must_use]
    pub fn after(mut self, name: &str, plugin: PluginDef) -> Self {
        let at = self.0.iter().position(|known| known.name == name).map_or(self.0.len(), |at| at + 1);
        self.0.insert(at, plugin);
        self
    }

    /// Leaves the plugin named out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|known| known.name != name);
        self
    }

    /// The names, in order.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|known| known.name).collect()
    }

    /// The plugins, in order.
    pub fn iter(&self) -> impl Iterator<Item = &PluginDef> + '_ {
        self.0.iter()
    }
}

/// What the server gives to every build of an instance.
pub struct BuildContext<'a> {
    /// The server's metric families.
    pub metrics: &'a Arc<Metrics>,
    /// The server's log.
    pub log: &'a Log,
    /// The clock.
    pub clock: &'a Arc<dyn Clock>,
    /// The files that directives name.
    pub files: &'a dyn Files,
    /// The port of keys without one.
    pub default_port: &'a str,
    /// The name and version of the product, such as `Catena-0.1.0`.
    pub product: &'a str,
}

/// What makes a link when the whole block is read.
pub(crate) type LateLink = Box<dyn FnOnce(&Linked<'_>) -> Result<Box<dyn Plugin>, Diagnostic>>;

pub(crate) enum LinkDraft {
    Made(Box<dyn Plugin>),
    Late(LateLink),
}

/// A server block while its directives are read.
pub(crate) struct BlockDraft {
    pub(crate) index: usize,
    pub(crate) keys: Vec<Address>,
    pub(crate) key_spans: Vec<Option<Span>>,
    pub(crate) zones: Zones,
    pub(crate) links: Vec<(&'static str, LinkDraft)>,
    pub(crate) services: Vec<NamedService>,
    pub(crate) readiness: Vec<(&'static str, Arc<dyn Readiness>)>,
    pub(crate) settings: BlockSettings,
    pub(crate) fingerprint: DefaultHasher,
    pub(crate) heirlooms: Vec<(&'static str, Arc<dyn Any + Send + Sync>)>,
    pub(crate) late: Vec<(&'static str, LateStep)>,
    pub(crate) offers: Vec<Offer>,
    pub(crate) labels: Vec<Arc<dyn Labels>>,
    pub(crate) view: Option<Arc<dyn View>>,
    /// The plugins whose links see updates.
    pub(crate) update_links: Vec<&'static str>,
    pub(crate) takes_updates: bool,
}

/// What a plugin can do for others of its block: an `Arc<T>` for some trait `T`.
pub(crate) type Offer = (&'static str, Box<dyn Any>);

pub(crate) type LateStep = Box<dyn FnOnce(&Linked<'_>) -> Result<(), Diagnostic>>;

/// An instance while its blocks are read.
#[derive(Default)]
pub(crate) struct InstanceDraft {
    pub(crate) settings: InstanceSettings,
    pub(crate) sites: Vec<HttpSite>,
    pub(crate) slots: usize,
    pub(crate) shared: HashMap<(&'static str, TypeId), Arc<dyn Any + Send + Sync>>,
    pub(crate) warnings: Vec<Diagnostic>,
}

/// A directive of a server block, and all that its plugin may ask for. Runs once a block, with every occurrence of the directive.
pub struct Setup<'a> {
    pub(crate) plugin: &'static str,
    pub(crate) directive: &'a Directive,
    pub(crate) corefile: &'a Corefile,
    pub(crate) block: &'a mut BlockDraft,
    pub(crate) instance: &'a mut InstanceDraft,
    pub(crate) context: &'a BuildContext<'a>,
    pub(crate) predecessor: Option<&'a crate::Instance>,
    pub(crate) log: &'a Log,
}

impl<'a> Setup<'a> {
    /// The words of the directive, every occurrence in the block, before the first one.
    #[must_use]
    pub fn cursor(&self) -> Cursor<'a> {
        Cursor::new(self.directive, &self.corefile.name)
    }

    /// The directive's name.
    #[must_use]
    pub fn plugin(&self) -> &'static str {
        self.plugin
    }

    /// The zones of the server block's keys.
    #[must_use]
    pub fn zones(&self) -> &Zones {
        &self.block.zones
    }

    /// The server block's keys: scheme, zone, port.
    #[must_use]
    pub fn keys(&self) -> &[Address] {
        &self.block.keys
    }

    /// Which block of the Corefile it is, from 0.
    #[must_use]
    pub fn block_index(&self) -> usize {
        self.block.index
    }

    /// Adds a link to the chain, at the plugin's place in the order.
    pub fn link(&mut self, plugin: impl Plugin) {
        self.block.links.push((self.plugin, LinkDraft::Made(Box::new(plugin))));
    }

    /// Adds a link that is made when every directive of every block was read.
    pub fn link_later<P: Plugin>(&mut self, make: impl FnOnce(&Linked<'_>) -> Result<P, Diagnostic> + 'static) {
        let make: LateLink = Box::new(move |linked| Ok(Box::new(make(linked)?)));
        self.block.links.push((self.plugin, LinkDraft::Late(make)));
    }

    /// Runs a step when every directive of every block was read.
    pub fn on_linked(&mut self, step: impl FnOnce(&Linked<'_>) -> Result<(), Diagnostic> + 'static) {
        self.block.late.push((self.plugin, Box::new(step)));
    }

    /// Adds work that begins and ends with the instance.
    pub fn service(&mut self, service: Arc<dyn Service>) {
        self.block.services.push(NamedService { plugin: self.plugin, service });
    }

    /// Tells `ready` when this plugin is ready.
    pub fn readiness(&mut self, readiness: Arc<dyn Readiness>) {
        self.block.readiness.push((self.plugin, readiness));
    }

    /// Asks for a path on a side HTTP listener.
    pub fn http(&mut self, site: HttpSite) {
        self.instance.sites.push(site);
    }

    /// Offers other plugins of the block what a trait says: see [`Linked::offers`]. `T` is usually a trait object.
    pub fn offer<T: ?Sized + 'static>(&mut self, thing: Arc<T>) {
        self.block.offers.push((self.plugin, Box::new(thing)));
    }

    /// Has updates (RFC 2136) come to the plugin's links of the block too, if the block takes any. All other links are passed over: they
    /// would take an update for a query for the SOA record of a zone.
    pub fn sees_updates(&mut self) {
        self.block.update_links.push(self.plugin);
    }

    /// Has the block take updates (RFC 2136), and come to the plugin's links. Where no block takes any, the message is answered with NOTIMP
    /// before it is read any further.
    pub fn takes_updates(&mut self) {
        self.sees_updates();
        self.block.takes_updates = true;
    }

    /// Tells what the plugin knows about queries.
    pub fn labels(&mut self, labels: Arc<dyn Labels>) {
        self.block.labels.push(labels);
    }

    /// Takes only some of the queries into the block. A block has one view; `false`: it had one already.
    pub fn view(&mut self, view: Arc<dyn View>) -> bool {
        self.block.view.replace(view).is_none()
    }

    /// What the directive sets for its block.
    pub fn block_settings(&mut self) -> &mut BlockSettings {
        &mut self.block.settings
    }

    /// What the directive sets for the instance.
    pub fn instance_settings(&mut self) -> &mut InstanceSettings {
        &mut self.instance.settings
    }

    /// A key for what the plugin keeps with a query.
    pub fn slot<T>(&mut self) -> Slot<T> {
        self.instance.slots += 1;
        Slot::new(self.instance.slots - 1)
    }

    /// What the plugin's occurrences in all blocks of the instance have in common.
    pub fn shared<T: Any + Send + Sync + Default>(&mut self) -> Arc<T> {
        let key = (self.plugin, TypeId::of::<T>());
        let known = self.instance.shared.entry(key).or_insert_with(|| Arc::new(T::default()));
        Arc::clone(known).downcast().unwrap_or_default()
    }

    /// Leaves something to the instance that takes this one's place: see [`Linked::inherited`] and [`Linked::left_behind`].
    pub fn bequeath<T: Any + Send + Sync>(&mut self, thing: Arc<T>) {
        self.block.heirlooms.push((self.plugin, thing));
    }

    /// What the same plugin left in the instance before: see [`Linked::left_behind`].
    pub fn left_behind<T: Any + Send + Sync>(&self) -> impl Iterator<Item = Arc<T>> + use<'a, T> {
        left_behind(self.plugin, self.predecessor)
    }

    /// The plugin's log.
    #[must_use]
    pub fn log(&self) -> Log {
        self.log.of(self.plugin)
    }

    /// The server's metric families.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        self.context.metrics
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(self.context.clock)
    }

    /// The name and version of the product, such as `Catena-0.1.0`.
    #[must_use]
    pub fn product(&self) -> &str {
        self.context.product
    }

    /// A path of the Corefile: relative ones are below what `root` says.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        let path = Path::new(path);
        if path.is_absolute() { path.to_path_buf() } else { self.block.settings.root.join(path) }
    }

    /// Reads a file. Its contents count as part of the block: a reload that finds them changed starts the block afresh.
    ///
    /// # Errors
    /// As the file system gives them.
    pub fn read_file(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let contents = self.context.files.read(path);
        if let Ok(contents) = &contents {
            self.block.fingerprint.write(contents);
        }
        contents
    }

    /// The file system, for what is neither reading nor part of the block.
    #[must_use]
    pub fn files(&self) -> &dyn Files {
        self.context.files
    }

    /// Tells of something odd that does not keep the server from starting.
    pub fn warn(&mut self, warning: Diagnostic) {
        self.instance.warnings.push(warning);
    }
}

/// What a plugin can look up when every directive of every block was read.
pub struct Linked<'a> {
    pub(crate) plugin: &'static str,
    pub(crate) block: BlockView<'a>,
    pub(crate) instance: &'a InstanceDraft,
    pub(crate) predecessor: Option<&'a crate::Instance>,
    pub(crate) warnings: &'a RefCell<Vec<Diagnostic>>,
}

/// The parts of a block that late steps may see.
pub(crate) struct BlockView<'a> {
    pub(crate) names: &'a [&'static str],
    pub(crate) readiness: &'a [(&'static str, Arc<dyn Readiness>)],
    pub(crate) keys: &'a [Address],
    pub(crate) fingerprint: u64,
    pub(crate) offers: &'a [Offer],
    pub(crate) labels: &'a [Arc<dyn Labels>],
    pub(crate) view: Option<&'a Arc<dyn View>>,
    pub(crate) has_labels: bool,
}

impl Linked<'_> {
    /// The names of the block's links, in order.
    #[must_use]
    pub fn link_names(&self) -> &[&'static str] {
        self.block.names
    }

    /// The block's keys.
    #[must_use]
    pub fn keys(&self) -> &[Address] {
        self.block.keys
    }

    /// The plugins of the block that tell whether they are ready.
    #[must_use]
    pub fn readiness(&self) -> &[(&'static str, Arc<dyn Readiness>)] {
        self.block.readiness
    }

    /// What plugins of the block offer under the trait `T`, with their names, in the order of the plugin list.
    pub fn offers<T: ?Sized + 'static>(&self) -> impl Iterator<Item = (&'static str, Arc<T>)> + '_ {
        let offers = self.block.offers.iter();
        offers.filter_map(|(plugin, thing)| Some((*plugin, Arc::clone(thing.downcast_ref::<Arc<T>>()?))))
    }

    /// Whether the block's queries have labels, that is whether it has the plugin `metadata`.
    #[must_use]
    pub fn has_labels(&self) -> bool {
        self.block.has_labels
    }

    /// Whether some plugin of the block may have a value for a label.
    #[must_use]
    pub fn knows_label(&self, label: &str) -> bool {
        let fits = |name: &&str| if name.ends_with('/') { label.starts_with(*name) } else { label == *name };
        self.block.labels.iter().any(|labels| labels.names().iter().any(fits))
    }

    /// The name of the block's view; empty if it has none.
    #[must_use]
    pub fn view(&self) -> &str {
        self.block.view.map_or("", |view| view.name())
    }

    /// The settings of the instance.
    #[must_use]
    pub fn instance_settings(&self) -> &InstanceSettings {
        &self.instance.settings
    }

    /// Tells of something odd that does not keep the server from starting.
    pub fn warn(&self, warning: Diagnostic) {
        self.warnings.borrow_mut().push(warning);
    }

    /// Warns about a label of the Corefile that never has a value: no plugin of the block knows it, or there is no `metadata`.
    pub fn check_label(&self, label: &str, span: Option<Span>) {
        let why = if !self.has_labels() {
            "the server block has no metadata"
        } else if self.knows_label(label) {
            return;
        } else {
            "no plugin of the server block knows it"
        };
        let warning = Diagnostic::warning(format!("the label '{label}' never has a value: {why}"));
        let warning = warning.with_prefix(self.plugin);
        self.warn(match span {
            Some(span) => warning.with_span(span),
            None => warning,
        });
    }

    /// What the same plugin left in the instance before, whichever block it was in and whatever changed since: for what need not be read
    /// again, and for what two instances must not have apart, such as a file that both write to.
    pub fn left_behind<T: Any + Send + Sync>(&self) -> impl Iterator<Item = Arc<T>> + '_ {
        left_behind(self.plugin, self.predecessor)
    }

    /// What the same plugin of the same block, text and files unchanged, left in the instance before.
    #[must_use]
    pub fn inherited<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let before = self.predecessor?;
        let block = before.blocks().iter().find(|block| block.fingerprint == self.block.fingerprint)?;
        let (_, thing) = block.heirlooms.iter().find(|(plugin, thing)| *plugin == self.plugin && thing.is::<T>())?;
        Arc::clone(thing).downcast().ok()
    }
}

fn left_behind<'a, T: Any + Send + Sync>(
    plugin: &'static str,
    predecessor: Option<&'a crate::Instance>,
) -> impl Iterator<Item = Arc<T>> + use<'a, T> {
    let blocks = predecessor.into_iter().flat_map(crate::Instance::blocks);
    let things = blocks.flat_map(|block| &block.heirlooms).filter(move |(owner, _)| *owner == plugin);
    things.filter_map(|(_, thing)| Arc::clone(thing).downcast().ok())
}

/// Starts the fingerprint of a block with its keys and words. Prints are compared within one process only.
pub(crate) fn fingerprint_of(block: &catena_corefile::ServerBlock) -> DefaultHasher {
    let mut hasher = DefaultHasher::new();
    for key in &block.keys {
        hasher.write(key.text.as_bytes());
        hasher.write_u8(0);
    }
    for directive in &block.directives {
        for token in &directive.tokens {
            hasher.write(token.text.as_bytes());
            hasher.write_u8(0);
            hasher.write_u32(token.line.wrapping_sub(directive.tokens[0].line));
        }
        hasher.write_u8(1);
    }
    hasher
}
