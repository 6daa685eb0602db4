//! What the links of `file`, `auto` and `secondary` do alike.

use catena_core::{Error, Next, Outgoing, Query, Rcode, Reply, Transfer};
use domain::base::Name;

/// Hands on a query for a name that no zone here holds; an authoritative server at the end of its chain refuses.
pub async fn pass(q: &mut Query, next: Next<'_>) -> Reply {
    if next.name().is_none() { Reply::status(Rcode::REFUSED) } else { next.run(q).await }
}

/// The zones of a plugin as `transfer` sees them. The function gives, for the name of a zone in lower case on the wire and the serial that the
/// client has, what [`crate::SharedZone::transfer`] does; `None` if there is no such zone.
pub struct Sent<F>(pub F);

impl<F> Transfer for Sent<F>
where
    F: Fn(&[u8], Option<u32>) -> Option<Option<Box<dyn Outgoing>>> + Send + Sync + 'static,
{
    fn transfer(
        &self,
        zone: &Name<[u8]>,
        serial: Option<u32>,
        _query: &Query,
    ) -> Option<Result<Box<dyn Outgoing>, Error>> {
        let records = (self.0)(zone.as_slice(), serial)?;
        Some(records.ok_or_else(|| Error::ours("the zone is not loaded yet, or expired")))
    }
}
