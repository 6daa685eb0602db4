//! From the octets of a file to a zone.

use catena_core::name::Zone as ZoneName;
use catena_core::{Diagnostic, Rtype};

use crate::zonefile::{Include, Options, ZoneError, read_zone};
use crate::{BuildError, Builder, Zone};

/// Why a file gives no zone. The texts are those of CoreDNS's `file`.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read as a zone file.
    #[error("failed to parse file {file:?} for origin {origin} with error {error}")]
    Parse {
        /// The file.
        file: String,
        /// The zone.
        origin: String,
        /// What is wrong, and where.
        error: ZoneError,
    },
    /// The records are no zone.
    #[error("file {file:?} {error}")]
    Build {
        /// The file.
        file: String,
        /// What is wrong.
        error: BuildError,
    },
    /// It says that its denials are hashed and has no records to hash them with: nothing could be denied.
    #[error("NSEC3 zone is not supported without its NSEC3 records: {0} has NSEC3PARAM alone")]
    NoHashes(String),
}

impl LoadError {
    /// The same with the line of the zone file that it is about, for people who read the log.
    #[must_use]
    pub fn render(&self) -> String {
        match self {
            Self::Parse { error, .. } => format!("{self}\n{}", error.render()),
            _ => self.to_string(),
        }
    }

    /// Adds the line of the zone file to a diagnostic.
    #[must_use]
    pub fn explain(&self, diagnostic: Diagnostic) -> Diagnostic {
        match self {
            Self::Parse { error, .. } => {
                let at = format!("{}:{}:{}: {}", error.file(), error.line(), error.column(), error.text());
                diagnostic.with_note(at)
            }
            _ => diagnostic,
        }
    }
}

/// Reads a zone file. `file` is how errors name it, and where `$INCLUDE` starts from.
///
/// # Errors
/// What is wrong with the file; the first thing only.
pub fn load(octets: &[u8], file: &str, origin: &ZoneName, include: &dyn Include) -> Result<Zone, LoadError> {
    let mut builder = Builder::new(origin.wire());
    let options = Options { include, ..Options::new(file, origin.wire()) };
    let read =
        read_zone(octets, &options, &mut |record| builder.push(record).map(|_| ()).map_err(|error| error.to_string()));
    read.map_err(|error| LoadError::Parse { file: file.to_owned(), origin: origin.text().to_owned(), error })?;
    let zone = builder.finish().map_err(|error| LoadError::Build { file: file.to_owned(), error })?;
    let has_parameters = zone.records_of(origin.wire(), Rtype::NSEC3PARAM).next().is_some();
    if has_parameters && !zone.proves_denial() {
        return Err(LoadError::NoHashes(origin.text().to_owned()));
    }
    Ok(zone)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::zonefile::NoInclude;

    fn told(text: &str) -> String {
        let origin = ZoneName::parse("example.org").unwrap();
        match load(text.as_bytes(), "db.example.org", &origin, &NoInclude) {
            Ok(zone) => format!("serial {}", zone.serial()),
            Err(error) => error.to_string(),
        }
    }

    const SOA: &str = "@ 60 IN SOA ns admin 42 7200 3600 1209600 300\n";

    #[test]
    fn a_zone_has_the_serial_of_its_file() {
        assert_eq!(told(SOA), "serial 42");
        assert_eq!(told(&SOA.replace("42", "0")), "serial 0");
    }

    #[test]
    fn what_is_wrong_names_the_file_and_the_zone() {
        assert_eq!(told("a 60 IN A 192.0.2.1\n"), "file \"db.example.org\" has no SOA record for origin example.org.");
        let wanted = "failed to parse file \"db.example.org\" for origin example.org. with error db.example.org:2:11: ";
        let told = told(&format!("{SOA}a 60 IN A 192.0.2.x\n"));
        assert!(told.starts_with(wanted), "{told}");
    }

    #[test]
    fn parameters_without_hashes_are_an_error() {
        let wanted = "NSEC3 zone is not supported without its NSEC3 records: example.org. has NSEC3PARAM alone";
        assert_eq!(told(&format!("{SOA}@ 0 IN NSEC3PARAM 1 0 10 AB\n")), wanted);
    }
}
