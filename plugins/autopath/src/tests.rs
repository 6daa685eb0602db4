#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::IpAddr;
use std::sync::Arc;

use catena_core::prelude::*;
use catena_core::{AutoPath, Body, Class, Fixed, Log, OwnedName, name};
use catena_testkit::{Ask, Kit, Recipe, Seen, check_config};
use domain::base::Name;

use super::PLUGIN;
use crate::config::SEARCH_MAX;

/// Answers as the first label of the name says, but only below `two.example.org.` if the label ends in `2` and so on; logs each name.
const BELOW: PluginDef = PluginDef::new("below", |cx| {
    let log = cx.log();
    cx.link(Fixed(move |q: &mut Query| answer(q, &log)));
    Ok(())
});

fn answer(q: &mut Query, log: &Log) -> Reply {
    let asked = q.name().to_string();
    log.info(&asked);
    let (first, zone) = asked.split_once('.').unwrap_or((&asked, ""));
    let there = match first.bytes().last() {
        Some(b'1') => "one.example.org",
        Some(b'2') => "two.example.org",
        _ => "",
    };
    let mut answer = Answer::to(q).authoritative();
    if !there.eq_ignore_ascii_case(zone) {
        return answer.with_rcode(Rcode::NXDOMAIN).into();
    }
    match &first[..first.len().min(4)] {
        "fail" => return Reply::fail(Error::ours("broken")),
        "bare" => return Reply::status(Rcode::REFUSED),
        "deny" => return answer.with_rcode(Rcode::REFUSED).into(),
        "drop" => return Reply::silence(),
        "none" => {}
        "alia" => {
            let target = name::owned("b2.two.example.org").unwrap();
            answer.push_wire(Section::Answer, q.name().as_slice(), Rtype::CNAME, Class::IN, 61, target.as_slice());
            answer.push_address(Section::Answer, &target, Class::IN, 62, [192, 0, 2, 9].into());
        }
        _ => answer.push_address(Section::Answer, q.name(), Class::IN, 60, [192, 0, 2, 1].into()),
    }
    answer.into()
}

/// Knows the path of one client: `knows NAME...`.
const KNOWS: PluginDef = PluginDef::new("knows", |cx| {
    let mut words = cx.cursor();
    words.next();
    let mut path: Vec<OwnedName> = words.remaining_args().iter().map(|word| name::owned(word).unwrap()).collect();
    path.push(Name::root_vec());
    cx.offer::<dyn AutoPath>(Arc::new(Knows(path)));
    Ok(())
});

struct Knows(Vec<OwnedName>);

impl AutoPath for Knows {
    fn search_path(&self, _: &Query, client: IpAddr) -> Option<Vec<OwnedName>> {
        (client == IpAddr::from([10, 0, 0, 1])).then(|| self.0.clone())
    }
}

const SEARCH: &str = "nameserver 192.0.2.53\nsearch One.example.org two.example.org\n";

fn kit(body: &str) -> Kit {
    let recipe = Recipe::new([PLUGIN, KNOWS, BELOW], &format!(". {{\n{body}\nbelow\n}}\n"));
    recipe.file("resolv.conf", SEARCH).build().ok().unwrap()
}

/// The names that were asked for further down since the last look.
fn asked(kit: &Kit) -> String {
    kit.log.take().iter().filter_map(|line| line.strip_prefix("[INFO] plugin/below: ")).collect::<Vec<_>>().join(" ")
}

fn answers(seen: &Seen) -> Vec<String> {
    seen.answer.iter().map(|line| line.replace(" IN ", " ")).collect()
}

fn successes(kit: &Kit) -> Option<f64> {
    kit.metric("coredns_autopath_success_total{server=\"dns://:53\"}")
}

#[test]
fn what_is_found_further_along_the_path_comes_behind_a_cname_record() {
    let kit = kit("autopath resolv.conf");
    let seen = kit.ask_for("B2.One.Example.org A");
    assert_eq!(
        answers(&seen),
        ["B2.One.Example.org. 60 CNAME B2.two.example.org.", "B2.two.example.org. 60 A 192.0.2.1"]
    );
    assert_eq!(asked(&kit), "B2.one.example.org B2.two.example.org");
    let seen = kit.ask_for("alias2.one.example.org A");
    let expected = [
        "alias2.one.example.org. 61 CNAME alias2.two.example.org.",
        "alias2.two.example.org. 61 CNAME b2.two.example.org.",
        "b2.two.example.org. 62 A 192.0.2.9",
    ];
    assert_eq!(answers(&seen), expected);
    assert_eq!(successes(&kit), Some(2.0));
}

#[test]
fn what_is_found_under_the_name_itself_stays_as_it_is_and_counts() {
    let kit = kit("autopath resolv.conf");
    assert_eq!(answers(&kit.ask_for("A1.One.Example.org A")), ["A1.one.example.org. 60 A 192.0.2.1"]);
    assert_eq!(successes(&kit), Some(1.0));
}

#[test]
fn the_name_alone_is_the_last_to_be_tried() {
    let kit = kit("autopath resolv.conf");
    let seen = kit.ask_for("c.one.example.org A");
    assert_eq!(asked(&kit), "c.one.example.org c.two.example.org c");
    assert_eq!(answers(&seen), ["c.one.example.org. 60 CNAME c.", "c. 60 A 192.0.2.1"]);
}

#[test]
fn a_name_without_records_of_the_type_ends_the_search_and_counts() {
    let kit = kit("autopath resolv.conf");
    let seen = kit.ask_for("none1.one.example.org A");
    assert_eq!((seen.rcode.as_str(), seen.answer.len(), asked(&kit).as_str()), ("NOERROR", 0, "none1.one.example.org"));
    assert_eq!(successes(&kit), Some(1.0));
}

#[test]
fn when_nothing_is_found_the_first_reply_is_the_reply() {
    let kit = kit("autopath resolv.conf");
    let seen = kit.ask_for("a.b1.one.example.org A");
    assert_eq!((seen.rcode.as_str(), seen.answer.len()), ("NXDOMAIN", 0));
    assert_eq!(asked(&kit), "a.b1.one.example.org a.b1.two.example.org a.b1");
    assert_eq!(kit.ask_for("bare1.one.example.org A").rcode, "REFUSED");
    assert_eq!(asked(&kit), "bare1.one.example.org bare1.two.example.org bare1");
    assert_eq!(successes(&kit), None);
}

#[test]
fn an_error_ends_the_search() {
    let kit = kit("autopath resolv.conf");
    let seen = kit.ask_for("fail2.one.example.org A");
    assert_eq!((seen.rcode.as_str(), seen.error.as_deref()), ("SERVFAIL", Some("broken")));
    assert_eq!(asked(&kit), "fail2.one.example.org fail2.two.example.org");
    assert_eq!(successes(&kit), None);
}

#[test]
fn what_stands_behind_judges_every_name() {
    let kit = kit("autopath resolv.conf");
    let seen = kit.ask_for("deny2.one.example.org A");
    assert_eq!((seen.rcode.as_str(), seen.flags.contains(&"aa")), ("REFUSED", true));
    assert!(kit.ask_for("drop2.one.example.org A").silent);
}

#[test]
fn names_outside_of_the_first_element_and_of_the_zones_pass() {
    let all = kit("autopath resolv.conf");
    for name in ["b2.two.example.org", "c", "example.org", "xone.example.org"] {
        all.ask_for(&format!("{name} A"));
        assert_eq!(asked(&all), name);
    }
    let some = kit("autopath Sub.one.example.org resolv.conf");
    assert_eq!(some.ask_for("b2.one.example.org A").rcode, "NXDOMAIN");
    some.ask_for("b2.sub.one.example.org A");
    assert_eq!(asked(&some), "b2.one.example.org b2.sub.one.example.org b2.sub.two.example.org b2.sub");
}

#[test]
fn the_first_element_itself_fails() {
    let seen = kit("autopath resolv.conf").ask_for("One.example.org A");
    let error = "trimzone: overshot qname: One.example.org.for zone one.example.org.";
    assert_eq!((seen.rcode.as_str(), seen.error.as_deref()), ("SERVFAIL", Some(error)));
}

#[test]
fn a_plugin_that_knows_clients_counts_before_the_file() {
    let kit = kit("autopath resolv.conf\nautopath @knows\nknows one.example.org x.example.org");
    kit.ask(&Ask::new("c1.b.one.example.org A").from("10.0.0.1:1"));
    assert_eq!(asked(&kit), "c1.b.one.example.org c1.b.x.example.org c1.b");
    kit.ask(&Ask::new("c1.b.one.example.org A").from("10.0.0.2:1"));
    assert_eq!(asked(&kit), "c1.b.one.example.org");
}

#[test]
fn a_name_that_becomes_too_long_is_left_out() {
    let long = format!("{0}.{0}.{0}", "y".repeat(63));
    let kit = kit(&format!("autopath @knows\nknows one.example.org {long}"));
    let name = format!("{}.b", "z".repeat(63));
    kit.ask(&Ask::new(&format!("{name}.one.example.org A")).from("10.0.0.1:1"));
    assert_eq!(asked(&kit), format!("{name}.one.example.org {name}"));
}

#[test]
fn the_question_is_as_before_for_those_above() {
    const ABOVE: PluginDef = PluginDef::new("above", |cx| {
        struct Above;
        #[async_trait]
        impl Plugin for Above {
            async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
                let reply = next.run(q).await;
                assert_eq!(q.name().to_string(), "B2.one.example.org");
                assert!(matches!(reply.body, Body::Answer(_)));
                reply
            }
        }
        cx.link(Above);
        Ok(())
    });
    let recipe = Recipe::new([ABOVE, PLUGIN, BELOW], ". {\n above\n autopath resolv.conf\n below\n}\n");
    let kit = recipe.file("resolv.conf", SEARCH).build().ok().unwrap();
    assert_eq!(kit.ask_for("B2.one.example.org A").answer.len(), 2);
}

#[test]
fn a_plugin_that_is_not_there_is_warned_about_and_nothing_is_done() {
    let kit = kit("autopath @kubernetes");
    assert_eq!(kit.warnings, ["plugin/autopath: the server block has no kubernetes, which should know search paths"]);
    kit.ask_for("b2.one.example.org A");
    assert_eq!(asked(&kit), "b2.one.example.org");
}

#[test]
fn mistakes_are_told() {
    check_config([PLUGIN], "autopath", "plugin/autopath: no resolv-conf specified");
    let open = "open /none/resolv.conf: no such file or directory";
    let told = format!("plugin/autopath: failed to parse \"/none/resolv.conf\": {open}");
    check_config([PLUGIN], "autopath example.org /none/resolv.conf", &told);
    let told = "plugin/autopath: below does not implement the AutoPather interface";
    check_config([PLUGIN, BELOW], "autopath @below\nbelow", told);
}

#[test]
fn a_search_list_has_a_limit() {
    let build = |count: usize| {
        let list = format!("search {}\n", vec!["a.example.org"; count].join(" "));
        Recipe::new([PLUGIN], ". {\n autopath resolv.conf\n}\n").file("resolv.conf", &list).build()
    };
    assert!(build(SEARCH_MAX).is_ok());
    let told = build(SEARCH_MAX + 1).err().unwrap()[0].0.one_line();
    assert_eq!(told, "plugin/autopath: failed to parse \"resolv.conf\": too many search domains: 33 > 32");
}
