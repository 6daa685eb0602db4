//! *sign* signs zone files, for *file* to serve, and signs them again before their signatures end.
//!
//! ```text
//! config: the directive -> a Signer for each zone
//! Signer: --judge--> is it time? --work--> sign, write to a new file, put it in the place of the old one
//! ```
//!
//! It adds no link to the chain. How zones are signed is in the crate `catena-zone`.

mod config;
mod judge;
mod signer;
mod work;

use std::sync::Arc;
use std::time::Duration;

use catena_core::prelude::*;
use catena_core::{Log, Service, StartContext};

use crate::signer::Signer;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("sign", setup);

/// How often a zone file is looked at for changes.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let signers = config::parse(cx)?.into_iter().map(Arc::new).collect();
    cx.service(Arc::new(Sign { signers, log: cx.log() }));
    Ok(())
}

struct Sign {
    signers: Vec<Arc<Signer>>,
    log: Log,
}

#[async_trait]
impl Service for Sign {
    async fn start(&self, cx: &StartContext<'_>) -> Result<(), Diagnostic> {
        for signer in &self.signers {
            let signer = Arc::clone(signer);
            let task = Box::pin(async move {
                loop {
                    let at_work = Arc::clone(&signer);
                    // A failed join is a panic in the reader of zones; the next round tries again.
                    if let Err(error) = tokio::task::spawn_blocking(move || at_work.look()).await
                        && error.is_cancelled()
                    {
                        return;
                    }
                    tokio::time::sleep(LOOK_INTERVAL).await;
                }
            });
            if !cx.spawner.spawn(task) {
                self.log.warning("No task is left to sign zones");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
