#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use catena_core::Fixed;
use catena_testkit::{Ask, Kit, Recipe, check_config, check_corefile};

use super::*;

/// Answers with its argument as the code, so that a test sees which block took a query.
const CODE: PluginDef = PluginDef::new("code", |cx: &mut Setup<'_>| {
    let mut words = cx.cursor();
    words.next();
    let rcode = Rcode::masked_from_int(words.one_arg()?.parse().unwrap_or(0));
    cx.link(Fixed(move |q: &mut Query| Answer::to(q).with_rcode(rcode).into()));
    Ok(())
});

/// Turns labels on for all names.
const METADATA: PluginDef = PluginDef::new("metadata", |cx: &mut Setup<'_>| {
    cx.block_settings().label_zones = Some(Zones::everything());
    Ok(())
});

/// Whether a block with this expression takes the query; another block answers NXDOMAIN.
fn takes(expression: &str, ask: &Ask) -> bool {
    let corefile = format!(". {{\nview v {{\nexpr {expression}\n}}\ncode 0\n}}\n. {{\ncode 3\n}}\n");
    match Recipe::new([CODE, PLUGIN], &corefile).build() {
        Ok(kit) => kit.ask(ask).rcode == "NOERROR",
        Err(errors) => panic!("{}", errors.into_iter().map(|(_, text)| text).collect::<String>()),
    }
}

fn told(expression: &str, expected: &str) {
    let corefile = format!(". {{\nview v {{\nexpr {expression}\n}}\n}}\n");
    let Err(errors) = Recipe::new([CODE, PLUGIN], &corefile).build() else { panic!("builds: {expression}") };
    let line = errors[0].0.one_line();
    assert!(line.starts_with(&format!("plugin/view: {expected}")), "{line}");
    assert!(errors[0].1.contains("Corefile:3:6"), "{}", errors[0].1);
}

#[test]
fn of_several_blocks_the_first_whose_expressions_all_hold_serves() {
    check_corefile(
        [CODE, PLUGIN],
        "example.org {
            view inside {
                expr incidr(client_ip(), '10.0.0.0/8')
            }
            code 0
        }
        example.org {
            view text {
                expr type() == 'TXT'
                expr name() matches '^t[0-9]+\\\\.'
            }
            code 3
        }
        example.org {
            code 5
        }",
        "
        > t1.example.org TXT from 10.1.1.1:9
        < NOERROR qr rd
        > T1.example.org TXT from 192.0.2.1:9
        < NXDOMAIN qr rd
        > t1.example.org A from 192.0.2.1:9
        < REFUSED qr rd
        > tx.example.org TXT from 192.0.2.1:9
        < REFUSED qr rd",
    );
}

#[test]
fn without_a_fitting_view_the_parent_zone_serves_and_at_last_nobody() {
    check_corefile(
        [CODE, PLUGIN],
        "a.example.org {
            view never {
                expr false
            }
            code 0
        }
        example.org {
            code 3
        }
        example.net {
            view never {
                expr false
            }
            code 0
        }",
        "
        > a.example.org A
        < NXDOMAIN qr rd
        > a.example.net A
        < REFUSED qr rd",
    );
}

#[test]
fn expressions_see_everything_about_the_query() {
    let ask = Ask::new("Www.example.org MX").from("[2001:db8::7]:4711").edns(1400, true);
    for expression in [
        "incidr(client_ip(), '2001:db8::/64')",
        "client_ip() == '2001:db8::7'",
        "type() == 'MX'",
        "name() == 'www.example.org.'",
        "class() == 'IN'",
        "proto() == 'udp'",
        "size() == 44",
        "port() == '4711'",
        "id() == 4711",
        "opcode() == 0",
        "do()",
        "bufsize() == 1400",
        "server_ip() == '127.0.0.1'",
        "server_port() == '53'",
        "type() in ['A', 'MX'] and not (name() endsWith '.net.')",
        "metadata('no/label') == ''",
    ] {
        assert!(takes(expression, &ask), "{expression}");
    }
}

#[test]
fn types_have_the_names_of_the_reference() {
    assert!(takes("type() == 'TYPE65280'", &Ask::new("example.org TYPE65280")));
    assert!(takes("type() == 'NSAP-PTR'", &Ask::new("example.org TYPE23")));
}

#[test]
fn bufsize_over_tcp_is_the_size_of_a_message() {
    assert!(takes("proto() == 'tcp' && bufsize() == 65535 && !do()", &Ask::new("example.org A").tcp()));
}

#[test]
fn what_is_not_true_is_false() {
    for expression in ["false", "1", "'true'", "nil", "incidr('nowhere', '10.0.0.0/8')", "incidr('10.0.0.1', 'x')"] {
        assert!(!takes(expression, &Ask::new("example.org A")), "{expression}");
    }
}

#[test]
fn a_view_without_expressions_takes_everything() {
    check_corefile([CODE, PLUGIN], ". {\nview all\ncode 0\n}\n. {\ncode 3\n}", "> example.org A\n< NOERROR qr rd");
}

#[test]
fn an_expression_of_several_words_is_one() {
    assert!(takes("type() == 'A' ||  type() == 'MX'", &Ask::new("example.org MX")));
}

#[test]
fn the_name_is_a_label() {
    let kit = Kit::of([METADATA, CODE, PLUGIN], "metadata\nview inside\ncode 0");
    let mut query = kit.query(0, &Ask::new("example.org A"));
    assert_eq!(kit.run(kit.instance().serve(&mut query)).rcode(), Some(Rcode::NOERROR));
    assert_eq!(query.label("view/name").as_deref(), Some("inside"));
    assert_eq!(query.label("view/other"), None);
    assert_eq!(query.view(), "inside");
}

#[test]
fn labels_are_there_when_a_view_chooses() {
    let labelled = ". {\nmetadata\nview v {\nexpr metadata('view/name') == 'v'\n}\ncode 0\n}\n. {\ncode 3\n}";
    check_corefile([METADATA, CODE, PLUGIN], labelled, "> example.org A\n< NOERROR qr rd");
    let without = labelled.replacen("metadata\n", "", 1);
    check_corefile([METADATA, CODE, PLUGIN], &without, "> example.org A\n< NXDOMAIN qr rd");
}

#[test]
fn the_chain_ends_behind_it() {
    let kit = Kit::of([CODE, PLUGIN], "view v");
    let seen = kit.ask_for("example.org A");
    assert_eq!((seen.rcode.as_str(), seen.error.as_deref()), ("SERVFAIL", Some("plugin/view: no next plugin found")));
}

#[test]
fn a_zone_may_have_one_block_without_a_view_and_it_comes_last() {
    let block = |view: &str| format!("example.org {{\n{view}\ncode 0\n}}\n");
    let built = |corefile: String| {
        let built = Recipe::new([CODE, PLUGIN], &corefile).build();
        built.map(|_| ()).map_err(|errors| errors[0].0.one_line())
    };
    assert_eq!(built(block("view a") + &block("view a") + &block("")), Ok(()));
    let twice = "cannot serve dns://example.org.:53 - it is already defined";
    assert_eq!(built(block("") + &block("view a")), Err(twice.to_owned()));
    assert_eq!(built(block("") + &block("")), Err(twice.to_owned()));
}

#[test]
fn functions_and_variables_that_there_are_not_are_told() {
    told("nothing() == 1", "unknown name nothing");
    told("something == 1", "unknown name something");
}

#[test]
fn operators_on_the_wrong_types_are_told() {
    told("port() == 53", "invalid operation: == (mismatched types string and int) (1:8)");
}

#[test]
fn what_is_no_expression_is_told() {
    told("invalid expression", "");
    told("type( == 'A'", "");
}

#[test]
fn a_name_and_nothing_else_is_taken() {
    let arg = "plugin/view: Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after";
    check_config([CODE, PLUGIN], "view", &format!("{arg} 'view'"));
    check_config([CODE, PLUGIN], "view a b", &format!("{arg} 'b'"));
}

#[test]
fn another_property_is_told() {
    let told = "plugin/view: Corefile:3 - Error during parsing: unknown property 'exp'";
    check_config([CODE, PLUGIN], "view a {\nexp true\n}", told);
}

#[test]
fn a_block_has_one_view() {
    check_config([CODE, PLUGIN], "view a\nview b", &format!("plugin/view: {ONCE}"));
}

#[test]
fn the_number_of_expressions_has_an_edge() {
    let builds = |count: usize| {
        let corefile = format!(". {{\nview v {{\n{}}}\ncode 0\n}}\n", "expr true\n".repeat(count));
        Recipe::new([CODE, PLUGIN], &corefile).build().is_ok()
    };
    assert!(builds(EXPRESSIONS_MAX));
    assert!(!builds(EXPRESSIONS_MAX + 1));
}
