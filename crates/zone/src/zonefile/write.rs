//! Records as text.

use catena_core::{Class, RecordRef, Rtype};

use super::name;
use super::rdata::{self, write_class, write_type};

/// Appends a record as one line: owner, time to live, class, type, rdata, with tabs between and a line end. Every name is absolute; the
/// line needs nothing before it. What [`super::read_zone`] makes of it is the same record.
///
/// Rdata that has no text, or is not rdata of its type, is written as RFC 3597 says; in the second case no reader will take it, see
/// [`super::is_valid_rdata`].
pub fn write_record(record: RecordRef<'_>, out: &mut Vec<u8>) {
    write_name(record.owner, out);
    out.extend_from_slice(format!("\t{}\t", record.ttl).as_bytes());
    write_class(record.class.to_int(), out);
    out.push(b'\t');
    write_type(record.rtype.to_int(), out);
    out.push(b'\t');
    write_rdata(record.rtype, record.class, record.rdata, out);
    out.push(b'\n');
}

/// Appends rdata as text.
pub fn write_rdata(rtype: Rtype, class: Class, rdata: &[u8], out: &mut Vec<u8>) {
    rdata::write(rtype, class, rdata, out);
}

/// Appends an uncompressed name with its final dot.
pub fn write_name(wire: &[u8], out: &mut Vec<u8>) {
    name::write(wire, out);
}
