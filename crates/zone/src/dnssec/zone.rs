//! Whole zones signed: keys published, a chain of NSEC records, a signature over every RRset (RFC 4035 section 2).

use catena_core::{Class, RecordRef, Rtype};

use super::bitmap::nsec_rdata;
use super::canonical::CanonicalSet;
use super::key::{Digest, SigningKey};
use super::sign::{SignError, Validity};
use crate::store::{BuildError, Builder, NameView, Taken, Zone};
use crate::zonefile::{RecordBuf, write_record};

/// The octets of the five numbers that end the rdata of a SOA record.
const SOA_NUMBERS_OCTETS: usize = 20;

/// The records of a zone on their way to be signed. Those that signing makes are left out: DNSKEY, CDNSKEY, CDS, RRSIG, NSEC, NSEC3,
/// NSEC3PARAM.
#[derive(Debug)]
pub struct UnsignedZone {
    builder: Builder,
    apex: Vec<u8>,
    serial: u32,
    soa: Option<Soa>,
}

/// What signing needs of the SOA record.
#[derive(Clone, Copy, Debug)]
struct Soa {
    class: Class,
    ttl: u32,
    minimum: u32,
}

impl UnsignedZone {
    /// For the zone of this name, uncompressed, whose SOA record gets this serial.
    #[must_use]
    pub fn new(apex: &[u8], serial: u32) -> Self {
        Self { builder: Builder::new(apex), apex: apex.to_ascii_lowercase(), serial, soa: None }
    }

    /// Takes a record, as the zone file has it.
    ///
    /// # Errors
    /// The record fits no zone, or not this one.
    pub fn push(&mut self, record: RecordRef<'_>) -> Result<(), BuildError> {
        if is_made_by_signing(record.rtype) {
            return Ok(());
        }
        if record.rtype != Rtype::SOA {
            return self.builder.push(record).map(|_| ());
        }
        let mut soa = RecordBuf::from(record);
        let numbers = soa.rdata.len().saturating_sub(SOA_NUMBERS_OCTETS);
        if let Some(serial) = soa.rdata.get_mut(numbers..numbers + 4) {
            serial.copy_from_slice(&self.serial.to_be_bytes());
        }
        let minimum = soa.rdata.last_chunk::<4>().map_or(0, |minimum| u32::from_be_bytes(*minimum));
        if self.builder.push(soa.as_ref())? == Taken::Kept {
            self.soa = Some(Soa { class: soa.class, ttl: soa.ttl, minimum });
        }
        Ok(())
    }

    /// Publishes the keys at the apex with the TTL of the SOA record: as DNSKEY, and for the parent as CDNSKEY and CDS (RFC 7344).
    ///
    /// # Errors
    /// The records are no zone.
    pub fn finish(mut self, keys: &[SigningKey]) -> Result<ZoneSigner<'_>, BuildError> {
        let soa = self.soa.unwrap_or(Soa { class: Class::IN, ttl: 0, minimum: 0 });
        for key in keys {
            let public = key.public();
            let mut push = |rtype, rdata: &[u8]| {
                let (owner, class, ttl) = (&self.apex[..], soa.class, soa.ttl);
                self.builder.push(RecordRef { owner, rtype, class, ttl, rdata }).map(|_| ())
            };
            push(Rtype::DNSKEY, public.rdata())?;
            push(Rtype::CDNSKEY, public.rdata())?;
            for digest in [Digest::Sha1, Digest::Sha256] {
                push(Rtype::CDS, &public.ds(&self.apex, digest))?;
            }
        }
        Ok(ZoneSigner { zone: self.builder.finish()?, nsec_ttl: soa.minimum, keys })
    }
}

fn is_made_by_signing(rtype: Rtype) -> bool {
    matches!(
        rtype,
        Rtype::DNSKEY | Rtype::CDNSKEY | Rtype::CDS | Rtype::RRSIG | Rtype::NSEC | Rtype::NSEC3 | Rtype::NSEC3PARAM
    )
}

/// A zone that waits for its signatures, with the keys that make them. Every key signs everything.
#[derive(Debug)]
pub struct ZoneSigner<'a> {
    zone: Zone,
    nsec_ttl: u32,
    keys: &'a [SigningKey],
}

impl ZoneSigner<'_> {
    /// Signs the zone and appends it as a zone file, in canonical order; the SOA record and its signatures come first.
    ///
    /// Signed is what the zone has authority over: at a cut the DS and NSEC records, below it nothing. NSEC records have the TTL of the SOA's
    /// MINIMUM.
    ///
    /// # Errors
    /// A key could not sign.
    pub fn write(&self, validity: Validity, out: &mut Vec<u8>) -> Result<(), SignError> {
        let mut signed = self.zone.names().filter(|name| is_signed(*name)).map(NameView::name);
        let first = signed.next().unwrap_or(self.zone.apex());
        for name in self.zone.names() {
            if is_signed(name) {
                self.write_name(name, signed.next().unwrap_or(first), validity, out)?;
            } else {
                name.records().for_each(|record| write_record(record, out));
            }
        }
        Ok(())
    }

    fn write_name(
        &self,
        name: NameView<'_>,
        next: &[u8],
        validity: Validity,
        out: &mut Vec<u8>,
    ) -> Result<(), SignError> {
        let records: Vec<RecordRef<'_>> = name.records().collect();
        let mut sets: Vec<&[RecordRef<'_>]> = records.chunk_by(|a, b| a.rtype == b.rtype).collect();
        sets.sort_by_key(|set| set.first().is_some_and(|first| first.rtype != Rtype::SOA));
        let mut types = vec![Rtype::RRSIG, Rtype::NSEC];
        for set in sets {
            let Some(first) = set.first() else { continue };
            let is_ours = !name.is_cut() || first.rtype == Rtype::DS;
            if is_ours || first.rtype == Rtype::NS {
                types.push(first.rtype);
            }
            self.write_set(set, is_ours, validity, out)?;
        }
        let (owner, class) = (name.name(), self.zone.class());
        let rdata = nsec_rdata(next, types);
        let nsec = RecordRef { owner, rtype: Rtype::NSEC, class, ttl: self.nsec_ttl, rdata: &rdata };
        self.write_set(&[nsec], true, validity, out)
    }

    /// Writes a set, all of it with the smallest of its TTLs (RFC 2181 section 5.2), and its signatures.
    fn write_set(
        &self,
        set: &[RecordRef<'_>],
        is_signed: bool,
        validity: Validity,
        out: &mut Vec<u8>,
    ) -> Result<(), SignError> {
        let Some(ttl) = set.iter().map(|record| record.ttl).min() else { return Ok(()) };
        for record in set {
            write_record(RecordRef { ttl, ..*record }, out);
        }
        let (true, Some(first)) = (is_signed, set.first()) else { return Ok(()) };
        let rdatas = set.iter().map(|record| record.rdata);
        let form = CanonicalSet::new(first.owner, first.rtype, first.class, ttl, rdatas);
        for key in self.keys {
            let rdata = key.sign(&form, self.zone.apex(), validity)?;
            write_record(RecordRef { rtype: Rtype::RRSIG, ttl, rdata: &rdata, ..*first }, out);
        }
        Ok(())
    }
}

/// Whether a name is in the chain: it has records, and the zone has authority over it or delegates it.
fn is_signed(name: NameView<'_>) -> bool {
    !name.is_hidden() && name.records().next().is_some()
}
