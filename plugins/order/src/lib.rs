//! *order* sets in which order the plugins of its server block see a query, where the fixed order is not what is wanted.

use catena_core::Linked;
use catena_core::prelude::*;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("order", setup);

/// A plugin named, and what is said if the block's queries do not pass it.
type Named = (String, Diagnostic);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let mut words = cx.cursor();
    let mut named: Vec<Named> = Vec::new();
    while words.next() {
        let before = named.len();
        while words.next_arg() {
            let word = words.val().to_owned();
            if word == "{" {
                return Err(words.arg_err());
            }
            if named.iter().any(|(known, _)| *known == word) {
                return Err(words.err(format!("'{word}' is named twice")));
            }
            let absent =
                words.err(format!("no query passes '{word}' in this server block")).with_label("not in the chain");
            named.push((word, absent));
        }
        if named.len() == before {
            return Err(words.arg_err());
        }
    }
    cx.block_settings().order = named.iter().map(|(name, _)| name.clone()).collect();
    cx.on_linked(move |linked| check(&named, linked));
    Ok(())
}

/// Every plugin named has to be a link of the chain: one that is misspelt, left out or answers no queries would be put nowhere.
fn check(named: &[Named], linked: &Linked<'_>) -> Result<(), Diagnostic> {
    let links = linked.link_names();
    match named.iter().find(|(name, _)| !links.contains(&name.as_str())) {
        None => Ok(()),
        Some((_, absent)) => Err(absent.clone().with_help(format!("queries pass, in this order: {}", links.join(" ")))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::PLUGIN;
    use catena_core::{Fixed, PluginDef, Query, Rcode, Reply, Setup};
    use catena_testkit::{Kit, check_config};

    macro_rules! link {
        ($name:literal) => {
            PluginDef::new($name, |cx: &mut Setup<'_>| {
                cx.link(Fixed(|_: &mut Query| Reply::status(Rcode::REFUSED)));
                Ok(())
            })
        };
    }

    const PLUGINS: [PluginDef; 6] =
        [PLUGIN, PluginDef::new("quiet", |_| Ok(())), link!("a"), link!("b"), link!("c"), link!("d")];

    fn order(body: &str) -> Vec<&'static str> {
        let kit = Kit::of(PLUGINS, body);
        kit.instance().blocks()[0].links.iter().map(|link| link.name).collect()
    }

    #[test]
    fn without_it_the_order_is_that_of_the_list() {
        assert_eq!(order("d\n c\n a"), ["a", "c", "d"]);
    }

    #[test]
    fn those_named_change_places_with_each_other_and_the_rest_stays() {
        assert_eq!(order("order d a\n a\n b\n c\n d"), ["d", "b", "c", "a"]);
        assert_eq!(order("order d\n order c b\n a\n b\n c\n d"), ["a", "d", "c", "b"]);
    }

    #[test]
    fn who_answers_first_is_who_comes_first() {
        assert_eq!(Kit::of(PLUGINS, "order d a\n a\n d").ask_for("example.org").by, "d");
    }

    #[test]
    fn a_plugin_that_no_query_passes_is_an_error() {
        for word in ["b", "quiet", "nonsense"] {
            let wrong = format!(
                "plugin/order: Corefile:2 - Error during parsing: no query passes '{word}' in this server block"
            );
            check_config(PLUGINS, &format!("order d {word}\n quiet\n a\n d"), &wrong);
        }
    }

    #[test]
    fn a_plugin_named_twice_and_none_named_are_errors() {
        check_config(
            PLUGINS,
            "order a d a\n a\n d",
            "plugin/order: Corefile:2 - Error during parsing: 'a' is named twice",
        );
        let wrong = "plugin/order: Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 'order'";
        check_config(PLUGINS, "order\n a", wrong);
        let wrong = "plugin/order: Corefile:2 - Error during parsing: Unexpected token '{', expecting argument";
        check_config(PLUGINS, "order {\n a\n }\n a", wrong);
    }
}
