//! The services of an instance: started, told that sockets listen, ended.

use std::sync::Arc;

use catena_core::{Diagnostic, Exit, Instance, Interfaces, ListenAddr, PluginList, Service, Spawner, StartContext};

/// A service with the addresses of its server block.
struct Entry {
    plugin: &'static str,
    service: Arc<dyn Service>,
    listen: Vec<ListenAddr>,
}

/// The services of an instance, plugin by plugin in the order of the list and block by block within one.
pub(crate) struct Services {
    entries: Vec<Entry>,
    started: usize,
}

/// What services can use.
pub(crate) struct Surroundings<'a> {
    pub(crate) interfaces: &'a dyn Interfaces,
    pub(crate) spawner: &'a Arc<dyn Spawner>,
    pub(crate) exit: &'a Arc<dyn Exit>,
}

impl Surroundings<'_> {
    fn of<'a>(&'a self, entry: &'a Entry) -> StartContext<'a> {
        StartContext { listen: &entry.listen, interfaces: self.interfaces, spawner: self.spawner, exit: self.exit }
    }
}

impl Services {
    pub(crate) fn of(instance: &Instance, plugins: &PluginList) -> Self {
        let mut entries = Vec::new();
        for plugin in plugins.names() {
            for block in instance.blocks() {
                let wanted = block.services.iter().filter(|named| named.plugin == plugin);
                entries.extend(wanted.map(|named| Entry {
                    plugin,
                    service: Arc::clone(&named.service),
                    listen: instance.listen_addrs(block),
                }));
            }
        }
        Self { entries, started: 0 }
    }

    /// Starts all. When one does not start, those before it are shut down again.
    pub(crate) async fn start(&mut self, cx: &Surroundings<'_>) -> Result<(), Diagnostic> {
        for at in 0..self.entries.len() {
            let entry = &self.entries[at];
            if let Err(fault) = entry.service.start(&cx.of(entry)).await {
                let plugin = entry.plugin;
                self.shutdown().await;
                return Err(if fault.prefix.is_empty() { fault.with_prefix(plugin) } else { fault });
            }
            self.started = at + 1;
        }
        Ok(())
    }

    /// Tells all that queries come in.
    pub(crate) async fn serving(&self, cx: &Surroundings<'_>) {
        for entry in &self.entries {
            entry.service.serving(&cx.of(entry)).await;
        }
    }

    /// Tells all that the server was told to end.
    pub(crate) async fn ending(&self) {
        for entry in &self.entries {
            entry.service.ending().await;
        }
    }

    /// Shuts down those that were started.
    pub(crate) async fn shutdown(&mut self) {
        for entry in self.entries.iter().take(self.started) {
            entry.service.shutdown().await;
        }
        self.started = 0;
    }

    /// Runs the last step of a plugin's services.
    pub(crate) async fn final_shutdown(&self, plugin: &str) {
        for entry in self.entries.iter().filter(|entry| entry.plugin == plugin) {
            entry.service.final_shutdown().await;
        }
    }
}
