#![allow(clippy::unwrap_used, clippy::expect_used)]
use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;

/// A folder `/etc/web` with two pairs of certificate and key, and what a test adds.
fn folder() -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for name in ["one", "two"] {
        let pair = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        files.insert(format!("/etc/web/{name}.crt").into(), pair.cert.pem().into_bytes());
        files.insert(format!("/etc/web/{name}.key").into(), pair.signing_key.serialize_pem().into_bytes());
    }
    files.insert("/etc/web/empty".into(), Vec::new());
    files
}

fn read_text(text: &str) -> Result<Web, String> {
    let mut files = folder();
    files.insert("/etc/web/web.yml".into(), text.as_bytes().to_vec());
    read(Path::new("/etc/web/web.yml"), |path| files.get(path).cloned().ok_or_else(|| io::Error::from_raw_os_error(2)))
}

/// The settings that come of a good pair and some lines more.
fn tls(more: &[&str]) -> HttpTls {
    match read_text(&section(more)) {
        Ok(Web::Tls(tls)) => tls,
        other => panic!("{other:?}"),
    }
}

fn section(more: &[&str]) -> String {
    let lines = ["cert_file: one.crt", "key_file: /etc/web/one.key"];
    let lines: String = lines.iter().chain(more).map(|line| format!("  {line}\n")).collect();
    format!("tls_server_config:\n{lines}")
}

fn wrong(text: &str, told: &str) {
    assert_eq!(read_text(text), Err(format!("/etc/web/web.yml{told}")), "{text}");
}

#[test]
fn files_are_relative_to_the_folder_of_the_file() {
    let read = tls(&[]);
    assert!(read.chain.starts_with(b"-----BEGIN CERTIFICATE") && read.key.starts_with(b"-----BEGIN PRIVATE KEY"));
    assert_eq!((read.client_auth, read.versions), (ClientAuth::None, TlsVersions::Both));
}

#[test]
fn certificate_and_key_may_stand_in_the_file() {
    let files = folder();
    let indented = |name: &str| {
        let text = String::from_utf8(files[Path::new(name)].clone()).unwrap();
        text.lines().map(|line| format!("    {line}\n")).collect::<String>()
    };
    let (cert, key) = (indented("/etc/web/one.crt"), indented("/etc/web/one.key"));
    let text = format!("tls_server_config:\n  cert: |\n{cert}  key: |\n{key}");
    assert!(matches!(read_text(&text), Ok(Web::Tls(_))));
}

#[test]
fn every_way_of_asking_for_clients_certificates_has_its_name() {
    for (name, asked) in [
        ("NoClientCert", ClientAuth::None),
        ("\"\"", ClientAuth::None),
        ("RequestClientCert", ClientAuth::Request),
        ("RequireAnyClientCert", ClientAuth::RequireAny),
        ("RequireClientCert", ClientAuth::RequireAny),
    ] {
        assert_eq!(tls(&[&format!("client_auth_type: {name}")]).client_auth, asked, "{name}");
    }
    for (name, asked) in [
        ("VerifyClientCertIfGiven", ClientAuth::VerifyIfGiven),
        ("RequireAndVerifyClientCert", ClientAuth::RequireAndVerify),
    ] {
        let read = tls(&[&format!("client_auth_type: {name}"), "client_ca_file: two.crt"]);
        assert_eq!(read.client_auth, asked, "{name}");
        assert!(!read.client_roots.is_empty());
    }
}

#[test]
fn versions_are_between_the_lowest_and_the_highest() {
    for (lines, versions) in [
        (vec!["min_version: TLS12"], TlsVersions::Both),
        (vec!["min_version: TLS13"], TlsVersions::Only13),
        (vec!["max_version: TLS12"], TlsVersions::Only12),
        (vec!["min_version: TLS13", "max_version: TLS13"], TlsVersions::Only13),
        (vec!["min_version: TLS12", "max_version: TLS13", "prefer_server_cipher_suites: true"], TlsVersions::Both),
    ] {
        assert_eq!(tls(&lines).versions, versions, "{lines:?}");
    }
}

#[test]
fn a_file_that_is_not_there_is_missing_and_one_without_tls_is_plain() {
    let none = read(Path::new("web.yml"), |_| Err(io::Error::from_raw_os_error(2)));
    assert_eq!(none, Ok(Web::Missing));
    let forbidden = read(Path::new("web.yml"), |_| Err(io::Error::from_raw_os_error(13)));
    assert_eq!(forbidden, Err("open web.yml: permission denied".to_owned()));
    for text in
        ["", "---\n", "tls_server_config:\n", "tls_server_config: {}\n", "tls_server_config:\n  cert_file: ''\n"]
    {
        assert_eq!(read_text(text), Ok(Web::Plain), "{text}");
    }
}

#[test]
fn what_is_not_of_the_format_is_told_with_its_line() {
    wrong("- a\n", ":1: not a mapping");
    wrong("tls_server_config: x\n", ":1: tls_server_config is not a mapping");
    wrong("tls_config: {}\n", ":1: field tls_config not found in the web configuration");
    wrong("tls_server_config: {}\ntls_server_config: {}\n", ":2: key \"tls_server_config\" already set in map");
    wrong("tls_server_config: {}\n---\na: b\n", ":3: more than one document");
    wrong(&section(&["cert: [x]"]), ":4: cert is not a text");
    wrong(&section(&["cert_file: x"]), ":4: key \"cert_file\" already set in map");
    wrong(&section(&["certs: x"]), ":4: field certs not found in tls_server_config");
    wrong(&section(&["client_auth_type: Sometimes"]), ":4: invalid ClientAuth: Sometimes");
    wrong(&section(&["min_version: TLS14"]), ":4: unknown TLS version: TLS14");
    wrong(&section(&["max_version: TLS12", "min_version: TLS13"]), ":5: min_version is above max_version");
    wrong(&section(&["prefer_server_cipher_suites: x"]), ":4: prefer_server_cipher_suites is true or false, not x");
    let broken = read_text("tls_server_config: {").unwrap_err();
    assert!(broken.starts_with("/etc/web/web.yml:") && broken.contains(": yaml: "), "{broken}");
}

#[test]
fn what_is_not_supported_is_an_error_and_not_ignored() {
    for name in ["http_server_config", "basic_auth_users", "rate_limit"] {
        let told = format!(":1: {name} is not supported: the file can have tls_server_config alone");
        wrong(&format!("{name}:\n  a: b\n"), &told);
    }
    for name in ["cipher_suites", "curve_preferences", "client_allowed_sans"] {
        wrong(&section(&[&format!("{name}: [a]")]), &format!(":4: {name} is not supported"));
    }
    wrong(&section(&["min_version: TLS10"]), ":4: TLS10 is not supported: the versions are TLS12 and TLS13");
}

#[test]
fn certificates_that_are_missing_or_do_not_fit_are_told() {
    let settings = |lines: &str| format!("tls_server_config: {{{lines}}}\n");
    wrong(&settings("key_file: one.key"), ": missing one of cert or cert_file");
    wrong(&settings("cert_file: one.crt"), ": missing one of key or key_file");
    wrong(
        &settings("cert_file: x, key_file: one.key"),
        ": failed to read cert_file (/etc/web/x): open /etc/web/x: no such file or directory",
    );
    wrong(
        &settings("cert_file: empty, key_file: one.key"),
        ": failed to load X509KeyPair: tls: failed to find any PEM data in certificate input",
    );
    let other = read_text(&settings("cert_file: one.crt, key_file: two.key")).unwrap_err();
    assert!(other.contains("failed to load X509KeyPair: tls: "), "{other}");
    wrong(&section(&["client_ca_file: two.crt"]), ": client CA's have been configured without a Client Auth Policy");
    wrong(
        &section(&["client_auth_type: RequireAndVerifyClientCert"]),
        ": client_auth_type verifies and there is no client_ca_file",
    );
    wrong(
        &section(&["client_auth_type: RequestClientCert", "client_ca: x"]),
        ": there is no certificate in client_ca_file",
    );
}

#[test]
fn settings_are_limited() {
    let lines = |count: usize| (0..count).map(|n| format!("  x{n}: y\n")).collect::<String>();
    let told =
        |count: usize| settings(&format!("tls_server_config:\n{}", lines(count))).err().map(|fault| fault.message);
    assert_eq!(told(yaml::SETTINGS_MAX), None);
    assert_eq!(told(yaml::SETTINGS_MAX + 1), Some("more than 64 settings".to_owned()));
}
