#![allow(clippy::unwrap_used, clippy::expect_used)]
use std::time::Duration;

use catena_core::prelude::*;
use catena_testkit::{Kit, check_config};

use super::PLUGIN;

/// Fails as the first label of the name says.
const FAILING: PluginDef = PluginDef::new("failing", |cx| {
    cx.link(Failing);
    Ok(())
});

struct Failing;

#[async_trait]
impl Plugin for Failing {
    async fn serve(&self, q: &mut Query, _next: Next<'_>) -> Reply {
        let name = q.lower().to_string();
        let error = Error::upstream(format!("it broke at {}", name.split('.').next().unwrap_or_default()));
        match name.split('.').next() {
            Some("fine") => Reply::status(Rcode::NOERROR),
            Some("refused") => Reply::status(Rcode::REFUSED).with_error(error),
            Some("written") => Reply::from(Answer::to(q).with_rcode(Rcode::NXDOMAIN)).with_error(error),
            _ => Reply::fail(error),
        }
    }
}

fn kit(errors: &str) -> Kit {
    Kit::of([PLUGIN, FAILING], &format!("errors {errors}\nfailing"))
}

fn consolidate(args: &str) -> Kit {
    kit(&format!("{{\n consolidate {args}\n}}"))
}

#[test]
fn an_error_is_logged_with_code_name_and_type() {
    let kit = kit("stdout");
    kit.ask_for("A.Example.ORG MX");
    kit.ask_for("refused.example.org TYPE65400");
    kit.ask_for("written.example.org A");
    kit.ask_for("fine.example.org A");
    assert_eq!(
        kit.log.take(),
        [
            "[ERROR] plugin/errors: 2 a.example.org. MX: it broke at a",
            "[ERROR] plugin/errors: 5 refused.example.org. TYPE65400: it broke at refused",
            "[ERROR] plugin/errors: 0 written.example.org. A: it broke at written",
        ]
    );
}

#[test]
fn the_reply_passes_as_it_is() {
    let kit = kit("");
    let seen = kit.ask_for("a.example.org A");
    assert_eq!((seen.rcode.as_str(), seen.by, seen.error.as_deref()), ("SERVFAIL", "failing", Some("it broke at a")));
}

#[test]
fn errors_that_match_are_summed_up_and_others_are_not() {
    let kit = consolidate("20ms \"^it broke at a\" warning");
    for name in ["a", "ab", "b"] {
        kit.ask_for(&format!("{name}.example.org A"));
    }
    assert_eq!(kit.log.take(), ["[ERROR] plugin/errors: 2 b.example.org. A: it broke at b"]);
    kit.wait(Duration::from_millis(60));
    assert_eq!(kit.log.take(), ["[WARNING] plugin/errors: 2 errors like '^it broke at a' occurred in last 20ms"]);
    kit.ask_for("a.example.org A");
    kit.wait(Duration::from_millis(60));
    assert_eq!(kit.log.take(), ["[WARNING] plugin/errors: 1 errors like '^it broke at a' occurred in last 20ms"]);
}

#[test]
fn the_first_pattern_that_matches_counts() {
    let kit = kit("{\n consolidate 1m broke info\n consolidate 1m it debug\n}");
    kit.ask_for("a.example.org A");
    kit.shutdown();
    assert_eq!(kit.log.take(), ["[INFO] plugin/errors: 1 errors like 'broke' occurred in last 1m0s"]);
}

#[test]
fn show_first_logs_the_first_and_sums_up_only_more() {
    let kit = consolidate("20ms broke info show_first");
    kit.ask_for("a.example.org A");
    assert_eq!(kit.log.take(), ["[INFO] plugin/errors: 2 a.example.org. A: it broke at a"]);
    kit.wait(Duration::from_millis(60));
    assert_eq!(kit.log.take(), Vec::<String>::new());
    kit.ask_for("a.example.org A");
    kit.ask_for("b.example.org A");
    kit.wait(Duration::from_millis(60));
    assert_eq!(
        kit.log.take(),
        [
            "[INFO] plugin/errors: 2 a.example.org. A: it broke at a",
            "[INFO] plugin/errors: 2 errors like 'broke' occurred in last 20ms",
        ]
    );
}

#[test]
fn the_end_of_the_instance_writes_open_sums_and_later_errors_stand_alone() {
    let kit = consolidate("1h broke warning");
    kit.ask_for("a.example.org A");
    kit.shutdown();
    kit.ask_for("b.example.org A");
    assert_eq!(
        kit.log.take(),
        [
            "[WARNING] plugin/errors: 1 errors like 'broke' occurred in last 1h0m0s",
            "[WARNING] plugin/errors: 2 b.example.org. A: it broke at b",
        ]
    );
}

#[test]
fn without_room_for_a_task_an_error_is_logged_at_once() {
    let kit = consolidate("1h broke warning");
    kit.spawner.allow(0);
    kit.ask_for("a.example.org A");
    assert_eq!(kit.log.take(), ["[WARNING] plugin/errors: 2 a.example.org. A: it broke at a"]);
}

#[test]
fn stacktrace_is_a_setting_of_the_block() {
    assert!(kit("{\n stacktrace\n}").instance().blocks()[0].settings.stacktrace);
    assert!(!kit("").instance().blocks()[0].settings.stacktrace);
}

fn wrong(errors: &str, line: u32, message: &str) {
    let message = format!("plugin/errors: Corefile:{line} - Error during parsing: {message}");
    check_config([PLUGIN, FAILING], errors, &message);
}

#[test]
fn arguments_are_checked() {
    wrong("errors file", 2, "invalid log file: file");
    wrong("errors stdout more", 2, "Wrong argument count or unexpected line ending after 'more'");
    check_config([PLUGIN], "errors\nerrors", "plugin/errors: this plugin can only be used once per Server Block");
    check_config(
        [PLUGIN],
        "errors {\n other\n}",
        "plugin/errors: Corefile:3 - Syntax error: Unexpected token 'other', expecting 'Unknown field other'",
    );
}

#[test]
fn consolidate_is_checked() {
    let line = |args: &str, message: &str| wrong(&format!("errors {{\n consolidate {args}\n}}"), 3, message);
    line("1m", "Wrong argument count or unexpected line ending after '1m'");
    line("soon x", "time: invalid duration \"soon\"");
    line("1m (x", "error parsing regexp: missing closing ): `(x`");
    line("1m x loud", "unknown option in consolidate: loud");
    line("1m x show_first error", "log level must come before show_first in consolidate");
    line("1m x error warning", "multiple log levels specified in consolidate");
}

#[test]
fn a_pattern_has_a_longest_length() {
    let long = "x".repeat(10_000);
    consolidate(&format!("1m {long}"));
    wrong(&format!("errors {{\n consolidate 1m {long}x\n}}"), 3, "regex pattern too long: 10001 > 10000");
}
