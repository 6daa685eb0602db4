//! From a reply to octets: the bare code made a message, OPT echoed, everything fitted to the client's size.

use domain::base::iana::OptRcode as Rcode;
use domain::base::iana::Rtype;

use crate::answer::{Answer, ReplyEdns, SECTIONS, flags};
use crate::plugin::{Body, Reply, is_unwritten};
use crate::query::{Edns, Protocol, Query};
use crate::record::Record;
use crate::transfer::Envelopes;
use crate::wire::{HEADER_OCTETS, compressible};

/// The most octets that one UDP datagram carries over IPv4, headers off.
pub const DATAGRAM_OCTETS_MAX: usize = 65_507;
/// How many name suffixes a writer remembers as targets of compression pointers.
const SUFFIXES_MAX: usize = 64;
/// The length of an OPT record without options, octets.
const OPT_OCTETS: usize = 11;
/// Options of the query that come back in the reply, besides those that directives ask for: NSID, EXPIRE, COOKIE, TCP-KEEPALIVE, PADDING
/// (CoreDNS: plugin/pkg/edns).
const ECHOED_OPTIONS: [u16; 5] = [3, 9, 10, 11, 12];

/// What became of a reply.
pub enum Finished {
    /// The message is in the buffer.
    Send,
    /// Messages are to be pulled and written with [`finish_part`] until there are no more.
    Stream(Box<dyn Envelopes>),
    /// Nothing is to be sent.
    Silent,
}

impl Finished {
    /// Whether the message is in the buffer.
    #[must_use]
    pub fn is_send(&self) -> bool {
        matches!(self, Self::Send)
    }
}

/// Signs replies when everything else in them is written: TSIG (RFC 8945). Set on a query with [`Query::set_seal`].
pub trait Seal: Send + Sync + 'static {
    /// The room that it needs in a message, octets.
    fn octets(&self) -> usize;

    /// Appends what it has to append and counts it in the header. Of a stream every message comes here, in order.
    fn seal(&mut self, message: &mut Vec<u8>);

    /// The name of the key with which the request was signed, lower case on the wire; `None` unless that signature was found to be right.
    fn signed_by(&self) -> Option<&[u8]> {
        None
    }
}

/// Writes the reply as a message for the client into `out`, which is emptied first.
///
/// A bare SERVFAIL, REFUSED, FORMERR or NOTIMP becomes a message; any other bare code and silence send nothing. The answer's buffers go
/// back to the query. A stream of messages has no place in a datagram: REFUSED.
pub fn finish(query: &mut Query, reply: Reply, out: &mut Vec<u8>) -> Finished {
    out.clear();
    let answer = match reply.body {
        Body::Answer(answer) => answer,
        Body::Status(rcode) if is_unwritten(rcode) => Answer::to(query).with_rcode(rcode),
        Body::Stream(_) if query.protocol() == Protocol::Udp => Answer::to(query).with_rcode(Rcode::REFUSED),
        Body::Stream(envelopes) => return Finished::Stream(envelopes),
        Body::Status(_) | Body::Silence => return Finished::Silent,
    };
    finish_part(query, answer, out);
    Finished::Send
}

/// Writes one message of a reply, signed if the query asks for that, into `out`, which is emptied first.
pub fn finish_part(query: &mut Query, answer: Box<Answer>, out: &mut Vec<u8>) {
    out.clear();
    write_answer(query, &answer, out);
    query.recycle(answer);
    if let Some(seal) = query.seal_mut() {
        seal.seal(out);
    }
}

/// Writes a reply of a header alone into `out`, which is emptied first: for requests without a question.
pub fn finish_bare(query: &Query, rcode: Rcode, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&query.id().to_be_bytes());
    out.extend_from_slice(&(query.reply_flags() | (rcode.to_int() & flags::RCODE)).to_be_bytes());
    out.extend_from_slice(&[0; 8]);
}

/// Whether the message will be marked truncated when it is sent, without sending it.
#[must_use]
pub fn will_truncate(query: &Query, answer: &Answer) -> bool {
    if answer.has(flags::TC) || answer.overflowed() {
        return true;
    }
    let limit = limit_of(query);
    if answer.plain_len(query.shown_question().wire_len()) + tail_len(query, answer) <= limit {
        return false;
    }
    let mut out = Vec::new();
    write_answer(query, answer, &mut out);
    out.get(2).is_some_and(|octet| octet & 0x02 != 0)
}

fn limit_of(query: &Query) -> usize {
    match query.protocol() {
        Protocol::Tcp => query.size_limit(),
        Protocol::Udp => query.size_limit().min(DATAGRAM_OCTETS_MAX),
    }
}

/// Writes the message. An extended rcode has no place without an OPT record (RFC 6891 section 6.1.3): then it is SERVFAIL.
fn write_answer(query: &Query, answer: &Answer, out: &mut Vec<u8>) {
    let rcode = match answer.rcode {
        rcode if rcode.to_int() > 15 && query.edns().is_none() => Rcode::SERVFAIL.to_int(),
        rcode => rcode.to_int(),
    };
    let limit = limit_of(query).saturating_sub(tail_len(query, answer));
    let bits = (answer.flags & !flags::RCODE) | (rcode & flags::RCODE);
    let question = query.shown_question();
    let name = question.name().as_slice();
    // All the room at once: what is appended below are a few octets at a time.
    out.reserve(answer.plain_len(question.wire_len()).min(limit) + OPT_OCTETS);
    let ([id_high, id_low], [bits_high, bits_low]) = (query.id().to_be_bytes(), bits.to_be_bytes());
    out.extend_from_slice(&[id_high, id_low, bits_high, bits_low, 0, 1, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(name);
    let ([type_high, type_low], [class_high, class_low]) =
        (question.qtype().to_int().to_be_bytes(), question.qclass().to_int().to_be_bytes());
    out.extend_from_slice(&[type_high, type_low, class_high, class_low]);

    let mut writer = Writer::new(out, name);
    let mut counts = [0u16; 3];
    let mut cut = answer.overflowed();
    'sections: for section in SECTIONS {
        for record in answer.records(section) {
            if !writer.record(record, limit) {
                cut = true;
                break 'sections;
            }
            counts[section as usize] += 1;
        }
    }
    if cut {
        out[2] |= (flags::TC >> 8) as u8;
    }
    if let Some(edns) = query.edns() {
        write_reply_opt(query, edns, answer.edns.as_ref(), rcode, out);
        counts[2] += 1;
    }
    if let Some(places) = out.get_mut(6..HEADER_OCTETS) {
        for (place, count) in places.chunks_exact_mut(2).zip(counts) {
            place.copy_from_slice(&count.to_be_bytes());
        }
    }
}

/// What comes behind the records: the OPT record and the signature.
fn tail_len(query: &Query, answer: &Answer) -> usize {
    opt_len(query, answer) + query.seal().map_or(0, Seal::octets)
}

fn opt_len(query: &Query, answer: &Answer) -> usize {
    let Some(edns) = query.edns() else { return 0 };
    let options = match &answer.edns {
        Some(own) => own.options.len(),
        None if edns.options.is_empty() => 0,
        None => echoed(query, edns).map(|(_, data)| 4 + data.len()).sum(),
    };
    OPT_OCTETS + options
}

fn echoed<'a>(query: &'a Query, edns: &'a Edns) -> impl Iterator<Item = (u16, &'a [u8])> {
    let more = &query.env().instance.settings.echoed_options;
    edns.options().filter(|(code, _)| ECHOED_OPTIONS.contains(code) || more.contains(code))
}

/// The options of the OPT record with which the reply goes out, to be changed: an answer that has none gets those that come back anyway.
/// `None`: the client sent no OPT record, so the reply has none.
pub fn reply_options<'a>(query: &Query, answer: &'a mut Answer) -> Option<&'a mut Vec<u8>> {
    let edns = query.edns()?;
    let own = answer.edns.get_or_insert_with(|| {
        let mut options = Vec::new();
        write_echoed(query, edns, &mut options);
        ReplyEdns { udp_size: edns.udp_size, dnssec_ok: edns.dnssec_ok(), options }
    });
    Some(&mut own.options)
}

fn write_echoed(query: &Query, edns: &Edns, out: &mut Vec<u8>) {
    for (code, data) in echoed(query, edns) {
        out.extend_from_slice(&code.to_be_bytes());
        out.extend_from_slice(&u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
        out.extend_from_slice(data);
    }
}

/// CoreDNS: `request.SizeAndDo`. The client's size and DO come back; a plugin's options stay, else some of the client's.
fn write_reply_opt(query: &Query, edns: &Edns, own: Option<&ReplyEdns>, rcode: u16, out: &mut Vec<u8>) {
    let extended = u32::from(rcode >> 4) << 24;
    match own {
        Some(own) => {
            let dnssec_ok = edns.dnssec_ok() || own.dnssec_ok;
            write_opt(out, edns.udp_size, extended | u32::from(dnssec_ok) << 15, &own.options);
        }
        None => {
            write_opt(out, edns.udp_size, extended | u32::from(edns.flags & 0xff00), &[]);
            let start = out.len();
            write_echoed(query, edns, out);
            // They are a part of the query's own, so their length has 16 bits.
            let len = u16::try_from(out.len() - start).unwrap_or(0);
            out[start - 2..start].copy_from_slice(&len.to_be_bytes());
        }
    }
}

pub(crate) fn write_opt(out: &mut Vec<u8>, udp_size: u16, ttl: u32, options: &[u8]) {
    let [size_high, size_low] = udp_size.to_be_bytes();
    let [code, version, flags_high, flags_low] = ttl.to_be_bytes();
    let [len_high, len_low] = u16::try_from(options.len()).unwrap_or(0).to_be_bytes();
    let [type_high, type_low] = Rtype::OPT.to_int().to_be_bytes();
    let fixed: [u8; OPT_OCTETS] =
        [0, type_high, type_low, size_high, size_low, code, version, flags_high, flags_low, len_high, len_low];
    out.extend_from_slice(&fixed);
    out.extend_from_slice(options);
}

/// Writes records with compression pointers (RFC 1035 section 4.1.4).
struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// Where suffixes stand that later names may point at.
    places: [u16; SUFFIXES_MAX],
    /// How long each of them is without pointers, octets.
    lens: [u8; SUFFIXES_MAX],
    /// Which of them stand there without a pointer, a bit each.
    whole: u64,
    known: usize,
    question: &'a [u8],
}

const _: () = assert!(SUFFIXES_MAX <= u64::BITS as usize);

impl<'a> Writer<'a> {
    fn new(out: &'a mut Vec<u8>, question: &'a [u8]) -> Self {
        let (places, lens) = ([0; SUFFIXES_MAX], [0; SUFFIXES_MAX]);
        let mut writer = Self { out, places, lens, whole: 0, known: 0, question };
        writer.remember(question, HEADER_OCTETS, question.len());
        writer
    }

    /// Writes one record if it ends within `limit`, else leaves everything as it was.
    fn record(&mut self, record: Record<'_>, limit: usize) -> bool {
        let (start, known) = (self.out.len(), self.known);
        self.name(record.owner_wire());
        let rdata = record.rdata();
        let names = compressible(record.rtype());
        let [type_high, type_low] = record.rtype().to_int().to_be_bytes();
        let [class_high, class_low] = record.class().to_int().to_be_bytes();
        let [ttl_0, ttl_1, ttl_2, ttl_3] = record.ttl().to_be_bytes();
        let [len_high, len_low] = (rdata.len() as u16).to_be_bytes();
        self.out.extend_from_slice(&[
            type_high, type_low, class_high, class_low, ttl_0, ttl_1, ttl_2, ttl_3, len_high, len_low,
        ]);
        match names {
            None => self.out.extend_from_slice(rdata),
            Some(names) => self.compressed(rdata, names),
        }
        let fits = self.out.len() <= limit;
        if !fits {
            self.out.truncate(start);
            self.known = known;
        }
        fits
    }

    /// Writes rdata with names in it, and its length again: with pointers it is shorter.
    fn compressed(&mut self, rdata: &[u8], (before, names): (usize, usize)) {
        let start = self.out.len();
        let (head, mut rest) = rdata.split_at(before.min(rdata.len()));
        self.out.extend_from_slice(head);
        for _ in 0..names {
            let len = wire_name_len(rest);
            let (name, after) = rest.split_at(len);
            self.name(name);
            rest = after;
        }
        self.out.extend_from_slice(rest);
        let len = (self.out.len() - start) as u16;
        self.out[start - 2..start].copy_from_slice(&len.to_be_bytes());
    }

    /// Writes a name, its longest known suffix as a pointer.
    fn name(&mut self, name: &[u8]) {
        if name == self.question && name.len() > 1 {
            self.out.extend_from_slice(&[0xc0, HEADER_OCTETS as u8]);
            return;
        }
        let start = self.out.len();
        let mut rest = name;
        while let Some((&len, after)) = rest.split_first()
            && len != 0
        {
            if let Some(target) = self.find(rest) {
                let at = name.len() - rest.len();
                self.out.extend_from_slice(&name[..at]);
                self.out.extend_from_slice(&(0xc000 | target).to_be_bytes());
                self.remember(name, start, at);
                return;
            }
            rest = after.get(usize::from(len)..).unwrap_or_default();
        }
        self.out.extend_from_slice(name);
        self.remember(name, start, name.len());
    }

    /// Remembers the suffixes of a name written at `start` that begin before `end`, where a pointer stands unless it is the name's own end.
    fn remember(&mut self, name: &[u8], start: usize, end: usize) {
        let is_whole = end == name.len();
        let mut at = 0;
        while at < end && self.known < SUFFIXES_MAX {
            let len = name.get(at).copied().unwrap_or(0);
            // A pointer has 14 bits.
            if len == 0 || start + at > 0x3fff {
                return;
            }
            self.places[self.known] = (start + at) as u16;
            // Names have 255 octets at most.
            self.lens[self.known] = (name.len() - at) as u8;
            let bit = 1 << self.known;
            self.whole = if is_whole { self.whole | bit } else { self.whole & !bit };
            self.known += 1;
            at += 1 + usize::from(len);
        }
    }

    /// Where `suffix` stands already.
    fn find(&self, suffix: &[u8]) -> Option<u16> {
        let known = self.places.iter().zip(&self.lens).take(self.known).enumerate();
        let mut alike = known.filter(|(_, (_, len))| usize::from(**len) == suffix.len());
        let (_, (place, _)) = alike.find(|(index, (place, _))| {
            let at = usize::from(**place);
            if self.whole >> index & 1 == 1 {
                self.out.get(at..at + suffix.len()) == Some(suffix)
            } else {
                same_name(self.out, at, suffix)
            }
        })?;
        Some(*place)
    }
}

/// Whether the name at `at` of a message this writer made equals `name`, case and all: a pointer must not change the case.
fn same_name(message: &[u8], mut at: usize, mut name: &[u8]) -> bool {
    loop {
        let Some(&len) = message.get(at) else { return false };
        if len & 0xc0 == 0xc0 {
            let Some(&low) = message.get(at + 1) else { return false };
            at = usize::from(len & 0x3f) << 8 | usize::from(low);
            continue;
        }
        let label = 1 + usize::from(len);
        let (Some(theirs), Some(ours)) = (message.get(at..at + label), name.get(..label)) else { return false };
        if theirs != ours {
            return false;
        }
        if len == 0 {
            return true;
        }
        at += label;
        name = &name[label..];
    }
}

/// The length of the uncompressed name at the start of `octets`; all of them if no name ends there.
fn wire_name_len(octets: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&len) = octets.get(at) {
        at += 1 + usize::from(len);
        if len == 0 {
            return at.min(octets.len());
        }
    }
    octets.len()
}
