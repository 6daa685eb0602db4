//! What is printed when a server has started. CoreDNS: `startUpZones`, `showVersion`.

use catena_core::corefile::Transport;
use catena_core::{Instance, Listener, SocketCount};

/// One line per zone and listener, sorted by zone within a listener, with a warning before a zone that is no host name. A listener with
/// a number of sockets is told so many times, as CoreDNS does.
#[must_use]
pub fn zone_lines(instance: &Instance, workers: usize) -> Vec<String> {
    let repeated = |listener| std::iter::repeat_n(listener_lines(listener), times(listener, workers));
    instance.listeners().iter().flat_map(repeated).flatten().collect()
}

fn times(listener: &Listener, workers: usize) -> usize {
    match listener.sockets.count {
        Some(SocketCount::AtLeast(count)) => count.get().into(),
        Some(SocketCount::Workers) => workers,
        None => 1,
    }
}

fn listener_lines(listener: &Listener) -> Vec<String> {
    let addr = &listener.addr;
    let mut zones: Vec<String> = listener.zones.iter().map(|(zone, _)| zone.to_string()).collect();
    zones.sort();
    // Blocks with views share zones.
    zones.dedup();
    let scheme = if addr.transport == Transport::Dns { String::new() } else { format!("{}://", addr.transport) };
    let on = if addr.ip.is_some() { format!(" on {}", addr.host()) } else { String::new() };
    let mut lines = Vec::with_capacity(zones.len());
    for zone in zones {
        if !is_preferred(&zone) {
            lines.push(format!("Warning: Domain \"{zone}\" does not follow RFC1035 preferred syntax"));
        }
        lines.push(format!("{scheme}{zone}:{}{on}", addr.port));
    }
    lines
}

/// Whether a zone has the syntax that RFC 1035 section 2.3.1 prefers; the root and reverse zones count as such.
fn is_preferred(zone: &str) -> bool {
    let reverse = ["in-addr.arpa.", "ip6.arpa."].iter().any(|suffix| zone.ends_with(suffix));
    zone == "." || reverse || zone.strip_suffix('.').is_some_and(|bare| bare.split('.').all(is_host_label))
}

fn is_host_label(label: &str) -> bool {
    let octets = label.as_bytes();
    let (Some(first), Some(last)) = (octets.first(), octets.last()) else { return false };
    let inner = octets.iter().all(|octet| octet.is_ascii_alphanumeric() || *octet == b'-');
    first.is_ascii_alphabetic() && last.is_ascii_alphanumeric() && inner
}

/// The two lines of `-version`: the product, then system, architecture, compiler and commit.
#[must_use]
pub fn version_lines(product: &str) -> [String; 2] {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    };
    let compiler = option_env!("CATENA_RUSTC").unwrap_or(concat!("rust", env!("CARGO_PKG_RUST_VERSION")));
    let commit = option_env!("CATENA_COMMIT").unwrap_or("");
    [product.to_owned(), format!("{}/{arch}, {compiler}, {commit}", std::env::consts::OS)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_that_are_no_host_names_are_told() {
        for good in [".", "example.org.", "a-1.b.", "0/25.2.0.192.in-addr.arpa.", "8.b.d.0.ip6.arpa."] {
            assert!(is_preferred(good), "{good}");
        }
        for bad in ["_x.example.org.", "1a.org.", "a-.org.", "a b.", "*.example.org."] {
            assert!(!is_preferred(bad), "{bad}");
        }
    }

    #[test]
    fn the_version_has_two_lines() {
        let [first, second] = version_lines("Catena-0.1.0");
        assert_eq!(first, "Catena-0.1.0");
        assert!(second.starts_with("linux/") && second.contains(", rust1."), "{second}");
    }
}
