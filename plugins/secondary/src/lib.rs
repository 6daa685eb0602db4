//! *secondary* serves zones that it fetches from their primaries, and keeps them up to date.
//!
//! `config` reads the directive, `keep` fetches one zone and looks after it, `catalog` reads lists of zones out of zones, `members` holds all of them.
//! The transfers themselves and what zones answer are in the crate `catena-zone`.

mod catalog;
mod config;
mod keep;
mod members;

use std::sync::Arc;

use catena_core::prelude::*;
use catena_core::{Linked, Opcode, Service, StartContext, Transfer};
use catena_zone::inbound::Primary;
use catena_zone::tsig::KeyRing;
use catena_zone::{Sent, ZoneMap, look_up, pass};

use crate::config::{Config, Configured};
use crate::keep::Kept;
use crate::members::Members;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("secondary", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let Config { zones, fall } = config::parse(cx)?;
    let clock = cx.clock();
    let members = Arc::new(Members::new(ZoneMap::default(), cx.log(), Box::new(move || clock.unix_seconds())));
    cx.bequeath(Arc::clone(&members));
    let sent = Arc::clone(&members);
    let send = move |zone: &[u8], serial| Some(sent.zones.load().get(zone)?.shared.transfer(serial));
    cx.offer::<dyn Transfer>(Arc::new(Sent(send)));
    cx.service(Arc::new(Keeper(Arc::clone(&members))));
    let linked_members = Arc::clone(&members);
    cx.on_linked(move |linked| {
        let mut map = ZoneMap::default();
        for zone in zones.into_values() {
            let kept = Arc::new(kept(zone, linked)?);
            map.insert(kept.name.clone(), kept);
        }
        linked_members.zones.store(Arc::new(map));
        linked_members.find_notifier(linked);
        linked_members.take_over(linked.left_behind().collect());
        Ok(())
    });
    cx.link(Secondary { members, fall });
    Ok(())
}

/// The zone with its key, which `tsig` of the same block holds.
fn kept(zone: Configured, linked: &Linked<'_>) -> Result<Kept, Diagnostic> {
    let key = match zone.key {
        None => None,
        Some((name, mut at)) => {
            let wire = catena_core::name::owned(&name);
            let found = linked.offers::<KeyRing>().find_map(|(_, ring)| ring.key(wire.as_ref()?.as_slice()));
            match found {
                Some(key) => Some(key),
                None => {
                    at.message = format!("no key {name:?} in `tsig` of this server block");
                    return Err(at);
                }
            }
        }
    };
    let primaries = zone.primaries.into_iter().map(|addr| Primary { addr, key: key.clone() }).collect();
    Ok(Kept::new(zone.name, primaries, zone.catalog))
}

struct Secondary {
    members: Arc<Members>,
    fall: Fallthrough,
}

#[async_trait]
impl Plugin for Secondary {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        let zones = self.members.zones.load();
        let Some((_, kept)) = zones.find(q.question()) else {
            return pass(q, next).await;
        };
        if q.opcode() == Opcode::NOTIFY {
            return self.notified(kept, q);
        }
        let falls_through = self.fall.covers(q.question());
        let looked = look_up(&kept.shared, q, falls_through);
        drop(zones);
        looked.finish(q, next).await
    }
}

impl Secondary {
    /// RFC 1996: a primary says that a zone changed. Anybody else is not answered.
    fn notified(&self, kept: &Kept, q: &mut Query) -> Reply {
        let (client, name) = (q.client().ip(), &kept.name);
        if !kept.is_from(client) {
            self.members.zone_log.info(format_args!("Dropping notify from {client} for {name}"));
            return Reply::silence();
        }
        self.members.zone_log.info(format_args!("Notify from {client} for {name}: checking transfer"));
        kept.notice(client);
        Answer::to(q).authoritative().into()
    }
}

/// Starts keeping the zones.
struct Keeper(Arc<Members>);

#[async_trait]
impl Service for Keeper {
    async fn start(&self, cx: &StartContext<'_>) -> Result<(), Diagnostic> {
        self.0.start(cx.spawner);
        Ok(())
    }

    async fn serving(&self, _cx: &StartContext<'_>) {
        self.0.catch_up();
    }
}

#[cfg(test)]
mod tests;
