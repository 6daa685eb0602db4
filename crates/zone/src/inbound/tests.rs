#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use catena_core::name::Zone as ZoneName;
use catena_core::{Outgoing, RecordRef};
use proptest::prelude::*;

use super::{Assembly, AssemblyError, Progress};
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
