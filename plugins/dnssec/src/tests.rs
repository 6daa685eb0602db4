#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use catena_core::prelude::*;
use catena_core::wire::read_reply;
use catena_core::{Fixed, SECTIONS};
use catena_testkit::{Ask, Kit, Recipe, Seen};
use catena_zone::dnssec::{CanonicalSet, PublicKey, Signature, verify};

use crate::PLUGIN;

const KSK: [&str; 2] = [
    include_str!("../../../tests/fixtures/keys/Kexample.org.+013+56657.key"),
    include_str!("../../../tests/fixtures/keys/Kexample.org.+013+56657.private"),
];
const ZSK: [&str; 2] = [
    include_str!("../../../tests/fixtures/keys/Kexample.org.+013+03750.key"),
    include_str!("../../../tests/fixtures/keys/Kexample.org.+013+03750.private"),
];
const RSA: [&str; 2] = [
    include_str!("../../../tests/fixtures/keys/Kexample.org.+008+21679.key"),
    include_str!("../../../tests/fixtures/keys/Kexample.org.+008+21679.private"),
];

/// Answers from lines: the sections behind `=`, `~` and `+` as in scripts, for the name and type before.
const DATA: PluginDef = PluginDef::new("data", |cx: &mut Setup<'_>| {
    cx.link(Fixed(|q: &mut Query| {
        let name = q.lower().to_string();
        let soa = "example.org. 300 IN SOA ns.example.org. admin.example.org. 1 2 3 4 5";
        let (rcode, records): (_, &[(Section, &str)]) = match (name.as_str(), q.qtype()) {
            ("a.example.org" | "b.example.org", Rtype::A) => (Rcode::NOERROR, &[
                (Section::Answer, "a.example.org. 60 IN A 192.0.2.1"),
                (Section::Answer, "A.example.org. 60 IN A 192.0.2.2"),
                (Section::Answer, "out.example.com. 60 IN A 192.0.2.3"),
                (Section::Authority, "example.org. 60 IN NS ns.example.org."),
                (Section::Additional, "ns.example.org. 60 IN A 192.0.2.53"),
            ]),
            ("x.uns.example.org", _) => (Rcode::NOERROR, &[
                (Section::Authority, "uns.example.org. 60 IN NS ns.uns.example.org."),
                (Section::Additional, "ns.uns.example.org. 60 IN A 192.0.2.54"),
            ]),
            ("x.sec.example.org", _) => (Rcode::NOERROR, &[
                (Section::Authority, "sec.example.org. 60 IN NS ns.example.net."),
                (Section::Authority, "sec.example.org. 60 IN DS 1 13 2 0102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F20"),
            ]),
            ("alias.example.org", _) => (
                Rcode::NXDOMAIN,
                &[
                    (Section::Answer, "alias.example.org. 60 IN CNAME Other.example.org."),
                    (Section::Answer, "other.example.org. 60 IN CNAME missing.example.org."),
                    (Section::Authority, soa),
                ],
            ),
            ("circle.example.org", _) => {
                (Rcode::NOERROR, &[(Section::Answer, "circle.example.org. 60 IN CNAME circle.example.org.")])
            }
            ("empty.example.org", _) | ("sub.example.org", Rtype::SOA) => (Rcode::NOERROR, &[]),
            ("example.org", Rtype::SOA) => (Rcode::NOERROR, &[(Section::Answer, soa)]),
            ("bare.example.org", _) => (Rcode::NXDOMAIN, &[]),
            ("foreign.example.org", _) => (Rcode::NXDOMAIN, &[(Section::Authority, "org. 60 IN SOA . . 1 2 3 4 5")]),
            ("example.org" | "a.example.org", _) => (Rcode::NOERROR, &[(Section::Authority, soa)]),
            _ => (Rcode::NXDOMAIN, &[(Section::Authority, soa)]),
        };
        let mut answer = Answer::to(q).authoritative().with_rcode(rcode);
        for (section, text) in records {
            let record = catena_zone::zonefile::parse_record(text.as_bytes(), &[0], 0).unwrap().unwrap();
            let record = record.as_ref();
            answer.push_wire(*section, record.owner, record.rtype, record.class, record.ttl, record.rdata);
        }
        answer.into()
    }));
    Ok(())
});

fn recipe(corefile: &str) -> Recipe {
    let mut recipe = Recipe::new([PLUGIN, DATA], corefile);
    for (name, [public, private]) in [("ksk", KSK), ("zsk", ZSK), ("rsa", RSA)] {
        recipe = recipe.file(&format!("{name}.key"), public).file(&format!("{name}.private"), private);
    }
    recipe
}

fn kit(keys: &str) -> Kit {
    recipe(&format!("example.org {{\ndnssec {{\nkey file {keys}\n}}\ndata\n}}"))
        .build()
        .map_err(|e| e[0].1.clone())
        .unwrap()
}

fn refused(body: &str) -> String {
    let errors = recipe(&format!("example.org {{\n{body}\ndata\n}}")).build().map(|_| ()).unwrap_err();
    errors[0].0.to_string()
}

fn asked(kit: &Kit, question: &str) -> Seen {
    kit.ask(&Ask::new(question).edns(4096, true))
}

/// The signatures of a reply, all of which hold now and verify: `owner type tag`.
fn signatures(kit: &Kit, seen: &Seen) -> Vec<String> {
    let keys = [KSK, ZSK, RSA].map(|[public, _]| PublicKey::read(public.as_bytes()).unwrap());
    let now = crate::signer::seconds(&*kit.clock);
    let mut answer = Answer::default();
    read_reply(&seen.wire, &mut answer).unwrap();
    let mut found = Vec::new();
    for section in SECTIONS {
        for rrsig in answer.records(section).filter(|record| record.rtype() == Rtype::RRSIG) {
            let signature = Signature::read(rrsig.rdata()).unwrap();
            assert_eq!(signature.validity.inception, now - 3 * 3600);
            assert_eq!(signature.validity.expiration, now + 8 * 24 * 3600);
            let covered = answer
                .records(section)
                .filter(|record| record.owner() == rrsig.owner() && record.rtype() == signature.covered);
            let rdatas: Vec<&[u8]> = covered.map(|record| record.rdata()).collect();
            assert!(!rdatas.is_empty());
            let set = CanonicalSet::new(rrsig.owner_wire(), signature.covered, Class::IN, 3600, rdatas);
            let key = keys.iter().find(|key| key.tag() == signature.tag).unwrap();
            verify(key.rdata(), &set, rrsig.rdata()).unwrap();
            found.push(format!("{} {} {}", rrsig.owner(), signature.covered, signature.tag));
        }
    }
    found
}

#[test]
fn sets_of_the_zone_are_signed_in_all_sections_and_others_are_not() {
    let kit = kit("zsk");
    let seen = asked(&kit, "a.example.org A");
    let signed = ["a.example.org A 3750", "example.org NS 3750", "ns.example.org A 3750"];
    assert_eq!(signatures(&kit, &seen), signed);
    assert!(seen.answer[3].starts_with("a.example.org. 60 IN RRSIG A 13 3 3600"), "{:?}", seen.answer);
}

#[test]
fn nothing_is_signed_without_do() {
    let seen = kit("zsk").ask(&Ask::new("missing.example.org A").edns(4096, false));
    assert_eq!((seen.rcode.as_str(), seen.authority.len()), ("NXDOMAIN", 1));
}

#[test]
fn every_algorithm_signs_also_those_that_do_it_on_a_thread() {
    let kit = kit("rsa.key zsk.private");
    let seen = asked(&kit, "missing.example.org A");
    let both = |set: &str| [format!("{set} 21679"), format!("{set} 3750")];
    assert_eq!(signatures(&kit, &seen), [both("example.org SOA"), both("missing.example.org NSEC")].concat());
}

#[test]
fn a_denial_is_an_nsec_record_without_the_type() {
    let kit = kit("zsk");
    let seen = asked(&kit, "Missing.example.org TXT");
    assert_eq!(seen.rcode, "NOERROR");
    assert_eq!(signatures(&kit, &seen), ["example.org SOA 3750", "Missing.example.org NSEC 3750"]);
    let nsec = "Missing.example.org. 300 IN NSEC \\000.Missing.example.org. A HINFO AAAA LOC SRV CERT SSHFP RRSIG NSEC TLSA HIP OPENPGPKEY SPF";
    assert_eq!(seen.authority[3], nsec);
}

#[test]
fn an_nsec_record_that_was_asked_for_is_the_answer() {
    let kit = kit("zsk");
    let seen = asked(&kit, "a.example.org NSEC");
    assert_eq!((seen.answer.len(), seen.authority.len()), (2, 0));
    assert_eq!(signatures(&kit, &seen), ["a.example.org NSEC 3750"]);
}

#[test]
fn the_denial_of_ds_records_says_that_there_may_be_a_cut() {
    let seen = asked(&kit("zsk"), "a.example.org DS");
    assert!(seen.authority[3].contains(" A NS HINFO "), "{:?}", seen.authority);
}

#[test]
fn the_apex_has_the_types_of_an_apex() {
    let seen = asked(&kit("zsk"), "example.org TXT");
    assert!(seen.authority[3].contains(" A NS SOA HINFO MX AAAA "), "{:?}", seen.authority);
    assert!(!seen.authority[3].contains("CDS"), "{:?}", seen.authority);
    let seen = asked(&kit("ksk"), "example.org TXT");
    assert!(seen.authority[3].contains(" CDS CDNSKEY"), "{:?}", seen.authority);
}

#[test]
fn the_end_of_a_chain_that_leads_to_nothing_is_denied() {
    let kit = kit("zsk");
    let seen = asked(&kit, "alias.example.org A");
    let mut signed = signatures(&kit, &seen);
    signed.sort();
    let expected =
        ["alias.example.org CNAME", "example.org SOA", "missing.example.org NSEC", "other.example.org CNAME"];
    assert_eq!(signed, expected.map(|set| format!("{set} 3750")));
    assert_eq!((seen.rcode.as_str(), seen.authority.len()), ("NOERROR", 4));
    assert_eq!(asked(&kit, "circle.example.org A").answer.len(), 2);
}

#[test]
fn a_denial_that_is_none_of_the_zone_is_left_alone() {
    let kit = kit("zsk");
    for name in ["bare", "foreign"] {
        let seen = asked(&kit, &format!("{name}.example.org A"));
        assert_eq!(seen.rcode, "NXDOMAIN");
        assert!(signatures(&kit, &seen).is_empty());
    }
}

#[test]
fn a_denial_without_a_soa_record_gets_that_of_the_zone() {
    let kit = kit("zsk");
    let seen = asked(&kit, "empty.example.org A");
    assert_eq!(signatures(&kit, &seen), ["example.org SOA 3750", "empty.example.org NSEC 3750"]);
    assert_eq!(seen.authority[0], "example.org. 300 IN SOA ns.example.org. admin.example.org. 1 2 3 4 5");
    assert!(
        kit.ask_for("empty.example.org A").authority.is_empty(),
        "who does not ask for signatures sees what was answered"
    );
}

#[test]
fn a_denial_in_a_zone_without_a_soa_record_gets_one_that_is_made_up() {
    let corefile = "sub.example.org {\ndnssec {\nkey file zsk\n}\ndata\n}";
    let kit = recipe(corefile).build().map_err(|e| e[0].1.clone()).unwrap();
    let made_up = "sub.example.org. 300 IN SOA sub.example.org. hostmaster.sub.example.org. 1 7200 1800 86400 300";
    let seen = asked(&kit, "sub.example.org SOA");
    assert_eq!(seen.authority[0], made_up);
    assert_eq!(signatures(&kit, &seen), ["sub.example.org SOA 3750", "sub.example.org NSEC 3750"]);
}

#[test]
fn a_name_too_long_to_deny_is_left_alone() {
    let kit = kit("zsk");
    let fill = |len: usize| format!("{0}.{0}.{0}.{1}.example.org A", "x".repeat(63), "y".repeat(len));
    // 3 labels of 64 octets, one of len + 1, and 13 of the zone.
    assert_eq!(asked(&kit, &fill(253 - 192 - 13 - 1)).rcode, "NOERROR");
    assert_eq!(asked(&kit, &fill(254 - 192 - 13 - 1)).rcode, "NXDOMAIN");
}

#[test]
fn a_referral_has_its_ds_records_signed_or_denied_at_the_cut() {
    let kit = kit("zsk");
    let seen = asked(&kit, "x.sec.example.org A");
    assert_eq!(signatures(&kit, &seen), ["sec.example.org DS 3750"]);
    let seen = asked(&kit, "x.uns.example.org A");
    assert_eq!(signatures(&kit, &seen), ["uns.example.org NSEC 3750"]);
    assert_eq!(seen.authority[2], "uns.example.org. 60 IN NSEC uns\\000.example.org. NS RRSIG NSEC");
}

#[test]
fn keys_are_published_at_the_apex() {
    let kit = kit("ksk zsk");
    let seen = asked(&kit, "Example.org DNSKEY");
    assert_eq!((seen.answer.len(), seen.flags.contains(&"aa")), (3, true));
    assert_eq!(signatures(&kit, &seen), ["example.org DNSKEY 56657"]);
    assert_eq!(kit.ask_for("example.org DNSKEY").answer.len(), 2);
    assert!(signatures(&kit, &asked(&kit, "a.example.org DNSKEY")).contains(&"a.example.org NSEC 3750".to_owned()));
}

#[test]
fn the_parent_is_told_of_keys_with_the_sep_flag() {
    let kit = kit("ksk zsk");
    let seen = asked(&kit, "example.org CDS");
    assert_eq!(signatures(&kit, &seen), ["example.org CDS 56657"]);
    assert!(seen.answer[0].starts_with("example.org. 3600 IN CDS 56657 13 2 "), "{:?}", seen.answer);
    let seen = asked(&kit, "example.org CDNSKEY");
    assert_eq!(signatures(&kit, &seen), ["example.org CDNSKEY 56657"]);
}

#[test]
fn a_zone_with_keys_of_one_kind_has_all_of_them_sign_all() {
    let kit = kit("zsk rsa");
    assert_eq!(signatures(&kit, &asked(&kit, "example.org DNSKEY")).len(), 2);
    assert_eq!(signatures(&kit, &asked(&kit, "x.sec.example.org A")).len(), 2);
}

#[test]
fn a_zone_without_a_key_of_its_own_has_that_of_the_zone_above_or_is_left_alone() {
    let corefile = ". {\ndnssec example.org sub.example.org example.net {\nkey file zsk\n}\ndata\n}";
    let kit = recipe(corefile).build().map_err(|e| e[0].1.clone()).unwrap();
    assert_eq!(asked(&kit, "sub.example.org DNSKEY").answer.len(), 2);
    let seen = asked(&kit, "example.net DNSKEY");
    assert_eq!((seen.by, seen.rcode.as_str()), ("data", "NXDOMAIN"));
}

#[test]
fn a_signature_is_kept_until_two_days_are_left() {
    let kit = kit("zsk");
    let series = |name: &str| kit.metric(&format!("coredns_dnssec_cache_{name}{{server=\"dns://:53\"}}"));
    asked(&kit, "x.sec.example.org A");
    let first = asked(&kit, "x.sec.example.org A").authority;
    assert_eq!((series("hits_total"), series("misses_total")), (Some(1.0), Some(1.0)));
    let entries = "coredns_dnssec_cache_entries{server=\"dns://:53\",type=\"signature\"}";
    assert_eq!(kit.metric(entries), Some(1.0));
    kit.clock.advance(Duration::from_secs(6 * 24 * 3600));
    assert_eq!(asked(&kit, "x.sec.example.org A").authority, first);
    kit.clock.advance(Duration::from_secs(1));
    assert_ne!(asked(&kit, "x.sec.example.org A").authority, first);
    assert_eq!(kit.metric(entries), Some(1.0));
}

#[test]
fn a_signing_that_was_given_up_is_made_by_the_next() {
    let kit = kit("rsa");
    let mut query = kit.query(0, &Ask::new("x.sec.example.org A").edns(4096, true));
    let instance = std::sync::Arc::clone(kit.instance());
    kit.run(async {
        let serving = instance.serve(&mut query);
        // On a busy machine the thread that signs may be done before the clock has moved.
        let _ = tokio::time::timeout(Duration::ZERO, serving).await;
    });
    assert_eq!(signatures(&kit, &asked(&kit, "x.sec.example.org A")), ["sec.example.org DS 21679"]);
}

#[test]
fn what_is_wrong_with_the_directive_is_told() {
    let bad = |body: &str| refused(&format!("dnssec {{\n{body}\n}}"));
    assert!(bad("foo").ends_with("unknown property 'foo'"), "{}", bad("foo"));
    assert!(bad("key").contains("Wrong argument count"), "{}", bad("key"));
    assert!(bad("key file").contains("Wrong argument count"));
    assert!(bad("key aws_secretsmanager x").contains("AWS Secrets Manager are not supported"));
    assert!(bad("key dir x").ends_with("unknown property 'dir'"));
    assert_eq!(bad("cache_capacity x"), "plugin/dnssec: strconv.Atoi: parsing \"x\": invalid syntax");
    assert_eq!(bad("key file none"), "plugin/dnssec: open none.key: no such file or directory");
    assert_eq!(refused("dnssec\ndnssec"), "plugin/dnssec: this plugin can only be used once per Server Block");
    let told = "plugin/dnssec: key example.org. (keyid: 3750) can not sign any of the zones";
    assert_eq!(refused("dnssec example.com {\nkey file zsk\n}"), told);
}
