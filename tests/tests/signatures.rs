//! What *sign* and *dnssec* sign holds for the programs that others check signatures with: `ldns-verify-zone`, `dnssec-verify`, `delv` and `kdig`.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::disallowed_macros, clippy::disallowed_methods)]

use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use catena_tests::binary::Binary;
use tempfile::TempDir;

/// How long a server may take to begin.
const START_MAX: Duration = Duration::from_secs(20);
/// A zone with what is easily signed wrongly: cuts, glue, wildcards, empty non-terminals, names in rdata, mixed case.
const ZONE: &str = include_str!("../fixtures/zones/kinds.zone");

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn key(name: &str) -> String {
    workspace().join("tests/fixtures/keys").join(name).display().to_string()
}

/// Whether a program is there; says so if it is not.
fn has(program: &str) -> bool {
    let found =
        ["/usr/bin", "/usr/sbin", "/usr/local/bin"].iter().any(|folder| Path::new(folder).join(program).exists());
    if !found {
        eprintln!("there is no {program}: left out");
    }
    found
}

/// A port that neither TCP nor UDP has in use now.
fn free_port() -> u16 {
    for _ in 0..100 {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = tcp.local_addr().unwrap();
        if UdpSocket::bind(addr).is_ok() {
            return addr.port();
        }
    }
    panic!("there is no free port")
}

/// A running server; it ends with the test.
struct Server {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// A server for `example.org` with this body in its block. `{folder}` is its folder, where the zone file is `db`.
    fn start(body: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("db"), ZONE).unwrap();
        let port = free_port();
        let body = body.replace("{folder}", &folder.path().display().to_string());
        let corefile = folder.path().join("Corefile");
        std::fs::write(&corefile, format!("example.org:{port} {{\nbind 127.0.0.1\n{body}\n}}\n")).unwrap();
        let binary = Binary::find(&workspace()).unwrap();
        let child = Command::new(&binary.path).arg("-conf").arg(&corefile).stdout(Stdio::null()).spawn().unwrap();
        let server = Self { child, port, folder };
        let begun = Instant::now();
        while !server.answers() {
            assert!(begun.elapsed() < START_MAX, "the server does not begin");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// Whether a query for the SOA record gets NOERROR.
    fn answers(&self) -> bool {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let query = b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x06\x00\x01";
        let mut reply = [0; 512];
        let sent = socket.send_to(query, ("127.0.0.1", self.port));
        sent.is_ok() && socket.recv(&mut reply).is_ok_and(|len| len > 12 && reply[3] & 15 == 0 && reply[7] > 0)
    }

    /// What `delv` says of a question when it trusts the key in a file alone.
    fn delv(&self, key_file: &str, name: &str, rtype: &str) -> String {
        let text = std::fs::read_to_string(key_file).unwrap();
        let words: Vec<&str> = text.split_whitespace().skip_while(|word| *word != "DNSKEY").skip(1).collect();
        let (numbers, octets) = (words[..3].join(" "), words[3..].concat());
        let anchor = self.folder.path().join("anchor");
        std::fs::write(&anchor, format!("trust-anchors {{ example.org. static-key {numbers} \"{octets}\"; }};\n"))
            .unwrap();
        let port = self.port.to_string();
        let anchor = anchor.display().to_string();
        let output = Command::new("delv")
            .args(["@127.0.0.1", "-p", &port, "-a", &anchor, "+root=example.org", name, rtype])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }
}

/// What a program says of a signed zone; it must not be against it.
fn accepts(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {said}");
}

#[test]
fn a_zone_that_sign_signed_is_accepted() {
    let server = Server::start(&format!(
        "file {{folder}}/db.example.org.signed {{\nreload 100ms\n}}\nsign {{folder}}/db {{\nkey file {}\ndirectory {{folder}}\n}}",
        key("Kexample.org.+013+56657")
    ));
    let signed = server.folder.path().join("db.example.org.signed").display().to_string();
    if has("ldns-verify-zone") {
        let public = key("Kexample.org.+013+56657.key");
        accepts("ldns-verify-zone", &["-V", "2", "-k", &public, &signed]);
    }
    if has("dnssec-verify") {
        accepts("dnssec-verify", &["-z", "-o", "example.org", &signed]);
    }
    if has("delv") {
        check_with_delv(&server, &key("Kexample.org.+013+56657.key"));
    }
}

#[test]
fn a_zone_with_nsec3_is_accepted_and_what_is_served_of_it() {
    for (line, is_plain) in [("nsec3", true), ("nsec3 iterations 5 salt aabb", true), ("nsec3 opt_out", false)] {
        let server = Server::start(&format!(
            "file {{folder}}/db.example.org.signed {{\nreload 100ms\n}}\nsign {{folder}}/db {{\nkey file {}\ndirectory {{folder}}\n{line}\n}}",
            key("Kexample.org.+013+56657")
        ));
        let signed = server.folder.path().join("db.example.org.signed").display().to_string();
        let text = std::fs::read_to_string(&signed).unwrap();
        assert!(text.contains("\tNSEC3PARAM\t") && !text.contains("\tNSEC\t"));
        // ldns-verify-zone knows no opt-out.
        if is_plain && has("ldns-verify-zone") {
            accepts("ldns-verify-zone", &["-V", "2", "-k", &key("Kexample.org.+013+56657.key"), &signed]);
        }
        if has("dnssec-verify") {
            accepts("dnssec-verify", &["-z", "-o", "example.org", &signed]);
        }
        if is_plain && has("delv") {
            check_with_delv(&server, &key("Kexample.org.+013+56657.key"));
        }
    }
}

#[test]
fn a_zone_signed_with_managed_keys_is_accepted() {
    for (lines, option) in [
        ("key managed {folder}", "-x"),
        ("key managed {folder} ED25519\ncsk", "-z"),
        ("key managed {folder} RSASHA256", "-x"),
    ] {
        let server = Server::start(&format!(
            "file {{folder}}/db.example.org.signed {{\nreload 100ms\n}}\nsign {{folder}}/db {{\n{lines}\ndirectory {{folder}}\nnsec3\n}}"
        ));
        let signed = server.folder.path().join("db.example.org.signed").display().to_string();
        if has("ldns-verify-zone") {
            accepts("ldns-verify-zone", &["-V", "2", &signed]);
        }
        if has("dnssec-verify") {
            accepts("dnssec-verify", &[option, "-o", "example.org", &signed]);
        }
    }
}

#[test]
fn what_dnssec_signs_is_accepted_for_every_kind_of_answer() {
    for (name, keys) in [
        ("Kexample.org.+013+56657", "Kexample.org.+013+56657"),
        ("Kexample.org.+013+56657", "Kexample.org.+013+56657 Kexample.org.+013+03750"),
        ("Kexample.org.+008+21679", "Kexample.org.+008+21679"),
    ] {
        let keys = keys.split(' ').map(key).collect::<Vec<_>>().join(" ");
        let server = Server::start(&format!("dnssec {{\nkey file {keys}\n}}\nfile {{folder}}/db"));
        if has("delv") {
            check_with_delv(&server, &key(&format!("{name}.key")));
        }
    }
}

/// Answers of every kind are validated.
fn check_with_delv(server: &Server, public: &str) {
    for (name, rtype) in [
        ("example.org", "SOA"),
        ("example.org", "MX"),
        ("example.org", "DNSKEY"),
        ("example.org", "CDS"),
        ("a.example.org", "A"),
        ("alias.example.org", "AAAA"),
        ("web.example.org", "HTTPS"),
        ("_http._tcp.example.org", "SRV"),
        ("x.w.example.org", "TXT"),
        ("sec.example.org", "DS"),
    ] {
        if rtype == "CDS" && public.contains("+008+") {
            // The key has no SEP flag.
            continue;
        }
        let said = server.delv(public, name, rtype);
        assert!(said.contains("; fully validated"), "{name} {rtype}: {said}");
    }
    for (name, rtype) in
        [("missing.example.org", "A"), ("a.example.org", "TXT"), ("example.org", "TXT"), ("uns.example.org", "DS")]
    {
        let said = server.delv(public, name, rtype);
        assert!(said.contains("; negative response, fully validated"), "{name} {rtype}: {said}");
    }
}

#[test]
fn kdig_sees_signatures_with_do_and_none_without() {
    if !has("kdig") {
        return;
    }
    let zsk = key("Kexample.org.+013+03750");
    let server = Server::start(&format!("dnssec {{\nkey file {zsk}\n}}\nfile {{folder}}/db"));
    let port = server.port.to_string();
    let asked = |option: &str| {
        let args = ["@127.0.0.1", "-p", &port, option, "a.example.org", "A"];
        String::from_utf8_lossy(&Command::new("kdig").args(args).output().unwrap().stdout).into_owned()
    };
    assert!(asked("+dnssec").contains("RRSIG"));
    assert!(!asked("+nodnssec").contains("RRSIG"));
}

/// The zones of `hosts` and `template` are signed by the same code.
#[test]
fn answers_of_hosts_and_template_are_accepted() {
    if !has("delv") {
        return;
    }
    let ksk = key("Kexample.org.+013+56657");
    let server = Server::start(&format!(
        "dnssec {{\nkey file {ksk}\n}}\n\
         template IN SOA example.org {{\nmatch ^example\\.org\\.$\nanswer \"example.org. 60 IN SOA ns admin 1 2 3 4 5\"\nfallthrough\n}}\n\
         template IN TXT example.org {{\nanswer \"{{{{ .Name }}}} 60 IN TXT made\"\n}}\n\
         hosts {{\n192.0.2.7 seven.example.org\n}}"
    ));
    for (name, rtype) in [("any.example.org", "TXT"), ("seven.example.org", "A"), ("example.org", "DNSKEY")] {
        let said = server.delv(&format!("{ksk}.key"), name, rtype);
        assert!(said.contains("; fully validated"), "{name} {rtype}: {said}");
    }
}
