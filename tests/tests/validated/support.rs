//! The server with keys, and two validators that trust them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use catena_tests::binary::Binary;
use catena_tests::names::Ports;
use catena_tests::peer::{Daemon, Unbound, are_there, delv, dig, wait_until};
use tempfile::TempDir;

/// Shared by all tests of the process.
static PORTS: LazyLock<Ports> = LazyLock::new(Ports::default);

pub(crate) fn free_port() -> u16 {
    PORTS.take().unwrap()
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The zones that have keys, and the key files.
const KEYS: [(&str, &str); 3] = [
    ("example.org", "Kexample.org.+013+56657"),
    ("cluster.local", "Kcluster.local.+013+03166"),
    ("in-addr.arpa", "Kin-addr.arpa.+013+17089"),
];

/// The key of a zone, without the endings of its files.
fn key(zone: &str) -> String {
    let (_, file) = KEYS.into_iter().find(|(known, _)| *known == zone).unwrap();
    workspace().join("tests/fixtures/keys").join(file).display().to_string()
}

fn public_key(zone: &str) -> PathBuf {
    PathBuf::from(key(zone) + ".key")
}

/// What a validator has to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Records, all of them signed.
    Records,
    /// A proof that there are none.
    Denial,
    /// An alias that leads out of the signed zones, where nothing is known.
    Insecure,
}

/// What one server block is asked, and what has to be found.
pub(crate) type Asked<'a> = [(&'a str, &'a str, Found)];

/// The server with a Corefile; it ends with the test.
pub(crate) struct Server {
    pub(crate) daemon: Daemon,
    pub(crate) port: u16,
    zones: Vec<&'static str>,
    pub(crate) folder: TempDir,
}

impl Server {
    /// Starts it with one block of zones that are signed, in which stands `body`, and perhaps other blocks. `{folder}` is its folder, `{port}`
    /// its port. It is there when a question gets an answer.
    pub(crate) fn start(
        zones: &[&'static str],
        files: &[(&str, &str)],
        body: &str,
        others: &str,
        probe: (&str, &str),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let port = free_port();
        let head: Vec<String> = zones.iter().map(|zone| format!("{zone}:{port}")).collect();
        let keys: Vec<String> = zones.iter().map(|zone| key(zone)).collect();
        let signed = format!("dnssec {{\nkey file {}\n}}", keys.join(" "));
        let corefile = format!("{} {{\nbind 127.0.0.1\n{signed}\n{body}\n}}\n{others}\n", head.join(" "));
        let corefile =
            corefile.replace("{folder}", &folder.path().display().to_string()).replace("{port}", &port.to_string());
        fs::write(folder.path().join("Corefile"), corefile).unwrap();
        let mut command = Command::new(Binary::find(&workspace()).unwrap().path);
        command.args(["-conf", "Corefile"]);
        let daemon = Daemon::start(command, folder.path()).unwrap();
        let server = Self { daemon, port, zones: zones.to_vec(), folder };
        let is_there = || !dig(port, false, &["+short", "+time=1", probe.0, probe.1]).is_empty();
        assert!(wait_until(is_there), "{}", server.daemon.log());
        server
    }

    /// The zone that a name is in.
    fn zone_of(&self, name: &str) -> &'static str {
        let name = name.to_ascii_lowercase();
        let is_in = |zone: &&&'static str| name == **zone || name.ends_with(&format!(".{zone}"));
        self.zones.iter().find(is_in).unwrap()
    }

    /// What `delv` says of a question.
    pub(crate) fn delv(&self, name: &str, rtype: &str) -> String {
        delv(self.folder.path(), self.port, &public_key(self.zone_of(name)), name, rtype).unwrap()
    }

    /// Asks everything with both validators, as far as they are installed, and without the wish for signatures.
    pub(crate) fn check(&self, asked: &Asked<'_>) {
        let unsigned = |(name, rtype, _): &(&str, &str, Found)| {
            let seen = dig(self.port, false, &["+nodnssec", name, rtype]);
            assert!(seen.contains("ANSWER: "), "{name} {rtype}: {seen}");
            assert!(
                !seen.contains("RRSIG") && (*rtype == "NSEC" || !seen.contains("\tNSEC\t")),
                "{name} {rtype}: {seen}"
            );
        };
        if are_there(&["dig"]) {
            asked.iter().for_each(unsigned);
        }
        if are_there(&["delv"]) {
            for (name, rtype, found) in asked {
                let wanted = match found {
                    Found::Records => "; fully validated",
                    Found::Denial => "; negative response, fully validated",
                    // What is outside is below no key that delv was told of.
                    Found::Insecure => continue,
                };
                let said = self.delv(name, rtype);
                assert!(said.contains(wanted), "delv: {name} {rtype} {found:?}: {said}\n{}", self.daemon.log());
            }
        }
        if are_there(&["unbound", "dig"]) {
            self.check_with_unbound(asked);
        }
    }

    fn check_with_unbound(&self, asked: &Asked<'_>) {
        let keys: Vec<_> = self.zones.iter().map(|zone| (*zone, public_key(zone))).collect();
        let keys: Vec<(&str, &Path)> = keys.iter().map(|(zone, file)| (*zone, &**file)).collect();
        let folder = self.folder.path().join("unbound");
        fs::create_dir(&folder).unwrap();
        let unbound = Unbound::start(&folder, free_port(), self.port, &keys).unwrap();
        for (name, rtype, found) in asked {
            let said = unbound.ask(name, rtype);
            let flags = said.lines().find(|line| line.starts_with(";; flags:")).unwrap_or_default();
            let is_right = match found {
                Found::Records => flags.contains(" ad") && !flags.contains("ANSWER: 0"),
                Found::Denial => flags.contains(" ad"),
                Found::Insecure => true,
            };
            assert!(is_right, "unbound: {name} {rtype} {found:?}: {said}\n{}\n{}", unbound.log(), self.daemon.log());
        }
    }
}
