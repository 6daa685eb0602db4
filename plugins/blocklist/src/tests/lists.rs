//! Which queries a list is about.

use super::*;
use catena_core::flags;
use catena_testkit::{Ask, check_config};

#[test]
fn a_listed_name_is_blocked_and_others_are_not() {
    let kit = Place::of(&[("ads", "ads.test\n0.0.0.0 one.test\n")]).kit("list DIR/ads");
    for (name, wanted) in [
        ("ads.test A", "NXDOMAIN"),
        ("X.Ads.TEST MX", "NXDOMAIN"),
        ("one.test A", "NXDOMAIN"),
        ("x.one.test A", "NOERROR"),
        ("test A", "NOERROR"),
        ("xads.test A", "NOERROR"),
    ] {
        assert_eq!(rcode(&kit, name), wanted, "{name}");
    }
    assert_eq!(hits(&kit, "ads", "nxdomain"), 3.0);
    assert_eq!(kit.metric("coredns_blocklist_entries{list=\"ads\"}"), Some(2.0));
}

#[test]
fn allowed_names_win_whatever_the_order() {
    let place = Place::of(&[("ads", "test\n"), ("good", "good.test\n")]);
    let kit = place.kit("allow DIR/good\n list DIR/ads\n except fine.test");
    for (name, wanted) in [("bad.test A", "NXDOMAIN"), ("x.good.test A", "NOERROR"), ("a.fine.test A", "NOERROR")] {
        assert_eq!(rcode(&kit, name), wanted, "{name}");
    }
    assert_eq!(hits(&kit, "good", "allow"), 1.0);
}

#[test]
fn the_first_list_that_has_a_name_decides_and_counts() {
    let place = Place::of(&[("a", "one.test\n"), ("b", "one.test\ntwo.test\n")]);
    let kit = place.kit_of("blocklist {\n list DIR/a as first\n answer nodata\n}\nblocklist {\n list DIR/b\n}");
    assert_eq!((rcode(&kit, "one.test A"), rcode(&kit, "two.test A")), ("NOERROR".into(), "NXDOMAIN".into()));
    assert_eq!((hits(&kit, "first", "nodata"), hits(&kit, "b", "nxdomain")), (1.0, 1.0));
}

#[test]
fn a_policy_is_for_its_zones_and_its_clients() {
    let place = Place::of(&[("ads", "ads.test\nads.example\n")]);
    let kit = place.kit_of("blocklist test {\n list DIR/ads\n net 192.0.2.0/24 2001:db8::1\n}");
    let from = |name: &str, client: &str| kit.ask(&Ask::new(name).from(client)).rcode;
    assert_eq!(from("ads.test A", "192.0.2.9:1"), "NXDOMAIN");
    assert_eq!(from("ads.test A", "[::ffff:192.0.2.9]:1"), "NXDOMAIN");
    assert_eq!(from("ads.test A", "[2001:db8::1]:1"), "NXDOMAIN");
    assert_eq!(from("ads.test A", "198.51.100.1:1"), "NOERROR");
    assert_eq!(from("ads.example A", "192.0.2.9:1"), "NOERROR");
}

#[test]
fn an_alias_that_leads_to_a_listed_name_is_blocked() {
    let place = Place::of(&[("ads", "ads.test\n"), ("good", "tracker.ads.test\n")]);
    let seen = place.kit("list DIR/ads").ask_for("Cloak.test A");
    assert_eq!((seen.rcode.as_str(), seen.answer.len()), ("NXDOMAIN", 0));
    assert!(seen.authority[0].starts_with("Cloak.test. 60 IN SOA "), "{:?}", seen.authority);
    assert_eq!(rcode(&place.kit("list DIR/ads\n allow DIR/good"), "cloak.test A"), "NOERROR", "its target is allowed");
    assert_eq!(rcode(&place.kit("list DIR/ads\n except cloak.test"), "cloak.test A"), "NOERROR");
}

#[test]
fn other_opcodes_pass() {
    let kit = Place::of(&[("ads", "ads.test\n")]).kit("list DIR/ads");
    assert_eq!(kit.ask(&Ask::new("ads.test SOA").flags(4 << 11 & flags::OPCODE)).by, "world");
}

#[test]
fn look_ups_from_inside_are_judged_and_not_counted() {
    let kit = Place::of(&[("ads", "ads.test\n")]).kit("list DIR/ads\n answer nodata");
    let query = kit.query(0, &Ask::new("x.test A"));
    // Whoever makes an answer of two, as dns64 does, gets neither.
    let reply = kit.run(query.lookup(owned("ads.test").unwrap().for_slice(), Rtype::A)).unwrap();
    assert_eq!(reply.answer().unwrap().count(Section::Answer), 0);
    assert_eq!(hits(&kit, "ads", "nodata"), 0.0);
}

#[test]
fn what_is_wrong_is_told_at_its_place() {
    let place = Place::of(&[("ads", "ads.test\n"), ("page", "<html>\n<body>\n")]);
    let begin = "plugin/blocklist: Corefile:";
    let many = format!("blocklist {{\n{}\n}}", "list DIR/ads\n".repeat(2));
    let lists = (0..=crate::config::LISTS_MAX).map(|number| format!("list DIR/ads as n{number}\n")).collect::<String>();
    for (body, wanted) in [
        ("blocklist", "2 - Error during parsing: no list: `list FILE` or `rpz ZONE FILE` is expected"),
        (many.as_str(), "4 - Error during parsing: two lists are called \"ads\""),
        (
            "blocklist {\n list DIR/page\n}",
            "3 - Error during parsing: \"DIR/page\" is no list: most lines are not those of a list: line 1: \"<html>\"",
        ),
        ("blocklist {\n list DIR\n}", "3 - Error during parsing: cannot read \"DIR\": is a directory"),
        (
            "blocklist {\n list DIR/ads rpz\n}",
            "3 - Error during parsing: a response policy zone has a name: `rpz ZONE FILE`",
        ),
        (&format!("blocklist {{\n{lists}}}"), "2 - Error during parsing: more than 64 lists in one server block"),
    ] {
        assert_eq!(place.wrong(body), format!("{begin}{wanted}"), "{body}");
    }
}

#[test]
fn properties_are_checked() {
    let error = |body: &str, wanted: &str| {
        check_config(
            [PLUGIN],
            &format!("blocklist {{\n{body}\n list /dev/null\n}}"),
            &format!("plugin/blocklist: Corefile:3 - Error during parsing: {wanted}"),
        );
    };
    error("answer maybe", "unknown answer 'maybe'");
    error("answer cname", "unknown answer 'cname'");
    error("ttl 86401", "ttl must be in range [0, 86400]: 86401");
    error("reload -1s", "invalid duration for reload '-1s'");
    error("net 10.0.0.0/33", "invalid network \"10.0.0.0/33\": invalid CIDR address: 10.0.0.0/33");
    error("rpz p.test from x", "not an IP address: \"x\"");
    error("rpz p.test from key k.", "one to 8 addresses are expected behind 'from'");
    error("rpz p.test from 192.0.2.1 key k.", "no key k. in the server block");
    error(&format!("answer {}", "192.0.2.1 ".repeat(17)), "more than 16 addresses");
    error(&format!("rpz p.test from {}", "192.0.2.1 ".repeat(9)), "one to 8 addresses are expected behind 'from'");
    error("block x", "unknown property 'block'");
}

/// Stands for a plugin that takes any words.
fn any(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let mut ring = catena_zone::tsig::KeyRing::default();
    let key = catena_zone::tsig::Key::new("feed.example.", "c2VjcmV0", catena_zone::tsig::Algorithm::default());
    ring.add(key.unwrap()).unwrap();
    cx.offer::<catena_zone::tsig::KeyRing>(std::sync::Arc::new(ring));
    Ok(())
}

#[test]
fn the_examples_of_the_readme_load() {
    let others = ["tsig", "forward", "cache"].map(|name| PluginDef::new(name, any));
    let examples: Vec<&str> = include_str!("../../README.md").split("```corefile\n").skip(1).collect();
    assert_eq!(examples.len(), 3);
    for example in examples {
        let corefile = example.split("```").next().unwrap();
        let plugins = others.into_iter().chain([PLUGIN]);
        if let Err(errors) = Recipe::new(plugins, corefile).build() {
            panic!("{corefile}\n{}", errors.into_iter().map(|(_, text)| text).collect::<String>());
        }
    }
}
