//! They are the primary.

use std::fs;

use catena_tests::peer::{Kind, Knob, Peer, Role, ZONE, are_there, zone_text};

use crate::support::{Catena, assert_same, folder, free_port};

/// So many hosts that differences are worth asking for.
const HOSTS: usize = 700;

/// What a primary logs when it gives differences.
fn says_ixfr(peer: &Peer) -> bool {
    match peer.kind {
        Kind::Nsd => peer.daemon.says("ixfr for"),
        Kind::Knot => peer.daemon.says("IXFR, outgoing"),
        Kind::Bind => peer.daemon.says("IXFR started"),
    }
}

fn fetch_and_follow(kind: Kind, is_signed: bool, knob: Knob) {
    if !are_there(&[kind.program(), "dig"]) {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (theirs, ours) = (folder(home.path(), "theirs"), folder(home.path(), "ours"));
    let (their_port, our_port) = (free_port(), free_port());
    fs::write(theirs.join("zone"), zone_text(1, HOSTS)).unwrap();
    let role = Role::Primary { secondary: our_port, is_signed };
    let peer = Peer::start(kind, &theirs, their_port, &role, knob).unwrap();
    let catena = Catena::secondary(&ours, our_port, their_port, is_signed);
    assert!(catena.gets(1), "{}", catena.daemon.log());
    assert_same(&catena.zone(), &peer.zone());
    for version in 2..5 {
        peer.update(&zone_text(version, HOSTS)).unwrap();
        assert!(catena.gets(version), "{version}: {}\n{}", catena.daemon.log(), peer.daemon.log());
        assert_same(&catena.zone(), &peer.zone());
    }
    let told = format!("Notify from 127.0.0.1 for {ZONE}.: checking transfer");
    assert!(catena.daemon.says(&told));
    assert!(knob == Knob::NoIxfr || says_ixfr(&peer), "{}", peer.daemon.log());
}

#[test]
fn nsd_gives_the_zone_and_its_changes() {
    fetch_and_follow(Kind::Nsd, false, Knob::Usual);
}

#[test]
fn nsd_gives_the_zone_and_its_changes_signed() {
    fetch_and_follow(Kind::Nsd, true, Knob::Usual);
}

#[test]
fn knot_gives_the_zone_and_its_changes() {
    fetch_and_follow(Kind::Knot, false, Knob::Usual);
}

#[test]
fn knot_gives_the_zone_and_its_changes_signed() {
    fetch_and_follow(Kind::Knot, true, Knob::Usual);
}

#[test]
fn bind_gives_the_zone_and_its_changes() {
    fetch_and_follow(Kind::Bind, false, Knob::Usual);
}

#[test]
fn bind_gives_the_zone_and_its_changes_signed() {
    fetch_and_follow(Kind::Bind, true, Knob::Usual);
}

#[test]
fn bind_gives_the_zone_one_record_a_message() {
    fetch_and_follow(Kind::Bind, false, Knob::OneAnswer);
}

#[test]
fn bind_gives_the_zone_one_record_a_message_signed() {
    fetch_and_follow(Kind::Bind, true, Knob::OneAnswer);
}

#[test]
fn bind_gives_the_whole_zone_for_what_changed() {
    fetch_and_follow(Kind::Bind, false, Knob::NoIxfr);
}
