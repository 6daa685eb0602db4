//! What is wrong with rules is told in CoreDNS's words, and where it stands.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use catena_plugin_rewrite::PLUGIN;
use catena_testkit::{Recipe, check_config};

fn wrong(rule: &str, told: &str) {
    check_config([PLUGIN], &format!("rewrite {rule}"), &format!("plugin/rewrite: {told}"));
}

fn right(rule: &str) {
    if let Err(errors) = Recipe::new([PLUGIN], &format!(". {{\n rewrite {rule}\n}}\n")).build() {
        panic!("{rule}: {errors:?}");
    }
}

#[test]
fn a_rule_begins_with_its_type() {
    wrong("", "no rule type specified for rewrite");
    wrong("continue", "continue rule must begin with a rule type");
    wrong("STOP", "stop rule must begin with a rule type");
    wrong("answer name a b", "response rewrites must begin with a name rule");
    wrong("stop bogus a b", "invalid rule type \"stop\"");
    wrong("bogus a b", "invalid rule type \"bogus\"");
}

#[test]
fn what_could_stand_in_the_place_of_a_wrong_word_is_told() {
    for (rule, help) in [
        ("bogus a b", "known here: `name`, `class`, `type`, `edns0`, `ttl`, `rcode`, `cname`"),
        ("stop nmae a b", "did you mean `name`?"),
        ("edns0 cookie set a b", "known here: `local`, `nsid`, `subnet`"),
        ("edns0 locla unset a", "did you mean `local`?"),
        ("edns0 local add 1 b", "known here: `append`, `replace`, `set`, `unset`"),
    ] {
        let Err(errors) = Recipe::new([PLUGIN], &format!(". {{\nrewrite {rule}\n}}\n")).build() else {
            panic!("{rule} builds")
        };
        assert!(errors[0].1.ends_with(&format!("= help: {help}")), "{}", errors[0].1);
    }
}

#[test]
fn a_rule_may_go_over_lines_in_braces() {
    right("{\n name a\n b\n}");
    right("continue {\n ttl a\n 5\n}");
    wrong("stop {\n name exact a b\n nonsense\n}", "invalid arguments for exact rule");
    wrong("name a {\n b\n}", "too few arguments for a name rule");
}

#[test]
fn types_and_classes_are_two_that_are_known() {
    for (rule, told) in [
        ("type A", "type rules must have exactly two arguments"),
        ("continue class IN CH HS", "class rules must have exactly two arguments"),
        ("type a bogus", "invalid type \"BOGUS\""),
        ("type TYPE65 A", "invalid type \"TYPE65\""),
        ("class in xx", "invalid class \"XX\""),
    ] {
        wrong(rule, told);
    }
    right("type any HTTPS");
    right("class ch any");
}

#[test]
fn names_have_a_known_match_and_expressions_that_fit() {
    let supports = "name rule supports only exact, prefix, suffix, substring, and regex name matching, received:";
    let uses = "uses more subexpressions than its corresponding matching regex pattern";
    for (rule, told) in [
        ("name a", "too few arguments for a name rule".to_owned()),
        ("name Fuzzy a b", format!("{supports} fuzzy")),
        ("name regex (a b", "invalid regex matching pattern: (a".to_owned()),
        ("name regex (a) {1}{2}", format!("the rewrite regex pattern ({{1}}{{2}}) {uses} ((a))")),
        ("name regex a {0}", format!("the rewrite regex pattern ({{0}}) {uses} (a)")),
        ("name exact a (", "invalid regex matching pattern: (.".to_owned()),
        ("name exact {1} b", format!("the rewrite regex pattern ({{1}}.) {uses} (b.)")),
    ] {
        wrong(rule, &told);
    }
    right("name regex (a)(b) {1}{2}");
    right("name exact {1} (b)");
}

#[test]
fn an_expression_has_a_longest_length() {
    let longest = "a".repeat(10_000);
    right(&format!("name regex {longest} b"));
    wrong(&format!("name regex {longest}a b"), "regex pattern too long: 10001 > 10000");
    wrong(&format!("ttl regex {longest}a 5"), "regex pattern too long in a ttl rule: 10001 > 10000");
    wrong(&format!("rcode regex {longest}a 2 3"), "regex pattern too long in a rcode rule: 10001 > 10000");
    wrong(&format!("cname regex {longest}a b"), "regex pattern too long in a cname rule: 10001 > 10000");
}

#[test]
fn answer_parts_are_complete_and_do_not_contradict() {
    for (part, told) in [
        ("answer", "invalid arguments for suffix rule"),
        ("name a b", "exceeded the number of arguments for a non-answer rule argument for suffix rule"),
        ("answer auto answer", "type missing for answer rule for suffix rule"),
        ("answer name a", "name answer rule for suffix rule: 2 arguments required"),
        ("answer auto value ( b", "value answer rule for suffix rule: invalid regex matching pattern: ("),
        ("answer bogus a", "invalid type \"bogus\" for answer rule for suffix rule"),
        ("answer auto name a b", "auto name answer rule cannot be combined with explicit name anwer rules"),
    ] {
        wrong(&format!("name suffix .a .b {part}"), told);
    }
    right("name suffix .a .b answer auto answer value (a) {1} value b c");
}

#[test]
fn ttls_are_numbers_and_ranges() {
    for ttl in ["-", "5-4", "x", "4294967296", "1-2-3", "+5", "-x"] {
        wrong(&format!("ttl a {ttl}"), &format!("invalid TTL '{ttl}' for a ttl rule"));
    }
    for ttl in ["0", "4294967295", "1-1", "5-", "-5"] {
        right(&format!("ttl a {ttl}"));
    }
    wrong("ttl 5", "too few (1) arguments for a ttl rule");
    wrong("ttl exact a 5 6", "invalid TTL '' for a ttl rule");
    wrong("ttl fuzzy a 5", "ttl rule supports only exact, prefix, suffix, substring, and regex name matching");
    wrong("ttl regex ( 5", "invalid regex pattern in a ttl rule: (");
}

#[test]
fn codes_are_numbers_and_mnemonics() {
    for (rule, told) in [
        ("rcode a 2", "too few (2) arguments for a rcode rule"),
        ("rcode a 24 2", "invalid matching RCODE '24' for a rcode rule"),
        ("rcode a 2 BOGUS", "invalid replacement RCODE 'BOGUS' for a rcode rule"),
        ("rcode exact a 2 3 4", "invalid matching RCODE '' for a rcode rule"),
        ("rcode fuzzy a 2 3", "rcode rule supports only exact, prefix, suffix, substring, and regex name matching"),
        ("rcode regex ( 2 3", "invalid regex pattern in a rcode rule: ("),
    ] {
        wrong(rule, told);
    }
    for codes in ["0 23", "servfail NotImp", "NOTIMPL badcookie"] {
        right(&format!("rcode a {codes}"));
    }
}

#[test]
fn targets_have_a_known_match() {
    wrong("cname a", "too few (1) arguments for a cname rule");
    wrong("cname exact a b c", "too few (4) arguments for a cname rule");
    wrong("cname Fuzzy a b", "unknown cname rewrite type: fuzzy");
    let parse = "error parsing regexp: missing closing ): `(`";
    wrong("cname regex ( b", &format!("invalid cname rewrite regex pattern: {parse}"));
}

#[test]
fn options_have_an_action_and_what_it_needs() {
    for (rule, told) in [
        ("local", "too few arguments for an EDNS0 rule"),
        ("local add 1 x", "invalid action: \"add\""),
        ("local set 1", "EDNS0 local rules require three or four args"),
        ("local set 1 revert", "EDNS0 local rules require three or four args"),
        ("nsid set x", "EDNS0 NSID rules can accept no more than one arg"),
        ("subnet set 1", "EDNS0 subnet rules require three or four args"),
        ("cookie set", "invalid rule type \"cookie\""),
        ("local unset", "local unset action requires exactly two arguments"),
        ("nsid unset x", "nsid unset action requires exactly one argument"),
        ("subnet unset revert", "subnet unset action requires exactly one argument"),
        ("cookie unset", "invalid rule type \"cookie\""),
        ("local set 1 {bogus}", "unsupported variable name \"{bogus}\""),
        ("local set 65536 x", "strconv.ParseUint: parsing \"65536\": value out of range"),
        ("local unset x", "strconv.ParseUint: parsing \"x\": invalid syntax"),
        ("local set 1 0xg0", "encoding/hex: invalid byte: U+0067 'g'"),
        ("local set 1 0x1", "encoding/hex: odd length hex string"),
        ("subnet set 33 0", "invalid IPv4 bit mask length 33"),
        ("subnet set 32 129", "invalid IPv6 bit mask length 129"),
        ("subnet set x 1", "strconv.ParseUint: parsing \"x\": invalid syntax"),
    ] {
        wrong(&format!("edns0 {rule}"), told);
    }
    right("edns0 LOCAL Set 0b1 0x00ff revert");
    right("edns0 subnet append 32 128 revert");
}

#[test]
fn the_data_of_an_option_has_a_longest_length() {
    let longest = "x".repeat(4000);
    right(&format!("edns0 local set 1 {longest}"));
    wrong(&format!("edns0 local set 1 {longest}x"), "option data too long: 4001 > 4000");
}

#[test]
fn a_block_has_a_highest_number_of_rules() {
    let rules = "rewrite type A AAAA\n".repeat(10_000);
    assert!(Recipe::new([PLUGIN], &format!(". {{\n{rules}}}\n")).build().is_ok());
    let told = "plugin/rewrite: Corefile:10002 - Error during parsing: more than 10000 rules";
    check_config([PLUGIN], &format!("{rules}rewrite type A AAAA"), told);
}

#[test]
fn an_error_shows_the_word_that_is_wrong() {
    let Err(errors) = Recipe::new([PLUGIN], ". {\n rewrite name a b\n rewrite ttl a 5-4\n}\n").build() else {
        panic!("it builds")
    };
    assert!(errors[0].1.contains("Corefile:3:16"), "{}", errors[0].1);
}

#[test]
fn a_label_that_nobody_knows_is_a_warning() {
    let kit = Recipe::new([PLUGIN], ". {\n rewrite edns0 local set 1 {a/b}\n}\n").build().ok().unwrap();
    assert!(kit.warnings[0].contains("a/b"), "{:?}", kit.warnings);
}
