//! Queries as they go out and replies as they come in, as far as the chain does not do it.

use catena_core::wire::{self, HEADER_OCTETS, Malformed};
use catena_core::{Answer, Query, Rcode, Rtype, SECTIONS, flags};

/// Writes the query as a message with this id: question, flags and OPT record as they are now, and records that came with it (the SOA
/// of an IXFR or NOTIFY, say). A TSIG record stays behind: it signs another message.
pub(crate) fn write_query(query: &Query, id: u16, out: &mut Vec<u8>) {
    query.write_request(id, out);
    if !has_other_records(query) {
        return;
    }
    let mut came = Answer::default();
    if wire::read_reply(query.request(), &mut came).is_err() {
        return;
    }
    // The OPT record is the last one written; what belongs before it is put there.
    let mut counts = [0u16; 3];
    let mut records = Vec::new();
    for section in SECTIONS {
        for record in came.records(section).filter(|record| record.rtype() != Rtype::TSIG) {
            counts[section as usize] += 1;
            records.extend_from_slice(record.owner_wire());
            records.extend_from_slice(&record.rtype().to_int().to_be_bytes());
            records.extend_from_slice(&record.class().to_int().to_be_bytes());
            records.extend_from_slice(&record.ttl().to_be_bytes());
            // Rdata of an answer never exceeds 65535 octets.
            records.extend_from_slice(&u16::try_from(record.rdata().len()).unwrap_or(0).to_be_bytes());
            records.extend_from_slice(record.rdata());
        }
    }
    let after_question = HEADER_OCTETS + query.question().wire_len();
    if out.len() + records.len() > usize::from(u16::MAX) || after_question > out.len() {
        return;
    }
    out.splice(after_question..after_question, records);
    counts[2] += u16::from(query.edns().is_some());
    for (section, count) in counts.iter().enumerate() {
        out[6 + 2 * section..8 + 2 * section].copy_from_slice(&count.to_be_bytes());
    }
}

/// Whether the request has records besides its OPT record. The query itself keeps only that one.
fn has_other_records(query: &Query) -> bool {
    let count = |at| wire::u16_at(query.request(), at).unwrap_or(0);
    count(6) > 0 || count(8) > 0 || count(10) > u16::from(query.edns().is_some())
}

/// Writes a message with one question of class IN and nothing else; `name` is in wire form.
pub fn write_question(id: u16, flags: u16, name: &[u8], qtype: Rtype, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&flags.to_be_bytes());
    out.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(name);
    out.extend_from_slice(&qtype.to_int().to_be_bytes());
    out.extend_from_slice(&[0, 1]);
}

/// Whether the message has a whole header and this id.
pub(crate) fn has_id(message: &[u8], id: u16) -> bool {
    message.len() >= HEADER_OCTETS && message[..2] == id.to_be_bytes()
}

/// Whether the message is a reply to the question that the query now asks: RFC 5452 section 9.1.
pub(crate) fn answers(message: &[u8], query: &Query) -> bool {
    let name = query.name().as_slice();
    let (start, end) = (HEADER_OCTETS, HEADER_OCTETS + name.len());
    let bits = wire::u16_at(message, 2).unwrap_or(0);
    bits & flags::QR != 0
        && wire::u16_at(message, 4) == Ok(1)
        && message.get(start..end).is_some_and(|asked| asked.eq_ignore_ascii_case(name))
        && wire::u16_at(message, end) == Ok(query.qtype().to_int())
        && wire::u16_at(message, end + 2) == Ok(query.qclass().to_int())
}

/// Reads a datagram into the answer. One that is longer than the size that was offered, or that ends in the midst of a record,
/// becomes an empty truncated reply, so that the client asks again over TCP. CoreDNS: plugin/pkg/proxy/connect.go. One that ends in the
/// midst of its question is none: nobody can tell what it answers.
pub(crate) fn read_datagram(message: &[u8], size: usize, answer: &mut Answer) -> Result<(), Malformed> {
    if cuts_question(message) {
        return Err(Malformed);
    }
    if message.len() <= size {
        match wire::read_reply(message, answer) {
            Ok(_) => return Ok(()),
            Err(malformed) if !ends_early(message) => return Err(malformed),
            Err(_) => {}
        }
    }
    let bits = wire::u16_at(message, 2)?;
    answer.clear();
    answer.flags = (bits & !flags::RCODE) | flags::TC;
    answer.rcode = Rcode::masked_from_int(bits & flags::RCODE);
    Ok(())
}

/// Whether the message has something after its header, and that ends before the questions do.
fn cuts_question(message: &[u8]) -> bool {
    message.len() > HEADER_OCTETS && questions_end(message).is_none()
}

/// Where the question section ends, if it does.
fn questions_end(message: &[u8]) -> Option<usize> {
    let mut at = HEADER_OCTETS;
    for _ in 0..wire::u16_at(message, 4).unwrap_or(0) {
        at = wire::skip_name(message, at).ok()? + 4;
        if at > message.len() {
            return None;
        }
    }
    Some(at)
}

/// Whether the message lacks octets that its counts and lengths promise.
fn ends_early(message: &[u8]) -> bool {
    let Some(mut at) = questions_end(message) else { return true };
    let count = |at| wire::u16_at(message, at).map_or(0, usize::from);
    for _ in 0..count(6) + count(8) + count(10) {
        match wire::raw_record(message, at) {
            Ok(record) => at = record.end,
            Err(_) => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_datagram_panics(octets: Vec<u8>, size in 0..600usize) {
            let mut answer = Answer::default();
            if read_datagram(&octets, size, &mut answer).is_ok() {
                prop_assert!(octets.len() <= size || answer.has(flags::TC));
            }
        }

        #[test]
        fn no_cut_of_a_reply_panics_and_every_cut_behind_the_question_is_truncated(cut in 19..34usize) {
            let mut answer = Answer::default();
            read_datagram(&record()[..cut], 512, &mut answer).unwrap();
            prop_assert!(answer.has(flags::TC));
        }
    }

    fn reply(octets: &[u8]) -> Vec<u8> {
        let mut message = vec![0, 7, 0x84, 0x03, 0, 1, 0, 1, 0, 0, 0, 0];
        message.extend(b"\x01a\x00\x00\x01\x00\x01");
        message.extend(octets);
        message
    }

    fn record() -> Vec<u8> {
        reply(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x09\x00\x04\xc0\x00\x02\x01")
    }

    #[test]
    fn a_datagram_of_the_size_offered_is_read_and_a_longer_one_is_truncated() {
        let message = record();
        let mut answer = Answer::default();
        read_datagram(&message, message.len(), &mut answer).unwrap();
        assert_eq!((answer.all_records().count(), answer.has(flags::TC)), (1, false));
        read_datagram(&message, message.len() - 1, &mut answer).unwrap();
        assert_eq!((answer.all_records().count(), answer.has(flags::TC)), (0, true));
        assert_eq!(answer.rcode, Rcode::NXDOMAIN);
        assert!(answer.has(flags::AA));
    }

    #[test]
    fn a_datagram_that_ends_in_a_record_is_truncated() {
        let mut message = record();
        message.pop();
        let mut answer = Answer::default();
        read_datagram(&message, 512, &mut answer).unwrap();
        assert_eq!((answer.all_records().count(), answer.has(flags::TC)), (0, true));
    }

    #[test]
    fn a_datagram_that_ends_in_its_question_is_malformed() {
        for cut in 13..19 {
            assert_eq!(read_datagram(&record()[..cut], 512, &mut Answer::default()), Err(Malformed), "{cut} octets");
        }
    }

    #[test]
    fn a_header_alone_is_a_reply_to_another_question() {
        let mut answer = Answer::default();
        read_datagram(&record()[..12], 512, &mut answer).unwrap();
        assert_eq!(answer.all_records().count(), 0);
    }

    #[test]
    fn a_whole_datagram_with_broken_data_is_malformed() {
        let message = reply(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x09\x00\x03\xc0\x00\x02");
        assert_eq!(read_datagram(&message, 512, &mut Answer::default()), Err(Malformed));
    }

    #[test]
    fn an_id_needs_a_whole_header_around_it() {
        assert!(has_id(&[0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 7));
        assert!(!has_id(&[0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0], 7));
        assert!(!has_id(&[7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 7));
    }
}
