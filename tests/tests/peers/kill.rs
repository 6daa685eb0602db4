//! This server is killed at any moment of a transfer: what it answers is of one version, whole.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use catena_tests::peer::{Kind, Knob, Peer, Role, ZONE, are_there, axfr, serial, wait_until};

use crate::support::{Catena, folder, free_port};

const HOSTS: usize = 3000;
const KILLS: u64 = 100;

/// Every host names the version.
fn version_text(version: u32) -> String {
    let mut text = format!("$TTL 60\n@ SOA ns hostmaster {version} 3600 600 604800 60\n@ NS ns\nns A 192.0.2.1\n");
    for host in 0..HOSTS {
        text.push_str(&format!("host{host} TXT \"v{version}\"\n"));
    }
    text
}

/// The version that all records are of; nothing if the zone was not given.
fn version_of(zone: &[String]) -> Option<u32> {
    if zone.is_empty() {
        return None;
    }
    assert_eq!(zone.len(), HOSTS + 3, "a zone that is not whole");
    let soa = zone.iter().find(|line| line.contains(" soa ")).unwrap();
    let version = soa.split(' ').nth(6).unwrap();
    let ending = format!(" txt \"v{version}\"");
    let others = zone.iter().filter(|line| line.contains(" txt ") && !line.ends_with(&ending));
    assert_eq!(others.count(), 0, "records of another version than {version}");
    Some(version.parse().unwrap())
}

#[test]
fn a_zone_is_of_one_version_whenever_the_server_is_killed() {
    if !are_there(&[Kind::Nsd.program(), "dig"]) {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (theirs, ours) = (folder(home.path(), "theirs"), folder(home.path(), "ours"));
    let (their_port, our_port) = (free_port(), free_port());
    fs::write(theirs.join("zone"), version_text(1)).unwrap();
    let role = Role::Primary { secondary: our_port, is_signed: false };
    let peer = Peer::start(Kind::Nsd, &theirs, their_port, &role, Knob::Usual).unwrap();
    let (is_over, seen) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        // Somebody takes the zone all the time.
        let reader = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let found = version_of(&axfr(our_port, ZONE, false));
                seen.fetch_add(usize::from(found.is_some()), Ordering::Relaxed);
            }
        });
        let _over = Over(&is_over);
        let mut moment = 1_u64;
        for kill in 0..KILLS {
            let version = kill as u32 / 2 + 2;
            let mut catena = Catena::secondary(&ours, our_port, their_port, false);
            if kill % 2 == 0 {
                // The first transfer may be on its way, or the one of the new version.
                peer.update(&version_text(version)).unwrap();
            }
            moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            std::thread::sleep(Duration::from_millis((moment >> 33) % 400));
            catena.daemon.kill();
        }
        let last = KILLS as u32 / 2 + 1;
        assert!(wait_until(|| serial(their_port, ZONE) == Some(last)), "{}", peer.daemon.log());
        let catena = Catena::secondary(&ours, our_port, their_port, false);
        assert!(catena.gets(last), "{}", catena.daemon.log());
        assert_eq!(version_of(&catena.zone()), Some(last));
        drop(_over);
        reader.join().unwrap();
    });
    let seen = seen.into_inner();
    println!("{seen} whole zones were read between {KILLS} kills");
    assert!(seen > 10, "{seen}");
}

/// Ends the reader also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
