//! From the messages of a transfer to a zone. Pure: no sockets, so anything can be thrown at it.

use std::sync::Arc;

use catena_core::wire::{self, HEADER_OCTETS, Malformed, u16_at};
use catena_core::{RecordRef, Rtype};

use crate::{BuildError, Builder, Difference, RecordList, Zone, is_newer};

/// The most messages of one transfer.
pub const TRANSFER_MESSAGES_MAX: usize = 1 << 20;

/// The most octets of the differences of one transfer. More of them take longer than the whole zone.
pub const CHANGES_OCTETS_MAX: usize = 64 << 20;

/// The most octets of the records of a whole zone that is fetched, without compression: some ten million records. A zone in memory takes about as much,
/// and one that never ends must not take all there is.
pub const TRANSFER_OCTETS_MAX: usize = 1 << 30;
/// The most records of a whole zone that is fetched. Small ones take more memory than their octets.
pub const TRANSFER_RECORDS_MAX: usize = 1 << 25;

/// Why messages make no zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssemblyError {
    /// A message does not parse.
    #[error("broken message")]
    Malformed,
    /// A message is no reply to this transfer.
    #[error("not a reply to the question")]
    OtherReply,
    /// The primary says no.
    #[error("dns: bad xfr rcode: {0}")]
    Rcode(u8),
    /// The first record is not the zone's SOA record, or there is none.
    #[error("no SOA")]
    NoSoa,
    /// The differences do not follow each other, or are not of the version that is here.
    #[error("differences that do not follow each other")]
    Differences,
    /// More than [`CHANGES_OCTETS_MAX`] octets of differences.
    #[error("more than {CHANGES_OCTETS_MAX} octets of differences")]
    TooMuch,
    /// More than [`TRANSFER_OCTETS_MAX`] octets, or [`TRANSFER_RECORDS_MAX`] records, of a whole zone.
    #[error("more than {TRANSFER_OCTETS_MAX} octets or {TRANSFER_RECORDS_MAX} records")]
    TooLarge,
    /// Records behind the end.
    #[error("records after the last SOA")]
    Surplus,
    /// More than [`TRANSFER_MESSAGES_MAX`] messages.
    #[error("more than {TRANSFER_MESSAGES_MAX} messages")]
    TooLong,
    /// The records are no zone.
    #[error("zone {0}")]
    Build(#[from] BuildError),
}

impl From<Malformed> for AssemblyError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// What there is after a message.
#[derive(Debug)]
pub enum Progress {
    /// More has to come.
    More,
    /// The primary has nothing newer.
    UpToDate,
    /// The new version.
    Done(Zone),
}

/// Where the transfer is.
enum State {
    /// Nothing came yet.
    Start,
    /// The first SOA record came, with this serial number: what follows tells which kind of transfer it is.
    Opened(u32),
    /// The whole zone comes.
    Whole(Box<Builder>),
    /// Differences come.
    Changes(Box<Changes>),
    /// All is there.
    Ended,
}

/// Differences on their way. The version that they make is made at the end, so a broken transfer changes nothing.
struct Changes {
    /// The serial number at the end of all.
    last: u32,
    steps: Vec<Difference>,
    /// The step being read; whether records come that are added.
    step: Difference,
    is_adding: bool,
    octets: usize,
}

/// A transfer being put together.
pub struct Assembly {
    apex: Box<[u8]>,
    id: u16,
    current: Option<Arc<Zone>>,
    state: State,
    messages: usize,
    soa: Vec<u8>,
    room: Room,
}

/// What may yet come of a whole zone.
#[derive(Clone, Copy)]
pub(super) struct Room {
    pub(super) octets: usize,
    pub(super) records: usize,
}

impl Room {
    fn take(&mut self, record: RecordRef<'_>) -> Result<(), AssemblyError> {
        let octets = record.owner.len() + RECORD_FIXED_OCTETS + record.rdata.len();
        self.octets = self.octets.checked_sub(octets).ok_or(AssemblyError::TooLarge)?;
        self.records = self.records.checked_sub(1).ok_or(AssemblyError::TooLarge)?;
        Ok(())
    }
}

/// Type, class, TTL and length of the rdata.
const RECORD_FIXED_OCTETS: usize = 10;

impl Assembly {
    /// For a zone of this name in lower case on the wire, whose transfer was asked for with this id; `current` is the version that is here if
    /// only what changed was asked for.
    #[must_use]
    pub fn new(apex: &[u8], id: u16, current: Option<Arc<Zone>>) -> Self {
        let room = Room { octets: TRANSFER_OCTETS_MAX, records: TRANSFER_RECORDS_MAX };
        Self { apex: apex.into(), id, current, state: State::Start, messages: 0, soa: Vec::new(), room }
    }

    /// With less room for a whole zone.
    #[cfg(test)]
    pub(super) fn with_room(self, room: Room) -> Self {
        Self { room, ..self }
    }

    /// Takes the next message.
    ///
    /// # Errors
    /// The transfer is of no use; what is here stays as it is.
    pub fn message(&mut self, message: &[u8]) -> Result<Progress, AssemblyError> {
        self.messages += 1;
        if self.messages > TRANSFER_MESSAGES_MAX {
            return Err(AssemblyError::TooLong);
        }
        let (mut at, answers) = self.head(message)?;
        let (mut owner, mut rdata) = (Vec::new(), Vec::new());
        for _ in 0..answers {
            let raw = wire::raw_record(message, at)?;
            owner.clear();
            rdata.clear();
            wire::expand_name(message, raw.owner, &mut owner)?;
            wire::expand_rdata(message, &raw, &mut rdata)?;
            at = raw.end;
            let record = RecordRef { owner: &owner, rtype: raw.rtype, class: raw.class, ttl: raw.ttl, rdata: &rdata };
            self.record(record)?;
        }
        self.progress()
    }

    /// Checks header and question; where the answers start and how many there are.
    fn head(&self, message: &[u8]) -> Result<(usize, u16), AssemblyError> {
        let bits = u16_at(message, 2)?;
        if u16_at(message, 0)? != self.id || bits & 0x8000 == 0 || bits & 0x7800 != 0 {
            return Err(AssemblyError::OtherReply);
        }
        if bits & 0x000f != 0 {
            return Err(AssemblyError::Rcode((bits & 0x000f) as u8));
        }
        let mut at = HEADER_OCTETS;
        // Messages behind the first may come without a question (RFC 5936 section 2.2.1).
        for _ in 0..u16_at(message, 4)? {
            let mut name = Vec::new();
            let end = wire::expand_name(message, at, &mut name)?;
            if !name.eq_ignore_ascii_case(&self.apex) {
                return Err(AssemblyError::OtherReply);
            }
            at = end + 4;
        }
        Ok((at, u16_at(message, 6)?))
    }

    fn record(&mut self, record: RecordRef<'_>) -> Result<(), AssemblyError> {
        let is_soa = record.rtype == Rtype::SOA && record.owner.eq_ignore_ascii_case(&self.apex);
        let serial = if is_soa { Some(serial_in(record.rdata).ok_or(AssemblyError::Malformed)?) } else { None };
        match &mut self.state {
            State::Start => {
                let serial = serial.ok_or(AssemblyError::NoSoa)?;
                self.soa = encode(record);
                self.state = State::Opened(serial);
            }
            State::Opened(last) => {
                let last = *last;
                self.second(record, serial, last)?;
            }
            State::Whole(builder) => match serial {
                // The closing SOA record is the opening one.
                Some(_) => self.state = self.finish_whole()?,
                None => {
                    self.room.take(record)?;
                    builder.push(record)?;
                }
            },
            State::Changes(changes) => {
                if changes.take(record, serial)? {
                    self.state = self.finish_changes()?;
                }
            }
            State::Ended => return Err(AssemblyError::Surplus),
        }
        Ok(())
    }

    /// The record behind the first SOA: an SOA with the serial number that is here begins differences, anything else the whole zone.
    fn second(&mut self, record: RecordRef<'_>, serial: Option<u32>, last: u32) -> Result<(), AssemblyError> {
        let here = self.current.as_ref().map(|zone| zone.serial());
        if let Some(serial) = serial
            && Some(serial) == here
            && serial != last
        {
            let mut removed = RecordList::default();
            removed.push(record);
            let step = Difference { from: serial, to: serial, removed, added: RecordList::default() };
            self.state =
                State::Changes(Box::new(Changes { last, steps: Vec::new(), step, is_adding: false, octets: 0 }));
            return Ok(());
        }
        let mut builder = Builder::new(&self.apex);
        let soa = std::mem::take(&mut self.soa);
        let opening = decode(&soa).ok_or(AssemblyError::Malformed)?;
        self.room.take(opening)?;
        builder.push(opening)?;
        if serial.is_some() {
            // A zone of nothing but its SOA record.
            self.state = State::Whole(Box::new(builder));
            self.state = self.finish_whole()?;
            return Ok(());
        }
        self.room.take(record)?;
        builder.push(record)?;
        self.state = State::Whole(Box::new(builder));
        Ok(())
    }

    fn finish_whole(&mut self) -> Result<State, AssemblyError> {
        let State::Whole(builder) = std::mem::replace(&mut self.state, State::Ended) else { return Ok(State::Ended) };
        self.current = Some(Arc::new(builder.finish()?));
        Ok(State::Ended)
    }

    fn finish_changes(&mut self) -> Result<State, AssemblyError> {
        let State::Changes(changes) = std::mem::replace(&mut self.state, State::Ended) else { return Ok(State::Ended) };
        let zone = self.current.take().ok_or(AssemblyError::Differences)?;
        let ends = changes.steps.iter().map(|step| step.to);
        let follow = changes
            .steps
            .iter()
            .map(|step| step.from)
            .eq(std::iter::once(zone.serial()).chain(ends).take(changes.steps.len()));
        if !follow || changes.steps.last().is_none_or(|step| step.to != changes.last) {
            return Err(AssemblyError::Differences);
        }
        let newer = zone.after(changes.steps.iter()).map_err(|error| match error {
            // This is not the primary's version, whatever its serial number.
            BuildError::NotThere(_) => AssemblyError::Differences,
            error => error.into(),
        })?;
        self.current = Some(Arc::new(newer));
        Ok(State::Ended)
    }

    fn progress(&mut self) -> Result<Progress, AssemblyError> {
        match self.state {
            State::Start => Err(AssemblyError::NoSoa),
            // One SOA record alone says that nothing changed (RFC 1995 section 2); without a version here it begins the zone.
            State::Opened(serial) => match &self.current {
                Some(zone) if !is_newer(serial, zone.serial()) => Ok(Progress::UpToDate),
                _ => Ok(Progress::More),
            },
            State::Whole(_) | State::Changes(_) => Ok(Progress::More),
            State::Ended => {
                let zone = self.current.take().ok_or(AssemblyError::NoSoa)?;
                Ok(Progress::Done(Arc::try_unwrap(zone).map_err(|_| AssemblyError::Differences)?))
            }
        }
    }
}

impl Changes {
    /// Takes a record; whether it was the last one.
    fn take(&mut self, record: RecordRef<'_>, serial: Option<u32>) -> Result<bool, AssemblyError> {
        self.octets += record.owner.len() + record.rdata.len();
        if self.octets > CHANGES_OCTETS_MAX {
            return Err(AssemblyError::TooMuch);
        }
        let Some(serial) = serial else {
            let list = if self.is_adding { &mut self.step.added } else { &mut self.step.removed };
            list.push(record);
            return Ok(false);
        };
        if !self.is_adding {
            // The newer SOA record begins what is added.
            if !is_newer(serial, self.step.from) {
                return Err(AssemblyError::Differences);
            }
            self.is_adding = true;
            self.step.to = serial;
            self.step.added.push(record);
            return Ok(false);
        }
        // The next step begins with the SOA record that this one ended with; the last SOA record ends all.
        if serial != self.step.to {
            return Err(AssemblyError::Differences);
        }
        let next =
            Difference { from: serial, to: serial, removed: RecordList::default(), added: RecordList::default() };
        self.steps.push(std::mem::replace(&mut self.step, next));
        self.is_adding = false;
        self.step.removed.push(record);
        Ok(serial == self.last)
    }
}

/// The serial number in the rdata of an SOA record.
pub(super) fn serial_in(rdata: &[u8]) -> Option<u32> {
    let fixed = rdata.len().checked_sub(20)?;
    Some(u32::from_be_bytes(*rdata.get(fixed..)?.first_chunk()?))
}

/// One record kept until the next one says what it is for.
fn encode(record: RecordRef<'_>) -> Vec<u8> {
    let mut octets = record.ttl.to_be_bytes().to_vec();
    octets.extend_from_slice(&record.class.to_int().to_be_bytes());
    octets.push(record.owner.len() as u8);
    octets.extend_from_slice(record.owner);
    octets.extend_from_slice(record.rdata);
    octets
}

fn decode(octets: &[u8]) -> Option<RecordRef<'_>> {
    let (ttl, rest) = octets.split_first_chunk::<4>()?;
    let (class, rest) = rest.split_first_chunk::<2>()?;
    let (&owner_len, rest) = rest.split_first()?;
    let (owner, rdata) = rest.split_at_checked(usize::from(owner_len))?;
    Some(RecordRef {
        owner,
        rtype: Rtype::SOA,
        class: catena_core::Class::from_int(u16::from_be_bytes(*class)),
        ttl: u32::from_be_bytes(*ttl),
        rdata,
    })
}
