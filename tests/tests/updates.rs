//! Dynamic updates of the real server: what it confirmed is there after it was killed, and `nsupdate` gets on with it.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_macros
)]

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use catena_core::name::owned;
use catena_tests::binary::Binary;
use catena_tests::names::Ports;
use catena_tests::peer::{are_there, delv};
use catena_zone::tsig::{Algorithm, Conversation, Key};

const SECRET: &str = "NoTCJU+DMqFWywaPyxSijrDEA/eC3nK0xi3AMEZuPVk=";
const ZONE: &str = "@ 60 IN SOA ns admin 1000 7200 3600 1209600 300\n@ 60 IN NS ns\nns 60 IN A 192.0.2.53\n";
/// Shared by all tests of the process.
static PORTS: LazyLock<Ports> = LazyLock::new(Ports::default);
/// How often the server is killed; the environment variable `CATENA_KILLS` says another number.
const KILLS: u32 = 60;
/// How long it is let work at most before it is killed, microseconds.
const WORK_MICROS_MAX: u64 = 100_000;
/// Of so many kills one is while the journal gets a new base, which takes the server at most so long to come to.
const REBASE_KILL_EVERY: u32 = 4;
const REBASE_WITHIN: Duration = Duration::from_secs(5);
/// The octets of text in each update, nearly all that fits into a message: after few of them the journal gets a new base.
const TEXT_STRINGS: usize = 240;
/// How long it is reloaded again and again.
const RELOADING: Duration = Duration::from_secs(3);
/// The time within which it answers.
const START_MAX: Duration = Duration::from_secs(20);
/// So many names are in the zone at a time: each update adds one and takes one away.
const NAMES: u32 = 5;

/// The server, killed when it is dropped.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(binary: &Path, folder: &Path, port: u16) -> Self {
        let log = fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
        let mut command = Command::new(binary);
        command.args(["-conf", "Corefile"]).current_dir(folder);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let server = Self { child: command.spawn().unwrap(), port };
        let end = Instant::now() + START_MAX;
        while server.serial().is_none() {
            assert!(Instant::now() < end, "{}", fs::read_to_string(folder.join("log")).unwrap());
            thread::sleep(Duration::from_millis(5));
        }
        server
    }

    /// The reply to a query by UDP.
    fn ask(&self, name: &str, rtype: u8) -> Option<Vec<u8>> {
        let mut message = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        message.extend(owned(name).unwrap().as_slice());
        message.extend([0, rtype, 0, 1]);
        let socket = UdpSocket::bind("127.0.0.1:0").ok()?;
        socket.set_read_timeout(Some(Duration::from_millis(500))).ok()?;
        socket.connect(("127.0.0.1", self.port)).ok()?;
        socket.send(&message).ok()?;
        let mut reply = vec![0; 4096];
        let len = socket.recv(&mut reply).ok()?;
        reply.truncate(len);
        Some(reply)
    }

    /// The zone's serial number.
    fn serial(&self) -> Option<u32> {
        let reply = self.ask("example.org", 6)?;
        let soa =
            catena_core::wire::raw_record(&reply, 12 + 13 + 4).ok().filter(|_| reply[3] & 15 == 0 && reply[7] == 1)?;
        catena_core::wire::u32_at(&reply, soa.end - 20).ok()
    }

    /// Whether there is what an update added: both sets, or none of them.
    fn has(&self, number: u32) -> bool {
        let name = format!("u{number}.example.org");
        let (address, text) = (self.ask(&name, 1).expect("an answer"), self.ask(&name, 16).expect("an answer"));
        let has_address = address[3] & 15 == 0 && address[7] == 1;
        // The text does not fit into a datagram.
        let has_text = text[3] & 15 == 0 && text[2] & 2 != 0;
        assert!(has_address == has_text || text[3] & 15 == 0, "{name}: {has_address} {has_text}");
        has_address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with a Corefile and a zone file, where the server block has `more` besides.
fn folder_with(more: &str, port: u16) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let body = format!(
        "bind 127.0.0.1\ntsig {{\n secret up.key {SECRET}\n}}\nfile zone {{\n update key up.key\n}}\nerrors\n{more}"
    );
    fs::write(folder.path().join("Corefile"), format!("example.org:{port} {{\n{body}\n}}\n")).unwrap();
    fs::write(folder.path().join("zone"), ZONE).unwrap();
    folder
}

fn binary() -> std::path::PathBuf {
    Binary::find(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()).unwrap().path
}

fn record(out: &mut Vec<u8>, name: &str, rtype: u8, class: [u8; 2], rdata: &[u8]) {
    out.extend(owned(name).unwrap().as_slice());
    out.extend([0, rtype]);
    out.extend(class);
    out.extend([0, 0, 0, if class == [0, 1] { 60 } else { 0 }]);
    out.extend(u16::try_from(rdata.len()).unwrap().to_be_bytes());
    out.extend(rdata);
}

/// An update that adds a name with an address and many octets of text, so that the journal gets new bases, and deletes an older name.
fn update(number: u32) -> Vec<u8> {
    let mut message = vec![0, 2, 5 << 3, 0, 0, 1, 0, 0, 0, 3, 0, 0];
    message.extend(owned("example.org").unwrap().as_slice());
    message.extend([0, 6, 0, 1]);
    let name = format!("u{number}.example.org");
    record(&mut message, &name, 1, [0, 1], &[192, 0, 2, 9]);
    let text: Vec<u8> = (0..TEXT_STRINGS).flat_map(|_| [&[250][..], &[b'x'; 250]].concat()).collect();
    record(&mut message, &name, 16, [0, 1], &text);
    record(&mut message, &format!("u{}.example.org", number.wrapping_sub(NAMES)), 255, [0, 255], &[]);
    message
}

/// Sends updates one after the other until the server is gone; how many were confirmed.
fn send_all(port: u16, first: u32) -> u32 {
    send_until(port, first, Instant::now() + Duration::from_secs(3600))
}

/// The same until a moment, or until the connection ends.
fn send_until(port: u16, first: u32, end: Instant) -> u32 {
    let key = Arc::new(Key::new("up.key", SECRET, Algorithm::Sha256).unwrap());
    let mut confirmed = 0;
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return 0 };
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    loop {
        if Instant::now() > end {
            return confirmed;
        }
        let mut message = update(first + confirmed);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let mut conversation = Conversation::sign(Arc::clone(&key), &mut message, now);
        let Ok(reply) = exchange(&mut stream, &message) else { return confirmed };
        assert_eq!(reply[3] & 15, 0, "an update is confirmed");
        conversation.check(&reply, now).expect("a right signature");
        confirmed += 1;
    }
}

fn exchange(stream: &mut TcpStream, message: &[u8]) -> io::Result<Vec<u8>> {
    let len = u16::try_from(message.len()).unwrap().to_be_bytes();
    stream.write_all(&[&len[..], message].concat())?;
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut reply)?;
    Ok(reply)
}

/// Waits for the moment at which the server writes a new base of the journal.
fn wait_for_new_base(folder: &Path) {
    let (new, end) = (folder.join("zone.journal.new"), Instant::now() + REBASE_WITHIN);
    while !new.exists() && Instant::now() < end {
        std::hint::spin_loop();
    }
}

#[test]
fn killed_at_any_time_the_server_has_all_updates_that_it_confirmed_and_none_by_halves() {
    let port = PORTS.take().unwrap();
    let kills = std::env::var("CATENA_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let (folder, binary) = (folder_with("", port), binary());
    let (mut done, mut confirmed_total, mut chance) = (0, 0, 0x9e37_79b9_7f4a_7c15_u64);
    let mut half_bases = 0;
    for kill in 0..kills {
        let mut server = Server::start(&binary, folder.path(), port);
        let first = done;
        let sender = thread::spawn(move || send_all(port, first));
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        if kill % REBASE_KILL_EVERY == 0 {
            wait_for_new_base(folder.path());
        } else {
            thread::sleep(Duration::from_micros(chance % WORK_MICROS_MAX));
        }
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        half_bases += u32::from(folder.path().join("zone.journal.new").exists());
        let confirmed = sender.join().unwrap();
        drop(server);

        let server = Server::start(&binary, folder.path(), port);
        let serial = server.serial().unwrap();
        done = serial - 1000;
        // The last one was perhaps written and not confirmed.
        assert!((first + confirmed..=first + confirmed + 1).contains(&done), "kill {kill}: {first} {confirmed} {done}");
        for number in done.saturating_sub(NAMES + 1)..done + 2 {
            assert_eq!(server.has(number), number < done && number + NAMES >= done, "kill {kill}: {number} of {done}");
        }
        confirmed_total += confirmed;
        // It was looked at; what a kill leaves of a new base does no harm later.
        let _ = fs::remove_file(folder.path().join("zone.journal.new"));
    }
    let journal = fs::metadata(folder.path().join("zone.journal")).unwrap().len();
    println!(
        "{kills} kills, {half_bases} of them with half a new base, {confirmed_total} updates confirmed, a journal of {journal} octets"
    );
    assert!(confirmed_total > kills / 4, "the server was let work");
    assert!(kills < KILLS || half_bases > 0, "no kill met a new base");
    assert!(journal < 4 << 20, "the journal is bounded: {journal}");
}

#[test]
fn reloads_between_updates_lose_none_and_two_instances_write_one_journal() {
    let port = PORTS.take().unwrap();
    let (folder, binary) = (folder_with("", port), binary());
    let mut server = Server::start(&binary, folder.path(), port);
    let end = Instant::now() + RELOADING;
    let sender = thread::spawn(move || {
        let mut confirmed = 0;
        // What was done and not confirmed is sent again, and changes nothing then.
        while Instant::now() < end {
            confirmed += send_until(port, confirmed, end);
        }
        confirmed
    });
    let corefile = fs::read_to_string(folder.path().join("Corefile")).unwrap();
    let mut reloads = 0;
    while Instant::now() < end {
        // Another configuration each time.
        fs::write(folder.path().join("Corefile"), format!("{corefile}# {reloads}\n")).unwrap();
        let sent = Command::new("sh").args(["-c", &format!("kill -s USR1 {}", server.child.id())]).status().unwrap();
        assert!(sent.success());
        reloads += 1;
        thread::sleep(Duration::from_millis(150));
    }
    let confirmed = sender.join().unwrap();
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    drop(server);
    let done = log.matches("Reloading complete").count();
    println!("{done} reloads of {reloads}, {confirmed} updates confirmed");
    assert!(done > 2 && confirmed > 20 && !log.contains("Restart failed"), "{log}");
    assert_eq!(log.matches("Successfully loaded zone").count(), 1, "no reload reads the zone again");

    let server = Server::start(&binary, folder.path(), port);
    // The one that was sent last was perhaps done and not confirmed.
    let serial = server.serial().unwrap();
    assert!((1000 + confirmed..=1001 + confirmed).contains(&serial), "{confirmed} {serial}");
    for number in confirmed - NAMES..confirmed - 1 {
        assert!(server.has(number + 1), "{number} of {confirmed}");
    }
}

/// Runs `nsupdate`; whether it was content, and what it said.
fn nsupdate(port: u16, is_signed: bool, lines: &str) -> (bool, String) {
    let mut command = Command::new("nsupdate");
    if is_signed {
        command.args(["-y", &format!("hmac-sha256:up.key:{SECRET}")]);
    }
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("nsupdate starts");
    let text = format!("server 127.0.0.1 {port}\nzone example.org\n{lines}\nsend\n");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn nsupdate_changes_the_zone_with_the_key_and_not_without() {
    if !are_there(&["nsupdate"]) {
        return;
    }
    let port = PORTS.take().unwrap();
    let folder = folder_with("", port);
    let server = Server::start(&binary(), folder.path(), port);
    let add = "prereq nxdomain u1.example.org\nupdate add u1.example.org 60 A 192.0.2.1";
    let (is_done, said) = nsupdate(port, false, add);
    assert!(!is_done && said.contains("REFUSED"), "{said}");
    let (is_done, said) = nsupdate(port, true, add);
    assert!(is_done && server.has(1), "{said}");
    let (is_done, said) = nsupdate(port, true, add);
    assert!(!is_done && said.contains("YXDOMAIN"), "{said}");
    let (is_done, said) =
        nsupdate(port, true, "prereq yxrrset u1.example.org A 192.0.2.1\nupdate delete u1.example.org A");
    assert!(is_done && !server.has(1), "{said}");
    assert_eq!(server.serial(), Some(1002));
}

#[test]
fn an_updated_zone_is_signed_as_it_is_asked_for() {
    if !are_there(&["nsupdate", "delv"]) {
        return;
    }
    let port = PORTS.take().unwrap();
    let key = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/keys/Kexample.org.+013+56657");
    let folder = folder_with(&format!("dnssec {{\n key file {}\n}}", key.display()), port);
    let _server = Server::start(&binary(), folder.path(), port);
    let public = key.with_file_name("Kexample.org.+013+56657.key");
    let said = |name: &str, rtype: &str| delv(folder.path(), port, &public, name, rtype).unwrap();
    let has = |name: &str, rtype: &str, data: &str| {
        let said = said(name, rtype);
        assert!(said.contains("; fully validated") && said.contains(data), "{name} {rtype}: {said}");
    };
    let has_not = |name: &str, rtype: &str| {
        let said = said(name, rtype);
        assert!(said.contains("; negative response, fully validated"), "{name} {rtype}: {said}");
    };
    let update = |lines: &str| {
        let (is_done, said) = nsupdate(port, true, lines);
        assert!(is_done, "{lines}: {said}");
    };
    has_not("new.example.org", "A");
    update("update add new.example.org 60 A 192.0.2.1\nupdate add *.w.example.org 60 TXT any");
    has("new.example.org", "A", "192.0.2.1");
    has("x.w.example.org", "TXT", "any");
    has("example.org", "SOA", "1001");
    update("update add new.example.org 60 A 192.0.2.2\nupdate add alias.example.org 60 CNAME new.example.org.");
    has("alias.example.org", "A", "192.0.2.2");
    update(
        "update add cut.example.org 60 NS ns.example.net.\nupdate add cut.example.org 60 DS 1 13 2 0102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F20",
    );
    has("cut.example.org", "DS", "1 13 2");
    update("update delete new.example.org A 192.0.2.1\nupdate delete cut.example.org DS");
    let seen = said("new.example.org", "A");
    assert!(
        !seen.contains("192.0.2.1\n") && seen.contains("192.0.2.2") && seen.contains("; fully validated"),
        "{seen}"
    );
    has_not("cut.example.org", "DS");
    update("update delete new.example.org");
    has_not("new.example.org", "A");
    // The chain ends at a name that is denied.
    has("alias.example.org", "A", "\\-A");
    let (is_done, seen) = nsupdate(
        port,
        true,
        "update add new.example.org 60 RRSIG A 13 3 60 20300101000000 20200101000000 1 example.org. AAAA",
    );
    assert!(!is_done && seen.contains("REFUSED"), "signatures are made here: {seen}");
}

#[test]
fn a_zone_that_is_signed_already_is_not_updated_and_the_log_says_what_to_do() {
    if !are_there(&["nsupdate", "dnssec-signzone"]) {
        return;
    }
    let port = PORTS.take().unwrap();
    let folder = folder_with("", port);
    let key = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/keys/Kexample.org.+013+56657");
    let unsigned = format!("{ZONE}$INCLUDE {}.key\n", key.display());
    fs::write(folder.path().join("zone"), unsigned).unwrap();
    let signed = Command::new("dnssec-signzone")
        .args(["-P", "-z", "-o", "example.org", "-f", "signed", "zone"])
        .arg(&key)
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
    fs::rename(folder.path().join("signed"), folder.path().join("zone")).unwrap();
    let _server = Server::start(&binary(), folder.path(), port);
    let (is_done, said) = nsupdate(port, true, "update add new.example.org 60 A 192.0.2.1");
    assert!(!is_done && said.contains("REFUSED"), "{said}");
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    let told = "Refused an update of zone \"example.org.\" with key \"up.key.\": the zone is signed";
    assert!(log.contains(told) && log.contains("`dnssec`"), "{log}");
}
