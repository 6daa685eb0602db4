//! *hosts* answers from a file in the form of `/etc/hosts` and from lines in the Corefile.
//!
//! [`config`] reads the directive, [`map`] holds the names and addresses of one source, [`source`] reads the file again when it
//! changes. Queries see a snapshot of the file and never wait for it.

mod config;
mod map;
mod metrics;
mod source;

use std::sync::Arc;

use catena_core::prelude::*;

use crate::config::Config;
use crate::map::{Family, HostMap, address_of_reverse};
use crate::source::{Source, Watch};

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("hosts", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let config = config::parse(cx)?;
    let inline = map::parse(config.inline.join("\n").as_bytes(), &config.zones, config.reverse);
    if inline.cut {
        cx.log().warning(format_args!("Inline hosts: {}", map::CUT));
    }
    let source = Arc::new(Source::new(&config, inline.map.len(), cx));
    source.load_at_setup(cx)?;
    cx.service(Arc::new(Watch(Arc::clone(&source))));
    cx.link(Hosts { inline: inline.map, source, config });
    Ok(())
}

struct Hosts {
    config: Config,
    inline: HostMap,
    source: Arc<Source>,
}

impl Hosts {
    /// The records for the question; `None` hands the query on whatever `fallthrough` says.
    fn look_up(&self, q: &mut Query) -> Found {
        let served = self.config.zones.longest(q.lower().as_slice(), q.question().labels()).is_some();
        if !served && q.qtype() != Rtype::PTR {
            return Found::NotOurs;
        }
        let file = self.source.snapshot();
        let maps = [&**file, &self.inline];
        match q.qtype() {
            Rtype::PTR => self.names(q, maps),
            Rtype::A => self.addresses(q, maps, Family::V4),
            Rtype::AAAA => self.addresses(q, maps, Family::V6),
            _ if self.config.unsupported_falls && self.config.fall.covers(q.question()) => Found::NotOurs,
            _ => Self::other_types(q, maps),
        }
    }

    fn names(&self, q: &mut Query, maps: [&HostMap; 2]) -> Found {
        let Some(address) = address_of_reverse(q.lower().as_slice()) else { return Found::NotOurs };
        let names = || maps.into_iter().flat_map(|map| map.names(address));
        if names().next().is_none() {
            return Found::NotOurs;
        }
        let mut answer = Answer::to(q).authoritative();
        for name in names() {
            let owner = q.lower().as_slice();
            answer.push_wire(Section::Answer, owner, Rtype::PTR, Class::IN, self.config.ttl, name.as_slice());
        }
        Found::Answer(answer)
    }

    fn addresses(&self, q: &mut Query, maps: [&HostMap; 2], family: Family) -> Found {
        if maps.iter().all(|map| map.addresses(q.lower().as_slice(), family).is_empty()) {
            return Self::other_types(q, maps);
        }
        let mut answer = Answer::to(q).authoritative();
        for map in maps {
            for address in map.addresses(q.lower().as_slice(), family) {
                answer.push_address(Section::Answer, q.lower(), Class::IN, self.config.ttl, *address);
            }
        }
        Found::Answer(answer)
    }

    /// No records of the type: an empty answer if the name has others.
    fn other_types(q: &mut Query, maps: [&HostMap; 2]) -> Found {
        let lower = q.lower().as_slice();
        let known = |map: &HostMap, family| !map.addresses(lower, family).is_empty();
        if maps.iter().any(|map| known(map, Family::V4) || known(map, Family::V6)) {
            Found::Answer(Answer::to(q).authoritative())
        } else {
            Found::NoName
        }
    }
}

enum Found {
    Answer(Box<Answer>),
    /// The name is not there, which `fallthrough` decides about.
    NoName,
    /// The next plugin answers.
    NotOurs,
}

#[async_trait]
impl Plugin for Hosts {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        match self.look_up(q) {
            Found::Answer(answer) => answer.into(),
            Found::NoName if !self.config.fall.covers(q.question()) => {
                // CoreDNS: plugin/hosts has no SOA to deny a name with.
                Reply::status(Rcode::SERVFAIL)
            }
            Found::NoName | Found::NotOurs => next.run(q).await,
        }
    }
}
