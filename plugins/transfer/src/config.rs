//! What the `transfer` directives of a server block say.

use std::net::{IpAddr, SocketAddr};

use catena_core::prelude::*;
use catena_core::{LabelStarts, Zone};
use catena_gocompat::address::{Cidr, canonical, join_host_port, parse_ip, split_host_port};
use catena_gocompat::quote::quote;

/// The port of targets without one.
const DEFAULT_PORT: &str = "53";

/// Who may take a zone, and who is told of its changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Everybody; nobody is told.
    Everybody,
    /// All of a network; nobody is told.
    Network(Cidr),
    /// One address, whatever its port; it is told at this one.
    Host(SocketAddr),
}

impl Target {
    fn parse(words: &Cursor<'_>, word: &str) -> Result<Self, Diagnostic> {
        if word == "*" {
            return Ok(Self::Everybody);
        }
        if word.split_once('/').is_some_and(|(address, _)| parse_ip(address).is_some()) {
            let network = Cidr::parse(word).map_err(|error| words.plain_err(error.to_string()))?;
            return Ok(Self::Network(network));
        }
        // CoreDNS: plugin/pkg/parse `HostPort`.
        let (host, port) = split_host_port(word).unwrap_or((word, DEFAULT_PORT));
        let port = if port.is_empty() { DEFAULT_PORT } else { port };
        let ip = parse_ip(host).ok_or_else(|| words.plain_err(format!("must specify an IP address: `{host}'")))?;
        let port = port.parse().map_err(|_| words.plain_err(format!("invalid port: `{port}'")))?;
        Ok(Self::Host(SocketAddr::new(ip, port)))
    }

    fn admits(&self, client: IpAddr) -> bool {
        match self {
            Self::Everybody => true,
            Self::Network(network) => network.contains(client),
            Self::Host(host) => host.ip() == client,
        }
    }
}

/// One `transfer`.
#[derive(Debug)]
pub(crate) struct Stanza {
    zones: Zones,
    targets: Vec<Target>,
    /// The targets as CoreDNS shows them.
    pub(crate) shown: String,
    /// The address from which secondaries are told.
    pub(crate) source: Option<IpAddr>,
    /// The name of the key that they are told with, and where it stands.
    pub(crate) key: Option<(String, Diagnostic)>,
}

impl Stanza {
    /// Whether a client may take the zones.
    pub(crate) fn admits(&self, client: IpAddr) -> bool {
        let client = canonical(client);
        self.targets.iter().any(|target| target.admits(client))
    }

    /// Who is told of changes.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.targets.iter().filter_map(|target| if let Target::Host(host) = target { Some(*host) } else { None })
    }
}

/// Every `transfer` of a server block.
#[derive(Debug)]
pub(crate) struct Stanzas(Vec<Stanza>);

impl Stanzas {
    /// The stanza for a lower-case name: that of the longest zone, of equal ones the first.
    pub(crate) fn find(&self, lower: &[u8], labels: &LabelStarts) -> Option<&Stanza> {
        self.0.get(self.position(lower, labels)?)
    }

    /// The place of that stanza among all of them.
    pub(crate) fn position(&self, lower: &[u8], labels: &LabelStarts) -> Option<usize> {
        let mut found: Option<(usize, &Zone)> = None;
        for (at, stanza) in self.0.iter().enumerate() {
            let Some(zone) = stanza.zones.longest(lower, labels) else { continue };
            if found.is_none_or(|(_, before)| zone.labels() > before.labels()) {
                found = Some((at, zone));
            }
        }
        found.map(|(at, _)| at)
    }

    /// All of them, in the order of the Corefile.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Stanza> {
        self.0.iter()
    }
}

/// Reads every occurrence of the directive.
pub(crate) fn parse(cx: &Setup<'_>) -> Result<Stanzas, Diagnostic> {
    let mut words = cx.cursor();
    let mut stanzas = Vec::new();
    while words.next() {
        let zones = Zones::from_args_or_block(&words.remaining_args(), cx.zones());
        let (mut targets, mut shown, mut source, mut key) = (Vec::new(), Vec::new(), None, None);
        while words.next_block() {
            match words.val() {
                "to" => {
                    let args = words.remaining_tokens();
                    if args.is_empty() {
                        return Err(words.arg_err());
                    }
                    for arg in args {
                        let target = Target::parse(&words, &arg.text).map_err(|error| error.with_span(arg.span))?;
                        shown.push(text(&target, &arg.text));
                        targets.push(target);
                    }
                }
                "source" => read_source(&mut words, &mut source)?,
                "key" if key.is_some() => return Err(inner(words.err("key already specified"))),
                "key" => key = Some((words.one_arg()?.to_owned(), words.plain_err(""))),
                word => {
                    let unknown = words.err(format!("unknown property {}", quote(word)));
                    return Err(inner(words.with_nearest(unknown, &["to", "source", "key"])));
                }
            }
        }
        if targets.is_empty() {
            return Err(inner(words.err("'to' is required")));
        }
        stanzas.push(Stanza { zones, targets, shown: format!("[{}]", shown.join(" ")), source, key });
    }
    Ok(Stanzas(stanzas))
}

fn read_source(words: &mut Cursor<'_>, source: &mut Option<IpAddr>) -> Result<(), Diagnostic> {
    let args = words.remaining_args();
    let [word] = args[..] else { return Err(words.arg_err()) };
    if source.is_some() {
        return Err(inner(words.err("source already specified")));
    }
    let ip = parse_ip(word).ok_or_else(|| inner(words.err(format!("invalid source address {}", quote(word)))))?;
    *source = Some(ip);
    Ok(())
}

/// CoreDNS: plugin/transfer/setup.go puts its name in front of some errors twice.
fn inner(error: Diagnostic) -> Diagnostic {
    error.with_prefix("transfer")
}

fn text(target: &Target, word: &str) -> String {
    match target {
        Target::Host(host) => join_host_port(&host.ip().to_string(), &host.port().to_string()),
        _ => word.to_owned(),
    }
}
