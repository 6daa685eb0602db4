//! What must hold for every text: shared by the fuzz target, the replay of its corpus and the property tests.

use std::io;
use std::path::Path;

use crate::ast::Directive;
use crate::configmap::{configmap_corefile, parse_any};
use crate::cursor::Cursor;
use crate::key::{parse_key, zones_from_arg};
use crate::parse::{Files, ParseOptions, Parsed};
use crate::source::{FileId, SourceMap, Span, decode};

/// A few files to import, one of which imports itself.
struct Sample;

impl Files for Sample {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match path.to_str() {
            Some("/c/a") => Ok(b"log { # x\n \"y\nz\" }\n".to_vec()),
            Some("/c/b") => Ok(b"example.org {\n import a\n}\n".to_vec()),
            Some("/c/d/e") => Ok(b"import ../a ../a\nimport ../a\n\xff".to_vec()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn is_dir(&self, path: &Path) -> bool {
        matches!(path.to_str(), Some("/c" | "/c/d" | "/"))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let names: &[&str] = match dir.to_str() {
            Some("/c") => &["d", "b", "a"],
            Some("/c/d") => &["e"],
            _ => &[],
        };
        Ok(names.iter().map(|name| (*name).to_owned()).collect())
    }
}

fn environment(name: &str) -> Option<String> {
    match name {
        "A" => Some("log x".to_owned()),
        "B" => Some("{$A}{%A%}".to_owned()),
        "S" => Some("{$S}".to_owned()),
        _ => None,
    }
}

/// Parses any bytes as a Corefile or manifest, reads everything that comes of it, and checks it.
///
/// # Panics
/// When something that must hold does not.
pub fn fuzz_one(data: &[u8]) {
    let text = decode(data);
    let options = ParseOptions {
        name: "Corefile",
        path: Path::new("/c/Corefile"),
        directives: &["cache", "errors", "hosts", "log"],
        env: &environment,
        files: &Sample,
    };
    check(&parse_any(&text, &options));
    if let Ok(Some(extract)) = configmap_corefile(&text) {
        let mut last = 0;
        for at in 0..=u32::try_from(extract.text.len()).unwrap_or(0) {
            let found = extract.manifest_offset(at);
            assert!(found as usize <= text.len() && found >= last, "{at} maps to {found} after {last}");
            last = found;
        }
    }
}

fn check(parsed: &Parsed) {
    let sources = &parsed.sources;
    for diagnostic in &parsed.diagnostics {
        assert!(diagnostic.span.is_none_or(|span| in_bounds(sources, span)), "{diagnostic:?}");
        assert!(!diagnostic.one_line().is_empty());
        assert!(!diagnostic.render(sources).is_empty());
    }
    for block in &parsed.corefile.blocks {
        assert!(!block.keys.is_empty());
        for key in &block.keys {
            assert!(in_bounds(sources, key.span), "{key:?}");
            for address in parse_key(&key.text, "53").unwrap_or_default() {
                assert!(address.zone.ends_with('.'), "{address}");
            }
            zones_from_arg(&key.text);
        }
        block.directives.iter().for_each(|directive| check_directive(directive, sources));
    }
    assert_eq!(parsed.corefile.sha512_hex().len(), 128);
}

fn check_directive(directive: &Directive, sources: &SourceMap) {
    for token in &directive.tokens {
        assert!(in_bounds(sources, token.span), "{token:?}");
        let imported = token.span.file != FileId(0);
        assert_eq!(imported, !token.file.is_empty(), "{token:?}");
        assert_eq!(sources.line(token.span), token.shown_line, "{token:?}");
    }
    let mut cursor = Cursor::new(directive, "Corefile");
    let mut taken = 0;
    while cursor.next() {
        taken += 1;
        taken += cursor.remaining_tokens().len();
        while cursor.next_block() {
            taken += 1 + cursor.remaining_args().len();
        }
        assert!(!cursor.arg_err().one_line().is_empty());
    }
    assert!(taken <= directive.tokens.len(), "{directive:?}");
}

fn in_bounds(sources: &SourceMap, span: Span) -> bool {
    span.start <= span.end && sources.text(span.file).get(span.start as usize..span.end as usize).is_some()
}
