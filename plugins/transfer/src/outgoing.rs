//! A zone on its way to a client: records packed into messages as the client takes them.

use std::net::IpAddr;

use catena_core::prelude::*;
use catena_core::{Envelopes, Log, Outgoing, RecordRef};
use catena_gocompat::quote::quote;
use domain::base::Serial;

/// The most octets of records in one message, uncompressed; a larger record travels alone. CoreDNS: plugin/transfer.
pub(crate) const MESSAGE_OCTETS_MAX: usize = 63_000;
/// The largest record that has room in a message of 65535 octets beside header, question, OPT record and signature, octets.
pub(crate) const RECORD_OCTETS_MAX: usize = 64_000;

/// A record that owns its octets.
pub(crate) struct Kept {
    octets: Vec<u8>,
    owner_len: usize,
    rtype: Rtype,
    class: catena_core::Class,
    ttl: u32,
}

impl Kept {
    fn of(record: RecordRef<'_>) -> Self {
        Self {
            octets: [record.owner, record.rdata].concat(),
            owner_len: record.owner.len(),
            rtype: record.rtype,
            class: record.class,
            ttl: record.ttl,
        }
    }

    fn record(&self) -> RecordRef<'_> {
        let (owner, rdata) = self.octets.split_at(self.owner_len);
        RecordRef { owner, rtype: self.rtype, class: self.class, ttl: self.ttl, rdata }
    }

    /// The serial of a SOA record (RFC 1035 section 3.3.13); `None` for any other.
    fn serial(&self) -> Option<u32> {
        let rdata = self.record().rdata;
        let at = rdata.len().checked_sub(20).filter(|_| self.rtype == Rtype::SOA)?;
        rdata.get(at..at + 4).and_then(|octets| octets.try_into().ok()).map(u32::from_be_bytes)
    }
}

/// Who takes which zone, as log lines show it.
pub(crate) struct Bill {
    pub(crate) log: Log,
    /// The name as it was asked for.
    pub(crate) zone: String,
    pub(crate) client: IpAddr,
}

/// What a source of records has for a client.
pub(crate) enum Opened {
    /// Nothing at all.
    Empty,
    /// The client has all that there is: the SOA record alone.
    UpToDate(Kept),
    /// A zone, or what changed in it.
    Zone(Box<Packer>),
}

/// Looks at the first records. `known` is the serial that the client has.
pub(crate) fn open(mut source: Box<dyn Outgoing>, known: Option<u32>, bill: Bill) -> Opened {
    let Some(first) = source.next().map(Kept::of) else { return Opened::Empty };
    let serial = first.serial();
    let is_current = || known.zip(serial).is_some_and(|(known, serial)| Serial(known) >= Serial(serial));
    // RFC 1995 section 2: a client whose serial is the same or newer gets the SOA record alone.
    let second = if is_current() { None } else { source.next().map(Kept::of) };
    let serial_text = serial.unwrap_or(0);
    let Bill { log, zone, client } = &bill;
    let Some(second) = second else {
        if serial.is_some() {
            log.info(format_args!(
                "Outgoing noop, incremental transfer for up to date zone {} to {client} for {serial_text} SOA serial",
                quote(zone)
            ));
        }
        return Opened::UpToDate(first);
    };
    Opened::Zone(Box::new(Packer {
        source,
        waiting: vec![second, first],
        sent: 0,
        serial: serial_text,
        state: State::Going,
        bill,
    }))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Going,
    /// The source has nothing more, or the client was told that it failed.
    Over,
}

/// Packs the records of a source into messages.
pub(crate) struct Packer {
    source: Box<dyn Outgoing>,
    /// Records that were taken from the source and not sent, the next one last.
    waiting: Vec<Kept>,
    sent: usize,
    serial: u32,
    state: State,
    bill: Bill,
}

impl Packer {
    /// Adds a record if it has room. `Err`: it never has.
    fn add(record: RecordRef<'_>, octets: &mut usize, answer: &mut Answer) -> Result<bool, ()> {
        let len = record.plain_len();
        if len > RECORD_OCTETS_MAX {
            return Err(());
        }
        if *octets > 0 && *octets + len > MESSAGE_OCTETS_MAX {
            return Ok(false);
        }
        *octets += len;
        answer.push_wire(Section::Answer, record.owner, record.rtype, record.class, record.ttl, record.rdata);
        Ok(true)
    }

    /// Fills a message; `Err` if a record fits into none.
    fn fill(&mut self, answer: &mut Answer) -> Result<(), ()> {
        let mut octets = 0;
        while let Some(kept) = self.waiting.pop() {
            if !Self::add(kept.record(), &mut octets, answer)? {
                self.waiting.push(kept);
                return Ok(());
            }
        }
        while let Some(record) = self.source.next() {
            if !Self::add(record, &mut octets, answer)? {
                self.waiting.push(Kept::of(record));
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Envelopes for Packer {
    fn next(&mut self, query: &mut Query) -> Option<Box<Answer>> {
        if self.state == State::Over {
            return None;
        }
        let Bill { log, zone, client } = &self.bill;
        let (log, zone, client) = (log.clone(), quote(zone), *client);
        let mut answer = Answer::to(query).authoritative();
        if self.fill(&mut answer).is_err() {
            self.state = State::Over;
            log.error(format_args!(
                "zone {zone} has a record that fits into no message, its transfer to {client} failed"
            ));
            answer.clear_records();
            return Some(answer.with_rcode(Rcode::SERVFAIL));
        }
        let count = answer.count(Section::Answer);
        if count == 0 {
            self.state = State::Over;
            let (sent, serial) = (self.sent, self.serial);
            log.info(format_args!(
                "Outgoing transfer of {sent} records of zone {zone} to {client} for {serial} SOA serial"
            ));
            query.recycle(answer);
            return None;
        }
        self.sent += count;
        Some(answer)
    }
}

impl Drop for Packer {
    fn drop(&mut self) {
        if self.state == State::Going {
            let Bill { log, zone, client } = &self.bill;
            let (zone, sent) = (quote(zone), self.sent);
            log.info(format_args!("Outgoing transfer of zone {zone} to {client} broken off after {sent} records"));
        }
    }
}

/// A reply of the SOA record alone.
pub(crate) fn soa_alone(query: &mut Query, soa: &Kept) -> Box<Answer> {
    let mut answer = Answer::to(query);
    let record = soa.record();
    answer.push_wire(Section::Answer, record.owner, record.rtype, record.class, record.ttl, record.rdata);
    answer
}
