//! The chain of hashed names of a zone that is signed with NSEC3 (RFC 5155 section 7.1).

use catena_core::{LabelStarts, Rtype};

use super::bitmap::type_bitmap;
use super::sign::SignError;
use crate::store::nsec3::{HASH_OCTETS, hash, text_of};
use crate::store::{NameView, Zone};

/// The hash algorithm SHA-1, the only one (RFC 5155 section 11).
const SHA1: u8 = 1;
/// The flag of a chain that leaves unsigned delegations out (RFC 5155 section 3.1.2.1).
const OPT_OUT: u8 = 1;
/// The most octets of a salt: their number is one octet.
pub const SALT_OCTETS_MAX: usize = 255;

/// How names are hashed. The default is what RFC 9276 section 3.1 wants: no further iterations, no salt, no opt-out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nsec3 {
    /// How often the hash is hashed again.
    pub iterations: u16,
    /// At most [`SALT_OCTETS_MAX`] octets; what is beyond is not taken.
    pub salt: Vec<u8>,
    /// Whether delegations without DS records are left out.
    pub opt_out: bool,
}

impl Nsec3 {
    /// The rdata of the NSEC3PARAM record (RFC 5155 section 4.2).
    #[must_use]
    pub fn param_rdata(&self) -> Vec<u8> {
        self.head(0)
    }

    /// Whether the rdata of an NSEC3 record is of such a chain.
    #[must_use]
    pub fn made(&self, nsec3: &[u8]) -> bool {
        nsec3.starts_with(&self.head(self.flags()))
    }

    fn flags(&self) -> u8 {
        if self.opt_out { OPT_OUT } else { 0 }
    }

    fn salt(&self) -> &[u8] {
        &self.salt[..self.salt.len().min(SALT_OCTETS_MAX)]
    }

    /// What NSEC3 and NSEC3PARAM records begin with.
    fn head(&self, flags: u8) -> Vec<u8> {
        let [high, low] = self.iterations.to_be_bytes();
        // At most 255.
        let salt_len = self.salt().len() as u8;
        [&[SHA1, flags, high, low, salt_len], self.salt()].concat()
    }

    fn hash(&self, name: &[u8]) -> [u8; HASH_OCTETS] {
        hash(name, self.salt(), self.iterations)
    }
}

/// The hashes of the names of a zone, in their order.
pub(super) struct Chain<'a> {
    params: &'a Nsec3,
    /// For each name of the zone, in its order; `None` for one that is not in the chain.
    own: Vec<Option<[u8; HASH_OCTETS]>>,
    sorted: Vec<[u8; HASH_OCTETS]>,
}

impl<'a> Chain<'a> {
    /// Hashes the names that the zone has authority over, those with nothing but names below included.
    pub(super) fn of(zone: &Zone, params: &'a Nsec3) -> Result<Self, SignError> {
        let names: Vec<NameView<'_>> = zone.names().collect();
        let mut own = vec![None; names.len()];
        // A name with nothing at it is in the chain for the sake of one below it, and those come next.
        let mut next: Option<&[u8]> = None;
        for (name, own) in names.iter().zip(&mut own).rev() {
            let is_empty = name.records().next().is_none();
            let is_left_out = match is_empty {
                true => !next.is_some_and(|next| is_below(next, name.name())),
                false => params.opt_out && name.is_cut() && !name.records().any(|record| record.rtype == Rtype::DS),
            };
            if !name.is_hidden() && !is_left_out {
                *own = Some(params.hash(name.name()));
                next = Some(name.name());
            }
        }
        let mut sorted: Vec<[u8; HASH_OCTETS]> = own.iter().flatten().copied().collect();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(SignError::SameHash);
        }
        Ok(Self { params, own, sorted })
    }

    /// The first label of the owner and the rdata of the NSEC3 record for the name at this place in the zone; `None` if it has none.
    pub(super) fn record(&self, at: usize, types: Vec<Rtype>) -> Option<(Vec<u8>, Vec<u8>)> {
        let hash = self.own.get(at)?.as_ref()?;
        let place = self.sorted.binary_search(hash).ok()?;
        let next = self.sorted.get(place + 1).or(self.sorted.first())?;
        let text = text_of(hash);
        // 32 characters.
        let label = [&[text.len() as u8], &text[..]].concat();
        let mut rdata = self.params.head(self.params.flags());
        rdata.push(HASH_OCTETS as u8);
        rdata.extend_from_slice(next);
        rdata.extend(type_bitmap(types));
        Some((label, rdata))
    }
}

/// Whether an uncompressed name is below another.
fn is_below(name: &[u8], above: &[u8]) -> bool {
    let ends = name.len() > above.len() && name.ends_with(above);
    ends && LabelStarts::of(name).suffix_start(LabelStarts::of(above).count()) == Some(name.len() - above.len())
}
