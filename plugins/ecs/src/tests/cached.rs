//! With *cache* behind *ecs*: replies are kept by network.

use super::*;

/// The most networks for which the cache keeps replies to one question.
const SCOPES_MAX: usize = 256;

/// A block with both; `cache` is its body.
fn kit(cache: &str, upstream: &str) -> Kit {
    Kit::of([PLUGIN, CACHE, UPSTREAM], &format!("ecs {{\n set\n private\n}}\ncache {cache}\nupstream {upstream}"))
}

fn ask(kit: &Kit, client: &str) -> String {
    show(&kit.ask(&from(client)))
}

fn advance(kit: &Kit, seconds: u64) {
    kit.clock.advance(Duration::from_secs(seconds));
}

#[test]
fn each_network_has_its_own_reply() {
    let kit = kit("", "24");
    for _ in 0..2 {
        assert_eq!(ask(&kit, "192.0.2.1"), "1 192.0.2.0/24");
        assert_eq!(ask(&kit, "192.0.3.1"), "2 192.0.3.0/24");
        assert_eq!(ask(&kit, "192.0.2.200"), "1 192.0.2.0/24");
    }
}

#[test]
fn a_reply_for_everybody_is_shared_whatever_the_family() {
    for scope in ["0", "untold"] {
        let kit = kit("", scope);
        for client in ["192.0.2.1", "203.0.113.1", "2001:db8::1"] {
            assert_eq!(ask(&kit, client), "1 192.0.2.0/24", "{scope}");
        }
        assert_eq!(show(&kit.ask(&with("198.51.100.0/24"))), "1 192.0.2.0/24 =0");
        assert_eq!(show(&kit.ask(&with("0.0.0.0/0"))), "1 192.0.2.0/24 =0");
    }
}

#[test]
fn a_reply_for_a_wider_network_is_shared_within_it() {
    let kit = kit("", "16 24");
    assert_eq!(ask(&kit, "192.0.2.1"), "1 192.0.2.0/24");
    assert_eq!(ask(&kit, "192.0.99.1"), "1 192.0.2.0/24");
    assert_eq!(show(&kit.ask(&with("192.0.4.0/22"))), "1 192.0.2.0/24 =16");
    assert_eq!(ask(&kit, "192.1.2.1"), "2 192.1.2.0/24");
}

#[test]
fn the_narrowest_reply_wins() {
    let kit = kit("", "24 16");
    assert_eq!(ask(&kit, "192.0.2.1"), "1 192.0.2.0/24");
    assert_eq!(ask(&kit, "192.0.3.1"), "2 192.0.3.0/24");
    assert_eq!(ask(&kit, "192.0.2.1"), "1 192.0.2.0/24");
    assert_eq!(ask(&kit, "192.0.4.1"), "2 192.0.3.0/24");
}

#[test]
fn a_query_of_a_wider_network_does_not_get_the_reply_of_a_narrower_one() {
    let kit = kit("", "24");
    assert_eq!(ask(&kit, "192.0.2.1"), "1 192.0.2.0/24");
    assert_eq!(show(&kit.ask(&with("192.0.0.0/16"))), "2 192.0.0.0/16 =24");
}

#[test]
fn a_scope_beyond_what_was_told_is_for_the_same_query_only() {
    // RFC 7871 section 7.3.1.
    let kit = kit("", "24 28");
    assert_eq!(show(&kit.ask(&with("192.0.0.0/16"))), "1 192.0.0.0/16 =24");
    assert_eq!(show(&kit.ask(&with("192.0.0.0/16"))), "1 192.0.0.0/16 =24");
    assert_eq!(show(&kit.ask(&with("192.0.2.0/24"))), "2 192.0.2.0/24 =28");
    assert_eq!(show(&kit.ask(&with("192.0.0.0/16"))), "1 192.0.0.0/16 =24");
}

#[test]
fn the_reply_for_nobody_is_not_for_those_who_say_their_network() {
    let kit = kit("", "24");
    assert_eq!(show(&kit.ask(&with("0.0.0.0/0"))), "1 0.0.0.0/0 =0");
    assert_eq!(ask(&kit, "192.0.2.1"), "2 192.0.2.0/24");
    assert_eq!(show(&kit.ask(&with("::/0"))), "1 0.0.0.0/0 =0");
}

#[test]
fn clients_of_whom_nothing_is_told_share_a_reply_of_their_own() {
    let kit = Kit::of([PLUGIN, CACHE, UPSTREAM], "ecs {\n set\n}\ncache\nupstream 24");
    assert_eq!(ask(&kit, "10.0.0.1"), "1 -");
    assert_eq!(ask(&kit, "192.0.2.1"), "2 192.0.2.0/24");
    assert_eq!(ask(&kit, "10.99.0.1"), "1 -");
}

#[test]
fn where_all_is_stripped_or_ecs_is_missing_all_share_one_reply() {
    for body in ["ecs {\n strip\n}\ncache\nupstream 24", "cache\nupstream 24"] {
        let kit = Kit::of([PLUGIN, CACHE, UPSTREAM], body);
        let first = show(&kit.ask(&with("192.0.2.0/24")));
        assert_eq!(show(&kit.ask(&with("203.0.113.0/24"))), first, "{body}");
        assert_eq!(ask(&kit, "198.51.100.7"), first, "{body}");
    }
}

#[test]
fn denials_are_kept_by_network_too_and_hide_no_narrower_answer() {
    let kit = kit("", "24 nx:16 nx:24 24");
    assert_eq!(ask(&kit, "192.0.2.1"), "1 192.0.2.0/24");
    assert_eq!(ask(&kit, "192.0.3.1"), "NXDOMAIN");
    assert_eq!(ask(&kit, "192.0.4.1"), "NXDOMAIN");
    assert_eq!(ask(&kit, "192.0.2.1"), "1 192.0.2.0/24");
    assert_eq!(ask(&kit, "203.0.113.1"), "NXDOMAIN");
    assert_eq!(ask(&kit, "198.51.100.1"), "4 198.51.100.0/24");
}

#[test]
fn a_failure_is_that_of_one_network() {
    let kit = kit("", "fail 24");
    assert_eq!(ask(&kit, "192.0.2.1"), "SERVFAIL");
    assert_eq!(ask(&kit, "203.0.113.1"), "2 203.0.113.0/24");
    assert_eq!(ask(&kit, "192.0.2.1"), "SERVFAIL");
}

#[test]
fn a_prefetch_asks_for_the_network_of_the_query() {
    let kit = kit("{\n prefetch 1 1m 50%\n}", "24");
    assert_eq!(ask(&kit, "192.0.2.1"), "1 192.0.2.0/24");
    assert_eq!(ask(&kit, "203.0.113.1"), "2 203.0.113.0/24");
    advance(&kit, 40);
    assert_eq!(ask(&kit, "192.0.2.1"), "1 192.0.2.0/24");
    kit.wait(Duration::from_millis(20));
    assert_eq!(ask(&kit, "192.0.2.1"), "3 192.0.2.0/24");
    assert_eq!(ask(&kit, "203.0.113.1"), "2 203.0.113.0/24");
}

#[test]
fn an_old_entry_is_served_and_refreshed_for_its_network() {
    let kit = kit("{\n serve_stale\n}", "24");
    ask(&kit, "192.0.2.1");
    ask(&kit, "203.0.113.1");
    advance(&kit, 100);
    assert_eq!(ask(&kit, "192.0.2.1"), "1 192.0.2.0/24");
    kit.wait(Duration::from_millis(20));
    assert_eq!(ask(&kit, "192.0.2.1"), "3 192.0.2.0/24");
    assert_eq!(ask(&kit, "203.0.113.1"), "2 203.0.113.0/24");
}

#[test]
fn verify_and_prefer_positive_keep_to_the_network() {
    for policy in ["", " serve_stale_policy prefer_positive\n"] {
        let kit = kit(&format!("{{\n serve_stale 1h verify\n{policy}}}"), "24 24 fail 24");
        ask(&kit, "192.0.2.1");
        ask(&kit, "203.0.113.1");
        advance(&kit, 100);
        assert_eq!(ask(&kit, "192.0.2.1"), "1 192.0.2.0/24", "{policy}");
        assert_eq!(ask(&kit, "203.0.113.1"), "4 203.0.113.0/24", "{policy}");
    }
}

#[test]
fn a_refresh_that_finds_one_reply_for_all_puts_the_old_one_out() {
    let kit = kit("{\n serve_stale\n}", "24 0");
    ask(&kit, "192.0.2.1");
    advance(&kit, 100);
    assert_eq!(ask(&kit, "192.0.2.1"), "1 192.0.2.0/24");
    kit.wait(Duration::from_millis(20));
    for _ in 0..2 {
        assert_eq!(ask(&kit, "192.0.2.1"), "2 192.0.2.0/24");
        assert_eq!(ask(&kit, "203.0.113.1"), "2 192.0.2.0/24");
    }
}

#[test]
fn what_is_wrong_does_not_replace_an_old_entry() {
    let kit = kit("{\n serve_stale 1h verify\n}", "24 wrong");
    ask(&kit, "192.0.2.1");
    advance(&kit, 100);
    assert_eq!(ask(&kit, "192.0.2.1"), "1 192.0.2.0/24");
}

#[test]
fn of_too_many_networks_of_a_name_the_first_is_forgotten() {
    let kit = kit("", "24");
    let client = |number: usize| format!("192.{}.{}.1", 100 + number / 256, number % 256);
    let evictions = || {
        let series = "coredns_cache_evictions_total{server=\"dns://:53\",type=\"success\",view=\"\",zones=\".\"}";
        kit.metric(series).unwrap_or(0.0)
    };
    for number in 0..SCOPES_MAX {
        ask(&kit, &client(number));
    }
    assert!(ask(&kit, &client(0)).starts_with("1 "));
    assert_eq!(evictions(), 0.0);
    ask(&kit, &client(SCOPES_MAX));
    assert_eq!(evictions(), 1.0);
    assert!(ask(&kit, &client(1)).starts_with("2 "));
    assert!(ask(&kit, &client(0)).starts_with(&format!("{} ", SCOPES_MAX + 2)));
}

#[test]
fn do_and_names_are_told_apart_as_without_networks() {
    let kit = kit("", "24");
    assert_eq!(ask(&kit, "192.0.2.1"), "1 192.0.2.0/24");
    assert_eq!(show(&kit.ask(&from("192.0.2.1").edns(1232, true))), "2 192.0.2.0/24");
    assert_eq!(show(&kit.ask(&Ask { name: "b.example.org".to_owned(), ..from("192.0.2.1") })), "3 192.0.2.0/24");
    assert_eq!(show(&kit.ask(&from("192.0.2.9").edns(1232, true))), "2 192.0.2.0/24");
}
