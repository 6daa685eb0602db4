//! A secondary whose Corefile is reloaded while its primary is gone.

use std::fs;

use catena_tests::peer::{are_there, zone_text};

use crate::support::{Catena, assert_same, folder, free_port};

/// Enough that a transfer takes a while.
const HOSTS: usize = 5000;

#[test]
fn a_reload_without_a_primary_keeps_the_zone() {
    if !are_there(&["dig"]) {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (theirs, ours) = (folder(home.path(), "primary"), folder(home.path(), "secondary"));
    let (their_port, our_port) = (free_port(), free_port());
    fs::write(theirs.join("zone"), zone_text(1, HOSTS)).unwrap();
    let mut primary = Catena::primary(&theirs, their_port, our_port, false);
    let secondary = Catena::secondary(&ours, our_port, their_port, false);
    assert!(secondary.gets(1));
    let before = secondary.zone();
    primary.daemon.kill();
    let corefile = fs::read_to_string(ours.join("Corefile")).unwrap();
    fs::write(ours.join("Corefile"), format!("{}\nexample.net:{our_port} {{\nbind 127.0.0.1\nwhoami\n}}\n", corefile))
        .unwrap();
    secondary.daemon.signal("USR1").unwrap();
    assert!(secondary.daemon.says("Reloading complete"));
    assert_same(&secondary.zone(), &before);
    assert!(!secondary.daemon.log().contains("masters failed"), "{}", secondary.daemon.log());

    let primary = Catena::primary(&theirs, their_port, our_port, false);
    primary.update(&zone_text(2, HOSTS));
    assert!(secondary.gets(2), "the reloaded one takes a NOTIFY: {}", secondary.daemon.log());
}
