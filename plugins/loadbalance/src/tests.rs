#![allow(clippy::unwrap_used, clippy::expect_used)]
use std::collections::BTreeMap;
use std::time::Duration;

use catena_core::name::owned;
use catena_core::prelude::*;
use catena_testkit::{Kit, Recipe, check_config};
use domain::rdata::{Cname, Mx};

use super::PLUGIN;
use crate::weights::{FILE_OCTETS_MAX, LINE_OCTETS_MAX, Weights};

/// Answers with the records that its words name: `1` is 192.0.2.1, `::1` is 2001:db8::1, `cname`, `mx1`, `txt`; after `nx` the code is
/// NXDOMAIN. The same records stand in the additional section.
const RECORDS: PluginDef = PluginDef::new("records", |cx| {
    let mut words = cx.cursor();
    words.next();
    cx.link(Records(words.remaining_args().into_iter().map(str::to_owned).collect()));
    Ok(())
});

struct Records(Vec<String>);

#[async_trait]
impl Plugin for Records {
    async fn serve(&self, q: &mut Query, _next: Next<'_>) -> Reply {
        let mut answer = Answer::to(q);
        for section in [Section::Answer, Section::Additional] {
            for word in &self.0 {
                match word.as_str() {
                    "nx" => answer.rcode = Rcode::NXDOMAIN,
                    "cname" => {
                        answer.push(section, &q.name(), Class::IN, 60, &Cname::new(owned("b.example.org").unwrap()))
                    }
                    "txt" => answer.push_wire(section, q.name().as_slice(), Rtype::TXT, Class::IN, 60, &[1, b'x']),
                    mx if mx.starts_with("mx") => {
                        let preference = mx[2..].parse().unwrap();
                        answer.push(section, &q.name(), Class::IN, 60, &Mx::new(preference, owned("m").unwrap()));
                    }
                    v6 if v6.starts_with("::") => {
                        let address = format!("2001:db8{v6}").parse().unwrap();
                        answer.push_address(section, q.name(), Class::IN, 60, address);
                    }
                    v4 => {
                        answer.push_address(section, q.name(), Class::IN, 60, format!("192.0.2.{v4}").parse().unwrap())
                    }
                }
            }
        }
        answer.into()
    }
}

/// The records of the answer section in short, as `RECORDS` names them.
fn shown(kit: &Kit, ask: &str) -> String {
    let seen = kit.ask_for(ask);
    let short = |record: &String| {
        let words: Vec<&str> = record.split(' ').collect();
        match words[3] {
            "A" => words[4].rsplit('.').next().unwrap().to_owned(),
            "AAAA" => words[4].strip_prefix("2001:db8").unwrap().to_owned(),
            "MX" => format!("mx{}", words[4]),
            other => other.to_ascii_lowercase(),
        }
    };
    let text = |records: &[String]| records.iter().map(short).collect::<Vec<_>>().join(" ");
    assert_eq!(seen.answer.len(), seen.additional.len());
    text(&seen.answer)
}

/// How often each order came up.
fn orders(body: &str, times: usize) -> BTreeMap<String, usize> {
    let kit = Kit::of([PLUGIN, RECORDS], body);
    let mut orders = BTreeMap::new();
    for _ in 0..times {
        *orders.entry(shown(&kit, "a.example.org A")).or_default() += 1;
    }
    orders
}

#[test]
fn every_order_of_addresses_is_as_likely() {
    let orders = orders("loadbalance\nrecords 1 2 3", 3000);
    assert_eq!(orders.len(), 6);
    // 500 each; six sigma are 122.
    assert!(orders.values().all(|count| (378..=622).contains(count)), "{orders:?}");
}

#[test]
fn two_addresses_change_places_half_of_the_time() {
    let orders = orders("loadbalance round_robin\nrecords ::1 ::2", 1000);
    assert_eq!(orders.len(), 2);
    assert!(orders.values().all(|count| (400..=600).contains(count)), "{orders:?}");
}

#[test]
fn cnames_come_first_then_the_rest_then_addresses_of_both_kinds_then_mx() {
    let orders = orders("loadbalance\nrecords mx1 1 txt ::2 cname mx2", 200);
    let expected =
        ["cname txt 1 ::2 mx1 mx2", "cname txt 1 ::2 mx2 mx1", "cname txt ::2 1 mx1 mx2", "cname txt ::2 1 mx2 mx1"];
    let mut keys: Vec<&String> = orders.keys().collect();
    keys.sort();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(keys, expected);
}

#[test]
fn other_codes_stay_as_they_are() {
    assert_eq!(orders("loadbalance\nrecords nx 1 2 3", 100).len(), 1);
}

#[test]
fn preferred_networks_come_first_in_their_order_and_the_rest_last() {
    let body =
        "loadbalance {\n prefer 192.0.2.128/25 2001:db8::/64\n prefer 192.0.2.2/32\n}\nrecords txt mx1 1 2 ::3 200";
    let kit = Kit::of([PLUGIN, RECORDS], body);
    for _ in 0..50 {
        assert_eq!(shown(&kit, "a.example.org A"), "200 ::3 2 1 mx1 txt");
    }
}

fn weighted(args: &str, weights: &str) -> Recipe {
    let corefile = format!(". {{\nloadbalance weighted weights {args}\nrecords 1 2 3\n}}\n");
    Recipe::new([PLUGIN, RECORDS], &corefile).file("weights", weights)
}

fn first_counts(kit: &Kit, ask: &str, times: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..times {
        *counts.entry(shown(kit, ask)).or_default() += 1;
    }
    counts
}

#[test]
fn a_weight_decides_how_often_an_address_comes_first() {
    let kit = weighted("", "a.example.org\n192.0.2.1 1\n192.0.2.2 2\n192.0.2.3 7\n").build().unwrap();
    let counts = first_counts(&kit, "A.example.org A", 2000);
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["1 2 3", "2 1 3", "3 2 1"]);
    let near = |order: &str, expected: usize| counts[order].abs_diff(expected) < 120;
    assert!(near("1 2 3", 200) && near("2 1 3", 400) && near("3 2 1", 1400), "{counts:?}");
    assert_eq!(kit.log.take(), ["[INFO] plugin/loadbalance: Successfully reloaded weight file weights"]);
}

#[test]
fn addresses_that_are_not_named_weigh_one() {
    let kit = weighted("", "a.example.org\n192.0.2.3 254\n").build().unwrap();
    let counts = first_counts(&kit, "a.example.org A", 500);
    assert!(counts["3 2 1"] > 480, "{counts:?}");
    let counts = first_counts(&kit, "b.example.org A", 900);
    assert!(counts.values().all(|count| (200..400).contains(count)), "{counts:?}");
}

#[test]
fn other_types_are_not_weighed() {
    let kit = weighted("", "a.example.org\n192.0.2.3 255\n").build().unwrap();
    assert_eq!(first_counts(&kit, "a.example.org MX", 50).len(), 1);
}

#[test]
fn a_changed_file_is_read_again_and_a_broken_one_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weights");
    let name = path.display().to_string();
    std::fs::write(&path, "a.example.org\n192.0.2.1 255\n").unwrap();
    let kit = Kit::of([PLUGIN, RECORDS], &format!("loadbalance weighted {name} {{\n reload 10ms\n}}\nrecords 1 2 3"));
    kit.wait(Duration::from_millis(50));
    assert_eq!(kit.log.take(), [format!("[INFO] plugin/loadbalance: Successfully reloaded weight file {name}")]);
    std::fs::write(&path, "a.example.org\n192.0.2.1 0\n").unwrap();
    kit.wait(Duration::from_millis(50));
    assert_eq!(kit.log.take(), [format!("[ERROR] plugin/loadbalance: wrong weight value:\"0\" in weight file {name}")]);
    assert!(first_counts(&kit, "a.example.org A", 100)["1 2 3"] > 80);
    std::fs::write(&path, "a.example.org\n192.0.2.3 255\n").unwrap();
    kit.wait(Duration::from_millis(50));
    assert!(first_counts(&kit, "a.example.org A", 100)["3 2 1"] > 80);
}

#[test]
fn a_missing_file_may_come_unless_it_is_never_looked_at_again() {
    let missing = |args: &str| {
        let corefile = format!(". {{\nloadbalance weighted missing {args}\nrecords 1\n}}\n");
        Recipe::new([PLUGIN, RECORDS], &corefile).build()
    };
    let kit = missing("").ok().unwrap();
    let warning = "Failed to open weight file:weight file open error. Will try again in 30s";
    assert_eq!(kit.log.take(), [format!("[WARNING] plugin/loadbalance: {warning}")]);
    let errors = missing("{\n reload 0\n}").err().unwrap();
    assert_eq!(errors[0].0.one_line(), "plugin/loadbalance: weight file open error");
}

fn told(contents: &str) -> String {
    Weights::parse(contents.as_bytes(), "F").err().unwrap_or_default()
}

#[test]
fn mistakes_in_a_weight_file_are_told() {
    assert_eq!(
        told("192.0.2.1\n"),
        "wrong domain name:\"192.0.2.1\" in weight file F. (Maybe a missing weight value?)"
    );
    assert_eq!(told("a\nb 1\n"), "wrong IP address:\"b\" in weight file F");
    for weight in ["0", "256", "-1", "x"] {
        assert_eq!(told(&format!("a\n::1 {weight}\n")), format!("wrong weight value:\"{weight}\" in weight file F"));
    }
    assert_eq!(told("::1 1\n"), "missing domain name in weight file F");
    assert_eq!(told("a\n::1 1 1\n"), "could not parse weight line:\"::1 1 1\" in weight file F");
    assert_eq!(told("# a comment\n\n a.example.org.\r\n\t192.0.2.1  255 \n"), "");
}

#[test]
fn a_weight_file_and_its_lines_have_a_largest_size() {
    let comment = |octets: usize| format!("#{}", "x".repeat(octets - 1));
    assert_eq!(told(&comment(LINE_OCTETS_MAX - 1)), "");
    assert_eq!(told(&comment(LINE_OCTETS_MAX)), "weight file F parsing error:bufio.Scanner: token too long");
    let full = "#\n".repeat(FILE_OCTETS_MAX / 2);
    assert_eq!(told(&full), "");
    assert_eq!(told(&format!("{full}#")), format!("weight file F parsing error:more than {FILE_OCTETS_MAX} octets"));
}

#[test]
fn arguments_are_checked() {
    let wrong = |body: &str, line: u32, message: &str| {
        check_config([PLUGIN], body, &format!("plugin/loadbalance: Corefile:{line} - Error during parsing: {message}"));
    };
    wrong("loadbalance round_robin more", 2, "unknown property for round_robin");
    wrong("loadbalance weighted", 2, "missing weight file argument");
    wrong("loadbalance weighted a b", 2, "unexpected argument(s)");
    wrong("loadbalance weighted a {\n reload\n}", 3, "reload duration value is missing");
    wrong("loadbalance weighted a {\n reload 1s 2s\n}", 3, "unexpected argument");
    wrong("loadbalance weighted a {\n reload soon\n}", 3, "invalid reload duration 'soon'");
    wrong("loadbalance weighted a {\n prefer ::/0\n}", 3, "unknown property 'prefer'");
    wrong("loadbalance {\n prefer x\n}", 3, "invalid CIDR \"x\": invalid CIDR address: x");
    check_config([PLUGIN], "loadbalance random", "plugin/loadbalance: unknown policy: random");
}
