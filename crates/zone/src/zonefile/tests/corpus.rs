//! Zone files, good and bad: what we and BIND think of them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use catena_core::Files;

use super::*;

/// Good files that BIND refuses.
const BIND_REFUSES: [(&str, &str); 15] = [
    ("chaos", "a zone of class IN was asked for; the file decides here"),
    ("cname-and-other", "what a zone must hold is the store's matter"),
    ("empty", "what a zone must hold is the store's matter"),
    ("gateway-without-key", "RFC 4025 section 2.6: the key may be missing"),
    ("generate-any-rdata", "CoreDNS takes the whole line, BIND one word"),
    ("host", "CoreDNS takes other than two strings"),
    ("long-text", "CoreDNS cuts long texts"),
    ("no-ns", "what a zone must hold is the store's matter"),
    ("no-soa", "what a zone must hold is the store's matter"),
    ("old-types", "BIND refuses obsolete types, CoreDNS loads them"),
    ("only-coredns-types", "types that BIND 9.18 does not know by name"),
    ("short-digest", "lengths of digests are not checked, as in CoreDNS"),
    ("string-over-lines", "RFC 1035 section 5.1 lets a quoted string have any octets"),
    ("two-soa", "what a zone must hold is the store's matter"),
    ("unit-then-seconds", "CoreDNS adds the seconds"),
];

/// Files that both load, and not as the same.
const BIND_LOADS_OTHERWISE: [(&str, &str); 4] = [
    ("generate-quoted", "BIND loses the quotes of what $GENERATE makes"),
    ("include", "the $TTL of an included file ends with it, as in CoreDNS; in BIND it stays"),
    ("large-ttl", "BIND makes 0 of what is above 2147483647"),
    ("outside", "BIND drops what is outside of the zone; here it is the store's matter"),
];

/// Options of `named-checkzone` that leave the content of a zone out.
const SYNTAX_ONLY: [&str; 19] = [
    "-q", "-i", "none", "-k", "ignore", "-m", "ignore", "-M", "ignore", "-n", "ignore", "-r", "ignore", "-S", "ignore",
    "-T", "ignore", "-W", "ignore",
];

fn folder(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/zones").join(kind)
}

/// The names, without their ending, and the octets of the files.
fn zones(kind: &str) -> Vec<(String, Vec<u8>)> {
    let paths = fs::read_dir(folder(kind)).unwrap().map(|entry| entry.unwrap().path());
    let zones = paths.filter(|path| path.extension().is_some_and(|ending| ending == "zone"));
    let mut zones: Vec<_> =
        zones.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())).collect();
    zones.sort();
    assert!(zones.len() > 20, "{}", folder(kind).display());
    zones
}

/// The files of a folder.
struct Folder(PathBuf);

impl Files for Folder {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(self.0.join(path))
    }

    fn is_dir(&self, _path: &Path) -> bool {
        false
    }

    fn list(&self, _dir: &Path) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }
}

fn load(kind: &str, name: &str, octets: &[u8]) -> Result<Vec<RecordBuf>, ZoneError> {
    let files = Folder(folder(kind));
    let file = format!("{name}.zone");
    let options = Options { include: &IncludeFiles(&files), ..Options::new(&file, ORIGIN) };
    let mut records = Vec::new();
    read_zone(octets, &options, &mut |record| {
        records.push(RecordBuf::from(record));
        Ok(())
    })?;
    Ok(records)
}

#[test]
fn good_files_load_and_what_is_written_of_them_loads_as_the_same() {
    for (name, octets) in zones("good") {
        let records = load("good", &name, &octets).unwrap_or_else(|error| panic!("{}", error.render()));
        let mut text = Vec::new();
        records.iter().for_each(|record| write_record(record.as_ref(), &mut text));
        let again = load("good", &name, &text).unwrap_or_else(|error| panic!("{}", error.render()));
        assert_eq!(records, again, "{name}");
    }
}

#[test]
fn bad_files_are_refused_with_file_line_and_column() {
    for (name, octets) in zones("bad") {
        let text = String::from_utf8(octets).unwrap();
        let expected = text.lines().find_map(|line| line.strip_prefix("; expect: ")).expect(&name);
        let error = load("bad", &name, text.as_bytes()).expect_err(&name);
        assert_eq!(error.to_string(), expected, "{name}");
        let line = text.lines().nth(error.line() - 1).unwrap_or_default();
        assert!(error.file() != format!("{name}.zone") || line.contains(error.text()), "{name}: {}", error.text());
        assert!(
            error.render().contains(&format!("--> {}:{}:{}", error.file(), error.line(), error.column())),
            "{name}"
        );
    }
}

#[test]
fn the_fuzzers_corpus_and_all_zone_files_do_no_harm() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/zonefile");
    let mut count = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        fuzz_one(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 10);
    zones("good").iter().chain(&zones("bad")).for_each(|(_, octets)| fuzz_one(octets));
}

/// What `named-checkzone` says about a file: the zone as text, or nothing if it refuses it. `None` if there is no such program.
fn bind(kind: &str, name: &str) -> Option<Option<Vec<u8>>> {
    let mut command = Command::new("named-checkzone");
    command.args(SYNTAX_ONLY).args(["-D", "-F", "text", "-s", "full", "-o", "-", "example.org"]);
    let output = command.arg(format!("{name}.zone")).current_dir(folder(kind)).output().ok()?;
    Some(output.status.success().then_some(output.stdout))
}

#[test]
fn named_checkzone_agrees_but_for_the_differences_that_are_wanted() {
    let mut refused = BTreeSet::new();
    let mut otherwise = BTreeSet::new();
    for (name, octets) in zones("good") {
        let Some(text) = bind("good", &name) else { return not_installed() };
        let Some(text) = text else {
            refused.insert(name);
            continue;
        };
        let set =
            |records: Vec<RecordBuf>| records.iter().map(|record| line(record).to_lowercase()).collect::<BTreeSet<_>>();
        let ours = set(load("good", &name, &octets).unwrap());
        let theirs = set(load("good", &name, &text).unwrap_or_else(|error| panic!("{name}: {}", error.render())));
        if ours != theirs {
            otherwise.insert(name);
        }
    }
    let listed = |list: &[(&str, &str)]| list.iter().map(|(name, _)| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(refused, listed(&BIND_REFUSES));
    assert_eq!(otherwise, listed(&BIND_LOADS_OTHERWISE));
    let accepted: Vec<_> = zones("bad").into_iter().filter(|(name, _)| bind("bad", name) != Some(None)).collect();
    assert_eq!(accepted, []);
}

#[allow(clippy::disallowed_macros)]
fn not_installed() {
    eprintln!("skipped: named-checkzone is not installed");
}
