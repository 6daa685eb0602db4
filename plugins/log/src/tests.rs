#![allow(clippy::unwrap_used, clippy::expect_used)]
use std::time::Duration;

use catena_core::prelude::*;
use catena_testkit::{Ask, Kit, METADATA, TELL, check_config};

use super::PLUGIN;

/// Answers as the first label of the name says.
const ANSWERING: PluginDef = PluginDef::new("answering", |cx| {
    cx.link(Answering);
    Ok(())
});

struct Answering;

#[async_trait]
impl Plugin for Answering {
    async fn serve(&self, q: &mut Query, _next: Next<'_>) -> Reply {
        let mut answer = Answer::to(q).authoritative();
        match q.lower().to_string().split('.').next() {
            Some("nx") => answer.rcode = Rcode::NXDOMAIN,
            Some("refused") => answer.rcode = Rcode::REFUSED,
            Some("odd") => answer.rcode = Rcode::masked_from_int(12),
            Some("fail") => return Reply::status(Rcode::SERVFAIL),
            Some("silent") => return Reply::silence(),
            Some("long") => {
                answer.push_wire(Section::Answer, q.name().as_slice(), Rtype::TXT, Class::IN, 60, &[0; 600]);
            }
            _ => answer.push_address(Section::Answer, q.name(), Class::IN, 60, [192, 0, 2, 1].into()),
        }
        answer.into()
    }
}

fn kit(log: &str) -> Kit {
    Kit::of([PLUGIN, ANSWERING], &format!("{log}\nanswering"))
}

/// The lines after these questions.
fn lines(log: &str, asks: &[&str]) -> Vec<String> {
    let kit = kit(log);
    for ask in asks {
        kit.ask_for(ask);
    }
    kit.log.take()
}

#[test]
fn the_common_line_tells_the_query_and_the_reply() {
    let kit = kit("log");
    let ask = Ask::new("A.Example.org A");
    kit.ask(&ask);
    let flags = "qr,aa,rd";
    let expected =
        format!("[INFO] 10.240.0.1:40212 - 4711 \"A IN a.example.org. udp 31 false 512\" NOERROR {flags} 60 0s");
    assert_eq!(kit.log.take(), [expected]);
}

#[test]
fn combined_adds_the_opcode() {
    let lines = lines("log . \"{combined}\"", &["a.example.org A"]);
    assert!(lines[0].ends_with("NOERROR qr,aa,rd 60 0s \"0\""), "{lines:?}");
}

#[test]
fn an_ipv6_address_stands_in_brackets() {
    let kit = kit("log . \"{remote} {port} {local} {proto}\"");
    kit.ask(&Ask::new("a.example.org A").from("[2001:db8::1]:53").tcp());
    kit.ask(&Ask::new("a.example.org A").from("[::ffff:192.0.2.9]:53"));
    assert_eq!(kit.log.take(), ["[INFO] [2001:db8::1] 53 127.0.0.1 tcp", "[INFO] 192.0.2.9 53 127.0.0.1 udp"]);
}

#[test]
fn edns_shows_in_size_and_do() {
    let kit = kit("log . \"{>do} {>bufsize} {size}\"");
    kit.ask(&Ask::new("a.example.org A").edns(1400, true));
    kit.ask(&Ask::new("a.example.org A").edns(1400, true).tcp());
    assert_eq!(kit.log.take(), ["[INFO] true 1400 42", "[INFO] true 65535 42"]);
}

#[test]
fn the_duration_is_in_seconds_without_an_exponent() {
    const SLOW: PluginDef = PluginDef::new("slow", |cx| {
        struct Slow;
        #[async_trait]
        impl Plugin for Slow {
            async fn serve(&self, q: &mut Query, _next: Next<'_>) -> Reply {
                // The query came in a while ago.
                let earlier = q.received().checked_sub(Duration::from_nanos(12_345)).unwrap();
                q.arrival_mut().received = earlier;
                Answer::to(q).into()
            }
        }
        cx.link(Slow);
        Ok(())
    });
    let kit = Kit::of([PLUGIN, SLOW], "log . {duration}\nslow");
    kit.ask_for("a.example.org A");
    assert_eq!(kit.log.take(), ["[INFO] 0.000012345s"]);
}

#[test]
fn truncation_shows_in_the_flags_and_not_in_the_size() {
    let lines = lines("log . \"{>rflags} {rsize}\"", &["long.example.org TXT"]);
    assert_eq!(lines, ["[INFO] qr,aa,tc,rd 662"]);
}

#[test]
fn what_is_not_written_is_told_all_the_same() {
    let lines = lines(
        "log . \"{rcode} {>rflags} {rsize}\"",
        &["fail.example.org A", "silent.example.org A", "odd.example.org A"],
    );
    assert_eq!(lines, ["[INFO] SERVFAIL qr,rd 34", "[INFO] - - 0", "[INFO] 12 qr,aa,rd 33"]);
}

#[test]
fn words_in_braces_that_mean_nothing_stay() {
    let lines = lines("log . \"{/some/label} {unknown} {Name} {>x\"", &["a.example.org A"]);
    assert_eq!(lines, ["[INFO] - {unknown} {Name} {>x"]);
}

#[test]
fn the_first_rule_whose_zone_fits_decides() {
    let log =
        "log example.org \"one {name}\" {\n class denial\n}\nlog Example.com \"two {name}\"\nlog . \"three {name}\"";
    let asks = ["a.example.org A", "nx.example.org A", "a.EXAMPLE.com A", "a.example.net A"];
    assert_eq!(
        lines(log, &asks),
        ["[INFO] one nx.example.org.", "[INFO] two a.example.com.", "[INFO] three a.example.net."]
    );
}

#[test]
fn classes_add_up_and_all_is_every_one() {
    let asks =
        ["a.example.org A", "nx.example.org A", "refused.example.org A", "fail.example.org A", "silent.example.org A"];
    let codes =
        |class: &str| lines(&format!("log . {{rcode}} {{\n {class}\n}}"), &asks).join(" ").replace("[INFO] ", "");
    assert_eq!(codes("class success"), "NOERROR");
    assert_eq!(codes("class denial"), "NXDOMAIN");
    assert_eq!(codes("class error"), "REFUSED SERVFAIL -");
    assert_eq!(codes("class success\nclass denial"), "NOERROR NXDOMAIN");
    assert_eq!(codes("class all"), "NOERROR NXDOMAIN REFUSED SERVFAIL -");
}

#[test]
fn a_single_word_is_a_zone_even_in_braces() {
    assert_eq!(lines("log {combined}", &["a.example.org A"]), Vec::<String>::new());
    assert_eq!(lines("log {combined}", &["a.{combined} A"]).len(), 1);
}

#[test]
fn labels_have_values_where_metadata_is() {
    let log = "log . \"{/log/type} {/log/class} [{/answering/none}]\"";
    let kit = Kit::of([METADATA, PLUGIN, ANSWERING], &format!("metadata\n{log}\nanswering"));
    for first in ["a", "nx", "refused", "fail", "silent"] {
        kit.ask_for(&format!("{first}.example.org A"));
    }
    let expected = ["NOERROR success", "NXDOMAIN denial", "OTHERERROR error", "SERVERERROR error", "OTHERERROR error"];
    assert_eq!(kit.log.take(), expected.map(|words| format!("[INFO] {words} [-]")));
    let told = "the label 'answering/none' never has a value: no plugin of the server block knows it";
    assert_eq!(kit.warnings, [format!("plugin/log: {told}")]);
}

#[test]
fn a_label_without_metadata_is_warned_about_once_a_line() {
    let kit = kit("log example.org example.net \"{/log/type}\"\nlog . \"{/log/type}\"");
    let told = "plugin/log: the label 'log/type' never has a value: the server block has no metadata";
    assert_eq!(kit.warnings, [told, told]);
}

#[test]
fn links_before_see_the_kind_of_reply_where_a_rule_covers_the_name() {
    let kit =
        Kit::of([METADATA, TELL, PLUGIN, ANSWERING], "metadata\ntell log/type log/class\nlog example.org\nanswering");
    kit.ask_for("fail.example.org AXFR");
    kit.ask_for("a.example.net A");
    let told: Vec<_> = kit.log.take().into_iter().filter(|line| line.contains("plugin/tell")).collect();
    assert_eq!(told, ["[INFO] plugin/tell: META error", "[INFO] plugin/tell: - -"]);
}

#[test]
fn mistakes_are_told() {
    check_config([PLUGIN], "log . {\n class some\n}", "plugin/log: invalid Class: some");
    check_config(
        [PLUGIN],
        "log {\n class\n}",
        "plugin/log: Corefile:3 - Error during parsing: Wrong argument count or unexpected line ending after 'class'",
    );
    check_config(
        [PLUGIN],
        "log {\n kind all\n}",
        "plugin/log: Corefile:3 - Error during parsing: unknown property 'kind'",
    );
}
