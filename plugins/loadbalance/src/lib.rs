//! *loadbalance* changes the order of addresses in replies: at random, by network or by weight.

mod config;
mod order;
mod reload;
mod weights;

use std::sync::Arc;

use catena_core::SECTIONS;
use catena_core::prelude::*;
use catena_gocompat::address::Cidr;

use crate::config::Config;
use crate::reload::{Reload, Weighing};

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("loadbalance", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let config = Config::parse(cx)?;
    let policy = match config.weighted {
        None => Policy::Shuffle,
        Some(file) => {
            let weighing = Arc::new(Weighing::new(file, cx)?);
            cx.service(Arc::new(Reload(Arc::clone(&weighing))));
            Policy::Weighted(weighing)
        }
    };
    cx.link(LoadBalance { policy, prefer: config.prefer });
    Ok(())
}

enum Policy {
    Shuffle,
    Weighted(Arc<Weighing>),
}

struct LoadBalance {
    policy: Policy,
    prefer: Vec<Cidr>,
}

#[async_trait]
impl Plugin for LoadBalance {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        let mut reply = next.run(q).await;
        if let Some(answer) = reply.answer_mut()
            && answer.rcode == Rcode::NOERROR
            && !matches!(q.qtype(), Rtype::AXFR | Rtype::IXFR)
        {
            self.arrange(answer, q.qtype());
        }
        reply
    }
}

impl LoadBalance {
    fn arrange(&self, answer: &mut Answer, qtype: Rtype) {
        match &self.policy {
            Policy::Shuffle => {
                for section in SECTIONS {
                    order::shuffle(answer.entries_mut(section));
                }
            }
            Policy::Weighted(weighing) if matches!(qtype, Rtype::A | Rtype::AAAA | Rtype::SRV) => {
                let weights = weighing.weights.load();
                order::weigh(answer, Section::Answer, &weights);
                order::weigh(answer, Section::Additional, &weights);
            }
            Policy::Weighted(_) => {}
        }
        if !self.prefer.is_empty() {
            order::prefer(answer, Section::Answer, &self.prefer);
            order::prefer(answer, Section::Additional, &self.prefer);
        }
    }
}

#[cfg(test)]
mod tests;
