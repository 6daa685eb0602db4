//! A zone file read, signed and put in its place.

use std::io;
use std::path::{Path, PathBuf};

use catena_gocompat::os::error_text;
use catena_zone::dnssec::{Plan, SignError, UnsignedZone, Validity};
use catena_zone::zonefile::{Include, Included, Options, ZoneError, read_zone};
use catena_zone::{ZONE_FILE_OCTETS_MAX, is_newer};

use crate::apex::Apex;
use crate::place::{Readers, place};
use crate::signer::Signer;

/// How far a serial may be ahead of the clock and nobody is told, seconds.
const SERIAL_AHEAD_MAX: u32 = 24 * 3600;

/// Why a zone was not signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkError {
    #[error("open {file}: {}", error_text(error))]
    Open { file: String, error: io::Error },
    #[error("{0}: {text:?}", text = .0.text())]
    Read(ZoneError),
    #[error("file {file:?} {error}")]
    Build { file: String, error: catena_zone::BuildError },
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error("{}: {}", path.display(), error_text(error))]
    Place { path: PathBuf, error: io::Error },
}

impl WorkError {
    /// Whether it may be gone without a change of the zone file: a disk that is full, a folder that is not there.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Open { .. } | Self::Place { .. })
    }
}

/// What was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    /// The serial, which is the time.
    pub(crate) serial: u32,
    /// The TTL of the DNSKEY records, seconds.
    pub(crate) keys_ttl: u32,
    /// The largest TTL, seconds.
    pub(crate) ttl_max: u32,
}

/// Signs a zone and puts it in its place.
pub(crate) fn sign(signer: &Signer, plan: &Plan<'_>, now: u32, validity: Validity) -> Result<Signed, WorkError> {
    let file = signer.source.to_string_lossy().into_owned();
    let (octets, _) = catena_files::read(&signer.source, ZONE_FILE_OCTETS_MAX)
        .map_err(|error| WorkError::Open { file: file.clone(), error })?;
    let serial = next_serial(Apex::read(&signer.output).and_then(|apex| apex.serial), now);
    tell_ahead(signer, serial, now);
    let mut unsigned = UnsignedZone::new(signer.zone.wire(), serial);
    let options = Options { include: &FromDisk, ..Options::new(&file, signer.zone.wire()) };
    read_zone(&octets, &options, &mut |record| unsigned.push(record).map_err(|error| error.to_string()))
        .map_err(WorkError::Read)?;
    drop(octets);
    let ready = unsigned.finish(plan).map_err(|error| WorkError::Build { file, error })?;
    let mut signed = Vec::new();
    ready.write(validity, &mut signed)?;
    place(&signer.output, &signed, Readers::Everybody).map_err(|error| {
        // Where the folder is not there, it is what has to be made.
        let folder = signer.output.parent().filter(|folder| !folder.exists());
        WorkError::Place { path: folder.unwrap_or(&signer.output).to_path_buf(), error }
    })?;
    Ok(Signed { serial, keys_ttl: ready.keys_ttl(), ttl_max: ready.ttl_max() })
}

/// The time, or one more than the last serial if that would not be larger (RFC 1982): secondaries take no zone whose serial goes back.
fn next_serial(last: Option<u32>, now: u32) -> u32 {
    last.filter(|last| !is_newer(now, *last)).map_or(now, |last| last.wrapping_add(1))
}

/// Tells of a serial that the time will not reach soon: it was no time, or the clock was wrong.
fn tell_ahead(signer: &Signer, serial: u32, now: u32) {
    let ahead = serial.wrapping_sub(now);
    if serial != now && ahead > SERIAL_AHEAD_MAX {
        signer.log.warning(format_args!(
            "The serial {serial} of zone \"{}\" is {} days ahead of the clock, it goes on from there by one: to have the time again \
            remove {:?}, restart, and have every secondary transfer the zone anew",
            signer.zone,
            ahead / (24 * 3600),
            signer.output
        ));
    }
}

/// Finds included files beside the one that names them.
struct FromDisk;

impl Include for FromDisk {
    fn read(&self, path: &str, from: &str) -> Result<Included, String> {
        let whole = Path::new(from).parent().unwrap_or(Path::new("")).join(path);
        let file = whole.to_string_lossy().into_owned();
        match catena_files::read(&whole, ZONE_FILE_OCTETS_MAX) {
            Ok((octets, _)) => Ok(Included { file, octets }),
            Err(error) => Err(format!("cannot read '{file}': {}", error_text(&error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_is_the_time_and_never_the_last_one_again() {
        assert_eq!(next_serial(None, 1000), 1000);
        assert_eq!(next_serial(Some(999), 1000), 1000);
        assert_eq!(next_serial(Some(1000), 1000), 1001);
        assert_eq!(next_serial(Some(1005), 1000), 1006);
        assert_eq!(next_serial(Some(u32::MAX), u32::MAX), 0);
    }

    #[test]
    fn a_serial_never_goes_back_however_far_it_is_ahead_of_the_clock() {
        for ahead in [SERIAL_AHEAD_MAX, 400 * 24 * 3600, 1 << 31] {
            assert_eq!(next_serial(Some(1000 + ahead), 1000), 1001 + ahead);
        }
        // The time is the larger one then (RFC 1982 section 3.2).
        assert_eq!(next_serial(Some(1001 + (1 << 31)), 1000), 1000);
    }
}
