//! Files that plugins read, and read again when they change: what tells a changed file from an unchanged one, how it is read without
//! waiting for anybody, and looking at it from time to time.

use std::fmt::Arguments;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use catena_core::{Log, StartContext};

/// What tells a changed file from an unchanged one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// When it was changed last, as far as the file system knows.
    pub modified: Option<SystemTime>,
    /// Its length.
    pub octets: u64,
}

impl Stamp {
    /// That of a file; `None` if it cannot be looked at.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|found| Self::from(&found))
    }
}

impl From<&Metadata> for Stamp {
    fn from(found: &Metadata) -> Self {
        Self { modified: found.modified().ok(), octets: found.len() }
    }
}

/// Opens a regular file, or `/dev/null`, and gives its stamp. Opening a pipe would wait for whoever writes to it.
///
/// # Errors
/// As the file system gives them; a directory is one.
pub fn open(path: &Path) -> io::Result<(File, Stamp)> {
    let found = std::fs::metadata(path)?;
    if found.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !found.is_file() && path != Path::new("/dev/null") {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let file = File::open(path)?;
    let stamp = Stamp::from(&file.metadata()?);
    Ok((file, stamp))
}

/// Reads a regular file of so many octets at most.
///
/// # Errors
/// As [`open`], and `FileTooLarge`.
pub fn read(path: &Path, octets_max: u64) -> io::Result<(Vec<u8>, Stamp)> {
    let (file, stamp) = open(path)?;
    let mut octets = Vec::with_capacity(usize::try_from(stamp.octets.min(octets_max)).unwrap_or(0));
    file.take(octets_max.saturating_add(1)).read_to_end(&mut octets)?;
    if octets.len() as u64 > octets_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "file too large"));
    }
    Ok((octets, stamp))
}

/// Has something looked at from time to time, on a thread for such work, as long as the instance lives. The first look is after the first
/// wait. `what` is named in the log should there be no task left.
pub fn look_every(
    cx: &StartContext<'_>,
    log: &Log,
    what: Arguments<'_>,
    every: Duration,
    look: impl Fn() + Send + Sync + 'static,
) {
    let look = Arc::new(look);
    let task = Box::pin(async move {
        loop {
            tokio::time::sleep(every).await;
            let look = Arc::clone(&look);
            if !look_once(move || look()).await {
                return;
            }
        }
    });
    if !cx.spawner.spawn(task) {
        log.warning(format_args!("No task is left to watch {what}"));
    }
}

/// One look on a thread for such work. `false`: the server ends.
pub async fn look_once(look: impl FnOnce() + Send + 'static) -> bool {
    // Any other failed join is a panic in who looks; the next round tries again.
    !tokio::task::spawn_blocking(look).await.is_err_and(|error| error.is_cancelled())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_and_not_beyond() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "abc").unwrap();
        let (octets, stamp) = read(&path, 3).unwrap();
        assert_eq!((&octets[..], stamp.octets, Some(stamp)), (&b"abc"[..], 3, Stamp::of(&path)));
        assert_eq!(read(&path, 2).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_stamp_changes_with_the_length_and_the_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert_eq!(Stamp::of(&path), None);
        std::fs::write(&path, "abc").unwrap();
        let first = Stamp::of(&path).unwrap();
        assert_eq!(Stamp::of(&path), Some(first));
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let second = Stamp::of(&path).unwrap();
        assert_ne!(second, first);
        file.set_len(2).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_ne!(Stamp::of(&path), Some(second));
    }

    #[test]
    fn directories_and_pipes_are_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(open(folder.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(open(&pipe).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert!(open(Path::new("/dev/null")).is_ok());
    }
}
