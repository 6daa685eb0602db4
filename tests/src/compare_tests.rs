//! Every kind of wrong answer is told from the recorded one.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::compare::{Rules, observation};
use crate::value::{Value, parse};

const RECORDED: &str = "\
rcode: NOERROR
flags: [qr, aa, rd]
answer:
  - a.example.org. 300 IN A 192.0.2.1
  - a.example.org. 300 IN A 192.0.2.2
  - a.example.org. 300 IN TXT \"x y\"
edns: {size: 1232, do: false}
";

fn tree(text: &str) -> Value {
    parse(text).unwrap()
}

/// The difference of two observations under the rules of a step.
fn diff(expected: &str, got: &str, step: &str) -> Vec<String> {
    observation(&tree(expected), &tree(got), &Rules::of(&tree("{}"), &tree(step)), false)
}

/// What the recorded reply becomes with one part replaced.
fn changed(part: &str, by: &str) -> String {
    assert!(RECORDED.contains(part));
    RECORDED.replacen(part, by, 1)
}

#[test]
fn the_recorded_reply_does_not_differ_from_itself() {
    assert!(diff(RECORDED, RECORDED, "{}").is_empty());
    assert!(diff(RECORDED, RECORDED, "{any_order: false, ttl: strict}").is_empty());
}

#[test]
fn a_wrong_rcode_is_told() {
    let got = changed("NOERROR", "NXDOMAIN");
    assert_eq!(diff(RECORDED, &got, "{}"), ["rcode: expected NOERROR, got NXDOMAIN"]);
    assert!(diff(RECORDED, &got, "{ignore: [rcode]}").is_empty());
}

#[test]
fn a_wrong_flag_is_told() {
    assert_eq!(diff(RECORDED, &changed("qr, aa, rd", "qr, rd"), "{}"), ["flags: expected [qr, aa, rd], got [qr, rd]"]);
}

#[test]
fn a_missing_and_an_extra_record_are_told() {
    let lacking = changed("  - a.example.org. 300 IN A 192.0.2.2\n", "");
    assert_eq!(diff(RECORDED, &lacking, "{}"), ["answer:", "  - a.example.org. 300 IN A 192.0.2.2"]);
    assert_eq!(diff(&lacking, RECORDED, "{}"), ["answer:", "  + a.example.org. 300 IN A 192.0.2.2"]);
    assert!(diff(RECORDED, &lacking, "{ignore: [A]}").is_empty());
}

#[test]
fn a_record_that_comes_twice_is_told() {
    let twice = changed("192.0.2.2", "192.0.2.1");
    assert_eq!(diff(RECORDED, &twice, "{}").len(), 3);
    assert!(!diff(&twice, RECORDED, "{}").is_empty());
}

#[test]
fn a_section_that_nobody_expects_is_told() {
    let got = format!("{RECORDED}authority: [example.org. 300 IN NS ns.example.org.]\n");
    assert_eq!(diff(RECORDED, &got, "{}"), ["authority:", "  + example.org. 300 IN NS ns.example.org."]);
    assert!(diff(RECORDED, &got, "{ignore: [authority]}").is_empty());
}

#[test]
fn ttls_count_as_the_rule_says() {
    let differs = |ttl: &str, rule: &str| {
        let got = RECORDED.replace(" 300 ", &format!(" {ttl} "));
        !diff(RECORDED, &got, &format!("{{ttl: {rule}}}")).is_empty()
    };
    // A second may pass, but none comes back.
    assert_eq!([differs("299", "exact"), differs("298", "exact"), differs("301", "exact")], [false, true, true]);
    assert_eq!([differs("299", "strict"), differs("300", "strict")], [true, false]);
    assert_eq!([differs("298", "near"), differs("302", "near"), differs("297", "near")], [false, false, true]);
    assert_eq!([differs("1", "max"), differs("301", "max")], [false, true]);
    assert!(!differs("86400", "ignore"));
}

#[test]
fn order_counts_as_the_rule_says() {
    let swapped = changed("192.0.2.1", "192.0.2.9").replace("192.0.2.2", "192.0.2.1").replace("192.0.2.9", "192.0.2.2");
    assert!(diff(RECORDED, &swapped, "{}").is_empty());
    assert!(diff(RECORDED, &swapped, "{any_order: rrset}").is_empty());
    assert_eq!(diff(RECORDED, &swapped, "{any_order: false}")[1], "  the same records in another order; got:");
    let text = "  - a.example.org. 300 IN TXT \"x y\"\n";
    let text_first = changed(text, "").replace("answer:\n", &format!("answer:\n{text}"));
    assert!(diff(RECORDED, &text_first, "{}").is_empty());
    assert_eq!(diff(RECORDED, &text_first, "{any_order: rrset}")[1], "  RRsets in another order; got:");
}

#[test]
fn letter_case_counts_unless_it_is_ignored() {
    let got = RECORDED.replace("a.example", "A.Example");
    assert!(!diff(RECORDED, &got, "{}").is_empty());
    assert!(diff(RECORDED, &got, "{case: ignore}").is_empty());
}

#[test]
fn blanks_inside_record_data_count() {
    assert!(!diff(RECORDED, &changed("x y", "x  y"), "{}").is_empty());
}

#[test]
fn edns_is_compared_whole_whatever_is_ignored_outside() {
    assert_eq!(
        diff(RECORDED, &changed("do: false", "do: true"), "{ignore: [do]}"),
        ["edns do: expected false, got true"]
    );
    assert_eq!(diff(RECORDED, &changed("edns: {size: 1232, do: false}", ""), "{}").len(), 1);
    assert!(diff(RECORDED, &changed("1232", "512"), "{ignore: [edns]}").is_empty());
}

#[test]
fn no_reply_is_not_a_reply() {
    assert!(!diff(RECORDED, "reply: none", "{}").is_empty());
    assert_eq!(diff("reply: none", "reply: refused", "{}"), ["reply: expected none, got refused"]);
}

#[test]
fn wrong_lines_of_output_are_told_and_their_number_counts() {
    let recorded = "- '[INFO] a'\n- '[INFO] b'\n- '[INFO] a'\n";
    assert!(diff(recorded, "- '[INFO] b'\n- '[INFO] a'\n- '[INFO] a'\n", "{}").is_empty());
    assert!(!diff(recorded, "- '[INFO] b'\n- '[INFO] a'\n- '[INFO] a'\n", "{any_order: false}").is_empty());
    assert_eq!(diff(recorded, "- '[INFO] a'\n- '[INFO] b'\n", "{}"), ["lines:", "  - [INFO] a"]);
    assert_eq!(
        diff(recorded, "- '[INFO] a'\n- '[INFO] c'\n- '[INFO] a'\n", "{}"),
        ["lines:", "  - [INFO] b", "  + [INFO] c"]
    );
    assert!(!diff(recorded, "[]", "{}").is_empty());
    assert!(!diff("[]", recorded, "{}").is_empty());
}

#[test]
fn one_of_several_alternatives_is_enough_but_a_further_one_is_told() {
    let recorded = "one_of: [{rcode: NOERROR, flags: [qr]}, {rcode: REFUSED, flags: [qr]}]";
    assert!(diff(recorded, "{rcode: REFUSED, flags: [qr]}", "{}").is_empty());
    let told = diff(recorded, "{rcode: SERVFAIL, flags: [qr]}", "{}");
    assert!(told[0].starts_with("matches none of the 2"), "{told:?}");
    assert!(!diff("one_of: []", "{rcode: NOERROR}", "{}").is_empty());
}

#[test]
fn an_inline_expectation_counts_only_in_its_own_keys() {
    let rules = Rules::of(&tree("{}"), &tree("{}"));
    let partial = |expected: &str| observation(&tree(expected), &tree(RECORDED), &rules, true);
    assert!(partial("rcode: NOERROR").is_empty());
    assert!(!partial("rcode: NXDOMAIN").is_empty());
    assert!(!partial("authority: [x. 1 IN NS y.]").is_empty());
}

#[test]
fn a_step_s_rules_win_over_the_case_s_and_what_is_ignored_adds_up() {
    let case = tree("{ttl: ignore, any_order: false, ignore: [edns]}");
    let rules = Rules::of(&case, &tree("{ttl: strict, ignore: [flags]}"));
    let far = RECORDED.replace(" 300 ", " 9 ");
    assert!(!observation(&tree(RECORDED), &tree(&far), &rules, false).is_empty());
    let other = changed("qr, aa, rd", "qr").replace("1232", "512");
    assert!(observation(&tree(RECORDED), &tree(&other), &rules, false).is_empty());
}

#[test]
fn a_reply_inside_a_pipeline_is_compared_by_the_same_rules() {
    let recorded = "{replies: 1, reply 1: {rcode: NOERROR, answer: [a. 60 IN A 192.0.2.1]}}";
    assert!(diff(recorded, &recorded.replace("60", "59"), "{}").is_empty());
    let told = diff(recorded, &recorded.replace("NOERROR", "SERVFAIL"), "{}");
    assert_eq!(told, ["reply 1 rcode: expected NOERROR, got SERVFAIL"]);
}

#[test]
fn a_transfer_starts_and_ends_with_its_soa() {
    let soa = "z. 60 IN SOA a. b. 1 2 3 4 5";
    let (first, second) = ("a.z. 60 IN A 192.0.2.1", "b.z. 60 IN A 192.0.2.2");
    let records = |lines: [&str; 4]| format!("records: [{}]", lines.map(|line| format!("'{line}'")).join(", "));
    let recorded = records([soa, first, second, soa]);
    assert!(diff(&recorded, &records([soa, second, first, soa]), "{}").is_empty());
    assert!(!diff(&recorded, &records([first, soa, second, soa]), "{}").is_empty());
}

#[test]
fn a_body_is_compared_line_by_line() {
    let told = diff("body: \"a\\nb\\nc\"", "body: \"a\\nx\\nc\"", "{}");
    assert_eq!(told, ["body:", "  - b", "  + x"]);
}
