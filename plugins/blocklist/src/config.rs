//! What the `blocklist` directive says.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use catena_core::corefile::Span;
use catena_core::name::{OwnedName, Zone};
use catena_core::prelude::*;
use catena_gocompat::address::Cidr;
use catena_gocompat::duration::GoDuration;

use crate::text::Form;

/// The most uses of *blocklist* in a server block.
pub(crate) const POLICIES_MAX: usize = 32;
/// The most lists of all uses in a server block, those of allowed names counted.
pub(crate) const LISTS_MAX: usize = 64;
/// The most addresses of `answer`.
pub(crate) const ADDRESSES_MAX: usize = 16;
/// The most primaries of a zone.
pub(crate) const PRIMARIES_MAX: usize = 8;
/// The longest time to live of answers, seconds.
const TTL_MAX: u32 = 86_400;
/// The time to live if the Corefile does not say, seconds.
const TTL: u32 = 60;
/// How often files are looked at if the Corefile does not say.
const RELOAD: Duration = Duration::from_secs(30);
const PROPERTIES: [&str; 8] = ["list", "rpz", "allow", "except", "answer", "ttl", "reload", "net"];

/// What a listed name is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BlockAnswer {
    NxDomain,
    NoData,
    Refused,
    Drop,
    /// Addresses for A and AAAA, no data for other types.
    Addresses(Vec<IpAddr>),
    /// An alias.
    Cname(OwnedName),
}

/// One use of the directive.
pub(crate) struct Policy {
    /// Names in these zones.
    zones: Zones,
    /// Clients in these networks; empty: all.
    nets: Vec<Cidr>,
    /// Names in these zones are never blocked.
    except: Zones,
    /// Lists that block, in the order of the Corefile.
    pub(crate) lists: Vec<ListSpec>,
    /// Lists of names that are not blocked.
    pub(crate) allow: Vec<ListSpec>,
    pub(crate) answer: BlockAnswer,
    /// The time to live of answers, seconds.
    pub(crate) ttl: u32,
    /// How often files are looked at; `None`: once.
    pub(crate) reload: Option<Duration>,
}

/// A list as the Corefile has it.
pub(crate) struct ListSpec {
    /// What metrics and log call it.
    pub(crate) name: String,
    pub(crate) origin: Origin,
    /// An error at its place.
    pub(crate) at: Diagnostic,
    pub(crate) span: Option<Span>,
}

/// Where a list comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    File { path: PathBuf, form: Form },
    ZoneFile { path: PathBuf, zone: Zone },
    Primary { zone: Zone, primaries: Vec<SocketAddr>, key: Option<OwnedName> },
}

impl Origin {
    /// The file, if it is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } | Self::ZoneFile { path, .. } => Some(path),
            Self::Primary { .. } => None,
        }
    }
}

impl Policy {
    /// Whether it is about this name and this client.
    pub(crate) fn holds_for(&self, q: &Query, client: IpAddr) -> bool {
        let (lower, labels) = (q.lower().as_slice(), q.question().labels());
        self.zones.longest(lower, labels).is_some()
            && self.except.longest(lower, labels).is_none()
            && (self.nets.is_empty() || self.nets.iter().any(|net| net.contains(client)))
    }
}

/// Reads every use of the directive.
pub(crate) fn parse(cx: &Setup<'_>) -> Result<Vec<Policy>, Diagnostic> {
    let mut words = cx.cursor();
    let mut policies: Vec<Policy> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    while words.next() {
        if policies.len() == POLICIES_MAX {
            return Err(words.err(format!("more than {POLICIES_MAX} blocklists in one server block")));
        }
        let args = words.remaining_args();
        let at = words.clone();
        let mut policy = Policy {
            zones: Zones::from_args_or_block(&args, cx.zones()),
            nets: Vec::new(),
            except: Zones::default(),
            lists: Vec::new(),
            allow: Vec::new(),
            answer: BlockAnswer::NxDomain,
            ttl: TTL,
            reload: Some(RELOAD),
        };
        while words.next_block() {
            property(&mut words, &mut policy, cx)?;
        }
        if policy.lists.is_empty() {
            return Err(at.err("no list: `list FILE` or `rpz ZONE FILE` is expected"));
        }
        for list in policy.lists.iter().chain(&policy.allow) {
            if names.contains(&list.name) {
                let mut error = list.at.clone();
                error.message = format!("two lists are called {:?}", list.name);
                return Err(error.with_help("give one of them another name: `as NAME`"));
            }
            names.push(list.name.clone());
        }
        if names.len() > LISTS_MAX {
            return Err(at.err(format!("more than {LISTS_MAX} lists in one server block")));
        }
        policies.push(policy);
    }
    Ok(policies)
}

fn property(words: &mut Cursor<'_>, policy: &mut Policy, cx: &Setup<'_>) -> Result<(), Diagnostic> {
    match words.val() {
        "list" => policy.lists.push(list(words, cx)?),
        "allow" => policy.allow.push(list(words, cx)?),
        "rpz" => policy.lists.push(rpz(words, cx)?),
        "except" => {
            let args = some_args(words)?;
            let zones = Zones::from_args(args.iter().copied());
            if zones.is_empty() {
                return Err(words.err(format!("no valid name: {}", args.join(" "))));
            }
            policy.except = policy.except.iter().chain(zones.iter()).cloned().collect();
        }
        "answer" => policy.answer = answer(words)?,
        "ttl" => {
            let text = words.one_arg()?;
            let ttl = text.parse().ok().filter(|ttl| *ttl <= TTL_MAX);
            policy.ttl = ttl.ok_or_else(|| words.err(format!("ttl must be in range [0, {TTL_MAX}]: {text}")))?;
        }
        "reload" => policy.reload = reload(words)?,
        "net" => {
            for text in some_args(words)? {
                policy.nets.push(Cidr::parse_network(text).map_err(|error| words.err(error))?);
            }
        }
        _ => return Err(words.unknown_property(&PROPERTIES)),
    }
    Ok(())
}

fn some_args<'a>(words: &mut Cursor<'a>) -> Result<Vec<&'a str>, Diagnostic> {
    let args = words.remaining_args();
    if args.is_empty() { Err(words.arg_err()) } else { Ok(args) }
}

/// `FILE [auto|hosts|plain] [as NAME]`.
fn list(words: &mut Cursor<'_>, cx: &Setup<'_>) -> Result<ListSpec, Diagnostic> {
    if !words.next_arg() {
        return Err(words.arg_err());
    }
    let (at, span) = (words.err(""), words.span());
    let path = cx.path(words.val());
    let mut name = base_name(&path);
    let mut form = Form::Auto;
    while words.next_arg() {
        match words.val() {
            "auto" => form = Form::Auto,
            "hosts" => form = Form::Hosts,
            "plain" => form = Form::Plain,
            "rpz" => return Err(words.err("a response policy zone has a name: `rpz ZONE FILE`")),
            "as" => name = word_behind(words)?.to_owned(),
            _ => return Err(words.syntax_err("auto, hosts, plain or as")),
        }
    }
    Ok(ListSpec { name, origin: Origin::File { path, form }, at, span })
}

/// `ZONE FILE [as NAME]` or `ZONE from ADDRESS... [key NAME] [as NAME]`.
fn rpz(words: &mut Cursor<'_>, cx: &Setup<'_>) -> Result<ListSpec, Diagnostic> {
    let zone = word_behind(words)?;
    let zone = Zone::parse(zone).ok_or_else(|| words.err(format!("not a zone: {zone:?}")))?;
    let mut name = zone.text().trim_end_matches('.').to_owned();
    let from = word_behind(words)?;
    let (at, span) = (words.err(""), words.span());
    let mut primaries = Vec::new();
    let mut key = None;
    while words.next_arg() {
        match words.val() {
            "as" => name = word_behind(words)?.to_owned(),
            "key" if from == "from" => {
                let text = word_behind(words)?;
                let found = Zone::parse(text).ok_or_else(|| words.err(format!("not the name of a key: {text:?}")))?;
                key = Some(found.name().clone());
            }
            text if from == "from" => {
                primaries.push(primary(text).ok_or_else(|| words.err(format!("not an IP address: {text:?}")))?);
            }
            _ => return Err(words.syntax_err("as")),
        }
    }
    if from != "from" {
        return Ok(ListSpec { name, origin: Origin::ZoneFile { path: cx.path(from), zone }, at, span });
    }
    if primaries.is_empty() || primaries.len() > PRIMARIES_MAX {
        return Err(words.err(format!("one to {PRIMARIES_MAX} addresses are expected behind 'from'")));
    }
    Ok(ListSpec { name, origin: Origin::Primary { zone, primaries, key }, at, span })
}

fn word_behind<'a>(words: &mut Cursor<'a>) -> Result<&'a str, Diagnostic> {
    if words.next_arg() { Ok(words.val()) } else { Err(words.arg_err()) }
}

/// An address with or without a port; 53 by default.
fn primary(text: &str) -> Option<SocketAddr> {
    let with_port = || text.parse::<SocketAddr>().ok();
    text.parse::<IpAddr>().ok().map(|ip| (ip, 53).into()).or_else(with_port)
}

fn base_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn answer(words: &mut Cursor<'_>) -> Result<BlockAnswer, Diagnostic> {
    let args = some_args(words)?;
    Ok(match args[..] {
        ["nxdomain"] => BlockAnswer::NxDomain,
        ["nodata"] => BlockAnswer::NoData,
        ["refused"] => BlockAnswer::Refused,
        ["drop"] => BlockAnswer::Drop,
        ["null"] => BlockAnswer::Addresses(vec![[0; 4].into(), [0_u16; 8].into()]),
        ["cname", target] => {
            let zone = Zone::parse(target).ok_or_else(|| words.err(format!("not a name: {target:?}")))?;
            BlockAnswer::Cname(zone.name().clone())
        }
        _ => {
            let addresses: Result<Vec<IpAddr>, _> = args.iter().map(|text| text.parse()).collect();
            let expected = "nxdomain, nodata, refused, drop, null, cname NAME or addresses are expected";
            let addresses =
                addresses.map_err(|_| words.err(format!("unknown answer '{}'", args.join(" "))).with_help(expected))?;
            if addresses.len() > ADDRESSES_MAX {
                return Err(words.err(format!("more than {ADDRESSES_MAX} addresses")));
            }
            BlockAnswer::Addresses(addresses)
        }
    })
}

fn reload(words: &mut Cursor<'_>) -> Result<Option<Duration>, Diagnostic> {
    let text = words.one_arg()?;
    let span = GoDuration::parse(text).ok().and_then(GoDuration::to_std);
    let span = span.ok_or_else(|| words.err(format!("invalid duration for reload '{text}'")))?;
    Ok(Some(span).filter(|span| !span.is_zero()))
}
