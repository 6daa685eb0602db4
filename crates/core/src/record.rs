//! One record of an answer: an [`Entry`] of offsets and numbers, and the [`Record`] that shows what it points at.

use std::net::IpAddr;

use domain::base::Name;
use domain::base::iana::{Class, Rtype};
use domain::base::rdata::ParseRecordData;
use domain::dep::octseq::Parser;

/// One record: numbers, and where its owner and rdata lie in the answer's octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub(crate) owner: u32,
    pub(crate) rdata: u32,
    /// Time to live, in seconds.
    pub ttl: u32,
    pub(crate) rdata_len: u16,
    /// The type of the record.
    pub rtype: Rtype,
    /// The class of the record.
    pub class: Class,
    pub(crate) owner_len: u8,
}

/// The numbers of a record whose owner and rdata lie one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The length of the owner name, octets.
    pub owner_len: u8,
    /// The type of the record.
    pub rtype: Rtype,
    /// The class of the record.
    pub class: Class,
    /// The length of the rdata, octets.
    pub rdata_len: u16,
}

impl Entry {
    /// The length of the record on the wire without compression, octets.
    #[must_use]
    pub fn plain_len(&self) -> usize {
        usize::from(self.owner_len) + 10 + usize::from(self.rdata_len)
    }
}

/// A view of one record of an answer.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    pub(crate) octets: &'a [u8],
    pub(crate) entry: &'a Entry,
}

impl<'a> Record<'a> {
    /// The octets of the owner name, uncompressed.
    #[must_use]
    pub fn owner_wire(self) -> &'a [u8] {
        let start = self.entry.owner as usize;
        self.octets.get(start..start + usize::from(self.entry.owner_len)).unwrap_or(&[0])
    }

    /// The owner name.
    #[must_use]
    pub fn owner(self) -> &'a Name<[u8]> {
        Name::from_slice(self.owner_wire()).unwrap_or_else(|_| Name::root_slice())
    }

    /// The type.
    #[must_use]
    pub fn rtype(self) -> Rtype {
        self.entry.rtype
    }

    /// The class.
    #[must_use]
    pub fn class(self) -> Class {
        self.entry.class
    }

    /// Time to live, seconds.
    #[must_use]
    pub fn ttl(self) -> u32 {
        self.entry.ttl
    }

    /// The rdata, names in it uncompressed.
    #[must_use]
    pub fn rdata(self) -> &'a [u8] {
        let start = self.entry.rdata as usize;
        self.octets.get(start..start + usize::from(self.entry.rdata_len)).unwrap_or(&[])
    }

    /// The rdata as one of `domain`'s types, such as `Srv<Name<&[u8]>>` or `ZoneRecordData`; `None` if it is of another type or broken.
    #[must_use]
    pub fn data<D: ParseRecordData<'a, [u8]>>(self) -> Option<D> {
        let mut parser = Parser::from_ref(self.rdata());
        D::parse_rdata(self.rtype(), &mut parser).ok().flatten()
    }

    /// The address of an A or AAAA record.
    #[must_use]
    pub fn address(self) -> Option<IpAddr> {
        match self.rtype() {
            Rtype::A => <[u8; 4]>::try_from(self.rdata()).ok().map(IpAddr::from),
            Rtype::AAAA => <[u8; 16]>::try_from(self.rdata()).ok().map(IpAddr::from),
            _ => None,
        }
    }

    /// The name that is all of the rdata: the target of CNAME, DNAME, NS and PTR records.
    #[must_use]
    pub fn target(self) -> Option<&'a Name<[u8]>> {
        match self.rtype() {
            Rtype::CNAME | Rtype::DNAME | Rtype::NS | Rtype::PTR => Name::from_slice(self.rdata()).ok(),
            _ => None,
        }
    }
}
