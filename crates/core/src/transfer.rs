//! Whole zones on their way out: who holds them, how they are pulled, who tells the secondaries.

use domain::base::Name;
use domain::base::iana::{Class, Rtype};

use crate::answer::Answer;
use crate::plugin::Error;
use crate::query::Query;

/// A record with everything in wire form, names uncompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// The owner name.
    pub owner: &'a [u8],
    /// The type.
    pub rtype: Rtype,
    /// The class.
    pub class: Class,
    /// Time to live, seconds.
    pub ttl: u32,
    /// The rdata.
    pub rdata: &'a [u8],
}

impl RecordRef<'_> {
    /// The length of the record on the wire without compression, octets.
    #[must_use]
    pub fn plain_len(&self) -> usize {
        self.owner.len() + 10 + self.rdata.len()
    }
}

/// The records of a transfer, one after the other, from the opening SOA to the closing one.
///
/// The records are pulled as the client takes them, so a source holds a snapshot and makes each record when it is asked for it.
pub trait Outgoing: Send + 'static {
    /// The next record; `None` when there are no more.
    fn next(&mut self) -> Option<RecordRef<'_>>;
}

/// Holds zones that may be transferred. Offered at setup with [`crate::Setup::offer`], found by the plugin `transfer`.
pub trait Transfer: Send + Sync + 'static {
    /// The records of the zone of this name, which is in lower case: all of them, or with `serial` (the client's) what changed since. Only
    /// the SOA means that nothing did. `None`: the zone is not held here.
    ///
    /// CoreDNS: `transfer.Transferer`.
    ///
    /// # Errors
    /// The zone is held here and cannot be transferred now.
    fn transfer(
        &self,
        zone: &Name<[u8]>,
        serial: Option<u32>,
        query: &Query,
    ) -> Option<Result<Box<dyn Outgoing>, Error>>;
}

/// Tells secondaries that a zone changed. Offered by `transfer`, found by the plugins that hold zones.
pub trait Notifier: Send + Sync + 'static {
    /// Sends NOTIFY (RFC 1996) for the zone of this name in the background.
    fn notify(&self, zone: &Name<[u8]>);
}

/// A reply of several messages, each made when the client has taken those before.
pub trait Envelopes: Send + 'static {
    /// The next message; `None` after the last one.
    fn next(&mut self, query: &mut Query) -> Option<Box<Answer>>;
}
