#![allow(clippy::unwrap_used, clippy::expect_used)]

use catena_core::{Answer, name::owned};
use catena_core::{Class, Fixed, PluginDef, Query, Rcode, Reply, Rtype, Section, Setup, flags};
use catena_testkit::{Ask, Kit, check, check_config};

use super::PLUGIN;

/// A small world: `both`, `v6`, `alias` (a CNAME to both), `svc` with hints, `gone`; the zone is example.org. A metric would be too much:
/// the TXT record of `asked` tells which types were asked of it so far.
const WORLD: PluginDef = PluginDef::new("world", |cx: &mut Setup<'_>| {
    cx.link(Fixed(world));
    Ok(())
});

fn world(q: &mut Query) -> Reply {
    let name = q.lower().to_string();
    let qtype = q.qtype();
    let owner = q.name().as_slice().to_vec();
    let mut answer = Answer::to(q).authoritative();
    answer.set(flags::AD, true);
    let soa_rdata = {
        let mut rdata = owned("ns.example.org").unwrap().as_slice().to_vec();
        rdata.extend_from_slice(owned("root.example.org").unwrap().as_slice());
        rdata.extend([1_u32, 2, 3, 4, 30].into_iter().flat_map(u32::to_be_bytes));
        rdata
    };
    let zone = owned("example.org").unwrap();
    let mut add = |owner: &[u8], rtype, rdata: &[u8]| {
        answer.push_wire(Section::Answer, owner, rtype, Class::IN, 300, rdata);
    };
    let both = owned("both.example.org").unwrap();
    match (name.as_str(), qtype) {
        ("both.example.org", Rtype::A) => add(&owner, Rtype::A, &[192, 0, 2, 1]),
        ("alias.example.org", Rtype::A) => {
            add(&owner, Rtype::CNAME, both.as_slice());
            add(both.as_slice(), Rtype::A, &[192, 0, 2, 1]);
        }
        ("both.example.org" | "v6.example.org", Rtype::AAAA) => add(&owner, Rtype::AAAA, &[0x20; 16]),
        ("both.example.org", Rtype::TXT) => add(&owner, Rtype::TXT, b"\x01x"),
        ("svc.example.org", Rtype::HTTPS) => {
            // Priority 1, target ".", mandatory=ipv4hint,ipv6hint, alpn=h2, ipv4hint, ipv6hint.
            let mut rdata = vec![0, 1, 0, 0, 0, 0, 4, 0, 4, 0, 6, 0, 1, 0, 3, 2, b'h', b'2'];
            rdata.extend([0, 4, 0, 4, 192, 0, 2, 1, 0, 6, 0, 16]);
            rdata.extend([0x20; 16]);
            add(&owner, Rtype::HTTPS, &rdata);
            // What looks like a signature over it, and one over something else.
            for covered in [65, 16] {
                add(&owner, Rtype::RRSIG, &[&[0, covered][..], &[0; 17], b"signature"].concat());
            }
        }
        ("gone.example.org", _) => answer.rcode = Rcode::NXDOMAIN,
        ("broken.example.org", _) => return Reply::status(Rcode::SERVFAIL),
        ("example.org", Rtype::SOA) => add(zone.as_slice(), Rtype::SOA, &soa_rdata),
        _ => answer.push_wire(Section::Authority, zone.as_slice(), Rtype::SOA, Class::IN, 300, &soa_rdata),
    }
    answer.into()
}

const SOA: &str = "~ example.org. 30 IN SOA ns.example.org. root.example.org. 1 2 3 4 30";

#[test]
fn a_filtered_type_is_no_data_with_the_zones_soa() {
    let script = format!("> both.example.org AAAA\n < NOERROR qr aa rd\n {SOA}");
    check([PLUGIN, WORLD], "filter AAAA\n world", &script);
}

#[test]
fn aliases_stay_and_the_soa_is_that_of_the_last_name() {
    let script = format!(
        "> alias.example.org AAAA\n < NOERROR qr aa rd\n = alias.example.org. 300 IN CNAME both.example.org.\n {SOA}"
    );
    check([PLUGIN, WORLD], "filter AAAA\n world", &script);
}

#[test]
fn a_name_that_has_only_the_filtered_type_exists() {
    let script = "> v6.example.org AAAA\n < NOERROR qr aa rd ad\n ~ example.org. 300 IN SOA ns.example.org. root.example.org. 1 2 3 4 30";
    check([PLUGIN, WORLD], "filter aaaa\n world", &script.replace(" ad", ""));
}

#[test]
fn a_name_that_does_not_exist_still_does_not_and_failures_stay_failures() {
    check([PLUGIN, WORLD], "filter AAAA\n world", "> gone.example.org AAAA\n < NXDOMAIN qr aa rd ad");
    check([PLUGIN, WORLD], "filter AAAA\n world", "> broken.example.org AAAA\n < SERVFAIL qr rd");
}

#[test]
fn the_filtered_type_is_not_asked_for_further_down() {
    const REFUSES_AAAA: PluginDef = PluginDef::new("world", |cx: &mut Setup<'_>| {
        cx.link(Fixed(|q: &mut Query| if q.qtype() == Rtype::AAAA { Reply::status(Rcode::REFUSED) } else { world(q) }));
        Ok(())
    });
    assert_eq!(
        Kit::of([PLUGIN, REFUSES_AAAA], "filter AAAA\n world").ask_for("both.example.org AAAA").rcode,
        "NOERROR"
    );
}

#[test]
fn other_types_pass() {
    let script = "> both.example.org A\n < NOERROR qr aa rd ad\n = both.example.org. 300 IN A 192.0.2.1";
    check([PLUGIN, WORLD], "filter AAAA TXT\n world", script);
}

#[test]
fn hints_of_the_type_leave_https_records_with_what_proved_them() {
    let kit = Kit::of([PLUGIN, WORLD], "filter AAAA\n world");
    let seen = kit.ask_for("svc.example.org HTTPS");
    assert_eq!(seen.answer.len(), 2, "the record, and the signature over another type: {:?}", seen.answer);
    assert!(seen.answer[0].contains("ipv4hint=192.0.2.1") && seen.answer[0].contains("mandatory=ipv4hint"));
    assert!(!seen.answer[0].contains("ipv6hint"), "{}", seen.answer[0]);
    assert!(!seen.flags.contains(&"ad"));
    assert_eq!(kit.metric("coredns_filter_hints_removed_total{server=\"dns://:53\",view=\"\"}"), Some(1.0));
    let seen = Kit::of([PLUGIN, WORLD], "filter A AAAA\n world").ask_for("svc.example.org HTTPS");
    assert!(seen.answer[0].ends_with("1 . alpn=h2") || seen.answer[0].ends_with("alpn=\"h2\""), "{}", seen.answer[0]);
}

#[test]
fn only_names_in_the_zones_and_not_excepted_are_filtered() {
    let body = "filter AAAA {\n zones example.org\n except v6.example.org\n }\n world";
    let kit = Kit::of([PLUGIN, WORLD], body);
    assert_eq!(kit.ask_for("both.example.org AAAA").answer.len(), 0);
    assert_eq!(kit.ask_for("v6.example.org AAAA").answer.len(), 1);
    let kit = Kit::of([PLUGIN, WORLD], "filter AAAA {\n zones example.net\n }\n world");
    assert_eq!(kit.ask_for("both.example.org AAAA").answer.len(), 1);
}

#[test]
fn only_clients_of_the_networks_are_filtered() {
    let kit = Kit::of([PLUGIN, WORLD], "filter AAAA {\n net 10.0.0.0/8 2001:db8::1\n }\n world");
    let count = |client: &str| kit.ask(&Ask::new("both.example.org AAAA").from(client)).answer.len();
    assert_eq!((count("10.1.2.3:9"), count("192.0.2.9:9")), (0, 1));
    assert_eq!((count("[2001:db8::1]:9"), count("[2001:db8::2]:9")), (0, 1));
}

#[test]
fn one_of_two_leaves_names_that_have_nothing_else() {
    let kit = Kit::of([PLUGIN, WORLD], "filter AAAA {\n one_of_two\n }\n world");
    assert_eq!(kit.ask_for("both.example.org AAAA").answer.len(), 0);
    assert_eq!(kit.ask_for("v6.example.org AAAA").answer.len(), 1);
}

#[test]
fn what_is_filtered_is_counted_by_type() {
    let kit = Kit::of([PLUGIN, WORLD], "filter AAAA TXT\n world");
    kit.ask_for("both.example.org AAAA");
    kit.ask_for("both.example.org TXT");
    kit.ask_for("v6.example.org AAAA");
    let of = |rtype: &str| {
        kit.metric(&format!("coredns_filter_answers_total{{server=\"dns://:53\",type=\"{rtype}\",view=\"\"}}"))
    };
    assert_eq!((of("AAAA"), of("TXT")), (Some(2.0), Some(1.0)));
}

#[test]
fn what_cannot_be_filtered_is_an_error() {
    let at = "plugin/filter: Corefile:2 - Error during parsing:";
    check_config([PLUGIN], "filter", &format!("{at} Wrong argument count or unexpected line ending after 'filter'"));
    for word in ["ANY", "SOA", "AXFR", "OPT", "CNAME", "nonsense"] {
        check_config([PLUGIN], &format!("filter {word}"), &format!("{at} cannot filter the type \"{word}\""));
    }
    let at = "plugin/filter: Corefile:3 - Error during parsing:";
    check_config([PLUGIN], "filter A {\n nets 1.2.3.4\n}", &format!("{at} unknown property 'nets'"));
    check_config(
        [PLUGIN],
        "filter A {\n net\n}",
        &format!("{at} Wrong argument count or unexpected line ending after 'net'"),
    );
    check_config(
        [PLUGIN],
        "filter A {\n net 1.2.3\n}",
        &format!("{at} invalid network \"1.2.3\": invalid CIDR address: 1.2.3"),
    );
    check_config(
        [PLUGIN],
        "filter TXT {\n one_of_two\n}",
        "plugin/filter: Corefile:4 - Error during parsing: one_of_two is about A and AAAA only",
    );
}

#[test]
fn the_sixty_fifth_filter_is_an_error() {
    let many = "filter AAAA\n".repeat(64);
    assert!(!Kit::of([PLUGIN, WORLD], &format!("{many} world")).instance().blocks().is_empty());
    check_config(
        [PLUGIN],
        &format!("{many}filter AAAA"),
        "plugin/filter: Corefile:66 - Error during parsing: more than 64 filters in one server block",
    );
}
