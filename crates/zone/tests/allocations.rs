//! A look-up allocates nothing: its records go into buffers that the query brings along.

#![allow(missing_docs, clippy::unwrap_used)]

use std::alloc::System;

use catena_core::{Answer, Class, RecordRef, Rtype};
use catena_zone::{Asked, Builder, Outcome, Zone};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const APEX: &[u8] = b"\x07example\x03org\0";

/// A name below the apex in wire form.
fn below(labels: &[u8]) -> Vec<u8> {
    [labels, APEX].concat()
}

/// A zone signed with one kind of chain and with a name for every way that a look-up can take.
fn zone(hashed: bool) -> Zone {
    let mut builder = Builder::new(APEX);
    let mut push = |owner: &[u8], rtype: Rtype, rdata: &[u8]| {
        builder.push(RecordRef { owner, rtype, class: Class::IN, ttl: 60, rdata }).unwrap();
    };
    let server = below(b"\x02ns");
    push(APEX, Rtype::SOA, &[&server[..], APEX, &[0; 20]].concat());
    push(APEX, Rtype::NS, &server);
    push(APEX, Rtype::MX, &[&[0, 1], &server[..]].concat());
    push(&server, Rtype::A, &[192, 0, 2, 53]);
    push(&below(b"\x01*\x01w"), Rtype::A, &[192, 0, 2, 1]);
    push(&below(b"\x05alias"), Rtype::CNAME, &below(b"\x01a\x01w"));
    push(&below(b"\x03old"), Rtype::DNAME, &below(b"\x01w"));
    push(&below(b"\x03out"), Rtype::CNAME, b"\x04test\0");
    push(&below(b"\x03sub"), Rtype::NS, &below(b"\x02ns\x03sub"));
    push(&below(b"\x02ns\x03sub"), Rtype::A, &[192, 0, 2, 54]);
    if hashed {
        push(APEX, Rtype::NSEC3PARAM, &[1, 0, 0, 10, 0]);
        push(&below(b"\x200123456789abcdefghijklmnopqrstuv"), Rtype::NSEC3, &[1, 0, 0, 10, 0, 0]);
    } else {
        push(APEX, Rtype::NSEC, APEX);
    }
    builder.finish().unwrap()
}

#[test]
fn no_way_through_a_look_up_allocates() {
    let asked = [
        (below(b"\x02ns"), Rtype::A, Outcome::Answered),
        (APEX.to_vec(), Rtype::MX, Outcome::Answered),
        (APEX.to_vec(), Rtype::NS, Outcome::Answered),
        (below(b"\x01x\x01w"), Rtype::A, Outcome::Answered),
        (below(b"\x05alias"), Rtype::A, Outcome::Answered),
        (below(b"\x01x\x03old"), Rtype::A, Outcome::Answered),
        (below(b"\x03out"), Rtype::A, Outcome::Chase),
        (below(b"\x01x\x03sub"), Rtype::A, Outcome::Delegation),
        (below(b"\x04none\x04none"), Rtype::A, Outcome::NxDomain),
        (below(b"\x02ns"), Rtype::AAAA, Outcome::NoData { empty_non_terminal: false }),
        (below(b"\x01x\x01w"), Rtype::AAAA, Outcome::NoData { empty_non_terminal: false }),
        (below(b"\x01w"), Rtype::A, Outcome::NoData { empty_non_terminal: true }),
    ];
    for zone in [zone(false), zone(true)] {
        let mut answer = Answer::default();
        let mut look_up = |lower: &[u8], qtype, dnssec_ok| {
            answer.clear();
            let labels = &catena_core::LabelStarts::of(lower);
            zone.lookup(&Asked { lower, labels, qtype, dnssec_ok, chase_missing: false }, &mut answer).outcome
        };
        // The first round makes the buffers of the answer big enough.
        for round in 0..2 {
            let region = Region::new(ALLOCATOR);
            for (lower, qtype, outcome) in &asked {
                assert_eq!(look_up(lower, *qtype, false), *outcome);
                assert_eq!(look_up(lower, *qtype, true), *outcome);
            }
            let change = region.change();
            assert!(round == 0 || (change.allocations, change.reallocations) == (0, 0), "{change:?}");
        }
    }
}
