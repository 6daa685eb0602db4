//! Keys that the server keeps itself: made, published, used, replaced and removed.
//!
//! ```text
//! state on the disk -> keys that are due are made -> stages that are due begin -> the zone is signed so -> state on the disk
//! ```
//!
//! The order is what makes it safe to be stopped anywhere. A key is written into the state before its files, so no file is forgotten;
//! its files are there before a zone has it; the zone is in its place before the state says so, so no time runs for what nobody can
//! see. What was not finished is done once more at the next start.

mod gauges;
mod moment;
mod parent;
pub(crate) mod policy;
mod rollover;
mod state;
mod store;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use catena_core::{Class, Log, Rtype, Zone};
use catena_zone::dnssec::{Digest, KeyRequest, KeyUse, PublicKey, SigningKey};

pub(crate) use self::gauges::Gauges;
pub(crate) use self::parent::{Question, Submitted, ask};
use self::policy::{Policy, Submission};
use self::rollover::{Rules, algorithm};
use self::state::{Key, Role, Stage, State};
pub(crate) use self::store::StoreError;
use self::store::{Store, Word};
use crate::apex::Apex;
use crate::signer::{Due, Signer};
use crate::work::WorkError;

/// How often another key is made if its tag is taken. The tag has 16 bits.
const ATTEMPTS_MAX: u32 = 100;
/// How often the servers of the parent are asked.
const PARENT_INTERVAL: Duration = Duration::from_secs(300);
/// The TTL in the files of public keys, seconds; that of the zone decides.
const FILE_TTL: u32 = 3600;

/// Why a zone is not signed with keys that are kept here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no key could be made: {0}")]
    Generate(catena_zone::dnssec::KeyError),
    #[error("all tags of keys are taken")]
    Tags,
    #[error("keys of several algorithms in {0:?}")]
    Algorithms(PathBuf),
    #[error(
        "{signed:?} is signed with keys that are not in {directory:?}, tags {tags:?}: put them there, or remove the file to begin anew"
    )]
    Foreign { signed: PathBuf, directory: PathBuf, tags: Vec<u16> },
    #[error(transparent)]
    Work(#[from] WorkError),
}

/// The keys of one zone.
pub(crate) struct Kept {
    store: Store,
    policy: Policy,
    gauges: Gauges,
    /// What the parent's servers said and the state does not say yet.
    submitted: Mutex<Option<Submitted>>,
    asked: Mutex<Option<Instant>>,
}

impl Kept {
    pub(crate) fn new(directory: PathBuf, zone: &Zone, policy: Policy, gauges: Gauges) -> Self {
        let store = Store::new(directory, zone);
        Self { store, policy, gauges, submitted: Mutex::default(), asked: Mutex::default() }
    }

    fn rules(&self, now: u64) -> Rules<'_> {
        Rules { policy: &self.policy, now }
    }

    /// Does what is due with the keys, and signs the zone if that or anything else asks for it.
    pub(crate) fn look(&self, signer: &Signer) -> Result<(), KeysError> {
        let _lock = self.store.lock()?;
        self.store.clean();
        let now = signer.clock.unix_seconds();
        let before = self.recover(signer, now)?;
        let before = self.generate(signer, before, now)?;
        let mut next = before.clone();
        let submitted = self.hear(&mut next, now);
        self.rules(now).advance(&mut next, submitted.as_deref());
        self.gauges.show(&before, self.rules(now).next_due(&before));
        let next = self.sign(signer, &before, next, now)?;
        if next != before {
            self.store.write_state(&next)?;
            self.tell(signer, &before, &next);
        }
        self.forget_words(&before, &next)?;
        let next = self.sweep(next)?;
        self.gauges.show(&next, self.rules(now).next_due(&next));
        Ok(())
    }

    /// The state that is on the disk, without what a stopped process was about to do.
    fn recover(&self, signer: &Signer, now: u64) -> Result<State, KeysError> {
        let Some(mut state) = self.store.read_state()? else { return self.adopt(signer, now) };
        let half: Vec<String> = state
            .keys
            .iter()
            .filter(|key| key.stage == Stage::Generated && self.store.read_key(&key.name).is_err())
            .map(|key| key.name.clone())
            .collect();
        if !half.is_empty() {
            for name in &half {
                self.store.remove_key(name)?;
            }
            state.keys.retain(|key| !half.contains(&key.name));
            self.store.write_state(&state)?;
        }
        self.sweep(state)
    }

    /// The first state: the keys that are in the directory already have been in use, says who put them there.
    fn adopt(&self, signer: &Signer, now: u64) -> Result<State, KeysError> {
        let mut state = State::new(&signer.zone.to_string());
        let mut keys = Vec::new();
        for name in self.store.names()? {
            let key = self.store.read_key(&name)?;
            let role = if key.public().is_ksk() { Role::Ksk } else { Role::Zsk };
            state.keys.push(Key { name, role, stage: Stage::Active, since: now, rollover: None });
            keys.push(key);
        }
        if keys.iter().any(|key| key.algorithm() != keys[0].algorithm()) {
            return Err(KeysError::Algorithms(self.store.directory().to_path_buf()));
        }
        let public = keys.iter().map(SigningKey::public);
        let tags = Apex::read(&signer.output).map(|apex| apex.others(public)).unwrap_or_default();
        if tags.is_empty() {
            return Ok(state);
        }
        let directory = self.store.directory().to_path_buf();
        Err(KeysError::Foreign { signed: signer.output.clone(), directory, tags })
    }

    /// Makes the keys that are due.
    fn generate(&self, signer: &Signer, mut state: State, now: u64) -> Result<State, KeysError> {
        for role in self.rules(now).wanted(&state) {
            let algorithm = algorithm(&state, &self.policy);
            let request = KeyRequest {
                zone: signer.zone.wire(),
                algorithm,
                bits: self.policy.bits,
                is_ksk: role == Role::Ksk,
                ttl: FILE_TTL,
                now: u32::try_from(now).unwrap_or(u32::MAX),
            };
            let mut attempts = 0;
            let (name, new) = loop {
                let new = request.generate().map_err(KeysError::Generate)?;
                let name = self.store.name_of(new.key.public());
                if !self.is_tag_taken(&state, &name, new.key.public().tag()) {
                    break (name, new);
                }
                attempts += 1;
                if attempts == ATTEMPTS_MAX {
                    return Err(KeysError::Tags);
                }
            };
            signer.log.info(format_args!("Made {} key {name} for zone \"{}\"", role.word(), signer.zone));
            state.keys.push(Key { name: name.clone(), role, stage: Stage::Generated, since: now, rollover: None });
            self.store.write_state(&state)?;
            self.store.write_key(&name, &new)?;
        }
        Ok(state)
    }

    /// Whether a key, or one whose signatures are about, has this tag: validators try every key of a tag, so there should be one.
    fn is_tag_taken(&self, state: &State, name: &str, tag: u16) -> bool {
        let is_known = state.keys.iter().any(|key| key.tag() == tag);
        is_known || state.signers.iter().any(|past| past.tags.contains(&tag)) || self.store.is_taken(name)
    }

    /// What the operator and the parent said: takes wishes for rollovers into the state, and gives the key that the parent has.
    fn hear(&self, state: &mut State, now: u64) -> Option<String> {
        for key in state.keys.iter_mut().filter(|key| key.stage == Stage::Active && key.rollover.is_none()) {
            if self.store.is_said(key, Word::Rollover) {
                key.rollover = Some(now);
            }
        }
        let ready = state.of(Role::Ksk, Stage::Ready).next()?;
        let told = self.submitted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(told) = told.filter(|told| told.name == ready.name) {
            state.parent_ds_ttl = told.ds_ttl;
            return Some(told.name);
        }
        self.store.is_said(ready, Word::Submitted).then(|| ready.name.clone())
    }

    /// Signs the zone with the keys as they will be, if it is not signed so. Gives the state to be written.
    fn sign(&self, signer: &Signer, before: &State, mut next: State, now: u64) -> Result<State, KeysError> {
        let rules = self.rules(now);
        let uses = |state: &State| -> Vec<_> { state.keys.iter().map(|key| rules.use_of(state, key)).collect() };
        let mut why = (uses(before) != uses(&next)).then(|| "its keys go on".to_owned());
        let due = signer.due(now as u32).0;
        if before.signed.is_none() {
            why.get_or_insert_with(|| "its keys are kept here from now on".to_owned());
        }
        match due {
            Due::Not if why.is_none() => return Ok(next),
            Due::Sign(reason) => _ = why.get_or_insert(reason),
            Due::Not | Due::Check => {}
        }
        let mut keys = Vec::new();
        for (key, used) in next.keys.iter().filter_map(|key| Some((key, rules.use_of(&next, key)?))) {
            keys.push((self.store.read_key(&key.name)?, used));
        }
        let plan: Vec<KeyUse<'_>> = keys
            .iter()
            .map(|(key, used)| KeyUse {
                key,
                signs_keys: used.signs_keys,
                signs_zone: used.signs_zone,
                for_parent: used.for_parent,
            })
            .collect();
        let plan = signer.plan(plan, &[Digest::Sha256]);
        let Some(why) = why.or_else(|| signer.why_sign(&plan, now as u32)) else { return Ok(next) };
        let done = signer.sign(&plan, now as u32, &why)?;
        let placed = self.rules(signer.clock.unix_seconds());
        placed.signed(&mut next, before, done.keys_ttl, done.ttl_max);
        Ok(next)
    }

    /// Tells of every key that is in another stage.
    fn tell(&self, signer: &Signer, before: &State, next: &State) {
        for key in &next.keys {
            let old = before.keys.iter().find(|old| old.name == key.name).map(|old| old.stage);
            if old == Some(key.stage) {
                continue;
            }
            let (zone, name, stage) = (&signer.zone, &key.name, key.stage.word());
            signer.log.info(format_args!("The {} key {name} of zone \"{zone}\" is {stage}", key.role.word()));
            if key.stage == Stage::Ready {
                self.tell_parent(&signer.log, signer, key);
            }
        }
    }

    fn tell_parent(&self, log: &Log, signer: &Signer, key: &Key) {
        let Ok(read) = self.store.read_key(&key.name) else { return };
        let mut ds = Vec::new();
        let rdata = read.public().ds(signer.zone.wire(), Digest::Sha256);
        catena_zone::zonefile::write_rdata(Rtype::DS, Class::IN, &rdata, &mut ds);
        let (zone, ds) = (&signer.zone, String::from_utf8_lossy(&ds));
        let then = match &self.policy.submission {
            Submission::Manual => {
                format!("when it is there, make {}", self.store.path(&key.name, Word::Submitted.ending()).display())
            }
            Submission::After(seconds) => format!("it is taken for granted after {seconds} seconds"),
            Submission::Servers(_) => "its servers are asked for it".to_owned(),
        };
        log.info(format_args!("The parent of zone \"{zone}\" can take DS {ds}; {then}"));
    }

    /// Takes away what the operator said, when the state says it.
    fn forget_words(&self, before: &State, next: &State) -> Result<(), KeysError> {
        for key in &next.keys {
            let old = before.keys.iter().find(|old| old.name == key.name).map(|old| old.stage);
            if key.stage == Stage::Active && old == Some(Stage::Ready) {
                self.store.unsay(&key.name, Word::Submitted)?;
                *self.submitted.lock().unwrap_or_else(PoisonError::into_inner) = None;
            }
            if key.rollover.is_some() {
                self.store.unsay(&key.name, Word::Rollover)?;
            }
        }
        Ok(())
    }

    /// Removes the files of keys that the zone is without.
    fn sweep(&self, mut state: State) -> Result<State, KeysError> {
        let removed = state.keys.iter().filter(|key| key.stage == Stage::Removed);
        let mut any = false;
        for key in removed {
            self.store.remove_key(&key.name)?;
            any = true;
        }
        if any {
            state.keys.retain(|key| key.stage != Stage::Removed);
            self.store.write_state(&state)?;
        }
        Ok(state)
    }

    /// What the servers of the parent are to be asked now.
    pub(crate) fn question(&self, signer: &Signer) -> Option<Question> {
        let Submission::Servers(servers) = &self.policy.submission else { return None };
        let now = signer.clock.now();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.is_some_and(|last| now.saturating_duration_since(last) < PARENT_INTERVAL) {
            return None;
        }
        let state = self.store.read_state().ok().flatten()?;
        let ready = state.of(Role::Ksk, Stage::Ready).next()?;
        let key: PublicKey = self.store.read_key(&ready.name).ok()?.public().clone();
        *asked = Some(now);
        let zone = signer.zone.wire().to_ascii_lowercase();
        Some(Question { name: ready.name.clone(), key, zone, servers: servers.clone() })
    }

    /// Takes what the servers of the parent said; the next look makes use of it.
    pub(crate) fn submitted(&self, told: Submitted) {
        *self.submitted.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
    }
}

#[cfg(test)]
mod tests;
