//! What rules do to questions and replies.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod records;

use catena_plugin_rewrite::PLUGIN;
use catena_testkit::{Ask, Kit, check};
use records::{RECORDS, body};

fn told(rules: &str, script: &str) {
    check([PLUGIN, RECORDS], &body(rules), script);
}

#[test]
fn an_exact_rule_turns_its_name_back_on_whole_labels_in_owners_and_values() {
    told(
        "rewrite name Old.org mail.net",
        "> OLD.org MX
         < NOERROR qr aa rd
         = old.org. 60 IN MX 10 mx.old.org.
         = old.org. 60 IN MX 20 xmail.net.
         > sub.old.org MX
         < NXDOMAIN qr aa rd",
    );
}

#[test]
fn the_first_rule_that_stops_ends_it_and_later_ones_see_the_changed_name() {
    told(
        "rewrite continue name suffix .org .net\nrewrite name exact a.net b.net\nrewrite name exact b.net c.net",
        "> a.org A
         < NOERROR qr aa rd
         = a.net. 60 IN A 192.0.2.2
         > b.org A
         = b.net. 60 IN A 192.0.2.3",
    );
}

#[test]
fn without_an_answer_part_names_in_the_reply_stay() {
    for (rule, name) in [
        ("prefix x a", "x.net"),
        ("suffix .org .net", "a.org"),
        ("substring org. net.", "a.org"),
        ("regex .*\\.org a.net", "b.org"),
    ] {
        told(&format!("rewrite name {rule}"), &format!("> {name} A\n < NOERROR qr aa rd\n = a.net. 60 IN A 192.0.2.1"));
    }
}

#[test]
fn auto_turns_back_the_name_asked_or_the_suffix() {
    let chain = "> www.org A
        = www.org. 60 IN CNAME {}
        = a.net. 60 IN A 192.0.2.1";
    told("rewrite name regex (.*)\\.org {1}.net answer auto", &chain.replace("{}", "a.net."));
    let suffix = chain.replace("{}", "a.org.").replace("= a.net.", "= a.org.");
    told("rewrite name suffix .org .net answer auto", &suffix);
}

#[test]
fn answer_rules_change_owners_and_values_that_match() {
    told(
        "rewrite stop {\nname regex (.*)\\.org {1}.net\nanswer name (.*)\\.net {1}.one\nvalue a\\.net two\n}",
        "> www.org A
         = www.one. 60 IN CNAME two.
         = a.one. 60 IN A 192.0.2.1",
    );
}

#[test]
fn a_name_that_is_none_is_a_server_failure_for_the_name_asked() {
    let kit = Kit::of([PLUGIN, RECORDS], &body("rewrite name suffix .org ..x"));
    let seen = kit.ask_for("a.org A");
    assert_eq!((seen.rcode.as_str(), seen.error.as_deref()), ("SERVFAIL", Some("invalid name after rewrite: a..x.")));
}

/// The type of the question that a reply shows.
fn shown(rules: &str, text: &str) -> u8 {
    let wire = Kit::of([PLUGIN, RECORDS], &body(rules)).ask_for(text).wire;
    wire[12 + text.split(' ').next().unwrap().len() + 3]
}

#[test]
fn a_rule_that_goes_on_and_wants_nothing_of_the_reply_leaves_the_changed_question_in_it() {
    assert_eq!(shown("rewrite continue type AAAA A", "a.net AAAA"), 1);
    assert_eq!(shown("rewrite type AAAA A", "a.net AAAA"), 28);
    assert_eq!(shown("rewrite continue type AAAA A\nrewrite continue ttl a.net 1", "a.net AAAA"), 28);
}

#[test]
fn types_and_classes_are_other_ones_below() {
    let script = "> a.net AAAA\n = a.net. 60 IN A 192.0.2.1";
    told("rewrite type aaaa a", script);
    told("rewrite class CH IN\nrewrite type AAAA A", script);
}

#[test]
fn ttls_are_set_raised_and_cut() {
    for (ttl, becomes) in [("17", 17), ("100-", 100), ("-20", 20), ("50-70", 60), ("10-20", 20)] {
        told(&format!("rewrite ttl prefix a. {ttl}"), &format!("> a.net A\n = a.net. {becomes} IN A 192.0.2.1"));
    }
    told("rewrite ttl exact b.net 17", "> a.net A\n = a.net. 60 IN A 192.0.2.1");
}

#[test]
fn codes_of_messages_and_of_bare_errors_become_others() {
    told(
        "rewrite rcode regex .* nxdomain 0",
        "> none.net A\n < NOERROR qr aa rd\n > a.net A\n < NOERROR qr aa rd\n = a.net. 60 IN A 192.0.2.1",
    );
    told(
        "rewrite rcode suffix .net SERVFAIL REFUSED",
        "> fail.net A\n < REFUSED qr rd\n > fail.org A\n < SERVFAIL qr rd",
    );
}

#[test]
fn silence_stays_silence() {
    told("rewrite type AAAA A", "> silent.net AAAA\n !");
}

#[test]
fn a_target_is_replaced_and_looked_up() {
    let script = "> www.net A
        < NOERROR qr aa rd
        = www.net. 60 IN CNAME b.net.
        = b.net. 60 IN A 192.0.2.2
        > www.net CNAME
        = www.net. 60 IN CNAME b.net.";
    for rule in
        ["a.net b.net", "exact A.net B.NET.", "prefix a. b.", "suffix a.net. b.net.", "regex ^(A)\\.(.*)\\. b.{2}."]
    {
        told(&format!("rewrite cname {rule}"), script);
    }
}

#[test]
fn of_several_targets_that_match_the_first_counts_and_its_addresses_are_told() {
    told(
        "rewrite cname suffix .org. .net.",
        "> chain.net A
         = chain.net. 60 IN CNAME www.net.
         = www.net. 60 IN CNAME a.net.
         = a.net. 60 IN A 192.0.2.1",
    );
}

#[test]
fn a_target_that_cannot_be_looked_up_stays_and_is_logged() {
    let stays = "> www.net A
        = www.net. 60 IN CNAME a.net.
        = a.net. 60 IN A 192.0.2.1
        log ";
    told("rewrite cname a.net silent.net", &format!("{stays}upstream lookup returned nil"));
    told("rewrite cname prefix a. ..", &format!("{stays}upstream lookup failed: ..net. is not a domain name"));
}

#[test]
fn targets_that_lead_round_in_a_circle_end_at_the_depth_of_look_ups() {
    let kit = Kit::of([PLUGIN, RECORDS], &body("rewrite cname a.net www.net"));
    assert!(kit.ask_for("www.net CNAME").answer.iter().all(|record| record.starts_with("www.net. 60 IN CNAME")));
    assert!(kit.log.take().iter().any(|line| line.contains("nested deeper")));
}

#[test]
fn a_target_without_a_message_has_no_addresses() {
    told("rewrite cname a.net fail.net", "> www.net A\n < NOERROR qr aa rd\n = www.net. 60 IN CNAME fail.net.");
}

/// Options as code and data.
type Options = Vec<(u16, Vec<u8>)>;

/// The options that the plugins below see, as the reply of `RECORDS` for `options.net` tells them; and the reply's own.
fn options(rule: &str, ask: &Ask) -> (Vec<String>, Option<Options>) {
    let seen = Kit::of([PLUGIN, RECORDS], &body(rule)).ask(ask);
    let texts = seen.answer.iter().map(|record| record.rsplit(' ').next().unwrap().trim_matches('"').to_owned());
    (texts.collect(), seen.edns.map(|edns| edns.2))
}

fn asking(options: &[(u16, &[u8])]) -> Ask {
    let ask = Ask::new("options.net TXT").edns(1400, false);
    options.iter().fold(ask, |ask, (code, data)| ask.option(*code, data))
}

#[test]
fn local_options_are_appended_replaced_set_and_unset() {
    let none: &[(u16, &[u8])] = &[];
    let one: &[(u16, &[u8])] = &[(65_518, b"c")];
    for (rule, had, has) in [
        ("append 0xffee 0x6162", none, vec!["65518=ab"]),
        ("append 0xffee text", one, vec!["65518=c", "65518=text"]),
        ("append 0xffee {protocol}", one, vec!["65518=c"]),
        ("replace 65518 text", none, vec![]),
        ("replace 65518 text", one, vec!["65518=text"]),
        ("set 65518 text", none, vec!["65518=text"]),
        ("SET 65518 text", one, vec!["65518=text"]),
        ("unset 65518", &[(65_518, b"c"), (9, b""), (65_518, b"d")], vec!["9="]),
    ] {
        assert_eq!(options(&format!("rewrite edns0 local {rule}"), &asking(had)).0, has, "{rule}");
    }
}

#[test]
fn variables_tell_of_the_query() {
    let of = |variable: &str, ask: Ask| options(&format!("rewrite edns0 local set 65001 {variable}"), &ask).0;
    assert_eq!(of("{qname}", Ask::new("Options.net TXT")), ["65001=Options.net."]);
    assert_eq!(of("{qtype}", asking(&[])), ["65001=\\000\\016"]);
    assert_eq!(of("{client_ip}", asking(&[]).from("65.66.67.68:5")), ["65001=ABCD"]);
    assert_eq!(of("{client_port}", asking(&[]).from("65.66.67.68:16705")), ["65001=AA"]);
    assert_eq!(of("{server_ip}", asking(&[])), ["65001=\\127\\000\\000\\001"]);
    assert_eq!(of("{server_port}", asking(&[])), ["65001=\\0005"]);
    assert_eq!(of("{protocol}", asking(&[]).tcp()), ["65001=tcp"]);
}

#[test]
fn a_label_has_its_value_and_without_one_the_rule_does_not_match() {
    let rule = "rewrite edns0 local set 65001 {records/label}";
    assert!(options(rule, &asking(&[])).0.is_empty());
    let seen = Kit::of([PLUGIN, RECORDS], &body(&format!("records labels\n{rule}"))).ask(&asking(&[]));
    assert_eq!(seen.answer, ["options.net. 60 IN TXT \"65001=known\""]);
}

#[test]
fn a_client_without_edns_gets_none_though_the_plugins_below_see_it() {
    for rule in ["local set 65001 x", "local set 65001 x revert", "nsid set", "subnet set 24 56"] {
        let (below, reply) = options(&format!("rewrite edns0 {rule}"), &Ask::new("options.net TXT"));
        assert_eq!((below.len(), reply), (1, None), "{rule}");
    }
}

#[test]
fn local_options_of_rules_come_back_and_reverted_ones_do_not() {
    let back = |rule: &str, had: &[(u16, &[u8])]| options(&format!("rewrite edns0 {rule}"), &asking(had)).1.unwrap();
    let option = |data: &[u8]| (65_001, data.to_vec());
    assert_eq!(back("local set 65001 x", &[]), [option(b"x")]);
    assert_eq!(back("local set 65001 x revert", &[]), []);
    assert_eq!(back("local set 65001 x revert", &[(65_001, b"c")]), [option(b"c")]);
    assert_eq!(back("local append 65001 x revert", &[(65_001, b"c")]), [option(b"c")]);
    assert_eq!(back("nsid set revert", &[]), []);
    assert_eq!(back("nsid set", &[]), [(3, vec![])]);
}

#[test]
fn the_clients_network_is_told() {
    let of = |rule: &str, ask: Ask| options(&format!("rewrite edns0 subnet {rule}"), &ask).0;
    assert_eq!(of("set 24 56", asking(&[]).from("65.66.67.68:5")), ["8=\\000\\001\\024\\000ABC"]);
    assert!(of("replace 24 56", asking(&[])).is_empty());
    assert_eq!(of("append 0 0", asking(&[(8, &[0, 1, 0, 0])])), ["8=\\000\\001\\000\\000"]);
    assert!(of("unset", asking(&[(8, &[0, 1, 0, 0])])).is_empty());
}

#[test]
fn a_record_that_grows_beyond_the_limits_of_a_name_stays_as_it_is() {
    let long = format!("{}.{}.{}.net", "a".repeat(63), "b".repeat(63), "c".repeat(63));
    let rule = format!("rewrite name suffix .org .net answer value (.*) {long}.{long}.");
    told(&rule, "> www.org A\n = www.net. 60 IN CNAME a.net.\n = a.net. 60 IN A 192.0.2.1");
}
