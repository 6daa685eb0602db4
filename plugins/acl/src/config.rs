//! What the `acl` directive says: one [`Rule`] for each of its occurrences.

use catena_core::corefile::Token;
use catena_core::metrics::type_named;
use catena_core::prelude::*;
use catena_gocompat::address::Cidr;
use catena_gocompat::quote::quote;

use crate::metrics::Verdict;
use crate::networks::{NETWORKS_MAX, Networks};
use crate::{Action, Policy, Rule, Types};

/// The most policies of one `acl`: all of them may be looked at for a query.
pub(crate) const POLICIES_MAX: usize = 10_000;
const ACTIONS: [&str; 4] = ["allow", "block", "filter", "drop"];

/// Reads every `acl` of the block.
pub(crate) fn parse(cx: &Setup<'_>) -> Result<Vec<Rule>, Diagnostic> {
    let mut words = cx.cursor();
    let mut rules = Vec::new();
    while words.next() {
        let zones = Zones::from_args_or_block(&words.remaining_args(), cx.zones());
        let mut policies = Vec::new();
        while words.next_block() {
            if policies.len() == POLICIES_MAX {
                return Err(words.err(format!("more than {POLICIES_MAX} policies")));
            }
            policies.push(policy(&mut words)?);
        }
        rules.push(Rule { zones, policies });
    }
    Ok(rules)
}

fn policy(words: &mut Cursor<'_>) -> Result<Policy, Diagnostic> {
    let action = match words.val().to_ascii_lowercase().as_str() {
        "allow" => Action::Allow,
        "block" => Action::Refuse(Verdict::Block),
        "filter" => Action::Refuse(Verdict::Filter),
        "drop" => Action::Refuse(Verdict::Drop),
        _ => {
            let told = format!("unexpected token {}; expect 'allow', 'block', 'filter' or 'drop'", quote(words.val()));
            return Err(words.with_nearest(words.err(told), &ACTIONS));
        }
    };
    let tokens = words.remaining_tokens();
    let fault = |token: &Token, told: String| words.err(told).with_span(token.span);
    let (mut types, mut networks) = (Section::default(), Section::default());
    let mut rest = &tokens[..];
    while let [keyword, behind @ ..] = rest {
        let Some(section) = section_of(keyword) else {
            return Err(fault(keyword, format!("unexpected token {}; expect 'type | net'", quote(&keyword.text))));
        };
        let len = behind.iter().position(|token| section_of(token).is_some()).unwrap_or(behind.len());
        let values;
        (values, rest) = behind.split_at(len);
        if values.is_empty() {
            return Err(fault(keyword, format!("no token specified in {} section", quote(section))));
        }
        if section == "type" {
            types.read(values, legal_type, fault)?;
        } else {
            networks.read(values, network, fault)?;
            if networks.values.len() > NETWORKS_MAX {
                return Err(fault(keyword, format!("more than {NETWORKS_MAX} networks in a policy")));
            }
        }
    }
    Ok(Policy { action, types: types_of(types), networks: networks_of(networks) })
}

fn section_of(token: &Token) -> Option<&'static str> {
    ["type", "net"].into_iter().find(|keyword| token.text.eq_ignore_ascii_case(keyword))
}

fn legal_type(word: &str) -> Result<Rtype, String> {
    type_named(word).ok_or_else(|| format!("unexpected token {}; expect legal QTYPE", quote(word)))
}

/// A network, or one address.
fn network(word: &str) -> Result<Cidr, String> {
    let whole = match word {
        _ if word.contains('/') => word.to_owned(),
        _ if word.contains(':') => format!("{word}/128"),
        _ => format!("{word}/32"),
    };
    Cidr::parse(&whole).map_err(|_| format!("illegal CIDR notation {}", quote(&whole)))
}

/// The values of all sections of one kind.
struct Section<T> {
    given: bool,
    /// A `*` was among them.
    every: bool,
    values: Vec<T>,
}

impl<T> Default for Section<T> {
    fn default() -> Self {
        Self { given: false, every: false, values: Vec::new() }
    }
}

impl<T> Section<T> {
    /// Reads one section up to a `*`; what stands behind that is not looked at (CoreDNS: plugin/acl).
    fn read(
        &mut self,
        tokens: &[&Token],
        one: impl Fn(&str) -> Result<T, String>,
        fault: impl Fn(&Token, String) -> Diagnostic,
    ) -> Result<(), Diagnostic> {
        self.given = true;
        for token in tokens {
            if &*token.text == "*" {
                self.every = true;
                break;
            }
            self.values.push(one(&token.text).map_err(|told| fault(token, told))?);
        }
        Ok(())
    }
}

fn types_of(section: Section<Rtype>) -> Types {
    // CoreDNS: plugin/acl takes the type `None` for all types.
    if !section.given || section.every || section.values.contains(&Rtype::from_int(0)) {
        return Types::Every;
    }
    let mut types = section.values;
    types.sort_unstable();
    types.dedup();
    Types::These(types)
}

fn networks_of(section: Section<Cidr>) -> Option<Networks> {
    (section.given && !section.every).then(|| Networks::of(&section.values))
}
