//! Why *autopath* stands before *acl*, and *acl* before *cache* behind it.

#![allow(clippy::unwrap_used, missing_docs)]

use catena_core::PluginDef;
use catena_testkit::{Kit, Recipe, Seen};

/// The stock plugins in their order.
fn plugins() -> Vec<PluginDef> {
    catena_stock::stock().iter().copied().collect()
}

/// A search path of two zones; the name is in the second.
fn kit(body: &str) -> Kit {
    let world = "template IN ANY a.example.org {\n rcode NXDOMAIN\n authority \"a.example.org. 60 IN SOA ns admin 1 60 60 60 60\"\n }\n\
                 template IN A b.example.org {\n answer \"{{ .Name }} 60 IN A 192.0.2.7\"\n }";
    let corefile = format!(". {{\n autopath /resolv.conf\n{body}\n{world}\n}}\n");
    let recipe = Recipe::new(plugins(), &corefile).file("/resolv.conf", "search a.example.org b.example.org\n");
    recipe.build().unwrap_or_else(|errors| panic!("{}", errors[0].1))
}

fn asked(kit: &Kit) -> Seen {
    kit.ask_for("x.a.example.org A")
}

#[test]
fn autopath_stands_before_acl_so_that_a_search_path_leads_nobody_past_a_block() {
    assert_eq!(asked(&kit("")).answer.len(), 2, "the alias and the address");
    let seen = asked(&kit("acl b.example.org {\n block\n }"));
    assert_eq!((seen.rcode.as_str(), seen.answer.len()), ("REFUSED", 0));
}

#[test]
fn acl_stands_before_cache_so_that_what_a_search_path_found_for_others_is_not_given_away() {
    let kit = kit("acl b.example.org {\n allow net 10.0.0.0/8\n block\n }\n cache 60");
    assert_eq!(asked(&kit).answer.len(), 2);
    let stranger = kit.ask(&catena_testkit::Ask::new("x.a.example.org A").from("192.0.2.99:9"));
    assert_eq!((stranger.rcode.as_str(), stranger.answer.len()), ("REFUSED", 0));
}
