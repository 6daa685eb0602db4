//! What names are compared with, and what becomes of those that match: by text, as CoreDNS does, so that a pattern may end within a label.

use catena_core::name::owned;
use catena_gocompat::regexp::{Captures, Regexp};

/// What a name is compared with. All but expressions are in lower case.
#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    /// The whole name.
    Exact(String),
    /// Its beginning.
    Prefix(String),
    /// Its end.
    Suffix(String),
    /// Any part of it.
    Substring(String),
    /// An expression that matches anywhere in it.
    Regex(Regexp),
}

impl Pattern {
    /// Whether a name matches, given as lower-case text with its final dot.
    pub(crate) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(text) => name == text,
            Self::Prefix(text) => name.starts_with(text),
            Self::Suffix(text) => name.ends_with(text),
            Self::Substring(text) => name.contains(text),
            Self::Regex(regex) => regex.is_match(name),
        }
    }

    /// What a name becomes with `to` in place of what matches; `None` if it does not match.
    pub(crate) fn replaced(&self, name: &str, to: &str) -> Option<String> {
        match self {
            Self::Exact(text) => (name == text).then(|| to.to_owned()),
            Self::Prefix(text) => name.strip_prefix(text.as_str()).map(|rest| [to, rest].concat()),
            Self::Suffix(text) => name.strip_suffix(text.as_str()).map(|rest| [rest, to].concat()),
            Self::Substring(text) => name.contains(text.as_str()).then(|| name.replace(text.as_str(), to)),
            Self::Regex(regex) => Some(with_groups(to, &regex.captures(name)?)),
        }
    }
}

impl Pattern {
    /// The same where the case of the name does not matter; what is not replaced keeps its case. An expression has to see to that itself.
    pub(crate) fn replaced_in_any_case(&self, name: &str, to: &str) -> Option<String> {
        let lower = name.to_ascii_lowercase();
        match self {
            Self::Exact(_) => self.replaced(&lower, to),
            Self::Prefix(text) => lower.starts_with(text).then(|| [to, &name[text.len()..]].concat()),
            Self::Suffix(text) => lower.ends_with(text).then(|| [&name[..name.len() - text.len()], to].concat()),
            Self::Substring(text) => {
                let mut replaced = String::with_capacity(name.len());
                let mut end = 0;
                for (start, found) in lower.match_indices(text.as_str()) {
                    replaced.push_str(&name[end..start]);
                    replaced.push_str(to);
                    end = start + found.len();
                }
                replaced.push_str(&name[end..]);
                (end > 0).then_some(replaced)
            }
            Self::Regex(_) => self.replaced(name, to),
        }
    }
}

/// Puts the groups of a match in place of `{0}`, `{1}` and so on, one after the other: what a group brings in may be replaced by a later
/// one (CoreDNS: plugin/rewrite).
pub(crate) fn with_groups(to: &str, groups: &Captures<'_, '_>) -> String {
    let mut text = to.to_owned();
    for (index, (_, group)) in groups.groups().enumerate() {
        let place = format!("{{{index}}}");
        if text.contains(&place) {
            text = text.replace(&place, group);
        }
        if text.len() > TEXT_OCTETS_MAX {
            text.truncate(text.floor_char_boundary(TEXT_OCTETS_MAX));
            break;
        }
    }
    text
}

/// The longest text with groups put in, octets, at which it is cut; no name is that long, for each of its 255 octets takes four at most.
pub(crate) const TEXT_OCTETS_MAX: usize = 16 * 1024;

/// Lower case, and a final dot unless there is one. CoreDNS: `plugin.Name.Normalize`.
pub(crate) fn normal(name: &str) -> String {
    let mut text = name.to_lowercase();
    if !is_whole(&text) {
        text.push('.');
    }
    text
}

/// Whether the text ends in a dot that is not escaped.
fn is_whole(text: &str) -> bool {
    let Some(before) = text.strip_suffix('.') else { return false };
    let escapes = before.bytes().rev().take_while(|octet| *octet == b'\\').count();
    escapes % 2 == 0
}

/// The octets of a name in presentation form; `None` if it is none.
pub(crate) fn wire(text: &str) -> Option<Vec<u8>> {
    Some(owned(text)?.as_slice().to_vec())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_name_is_made_whole_and_lower() {
        for (name, told) in
            [("Foo", "foo."), ("foo.", "foo."), ("foo\\.", "foo\\.."), ("foo\\\\.", "foo\\\\."), ("", ".")]
        {
            assert_eq!(normal(name), told);
        }
    }

    #[test]
    fn what_matches_is_replaced() {
        let text = str::to_owned;
        for (pattern, name, to, told) in [
            (Pattern::Exact(text("a.org.")), "a.org.", "b.net.", Some("b.net.")),
            (Pattern::Exact(text("a.org.")), "x.a.org.", "b.net.", None),
            (Pattern::Prefix(text("a.")), "a.a.org.", "b.", Some("b.a.org.")),
            (Pattern::Suffix(text(".org.")), "org.org.org.", ".net.", Some("org.org.net.")),
            (Pattern::Suffix(text("rg.")), "a.org.", "x.", Some("a.ox.")),
            (Pattern::Substring(text("a.")), "a.a.org.", "b.", Some("b.b.org.")),
            (Pattern::Regex(Regexp::new("(a)|(b)").unwrap()), "xb.", "{2}{1}{0}.", Some("bb.")),
        ] {
            assert_eq!(pattern.replaced(name, to).as_deref(), told, "{name}");
            assert_eq!(pattern.matches(name), told.is_some(), "{name}");
        }
    }

    #[test]
    fn what_is_not_replaced_keeps_its_case() {
        let text = str::to_owned;
        for (pattern, told) in [
            (Pattern::Exact(text("www.cdn.org.")), "x"),
            (Pattern::Prefix(text("www.")), "xCdn.oRg."),
            (Pattern::Suffix(text(".org.")), "wWw.Cdnx"),
            (Pattern::Substring(text("w")), "xxx.Cdn.oRg."),
        ] {
            assert_eq!(pattern.replaced_in_any_case("wWw.Cdn.oRg.", "x").as_deref(), Some(told));
            assert_eq!(pattern.replaced_in_any_case("a.net.", "x"), None);
        }
    }

    #[test]
    fn groups_cannot_make_a_text_grow_without_end() {
        let regex = Regexp::new("(.*)(.*)").unwrap();
        let name = "{2}".repeat(60);
        let to = "{1}".repeat(400);
        let text = with_groups(&to, &regex.captures(&name).unwrap());
        assert_eq!(text.len(), TEXT_OCTETS_MAX);
    }
}
