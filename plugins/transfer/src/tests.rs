#![allow(clippy::unwrap_used, clippy::expect_used)]

mod notify;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use catena_core::prelude::*;
use catena_core::{
    Class, DATAGRAM_OCTETS_MAX, Envelopes, Finished, Fixed, Outgoing, RecordRef, Transfer, finish, finish_part,
};
use catena_testkit::{Ask, Kit, Recipe, Seen, check_config};
use domain::base::Name;

use super::PLUGIN;
use crate::outgoing::{MESSAGE_OCTETS_MAX, RECORD_OCTETS_MAX};

/// `zone NAME SERIAL COUNT [OCTETS]`: holds a zone with a SOA record and COUNT records of OCTETS octets of data, four by default.
const ZONE: PluginDef = PluginDef::new("zone", |cx| {
    let mut words = cx.cursor();
    while words.next() {
        let args = words.remaining_args();
        let number = |at: usize| args.get(at).map_or(4, |word| word.parse().unwrap());
        let zone = Held {
            name: catena_core::name::owned(args[0]).unwrap(),
            serial: number(1),
            count: number(2),
            octets: number(3) as usize,
        };
        cx.offer::<dyn Transfer>(Arc::new(zone));
    }
    cx.link(Fixed(|_: &mut Query| Reply::status(Rcode::NXDOMAIN)));
    Ok(())
});

struct Held {
    name: catena_core::OwnedName,
    serial: u32,
    count: u32,
    octets: usize,
}

impl Transfer for Held {
    fn transfer(&self, zone: &Name<[u8]>, serial: Option<u32>, _: &Query) -> Option<Result<Box<dyn Outgoing>, Error>> {
        if zone != &self.name {
            return None;
        }
        if self.count == 666 {
            return Some(Err(Error::ours("the zone is broken")));
        }
        let soa = [&[0, 0][..], &self.serial.to_be_bytes(), &[0; 16]].concat();
        let count = if serial == Some(self.serial) { 0 } else { self.count + 1 };
        let octets = vec![7; self.octets];
        Some(Ok(Box::new(Records { owner: self.name.as_slice().to_vec(), soa, octets, at: 0, count })))
    }
}

struct Records {
    owner: Vec<u8>,
    soa: Vec<u8>,
    octets: Vec<u8>,
    at: u32,
    count: u32,
}

/// How many records all sources of a test gave; tests that look at it ask one at a time.
static GIVEN: AtomicU32 = AtomicU32::new(0);

impl Outgoing for Records {
    fn next(&mut self) -> Option<RecordRef<'_>> {
        let is_soa = self.at == 0 || self.at == self.count;
        if self.at > self.count {
            return None;
        }
        self.at += 1;
        if self.octets.len() == 100 {
            GIVEN.fetch_add(1, Ordering::SeqCst);
        }
        let (rtype, rdata) = if is_soa { (Rtype::SOA, &self.soa) } else { (Rtype::from_int(65_280), &self.octets) };
        Some(RecordRef { owner: &self.owner, rtype, class: Class::IN, ttl: 60, rdata })
    }
}

fn kit(body: &str) -> Kit {
    Kit::of([PLUGIN, ZONE], body)
}

fn axfr(kit: &Kit, zone: &str) -> Seen {
    kit.ask(&Ask::new(&format!("{zone} AXFR")).tcp())
}

/// The code and the number of records.
fn brief(seen: &Seen) -> (&str, usize) {
    (&seen.rcode, seen.answer.len())
}

#[test]
fn a_zone_goes_out_between_two_soa_records_with_aa() {
    let kit = kit("transfer {\n to *\n}\nzone example.org 5 2");
    let seen = axfr(&kit, "Example.org");
    assert_eq!(brief(&seen), ("NOERROR", 4));
    assert!(seen.answer[0].contains(" SOA ") && seen.answer[3].contains(" SOA "), "{:?}", seen.answer);
    assert_eq!((seen.flags.clone(), seen.messages), (vec!["qr", "aa", "rd"], 1));
    let told = "Outgoing transfer of 4 records of zone \"Example.org.\" to 10.240.0.1 for 5 SOA serial";
    assert_eq!(kit.log.take(), [format!("[INFO] plugin/transfer: {told}")]);
}

#[test]
fn other_questions_and_names_without_a_stanza_pass() {
    let kit = kit("transfer example.org {\n to *\n}\nzone example.net 5 2");
    assert!(kit.ask(&Ask::new("example.org A").tcp()).silent);
    assert!(axfr(&kit, "example.net").silent);
    assert!(axfr(&kit, "example.org").silent, "nobody holds it");
}

#[test]
fn over_udp_a_transfer_is_refused_whatever_the_name() {
    let kit = kit("transfer example.org {\n to *\n}\nzone example.org 5 2");
    assert_eq!(kit.ask_for("example.org AXFR").rcode, "REFUSED");
    assert_eq!(kit.ask_for("example.net IXFR").rcode, "REFUSED");
}

#[test]
fn only_the_targets_may_take_a_zone_from_whatever_port() {
    let kit =
        kit("transfer {\n to 192.0.2.1 192.0.2.2:5353 [2001:DB8::1]:53\n to 198.51.100.0/24\n}\nzone example.org 5 2");
    let from = |client: &str| kit.ask(&Ask::new("example.org AXFR").tcp().from(client)).rcode;
    for client in ["192.0.2.1:40000", "192.0.2.2:53", "[2001:db8::1]:9", "[::ffff:192.0.2.1]:9", "198.51.100.77:1"] {
        assert_eq!(from(client), "NOERROR", "{client}");
    }
    for client in ["192.0.2.3:53", "[2001:db8::2]:53", "198.51.101.1:53"] {
        assert_eq!(from(client), "REFUSED", "{client}");
    }
}

#[test]
fn the_longest_zone_decides_and_of_equal_ones_the_first() {
    let kit =
        kit("transfer org {\n to *\n}\ntransfer example.org {\n to 192.0.2.1\n}\ntransfer example.org {\n to *\n}\n\
         zone example.org 5 2\nzone a.org 5 2");
    assert_eq!(axfr(&kit, "example.org").rcode, "REFUSED");
    assert_eq!(axfr(&kit, "a.org").rcode, "NOERROR");
}

#[test]
fn the_first_holder_counts_and_one_that_fails_ends_the_search() {
    let kit =
        kit("transfer {\n to *\n}\nzone example.org 5 2\nzone example.org 5 9\nzone bad.org 5 666\nzone bad.org 5 1");
    assert_eq!(brief(&axfr(&kit, "example.org")), ("NOERROR", 4));
    let seen = axfr(&kit, "bad.org");
    assert_eq!((seen.rcode.as_str(), seen.error.as_deref()), ("SERVFAIL", Some("the zone is broken")));
}

fn ixfr(kit: &Kit, serial: u32) -> Seen {
    kit.ask(&Ask::new("example.org IXFR").tcp().serial(serial))
}

#[test]
fn an_older_client_gets_the_zone_and_one_that_is_up_to_date_the_soa_record() {
    let kit = kit("transfer {\n to *\n}\nzone example.org 5 2");
    assert_eq!(brief(&ixfr(&kit, 4)), ("NOERROR", 4));
    assert_eq!(brief(&ixfr(&kit, 0)), ("NOERROR", 4));
    kit.log.take();
    assert_eq!(brief(&ixfr(&kit, 5)), ("NOERROR", 1));
    let told =
        "Outgoing noop, incremental transfer for up to date zone \"example.org.\" to 10.240.0.1 for 5 SOA serial";
    assert_eq!(kit.log.take(), [format!("[INFO] plugin/transfer: {told}")]);
}

#[test]
fn a_client_with_a_newer_serial_gets_the_soa_record_alone_and_serials_wrap() {
    let small = kit("transfer {\n to *\n}\nzone example.org 5 2");
    assert_eq!(brief(&ixfr(&small, 6)), ("NOERROR", 1));
    // RFC 1982: a serial more than 2^31 ahead is behind.
    assert_eq!(brief(&ixfr(&small, u32::MAX)), ("NOERROR", 4));
    let large = kit("transfer {\n to *\n}\nzone example.org 4294967295 2");
    assert_eq!(brief(&ixfr(&large, 1)), ("NOERROR", 1));
}

#[test]
fn an_ixfr_without_exactly_one_soa_record_fails() {
    let kit = kit("transfer {\n to *\n}\nzone example.org 5 2");
    assert_eq!(kit.ask(&Ask::new("example.org IXFR").tcp()).rcode, "SERVFAIL");
    let request = Ask::new("example.org IXFR").tcp().serial(4).message();
    assert_eq!(super::known_serial(&request), Some(4));
    let type_at = request.len() - 32;
    for (at, octet) in [(9, 2), (type_at + 1, 16), (type_at + 9, 21)] {
        let mut broken = request.clone();
        broken[at] = octet;
        assert_eq!(super::known_serial(&broken), None, "{octet} at {at}");
    }
}

/// Pulls the messages of a transfer one by one, with their octets.
struct Pull {
    query: Query,
    envelopes: Box<dyn Envelopes>,
}

impl Pull {
    fn new(kit: &Kit, ask: &Ask) -> Self {
        let mut query = kit.query(0, ask);
        let reply = kit.run(kit.instance().serve(&mut query));
        let Finished::Stream(envelopes) = finish(&mut query, reply, &mut Vec::new()) else { unreachable!() };
        Self { query, envelopes }
    }

    fn message(&mut self) -> Option<Seen> {
        let answer = self.envelopes.next(&mut self.query)?;
        let mut wire = Vec::new();
        finish_part(&mut self.query, answer, &mut wire);
        Some(Seen::of(&wire))
    }
}

#[test]
fn a_large_zone_goes_out_in_messages_that_are_made_when_they_are_taken() {
    let kit = kit("transfer {\n to *\n}\nzone example.org 5 2000 100");
    let mut pull = Pull::new(&kit, &Ask::new("example.org AXFR").tcp().edns(1232, true));
    // The two that tell whether there is a zone at all.
    assert_eq!(GIVEN.load(Ordering::SeqCst), 2);
    let record = "example.org.".len() + 1 + 10 + 100;
    let mut records = 0;
    let mut messages = 0;
    while let Some(seen) = pull.message() {
        let count = seen.answer.len();
        records += count;
        messages += 1;
        assert!(count * record <= MESSAGE_OCTETS_MAX && seen.wire.len() <= DATAGRAM_OCTETS_MAX, "{count}");
        assert!(!seen.flags.contains(&"tc") && seen.edns.is_some());
        // One more was looked at, and had no room.
        let given = GIVEN.load(Ordering::SeqCst) as usize;
        assert!(given <= records + 1, "{given} given, {records} sent");
    }
    assert_eq!((records, messages), (2002, 4));
    assert!(kit.log.take()[0].contains("of 2002 records"));
    assert!(pull.message().is_none());
}

#[test]
fn a_client_that_goes_away_is_told_of() {
    let kit = kit("transfer {\n to *\n}\nzone example.org 5 2000 50");
    let mut pull = Pull::new(&kit, &Ask::new("example.org AXFR").tcp());
    let sent = pull.message().unwrap().answer.len();
    drop(pull);
    let told = format!("Outgoing transfer of zone \"example.org.\" to 10.240.0.1 broken off after {sent} records");
    assert_eq!(kit.log.take(), [format!("[INFO] plugin/transfer: {told}")]);
}

#[test]
fn a_record_as_large_as_may_be_travels_alone_and_a_larger_one_fails_the_transfer() {
    let fixed = "example.org.".len() + 1 + 10;
    let zone = |octets: usize| {
        let kit = kit(&format!("transfer {{\n to *\n}}\nzone example.org 5 2 {octets}"));
        let seen = kit.ask(&Ask::new("example.org AXFR").tcp().edns(1232, false));
        (seen.rcode.clone(), seen.answer.len(), seen.messages, kit.log.take().pop().unwrap())
    };
    let (rcode, records, messages, _) = zone(RECORD_OCTETS_MAX - fixed);
    assert_eq!((rcode.as_str(), records, messages), ("NOERROR", 4, 4));
    let (rcode, _, _, told) = zone(RECORD_OCTETS_MAX - fixed + 1);
    assert_eq!(rcode, "SERVFAIL");
    assert!(told.contains("has a record that fits into no message"), "{told}");
}

#[test]
fn mistakes_are_told() {
    let told = |body: &str, expected: &str| check_config([PLUGIN], body, &format!("plugin/transfer: {expected}"));
    let parsing = |line: u8, text: &str| format!("plugin/transfer: Corefile:{line} - Error during parsing: {text}");
    told("transfer", &parsing(2, "'to' is required"));
    told("transfer {\n to *\n to ns.example.org\n}", "must specify an IP address: `ns.example.org'");
    told("transfer {\n to tls://192.0.2.1\n}", "must specify an IP address: `tls'");
    told("transfer {\n to *\n from *\n}", &parsing(4, "unknown property \"from\""));
    told("transfer {\n to *\n source x\n}", &parsing(4, "invalid source address \"x\""));
    told("transfer {\n to *\n source ::1\n source ::1\n}", &parsing(5, "source already specified"));
    let argument = "Corefile:3 - Error during parsing: Wrong argument count or unexpected line ending after";
    told("transfer {\n to\n to *\n}", &format!("{argument} 'to'"));
    told("transfer {\n source\n to *\n}", &format!("{argument} 'source'"));
    told("transfer {\n to *\n to 192.0.2.1:dns\n}", "invalid port: `dns'");
    told("transfer {\n to *\n to 192.0.2.0/33\n}", "invalid CIDR address: 192.0.2.0/33");
}

#[test]
fn zones_are_those_of_the_block_if_none_is_named() {
    let corefile = "example.org {\n transfer {\n to *\n }\n zone example.org 5 2\n}\n";
    let kit = Recipe::new([PLUGIN, ZONE], corefile).build().ok().unwrap();
    assert_eq!(brief(&axfr(&kit, "example.org")), ("NOERROR", 4));
}
