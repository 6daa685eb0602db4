//! Response policy zones: zones whose names say which queries they are about, and whose records say what is answered.
//!
//! Names of queries, addresses of clients and addresses in replies are triggers here, with all actions. Names and addresses of name servers
//! are not: a server that forwards never sees them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use catena_core::name::Zone;
use catena_core::{Class, LabelStarts, RecordRef, Rtype};
use catena_zone::zonefile::{Options, read_zone, write_record};

use crate::address::NETWORKS_MAX;
use crate::rules::{LocalRecord, PolicySoa, Rules};
use crate::table::{Action, Scope, Seed};
use crate::text::Skipped;

/// The most records that one zone answers with.
pub(crate) const LOCAL_RECORDS_MAX: usize = 1 << 20;
/// How much of a record is shown in the log, characters.
const SHOWN_MAX: usize = 160;
/// The label `*` on the wire.
const STAR: &[u8] = b"\x01*";

/// Reads a zone file as a policy.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read_file(text: &[u8], file: &str, zone: &Zone, seed: &Seed) -> Result<(Rules, Skipped), String> {
    let mut policy = Compiler::new(zone, seed, text.len());
    let options = Options::new(file, zone.wire());
    read_zone(text, &options, &mut |record| policy.push(record)).map_err(|error| error.to_string())?;
    policy.finish()
}

/// Makes a policy of a zone that is in memory.
///
/// # Errors
/// It has too many records.
pub(crate) fn of_zone(from: &catena_zone::Zone, zone: &Zone, seed: &Seed) -> Result<(Rules, Skipped), String> {
    let mut policy = Compiler::new(zone, seed, 0);
    for record in from.records() {
        policy.push(record)?;
    }
    policy.finish()
}

/// What a name of the zone is about.
enum Trigger {
    Name(Scope),
    Client(IpAddr, u8),
    Answer(IpAddr, u8),
}

struct Compiler<'a> {
    zone: &'a Zone,
    rules: Rules,
    skipped: Skipped,
    /// Which set of records belongs to a name of the zone.
    sets: HashMap<Vec<u8>, usize>,
    records: usize,
}

impl<'a> Compiler<'a> {
    fn new(zone: &'a Zone, seed: &Seed, octets: usize) -> Self {
        let rules = Rules::new(seed, octets);
        Self { zone, rules, skipped: Skipped::default(), sets: HashMap::new(), records: 0 }
    }

    fn finish(mut self) -> Result<(Rules, Skipped), String> {
        if self.rules.soa.is_none() {
            return Err(format!("no SOA record for {}", self.zone));
        }
        self.rules.names.shrink();
        Ok((self.rules, self.skipped))
    }

    /// Takes a record. One that is not understood is counted; an error is one that makes an end.
    fn push(&mut self, record: RecordRef<'_>) -> Result<(), String> {
        let owner = record.owner.to_ascii_lowercase();
        let labels = LabelStarts::of(&owner);
        if !self.zone.holds(&owner, &labels) || record.class != Class::IN {
            self.skip(record, "is outside of the zone");
            return Ok(());
        }
        if owner == self.zone.wire() {
            if record.rtype == Rtype::SOA {
                self.rules.soa = Some(PolicySoa { owner: owner.into(), record: local(record) });
            }
            return Ok(());
        }
        // What signs the zone says nothing about queries.
        if matches!(record.rtype, Rtype::RRSIG | Rtype::NSEC | Rtype::NSEC3 | Rtype::DNSKEY | Rtype::DS) {
            return Ok(());
        }
        let mut trigger = owner[..owner.len() - self.zone.wire().len()].to_vec();
        trigger.push(0);
        if matches!(record.rtype, Rtype::NS | Rtype::SOA | Rtype::DNAME) {
            self.skip(record, "has a type that is no answer");
            return Ok(());
        }
        match (trigger_of(&trigger), action_of(record, &trigger)) {
            (Ok(what), Ok(action)) => self.add(trigger, &what, action, record),
            (Err(why), _) | (_, Err(why)) => {
                self.skip(record, why);
                Ok(())
            }
        }
    }

    fn add(&mut self, trigger: Vec<u8>, what: &Trigger, action: Action, record: RecordRef<'_>) -> Result<(), String> {
        let full = |error: crate::table::Full| error.to_string();
        let set = if action == Action::Local { Some(self.set(&trigger, record)?) } else { None };
        let is_room = match *what {
            Trigger::Name(Scope::Exact) => {
                let key = self.rules.names.insert(&trigger, Scope::Exact, action).map_err(full)?;
                self.rules.local_of.extend(set.map(|set| (key, set)));
                true
            }
            Trigger::Name(Scope::Below) => {
                let name = &trigger[STAR.len()..];
                let key = self.rules.names.insert(name, Scope::Below, action).map_err(full)?;
                self.rules.local_of.extend(set.map(|set| (key, set)));
                true
            }
            Trigger::Client(ip, length) => self.rules.clients.insert(ip, length, (action, set)),
            Trigger::Answer(ip, length) => self.rules.answers.insert(ip, length, (action, set)),
        };
        if is_room { Ok(()) } else { Err(format!("more than {NETWORKS_MAX} networks")) }
    }

    /// Puts a record into the set of its trigger.
    fn set(&mut self, trigger: &[u8], record: RecordRef<'_>) -> Result<usize, String> {
        if self.records == LOCAL_RECORDS_MAX {
            return Err(format!("more than {LOCAL_RECORDS_MAX} records to answer with"));
        }
        self.records += 1;
        if record.rtype == Rtype::CNAME {
            let target = record.rdata.to_ascii_lowercase();
            let (name, scope) = match target.strip_prefix(STAR) {
                Some(garden) => (garden, Scope::Below),
                None => (target.as_slice(), Scope::Exact),
            };
            self.rules.gardens.insert(name, scope, Action::Pass).map_err(|full| full.to_string())?;
        }
        let next = self.rules.local.len();
        let set = match self.sets.get(trigger) {
            Some(set) => *set,
            None => {
                self.sets.insert(trigger.to_vec(), next);
                self.rules.local.push(Vec::new());
                next
            }
        };
        if let Some(records) = self.rules.local.get_mut(set) {
            records.push(local(record));
        }
        Ok(set)
    }

    fn skip(&mut self, record: RecordRef<'_>, why: &str) {
        self.skipped.count += 1;
        self.skipped.first.get_or_insert_with(|| {
            let mut text = Vec::new();
            write_record(record, &mut text);
            let text: String = String::from_utf8_lossy(&text).trim_end().chars().take(SHOWN_MAX).collect();
            format!("{text:?} {why}")
        });
    }
}

fn local(record: RecordRef<'_>) -> LocalRecord {
    let RecordRef { rtype, class, ttl, rdata, .. } = record;
    LocalRecord { rtype, class, ttl, rdata: rdata.into() }
}

/// What a name of the zone, without the zone, is about.
fn trigger_of(trigger: &[u8]) -> Result<Trigger, &'static str> {
    let labels = LabelStarts::of(trigger);
    let last = labels.suffix_start(1).and_then(|start| trigger.get(start + 1..trigger.len() - 1)).unwrap_or_default();
    let network = || network_of(trigger, &labels).ok_or("is no network");
    match last {
        b"rpz-ip" => network().map(|(ip, length)| Trigger::Answer(ip, length)),
        b"rpz-client-ip" => network().map(|(ip, length)| Trigger::Client(ip, length)),
        b"rpz-nsdname" => Err("is about a name server's name, which is not supported"),
        b"rpz-nsip" => Err("is about a name server's address, which is not supported"),
        _ if last.starts_with(b"rpz-") => Err("has a trigger that is not known"),
        _ if trigger.starts_with(STAR) => Ok(Trigger::Name(Scope::Below)),
        _ => Ok(Trigger::Name(Scope::Exact)),
    }
}

/// The network of a name such as `24.0.2.0.192.rpz-ip` or `48.zz.db8.2001.rpz-ip`: `zz` is `::`.
fn network_of(trigger: &[u8], labels: &LabelStarts) -> Option<(IpAddr, u8)> {
    let label = |from_end: usize| {
        let start = labels.suffix_start(from_end)?;
        let end = labels.suffix_start(from_end - 1)?;
        std::str::from_utf8(trigger.get(start + 1..end)?).ok()
    };
    let length: u8 = label(labels.count())?.parse().ok()?;
    let groups: Vec<&str> = (2..labels.count()).map(label).collect::<Option<_>>()?;
    let ip: IpAddr = if groups.len() == 4 && !groups.contains(&"zz") {
        IpAddr::V4(groups.join(".").parse().ok()?)
    } else {
        let edge = |group: Option<&&str>| if group.is_some_and(|group| *group == "zz") { ":" } else { "" };
        let text: Vec<&str> = groups.iter().map(|group| if *group == "zz" { "" } else { *group }).collect();
        let text = format!("{}{}{}", edge(groups.first()), text.join(":"), edge(groups.last()));
        IpAddr::V6(text.parse::<Ipv6Addr>().ok()?)
    };
    let length_max = if ip.is_ipv4() { 32 } else { 128 };
    (1..=length_max).contains(&length).then_some((ip, length))
}

/// What a record of a trigger says.
fn action_of(record: RecordRef<'_>, trigger: &[u8]) -> Result<Action, &'static str> {
    if record.rtype != Rtype::CNAME {
        return Ok(Action::Local);
    }
    let target = record.rdata.to_ascii_lowercase();
    match target.as_slice() {
        b"\0" => Ok(Action::NxDomain),
        b"\x01*\0" => Ok(Action::NoData),
        b"\x0crpz-passthru\0" => Ok(Action::Pass),
        b"\x08rpz-drop\0" => Ok(Action::Drop),
        b"\x0crpz-tcp-only\0" => Ok(Action::TcpOnly),
        // As policies said it before there was `rpz-passthru`.
        same if same == trigger => Ok(Action::Pass),
        other if other.get(1..5) == Some(b"rpz-") && LabelStarts::of(other).count() == 1 => {
            Err("has an action that is not known")
        }
        _ => Ok(Action::Local),
    }
}
