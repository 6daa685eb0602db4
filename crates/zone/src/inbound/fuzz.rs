//! What must hold for all messages of a transfer: shared by the fuzz target and the replay of its corpus.

use std::sync::Arc;

use catena_core::name::Zone as ZoneName;
use catena_core::{LabelStarts, RecordRef, Rtype};

use super::{Assembly, Progress};
use crate::tsig::{Algorithm, Conversation, Key};
use crate::zonefile::NoInclude;
use crate::{Builder, SharedZone, Taken, Zone, load};

const APEX: &[u8] = b"\x07example\x03org\x00";
/// The id that messages must have.
const ID: u16 = 0x1234;
/// The version that is here when only what changed is asked for.
const HERE: &str = "@ 60 IN SOA ns admin 7 7200 3600 1209600 300\n@ 60 IN NS ns\nns 60 IN A 192.0.2.53\na 60 IN A 192.0.2.1\n\
                    b 60 IN MX 5 mail\n*.w 60 IN TXT w\n";

/// Takes messages, each with its length in front, as a transfer: of what changed if the first octet is odd, and of everything otherwise.
///
/// # Panics
/// When something that must hold does not.
pub fn fuzz_one(data: &[u8]) {
    let Some((&kind, mut rest)) = data.split_first() else { return };
    let here = ZoneName::parse("example.org").and_then(|name| load(HERE.as_bytes(), "db", &name, &NoInclude).ok());
    let current = here.filter(|_| kind & 1 == 1).map(Arc::new);
    let mut assembly = Assembly::new(APEX, ID, current.clone());
    let mut conversation = Key::new("k", "c2VjcmV0", Algorithm::Sha256)
        .ok()
        .map(|key| Conversation::sign(Arc::new(key), &mut vec![0; 12], 1_700_000_000));
    while let Some((len, after)) = rest.split_first_chunk::<2>() {
        let (message, next) = after.split_at(usize::from(u16::from_be_bytes(*len)).min(after.len()));
        rest = next;
        if let Some(conversation) = &mut conversation {
            let _ = conversation.check(message, 1_700_000_000);
        }
        match assembly.message(message) {
            Ok(Progress::More) => {}
            Ok(Progress::Done(zone)) => return check(zone, current.as_deref()),
            Ok(Progress::UpToDate) => {
                assert!(current.is_some(), "what is up to date was here before");
                return;
            }
            Err(_) => return,
        }
    }
}

/// A zone that came goes out and comes in as it is.
fn check(zone: Zone, before: Option<&Zone>) {
    let records: Vec<_> = zone.records().collect();
    assert!(records.iter().any(|record| record.rtype == Rtype::SOA && record.owner == APEX));
    for record in &records {
        let starts = LabelStarts::of(record.owner);
        assert!(record.owner.ends_with(APEX) && starts.count() >= 2, "{record:?} is in the zone");
    }
    let shared = SharedZone::default();
    if let Some(before) = before {
        shared.replace(copy(before));
    }
    shared.replace(copy(&zone));
    let again = |serial, current| {
        let mut outgoing = shared.transfer(serial)?;
        let mut assembly = Assembly::new(APEX, ID, current);
        while let Some(record) = outgoing.next() {
            match assembly.message(&message(record)) {
                Ok(Progress::Done(zone)) => return Some(zone),
                Ok(Progress::UpToDate) => return None,
                Ok(Progress::More) => {}
                Err(error) => panic!("{error}: {record:?}"),
            }
        }
        panic!("a transfer without an end");
    };
    let same = |got: Zone| assert!(got.records().eq(zone.records()), "other records than before");
    again(None, None).into_iter().for_each(same);
    if let Some(before) = before {
        let got = again(Some(before.serial()), Some(Arc::new(copy(before))));
        got.into_iter().for_each(|got| {
            // Records that came stand behind those that were there.
            let sorted = |zone: &Zone| {
                let mut all: Vec<_> =
                    zone.records().map(|r| (r.owner.to_vec(), r.rtype, r.rdata.to_vec(), r.ttl)).collect();
                all.sort();
                all
            };
            assert_eq!(sorted(&got), sorted(&zone), "other records than before");
        });
    }
}

fn copy(zone: &Zone) -> Zone {
    let mut builder = Builder::new(zone.apex());
    for record in zone.records() {
        assert_eq!(builder.push(record), Ok(Taken::Kept), "{record:?}");
    }
    builder.finish().unwrap_or_else(|error| panic!("{error}"))
}

/// A message of one record.
fn message(record: RecordRef<'_>) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    message.extend_from_slice(record.owner);
    message.extend_from_slice(&record.rtype.to_int().to_be_bytes());
    message.extend_from_slice(&record.class.to_int().to_be_bytes());
    message.extend_from_slice(&record.ttl.to_be_bytes());
    message.extend_from_slice(&(record.rdata.len() as u16).to_be_bytes());
    message.extend_from_slice(record.rdata);
    message
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_fuzzers_corpus_does_no_harm() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/transfer");
        let mut count = 0;
        for entry in fs::read_dir(corpus).unwrap() {
            super::fuzz_one(&fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count >= 10);
    }
}
