//! The records at the head of a signed zone: what it is signed with, to be compared with what it should be.

use std::collections::BTreeSet;
use std::path::Path;

use catena_core::{RecordRef, Rtype};
use catena_zone::dnssec::{Nsec3, PublicKey, Signature, key_tag};
use catena_zone::zonefile::{Options, read_zone};

use crate::judge::read_head;

/// What the records at the apex of a signed zone say.
#[derive(Debug, Default)]
pub(crate) struct Apex {
    name: Vec<u8>,
    /// The serial number.
    pub(crate) serial: Option<u32>,
    /// The tags of the keys that signed the SOA record.
    soa_tags: BTreeSet<u16>,
    dnskeys: BTreeSet<Vec<u8>>,
    cdnskeys: BTreeSet<Vec<u8>>,
    nsec3param: Option<Vec<u8>>,
    /// The first NSEC3 record, which is that of the apex.
    nsec3: Option<Vec<u8>>,
}

/// What a zone should be signed with.
pub(crate) struct Wanted<'a> {
    /// The keys that sign the SOA record.
    pub(crate) zone_signers: Vec<&'a PublicKey>,
    pub(crate) published: Vec<&'a PublicKey>,
    pub(crate) for_parent: Vec<&'a PublicKey>,
    pub(crate) nsec3: Option<&'a Nsec3>,
}

impl Apex {
    /// Reads the head of a file; nothing if there is none. What cannot be read ends it.
    pub(crate) fn read(signed: &Path) -> Option<Self> {
        let head = read_head(signed).ok()?;
        let mut apex = Self::default();
        let name = signed.to_string_lossy();
        // An error is the end of the apex, or of what can be read.
        let _ = read_zone(&head, &Options::new(&name, &[0]), &mut |record| apex.take(record));
        Some(apex)
    }

    fn take(&mut self, record: RecordRef<'_>) -> Result<(), String> {
        if self.serial.is_none() {
            self.name = record.owner.to_vec();
        }
        let rdata = || record.rdata.to_vec();
        match record.rtype {
            Rtype::NSEC3 => {
                self.nsec3.get_or_insert_with(rdata);
            }
            _ if record.owner != self.name => return Err(String::new()),
            Rtype::SOA => {
                let numbers = record.rdata.len().checked_sub(20).and_then(|at| record.rdata.get(at..)?.first_chunk());
                self.serial = numbers.map(|serial| u32::from_be_bytes(*serial));
            }
            Rtype::DNSKEY => _ = self.dnskeys.insert(rdata()),
            Rtype::CDNSKEY => _ = self.cdnskeys.insert(rdata()),
            Rtype::NSEC3PARAM => self.nsec3param = Some(rdata()),
            Rtype::RRSIG => {
                let signature = Signature::read(record.rdata).filter(|signature| signature.covered == Rtype::SOA);
                self.soa_tags.extend(signature.map(|signature| signature.tag));
            }
            _ => {}
        }
        // Behind the NSEC3 record of the apex comes the next name.
        if self.nsec3.is_some() { Err(String::new()) } else { Ok(()) }
    }

    /// Why the zone has to be signed again; `None` if it is signed as it should be.
    pub(crate) fn why_sign(&self, wanted: &Wanted<'_>) -> Option<&'static str> {
        let rdatas = |keys: &[&PublicKey]| keys.iter().map(|key| key.rdata().to_vec()).collect::<BTreeSet<_>>();
        let tags: BTreeSet<u16> = wanted.zone_signers.iter().map(|key| key.tag()).collect();
        if self.dnskeys != rdatas(&wanted.published) || self.soa_tags != tags {
            return Some("its keys have changed");
        }
        if self.cdnskeys != rdatas(&wanted.for_parent) {
            return Some("what the parent is told has changed");
        }
        let is_as_wanted = match wanted.nsec3 {
            None => self.nsec3param.is_none(),
            Some(params) => {
                let made = self.nsec3.as_ref().is_some_and(|nsec3| params.made(nsec3));
                made && self.nsec3param == Some(params.param_rdata())
            }
        };
        (!is_as_wanted).then_some("how it denies has changed")
    }

    /// The tags of the keys of the zone that are none of these.
    pub(crate) fn others<'a>(&self, keys: impl Iterator<Item = &'a PublicKey>) -> Vec<u16> {
        let known: BTreeSet<&[u8]> = keys.map(PublicKey::rdata).collect();
        self.dnskeys.iter().filter(|rdata| !known.contains(&rdata[..])).map(|rdata| key_tag(rdata)).collect()
    }
}
