//! Signatures over zones (RFC 4034): keys as BIND keeps them in files, RRsets in canonical form, signed and verified, whole zones signed.
//!
//! ```text
//! let key = PublicKey::read(public_text)?.with_private(private_text)?;      // K<zone>.+<algorithm>+<tag>.key and .private
//! let set = CanonicalSet::new(owner, rtype, class, ttl, rdatas);            // sorted, names in lower case
//! let rrsig = key.sign(&set, zone, Validity { inception, expiration })?;    // rdata of the RRSIG record
//! verify(key.public().rdata(), &set, &rrsig)?;
//! ```
//!
//! Algorithms: RSASHA256, RSASHA512, ECDSAP256SHA256, ECDSAP384SHA384, ED25519. Others are refused when a key is read. What is signed with is the
//! library that does TLS.

mod algorithm;
mod bitmap;
mod canonical;
mod chain;
mod generate;
mod key;
mod private;
mod sign;
mod verify;
mod zone;

#[cfg(test)]
mod tests;

pub use algorithm::Algorithm;
pub use bitmap::{nsec_rdata, type_bitmap};
pub use canonical::CanonicalSet;
pub(crate) use canonical::lower_rdata;
pub use chain::{Nsec3, SALT_OCTETS_MAX};
pub use generate::{KeyRequest, NewKey, RsaBits};
pub use key::{Digest, KeyError, PublicKey, SigningKey, key_tag};
pub use sign::{RRSIG_HEAD_OCTETS, SignError, Signature, Validity, date, moment};
pub use verify::{VerifyError, verify};
pub use zone::{KeyUse, Plan, UnsignedZone, ZoneSigner};
