//! Hashed names of NSEC3 (RFC 5155 section 5).

use sha1::{Digest, Sha1};

/// The octets of a SHA-1 hash.
pub(crate) const HASH_OCTETS: usize = 20;
/// The characters of a hash as the first label of an owner.
pub(crate) const HASH_TEXT_OCTETS: usize = 32;
/// The digits of base32 with extended hex alphabet in lower case (RFC 4648 section 7); they sort like what they stand for.
const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// The salt in the rdata of an NSEC3PARAM or NSEC3 record.
pub(super) fn salt(rdata: &[u8]) -> &[u8] {
    let len = usize::from(rdata.get(4).copied().unwrap_or(0));
    rdata.get(5..5 + len).unwrap_or(&[])
}

/// Whether an NSEC3 record has the algorithm, iterations and salt of an NSEC3PARAM record. Their flags differ (opt-out).
pub(super) fn same_chain(params: &[u8], nsec3: &[u8]) -> bool {
    params.first() == nsec3.first() && params.get(2..4) == nsec3.get(2..4) && salt(params) == salt(nsec3)
}

/// The hash of a lower-case name.
pub(crate) fn hash(name: &[u8], salt: &[u8], iterations: u16) -> [u8; HASH_OCTETS] {
    let mut hash: [u8; HASH_OCTETS] = Sha1::new().chain_update(name).chain_update(salt).finalize().into();
    for _ in 0..iterations {
        hash = Sha1::new().chain_update(hash).chain_update(salt).finalize().into();
    }
    hash
}

/// The hash of a lower-case name as it stands in owners.
pub(crate) fn hash_text(name: &[u8], salt: &[u8], iterations: u16) -> [u8; HASH_TEXT_OCTETS] {
    text_of(&hash(name, salt, iterations))
}

/// A hash as the first label of an owner.
pub(crate) fn text_of(hash: &[u8; HASH_OCTETS]) -> [u8; HASH_TEXT_OCTETS] {
    let mut text = [0; HASH_TEXT_OCTETS];
    // Five octets make eight digits.
    for (octets, digits) in hash.chunks(5).zip(text.chunks_mut(8)) {
        let bits = octets.iter().fold(0u64, |bits, octet| (bits << 8) | u64::from(*octet));
        for (at, digit) in digits.iter_mut().enumerate() {
            *digit = DIGITS[(bits >> (35 - 5 * at)) as usize & 31];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hash_as_in_the_example_zone_of_rfc_5155() {
        let salt = [0xaa, 0xbb, 0xcc, 0xdd];
        assert_eq!(&hash_text(b"\x07example\0", &salt, 12), b"0p9mhaveqvm6t7vbl5lop2u3t2rp3tom");
        assert_eq!(&hash_text(b"\x01a\x07example\0", &salt, 12), b"35mthgpgcu1qg68fab165klnsnk3dpvl");
    }
}
