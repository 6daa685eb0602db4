//! A hundred thousand records, both ways, beside NSD; clients that read slowly, and clients that get nothing.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use catena_tests::peer::{Kind, Knob, Peer, Role, ZONE, are_there, dig, serial, wait_until, zone_text};

use crate::support::{Catena, folder, free_port};

const HOSTS: usize = 100_000;
/// How long a slow client reads nothing.
const PAUSE: Duration = Duration::from_secs(2);
/// How much more memory a transfer may take that nobody reads, KiB.
const SLOW_KIB_MAX: u64 = 16 << 10;

/// Asks for the whole zone; the connection.
fn ask(port: u16) -> TcpStream {
    let message = [&[0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], b"\x07example\x03org\x00\x00\xfc\x00\x01"].concat();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(&[&(message.len() as u16).to_be_bytes(), &message[..]].concat()).unwrap();
    stream
}

/// Reads messages until so many records came; the octets.
fn read(stream: &mut TcpStream, records: usize) -> usize {
    let (mut seen, mut octets) = (0, 0);
    let mut message = Vec::new();
    while seen < records {
        let mut len = [0; 2];
        stream.read_exact(&mut len).unwrap();
        message.resize(usize::from(u16::from_be_bytes(len)), 0);
        stream.read_exact(&mut message).unwrap();
        assert_eq!(message[3] & 0x0f, 0);
        seen += usize::from(u16::from_be_bytes([message[6], message[7]]));
        octets += message.len();
    }
    assert_eq!(seen, records);
    octets
}

/// Waits for a version; how long it took.
fn time_to(port: u16, version: u32) -> Duration {
    let start = Instant::now();
    assert!(wait_until(|| serial(port, ZONE) == Some(version)));
    start.elapsed()
}

#[test]
fn a_hundred_thousand_records_go_both_ways() {
    if !are_there(&[Kind::Nsd.program(), "dig"]) {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| folder(home.path(), name);
    let [primary, ours, theirs, our_second, their_second] = [(); 5].map(|()| free_port());
    for name in ["nsd", "catena"] {
        fs::write(at(name).join("zone"), zone_text(1, HOSTS)).unwrap();
    }
    let role = Role::Primary { secondary: ours, is_signed: false };
    let nsd = Peer::start(Kind::Nsd, &at("nsd"), primary, &role, Knob::Usual).unwrap();
    let catena = Catena::primary(&at("catena"), theirs, their_second, false);
    time_to(primary, 1);
    time_to(theirs, 1);
    let records = catena.zone().len() + 1;
    for (name, port) in [("NSD", primary), ("this server", theirs)] {
        let start = Instant::now();
        let octets = read(&mut ask(port), records);
        println!("out of {name}: {records} records, {octets} octets in {:?}", start.elapsed());
    }
    println!(
        "peak of the primaries: NSD {} KiB, this server {:?} KiB",
        nsd.daemon.family_peak_kib(),
        catena.daemon.peak_kib()
    );

    let start = Instant::now();
    let second = Catena::secondary(&at("catena2"), our_second, primary, false);
    time_to(our_second, 1);
    let ours = start.elapsed();
    let start = Instant::now();
    let role = Role::Secondary { primary: theirs, is_signed: false };
    let nsd_second = Peer::start(Kind::Nsd, &at("nsd2"), their_second, &role, Knob::Usual).unwrap();
    time_to(their_second, 1);
    println!("from the start to the answer: NSD {:?}, this server {ours:?}", start.elapsed());
    let peaks = (nsd_second.daemon.family_peak_kib(), second.daemon.peak_kib());
    println!("peak of the secondaries: NSD {} KiB, this server {:?} KiB", peaks.0, peaks.1);
    assert_eq!(second.zone(), nsd.zone());
    assert_eq!(nsd_second.zone(), catena.zone());
}

fn resident_kib(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

fn large_primary(home: &Path) -> Catena {
    let at = folder(home, "ours");
    fs::write(at.join("zone"), zone_text(1, HOSTS)).unwrap();
    Catena::start(&at, free_port(), false, "transfer {\n to *\n}\nfile zone")
}

#[test]
fn a_client_that_reads_slowly_costs_no_memory_and_gets_everything() {
    if !are_there(&["dig"]) {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let catena = large_primary(home.path());
    time_to(catena.port, 1);
    let mut first = ask(catena.port);
    let records = catena.zone().len() + 1;
    let octets = read(&mut first, records);
    let before = resident_kib(catena.daemon.id());
    let mut slow: Vec<TcpStream> = (0..4).map(|_| ask(catena.port)).collect();
    std::thread::sleep(PAUSE);
    assert_eq!(serial(catena.port, ZONE), Some(1), "others are answered meanwhile");
    let after = resident_kib(catena.daemon.id());
    assert!(after < before + SLOW_KIB_MAX, "{before} KiB before, {after} KiB while four read nothing");
    // Nobody waits for one that never reads again.
    drop(slow.pop());
    for stream in &mut slow {
        assert_eq!(read(stream, records), octets);
    }
}

#[test]
fn who_is_not_a_target_and_what_is_no_zone_is_refused() {
    if !are_there(&["dig"]) {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let at = folder(home.path(), "ours");
    fs::write(at.join("zone"), zone_text(1, 1)).unwrap();
    let catena = Catena::start(&at, free_port(), false, "transfer {\n to 192.0.2.1\n}\nfile zone");
    time_to(catena.port, 1);
    // All that dig shows of a refusal.
    for zone in [ZONE, "other.example"] {
        assert!(dig(catena.port, false, &[zone, "AXFR"]).contains("; Transfer failed."), "{zone}");
    }
}
