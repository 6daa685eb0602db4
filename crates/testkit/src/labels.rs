//! Labels switched on, and what became of them.

use catena_core::prelude::*;
use catena_core::{Log, PluginDef};

/// Switches labels on for all names, as `metadata` does.
pub const METADATA: PluginDef = PluginDef::new("metadata", |cx| {
    cx.block_settings().label_zones = Some(Zones::everything());
    Ok(())
});

/// `tell LABEL...`: writes the values of labels into the log when the rest of the chain has answered, `-` for none.
pub const TELL: PluginDef = PluginDef::new("tell", |cx| {
    let mut words = cx.cursor();
    words.next();
    let labels = words.remaining_args().into_iter().map(str::to_owned).collect();
    cx.link(Tell { labels, log: cx.log() });
    Ok(())
});

struct Tell {
    labels: Vec<String>,
    log: Log,
}

#[async_trait]
impl Plugin for Tell {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        let reply = next.run(q).await;
        let values: Vec<_> = self.labels.iter().map(|label| q.label(label).unwrap_or("-".into())).collect();
        self.log.info(values.join(" "));
        reply
    }
}
