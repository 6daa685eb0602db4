//! What one list says, whatever its form was.

use std::collections::HashMap;
use std::net::IpAddr;

use catena_core::{Class, Rtype};

use crate::address::AddressTable;
use crate::table::{Action, Found, NameTable, Scope, Seed, Suffixes};

/// A record that a list answers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalRecord {
    pub(crate) rtype: Rtype,
    pub(crate) class: Class,
    /// Time to live, seconds.
    pub(crate) ttl: u32,
    pub(crate) rdata: Box<[u8]>,
}

/// The SOA record of a response policy zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PolicySoa {
    pub(crate) owner: Box<[u8]>,
    pub(crate) record: LocalRecord,
}

/// What is done about a query, and on whose account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) action: Action,
    /// Which of the list's sets of records, for [`Action::Local`].
    pub(crate) local: Option<usize>,
    /// How many labels the listed name has; `None`: an address was listed.
    pub(crate) labels: Option<usize>,
}

/// One list. It does not change; a newer one takes its place.
#[derive(Default)]
pub(crate) struct Rules {
    pub(crate) names: NameTable,
    /// Names that the list itself leaves out.
    pub(crate) except: NameTable,
    /// Sets of records, and which names they belong to.
    pub(crate) local: Vec<Vec<LocalRecord>>,
    pub(crate) local_of: HashMap<(u32, Scope), usize, foldhash::fast::RandomState>,
    /// Names that aliases of the list lead to.
    pub(crate) gardens: NameTable,
    /// Clients.
    pub(crate) clients: AddressTable,
    /// Addresses in replies.
    pub(crate) answers: AddressTable,
    /// Of a response policy zone.
    pub(crate) soa: Option<PolicySoa>,
}

impl Rules {
    /// No rules, with room for names of so many octets.
    pub(crate) fn new(seed: &Seed, octets: usize) -> Self {
        let (names, empty) = (NameTable::new(seed, octets), || NameTable::new(seed, 0));
        Self { names, except: empty(), gardens: empty(), ..Self::default() }
    }

    /// How many names and networks there are.
    pub(crate) fn len(&self) -> usize {
        self.names.len() + self.except.len() + self.clients.len() + self.answers.len()
    }

    /// What the list says about a name.
    pub(crate) fn name(&self, name: &Suffixes<'_>) -> Option<Verdict> {
        let Found { key, action, labels } = self.names.find(name)?;
        if !self.except.is_empty() && self.except.find(name).is_some() {
            return None;
        }
        let local = if action == Action::Local { self.local_of.get(&key).copied() } else { None };
        Some(Verdict { action, local, labels: Some(labels) })
    }

    /// Whether the list is about addresses in replies.
    pub(crate) fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    /// What the list says about a client.
    pub(crate) fn client(&self, ip: IpAddr) -> Option<Verdict> {
        self.clients.find(ip).map(|(action, local)| Verdict { action, local, labels: None })
    }

    /// What the list says about an address in a reply.
    pub(crate) fn answer(&self, ip: IpAddr) -> Option<Verdict> {
        self.answers.find(ip).map(|(action, local)| Verdict { action, local, labels: None })
    }
}
