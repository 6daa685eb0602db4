//! The operating system behind the traits of the core: clock, files, interfaces.

use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::time::{Instant, SystemTime};

use catena_core::{Clock, Files, Interfaces};

/// The clock of the host.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else is told to use")]
    fn now(&self) -> Instant {
        Instant::now()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else is told to use")]
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// The largest file that a directive or an import may name, octets.
pub const FILE_OCTETS_MAX: u64 = 256 * 1024 * 1024;

/// The file system of the host.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        // Opening a pipe waits for whoever writes to it, so what it is has to be known before.
        if !is_read_at_once(&std::fs::metadata(path)?) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        read_bounded(path, FILE_OCTETS_MAX)
    }

    fn is_dir(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let names =
            std::fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
        names.collect()
    }
}

/// The number of `/dev/null`, the one device that stands for a file without anything in it.
const NULL_DEVICE: u64 = 0x103;

/// Whether reading ends without anybody else's help, or fails at once as for a directory.
fn is_read_at_once(found: &std::fs::Metadata) -> bool {
    found.is_file() || found.is_dir() || found.file_type().is_char_device() && found.rdev() == NULL_DEVICE
}

/// Reads a file that has at most so many octets.
///
/// # Errors
/// What the system says, and `FileTooLarge`.
pub(crate) fn read_bounded(path: &Path, octets_max: u64) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut contents = Vec::new();
    std::fs::File::open(path)?.take(octets_max + 1).read_to_end(&mut contents)?;
    if contents.len() as u64 > octets_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "file too large"));
    }
    Ok(contents)
}

/// The network interfaces of the host.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostInterfaces;

impl Interfaces for HostInterfaces {
    fn addresses(&self) -> io::Result<Vec<(String, IpAddr)>> {
        let found = if_addrs::get_if_addrs()?;
        Ok(found.into_iter().map(|interface| (interface.name.clone(), interface.ip())).collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_file_at_the_limit_is_read_and_one_beyond_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, [0_u8; 10]).unwrap();
        assert_eq!(read_bounded(&path, 10).unwrap().len(), 10);
        assert_eq!(read_bounded(&path, 9).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn what_has_no_end_of_its_own_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [&pipe, &socket, Path::new("/dev/zero")] {
            assert_eq!(Disk.read(path).unwrap_err().to_string(), "not a regular file");
        }
        assert_eq!(Disk.read(Path::new("/dev/null")).unwrap(), b"");
        assert_eq!(Disk.read(dir.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(Disk.read(&dir.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_host_has_a_loopback_interface() {
        assert!(HostInterfaces.addresses().unwrap().iter().any(|(_, ip)| ip.is_loopback()));
    }
}
