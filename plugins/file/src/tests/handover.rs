//! A reload of the Corefile: what did not change is not read again.

use std::sync::Arc;

use catena_testkit::Kit;

use super::{Place, SOA, zone};

/// The instance that takes the place of another one, with this body; or what keeps it from doing so.
fn successor(place: &Place, before: &Kit, body: &str) -> Result<Kit, String> {
    let mut recipe = place.recipe("example.org", body);
    recipe.predecessor = Some(Arc::clone(before.instance()));
    recipe.build().map_err(|errors| errors[0].0.one_line())
}

/// Writes other octets into a file that looks the same from outside.
fn write_unseen(place: &Place, old: &str, new: &str) {
    assert_eq!(old.len(), new.len());
    let path = place.path("db");
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    let text = std::fs::read_to_string(&path).unwrap().replace(old, new);
    std::fs::write(&path, text).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
}

#[test]
fn a_file_that_did_not_change_is_not_read_again() {
    let place = zone("a 60 IN A 192.0.2.1\n");
    let before = place.kit("example.org", "file DIR/db");
    write_unseen(&place, "192.0.2.1\n", "192.0.2.9\n");
    let after = successor(&place, &before, "file DIR/db {\n reload 10s\n fallthrough\n }\n last").unwrap();
    assert_eq!(after.ask_for("a.example.org A").answer, ["a.example.org. 60 IN A 192.0.2.1"]);
    let other_name = "file DIR/../$/db".replace('$', &place.0.path().file_name().unwrap().to_string_lossy());
    let after = successor(&place, &before, &other_name).unwrap();
    assert_eq!(after.ask_for("a.example.org A").answer, ["a.example.org. 60 IN A 192.0.2.9"], "another path is read");
}

#[test]
fn a_file_that_changed_is_read_again_whatever_its_serial() {
    let place = zone("a 60 IN A 192.0.2.1\n");
    let before = place.kit("example.org", "file DIR/db");
    place.write("db", &format!("{SOA}a 60 IN A 192.0.2.100\n"));
    let after = successor(&place, &before, "file DIR/db").unwrap();
    assert_eq!(after.ask_for("a.example.org A").answer, ["a.example.org. 60 IN A 192.0.2.100"]);
    assert_eq!(before.ask_for("a.example.org A").answer, ["a.example.org. 60 IN A 192.0.2.1"], "until it is replaced");
}

#[test]
fn a_broken_file_keeps_the_old_instance_however_often_it_is_tried() {
    let place = zone("a 60 IN A 192.0.2.1\n");
    let before = place.kit("example.org", "file DIR/db");
    place.write("db", "nonsense\n");
    for _ in 0..2 {
        let error = successor(&place, &before, "file DIR/db").err().unwrap();
        assert!(error.starts_with("plugin/file: failed to parse file"), "{error}");
    }
    assert_eq!(before.ask_for("a.example.org A").answer.len(), 1);
}

#[test]
fn a_file_that_is_gone_is_served_as_it_was() {
    let place = zone("a 60 IN A 192.0.2.1\n");
    let before = place.kit("example.org", "file DIR/db");
    std::fs::remove_file(place.path("db")).unwrap();
    let after = successor(&place, &before, "file DIR/db").unwrap();
    assert_eq!(after.ask_for("a.example.org A").answer.len(), 1);
    assert!(after.log.lines().iter().any(|line| line.contains("no such file or directory")));
}
