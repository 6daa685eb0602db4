//! The file of a journal: a line that says what it is, then frames.
//!
//! ```text
//! frame   = length of the payload (4 octets), checksum (8), payload
//! payload = 1 serial(4) records(8) zone                        the base: a whole version of the zone, so many records
//!         | 2 record*                                           some of its records
//!         | 3 from(4) to(4) octets(4) record* record*           a step: serials, the records removed, those added
//! record  = owner length(1) type(2) class(2) TTL(4) rdata length(2) owner rdata
//! ```
//!
//! Numbers have their highest octet first. The checksum is the beginning of SHA-256 over length and payload. A base is written to a file of
//! its own that takes the journal's name when it is whole; steps are appended one by one, each on the disk before the next one comes. So only
//! the last frame can be torn.

use std::io::{self, Read};
use std::path::PathBuf;

use catena_core::{Class, RecordRef, Rtype};
use sha2::{Digest, Sha256};

use super::apply::STEP_OCTETS_MAX;
use crate::{BuildError, Difference, RecordList};

/// What a journal begins with.
pub(super) const MAGIC: &[u8] = b"catena journal 1\n";
/// Length and checksum.
pub(super) const HEAD_OCTETS: usize = 12;
/// The most octets of a payload: a step with its numbers.
const PAYLOAD_OCTETS_MAX: usize = STEP_OCTETS_MAX + 64;
/// The octets of records after which a frame of a base is closed.
pub(super) const CHUNK_OCTETS: usize = 1 << 20;

/// What is wrong with a journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be read or written.
    #[error("journal {path:?}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file is no journal of this zone, or something within it changed.
    #[error("journal {path:?} is damaged at octet {at}: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        at: u64,
        /// What is wrong.
        what: String,
    },
    /// Another zone, or another process, has it.
    #[error("journal {path:?} is in use already")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A write failed before, so it is not known what is on the disk.
    #[error("journal {path:?} could not be written before; it is read again at the next start")]
    Broken {
        /// The file.
        path: PathBuf,
    },
    /// A step makes no zone.
    #[error("the new version: {0}")]
    Build(#[from] BuildError),
}

/// What a frame holds.
pub(super) enum Frame {
    /// The beginning of a base.
    Base { serial: u32, records: u64, zone: Vec<u8> },
    /// Records of the base.
    Records(RecordList),
    /// A step.
    Step(Difference),
}

/// What comes next in the file.
pub(super) enum Found {
    /// A whole frame.
    Whole(Frame),
    /// Nothing.
    End,
    /// A frame that is not whole, and nothing behind it.
    Torn,
    /// Something else, and what.
    Wrong(&'static str),
}

/// Reads frame after frame.
pub(super) struct Frames<R> {
    from: R,
    /// Where the next frame begins.
    pub(super) at: u64,
    /// How long the file is.
    octets: u64,
}

impl<R: Read> Frames<R> {
    /// The frames of a file of this length behind its first line; `None` if it has another one.
    pub(super) fn new(mut from: R, octets: u64) -> io::Result<Option<Self>> {
        let mut magic = [0; MAGIC.len()];
        if octets < MAGIC.len() as u64 {
            return Ok(None);
        }
        from.read_exact(&mut magic)?;
        Ok((magic == MAGIC).then_some(Self { from, at: MAGIC.len() as u64, octets }))
    }

    /// The next frame.
    pub(super) fn next(&mut self) -> io::Result<Found> {
        let left = self.octets.saturating_sub(self.at);
        if left == 0 {
            return Ok(Found::End);
        }
        if left < HEAD_OCTETS as u64 {
            return Ok(Found::Torn);
        }
        let mut head = [0; HEAD_OCTETS];
        self.from.read_exact(&mut head)?;
        let len = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let end = HEAD_OCTETS as u64 + u64::from(len);
        if head == [0; HEAD_OCTETS] {
            // A file may have grown before its octets came to the disk.
            return Ok(if self.is_zero()? { Found::Torn } else { Found::Wrong("a frame without a length") });
        }
        if end > left {
            return Ok(Found::Torn);
        }
        if len as usize > PAYLOAD_OCTETS_MAX {
            return Ok(Found::Wrong("a frame that is too long"));
        }
        let mut payload = vec![0; len as usize];
        self.from.read_exact(&mut payload)?;
        if checksum(&payload) != head[4..] {
            return Ok(if end == left { Found::Torn } else { Found::Wrong("a wrong checksum") });
        }
        self.at += end;
        Ok(read_payload(&payload).map_or(Found::Wrong("a frame that says nothing"), Found::Whole))
    }

    /// Whether all that is left is zeros.
    fn is_zero(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 4096];
        loop {
            match self.from.read(&mut chunk)? {
                0 => return Ok(true),
                len if chunk[..len].iter().any(|octet| *octet != 0) => return Ok(false),
                _ => {}
            }
        }
    }
}

fn checksum(payload: &[u8]) -> [u8; 8] {
    let mut hash = Sha256::new();
    hash.update((payload.len() as u32).to_be_bytes());
    hash.update(payload);
    let digest: [u8; 32] = hash.finalize().into();
    let mut sum = [0; 8];
    sum.copy_from_slice(&digest[..8]);
    sum
}

/// The frame around a payload; payloads are shorter than [`PAYLOAD_OCTETS_MAX`].
pub(super) fn framed(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEAD_OCTETS + payload.len());
    frame.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    frame.extend_from_slice(&checksum(payload));
    frame.extend_from_slice(payload);
    frame
}

/// The frame of a base without its records.
pub(super) fn base_frame(serial: u32, records: u64, zone: &[u8]) -> Vec<u8> {
    let mut payload = vec![1];
    payload.extend_from_slice(&serial.to_be_bytes());
    payload.extend_from_slice(&records.to_be_bytes());
    payload.extend_from_slice(zone);
    framed(&payload)
}

/// The beginning of the payload of records of a base.
pub(super) fn records_payload() -> Vec<u8> {
    vec![2]
}

/// The frame of a step.
pub(super) fn step_frame(step: &Difference) -> Vec<u8> {
    let mut removed = Vec::new();
    step.removed.iter().for_each(|record| write_record(record, &mut removed));
    let mut payload = vec![3];
    payload.extend_from_slice(&step.from.to_be_bytes());
    payload.extend_from_slice(&step.to.to_be_bytes());
    // Bounded by STEP_OCTETS_MAX.
    payload.extend_from_slice(&(removed.len() as u32).to_be_bytes());
    payload.extend_from_slice(&removed);
    step.added.iter().for_each(|record| write_record(record, &mut payload));
    framed(&payload)
}

/// Appends a record; it comes from a zone, so its parts have lengths of 8 and 16 bits.
pub(super) fn write_record(record: RecordRef<'_>, out: &mut Vec<u8>) {
    out.push(record.owner.len() as u8);
    out.extend_from_slice(&record.rtype.to_int().to_be_bytes());
    out.extend_from_slice(&record.class.to_int().to_be_bytes());
    out.extend_from_slice(&record.ttl.to_be_bytes());
    out.extend_from_slice(&(record.rdata.len() as u16).to_be_bytes());
    out.extend_from_slice(record.owner);
    out.extend_from_slice(record.rdata);
}

fn read_payload(payload: &[u8]) -> Option<Frame> {
    let (kind, rest) = payload.split_first()?;
    match kind {
        1 => {
            let (head, zone) = rest.split_first_chunk::<12>()?;
            let [a, b, c, d, records @ ..] = head;
            Some(Frame::Base {
                serial: u32::from_be_bytes([*a, *b, *c, *d]),
                records: u64::from_be_bytes(*records),
                zone: zone.to_vec(),
            })
        }
        2 => Some(Frame::Records(read_records(rest)?)),
        3 => {
            let (numbers, records) = rest.split_first_chunk::<12>()?;
            let [from, to, removed] = *numbers.as_chunks::<4>().0 else { return None };
            let (removed, added) = records.split_at_checked(u32::from_be_bytes(removed) as usize)?;
            Some(Frame::Step(Difference {
                from: u32::from_be_bytes(from),
                to: u32::from_be_bytes(to),
                removed: read_records(removed)?,
                added: read_records(added)?,
            }))
        }
        _ => None,
    }
}

fn read_records(mut rest: &[u8]) -> Option<RecordList> {
    let mut records = RecordList::default();
    while let Some((&owner_len, after)) = rest.split_first() {
        let (head, after) = after.split_first_chunk::<10>()?;
        let (owner, after) = after.split_at_checked(usize::from(owner_len))?;
        let (rdata, after) = after.split_at_checked(usize::from(u16::from_be_bytes([head[8], head[9]])))?;
        records.push(RecordRef {
            owner,
            rtype: Rtype::from_int(u16::from_be_bytes([head[0], head[1]])),
            class: Class::from_int(u16::from_be_bytes([head[2], head[3]])),
            ttl: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
            rdata,
        });
        rest = after;
    }
    Some(records)
}
