//! From the name of a file to the zone in it.

use catena_core::name::Zone;
use catena_gocompat::regexp::Regexp;

/// A pattern for names of files, and the zone that it makes of one.
pub(crate) struct Pattern {
    pub(crate) regexp: Regexp,
    /// A template in the form of Go's `Regexp.Expand`.
    template: String,
}

impl Pattern {
    /// A pattern with a template in which every `{` stands for `${` (CoreDNS: `auto.rewriteToExpand`).
    pub(crate) fn new(regexp: Regexp, template: &str) -> Self {
        Self { regexp, template: template.replace('{', "${") }
    }

    /// The zone in the file of this name, if it fits and the result is a name.
    pub(crate) fn zone_of(&self, file_name: &str) -> Option<Zone> {
        let captures = self.regexp.captures(file_name)?;
        let value = |group: &str| match group.parse() {
            Ok(index) => captures.get(index).unwrap_or(""),
            Err(_) => captures.name(group).unwrap_or(""),
        };
        let expanded = expand(&self.template, value);
        if expanded.is_empty() { None } else { Zone::parse(&expanded) }
    }
}

/// Puts values in the place of `$1`, `$name` and `${name}`; `$$` is a dollar, and so is one that nothing of these follows.
fn expand<'v>(template: &str, value: impl Fn(&str) -> &'v str) -> String {
    let is_word = |octet: &u8| octet.is_ascii_alphanumeric() || *octet == b'_';
    let mut expanded = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        expanded.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((group, after)) = rest.strip_prefix('{').and_then(|inner| inner.split_once('}'))
            && !group.is_empty()
            && group.bytes().all(|octet| is_word(&octet))
        {
            expanded.push_str(value(group));
            rest = after;
        } else {
            let len = rest.bytes().take_while(is_word).count();
            if len == 0 {
                expanded.push('$');
            } else {
                expanded.push_str(value(&rest[..len]));
                rest = &rest[len..];
            }
        }
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn zone(pattern: &str, template: &str, file: &str) -> String {
        let pattern = Pattern::new(Regexp::new(pattern).unwrap(), template);
        pattern.zone_of(file).map_or("-".to_owned(), |zone| zone.text().to_owned())
    }

    #[test]
    fn groups_of_the_pattern_make_the_zone() {
        assert_eq!(zone(r"db\.(.*)", "{1}", "db.Example.org"), "example.org.");
        assert_eq!(zone(r"(.*)-(.*)\.zone", "{2}.{1}", "org-example.zone"), "example.org.");
        assert_eq!(zone(r"(?P<name>.*)\.db", "{name}.$1", "a.db"), "a.a.");
    }

    #[test]
    fn a_file_whose_name_does_not_fit_has_no_zone() {
        assert_eq!(zone(r"db\.(.*)", "{1}", "example.org"), "-");
        assert_eq!(zone(r"db\.(.*)", "{1}", "db."), "-", "nothing is left");
        assert_eq!(zone(r"db\.(.*)", "{7}", "db.example.org"), "-", "no such group");
    }

    #[test]
    fn a_template_may_have_dollars_and_braces_of_its_own() {
        assert_eq!(expand("a$$b$-${x", |_| "v"), "a$b$-${x");
        assert_eq!(expand("$1x.$2", |group| if group == "1x" { "long" } else { "two" }), "long.two");
    }
}
