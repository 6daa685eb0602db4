#![allow(clippy::unwrap_used, clippy::expect_used)]

mod corpus;
mod journal;
mod rules;
mod served;

use catena_core::name::owned;
use catena_core::{Class, Rcode, Rtype};

use super::{Update, apply};
use crate::zonefile::{Options, parse_record, read_zone, write_record};
use crate::{Builder, Difference, Zone};

/// The zone of the tests: serial 10, two name servers, a few names.
pub(super) const ZONE: &str = "@ 60 IN SOA ns admin 10 7200 3600 1209600 300
@ 60 IN NS ns
@ 60 IN NS ns.example.net.
@ 60 IN TXT \"apex\"
a 60 IN A 192.0.2.1
a 60 IN A 192.0.2.2
a 60 IN TXT \"x\"
alias 60 IN CNAME Target
b.c 60 IN PTR Host.example.net.
";

pub(super) fn wire(text: &str) -> Vec<u8> {
    let name = if text == "@" { "example.org".to_owned() } else { format!("{text}.example.org") };
    let name = if let Some(absolute) = text.strip_suffix('.') { absolute.to_owned() } else { name };
    owned(&name).unwrap().as_slice().to_vec()
}

pub(super) fn zone_of(text: &str) -> Zone {
    let mut builder = Builder::new(&wire("@"));
    let mut sink = |record: crate::RecordRef<'_>| builder.push(record).map(drop).map_err(|error| error.to_string());
    read_zone(text.as_bytes(), &Options::new("zone", &wire("@")), &mut sink).unwrap();
    builder.finish().unwrap()
}

pub(super) fn text_of(zone: &Zone) -> Vec<String> {
    let line = |record| {
        let mut text = Vec::new();
        write_record(record, &mut text);
        String::from_utf8(text).unwrap().trim_end().replace('\t', " ")
    };
    zone.records().map(line).collect()
}

/// A record of an update by a line: `yes NAME [TYPE]` and `no NAME [TYPE]` for prerequisites and `is RECORD` for one with a value;
/// `add RECORD`, `del NAME [TYPE [RDATA]]` for changes.
fn record(line: &str) -> (bool, Vec<u8>) {
    let (verb, rest) = line.trim().split_once(' ').unwrap();
    let words: Vec<&str> = rest.split(' ').collect();
    let is_whole = matches!(verb, "is" | "add") || words.len() > 2;
    let (class, ttl) = match (verb, is_whole) {
        ("yes", _) | ("del", false) => (Class::ANY, 0),
        ("no", _) | ("del", true) => (Class::NONE, 0),
        ("is", _) => (Class::IN, 0),
        _ => (Class::IN, 60),
    };
    let (owner, rtype, rdata) = if is_whole {
        let found = parse_record(rest.as_bytes(), &wire("@"), ttl).unwrap().unwrap();
        (found.owner, found.rtype, found.rdata)
    } else {
        (wire(words[0]), words.get(1).map_or(Rtype::ANY, |rtype| rtype.parse().unwrap()), Vec::new())
    };
    // An explicit TTL is one of the record's; the tests write it as the word behind the owner.
    let ttl = if verb == "add" { words[1].parse().unwrap_or(ttl) } else { ttl };
    let mut octets = owner;
    octets.extend(rtype.to_int().to_be_bytes());
    octets.extend(class.to_int().to_be_bytes());
    octets.extend(ttl.to_be_bytes());
    octets.extend(u16::try_from(rdata.len()).unwrap().to_be_bytes());
    octets.extend(rdata);
    (matches!(verb, "yes" | "no" | "is"), octets)
}

/// The message of an update of `example.org`.
pub(super) fn message(lines: &str) -> Vec<u8> {
    let records: Vec<_> = lines.lines().filter(|line| !line.trim().is_empty()).map(record).collect();
    let prerequisites = u16::try_from(records.iter().filter(|(is_one, _)| *is_one).count()).unwrap();
    let changes = u16::try_from(records.len()).unwrap() - prerequisites;
    let mut message = Vec::new();
    for number in [7, 5 << 11, 1, prerequisites, changes, 0] {
        message.extend(u16::to_be_bytes(number));
    }
    message.extend(wire("@"));
    message.extend([0, 6, 0, 1]);
    for (_, octets) in records.iter().filter(|(is_one, _)| *is_one).chain(records.iter().filter(|(is_one, _)| !is_one))
    {
        message.extend(octets);
    }
    message
}

pub(super) fn update(lines: &str) -> Update {
    Update::read(&message(lines)).unwrap()
}

pub(super) fn step(zone: &Zone, lines: &str) -> Result<Option<Difference>, Rcode> {
    apply(&update(lines), zone)
}

/// What an update makes of a zone: what goes, `-`, and what comes, `+`, the SOA left out; and the serial number.
fn changed(zone: &str, lines: &str) -> (u32, Vec<String>) {
    let old = zone_of(zone);
    let Some(step) = step(&old, lines).unwrap() else { return (old.serial(), Vec::new()) };
    let new = step.apply(&old).unwrap();
    let (before, after) = (text_of(&old), text_of(&new));
    let only = |these: &[String], those: &[String], sign: char| -> Vec<String> {
        let fits = |line: &&String| !those.contains(line) && !line.contains(" SOA ");
        these.iter().filter(fits).map(|line| format!("{sign}{}", line.replace(".example.org.", ""))).collect()
    };
    (new.serial(), [only(&before, &after, '-'), only(&after, &before, '+')].concat())
}
