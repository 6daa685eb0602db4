//! Files put in their place. Whoever looks, whenever, finds the old file or the new one, whole; what a killed process left half done is
//! taken away at the next start.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What the names of files begin with that have not come into their place yet. The process id and a random number follow.
const UNFINISHED: &str = "unfinished-";
/// A directory with a file of this name takes no others: whoever may write everywhere can test what happens then.
#[cfg(test)]
pub(crate) const FULL: &str = "full";
/// How often a new file is made when somebody cleans up at the same moment.
const ATTEMPTS_MAX: u32 = 3;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Whoever the umask lets.
    Everybody,
    /// Only the user that the server runs as.
    Owner,
}

/// Writes a file beside the one that it replaces, and moves it there when it is on the disk.
pub(crate) fn place(path: &Path, octets: &[u8], readers: Readers) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (new, mut file) = unfinished(directory, readers)?;
    let guard = Unfinished(&new);
    file.write_all(octets)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    std::mem::forget(guard);
    sync(directory)
}

/// Waits until what happened to the names in a directory is on the disk.
pub(crate) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Removes a file, and is content if there is none.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Takes away what processes left that do not live any more. The files of those that live are locked.
pub(crate) fn clean(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(is_unfinished);
        if is_ours && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            // If it cannot be removed it is in nobody's way.
            let _ = remove(&entry.path());
        }
    }
}

fn is_unfinished(name: &str) -> bool {
    let numbers = name.strip_prefix(UNFINISHED).and_then(|rest| rest.split_once('-'));
    numbers.is_some_and(|(pid, random)| {
        pid.bytes().all(|octet| octet.is_ascii_digit()) && random.len() == 8 && u32::from_str_radix(random, 16).is_ok()
    })
}

/// A new file, locked as long as it is open.
fn unfinished(directory: &Path, readers: Readers) -> io::Result<(PathBuf, File)> {
    #[cfg(test)]
    if directory.join(FULL).exists() {
        return Err(io::ErrorKind::StorageFull.into());
    }
    let mode = match readers {
        Readers::Everybody => 0o666,
        Readers::Owner => 0o600,
    };
    for _ in 0..ATTEMPTS_MAX {
        let new = directory.join(format!("{UNFINISHED}{}-{:08x}", std::process::id(), rand::random::<u32>()));
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        file.lock()?;
        // Before it was locked somebody may have taken it for a dead one's.
        if std::fs::metadata(&new).is_ok_and(|named| file.metadata().is_ok_and(|open| open.ino() == named.ino())) {
            return Ok((new, file));
        }
    }
    Err(io::Error::from(io::ErrorKind::ResourceBusy))
}

/// Takes away a file that did not come into its place.
struct Unfinished<'a>(&'a Path);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        // If it cannot be removed it is in nobody's way.
        let _ = std::fs::remove_file(self.0);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_dead_processes_left_is_taken_away_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (living, _file) = unfinished(folder.path(), Readers::Owner).unwrap();
        for name in ["unfinished-17-0123abcd", "unfinished-17-0123abcdef", "unfinished-", "unfinished-x-0123abcd", "db"]
        {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        clean(folder.path());
        let mut left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        left.sort();
        let mut expected = ["unfinished-17-0123abcdef", "unfinished-", "unfinished-x-0123abcd", "db"]
            .map(|name| folder.path().join(name))
            .to_vec();
        expected.push(living);
        expected.sort();
        assert_eq!(left, expected);
    }

    #[test]
    fn a_private_file_is_readable_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        place(&path, b"x", Readers::Owner).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
