//! They are the secondary.

use std::fs;

use catena_tests::peer::{Kind, Knob, Peer, Role, ZONE, are_there, serial, wait_until, zone_text};

use crate::support::{Catena, assert_same, folder, free_port};

const HOSTS: usize = 700;

fn give_and_tell(kind: Kind, is_signed: bool) {
    if !are_there(&[kind.program(), "dig"]) {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (theirs, ours) = (folder(home.path(), "theirs"), folder(home.path(), "ours"));
    let (their_port, our_port) = (free_port(), free_port());
    fs::write(ours.join("zone"), zone_text(1, HOSTS)).unwrap();
    let catena = Catena::primary(&ours, our_port, their_port, is_signed);
    let role = Role::Secondary { primary: our_port, is_signed };
    let peer = Peer::start(kind, &theirs, their_port, &role, Knob::Usual).unwrap();
    let gets = |version| wait_until(|| serial(their_port, ZONE) == Some(version));
    let logs = || format!("{}\n{}", catena.daemon.log(), peer.daemon.log());
    assert!(gets(1), "{}", logs());
    assert_same(&catena.zone(), &peer.zone());
    for version in 2..5 {
        catena.update(&zone_text(version, HOSTS));
        assert!(gets(version), "{version}: {}", logs());
        assert_same(&catena.zone(), &peer.zone());
    }
    let whole = catena.zone().len();
    let log = catena.daemon.log();
    let sent =
        log.lines().filter_map(|line| line.split_once("Outgoing transfer of ")?.1.split(' ').next()?.parse().ok());
    let sent: Vec<usize> = sent.collect();
    assert!(sent.iter().any(|sent| *sent < whole / 2), "only what changed: {sent:?} of {whole} records");
    // When this server starts, theirs may not be there yet.
    let refusals = log.lines().filter(|line| line.contains("Failed sending notifies") && !line.contains("refused"));
    assert_eq!(refusals.count(), 0, "{}", logs());
}

#[test]
fn nsd_takes_the_zone_and_its_changes() {
    give_and_tell(Kind::Nsd, false);
}

#[test]
fn nsd_takes_the_zone_and_its_changes_signed() {
    give_and_tell(Kind::Nsd, true);
}

#[test]
fn knot_takes_the_zone_and_its_changes() {
    give_and_tell(Kind::Knot, false);
}

#[test]
fn knot_takes_the_zone_and_its_changes_signed() {
    give_and_tell(Kind::Knot, true);
}

#[test]
fn bind_takes_the_zone_and_its_changes() {
    give_and_tell(Kind::Bind, false);
}

#[test]
fn bind_takes_the_zone_and_its_changes_signed() {
    give_and_tell(Kind::Bind, true);
}
