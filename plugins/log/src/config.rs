//! What the `log` directive says.

use catena_core::prelude::*;
use catena_core::{LabelStarts, Span, Zone};

use crate::format::Format;

/// The line of web servers, as far as it has a meaning here. CoreDNS: plugin/log.
const COMMON: &str = r#"{remote}:{port} - {>id} "{type} {class} {name} {proto} {size} {>do} {>bufsize}" {rcode} {>rflags} {rsize} {duration}"#;
/// What `{combined}` adds to it.
const COMBINED_MORE: &str = r#" "{>opcode}""#;

/// A set of reply classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Classes(u8);

impl Classes {
    pub(crate) const ALL: Self = Self(1);
    pub(crate) const SUCCESS: Self = Self(2);
    pub(crate) const DENIAL: Self = Self(4);
    pub(crate) const ERROR: Self = Self(8);

    fn of_word(word: &str) -> Option<Self> {
        Some(match word {
            "all" => Self::ALL,
            "success" => Self::SUCCESS,
            "denial" => Self::DENIAL,
            "error" => Self::ERROR,
            _ => return None,
        })
    }

    /// Whether it has one of the other's.
    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// Which queries to log, and how.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Names in this zone; a word that is no name covers none.
    zone: Option<Zone>,
    /// Replies of these classes.
    pub(crate) classes: Classes,
    /// The line.
    pub(crate) format: Format,
    /// Where it stands in the Corefile, if it does.
    pub(crate) format_at: Option<Span>,
}

impl Rule {
    /// Whether a name is in the rule's zone.
    pub(crate) fn covers(&self, lower: &[u8], labels: &LabelStarts) -> bool {
        self.zone.as_ref().is_some_and(|zone| zone.holds(lower, labels))
    }
}

/// Reads every occurrence of the directive.
pub(crate) fn parse(mut words: Cursor<'_>) -> Result<Vec<Rule>, Diagnostic> {
    let mut rules = Vec::new();
    while words.next() {
        let mut args = words.remaining_tokens();
        let mut format = COMMON.to_owned();
        let mut format_at = None;
        // A single word is a name, whatever it looks like.
        if args.len() > 1
            && let Some(last) = args.pop_if(|last| last.text.contains('{'))
        {
            let combined = format!("{COMMON}{COMBINED_MORE}");
            format = last.text.replace("{common}", COMMON).replace("{combined}", &combined);
            format_at = Some(last.span);
        }
        let mut names: Vec<&str> = args.into_iter().map(|arg| &*arg.text).collect();
        if names.is_empty() {
            names.push(".");
        }
        let mut classes = Classes(0);
        while words.next_block() {
            if words.val() != "class" {
                return Err(words.unknown_property(&["class"]));
            }
            let args = words.remaining_args();
            if args.is_empty() {
                return Err(words.arg_err());
            }
            for arg in args {
                let class = Classes::of_word(arg);
                classes.0 |= class.ok_or_else(|| words.plain_err(format!("invalid Class: {arg}")))?.0;
            }
        }
        if classes == Classes(0) {
            classes = Classes::ALL;
        }
        let format = Format::parse(&format);
        let rule = |name| Rule { zone: Zone::parse(name), classes, format: format.clone(), format_at };
        rules.extend(names.into_iter().map(rule));
    }
    Ok(rules)
}
