//! Our side of a transfer.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use catena_tests::binary::Binary;
use catena_tests::names::Ports;
use catena_tests::peer::{Daemon, KEY_NAME, KEY_SECRET, ZONE, axfr, serial, wait_until};

/// Shared by all tests of the process.
static PORTS: LazyLock<Ports> = LazyLock::new(Ports::default);

pub(crate) fn free_port() -> u16 {
    PORTS.take().unwrap()
}

/// A folder below that of a test.
pub(crate) fn folder(parent: &Path, name: &str) -> std::path::PathBuf {
    let path = parent.join(name);
    fs::create_dir_all(&path).unwrap();
    path
}

/// This server, with a Corefile in a folder.
pub(crate) struct Catena {
    pub(crate) port: u16,
    pub(crate) daemon: Daemon,
    is_signed: bool,
}

impl Catena {
    /// Starts it with one server block for the zone, in which stands `body`, and with the key if it signs.
    pub(crate) fn start(folder: &Path, port: u16, is_signed: bool, body: &str) -> Self {
        Self::start_for(ZONE, folder, port, is_signed, body)
    }

    /// The same for another zone.
    pub(crate) fn start_for(zone: &str, folder: &Path, port: u16, is_signed: bool, body: &str) -> Self {
        let tsig = if is_signed { format!("tsig {{\n secret {KEY_NAME} {KEY_SECRET}\n}}\n") } else { String::new() };
        fs::write(folder.join("Corefile"), format!("{zone}:{port} {{\nbind 127.0.0.1\n{tsig}{body}\n}}\n")).unwrap();
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut command = Command::new(Binary::find(workspace).unwrap().path);
        command.args(["-conf", "Corefile"]);
        let daemon = Daemon::start(command, folder).unwrap();
        let catena = Self { port, daemon, is_signed };
        assert!(wait_until(|| TcpStream::connect(("127.0.0.1", port)).is_ok()), "{}", catena.daemon.log());
        catena
    }

    /// A primary: the file `zone` of its folder, looked at every second, and one secondary.
    pub(crate) fn primary(folder: &Path, port: u16, secondary: u16, is_signed: bool) -> Self {
        let key = if is_signed { format!("key {KEY_NAME}") } else { String::new() };
        let body = format!("transfer {{\n to 127.0.0.1:{secondary}\n{key}\n}}\nfile zone {{\n reload 1s\n}}");
        Self::start(folder, port, is_signed, &body)
    }

    /// A secondary, which gives the zone to everybody.
    pub(crate) fn secondary(folder: &Path, port: u16, primary: u16, is_signed: bool) -> Self {
        let key = if is_signed { format!("key {KEY_NAME}") } else { String::new() };
        let body = format!("transfer {{\n to *\n}}\nsecondary {{\n transfer from 127.0.0.1:{primary}\n{key}\n}}");
        Self::start(folder, port, is_signed, &body)
    }

    /// Gives a primary another version of its zone.
    pub(crate) fn update(&self, text: &str) {
        let folder = self.daemon.folder();
        fs::write(folder.join("zone.new"), text).unwrap();
        fs::rename(folder.join("zone.new"), folder.join("zone")).unwrap();
    }

    pub(crate) fn zone(&self) -> Vec<String> {
        axfr(self.port, ZONE, self.is_signed)
    }

    /// Whether it serves this version in time.
    pub(crate) fn gets(&self, version: u32) -> bool {
        wait_until(|| serial(self.port, ZONE) == Some(version))
    }
}

/// What one has and the other has not.
pub(crate) fn assert_same(ours: &[String], theirs: &[String]) {
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| those.binary_search(line).is_err()).take(10).cloned().collect()
    };
    assert!(!theirs.is_empty(), "they give nothing");
    assert!(ours == theirs, "ours alone: {:#?}\ntheirs alone: {:#?}", only(ours, theirs), only(theirs, ours));
}
