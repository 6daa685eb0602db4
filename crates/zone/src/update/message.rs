//! An update as it came.

use catena_core::wire::{HEADER_OCTETS, Malformed, RawRecord, expand_name, expand_rdata, raw_record, u16_at};
use catena_core::{Class, Rtype};

use crate::zonefile::RecordBuf;

/// The sections of an update that mean something (RFC 2136 section 2): owners in lower case, names uncompressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The name of the zone, lower case.
    pub zone: Vec<u8>,
    /// The class of the zone.
    pub class: Class,
    /// What must hold before anything is changed.
    pub prerequisites: Vec<RecordBuf>,
    /// What is to be changed.
    pub changes: Vec<RecordBuf>,
}

impl Update {
    /// Reads a message. The header's flags and the additional section are not looked at.
    ///
    /// # Errors
    /// The sections are not whole, the zone section is not one SOA question (RFC 2136 section 3.1.1), or a record is not built as its type
    /// wants it. Records without rdata are let pass.
    pub fn read(message: &[u8]) -> Result<Self, Malformed> {
        if u16_at(message, 4)? != 1 {
            return Err(Malformed);
        }
        let mut zone = Vec::new();
        let end = expand_name(message, HEADER_OCTETS, &mut zone)?;
        zone.make_ascii_lowercase();
        if Rtype::from_int(u16_at(message, end)?) != Rtype::SOA {
            return Err(Malformed);
        }
        let class = Class::from_int(u16_at(message, end + 2)?);
        let mut at = end + 4;
        let prerequisites = records(message, u16_at(message, 6)?, &mut at)?;
        let changes = records(message, u16_at(message, 8)?, &mut at)?;
        Ok(Self { zone, class, prerequisites, changes })
    }
}

/// So many records. That a message ends before its last record is let pass for queries; here something would be done by halves.
fn records(message: &[u8], count: u16, at: &mut usize) -> Result<Vec<RecordBuf>, Malformed> {
    let mut records = Vec::new();
    for _ in 0..count {
        let raw = raw_record(message, *at)?;
        records.push(record(message, &raw)?);
        *at = raw.end;
    }
    Ok(records)
}

fn record(message: &[u8], raw: &RawRecord) -> Result<RecordBuf, Malformed> {
    let (mut owner, mut rdata) = (Vec::new(), Vec::new());
    expand_name(message, raw.owner, &mut owner)?;
    owner.make_ascii_lowercase();
    if raw.rdata != raw.end {
        expand_rdata(message, raw, &mut rdata)?;
    }
    Ok(RecordBuf { owner, rtype: raw.rtype, class: raw.class, ttl: raw.ttl, rdata })
}
