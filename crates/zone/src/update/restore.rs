//! A zone made from its journal.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use catena_core::{RecordRef, Rtype};

use super::frame::{Found, Frame, Frames, JournalError};
use crate::zonefile::RecordBuf;
use crate::{Builder, Difference, JOURNAL_DIFFERENCES_MAX, RecordList, Zone};

/// What a journal holds.
#[derive(Debug)]
pub struct Restored {
    /// The newest version.
    pub zone: Zone,
    /// The last steps that led to it, for transfers; the newest last, [`JOURNAL_DIFFERENCES_MAX`] at most.
    pub steps: Vec<Difference>,
    /// How many steps there are in all.
    pub steps_total: usize,
    /// Where the whole frames end.
    pub(super) end: u64,
    /// Where the base ends.
    pub(super) base_end: u64,
    /// Octets behind the last whole frame: an update that was not confirmed, torn by the end of the process.
    pub torn_octets: u64,
}

/// Reads the journal of a zone, whose name is lower-case; `None` if there is no file. Nothing is written.
///
/// # Errors
/// It cannot be read, is of another zone, or is damaged elsewhere than at its end.
pub fn restore(path: &Path, apex: &[u8]) -> Result<Option<Restored>, JournalError> {
    let io = |error| JournalError::Io { path: path.to_owned(), error };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let octets = file.metadata().map_err(io)?.len();
    let damaged = |at, what: String| JournalError::Damaged { path: path.to_owned(), at, what };
    let frames = Frames::new(BufReader::new(file), octets).map_err(io)?;
    let mut frames = frames.ok_or_else(|| damaged(0, "it is no journal".to_owned()))?;
    let base = read_base(&mut frames, apex).map_err(|fault| fault.at(path, frames.at))?;
    let base_end = frames.at;
    let (mut net, mut steps, mut serial) = (Net::default(), VecDeque::new(), base.serial());
    let mut steps_total = 0;
    loop {
        match frames.next().map_err(io)? {
            Found::Whole(Frame::Step(step)) if step.from == serial => {
                serial = step.to;
                net.take(&step);
                steps_total += 1;
                steps.push_back(step);
                if steps.len() > JOURNAL_DIFFERENCES_MAX {
                    steps.pop_front();
                }
            }
            Found::Whole(_) => return Err(damaged(frames.at, "a step that does not follow".to_owned())),
            Found::Wrong(what) => return Err(damaged(frames.at, what.to_owned())),
            Found::End | Found::Torn => break,
        }
    }
    let zone = if steps_total == 0 {
        base
    } else {
        net.apply(&base).map_err(|error| damaged(frames.at, error.to_string()))?
    };
    let torn_octets = octets - frames.at;
    Ok(Some(Restored { zone, steps: steps.into(), steps_total, end: frames.at, base_end, torn_octets }))
}

/// What is wrong with a base.
enum Fault {
    Io(io::Error),
    What(String),
}

impl Fault {
    fn at(self, path: &Path, at: u64) -> JournalError {
        let path = path.to_owned();
        match self {
            Self::Io(error) => JournalError::Io { path, error },
            Self::What(what) => JournalError::Damaged { path, at, what },
        }
    }
}

impl From<&str> for Fault {
    fn from(what: &str) -> Self {
        Self::What(what.to_owned())
    }
}

fn read_base(frames: &mut Frames<BufReader<File>>, apex: &[u8]) -> Result<Zone, Fault> {
    let Found::Whole(Frame::Base { serial, records, zone, .. }) = frames.next().map_err(Fault::Io)? else {
        return Err("it does not begin with a zone".into());
    };
    if zone != apex {
        return Err("it is of another zone".into());
    }
    let mut builder = Builder::new(apex);
    let mut left = records;
    while left > 0 {
        let Found::Whole(Frame::Records(list)) = frames.next().map_err(Fault::Io)? else {
            return Err("the records of the zone are not whole".into());
        };
        left = left.checked_sub(list.len() as u64).filter(|_| !list.is_empty()).ok_or("other records than it has")?;
        for record in list.iter() {
            builder.push(record).map_err(|error| Fault::What(error.to_string()))?;
        }
    }
    let zone = builder.finish().map_err(|error| Fault::What(error.to_string()))?;
    if zone.serial() == serial { Ok(zone) } else { Err("its serial number is another one".into()) }
}

/// Owner, type and rdata of a record.
type Key = (Vec<u8>, Rtype, Vec<u8>);

/// What many steps come to, so that the zone is made once.
#[derive(Default)]
struct Net {
    /// Records of the base that go.
    removed: HashSet<Key>,
    /// Records that come, each with a number that tells their order.
    added: HashMap<Key, (usize, RecordBuf)>,
    /// How many came so far.
    count: usize,
    soa: Option<RecordBuf>,
    serial: u32,
}

impl Net {
    fn take(&mut self, step: &Difference) {
        self.serial = step.to;
        for record in step.removed.iter().filter(|record| record.rtype != Rtype::SOA) {
            let key = key(record);
            if self.added.remove(&key).is_none() {
                self.removed.insert(key);
            }
        }
        for record in step.added.iter() {
            if record.rtype == Rtype::SOA {
                self.soa = Some(record.into());
            } else {
                self.added.insert(key(record), (self.count, record.into()));
                self.count += 1;
            }
        }
    }

    /// All steps as one.
    fn apply(&self, base: &Zone) -> Result<Zone, crate::BuildError> {
        let (class, mut removed, mut added) = (base.class(), RecordList::default(), RecordList::default());
        removed.push(base.soa());
        for (owner, rtype, rdata) in &self.removed {
            removed.push(RecordRef { owner, rtype: *rtype, class, ttl: 0, rdata });
        }
        self.soa.iter().for_each(|soa| added.push(soa.as_ref()));
        let mut come: Vec<_> = self.added.values().collect();
        come.sort_unstable_by_key(|(number, _)| *number);
        come.iter().for_each(|(_, record)| added.push(record.as_ref()));
        Difference { from: base.serial(), to: self.serial, removed, added }.apply(base)
    }
}

fn key(record: RecordRef<'_>) -> Key {
    (record.owner.to_ascii_lowercase(), record.rtype, record.rdata.to_vec())
}
