//! RRsets in canonical form and order (RFC 4034 sections 6.2 and 6.3).

use catena_core::{Class, LabelStarts, Rtype, wire};

/// An RRset as signatures cover it: the owner in lower case, the names in the rdata of old types too, records in order, none twice, each with
/// the original TTL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalSet {
    octets: Vec<u8>,
    rtype: Rtype,
    ttl: u32,
    labels: u8,
}

impl CanonicalSet {
    /// Puts a set into its form. `owner` is an uncompressed name of any case, `ttl` the original TTL in seconds, the rdata uncompressed.
    #[must_use]
    pub fn new<'a>(
        owner: &[u8],
        rtype: Rtype,
        class: Class,
        ttl: u32,
        rdatas: impl IntoIterator<Item = &'a [u8]>,
    ) -> Self {
        let mut rdatas: Vec<Vec<u8>> = rdatas.into_iter().map(|rdata| lower_rdata(rtype, rdata)).collect();
        rdatas.sort_unstable();
        rdatas.dedup();
        let lower = owner.to_ascii_lowercase();
        let size = rdatas.iter().map(|rdata| lower.len() + 10 + rdata.len()).sum();
        let mut octets = Vec::with_capacity(size);
        for rdata in &rdatas {
            octets.extend_from_slice(&lower);
            octets.extend(rtype.to_int().to_be_bytes());
            octets.extend(class.to_int().to_be_bytes());
            octets.extend(ttl.to_be_bytes());
            // Rdata comes from records, where its length has 16 bits.
            octets.extend((rdata.len() as u16).to_be_bytes());
            octets.extend_from_slice(rdata);
        }
        Self { octets, rtype, ttl, labels: signed_labels(&lower) }
    }

    /// The octets of the form, which tell one set from every other.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// The type of the records.
    #[must_use]
    pub fn rtype(&self) -> Rtype {
        self.rtype
    }

    /// The original TTL, seconds.
    #[must_use]
    pub fn ttl(&self) -> u32 {
        self.ttl
    }

    /// The number of labels of the owner, neither the root nor a leading `*` counted (RFC 4034 section 3.1.3).
    #[must_use]
    pub fn labels(&self) -> u8 {
        self.labels
    }
}

fn signed_labels(owner: &[u8]) -> u8 {
    let count = LabelStarts::of(owner).count();
    let counted = if owner.starts_with(b"\x01*") { count - 1 } else { count };
    // A name has 127 labels at most.
    counted as u8
}

/// Where the names are that become lower case: the octets before the first one, and how many they are. The types of RFC 4034 section 6.2 as
/// RFC 6840 section 5.1 corrects them: not NSEC, and HINFO has no names.
fn names_in(rtype: Rtype) -> Option<(usize, usize)> {
    if rtype == Rtype::NSEC { None } else { wire::names_in(rtype) }
}

/// Rdata with its names in lower case, of the types that say so.
pub(crate) fn lower_rdata(rtype: Rtype, rdata: &[u8]) -> Vec<u8> {
    let mut rdata = rdata.to_vec();
    let place = if rtype == Rtype::NAPTR { naptr_name(&rdata).map(|at| (at, 1)) } else { names_in(rtype) };
    if let Some((start, names)) = place {
        let end = (0..names).fold(start, |at, _| name_end(&rdata, at));
        if let Some(names) = rdata.get_mut(start..end) {
            // Length octets are below 64, so no letter hides among them.
            names.make_ascii_lowercase();
        }
    }
    rdata
}

/// Where the name in the rdata of a NAPTR record is: behind two numbers and three strings (RFC 3403 section 4.1).
fn naptr_name(rdata: &[u8]) -> Option<usize> {
    let mut at = 4;
    for _ in 0..3 {
        at += 1 + usize::from(*rdata.get(at)?);
    }
    Some(at)
}

/// Where an uncompressed name ends; the end of the octets if it is broken.
fn name_end(rdata: &[u8], mut at: usize) -> usize {
    while let Some(&len) = rdata.get(at) {
        at += 1 + usize::from(len);
        if len == 0 {
            break;
        }
    }
    at.min(rdata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(rtype: Rtype, rdata: &[u8]) -> Vec<u8> {
        let set = CanonicalSet::new(b"\0", rtype, Class::IN, 0, [rdata]);
        set.octets()[11..].to_vec()
    }

    #[test]
    fn names_in_the_rdata_of_old_types_become_lower_case() {
        assert_eq!(form(Rtype::MX, b"\x00A\x02MX\0"), b"\x00A\x02mx\0");
        assert_eq!(form(Rtype::SOA, b"\x01A\0\x01B\0SERIAL"), b"\x01a\0\x01b\0SERIAL");
        assert_eq!(form(Rtype::NAPTR, b"ABCD\x01U\x00\x02!E\x01R\0"), b"ABCD\x01U\x00\x02!E\x01r\0");
        assert_eq!(form(Rtype::SRV, b"ABCDEF\x01T\0"), b"ABCDEF\x01t\0");
    }

    #[test]
    fn other_rdata_stays_as_it_is() {
        for (rtype, rdata) in
            [(Rtype::NSEC, &b"\x01N\0\x00\x01\x40"[..]), (Rtype::TXT, b"\x02AB"), (Rtype::HTTPS, b"\0\x01\x01H\0")]
        {
            assert_eq!(form(rtype, rdata), rdata, "{rtype}");
        }
    }

    #[test]
    fn broken_rdata_is_no_end_of_the_world() {
        for rdata in [&b""[..], b"A", b"\x3fA", b"\0\0\x05AB"] {
            for rtype in [Rtype::MX, Rtype::SOA, Rtype::NAPTR, Rtype::SRV] {
                assert_eq!(form(rtype, rdata).len(), rdata.len());
            }
        }
    }

    #[test]
    fn records_are_in_order_and_none_is_there_twice() {
        let set = |rdatas: &[&'static [u8]]| {
            CanonicalSet::new(b"\x01A\0", Rtype::TXT, Class::IN, 5, rdatas.iter().copied()).octets().to_vec()
        };
        let sorted = set(&[b"\x01a", b"\x01b", b"\x02a"]);
        assert_eq!(set(&[b"\x02a", b"\x01b", b"\x01a", b"\x01b"]), sorted);
        assert_eq!(sorted[..3], *b"\x01a\0");
    }

    #[test]
    fn a_leading_star_is_no_label_of_a_signature() {
        let labels = |owner: &[u8]| CanonicalSet::new(owner, Rtype::A, Class::IN, 0, []).labels();
        assert_eq!(labels(b"\x01*\x01a\0"), 1);
        assert_eq!(labels(b"\x01b\x01*\x01a\0"), 3);
        assert_eq!(labels(b"\0"), 0);
    }
}
