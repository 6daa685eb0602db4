//! They are the primary of a catalog (RFC 9432) and of the zones in it.

use std::fs;

use catena_tests::peer::{Kind, Knob, Peer, Role, are_there, axfr, serial, wait_until, zone_text};

use crate::support::{Catena, assert_same, folder, free_port};

const MEMBERS: [&str; 3] = ["a.example", "b.example", "c.example"];

/// A catalog with these zones.
fn catalog(version: u32, members: &[&str]) -> String {
    let mut text =
        format!("$TTL 0\n@ SOA invalid. invalid. {version} 3600 600 604800 0\n@ NS invalid.\nversion TXT \"2\"\n");
    for member in members {
        text.push_str(&format!("id-{}.zones PTR {member}.\n", &member[..1]));
    }
    text
}

/// A small zone for a member.
fn member(version: u32) -> String {
    format!("$TTL 60\n@ SOA ns hostmaster {version} 3600 600 604800 60\n@ NS ns\nns A 192.0.2.{version}\n")
}

fn follow_catalog(kind: Kind, is_signed: bool) {
    if !are_there(&[kind.program(), "dig"]) {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (theirs, ours) = (folder(home.path(), "theirs"), folder(home.path(), "ours"));
    let (their_port, our_port) = (free_port(), free_port());
    fs::write(theirs.join("zone"), zone_text(1, 1)).unwrap();
    fs::write(theirs.join("catalog.example"), catalog(1, &MEMBERS[..2])).unwrap();
    for name in MEMBERS {
        fs::write(theirs.join(name), member(1)).unwrap();
    }
    let role = Role::Primary { secondary: our_port, is_signed };
    let knob = Knob::Zones(&["catalog.example", "a.example", "b.example", "c.example"]);
    let peer = Peer::start(kind, &theirs, their_port, &role, knob).unwrap();
    let key = if is_signed { "key xfer.example" } else { "" };
    let body = format!(
        "transfer {{\n to *\n}}\nsecondary catalog.example {{\n transfer from 127.0.0.1:{their_port}\n{key}\n catalog example\n}}"
    );
    let catena = Catena::start_for(".", &ours, our_port, is_signed, &body);
    let logs = || format!("{}\n{}", catena.daemon.log(), peer.daemon.log());
    for name in &MEMBERS[..2] {
        assert!(wait_until(|| serial(our_port, name) == Some(1)), "{name}: {}", logs());
        assert_same(&axfr(our_port, name, is_signed), &axfr(their_port, name, is_signed));
    }
    assert_eq!(serial(our_port, MEMBERS[2]), None);

    // A member changes, and is told of like any zone.
    peer.update_file(MEMBERS[0], &member(2)).unwrap();
    assert!(wait_until(|| serial(our_port, MEMBERS[0]) == Some(2)), "{}", logs());

    // One goes, one comes.
    peer.update_file("catalog.example", &catalog(2, &[MEMBERS[0], MEMBERS[2]])).unwrap();
    assert!(wait_until(|| serial(our_port, MEMBERS[2]) == Some(1)), "{}", logs());
    assert!(wait_until(|| serial(our_port, MEMBERS[1]).is_none()), "{}", logs());
    assert_eq!(serial(our_port, MEMBERS[0]), Some(2));
}

#[test]
fn binds_catalog_is_followed() {
    follow_catalog(Kind::Bind, false);
}

#[test]
fn binds_catalog_is_followed_signed() {
    follow_catalog(Kind::Bind, true);
}

#[test]
fn knots_catalog_is_followed() {
    follow_catalog(Kind::Knot, false);
}
