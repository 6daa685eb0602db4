//! The TSIG record at the end of a message (RFC 8945 section 4.2), and what its MAC is made of (section 4.3).

use catena_core::wire::{self, HEADER_OCTETS, Malformed, u16_at};
use catena_core::{Class, Rtype};

use super::keys::{Algorithm, Key};

/// How far clocks may be apart, seconds (RFC 8945 section 10 recommends it).
pub const FUDGE_SECONDS: u16 = 300;

/// The error in a TSIG record (RFC 8945 section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TsigError {
    /// None.
    #[default]
    None,
    /// The MAC is wrong.
    BadSig,
    /// The key or its algorithm is not known.
    BadKey,
    /// The clocks are too far apart.
    BadTime,
    /// Another one.
    Other(u16),
}

impl TsigError {
    /// The number.
    #[must_use]
    pub fn to_int(self) -> u16 {
        match self {
            Self::None => 0,
            Self::BadSig => 16,
            Self::BadKey => 17,
            Self::BadTime => 18,
            Self::Other(number) => number,
        }
    }

    fn from_int(number: u16) -> Self {
        match number {
            0 => Self::None,
            16 => Self::BadSig,
            17 => Self::BadKey,
            18 => Self::BadTime,
            other => Self::Other(other),
        }
    }
}

/// A TSIG record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TsigRecord {
    /// The name of the key as it came, on the wire.
    pub key_name: Vec<u8>,
    /// The name of the algorithm, on the wire.
    pub algorithm: Vec<u8>,
    /// When it was signed, seconds since 1970.
    pub time: u64,
    /// How far off that may be, seconds.
    pub fudge: u16,
    /// The MAC.
    pub mac: Vec<u8>,
    /// The id under which the message was signed.
    pub original_id: u16,
    /// The error.
    pub error: TsigError,
    /// The time of the server, if the error is about time.
    pub other: Vec<u8>,
}

/// Finds the TSIG record of a message and where it starts; `None` if there is none.
///
/// # Errors
/// The message is broken, or the record is not the last one of the additional section (RFC 8945 section 5.1).
pub fn find(message: &[u8]) -> Result<Option<(TsigRecord, usize)>, Malformed> {
    let counts = [u16_at(message, 4)?, u16_at(message, 6)?, u16_at(message, 8)?, u16_at(message, 10)?];
    let mut at = HEADER_OCTETS;
    for _ in 0..counts[0] {
        at = wire::skip_name(message, at)? + 4;
    }
    let records: usize = counts[1..].iter().map(|count| usize::from(*count)).sum();
    for number in 1..=records {
        if at == message.len() {
            // A message that has fewer records than it announces is let pass elsewhere as well.
            return Ok(None);
        }
        let record = wire::raw_record(message, at)?;
        if record.rtype == Rtype::TSIG {
            let is_last = number == records && counts[3] > 0 && record.end == message.len();
            return if is_last { Ok(Some((TsigRecord::read(message, &record)?, at))) } else { Err(Malformed) };
        }
        at = record.end;
    }
    Ok(None)
}

impl TsigRecord {
    fn read(message: &[u8], record: &wire::RawRecord) -> Result<Self, Malformed> {
        if record.class != Class::ANY || record.ttl != 0 {
            return Err(Malformed);
        }
        let (mut key_name, mut algorithm) = (Vec::new(), Vec::new());
        wire::expand_name(message, record.owner, &mut key_name)?;
        let at = wire::expand_name(message, record.rdata, &mut algorithm)?;
        let rest = message.get(at..record.end).ok_or(Malformed)?;
        let [a, b, c, d, e, f] = *rest.first_chunk().ok_or(Malformed)?;
        let mac_len = usize::from(u16_at(rest, 8)?);
        let mac = rest.get(10..10 + mac_len).ok_or(Malformed)?.to_vec();
        let tail = &rest[10 + mac_len..];
        let other_len = usize::from(u16_at(tail, 4)?);
        let other = tail.get(6..).filter(|other| other.len() == other_len).ok_or(Malformed)?.to_vec();
        Ok(Self {
            key_name,
            algorithm,
            time: u64::from_be_bytes([0, 0, a, b, c, d, e, f]),
            fudge: u16_at(rest, 6)?,
            mac,
            original_id: u16_at(tail, 0)?,
            error: TsigError::from_int(u16_at(tail, 2)?),
            other,
        })
    }

    /// A record without a MAC yet.
    #[must_use]
    pub fn unsigned(key_name: &[u8], algorithm: &[u8], time: u64, original_id: u16) -> Self {
        Self {
            key_name: key_name.to_vec(),
            algorithm: algorithm.to_vec(),
            time,
            fudge: FUDGE_SECONDS,
            mac: Vec::new(),
            original_id,
            error: TsigError::None,
            other: Vec::new(),
        }
    }

    /// The variables that are signed with a message, names in lower case (RFC 8945 section 4.3.3).
    pub(super) fn variables(&self) -> Vec<u8> {
        let mut octets = self.key_name.to_ascii_lowercase();
        octets.extend_from_slice(&Class::ANY.to_int().to_be_bytes());
        octets.extend_from_slice(&[0; 4]);
        octets.extend_from_slice(&self.algorithm.to_ascii_lowercase());
        octets.extend_from_slice(&self.timers());
        octets.extend_from_slice(&self.error.to_int().to_be_bytes());
        octets.extend_from_slice(&(self.other.len() as u16).to_be_bytes());
        octets.extend_from_slice(&self.other);
        octets
    }

    /// The variables of the messages behind the first of a stream (RFC 8945 section 5.3.1).
    pub(super) fn timers(&self) -> Vec<u8> {
        let mut octets = self.time.to_be_bytes()[2..].to_vec();
        octets.extend_from_slice(&self.fudge.to_be_bytes());
        octets
    }

    /// The octets that the record adds to a message with a MAC of this length.
    #[must_use]
    pub fn octets(&self, mac_octets: usize) -> usize {
        self.key_name.len() + 10 + self.algorithm.len() + 16 + mac_octets + self.other.len()
    }

    /// Appends the record to a message and counts it.
    pub fn append_to(&self, message: &mut Vec<u8>) {
        let start = message.len();
        message.extend_from_slice(&self.key_name);
        message.extend_from_slice(&Rtype::TSIG.to_int().to_be_bytes());
        message.extend_from_slice(&Class::ANY.to_int().to_be_bytes());
        message.extend_from_slice(&[0; 4]);
        let rdata_len = self.octets(self.mac.len()) - self.key_name.len() - 10;
        message.extend_from_slice(&(rdata_len as u16).to_be_bytes());
        message.extend_from_slice(&self.algorithm);
        message.extend_from_slice(&self.timers());
        message.extend_from_slice(&(self.mac.len() as u16).to_be_bytes());
        message.extend_from_slice(&self.mac);
        message.extend_from_slice(&self.original_id.to_be_bytes());
        message.extend_from_slice(&self.error.to_int().to_be_bytes());
        message.extend_from_slice(&(self.other.len() as u16).to_be_bytes());
        message.extend_from_slice(&self.other);
        let counted = message.get(10..12).map(|count| u16::from_be_bytes([count[0], count[1]]).saturating_add(1));
        match counted {
            Some(count) => message[10..12].copy_from_slice(&count.to_be_bytes()),
            // There is no header: nothing that could be signed.
            None => message.truncate(start),
        }
    }
}

/// A MAC with its length before it, as it goes into the next one; nothing for no MAC.
pub(super) fn prior(mac: &[u8]) -> Vec<u8> {
    if mac.is_empty() {
        return Vec::new();
    }
    let mut octets = (mac.len() as u16).to_be_bytes().to_vec();
    octets.extend_from_slice(mac);
    octets
}

/// A message as it was before it was signed: up to the record, which is not counted, and with the id it had then.
pub(super) fn stripped(message: &[u8], start: usize, original_id: u16) -> Vec<u8> {
    let mut octets = message.get(..start).unwrap_or(message).to_vec();
    if octets.len() >= HEADER_OCTETS {
        octets[..2].copy_from_slice(&original_id.to_be_bytes());
        let count = u16::from_be_bytes([octets[10], octets[11]]).saturating_sub(1);
        octets[10..12].copy_from_slice(&count.to_be_bytes());
    }
    octets
}

/// Whether a record's time is near enough.
pub(super) fn is_timely(record: &TsigRecord, now: u64) -> bool {
    record.time.abs_diff(now) <= u64::from(record.fudge)
}

/// Whether a MAC is right for a message as it was before it was signed.
pub(super) fn is_signed(
    key: &Key,
    algorithm: Algorithm,
    prior_mac: &[u8],
    message: &[u8],
    record: &TsigRecord,
) -> bool {
    key.is_mac(algorithm, &[&prior(prior_mac), message, &record.variables()], &record.mac)
}
