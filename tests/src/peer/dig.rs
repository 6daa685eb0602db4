//! What a server serves, as `dig` reads it.

use std::process::Command;

use super::{KEY_NAME, KEY_SECRET};

/// Runs `dig` against a loopback port; its output, empty if it fails.
#[must_use]
pub fn dig(port: u16, is_signed: bool, arguments: &[&str]) -> String {
    let mut command = Command::new("dig");
    command.args(["@127.0.0.1", "-p", &port.to_string(), "+time=10", "+tries=1"]);
    if is_signed {
        command.args(["-y", &format!("hmac-sha256:{KEY_NAME}:{KEY_SECRET}")]);
    }
    let Ok(output) = command.args(arguments).output() else { return String::new() };
    if output.status.success() { String::from_utf8_lossy(&output.stdout).into_owned() } else { String::new() }
}

/// All records of a zone, one a line in lower case, sorted; nothing if the transfer fails.
#[must_use]
pub fn axfr(port: u16, zone: &str, is_signed: bool) -> Vec<String> {
    let text = dig(port, is_signed, &["+noall", "+answer", zone, "AXFR"]);
    if text.contains("; Transfer failed.") {
        return Vec::new();
    }
    let records = text.lines().filter(|line| !line.starts_with(';') && !line.is_empty() && !line.contains("\tTSIG\t"));
    let mut lines: Vec<String> =
        records.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase()).collect();
    lines.sort();
    // The SOA record opens and closes.
    lines.dedup();
    lines
}

/// The serial number of a zone; `None` if there is no answer.
#[must_use]
pub fn serial(port: u16, zone: &str) -> Option<u32> {
    dig(port, false, &["+short", zone, "SOA"]).split_whitespace().nth(2)?.parse().ok()
}
