//! *sign* signs zone files, for *file* to serve, and signs them again before their signatures end.
//!
//! ```text
//! config: the directive -> a Signer for each zone
//! Signer: --judge, apex--> is it time? --work--> sign, --place--> write to a new file, put it in the place of the old one
//! keys:   those that the server keeps itself: which stage each is in, and when the next begins
//! ```
//!
//! It adds no link to the chain. How zones are signed is in the crate `catena-zone`.

mod apex;
mod config;
mod judge;
mod keys;
mod place;
mod signer;
mod work;

use std::sync::Arc;
use std::time::Duration;

use catena_core::prelude::*;
use catena_core::{Log, Service, StartContext};

use crate::signer::{Keys, Signer};

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
                while look(&signer).await {
                    if ask_parent(&signer).await && !look(&signer).await {
                        return;
                    }
                    tokio::time::sleep(LOOK_INTERVAL).await;
                }
            });
            if !cx.spawner.spawn(task) {
                self.log.error("No task is left to sign zones");
            }
        }
        Ok(())
    }
}

/// One look at a zone. `false`: the server ends.
async fn look(signer: &Arc<Signer>) -> bool {
    let signer = Arc::clone(signer);
    catena_files::look_once(move || signer.look()).await
}

/// Asks the servers of the parent for the DS record of a key that waits for it; tells whether they all have it.
async fn ask_parent(signer: &Signer) -> bool {
    let Keys::Kept(kept) = &signer.keys else { return false };
    let Some(question) = kept.question(signer) else { return false };
    let clock = Arc::clone(&signer.clock);
    match keys::ask(&question, &move || clock.unix_seconds()).await {
        Ok(Some(told)) => {
            kept.submitted(told);
            return true;
        }
        Ok(None) => {}
        Err((server, error)) => signer.log.warning(format_args!(
            "Server {server} of the parent of zone \"{}\" was asked for DS in vain: {error}",
            signer.zone
        )),
    }
    false
}

#[cfg(test)]
mod tests;
