//! What plugins know about a query beyond its message: labels such as `kubernetes/client-namespace`, and views that choose by them.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::name::OwnedName;
use crate::query::Query;

/// Knows labels of queries. Given out at setup with [`crate::Setup::labels`]; read with [`Query::label`] where the block has the plugin
/// `metadata`. A value is made when somebody asks for it.
///
/// CoreDNS: `metadata.Provider`.
pub trait Labels: Send + Sync + 'static {
    /// The names that it may have a value for, each `PLUGIN/NAME`; one that ends in `/` stands for all that begin with it.
    fn names(&self) -> &[&'static str];

    /// The value of a label. Whatever a plugin did to the question, it is about [`Query::original`].
    fn label<'a>(&'a self, name: &str, query: &'a Query) -> Option<Cow<'a, str>>;
}

/// The names of labels that a plugin sets on the way with [`Query::set_label`], so that others know them.
pub struct LabelsSet(pub &'static [&'static str]);

impl Labels for LabelsSet {
    fn names(&self) -> &[&'static str] {
        self.0
    }

    fn label<'a>(&'a self, _: &str, _: &'a Query) -> Option<Cow<'a, str>> {
        None
    }
}

/// Whether a word can be a label: it has a `/`, neither first nor last. CoreDNS: `metadata.IsLabel`.
#[must_use]
pub fn is_label(word: &str) -> bool {
    word.find('/').is_some_and(|at| at > 0 && at + 1 < word.len())
}

/// Chooses which queries a server block takes. One for each block, given out at setup with [`crate::Setup::view`].
pub trait View: Send + Sync + 'static {
    /// The name, as the `view` label of metrics shows it.
    fn name(&self) -> &str;

    /// Whether the block takes the query; if not, the next block of the zone is asked.
    fn takes(&self, query: &Query) -> bool;
}

/// Knows the search path of clients, for `autopath @PLUGIN`. Offered at setup with [`crate::Setup::offer`].
///
/// CoreDNS: `autopath.AutoPather`.
pub trait AutoPath: Send + Sync + 'static {
    /// The search path of the client who sent the query, the last element empty (the root). `None`: the client is not known.
    fn search_path(&self, query: &Query, client: IpAddr) -> Option<Vec<OwnedName>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_something_on_both_sides_of_its_slash() {
        for (word, is) in [("a/b", true), ("a/b/c", true), ("a", false), ("/a", false), ("a/", false), ("", false)] {
            assert_eq!(is_label(word), is, "{word}");
        }
    }
}
