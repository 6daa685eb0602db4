//! *auto* serves the zone files of a directory, each under the name that a pattern makes of the file's.
//!
//! `config` reads the directive, `origin` makes zones of file names, `scan` looks at the directory; a query finds its zone in the snapshot that
//! the last scan left. What zones answer is in the crate `catena-zone`.

mod config;
mod origin;
mod scan;

use std::sync::Arc;

use catena_core::metrics::CountedZones;
use catena_core::prelude::*;
use catena_core::{Question, Transfer};
use catena_zone::{Sent, look_up, pass};

use crate::scan::{Scanner, Watch};

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("auto", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let before = cx.left_behind::<Scanner>().collect();
    let scanner = Arc::new(Scanner::new(config::parse(cx)?, before, cx.log()));
    cx.bequeath(Arc::clone(&scanner));
    let sent = Arc::clone(&scanner);
    let send = move |zone: &[u8], serial| Some(sent.zones.load().get(zone)?.shared().transfer(serial));
    cx.offer::<dyn Transfer>(Arc::new(Sent(send)));
    cx.offer::<dyn CountedZones>(Arc::new(Held(Arc::clone(&scanner))));
    let notifies = Arc::clone(&scanner);
    cx.on_linked(move |linked| {
        notifies.find_notifier(linked);
        Ok(())
    });
    cx.service(Arc::new(Watch(Arc::clone(&scanner))));
    cx.link(Auto(scanner));
    Ok(())
}

struct Auto(Arc<Scanner>);

#[async_trait]
impl Plugin for Auto {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        let question = q.question();
        if self.0.config.origins.longest(question.lower().as_slice(), question.labels()).is_none() {
            return next.run(q).await;
        }
        let zones = self.0.zones.load();
        let Some((_, file)) = zones.find(question) else {
            return pass(q, next).await;
        };
        let looked = look_up(file.shared(), q, false);
        drop(zones);
        looked.finish(q, next).await
    }
}

/// The zones as `prometheus` sees them.
struct Held(Arc<Scanner>);

impl CountedZones for Held {
    fn labels_of_longest(&self, question: &Question) -> Option<usize> {
        self.0.zones.load().find(question).map(|(zone, _)| zone.labels())
    }
}

#[cfg(test)]
mod tests;
