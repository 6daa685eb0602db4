//! *metadata* switches the labels of queries on.
//!
//! Whoever knows something about a query (`Setup::labels`, `Query::set_label`) and whoever wants to know it (`Query::label`) meet in the
//! core. A value is made when somebody asks for it; this plugin says for which names that happens.

use catena_core::prelude::*;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("metadata", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let mut words = cx.cursor();
    words.next();
    let zones = Zones::from_args_or_block(&words.remaining_args(), cx.zones());
    // Neither a block nor a second use.
    if words.next_block() || words.next() {
        return Err(words.arg_err());
    }
    cx.block_settings().label_zones = Some(zones);
    // CoreDNS: plugin/metadata is a handler. A block that has nothing else answers SERVFAIL and not REFUSED.
    cx.link(Pass);
    Ok(())
}

struct Pass;

#[async_trait]
impl Plugin for Pass {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        next.run(q).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::borrow::Cow;
    use std::sync::Arc;

    use catena_core::{Fixed, Labels, flags};
    use catena_testkit::{Kit, Recipe, check_config};

    use super::*;

    /// Knows the label `tell/name` of every query and sets `tell/set`; AD shows the first, CD the second.
    const TELL: PluginDef = PluginDef::new("tell", |cx: &mut Setup<'_>| {
        cx.labels(Arc::new(Known));
        cx.link(Fixed(|q: &mut Query| {
            q.set_label("tell/set", |_| String::new());
            let (known, set) = (q.label("tell/name").is_some(), q.label("tell/set").is_some());
            let mut answer = Answer::to(q);
            answer.set(flags::AD, known);
            answer.set(flags::CD, set);
            answer.into()
        }));
        Ok(())
    });

    struct Known;

    impl Labels for Known {
        fn names(&self) -> &[&'static str] {
            &["tell/name"]
        }

        fn label<'a>(&'a self, name: &str, _: &'a Query) -> Option<Cow<'a, str>> {
            (name == "tell/name").then_some(Cow::Borrowed("known"))
        }
    }

    /// Whether a query for the name has the label that is known, and the one that is set.
    fn labels(kit: &Kit, name: &str) -> (bool, bool) {
        let seen = kit.ask_for(&format!("{name} A"));
        (seen.flags.contains(&"ad"), seen.flags.contains(&"cd"))
    }

    #[test]
    fn without_it_no_query_has_labels() {
        assert_eq!(labels(&Kit::of([PLUGIN, TELL], "tell"), "a.example.org"), (false, false));
    }

    #[test]
    fn its_zones_are_those_of_the_block_unless_it_names_others() {
        let kit = Kit::of([PLUGIN, TELL], "metadata\ntell");
        assert_eq!(labels(&kit, "a.example.org"), (true, true));
        let kit = Kit::of([PLUGIN, TELL], "metadata Example.ORG 192.0.2.0/24\ntell");
        assert_eq!(labels(&kit, "a.EXAMPLE.org"), (true, true));
        assert_eq!(labels(&kit, "7.2.0.192.in-addr.arpa"), (true, true));
    }

    #[test]
    fn what_is_set_on_the_way_is_there_outside_of_the_zones_too() {
        let kit = Kit::of([PLUGIN, TELL], "metadata example.org\ntell");
        assert_eq!(labels(&kit, "a.example.net"), (false, true));
    }

    #[test]
    fn it_is_for_its_own_block_only() {
        let corefile = "example.org {\n metadata\n tell\n}\nexample.net {\n tell\n}\n";
        let kit = Recipe::new([PLUGIN, TELL], corefile).build().ok().unwrap();
        assert_eq!(labels(&kit, "a.example.org"), (true, true));
        assert_eq!(labels(&kit, "a.example.net"), (false, false));
    }

    #[test]
    fn alone_it_passes_on_to_nobody() {
        let seen = Kit::of([PLUGIN], "metadata").ask_for("a.example.org A");
        assert_eq!(seen.rcode, "SERVFAIL");
        assert_eq!(seen.error.as_deref(), Some("plugin/metadata: no next plugin found"));
    }

    #[test]
    fn a_block_and_a_second_use_are_errors() {
        let told = |line, word| {
            format!(
                "plugin/metadata: Corefile:{line} - Error during parsing: Wrong argument count or unexpected line ending after '{word}'"
            )
        };
        check_config([PLUGIN], "metadata {\n a\n}", &told(3, "a"));
        check_config([PLUGIN], "metadata example.org\nmetadata", &told(3, "metadata"));
    }
}
