//! What a broken directive is told, and what a good one may say.

use catena_testkit::{Kit, Recipe, check_config};

use crate::PLUGIN;

fn told(body: &str, expected: &str) {
    check_config([PLUGIN], body, &format!("plugin/forward: {expected}"));
}

fn told_of(property: &str, expected: &str) {
    told(&format!("forward . 127.0.0.1 {{\n{property}\n}}"), expected);
}

#[test]
fn every_property_of_coredns_is_known() {
    let kit = Kit::of(
        [PLUGIN],
        "forward example.org 127.0.0.1:1053 dns://192.0.2.1 tls://127.0.0.1 [::1]:54 {
        except a.example.org 10.0.0.0/9
        except b.example.org
        force_tcp
        prefer_udp
        expire 20s
        max_age 1m
        max_idle_conns 10
        max_fails 3
        max_connect_attempts 0
        read_timeout 1500ms
        tls
        tls_servername dns.example.net
        policy sequential
        health_check 5s no_rec domain example.org
        max_concurrent 1000
        next NXDOMAIN servfail
        next notimpl
        next_on_nodata
        failover SERVFAIL
        failfast_all_unhealthy_upstreams
        resolver 127.0.0.1 127.0.0.1:53 [::1]:53
        source_address 127.0.0.1
    }",
    );
    assert_eq!(kit.log.lines(), [""; 0]);
}

#[test]
fn durations_and_numbers_are_told_as_in_coredns() {
    told_of("expire -1s", "expire can't be negative: -1s");
    told_of("expire 1", "time: missing unit in duration \"1\"");
    told_of("max_age -1m", "max_age can't be negative: -1m0s");
    told_of("max_age 9s", "max_age (9s) must not be less than expire (10s)");
    told_of("max_idle_conns -1", "max_idle_conns can't be negative: -1");
    told_of("max_idle_conns x", "strconv.Atoi: parsing \"x\": invalid syntax");
    told_of("max_fails -1", "strconv.ParseUint: parsing \"-1\": invalid syntax");
    told_of("max_fails 4294967296", "strconv.ParseUint: parsing \"4294967296\": value out of range");
    told_of("max_connect_attempts x", "strconv.ParseUint: parsing \"x\": invalid syntax");
    told_of("max_concurrent -2", "max_concurrent can't be negative: -2");
    told_of("read_timeout 0s", "read_timeout must be positive: 0s");
    told_of("health_check -1s", "health_check can't be negative: -1000000000");
}

#[test]
fn words_that_are_not_among_the_known_ones_are_told() {
    told_of("policy best", "Corefile:3 - Error during parsing: unknown policy 'best'");
    told_of("health_check 1s rec", "health_check: unknown option rec");
    told_of("health_check 1s domain a..b", "health_check: invalid domain name a..b");
    told_of("next NOPE", "NOPE is not a valid rcode");
    told_of("failover noerror", "NoError cannot be used in failover");
    told_of("doh_method PUT", "doh_method must be either POST or GET");
    told_of("resolver dns.example.org", "resolver must be an IP address or IP:port: \"dns.example.org\"");
    told_of("source_address eth0", "Corefile:3 - Error during parsing: invalid IP address: eth0");
    told_of("max_fail 1", "Corefile:3 - Error during parsing: unknown property 'max_fail'");
    told_of("max_fails 1 2", "Corefile:3 - Error during parsing: unknown property '2'");
}

#[test]
fn missing_and_surplus_arguments_are_told() {
    let wrong = |word: &str, line: u32| {
        format!("Corefile:{line} - Error during parsing: Wrong argument count or unexpected line ending after '{word}'")
    };
    told("forward", &wrong("forward", 2));
    told("forward .", &wrong(".", 2));
    for property in ["except", "max_fails", "policy", "tls_servername", "next", "failover", "resolver", "health_check"]
    {
        told_of(property, &wrong(property, 3));
    }
    told_of("force_tcp yes", &wrong("yes", 3));
    told_of("next_on_nodata yes", &wrong("yes", 3));
    told_of("failfast_all_unhealthy_upstreams yes", &wrong("yes", 3));
    told_of("tls a b c d", &wrong("d", 3));
}

#[test]
fn destinations_that_cannot_be_reached_are_told() {
    told("forward a..b 127.0.0.1", "unable to normalize 'a..b'");
    told("forward . tls://", "invalid address: \"tls://\"");
    told("forward . 127.0.0.1:65536", "invalid address: \"127.0.0.1:65536\"");
    told(
        "forward . quic://127.0.0.1",
        "'quic' is not supported as a destination protocol in forward: quic://127.0.0.1:853",
    );
    told("forward . grpc://a.example.org", "not an IP address, file, or valid domain: \"grpc://a.example.org\"");
    told("forward . a..b", "not an IP address, file, or valid domain: \"a..b\"");
    told("forward . /no/such/resolv.conf", "not an IP address, file, or valid domain: \"/no/such/resolv.conf\"");
    told(
        "forward . https://127.0.0.1/dns",
        "paths are not allowed in HTTPS upstream addresses (the /dns-query path is used by default): https://127.0.0.1/dns",
    );
    told(
        "forward . tls://127.0.0.1%a.example.org {\n tls_servername b.example.org\n}",
        "both forward ('b.example.org') and proxy level ('a.example.org') TLS servernames are set for upstream proxy \
         'tls://127.0.0.1:853'",
    );
}

#[test]
fn fifteen_destinations_are_allowed_and_sixteen_are_not() {
    let tos = |count: usize| (1..=count).map(|n| format!(" 192.0.2.{n}")).collect::<String>();
    let kit = Kit::of([PLUGIN], &format!("forward .{}", tos(15)));
    assert_eq!(kit.log.lines(), [""; 0]);
    told(&format!("forward .{}", tos(16)), "more than 15 TOs configured: 16");
}

fn with_file(contents: &str, body: &str) -> Result<Kit, String> {
    let recipe = Recipe::new([PLUGIN], &format!(". {{\n{body}\n}}\n")).file("up.conf", contents);
    recipe.build().map_err(|errors| errors[0].0.one_line())
}

#[test]
fn a_file_gives_its_nameservers_with_port_53() {
    let text = "# comment\nnameserver 127.0.0.77\noptions ndots:5\nnameserver ::1\nnameserver 127.0.0.77\n";
    let body = "forward . up.conf {\n policy sequential\n max_fails 0\n max_connect_attempts 1\n read_timeout 20ms\n}";
    let kit = with_file(text, body).unwrap();
    let error = kit.ask_for("a.example.org A").error.unwrap();
    assert!(error.contains("->127.0.0.77:53: "), "{error}");
}

#[test]
fn a_file_without_nameservers_gives_nothing() {
    assert!(with_file("search example.org", "forward . up.conf 127.0.0.1").is_ok());
    let alone = with_file("search example.org", "forward . up.conf").err();
    assert_eq!(alone.as_deref(), Some("plugin/forward: no valid upstream addresses found"));
}

#[test]
fn a_nameserver_that_is_no_address_fails_each_query_and_is_warned_about() {
    let kit = with_file("nameserver 127.0.0.1:5353", "forward . up.conf {\n max_fails 0\n}").unwrap();
    let seen = kit.ask_for("a.example.org A");
    assert_eq!(seen.rcode, "SERVFAIL");
    assert_eq!(seen.error.as_deref(), Some("dial udp: lookup [127.0.0.1:5353]:53: no such host"));
    assert!(kit.log.lines()[0].starts_with("[WARNING] plugin/forward: up.conf names a nameserver"));
}

#[test]
fn a_prefix_of_several_zones_is_warned_about_and_its_first_zone_used() {
    let kit = Kit::of([PLUGIN], "forward 10.0.0.0/9 192.0.2.1");
    assert_eq!(
        kit.log.lines(),
        ["[WARNING] plugin/forward: Unsupported CIDR notation: '10.0.0.0/9' expands to multiple zones. Using only \
          '0.10.in-addr.arpa.'."]
    );
}
