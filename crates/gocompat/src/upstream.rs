//! Upstream addresses in Corefiles: `[scheme://]address[:port]` or the name of a file in the form
//! of `resolv.conf` (CoreDNS: plugin/pkg/parse). Reading the file is the caller's.

pub use catena_corefile::Transport;

use crate::address::{join_host_port, parse_ip, split_host_port, strip_zone};
use crate::quote::quote;
use crate::resolvconf::ResolvConf;

/// The port of plain DNS, which a Corefile's keys take from a flag and upstreams do not.
const PLAIN_PORT: &str = "53";

/// What an argument of `forward` and its like turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPortOrFile {
    /// An address, as CoreDNS normalises it: scheme kept, default port added, zone id kept.
    Address(String),
    /// No address: to be read as a file of nameservers.
    File(String),
}

/// Why an argument names no upstream; prints as CoreDNS does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// Nothing behind the scheme.
    #[error("invalid address: {}", quote(.0))]
    InvalidAddress(String),
    /// Neither an address nor a readable file.
    #[error("not an IP address or file {}: {reason}", quote(text))]
    NotAddressOrFile {
        /// The argument without its scheme.
        text: String,
        /// Why the file could not be read.
        reason: String,
    },
    /// Every file was empty of nameservers.
    #[error("no nameservers found")]
    NoNameservers,
    /// Not an address where nothing else is allowed.
    #[error("must specify an IP address: `{0}'")]
    NotAnAddress(String),
}

impl UpstreamError {
    /// The error of a `path` that could not be read; `missing` is for "does not exist", whose
    /// text CoreDNS wraps once more.
    pub fn unreadable(path: &str, reason: &str, missing: bool) -> Self {
        let reason =
            if missing { format!("failed to open file {}: {}", quote(path), quote(reason)) } else { reason.to_owned() };
        Self::NotAddressOrFile { text: path.to_owned(), reason }
    }
}

/// Tells addresses from file names, without touching a file (CoreDNS: `HostPortOrFile`). Unlike
/// CoreDNS, `https3://` without a port gets its default port instead of vanishing.
pub fn host_port_or_file(text: &str) -> Result<HostPortOrFile, UpstreamError> {
    let (transport, host) = Transport::split(text);
    if host.is_empty() {
        return Err(UpstreamError::InvalidAddress(text.to_owned()));
    }
    let port = if transport == Transport::Dns { Some(PLAIN_PORT) } else { transport.default_port() };
    let Some(port) = port else {
        return Ok(HostPortOrFile::Address(text.to_owned()));
    };
    if let Ok((address, _)) = split_host_port(host) {
        return Ok(match parse_ip(strip_zone(address)) {
            Some(_) => HostPortOrFile::Address(text.to_owned()),
            None => HostPortOrFile::File(host.to_owned()),
        });
    }
    let host = host.trim_matches(['[', ']']);
    if parse_ip(strip_zone(host)).is_none() {
        return Ok(HostPortOrFile::File(host.to_owned()));
    }
    let joined = join_host_port(host, port);
    Ok(HostPortOrFile::Address(match transport {
        Transport::Dns => joined,
        _ => format!("{}://{joined}", transport.scheme()),
    }))
}

/// The addresses of the nameservers in a file: port 53, zone ids cut off.
pub fn nameserver_addresses(conf: &ResolvConf) -> Vec<String> {
    conf.nameservers.iter().map(|server| join_host_port(strip_zone(server), "53")).collect()
}

/// Checks an address that may lack its port and adds `default_port` (CoreDNS: `HostPort`).
pub fn host_port(text: &str, default_port: &str) -> Result<String, UpstreamError> {
    let (address, port) = match split_host_port(text) {
        Ok((address, "")) => (address, default_port),
        Ok(both) => both,
        Err(_) => (text, default_port),
    };
    match parse_ip(strip_zone(address)) {
        Some(_) => Ok(join_host_port(address, port)),
        None => Err(UpstreamError::NotAnAddress(address.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn addresses_get_the_port_of_their_scheme() {
        for (text, want) in [
            ("8.8.8.8", "8.8.8.8:53"),
            ("dns://8.8.8.8", "8.8.8.8:53"),
            ("tls://8.8.8.8", "tls://8.8.8.8:853"),
            ("quic://::1", "quic://[::1]:853"),
            ("grpc://[::1]", "grpc://[::1]:443"),
            ("https://1.1.1.1", "https://1.1.1.1:443"),
            ("https3://1.1.1.1", "https3://1.1.1.1:443"),
            ("fe80::1%eth0", "[fe80::1%eth0]:53"),
            ("tls://8.8.8.8:54", "tls://8.8.8.8:54"),
            ("dns://8.8.8.8:54", "dns://8.8.8.8:54"),
            ("unix:///run/dns", "unix:///run/dns"),
        ] {
            let want = HostPortOrFile::Address(want.to_owned());
            assert_eq!(host_port_or_file(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_a_file() {
        for (text, path) in [
            ("/etc/resolv.conf", "/etc/resolv.conf"),
            ("name:53", "name:53"),
            ("tls://resolv.conf", "resolv.conf"),
            ("1.2.3.04", "1.2.3.04"),
        ] {
            assert_eq!(host_port_or_file(text), Ok(HostPortOrFile::File(path.to_owned())));
        }
    }

    #[test]
    fn upstream_errors_read_as_in_coredns() {
        assert_eq!(host_port_or_file("tls://").unwrap_err().to_string(), r#"invalid address: "tls://""#);
        let reason = "open x: no such file or directory";
        assert_eq!(
            UpstreamError::unreadable("x", reason, true).to_string(),
            r#"not an IP address or file "x": failed to open file "x": "open x: no such file or directory""#
        );
        assert_eq!(host_port("a:1", "53").unwrap_err().to_string(), "must specify an IP address: `a'");
    }

    #[test]
    fn host_port_adds_what_is_missing() {
        assert_eq!(host_port("1.2.3.4", "53").as_deref(), Ok("1.2.3.4:53"));
        assert_eq!(host_port("::1", "53").as_deref(), Ok("[::1]:53"));
        assert_eq!(host_port("1.2.3.4:", "53").as_deref(), Ok("1.2.3.4:53"));
        assert_eq!(host_port("[::1]:5", "53").as_deref(), Ok("[::1]:5"));
    }
}
