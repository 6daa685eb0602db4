#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cached;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use catena_core::prelude::*;
use catena_core::{Fixed, OPTION_SUBNET, ReplyEdns, Subnet};
use catena_plugin_cache::PLUGIN as CACHE;
use catena_testkit::{Ask, Kit, Seen, check_config};

use crate::PLUGIN;
use crate::opt::{OPTION_OCTETS_MAX, OPTIONS_OCTETS_MAX};

/// `upstream SCOPE...`: the n-th query gets the n-th scope, the last one stays. Its reply is a TXT record with the number of the query and
/// the network that it told, and an option with the scope. Instead of a scope: `untold` no option, `wrong` one about another network,
/// `nx:SCOPE` NXDOMAIN, `fail` SERVFAIL without an option.
const UPSTREAM: PluginDef = PluginDef::new("upstream", |cx: &mut Setup<'_>| {
    let mut words = cx.cursor();
    words.next();
    let scopes: Vec<String> = words.remaining_args().into_iter().map(str::to_owned).collect();
    let asked = AtomicUsize::new(0);
    cx.link(Fixed(move |q: &mut Query| {
        let count = asked.fetch_add(1, Ordering::SeqCst);
        let mut scope = scopes[count.min(scopes.len() - 1)].as_str();
        let option = q.edns().and_then(|edns| edns.options().find(|(code, _)| *code == OPTION_SUBNET));
        let told = option.map(|(_, data)| Subnet::read(data).unwrap());
        assert!(told.is_none_or(|(_, scope)| scope == 0), "a query has no scope");
        let mut answer = Answer::to(q);
        let text = format!("{} {}", count + 1, told.map_or_else(|| "-".to_owned(), |(told, _)| told.to_string()));
        let soa = [&[0, 0][..], &[0; 20]].concat();
        if let Some(rest) = scope.strip_prefix("nx:") {
            scope = rest;
            answer.rcode = Rcode::NXDOMAIN;
            answer.push_wire(Section::Authority, q.name().as_slice(), Rtype::SOA, Class::IN, 60, &soa);
        } else if scope == "fail" {
            return answer.with_rcode(Rcode::SERVFAIL).into();
        } else {
            let rdata = [&[text.len() as u8], text.as_bytes()].concat();
            answer.push_wire(Section::Answer, q.name().as_slice(), Rtype::TXT, Class::IN, 60, &rdata);
        }
        let mut options = Vec::new();
        match (told, scope) {
            (_, "untold") => {}
            (_, "wrong") => Subnet::new("203.0.113.0".parse().unwrap(), 24).write(24, &mut options),
            (Some((told, _)), scope) => told.write(scope.parse().unwrap(), &mut options),
            // Some tell what nobody asked.
            (None, _) => Subnet::new("203.0.113.0".parse().unwrap(), 24).write(24, &mut options),
        }
        answer.edns = Some(ReplyEdns { udp_size: 1232, options, ..ReplyEdns::default() });
        answer.into()
    }));
    Ok(())
});

/// A block with *ecs* and an upstream.
fn kit(ecs: &str, upstream: &str) -> Kit {
    Kit::of([PLUGIN, UPSTREAM], &format!("ecs {ecs}\nupstream {upstream}"))
}

/// A question without an OPT record from an address.
fn from(address: &str) -> Ask {
    let client = if address.contains(':') { format!("[{address}]:9") } else { format!("{address}:9") };
    Ask::new("a.example.org TXT").from(&client)
}

/// A question with an option, such as `192.0.2.0/24`.
fn with(subnet: &str) -> Ask {
    let (address, bits) = subnet.split_once('/').unwrap();
    let mut option = Vec::new();
    Subnet::new(address.parse().unwrap(), bits.parse().unwrap()).write(0, &mut option);
    from("198.51.100.7").option(OPTION_SUBNET, &option[4..])
}

/// The text of the upstream's reply, and `=SCOPE` if the reply has an option.
fn show(seen: &Seen) -> String {
    let text = seen.answer.first().map_or(seen.rcode.as_str(), |record| record.split('"').nth(1).unwrap());
    let options = seen.edns.iter().flat_map(|(_, _, options)| options);
    let mut scopes = options.filter(|(code, _)| *code == OPTION_SUBNET).map(|(_, data)| format!(" ={}", data[3]));
    let scope = scopes.next().unwrap_or_default();
    assert_eq!(scopes.next(), None, "more than one option");
    format!("{text}{scope}")
}

fn count(kit: &Kit, action: &str) -> f64 {
    kit.metric(&format!("coredns_ecs_queries_total{{action=\"{action}\",server=\"dns://:53\",view=\"\"}}")).unwrap()
}

#[test]
fn what_the_client_says_is_forwarded_and_comes_back_with_the_scope() {
    let kit = kit("", "16");
    assert_eq!(show(&kit.ask(&with("192.0.2.0/24"))), "1 192.0.2.0/24 =16");
    let seen = kit.ask(&with("2001:db8::/56"));
    assert_eq!(show(&seen), "2 2001:db8::/56 =16");
    let (_, _, options) = seen.edns.unwrap();
    assert_eq!(options, [(8, vec![0, 2, 56, 16, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0])]);
    assert_eq!(count(&kit, "forwarded"), 2.0);
}

#[test]
fn a_client_that_says_nothing_is_told_nothing_of_it() {
    for ecs in ["", "{\n set\n}", "{\n set 192.0.2.0/24\n}"] {
        let kit = kit(ecs, "24");
        assert_eq!(kit.ask(&from("198.51.100.7")).edns, None, "{ecs}");
        let seen = kit.ask(&from("198.51.100.7").edns(1232, false).option(10, b"a cookie"));
        assert_eq!(seen.edns.unwrap().2.iter().filter(|(code, _)| *code == OPTION_SUBNET).count(), 0, "{ecs}");
    }
}

#[test]
fn an_option_in_the_reply_leaves_the_echo_of_others() {
    let kit = kit("", "untold");
    let with_cache = Kit::of([PLUGIN, CACHE, UPSTREAM], "ecs\ncache\nupstream 24");
    let seen = with_cache.ask(&with("192.0.2.0/24").option(10, b"a cookie"));
    let codes: Vec<u16> = seen.edns.unwrap().2.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes, [10, OPTION_SUBNET]);
    // Who says nothing means everybody.
    assert_eq!(show(&kit.ask(&with("192.0.2.0/24"))), "1 192.0.2.0/24 =0");
}

#[test]
fn more_bits_than_allowed_are_cut_and_the_client_gets_its_own_back() {
    let kit = kit("{\n forward 20 48\n}", "20");
    let seen = kit.ask(&with("192.0.2.7/32"));
    assert_eq!(show(&seen), "1 192.0.0.0/20 =20");
    assert_eq!(seen.edns.unwrap().2, [(8, vec![0, 1, 32, 20, 192, 0, 2, 7])]);
    assert_eq!(show(&kit.ask(&with("192.0.0.0/16"))), "2 192.0.0.0/16 =20");
    assert_eq!(show(&kit.ask(&with("2001:db8::1/128"))), "3 2001:db8::/48 =20");
}

#[test]
fn the_clients_network_is_set_unless_it_says_one() {
    let kit = kit("{\n set\n}", "24");
    assert_eq!(show(&kit.ask(&from("198.51.100.7"))), "1 198.51.100.0/24");
    assert_eq!(show(&kit.ask(&from("2001:db8:1:2:3::4"))), "2 2001:db8:1::/56");
    assert_eq!(show(&kit.ask(&from("::ffff:198.51.100.7"))), "3 198.51.100.0/24");
    assert_eq!(show(&kit.ask(&with("192.0.2.7/32"))), "4 192.0.2.0/24 =24");
    assert_eq!((count(&kit, "set"), count(&kit, "forwarded")), (3.0, 1.0));
}

#[test]
fn with_override_what_the_client_says_does_not_count() {
    let address = kit("{\n set 16 32\n override\n}", "16");
    assert_eq!(show(&address.ask(&with("192.0.2.0/24"))), "1 198.51.0.0/16 =16");
    let fixed = kit("{\n set 2001:db8::/32\n override\n}", "32");
    assert_eq!(show(&fixed.ask(&with("192.0.2.0/24"))), "1 2001:db8::/32 =32");
    assert_eq!(show(&fixed.ask(&from("10.0.0.1"))), "2 2001:db8::/32");
}

#[test]
fn a_client_that_wants_nothing_told_is_respected() {
    for ecs in ["", "{\n set\n}", "{\n set\n override\n}", "{\n set 192.0.2.0/24\n override\n}"] {
        let kit = kit(ecs, "24");
        assert_eq!(show(&kit.ask(&with("0.0.0.0/0"))), "1 0.0.0.0/0 =0", "{ecs}");
        assert_eq!(show(&kit.ask(&with("::/0"))), "2 ::/0 =0", "{ecs}");
        assert_eq!(count(&kit, "opted_out"), 2.0);
    }
}

#[test]
fn what_is_stripped_reaches_nobody() {
    let kit = kit("{\n strip\n}", "24");
    let asked = with("192.0.2.0/24").option(10, b"a cookie");
    assert_eq!(show(&kit.ask(&asked)), "1 -");
    // A broken one is no fault where nobody reads it.
    assert_eq!(show(&kit.ask(&from("198.51.100.7").option(OPTION_SUBNET, &[0, 1, 23, 0, 192, 0, 1]))), "2 -");
    assert_eq!(count(&kit, "stripped"), 2.0);
}

#[test]
fn private_networks_are_told_only_if_the_corefile_says_so() {
    let clients = ["10.1.2.3", "172.16.0.1", "192.168.1.1", "127.0.0.1", "169.254.0.1", "100.64.0.1", "0.1.2.3"];
    let clients = clients.into_iter().chain(["::1", "fd00::1", "fe80::1", "::ffff:10.1.2.3"]);
    for client in clients {
        let kit = kit("{\n set\n}", "24");
        assert_eq!(show(&kit.ask(&from(client))), "1 -", "{client}");
        assert_eq!(count(&kit, "private"), 1.0);
    }
    assert_eq!(show(&kit("", "24").ask(&with("10.1.2.0/24"))), "1 - =0");
    assert_eq!(show(&kit("{\n private\n}", "24").ask(&with("10.1.2.0/24"))), "1 10.1.2.0/24 =24");
    assert_eq!(show(&kit("{\n set\n private\n}", "24").ask(&from("10.1.2.3"))), "1 10.1.2.0/24");
    assert_eq!(show(&kit("{\n set\n}", "24").ask(&from("100.128.0.1"))), "1 100.128.0.0/24");
}

#[test]
fn only_clients_in_the_networks_are_told_of() {
    let kit = kit("{\n set\n net 198.51.100.0/24 2001:db8::1\n}", "24");
    assert_eq!(show(&kit.ask(&from("198.51.100.7"))), "1 198.51.100.0/24");
    assert_eq!(show(&kit.ask(&with("192.0.2.0/24"))), "2 192.0.2.0/24 =24");
    assert_eq!(show(&kit.ask(&with("192.0.2.0/24").from("203.0.113.1:9"))), "3 -");
    assert_eq!(show(&kit.ask(&from("2001:db8::1"))), "4 2001:db8::/56");
    assert_eq!(show(&kit.ask(&from("2001:db8::2"))), "5 -");
}

#[test]
fn the_first_use_that_is_about_a_name_counts() {
    let kit = Kit::of([PLUGIN, UPSTREAM], "ecs example.org {\n set\n}\necs org {\n strip\n}\nupstream 24");
    let of = |name: &str| {
        let ask = with("192.0.2.0/24");
        show(&kit.ask(&Ask { name: name.to_owned(), ..ask }))
    };
    assert_eq!(of("a.example.org"), "1 192.0.2.0/24 =24");
    assert_eq!(of("b.org"), "2 -");
    // What no use is about passes as if there were none.
    assert_eq!(of("b.com"), "3 192.0.2.0/24 =24");
}

#[test]
fn broken_options_get_formerr_and_go_no_further() {
    let kit = kit("", "24");
    // What is not even built as an option should be never comes so far.
    let broken = [
        (&[0, 1, 24, 0, 192, 0][..], "too few octets"),
        (&[0, 1, 24, 0, 192, 0, 2, 1], "too many octets"),
        (&[0, 1, 23, 0, 192, 0, 1], "bits behind the prefix"),
        (&[0, 1, 24, 8, 192, 0, 2], "a scope"),
    ];
    for (data, why) in broken {
        assert_eq!(show(&kit.ask(&from("198.51.100.7").option(OPTION_SUBNET, data))), "FORMERR", "{why}");
    }
    let twice = with("192.0.2.0/24").option(OPTION_SUBNET, &[0, 1, 24, 0, 192, 0, 2]);
    assert_eq!(show(&kit.ask(&twice)), "FORMERR");
    assert_eq!(count(&kit, "malformed"), 5.0);
    assert_eq!(show(&kit.ask(&with("192.0.2.0/24"))), "1 192.0.2.0/24 =24");
}

#[test]
fn a_reply_for_another_network_is_not_used() {
    let body = ["ecs\nupstream wrong 24", "ecs\ncache\nupstream wrong 24"];
    for body in body {
        let kit = Kit::of([PLUGIN, CACHE, UPSTREAM], body);
        let seen = kit.ask(&with("192.0.2.0/24"));
        assert_eq!((show(&seen).as_str(), seen.error.is_some()), ("SERVFAIL", true));
        assert_eq!(kit.metric("coredns_ecs_mismatches_total{server=\"dns://:53\",view=\"\"}"), Some(1.0));
        assert_eq!(show(&kit.ask(&with("192.0.2.0/24"))), "2 192.0.2.0/24 =24", "and it was not kept");
    }
}

#[test]
fn options_without_room_for_another_stay_as_they_are() {
    let octets = |len: usize| from("198.51.100.7").tcp().option(65_001, &vec![0; len - 4]);
    let kit = kit("{\n set\n}", "24");
    assert_eq!(show(&kit.ask(&octets(OPTIONS_OCTETS_MAX - OPTION_OCTETS_MAX))), "1 198.51.100.0/24");
    assert_eq!(show(&kit.ask(&octets(OPTIONS_OCTETS_MAX - OPTION_OCTETS_MAX + 1))), "2 -");
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let wrong = |line: usize, body: &str, text: &str| {
        check_config([PLUGIN], body, &format!("plugin/ecs: Corefile:{line} - Error during parsing: {text}"));
    };
    let of = |property: &str, text: &str| wrong(3, &format!("ecs {{\n {property}\n}}"), text);
    of("forwards", "unknown property 'forwards'");
    of("forward 24", "Wrong argument count or unexpected line ending after '24'");
    of("forward 33 56", "the bits of IPv4 are a number from 1 to 32, not \"33\"");
    of("set 24 129", "the bits of IPv6 are a number from 1 to 128, not \"129\"");
    of("set 0 56", "the bits of IPv4 are a number from 1 to 32, not \"0\"");
    of("set 192.0.2.1", "invalid network \"192.0.2.1\": not ADDRESS/BITS");
    of("set 192.0.2.0/33", "invalid network \"192.0.2.0/33\": the bits are a number from 1 to 32");
    of("set 192.0.2.1/24", "invalid network \"192.0.2.1/24\": bits are set behind the first 24; 192.0.2.0/24 has none");
    of("strip all", "Wrong argument count or unexpected line ending after 'all'");
    of("net", "Wrong argument count or unexpected line ending after 'net'");
    of("net 1.2.3", "invalid network \"1.2.3\": invalid CIDR address: 1.2.3");
    wrong(4, "ecs {\n set\n strip\n}", "only one of forward, strip and set");
    wrong(2, "ecs {\n override\n}", "override is about set only");
    let many = "ecs\n".repeat(crate::config::RULES_MAX);
    assert!(Kit::of([PLUGIN], &many).warnings.is_empty());
    wrong(66, &format!("{many}ecs"), "more than 64 uses of ecs in one server block");
}

#[test]
fn a_cache_that_stands_before_it_is_warned_of() {
    let kit = Kit::of([CACHE, PLUGIN, UPSTREAM], "ecs\ncache\nupstream 24");
    assert_eq!(kit.warnings.len(), 1);
    // It keeps nothing for the wrong clients.
    assert_eq!(show(&kit.ask(&with("192.0.2.0/24"))), "1 192.0.2.0/24");
    assert_eq!(show(&kit.ask(&with("203.0.113.0/24"))), "2 203.0.113.0/24");
}
