//! What the `filter` directive says.

use catena_core::prelude::*;
use catena_gocompat::address::Cidr;

/// The most uses of *filter* in a server block.
pub(crate) const RULES_MAX: usize = 64;

/// One use of the directive.
#[derive(Debug, Default)]
pub(crate) struct Rule {
    /// The types that are left out.
    pub(crate) types: Vec<Rtype>,
    /// Names in these zones; by default those of the server block.
    zones: Zones,
    /// Names in these zones are left alone.
    except: Zones,
    /// Clients in these networks; empty: all.
    nets: Vec<Cidr>,
    /// Only where the name has the other address type as well.
    pub(crate) one_of_two: bool,
}

impl Rule {
    /// Whether the rule is about this name and this client.
    pub(crate) fn holds_for(&self, q: &Query) -> bool {
        let (lower, labels) = (q.lower().as_slice(), q.question().labels());
        let is_client = || self.nets.is_empty() || self.nets.iter().any(|net| net.contains(q.client().ip()));
        self.zones.longest(lower, labels).is_some() && self.except.longest(lower, labels).is_none() && is_client()
    }
}

/// Reads every use of the directive.
pub(crate) fn parse(cx: &Setup<'_>) -> Result<Vec<Rule>, Diagnostic> {
    let mut words = cx.cursor();
    let mut rules = Vec::new();
    while words.next() {
        if rules.len() == RULES_MAX {
            return Err(words.err(format!("more than {RULES_MAX} filters in one server block")));
        }
        rules.push(rule(&mut words, cx.zones())?);
    }
    Ok(rules)
}

fn rule(words: &mut Cursor<'_>, block: &Zones) -> Result<Rule, Diagnostic> {
    let mut rule = Rule { zones: block.clone(), ..Rule::default() };
    for word in words.remaining_tokens() {
        rule.types.push(filterable(&word.text).ok_or_else(|| {
            let error = Diagnostic::error(format!("cannot filter the type {:?}", &*word.text)).at(word);
            error.named(words.file()).positioned().with_help("types such as AAAA, A, HTTPS, TXT; not SOA, ANY or AXFR")
        })?);
    }
    if rule.types.is_empty() {
        return Err(words.arg_err());
    }
    while words.next_block() {
        match words.val() {
            "zones" => rule.zones = some_zones(words)?,
            "except" => rule.except = some_zones(words)?,
            "net" => {
                let nets = words.remaining_tokens();
                if nets.is_empty() {
                    return Err(words.arg_err());
                }
                for word in nets {
                    rule.nets.push(Cidr::parse_network(&word.text).map_err(|error| words.err(error))?);
                }
            }
            "one_of_two" => {
                words.no_more_args()?;
                rule.one_of_two = true;
            }
            _ => return Err(words.unknown_property(&["zones", "except", "net", "one_of_two"])),
        }
    }
    if rule.one_of_two && !rule.types.iter().all(|rtype| matches!(*rtype, Rtype::A | Rtype::AAAA)) {
        return Err(words.err("one_of_two is about A and AAAA only"));
    }
    Ok(rule)
}

fn some_zones(words: &mut Cursor<'_>) -> Result<Zones, Diagnostic> {
    let args = words.remaining_args();
    if args.is_empty() {
        return Err(words.arg_err());
    }
    let zones = Zones::from_args(args.iter().copied());
    if zones.is_empty() { Err(words.err(format!("no valid zone: {}", args.join(" ")))) } else { Ok(zones) }
}

/// A type that names can go without. Meta types are none (RFC 6895 section 3.1), and no zone goes without its SOA.
fn filterable(word: &str) -> Option<Rtype> {
    let rtype: Rtype = word.to_ascii_uppercase().parse().ok()?;
    let is_meta = matches!(rtype.to_int(), 0 | 41 | 128..=255);
    (!is_meta && rtype != Rtype::SOA && rtype != Rtype::CNAME && rtype != Rtype::DNAME).then_some(rtype)
}
