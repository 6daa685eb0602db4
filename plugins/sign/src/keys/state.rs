//! What is known of the keys of a zone, and the file that says so.
//!
//! ```text
//! ; Written by sign. Do not edit it while a server uses it.
//! format 1
//! zone example.org.
//! signed 2026-01-02T03:04:05Z                          the last time; missing before the first
//! dnskey-ttl 3600                                      of the DNSKEY records that are published, seconds
//! zone-ttl 86400                                       the largest of the zone
//! dnskey-ttl-before 86400 until 2026-01-03T04:04:05Z   caches may still have a larger one
//! zone-ttl-before 172800 until 2026-01-03T04:04:05Z
//! signed-by - until 2026-01-01T03:04:05Z               who signed the zone when, tags of keys; `-` if that is not known
//! signed-by 54321
//! parent-ds-ttl 86400                                  as the parent's servers told it
//! key Kexample.org.+013+12345 ksk active 2026-01-02T03:04:05Z rollover 2026-02-01T00:00:00Z
//! key Kexample.org.+013+54321 zsk published 2026-01-02T03:04:05Z
//! end
//! ```
//!
//! The moment behind a stage is its beginning; the one behind `rollover`, when the operator asked for another key.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::moment;

/// The most keys of a zone. Of those that are rolled over there are three of a kind.
pub(crate) const KEYS_MAX: usize = 64;
/// The most octets of the file.
pub(crate) const STATE_OCTETS_MAX: u64 = 64 * 1024;
/// The most changes of who signs that are remembered; more are taken together.
pub(crate) const SIGNERS_MAX: usize = 32;
const COMMENT: &str = "; Written by sign. Do not edit it while a server uses it.";
const FORMAT: &str = "1";

impl Key {
    /// The key tag, which the name ends with.
    pub(crate) fn tag(&self) -> u16 {
        split_key_name(&self.name).map(|(_, tag)| tag).unwrap_or_default()
    }
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It has the SEP flag: a KSK or a CSK.
    Ksk,
    /// It has not.
    Zsk,
}

/// Where a key is in its life (RFC 7583 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its files are being written; no zone has it.
    Generated,
    /// It is in the zone, and signs if it is a KSK, but nobody may rely on it yet.
    Published,
    /// A KSK that the parent may take a DS record of.
    Ready,
    /// It signs, and validators rely on it.
    Active,
    /// It stays for those who have what it signed, or its DS record, in their caches.
    Retired,
    /// The zone is without it; its files go.
    Removed,
}

impl Role {
    pub(crate) const ALL: [Self; 2] = [Self::Ksk, Self::Zsk];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ksk => "ksk",
            Self::Zsk => "zsk",
        }
    }
}

impl Stage {
    pub(crate) const ALL: [Self; 6] =
        [Self::Generated, Self::Published, Self::Ready, Self::Active, Self::Retired, Self::Removed];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Generated => "generated",
            Self::Published => "published",
            Self::Ready => "ready",
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Removed => "removed",
        }
    }

    /// Whether the zone has the key.
    pub(crate) fn is_published(self) -> bool {
        matches!(self, Self::Published | Self::Ready | Self::Active | Self::Retired)
    }
}

/// A key. Moments are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// The name of its files, without ending.
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) stage: Stage,
    /// When the stage began.
    pub(crate) since: u64,
    /// When the operator wanted another in its place.
    pub(crate) rollover: Option<u64>,
}

/// A TTL that may have been larger, seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ttl {
    pub(crate) now: u32,
    /// The larger one, and until when caches may have records with it.
    pub(crate) before: Option<(u32, u64)>,
}

impl Ttl {
    /// The largest with which caches may have a record.
    pub(crate) fn at(self, now: u64) -> u64 {
        let before = self.before.filter(|(_, until)| now < *until).map_or(0, |(ttl, _)| ttl);
        u64::from(self.now.max(before))
    }

    /// Takes the TTL of what is published from now on.
    pub(crate) fn set(&mut self, ttl: u32, now: u64, propagation_delay: u64) {
        let largest = self.at(now);
        if u64::from(ttl) < largest {
            let until = now + propagation_delay + largest;
            let kept = self.before.filter(|(_, end)| now < *end).map_or(0, |(_, end)| end);
            // If nothing was lowered, what ends the larger one is known already.
            if self.now > ttl || self.before.is_none() {
                self.before = Some((largest as u32, until.max(kept)));
            }
        } else {
            self.before = None;
        }
        self.now = ttl;
    }
}

/// Who signed the zone for some time, the keys' own records left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signers {
    /// The tags of the keys. None: it is not known, or nobody did.
    pub(crate) tags: BTreeSet<u16>,
    /// `None`: up to now.
    pub(crate) until: Option<u64>,
}

/// All that is known of the keys of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) zone: String,
    pub(crate) signed: Option<u64>,
    pub(crate) dnskey_ttl: Ttl,
    pub(crate) zone_ttl: Ttl,
    /// The oldest first; those that no cache can have any more are left out.
    pub(crate) signers: Vec<Signers>,
    pub(crate) parent_ds_ttl: u32,
    pub(crate) keys: Vec<Key>,
}

impl State {
    /// That of a zone without keys.
    pub(crate) fn new(zone: &str) -> Self {
        Self {
            zone: zone.to_owned(),
            signed: None,
            dnskey_ttl: Ttl::default(),
            zone_ttl: Ttl::default(),
            signers: Vec::new(),
            parent_ds_ttl: 0,
            keys: Vec::new(),
        }
    }

    /// The file.
    pub(crate) fn write(&self) -> String {
        let mut text = format!("{COMMENT}\nformat {FORMAT}\nzone {}\n", self.zone);
        let mut line = |words: String| {
            text.push_str(&words);
            text.push('\n');
        };
        if let Some(at) = self.signed {
            line(format!("signed {}", moment::write(at)));
        }
        for (word, ttl) in [("dnskey-ttl", self.dnskey_ttl), ("zone-ttl", self.zone_ttl)] {
            line(format!("{word} {}", ttl.now));
            if let Some((before, until)) = ttl.before {
                line(format!("{word}-before {before} until {}", moment::write(until)));
            }
        }
        for Signers { tags, until } in &self.signers {
            let tags: Vec<String> = tags.iter().map(u16::to_string).collect();
            let tags = if tags.is_empty() { "-".to_owned() } else { tags.join(",") };
            let until = until.map(|until| format!(" until {}", moment::write(until)));
            line(format!("signed-by {tags}{}", until.unwrap_or_default()));
        }
        line(format!("parent-ds-ttl {}", self.parent_ds_ttl));
        for key in &self.keys {
            let mut words = format!("key {} {} {}", key.name, key.role.word(), key.stage.word());
            // Writing to a string does not fail.
            let _ = write!(words, " {}", moment::write(key.since));
            if let Some(at) = key.rollover {
                let _ = write!(words, " rollover {}", moment::write(at));
            }
            line(words);
        }
        line("end".to_owned());
        text
    }

    /// Reads the file of a zone. `prefix` is what the names of its keys begin with.
    pub(crate) fn read(text: &str, zone: &str, prefix: &str) -> Result<Self, String> {
        let mut state = Self::new(zone);
        let mut ended = false;
        for (at, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            if words.is_empty() || words[0].starts_with(';') {
                continue;
            }
            if ended || state.take(&words, prefix).is_none() {
                return Err(format!("line {} cannot be read: {line}", at + 1));
            }
            ended = words == ["end"];
        }
        if ended { Ok(state) } else { Err("the file has no end".to_owned()) }
    }

    fn take(&mut self, words: &[&str], prefix: &str) -> Option<()> {
        match words {
            ["format", format] => (*format == FORMAT).then_some(())?,
            ["zone", zone] => (*zone == self.zone).then_some(())?,
            ["signed", at] => self.signed = Some(moment::read(at)?),
            ["dnskey-ttl", ttl] => self.dnskey_ttl.now = ttl.parse().ok()?,
            ["zone-ttl", ttl] => self.zone_ttl.now = ttl.parse().ok()?,
            ["dnskey-ttl-before", ttl, "until", at] => {
                self.dnskey_ttl.before = Some((ttl.parse().ok()?, moment::read(at)?));
            }
            ["zone-ttl-before", ttl, "until", at] => {
                self.zone_ttl.before = Some((ttl.parse().ok()?, moment::read(at)?));
            }
            ["signed-by", tags] => self.take_signers(tags, None)?,
            ["signed-by", tags, "until", at] => self.take_signers(tags, Some(moment::read(at)?))?,
            ["parent-ds-ttl", ttl] => self.parent_ds_ttl = ttl.parse().ok()?,
            ["key", name, role, stage, since, rest @ ..] => {
                let rollover = match rest {
                    [] => None,
                    ["rollover", at] => Some(moment::read(at)?),
                    _ => return None,
                };
                let role = Role::ALL.into_iter().find(|one| one.word() == *role)?;
                let stage = Stage::ALL.into_iter().find(|one| one.word() == *stage)?;
                let is_name = is_key_name(name, prefix) && self.keys.iter().all(|key| key.name != *name);
                let since = moment::read(since)?;
                (is_name && self.keys.len() < KEYS_MAX).then_some(())?;
                self.keys.push(Key { name: (*name).to_owned(), role, stage, since, rollover });
            }
            ["end"] => {}
            _ => return None,
        }
        Some(())
    }

    fn take_signers(&mut self, tags: &str, until: Option<u64>) -> Option<()> {
        let tags = match tags {
            "-" => BTreeSet::new(),
            _ => tags.split(',').map(|tag| tag.parse().ok()).collect::<Option<_>>()?,
        };
        (self.signers.len() < SIGNERS_MAX).then_some(())?;
        self.signers.push(Signers { tags, until });
        Some(())
    }

    /// Takes over how another state says that the zone was signed.
    pub(crate) fn take_signed(&mut self, other: &Self) {
        (self.signed, self.dnskey_ttl, self.zone_ttl) = (other.signed, other.dnskey_ttl, other.zone_ttl);
        self.signers.clone_from(&other.signers);
    }

    /// Takes down who signs the zone from now on. What ended before `forgotten` is in no cache any more.
    pub(crate) fn signed_by(&mut self, tags: BTreeSet<u16>, now: u64, forgotten: u64) {
        if self.signers.is_empty() {
            self.signers.push(Signers { tags: BTreeSet::new(), until: None });
        }
        self.signers.retain(|past| past.until.is_none_or(|until| until > forgotten));
        if self.signers.last().is_none_or(|last| last.tags != tags) {
            if let Some(last) = self.signers.last_mut() {
                last.until = Some(now);
            }
            if self.signers.len() == SIGNERS_MAX {
                // Who signed at both times is known to be enough.
                let oldest = self.signers.remove(0);
                self.signers[0].tags.retain(|tag| oldest.tags.contains(tag));
            }
            self.signers.push(Signers { tags, until: None });
        }
    }

    /// The keys of a role in a stage.
    pub(crate) fn of(&self, role: Role, stage: Stage) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| key.role == role && key.stage == stage)
    }

    pub(crate) fn has(&self, role: Role, stages: &[Stage]) -> bool {
        self.keys.iter().any(|key| key.role == role && stages.contains(&key.stage))
    }
}

/// Whether this is the name of the files of a key: `K<zone>.+<algorithm>+<tag>`, the zone with its dot being in the prefix.
pub(crate) fn is_key_name(name: &str, prefix: &str) -> bool {
    split_key_name(name).is_some_and(|(found, _)| found == prefix)
}

/// What the name of the files of a key begins with, and its tag.
pub(crate) fn split_key_name(name: &str) -> Option<(&str, u16)> {
    let is_number = |text: &str, digits| text.len() == digits && text.bytes().all(|octet| octet.is_ascii_digit());
    let (rest, tag) = name.rsplit_once('+')?;
    let (prefix, algorithm) = rest.rsplit_once('+')?;
    (is_number(algorithm, 3) && is_number(tag, 5)).then_some(())?;
    Some((prefix, tag.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PREFIX: &str = "Kexample.org.";
    const TEXT: &str = "\
; Written by sign. Do not edit it while a server uses it.
format 1
zone example.org.
signed 2023-11-14T22:13:20Z
dnskey-ttl 3600
dnskey-ttl-before 7200 until 2023-11-15T00:00:00Z
zone-ttl 86400
signed-by - until 2023-11-13T22:13:20Z
signed-by 12345,54321 until 2023-11-14T22:13:20Z
signed-by 1
parent-ds-ttl 86400
key Kexample.org.+013+12345 ksk ready 2023-11-14T22:13:20Z rollover 2024-02-29T00:00:00Z
key Kexample.org.+013+00001 zsk generated 1970-01-01T00:00:00Z
end
";

    #[test]
    fn a_state_is_written_as_it_was_read() {
        let state = State::read(TEXT, "example.org.", PREFIX).unwrap();
        assert_eq!(state.write(), TEXT);
        assert_eq!(state.signed, Some(1_700_000_000));
        assert_eq!((state.keys[0].stage, state.keys[1].since), (Stage::Ready, 0));
    }

    #[test]
    fn what_is_not_written_so_is_refused() {
        let read = |text: &str| State::read(text, "example.org.", PREFIX).unwrap_err();
        assert_eq!(read(&TEXT.replace("end\n", "")), "the file has no end");
        assert_eq!(read(&format!("{TEXT}x")), "line 15 cannot be read: x");
        for (good, bad) in [
            ("format 1", "format 2"),
            ("zone example.org.", "zone example.net."),
            ("ready", "steady"),
            ("+013+00001", "+013+12345"),
            ("+013+00001", "+013+/../x"),
            ("Kexample.org.+013+00001", "Kexample.net.+013+00001"),
            ("2024-02-29", "2023-02-29"),
            ("rollover", "roll"),
            ("12345,54321", "12345,"),
            ("+00001", "+65536"),
        ] {
            assert!(read(&TEXT.replace(good, bad)).contains("cannot be read"), "{bad}");
        }
    }

    #[test]
    fn a_zone_has_so_many_keys_and_no_more() {
        let keys = |count: usize| {
            let lines = (0..count).map(|tag| format!("key {PREFIX}+013+{tag:05} zsk active 2024-01-01T00:00:00Z\n"));
            State::read(&(lines.collect::<String>() + "end\n"), "example.org.", PREFIX)
        };
        assert_eq!(keys(KEYS_MAX).unwrap().keys.len(), KEYS_MAX);
        assert!(keys(KEYS_MAX + 1).is_err());
    }

    #[test]
    fn who_signed_is_remembered_while_caches_may_have_it_and_so_often_at_most() {
        let mut state = State::new("example.org.");
        let of = |tags: &[u16]| tags.iter().copied().collect::<BTreeSet<_>>();
        state.signed_by(of(&[1]), 100, 0);
        state.signed_by(of(&[1]), 200, 0);
        let known = |tags, until| Signers { tags, until };
        assert_eq!(state.signers, [known(of(&[]), Some(100)), known(of(&[1]), None)]);
        state.signed_by(of(&[1, 2]), 300, 100);
        assert_eq!(state.signers, [known(of(&[1]), Some(300)), known(of(&[1, 2]), None)]);
        for tag in 3..100 {
            state.signed_by(of(&[1, tag]), 300 + u64::from(tag), 0);
        }
        assert_eq!((state.signers.len(), state.signers[0].tags.clone()), (SIGNERS_MAX, of(&[1])));
        assert_eq!(State::read(&state.write(), "example.org.", PREFIX).unwrap(), state);
    }

    #[test]
    fn a_lowered_ttl_counts_until_caches_have_forgotten_the_larger_one() {
        let mut ttl = Ttl::default();
        ttl.set(3600, 0, 60);
        ttl.set(60, 1000, 60);
        assert_eq!(ttl.before, Some((3600, 1000 + 60 + 3600)));
        assert_eq!((ttl.at(4659), ttl.at(4660)), (3600, 60));
        ttl.set(60, 2000, 60);
        assert_eq!(ttl.before, Some((3600, 4660)), "nothing was lowered");
        ttl.set(30, 4000, 60);
        assert_eq!(ttl.before, Some((3600, 4000 + 60 + 3600)), "60 is over before that");
        ttl.set(7200, 4001, 60);
        assert_eq!((ttl.before, ttl.at(4001)), (None, 7200));
    }
}
