//! *proxyproto* lets proxies in front of the server say who the client is.
//!
//! Whom to believe is read here; the headers are read where messages come in.

mod config;

use std::sync::Arc;

use catena_core::ProxyProtocol;
use catena_core::prelude::*;

use crate::config::Config;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("proxyproto", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let config = Config::parse(&mut cx.cursor())?;
    let sessions = config.sessions;
    let policy = Arc::new(move |peer| config.policy(peer));
    cx.block_settings().sockets.proxy = Some(ProxyProtocol { policy, sessions });
    Ok(())
}

#[cfg(test)]
mod tests;
