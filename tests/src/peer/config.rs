//! The configurations of other servers.

use std::path::Path;

use super::{KEY_NAME, KEY_SECRET, Kind, ZONE};

/// What a server is for.
#[derive(Clone, Debug)]
pub enum Role {
    /// Has the zone in a file, and tells one secondary of changes.
    Primary {
        /// Where the secondary is.
        secondary: u16,
        /// Whether all has to be signed.
        is_signed: bool,
    },
    /// Fetches the zone.
    Secondary {
        /// Where the primary is.
        primary: u16,
        /// Whether all has to be signed.
        is_signed: bool,
    },
}

impl Role {
    pub(super) fn is_signed(&self) -> bool {
        match self {
            Self::Primary { is_signed, .. } | Self::Secondary { is_signed, .. } => *is_signed,
        }
    }
}

/// A setting that is not the usual one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knob {
    /// None.
    Usual,
    /// BIND: one record a message.
    OneAnswer,
    /// BIND and Knot: more zones, in files of their names.
    Zones(&'static [&'static str]),
    /// BIND: no IXFR is given.
    NoIxfr,
}

pub(super) fn text(kind: Kind, folder: &Path, port: u16, role: &Role, knob: Knob) -> String {
    match kind {
        Kind::Nsd => nsd(folder, port, role),
        Kind::Knot => knot(folder, port, role, knob),
        Kind::Bind => bind(folder, port, role, knob),
    }
}

fn nsd(folder: &Path, port: u16, role: &Role) -> String {
    let at = folder.display();
    let key = if role.is_signed() { KEY_NAME } else { "NOKEY" };
    let zone = match role {
        Role::Primary { secondary, .. } => format!(
            " create-ixfr: yes\n store-ixfr: yes\n provide-xfr: 127.0.0.1 {key}\n notify: 127.0.0.1@{secondary} {key}\n"
        ),
        Role::Secondary { primary, .. } => format!(
            " request-xfr: 127.0.0.1@{primary} {key}\n allow-notify: 127.0.0.1 {key}\n provide-xfr: 127.0.0.1 {key}\n"
        ),
    };
    format!(
        "server:\n ip-address: 127.0.0.1@{port}\n username: \"\"\n database: \"\"\n zonesdir: \"{at}\"\n \
         pidfile: \"{at}/pid\"\n xfrdfile: \"{at}/xfrd\"\n zonelistfile: \"{at}/list\"\n xfrdir: \"{at}\"\n \
         server-count: 1\n verbosity: 3\n rrl-ratelimit: 0\n xfrd-reload-timeout: 0\nremote-control:\n \
         control-enable: no\nkey:\n name: \"{KEY_NAME}\"\n algorithm: hmac-sha256\n secret: \"{KEY_SECRET}\"\n\
         zone:\n name: {ZONE}\n zonefile: zone\n{zone}"
    )
}

fn knot(folder: &Path, port: u16, role: &Role, knob: Knob) -> String {
    let at = folder.display();
    let key = if role.is_signed() { format!("    key: {KEY_NAME}\n") } else { String::new() };
    let (remote, zone) = match role {
        Role::Primary { secondary, .. } => (secondary, "    notify: peer\n    zonefile-load: difference\n"),
        Role::Secondary { primary, .. } => (primary, "    master: peer\n"),
    };
    let settings = format!(
        "    acl: peer\n    storage: {at}\n    zonefile-sync: -1\n    journal-content: changes\n    semantic-checks: off\n{zone}"
    );
    let mut zones = format!("  - domain: {ZONE}\n    file: zone\n{settings}");
    if let Knob::Zones(names) = knob {
        for name in names {
            zones.push_str(&format!("  - domain: {name}\n    file: {name}\n{settings}"));
        }
    }
    format!(
        "server:\n    listen: 127.0.0.1@{port}\n    rundir: {at}\n    udp-workers: 1\n    tcp-workers: 1\n    background-workers: 1\n\
         log:\n  - target: stderr\n    any: info\ndatabase:\n    storage: {at}/db\n\
         key:\n  - id: {KEY_NAME}\n    algorithm: hmac-sha256\n    secret: {KEY_SECRET}\n\
         remote:\n  - id: peer\n    address: 127.0.0.1@{remote}\n{key}\
         acl:\n  - id: peer\n    address: 127.0.0.1\n    action: [transfer, notify]\n{key}zone:\n{zones}"
    )
}

fn bind(folder: &Path, port: u16, role: &Role, knob: Knob) -> String {
    let at = folder.display();
    let key = if role.is_signed() { format!(" key \"{KEY_NAME}\"") } else { String::new() };
    let who = if role.is_signed() { format!("{{ {} ; }}", key.trim()) } else { "{ any; }".to_owned() };
    let kind = match role {
        Role::Primary { secondary, .. } => {
            format!("type primary; allow-transfer {who}; also-notify {{ 127.0.0.1 port {secondary}{key}; }};")
        }
        Role::Secondary { primary, .. } => {
            format!(
                "type secondary; masterfile-format text; allow-transfer {who}; primaries {{ 127.0.0.1 port {primary}{key}; }};"
            )
        }
    };
    let mut zones = format!("zone \"{ZONE}\" {{ {kind} file \"zone\"; }};\n");
    if let Knob::Zones(names) = knob {
        for name in names {
            zones.push_str(&format!("zone \"{name}\" {{ {kind} file \"{name}\"; }};\n"));
        }
    }
    let format = if knob == Knob::OneAnswer { "one-answer" } else { "many-answers" };
    let ixfr = if knob == Knob::NoIxfr { "no" } else { "yes" };
    format!(
        "options {{ directory \"{at}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; pid-file none; \
         session-keyfile \"{at}/session\"; managed-keys-directory \"{at}\"; recursion no; dnssec-validation no; \
         notify explicit; notify-delay 0; transfer-format {format}; provide-ixfr {ixfr}; ixfr-from-differences {ixfr}; \
         empty-zones-enable no; check-integrity no; check-names primary ignore; check-names secondary ignore; }};\n\
         controls {{ }};\nkey \"{KEY_NAME}\" {{ algorithm hmac-sha256; secret \"{KEY_SECRET}\"; }};\n{zones}"
    )
}
