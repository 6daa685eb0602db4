//! *erratic* answers late, cut, or not at all, to see what clients make of it.

mod config;
mod zone;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use catena_core::prelude::*;
use catena_core::{AutoPath, OwnedName, Readiness, name};

use crate::config::Config;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("erratic", setup);

const A: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);
const AAAA: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53);
/// How many addresses `large` puts into an answer.
const LARGE: usize = 30;
/// It is ready only while it has seen so many queries, so that tests see it change.
const READY: std::ops::Range<u64> = 3..5;
/// The search path that it tells *autopath*; the root is the last element.
const SEARCH_PATH: [&str; 3] = ["a.example.org.", "b.example.org.", "."];

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let seen = Arc::new(Seen::default());
    cx.readiness(Arc::<Seen>::clone(&seen));
    let search_path = SEARCH_PATH.into_iter().filter_map(name::owned).collect();
    let offered: Arc<dyn AutoPath> = Arc::new(Path(search_path));
    cx.offer(offered);
    cx.link(Erratic { config: config::parse(cx.cursor())?, seen });
    Ok(())
}

/// The number of queries so far.
#[derive(Default)]
struct Seen(AtomicU64);

impl Readiness for Seen {
    fn ready(&self) -> bool {
        READY.contains(&self.0.load(Ordering::Relaxed))
    }
}

/// The same search path for every client.
struct Path(Vec<OwnedName>);

impl AutoPath for Path {
    fn search_path(&self, _: &Query, _: IpAddr) -> Option<Vec<OwnedName>> {
        Some(self.0.clone())
    }
}

struct Erratic {
    config: Config,
    seen: Arc<Seen>,
}

impl Erratic {
    fn reply(&self, q: &mut Query, cut: bool) -> Reply {
        let mut answer = Answer::to(q).authoritative();
        answer.set(flags::TC, cut);
        let (address, count) = match q.qtype() {
            Rtype::A => (IpAddr::from(A), if self.config.large { LARGE } else { 1 }),
            Rtype::AAAA => (IpAddr::from(AAAA), 1),
            Rtype::AXFR => {
                q.recycle(answer);
                return zone::answer(q, !cut).into();
            }
            _ => {
                q.recycle(answer);
                return Reply::status(Rcode::SERVFAIL);
            }
        };
        for _ in 0..count {
            answer.push_address(Section::Answer, q.name(), Class::IN, 0, address);
        }
        answer.into()
    }
}

#[async_trait]
impl Plugin for Erratic {
    async fn serve(&self, q: &mut Query, _next: Next<'_>) -> Reply {
        let number = self.seen.0.fetch_add(1, Ordering::Relaxed);
        let is_due = |every: u64| every > 0 && number.is_multiple_of(every);
        if is_due(self.config.drop) {
            return Reply::silence();
        }
        if is_due(self.config.delay) {
            tokio::time::sleep(self.config.duration).await;
        }
        // CoreDNS: plugin/erratic cuts where the bits are unset, not at every so many.
        let cut = self.config.truncate > 0 && number & self.config.truncate == 0;
        self.reply(q, cut)
    }
}
