use catena_testkit::check_config;

use super::*;
use crate::store::CAPACITY_MAX;

/// What `plugin/cache: ` goes before.
fn wrong(directive: &str, message: &str) {
    check_config([PLUGIN, UPSTREAM], directive, &format!("plugin/cache: {message}"));
}

fn wrong_property(property: &str, message: &str) {
    wrong(&format!("cache {{\n{property}\n}}"), message);
}

fn arg_err(property: &str, token: &str) {
    wrong_property(
        property,
        &format!("Corefile:3 - Error during parsing: Wrong argument count or unexpected line ending after '{token}'"),
    );
}

#[test]
fn numbers_and_their_signs_are_checked() {
    wrong("cache 0", "cache TTL can not be zero or negative: 0");
    wrong_property("success 100 0", "cache TTL can not be zero or negative: 0");
    wrong_property("denial 100 30 -1", "cache min TTL can not be negative: -1");
    wrong_property("success many", "strconv.Atoi: parsing \"many\": invalid syntax");
    arg_err("success", "success");
}

#[test]
fn the_directive_stands_once() {
    wrong("cache\ncache", "this plugin can only be used once per Server Block");
}

#[test]
fn prefetch_is_checked() {
    arg_err("prefetch", "prefetch");
    wrong_property("prefetch -1", "prefetch amount should be positive: -1");
    wrong_property("prefetch 1 soon", "time: invalid duration \"soon\"");
    wrong_property("prefetch 1 1m 10x", "last character of percentage should be `%`, but is: 'x'");
    wrong_property("prefetch 1 1m 9%", "percentage should fall in range [10, 90]: 9");
    wrong_property("prefetch 1 1m 91%", "percentage should fall in range [10, 90]: 91");
}

#[test]
fn serve_stale_is_checked() {
    wrong_property("serve_stale -1s", "invalid negative duration for serve_stale");
    wrong_property("serve_stale 1h Sometimes", "invalid value for serve_stale refresh mode: sometimes");
    wrong_property("serve_stale 1h verify x", "invalid serve_stale verify timeout: time: invalid duration \"x\"");
    wrong_property("serve_stale 1h verify -1s", "invalid negative timeout for serve_stale verify");
    wrong_property("serve_stale 1h immediate x", "invalid serve_stale response TTL: time: invalid duration \"x\"");
    wrong_property("serve_stale 1h immediate 1500ms", "serve_stale response TTL must be a whole number of seconds");
    wrong_property("serve_stale 1h immediate 1200000h", "serve_stale response TTL exceeds the DNS TTL range");
    wrong_property("serve_stale 1h immediate 1s 301s", "serve_stale failure recheck cannot exceed 5 minutes");
    wrong_property("serve_stale 1h verify 1s 1s -1s", "invalid negative failure recheck for serve_stale");
    arg_err("serve_stale 1h immediate 1s 1s 1s", "1s");
    wrong_property("serve_stale_policy prefer_positive", "serve_stale_policy requires serve_stale");
    wrong_property("serve_stale\nserve_stale_policy other", "invalid serve_stale_policy: other");
}

#[test]
fn the_rest_is_checked() {
    wrong_property("servfail -1s", "invalid negative ttl for servfail");
    wrong_property("servfail 301s", "caching SERVFAIL responses over 5 minutes is not permitted");
    wrong_property("disable everything", "cache type for disable must be \"denial\" or \"success\"");
    wrong_property("disable success a..b", "invalid disabled zone: a..b");
    arg_err("keepttl now", "now");
    arg_err("unknown", "unknown");
}

#[test]
fn a_capacity_beyond_the_limit_is_cut_with_a_warning() {
    let kit = kit(&format!("{{\n success {}\n denial {CAPACITY_MAX}\n}}", CAPACITY_MAX + 1), "ok:60");
    assert_eq!(kit.warnings.len(), 1);
    assert!(kit.warnings[0].contains("success: capacity 16777217 is cut to 16777216"), "{}", kit.warnings[0]);
}
