//! What a scripted upstream knows: records written one a line.

use bytes::Bytes;
use domain::base::iana::{Class, Rtype};
use domain::base::name::{FlattenInto, ToName};
use domain::base::{Name, Record, Ttl};
use domain::rdata::ZoneRecordData;
use domain::zonefile::inplace::{Entry, Zonefile};

use crate::Error;

/// A name that owns its octets.
pub type StoredName = Name<Bytes>;
/// Record data that owns its octets.
pub type StoredData = ZoneRecordData<Bytes, StoredName>;
/// A record that owns its octets.
pub type StoredRecord = Record<StoredName, StoredData>;

/// The longest chain of CNAMEs that is followed.
const CNAMES_MAX: usize = 10;

/// The records of one name and type; they share their TTL.
#[derive(Debug, Clone)]
struct Rrset {
    name: StoredName,
    class: Class,
    kind: Rtype,
    ttl: Ttl,
    data: Vec<StoredData>,
}

impl Rrset {
    fn records(&self, owner: &StoredName) -> Vec<StoredRecord> {
        self.data.iter().map(|data| Record::new(owner.clone(), self.class, self.ttl, data.clone())).collect()
    }
}

/// All records of an upstream, in the order given.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    rrsets: Vec<Rrset>,
}

/// What the records say about one question.
#[derive(Debug, Default)]
pub struct Found {
    /// Whether the name does not exist.
    pub nxdomain: bool,
    /// The answer section.
    pub answer: Vec<StoredRecord>,
    /// The authority section: the SOA of a negative answer.
    pub authority: Vec<StoredRecord>,
}

impl Answers {
    /// Reads lines `NAME TTL [CLASS] TYPE RDATA`; a line that starts with `;` is a comment.
    ///
    /// # Errors
    /// [`Error::Case`] for a line that is none.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut answers = Self::default();
        for line in text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with(';')) {
            let record = record_of(line).ok_or_else(|| {
                Error::Case(format!("upstream answers: {line:?} is no `name ttl [class] type rdata`"))
            })?;
            answers.add(record);
        }
        Ok(answers)
    }

    fn add(&mut self, record: StoredRecord) {
        let (class, ttl, kind) = (record.class(), record.ttl(), record.rtype());
        let same = |set: &&mut Rrset| set.name == *record.owner() && set.class == class && set.kind == kind;
        match self.rrsets.iter_mut().find(same) {
            Some(set) => {
                set.ttl = set.ttl.min(ttl);
                if !set.data.contains(record.data()) {
                    set.data.push(record.into_data());
                }
            }
            None => {
                let name = record.owner().clone();
                self.rrsets.push(Rrset { name, class, kind, ttl, data: vec![record.into_data()] });
            }
        }
    }

    fn soa(&self) -> Option<&Rrset> {
        self.rrsets.iter().find(|set| set.kind == Rtype::SOA)
    }

    /// The answer to one question: an exact match, else a wildcard of a parent; CNAMEs are followed, and the SOA
    /// goes with a negative answer.
    pub fn find(&self, name: StoredName, kind: Rtype, class: Class) -> Found {
        let known: Vec<&Rrset> = self.rrsets.iter().filter(|set| class == Class::ANY || set.class == class).collect();
        let mut found = Found::default();
        let mut name = name;
        let mut exists = true;
        for _ in 0..CNAMES_MAX {
            let owner;
            (owner, exists) = owner_of(&name, &known);
            let at = known.iter().filter(|set| set.name == owner);
            let hits: Vec<_> = at.clone().filter(|set| kind == Rtype::ANY || set.kind == kind).collect();
            for set in &hits {
                found.answer.extend(set.records(&name));
            }
            if !hits.is_empty() {
                return found;
            }
            let Some(cname) = at.clone().find(|set| set.kind == Rtype::CNAME) else { break };
            found.answer.extend(cname.records(&name));
            let Some(ZoneRecordData::Cname(target)) = cname.data.first() else { break };
            name = target.cname().clone();
        }
        found.nxdomain = !exists && found.answer.is_empty();
        found.authority = self.soa().map(|soa| soa.records(&soa.name)).unwrap_or_default();
        found
    }

    /// The whole zone between its SOA and its SOA; nothing without one.
    pub fn transfer(&self) -> Option<Vec<StoredRecord>> {
        let soa = self.soa()?;
        let rest = self.rrsets.iter().filter(|set| !std::ptr::eq(*set, soa));
        let inner = rest.flat_map(|set| set.records(&set.name));
        Some(soa.records(&soa.name).into_iter().chain(inner).chain(soa.records(&soa.name)).collect())
    }
}

fn record_of(line: &str) -> Option<StoredRecord> {
    let mut file = Zonefile::new();
    file.extend_from_slice(line.as_bytes());
    file.extend_from_slice(b"\n");
    file.set_origin(Name::root_bytes());
    file.set_default_class(Class::IN);
    match file.next_entry().ok()?? {
        Entry::Record(record) => record.try_flatten_into().ok(),
        Entry::Include { .. } => None,
    }
}

/// The name itself, else the wildcard that covers it; and whether it exists.
fn owner_of(name: &StoredName, known: &[&Rrset]) -> (StoredName, bool) {
    if known.iter().any(|set| set.name == *name) {
        return (name.clone(), true);
    }
    // A name that only has names below it exists as well.
    if known.iter().any(|set| set.name.ends_with(name)) {
        return (name.clone(), true);
    }
    for parent in name.iter_suffixes().skip(1) {
        let star = known.iter().find(|set| is_wildcard_of(&set.name, &parent));
        if let Some(star) = star {
            return (star.name.clone(), true);
        }
    }
    (name.clone(), false)
}

fn is_wildcard_of(name: &StoredName, parent: &impl ToName) -> bool {
    name.first().is_wildcard() && name.iter_suffixes().nth(1).is_some_and(|rest| rest.name_eq(parent))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::str::FromStr;

    const ZONE: &str = "\
        example.org. 300 IN SOA ns.example.org. admin.example.org. 1 2 3 4 300\n\
        a.example.org. 60 A 192.0.2.1\n\
        a.example.org. 30 A 192.0.2.2\n\
        ; a comment\n\
        www.example.org. 60 CNAME a.example.org.\n\
        *.wild.example.org. 60 TXT \"one two\" three\n";

    fn find(name: &str, kind: Rtype) -> Found {
        Answers::parse(ZONE).unwrap().find(Name::from_str(name).unwrap(), kind, Class::IN)
    }

    #[test]
    fn records_of_a_set_share_the_lowest_ttl() {
        let ttls: Vec<u32> = find("a.example.org.", Rtype::A).answer.iter().map(|one| one.ttl().as_secs()).collect();
        assert_eq!(ttls, [30, 30]);
    }

    #[test]
    fn names_are_found_in_any_letter_case_and_through_cnames() {
        let found = find("WWW.example.org.", Rtype::A);
        assert_eq!(found.answer.len(), 3);
        assert_eq!(found.answer[0].owner().to_string(), "WWW.example.org");
    }

    #[test]
    fn a_wildcard_answers_for_what_is_below_it() {
        let found = find("x.y.wild.example.org.", Rtype::TXT);
        assert_eq!(found.answer[0].owner().to_string(), "x.y.wild.example.org");
        assert!(!found.nxdomain);
    }

    #[test]
    fn negative_answers_carry_the_soa() {
        let (missing, empty) = (find("b.example.org.", Rtype::A), find("wild.example.org.", Rtype::A));
        assert!(missing.nxdomain && !empty.nxdomain);
        assert_eq!((missing.authority.len(), empty.authority.len()), (1, 1));
    }

    #[test]
    fn a_line_that_is_no_record_is_an_error() {
        assert!(Answers::parse("a.example.org. 60 A 192.0.2").is_err());
    }
}
