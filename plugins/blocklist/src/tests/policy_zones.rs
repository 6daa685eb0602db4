//! Response policy zones.

use super::*;
use catena_testkit::{Ask, Seen};

const HEAD: &str = "$TTL 300\n@ SOA ns.rpz. admin.rpz. 42 3600 600 86400 120\n@ NS localhost.\n";

fn kit(records: &str) -> Kit {
    place(records).kit("rpz policy.test DIR/zone")
}

fn place(records: &str) -> Place {
    Place::of(&[("zone", &format!("{HEAD}{records}\n"))])
}

fn ask(records: &str, question: &str) -> Seen {
    kit(records).ask_for(question)
}

#[test]
fn the_standard_actions_are_done() {
    let records = "nx.test CNAME .\nnodata.test CNAME *.\npass.test CNAME rpz-passthru.\ndrop.test CNAME rpz-drop.\nold.test CNAME old.test.\n";
    let kit = kit(records);
    assert_eq!(rcode(&kit, "NX.test A"), "NXDOMAIN");
    assert_eq!(rcode(&kit, "x.nx.test A"), "NOERROR", "without a star only the name itself");
    assert_eq!((rcode(&kit, "nodata.test A"), kit.ask_for("nodata.test A").answer.len()), ("NOERROR".into(), 0));
    assert_eq!(kit.ask_for("pass.test A").by, "world");
    assert_eq!(kit.ask_for("old.test A").by, "world");
    assert!(kit.ask_for("drop.test A").silent);
    assert_eq!(hits(&kit, "policy.test", "passthru"), 2.0);
    assert_eq!(hits(&kit, "policy.test", "drop"), 1.0);
}

#[test]
fn denials_carry_the_soa_of_the_policy_zone() {
    let seen = ask("*.nx.test CNAME .", "x.nx.test A");
    assert_eq!(seen.authority, ["nx.test. 60 IN SOA ns.rpz. admin.rpz. 42 3600 600 86400 60"]);
    assert_eq!(seen.additional, ["policy.test. 300 IN SOA ns.rpz. admin.rpz. 42 3600 600 86400 120"]);
}

#[test]
fn a_star_is_what_is_below_and_the_longest_name_counts() {
    let kit = kit("*.test CNAME .\n*.good.test CNAME rpz-passthru.\nbad.good.test CNAME *.\n");
    assert_eq!(rcode(&kit, "a.b.test A"), "NXDOMAIN");
    assert_eq!(rcode(&kit, "test A"), "NOERROR");
    assert_eq!(kit.ask_for("x.good.test A").by, "world");
    assert_eq!(kit.ask_for("bad.good.test A").answer.len(), 0);
    assert_eq!(rcode(&kit, "good.test A"), "NXDOMAIN");
}

#[test]
fn over_tcp_only_is_a_truncated_reply_to_datagrams() {
    let kit = kit("slow.test CNAME rpz-tcp-only.");
    let seen = kit.ask_for("slow.test A");
    assert_eq!((&seen.flags[..], seen.answer.len()), (&["qr", "tc", "rd"][..], 0));
    assert_eq!(kit.ask(&Ask::new("slow.test A").tcp()).by, "world");
}

#[test]
fn records_of_the_zone_are_answered() {
    let records = "own.test 7 A 192.0.2.80\nown.test A 192.0.2.81\nown.test TXT \"gone\"\n";
    let seen = ask(records, "Own.test A");
    assert_eq!(seen.answer, ["Own.test. 7 IN A 192.0.2.80", "Own.test. 300 IN A 192.0.2.81"]);
    assert_eq!(ask(records, "own.test TXT").answer, ["own.test. 300 IN TXT \"gone\""]);
    let seen = ask(records, "own.test MX");
    assert_eq!((seen.rcode.as_str(), seen.answer.len(), seen.authority.len()), ("NOERROR", 0, 1));
    assert_eq!(ask(records, "own.test ANY").answer.len(), 3);
}

#[test]
fn an_alias_leads_to_a_walled_garden() {
    let seen = ask("*.walled.test CNAME garden.test.", "x.walled.test A");
    assert_eq!(seen.answer, ["x.walled.test. 300 IN CNAME garden.test.", "garden.test. 300 IN A 192.0.2.1"]);
    let seen = ask("walled.test CNAME *.garden.test.", "walled.test A");
    assert_eq!(seen.answer[0], "walled.test. 300 IN CNAME walled.test.garden.test.");
    let seen = ask("*.test CNAME *.garden.test.", "x.test A");
    assert_eq!(seen.answer.len(), 2, "the garden itself is listed, and open: {seen:?}");
    let long = format!("*.test CNAME *.{0}.{0}.test.", "g".repeat(60));
    let name = format!("{0}.{0}.{0}.test A", "n".repeat(60));
    assert_eq!(ask(&long, &name).rcode, "NXDOMAIN", "a name that is too long leads nowhere");
}

#[test]
fn clients_and_addresses_of_replies_are_triggers() {
    let kit = kit(
        "32.9.2.0.192.rpz-client-ip CNAME .\n24.0.2.0.192.rpz-ip CNAME *.\n128.1.zz.db8.2001.rpz-ip AAAA 2001:db8::2\n",
    );
    assert_eq!(kit.ask(&Ask::new("x.test A").from("192.0.2.9:1")).rcode, "NXDOMAIN");
    assert_eq!(kit.ask_for("x.test A").answer.len(), 0);
    assert_eq!(kit.ask_for("v6.test AAAA").answer, ["v6.test. 300 IN AAAA 2001:db8::2"]);
    assert_eq!(kit.metric("coredns_blocklist_entries{list=\"policy.test\"}"), Some(3.0));
}

#[test]
fn an_earlier_zone_that_looks_at_addresses_comes_before_names_of_a_later_one() {
    let place = place("32.1.2.0.192.rpz-ip CNAME rpz-passthru.");
    place.write("ads", "ads.test\n");
    let first = place.kit("rpz policy.test DIR/zone\n list DIR/ads");
    assert_eq!(first.ask_for("ads.test A").by, "world");
    assert_eq!(rcode(&first, "ads.test MX"), "NXDOMAIN", "no address in the reply");
    assert_eq!(rcode(&place.kit("list DIR/ads\n rpz policy.test DIR/zone"), "ads.test A"), "NXDOMAIN");
}

#[test]
fn what_is_not_supported_is_told() {
    let kit = kit(
        "ns.evil.test.rpz-nsdname CNAME .\n32.1.2.0.192.rpz-nsip CNAME .\nx.test CNAME rpz-new.\n33.1.2.0.192.rpz-ip CNAME .\nok.test CNAME .\n",
    );
    let lines = kit.log.take();
    let wanted = "[WARNING] plugin/blocklist: list \"policy.test\": 4 entries are not understood, the first is ";
    let line = lines.iter().find(|line| line.starts_with(wanted)).unwrap_or_else(|| panic!("{lines:?}"));
    assert!(line.ends_with("is about a name server's name, which is not supported"), "{line}");
    assert_eq!(kit.metric("coredns_blocklist_skipped_entries{list=\"policy.test\"}"), Some(4.0));
    assert_eq!(rcode(&kit, "ok.test A"), "NXDOMAIN");
}

#[test]
fn a_zone_without_a_soa_or_with_a_fault_is_an_error() {
    let wrong = |text: &str| Place::of(&[("zone", text)]).wrong("blocklist {\n rpz policy.test DIR/zone\n}");
    let begin = "plugin/blocklist: Corefile:3 - Error during parsing: \"DIR/zone\" is no list: ";
    assert_eq!(wrong("x.test 60 CNAME .\n"), format!("{begin}no SOA record for policy.test."));
    assert!(wrong(&format!("{HEAD}x.test A 192.0.2.x\n")).starts_with(&format!("{begin}DIR/zone:4:")));
}
