//! Keys made, as the two files that BIND keeps of each.

use aws_lc_rs::encoding::{AsBigEndian, AsDer, Curve25519SeedBin, EcPrivateKeyBin, Pkcs8V1Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair,
};
use catena_core::{Class, RecordRef, Rtype};

use super::algorithm::Algorithm;
use super::key::{KeyError, PublicKey, SECURE_ENTRY, SigningKey, ZONE_KEY};
use crate::zonefile::codec::write_base64;
use crate::zonefile::time::write_moment;
use crate::zonefile::write_record;

/// The value of the protocol field (RFC 4034 section 2.1.2).
const PROTOCOL: u8 = 3;
/// The fields of an RSA key in BIND's file, in the order in which PKCS #1 has them (RFC 8017 appendix A.1.2).
const RSA_FIELDS: [&str; 8] =
    ["Modulus", "PublicExponent", "PrivateExponent", "Prime1", "Prime2", "Exponent1", "Exponent2", "Coefficient"];
const DER_INTEGER: u8 = 0x02;
const DER_OCTETS: u8 = 0x04;
const DER_SEQUENCE: u8 = 0x30;

/// The size of an RSA key; other algorithms have one size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RsaBits {
    /// 2048 bits.
    #[default]
    Bits2048,
    /// 3072 bits.
    Bits3072,
    /// 4096 bits.
    Bits4096,
}

impl RsaBits {
    /// The size of so many bits.
    #[must_use]
    pub fn from_int(bits: u32) -> Option<Self> {
        match bits {
            2048 => Some(Self::Bits2048),
            3072 => Some(Self::Bits3072),
            4096 => Some(Self::Bits4096),
            _ => None,
        }
    }

    fn size(self) -> KeySize {
        match self {
            Self::Bits2048 => KeySize::Rsa2048,
            Self::Bits3072 => KeySize::Rsa3072,
            Self::Bits4096 => KeySize::Rsa4096,
        }
    }
}

/// What a new key is to be.
#[derive(Clone, Copy, Debug)]
pub struct KeyRequest<'a> {
    /// The zone, an uncompressed name.
    pub zone: &'a [u8],
    /// The algorithm.
    pub algorithm: Algorithm,
    /// How long the key is, if it is one of RSA.
    pub bits: RsaBits,
    /// Whether it has the SEP flag: whether the parent is to know it.
    pub is_ksk: bool,
    /// The TTL in the file of the public key, seconds.
    pub ttl: u32,
    /// When it is made, seconds since 1970.
    pub now: u32,
}

/// A key that was just made.
#[derive(Debug)]
pub struct NewKey {
    /// The key itself.
    pub key: SigningKey,
    /// What `K<zone>.+<algorithm>+<tag>.key` is to hold.
    pub public_text: Vec<u8>,
    /// What `K<zone>.+<algorithm>+<tag>.private` is to hold. Nobody else may read it.
    pub private_text: Vec<u8>,
}

impl KeyRequest<'_> {
    /// Makes the key and reads it back from its texts.
    ///
    /// # Errors
    /// The library could not make one: it ran out of memory.
    pub fn generate(&self) -> Result<NewKey, KeyError> {
        let made = match self.algorithm {
            Algorithm::EcdsaP256 => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::EcdsaP384 => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::Ed25519 => ed25519(),
            Algorithm::RsaSha256 | Algorithm::RsaSha512 => rsa(self.bits),
        };
        let Made { public, fields } = made.map_err(|Unspecified| KeyError::NotMade)?;
        let flags = if self.is_ksk { ZONE_KEY | SECURE_ENTRY } else { ZONE_KEY };
        let [high, low] = flags.to_be_bytes();
        let rdata = [&[high, low, PROTOCOL, self.algorithm.to_int()], &public[..]].concat();
        let record =
            RecordRef { owner: self.zone, rtype: Rtype::DNSKEY, class: Class::IN, ttl: self.ttl, rdata: &rdata };
        let mut line = Vec::new();
        write_record(record, &mut line);
        let key = PublicKey::read(&line)?;
        let kind = if self.is_ksk { "key-signing" } else { "zone-signing" };
        let mut created = Vec::new();
        write_moment(self.now, &mut created);
        let created = String::from_utf8_lossy(&created).into_owned();
        let head = format!("; This is a {kind} key, keyid {}\n; Created: {created}\n", key.tag());
        let public_text = [head.as_bytes(), &line].concat();
        let private_text = private_text(self.algorithm, &fields, &created);
        Ok(NewKey { key: key.with_private(&private_text)?, public_text, private_text })
    }
}

/// The octets of a key: those of the DNSKEY record, and the private fields with their names.
struct Made {
    public: Vec<u8>,
    fields: Vec<(&'static str, Vec<u8>)>,
}

fn private_text(algorithm: Algorithm, fields: &[(&str, Vec<u8>)], created: &str) -> Vec<u8> {
    let head = format!("Private-key-format: v1.3\nAlgorithm: {} ({})\n", algorithm.to_int(), algorithm.name());
    let mut text = head.into_bytes();
    for (name, octets) in fields {
        text.extend(format!("{name}: ").into_bytes());
        write_base64(octets, &mut text);
        text.push(b'\n');
    }
    text.extend(format!("Created: {created}\n").into_bytes());
    text
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> Result<Made, Unspecified> {
    let pair = EcdsaKeyPair::generate(algorithm)?;
    let private: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes()?;
    // Behind the octet that says that the point is uncompressed (RFC 6605 section 4).
    let public = pair.public_key().as_ref().get(1..).unwrap_or_default().to_vec();
    Ok(Made { public, fields: vec![("PrivateKey", private.as_ref().to_vec())] })
}

fn ed25519() -> Result<Made, Unspecified> {
    let pair = Ed25519KeyPair::generate()?;
    let seed: Curve25519SeedBin<'_> = pair.seed()?.as_be_bytes()?;
    Ok(Made { public: pair.public_key().as_ref().to_vec(), fields: vec![("PrivateKey", seed.as_ref().to_vec())] })
}

fn rsa(bits: RsaBits) -> Result<Made, Unspecified> {
    let der: Pkcs8V1Der<'_> = RsaKeyPair::generate(bits.size())?.as_der()?;
    let numbers = rsa_numbers(der.as_ref()).ok_or(Unspecified)?;
    let [modulus, exponent, ..] = &numbers[..] else { return Err(Unspecified) };
    // RFC 3110 section 2: the exponent with its length, then the modulus.
    let len = u8::try_from(exponent.len()).map_err(|_| Unspecified)?;
    let public = [&[len], &exponent[..], &modulus[..]].concat();
    Ok(Made { public, fields: RSA_FIELDS.into_iter().zip(numbers).collect() })
}

/// The numbers of an RSA key out of PKCS #8 (RFC 5208 section 5), without the version in front.
fn rsa_numbers(der: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (info, _) = element(der, DER_SEQUENCE)?;
    let (_version, rest) = element(info, DER_INTEGER)?;
    let (_algorithm, rest) = element(rest, DER_SEQUENCE)?;
    let (key, _) = element(rest, DER_OCTETS)?;
    let (key, _) = element(key, DER_SEQUENCE)?;
    let (_version, mut rest) = element(key, DER_INTEGER)?;
    let mut numbers = Vec::with_capacity(RSA_FIELDS.len());
    for _ in RSA_FIELDS {
        let (number, after) = element(rest, DER_INTEGER)?;
        // A zero in front keeps a number from being negative.
        numbers.push(number.strip_prefix(&[0]).unwrap_or(number).to_vec());
        rest = after;
    }
    Some(numbers)
}

/// The contents of the first element, which must have this tag, and what follows it (X.690 section 8.1).
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (head, rest) = der.split_first_chunk::<2>()?;
    if head[0] != tag {
        return None;
    }
    if head[1] < 0x80 {
        return rest.split_at_checked(usize::from(head[1]));
    }
    let octets = usize::from(head[1] & 0x7f);
    let (len, rest) = rest.split_at_checked(octets).filter(|_| octets <= 4)?;
    let len = len.iter().fold(0_usize, |len, octet| len << 8 | usize::from(*octet));
    rest.split_at_checked(len)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::dnssec::{CanonicalSet, Validity, verify};

    const ZONE: &[u8] = b"\x07example\x03org\0";

    fn made(algorithm: Algorithm, is_ksk: bool) -> NewKey {
        let request =
            KeyRequest { zone: ZONE, algorithm, bits: RsaBits::Bits2048, is_ksk, ttl: 300, now: 1_700_000_000 };
        request.generate().unwrap()
    }

    #[test]
    fn a_new_key_of_every_algorithm_is_read_back_and_signs() {
        for algorithm in Algorithm::ALL {
            let new = made(algorithm, true);
            let public = PublicKey::read(&new.public_text).unwrap();
            assert_eq!(&public, new.key.public());
            assert!(public.is_ksk() && public.ttl() == 300 && public.owner() == ZONE);
            let key = public.with_private(&new.private_text).unwrap();
            let set = CanonicalSet::new(ZONE, Rtype::A, Class::IN, 60, [&[192, 0, 2, 1][..]]);
            let rrsig = key.sign(&set, ZONE, Validity { inception: 1, expiration: 2 }).unwrap();
            verify(new.key.public().rdata(), &set, &rrsig).unwrap();
        }
    }

    #[test]
    fn two_keys_are_never_the_same() {
        let [one, other] = [made(Algorithm::Ed25519, false), made(Algorithm::Ed25519, false)];
        assert!(one.key.public().is_zsk());
        assert_ne!(one.key.public().rdata(), other.key.public().rdata());
    }

    #[test]
    fn broken_der_has_no_numbers() {
        for der in [&[][..], &[0x30], &[0x30, 2, 2, 0], &[0x30, 0x85, 1, 1, 1, 1, 1], &[0x31, 0]] {
            assert_eq!(rsa_numbers(der), None);
        }
    }
}
