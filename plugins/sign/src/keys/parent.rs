//! Whether the servers of the parent have the DS record of a key.

use std::net::SocketAddr;

use catena_core::Rtype;
use catena_zone::dnssec::{Digest, PublicKey};
use catena_zone::inbound::{FetchError, Primary, records_of};

/// What has to be asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// The name of the key's files.
    pub(crate) name: String,
    pub(crate) key: PublicKey,
    /// The zone, an uncompressed name in lower case.
    pub(crate) zone: Vec<u8>,
    pub(crate) servers: Vec<SocketAddr>,
}

/// What all servers said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Submitted {
    /// The name of the key's files.
    pub(crate) name: String,
    /// The largest TTL of a DS record that was seen, seconds.
    pub(crate) ds_ttl: u32,
}

/// Asks every server. `None`: one has not got the DS record.
///
/// # Errors
/// A server that gave no usable answer, with the reason.
pub(crate) async fn ask(
    question: &Question,
    now: &(dyn Fn() -> u64 + Sync),
) -> Result<Option<Submitted>, (SocketAddr, FetchError)> {
    let ours: Vec<Vec<u8>> =
        [Digest::Sha1, Digest::Sha256, Digest::Sha384].map(|digest| question.key.ds(&question.zone, digest)).to_vec();
    let mut ds_ttl = 0;
    for server in &question.servers {
        let primary = Primary { addr: *server, key: None };
        let found = records_of(&primary, &question.zone, Rtype::DS, now).await.map_err(|error| (*server, error))?;
        if !found.iter().any(|(_, rdata)| ours.contains(rdata)) {
            return Ok(None);
        }
        ds_ttl = found.iter().map(|(ttl, _)| *ttl).max().unwrap_or(0).max(ds_ttl);
    }
    Ok(Some(Submitted { name: question.name.clone(), ds_ttl }))
}
