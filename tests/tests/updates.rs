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
use catena_tests::peer::are_there;
use catena_zone::tsig::{Algorithm, Conversation, Key};

const SECRET: &str = "NoTCJU+DMqFWywaPyxSijrDEA/eC3nK0xi3AMEZuPVk=";
const ZONE: &str = "@ 60 IN SOA ns admin 1000 7200 3600 1209600 300\n@ 60 IN NS ns\nns 60 IN A 192.0.2.53\n";
/// Shared by all tests of the process.
static PORTS: LazyLock<Ports> = LazyLock::new(Ports::default);
/// How often the server is killed.
const KILLS: u32 = 100;
/// How long it is let work at most before it is killed, microseconds.
const WORK_MICROS_MAX: u64 = 150_000;
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

    fn has(&self, number: u32) -> bool {
        let reply = self.ask(&format!("u{number}.example.org"), 1).expect("an answer");
        reply[3] & 15 == 0 && reply[7] == 1
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn folder_with(port: u16) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let body =
        format!("bind 127.0.0.1\ntsig {{\n secret up.key {SECRET}\n}}\nfile zone {{\n update key up.key\n}}\nerrors");
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
    let text: Vec<u8> = (0..80).flat_map(|_| [&[250][..], &[b'x'; 250]].concat()).collect();
    record(&mut message, &name, 16, [0, 1], &text);
    record(&mut message, &format!("u{}.example.org", number.wrapping_sub(NAMES)), 255, [0, 255], &[]);
    message
}

/// Sends updates one after the other until the server is gone; how many were confirmed.
fn send_all(port: u16, first: u32) -> u32 {
    let key = Arc::new(Key::new("up.key", SECRET, Algorithm::Sha256).unwrap());
    let mut confirmed = 0;
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return 0 };
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    loop {
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

#[test]
fn killed_at_any_time_the_server_has_all_updates_that_it_confirmed_and_none_by_halves() {
    let port = PORTS.take().unwrap();
    let (folder, binary) = (folder_with(port), binary());
    let (mut done, mut confirmed_total, mut chance) = (0, 0, 0x9e37_79b9_7f4a_7c15_u64);
    for kill in 0..KILLS {
        let mut server = Server::start(&binary, folder.path(), port);
        let first = done;
        let sender = thread::spawn(move || send_all(port, first));
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        thread::sleep(Duration::from_micros(chance % WORK_MICROS_MAX));
        server.child.kill().unwrap();
        server.child.wait().unwrap();
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
    }
    let journal = fs::metadata(folder.path().join("zone.journal")).unwrap().len();
    println!("{KILLS} kills, {confirmed_total} updates confirmed, a journal of {journal} octets");
    assert!(confirmed_total > KILLS, "the server was let work");
    assert!(journal < 3 << 20, "the journal is bounded: {journal}");
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
    let folder = folder_with(port);
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
