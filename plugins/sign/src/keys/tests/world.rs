//! A zone, its parent and everybody's caches, hour by hour: whatever a validator may still have from before has to fit together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use catena_core::{Class, Clock, Metrics, Rtype, Zone};
use catena_testkit::{FakeClock, FakeLog};
use catena_zone::dnssec::{CanonicalSet, Digest, Signature, key_tag, verify};
use catena_zone::zonefile::{Options, RecordBuf, read_zone};

use super::super::policy::Policy;
use super::super::state::State;
use super::super::{Gauges, Kept};
use crate::signer::{Jitter, Keys, Signer};

/// How often everybody looks, seconds.
pub(super) const STEP: u64 = 1200;
/// The most versions of a zone that are looked at.
const VERSIONS_MAX: usize = 40;
pub(super) const APEX: &[u8] = b"\x07example\x03org\0";
pub(super) const ZONE: &str = "\
@ 3600 IN SOA ns admin 42 7200 3600 1209600 300
@ 3600 IN NS ns
ns 86400 IN A 192.0.2.53
*.w 600 IN TXT any
sub 60 IN NS ns.example.net.
";

/// How slow the world is, seconds.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// Until the last server of the zone has what was signed.
    pub(super) propagation: u64,
    /// Until the parent does what CDS records say.
    pub(super) parent_work: u64,
    /// Until the last server of the parent has its new DS records.
    pub(super) parent_propagation: u64,
    pub(super) ds_ttl: u64,
}

/// What was published: sets of records with their TTL, and who signed them.
#[derive(Default)]
struct Version {
    /// Since when and until when some server has it.
    from: u64,
    until: Option<u64>,
    /// The DNSKEY records by tag; an answer that there are none has a TTL as well.
    dnskeys: BTreeMap<u16, Vec<u8>>,
    dnskey_ttl: u64,
    /// Who signed the DNSKEY records.
    dnskey_signers: BTreeSet<u16>,
    /// The TTL and the signers of every other set.
    sets: Vec<(String, u64, BTreeSet<u16>)>,
    cds: BTreeSet<Vec<u8>>,
}

/// DS records of the parent.
struct Delegation {
    ds: BTreeSet<Vec<u8>>,
    until: Option<u64>,
}

pub(super) struct World {
    pub(super) folder: tempfile::TempDir,
    pub(super) clock: Arc<FakeClock>,
    pub(super) log: Arc<FakeLog>,
    pub(super) metrics: Metrics,
    pub(super) pace: Pace,
    jitter: Jitter,
    signer: Signer,
    begun: u64,
    versions: Vec<Version>,
    delegations: Vec<Delegation>,
    /// CDS records that the parent will act upon, and when.
    noticed: Option<(BTreeSet<Vec<u8>>, u64)>,
    /// Whether the operator says of keys that the parent has them.
    pub(super) operator_confirms: bool,
    /// Whether other programs are asked what they think of a zone.
    pub(super) is_verified: bool,
    /// How many zones they were asked about.
    pub(super) verified: usize,
    /// What was wrong.
    pub(super) faults: Vec<String>,
}

impl World {
    pub(super) fn new(policy: Policy, pace: Pace) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("keys")).unwrap();
        std::fs::write(folder.path().join("db"), ZONE).unwrap();
        let (clock, log) = (Arc::new(FakeClock::new()), Arc::new(FakeLog::default()));
        let (metrics, jitter) = (Metrics::new(), Jitter { inception: 0, expiration: 0 });
        let signer = make_signer(folder.path(), policy, &clock, &log, &metrics);
        let begun = clock.unix_seconds();
        // Before there is a key the zone is served without signatures.
        let unsigned = ["SOA", "NS", "A", "TXT"].map(|set| (set.to_owned(), 86_400, BTreeSet::new())).to_vec();
        let first = Version { dnskey_ttl: 300, sets: unsigned, ..Version::default() };
        let none = Delegation { ds: BTreeSet::new(), until: None };
        Self {
            folder,
            clock,
            log,
            metrics,
            pace,
            jitter,
            signer,
            begun,
            versions: vec![first],
            delegations: vec![none],
            noticed: None,
            operator_confirms: true,
            is_verified: true,
            verified: 0,
            faults: Vec::new(),
        }
    }

    /// Another Corefile, and a server that starts with it.
    pub(super) fn restart(&mut self, policy: Policy) {
        self.signer = make_signer(self.folder.path(), policy, &self.clock, &self.log, &self.metrics);
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn state(&self) -> State {
        let text = std::fs::read_to_string(self.file("keys/Kexample.org.state")).unwrap();
        State::read(&text, "example.org.", "Kexample.org.").unwrap()
    }

    /// Seconds since the beginning.
    pub(super) fn time(&self) -> u64 {
        self.clock.unix_seconds() - self.begun
    }

    /// The tags of the keys that are published now.
    pub(super) fn published(&self) -> BTreeSet<u16> {
        self.versions.last().unwrap().dnskeys.keys().copied().collect()
    }

    /// How many DS records the parent has now, and whether they are those of published keys.
    pub(super) fn is_secure(&self) -> bool {
        !self.delegations.last().unwrap().ds.is_empty()
    }

    /// Puts DS records into the parent, from the beginning on.
    pub(super) fn delegate(&mut self, ds: BTreeSet<Vec<u8>>) {
        self.delegations = vec![Delegation { ds, until: None }];
    }

    /// Takes the zone that is there for one that has always been there.
    pub(super) fn take_signed(&mut self) {
        let text = std::fs::read(self.file("db.example.org.signed")).unwrap();
        self.versions = vec![version(&text, 0)];
    }

    /// Lets time go by.
    pub(super) fn run(&mut self, seconds: u64) {
        for _ in 0..seconds / STEP {
            self.step();
        }
    }

    /// The server looks, the parent looks, the operator looks, validators look.
    pub(super) fn step(&mut self) {
        self.clock.advance(Duration::from_secs(STEP));
        let signed = self.file("db.example.org.signed");
        let before = std::fs::read(&signed).ok();
        self.signer.look();
        let after = std::fs::read(&signed).ok();
        if let Some(text) = after.filter(|after| Some(after) != before.as_ref()) {
            self.publish(&text);
        }
        self.parent();
        self.validate();
    }

    fn publish(&mut self, text: &[u8]) {
        let now = self.time();
        let new = version(text, now);
        let is_new = self.versions.last().is_none_or(|last| last.dnskeys != new.dnskeys || last.sets != new.sets);
        if is_new && self.is_verified {
            self.check_with_ldns();
        }
        if let Some(last) = self.versions.last_mut() {
            last.until = Some(now);
        }
        self.versions.push(new);
        // What is so old is in no cache.
        if self.versions.len() > VERSIONS_MAX {
            self.versions.remove(0);
        }
    }

    /// The parent does what CDS records say (RFC 7344 section 6), and the operator tells the server.
    fn parent(&mut self) {
        let now = self.time();
        let cds = self.versions.last().unwrap().cds.clone();
        let has = &self.delegations.last().unwrap().ds;
        if !cds.is_empty() && cds != *has && self.noticed.as_ref().is_none_or(|(noticed, _)| *noticed != cds) {
            self.noticed = Some((cds, now + self.pace.parent_work));
        }
        let Some((cds, _)) = self.noticed.clone().filter(|(_, at)| *at <= now) else { return };
        self.noticed = None;
        self.delegations.last_mut().unwrap().until = Some(now);
        let tag = u16::from_be_bytes([cds.first().unwrap()[0], cds.first().unwrap()[1]]);
        self.delegations.push(Delegation { ds: cds, until: None });
        if self.operator_confirms {
            std::fs::write(self.file(&format!("keys/{}.submitted", self.key_name(tag))), "").unwrap();
        }
    }

    pub(super) fn key_name(&self, tag: u16) -> String {
        let ending = format!("+{tag:05}");
        self.state().keys.iter().find(|key| key.name.ends_with(&ending)).unwrap().name.clone()
    }

    /// Every set of keys, every signed set and every set of DS records that a validator may have now has to fit with all others.
    fn validate(&mut self) {
        let now = self.time();
        let Pace { propagation, parent_propagation, ds_ttl, .. } = self.pace;
        let is_near =
            |until: Option<u64>, propagation: u64, ttl: u64| until.is_none_or(|until| now < until + propagation + ttl);
        let mut faults = Vec::new();
        let known = |ds: &Delegation| is_near(ds.until, parent_propagation, ds_ttl) && !ds.ds.is_empty();
        for delegation in self.delegations.iter().filter(|delegation| known(delegation)) {
            for keys in self.versions.iter().filter(|keys| is_near(keys.until, propagation, keys.dnskey_ttl)) {
                let is_entry = |(tag, rdata): (&u16, &Vec<u8>)| {
                    keys.dnskey_signers.contains(tag) && delegation.ds.contains(&ds_of(rdata))
                };
                if !keys.dnskeys.iter().any(is_entry) {
                    faults.push(format!("{now}: no key of the version of {} fits the DS records", keys.from));
                }
                for zone in &self.versions {
                    let near = zone.sets.iter().filter(|(_, ttl, _)| is_near(zone.until, propagation, *ttl));
                    let bad = near.filter(|(.., signers)| !signers.iter().any(|tag| keys.dnskeys.contains_key(tag)));
                    faults.extend(bad.map(|(set, ..)| {
                        format!("{now}: {set} of {} has no signature by the keys of {}", zone.from, keys.from)
                    }));
                }
            }
        }
        self.faults.extend(faults);
    }

    /// Asks `ldns-verify-zone`, if it is there, what it thinks of the zone at this time.
    fn check_with_ldns(&mut self) {
        let Some(digits) = self.moment() else { return };
        let signed = self.file("db.example.org.signed");
        let args = ["-V", "2", "-t", &digits];
        let Ok(output) = Command::new("ldns-verify-zone").args(args).arg(&signed).output() else { return };
        self.verified += 1;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            self.faults.push(format!("{}: ldns-verify-zone: {said}", self.time()));
        }
    }

    fn moment(&self) -> Option<String> {
        let text = super::super::moment::write(self.clock.unix_seconds());
        Some(text.chars().filter(char::is_ascii_digit).collect())
    }

    pub(super) fn jitter(&self) -> Jitter {
        self.jitter
    }
}

fn make_signer(folder: &Path, policy: Policy, clock: &Arc<FakeClock>, log: &Arc<FakeLog>, metrics: &Metrics) -> Signer {
    let zone = Zone::parse("example.org").unwrap();
    let gauges = Gauges::new(metrics, &zone);
    Signer {
        source: folder.join("db"),
        output: folder.join("db.example.org.signed"),
        keys: Keys::Kept(Box::new(Kept::new(folder.join("keys"), &zone, policy, gauges, Arc::default()))),
        zone,
        nsec3: None,
        jitter: Jitter { inception: 0, expiration: 0 },
        clock: Arc::<FakeClock>::clone(clock),
        log: catena_core::Log::new(Arc::<FakeLog>::clone(log)),
        last: std::sync::Mutex::default(),
    }
}

/// The DS record, with SHA-256, of a key.
pub(super) fn ds_of(dnskey: &[u8]) -> Vec<u8> {
    let mut line = Vec::new();
    let record = catena_core::RecordRef { owner: APEX, rtype: Rtype::DNSKEY, class: Class::IN, ttl: 0, rdata: dnskey };
    catena_zone::zonefile::write_record(record, &mut line);
    catena_zone::dnssec::PublicKey::read(&line).unwrap().ds(APEX, Digest::Sha256)
}

pub(super) fn records(text: &[u8]) -> Vec<RecordBuf> {
    let mut records = Vec::new();
    read_zone(text, &Options::new("signed", &[0]), &mut |record| {
        records.push(RecordBuf::from(record));
        Ok(())
    })
    .unwrap();
    records
}

/// Reads a signed zone; every signature in it has to hold.
fn version(text: &[u8], from: u64) -> Version {
    let records = records(text);
    let mut new = Version { from, ..Version::default() };
    for record in &records {
        match record.rtype {
            Rtype::DNSKEY => _ = new.dnskeys.insert(key_tag(&record.rdata), record.rdata.clone()),
            Rtype::CDS => _ = new.cds.insert(record.rdata.clone()),
            _ => {}
        }
    }
    let mut sets: BTreeMap<(Vec<u8>, Rtype), (u64, BTreeSet<u16>)> = BTreeMap::new();
    for rrsig in records.iter().filter(|record| record.rtype == Rtype::RRSIG) {
        let signature = Signature::read(&rrsig.rdata).unwrap();
        let of = |record: &&RecordBuf| record.owner == rrsig.owner && record.rtype == signature.covered;
        let rdatas = records.iter().filter(of).map(|record| &record.rdata[..]);
        let set = CanonicalSet::new(&rrsig.owner, signature.covered, Class::IN, signature.ttl, rdatas);
        verify(&new.dnskeys[&signature.tag], &set, &rrsig.rdata).unwrap();
        let entry = sets.entry((rrsig.owner.clone(), signature.covered)).or_default();
        entry.0 = rrsig.ttl.into();
        entry.1.insert(signature.tag);
    }
    for ((owner, rtype), (ttl, signers)) in sets {
        if rtype == Rtype::DNSKEY {
            (new.dnskey_ttl, new.dnskey_signers) = (ttl, signers.clone());
        }
        new.sets.push((format!("{rtype} of {}", String::from_utf8_lossy(&owner)), ttl, signers));
    }
    new
}
