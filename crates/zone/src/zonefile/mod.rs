//! Zone files: master files (RFC 1035 section 5) read as BIND and CoreDNS read them, and records written as text.
//!
//! [`read_zone`] takes the octets of a file and gives every record, in wire form, to a closure; nothing is kept, so a caller pays for one
//! copy of a zone only. [`parse_record`] reads one line. [`write_record`] writes one, and what it writes is read back as the same record.
//!
//! What is read: `$ORIGIN`, `$TTL`, `$INCLUDE` (behind it, origin, owner name and times to live are those of the including file
//! again), `$GENERATE`; times with units; parentheses, comments, escapes, quoted strings over several lines; every type that either program writes
//! as fields, and any other as RFC 3597 says.
//!
//! The time to live of a record that has none is `$TTL`'s; before there was one, that of the record before (RFC 1035 section 5.1). A SOA
//! without either gives its MINIMUM to itself and to what follows, as in BIND. The class of a record that has none is IN, or that of the
//! records before; another class than theirs is an error.
//!
//! The way through the modules: `lex` finds words, `reader` puts lines together, `rdata` has a table of types and their fields, which are
//! read and written by the same names; `generate`, `name`, `time` and `codec` are small parts of those.

pub(crate) mod codec;
mod error;
mod fuzz;
mod generate;
mod include;
mod lex;
mod name;
mod rdata;
mod reader;
pub(crate) mod time;
mod write;

#[cfg(test)]
mod tests;

use catena_core::{Class, RecordRef};

pub use error::{LINE_SHOWN_MAX, ZoneError};
pub use fuzz::fuzz_one;
pub use generate::{GENERATE_COUNT_MAX, GENERATE_WIDTH_MAX};
pub use include::{Include, IncludeFiles, Included, NoInclude};
pub use lex::TOKEN_OCTETS_MAX;
pub use rdata::{RDATA_OCTETS_MAX, is_valid as is_valid_rdata};
pub use reader::{INCLUDE_DEPTH_MAX, INCLUDE_FILES_MAX};
pub use write::{write_name, write_rdata, write_record};

/// How a zone file is read.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// How errors name the file; relative paths of `$INCLUDE` are meant from its directory.
    pub file: &'a str,
    /// The origin at the beginning, an uncompressed name on the wire.
    pub origin: &'a [u8],
    /// The time to live of records before `$TTL` that have none, seconds.
    pub ttl: Option<u32>,
    /// The class that all records must have; without one the first record decides.
    pub class: Option<Class>,
    /// Where `$INCLUDE` finds files.
    pub include: &'a dyn Include,
}

impl<'a> Options<'a> {
    /// Options for a file that includes nothing, of a class that its first record decides.
    #[must_use]
    pub fn new(file: &'a str, origin: &'a [u8]) -> Self {
        Self { file, origin, ttl: None, class: None, include: &NoInclude }
    }
}

/// Takes records. What it says against one becomes an error at that record's line.
pub type Sink<'a> = dyn FnMut(RecordRef<'_>) -> Result<(), String> + 'a;

/// Reads a zone file and gives each record to `sink`, in the order of the file.
///
/// # Errors
/// The first thing that is wrong in the file or in one that it includes; records before it were given to `sink`.
pub fn read_zone(octets: &[u8], options: &Options<'_>, sink: &mut Sink<'_>) -> Result<(), ZoneError> {
    reader::Reader::new(options, sink).file(octets, options.file, 0)
}

/// A record that owns its octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordBuf {
    /// The owner name, uncompressed.
    pub owner: Vec<u8>,
    /// The type.
    pub rtype: catena_core::Rtype,
    /// The class.
    pub class: Class,
    /// Time to live, seconds.
    pub ttl: u32,
    /// The rdata, its names uncompressed.
    pub rdata: Vec<u8>,
}

impl RecordBuf {
    /// The record without its octets.
    #[must_use]
    pub fn as_ref(&self) -> RecordRef<'_> {
        RecordRef { owner: &self.owner, rtype: self.rtype, class: self.class, ttl: self.ttl, rdata: &self.rdata }
    }
}

impl From<RecordRef<'_>> for RecordBuf {
    fn from(record: RecordRef<'_>) -> Self {
        let RecordRef { owner, rtype, class, ttl, rdata } = record;
        Self { owner: owner.to_vec(), rtype, class, ttl, rdata: rdata.to_vec() }
    }
}

/// Reads the first record of a text, with what stands before it, as `$ORIGIN`; `None` if there is none. `origin` is an uncompressed name,
/// `ttl` is for a record without one. Errors name the file `record`.
///
/// # Errors
/// What is wrong with the text up to the end of the record.
pub fn parse_record(text: &[u8], origin: &[u8], ttl: u32) -> Result<Option<RecordBuf>, ZoneError> {
    let options = Options { ttl: Some(ttl), ..Options::new("record", origin) };
    let mut found = None;
    let mut keep = |record: RecordRef<'_>| {
        found = Some(RecordBuf::from(record));
        Ok(())
    };
    reader::Reader::new(&options, &mut keep).first(text, options.file)?;
    Ok(found)
}
