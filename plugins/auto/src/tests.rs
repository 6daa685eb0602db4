#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::PathBuf;
use std::time::Duration;

use catena_core::{Fixed, PluginDef, Query, Rcode, Reply, Setup};
use catena_testkit::{Ask, Kit, Recipe};

use super::PLUGIN;

/// Answers what comes to it with a mark.
const LAST: PluginDef = PluginDef::new("last", |cx: &mut Setup<'_>| {
    cx.link(Fixed(|_: &mut Query| Reply::status(Rcode::NOTIMP)));
    Ok(())
});

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, serial: u32, rest: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("@ 60 IN SOA ns admin {serial} 7200 3600 1209600 30\n{rest}")).unwrap();
    }

    fn recipe(&self, body: &str) -> Recipe {
        let body = body.replace("DIR", &self.0.path().display().to_string());
        Recipe::new([PLUGIN, LAST], &format!(". {{\n{body}\n}}\n"))
    }

    fn kit(&self, body: &str) -> Kit {
        match self.recipe(body).build() {
            Ok(kit) => kit,
            Err(errors) => panic!("{}", errors.into_iter().map(|(_, text)| text).collect::<String>()),
        }
    }
}

/// The address of a name, or the code.
fn address(kit: &Kit, name: &str) -> String {
    let seen = kit.ask_for(&format!("{name} A"));
    seen.answer.last().map_or(seen.rcode, |line| line.rsplit(' ').next().unwrap().to_owned())
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
fn every_file_that_fits_is_a_zone_whatever_folder_it_is_in() {
    let place = Place::new();
    place.write("db.example.org", 1, "a 60 IN A 192.0.2.1\n");
    place.write("deep/er/db.example.net", 1, "a 60 IN A 192.0.2.2\n");
    place.write("example.com", 1, "a 60 IN A 192.0.2.3\n");
    let kit = place.kit("auto {\n directory DIR\n }");
    assert_eq!(address(&kit, "a.example.org"), "192.0.2.1");
    assert_eq!(address(&kit, "a.example.net"), "192.0.2.2");
    assert_eq!(address(&kit, "a.example.com"), "REFUSED");
    assert_eq!(address(&kit, "x.example.org"), "NXDOMAIN");
}

#[test]
fn names_outside_of_the_zones_of_the_plugin_go_on() {
    let place = Place::new();
    place.write("db.example.org", 1, "a 60 IN A 192.0.2.1\n");
    let kit = place.kit("auto example.net {\n directory DIR\n }\n last");
    assert_eq!(address(&kit, "a.example.org"), "NOTIMP");
}

#[test]
fn zones_come_change_and_go_with_their_files() {
    let place = Place::new();
    place.write("db.example.org", 1, "a 60 IN A 192.0.2.1\n");
    let kit = place.kit("auto {\n directory DIR\n reload 20ms\n }");
    place.write("db.example.net", 1, "a 60 IN A 192.0.2.2\n");
    wait_for(&kit, "Inserting zone `example.net.'");
    assert_eq!(address(&kit, "a.example.net"), "192.0.2.2");
    place.write("db.example.net", 2, "a 60 IN A 192.0.2.22\n");
    wait_for(&kit, "Successfully reloaded zone \"example.net.\"");
    assert_eq!(address(&kit, "a.example.net"), "192.0.2.22");
    std::fs::remove_file(place.path("db.example.net")).unwrap();
    wait_for(&kit, "Deleting zone `example.net.'");
    assert_eq!(address(&kit, "a.example.net"), "REFUSED");
    assert_eq!(address(&kit, "a.example.org"), "192.0.2.1");
}

#[test]
fn a_broken_edit_keeps_the_zone_and_a_broken_new_file_is_none() {
    let place = Place::new();
    place.write("db.example.org", 1, "a 60 IN A 192.0.2.1\n");
    let kit = place.kit("auto {\n directory DIR\n reload 20ms\n }");
    place.write("db.example.org", 2, "a 60 IN A 192.0.2.300\n");
    place.write("db.example.net", 2, "a 60 IN A nowhere\n");
    wait_for(&kit, "Parsing zone \"example.org.\"");
    wait_for(&kit, "Parse zone `example.net.'");
    assert_eq!(address(&kit, "a.example.org"), "192.0.2.1");
    assert_eq!(address(&kit, "a.example.net"), "REFUSED");
}

#[test]
fn a_directory_that_cannot_be_seen_for_a_while_takes_no_zone_away() {
    let place = Place::new();
    place.write("zones/db.example.org", 1, "a 60 IN A 192.0.2.1\n");
    let kit = place.kit("auto {\n directory DIR/zones\n reload 20ms\n }");
    std::fs::rename(place.path("zones"), place.path("away")).unwrap();
    wait_for(&kit, "error reading");
    assert_eq!(address(&kit, "a.example.org"), "192.0.2.1");
    std::fs::create_dir(place.path("zones")).unwrap();
    wait_for(&kit, "Deleting zone `example.org.'");
}

#[test]
fn of_two_files_for_a_zone_the_first_by_name_counts() {
    let place = Place::new();
    place.write("a/db.example.org", 1, "a 60 IN A 192.0.2.1\n");
    place.write("b/db.example.org", 1, "a 60 IN A 192.0.2.2\n");
    let kit = place.kit("auto {\n directory DIR\n }");
    assert_eq!(address(&kit, "a.example.org"), "192.0.2.1");
    assert!(kit.log.lines().iter().any(|line| line.contains("Multiple zone files match origin \"example.org.\"")));
}

#[test]
fn a_mounted_config_map_is_read_once_and_followed() {
    let place = Place::new();
    place.write("..1/db.example.org", 1, "a 60 IN A 192.0.2.1\n");
    std::os::unix::fs::symlink("..1", place.path("..data")).unwrap();
    std::os::unix::fs::symlink("..data/db.example.org", place.path("db.example.org")).unwrap();
    let kit = place.kit("auto {\n directory DIR\n reload 20ms\n }");
    assert_eq!(address(&kit, "a.example.org"), "192.0.2.1");
    place.write("..2/db.example.org", 2, "a 60 IN A 192.0.2.2\n");
    std::os::unix::fs::symlink("..2", place.path("..data_tmp")).unwrap();
    std::fs::rename(place.path("..data_tmp"), place.path("..data")).unwrap();
    wait_for(&kit, "Successfully reloaded");
    assert_eq!(address(&kit, "a.example.org"), "192.0.2.2");
    assert!(!kit.log.lines().iter().any(|line| line.contains("Multiple")));
}

#[test]
fn transfers_without_the_plugin_for_them_are_refused() {
    let place = Place::new();
    place.write("db.example.org", 1, "");
    let kit = place.kit("auto {\n directory DIR\n }");
    assert_eq!(kit.ask(&Ask::new("example.org AXFR").tcp()).rcode, "REFUSED");
}

#[test]
fn what_is_wrong_with_the_directive_is_told() {
    let place = Place::new();
    let wrong = |body: &str| place.recipe(body).build().err().unwrap()[0].0.one_line();
    let at = "plugin/auto: Corefile:3 - Error during parsing:";
    let block = |property: &str| wrong(&format!("auto {{\n {property}\n directory DIR\n }}"));
    assert_eq!(wrong("auto"), "plugin/auto: Corefile:2 - Error during parsing: no directory is named");
    assert_eq!(block("directory"), format!("{at} Wrong argument count or unexpected line ending after 'directory'"));
    assert_eq!(
        block("directory DIR a(b)"),
        format!("{at} Wrong argument count or unexpected line ending after 'a(b)'")
    );
    assert_eq!(block("directory DIR ab {1}"), format!("{at} Need at least one sub expression"));
    assert_eq!(block(&format!("directory DIR ({}) {{1}}", "x".repeat(10_000))), format!("{at} regexp too large"));
    assert_eq!(
        block("directory DIR (a) {1} b"),
        format!("{at} Wrong argument count or unexpected line ending after 'b'")
    );
    assert_eq!(block("reload"), "plugin/auto: reload duration value is expected");
    assert_eq!(block("reload -1s"), "plugin/auto: plugin/file: invalid duration");
    assert_eq!(block("directroy DIR"), format!("{at} unknown property 'directroy'"));
    assert!(block("directory DIR ( {1}").contains("error parsing regexp: missing closing )"));
}

/// The instance that takes the place of another one.
fn successor(place: &Place, before: &Kit, body: &str) -> Kit {
    let mut recipe = place.recipe(body);
    recipe.predecessor = Some(std::sync::Arc::clone(before.instance()));
    recipe.build().ok().unwrap()
}

#[test]
fn a_reload_reads_what_changed_and_nothing_else() {
    let place = Place::new();
    for zone in ["a.example", "b.example"] {
        place.write(&format!("db.{zone}"), 1, "@ 60 IN A 192.0.2.1\n");
    }
    let before = place.kit("auto {\n directory DIR\n }");
    let same = place.path("db.a.example");
    let modified = std::fs::metadata(&same).unwrap().modified().unwrap();
    place.write("db.a.example", 1, "@ 60 IN A 192.0.2.9\n");
    std::fs::File::options().write(true).open(&same).unwrap().set_modified(modified).unwrap();
    place.write("db.b.example", 1, "@ 60 IN A 192.0.2.100\n");
    let after = successor(&place, &before, "auto {\n directory DIR\n reload 10s\n }");
    assert_eq!(address(&after, "a.example"), "192.0.2.1", "it looks the same from outside");
    assert_eq!(address(&after, "b.example"), "192.0.2.100");
    assert_eq!(address(&before, "b.example"), "192.0.2.1");
}

#[test]
fn a_zone_whose_file_is_broken_at_a_reload_is_served_as_it_was() {
    let place = Place::new();
    place.write("db.example.org", 1, "@ 60 IN A 192.0.2.1\n");
    let before = place.kit("auto {\n directory DIR\n }");
    place.write("db.example.org", 2, "@ 60 IN A 192.0.2.x\n");
    let after = successor(&place, &before, "auto {\n directory DIR\n reload 10s\n }");
    assert_eq!(address(&after, "example.org"), "192.0.2.1");
    assert!(after.log.lines().iter().any(|line| line.contains("Parse zone `example.org.'")));
}
