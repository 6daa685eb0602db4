//! A primary that does with a request for what changed what primaries of all kinds do.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use catena_tests::peer::{ZONE, serial, wait_until};

use crate::support::{Catena, folder, free_port};

/// So many hosts that differences are asked for.
const HOSTS: u32 = 600;
const PER_MESSAGE: usize = 100;
const APEX: &[u8] = b"\x07example\x03org\x00";
const A: u16 = 1;
const SOA: u16 = 6;
const IXFR: u16 = 251;
const AXFR: u16 = 252;

/// What it does when it is asked for what changed.
#[derive(Clone, Copy, Debug)]
enum Ixfr {
    /// It gives what changed.
    Good,
    /// It replies with this code.
    Code(u8),
    /// It hangs up.
    HangUp,
    /// It gives differences that remove what is not there.
    OfAnotherVersion,
    /// It gives half of the differences and hangs up.
    Half,
    /// It gives differences of a serial number that nobody asked about.
    OtherSerial,
    /// It gives the whole zone.
    Whole,
}

type Record = (Vec<u8>, u16, Vec<u8>);

fn soa(version: u32) -> Record {
    let rdata = [&[0, 0][..], &version.to_be_bytes(), &3600_u32.to_be_bytes(), &600_u32.to_be_bytes()].concat();
    let rdata = [&rdata[..], &604_800_u32.to_be_bytes(), &60_u32.to_be_bytes()].concat();
    (APEX.to_vec(), SOA, rdata)
}

fn host(number: u32, version: u32) -> Record {
    let label = format!("host{number}");
    let owner = [&[label.len() as u8], label.as_bytes(), APEX].concat();
    (owner, A, vec![10, version as u8, (number >> 8) as u8, number as u8])
}

/// The zone: the first host is another one in every version.
fn zone(version: u32) -> Vec<Record> {
    let hosts = (0..HOSTS).map(|number| host(number, if number == 0 { version } else { 0 }));
    [soa(version)].into_iter().chain(hosts).chain([soa(version)]).collect()
}

fn message(id: [u8; 2], question: Option<u16>, code: u8, records: &[Record]) -> Vec<u8> {
    let count = |count: usize| u16::try_from(count).unwrap().to_be_bytes();
    let mut octets = [&id[..], &[0x84, code], &count(question.iter().count()), &count(records.len()), &[0; 4]].concat();
    if let Some(qtype) = question {
        octets.extend([APEX, &qtype.to_be_bytes(), &[0, 1]].concat());
    }
    for (owner, rtype, rdata) in records {
        octets.extend([&owner[..], &rtype.to_be_bytes(), &[0, 1, 0, 0, 1, 0], &count(rdata.len()), rdata].concat());
    }
    octets
}

struct Primary {
    port: u16,
    version: Arc<AtomicU32>,
}

impl Primary {
    fn start(ixfr: Ixfr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, version) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU32::new(1)));
        let shared = Arc::clone(&version);
        // It ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = reply(stream, ixfr, shared.load(Ordering::SeqCst));
            }
        });
        Self { port, version }
    }
}

fn reply(mut stream: TcpStream, ixfr: Ixfr, version: u32) -> std::io::Result<()> {
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut request = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut request)?;
    let id = [request[0], request[1]];
    let at = 12 + APEX.len();
    let qtype = u16::from_be_bytes([request[at], request[at + 1]]);
    let old = version - 1;
    let changes = |gone: Record| vec![soa(version), soa(old), gone, soa(version), host(0, version), soa(version)];
    let records = match (qtype, ixfr) {
        (SOA, _) => vec![soa(version)],
        (AXFR, _) | (_, Ixfr::Whole) => zone(version),
        (_, Ixfr::Good) => changes(host(0, old)),
        (_, Ixfr::Code(code)) => return send(&mut stream, &message(id, Some(IXFR), code, &[])),
        (_, Ixfr::HangUp) => return Ok(()),
        (_, Ixfr::OfAnotherVersion) => changes(host(0, 77)),
        (_, Ixfr::Half) => changes(host(0, old))[..3].to_vec(),
        (_, Ixfr::OtherSerial) => vec![soa(version), soa(77), soa(version), soa(version)],
    };
    let mut question = Some(qtype);
    // The SOA record travels alone, and only the first message has a question (RFC 5936 section 2.2.1).
    for part in [&records[..1]].into_iter().chain(records[1..].chunks(PER_MESSAGE)) {
        send(&mut stream, &message(id, question.take(), 0, part))?;
    }
    Ok(())
}

fn send(stream: &mut TcpStream, message: &[u8]) -> std::io::Result<()> {
    stream.write_all(&[&(message.len() as u16).to_be_bytes(), message].concat())
}

fn notify(port: u16) {
    let question = [APEX, &SOA.to_be_bytes(), &[0, 1]].concat();
    let message = [&[1, 2, 0x24, 0, 0, 1, 0, 0, 0, 0, 0, 0], &question[..]].concat();
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&message, ("127.0.0.1", port)).unwrap();
}

/// Whether the second version comes; what the log says of it.
fn follow(ixfr: Ixfr) -> String {
    let home = tempfile::tempdir().unwrap();
    if !catena_tests::peer::are_there(&["dig"]) {
        return String::new();
    }
    let primary = Primary::start(ixfr);
    let catena = Catena::secondary(&folder(home.path(), "ours"), free_port(), primary.port, false);
    assert!(catena.gets(1), "{ixfr:?}: {}", catena.daemon.log());
    primary.version.store(2, Ordering::SeqCst);
    notify(catena.port);
    assert!(wait_until(|| serial(catena.port, ZONE) == Some(2)), "{ixfr:?}: {}", catena.daemon.log());
    let got = catena.zone();
    assert_eq!(got.len(), HOSTS as usize + 1, "{ixfr:?}");
    let first: Vec<_> = got.iter().filter(|line| line.starts_with("host0.")).collect();
    assert_eq!(first, ["host0.example.org. 256 in a 10.2.0.0"], "{ixfr:?}");
    catena.daemon.log()
}

#[test]
fn what_changed_is_taken_over() {
    follow(Ixfr::Good);
}

#[test]
fn a_primary_may_give_the_whole_zone_instead() {
    follow(Ixfr::Whole);
}

#[test]
fn a_primary_that_knows_no_ixfr_is_asked_for_the_whole_zone() {
    for code in [1, 2, 4, 5] {
        follow(Ixfr::Code(code));
    }
    follow(Ixfr::HangUp);
}

#[test]
fn differences_of_no_use_are_mended_by_the_whole_zone() {
    for ixfr in [Ixfr::OfAnotherVersion, Ixfr::Half, Ixfr::OtherSerial] {
        follow(ixfr);
    }
}
