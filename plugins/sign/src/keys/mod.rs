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
mod words;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
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
pub(crate) use self::words::Unheard;
use crate::apex::Apex;
use crate::signer::{Due, Signer, modified};
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

impl KeysError {
    /// What it has in common with others like it, which need not be told too: the names of files may be others at every look.
    fn kind(&self) -> String {
        match self {
            Self::Store(StoreError::Io { error, .. }) => format!("{:?}", error.kind()),
            Self::Foreign { directory, .. } => format!("keys that are not in {directory:?}"),
            error => error.to_string(),
        }
    }
}

/// The keys of one zone.
pub(crate) struct Kept {
    store: Store,
    policy: Policy,
    gauges: Gauges,
    /// What the parent's servers said and the state does not say yet.
    submitted: Mutex<Option<Submitted>>,
    asked: Mutex<Option<Instant>>,
    /// How the zone was signed, while the state that says so could not be written.
    unwritten: Mutex<Option<State>>,
    /// What was told to be wrong the last time.
    told: Mutex<Option<String>>,
    unheard: Arc<Unheard>,
}

impl Kept {
    pub(crate) fn new(directory: PathBuf, zone: &Zone, policy: Policy, gauges: Gauges, unheard: Arc<Unheard>) -> Self {
        Self {
            store: Store::new(directory, zone),
            policy,
            gauges,
            submitted: Mutex::default(),
            asked: Mutex::default(),
            unwritten: Mutex::default(),
            told: Mutex::default(),
            unheard,
        }
    }

    fn rules(&self, now: u64) -> Rules<'_> {
        Rules { policy: &self.policy, now }
    }

    /// Does what is due with the keys, and signs the zone if that or anything else asks for it. What stands in the way is told once.
    /// `true`: the signatures are to be looked at again the next time.
    pub(crate) fn look(&self, signer: &Signer) -> bool {
        let mut trouble = None;
        let (told, is_again) = match self.look_at(signer, &mut trouble) {
            Ok(()) => (trouble, false),
            // Signing tells of its errors itself.
            Err(KeysError::Work(error)) => (trouble, error.is_passing()),
            Err(error) => (Some(error), true),
        };
        self.complain(signer, told.as_ref());
        is_again
    }

    /// `trouble` is what keeps the keys as they are while the zone is signed with them.
    fn look_at(&self, signer: &Signer, trouble: &mut Option<KeysError>) -> Result<(), KeysError> {
        let _lock = self.store.lock()?;
        self.store.clean();
        let now = signer.clock.unix_seconds();
        let found = self.recover(signer, now)?;
        let (before, next) = match self.prepare(signer, &found, now) {
            Ok(prepared) => prepared,
            Err(error) if found.keys.iter().any(|key| key.stage.is_published()) => {
                *trouble = Some(error);
                (found.clone(), found)
            }
            Err(error) => return Err(error),
        };
        self.gauges.show(&before, self.rules(now).next_due(&before));
        let next = self.sign(signer, &before, next, now, trouble.is_none())?;
        if next != before {
            self.write(&next)?;
            self.tell(signer, &before, &next);
        }
        if trouble.is_some() {
            return Ok(());
        }
        self.forget_words(&before, &next)?;
        let next = self.tidy(next)?;
        self.gauges.show(&next, self.rules(now).next_due(&next));
        Ok(())
    }

    /// The state of the keys with those that are due made, and as it will be when the stages that are due begin. An error: the state
    /// cannot be written, so nothing may begin.
    fn prepare(&self, signer: &Signer, found: &State, now: u64) -> Result<(State, State), KeysError> {
        let state = self.tidy(found.clone())?;
        let before = self.generate(signer, state, now)?;
        let mut next = before.clone();
        let submitted = self.hear(signer, &mut next, now)?;
        self.rules(now).advance(&mut next, submitted.as_deref());
        if next != before {
            // Whether it can be written is known before the zone says what it then would not.
            self.store.write_state(&before)?;
        }
        Ok((before, next))
    }

    /// Writes the state of a zone that is in its place.
    fn write(&self, next: &State) -> Result<(), KeysError> {
        let written = self.store.write_state(next);
        let mut unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
        *unwritten = written.is_err().then(|| next.clone());
        Ok(written?)
    }

    /// Tells what stands in the way, once for each kind of it, and when it is gone.
    fn complain(&self, signer: &Signer, trouble: Option<&KeysError>) {
        let kind = trouble.map(KeysError::kind);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match trouble {
            Some(error) if *told != kind => {
                signer.log.error(format_args!("Error with the keys of zone \"{}\": {error}", signer.zone));
            }
            None if told.is_some() => {
                signer.log.info(format_args!("What was wrong with the keys of zone \"{}\" is over", signer.zone));
            }
            _ => {}
        }
        *told = kind;
    }

    /// The state that is on the disk, and what is known of how the zone was signed since it was written.
    fn recover(&self, signer: &Signer, now: u64) -> Result<State, KeysError> {
        let mut state = match self.store.read_state()? {
            Some(state) => state,
            None => self.adopt(signer, now)?,
        };
        if let Some(known) = &*self.unwritten.lock().unwrap_or_else(PoisonError::into_inner) {
            state.take_signed(known);
        }
        Ok(state)
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
            state.keys.push(Key { name: name.clone(), role, stage: Stage::Generated, since: now, rollover: None });
            self.store.write_state(&state)?;
            self.store.write_key(&name, &new)?;
            signer.log.info(format_args!("Made {} key {name} for zone \"{}\"", role.word(), signer.zone));
        }
        Ok(state)
    }

    /// Whether a key, or one whose signatures are about, has this tag: validators try every key of a tag, so there should be one.
    fn is_tag_taken(&self, state: &State, name: &str, tag: u16) -> bool {
        let is_known = state.keys.iter().any(|key| key.tag() == tag);
        is_known || state.signers.iter().any(|past| past.tags.contains(&tag)) || self.store.is_taken(name)
    }

    /// Signs the zone with the keys as they will be, if it is not signed so. Gives the state to be written; `is_written` says whether it
    /// can be.
    fn sign(
        &self,
        signer: &Signer,
        before: &State,
        mut next: State,
        now: u64,
        is_written: bool,
    ) -> Result<State, KeysError> {
        let rules = self.rules(now);
        let uses = |state: &State| -> Vec<_> { state.keys.iter().map(|key| rules.use_of(state, key)).collect() };
        let mut why = (uses(before) != uses(&next)).then(|| "its keys go on".to_owned());
        let (due, is_first) = signer.due(now as u32);
        if is_written && before.signed.is_none() {
            why.get_or_insert_with(|| "its keys are kept here from now on".to_owned());
        }
        if is_written && self.is_behind(signer, is_first) {
            why.get_or_insert_with(|| "the state of its keys was not written the last time".to_owned());
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

    /// Whether the zone was signed and the state does not say so: what it says of TTLs may be too little then.
    fn is_behind(&self, signer: &Signer, is_first: bool) -> bool {
        let is_unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        // The process before may have been stopped between the two. Later the clocks of two disks would be compared at every look.
        is_unwritten || is_first && modified(&signer.output) > self.store.state_modified()
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

    /// Removes the files of keys that the zone is without, and of those that a stopped process was about to make.
    fn tidy(&self, mut state: State) -> Result<State, KeysError> {
        let is_gone = |key: &Key| match key.stage {
            Stage::Removed => true,
            Stage::Generated => self.store.read_key(&key.name).is_err(),
            _ => false,
        };
        let gone: Vec<String> = state.keys.iter().filter(|key| is_gone(key)).map(|key| key.name.clone()).collect();
        for name in &gone {
            self.store.remove_key(name)?;
        }
        state.keys.retain(|key| !gone.contains(&key.name));
        // A state without keys is never on the disk: it is that of somebody's mistake. Those that are made next are written.
        if !gone.is_empty() && !state.keys.is_empty() {
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
