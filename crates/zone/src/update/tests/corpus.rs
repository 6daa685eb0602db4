use std::fs;
use std::path::Path;

use super::message;
use crate::update::fuzz_one;

/// Messages of every form, the beginning of the fuzzer's corpus.
fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    [
        ("add", "add z 60 A 192.0.2.9\nadd z 60 TXT x\nadd a 90 A 192.0.2.1"),
        ("alias", "add alias 60 CNAME other\nadd a 60 CNAME b\ndel a\nadd a 60 CNAME b"),
        ("delete", "del a A\ndel b.c\ndel a TXT x\ndel @ NS ns\ndel @ NS ns.example.net.\ndel @"),
        ("prerequisites", "yes a A\nyes a\nno z\nno a AAAA\nis a 0 A 192.0.2.1\nis a 0 A 192.0.2.2"),
        ("soa", "add @ 60 SOA ns admin 5 1 2 3 4\nadd d 60 DNAME example.com.\nadd x 60 SVCB 1 Other."),
    ]
    .map(|(name, lines)| (name, message(lines)))
    .into()
}

#[test]
fn the_fuzzers_corpus_does_no_harm() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/update");
    for (name, octets) in seeds() {
        fuzz_one(&octets);
        let kept = fs::read(corpus.join(name)).unwrap_or_default();
        assert_eq!(kept, octets, "the corpus has another {name}");
    }
    for entry in fs::read_dir(&corpus).unwrap() {
        fuzz_one(&fs::read(entry.unwrap().path()).unwrap());
    }
}

#[test]
fn changed_octets_do_no_harm() {
    for (_, octets) in seeds() {
        for at in 0..octets.len() {
            for with in [0, 1, 0x7f, 0xc0, 0xff, octets[at] ^ 0x20] {
                let mut other = octets.clone();
                other[at] = with;
                fuzz_one(&other);
            }
            fuzz_one(&octets[..at]);
        }
    }
}
