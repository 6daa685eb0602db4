#![allow(clippy::unwrap_used, clippy::expect_used)]
use std::time::Duration;

use catena_core::Question;
use catena_core::metrics::CountedZones;
use catena_core::prelude::*;
use catena_testkit::{Ask, Kit, Recipe, check_config};

use super::PLUGIN;

/// Answers as the first label of the name says.
const ANSWERING: PluginDef = PluginDef::new("answering", |cx| {
    cx.link(Answering);
    Ok(())
});

/// Stands between and lets everything pass.
const PASSING: PluginDef = PluginDef::new("passing", |cx| {
    cx.link(Passing);
    Ok(())
});

struct Answering;
struct Passing;

#[async_trait]
impl Plugin for Passing {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        next.run(q).await
    }
}

#[async_trait]
impl Plugin for Answering {
    async fn serve(&self, q: &mut Query, _next: Next<'_>) -> Reply {
        let mut answer = Answer::to(q);
        match q.lower().to_string().split('.').next() {
            Some("fail") => return Reply::status(Rcode::SERVFAIL),
            Some("silent") => return Reply::silence(),
            Some("odd") => answer.rcode = Rcode::masked_from_int(12),
            Some("rare") => answer.rcode = Rcode::masked_from_int(4000),
            _ => answer.push_address(Section::Answer, q.name(), Class::IN, 60, [192, 0, 2, 1].into()),
        }
        answer.into()
    }
}

fn kit() -> Kit {
    Kit::of([PLUGIN, PASSING, ANSWERING], "prometheus\npassing\nanswering")
}

fn value(kit: &Kit, name: &str, labels: &str) -> Option<f64> {
    kit.metric(&format!("coredns_dns_{name}{{{labels}}}"))
}

const PLACE: &str = "server=\"dns://:53\",view=\"\",zone=\".\"";

#[test]
fn requests_are_counted_by_protocol_family_and_type() {
    let kit = kit();
    kit.ask_for("a.example.org A");
    kit.ask(&Ask::new("a.example.org A").tcp().from("[2001:db8::1]:53"));
    kit.ask_for("a.example.org TYPE65400");
    kit.ask_for("a.example.org CAA");
    let count = |family, proto, kind| {
        let place = "server=\"dns://:53\"";
        value(
            &kit,
            "requests_total",
            &format!("family=\"{family}\",proto=\"{proto}\",{place},type=\"{kind}\",view=\"\",zone=\".\""),
        )
    };
    assert_eq!(count(1, "udp", "A"), Some(1.0));
    assert_eq!(count(2, "tcp", "A"), Some(1.0));
    assert_eq!(count(1, "udp", "other"), Some(2.0));
    assert_eq!(count(1, "tcp", "A"), None);
}

#[test]
fn replies_are_counted_by_code_and_by_the_plugin_that_made_them() {
    let kit = kit();
    for name in ["a", "fail", "silent", "odd", "rare"] {
        kit.ask(&Ask::new(&format!("{name}.example.org A")).edns(1232, false));
    }
    let count =
        |plugin, rcode| value(&kit, "responses_total", &format!("plugin=\"{plugin}\",rcode=\"{rcode}\",{PLACE}"));
    assert_eq!(count("answering", "NOERROR"), Some(1.0));
    assert_eq!(count("", "SERVFAIL"), Some(1.0));
    assert_eq!(count("", "NOERROR"), Some(1.0));
    assert_eq!(count("answering", "RCODE12"), Some(1.0));
    assert_eq!(count("answering", "RCODE4000"), Some(1.0));
}

#[test]
fn queries_with_do_are_counted() {
    let kit = kit();
    kit.ask_for("a.example.org A");
    assert_eq!(value(&kit, "do_requests_total", PLACE), None);
    kit.ask(&Ask::new("a.example.org A").edns(1232, true));
    assert_eq!(value(&kit, "do_requests_total", PLACE), Some(1.0));
}

#[test]
fn sizes_are_those_before_compression_and_without_edns_in_the_reply() {
    let kit = kit();
    kit.ask(&Ask::new("a.example.org A").edns(1232, false));
    kit.ask_for("fail.example.org A");
    let sum = |name: &str| value(&kit, &format!("{name}_sum"), &format!("proto=\"udp\",{PLACE}"));
    assert_eq!(sum("request_size_bytes"), Some(42.0 + 34.0));
    assert_eq!(sum("response_size_bytes"), Some(60.0));
}

#[test]
fn times_are_measured() {
    let kit = kit();
    kit.ask_for("a.example.org A");
    assert_eq!(value(&kit, "request_duration_seconds_count", PLACE), Some(1.0));
    let bucket = format!("le=\"0.00025\",{PLACE}").replace("le=\"0.00025\",", "");
    assert_eq!(value(&kit, "request_duration_seconds_sum", &bucket), Some(0.0));
}

#[test]
fn the_zone_is_the_longest_key_that_holds_the_name() {
    let corefile = "example.org sub.example.org {\nprometheus\nanswering\n}\n";
    let kit = Recipe::new([PLUGIN, ANSWERING], corefile).build().unwrap();
    kit.ask_for("a.example.org A");
    kit.ask_for("A.SUB.example.org A");
    kit.ask_for("sub.example.org A");
    kit.ask_for("a.elsewhere.test A");
    let count = |zone: &str| {
        value(&kit, "request_duration_seconds_count", &format!("server=\"dns://:53\",view=\"\",zone=\"{zone}\""))
    };
    assert_eq!(count("example.org."), Some(1.0));
    assert_eq!(count("sub.example.org."), Some(2.0));
    assert_eq!(count("dropped"), Some(1.0));
}

#[test]
fn the_plugins_of_a_block_are_shown_for_its_first_key_until_a_reload_drops_them() {
    let corefile = "example.org example.net {\nprometheus\npassing\nanswering\n}\n";
    let first = Recipe::new([PLUGIN, PASSING, ANSWERING], corefile).build().unwrap();
    let shown = |kit: &Kit, name: &str, zone: &str| {
        kit.metric(&format!("coredns_plugin_enabled{{name=\"{name}\",server=\"dns://:53\",view=\"\",zone=\"{zone}\"}}"))
    };
    for name in ["prometheus", "passing", "answering"] {
        assert_eq!(shown(&first, name, "example.org."), Some(1.0), "{name}");
        assert_eq!(shown(&first, name, "example.net."), None, "{name}");
    }
    let mut recipe = Recipe::new([PLUGIN, PASSING, ANSWERING], "example.org {\nprometheus\nanswering\n}\n");
    recipe.metrics = first.metrics.clone();
    let second = recipe.build().unwrap();
    assert_eq!(shown(&second, "passing", "example.org."), None);
    assert_eq!(shown(&second, "answering", "example.org."), Some(1.0));
}

#[test]
fn values_survive_a_reload() {
    let first = kit();
    first.ask_for("a.example.org A");
    let mut recipe = Recipe::new([PLUGIN, PASSING, ANSWERING], ". {\nprometheus\nanswering\n}\n");
    recipe.metrics = first.metrics.clone();
    let second = recipe.build().unwrap();
    second.ask_for("a.example.org A");
    assert_eq!(value(&second, "request_duration_seconds_count", PLACE), Some(2.0));
}

#[test]
fn the_page_shows_the_build_and_the_process() {
    let kit = kit();
    let page = kit.http("/metrics");
    assert_eq!((page.status, page.content_type), (200, Some(super::TEXT_FORMAT)));
    let text = String::from_utf8(page.body).unwrap();
    let build = format!("coredns_build_info{{goversion=\"{}\",revision=\"\",version=\"0.1.0\"}} 1\n", super::RUST);
    assert!(text.contains(&build), "{text}");
    for name in [
        "cpu_seconds_total",
        "open_fds",
        "max_fds",
        "resident_memory_bytes",
        "virtual_memory_bytes",
        "start_time_seconds",
    ] {
        let value = kit.metric(&format!("process_{name}"));
        assert!(value.is_some_and(|value| value >= 0.0), "{name}: {value:?}");
    }
    let start = kit.metric("process_start_time_seconds").unwrap();
    assert!(start > Duration::from_secs(365 * 86_400 * 50).as_secs_f64(), "{start}");
    assert!(kit.metric("process_resident_memory_bytes").unwrap() > 100_000.0);
}

#[test]
fn the_page_is_at_the_address_that_the_corefile_names() {
    let addr = |body: &str| Kit::of([PLUGIN, ANSWERING], body).instance().sites[0].addr.clone();
    assert_eq!(addr("prometheus\nanswering"), "localhost:9153");
    assert_eq!(addr("prometheus :9253\nanswering"), ":9253");
}

#[test]
fn a_port_that_is_no_number_is_told_by_the_check() {
    let kit = Recipe::new([PLUGIN], ". {\nprometheus localhost:foo\n}").build().ok().unwrap();
    let warning = "plugin/prometheus: there will be no page: listen tcp: address foo: invalid port";
    assert_eq!(kit.warnings, [warning]);
}

#[test]
fn runtime_metrics_are_told_to_be_none() {
    let kit = Kit::of([PLUGIN, ANSWERING], "prometheus {\n runtime_metrics\n}\nanswering");
    assert!(kit.warnings[0].contains("runtime_metrics has no effect"), "{:?}", kit.warnings);
}

fn with_tls(web: Option<&str>) -> Result<Kit, Vec<(Diagnostic, String)>> {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut recipe = Recipe::new([PLUGIN, ANSWERING], ". {\nprometheus {\n tls conf/web.yml\n}\nanswering\n}\n")
        .file("conf/cert.pem", &pair.cert.pem())
        .file("conf/key.pem", &pair.signing_key.serialize_pem());
    if let Some(text) = web {
        recipe = recipe.file("conf/web.yml", text);
    }
    recipe.build()
}

#[test]
fn the_page_has_the_tls_settings_of_the_web_configuration_file() {
    let kit = with_tls(Some("tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n")).ok().unwrap();
    let tls = kit.instance().sites[0].tls.as_ref().unwrap();
    assert!(tls.chain.starts_with(b"-----BEGIN CERTIFICATE"));
    assert!(kit.warnings.is_empty() && kit.log.lines().is_empty());
}

#[test]
fn without_the_web_configuration_file_there_is_an_error_line_and_no_page() {
    let kit = with_tls(None).ok().unwrap();
    assert!(kit.instance().sites.is_empty());
    assert_eq!(kit.log.lines(), ["[ERROR] TLS config file does not exist: conf/web.yml"]);
}

#[test]
fn a_web_configuration_file_that_cannot_be_used_is_an_error_that_shows_the_line_of_the_corefile() {
    let errors = with_tls(Some("tls_server_config:\n  cert_file: cert.pem\n  key: x\n  keys: y\n")).err().unwrap();
    let (diagnostic, shown) = &errors[0];
    let told = "plugin/prometheus: Failed to start HTTPS metrics server: conf/web.yml:4: field keys not found in tls_server_config";
    assert_eq!(diagnostic.one_line(), told);
    assert!(shown.contains("tls conf/web.yml"), "{shown}");
}

#[test]
fn a_web_configuration_file_without_tls_gives_a_plain_page_and_a_warning() {
    let kit = with_tls(Some("# nothing yet\n")).ok().unwrap();
    assert_eq!(kit.instance().sites[0].tls, None);
    assert!(kit.warnings[0].contains("served without TLS"), "{:?}", kit.warnings);
}

#[test]
fn mistakes_are_told() {
    let wrong = |body: &str, line: u32, message: &str| {
        check_config([PLUGIN], body, &format!("plugin/prometheus: Corefile:{line} - Error during parsing: {message}"));
    };
    check_config([PLUGIN], "prometheus localhost", "plugin/prometheus: address localhost: missing port in address");
    check_config(
        [PLUGIN],
        "prometheus\nprometheus",
        "plugin/prometheus: this plugin can only be used once per Server Block",
    );
    wrong("prometheus :1 :2", 2, "Wrong argument count or unexpected line ending after ':2'");
    wrong("prometheus {\n runtime_metrics all\n}", 3, "Wrong argument count or unexpected line ending after 'all'");
    wrong("prometheus {\n tls\n}", 3, "Wrong argument count or unexpected line ending after 'tls'");
    wrong("prometheus {\n tls a b\n}", 3, "Wrong argument count or unexpected line ending after 'b'");
    wrong("prometheus {\n tls a\n tls b\n}", 4, "tls block already specified");
    wrong("prometheus {\n histograms off\n}", 3, "unknown option: histograms");
}

/// Holds `held.example.org.`, as a plugin does that finds its zones when it runs.
const HOLDING: PluginDef = PluginDef::new("holding", |cx| {
    cx.offer::<dyn CountedZones>(std::sync::Arc::new(Holding));
    cx.link(Answering);
    Ok(())
});

struct Holding;

impl CountedZones for Holding {
    fn labels_of_longest(&self, question: &Question) -> Option<usize> {
        let text = question.lower().to_string();
        (text == "held.example.org" || text.ends_with(".held.example.org")).then_some(3)
    }
}

#[test]
fn a_zone_that_a_plugin_holds_counts_for_itself_unless_the_blocks_is_longer() {
    let corefile = "example.org a.held.example.org {\n prometheus\n holding\n}\n";
    let kit = Recipe::new([PLUGIN, HOLDING], corefile).build().ok().unwrap();
    for name in ["a.example.org", "B.Held.example.org", "held.example.org", "x.a.held.example.org"] {
        kit.ask_for(&format!("{name} A"));
    }
    let of = |zone: &str| {
        let labels = format!("server=\"dns://:53\",view=\"\",zone=\"{zone}\"");
        value(&kit, "request_duration_seconds_count", &labels)
    };
    assert_eq!(of("held.example.org."), Some(2.0));
    assert_eq!(of("example.org."), Some(1.0));
    assert_eq!(of("a.held.example.org."), Some(1.0));
}
