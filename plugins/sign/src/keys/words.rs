//! What the operator says of keys by making files: what is heard, what comes at the wrong time, and what can never be heard.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use catena_core::Log;

use super::state::{Key, Role, Stage, State};
use super::store::Word;
use super::{Kept, KeysError};
use crate::signer::Signer;

/// The most files that are remembered as told of; of more nothing is told until some of those are gone.
const TOLD_MAX: usize = 256;

/// The files that were told of because they are not heard: of all zones, since several may have their keys in one directory.
#[derive(Default)]
pub(crate) struct Unheard(Mutex<BTreeSet<(PathBuf, String)>>);

impl Unheard {
    /// Tells of a file once for each reason.
    fn tell(&self, log: &Log, path: &Path, why: String) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < TOLD_MAX && told.insert((path.to_path_buf(), why.clone())) {
            log.warning(format_args!("The file {path:?} is not heard: {why}"));
        }
    }

    /// Has those told of again that are made anew.
    fn forget(&self, directory: &Path) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|(path, _)| path.parent() != Some(directory) || path.symlink_metadata().is_ok());
    }
}

/// Why a file says nothing now.
enum Wrong {
    /// It has to go, or it would count another time.
    Gone(&'static str),
    /// It stays.
    Kept(String),
}

impl Kept {
    /// What the operator and the parent said: takes wishes for rollovers into the state, and gives the key that the parent has.
    pub(super) fn hear(&self, signer: &Signer, state: &mut State, now: u64) -> Result<Option<String>, KeysError> {
        self.check_words(&signer.log, state)?;
        for key in state.keys.iter_mut().filter(|key| key.stage == Stage::Active && key.rollover.is_none()) {
            if self.store.is_said(key, Word::Rollover) {
                key.rollover = Some(now);
            }
        }
        let Some(ready) = state.of(Role::Ksk, Stage::Ready).next() else { return Ok(None) };
        let told = self.submitted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(told) = told.filter(|told| told.name == ready.name) {
            state.parent_ds_ttl = told.ds_ttl;
            return Ok(Some(told.name));
        }
        Ok(self.store.is_said(ready, Word::Submitted).then(|| ready.name.clone()))
    }

    /// Takes away what the operator said, when the state says it.
    pub(super) fn forget_words(&self, before: &State, next: &State) -> Result<(), KeysError> {
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

    /// Tells of files that say nothing, and takes away those that would count later for something that they were not made for.
    fn check_words(&self, log: &Log, state: &State) -> Result<(), KeysError> {
        self.unheard.forget(self.store.directory());
        for (path, name, word) in self.store.words()? {
            match wrong(&path, state.keys.iter().find(|key| key.name == name), word) {
                None => {}
                Some(Wrong::Kept(why)) => self.unheard.tell(log, &path, why),
                Some(Wrong::Gone(why)) => {
                    self.store.unsay(&name, word)?;
                    log.warning(format_args!("The file {path:?} is not heard and was removed: {why}"));
                }
            }
        }
        Ok(())
    }
}

fn wrong(path: &Path, key: Option<&Key>, word: Word) -> Option<Wrong> {
    let Some(key) = key else {
        return Some(Wrong::Kept("no key has this name, it is that of a key's files without .key".to_owned()));
    };
    if !path.is_file() {
        return Some(Wrong::Kept("it is no file".to_owned()));
    }
    let stage = key.stage.word();
    match (word, key.role, key.stage) {
        (Word::Submitted, Role::Zsk, _) => Some(Wrong::Gone("the parent has no DS record of a ZSK")),
        (Word::Submitted, _, Stage::Generated | Stage::Published) => Some(Wrong::Gone(
            "the key is not ready for the parent; make it again when the log says so and the parent has the DS record",
        )),
        (Word::Submitted, _, Stage::Active | Stage::Retired | Stage::Removed) => {
            Some(Wrong::Gone("the key has been ready before"))
        }
        (Word::Rollover, _, Stage::Retired | Stage::Removed) => {
            Some(Wrong::Kept(format!("the key is {stage}, another one is in its place already")))
        }
        (Word::Rollover, _, Stage::Generated | Stage::Published | Stage::Ready) => {
            Some(Wrong::Kept(format!("the key is {stage}, it will be replaced when it is active")))
        }
        (Word::Submitted, _, Stage::Ready) | (Word::Rollover, _, Stage::Active) => None,
    }
}
