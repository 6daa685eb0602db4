//! Keys: the public half from a DNSKEY record, the private half from BIND's file beside it.

use std::fmt;

use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair,
};
use catena_core::{Class, Rtype};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha384};

use super::algorithm::{Algorithm, mnemonic};
use super::private::Fields;
use crate::zonefile::{ZoneError, parse_record};

/// The TTL of a DNSKEY record in a file that does not say one, seconds.
const KEY_TTL: u32 = 3600;
/// The flag of a key of the zone (RFC 4034 section 2.1.1).
pub(super) const ZONE_KEY: u16 = 0x0100;
/// The flag of a secure entry point (RFC 4034 section 2.1.1).
pub(super) const SECURE_ENTRY: u16 = 0x0001;
/// The octets of a DNSKEY's rdata before the key.
pub(super) const DNSKEY_HEAD_OCTETS: usize = 4;

/// Why a key cannot be used. The texts are those of CoreDNS and of its DNS library where they have one.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file of the public key has no record.
    #[error("no public key found")]
    NoPublicKey,
    /// The first record in the file of the public key is of another type.
    #[error("no public key found")]
    NotDnskey(Rtype),
    /// The file of the public key cannot be read as a zone file.
    #[error("{}:{}: {}: {:?}", .0.line(), .0.column(), .0.message(), .0.text())]
    Syntax(ZoneError),
    /// The file of the private key is none, or lacks a field.
    #[error("dns: bad private key")]
    BadPrivate,
    /// The public key is not built as its algorithm wants it.
    #[error("dns: bad key")]
    BadPublic,
    /// The two halves are of different keys.
    #[error("the private key is not that of the public key")]
    Mismatch,
    /// Nothing is signed with this algorithm.
    #[error(
        "algorithm {} is not supported: sign with ECDSAP256SHA256, ECDSAP384SHA384, ED25519, RSASHA256 or RSASHA512",
        mnemonic(*.0)
    )]
    Algorithm(u8),
    /// The library could not make a key.
    #[error("no key could be made")]
    NotMade,
    /// An RSA key of another size.
    #[error("RSA keys have 2048 to 4096 bits, this one has {0}")]
    RsaSize(usize),
}

/// What a DS or CDS record holds of a key (RFC 4509, RFC 6605).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// SHA-1, which no new delegation should use (RFC 8624 section 3.3).
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
}

/// The public half of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    owner: Vec<u8>,
    class: Class,
    ttl: u32,
    rdata: Vec<u8>,
    tag: u16,
}

impl PublicKey {
    /// Reads the first record of a zone file: `K<zone>.+<algorithm>+<tag>.key`.
    ///
    /// # Errors
    /// There is no DNSKEY record.
    pub fn read(text: &[u8]) -> Result<Self, KeyError> {
        let record = parse_record(text, &[0], KEY_TTL).map_err(KeyError::Syntax)?.ok_or(KeyError::NoPublicKey)?;
        if record.rtype != Rtype::DNSKEY {
            return Err(KeyError::NotDnskey(record.rtype));
        }
        if record.rdata.len() < DNSKEY_HEAD_OCTETS {
            return Err(KeyError::BadPublic);
        }
        let tag = key_tag(&record.rdata);
        let owner = record.owner.to_ascii_lowercase();
        Ok(Self { owner, class: record.class, ttl: record.ttl, rdata: record.rdata, tag })
    }

    /// The owner of the record in the file, in lower case: the zone that the key was made for.
    #[must_use]
    pub fn owner(&self) -> &[u8] {
        &self.owner
    }

    /// The class of the record.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// The TTL of the record, seconds; 3600 if the file does not say one.
    #[must_use]
    pub fn ttl(&self) -> u32 {
        self.ttl
    }

    /// The rdata of the DNSKEY record, which is also that of the CDNSKEY record (RFC 7344 section 3.2).
    #[must_use]
    pub fn rdata(&self) -> &[u8] {
        &self.rdata
    }

    /// The key tag (RFC 4034 appendix B).
    #[must_use]
    pub fn tag(&self) -> u16 {
        self.tag
    }

    /// The number of the algorithm.
    #[must_use]
    pub fn algorithm(&self) -> u8 {
        self.rdata.get(3).copied().unwrap_or_default()
    }

    fn flags(&self) -> u16 {
        self.rdata.first_chunk::<2>().map_or(0, |flags| u16::from_be_bytes(*flags))
    }

    /// Whether it is a key of the zone with the SEP flag: one that the parent knows.
    #[must_use]
    pub fn is_ksk(&self) -> bool {
        self.flags() & (ZONE_KEY | SECURE_ENTRY) == ZONE_KEY | SECURE_ENTRY
    }

    /// Whether it is a key of the zone without the SEP flag.
    #[must_use]
    pub fn is_zsk(&self) -> bool {
        self.flags() & (ZONE_KEY | SECURE_ENTRY) == ZONE_KEY
    }

    /// The rdata of the DS record for the key in a zone, which is also that of the CDS record (RFC 4034 section 5.1.4, RFC 7344 section
    /// 3.1). `zone` is an uncompressed name.
    #[must_use]
    pub fn ds(&self, zone: &[u8], digest: Digest) -> Vec<u8> {
        let lower = zone.to_ascii_lowercase();
        let (number, digest) = match digest {
            Digest::Sha1 => (1, Sha1::new().chain_update(&lower).chain_update(&self.rdata).finalize().to_vec()),
            Digest::Sha256 => (2, Sha256::new().chain_update(&lower).chain_update(&self.rdata).finalize().to_vec()),
            Digest::Sha384 => (4, Sha384::new().chain_update(&lower).chain_update(&self.rdata).finalize().to_vec()),
        };
        let [high, low] = self.tag.to_be_bytes();
        [&[high, low, self.algorithm(), number], &digest[..]].concat()
    }

    /// Adds the private half, as BIND writes it (`Private-key-format: v1.2` or `v1.3`).
    ///
    /// # Errors
    /// The private half is none, is that of another key, or of an algorithm that nothing is signed with here.
    pub fn with_private(self, text: &[u8]) -> Result<SigningKey, KeyError> {
        let algorithm = Algorithm::from_int(self.algorithm()).ok_or_else(|| KeyError::Algorithm(self.algorithm()))?;
        let fields = Fields::read(text).ok_or(KeyError::BadPrivate)?;
        if fields.algorithm() != Some(algorithm.to_int()) {
            return Err(fields.algorithm().map_or(KeyError::BadPrivate, |_| KeyError::Mismatch));
        }
        let public = self.rdata.get(DNSKEY_HEAD_OCTETS..).unwrap_or_default();
        let pair = match algorithm {
            Algorithm::RsaSha256 | Algorithm::RsaSha512 => Pair::Rsa(rsa_pair(public, &fields)?),
            Algorithm::EcdsaP256 => Pair::Ecdsa(ecdsa_pair(&ECDSA_P256_SHA256_FIXED_SIGNING, 32, public, &fields)?),
            Algorithm::EcdsaP384 => Pair::Ecdsa(ecdsa_pair(&ECDSA_P384_SHA384_FIXED_SIGNING, 48, public, &fields)?),
            Algorithm::Ed25519 => Pair::Ed25519(ed25519_pair(public, &fields)?),
        };
        Ok(SigningKey { public: self, algorithm, pair })
    }
}

/// The key tag of a DNSKEY's rdata (RFC 4034 appendix B).
#[must_use]
pub fn key_tag(rdata: &[u8]) -> u16 {
    let pairs = rdata.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
    // 32768 pairs of 16 bits at most.
    let sum: u32 = pairs.sum();
    ((sum + (sum >> 16)) & 0xffff) as u16
}

/// A key that signs.
pub struct SigningKey {
    public: PublicKey,
    pub(super) algorithm: Algorithm,
    pub(super) pair: Pair,
}

pub(super) enum Pair {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.public).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// The public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// The exponent and the modulus of an RSA key (RFC 3110 section 2), without leading zeros.
pub(super) fn rsa_public(key: &[u8]) -> Option<PublicKeyComponents<&[u8]>> {
    let (len, rest) = match key {
        [0, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        [len, rest @ ..] => (usize::from(*len), rest),
        [] => return None,
    };
    let (e, n) = rest.split_at_checked(len)?;
    Some(PublicKeyComponents { n: without_zeros(n), e: without_zeros(e) })
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let start = number.iter().position(|octet| *octet != 0).unwrap_or(number.len());
    &number[start..]
}

fn rsa_pair(public: &[u8], fields: &Fields<'_>) -> Result<RsaKeyPair, KeyError> {
    let PublicKeyComponents { n, e } = rsa_public(public).ok_or(KeyError::BadPublic)?;
    let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    // RFC 3110 section 2 ends at 4096 bits.
    if !(2048..=4096).contains(&bits) {
        return Err(KeyError::RsaSize(bits));
    }
    let field = |word: &str| fields.octets(word).ok_or(KeyError::BadPrivate);
    if without_zeros(&field("Modulus")?) != n {
        return Err(KeyError::Mismatch);
    }
    let components = KeyPairComponents {
        public_key: PublicKeyComponents { n: n.to_vec(), e: e.to_vec() },
        d: field("PrivateExponent")?,
        p: field("Prime1")?,
        q: field("Prime2")?,
        dP: field("Exponent1")?,
        dQ: field("Exponent2")?,
        qInv: field("Coefficient")?,
    };
    RsaKeyPair::from_components(&components).map_err(|_| KeyError::Mismatch)
}

fn ecdsa_pair(
    algorithm: &'static EcdsaSigningAlgorithm,
    octets: usize,
    public: &[u8],
    fields: &Fields<'_>,
) -> Result<EcdsaKeyPair, KeyError> {
    if public.len() != 2 * octets {
        return Err(KeyError::BadPublic);
    }
    let private = fixed(&fields.octets("PrivateKey").ok_or(KeyError::BadPrivate)?, octets)?;
    // An uncompressed point (SEC 1 section 2.3.3).
    let point = [&[4], public].concat();
    EcdsaKeyPair::from_private_key_and_public_key(algorithm, &private, &point).map_err(|_| KeyError::Mismatch)
}

fn ed25519_pair(public: &[u8], fields: &Fields<'_>) -> Result<Ed25519KeyPair, KeyError> {
    if public.len() != 32 {
        return Err(KeyError::BadPublic);
    }
    let seed = fields.octets("PrivateKey").filter(|seed| seed.len() == 32).ok_or(KeyError::BadPrivate)?;
    Ed25519KeyPair::from_seed_and_public_key(&seed, public).map_err(|_| KeyError::Mismatch)
}

/// A number with so many octets: BIND leaves leading zeros out.
fn fixed(number: &[u8], octets: usize) -> Result<Vec<u8>, KeyError> {
    let number = without_zeros(number);
    let zeros = octets.checked_sub(number.len()).ok_or(KeyError::BadPrivate)?;
    Ok([&vec![0; zeros][..], number].concat())
}
