//! What a builder takes and what becomes of it.

use catena_core::{Class, RecordRef, Rtype};

use super::super::{BuildError, Builder, NSEC3_ITERATIONS_MAX, Taken};
use super::kit::{ask, finds, push, record, record_text, wire, zone};

fn try_push(builder: &mut Builder, owner: &[u8], rtype: Rtype, rdata: &[u8]) -> Result<Taken, BuildError> {
    builder.push(RecordRef { owner, rtype, class: Class::IN, ttl: 1, rdata })
}

#[test]
fn a_zone_without_soa_is_none() {
    let mut builder = Builder::new(&wire("@"));
    push(&mut builder, "a A 192.0.2.1");
    assert_eq!(builder.finish().unwrap_err(), BuildError::NoSoa("example.org.".to_owned()));
    assert!(Builder::new(&wire("@")).finish().is_err());
}

#[test]
fn owners_and_the_names_in_some_types_become_lower_case() {
    let zone = zone(
        "
        UP A 192.0.2.1\n c CNAME TargeT\n m MX 1 TargeT\n h HTTPS 1 TargeT\n n NS TargeT
        s SRV 1 1 TargeT\n p PTR TargeT\n d DNAME TargeT
    ",
    );
    let texts: Vec<String> = zone.records().map(record_text).collect();
    for lower in ["up A 192.0.2.1", "c CNAME target", "m MX target", "h HTTPS target", "n NS target"] {
        assert!(texts.iter().any(|text| text == lower), "{lower} in {texts:?}");
    }
    for kept in ["s SRV TargeT", "p PTR TargeT", "d DNAME TargeT"] {
        assert!(texts.iter().any(|text| text == kept), "{kept} in {texts:?}");
    }
}

#[test]
fn the_numbers_of_an_soa_are_no_letters() {
    let mut builder = Builder::new(&wire("@"));
    push(&mut builder, &format!("@ SOA NS Admin {}", u32::from_be_bytes(*b"ABCD")));
    let zone = builder.finish().unwrap();
    assert_eq!(zone.serial().to_be_bytes(), *b"ABCD");
    assert!(zone.soa().rdata.starts_with(&wire("ns")));
}

#[test]
fn a_record_that_is_there_twice_is_kept_once() {
    let zone = zone("a 60 A 192.0.2.1\n a 60 A 192.0.2.2\n A 90 A 192.0.2.1");
    finds(&zone, "a A", "Answered\n = a A 192.0.2.1\n = a A 192.0.2.2\n ~ @ NS ns");
}

#[test]
fn of_several_soa_records_the_last_one_counts() {
    let zone = zone("@ SOA ns admin 7");
    assert_eq!(zone.serial(), 7);
    assert_eq!(zone.records().filter(|record| record.rtype == Rtype::SOA).count(), 1);
}

#[test]
fn what_does_not_belong_to_the_zone_is_left_out() {
    let mut builder = Builder::new(&wire("@"));
    assert_eq!(push(&mut builder, "www.test. A 192.0.2.1"), Taken::OutOfZone);
    assert_eq!(push(&mut builder, "badexample.org. A 192.0.2.1"), Taken::OutOfZone);
    assert_eq!(push(&mut builder, "a SOA ns admin"), Taken::SoaBelowApex);
    assert_eq!(push(&mut builder, "a A 192.0.2.1"), Taken::Kept);
    assert_eq!(builder.len(), 1);
}

#[test]
fn malformed_records_are_refused_and_leave_no_trace() {
    let mut builder = Builder::new(&wire("@"));
    push(&mut builder, "@ SOA ns admin");
    let apex = wire("@");
    for (rtype, rdata) in [
        (Rtype::A, &b"123"[..]),
        (Rtype::NS, b"\x02ab"),
        (Rtype::SOA, b"\0\0"),
        (Rtype::MX, b"\0"),
        (Rtype::SVCB, b"\0\x01\x05ab"),
        (Rtype::HTTPS, b"\0\x01\xc0\0"),
    ] {
        assert_eq!(try_push(&mut builder, &apex, rtype, rdata), Err(BuildError::Malformed(rtype)), "{rtype}");
    }
    for owner in [&b""[..], b"\x01", b"\x40a\0", b"\x01a\0\0", &[1; 256]] {
        assert_eq!(try_push(&mut builder, owner, Rtype::A, &[0; 4]), Err(BuildError::Malformed(Rtype::A)));
    }
    assert_eq!(builder.finish().unwrap().len(), 1);
}

#[test]
fn a_record_of_another_class_is_refused() {
    let mut builder = Builder::new(&wire("@"));
    push(&mut builder, "@ SOA ns admin");
    let (owner, ttl, rtype, rdata) = record("a TXT t");
    let taken = builder.push(RecordRef { owner: &owner, rtype, class: Class::CH, ttl, rdata: &rdata });
    assert_eq!(taken, Err(BuildError::OtherClass { zone: Class::IN, found: Class::CH }));
}

#[test]
fn the_longest_rdata_is_kept_and_none_longer() {
    let mut builder = Builder::new(&wire("@"));
    push(&mut builder, "@ SOA ns admin");
    let rtype = Rtype::from_int(65_280);
    let (name, octets) = (wire("a"), vec![7; 65_536]);
    assert_eq!(try_push(&mut builder, &name, rtype, &octets[..65_535]), Ok(Taken::Kept));
    assert_eq!(try_push(&mut builder, &name, rtype, &octets), Err(BuildError::Malformed(rtype)));
    let zone = builder.finish().unwrap();
    assert_eq!(zone.records_of(&name, rtype).next().unwrap().rdata.len(), 65_535);
}

#[test]
fn a_chain_that_hashes_too_often_is_refused() {
    let build = |iterations: u16| {
        let mut builder = Builder::new(&wire("@"));
        push(&mut builder, "@ SOA ns admin");
        let [high, low] = iterations.to_be_bytes();
        try_push(&mut builder, &wire("@"), Rtype::NSEC3PARAM, &[1, 0, high, low, 0]).unwrap();
        builder.finish()
    };
    assert!(build(NSEC3_ITERATIONS_MAX).is_ok());
    assert_eq!(build(NSEC3_ITERATIONS_MAX + 1).unwrap_err(), BuildError::Iterations(NSEC3_ITERATIONS_MAX + 1));
}

#[test]
fn records_come_in_canonical_order_and_know_what_lies_below_a_cut() {
    let zone = zone("z A 192.0.2.1\n b.sub A 192.0.2.2\n sub NS ns\n *.z A 192.0.2.3\n Y.z A 192.0.2.4");
    let names: Vec<String> = zone
        .names()
        .map(|name| {
            format!(
                "{}{}{}",
                name.name().len(),
                ["", " cut"][usize::from(name.is_cut())],
                ["", " hidden"][usize::from(name.is_hidden())]
            )
        })
        .collect();
    assert_eq!(names, ["13", "17 cut", "19 hidden", "15", "17", "17"]);
    let texts: Vec<String> = zone.records().map(record_text).collect();
    assert_eq!(texts[2..], ["sub NS ns", "b.sub A 192.0.2.2", "z A 192.0.2.1", "*.z A 192.0.2.3", "y.z A 192.0.2.4"]);
}

#[test]
fn a_name_with_many_types_gives_each_of_them() {
    let lines: String = (0..40).map(|at| format!("a TYPE{} x\n", 65_000 + at)).collect();
    let zone = zone(&lines);
    for at in 0..40 {
        assert_eq!(ask(&zone, &format!("a TYPE{}", 65_000 + at)).len(), 3, "{at}");
    }
    assert_eq!(ask(&zone, "a TYPE64999")[0], "NoData");
    assert_eq!(ask(&zone, "a TYPE65040")[0], "NoData");
}
