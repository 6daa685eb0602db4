//! Why plugins stand where they do: pairs of them whose order a client would notice.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::sync::atomic::{AtomicU8, Ordering};

use catena_core::prelude::*;
use catena_core::{Fixed, name};
use catena_testkit::{Kit, check};

/// Stands for an upstream: an address that tells how many queries it had, a name server, the address of that. AA and RA are set.
const UPSTREAM: PluginDef = PluginDef::new("upstream", |cx: &mut Setup<'_>| {
    let asked = AtomicU8::new(0);
    cx.link(Fixed(move |q: &mut Query| {
        let count = asked.fetch_add(1, Ordering::Relaxed) + 1;
        let (asked, host) = (q.owned_lower(), name::owned("ns.example.org").unwrap());
        let mut answer = Answer::to(q).authoritative();
        answer.set(flags::RA, true);
        answer.push_address(Section::Answer, &asked, Class::IN, 300, [192, 0, 2, count].into());
        answer.push_wire(Section::Authority, asked.as_slice(), Rtype::NS, Class::IN, 300, host.as_slice());
        answer.push_address(Section::Additional, &host, Class::IN, 300, [192, 0, 2, 53].into());
        answer.into()
    }));
    Ok(())
});

fn plugins() -> Vec<PluginDef> {
    catena_stock::stock().iter().copied().chain([UPSTREAM]).collect()
}

fn told(body: &str, script: &str) {
    check(plugins(), &format!("{body}\nupstream"), script);
}

/// The answer section alone.
fn answer(kit: &Kit, name: &str) -> Vec<String> {
    kit.ask_for(&format!("{name} A")).answer
}

#[test]
fn rewrite_stands_before_cache_so_that_names_that_become_one_are_asked_for_once_and_each_client_gets_its_own() {
    let rules = "rewrite name a.example.org c.example.org\nrewrite name b.example.org c.example.org";
    let kit = Kit::of(plugins(), &format!("{rules}\nminimal\ncache\nupstream"));
    for name in ["a.example.org", "b.example.org", "c.example.org", "a.example.org"] {
        assert_eq!(answer(&kit, name), [format!("{name}. 300 IN A 192.0.2.1")]);
    }
}

#[test]
fn what_rewrite_does_to_a_reply_is_not_stored_by_cache() {
    let rules = "rewrite continue ttl a.example.org 7\nrewrite name a.example.org c.example.org";
    let kit = Kit::of(plugins(), &format!("{rules}\nminimal\ncache\nupstream"));
    assert_eq!(answer(&kit, "a.example.org"), ["a.example.org. 7 IN A 192.0.2.1"]);
    assert_eq!(answer(&kit, "c.example.org"), ["c.example.org. 300 IN A 192.0.2.1"]);
    kit.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(answer(&kit, "a.example.org"), ["a.example.org. 7 IN A 192.0.2.1"]);
    assert_eq!(answer(&kit, "c.example.org"), ["c.example.org. 240 IN A 192.0.2.1"]);
}

#[test]
fn rewrite_stands_before_acl_so_that_a_type_is_judged_as_it_is_asked_further_down() {
    let script = "
        > a.example.org AAAA
        < NOERROR qr aa rd ra
        = a.example.org. 300 IN A 192.0.2.1
        > a.example.org TXT
        < REFUSED qr rd";
    let rules = "rewrite type AAAA A\nrewrite type TXT MX";
    told(&format!("{rules}\nacl {{\nblock type AAAA\nblock type MX\n}}\nminimal"), script);
}

#[test]
fn header_stands_below_cache_so_that_a_reply_from_the_cache_has_the_flags_that_are_stored_and_no_others() {
    let script = "
        > a.example.org A
        < NOERROR qr
        = a.example.org. 300 IN A 192.0.2.1
        > a.example.org A
        < NOERROR qr aa rd
        = a.example.org. 300 IN A 192.0.2.1";
    told("header {\nresponse clear aa ra\nquery clear rd\n}\nminimal\ncache", script);
}

#[test]
fn minimal_stands_below_cache_so_that_no_room_is_taken_by_records_that_nobody_is_told() {
    let script = "
        > a.example.org A
        < NOERROR qr aa rd ra
        = a.example.org. 300 IN A 192.0.2.1
        > a.example.org A
        < NOERROR qr aa rd ra
        = a.example.org. 300 IN A 192.0.2.1";
    told("minimal\ncache", script);
    let names = catena_stock::stock().names();
    let place = |name: &str| names.iter().position(|known| *known == name).unwrap();
    assert!(place("cache") < place("minimal"));
}

#[test]
fn minimal_below_cache_leaves_the_length_of_life_to_the_answer_alone() {
    // The name server's TTL would have ended the entry sooner, had it been stored.
    const SHORT: PluginDef = PluginDef::new("short", |cx: &mut Setup<'_>| {
        cx.link(Fixed(|q: &mut Query| {
            let asked = q.owned_lower();
            let mut answer = Answer::to(q);
            answer.push_address(Section::Answer, &asked, Class::IN, 300, [192, 0, 2, 1].into());
            answer.push_wire(Section::Authority, asked.as_slice(), Rtype::NS, Class::IN, 10, &[0]);
            answer.into()
        }));
        Ok(())
    });
    let kept = |body: &str| {
        let plugins: Vec<PluginDef> = catena_stock::stock().iter().copied().chain([SHORT]).collect();
        let kit = Kit::of(plugins, &format!("{body}\ncache\nshort"));
        drop(answer(&kit, "a.example.org"));
        kit.clock.advance(std::time::Duration::from_secs(60));
        kit.ask_for("a.example.org A").by
    };
    assert_eq!((kept(""), kept("minimal")), ("short", "cache"));
}
