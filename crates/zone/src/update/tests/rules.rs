use catena_core::{Class, Rcode, Rtype};

use super::{ZONE, changed, message, step, update, zone_of};
use crate::update::{STEP_OCTETS_MAX, Update, apply};

fn code(lines: &str) -> Rcode {
    step(&zone_of(ZONE), lines).err().unwrap_or(Rcode::NOERROR)
}

fn changes(lines: &str) -> Vec<String> {
    changed(ZONE, lines).1
}

#[test]
fn a_set_that_has_to_exist_does_or_nxrrset() {
    assert_eq!(code("yes a A"), Rcode::NOERROR);
    assert_eq!(code("yes a AAAA"), Rcode::NXRRSET);
    assert_eq!(code("yes b A"), Rcode::NXRRSET);
}

#[test]
fn a_set_that_has_to_have_a_value_has_it_whatever_its_order_and_ttl() {
    assert_eq!(code("is a 0 A 192.0.2.2\nis a 0 A 192.0.2.1"), Rcode::NOERROR);
    assert_eq!(code("is a 0 A 192.0.2.2"), Rcode::NXRRSET, "there is one more");
    assert_eq!(code("is a 0 A 192.0.2.1\nis a 0 A 192.0.2.2\nis a 0 A 192.0.2.3"), Rcode::NXRRSET);
    assert_eq!(code("is b.c 0 PTR HOST.example.net."), Rcode::NOERROR, "names have no case");
}

#[test]
fn a_set_that_must_not_exist_does_not_or_yxrrset() {
    assert_eq!(code("no a AAAA"), Rcode::NOERROR);
    assert_eq!(code("no a A"), Rcode::YXRRSET);
}

#[test]
fn a_name_that_has_to_be_in_use_is_or_nxdomain() {
    assert_eq!(code("yes a"), Rcode::NOERROR);
    assert_eq!(code("yes z"), Rcode::NXDOMAIN);
    assert_eq!(code("yes c"), Rcode::NXDOMAIN, "an empty non-terminal is not in use");
}

#[test]
fn a_name_that_must_not_be_in_use_is_not_or_yxdomain() {
    assert_eq!(code("no c"), Rcode::NOERROR);
    assert_eq!(code("no a"), Rcode::YXDOMAIN);
}

#[test]
fn prerequisites_are_about_the_zone_as_it_was() {
    assert_eq!(changes("no z\nadd z 60 A 192.0.2.9").len(), 1);
    assert_eq!(code("yes z\nadd z 60 A 192.0.2.9"), Rcode::NXDOMAIN);
}

#[test]
fn names_outside_of_the_zone_are_notzone() {
    assert_eq!(code("yes example.net. A"), Rcode::NOTZONE);
    assert_eq!(code("add example.net. 60 A 192.0.2.1"), Rcode::NOTZONE);
    assert_eq!(code("add badexample.org. 60 A 192.0.2.1"), Rcode::NOTZONE);
}

#[test]
fn another_zone_and_another_class_are_notauth() {
    let mut other = update("add a 60 A 192.0.2.9");
    other.class = Class::CH;
    assert_eq!(apply(&other, &zone_of(ZONE)).unwrap_err(), Rcode::NOTAUTH);
    let mut below = update("add a 60 A 192.0.2.9");
    below.zone = super::wire("a");
    assert_eq!(apply(&below, &zone_of(ZONE)).unwrap_err(), Rcode::NOTAUTH);
}

/// The code for an update whose last record is changed.
fn edited(lines: &str, edit: impl FnOnce(&mut crate::zonefile::RecordBuf)) -> Rcode {
    let mut update = update(lines);
    let last = if update.changes.is_empty() { update.prerequisites.last_mut() } else { update.changes.last_mut() };
    edit(last.unwrap());
    apply(&update, &zone_of(ZONE)).err().unwrap_or(Rcode::NOERROR)
}

#[test]
fn records_that_are_not_built_as_their_form_wants_are_malformed() {
    for lines in ["yes a A", "no a A", "is a 0 A 192.0.2.1", "del a A", "del a A 192.0.2.1"] {
        assert_eq!(edited(lines, |record| record.ttl = 1), Rcode::FORMERR, "{lines}");
    }
    for lines in ["yes a A", "no z A", "del a A"] {
        assert_eq!(edited(lines, |record| record.rdata = vec![192, 0, 2, 1]), Rcode::FORMERR, "{lines}");
    }
    for lines in ["yes a A", "add a 60 A 192.0.2.9"] {
        assert_eq!(edited(lines, |record| record.class = Class::CH), Rcode::FORMERR, "{lines}");
    }
    for rtype in [0, 41, 249, 252, 255] {
        let edit = |record: &mut crate::zonefile::RecordBuf| record.rtype = Rtype::from_int(rtype);
        assert_eq!(edited("add a 60 A 192.0.2.9", edit), Rcode::FORMERR, "{rtype}");
        assert_eq!(edited("del a A 192.0.2.9", edit), Rcode::FORMERR, "{rtype}");
    }
    assert_eq!(edited("del a A", |record| record.rtype = Rtype::AXFR), Rcode::FORMERR);
    assert_eq!(edited("add a 60 A 192.0.2.9", |record| record.rdata.clear()), Rcode::FORMERR, "nothing to add");
    assert_eq!(edited("add a 60 TXT x", |record| record.rdata = vec![5, b'x']), Rcode::FORMERR);
}

#[test]
fn a_message_that_is_not_whole_is_malformed() {
    let whole = message("yes a A\nadd z 60 A 192.0.2.9");
    assert!(Update::read(&whole).is_ok());
    for len in 0..whole.len() {
        assert!(Update::read(&whole[..len]).is_err(), "{len}");
    }
    let mut no_soa = whole;
    no_soa[12 + super::wire("@").len() + 1] = 1;
    assert!(Update::read(&no_soa).is_err(), "the zone section asks for A");
}

#[test]
fn one_record_that_may_not_be_changed_keeps_the_others_from_being_changed() {
    let old = zone_of(ZONE);
    let lines = "add z 60 A 192.0.2.9\nadd example.net. 60 A 192.0.2.1";
    assert_eq!(step(&old, lines).unwrap_err(), Rcode::NOTZONE);
}

#[test]
fn an_added_record_is_there_once_and_gives_its_set_its_ttl() {
    assert_eq!(changes("add a 60 A 192.0.2.9"), ["+a 60 IN A 192.0.2.9"]);
    assert_eq!(changed(ZONE, "add a 60 A 192.0.2.1"), (10, vec![]), "nothing changes, nor does the serial");
    assert_eq!(
        changes("add a 90 A 192.0.2.1"),
        ["-a 60 IN A 192.0.2.1", "-a 60 IN A 192.0.2.2", "+a 90 IN A 192.0.2.1", "+a 90 IN A 192.0.2.2"]
    );
}

#[test]
fn a_ttl_beyond_31_bits_is_none() {
    assert_eq!(changes("add z 2147483647 A 192.0.2.9"), ["+z 2147483647 IN A 192.0.2.9"]);
    let mut far = update("add z 60 A 192.0.2.9");
    far.changes[0].ttl = 1 << 31;
    let step = apply(&far, &zone_of(ZONE)).unwrap().unwrap();
    assert_eq!(step.added.iter().last().unwrap().ttl, 0);
}

#[test]
fn an_alias_stands_alone() {
    assert_eq!(changes("add a 60 CNAME b"), [""; 0], "a has other records");
    assert_eq!(changes("add alias 60 A 192.0.2.9"), [""; 0], "alias is an alias");
    let replaced = ["-alias 60 IN CNAME target", "+alias 60 IN CNAME other"];
    assert_eq!(changes("add alias 60 CNAME other"), replaced);
    let swapped = changes("del a\nadd a 60 CNAME b");
    assert_eq!(swapped.len(), 4, "the order of the message counts: {swapped:?}");
}

#[test]
fn a_delegation_by_dname_has_one_target() {
    let zone = format!("{ZONE}d 60 IN DNAME example.net.\n");
    let (_, changes) = changed(&zone, "add d 60 DNAME example.com.");
    assert_eq!(changes, ["-d 60 IN DNAME example.net.", "+d 60 IN DNAME example.com."]);
}

#[test]
fn an_soa_record_counts_at_the_apex_and_with_a_newer_serial() {
    let soa = |owner: &str, serial: u32| format!("add {owner} 60 SOA ns admin {serial} 1 2 3 4");
    assert_eq!(changed(ZONE, &soa("@", 100)).0, 100);
    assert_eq!(changed(ZONE, &format!("{}\nadd z 60 A 192.0.2.9", soa("@", 100))).0, 100, "and is not incremented");
    for ignored in [soa("@", 10), soa("@", 9), soa("@", 10 + (1 << 31)), soa("a", 100)] {
        assert_eq!(changed(ZONE, &ignored), (10, vec![]), "{ignored}");
    }
}

#[test]
fn the_serial_goes_on_behind_its_end_and_leaves_0_out() {
    let at_end = ZONE.replace(" 10 7200", " 4294967295 7200");
    assert_eq!(changed(&at_end, "add z 60 A 192.0.2.9").0, 1);
    assert_eq!(changed(ZONE, "add z 60 A 192.0.2.9").0, 11);
}

#[test]
fn a_set_is_deleted() {
    assert_eq!(changes("del a A"), ["-a 60 IN A 192.0.2.1", "-a 60 IN A 192.0.2.2"]);
    assert_eq!(changes("del z A"), [""; 0]);
}

#[test]
fn all_sets_of_a_name_are_deleted() {
    assert_eq!(changes("del a").len(), 3);
    assert_eq!(changes("del c"), [""; 0], "an empty non-terminal keeps what is below it");
}

#[test]
fn at_the_apex_soa_and_ns_records_stay() {
    assert_eq!(changes("del @"), ["-example.org. 60 IN TXT \"apex\""]);
    assert_eq!(changes("del @ NS"), [""; 0]);
    assert_eq!(changes("del @ SOA"), [""; 0]);
    assert_eq!(changes("del @ NS ns.example.net."), ["-example.org. 60 IN NS ns.example.net."]);
    let all = changes("del @ NS ns.example.net.\ndel @ NS ns");
    assert_eq!(all, ["-example.org. 60 IN NS ns.example.net."], "the last name server stays");
}

#[test]
fn one_record_is_deleted_whatever_its_ttl_and_the_case_of_its_names() {
    assert_eq!(changes("del a A 192.0.2.1"), ["-a 60 IN A 192.0.2.1"]);
    assert_eq!(changes("del a A 192.0.2.9"), [""; 0]);
    assert_eq!(changes("del b.c PTR hOST.example.NET."), ["-b.c 60 IN PTR Host.example.net."]);
}

#[test]
fn what_a_signer_makes_is_refused_and_so_is_any_change_to_a_signed_zone() {
    assert_eq!(code("del a NSEC"), Rcode::REFUSED);
    assert_eq!(code("add @ 60 NSEC3PARAM 1 0 0 -"), Rcode::REFUSED);
    let signed = zone_of(&format!("{ZONE}@ 60 IN NSEC a A NS SOA\n"));
    assert_eq!(step(&signed, "add z 60 A 192.0.2.9").unwrap_err(), Rcode::REFUSED);
    assert_eq!(step(&signed, "yes a A"), Ok(None), "questions are answered");
}

#[test]
fn the_step_is_what_the_two_versions_differ_in() {
    let old = zone_of(ZONE);
    let lines = "del a A 192.0.2.1\nadd z 60 MX 1 MAIL\nadd z 60 SVCB 1 Other.\nadd alias 90 CNAME Q\ndel b.c";
    let step = step(&old, lines).unwrap().unwrap();
    let new = step.apply(&old).unwrap();
    let between = crate::Difference::between(&old, &new);
    let sorted = |list: &crate::RecordList| {
        let mut records: Vec<_> = list.iter().map(|record| format!("{record:?}")).collect();
        records.sort();
        records
    };
    assert_eq!(sorted(&step.removed), sorted(&between.removed));
    assert_eq!(sorted(&step.added), sorted(&between.added));
}

#[test]
fn a_step_that_the_journal_in_memory_cannot_hold_is_refused() {
    let text: Vec<u8> = (0..250).flat_map(|_| [&[255][..], &[b'x'; 255]].concat()).collect();
    let zone_with = |count: usize| {
        let mut builder = crate::Builder::new(&super::wire("@"));
        for record in zone_of(ZONE).records() {
            builder.push(record).unwrap();
        }
        for number in 0..u32::try_from(count).unwrap() {
            let rdata = [&text[..], &[4], &number.to_be_bytes()].concat();
            let owner = super::wire("big");
            let record =
                crate::RecordRef { owner: &owner, rtype: Rtype::TXT, class: Class::IN, ttl: 60, rdata: &rdata };
            builder.push(record).unwrap();
        }
        builder.finish().unwrap()
    };
    let octets = |count: usize| step(&zone_with(count), "del big").map(|step| step.unwrap().octets_len());
    let (one, two) = (octets(1).unwrap(), octets(2).unwrap());
    let fits = 1 + (STEP_OCTETS_MAX - one) / (two - one);
    assert!(octets(fits).unwrap() <= STEP_OCTETS_MAX);
    assert_eq!(octets(fits + 1), Err(Rcode::REFUSED));
}
