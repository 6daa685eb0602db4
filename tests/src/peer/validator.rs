//! Other people's validators, which trust one key file.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use super::{Daemon, dig};

/// The zone of the key in a file `K*.key`, and the key as a trust anchor of `delv`.
fn anchor(key_file: &Path) -> io::Result<(String, String)> {
    let text = fs::read_to_string(key_file)?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "DNSKEY").filter(|at| words.len() > at + 4);
    let at = at.ok_or_else(|| io::Error::other(format!("no key in {}", key_file.display())))?;
    let (owner, numbers, octets) = (words[0], words[at + 1..at + 4].join(" "), words[at + 4..].concat());
    let text = format!("trust-anchors {{ {owner} static-key {numbers} \"{octets}\"; }};\n");
    Ok((owner.trim_end_matches('.').to_owned(), text))
}

/// What `delv` says of a question to a loopback port when it trusts the key in a file alone. It writes into the folder.
///
/// # Errors
/// The file has no key, or there is no `delv`.
pub fn delv(folder: &Path, port: u16, key_file: &Path, name: &str, rtype: &str) -> io::Result<String> {
    let (owner, text) = anchor(key_file)?;
    let anchors = folder.join(format!("anchor-{owner}"));
    fs::write(&anchors, text)?;
    let output = Command::new("delv")
        .args(["@127.0.0.1", "-p", &port.to_string(), "-a"])
        .arg(&anchors)
        .args([&format!("+root={owner}"), name, rtype])
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

/// Unbound on a loopback port, which asks another loopback port about some zones and trusts their keys.
#[derive(Debug)]
pub struct Unbound {
    daemon: Daemon,
    port: u16,
}

impl Unbound {
    /// Starts it for zones with their key files.
    ///
    /// # Errors
    /// There is no `unbound`, or it does not start.
    pub fn start(folder: &Path, port: u16, upstream: u16, zones: &[(&str, &Path)]) -> io::Result<Self> {
        let at = folder.display();
        let mut config = format!(
            "server:\n directory: \"{at}\"\n chroot: \"\"\n username: \"\"\n pidfile: \"{at}/unbound.pid\"\n use-syslog: no\n \
             interface: 127.0.0.1\n port: {port}\n do-not-query-localhost: no\n module-config: \"validator iterator\"\n \
             num-threads: 1\n val-log-level: 2\n val-clean-additional: yes\n qname-minimisation: no\n aggressive-nsec: no\n \
             unblock-lan-zones: yes\n"
        );
        for (zone, key) in zones {
            config += &format!(" trust-anchor-file: \"{}\"\n local-zone: \"{zone}\" transparent\n", key.display());
        }
        config += "remote-control:\n control-enable: no\n";
        for (zone, _) in zones {
            config += &format!("stub-zone:\n name: \"{zone}\"\n stub-addr: 127.0.0.1@{upstream}\n");
        }
        fs::write(folder.join("unbound.conf"), config)?;
        let program = super::find("unbound").ok_or_else(|| io::Error::other("no unbound"))?;
        let mut command = Command::new(program);
        command.args(["-d", "-c", "unbound.conf"]);
        let unbound = Self { daemon: Daemon::start(command, folder)?, port };
        if unbound.daemon.says("start of service") { Ok(unbound) } else { Err(io::Error::other(unbound.daemon.log())) }
    }

    /// What `dig` shows of a question.
    #[must_use]
    pub fn ask(&self, name: &str, rtype: &str) -> String {
        dig(self.port, false, &["+dnssec", name, rtype])
    }

    /// What it said so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.daemon.log()
    }
}
