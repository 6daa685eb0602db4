//! The words after FROM: addresses, files in the form of `resolv.conf`, host names. CoreDNS: plugin/forward/resolve.go.

use std::net::IpAddr;
use std::path::Path;

use catena_core::corefile::{Diagnostic, Span, decode};
use catena_core::{OwnedName, Setup, name};
use catena_gocompat::address::{join_host_port, parse_ip, split_host_port};
use catena_gocompat::quote::quote;
use catena_gocompat::resolvconf::ResolvConf;
use catena_gocompat::upstream::{HostPortOrFile, Transport, host_port_or_file, nameserver_addresses};

/// The most words after FROM.
pub(crate) const TOS_MAX: usize = 15;
/// The most upstreams of one `forward`, whatever files and look-ups name.
pub(crate) const UPSTREAMS_MAX: usize = 256;

/// How an upstream is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// UDP and TCP.
    Plain,
    /// TLS (RFC 7858).
    Tls,
    /// HTTPS (RFC 8484).
    Https,
}

/// An upstream's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// `HOST:PORT`, as metrics and messages show it.
    pub(crate) label: String,
    /// How it is spoken to.
    pub(crate) speech: Speech,
    /// The name that its certificate must be for, if one is given behind a `%` or is the host's.
    pub(crate) server_name: Option<String>,
}

/// A host name whose addresses are looked up at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// The name.
    pub(crate) name: OwnedName,
    /// The name as it was written.
    pub(crate) shown: String,
    /// Where it was written.
    pub(crate) span: Span,
    port: String,
    speech: Speech,
    server_name: Option<String>,
}

impl Host {
    /// The target for one of the name's addresses.
    fn target(&self, ip: IpAddr) -> Target {
        let label = join_host_port(&ip.to_string(), &self.port);
        Target { label, speech: self.speech, server_name: self.server_name.clone() }
    }
}

/// What one word after FROM stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// One address, or those of a file.
    Addresses(Vec<Target>),
    /// A host name.
    Host(Host),
}

impl Destination {
    /// The first name behind a `%`, with the address that it belongs to.
    pub(crate) fn server_name(&self) -> Option<(&str, &str)> {
        match self {
            Self::Addresses(targets) => {
                targets.iter().find_map(|target| Some((target.server_name.as_deref()?, &*target.label)))
            }
            Self::Host(host) => Some((host.server_name.as_deref()?, &host.shown)),
        }
    }
}

/// A word after FROM with its place.
pub(crate) type Word<'a> = (&'a str, Span);

/// Reads the words after FROM. Files without nameservers give nothing.
pub(crate) fn read(cx: &mut Setup<'_>, words: &[Word<'_>]) -> Result<Vec<Destination>, Diagnostic> {
    for (text, span) in words {
        if let Some(host) = text.strip_prefix("https://")
            && host.contains('/')
        {
            return Err(fault(
                format!(
                    "paths are not allowed in HTTPS upstream addresses (the /dns-query path is used by default): {text}"
                ),
                *span,
            ));
        }
    }
    let mut found = Vec::new();
    for word in words {
        found.extend(read_one(cx, *word)?);
    }
    if found.is_empty() {
        let span = words.first().map(|(_, span)| *span);
        let error = Diagnostic::error("no valid upstream addresses found");
        return Err(match span {
            Some(span) => error.with_span(span),
            None => error,
        });
    }
    Ok(found)
}

fn read_one(cx: &mut Setup<'_>, (text, span): Word<'_>) -> Result<Option<Destination>, Diagnostic> {
    let path = match host_port_or_file(text).map_err(|error| fault(error.to_string(), span))? {
        HostPortOrFile::Address(address) => return Ok(Some(Destination::Addresses(vec![target(&address, span)?]))),
        HostPortOrFile::File(path) => path,
    };
    match cx.read_file(Path::new(&path)) {
        Ok(contents) => {
            let conf = ResolvConf::parse(&decode(&contents)).map_err(|error| fault(error.to_string(), span))?;
            let labels = nameserver_addresses(&conf);
            for label in labels.iter().filter(|label| label.parse::<std::net::SocketAddr>().is_err()) {
                let warning = format!("{path} names a nameserver that is no IP address and will never answer: {label}");
                cx.log().warning(warning);
            }
            let target = |label| Target { label, speech: Speech::Plain, server_name: None };
            let targets: Vec<_> = labels.into_iter().map(target).collect();
            Ok((!targets.is_empty()).then_some(Destination::Addresses(targets)))
        }
        Err(error) => host(text, span)
            .map(|host| Some(Destination::Host(host)))
            .map_err(|diagnostic| diagnostic.with_note(format!("as a file, `{path}` cannot be read: {error}"))),
    }
}

/// Reads an address that has its port.
fn target(address: &str, span: Span) -> Result<Target, Diagnostic> {
    let (address, server_name) = split_server_name(address);
    let (transport, label) = Transport::split(&address);
    let speech = check_transport(transport, &address, span)?;
    if label.parse::<std::net::SocketAddr>().is_err() {
        return Err(fault(format!("invalid address: {}", quote(&address)), span));
    }
    // CoreDNS: a name behind `%` counts for TLS only.
    let server_name = server_name.filter(|_| speech == Speech::Tls);
    Ok(Target { label: label.to_owned(), speech, server_name })
}

/// Reads a host name, with a port or without.
fn host(text: &str, span: Span) -> Result<Host, Diagnostic> {
    let wrong = || fault(format!("not an IP address, file, or valid domain: {}", quote(text)), span);
    let (address, server_name) = split_server_name(text);
    let (transport, rest) = Transport::split(&address);
    if !matches!(transport, Transport::Dns | Transport::Tls | Transport::Https) {
        return Err(wrong());
    }
    let speech = check_transport(transport, &address, span)?;
    let (shown, port) = match split_host_port(rest) {
        Ok(both) => both,
        Err(_) => (rest, transport.default_port().unwrap_or("53")),
    };
    let shown = shown.trim_matches(['[', ']']);
    // A slash is allowed in DNS, but a host has none: what is meant is a file that is not there.
    let name = name::owned(shown).filter(|_| !shown.contains('/') && parse_ip(shown).is_none()).ok_or_else(wrong)?;
    if port.parse::<u16>().is_err() {
        return Err(fault(format!("invalid address: {}", quote(text)), span));
    }
    let server_name = match speech {
        Speech::Plain => None,
        Speech::Tls => server_name,
        // The host that the certificate is for is the one that was named.
        Speech::Https => Some(shown.trim_end_matches('.').to_owned()),
    };
    Ok(Host { name, shown: shown.to_owned(), span, port: port.to_owned(), speech, server_name })
}

/// How to speak over a transport; those that cannot be spoken are refused.
fn check_transport(transport: Transport, address: &str, span: Span) -> Result<Speech, Diagnostic> {
    match transport {
        Transport::Dns => Ok(Speech::Plain),
        Transport::Tls => Ok(Speech::Tls),
        Transport::Https => Ok(Speech::Https),
        other => Err(fault(
            format!("'{}' is not supported as a destination protocol in forward: {address}", other.scheme()),
            span,
        )),
    }
}

/// Takes `%NAME` off an address: `tls://9.9.9.9%dns.quad9.net:853` is `tls://9.9.9.9:853` and `dns.quad9.net`.
fn split_server_name(text: &str) -> (String, Option<String>) {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    let Some((host, behind)) = rest.rsplit_once('%') else { return (text.to_owned(), None) };
    let closing = if host.starts_with('[') { "]" } else { "" };
    let (server_name, port) = match behind.rsplit_once(':') {
        Some((server_name, port)) => (server_name, format!(":{port}")),
        None => (behind, String::new()),
    };
    let server_name = server_name.strip_suffix(']').unwrap_or(server_name);
    (format!("{scheme}{host}{closing}{port}"), Some(server_name.to_owned()).filter(|name| !name.is_empty()))
}

/// The upstreams in order, each address once. `resolved` has the addresses of the host names, in their order.
pub(crate) fn targets(destinations: &[Destination], resolved: &[Vec<IpAddr>]) -> Result<Vec<Target>, String> {
    let mut all: Vec<Target> = Vec::new();
    let mut resolved = resolved.iter();
    for destination in destinations {
        let new = match destination {
            Destination::Addresses(targets) => targets.clone(),
            Destination::Host(host) => resolved.next().into_iter().flatten().map(|ip| host.target(*ip)).collect(),
        };
        for target in new {
            if all.iter().all(|known| known.label != target.label) {
                all.push(target);
            }
            if all.len() > UPSTREAMS_MAX {
                return Err(format!("more than {UPSTREAMS_MAX} upstream addresses"));
            }
        }
    }
    Ok(all)
}

fn fault(message: String, span: Span) -> Diagnostic {
    Diagnostic::error(message).with_span(span)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_server_name_behind_a_percent_sign_is_taken_off() {
        for (text, address, name) in [
            ("9.9.9.9", "9.9.9.9", None),
            ("tls://9.9.9.9%dns.quad9.net", "tls://9.9.9.9", Some("dns.quad9.net")),
            ("tls://9.9.9.9%dns.quad9.net:853", "tls://9.9.9.9:853", Some("dns.quad9.net")),
            ("tls://[2620:fe::fe%dns.quad9.net]:853", "tls://[2620:fe::fe]:853", Some("dns.quad9.net")),
            ("[fe80::1%eth0]:53", "[fe80::1]:53", Some("eth0")),
        ] {
            assert_eq!(split_server_name(text), (address.to_owned(), name.map(str::to_owned)), "{text}");
        }
    }

    fn addresses(labels: impl IntoIterator<Item = String>) -> Destination {
        Destination::Addresses(
            labels.into_iter().map(|label| Target { label, speech: Speech::Plain, server_name: None }).collect(),
        )
    }

    #[test]
    fn each_address_is_taken_once_at_its_first_place() {
        let words = [addresses(["b".into(), "a".into()]), addresses(["a".into(), "c".into(), "b".into()])];
        let labels: Vec<_> = targets(&words, &[]).unwrap().into_iter().map(|target| target.label).collect();
        assert_eq!(labels, ["b", "a", "c"]);
    }

    #[test]
    fn the_number_of_upstreams_has_an_edge() {
        let words = |count: usize| [addresses((0..count).map(|n| n.to_string()))];
        assert_eq!(targets(&words(UPSTREAMS_MAX), &[]).unwrap().len(), UPSTREAMS_MAX);
        assert_eq!(targets(&words(UPSTREAMS_MAX + 1), &[]).unwrap_err(), "more than 256 upstream addresses");
    }
}
