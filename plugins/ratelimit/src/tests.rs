#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use catena_core::{Answer, Class, Fixed, PluginDef, Query, Rcode, Reply, Rtype, Section, Setup, name::owned};
use catena_testkit::{Ask, Kit, Seen, check_config};

use super::PLUGIN;

/// `a...` has an address, `nx...` does not exist, `cut...` is below another server, `fail` fails; anything else has no data.
const WORLD: PluginDef = PluginDef::new("world", |cx: &mut Setup<'_>| {
    cx.link(Fixed(|q: &mut Query| {
        let name = q.lower().to_string();
        let owner = q.name().as_slice().to_vec();
        let zone = owned("example.org").unwrap();
        let mut answer = Answer::to(q);
        if name.starts_with("fail") {
            return Reply::status(Rcode::SERVFAIL);
        }
        if name.starts_with("silent") {
            return Reply::silence();
        }
        if name.starts_with('a') {
            answer.push_wire(Section::Answer, &owner, Rtype::A, Class::IN, 60, &[192, 0, 2, 1]);
        } else if name.starts_with("cut") {
            answer.push_wire(Section::Authority, zone.as_slice(), Rtype::NS, Class::IN, 60, zone.as_slice());
        } else {
            let rdata = [zone.as_slice(), zone.as_slice(), &[0; 20]].concat();
            answer.push_wire(Section::Authority, zone.as_slice(), Rtype::SOA, Class::IN, 60, &rdata);
            if name.starts_with("nx") {
                answer.rcode = Rcode::NXDOMAIN;
            }
        }
        answer.into()
    }));
    Ok(())
});

fn kit(properties: &str) -> Kit {
    Kit::of([PLUGIN, WORLD], &format!("ratelimit {{\n{properties}\n}}\nworld"))
}

/// How many of the questions get a reply that says something.
fn told(kit: &Kit, asks: impl IntoIterator<Item = Ask>) -> usize {
    asks.into_iter().map(|ask| kit.ask(&ask)).filter(|seen| !seen.silent && !seen.flags.contains(&"tc")).count()
}

fn many(text: &str, count: usize) -> Vec<Ask> {
    vec![Ask::new(text); count]
}

fn metric(kit: &Kit, name: &str) -> f64 {
    kit.metric(&format!("coredns_ratelimit_{name}_total{{server=\"dns://:53\",view=\"\"}}")).unwrap_or(0.0)
}

#[test]
fn a_network_gets_so_many_equal_replies_a_second() {
    let kit = kit("responses-per-second 5");
    assert_eq!(told(&kit, many("a.example.org", 50)), 5);
    assert_eq!(metric(&kit, "responses_exceeded"), 45.0);
    kit.clock.advance(Duration::from_secs(20));
    assert_eq!(told(&kit, many("a.example.org", 50)), 5);
}

#[test]
fn neighbours_in_the_network_share_and_others_do_not() {
    let kit = kit("responses-per-second 5\n ipv4-prefix-length 24\n ipv6-prefix-length 56");
    let from = |client: &str| many("a.example.org", 1).into_iter().map(|ask| ask.from(client)).collect::<Vec<_>>();
    let near = (0..50).flat_map(|host| from(&format!("192.0.2.{host}:9")));
    assert_eq!(told(&kit, near), 5);
    let far = (0..50).flat_map(|net| from(&format!("192.0.{}.1:9", net + 3)));
    assert_eq!(told(&kit, far), 50);
    let near = (0..50).flat_map(|host| from(&format!("[2001:db8:0:{host:x}::1]:9")));
    assert_eq!(told(&kit, near), 5);
}

#[test]
fn different_names_are_different_replies() {
    let kit = kit("responses-per-second 5");
    assert_eq!(told(&kit, (0..50).map(|n| Ask::new(&format!("a{n}.example.org")))), 50);
}

#[test]
fn random_names_that_do_not_exist_share_the_account_of_their_zone() {
    let kit = kit("responses-per-second 50\n nxdomains-per-second 3\n nodata-per-second 4\n referrals-per-second 2");
    assert_eq!(told(&kit, (0..50).map(|n| Ask::new(&format!("nx{n}.example.org")))), 3);
    assert_eq!(told(&kit, (0..50).map(|n| Ask::new(&format!("no{n}.example.org")))), 4);
    assert_eq!(told(&kit, (0..50).map(|n| Ask::new(&format!("cut{n}.example.org")))), 2);
}

#[test]
fn failures_share_one_account_and_silence_has_none() {
    let kit = kit("responses-per-second 7");
    assert_eq!(told(&kit, (0..50).map(|n| Ask::new(&format!("fail{n}.example.org")))), 7);
    kit.ask_for("silent.example.org");
    assert_eq!(metric(&kit, "responses_exceeded"), 43.0);
}

#[test]
fn a_rate_of_zero_is_no_limit() {
    let kit = kit("responses-per-second 5\n nxdomains-per-second 0");
    assert_eq!(told(&kit, (0..50).map(|n| Ask::new(&format!("nx{n}.example.org")))), 50);
}

#[test]
fn replies_over_tcp_are_not_limited_and_queries_are() {
    let tcp = || many("a.example.org", 50).into_iter().map(Ask::tcp);
    assert_eq!(told(&kit("responses-per-second 5"), tcp()), 50);
    assert_eq!(told(&kit("requests-per-second 5"), tcp()), 5);
}

#[test]
fn queries_are_limited_whatever_they_ask() {
    let kit = kit("requests-per-second 8");
    assert_eq!(told(&kit, (0..50).map(|n| Ask::new(&format!("a{n}.example.org")))), 8);
    assert_eq!((metric(&kit, "requests_exceeded"), metric(&kit, "responses_exceeded")), (42.0, 0.0));
}

#[test]
fn one_of_slip_is_sent_truncated_and_empty() {
    let seen = |slip: u32| -> Vec<Seen> {
        let kit = kit(&format!("responses-per-second 1\n slip {slip}"));
        many("a.example.org", 201).iter().map(|ask| kit.ask(ask)).skip(1).collect()
    };
    assert!(seen(0).iter().all(|seen| seen.silent));
    assert!(seen(1).iter().all(|seen| seen.flags.contains(&"tc") && seen.answer.is_empty() && seen.rcode == "NOERROR"));
    let slipped = seen(2).iter().filter(|seen| !seen.silent).count();
    assert!((60..140).contains(&slipped), "{slipped} of 200, about half expected");
}

#[test]
fn exempt_clients_and_names_outside_the_zones_have_no_limit() {
    let kit = Kit::of(
        [PLUGIN, WORLD],
        "ratelimit example.org {\n requests-per-second 1\n exempt-clients 10.0.0.0/8 2001:db8::1\n}\nworld",
    );
    assert_eq!(told(&kit, many("a.example.org", 50)), 50);
    assert_eq!(told(&kit, many("a.example.net", 50).into_iter().map(|ask| ask.from("192.0.2.1:9"))), 50);
    assert_eq!(told(&kit, many("a.example.org", 50).into_iter().map(|ask| ask.from("192.0.2.1:9"))), 1);
}

#[test]
fn log_only_counts_and_tells_and_holds_nothing_back() {
    let kit = kit("responses-per-second 5\n log-only");
    assert_eq!(told(&kit, many("a.example.org", 50)), 50);
    assert_eq!(metric(&kit, "responses_exceeded"), 45.0);
    let wanted = "[WARNING] plugin/ratelimit: Limiting replies to 10.240.0.0/24 (log-only); no more lines for 60s";
    assert_eq!(kit.log.take(), [wanted], "one line, not one for each");
    kit.clock.advance(Duration::from_secs(61));
    told(&kit, many("a.example.org", 50));
    assert_eq!(kit.log.take().len(), 1);
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let at = "plugin/ratelimit: Corefile";
    check_config([PLUGIN], "ratelimit", &format!("{at}:2 - Error during parsing: no limit is set"));
    let wrong = |property: &str, text: &str| {
        check_config(
            [PLUGIN],
            &format!("ratelimit {{\n {property}\n errors-per-second 1\n}}"),
            &format!("{at}:3 - Error during parsing: {text}"),
        );
    };
    wrong("slip 11", "slip is a number from 0 to 10, not \"11\"");
    wrong("window 0", "window is a number from 1 to 3600, not \"0\"");
    wrong("ipv4-prefix-length 33", "ipv4-prefix-length is a number from 1 to 32, not \"33\"");
    wrong("responses-per-second many", "responses-per-second is a number from 0 to 10000, not \"many\"");
    wrong("max-table-size 16777217", "max-table-size is a number from 4 to 16777216, not \"16777217\"");
    wrong("exempt-clients 1.2.3", "invalid network \"1.2.3\": invalid CIDR address: 1.2.3");
    wrong("log-only yes", "Wrong argument count or unexpected line ending after 'yes'");
    wrong("responses 5", "unknown property 'responses'");
    let twice = "ratelimit {\n requests-per-second 1\n}\nratelimit {\n requests-per-second 1\n}";
    check_config(
        [PLUGIN],
        twice,
        &format!("{at}:5 - Error during parsing: this plugin can only be used once per Server Block"),
    );
}
