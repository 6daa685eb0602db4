#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use catena_core::{Fixed, Notifier, PluginDef, Query, Rcode, Reply, Setup, Transfer};
use catena_testkit::{Ask, Kit, Recipe};
use domain::base::Name;

use super::PLUGIN;

/// Refuses what comes to it, with a mark.
const LAST: PluginDef = PluginDef::new("last", |cx: &mut Setup<'_>| {
    cx.link(Fixed(|_: &mut Query| Reply::status(Rcode::NOTIMP)));
    Ok(())
});

/// Answers AXFR and IXFR from whoever offers zones, IXFR with the serial 1.
const SENDER: PluginDef = PluginDef::new("sender", |cx: &mut Setup<'_>| {
    cx.offer::<dyn Notifier>(std::sync::Arc::new(Told(cx.log())));
    cx.on_linked(|linked| {
        assert_eq!(linked.offers::<dyn Transfer>().count(), 1);
        Ok(())
    });
    Ok(())
});

/// Writes the zones of which secondaries are to be told into the log.
struct Told(catena_core::Log);

impl Notifier for Told {
    fn notify(&self, zone: &Name<[u8]>) {
        self.0.info(format_args!("told of {}", zone.fmt_with_dot()));
    }
}

const SOA: &str = "@ 300 IN SOA ns admin 42 7200 3600 1209600 30\n@ 300 IN NS ns\nns 300 IN A 192.0.2.53\n";

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn kit(&self, zones: &str, body: &str) -> Kit {
        match self.recipe(zones, body).build() {
            Ok(kit) => kit,
            Err(errors) => panic!("{}", errors.into_iter().map(|(_, text)| text).collect::<String>()),
        }
    }

    fn recipe(&self, zones: &str, body: &str) -> Recipe {
        let body = body.replace("DIR", &self.0.path().display().to_string());
        Recipe::new([SENDER, PLUGIN, LAST], &format!("{zones} {{\n{body}\n sender\n}}\n"))
    }

    fn wrong(&self, body: &str) -> String {
        let errors = self.recipe("example.org", body).build().err().unwrap();
        errors[0].0.one_line().replace(&self.0.path().display().to_string(), "DIR")
    }
}

fn zone(rest: &str) -> Place {
    let place = Place::new();
    place.write("db", &format!("{SOA}{rest}"));
    place
}

#[test]
fn records_of_the_file_are_answered_with_authority() {
    let kit = zone("a 60 IN A 192.0.2.1\n").kit("example.org", "file DIR/db");
    let seen = kit.ask_for("A.example.ORG A");
    assert_eq!((seen.rcode.as_str(), seen.flags), ("NOERROR", vec!["qr", "aa", "rd"]));
    assert_eq!(seen.answer, ["a.example.org. 60 IN A 192.0.2.1"]);
    assert_eq!(seen.authority, ["example.org. 300 IN NS ns.example.org."]);
}

#[test]
fn names_that_do_not_exist_fall_through_if_wanted_and_types_do_not() {
    let place = zone("a 60 IN A 192.0.2.1\nb.c 60 IN A 192.0.2.2\n");
    let kit = place.kit("example.org", "file DIR/db {\n fallthrough\n }\n last");
    let rcode = |kit: &Kit, name: &str| kit.ask_for(name).rcode;
    assert_eq!(rcode(&kit, "x.example.org A"), "NOTIMP");
    assert_eq!(rcode(&kit, "c.example.org A"), "NOTIMP", "an empty non-terminal");
    assert_eq!(rcode(&kit, "a.example.org TXT"), "NOERROR");
    let kit = place.kit("example.org", "file DIR/db\n last");
    assert_eq!(rcode(&kit, "x.example.org A"), "NXDOMAIN");
}

#[test]
fn a_name_of_no_zone_goes_on_and_at_the_end_is_refused() {
    let place = zone("");
    assert_eq!(place.kit(".", "file DIR/db example.org\n last").ask_for("example.net A").rcode, "NOTIMP");
    assert_eq!(place.kit(".", "file DIR/db example.org").ask_for("example.net A").rcode, "REFUSED");
}

#[test]
fn a_file_serves_every_zone_that_is_named_with_it() {
    let kit = zone("a 60 IN A 192.0.2.1\n").kit(".", "file DIR/db example.org example.net");
    assert_eq!(kit.ask_for("a.example.org A").answer.len(), 1);
    assert_eq!(kit.ask_for("a.example.net A").answer, ["a.example.net. 60 IN A 192.0.2.1"]);
}

#[test]
fn an_alias_out_of_the_zone_is_looked_up_in_the_whole_server() {
    let place =
        zone("out 60 IN CNAME a.example.net.\ngone 60 IN CNAME x.example.net.\nfar 60 IN CNAME a.example.com.\n");
    place.write("net", &format!("{SOA}a 60 IN A 192.0.2.7\n"));
    let kit = place.kit(".", "file DIR/db example.org\n file DIR/net example.net");
    let seen = kit.ask_for("out.example.org A");
    assert_eq!(seen.answer, ["out.example.org. 60 IN CNAME a.example.net.", "a.example.net. 60 IN A 192.0.2.7"]);
    let seen = kit.ask_for("gone.example.org A");
    assert_eq!((seen.rcode.as_str(), seen.answer.len()), ("NXDOMAIN", 1));
    let seen = kit.ask_for("far.example.org A");
    assert_eq!((seen.rcode.as_str(), seen.answer.len()), ("NOERROR", 1), "nobody here is responsible for example.com");
}

#[test]
fn transfers_and_notifications_are_not_for_this_plugin_to_answer() {
    let kit = zone("").kit("example.org", "file DIR/db");
    assert_eq!(kit.ask(&Ask::new("example.org AXFR").tcp()).rcode, "REFUSED");
    assert!(kit.ask(&Ask::new("example.org SOA").flags(4 << 11)).silent);
    assert_eq!(kit.log.take().last().unwrap(), "[INFO] plugin/file: Dropping notify from 10.240.0.1 for example.org.");
}

#[test]
fn a_file_that_is_not_there_fails_until_it_is() {
    let place = Place::new();
    let kit = place.kit("example.org", "file DIR/db {\n reload 20ms\n }");
    let wanted = format!(
        "[WARNING] plugin/file: Failed to open \"open {}: no such file or directory\": trying again in 20ms",
        place.path("db").display()
    );
    assert_eq!(kit.log.take()[0], wanted);
    assert_eq!(kit.ask_for("example.org SOA").rcode, "SERVFAIL");
    place.write("db", SOA);
    wait_for(&kit, "Successfully reloaded");
    assert_eq!(kit.ask_for("example.org SOA").rcode, "NOERROR");
    assert!(kit.log.lines().iter().any(|line| line.ends_with("told of example.org.")));
}

fn wait_for(kit: &Kit, text: &str) {
    for _ in 0..250 {
        if kit.log.lines().iter().any(|line| line.contains(text)) {
            return;
        }
        kit.wait(Duration::from_millis(20));
    }
    panic!("no {text:?} in {:?}", kit.log.lines());
}

#[test]
fn a_broken_edit_keeps_the_zone_and_shows_the_line() {
    let place = zone("a 60 IN A 192.0.2.1\n");
    let kit = place.kit("example.org", "file DIR/db {\n reload 20ms\n }");
    place.write("db", &format!("{}a 60 IN A 192.0.2.300\n", SOA.replace("42", "43")));
    wait_for(&kit, "Parsing zone \"example.org.\"");
    let lines = kit.log.lines().join("\n");
    assert!(lines.contains("db:4:11") && lines.contains("192.0.2.300"), "{lines}");
    assert_eq!(kit.ask_for("a.example.org A").answer.len(), 1);
}

#[test]
fn secondaries_are_told_at_the_start() {
    let kit = zone("").kit("example.org", "file DIR/db");
    assert!(kit.log.lines().iter().any(|line| line.ends_with("told of example.org.")), "{:?}", kit.log.lines());
}

#[test]
fn zones_can_be_asked_for_whole_by_their_exact_name() {
    let place = zone("");
    let kit = place.kit("example.org", "file DIR/db");
    let file = std::sync::Arc::new(catena_zone::ZoneFile::new(
        catena_core::Zone::parse("example.org").unwrap(),
        place.path("db"),
        false,
    ));
    file.check();
    let mut zones = catena_zone::ZoneMap::default();
    zones.insert(file.name().clone(), super::Held::File(file));
    let held = super::Sent(move |zone: &[u8], serial| Some(zones.get(zone)?.shared().transfer(serial)));
    let query = kit.query(0, &Ask::new("example.org AXFR").tcp());
    let name = |text: &str| catena_core::name::owned(text).unwrap();
    let mut records = held.transfer(name("example.org").for_slice(), None, &query).unwrap().unwrap();
    assert_eq!(std::iter::from_fn(|| records.next().map(|_| ())).count(), 4, "SOA, NS, A, SOA");
    assert!(held.transfer(name("a.example.org").for_slice(), None, &query).is_none());
}

#[test]
fn what_is_wrong_with_the_directive_is_told() {
    let place = zone("");
    let at = "plugin/file: Corefile:2 - Error during parsing:";
    assert_eq!(place.wrong("file"), format!("{at} Wrong argument count or unexpected line ending after 'file'"));
    assert_eq!(place.wrong("file DIR/db {\n reload\n }"), "plugin/file: reload duration value is expected");
    let told = place.wrong("file DIR/db {\n reload 5\n }");
    assert_eq!(told, "plugin/file: plugin/file: time: missing unit in duration \"5\"");
    let told = place.wrong("file DIR/db {\n relaod 5s\n }");
    assert_eq!(told, "plugin/file: Corefile:3 - Error during parsing: unknown property 'relaod'");
}

#[test]
fn what_is_wrong_with_a_file_is_told() {
    let place = Place::new();
    let none = "plugin/file: plugin/file: open DIR/db: no such file or directory";
    assert_eq!(place.wrong("file DIR/db {\n reload 0\n }"), none);
    place.write("db", "a 60 IN A 192.0.2.1\n");
    assert_eq!(place.wrong("file DIR/db"), "plugin/file: file \"DIR/db\" has no SOA record for origin example.org.");
    place.write("db", &format!("{SOA}a 60 IN A 192.0.2.x\n"));
    let wanted = "plugin/file: failed to parse file \"DIR/db\" for origin example.org. with error DIR/db:4:11: ";
    assert!(place.wrong("file DIR/db").starts_with(wanted), "{}", place.wrong("file DIR/db"));
    let directory =
        "plugin/file: failed to parse file \"DIR\" for origin example.org. with error read DIR: is a directory";
    assert_eq!(place.wrong("file DIR"), directory);
    let errors = place.recipe("example.org", "file DIR/db").build().err().unwrap();
    assert!(errors[0].1.contains("a 60 IN A 192.0.2.x"), "the line of the zone file is shown:\n{}", errors[0].1);
}

#[test]
fn relative_files_are_below_root() {
    let place = zone("a 60 IN A 192.0.2.1\n");
    let root = PluginDef::new("root", |cx: &mut Setup<'_>| {
        let mut words = cx.cursor();
        words.next();
        cx.block_settings().root = Path::new(words.one_arg()?).to_owned();
        Ok(())
    });
    let corefile = format!("example.org {{\n root {}\n file db\n}}\n", place.0.path().display());
    let kit = Recipe::new([root, PLUGIN], &corefile).build().ok().unwrap();
    assert_eq!(kit.ask_for("a.example.org A").answer.len(), 1);
}

mod handover;
mod updates;
