//! Signatures checked (RFC 4035 section 5.3.3).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512,
    RsaParameters, UnparsedPublicKey, VerificationAlgorithm,
};

use super::algorithm::Algorithm;
use super::canonical::CanonicalSet;
use super::key::{DNSKEY_HEAD_OCTETS, rsa_public};
use super::sign::{RRSIG_HEAD_OCTETS, Signature};

/// Why a signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The rdata of the signature or of the key is broken.
    #[error("malformed signature or key")]
    Malformed,
    /// The signature is for a set of another type, TTL or number of labels, or by another algorithm.
    #[error("the signature is for another set or by another key")]
    Other,
    /// The algorithm is not known here.
    #[error("unknown algorithm {0}")]
    Algorithm(u8),
    /// The octets do not fit.
    #[error("the signature is wrong")]
    Wrong,
}

/// Checks the rdata of an RRSIG record over a set with the rdata of a DNSKEY record. The time is not looked at. The set has the original TTL and
/// the owner that was signed: that of a wildcard, not what came of it.
///
/// # Errors
/// Why the signature does not hold.
pub fn verify(dnskey: &[u8], set: &CanonicalSet, rrsig: &[u8]) -> Result<(), VerifyError> {
    let signature = Signature::read(rrsig).ok_or(VerifyError::Malformed)?;
    let (head, public) = dnskey.split_at_checked(DNSKEY_HEAD_OCTETS).ok_or(VerifyError::Malformed)?;
    let fits = signature.covered == set.rtype() && signature.labels == set.labels() && signature.ttl == set.ttl();
    if !fits || head[3] != signature.algorithm {
        return Err(VerifyError::Other);
    }
    let algorithm = Algorithm::from_int(head[3]).ok_or(VerifyError::Algorithm(head[3]))?;
    let signed = rrsig.get(..rrsig.len() - signature.octets.len()).unwrap_or_default();
    let mut message = signed.to_vec();
    if let Some(signer) = message.get_mut(RRSIG_HEAD_OCTETS..) {
        signer.make_ascii_lowercase();
    }
    message.extend_from_slice(set.octets());
    match algorithm {
        Algorithm::RsaSha256 => rsa(&RSA_PKCS1_2048_8192_SHA256, public, &message, signature.octets),
        Algorithm::RsaSha512 => rsa(&RSA_PKCS1_2048_8192_SHA512, public, &message, signature.octets),
        Algorithm::EcdsaP256 => plain(&ECDSA_P256_SHA256_FIXED, &[&[4], public].concat(), &message, signature.octets),
        Algorithm::EcdsaP384 => plain(&ECDSA_P384_SHA384_FIXED, &[&[4], public].concat(), &message, signature.octets),
        Algorithm::Ed25519 => plain(&ED25519, public, &message, signature.octets),
    }
}

fn rsa(parameters: &RsaParameters, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
    let components = rsa_public(key).ok_or(VerifyError::Malformed)?;
    components.verify(parameters, message, signature).map_err(|_| VerifyError::Wrong)
}

fn plain(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), VerifyError> {
    UnparsedPublicKey::new(algorithm, key).verify(message, signature).map_err(|_| VerifyError::Wrong)
}
