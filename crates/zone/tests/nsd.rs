//! The answers of NSD for the same zone, beside those of the store: unsigned, with NSEC and with NSEC3.
//!
//! Needs the Debian packages `nsd` and `ldnsutils`; where they are not installed the tests say so and pass.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::disallowed_macros)]

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use catena_core::wire::{HEADER_OCTETS, read_reply};
use catena_core::{Answer, Rcode, Rtype, Section, name};
use catena_zone::zonefile::NoInclude;
use catena_zone::{Asked, Outcome, Zone};

/// Questions to each zone.
const QUESTIONS: usize = 10_000;
/// How often a question without a reply is sent again.
const TRIES: usize = 50;
/// How often NSD is started when it does not answer.
const STARTS: usize = 3;
const LABELS: [&str; 6] = ["a", "b", "c", "d", "*", "ns"];
const TYPES: [Rtype; 8] =
    [Rtype::A, Rtype::TXT, Rtype::MX, Rtype::NS, Rtype::DS, Rtype::CNAME, Rtype::DNAME, Rtype::SOA];

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn name(&mut self) -> String {
        let labels = 1 + self.below(4);
        (0..labels).map(|_| LABELS[self.below(LABELS.len())]).collect::<Vec<_>>().join(".")
    }
}

/// A zone full of wildcards, cuts, DNAMEs and empty non-terminals that NSD takes: nothing beside a CNAME, nothing below a DNAME.
///
/// DS records stand in signed zones only: NSD gives them in no other.
fn zone_text(numbers: &mut Numbers, is_signed: bool) -> String {
    let mut owners: Vec<(String, &str)> = vec![("ns".to_owned(), "A")];
    let mut text = "$ORIGIN example.org.\n$TTL 60\n@ SOA ns admin 1 7200 3600 1209600 300\n@ NS ns\n@ NS ns.example.net.\nns A 192.0.2.53\n".to_owned();
    for number in 0..120 {
        let (owner, target) = (numbers.name(), numbers.name());
        let kind = ["CNAME", "DNAME", "NS", "NS", "DS", "MX", "A", "A", "TXT"][numbers.below(9)];
        let is_below = |name: &str, above: &str| name.ends_with(&format!(".{above}"));
        let clashes = owners.iter().any(|(other, other_kind)| match (*other == owner, kind, *other_kind) {
            (true, "CNAME" | "DNAME", _) | (true, _, "CNAME" | "DNAME") => true,
            (true, _, _) => (kind == "DS") != (*other_kind == "NS") && (kind == "DS" || *other_kind == "DS"),
            (false, ..) => {
                (*other_kind == "DNAME" && is_below(&owner, other)) || (kind == "DNAME" && is_below(other, &owner))
            }
        });
        // A cut at a wildcard is something that each server sees in its own way.
        if clashes || (owner.contains('*') && matches!(kind, "NS" | "DS" | "DNAME")) || (kind == "DS" && !is_signed) {
            continue;
        }
        let data = match kind {
            "A" => format!("192.0.2.{number}"),
            "TXT" => format!("text{number}"),
            "MX" => format!("10 {target}"),
            "DS" => "12345 13 2 0102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F20".to_owned(),
            "NS" if numbers.below(2) == 0 => format!("ns.{owner}"),
            "CNAME" if numbers.below(4) == 0 => "www.example.net.".to_owned(),
            _ => target,
        };
        // DS records stand at cuts.
        if kind == "DS" {
            text.push_str(&format!("{owner} NS ns.{owner}\n"));
        }
        text.push_str(&format!("{owner} {kind} {data}\n"));
        owners.push((owner, kind));
    }
    text
}

/// Whether a program can be started.
fn is_there(program: &str) -> bool {
    Command::new(program).arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

fn run(directory: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(directory).output().unwrap();
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    assert!(output.status.success(), "{program}: {} {}", text(&output.stdout), text(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// NSD with one zone, ended when dropped.
struct Nsd {
    child: Child,
    socket: UdpSocket,
}

impl Drop for Nsd {
    fn drop(&mut self) {
        // SIGTERM, so that it ends the processes that it started.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

impl Nsd {
    /// Starts it on a free port; another process may take that port before NSD does, so more than once.
    fn start(directory: &Path) -> Self {
        let answers = |nsd: &Self| nsd.try_ask(0, &[0], Rtype::SOA, false).is_some();
        let started = (0..STARTS).find_map(|_| Some(Self::spawn(directory)).filter(answers));
        let log = || fs::read_to_string(directory.join("log")).unwrap_or_default();
        started.unwrap_or_else(|| panic!("no reply from nsd: {}", log()))
    }

    fn spawn(directory: &Path) -> Self {
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = directory.display();
        let config = format!(
            "server:\n ip-address: 127.0.0.1@{port}\n username: \"\"\n database: \"\"\n zonesdir: \"{at}\"\n \
             pidfile: \"{at}/pid\"\n xfrdfile: \"{at}/xfrd\"\n zonelistfile: \"{at}/list\"\n xfrdir: \"{at}\"\n \
             logfile: \"{at}/log\"\n server-count: 1\n minimal-responses: no\n rrl-ratelimit: 0\n \
             rrl-whitelist-ratelimit: 0\nremote-control:\n control-enable: no\nzone:\n name: example.org\n zonefile: zone\n"
        );
        fs::write(directory.join("conf"), config).unwrap();
        let child = Command::new("/usr/sbin/nsd")
            .args(["-d", "-c", "conf"])
            .current_dir(directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        Self { child, socket }
    }

    fn try_ask(&self, id: u16, wire: &[u8], qtype: Rtype, dnssec_ok: bool) -> Option<Answer> {
        let mut query =
            [&id.to_be_bytes()[..], &[0, 0, 0, 1, 0, 0, 0, 0, 0, 1], wire, &qtype.to_int().to_be_bytes()].concat();
        query.extend([0, 1, 0, 0, 41, 0xff, 0, 0, 0, if dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
        let mut reply = vec![0; 65_535];
        for _ in 0..TRIES {
            // Before NSD listens, sending and receiving fail at once.
            if self.socket.send(&query).is_err() {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            match self.socket.recv(&mut reply) {
                Ok(len) if len >= HEADER_OCTETS && reply[..2] == id.to_be_bytes() => {
                    let mut answer = Answer::default();
                    read_reply(&reply[..len], &mut answer).unwrap();
                    return Some(answer);
                }
                Ok(_) => {}
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
        None
    }
}

/// The records of a section as sorted lines.
fn lines(answer: &Answer, section: Section) -> Vec<String> {
    let line = |record: catena_core::Record<'_>| {
        let owner = name::lower_text(record.owner());
        let octets = || record.rdata().iter().map(|octet| format!("{octet:02x}")).collect::<String>();
        let data = record.target().map_or_else(octets, name::lower_text);
        format!("{owner} {} {} {data}", record.ttl(), record.rtype())
    };
    let mut lines: Vec<String> = answer.records(section).map(line).collect();
    lines.sort();
    lines
}

/// What differs between the two answers to one question; what differs on purpose is left out.
fn difference(zone: &Zone, nsd: &Answer, lower: &[u8], qtype: Rtype, dnssec_ok: bool) -> Option<String> {
    let mut mine = Answer::default();
    let labels = &catena_core::LabelStarts::of(lower);
    let outcome = zone.lookup(&Asked { lower, labels, qtype, dnssec_ok, chase_missing: false }, &mut mine).outcome;
    let rcode = match outcome {
        Outcome::NxDomain => Rcode::NXDOMAIN,
        Outcome::TooLong => Rcode::YXDOMAIN,
        Outcome::SelfMapped => Rcode::SERVFAIL,
        _ => Rcode::NOERROR,
    };
    // A DNAME to itself is an error to one and an endless chain to the other.
    if outcome == Outcome::SelfMapped {
        return None;
    }
    let section = |section| (lines(&mine, section), lines(nsd, section));
    let (answer, their_answer) = section(Section::Answer);
    let (mut authority, mut their_authority) = section(Section::Authority);
    let (additional, their_additional) = section(Section::Additional);
    // Beside what was asked stand the name servers or nothing, and a chain that ends without the type has the servers here and the SOA there.
    let follows = nsd.records(Section::Answer).any(|record| record.rtype() == Rtype::CNAME);
    let is_apex = |line: &String| line.starts_with("example.org. ") && !line.contains("NSEC");
    if matches!(outcome, Outcome::Answered | Outcome::Chase) || follows {
        authority.retain(|line| !is_apex(line));
        their_authority.retain(|line| !is_apex(line));
    }
    // For a wildcard asked for itself NSD also proves that no other name is as near, which the name's own record does already; below a name
    // that is a wildcard it leaves out the proof of the closest encloser (RFC 5155 section 7.2.5).
    let has_star = |wire: &[u8]| wire.windows(2).any(|octets| octets == b"\x01*");
    let is_starred = has_star(lower)
        || mine.records(Section::Answer).any(|record| record.target().is_some_and(|name| has_star(name.as_slice())));
    let within = |some: &[String], all: &[String]| some.iter().all(|line| all.contains(line));
    let is_excused = is_starred && (within(&authority, &their_authority) || within(&their_authority, &authority));
    // Behind a DNAME NSD proves a wildcard with the NSEC record of its parent, which does not cover the name.
    let is_renamed = mine.records(Section::Answer).any(|record| record.rtype() == Rtype::DNAME);
    let is_proved = authority == their_authority || (dnssec_ok && (is_excused || is_renamed));
    // Addresses at and below cuts help with a referral; as targets of MX records CoreDNS gives them and NSD does not.
    let is_helped = outcome != Outcome::Delegation || within(&additional, &their_additional);
    let same = rcode == nsd.rcode && answer == their_answer && is_proved && is_helped;
    (!same).then(|| {
        format!(
            "{outcome:?} {rcode} / {}\n= {answer:#?}\n/ {their_answer:#?}\n~ {authority:#?}\n/ {their_authority:#?}\n+ {additional:#?}\n/ {their_additional:#?}",
            nsd.rcode
        )
    })
}

/// Asks both about names in and around a zone that `sign` may sign.
fn compare(seed: u64, sign: Option<&[&str]>) {
    if !is_there("/usr/sbin/nsd") || !is_there("ldns-signzone") || !is_there("ldns-keygen") {
        println!("nsd or ldnsutils is not installed: nothing is compared");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let mut numbers = Numbers(seed);
    fs::write(directory.join("plain"), zone_text(&mut numbers, sign.is_some())).unwrap();
    match sign {
        Some(arguments) => {
            let key = run(directory, "ldns-keygen", &["-a", "ECDSAP256SHA256", "example.org"]);
            run(directory, "ldns-signzone", &[arguments, &["-f", "zone", "plain", &key]].concat());
        }
        None => fs::copy(directory.join("plain"), directory.join("zone")).map(|_| ()).unwrap(),
    }
    let origin = catena_core::Zone::parse("example.org").unwrap();
    let zone = catena_zone::load(&fs::read(directory.join("zone")).unwrap(), "zone", &origin, &NoInclude).unwrap();
    run(directory, "nsd-checkzone", &["example.org", "zone"]);
    let nsd = Nsd::start(directory);
    let mut differences = Vec::new();
    for number in 0..QUESTIONS {
        let text = if numbers.below(50) == 0 { String::new() } else { numbers.name() + "." };
        let wire = name::owned(&format!("{text}example.org.")).unwrap().as_slice().to_vec();
        let (qtype, dnssec_ok) = (TYPES[numbers.below(TYPES.len())], numbers.below(2) == 0);
        let theirs = nsd.try_ask(number as u16 + 1, &wire, qtype, dnssec_ok).expect("a reply");
        if let Some(difference) = difference(&zone, &theirs, &wire, qtype, dnssec_ok) {
            differences.push(format!("{text}example.org. {qtype} do={dnssec_ok}: {difference}"));
        }
    }
    let shown: Vec<_> = differences.iter().take(5).map(String::as_str).collect();
    assert!(differences.is_empty(), "{} of {QUESTIONS}, such as\n{}", differences.len(), shown.join("\n\n"));
}

#[test]
fn an_unsigned_zone_answers_as_nsd_does() {
    compare(1, None);
}

#[test]
fn a_zone_signed_with_nsec_answers_as_nsd_does() {
    compare(2, Some(&[]));
}

#[test]
fn a_zone_signed_with_nsec3_answers_as_nsd_does() {
    compare(3, Some(&["-n", "-t", "3", "-s", "aabb"]));
}

#[test]
fn a_zone_signed_with_opt_out_answers_as_nsd_does() {
    compare(4, Some(&["-n", "-p"]));
}
