//! Catalog zones (RFC 9432): a zone whose records list other zones.

use std::collections::BTreeMap;

use catena_core::name::{self, Zone as ZoneName};
use catena_core::{LabelStarts, OwnedName, RecordRef, Rtype};
use catena_zone::Zone;
use domain::base::Name;

/// The version of the schema that is understood (RFC 9432 section 4.2.1).
const VERSION: &[u8] = b"2";
/// The most members of one catalog.
pub(crate) const MEMBERS_MAX: usize = 100_000;

/// A member of a catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// The label that it is listed under, in lower case.
    pub(crate) id: Vec<u8>,
    /// The zone.
    pub(crate) zone: ZoneName,
    /// The catalog that it goes to, if it changes hands.
    pub(crate) coo: Option<ZoneName>,
}

/// What is listed under one label.
#[derive(Default)]
struct Listed {
    zones: Vec<ZoneName>,
    coo: Vec<ZoneName>,
}

/// The members that a catalog lists, by zone.
///
/// # Errors
/// The zone is no catalog, in CoreDNS's words.
pub(crate) fn members(zone: &Zone) -> Result<BTreeMap<Vec<u8>, Member>, String> {
    let apex = zone.apex();
    let origin = text(apex);
    let apex_labels = LabelStarts::of(apex).count();
    let (mut has_ns, mut versions) = (false, Vec::new());
    let mut listed: BTreeMap<Vec<u8>, Listed> = BTreeMap::new();
    for record in zone.records() {
        let labels = labels_of(record.owner, apex_labels);
        match (record.rtype, &labels[..]) {
            (Rtype::NS, []) => has_ns = true,
            (Rtype::TXT, [b"version"]) => versions.push(strings(record)),
            (Rtype::PTR, [id, b"zones"]) => {
                let zones = &mut listed.entry(id.to_vec()).or_default().zones;
                zones.push(target(record).ok_or("a PTR record that holds no name")?);
            }
            (Rtype::PTR, [b"coo", id, b"zones"]) => {
                let coo = &mut listed.entry(id.to_vec()).or_default().coo;
                coo.push(target(record).ok_or("a PTR record that holds no name")?);
            }
            _ => {}
        }
    }
    if !has_ns {
        return Err(format!("catalog zone {origin} has no NS record"));
    }
    match &versions[..] {
        [version] if version == VERSION => {}
        [version] => {
            let version = String::from_utf8_lossy(version);
            return Err(format!("catalog zone {origin} has unsupported version {version:?}"));
        }
        _ => return Err(format!("catalog zone {origin} must have exactly one version TXT record")),
    }
    by_zone(listed, &origin)
}

fn by_zone(listed: BTreeMap<Vec<u8>, Listed>, origin: &str) -> Result<BTreeMap<Vec<u8>, Member>, String> {
    let mut members: BTreeMap<Vec<u8>, Member> = BTreeMap::new();
    for (id, Listed { zones, mut coo }) in listed {
        let shown = String::from_utf8_lossy(&id).into_owned();
        // A property of a member that is not listed has nothing to say.
        if zones.is_empty() {
            continue;
        }
        let [zone] = &zones[..] else {
            return Err(format!("catalog member {shown}.zones.{origin} must have exactly one PTR record"));
        };
        if let Some(other) = members.get(zone.wire()) {
            let other = String::from_utf8_lossy(&other.id);
            return Err(format!("catalog member zone {zone} is listed by both {other} and {shown}"));
        }
        if coo.len() > 1 {
            return Err(format!("catalog member {shown} has more than one coo PTR record"));
        }
        if members.len() == MEMBERS_MAX {
            return Err(format!("catalog zone {origin} has more than {MEMBERS_MAX} members"));
        }
        members.insert(zone.wire().to_vec(), Member { id, zone: zone.clone(), coo: coo.pop() });
    }
    Ok(members)
}

/// The labels of a name in front of the apex.
fn labels_of(owner: &[u8], apex_labels: usize) -> Vec<&[u8]> {
    let count = LabelStarts::of(owner).count().saturating_sub(apex_labels);
    let mut labels = Vec::with_capacity(count);
    let mut at = 0;
    for _ in 0..count {
        let Some(&len) = owner.get(at) else { break };
        labels.push(owner.get(at + 1..at + 1 + usize::from(len)).unwrap_or_default());
        at += 1 + usize::from(len);
    }
    labels
}

/// The strings of a TXT record, put together.
fn strings(record: RecordRef<'_>) -> Vec<u8> {
    let (mut octets, mut rest) = (Vec::new(), record.rdata);
    while let Some((&len, after)) = rest.split_first() {
        let (string, next) = after.split_at(usize::from(len).min(after.len()));
        octets.extend_from_slice(string);
        rest = next;
    }
    octets
}

fn target(record: RecordRef<'_>) -> Option<ZoneName> {
    OwnedName::from_octets(record.rdata.to_ascii_lowercase()).ok().map(ZoneName::from)
}

fn text(wire: &[u8]) -> String {
    Name::from_slice(wire).map(name::text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use catena_zone::load;
    use catena_zone::zonefile::NoInclude;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let zone = format!("@ 0 IN SOA invalid. invalid. 1 3600 600 604800 0\n{text}");
        let zone = load(zone.as_bytes(), "db", &ZoneName::parse("catalog.example").unwrap(), &NoInclude).unwrap();
        let members = members(&zone)?;
        Ok(members
            .values()
            .map(|member| {
                let coo = member.coo.as_ref().map(|zone| format!(" to {zone}")).unwrap_or_default();
                format!("{}: {}{coo}", String::from_utf8_lossy(&member.id), member.zone)
            })
            .collect())
    }

    const GOOD: &str = "@ 0 IN NS invalid.\nversion 0 IN TXT \"2\"\n";

    #[test]
    fn members_are_listed_below_zones() {
        let text = "b.zones 0 IN PTR Example.NET.\na.zones 0 IN PTR example.com.\ngroup.a.zones 0 IN TXT \"x\"\n\
                    coo.b.zones 0 IN PTR other.example.\nignored 0 IN PTR example.org.\n";
        let members = read(&format!("{GOOD}{text}")).unwrap();
        assert_eq!(members, ["a: example.com.", "b: example.net. to other.example."]);
    }

    #[test]
    fn a_catalog_may_be_empty() {
        assert_eq!(read(GOOD).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_catalog_is_told() {
        let zone = "catalog zone catalog.example.";
        assert_eq!(read("version 0 IN TXT \"2\"\n").unwrap_err(), format!("{zone} has no NS record"));
        let one = format!("{zone} must have exactly one version TXT record");
        assert_eq!(read("@ 0 IN NS invalid.\n").unwrap_err(), one);
        let wrong = format!("{zone} has unsupported version \"1\"");
        assert_eq!(read("@ 0 IN NS invalid.\nversion 0 IN TXT \"1\"\n").unwrap_err(), wrong);
        let twice = "a.zones 0 IN PTR x.\na.zones 0 IN PTR y.\n";
        let wrong = "catalog member a.zones.catalog.example. must have exactly one PTR record";
        assert_eq!(read(&format!("{GOOD}{twice}")).unwrap_err(), wrong);
        let both = "a.zones 0 IN PTR x.\nb.zones 0 IN PTR X.\n";
        assert_eq!(read(&format!("{GOOD}{both}")).unwrap_err(), "catalog member zone x. is listed by both a and b");
        let coo = "a.zones 0 IN PTR x.\ncoo.a.zones 0 IN PTR y.\ncoo.a.zones 0 IN PTR z.\n";
        assert_eq!(read(&format!("{GOOD}{coo}")).unwrap_err(), "catalog member a has more than one coo PTR record");
    }
}
