//! A zone file read, signed and put in its place.

use std::io;
use std::path::Path;

use catena_gocompat::os::error_text;
use catena_zone::ZONE_FILE_OCTETS_MAX;
use catena_zone::dnssec::{Plan, SignError, UnsignedZone, Validity};
use catena_zone::zonefile::{Include, Included, Options, ZoneError, read_zone};

use crate::apex::Apex;
use crate::place::{Readers, place, read_regular};
use crate::signer::Signer;

/// How far a serial may be ahead of the clock that is counted on from, seconds.
const SERIAL_AHEAD_MAX: u32 = 24 * 3600;

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

impl WorkError {
    /// Whether it may be gone without a change of the zone file: a disk that is full, a folder that is not there.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Open { .. } | Self::Place(_))
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
    let octets = read_regular(&signer.source, ZONE_FILE_OCTETS_MAX)
        .map_err(|error| WorkError::Open { file: file.clone(), error })?;
    let serial = next_serial(Apex::read(&signer.output).and_then(|apex| apex.serial), now);
    let mut unsigned = UnsignedZone::new(signer.zone.wire(), serial);
    let options = Options { include: &FromDisk, ..Options::new(&file, signer.zone.wire()) };
    read_zone(&octets, &options, &mut |record| unsigned.push(record).map_err(|error| error.to_string()))
        .map_err(WorkError::Read)?;
    drop(octets);
    let ready = unsigned.finish(plan).map_err(|error| WorkError::Build { file, error })?;
    let mut signed = Vec::new();
    ready.write(validity, &mut signed)?;
    place(&signer.output, &signed, Readers::Everybody).map_err(WorkError::Place)?;
    Ok(Signed { serial, keys_ttl: ready.keys_ttl(), ttl_max: ready.ttl_max() })
}

/// The time, or one more than the last serial if that was of this second or, the clock having gone back, up to a day later.
fn next_serial(last: Option<u32>, now: u32) -> u32 {
    let is_near = |last: &u32| last.wrapping_sub(now) < SERIAL_AHEAD_MAX;
    last.filter(is_near).map_or(now, |last| last.wrapping_add(1))
}

/// Finds included files beside the one that names them.
struct FromDisk;

impl Include for FromDisk {
    fn read(&self, path: &str, from: &str) -> Result<Included, String> {
        let whole = Path::new(from).parent().unwrap_or(Path::new("")).join(path);
        let file = whole.to_string_lossy().into_owned();
        match read_regular(&whole, ZONE_FILE_OCTETS_MAX) {
            Ok(octets) => Ok(Included { file, octets }),
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
        assert_eq!(next_serial(Some(1000 + SERIAL_AHEAD_MAX), 1000), 1000, "that is no clock");
        assert_eq!(next_serial(Some(u32::MAX), u32::MAX), 0);
    }
}
