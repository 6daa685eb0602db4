#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::time::Duration;

use catena_core::Clock;
use catena_testkit::{Kit, Recipe};
use catena_zone::zonefile::{Options, RecordBuf, read_zone};

use crate::PLUGIN;

const KSK: [&str; 2] = [
    include_str!("../../../tests/fixtures/keys/Kexample.org.+013+56657.key"),
    include_str!("../../../tests/fixtures/keys/Kexample.org.+013+56657.private"),
];
const ZSK: [&str; 2] = [
    include_str!("../../../tests/fixtures/keys/Kexample.org.+013+03750.key"),
    include_str!("../../../tests/fixtures/keys/Kexample.org.+013+03750.private"),
];
const ZONE: &str = "@ 3600 IN SOA ns admin 42 7200 3600 1209600 300\n@ 3600 IN NS ns\nns 3600 IN A 192.0.2.53\n";

fn recipe(body: &str) -> Recipe {
    let recipe = Recipe::new([PLUGIN], &format!("example.org {{\n{body}\n}}"));
    let recipe = recipe.file("ksk.key", KSK[0]).file("ksk.private", KSK[1]);
    recipe.file("zsk.key", ZSK[0]).file("zsk.private", ZSK[1]).file("text.key", "a 60 IN A 192.0.2.1")
}

/// A server that signs `db` of a folder into the same folder.
fn signing(folder: &Path, zones: &str) -> Kit {
    let folder = folder.display();
    let body = format!("sign {folder}/db {zones} {{\nkey file ksk\ndirectory {folder}\n}}");
    recipe(&body).build().map_err(|errors| errors[0].1.clone()).unwrap()
}

fn log_after(kit: &Kit) -> String {
    let mut log = String::new();
    for _ in 0..100 {
        kit.wait(Duration::from_millis(20));
        log.push_str(&kit.log.take().join("\n"));
        if log.contains("igned zone") || log.contains("Error") || log.contains("Skipping") {
            break;
        }
    }
    log
}

fn records(path: &Path) -> Vec<RecordBuf> {
    let mut records = Vec::new();
    read_zone(&std::fs::read(path).unwrap(), &Options::new("signed", &[0]), &mut |record| {
        records.push(RecordBuf::from(record));
        Ok(())
    })
    .unwrap();
    records
}

fn refused(body: &str) -> String {
    recipe(body).build().map(|_| ()).unwrap_err()[0].0.to_string()
}

#[test]
fn a_zone_is_signed_at_the_start_and_left_alone_at_the_next() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("db"), ZONE).unwrap();
    let kit = signing(folder.path(), "");
    let log = log_after(&kit);
    let signed = folder.path().join("db.example.org.signed");
    assert!(
        log.contains(&format!("Signing \"example.org.\" because open {}: no such file", signed.display())),
        "{log}"
    );
    let told = format!("Successfully signed zone \"example.org.\" in {signed:?} with key tags \"56657\" and ");
    assert!(log.contains(&told), "{log}");
    let found = records(&signed);
    // SOA NS DNSKEY CDNSKEY CDS CDS A, two NSEC records, a signature for each set.
    assert_eq!(found.len(), 7 + 2 + 8);
    let serial = u32::from_be_bytes(found[0].rdata[found[0].rdata.len() - 20..][..4].try_into().unwrap());
    assert_eq!(u64::from(serial), kit.clock.unix_seconds());
    drop(kit);

    let before = std::fs::read(&signed).unwrap();
    let log = log_after(&signing(folder.path(), ""));
    assert!(
        log.contains(&format!("Skipping signing zone \"example.org.\" in {signed:?}: signatures are valid")),
        "{log}"
    );
    assert_eq!(std::fs::read(&signed).unwrap(), before);
}

#[test]
fn nothing_but_the_signed_zones_is_left_in_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("db"), ZONE).unwrap();
    let kit = signing(folder.path(), "example.org example.net");
    log_after(&kit);
    log_after(&kit);
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["db", "db.example.net.signed", "db.example.org.signed"]);
}

#[test]
fn a_broken_zone_file_is_told_and_the_old_signed_zone_stays() {
    let folder = tempfile::tempdir().unwrap();
    let signed = folder.path().join("db.example.org.signed");
    std::fs::write(&signed, "old").unwrap();
    for (zone, why) in [("@ 60 IN A x\n", "db:1:"), ("@ 60 IN A 192.0.2.1\n", "has no SOA record")] {
        std::fs::write(folder.path().join("db"), zone).unwrap();
        let log = log_after(&signing(folder.path(), ""));
        assert!(
            log.contains("Error signing \"example.org.\" with key tags \"56657\" in ") && log.contains(why),
            "{log}"
        );
        assert_eq!(std::fs::read(&signed).unwrap(), b"old");
    }
}

#[test]
fn a_folder_that_is_not_there_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("db"), ZONE).unwrap();
    let db = folder.path().join("db");
    let body = format!("sign {} {{\nkey file ksk\ndirectory /none\n}}", db.display());
    let log = log_after(&recipe(&body).build().map_err(|errors| errors[0].1.clone()).unwrap());
    let told = "Error signing \"example.org.\": failed to move zone file into place: no such file or directory";
    assert!(log.contains(told), "{log}");
}

#[test]
fn a_changed_zone_file_is_signed_again_and_old_signatures_are() {
    use crate::signer::{Jitter, Signer};
    let folder = tempfile::tempdir().unwrap();
    let (source, output) = (folder.path().join("db"), folder.path().join("signed"));
    std::fs::write(&source, ZONE).unwrap();
    let kit = Kit::of(
        [PLUGIN],
        &format!(
            "sign {0} example.net {{\nkey file {1}\ndirectory {2}\n}}",
            source.display(),
            fixture(),
            folder.path().display()
        ),
    );
    let key = catena_zone::dnssec::PublicKey::read(KSK[0].as_bytes()).unwrap().with_private(KSK[1].as_bytes()).unwrap();
    let log = catena_core::Log::new(kit.log.clone());
    let signer = Signer {
        zone: catena_core::Zone::parse("example.org").unwrap(),
        source: source.clone(),
        output: output.clone(),
        keys: vec![key].into(),
        jitter: Jitter { inception: 0, expiration: 0 },
        clock: kit.clock.clone(),
        log,
        last: std::sync::Mutex::default(),
    };
    let looked = || {
        let before = std::fs::read(&output).ok();
        signer.look();
        std::fs::read(&output).ok() != before
    };
    assert!(looked());
    kit.clock.advance(Duration::from_secs(60));
    assert!(!looked());
    std::fs::write(&source, format!("{ZONE}b 60 IN A 192.0.2.1\n")).unwrap();
    std::fs::File::open(&source).unwrap().set_modified(kit.clock.wall()).unwrap();
    assert!(looked());
    assert!(!looked());
    kit.clock.advance(Duration::from_secs(6 * 24 * 3600 - 3 * 3600 + 1));
    assert!(looked(), "more than six days old");
}

fn fixture() -> String {
    format!("{}/../../tests/fixtures/keys/Kexample.org.+013+56657", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn what_is_wrong_with_the_directive_is_told() {
    let bad = |body: &str| refused(&format!("sign db {{\n{body}\n}}"));
    assert!(refused("sign").contains("Wrong argument count"));
    assert_eq!(bad("key file zsk"), "plugin/sign: DNSKEY in \"zsk.key\" is not a CSK/KSK");
    assert_eq!(bad("key file text"), "plugin/sign: RR in \"text.key\" is not a DNSKEY: 1");
    assert_eq!(bad("key file none"), "plugin/sign: open none.key: no such file or directory");
    assert_eq!(bad("key directory /keys"), "plugin/sign: directory: not implemented");
    assert_eq!(bad("directory"), "plugin/sign: can only be one argument after \"directory\"");
    assert_eq!(bad("directory a b"), "plugin/sign: can only be one argument after \"directory\"");
    assert!(bad("foo").ends_with("unknown property 'foo'"));
    assert!(bad("key").contains("Wrong argument count"));
    assert!(bad("key file").contains("Wrong argument count"));
    assert_eq!(bad("directory /tmp"), "plugin/sign: there is no key to sign with");
    assert_eq!(
        refused("sign d\u{fffd}b {\nkey file ksk\n}"),
        "plugin/sign: dbfile \"d\u{fffd}b\" contains invalid characters"
    );
}
