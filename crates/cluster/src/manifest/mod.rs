//! Manifests on disk as a source: the objects of YAML and JSON files, as if a cluster held them.
//!
//! Files are read when the configuration is checked, and looked at again every [`POLL`]: by time, size and inode first, and by
//! content if these differ, so an edit, a rename over the file and a swapped symbolic link are all seen. A file that breaks keeps
//! its last good objects, and so does a path of the configuration that is gone or cannot be read. One that is empty or gone is looked at
//! once more before that is believed.

mod read;
#[cfg(test)]
mod tests;
mod world;
mod yaml;

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::hash::BuildHasher as _;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;

pub use read::ManifestError;

use crate::index::{Index, Level};
use read::{FILE_BYTES_MAX, FILES_MAX, Objects};

/// How often files are looked at.
pub const POLL: Duration = Duration::from_millis(1500);

/// For how many looks a file may be away before it counts as deleted: some editors delete it for a moment.
const ABSENT_LOOKS_MAX: u8 = 1;

/// For how many looks a file that held something may be empty before it counts as such: whoever writes over it empties it first.
const EMPTY_LOOKS_MAX: u8 = 1;

/// Files and directories with manifests, read.
#[derive(Debug)]
pub struct Manifests {
    paths: Vec<PathBuf>,
    files: BTreeMap<PathBuf, Known>,
    /// What was said about a path that cannot be read.
    said: BTreeMap<PathBuf, String>,
}

/// A file as it was last seen.
#[derive(Debug)]
struct Known {
    stamp: Stamp,
    hash: u64,
    absent: u8,
    empty: u8,
    objects: Objects,
}

/// What changes whenever a file does.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<&Metadata> for Stamp {
    fn from(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

impl Manifests {
    /// Reads files, and the `.yaml`, `.yml` and `.json` files in directories (not below them, and none whose name begins with
    /// a dot).
    ///
    /// # Errors
    /// Everything that is wrong in any file, each with its place.
    pub fn read(paths: Vec<PathBuf>) -> Result<Self, Vec<ManifestError>> {
        let mut files = BTreeMap::new();
        let mut errors = Vec::new();
        for path in &paths {
            match list(path) {
                Ok(found) => {
                    for file in found {
                        match load(&file) {
                            Ok(known) => drop(files.insert(file, known)),
                            Err(wrong) => errors.extend(wrong),
                        }
                    }
                }
                Err(error) => errors.push(error),
            }
        }
        if files.len() > FILES_MAX {
            errors.push(ManifestError::whole(&paths[0], format!("more than {FILES_MAX} files")));
        }
        if errors.is_empty() { Ok(Self { paths, files, said: BTreeMap::new() }) } else { Err(errors) }
    }

    /// Makes the index show what was read, and counts as in step from then on.
    pub fn fill(&self, index: &Index) {
        index.require(world::kinds());
        world::fill(index, self.files.values().map(|known| &known.objects));
    }

    /// Keeps the index in step with the files, until it is dropped; it never ends by itself.
    pub async fn watch(self, index: Arc<Index>, every: Duration) {
        let mut manifests = self;
        loop {
            tokio::time::sleep(every).await;
            let shown = Arc::clone(&index);
            let looked = tokio::task::spawn_blocking(move || {
                if manifests.look(&shown) {
                    manifests.fill(&shown);
                }
                manifests
            });
            match looked.await {
                Ok(again) => manifests = again,
                // Only a runtime that shuts down keeps the look from coming back.
                Err(_cancelled) => return,
            }
        }
    }

    /// Looks at all files again; tells whether an object may have changed.
    pub fn look(&mut self, index: &Index) -> bool {
        let mut changed = false;
        let (mut present, mut unread) = (Vec::new(), Vec::new());
        for path in self.paths.clone() {
            match list(&path) {
                Ok(found) => {
                    self.said.remove(&path);
                    present.extend(found);
                }
                Err(error) => {
                    self.say(index, &path, &error.to_string());
                    // A volume may only be away; a file that is gone from a directory is another matter.
                    unread.push(path);
                }
            }
        }
        for file in present.iter().take(FILES_MAX) {
            changed |= self.look_at(index, file);
        }
        self.files.retain(|file, known| {
            let is_kept = present.contains(file) || unread.iter().any(|path| file.starts_with(path));
            known.absent = if is_kept { 0 } else { known.absent + 1 };
            let kept = known.absent <= ABSENT_LOOKS_MAX;
            changed |= !kept;
            kept
        });
        changed
    }

    fn look_at(&mut self, index: &Index, file: &Path) -> bool {
        let stamp = fs::metadata(file).ok().map(|meta| Stamp::from(&meta));
        let known = self.files.get_mut(file);
        if stamp.is_some() && known.as_deref().map(|known| &known.stamp) == stamp.as_ref() {
            return false;
        }
        match load(file) {
            Ok(new) => {
                if let Some(known) = known
                    && new.stamp.size == 0
                    && known.stamp.size > 0
                    && known.empty < EMPTY_LOOKS_MAX
                {
                    known.empty += 1;
                    return false;
                }
                let same = self.files.get(file).is_some_and(|known| known.hash == new.hash);
                let was_broken = self.said.remove(file).is_some();
                self.files.insert(file.to_owned(), new);
                !same || was_broken
            }
            Err(wrong) => {
                if let Some(known) = known {
                    known.empty = 0;
                }
                let text: Vec<String> = wrong.iter().map(ToString::to_string).collect();
                self.say(index, file, &text.join("; "));
                false
            }
        }
    }

    /// Logs what is wrong with a path, once for as long as it is the same.
    fn say(&mut self, index: &Index, path: &Path, text: &str) {
        if self.said.get(path).is_none_or(|said| said != text) {
            let kept = if self.files.keys().any(|file| file.starts_with(path)) {
                "; keeping its last good objects"
            } else {
                ""
            };
            index.log(Level::Error, &format!("{text}{kept}"));
            self.said.insert(path.to_owned(), text.to_owned());
        }
    }
}

fn load(file: &Path) -> Result<Known, Vec<ManifestError>> {
    let whole = |message: String| vec![ManifestError::whole(file, message)];
    // Opening a pipe waits for whoever writes to it, so what it is has to be known before.
    if fs::metadata(file).is_ok_and(|meta| !meta.is_file()) {
        return Err(whole("not a regular file".to_owned()));
    }
    let open = File::open(file).map_err(|error| whole(error.to_string()))?;
    let meta = open.metadata().map_err(|error| whole(error.to_string()))?;
    if !meta.is_file() {
        return Err(whole("not a regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    open.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| whole(error.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(whole(format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|error| whole(error.to_string()))?;
    let objects = read::objects(file, &text)?;
    Ok(Known { stamp: Stamp::from(&meta), hash: FixedState::default().hash_one(&text), absent: 0, empty: 0, objects })
}

/// The files of a path, in order.
fn list(path: &Path) -> Result<Vec<PathBuf>, ManifestError> {
    let broken = |error: std::io::Error| ManifestError::whole(path, error.to_string());
    if !fs::metadata(path).map_err(broken)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(broken)? {
        let file = entry.map_err(broken)?.path();
        let hidden = file.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let manifest = file.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known));
        if !hidden && manifest && !file.is_dir() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}
