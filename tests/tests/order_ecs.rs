//! *ecs* and *cache*, as they stand in the list: what is cached for one network is not given to another.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use catena_core::prelude::*;
use catena_core::{Fixed, OPTION_SUBNET, ReplyEdns, Subnet};
use catena_testkit::{Ask, Kit};

/// Stands for an upstream whose addresses depend on the network it is told, the first 24 bits of it: their last octet is the network's.
const UPSTREAM: PluginDef = PluginDef::new("upstream", |cx: &mut Setup<'_>| {
    cx.link(Fixed(|q: &mut Query| {
        let option = q.edns().and_then(|edns| edns.options().find(|(code, _)| *code == OPTION_SUBNET));
        let told = option.and_then(|(_, data)| Subnet::read(data).ok()).map(|(told, _)| told);
        let network = told.map(Subnet::address).map_or(0, |address| match address {
            std::net::IpAddr::V4(v4) => v4.octets()[2],
            std::net::IpAddr::V6(_) => 6,
        });
        let name = q.owned_lower();
        let mut answer = Answer::to(q);
        answer.push_address(Section::Answer, &name, Class::IN, 300, [198, 51, 100, network].into());
        let mut options = Vec::new();
        if let Some(told) = told {
            told.write(24, &mut options);
        }
        answer.edns = Some(ReplyEdns { udp_size: 1232, options, ..ReplyEdns::default() });
        answer.into()
    }));
    Ok(())
});

fn kit(body: &str) -> Kit {
    let plugins = catena_stock::stock().iter().copied().chain([UPSTREAM]).collect::<Vec<_>>();
    Kit::of(plugins, body)
}

fn asked_from(kit: &Kit, client: &str) -> String {
    kit.ask(&Ask::new("www.example.org A").from(client)).answer.join(" ")
}

#[test]
fn ecs_before_cache_each_network_has_its_own_reply() {
    let kit = kit("cache\necs {\n set\n}\nupstream");
    for _ in 0..2 {
        assert_eq!(asked_from(&kit, "203.0.113.1:9"), "www.example.org. 300 IN A 198.51.100.113");
        assert_eq!(asked_from(&kit, "192.0.2.1:9"), "www.example.org. 300 IN A 198.51.100.2");
    }
    let hits = "coredns_cache_hits_total{server=\"dns://:53\",type=\"success\",view=\"\",zones=\".\"}";
    assert_eq!(kit.metric(hits), Some(2.0));
}

#[test]
fn rewrite_before_ecs_what_it_puts_in_counts_as_the_clients() {
    let kit = kit("cache\necs\nrewrite edns0 subnet set 24 56\nupstream");
    for _ in 0..2 {
        assert_eq!(asked_from(&kit, "203.0.113.1:9"), "www.example.org. 300 IN A 198.51.100.113");
        assert_eq!(asked_from(&kit, "192.0.2.1:9"), "www.example.org. 300 IN A 198.51.100.2");
    }
}

#[test]
fn dns64_before_ecs_its_look_up_is_for_the_same_network() {
    let kit = kit("dns64 {\n translate_all\n}\ncache\necs {\n set\n}\nupstream");
    let six = |client| kit.ask(&Ask::new("www.example.org AAAA").from(client)).answer.join(" ");
    let (first, other) = (six("[2001:db8::1]:9"), six("[2001:db8:0:100::1]:9"));
    assert!(first.ends_with(&Subnet::new("64:ff9b::c633:6406".parse().unwrap(), 128).address().to_string()), "{first}");
    assert_eq!(first, other);
}

#[test]
fn acl_before_ecs_who_is_turned_away_is_told_nothing_of_others() {
    let kit = kit("acl {\n block net 192.0.2.0/24\n}\necs {\n set 203.0.113.0/24\n}\ncache\nupstream");
    assert_eq!(asked_from(&kit, "203.0.113.1:9"), "www.example.org. 300 IN A 198.51.100.113");
    assert_eq!(asked_from(&kit, "192.0.2.1:9"), "");
}
