#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::time::Duration;

use catena_core::{Clock, Rtype};
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
    for (zone, why) in [("@ 60 IN A x\n", "db:1:11: "), ("@ 60 IN A 192.0.2.1\n", "has no SOA record")] {
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
fn a_bad_record_is_told_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("db"), format!("{ZONE}a 60 IN A 192.0.2.256\n")).unwrap();
    let log = log_after(&signing(folder.path(), ""));
    let (from, to) = (log.find("db:4:11: ").expect(&log), log.find(": \"a 60 IN A 192.0.2.256\"").expect(&log));
    assert!(to > from + "db:4:11: ".len(), "{log}");
}

#[test]
fn a_serial_far_ahead_of_the_clock_goes_on_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("db"), ZONE).unwrap();
    let signed = folder.path().join("db.example.org.signed");
    std::fs::write(&signed, "example.org. 60 IN SOA ns admin 3000000000 2 3 4 5\n").unwrap();
    let log = log_after(&signing(folder.path(), ""));
    assert!(log.contains(" 3000000001 SOA serial"), "{log}");
    let told = "[WARNING] plugin/sign: The serial 3000000001 of zone \"example.org.\" is ";
    assert!(
        log.contains(told) && log.contains(&format!("remove {signed:?}, restart, and have every secondary")),
        "{log}"
    );
}

#[test]
fn a_folder_that_is_not_there_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("db"), ZONE).unwrap();
    let db = folder.path().join("db");
    let body = format!("sign {} {{\nkey file ksk\ndirectory /none\n}}", db.display());
    let log = log_after(&recipe(&body).build().map_err(|errors| errors[0].1.clone()).unwrap());
    let told = "Error signing \"example.org.\": failed to move zone file into place: /none: no such file or directory";
    assert!(log.contains(told), "{log}");
}

#[test]
fn a_changed_zone_file_is_signed_again_and_old_signatures_are() {
    use crate::signer::{Jitter, Keys, Signer};
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
        keys: Keys::Given(vec![key].into()),
        nsec3: None,
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

    // A folder in the place of the signed zone.
    std::fs::remove_file(&output).unwrap();
    std::fs::create_dir_all(output.join("in the way")).unwrap();
    std::fs::write(&source, format!("{ZONE}c 60 IN A 192.0.2.1\n")).unwrap();
    std::fs::File::open(&source).unwrap().set_modified(kit.clock.wall()).unwrap();
    assert!(!looked());
    std::fs::remove_dir_all(&output).unwrap();
    kit.clock.advance(Duration::from_secs(60));
    assert!(looked(), "what stood in the way is gone");
    assert!(!looked());
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

#[test]
fn what_is_wrong_with_nsec3_is_told() {
    let bad = |line: &str| refused(&format!("sign db {{\nkey file ksk\n{line}\n}}"));
    assert!(bad("nsec3 iterations 51").starts_with("plugin/sign: '51' NSEC3 iterations, 50 at most"));
    assert!(bad("nsec3 iterations many").contains("'many' NSEC3 iterations"));
    assert!(bad("nsec3 iterations").contains("Wrong argument count"));
    assert!(bad("nsec3 salt abc").contains("'abc' is no salt"));
    assert!(bad("nsec3 salt xy").contains("'xy' is no salt"));
    assert!(bad(&format!("nsec3 salt {}", "ab".repeat(256))).contains("is no salt"));
    assert!(bad("nsec3 opt-out").ends_with("unknown property 'opt-out'"));
    let good = |line: &str| recipe(&format!("sign db {{\nkey file ksk\n{line}\n}}")).build().is_ok();
    for line in ["nsec3", "nsec3 iterations 0 salt - opt_out", "nsec3 salt ABcd iterations 50"] {
        assert!(good(line), "{line}");
    }
    assert!(good(&format!("nsec3 salt {}", "ab".repeat(255))));
}

#[test]
fn what_is_wrong_with_managed_keys_is_told() {
    let bad = |body: &str| refused(&format!("sign db {{\n{body}\n}}"));
    assert_eq!(bad("key managed keys\nkey file ksk"), "plugin/sign: keys are either from files or managed");
    assert_eq!(bad("key managed keys\nkey managed other"), "plugin/sign: keys are managed in one directory");
    assert_eq!(bad("key file ksk\ncsk"), "plugin/sign: csk is for keys that are managed: key managed DIRECTORY");
    assert!(bad("key managed").contains("Wrong argument count"));
    assert!(bad("key managed keys RSASHA1").contains("unknown algorithm 'RSASHA1', there are RSASHA256, "));
    assert!(
        bad("key managed keys 15 2048").ends_with("keys of ED25519 have no size to be chosen, only those of RSA have")
    );
    assert!(bad("key managed keys RSASHA256 1024").ends_with("RSA keys have 2048, 3072 or 4096 bits, not '1024'"));
    let policy = |line: &str| bad(&format!("key managed keys\n{line}"));
    assert!(policy("zsk_lifetime 30").contains("'30' is no duration such as"));
    assert!(policy("zsk_lifetime 0s").contains("a lifetime is longer than nothing"));
    assert!(policy("ksk_lifetime -1h").contains("is no duration"));
    assert!(policy("parent_ds_ttl 24856d").contains("is no duration"));
    assert!(policy("ksk_submission").contains("Wrong argument count"));
    assert!(policy("ksk_submission never").contains("'never' is neither manual, after, nor an address"));
    for wrong in ["after", "after 1h 2h", "after 192.0.2.1 192.0.2.2"] {
        let told = policy(&format!("ksk_submission {wrong}"));
        assert!(told.ends_with("behind ksk_submission after comes one duration, such as 36h"), "{told}");
    }
    assert!(policy("ksk_submission manual 1h").contains("nothing comes behind ksk_submission manual"));
    assert!(policy("zsk_lifetime 1d\ncsk").contains("with csk there is no ZSK"));
    let servers = "192.0.2.1 ".repeat(crate::keys::policy::PARENT_SERVERS_MAX + 1);
    assert!(policy(&format!("ksk_submission {servers}")).contains("more than 16 servers"));
    let twice = refused("sign db {\nkey managed keys\n}\nsign other {\nkey managed keys\n}");
    assert_eq!(twice, "plugin/sign: the keys of zone example.org. in \"keys\" are managed twice");
    for lines in [
        "key managed keys rsasha256 3072",
        "key managed keys 15\ncsk\nksk_lifetime 52w\nksk_submission after 36h",
        "zsk_lifetime unlimited\npropagation_delay 10m\nparent_propagation_delay 0s\nparent_ds_ttl 1d\nkey managed keys",
        "key managed keys\nksk_submission 192.0.2.1 [2001:db8::1]:5353 2001:db8::2",
    ] {
        assert!(recipe(&format!("sign db {{\n{lines}\n}}")).build().is_ok(), "{lines}");
    }
}

#[test]
fn a_zone_gets_its_first_keys_and_another_chain_when_the_corefile_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    std::fs::create_dir(&keys).unwrap();
    std::fs::write(folder.path().join("db"), ZONE).unwrap();
    let signed = folder.path().join("db.example.org.signed");
    let count = |rtype: Rtype| records(&signed).iter().filter(|record| record.rtype == rtype).count();
    let at = folder.path().display();
    for (line, nsec3) in [("", 0), ("nsec3", 2), ("nsec3 salt ab", 2), ("", 0)] {
        let body = format!("sign {at}/db {{\nkey managed {at}/keys\ndirectory {at}\n{line}\n}}");
        let kit = recipe(&body).build().map_err(|errors| errors[0].1.clone()).unwrap();
        let log = log_after(&kit);
        assert!(log.contains("Successfully signed zone"), "{log}");
        assert_eq!((count(Rtype::DNSKEY), count(Rtype::NSEC3), count(Rtype::CDS)), (2, nsec3, 0), "{line}");
        let gauge = "coredns_sign_keys{role=\"ksk\",stage=\"published\",zone=\"example.org.\"}";
        // Gauges are set when the state is on the disk.
        for _ in 0..100 {
            if kit.metric(gauge) == Some(1.0) {
                break;
            }
            kit.wait(Duration::from_millis(20));
        }
        assert_eq!(kit.metric(gauge), Some(1.0));
        assert!(kit.metric("coredns_sign_next_rollover_timestamp_seconds{zone=\"example.org.\"}").unwrap() > 0.0);
    }
    assert_eq!(std::fs::read_dir(&keys).unwrap().count(), 5);
}

#[test]
fn the_parent_is_asked_for_the_ds_record_until_all_its_servers_have_it() {
    use std::io::{Read, Write};
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("keys")).unwrap();
    std::fs::write(folder.path().join("db"), ZONE.replace("3600", "0").replace(" 300\n", " 0\n")).unwrap();
    let parent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = folder.path().display();
    let times = "propagation_delay 0s\nparent_propagation_delay 0s";
    let body = format!(
        "sign {at}/db {{\nkey managed {at}/keys\ndirectory {at}\n{times}\nksk_submission {}\n}}",
        parent.local_addr().unwrap()
    );
    // What the first server start makes, the second finds ready: each looks once.
    let state = || std::fs::read_to_string(folder.path().join("keys/Kexample.org.state")).unwrap();
    drop(log_after(&recipe(&body).build().map_err(|errors| errors[0].1.clone()).unwrap()));
    assert!(state().contains(" ksk published "), "{}", state());
    let signed = folder.path().join("db.example.org.signed");
    let kit = recipe(&body).build().map_err(|errors| errors[0].1.clone()).unwrap();
    let serve = std::thread::spawn(move || {
        let (mut stream, _) = parent.accept().unwrap();
        let mut query = vec![0; 2];
        stream.read_exact(&mut query).unwrap();
        query.resize(2 + usize::from(u16::from_be_bytes([query[0], query[1]])), 0);
        stream.read_exact(&mut query[2..]).unwrap();
        let ds = records(&signed).into_iter().find(|record| record.rtype == Rtype::CDS).unwrap().rdata;
        let mut reply = query[2..].to_vec();
        (reply[2], reply[7]) = (0x84, 1);
        reply.extend([0xc0, 12, 0, 43, 0, 1, 0, 0, 0, 77, 0, ds.len() as u8]);
        reply.extend(ds);
        stream.write_all(&(reply.len() as u16).to_be_bytes()).unwrap();
        stream.write_all(&reply).unwrap();
        // The query is one for DS records.
        query[query.len() - 3]
    });
    for _ in 0..200 {
        kit.wait(Duration::from_millis(20));
        if state().contains(" ksk active ") {
            break;
        }
    }
    assert_eq!(serve.join().unwrap(), 43);
    assert!(state().contains(" ksk active ") && state().contains("parent-ds-ttl 77\n"), "{}", state());
}
