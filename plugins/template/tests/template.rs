//! What `template` answers, as sentences.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::borrow::Cow;
use std::sync::Arc;

use catena_core::prelude::*;
use catena_core::{Fixed, Labels};
use catena_plugin_template::PLUGIN;
use catena_testkit::{Ask, Kit, METADATA, check, check_config, check_corefile};

/// The plugin behind: NXDOMAIN for everything, but an address for `target.example.net`.
const BELOW: PluginDef = PluginDef::new("below", |cx| {
    let mut words = cx.cursor();
    while words.next() {}
    cx.link(Fixed(|q: &mut Query| {
        let mut answer = Answer::to(q);
        if q.lower().to_string() == "target.example.net" {
            answer.set(flags::TC, q.qtype() == Rtype::AAAA);
            answer.push_address(Section::Answer, q.lower(), Class::IN, 300, "192.0.2.1".parse().unwrap());
            return answer.into();
        }
        answer.with_rcode(Rcode::NXDOMAIN).into()
    }));
    Ok(())
});

fn script(body: &str, script: &str) {
    check([PLUGIN, BELOW], &format!("{body}\nbelow"), script);
}

fn told(properties: &str, expected: &str) {
    let expected = format!("plugin/template: Corefile:3 - Error during parsing: {expected}");
    check_config([PLUGIN], &format!("template IN A {{\n{properties}\n}}"), &expected);
}

#[test]
fn all_sections_are_filled_from_templates() {
    let body = r#"template IN MX example.org {
        answer "{{ .Name }} 60 IN MX 20 mx2.{{ .Zone }}" "{{ .Name }} 60 IN MX 10 mx1.{{ .Zone }}"
        authority "{{ .Zone }} 60 {{ .Class }} NS ns1.{{ .Zone }}"
        additional "mx1.{{ .Zone }} A 192.0.2.1"
    }"#;
    script(
        body,
        "
        > Mail.Example.ORG MX
        < NOERROR qr aa rd
        = mail.example.org. 60 IN MX 20 mx2.example.org.
        = mail.example.org. 60 IN MX 10 mx1.example.org.
        ~ example.org. 60 IN NS ns1.example.org.
        + mx1.example.org. 3600 IN A 192.0.2.1
        > mail.example.org A
        < NXDOMAIN qr rd
        > mail.example.net MX
        < NXDOMAIN qr rd",
    );
}

#[test]
fn the_first_pattern_that_matches_supplies_the_groups() {
    let body = r#"template IN A {
        match "^ip-(?P<a>[0-9]+)-(?P<b>[0-9]+)[.]" "^(?P<b>[a-f]+)[.](?P<a>[0-9]+)[.]"
        answer "{{ .Name }} 60 IN A 192.0.{{ .Group.a }}.{{ index .Match 2 }}"
        fallthrough
    }"#;
    script(
        body,
        "
        > IP-2-77.example.org A
        = ip-2-77.example.org. 60 IN A 192.0.2.77
        > abc.5.example.org A
        = abc.5.example.org. 60 IN A 192.0.5.5
        > xyz.example.org A
        < NXDOMAIN qr rd",
    );
}

#[test]
fn without_fallthrough_a_name_that_no_pattern_matches_fails() {
    let body = "template IN A example.org example.net {\nmatch ^one[.]\nanswer \"{{ .Name }} A 192.0.2.1\"\nfallthrough example.org\n}";
    script(
        body,
        "
        > two.example.org A
        < NXDOMAIN qr rd
        > two.example.net A
        < SERVFAIL qr rd
        > two.example.net AAAA
        < NXDOMAIN qr rd",
    );
}

#[test]
fn variables_build_on_earlier_ones_and_all_conditions_have_to_hold() {
    let body = r#"template IN A {
        match "^n(?P<num>[0-9]+)[.]"
        var num int(group("num"))
        var low num % 256
        expr num >= 256
        expr client_ip() != '127.0.0.9'
        answer "{{ .Name }} 60 IN A 192.0.2.{{ .Var.low }}"
        fallthrough
    }"#;
    script(
        body,
        "
        > n300.example.org A
        = n300.example.org. 60 IN A 192.0.2.44
        > n30.example.org A
        < NXDOMAIN qr rd
        > n300.example.org A from 127.0.0.9:1
        < NXDOMAIN qr rd",
    );
}

#[test]
fn an_expression_that_fails_fails_the_query_whatever_fallthrough_says() {
    let body = "template IN A {\nexpr int(group(\"nothing\")) > 1\nanswer \"{{ .Name }} A 192.0.2.1\"\nfallthrough\n}";
    script(
        body,
        "
        > a.example.org A
        < SERVFAIL qr rd",
    );
}

#[test]
fn a_condition_that_is_no_boolean_does_not_hold() {
    let body = "template IN A {\nexpr name()\nanswer \"{{ .Name }} A 192.0.2.1\"\nfallthrough\n}";
    script(
        body,
        "
        > a.example.org A
        < NXDOMAIN qr rd",
    );
}

#[test]
fn expressions_see_the_query() {
    let body = "template ANY ANY {\n\
        var head type() + ' ' + class() + ' ' + name() + ' ' + proto() + ' ' + client_ip() + ' ' + port() + ' ' + server_ip() + ' ' + server_port()\n\
        var numbers string(id()) + ' ' + string(opcode()) + ' ' + string(bufsize()) + ' ' + string(do()) + ' ' + string(size())\n\
        var rest string(incidr(client_ip(), '10.0.0.0/8')) + metadata('a/b') + group(0) + group('0') + group('x')\n\
        answer \"{{ .Name }} 60 IN TXT `{{ .Var.head }}` \\\"{{ .Var.numbers }}\\\" \\\"{{ .Var.rest }}\\\"\"\n}";
    let kit = Kit::of([PLUGIN], &body.replace('`', "\\\""));
    let seen = kit.ask(&Ask::new("A.example TYPE65280").edns(1400, true));
    let text = "\"TYPE65280 IN a.example. udp 10.240.0.1 40212 127.0.0.1 53\" \"4711 0 1400 true 38\" \"truea.example.a.example.\"";
    assert_eq!(seen.answer, [format!("a.example. 60 IN TXT {text}")]);
}

#[test]
fn templates_see_the_query() {
    let body = r#"template ANY ANY {
        answer "{{ .Name }} 60 IN TXT {{ .Question.Name }} {{ .Question.Qtype }} {{ .Message.Id }} {{ .Message.RecursionDesired }} {{ len .Message.Question }}"
        answer "{{ .Name }} 60 IN TXT {{ .Zone }} {{ .Regex }} {{ .Class }} {{ .Type }} {{ .Remote }} x{{ .Meta \"a/b\" }}"
    }"#;
    script(
        body,
        r#"
        > A.Example TXT
        = a.example. 60 IN TXT "A.Example." "16" "4711" "true" "1"
        = a.example. 60 IN TXT "." ".*" "IN" "TXT" "10.240.0.1" "x"
        > a.example ANY
        = a.example. 60 IN TXT "a.example." "255" "4711" "true" "1"
        = a.example. 60 IN TXT "." ".*" "IN" "ANY" "10.240.0.1" "x""#,
    );
}

#[test]
fn a_query_for_any_gets_the_type_of_the_template() {
    script(
        "template IN TXT {\nanswer \"{{ .Name }} 60 IN TXT {{ .Type }}\"\n}",
        "
        > a.example ANY
        = a.example. 60 IN TXT \"TXT\"",
    );
}

#[test]
fn a_name_with_characters_of_zone_files_stays_one_name() {
    script(
        "template IN A {\nanswer \"{{ .Name }} 60 IN A 192.0.2.1\"\n}",
        r#"
        > a\;b\"\(.example A
        = a;b"(.example. 60 IN A 192.0.2.1"#,
    );
}

#[test]
fn what_is_no_record_fails_and_is_counted() {
    let body = r#"template IN A bad.example.org {
        answer "{{.Name}} 60 IN A not-an-address"
    }
    template IN A fail.example.org {
        additional "{{ index .Match 7 }} 60 IN A 192.0.2.1"
    }
    template IN A empty.example.org {
        answer "{{ if false }}x{{ end }}"
    }"#;
    script(
        body,
        r#"
        > bad.example.org A
        < SERVFAIL qr rd
        > fail.example.org A
        < SERVFAIL qr rd
        > empty.example.org A
        < SERVFAIL qr rd
        metric coredns_template_matches_total{class="IN",server="dns://:53",type="A",view="",zone="bad.example.org."} 1
        metric coredns_template_rr_failures_total{class="IN",section="answer",server="dns://:53",template="{{.Name}} 60 IN A not-an-address",type="A",view="",zone="bad.example.org."} 1
        metric coredns_template_template_failures_total{class="IN",section="additional",server="dns://:53",template="{{index .Match 7}} 60 IN A 192.0.2.1",type="A",view="",zone="fail.example.org."} 1"#,
    );
    let kit = Kit::of([PLUGIN], body);
    let error = kit.ask_for("bad.example.org A").error.unwrap();
    assert!(error.starts_with("dns: bad data for type A: "), "{error}");
    assert!(kit.ask_for("fail.example.org A").error.unwrap().contains("executing \"additional\""));
}

#[test]
fn a_type_without_a_name_counts_under_an_empty_one() {
    script(
        "template ANY ANY {\nrcode NXDOMAIN\n}",
        r#"
        > a.example TYPE65280
        < NXDOMAIN qr aa rd
        metric coredns_template_matches_total{class="IN",server="dns://:53",type="",view="",zone="."} 1"#,
    );
}

#[test]
fn the_target_of_a_cname_is_looked_up_for_addresses_only() {
    let body = "template IN ANY example.org {\nanswer \"{{ .Name }} 60 IN CNAME target.example.net.\"\n}";
    script(
        body,
        "
        > alias.example.org A
        < NOERROR qr aa rd
        = alias.example.org. 60 IN CNAME target.example.net.
        = target.example.net. 300 IN A 192.0.2.1
        > alias.example.org TXT
        < NOERROR qr aa rd
        = alias.example.org. 60 IN CNAME target.example.net.",
    );
    let kit = Kit::of([PLUGIN, BELOW], &format!("{body}\nbelow"));
    assert!(kit.ask(&Ask::new("alias.example.org AAAA")).flags.contains(&"tc"));
}

#[test]
fn a_cname_to_the_name_asked_is_not_followed() {
    script(
        "template IN A {\nanswer \"{{ .Name }} 60 IN CNAME {{ .Name }}\"\n}",
        "
        > a.example.org A
        < NOERROR qr aa rd
        = a.example.org. 60 IN CNAME a.example.org.",
    );
}

#[test]
fn cnames_without_end_are_followed_ten_times() {
    let kit = Kit::of([PLUGIN], "template IN A {\nanswer \"{{ .Name }} 60 IN CNAME x.{{ .Name }}\"\n}");
    let seen = kit.ask(&Ask::new("a.example.org A").tcp());
    assert_eq!((seen.rcode.as_str(), seen.answer.len()), ("NOERROR", 11));
}

#[test]
fn the_targets_of_eight_cnames_are_looked_up() {
    let answers = "answer \"{{ .Name }} 60 IN CNAME target.example.net.\"\n".repeat(9);
    let kit = Kit::of([PLUGIN, BELOW], &format!("template IN A example.org {{\n{answers}}}\nbelow"));
    let seen = kit.ask(&Ask::new("a.example.org A").tcp());
    assert_eq!(seen.answer.iter().filter(|line| line.contains(" CNAME ")).count(), 9);
    assert_eq!(seen.answer.iter().filter(|line| line.contains(" A ")).count(), 8);
}

#[test]
fn a_refusal_has_its_records_and_is_one_message() {
    let body = "template IN A {\nrcode REFUSED\nauthority \"example.org. 60 IN SOA ns.example.org. admin.example.org. 1 2 3 4 5\"\n}";
    script(
        body,
        "
        > a.example.org A
        < REFUSED qr aa rd
        ~ example.org. 60 IN SOA ns.example.org. admin.example.org. 1 2 3 4 5",
    );
}

#[test]
fn a_servfail_template_has_no_records() {
    script(
        "template IN A {\nrcode SERVFAIL\nanswer \"{{ .Name }} A 192.0.2.1\"\n}",
        "
        > a.example.org A
        < SERVFAIL qr rd",
    );
}

#[test]
fn an_extended_error_goes_to_clients_with_edns_only_and_leaves_do_as_asked() {
    let kit = Kit::of([PLUGIN], "template IN A {\nrcode NXDOMAIN\nederror 21 \"blocked by rule\"\n}");
    let option = (15, b"\x00\x15blocked by rule".to_vec());
    assert_eq!(kit.ask(&Ask::new("a A").edns(1400, true)).edns, Some((1400, true, vec![option.clone()])));
    assert_eq!(kit.ask(&Ask::new("a A").edns(1400, false)).edns, Some((1400, false, vec![option])));
    assert_eq!(kit.ask_for("a A").edns, None);
}

#[test]
fn templates_are_tried_in_order_and_their_zones_are_those_of_the_block() {
    let corefile = "example.org {\ntemplate IN A sub.example.org {\nanswer \"{{ .Name }} 1 A 192.0.2.1\"\n}\n\
        template ANY ANY {\nanswer \"{{ .Name }} 1 A 192.0.2.2\"\n}\n}\n";
    check_corefile(
        [PLUGIN],
        corefile,
        "
        > a.sub.example.org A
        = a.sub.example.org. 1 IN A 192.0.2.1
        > a.example.org A
        = a.example.org. 1 IN A 192.0.2.2",
    );
}

#[test]
fn a_broken_head_is_told() {
    let told = |head: &str, expected: &str| {
        let expected = format!("plugin/template: Corefile:2 - Error during parsing: {expected}");
        check_config([PLUGIN], head, &expected);
    };
    told("template", "Wrong argument count or unexpected line ending after 'template'");
    told("template XX A", "invalid query class XX");
    told("template in A", "invalid query class in");
    told("template IN", "Wrong argument count or unexpected line ending after 'IN'");
    told("template IN a", "invalid RR class a");
    told("template IN TYPE65280", "invalid RR class TYPE65280");
}

#[test]
fn broken_properties_are_told_in_the_words_of_coredns() {
    told("match", "Wrong argument count or unexpected line ending after 'match'");
    told("match (", "could not parse regex: (, error parsing regexp: missing closing ): `(`");
    told("answer", "Wrong argument count or unexpected line ending after 'answer'");
    told("answer \"{{ .Name\"", "could not compile template: {{ .Name, template: answer:1: unclosed action");
    told("rcode", "Wrong argument count or unexpected line ending after 'rcode'");
    told("rcode NOPE", "unknown rcode NOPE");
    told("rcode nxdomain", "unknown rcode nxdomain");
    told("ederror", "Wrong argument count or unexpected line ending after 'ederror'");
    told("ederror x", "error parsing extended DNS error code x, strconv.ParseUint: parsing \"x\": invalid syntax");
    told(
        "ederror 65536",
        "error parsing extended DNS error code 65536, strconv.ParseUint: parsing \"65536\": value out of range",
    );
    told("var a", "Wrong argument count or unexpected line ending after 'a'");
    told("var 1a 1", "invalid variable name \"1a\"");
    told("var type 1", "variable name \"type\" is reserved");
    told("var last 1", "variable name \"last\" is reserved");
    told("var group 1", "variable name \"group\" is reserved");
    told("expr", "Wrong argument count or unexpected line ending after 'expr'");
    told("nonsense", "Wrong argument count or unexpected line ending after 'nonsense'");
}

#[test]
fn a_variable_is_defined_once() {
    let expected = "plugin/template: Corefile:4 - Error during parsing: variable name \"a\" is reserved";
    check_config([PLUGIN], "template IN A {\nvar a 1\nvar a 2\n}", expected);
}

#[test]
fn a_pattern_at_the_limit_compiles_and_a_longer_one_is_told() {
    let long = "a".repeat(10_000);
    let _ = Kit::of([PLUGIN], &format!("template IN A {{\nmatch {long}\n}}"));
    told(&format!("match {long}a"), "regex pattern too long: 10001 > 10000");
}

#[test]
fn the_text_of_an_extended_error_has_a_limit() {
    let long = "a".repeat(256);
    let _ = Kit::of([PLUGIN], &format!("template IN A {{\nederror 1 {long}\n}}"));
    told(&format!("ederror 1 {long}a"), "extended DNS error text too long: 257 > 256");
}

#[test]
fn templates_and_expressions_see_labels_where_metadata_is() {
    const KNOWS: PluginDef = PluginDef::new("knows", |cx| {
        cx.labels(Arc::new(Knows));
        Ok(())
    });
    struct Knows;
    impl Labels for Knows {
        fn names(&self) -> &[&'static str] {
            &["knows/name"]
        }
        fn label<'a>(&'a self, name: &str, q: &'a Query) -> Option<Cow<'a, str>> {
            (name == "knows/name").then(|| q.original().name().to_string().into())
        }
    }
    let body = "knows\ntemplate IN TXT {\n expr metadata('knows/name') startsWith 'A'\n\
        answer `{{ .Name }} 60 IN TXT {{ .Meta \"knows/name\" }} x{{ .Meta \"knows/none\" }}`\n}"
        .replace('"', "\\\"")
        .replace('`', "\"");
    let kit = Kit::of([METADATA, PLUGIN, KNOWS], &format!("metadata\n{body}"));
    assert_eq!(kit.ask_for("A.example TXT").answer, ["a.example. 60 IN TXT \"A.example\" \"x\""]);
    assert_eq!(kit.ask_for("b.example TXT").rcode, "SERVFAIL");
    let told = "plugin/template: the label 'knows/none' never has a value: no plugin of the server block knows it";
    assert_eq!(kit.warnings, [told]);
}
