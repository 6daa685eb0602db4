//! A zone file read, signed and put in its place. Whoever looks, whenever, finds the old zone or the new one, whole.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use catena_gocompat::os::error_text;
use catena_zone::ZONE_FILE_OCTETS_MAX;
use catena_zone::dnssec::{SignError, UnsignedZone, Validity};
use catena_zone::zonefile::{Include, Included, Options, ZoneError, read_zone};

use crate::signer::Signer;

/// Why a zone was not signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkError {
    #[error("open {file}: {}", error_text(error))]
    Open { file: String, error: io::Error },
    #[error("{}:{}:{}: {}", .0.file(), .0.line(), .0.column(), .0.text())]
    Read(ZoneError),
    #[error("file {file:?} {error}")]
    Build { file: String, error: catena_zone::BuildError },
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error("{}", error_text(.0))]
    Place(io::Error),
}

/// Signs a zone; gives the serial, which is the time.
pub(crate) fn sign(signer: &Signer, now: u32, validity: Validity) -> Result<u32, WorkError> {
    let file = signer.source.to_string_lossy().into_owned();
    let octets = read_regular(&signer.source).map_err(|error| WorkError::Open { file: file.clone(), error })?;
    let mut unsigned = UnsignedZone::new(signer.zone.wire(), now);
    let options = Options { include: &FromDisk, ..Options::new(&file, signer.zone.wire()) };
    read_zone(&octets, &options, &mut |record| unsigned.push(record).map_err(|error| error.to_string()))
        .map_err(WorkError::Read)?;
    drop(octets);
    let ready = unsigned.finish(&signer.keys).map_err(|error| WorkError::Build { file, error })?;
    let mut signed = Vec::new();
    ready.write(validity, &mut signed)?;
    place(&signer.output, &signed).map_err(WorkError::Place)?;
    Ok(now)
}

/// Writes a file beside the one that it replaces, and moves it there when it is on the disk.
fn place(path: &Path, octets: &[u8]) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let new = directory.join(format!("signed-{}-{:08x}", std::process::id(), rand::random::<u32>()));
    let guard = Unfinished(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).open(&new)?;
    file.write_all(octets)?;
    file.sync_all()?;
    drop(file);
    std::fs::rename(&new, path)?;
    std::mem::forget(guard);
    File::open(directory)?.sync_all()
}

/// Takes away a file that did not come into its place.
struct Unfinished<'a>(&'a PathBuf);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        // If it cannot be removed it is in nobody's way.
        let _ = std::fs::remove_file(self.0);
    }
}

/// Reads a regular file; opening a pipe would wait for whoever writes to it.
fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut octets = Vec::new();
    File::open(path)?.take(ZONE_FILE_OCTETS_MAX + 1).read_to_end(&mut octets)?;
    if octets.len() as u64 > ZONE_FILE_OCTETS_MAX {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    Ok(octets)
}

/// Finds included files beside the one that names them.
struct FromDisk;

impl Include for FromDisk {
    fn read(&self, path: &str, from: &str) -> Result<Included, String> {
        let whole = Path::new(from).parent().unwrap_or(Path::new("")).join(path);
        let file = whole.to_string_lossy().into_owned();
        match read_regular(&whole) {
            Ok(octets) => Ok(Included { file, octets }),
            Err(error) => Err(format!("cannot read '{file}': {}", error_text(&error))),
        }
    }
}
