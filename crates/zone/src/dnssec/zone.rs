//! Whole zones signed: keys published, a chain of NSEC or NSEC3 records, a signature over every RRset (RFC 4035 section 2).

use catena_core::{Class, RecordRef, Rtype};

use super::bitmap::nsec_rdata;
use super::canonical::CanonicalSet;
use super::chain::{Chain, Nsec3};
use super::key::{Digest, SigningKey};
use super::sign::{SignError, Validity};
use crate::store::{BuildError, Builder, NameView, Taken, Zone};
use crate::zonefile::{RecordBuf, write_record};

/// The octets of the five numbers that end the rdata of a SOA record.
const SOA_NUMBERS_OCTETS: usize = 20;

/// What a key does in a zone. It is published in any case.
#[derive(Clone, Copy, Debug)]
pub struct KeyUse<'a> {
    /// The key.
    pub key: &'a SigningKey,
    /// Whether it signs the sets that are about keys: DNSKEY, CDNSKEY and CDS.
    pub signs_keys: bool,
    /// Whether it signs everything else.
    pub signs_zone: bool,
    /// Whether the parent is asked for a DS record of it, with CDNSKEY and CDS records (RFC 7344).
    pub for_parent: bool,
}

impl<'a> KeyUse<'a> {
    /// A key that does everything.
    #[must_use]
    pub fn all(key: &'a SigningKey) -> Self {
        Self { key, signs_keys: true, signs_zone: true, for_parent: true }
    }
}

/// How a zone is signed.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The keys, in any order.
    pub keys: Vec<KeyUse<'a>>,
    /// What CDS records hold of a key: one record each.
    pub digests: &'a [Digest],
    /// How names are hashed for NSEC3; without it the chain is one of NSEC records.
    pub nsec3: Option<&'a Nsec3>,
}

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

    /// Publishes the keys at the apex with the TTL of the SOA record: as DNSKEY, and those for the parent as CDNSKEY and CDS (RFC 7344). An
    /// NSEC3PARAM record says how names are hashed.
    ///
    /// # Errors
    /// The records are no zone.
    pub fn finish<'a>(mut self, plan: &Plan<'a>) -> Result<ZoneSigner<'a>, BuildError> {
        let soa = self.soa.unwrap_or(Soa { class: Class::IN, ttl: 0, minimum: 0 });
        let mut push = |rtype, ttl, rdata: &[u8]| {
            let (owner, class) = (&self.apex[..], soa.class);
            self.builder.push(RecordRef { owner, rtype, class, ttl, rdata }).map(|_| ())
        };
        for one in &plan.keys {
            let public = one.key.public();
            push(Rtype::DNSKEY, soa.ttl, public.rdata())?;
            if one.for_parent {
                push(Rtype::CDNSKEY, soa.ttl, public.rdata())?;
                for digest in plan.digests {
                    push(Rtype::CDS, soa.ttl, &public.ds(&self.apex, *digest))?;
                }
            }
        }
        if let Some(nsec3) = plan.nsec3 {
            // Nobody but secondaries looks at it.
            push(Rtype::NSEC3PARAM, 0, &nsec3.param_rdata())?;
        }
        // RFC 9077 section 3.2; records of NSEC have what CoreDNS gives them.
        let denial_ttl = if plan.nsec3.is_some() { soa.minimum.min(soa.ttl) } else { soa.minimum };
        let zone = self.builder.finish()?;
        Ok(ZoneSigner { zone, keys_ttl: soa.ttl, denial_ttl, keys: plan.keys.clone(), nsec3: plan.nsec3 })
    }
}

fn is_made_by_signing(rtype: Rtype) -> bool {
    matches!(
        rtype,
        Rtype::DNSKEY | Rtype::CDNSKEY | Rtype::CDS | Rtype::RRSIG | Rtype::NSEC | Rtype::NSEC3 | Rtype::NSEC3PARAM
    )
}

/// A zone that waits for its signatures, with the keys that make them.
#[derive(Debug)]
pub struct ZoneSigner<'a> {
    zone: Zone,
    keys_ttl: u32,
    denial_ttl: u32,
    keys: Vec<KeyUse<'a>>,
    nsec3: Option<&'a Nsec3>,
}

impl ZoneSigner<'_> {
    /// The TTL of the DNSKEY records, seconds.
    #[must_use]
    pub fn keys_ttl(&self) -> u32 {
        self.keys_ttl
    }

    /// The largest TTL of a record of the signed zone, seconds.
    #[must_use]
    pub fn ttl_max(&self) -> u32 {
        self.zone.records().map(|record| record.ttl).max().unwrap_or(0).max(self.denial_ttl)
    }

    /// Signs the zone and appends it as a zone file. Names are in canonical order, each with its NSEC or NSEC3 record behind it; the SOA
    /// record and its signatures come first.
    ///
    /// Signed is what the zone has authority over: at a cut the DS and NSEC records, below it nothing. NSEC records have the TTL of the SOA's
    /// MINIMUM.
    ///
    /// # Errors
    /// A key could not sign; two names have one hash.
    pub fn write(&self, validity: Validity, out: &mut Vec<u8>) -> Result<(), SignError> {
        let sheet = &mut Sheet { signer: self, validity, out };
        match self.nsec3 {
            None => self.write_plain(sheet),
            Some(params) => self.write_hashed(&Chain::of(&self.zone, params)?, sheet),
        }
    }

    fn write_plain(&self, sheet: &mut Sheet<'_>) -> Result<(), SignError> {
        let mut signed = self.zone.names().filter(|name| is_signed(*name)).map(NameView::name);
        let first = signed.next().unwrap_or(self.zone.apex());
        for name in self.zone.names() {
            if !is_signed(name) {
                sheet.copy(name);
                continue;
            }
            let mut types = vec![Rtype::RRSIG, Rtype::NSEC];
            sheet.name(name, &mut types)?;
            sheet.denial(name.name(), Rtype::NSEC, &nsec_rdata(signed.next().unwrap_or(first), types))?;
        }
        Ok(())
    }

    fn write_hashed(&self, chain: &Chain<'_>, sheet: &mut Sheet<'_>) -> Result<(), SignError> {
        for (at, name) in self.zone.names().enumerate() {
            let mut types = Vec::new();
            if !is_signed(name) {
                sheet.copy(name);
            } else if sheet.name(name, &mut types)? {
                types.push(Rtype::RRSIG);
            }
            if let Some((label, rdata)) = chain.record(at, types) {
                let owner = [&label[..], self.zone.apex()].concat();
                sheet.denial(&owner, Rtype::NSEC3, &rdata)?;
            }
        }
        Ok(())
    }
}

/// The zone file as it is written.
struct Sheet<'a> {
    signer: &'a ZoneSigner<'a>,
    validity: Validity,
    out: &'a mut Vec<u8>,
}

impl Sheet<'_> {
    /// Writes a name that nothing is signed at.
    fn copy(&mut self, name: NameView<'_>) {
        name.records().for_each(|record| write_record(record, self.out));
    }

    /// Writes the sets of a name and their signatures, adds the types that the zone has authority over, and tells whether anything was signed.
    fn name(&mut self, name: NameView<'_>, types: &mut Vec<Rtype>) -> Result<bool, SignError> {
        let records: Vec<RecordRef<'_>> = name.records().collect();
        let mut sets: Vec<&[RecordRef<'_>]> = records.chunk_by(|a, b| a.rtype == b.rtype).collect();
        sets.sort_by_key(|set| set.first().is_some_and(|first| first.rtype != Rtype::SOA));
        let mut any_signed = false;
        for set in sets {
            let Some(first) = set.first() else { continue };
            let is_ours = !name.is_cut() || first.rtype == Rtype::DS;
            if is_ours || first.rtype == Rtype::NS {
                types.push(first.rtype);
            }
            any_signed |= is_ours;
            self.set(set, is_ours)?;
        }
        Ok(any_signed)
    }

    fn denial(&mut self, owner: &[u8], rtype: Rtype, rdata: &[u8]) -> Result<(), SignError> {
        let (class, ttl) = (self.signer.zone.class(), self.signer.denial_ttl);
        self.set(&[RecordRef { owner, rtype, class, ttl, rdata }], true)
    }

    /// Writes a set, all of it with the smallest of its TTLs (RFC 2181 section 5.2), and its signatures.
    fn set(&mut self, set: &[RecordRef<'_>], is_signed: bool) -> Result<(), SignError> {
        let Some(ttl) = set.iter().map(|record| record.ttl).min() else { return Ok(()) };
        for record in set {
            write_record(RecordRef { ttl, ..*record }, self.out);
        }
        let (true, Some(first)) = (is_signed, set.first()) else { return Ok(()) };
        let rdatas = set.iter().map(|record| record.rdata);
        let form = CanonicalSet::new(first.owner, first.rtype, first.class, ttl, rdatas);
        let is_of_keys = matches!(first.rtype, Rtype::DNSKEY | Rtype::CDNSKEY | Rtype::CDS);
        let signer = self.signer;
        for one in signer.keys.iter().filter(|one| if is_of_keys { one.signs_keys } else { one.signs_zone }) {
            let rdata = one.key.sign(&form, signer.zone.apex(), self.validity)?;
            write_record(RecordRef { rtype: Rtype::RRSIG, ttl, rdata: &rdata, ..*first }, self.out);
        }
        Ok(())
    }
}

/// Whether a name has records that the zone has authority over, or delegates.
fn is_signed(name: NameView<'_>) -> bool {
    !name.is_hidden() && name.records().next().is_some()
}
