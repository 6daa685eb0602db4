//! What the `ecs` directive says.

use std::net::IpAddr;

use catena_core::prelude::*;
use catena_core::{Query, Subnet};
use catena_gocompat::address::Cidr;

/// The most uses of *ecs* in a server block.
pub(crate) const RULES_MAX: usize = 64;
/// How much of a client's address is told, bits (RFC 7871 section 11.1).
const V4_BITS: u8 = 24;
const V6_BITS: u8 = 56;

const PROPERTIES: [&str; 6] = ["forward", "strip", "set", "override", "private", "net"];

/// How many bits of an address of each family may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bits {
    v4: u8,
    v6: u8,
}

impl Bits {
    const ALL: Self = Self { v4: 32, v6: 128 };

    /// The network, with at most so many bits.
    pub(crate) fn cut(self, subnet: Subnet) -> Subnet {
        subnet.cut(if subnet.address().is_ipv4() { self.v4 } else { self.v6 })
    }

    /// The network of a client.
    pub(crate) fn of_client(self, client: IpAddr) -> Subnet {
        self.cut(Subnet::new(client.to_canonical(), u8::MAX))
    }
}

/// What upstreams are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// What the client says, cut.
    Client(Bits),
    /// The client's address, cut.
    Address(Bits),
    /// Always the same.
    Fixed(Subnet),
    /// Nothing.
    Nothing,
}

/// One use of the directive.
#[derive(Debug)]
pub(crate) struct Rule {
    zones: Zones,
    pub(crate) told: Told,
    /// What the client says does not count.
    pub(crate) overrides: bool,
    /// Networks that mean nothing elsewhere are told as well.
    pub(crate) tells_private: bool,
    /// Only for clients in these networks; empty: all.
    nets: Vec<Cidr>,
}

impl Rule {
    /// Whether the rule is about this name.
    pub(crate) fn is_about(&self, q: &Query) -> bool {
        self.zones.longest(q.lower().as_slice(), q.question().labels()).is_some()
    }

    /// Whether upstreams may learn of this client.
    pub(crate) fn is_for(&self, client: IpAddr) -> bool {
        self.nets.is_empty() || self.nets.iter().any(|net| net.contains(client))
    }
}

/// Reads every use of the directive.
pub(crate) fn parse(cx: &Setup<'_>) -> Result<Vec<Rule>, Diagnostic> {
    let mut words = cx.cursor();
    let mut rules = Vec::new();
    while words.next() {
        if rules.len() == RULES_MAX {
            return Err(words.err(format!("more than {RULES_MAX} uses of ecs in one server block")));
        }
        rules.push(rule(&mut words, cx.zones())?);
    }
    Ok(rules)
}

fn rule(words: &mut Cursor<'_>, block: &Zones) -> Result<Rule, Diagnostic> {
    let zones = Zones::from_args_or_block(&words.remaining_args(), block);
    let name = words.clone();
    let mut told = None;
    let mut rule =
        Rule { zones, told: Told::Client(Bits::ALL), overrides: false, tells_private: false, nets: Vec::new() };
    while words.next_block() {
        match words.val() {
            property @ ("forward" | "strip" | "set") => {
                if told.is_some() {
                    return Err(words.err("only one of forward, strip and set"));
                }
                told = Some(told_by(words, property)?);
            }
            "override" => {
                words.no_more_args()?;
                rule.overrides = true;
            }
            "private" => {
                words.no_more_args()?;
                rule.tells_private = true;
            }
            "net" => {
                let nets = words.remaining_args();
                if nets.is_empty() {
                    return Err(words.arg_err());
                }
                for net in nets {
                    rule.nets.push(Cidr::parse_network(net).map_err(|error| words.err(error))?);
                }
            }
            _ => return Err(words.unknown_property(&PROPERTIES)),
        }
    }
    rule.told = told.unwrap_or(rule.told);
    if rule.overrides && !matches!(rule.told, Told::Address(_) | Told::Fixed(_)) {
        return Err(name.err("override is about set only"));
    }
    Ok(rule)
}

fn told_by(words: &mut Cursor<'_>, property: &str) -> Result<Told, Diagnostic> {
    let args = words.remaining_args();
    match (property, &args[..]) {
        ("forward", []) => Ok(Told::Client(Bits::ALL)),
        ("forward", [v4, v6]) => Ok(Told::Client(bits(words, v4, v6)?)),
        ("strip", []) => Ok(Told::Nothing),
        ("set", []) => Ok(Told::Address(Bits { v4: V4_BITS, v6: V6_BITS })),
        ("set", [v4, v6]) => Ok(Told::Address(bits(words, v4, v6)?)),
        ("set", [fixed]) => Ok(Told::Fixed(subnet(words, fixed)?)),
        _ => Err(words.arg_err()),
    }
}

fn bits(words: &Cursor<'_>, v4: &str, v6: &str) -> Result<Bits, Diagnostic> {
    let read = |text: &str, version: u8, most: u8| {
        let found = text.parse().ok().filter(|bits| (1..=most).contains(bits));
        found.ok_or_else(|| words.err(format!("the bits of IPv{version} are a number from 1 to {most}, not {text:?}")))
    };
    Ok(Bits { v4: read(v4, 4, 32)?, v6: read(v6, 6, 128)? })
}

/// `ADDRESS/BITS`, no bits set behind the first BITS.
fn subnet(words: &Cursor<'_>, text: &str) -> Result<Subnet, Diagnostic> {
    let parts = text.split_once('/').and_then(|(ip, bits)| Some((ip.parse().ok()?, bits.parse().ok()?)));
    let Some((address, bits)) = parts else {
        return Err(words.err(format!("invalid network {text:?}: not ADDRESS/BITS")));
    };
    let most = if IpAddr::is_ipv4(&address) { 32 } else { 128 };
    if !(1..=most).contains(&bits) {
        return Err(words.err(format!("invalid network {text:?}: the bits are a number from 1 to {most}")));
    }
    let subnet = Subnet::new(address, bits);
    if subnet.address() == address {
        return Ok(subnet);
    }
    Err(words.err(format!("invalid network {text:?}: bits are set behind the first {bits}; {subnet} has none")))
}
