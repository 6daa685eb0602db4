//! Other people's name servers as primaries and secondaries: NSD, Knot, BIND, each on a free loopback port with one zone.
//!
//! `daemon` starts and ends processes, `config` writes their configurations, `dig` reads what they serve, `validator` checks signatures.

mod config;
mod daemon;
mod dig;
mod validator;
mod zone;

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

pub use config::{Knob, Role};
pub use daemon::{Daemon, WAIT_MAX, wait_until};
pub use dig::{axfr, dig, serial};
pub use validator::{Unbound, delv};
pub use zone::zone_text;

/// The name of the key in every configuration.
pub const KEY_NAME: &str = "xfer.example";
/// Its secret, for HMAC-SHA256.
pub const KEY_SECRET: &str = "NoTCJU+DMqFWywaPyxSijrDEA/eC3nK0xi3AMEZuPVk=";
/// The zone that all of them serve.
pub const ZONE: &str = "example.org";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// NSD.
    Nsd,
    /// Knot DNS.
    Knot,
    /// BIND 9.
    Bind,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Nsd, Self::Knot, Self::Bind];

    /// The program.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Nsd => "nsd",
            Self::Knot => "knotd",
            Self::Bind => "named",
        }
    }
}

/// Where a program is, also if the path does not name the folder of servers.
#[must_use]
pub fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Whether all programs are installed; says so if one is not.
#[must_use]
#[allow(clippy::disallowed_macros, reason = "a test says what it found")]
pub fn are_there(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|program| find(program).is_none()).collect();
    if !missing.is_empty() {
        println!("not installed: {missing:?}: nothing is tried");
    }
    missing.is_empty()
}

/// A server with its zone in a folder of its own.
#[derive(Debug)]
pub struct Peer {
    /// Which server it is.
    pub kind: Kind,
    /// Where it listens, UDP and TCP.
    pub port: u16,
    /// Its process and its log.
    pub daemon: Daemon,
    is_signed: bool,
}

impl Peer {
    /// Starts a server in a folder, on a port that was free a moment ago. A primary reads its zone from the file `zone` there.
    ///
    /// # Errors
    /// The folder cannot be written, or the server does not begin to listen.
    pub fn start(kind: Kind, folder: &Path, port: u16, role: &Role, knob: Knob) -> io::Result<Self> {
        // Where Knot keeps its journal.
        fs::create_dir_all(folder.join("db"))?;
        fs::write(folder.join("conf"), config::text(kind, folder, port, role, knob))?;
        let program = find(kind.program()).ok_or_else(|| io::Error::other("not installed"))?;
        let mut command = Command::new(program);
        match kind {
            Kind::Nsd => command.args(["-d", "-c", "conf"]),
            Kind::Knot => command.args(["-c", "conf"]),
            Kind::Bind => command.args(["-g", "-4", "-n", "1", "-c", "conf"]),
        };
        let daemon = Daemon::start(command, folder)?;
        let peer = Self { kind, port, daemon, is_signed: role.is_signed() };
        let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        if wait_until(listens) { Ok(peer) } else { Err(io::Error::other(peer.daemon.log())) }
    }

    /// Gives a primary another version of its zone.
    ///
    /// # Errors
    /// As [`Self::update_file`].
    pub fn update(&self, text: &str) -> io::Result<()> {
        self.update_file("zone", text)
    }

    /// Gives a primary another version of one of its files.
    ///
    /// # Errors
    /// The file cannot be written, or the server not told.
    pub fn update_file(&self, file: &str, text: &str) -> io::Result<()> {
        let folder = self.daemon.folder();
        fs::write(folder.join("new"), text)?;
        fs::rename(folder.join("new"), folder.join(file))?;
        if self.kind == Kind::Knot {
            let knotc = find("knotc").ok_or_else(|| io::Error::other("no knotc"))?;
            let told = Command::new(knotc).args(["-c", "conf", "zone-reload"]).current_dir(folder).output()?;
            return if told.status.success() { Ok(()) } else { Err(io::Error::other(format!("{told:?}"))) };
        }
        self.daemon.signal("HUP")
    }

    /// The zone as it serves it, as [`axfr`] gives it.
    #[must_use]
    pub fn zone(&self) -> Vec<String> {
        axfr(self.port, ZONE, self.is_signed)
    }
}
