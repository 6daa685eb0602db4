//! References to environment variables: `{%NAME%}`, then `{$NAME}`.

/// Most replacements in one word; a variable that names itself would never end.
pub const ENV_EXPANSIONS_MAX: usize = 1000;

/// Largest word in bytes that expansion may make.
pub const ENV_BYTES_MAX: usize = 1024 * 1024;

/// A word that expands without end or to more than [`ENV_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unbounded;

/// Expands the references of a word. Unset variables are empty; values are expanded, too; an empty or unclosed reference ends it.
/// CoreDNS: the parser of its Caddyfile package, which never comes back from a variable that names itself.
pub(crate) fn expand(word: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>, Unbounded> {
    if !word.contains("{%") && !word.contains("{$") {
        return Ok(None);
    }
    let word = replace(word.to_owned(), "{%", "%}", env)?;
    replace(word, "{$", "}", env).map(Some)
}

fn replace(
    mut word: String,
    open: &str,
    close: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<String, Unbounded> {
    for _ in 0..ENV_EXPANSIONS_MAX {
        let Some(start) = word.find(open) else { return Ok(word) };
        let Some(length) = word.get(start..).and_then(|rest| rest.find(close)) else { return Ok(word) };
        if length <= open.len() {
            return Ok(word);
        }
        let reference = word.get(start..start + length + close.len()).unwrap_or("").to_owned();
        let name = reference.get(open.len()..length).unwrap_or("");
        let value = env(name).unwrap_or_default();
        let count = word.matches(reference.as_str()).count();
        if word.len().saturating_add(count.saturating_mul(value.len())) > ENV_BYTES_MAX {
            return Err(Unbounded);
        }
        word = word.replace(reference.as_str(), &value);
    }
    if word.contains(open) { Err(Unbounded) } else { Ok(word) }
}

/// The names of the variables that a text refers to and that are not set, each once.
///
/// CoreDNS takes them for empty and says nothing; what is wrong then is told of an empty word.
pub fn unset_variables<'t>(text: &'t str, env: &dyn Fn(&str) -> Option<String>) -> Vec<&'t str> {
    let mut found = Vec::new();
    for (open, close) in [("{%", "%}"), ("{$", "}")] {
        for piece in text.split(open).skip(1) {
            let name = piece.split_once(close).map_or("", |(name, _)| name);
            if !name.is_empty() && !found.contains(&name) && env(name).is_none() {
                found.push(name);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn env(name: &str) -> Option<String> {
        let value = match name {
            "A" => "1",
            "NEST" => "<{$A}>",
            "SELF" => "{$SELF}",
            "GROW" => "{$GROW}{$GROW}",
            "BOTH" => "{%A%}",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn expanded(word: &str) -> String {
        expand(word, &env).unwrap().unwrap_or_else(|| word.to_owned())
    }

    #[test]
    fn both_spellings_are_expanded_wherever_they_stand() {
        assert_eq!(expanded("a{$A}b{%A%}c{$A}"), "a1b1c1");
    }

    #[test]
    fn unset_is_empty_and_values_are_expanded() {
        assert_eq!(expanded("[{$NO}]"), "[]");
        assert_eq!(expanded("{%NEST%}"), "<1>");
    }

    #[test]
    fn percent_goes_first_so_a_percent_reference_in_a_dollar_value_stays() {
        assert_eq!(expanded("{$BOTH}"), "{%A%}");
    }

    #[test]
    fn empty_and_unclosed_references_end_the_expansion_of_their_spelling() {
        assert_eq!(expanded("{$}{$A}"), "{$}{$A}");
        assert_eq!(expanded("{%%}{%A%}{$A}"), "{%%}{%A%}1");
        assert_eq!(expanded("{$A}{$OPEN"), "1{$OPEN");
        // `{%}` is no close of its own: the percent sign cannot open and close.
        assert_eq!(expanded("{%}"), "{%}");
    }

    #[test]
    fn variables_that_are_not_set_are_named_once() {
        assert_eq!(unset_variables("a {$NO} {$A} {%NEITHER%}:{$NO} {$} {%%} {$OPEN", &env), ["NEITHER", "NO"]);
    }

    #[test]
    fn what_never_ends_is_an_error() {
        assert_eq!(expand("{$SELF}", &env), Err(Unbounded));
        assert_eq!(expand("{$GROW}", &env), Err(Unbounded));
    }

    #[test]
    fn the_number_of_replacements_has_an_edge() {
        let count_down = |name: &str| {
            let n: usize = name.parse().ok()?;
            Some(if n <= 1 { "end".to_owned() } else { format!("{{${}}}", n - 1) })
        };
        let at = format!("{{${ENV_EXPANSIONS_MAX}}}");
        assert_eq!(expand(&at, &count_down), Ok(Some("end".to_owned())));
        let over = format!("{{${}}}", ENV_EXPANSIONS_MAX + 1);
        assert_eq!(expand(&over, &count_down), Err(Unbounded));
    }

    #[test]
    fn the_size_of_a_word_has_an_edge() {
        let fill = |name: &str| (name == "X").then(|| "x".repeat(ENV_BYTES_MAX - "{$X}".len()));
        assert!(expand("{$X}", &fill).is_ok());
        assert_eq!(expand("y{$X}", &fill), Err(Unbounded));
    }
}
