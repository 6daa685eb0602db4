#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use catena_core::name::Zone as ZoneName;
use catena_core::{Class, Outgoing, RecordRef, Rtype};
use proptest::prelude::*;

use super::assembly::Room;
use super::{Assembly, AssemblyError, CHANGES_OCTETS_MAX, Progress};
use crate::zonefile::NoInclude;
use crate::{SharedZone, Zone, load};

const APEX: &[u8] = b"\x07example\x03org\x00";

fn zone(serial: u32, rest: &str) -> Zone {
    let text =
        format!("@ 60 IN SOA ns admin {serial} 7200 3600 1209600 300\n@ 60 IN NS ns\nns 60 IN A 192.0.2.53\n{rest}");
    load(text.as_bytes(), "db", &ZoneName::parse("example.org").unwrap(), &NoInclude).unwrap()
}

fn push(message: &mut Vec<u8>, record: RecordRef<'_>) {
    message.extend_from_slice(record.owner);
    message.extend_from_slice(&record.rtype.to_int().to_be_bytes());
    message.extend_from_slice(&record.class.to_int().to_be_bytes());
    message.extend_from_slice(&record.ttl.to_be_bytes());
    message.extend_from_slice(&u16::try_from(record.rdata.len()).unwrap().to_be_bytes());
    message.extend_from_slice(record.rdata);
    message[7] += 1;
}

/// The messages of a transfer, each with so many records.
fn messages(mut outgoing: Box<dyn Outgoing>, records: usize) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let head = || vec![0x12, 0x34, 0x84, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut message = head();
    while let Some(record) = outgoing.next() {
        push(&mut message, record);
        if usize::from(message[7]) == records {
            all.push(std::mem::replace(&mut message, head()));
        }
    }
    if message[7] > 0 {
        all.push(message);
    }
    all
}

fn assemble(messages: &[Vec<u8>], current: Option<Zone>) -> Result<Option<Zone>, AssemblyError> {
    let mut assembly = Assembly::new(APEX, 0x1234, current.map(Arc::new));
    for message in messages {
        match assembly.message(message)? {
            Progress::More => {}
            Progress::UpToDate => return Ok(None),
            Progress::Done(zone) => return Ok(Some(zone)),
        }
    }
    panic!("the transfer has no end");
}

fn text(zone: &Zone) -> Vec<String> {
    let mut lines: Vec<String> = zone
        .records()
        .map(|record| {
            let mut line = Vec::new();
            crate::zonefile::write_record(record, &mut line);
            String::from_utf8(line).unwrap()
        })
        .collect();
    lines.sort();
    lines
}

const OLD: &str = "a 60 IN A 192.0.2.1\nb 60 IN A 192.0.2.2\n";
const NEW: &str = "b 60 IN A 192.0.2.22\nc 60 IN TXT c\n";

#[test]
fn a_whole_zone_arrives_however_it_is_cut_into_messages() {
    for records in 1..=7 {
        let sent = messages(SharedZone::serving(zone(7, OLD)).transfer(None).unwrap(), records);
        let got = assemble(&sent, None).unwrap().unwrap();
        assert_eq!(text(&got), text(&zone(7, OLD)), "{records} a message");
    }
}

#[test]
fn what_changed_in_two_steps_arrives_however_it_is_cut_into_messages() {
    let shared = SharedZone::serving(zone(7, OLD));
    shared.replace(zone(8, ""));
    shared.replace(zone(9, NEW));
    for records in 1..=20 {
        // A journal that is longer than the zone would be sent whole: that is a transfer, too.
        let sent = messages(shared.transfer(Some(7)).unwrap(), records);
        let got = assemble(&sent, Some(zone(7, OLD))).unwrap().unwrap();
        assert_eq!(text(&got), text(&zone(9, NEW)), "{records} a message");
    }
}

#[test]
fn differences_change_only_what_they_name() {
    let many: String = (0..50).map(|host| format!("h{host} 60 IN A 192.0.2.{host}\n")).collect();
    let shared = SharedZone::serving(zone(7, &format!("{many}{OLD}")));
    shared.replace(zone(8, &format!("{many}{NEW}")));
    let sent = messages(shared.transfer(Some(7)).unwrap(), 100);
    assert!(sent[0][7] < 12, "{} records: only the differences", sent[0][7]);
    let got = assemble(&sent, Some(zone(7, &format!("{many}{OLD}")))).unwrap().unwrap();
    assert_eq!(text(&got), text(&zone(8, &format!("{many}{NEW}"))));
}

#[test]
fn one_soa_record_says_that_nothing_changed() {
    let sent = messages(SharedZone::serving(zone(7, OLD)).transfer(Some(7)).unwrap(), 100);
    assert!(assemble(&sent, Some(zone(7, OLD))).unwrap().is_none());
}

#[test]
fn a_whole_zone_may_come_for_what_changed() {
    let sent = messages(SharedZone::serving(zone(9, NEW)).transfer(None).unwrap(), 3);
    assert_eq!(text(&assemble(&sent, Some(zone(7, OLD))).unwrap().unwrap()), text(&zone(9, NEW)));
}

#[test]
fn differences_of_another_version_are_refused() {
    let shared = SharedZone::serving(zone(7, OLD));
    shared.replace(zone(8, &format!("{OLD}c 60 IN TXT c\n")));
    let mut sent = messages(shared.transfer(Some(7)).unwrap(), 100);
    let mut assembly = Assembly::new(APEX, 0x1234, Some(Arc::new(zone(7, OLD))));
    // The serial number that the first step leads to is not the one at the end.
    let at = sent[0].len() - 20;
    sent[0][at + 3] ^= 8;
    assert!(assembly.message(&sent[0]).is_err());
}

#[test]
fn what_is_no_transfer_of_the_zone_is_refused() {
    let good = messages(SharedZone::serving(zone(7, OLD)).transfer(None).unwrap(), 100).remove(0);
    let told = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut message = good.clone();
        change(&mut message);
        assemble(&[message], None).err()
    };
    assert_eq!(told(&|_| {}), None);
    assert_eq!(told(&|message| message[0] = 0), Some(AssemblyError::OtherReply));
    assert_eq!(told(&|message| message[2] = 0), Some(AssemblyError::OtherReply));
    assert_eq!(told(&|message| message[3] = 5), Some(AssemblyError::Rcode(5)));
    assert_eq!(told(&|message| message[7] = 0), Some(AssemblyError::NoSoa));
    assert_eq!(told(&|message| message[13] = b'x'), Some(AssemblyError::NoSoa));
    assert_eq!(told(&|message| message.truncate(message.len() - 1)), Some(AssemblyError::Malformed));
    let twice = [&good[12..], &good[12..]].concat();
    let longer = |message: &mut Vec<u8>| {
        message.truncate(12);
        message.extend_from_slice(&twice);
        message[7] *= 2;
    };
    assert_eq!(told(&longer), Some(AssemblyError::Surplus));
}

/// Differences from version 7 to version 8 as a primary might send them, the records in the form of zone files.
fn sent(removed: &str, added: &str) -> Vec<u8> {
    let soa = |serial: u32| {
        format!("example.org. 60 IN SOA ns.example.org. admin.example.org. {serial} 7200 3600 1209600 300\n")
    };
    let text = [&soa(8), &soa(7), removed, &soa(8), added, &soa(8)].map(str::to_owned).concat();
    let mut message = vec![0x12, 0x34, 0x84, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for line in text.lines() {
        let record = crate::zonefile::parse_record(line.as_bytes(), &[0], 0).unwrap().unwrap();
        push(&mut message, record.as_ref());
    }
    message
}

#[test]
fn records_are_removed_whatever_the_case_of_their_names() {
    let old = zone(7, "@ 60 IN MX 5 mail\nb 60 IN A 192.0.2.2\n");
    let removed = "EXAMPLE.org. 60 IN MX 5 Mail.Example.ORG.\nexample.org. 60 IN NS NS.example.org.\n";
    let got = assemble(&[sent(removed, "example.org. 60 IN NS x.example.net.\n")], Some(old)).unwrap().unwrap();
    let kinds: Vec<_> =
        got.records().filter(|record| record.owner == APEX).map(|record| record.rtype.to_string()).collect();
    assert_eq!(kinds, ["NS", "SOA"], "one NS record, no MX record");
}

#[test]
fn removing_what_is_not_there_is_an_error() {
    let told = |removed: &str| assemble(&[sent(removed, "")], Some(zone(7, OLD))).err();
    assert_eq!(told("a.example.org. 60 IN A 192.0.2.1\n"), None);
    assert_eq!(told("a.example.org. 60 IN A 192.0.2.7\n"), Some(AssemblyError::Differences));
    let twice = "a.example.org. 60 IN A 192.0.2.1\n".repeat(2);
    assert_eq!(told(&twice), Some(AssemblyError::Differences));
    // The zone never had it, as it is outside.
    assert_eq!(told("a.example.net. 60 IN A 192.0.2.1\n"), None);
}

#[test]
fn what_comes_and_goes_and_comes_again_has_the_ttl_of_the_end() {
    let shared = SharedZone::serving(zone(7, OLD));
    let many: String = (0..50).map(|host| format!("h{host} 60 IN A 192.0.2.{host}\n")).collect();
    let versions = [
        "x 60 IN A 192.0.2.9\n",
        "",
        "x 70 IN A 192.0.2.9\n",
        "x 80 IN A 192.0.2.9\ny 1 IN TXT y\n",
        "x 90 IN A 192.0.2.9\n",
    ];
    shared.replace(zone(8, &many));
    for (serial, version) in (9..).zip(versions) {
        shared.replace(zone(serial, &format!("{many}{version}")));
    }
    let sent = messages(shared.transfer(Some(8)).unwrap(), 7);
    let got = assemble(&sent, Some(zone(8, &many))).unwrap().unwrap();
    assert_eq!(text(&got), text(&zone(13, &format!("{many}x 90 IN A 192.0.2.9\n"))));
}

#[test]
fn a_whole_zone_has_so_many_octets_and_records_and_no_more() {
    let sent = messages(SharedZone::serving(zone(7, OLD)).transfer(None).unwrap(), 2);
    let came = |octets, records| {
        let mut assembly = Assembly::new(APEX, 0x1234, None).with_room(Room { octets, records });
        let mut last = None;
        for message in &sent {
            last = Some(assembly.message(message)?);
        }
        Ok(matches!(last, Some(Progress::Done(_))))
    };
    // All of the messages but their heads, and the closing SOA record.
    let all: Vec<_> = zone(7, OLD).records().map(|record| record.owner.len() + 10 + record.rdata.len()).collect();
    let (octets, records) = (all.iter().sum(), all.len());
    assert_eq!(came(octets, records), Ok(true));
    assert_eq!(came(octets - 1, records), Err(AssemblyError::TooLarge));
    assert_eq!(came(octets, records - 1), Err(AssemblyError::TooLarge));
}

#[test]
fn too_much_of_differences_is_an_error() {
    let owner = b"\x01x\x07example\x03org\x00";
    let rdata = vec![0; 60_000];
    let record = RecordRef { owner, rtype: Rtype::from_int(65_400), class: Class::IN, ttl: 1, rdata: &rdata };
    let mut head = sent("", "");
    // The opening SOA record, and the older one that begins what is removed.
    let soa_octets = (head.len() - 12) / 4;
    head.truncate(12 + 2 * soa_octets);
    head[7] = 2;
    let mut assembly = Assembly::new(APEX, 0x1234, Some(Arc::new(zone(7, OLD))));
    assert!(matches!(assembly.message(&head).unwrap(), Progress::More));
    let mut more = vec![0x12, 0x34, 0x84, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    push(&mut more, record);
    for _ in 0..CHANGES_OCTETS_MAX / (owner.len() + rdata.len()) {
        assert!(matches!(assembly.message(&more).unwrap(), Progress::More));
    }
    assert_eq!(assembly.message(&more).unwrap_err(), AssemblyError::TooMuch);
}

proptest! {
    #[test]
    fn broken_messages_are_errors_and_nothing_worse(at in 0_usize..400, octet: u8, cut in 0_usize..400) {
        let shared = SharedZone::serving(zone(7, OLD));
        shared.replace(zone(8, NEW));
        for (mut message, current) in [
            (messages(shared.transfer(None).unwrap(), 100).remove(0), None),
            (messages(shared.transfer(Some(7)).unwrap(), 100).remove(0), Some(Arc::new(zone(7, OLD)))),
        ] {
            let len = message.len();
            message[at % len] = octet;
            message.truncate(len - cut % 8);
            let mut assembly = Assembly::new(APEX, 0x1234, current);
            let _ = assembly.message(&message);
            let _ = assembly.message(&message);
        }
    }
}
