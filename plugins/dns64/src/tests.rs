#![allow(clippy::unwrap_used, clippy::expect_used)]

use catena_core::Fixed;
use catena_testkit::{Ask, Kit, check, check_config};

use super::*;

const NAME: &[u8] = b"\x01x\x07example\x03org\0";
const ADDRESS: &[u8] = &[192, 0, 2, 33];
/// A client with IPv6, as scripts write it.
const SIX: &str = "from [2001:db8::1]:9";

/// Stands for an upstream; the first label says what there is.
const UPSTREAM: PluginDef = PluginDef::new("upstream", |cx: &mut Setup<'_>| {
    cx.link(Fixed(|q: &mut Query| {
        let (first, is_v4) = (q.lower().first().as_slice().to_vec(), q.qtype() == Rtype::A);
        let owner = q.owned_lower();
        let owner = owner.as_slice();
        let soa = [&[0, 0][..], &[0; 20]].concat();
        let mut answer = Answer::to(q).authoritative();
        answer.flags |= flags::RA | flags::AD;
        let mut push = |section, owner: &[u8], rtype, ttl, rdata: &[u8]| {
            answer.push_wire(section, owner, rtype, Class::IN, ttl, rdata);
        };
        match &first[..] {
            b"soa" if is_v4 => push(Section::Answer, owner, Rtype::A, 300, ADDRESS),
            b"soa" => push(Section::Authority, owner, Rtype::SOA, 77, &soa),
            b"long" if is_v4 => push(Section::Answer, owner, Rtype::A, 3600, ADDRESS),
            b"alias" if is_v4 => {
                push(Section::Answer, owner, Rtype::CNAME, 9000, NAME);
                push(Section::Answer, NAME, Rtype::A, 60, ADDRESS);
                push(Section::Authority, NAME, Rtype::NS, 5, NAME);
                push(Section::Additional, NAME, Rtype::A, 6, ADDRESS);
            }
            b"both" if is_v4 => push(Section::Answer, owner, Rtype::A, 60, ADDRESS),
            b"both" => push(Section::Answer, owner, Rtype::AAAA, 60, &[1; 16]),
            b"cut" if is_v4 => answer.flags |= flags::TC,
            b"denied" => answer.rcode = Rcode::NXDOMAIN,
            b"failing" if is_v4 => push(Section::Answer, owner, Rtype::A, 60, ADDRESS),
            b"failing" => answer.rcode = Rcode::SERVFAIL,
            b"unknown" if is_v4 => answer.rcode = Rcode::NXDOMAIN,
            b"unwritten" if is_v4 => return Reply::fail(Error::upstream("gone")),
            b"silent" if is_v4 => return Reply::silence(),
            b"bare" => return Reply::fail(Error::upstream("gone")),
            _ => {}
        }
        answer.into()
    }));
    Ok(())
});

fn with(dns64: &str, script: &str) {
    check([PLUGIN, UPSTREAM], &format!("{dns64}\nupstream"), &script.replace("SIX", SIX));
}

#[test]
fn a_name_with_ipv4_addresses_only_gets_ipv6_addresses() {
    with(
        "dns64",
        "
        > LONG.example.org AAAA SIX
        < NOERROR qr rd
        = long.example.org. 600 IN AAAA 64:ff9b::c000:221",
    );
}

#[test]
fn the_time_to_live_is_that_of_the_soa_record_if_it_is_shorter() {
    with("dns64", "> soa.example.org AAAA SIX\n< NOERROR qr rd\n= soa.example.org. 77 IN AAAA 64:ff9b::c000:221");
}

#[test]
fn records_of_other_types_and_sections_stay_as_they_are() {
    with(
        "dns64",
        "
        > alias.example.org AAAA SIX
        < NOERROR qr rd
        = alias.example.org. 9000 IN CNAME x.example.org.
        = x.example.org. 60 IN AAAA 64:ff9b::c000:221
        ~ x.example.org. 5 IN NS x.example.org.
        + x.example.org. 6 IN A 192.0.2.33",
    );
}

#[test]
fn ipv6_addresses_of_the_name_are_not_touched() {
    with(
        "dns64",
        "> both.example.org AAAA SIX\n< NOERROR qr aa rd ra ad\n= both.example.org. 60 IN AAAA 101:101:101:101:101:101:101:101",
    );
}

#[test]
fn with_translate_all_they_are_replaced() {
    with(
        "dns64 {\n translate_all\n}",
        "> both.example.org AAAA SIX\n< NOERROR qr rd\n= both.example.org. 60 IN AAAA 64:ff9b::c000:221",
    );
}

#[test]
fn a_name_that_does_not_exist_stays_so() {
    with("dns64 {\n translate_all\n}", "> denied.example.org AAAA SIX\n< NXDOMAIN qr aa rd ra ad");
}

#[test]
fn a_failure_that_was_written_counts_as_no_address_and_a_bare_one_does_not() {
    with(
        "dns64",
        "
        > failing.example.org AAAA SIX
        < NOERROR qr rd
        = failing.example.org. 60 IN AAAA 64:ff9b::c000:221
        > bare.example.org AAAA SIX
        < SERVFAIL qr rd",
    );
}

#[test]
fn the_code_of_the_look_up_is_not_taken_over_and_tc_is() {
    with(
        "dns64",
        "
        > unknown.example.org AAAA SIX
        < NOERROR qr rd
        > unwritten.example.org AAAA SIX
        < NOERROR qr rd
        > cut.example.org AAAA SIX
        < NOERROR qr tc rd",
    );
}

#[test]
fn a_look_up_that_nobody_answers_fails() {
    with("dns64", "> silent.example.org AAAA SIX\n< SERVFAIL qr rd");
}

#[test]
fn clients_with_ipv4_get_what_there_is_unless_allowed() {
    let script = |answer| {
        format!("> long.example.org AAAA\n{answer}\n> long.example.org AAAA from [::ffff:192.0.2.1]:9\n{answer}")
    };
    with("dns64", &script("< NOERROR qr aa rd ra ad"));
    with("dns64 {\n allow_ipv4\n}", &script("< NOERROR qr rd\n= long.example.org. 600 IN AAAA 64:ff9b::c000:221"));
}

#[test]
fn other_types_pass() {
    with("dns64", "> long.example.org A SIX\n< NOERROR qr aa rd ra ad\n= long.example.org. 3600 IN A 192.0.2.33");
}

#[test]
fn other_classes_pass() {
    let chaos = PluginDef::new("chaos", |cx: &mut Setup<'_>| {
        cx.link(Fixed(|q: &mut Query| Answer::to(q).into()));
        Ok(())
    });
    let kit = Kit::of([PLUGIN, chaos], "dns64\nchaos");
    assert_eq!(kit.ask(&Ask::new("example.org AAAA CH").from("[2001:db8::1]:9")).by, "chaos");
}

#[test]
fn attempts_are_counted_even_without_an_address() {
    with(
        "dns64",
        r#"
        > long.example.org AAAA SIX
        < NOERROR qr rd
        = long.example.org. 600 IN AAAA 64:ff9b::c000:221
        > unknown.example.org AAAA SIX
        < NOERROR qr rd
        > both.example.org AAAA SIX
        < NOERROR qr aa rd ra ad
        = both.example.org. 60 IN AAAA 101:101:101:101:101:101:101:101
        metric coredns_dns64_requests_translated_total{server="dns://:53"} 2"#,
    );
}

#[test]
fn the_prefix_can_be_given_on_the_line_with_options_in_the_block() {
    with(
        "dns64 2001:db8::/96 {\n allow_ipv4\n}",
        "> soa.example.org AAAA\n< NOERROR qr rd\n= soa.example.org. 77 IN AAAA 2001:db8::c000:221",
    );
}

#[test]
fn the_last_prefix_counts_and_its_host_bits_do_not() {
    with(
        "dns64 2001:db8:1::/96 {\n prefix 2001:db8:2::7/64\n}",
        "> soa.example.org AAAA SIX\n< NOERROR qr rd\n= soa.example.org. 77 IN AAAA 2001:db8:2:0:c0:2:2100:0",
    );
}

#[test]
fn wrong_words_are_told() {
    for (body, expected) in [
        ("dns64 a b", "Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 'b'"),
        ("dns64 nonsense", "invalid CIDR address: nonsense"),
        ("dns64 64:ff9b::", "invalid CIDR address: 64:ff9b::"),
        ("dns64 10.1.0.0/8", "Corefile:2 - Error during parsing: invalid netmask 32 IPv6 address: \"10.0.0.0/8\""),
        ("dns64 64:ff9b::/52", "Corefile:2 - Error during parsing: invalid prefix length \"64:ff9b::/52\""),
        ("dns64 64:ff9b::/104", "Corefile:2 - Error during parsing: invalid prefix length \"64:ff9b::/104\""),
        (
            "dns64 {\nprefix\n}",
            "Corefile:3 - Error during parsing: Wrong argument count or unexpected line ending after 'prefix'",
        ),
        ("dns64 {\nprefixes\n}", "Corefile:3 - Error during parsing: unknown property 'prefixes'"),
        (
            "dns64 64:ff9b::/96 {\nprefix 64:ff9b::/24\n}",
            "Corefile:3 - Error during parsing: invalid prefix length \"64:ff00::/24\"",
        ),
    ] {
        check_config([PLUGIN], body, &format!("plugin/dns64: {expected}"));
    }
}
