//! The reply a plugin makes: header bits and three sections of records in one flat buffer.
//!
//! Owner names and rdata lie uncompressed, one after the other, in `octets`; each record is an [`Entry`] of offsets and numbers. So a
//! TTL is changed, a record dropped or two records swapped without touching the octets, a cache copies two slices and has an
//! answer, and whoever wants typed data gets it from `domain` on demand.

use std::net::IpAddr;

use domain::base::Name;
use domain::base::iana::OptRcode as Rcode;
use domain::base::iana::{Class, Rtype};
use domain::base::name::ToName;
use domain::base::rdata::ComposeRecordData;

use crate::query::Query;
use crate::record::{Entry, Record, Shape};

/// The most octets of names and rdata in one answer; what is beyond is left out and the reply marked truncated.
pub const ANSWER_OCTETS_MAX: usize = 1 << 20;
/// The most records in one section: its count has 16 bits on the wire (RFC 1035 section 4.1.1).
pub const SECTION_RECORDS_MAX: usize = 65_535;
/// The buffer that a pooled answer keeps between queries, in octets.
const KEEP_OCTETS_MAX: usize = 16 * 1024;
/// The records that a pooled answer keeps room for between queries.
const KEEP_RECORDS_MAX: usize = 512;

/// Header bits as they stand in the third and fourth octet of a message, the rcode left out.
pub mod flags {
    /// This is a response.
    pub const QR: u16 = 0x8000;
    /// The four bits of the opcode.
    pub const OPCODE: u16 = 0x7800;
    /// The opcode UPDATE (RFC 2136 section 1.3).
    pub const OPCODE_UPDATE: u16 = 5 << 11;
    /// Authoritative answer.
    pub const AA: u16 = 0x0400;
    /// Truncated.
    pub const TC: u16 = 0x0200;
    /// Recursion desired.
    pub const RD: u16 = 0x0100;
    /// Recursion available.
    pub const RA: u16 = 0x0080;
    /// Reserved, zero.
    pub const Z: u16 = 0x0040;
    /// Authenticated data (RFC 4035).
    pub const AD: u16 = 0x0020;
    /// Checking disabled (RFC 4035).
    pub const CD: u16 = 0x0010;
    /// The four bits of the rcode, which are kept apart.
    pub const RCODE: u16 = 0x000f;
}

/// A section of records in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The records that answer the question.
    Answer,
    /// Name servers and SOA records.
    Authority,
    /// Records that help.
    Additional,
}

/// All sections, in the order of the wire.
pub const SECTIONS: [Section; 3] = [Section::Answer, Section::Authority, Section::Additional];

/// What a plugin adds to the OPT record of the reply (RFC 6891).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplyEdns {
    /// The UDP size that stood in the reply, octets.
    pub udp_size: u16,
    /// DNSSEC OK.
    pub dnssec_ok: bool,
    /// Options in wire form: code, length, data, one after the other.
    pub options: Vec<u8>,
}

/// A reply message in the making.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The header's flags, see [`flags`].
    pub flags: u16,
    /// The response code, with the extension from the OPT record.
    pub rcode: Rcode,
    /// The OPT record's contents, if a plugin or an upstream put one in.
    pub edns: Option<ReplyEdns>,
    /// How many bits of [`Query::subnet`] the reply depends on; 0: none (RFC 7871 section 7.2.1). Whoever keeps replies by network sets it.
    pub scope: u8,
    octets: Vec<u8>,
    sections: [Vec<Entry>; 3],
    overflowed: bool,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            flags: 0,
            rcode: Rcode::NOERROR,
            edns: None,
            scope: 0,
            octets: Vec::new(),
            sections: [Vec::new(), Vec::new(), Vec::new()],
            overflowed: false,
        }
    }
}

impl Answer {
    /// An empty NOERROR reply to the query: QR set, opcode, RD and CD taken over. Its buffers are the query's spare ones.
    #[must_use]
    pub fn to(query: &mut Query) -> Box<Self> {
        let mut answer = query.take_spare();
        answer.clear();
        answer.flags = query.reply_flags();
        answer
    }

    /// Sets the AA bit.
    #[must_use]
    pub fn authoritative(mut self: Box<Self>) -> Box<Self> {
        self.flags |= flags::AA;
        self
    }

    /// Sets the response code.
    #[must_use]
    pub fn with_rcode(mut self: Box<Self>, rcode: Rcode) -> Box<Self> {
        self.rcode = rcode;
        self
    }

    /// Forgets everything and keeps moderate buffers.
    pub fn clear(&mut self) {
        self.flags = 0;
        self.rcode = Rcode::NOERROR;
        self.edns = None;
        self.scope = 0;
        self.overflowed = false;
        self.clear_records();
    }

    /// Drops all records and keeps moderate buffers.
    pub fn clear_records(&mut self) {
        self.octets.clear();
        self.octets.shrink_to(KEEP_OCTETS_MAX);
        for section in &mut self.sections {
            section.clear();
            section.shrink_to(KEEP_RECORDS_MAX);
        }
    }

    /// Whether a flag is set.
    #[must_use]
    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Sets or clears a flag.
    pub fn set(&mut self, flag: u16, on: bool) {
        if on { self.flags |= flag } else { self.flags &= !flag }
    }

    /// Whether records were left out because of [`ANSWER_OCTETS_MAX`] or [`SECTION_RECORDS_MAX`].
    #[must_use]
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// Adds a record with typed data.
    pub fn push<N, D>(&mut self, section: Section, owner: &N, class: Class, ttl: u32, data: &D)
    where
        N: ToName + ?Sized,
        D: ComposeRecordData,
    {
        let owner_at = self.octets.len();
        // Appending to a `Vec` cannot fail.
        let _ = owner.compose(&mut self.octets);
        let rdata_at = self.octets.len();
        let _ = data.compose_rdata(&mut self.octets);
        self.close_entry(section, owner_at, rdata_at, data.rtype(), class, ttl);
    }

    /// Adds a record whose rdata is at hand in wire form, names in it uncompressed.
    pub fn push_wire(&mut self, section: Section, owner: &[u8], rtype: Rtype, class: Class, ttl: u32, rdata: &[u8]) {
        let owner_at = self.octets.len();
        self.octets.extend_from_slice(owner);
        let rdata_at = self.octets.len();
        self.octets.extend_from_slice(rdata);
        self.close_entry(section, owner_at, rdata_at, rtype, class, ttl);
    }

    /// Adds a record whose owner and rdata `write` appends to the octets; it returns where the rdata begins. When it fails nothing is
    /// added.
    pub(crate) fn push_written<E>(
        &mut self,
        section: Section,
        (rtype, class, ttl): (Rtype, Class, u32),
        write: impl FnOnce(&mut Vec<u8>) -> Result<usize, E>,
    ) -> Result<(), E> {
        let owner_at = self.octets.len();
        match write(&mut self.octets) {
            Ok(rdata_at) => self.close_entry(section, owner_at, rdata_at, rtype, class, ttl),
            Err(error) => {
                self.octets.truncate(owner_at);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Copies a record of another answer.
    pub fn push_record(&mut self, section: Section, record: Record<'_>) {
        self.push_wire(section, record.owner_wire(), record.rtype(), record.class(), record.ttl(), record.rdata());
    }

    /// Adds an A or AAAA record.
    pub fn push_address<N: ToName + ?Sized>(
        &mut self,
        section: Section,
        owner: &N,
        class: Class,
        ttl: u32,
        address: IpAddr,
    ) {
        match address {
            IpAddr::V4(v4) => self.push(section, owner, class, ttl, &domain::rdata::A::new(v4)),
            IpAddr::V6(v6) => self.push(section, owner, class, ttl, &domain::rdata::Aaaa::new(v6)),
        }
    }

    fn close_entry(
        &mut self,
        section: Section,
        owner_at: usize,
        rdata_at: usize,
        rtype: Rtype,
        class: Class,
        ttl: u32,
    ) {
        let rdata_len = u16::try_from(self.octets.len() - rdata_at);
        let owner_len = u8::try_from(rdata_at - owner_at);
        let entries = &mut self.sections[section as usize];
        let (Ok(rdata_len), Ok(owner_len)) = (rdata_len, owner_len) else {
            self.octets.truncate(owner_at);
            self.overflowed = true;
            return;
        };
        if self.octets.len() > ANSWER_OCTETS_MAX || entries.len() >= SECTION_RECORDS_MAX {
            self.octets.truncate(owner_at);
            self.overflowed = true;
            return;
        }
        // Offsets are below ANSWER_OCTETS_MAX, so they fit.
        entries.push(Entry { owner: owner_at as u32, rdata: rdata_at as u32, ttl, rdata_len, rtype, class, owner_len });
    }

    /// The records of a section.
    pub fn records(&self, section: Section) -> impl DoubleEndedIterator<Item = Record<'_>> + ExactSizeIterator + '_ {
        self.sections[section as usize].iter().map(|entry| Record { octets: &self.octets, entry })
    }

    /// The records of all sections.
    pub fn all_records(&self) -> impl Iterator<Item = Record<'_>> + '_ {
        self.sections.iter().flatten().map(|entry| Record { octets: &self.octets, entry })
    }

    /// How many records a section has.
    #[must_use]
    pub fn count(&self, section: Section) -> usize {
        self.sections[section as usize].len()
    }

    /// The entries of a section, to be read, swapped or given another TTL. For their data see [`Answer::record`].
    #[must_use]
    pub fn entries(&self, section: Section) -> &[Entry] {
        &self.sections[section as usize]
    }

    /// The entries of a section, to be swapped, dropped or given another TTL.
    pub fn entries_mut(&mut self, section: Section) -> &mut Vec<Entry> {
        &mut self.sections[section as usize]
    }

    /// The record behind an entry of this answer.
    #[must_use]
    pub fn record<'a>(&'a self, entry: &'a Entry) -> Record<'a> {
        Record { octets: &self.octets, entry }
    }

    /// Gives every record of every section the same TTL, seconds.
    pub fn set_ttls(&mut self, ttl: u32) {
        for entry in self.sections.iter_mut().flatten() {
            entry.ttl = ttl;
        }
    }

    /// Keeps the records of a section for which `keep` says so.
    pub fn retain(&mut self, section: Section, mut keep: impl FnMut(Record<'_>) -> bool) {
        let octets = &self.octets;
        self.sections[section as usize].retain(|entry| keep(Record { octets, entry }));
    }

    /// Gives a record of a section another owner. `false`: there is no room for it, nothing is changed and the reply will be marked
    /// truncated.
    pub fn set_owner(&mut self, section: Section, index: usize, owner: &Name<[u8]>) -> bool {
        let Some(at) = self.put(owner.as_slice()) else { return false };
        let Some(entry) = self.sections[section as usize].get_mut(index) else { return false };
        (entry.owner, entry.owner_len) = (at, owner.len() as u8);
        true
    }

    /// Gives a record of a section other rdata, names in it uncompressed. `false`: there is no room for it, nothing is changed and the
    /// reply will be marked truncated.
    pub fn set_rdata(&mut self, section: Section, index: usize, rdata: &[u8]) -> bool {
        let Ok(len) = u16::try_from(rdata.len()) else {
            self.overflowed = true;
            return false;
        };
        let Some(at) = self.put(rdata) else { return false };
        let Some(entry) = self.sections[section as usize].get_mut(index) else { return false };
        (entry.rdata, entry.rdata_len) = (at, len);
        true
    }

    /// Puts octets behind those that are there and tells where; `None` if there is no room.
    fn put(&mut self, octets: &[u8]) -> Option<u32> {
        let at = self.octets.len();
        if at + octets.len() > ANSWER_OCTETS_MAX {
            self.overflowed = true;
            return None;
        }
        self.octets.extend_from_slice(octets);
        // Offsets are below ANSWER_OCTETS_MAX, so they fit.
        Some(at as u32)
    }

    /// Moves all records of `other` behind those of this answer, section by section.
    pub fn append(&mut self, other: &Self) {
        for section in SECTIONS {
            self.append_section(section, other, section);
        }
    }

    /// Copies the records of one section of `other` to the end of a section of this answer.
    pub fn append_section(&mut self, into: Section, other: &Self, from: Section) {
        for record in other.records(from) {
            self.push_record(into, record);
        }
    }

    /// The octets that the entries point into; with [`Answer::entries`] all that a store needs to keep.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Fills the answer with records that were kept: the octets of all, owner, rdata, owner, rdata, the number of records in each section,
    /// the numbers of each record, and the TTL of all, seconds.
    pub fn load(&mut self, octets: &[u8], counts: [u16; 3], mut shapes: impl Iterator<Item = Shape>, ttl: u32) {
        self.octets.clear();
        self.octets.extend_from_slice(octets);
        let mut at = 0;
        for (section, count) in self.sections.iter_mut().zip(counts) {
            section.clear();
            for Shape { owner_len, rtype, class, rdata_len } in shapes.by_ref().take(usize::from(count)) {
                let rdata = at + u32::from(owner_len);
                section.push(Entry { owner: at, rdata, ttl, rdata_len, rtype, class, owner_len });
                at = rdata + u32::from(rdata_len);
            }
        }
    }

    /// The length of the message without compression and without OPT record, octets: what CoreDNS logs and counts as its size.
    #[must_use]
    pub fn plain_len(&self, question_len: usize) -> usize {
        let records: usize = self.sections.iter().flatten().map(Entry::plain_len).sum();
        12 + question_len + records
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::name::owned;

    fn answer_with(addresses: &[&str]) -> Answer {
        let mut answer = Answer::default();
        let owner = owned("example.org").unwrap();
        for address in addresses {
            answer.push_address(Section::Answer, &owner, Class::IN, 30, address.parse().unwrap());
        }
        answer
    }

    fn addresses(answer: &Answer) -> Vec<String> {
        answer.records(Section::Answer).map(|r| r.address().unwrap().to_string()).collect()
    }

    #[test]
    fn swapping_entries_swaps_records() {
        let mut answer = answer_with(&["192.0.2.1", "2001:db8::2"]);
        answer.entries_mut(Section::Answer).swap(0, 1);
        assert_eq!(addresses(&answer), ["2001:db8::2", "192.0.2.1"]);
    }

    #[test]
    fn what_a_store_keeps_makes_the_same_answer_again() {
        let answer = answer_with(&["192.0.2.1", "192.0.2.2"]);
        let shapes = answer.all_records().map(|record| Shape {
            owner_len: record.owner_wire().len() as u8,
            rtype: record.rtype(),
            class: record.class(),
            rdata_len: record.rdata().len() as u16,
        });
        let mut again = Answer::default();
        again.load(answer.octets(), [1, 0, 1], shapes, 7);
        assert_eq!(addresses(&again), ["192.0.2.1"]);
        assert_eq!(
            again.all_records().map(|record| (record.ttl(), record.address())).last().unwrap(),
            (7, "192.0.2.2".parse().ok())
        );
        assert_eq!(again.records(Section::Answer).next().unwrap().owner().to_string(), "example.org");
    }

    #[test]
    fn a_record_beyond_the_limit_is_left_out_and_noted() {
        let mut answer = Answer::default();
        let rdata = vec![0; 65_535];
        let fits = ANSWER_OCTETS_MAX / (rdata.len() + 1);
        for _ in 0..=fits {
            answer.push_wire(Section::Answer, &[0], Rtype::TXT, Class::IN, 0, &rdata);
        }
        assert_eq!(answer.count(Section::Answer), fits);
        assert!(answer.overflowed());
        assert!(answer.octets().len() <= ANSWER_OCTETS_MAX);
    }

    #[test]
    fn a_record_gets_another_owner_and_other_rdata_and_the_rest_stays() {
        let mut answer = answer_with(&["192.0.2.1", "192.0.2.2"]);
        assert!(answer.set_owner(Section::Answer, 1, owned("www.example.org").unwrap().for_slice()));
        assert!(answer.set_rdata(Section::Answer, 0, &[192, 0, 2, 9]));
        assert_eq!(addresses(&answer), ["192.0.2.9", "192.0.2.2"]);
        let owners: Vec<String> = answer.records(Section::Answer).map(|r| r.owner().to_string()).collect();
        assert_eq!(owners, ["example.org", "www.example.org"]);
        assert!(!answer.set_rdata(Section::Answer, 2, &[]));
    }

    #[test]
    fn an_answer_that_is_full_takes_no_other_rdata() {
        let mut answer = answer_with(&["192.0.2.1"]);
        let rdata = vec![0; 65_535];
        while answer.set_rdata(Section::Answer, 0, &rdata) {}
        assert!(answer.overflowed());
        assert!(answer.octets().len() <= ANSWER_OCTETS_MAX);
        assert!(answer.octets().len() + rdata.len() > ANSWER_OCTETS_MAX);
    }

    #[test]
    fn rdata_of_another_type_is_no_address() {
        let mut answer = Answer::default();
        answer.push_wire(Section::Answer, &[0], Rtype::TXT, Class::IN, 0, &[1, b'a', 0, 0]);
        assert_eq!(answer.records(Section::Answer).next().unwrap().address(), None);
    }
}
