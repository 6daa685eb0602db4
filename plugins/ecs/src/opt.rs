//! The option in the OPT record of a query, as it came and as it goes on.

use catena_core::prelude::*;
use catena_core::{Edns, OPTION_SUBNET, Subnet, edns_options};

/// The size that a new OPT record tells, octets: what passes nearly everywhere in one piece.
const UDP_SIZE: u16 = 1232;
/// The longest options of a query, octets: its OPT record tells the length with 16 bits.
pub(crate) const OPTIONS_OCTETS_MAX: usize = 65_535;
/// The longest client-subnet option, octets: code, length, family, two lengths of prefixes, an address.
pub(crate) const OPTION_OCTETS_MAX: usize = 24;

/// What a query says about its network when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Nothing,
    Subnet(Subnet),
    /// More than one option, or one that cannot be read, or with a scope, which only replies have (RFC 7871 section 6).
    Broken,
}

impl Sent {
    pub(crate) fn of(q: &Query) -> Self {
        let Some(edns) = q.edns() else { return Self::Nothing };
        let mut found = edns.options().filter(|(code, _)| *code == OPTION_SUBNET);
        let Some((_, data)) = found.next() else { return Self::Nothing };
        match Subnet::read(data) {
            Ok((subnet, 0)) if found.next().is_none() => Self::Subnet(subnet),
            _ => Self::Broken,
        }
    }
}

/// What was done to a query's OPT record.
pub(crate) enum Change {
    None,
    /// There was no OPT record.
    Made,
    /// It had these options.
    Options(Vec<u8>),
}

impl Change {
    /// Has the query say `told` and nothing else about its network.
    pub(crate) fn make(q: &mut Query, sent: &Sent, told: Option<Subnet>) -> Self {
        let is_so = match (sent, told) {
            (Sent::Nothing, None) => true,
            (Sent::Subnet(theirs), Some(told)) => *theirs == told,
            _ => false,
        };
        if is_so {
            return Self::None;
        }
        let edns = q.edns_mut();
        let change = match edns {
            Some(edns) => Self::Options(edns.options.clone()),
            None => Self::Made,
        };
        let edns = edns.get_or_insert_with(|| Edns { udp_size: UDP_SIZE, ..Edns::default() });
        remove(&mut edns.options);
        if let Some(told) = told {
            told.write(0, &mut edns.options);
        }
        change
    }

    /// Makes the OPT record what it was, as far as it was changed here.
    pub(crate) fn undo(self, q: &mut Query) {
        match self {
            Self::None => {}
            Self::Made => *q.edns_mut() = None,
            Self::Options(before) => {
                if let Some(edns) = q.edns_mut() {
                    edns.options = before;
                }
            }
        }
    }
}

/// Whether the query's options can hold this one. Where they cannot nothing is told, and replies are no worse for it.
pub(crate) fn has_room(q: &Query, sent: &Sent, told: Subnet) -> bool {
    let octets = q.edns().map_or(0, |edns| edns.options.len());
    *sent == Sent::Subnet(told) || octets + OPTION_OCTETS_MAX <= OPTIONS_OCTETS_MAX
}

/// Takes every client-subnet option out.
pub(crate) fn remove(options: &mut Vec<u8>) {
    if !edns_options(options).any(|(code, _)| code == OPTION_SUBNET) {
        return;
    }
    let mut kept = Vec::with_capacity(options.len());
    for (code, data) in edns_options(options).filter(|(code, _)| *code != OPTION_SUBNET) {
        kept.extend_from_slice(&code.to_be_bytes());
        // It comes from an option, whose length has 16 bits.
        kept.extend_from_slice(&u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
        kept.extend_from_slice(data);
    }
    *options = kept;
}

/// Appends a client-subnet option with this data.
pub(crate) fn push(options: &mut Vec<u8>, data: &[u8]) {
    options.extend_from_slice(&OPTION_SUBNET.to_be_bytes());
    options.extend_from_slice(&u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
    options.extend_from_slice(data);
}
