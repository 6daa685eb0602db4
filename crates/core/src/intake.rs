//! From octets to a query: what is dropped, what is rejected at once, what goes to the chain.

use domain::base::iana::Rtype;

use crate::answer::flags;
use crate::query::{Arrival, Edns, Query};
use crate::question::Question;
use crate::wire::{HEADER_OCTETS, Malformed, RawRecord, expand_name, expand_rdata, raw_record, u16_at};

/// The most records of the prerequisite and update sections of an update together (RFC 2136 sections 2.4 and 2.5).
pub const UPDATE_RECORDS_MAX: usize = 2000;
/// The most records of the additional section of an update: glue, which nobody reads, and the OPT and TSIG records.
pub const UPDATE_ADDITIONAL_MAX: u16 = 16;

/// What becomes of a message that came in.
#[derive(Debug, PartialEq, Eq)]
pub enum Intake {
    /// It gets no reply.
    Drop,
    /// It gets this reply and nothing else happens.
    Reject(Vec<u8>),
    /// It goes to [`crate::Instance::serve`].
    Serve,
    /// It has a header that announces a question and nothing behind it: SERVFAIL, counted as dropped.
    NoQuestion,
}

impl Query {
    /// Reads a message into this query. CoreDNS: `dns.DefaultMsgAcceptFunc` and `Msg.Unpack` of miekg/dns.
    ///
    /// Shorter than a header or a response: dropped. Another opcode than QUERY and NOTIFY: NOTIMP. Counts that no query has, or
    /// a body that does not parse: FORMERR. Reject replies keep id, RD, RA, TC, AD and CD.
    ///
    /// Where some block of the listener takes updates (RFC 2136) these are let through too, with the counts that they may have.
    pub fn read(&mut self, message: &[u8], arrival: Arrival) -> Intake {
        self.start(message, arrival);
        let (Ok(id), Ok(bits)) = (u16_at(message, 0), u16_at(message, 2)) else { return Intake::Drop };
        if message.len() < HEADER_OCTETS || bits & flags::QR != 0 {
            return Intake::Drop;
        }
        let opcode = bits & flags::OPCODE;
        let is_update = opcode == flags::OPCODE_UPDATE && self.is_at_updates();
        if opcode != 0 && opcode != 4 << 11 && !is_update {
            return Intake::Reject(reject(id, bits, opcode, 4, &[]));
        }
        // CoreDNS tells what is malformed with the opcode QUERY, whatever it was.
        let shown = if is_update { opcode } else { 0 };
        let counts = [4, 6, 8, 10].map(|at| u16_at(message, at).unwrap_or(0));
        let fits = if is_update { fits_update(counts) } else { fits_query(counts) };
        if !fits {
            return Intake::Reject(reject(id, bits, shown, 1, &[]));
        }
        if message.len() == HEADER_OCTETS {
            *self.asked_mut() = Question::none();
            self.fill(id, bits & !flags::RCODE, None, HEADER_OCTETS);
            return Intake::NoQuestion;
        }
        let Some(len) = self.asked_mut().read(&message[HEADER_OCTETS..]) else {
            return Intake::Reject(reject(id, bits, shown, 1, &[]));
        };
        let end = HEADER_OCTETS + len;
        let Ok((edns, records_len)) = read_records(message, end, counts, |options| self.options_of(options)) else {
            return Intake::Reject(reject(id, bits, shown, 1, &message[HEADER_OCTETS..end]));
        };
        self.fill(id, bits & !flags::RCODE, edns, end + records_len);
        Intake::Serve
    }

    /// Whether some block of the listener takes updates.
    fn is_at_updates(&self) -> bool {
        self.env().instance.listeners().get(self.listener()).is_some_and(|listener| listener.takes_updates)
    }
}

/// Whether a query may have so many records in its sections (CoreDNS: `dns.DefaultMsgAcceptFunc`).
fn fits_query(counts: [u16; 4]) -> bool {
    counts[0] == 1 && counts[1] <= 1 && counts[2] <= 1 && counts[3] <= 2
}

/// Whether an update may have so many records in its sections (RFC 2136 section 2.3 says of the first one).
fn fits_update(counts: [u16; 4]) -> bool {
    let records = usize::from(counts[1]) + usize::from(counts[2]);
    counts[0] == 1 && records <= UPDATE_RECORDS_MAX && counts[3] <= UPDATE_ADDITIONAL_MAX
}

impl Query {
    /// Reads the beginning of a message whose rest is lost: what would be served is FORMERR.
    pub fn read_cut(&mut self, message: &[u8], arrival: Arrival) -> Intake {
        match self.read(message, arrival) {
            Intake::Serve | Intake::NoQuestion => Intake::Reject(reject(self.id(), self.flags(), 0, 1, &[])),
            other => other,
        }
    }
}

/// A reply of a header and perhaps a question. AA and Z are clear, the sections behind the question empty.
fn reject(id: u16, bits: u16, opcode: u16, rcode: u16, question: &[u8]) -> Vec<u8> {
    let kept = bits & (flags::RD | flags::RA | flags::TC | flags::AD | flags::CD);
    let mut reply = Vec::with_capacity(HEADER_OCTETS + question.len());
    reply.extend_from_slice(&id.to_be_bytes());
    reply.extend_from_slice(&(flags::QR | opcode | kept | rcode).to_be_bytes());
    reply.extend_from_slice(&[0, u8::from(!question.is_empty()), 0, 0, 0, 0, 0, 0]);
    reply.extend_from_slice(question);
    reply
}

/// Walks over the records and finds the OPT record: the last one in the additional section counts. A message that ends between two
/// records has fewer than it announces, which is let pass as CoreDNS does; octets behind the last record are ignored.
///
/// Returns the length of the records with all names written out, too. `options_of` makes a buffer with a copy of options.
fn read_records(
    message: &[u8],
    mut at: usize,
    counts: [u16; 4],
    mut options_of: impl FnMut(&[u8]) -> Vec<u8>,
) -> Result<(Option<Edns>, usize), Malformed> {
    let (mut edns, mut len) = (None, 0);
    for (section, count) in counts.iter().enumerate().skip(1) {
        for _ in 0..*count {
            if at == message.len() {
                return Ok((edns, len));
            }
            let record = raw_record(message, at)?;
            at = record.end;
            len += match record.rtype {
                Rtype::OPT => record.end - record.owner,
                _ => RECORD_FIXED_OCTETS + check_record(message, &record)?,
            };
            if section == 3 && record.rtype == Rtype::OPT {
                let options = &message[record.rdata..record.end];
                check_options(options)?;
                edns = Some(Edns {
                    udp_size: record.class.to_int(),
                    version: (record.ttl >> 16) as u8,
                    flags: record.ttl as u16,
                    options: options_of(options),
                });
            }
        }
    }
    Ok((edns, len))
}

/// The owner is a name and the rdata is of its type; both are so long with names written out. Rdata may be left out, as in updates
/// (RFC 2136 section 2.4).
fn check_record(message: &[u8], record: &RawRecord) -> Result<usize, Malformed> {
    let mut octets = Vec::new();
    expand_name(message, record.owner, &mut octets)?;
    if record.rdata != record.end {
        expand_rdata(message, record, &mut octets)?;
    }
    Ok(octets.len())
}

/// Options fill their record exactly (RFC 6891 section 6.1.2), and those that are known are built as they should be.
fn check_options(mut rest: &[u8]) -> Result<(), Malformed> {
    while !rest.is_empty() {
        let (code, len) = (u16_at(rest, 0)?, usize::from(u16_at(rest, 2)?));
        let data = rest.get(4..4 + len).ok_or(Malformed)?;
        if !is_option(code, data) {
            return Err(Malformed);
        }
        rest = &rest[4 + len..];
    }
    Ok(())
}

/// Whether an option's data can be of its code; of a code that says nothing about its form: always.
fn is_option(code: u16, data: &[u8]) -> bool {
    match code {
        // LLQ (RFC 8764 section 3.2).
        1 => data.len() >= 18,
        // Update Lease (RFC 9664 section 4).
        2 => matches!(data.len(), 4 | 8),
        8 => is_client_subnet(data),
        // EXPIRE (RFC 7314 section 2).
        9 => data.is_empty() || data.len() >= 4,
        // TCP keepalive (RFC 7828 section 3.1).
        11 => matches!(data.len(), 0 | 2),
        // Extended DNS error (RFC 8914 section 2).
        15 => data.len() >= 2,
        _ => true,
    }
}

/// Family, two prefix lengths and the address (RFC 7871 section 6). `dig +subnet=0` has family 0.
fn is_client_subnet(data: &[u8]) -> bool {
    let &[family_high, family_low, source, scope, ..] = data else { return false };
    match u16::from_be_bytes([family_high, family_low]) {
        0 => source == 0,
        1 => source.max(scope) <= 32,
        2 => source.max(scope) <= 128,
        _ => false,
    }
}

/// Type, class, TTL and length of the rdata.
const RECORD_FIXED_OCTETS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// A query for a.b with these counts of records and these octets behind the question.
    fn query(authority: u8, additional: u8, rest: &[u8]) -> Vec<u8> {
        let head = [0, 1, 1, 0, 0, 1, 0, 0, 0, authority, 0, additional];
        [&head, b"\x01a\x01b\x00\x00\x01\x00\x01".as_slice(), rest].concat()
    }

    /// The length of a query's message as it is read; `None`: it is not.
    fn whole_len(message: &[u8]) -> Option<usize> {
        let counts = [4, 6, 8, 10].map(|at| u16_at(message, at).unwrap_or(0));
        let end = HEADER_OCTETS + Question::none().read(message.get(HEADER_OCTETS..)?)?;
        let (_, records_len) = read_records(message, end, counts, <[u8]>::to_vec).ok()?;
        Some(end + records_len)
    }

    #[test]
    fn what_lies_behind_a_message_is_not_counted() {
        let opt = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x04\x00\x03\x00\x00";
        assert_eq!(whole_len(&query(0, 0, b"")), Some(21));
        assert_eq!(whole_len(&query(0, 0, b"junk")), Some(21));
        assert_eq!(whole_len(&query(0, 1, opt)), Some(36));
        assert_eq!(whole_len(&query(0, 1, &[opt, b"junk".as_slice()].concat())), Some(36));
    }

    #[test]
    fn names_count_written_out_and_records_that_are_missing_do_not() {
        let ns = b"\xc0\x0c\x00\x02\x00\x01\x00\x00\x00\x00\x00\x04\x01n\xc0\x0e";
        assert_eq!(whole_len(&query(1, 0, ns)), Some(21 + 5 + 10 + 5));
        assert_eq!(whole_len(&query(1, 1, ns)), Some(21 + 5 + 10 + 5));
    }
}
