//! Where `$INCLUDE` finds files.

use std::path::Path;

use catena_core::Files;

/// A file that is to be read in the place of its `$INCLUDE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Included {
    /// How errors name it.
    pub file: String,
    /// Its content.
    pub octets: Vec<u8>,
}

/// Finds the files that `$INCLUDE` names.
pub trait Include {
    /// The file at `path`, which is as the zone file says; `from` is how the file is named that says so.
    ///
    /// # Errors
    /// Why it cannot be read, for the message.
    fn read(&self, path: &str, from: &str) -> Result<Included, String>;
}

/// Finds nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoInclude;

impl Include for NoInclude {
    fn read(&self, _path: &str, _from: &str) -> Result<Included, String> {
        Err("$INCLUDE is not allowed here".to_owned())
    }
}

/// Finds files in a file system. A relative path is meant from the directory of the file that names it, as in CoreDNS; BIND takes it from
/// the server's.
#[derive(Clone, Copy)]
pub struct IncludeFiles<'a>(pub &'a dyn Files);

impl Include for IncludeFiles<'_> {
    fn read(&self, path: &str, from: &str) -> Result<Included, String> {
        let directory = Path::new(from).parent().unwrap_or(Path::new(""));
        let whole = directory.join(path);
        let file = whole.to_string_lossy().into_owned();
        match self.0.read(&whole) {
            Ok(octets) => Ok(Included { file, octets }),
            Err(error) => Err(format!("cannot read '{file}': {error}")),
        }
    }
}
