#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod config;
mod model;
mod stale;
mod upstream;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use catena_core::foresight::FORESIGHT_STEPS;
use catena_core::prelude::*;
use catena_core::{Class, Fixed};
use catena_testkit::{Ask, Kit, METADATA, Recipe, Seen, TELL};

use self::upstream::UPSTREAM;
use crate::PLUGIN;
use crate::keep::ITEM_OCTETS_MAX;

/// A block with the cache and what stands behind it.
fn kit(cache: &str, upstream: &str) -> Kit {
    Kit::of([PLUGIN, UPSTREAM], &format!("cache {cache}\nupstream {upstream}"))
}

/// Asks for a.example.org A and shows the code and the records in short: `.N/TTL` for addresses, `TYPE/TTL` for others.
fn ask(kit: &Kit) -> String {
    show(&kit.ask_for("a.example.org A"))
}

fn show(seen: &Seen) -> String {
    let mut text = seen.rcode.clone();
    for record in seen.answer.iter().chain(&seen.authority).chain(&seen.additional) {
        let words: Vec<&str> = record.split(' ').collect();
        let what = words[4].strip_prefix("192.0.2").unwrap_or(words[3]);
        text.push_str(&format!(" {what}/{}", words[1]));
    }
    text
}

fn advance(kit: &Kit, seconds: u64) {
    kit.clock.advance(Duration::from_secs(seconds));
}

fn count(kit: &Kit, name: &str) -> f64 {
    kit.metric(&format!("coredns_cache_{name}{{server=\"dns://:53\",view=\"\",zones=\".\"}}")).unwrap_or(0.0)
}

fn count_of(kit: &Kit, name: &str, kind: &str) -> f64 {
    let series = format!("coredns_cache_{name}{{server=\"dns://:53\",type=\"{kind}\",view=\"\",zones=\".\"}}");
    kit.metric(&series).unwrap_or(0.0)
}

#[test]
fn to_look_ahead_counts_nothing_and_changes_no_reply() {
    let kit = kit("", "ok:60");
    let counts =
        |kit: &Kit| (count(kit, "requests_total"), count(kit, "misses_total"), count_of(kit, "hits_total", "success"));
    for wanted in [(1.0, 1.0, 0.0), (2.0, 1.0, 1.0)] {
        let mut query = kit.query(0, &Ask::new("a.example.org A"));
        let before = counts(&kit);
        let mut sight = kit.instance().foresee(&mut query).unwrap();
        for _ in 1..FORESIGHT_STEPS {
            sight.go_on(&query);
        }
        assert_eq!(counts(&kit), before);
        let reply = kit.run(kit.instance().serve(&mut query));
        assert_eq!(show(&Kit::see(&mut query, reply)), "NOERROR .1/60");
        assert_eq!(counts(&kit), wanted);
    }
}

#[test]
fn a_hit_shows_the_time_that_is_left_until_there_is_none() {
    let kit = kit("", "ok:60");
    assert_eq!(ask(&kit), "NOERROR .1/60");
    advance(&kit, 1);
    assert_eq!(ask(&kit), "NOERROR .1/59");
    advance(&kit, 58);
    assert_eq!(ask(&kit), "NOERROR .1/1");
    advance(&kit, 1);
    assert_eq!(ask(&kit), "NOERROR .2/60");
}

#[test]
fn parts_of_seconds_are_not_counted() {
    let kit = kit("", "ok:60");
    ask(&kit);
    kit.clock.advance(Duration::from_millis(999));
    assert_eq!(ask(&kit), "NOERROR .1/60");
}

#[test]
fn times_to_live_keep_within_their_limits() {
    assert_eq!(ask(&kit("", "ok:0")), "NOERROR .1/5");
    assert_eq!(ask(&kit("", "ok:7200")), "NOERROR .1/3600");
    assert_eq!(ask(&kit("", "nx:7200")), "NXDOMAIN SOA/1800");
    assert_eq!(ask(&kit("30", "ok:7200")), "NOERROR .1/30");
    assert_eq!(ask(&kit("{\n success 100 50 20\n denial 100 40 10\n}", "ok:10")), "NOERROR .1/20");
    assert_eq!(ask(&kit("{\n success 100 50 20\n denial 100 40 10\n}", "nodata:60")), "NOERROR SOA/40");
    // The upper limit wins over the lower one.
    assert_eq!(ask(&kit("3", "ok:1")), "NOERROR .1/3");
}

#[test]
fn a_lower_limit_of_zero_lets_a_ttl_of_zero_pass_unstored() {
    let kit = kit("{\n success 100 50 0\n}", "ok:0");
    assert_eq!(ask(&kit), "NOERROR .1/0");
    assert_eq!(ask(&kit), "NOERROR .2/0");
}

#[test]
fn all_records_get_the_smallest_ttl_and_the_opt_record_goes() {
    let kit = kit("", "two:60:30");
    let first = kit.ask(&Ask::new("a.example.org A").edns(1232, false));
    assert_eq!(show(&first), "NOERROR .1/30 .1/30");
    assert_eq!(first.edns, Some((1232, false, Vec::new())));
    assert_eq!(show(&kit.ask_for("a.example.org A")), "NOERROR .1/30 .1/30");
}

#[test]
fn denials_are_kept_and_end_too() {
    let kit = kit("", "nx:20 nodata:20 ok:60");
    assert_eq!(ask(&kit), "NXDOMAIN SOA/20");
    advance(&kit, 5);
    assert_eq!(ask(&kit), "NXDOMAIN SOA/15");
    advance(&kit, 15);
    assert_eq!(ask(&kit), "NOERROR SOA/20");
    advance(&kit, 20);
    assert_eq!(ask(&kit), "NOERROR .3/60");
}

#[test]
fn failures_are_kept_for_their_own_time() {
    let kit = kit("", "servfail ok:60");
    assert_eq!(ask(&kit), "SERVFAIL");
    advance(&kit, 4);
    assert_eq!(ask(&kit), "SERVFAIL");
    advance(&kit, 1);
    assert_eq!(ask(&kit), "NOERROR .2/60");
}

#[test]
fn failures_are_not_kept_if_their_time_is_zero() {
    let kit = kit("{\n servfail 0\n}", "servfail ok:60");
    assert_eq!(ask(&kit), "SERVFAIL");
    assert_eq!(ask(&kit), "NOERROR .2/60");
}

#[test]
fn some_replies_are_never_kept() {
    for behaviour in ["refused", "nxbare", "cname:60", "cut", "query", "status", "old"] {
        let kit = kit("", &format!("{behaviour} ok:60"));
        ask(&kit);
        assert_eq!(ask(&kit), "NOERROR .2/60", "{behaviour}");
    }
}

#[test]
fn some_replies_without_an_answer_are_kept() {
    for (behaviour, hit) in
        [("cname-soa:60", "NOERROR CNAME/60 SOA/60"), ("empty", "NOERROR"), ("ns:60", "NOERROR NS/5")]
    {
        let kit = kit("", &format!("{behaviour} ok:60"));
        ask(&kit);
        assert_eq!(ask(&kit), hit, "{behaviour}");
    }
}

#[test]
fn a_chain_that_leads_nowhere_counts_as_a_denial() {
    let kit = kit("", "cname-soa:60");
    ask(&kit);
    ask(&kit);
    assert_eq!(count_of(&kit, "hits_total", "denial"), 1.0);
}

#[test]
fn a_reply_that_is_no_response_is_dropped_and_passed_on() {
    let kit = kit("", "query");
    assert_eq!(ask(&kit), "NOERROR .1/60");
    assert_eq!(count(&kit, "drops_total"), 1.0);
}

#[test]
fn name_type_class_and_the_do_and_cd_bits_are_the_key() {
    let kit = kit("", "ok:60");
    let base = Ask::new("a.example.org A");
    let others = [
        Ask::new("b.example.org A"),
        Ask::new("a.example.org AAAA"),
        base.clone().edns(1232, true),
        base.clone().flags(flags::RD | flags::CD),
        base.clone().edns(1232, true).flags(flags::RD | flags::CD),
    ];
    kit.ask(&base);
    for (nth, other) in others.iter().enumerate() {
        kit.ask(other);
        assert_eq!(count(&kit, "misses_total"), nth as f64 + 2.0, "{other:?}");
    }
    for again in [Ask::new("A.Example.ORG A"), base.clone().flags(0), base.flags(flags::AD), others[2].clone()] {
        kit.ask(&again);
    }
    assert_eq!(count(&kit, "misses_total"), 6.0);
}

#[test]
fn a_hit_takes_name_and_flags_from_the_query_and_is_authoritative() {
    let kit = kit("", "ok:60");
    let first = kit.ask(&Ask::new("a.example.org A").tcp());
    assert_eq!(first.flags, ["qr", "rd", "ra"]);
    let hit = kit.ask(&Ask::new("A.example.org A").flags(0));
    assert_eq!(hit.flags, ["qr", "aa", "ra"]);
    assert_eq!(hit.by, "cache");
    assert_eq!(first.by, "upstream");
}

#[test]
fn ad_is_asked_for_and_shown_to_those_who_want_it() {
    let kit = kit("", "ad-ok:60");
    let plain = Ask::new("a.example.org A");
    assert_eq!(kit.ask(&plain).flags, ["qr", "rd", "ra"]);
    assert_eq!(kit.ask(&plain).flags, ["qr", "aa", "rd", "ra"]);
    assert_eq!(kit.ask(&plain.clone().flags(flags::AD)).flags, ["qr", "aa", "ra", "ad"]);
    let with_do = plain.edns(1232, true);
    assert_eq!(kit.ask(&with_do).flags, ["qr", "rd", "ra", "ad"]);
    assert_eq!(kit.ask(&with_do).flags, ["qr", "aa", "rd", "ra", "ad"]);
}

#[test]
fn names_outside_the_zones_pass() {
    let kit = Kit::of([PLUGIN, UPSTREAM], "cache example.com\nupstream ok:60");
    assert_eq!(ask(&kit), "NOERROR .1/60");
    assert_eq!(ask(&kit), "NOERROR .2/60");
    assert_eq!(kit.metric("coredns_cache_requests_total{server=\"dns://:53\",view=\"\",zones=\"example.com.\"}"), None);
}

#[test]
fn what_is_disabled_is_capped_and_not_stored() {
    let kit = kit("30 {\n disable success example.org\n disable denial\n}", "ok:60 nx:60 ok:60");
    assert_eq!(ask(&kit), "NOERROR .1/30");
    assert_eq!(ask(&kit), "NXDOMAIN SOA/30");
    assert_eq!(ask(&kit), "NOERROR .3/30");
    assert_eq!(show(&kit.ask_for("a.example.com A")), "NOERROR .4/30");
    assert_eq!(show(&kit.ask_for("a.example.com A")), "NOERROR .4/30");
}

#[test]
fn keepttl_shows_the_ttl_of_the_beginning() {
    let kit = kit("{\n keepttl\n}", "ok:60");
    ask(&kit);
    advance(&kit, 30);
    assert_eq!(ask(&kit), "NOERROR .1/60");
}

#[test]
fn lookups_hits_and_entries_are_counted() {
    let kit = kit("", "ok:60 nx:60");
    assert_eq!(kit.metric("coredns_cache_entries{server=\"dns://:53\",type=\"success\",view=\"\",zones=\".\"}"), None);
    ask(&kit);
    ask(&kit);
    ask(&kit);
    kit.ask_for("b.example.org A");
    kit.ask_for("b.example.org A");
    assert_eq!(count(&kit, "requests_total"), 5.0);
    assert_eq!(count(&kit, "misses_total"), 2.0);
    assert_eq!(count_of(&kit, "hits_total", "success"), 2.0);
    assert_eq!(count_of(&kit, "hits_total", "denial"), 1.0);
    assert_eq!(count_of(&kit, "entries", "success"), 1.0);
    assert_eq!(count_of(&kit, "entries", "denial"), 1.0);
}

#[test]
fn a_full_store_evicts_and_counts_it() {
    let kit = kit("{\n success 0\n}", "ok:60");
    for name in 0..1200 {
        kit.ask_for(&format!("n{name}.example.org A"));
    }
    let (entries, evictions) = (count_of(&kit, "entries", "success"), count_of(&kit, "evictions_total", "success"));
    assert!(entries <= 1024.0);
    assert_eq!(entries + evictions, 1200.0);
}

#[test]
fn a_reload_that_changes_nothing_keeps_the_entries_and_any_other_does_not() {
    let build = |body: &str, before: Option<&Kit>| {
        let mut recipe = Recipe::new([PLUGIN, UPSTREAM], &format!(". {{\n{body}\n}}\n"));
        if let Some(before) = before {
            recipe.predecessor = Some(before.instance().clone());
            recipe.clock = before.clock.clone();
        }
        recipe.build().expect("it builds")
    };
    let first = build("cache\nupstream ok:60 ok:60", None);
    ask(&first);
    advance(&first, 10);
    let second = build("cache\nupstream ok:60 ok:60", Some(&first));
    assert_eq!(ask(&second), "NOERROR .1/50");
    let third = build("cache\nupstream ok:60 ok:60", Some(&second));
    assert_eq!(ask(&third), "NOERROR .1/50");
    let changed = build("cache 30\nupstream ok:60 ok:60", Some(&third));
    assert_eq!(ask(&changed), "NOERROR .1/30");
}

#[test]
fn a_reply_larger_than_an_entry_may_be_is_passed_on_and_not_kept() {
    use catena_core::prelude::*;
    const LARGE: PluginDef = PluginDef::new("large", |cx| {
        let mut words = cx.cursor();
        words.next();
        words.next_arg();
        cx.link(Large(words.val().parse().unwrap()));
        Ok(())
    });
    struct Large(usize);
    #[async_trait]
    impl Plugin for Large {
        async fn serve(&self, q: &mut Query, _next: Next<'_>) -> Reply {
            let mut answer = Answer::to(q);
            let mut left = self.0;
            while left > 0 {
                let len = left.min(60_000);
                answer.push_wire(
                    Section::Answer,
                    q.name().as_slice(),
                    q.qtype(),
                    Class::IN,
                    60,
                    &vec![0; len - q.name().len()],
                );
                left -= len;
            }
            answer.into()
        }
    }
    for (octets, hits) in [(ITEM_OCTETS_MAX, 1.0), (ITEM_OCTETS_MAX + 1, 0.0)] {
        let kit = Kit::of([PLUGIN, LARGE], &format!("cache\nlarge {octets}"));
        for _ in 0..2 {
            let mut query = kit.query(0, &Ask::new("a.example.org TYPE65400"));
            kit.run(kit.instance().serve(&mut query));
        }
        assert_eq!(count_of(&kit, "hits_total", "success"), hits, "{octets}");
    }
}

/// Sets the label of a wildcard for the first query only.
const WILD: PluginDef = PluginDef::new("wild", |cx| {
    let left = AtomicUsize::new(1);
    cx.link(Fixed(move |q: &mut Query| {
        if left.swap(0, Ordering::SeqCst) == 1 {
            q.set_label("zone/wildcard", |_| "*.example.org.".to_owned());
        }
        let name = q.name().as_slice().to_vec();
        let mut answer = Answer::to(q);
        answer.push_wire(Section::Answer, &name, Rtype::A, Class::IN, 60, &[192, 0, 2, 1]);
        answer.into()
    }));
    Ok(())
});

#[test]
fn the_wildcard_behind_an_entry_is_told_with_every_hit() {
    let kit = Kit::of([METADATA, TELL, PLUGIN, WILD], "metadata\ntell zone/wildcard\ncache\nwild");
    for name in ["a.example.org", "A.example.org", "b.example.org"] {
        kit.ask_for(&format!("{name} A"));
    }
    let told = ["*.example.org.", "*.example.org.", "-"].map(|value| format!("[INFO] plugin/tell: {value}"));
    assert_eq!(kit.log.take(), told);
}
