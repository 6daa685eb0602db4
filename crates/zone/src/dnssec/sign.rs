//! Signatures made (RFC 4034 section 3.1).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaSignatureEncoding};

use super::algorithm::Algorithm;
use super::canonical::CanonicalSet;
use super::key::{Pair, SigningKey};
use crate::zonefile::time;

/// The octets of an RRSIG's rdata before the name of the signer.
pub const RRSIG_HEAD_OCTETS: usize = 18;

/// Why there is no signature, or no signed zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The library refused to sign with the key of this tag.
    #[error("the key with tag {0} could not sign")]
    Key(u16),
    /// Two names make one NSEC3 record (RFC 5155 section 7.1, the last but one step).
    #[error("two names have the same hash, NSEC3 needs another salt")]
    SameHash,
}

/// When a signature holds, seconds since 1970, both ends included. The numbers wrap (RFC 4034 section 3.1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub inception: u32,
    /// The last second.
    pub expiration: u32,
}

impl Validity {
    /// Whether the time is within, compared as serial numbers.
    #[must_use]
    pub fn holds_at(self, seconds: u32) -> bool {
        seconds.wrapping_sub(self.inception) as i32 >= 0 && self.expiration.wrapping_sub(seconds) as i32 >= 0
    }
}

impl SigningKey {
    /// Signs a set and gives the rdata of the RRSIG record. `signer` is the name of the zone, uncompressed.
    ///
    /// # Errors
    /// The library could not sign: it ran out of memory.
    pub fn sign(&self, set: &CanonicalSet, signer: &[u8], validity: Validity) -> Result<Vec<u8>, SignError> {
        let mut message = Vec::with_capacity(RRSIG_HEAD_OCTETS + signer.len() + set.octets().len());
        message.extend(set.rtype().to_int().to_be_bytes());
        message.extend([self.algorithm.to_int(), set.labels()]);
        message.extend(set.ttl().to_be_bytes());
        message.extend(validity.expiration.to_be_bytes());
        message.extend(validity.inception.to_be_bytes());
        message.extend(self.public().tag().to_be_bytes());
        message.extend(signer.to_ascii_lowercase());
        let head = message.len();
        message.extend_from_slice(set.octets());
        let signature = self.sign_octets(&message).ok_or(SignError::Key(self.public().tag()))?;
        message.truncate(head);
        message.extend(signature);
        Ok(message)
    }

    fn sign_octets(&self, message: &[u8]) -> Option<Vec<u8>> {
        match &self.pair {
            Pair::Rsa(pair) if self.algorithm == Algorithm::RsaSha512 => rsa(pair, &RSA_PKCS1_SHA512, message),
            Pair::Rsa(pair) => rsa(pair, &RSA_PKCS1_SHA256, message),
            Pair::Ecdsa(pair) => Some(pair.sign(&SystemRandom::new(), message).ok()?.as_ref().to_vec()),
            Pair::Ed25519(pair) => Some(pair.try_sign(message).ok()?.as_ref().to_vec()),
        }
    }
}

fn rsa(pair: &RsaKeyPair, encoding: &'static RsaSignatureEncoding, message: &[u8]) -> Option<Vec<u8>> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), message, &mut signature).ok()?;
    Some(signature)
}

/// A moment of a signature as text, such as `2026-01-02T03:04:05.000Z`, taken as one between 1970 and 2106.
#[must_use]
pub fn date(seconds: u32) -> String {
    let mut digits = Vec::with_capacity(14);
    time::write_moment(seconds, &mut digits);
    let mut text = String::with_capacity(24);
    for (at, digit) in digits.into_iter().enumerate() {
        match at {
            4 | 6 => text.push('-'),
            8 => text.push('T'),
            10 | 12 => text.push(':'),
            _ => {}
        }
        text.push(char::from(digit));
    }
    text + ".000Z"
}

/// Reads the moment of a signature as zone files have it, `YYYYMMDDHHmmSS` in UTC: seconds since 1970, modulo 2^32 (RFC 4034 section 3.2).
#[must_use]
pub fn moment(digits: &[u8]) -> Option<u32> {
    time::moment(digits)
}

/// The fields of an RRSIG's rdata (RFC 4034 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature<'a> {
    /// The type covered.
    pub covered: catena_core::Rtype,
    /// The number of the algorithm.
    pub algorithm: u8,
    /// The labels of the owner.
    pub labels: u8,
    /// The original TTL, seconds.
    pub ttl: u32,
    /// When it holds.
    pub validity: Validity,
    /// The tag of the key.
    pub tag: u16,
    /// The name of the zone, uncompressed.
    pub signer: &'a [u8],
    /// What the key made.
    pub octets: &'a [u8],
}

impl<'a> Signature<'a> {
    /// Reads the rdata of an RRSIG record; `None` if it is too short.
    #[must_use]
    pub fn read(rdata: &'a [u8]) -> Option<Self> {
        let (head, rest) = rdata.split_first_chunk::<RRSIG_HEAD_OCTETS>()?;
        let number = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let signer_len = catena_core::wire::skip_name(rest, 0).ok()?;
        let (signer, octets) = rest.split_at_checked(signer_len)?;
        Some(Self {
            covered: catena_core::Rtype::from_int(u16::from_be_bytes([head[0], head[1]])),
            algorithm: head[2],
            labels: head[3],
            ttl: number(4),
            validity: Validity { expiration: number(8), inception: number(12) },
            tag: u16::from_be_bytes([head[16], head[17]]),
            signer,
            octets,
        })
    }
}
