//! *on* runs commands when the server starts and when it is told to end.

mod command;
mod config;
mod words;

use std::sync::Arc;

use catena_core::prelude::*;
use catena_core::{Log, Service, StartContext};

use crate::command::Command;
use crate::config::Event;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("on", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let commands = config::parse(cx)?;
    let log = cx.log().without_plugin();
    cx.service(Arc::new(On { commands, log }));
    Ok(())
}

struct On {
    commands: Vec<(Event, Command)>,
    log: Log,
}

impl On {
    /// Runs the commands of an event, one after the other.
    async fn emit(&self, event: Event) {
        for (_, command) in self.commands.iter().filter(|(wanted, _)| *wanted == event) {
            command.run(&self.log).await;
        }
    }
}

#[async_trait]
impl Service for On {
    async fn serving(&self, _cx: &StartContext<'_>) {
        self.emit(Event::Startup).await;
    }

    async fn ending(&self) {
        self.emit(Event::Shutdown).await;
    }
}

#[cfg(test)]
mod tests;
