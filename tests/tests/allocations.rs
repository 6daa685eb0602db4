//! What a cache hit behind the plugins of a cluster's Corefile costs in allocations: the box of each link that it passes.

#![allow(missing_docs, clippy::unwrap_used)]

use std::alloc::System;
use std::net::{IpAddr, Ipv4Addr};

use catena_core::prelude::*;
use catena_core::{Fixed, finish};
use catena_testkit::{Ask, Kit};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The links before `cache`, and `cache` itself: prometheus, errors, loadbalance, cache.
const LINKS: usize = 4;

/// Stands for an upstream: two addresses for every name.
const UPSTREAM: PluginDef = PluginDef::new("upstream", |cx: &mut Setup<'_>| {
    cx.link(Fixed(|q: &mut Query| {
        let name = q.owned_lower();
        let mut answer = Answer::to(q);
        for host in [1, 2] {
            let address = IpAddr::from(Ipv4Addr::new(192, 0, 2, host));
            answer.push_address(Section::Answer, &name, Class::IN, 300, address);
        }
        answer.into()
    }));
    Ok(())
});

#[test]
fn a_cache_hit_allocates_one_box_for_each_link() {
    let plugins = catena_stock::stock().iter().copied().chain([UPSTREAM]).collect::<Vec<_>>();
    let kit = Kit::of(plugins, "errors\nprometheus 127.0.0.1:0\nloadbalance\ncache 30\nupstream");
    let ask = Ask::new("www.example.org A").edns(1232, false).option(10, b"a cookie");
    let mut query = kit.query(0, &ask);
    let (message, arrival) = (ask.message(), query.arrival().clone());
    let mut out = Vec::with_capacity(512);
    let mut exchange = || {
        assert_eq!(query.read(&message, arrival.clone()), catena_core::Intake::Serve);
        let instance = std::sync::Arc::clone(kit.instance());
        let reply = kit.run(instance.serve(&mut query));
        assert_eq!(reply.by, "cache");
        assert!(finish(&mut query, reply, &mut out).is_send());
    };
    let mut query_of_the_miss = kit.query(0, &ask);
    let instance = std::sync::Arc::clone(kit.instance());
    drop(kit.run(instance.serve(&mut query_of_the_miss)));
    (0..100).for_each(|_| exchange());

    let region = Region::new(ALLOCATOR);
    (0..1000).for_each(|_| exchange());
    let change = region.change();
    assert_eq!(change.reallocations, 0);
    assert_eq!(change.allocations, 1000 * LINKS);
}
