//! The directory with the keys of a zone: their files as BIND names them, the state beside them, and files with which the operator says
//! something.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use catena_core::Zone;
use catena_gocompat::os::error_text;
use catena_zone::dnssec::{KeyError, NewKey, PublicKey, SigningKey};

use super::state::{KEYS_MAX, Key, Role, STATE_OCTETS_MAX, Stage, State, is_key_name, split_key_name};
use crate::place::{self, Readers};
use crate::signer::modified;

/// The most octets of a file with a key: RSA with 4096 bits needs some 3 kB.
const KEY_OCTETS_MAX: u64 = 64 * 1024;
/// What is wrong with a state that would have keys made anew for a zone that has some.
const LOST: &str = "the state names no KSK: put the right file in its place, or remove it to have the keys in the directory taken over, \
    or new ones made if there are none";
const PUBLIC: &str = "key";
const PRIVATE: &str = "private";

/// What the operator says of a key by making a file of this ending beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Word {
    /// The parent has its DS record.
    Submitted,
    /// It is to be replaced by another.
    Rollover,
}

impl Word {
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Rollover => "rollover",
        }
    }
}

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("{}: {}", path.display(), error_text(error))]
    Io { path: PathBuf, error: io::Error },
    #[error("{}: {error}", path.display())]
    Key { path: PathBuf, error: KeyError },
    #[error("{}: {text}", path.display())]
    State { path: PathBuf, text: String },
    #[error("more than {KEYS_MAX} keys in {0:?}")]
    TooMany(PathBuf),
}

/// The keys of one zone on the disk.
#[derive(Debug)]
pub(crate) struct Store {
    directory: PathBuf,
    zone: String,
    /// What the names of its files begin with.
    prefix: String,
}

impl Store {
    pub(crate) fn new(directory: PathBuf, zone: &Zone) -> Self {
        let prefix = format!("K{}", file_name(zone.wire()));
        Self { directory, zone: zone.to_string(), prefix }
    }

    /// The directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file of a key with this ending.
    pub(crate) fn path(&self, name: &str, ending: &str) -> PathBuf {
        self.directory.join(format!("{name}.{ending}"))
    }

    fn state_path(&self) -> PathBuf {
        self.directory.join(format!("{}state", self.prefix))
    }

    fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
        let path = path.to_path_buf();
        move |error| StoreError::Io { path, error }
    }

    /// Waits until nobody else works with the directory, and keeps others from it as long as the file is open.
    pub(crate) fn lock(&self) -> Result<File, StoreError> {
        let open = || {
            let directory = File::open(&self.directory)?;
            directory.lock()?;
            Ok(directory)
        };
        open().map_err(Self::at(&self.directory))
    }

    /// Takes away what killed processes left half written.
    pub(crate) fn clean(&self) {
        place::clean(&self.directory);
    }

    /// The state; `None` if there never was one.
    pub(crate) fn read_state(&self) -> Result<Option<State>, StoreError> {
        let path = self.state_path();
        let octets = match catena_files::read(&path, STATE_OCTETS_MAX) {
            Ok((octets, _)) => octets,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::Io { path, error }),
        };
        let read = State::read(&String::from_utf8_lossy(&octets), &self.zone, &self.prefix).and_then(|state| {
            // The zone has a KSK as soon as it is signed, and no state is written before the first key is.
            let is_whole = !state.keys.is_empty() && (state.signed.is_none() || state.has(Role::Ksk, &Stage::ALL));
            is_whole.then_some(state).ok_or_else(|| LOST.to_owned())
        });
        read.map(Some).map_err(|text| StoreError::State { path, text })
    }

    /// When the state was written.
    pub(crate) fn state_modified(&self) -> Option<SystemTime> {
        modified(&self.state_path())
    }

    pub(crate) fn write_state(&self, state: &State) -> Result<(), StoreError> {
        let path = self.state_path();
        place::place(&path, state.write().as_bytes(), Readers::Everybody).map_err(Self::at(&path))
    }

    /// The name of the files of a key.
    pub(crate) fn name_of(&self, key: &PublicKey) -> String {
        format!("{}+{:03}+{:05}", self.prefix, key.algorithm(), key.tag())
    }

    /// Whether there is a file of this key already.
    pub(crate) fn is_taken(&self, name: &str) -> bool {
        [PUBLIC, PRIVATE].iter().any(|ending| self.path(name, ending).exists())
    }

    /// Writes both files, the private one first: where there is a public one there are both.
    pub(crate) fn write_key(&self, name: &str, key: &NewKey) -> Result<(), StoreError> {
        let files = [(PRIVATE, &key.private_text, Readers::Owner), (PUBLIC, &key.public_text, Readers::Everybody)];
        for (ending, text, readers) in files {
            let path = self.path(name, ending);
            place::place(&path, text, readers).map_err(Self::at(&path))?;
        }
        Ok(())
    }

    /// Reads both files of a key.
    pub(crate) fn read_key(&self, name: &str) -> Result<SigningKey, StoreError> {
        let read = |ending| {
            let path = self.path(name, ending);
            match catena_files::read(&path, KEY_OCTETS_MAX) {
                Ok((octets, _)) => Ok((path, octets)),
                Err(error) => Err(StoreError::Io { path, error }),
            }
        };
        let (path, public) = read(PUBLIC)?;
        let public = PublicKey::read(&public).map_err(|error| StoreError::Key { path, error })?;
        let (path, private) = read(PRIVATE)?;
        public.with_private(&private).map_err(|error| StoreError::Key { path, error })
    }

    /// Removes all files of a key.
    pub(crate) fn remove_key(&self, name: &str) -> Result<(), StoreError> {
        for ending in [PUBLIC, PRIVATE, Word::Submitted.ending(), Word::Rollover.ending()] {
            let path = self.path(name, ending);
            place::remove(&path).map_err(Self::at(&path))?;
        }
        place::sync(&self.directory).map_err(Self::at(&self.directory))
    }

    /// Whether the operator says this of a key.
    pub(crate) fn is_said(&self, key: &Key, word: Word) -> bool {
        self.path(&key.name, word.ending()).is_file()
    }

    /// Takes away what the operator said, when it was heard.
    pub(crate) fn unsay(&self, name: &str, word: Word) -> Result<(), StoreError> {
        let path = self.path(name, word.ending());
        place::remove(&path).map_err(Self::at(&path))
    }

    /// Every file that says something, with the name before its ending. Those of other zones that have their key here are left out.
    pub(crate) fn words(&self) -> Result<Vec<(PathBuf, String, Word)>, StoreError> {
        let mut words = Vec::new();
        for entry in std::fs::read_dir(&self.directory).map_err(Self::at(&self.directory))? {
            let path = entry.map_err(Self::at(&self.directory))?.path();
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            for word in [Word::Submitted, Word::Rollover] {
                let name = file.strip_suffix(word.ending()).and_then(|name| name.strip_suffix('.'));
                let is_others = |name: &str| {
                    let prefix = split_key_name(name).map(|(prefix, _)| prefix);
                    prefix.is_some_and(|prefix| prefix != self.prefix) && self.is_taken(name)
                };
                words.extend(name.filter(|name| !is_others(name)).map(|name| (path.clone(), name.to_owned(), word)));
            }
        }
        words.sort();
        Ok(words)
    }

    /// The names of all keys of the zone that are here, in order.
    pub(crate) fn names(&self) -> Result<Vec<String>, StoreError> {
        let entries = std::fs::read_dir(&self.directory).map_err(Self::at(&self.directory))?;
        let mut names = Vec::new();
        for entry in entries {
            let file = entry.map_err(Self::at(&self.directory))?.file_name();
            let name = file.to_str().and_then(|file| file.strip_suffix(".key"));
            names.extend(name.filter(|name| is_key_name(name, &self.prefix)).map(str::to_owned));
        }
        names.sort();
        if names.len() > KEYS_MAX { Err(StoreError::TooMany(self.directory.clone())) } else { Ok(names) }
    }
}

/// A name as BIND has it in names of files: letters, digits, `-` and `_`, anything else as `%` and two digits; the root is a dot.
fn file_name(wire: &[u8]) -> String {
    let (mut text, mut rest) = (String::new(), wire);
    while let [len, after @ ..] = rest
        && *len > 0
    {
        let (label, after) = after.split_at(usize::from(*len).min(after.len()));
        for octet in label {
            match octet.to_ascii_lowercase() {
                octet @ (b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_') => text.push(char::from(octet)),
                octet => text.push_str(&format!("%{octet:02X}")),
            }
        }
        text.push('.');
        rest = after;
    }
    if text.is_empty() { ".".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_of_files_hold_no_slash() {
        assert_eq!(file_name(b"\x07Example\x03org\0"), "example.org.");
        assert_eq!(file_name(b"\x040/25\x012\x04ab_c\0"), "0%2F25.2.ab_c.");
        assert_eq!(file_name(b"\0"), ".");
    }

    #[test]
    fn a_directory_holds_so_many_keys_of_a_zone_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().to_path_buf(), &Zone::parse("example.org").unwrap());
        let key = |tag: usize| store.path(&format!("Kexample.org.+013+{tag:05}"), PUBLIC);
        (0..KEYS_MAX).for_each(|tag| std::fs::write(key(tag), "").unwrap());
        std::fs::write(folder.path().join("Kexample.org.+013+x.key"), "").unwrap();
        std::fs::write(folder.path().join("Kother.example.org.+013+00001.key"), "").unwrap();
        assert_eq!(store.names().unwrap().len(), KEYS_MAX);
        std::fs::write(key(KEYS_MAX), "").unwrap();
        assert!(store.names().is_err());
    }
}
