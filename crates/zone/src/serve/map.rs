//! Things by zone, found by the names of queries.

use catena_core::name::Zone as ZoneName;
use catena_core::{Question, Rtype};
use hashbrown::HashMap;

/// The most zones of one map.
pub const ZONES_MAX: usize = 1_000_000;

/// One thing for each of some zones; the longest zone that holds a name counts.
#[derive(Clone, Debug)]
pub struct ZoneMap<T> {
    zones: HashMap<Box<[u8]>, (ZoneName, T), foldhash::fast::RandomState>,
    /// For each number of labels whether a zone has so many.
    depths: u128,
}

impl<T> Default for ZoneMap<T> {
    fn default() -> Self {
        Self { zones: HashMap::default(), depths: 0 }
    }
}

impl<T> ZoneMap<T> {
    /// Adds a zone, or gives it another thing; the one before comes back. Beyond [`ZONES_MAX`] zones nothing is added and the thing comes
    /// back itself.
    pub fn insert(&mut self, name: ZoneName, thing: T) -> Option<T> {
        if self.zones.len() >= ZONES_MAX && !self.zones.contains_key(name.wire()) {
            return Some(thing);
        }
        self.depths |= 1 << name.labels();
        self.zones.insert(name.wire().into(), (name, thing)).map(|(_, before)| before)
    }

    /// Takes a zone out.
    pub fn remove(&mut self, wire: &[u8]) -> Option<T> {
        let (_, thing) = self.zones.remove(wire)?;
        self.depths = self.zones.values().fold(0, |depths, (name, _)| depths | 1 << name.labels());
        Some(thing)
    }

    /// The zone of exactly this name, in lower case.
    #[must_use]
    pub fn get(&self, wire: &[u8]) -> Option<&T> {
        self.zones.get(wire).map(|(_, thing)| thing)
    }

    /// The longest zone that holds the question's name. DS records of a zone's own name are in the zone above, so that one comes first if
    /// it is here as well (RFC 4035 section 3.1.4.1).
    #[must_use]
    pub fn find(&self, question: &Question) -> Option<(&ZoneName, &T)> {
        let labels = question.labels();
        let mut own = None;
        for depth in (0..=labels.count()).rev().filter(|depth| self.depths >> depth & 1 == 1) {
            let Some(start) = labels.suffix_start(depth) else { continue };
            let Some((name, thing)) = self.zones.get(&question.lower().as_slice()[start..]) else { continue };
            if question.qtype() == Rtype::DS && start == 0 && depth > 0 {
                own = Some((name, thing));
                continue;
            }
            return Some((name, thing));
        }
        own
    }

    /// The zones, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&ZoneName, &T)> + '_ {
        self.zones.values().map(|(name, thing)| (name, thing))
    }

    /// How many zones there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.zones.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.zones.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use catena_core::Class;
    use catena_core::name::owned;

    fn map(zones: &[&str]) -> ZoneMap<String> {
        let mut map = ZoneMap::default();
        for zone in zones {
            map.insert(ZoneName::parse(zone).unwrap(), (*zone).to_owned());
        }
        map
    }

    fn found(map: &ZoneMap<String>, name: &str, qtype: Rtype) -> String {
        let name = owned(name).unwrap();
        let question = Question::new(name.for_slice(), qtype, Class::IN);
        map.find(&question).map_or("-".to_owned(), |(_, thing)| thing.clone())
    }

    #[test]
    fn the_longest_zone_that_holds_the_name_counts() {
        let map = map(&["example.org", "a.example.org", "net"]);
        assert_eq!(found(&map, "x.a.Example.org", Rtype::A), "a.example.org");
        assert_eq!(found(&map, "xa.example.org", Rtype::A), "example.org");
        assert_eq!(found(&map, "org", Rtype::A), "-");
    }

    #[test]
    fn the_root_holds_everything() {
        assert_eq!(found(&map(&[".", "net"]), "example.org", Rtype::A), ".");
        assert_eq!(found(&map(&["."]), ".", Rtype::DS), ".");
    }

    #[test]
    fn a_ds_query_for_a_zones_own_name_goes_to_the_zone_above() {
        let map = map(&["example.org", "a.example.org"]);
        assert_eq!(found(&map, "a.example.org", Rtype::DS), "example.org");
        assert_eq!(found(&map, "x.a.example.org", Rtype::DS), "a.example.org");
        assert_eq!(found(&map, "example.org", Rtype::DS), "example.org", "there is none above");
    }

    #[test]
    fn a_zone_that_was_taken_out_is_found_no_more() {
        let mut map = map(&["example.org", "a.example.org"]);
        assert_eq!(map.remove(owned("a.example.org").unwrap().as_slice()).unwrap(), "a.example.org");
        assert_eq!(found(&map, "a.example.org", Rtype::A), "example.org");
        assert_eq!(map.len(), 1);
    }
}
