//! What the `secondary` directive says.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use catena_core::name::Zone;
use catena_core::prelude::*;
use catena_gocompat::address::{parse_ip, split_host_port};

/// The most primaries of one zone.
const PRIMARIES_MAX: usize = 64;

/// The directive as a whole.
pub(crate) struct Config {
    /// The zones, by name on the wire.
    pub(crate) zones: BTreeMap<Vec<u8>, Configured>,
    pub(crate) fall: Fallthrough,
}

/// One zone.
pub(crate) struct Configured {
    pub(crate) name: Zone,
    /// Where it is fetched from, in this order.
    pub(crate) primaries: Vec<SocketAddr>,
    /// The name of the key that requests are signed with, and where it stands.
    pub(crate) key: Option<(String, Diagnostic)>,
    pub(crate) catalog: Option<Allowed>,
}

/// Which members a catalog may have.
#[derive(Clone, Debug)]
pub(crate) enum Allowed {
    /// Any.
    Every,
    /// Those at or below these names.
    Below(Zones),
}

impl Allowed {
    /// Whether a zone of this name may be a member.
    pub(crate) fn has(&self, member: &Zone) -> bool {
        match self {
            Self::Every => true,
            Self::Below(zones) => zones.longest_for(member.name().for_slice()).is_some(),
        }
    }

    /// What both say together; any member wins.
    fn merged(self, other: Option<Self>) -> Self {
        match (self, other) {
            (own, None) => own,
            (Self::Below(own), Some(Self::Below(more))) => {
                Self::Below(own.iter().chain(more.iter()).cloned().collect())
            }
            _ => Self::Every,
        }
    }
}

/// Reads every use of the directive; what is said of a zone in several of them is taken together.
pub(crate) fn parse(cx: &Setup<'_>) -> Result<Config, Diagnostic> {
    let mut words = cx.cursor();
    let mut config = Config { zones: BTreeMap::new(), fall: Fallthrough::default() };
    while words.next() {
        let origins = Zones::from_args_or_block(&words.remaining_args(), cx.zones());
        let (mut primaries, mut key, mut catalog) = (Vec::new(), None, None);
        while words.next_block() {
            match words.val() {
                "transfer" => primaries.extend(transfer_from(&mut words)?),
                "key" => key = Some((words.one_arg()?.to_owned(), words.plain_err(""))),
                "catalog" => {
                    let allowed: Allowed = members(&mut words)?;
                    catalog = Some(allowed.merged(catalog));
                }
                "fallthrough" => config.fall = Fallthrough::from_args(&words.remaining_args()),
                _ => return Err(words.unknown_property(&["transfer", "key", "catalog", "fallthrough"])),
            }
        }
        if primaries.is_empty() {
            return Err(words.err("secondary zones require a transfer from property"));
        }
        for origin in origins.iter() {
            let zone = config.zones.entry(origin.wire().to_vec()).or_insert_with(|| Configured {
                name: origin.clone(),
                primaries: Vec::new(),
                key: None,
                catalog: None,
            });
            zone.primaries.extend(&primaries);
            if zone.primaries.len() > PRIMARIES_MAX {
                return Err(words.err(format!("more than {PRIMARIES_MAX} primaries for one zone")));
            }
            zone.key = key.clone().or(zone.key.take());
            zone.catalog = match catalog.clone() {
                Some(allowed) => Some(allowed.merged(zone.catalog.take())),
                None => zone.catalog.take(),
            };
        }
    }
    Ok(config)
}

fn transfer_from(words: &mut Cursor<'_>) -> Result<Vec<SocketAddr>, Diagnostic> {
    if !words.next_arg() {
        return Err(words.arg_err());
    }
    if words.val() != "from" {
        return Err(words.err(format!("unknown property {}", words.val())));
    }
    let args = words.remaining_args();
    if args.is_empty() {
        return Err(words.arg_err());
    }
    args.into_iter().map(|text| address(text).map_err(|error| words.plain_err(error))).collect()
}

/// An address with a port, 53 by default. A scheme is taken and has no effect (CoreDNS: `parse.HostPort`).
fn address(text: &str) -> Result<SocketAddr, String> {
    if text == "*" {
        return Err("can't use '*' in transfer from".to_owned());
    }
    let bare = text.strip_prefix("dns://").unwrap_or(text);
    if let Some(ip) = parse_ip(bare) {
        return Ok(SocketAddr::new(ip, 53));
    }
    let wrong = || format!("must specify an IP address: `{text}'");
    let (host, port) = split_host_port(bare).map_err(|_| wrong())?;
    let ip = parse_ip(host).ok_or_else(wrong)?;
    port.parse().map(|port| SocketAddr::new(ip, port)).map_err(|_| wrong())
}

fn members(words: &mut Cursor<'_>) -> Result<Allowed, Diagnostic> {
    let args = words.remaining_args();
    if args.is_empty() {
        return Ok(Allowed::Every);
    }
    let mut all = Vec::new();
    for arg in args {
        let zones = Zones::from_args([arg]);
        if zones.is_empty() {
            return Err(words.plain_err(format!("invalid catalog member zone {arg:?}")));
        }
        all.extend(zones.iter().cloned());
    }
    Ok(Allowed::Below(all.into_iter().collect()))
}
