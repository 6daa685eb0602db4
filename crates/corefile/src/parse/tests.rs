#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use super::*;
use crate::cursor::Cursor;

const KNOWN: [&str; 7] = ["cache", "errors", "forward", "hosts", "log", "loop", "whoami"];

/// Files in memory; a path that other paths are below of is a directory.
#[derive(Default)]
struct Memory(BTreeMap<String, Vec<u8>>);

impl Memory {
    fn of(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect())
    }
}

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path.ends_with("forbidden") {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.0.get(&glob::clean(path.to_str().unwrap())).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn is_dir(&self, path: &Path) -> bool {
        let below = format!("{}/", path.to_str().unwrap().trim_end_matches('/'));
        self.0.keys().any(|file| file.starts_with(&below))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let below = format!("{}/", dir.to_str().unwrap().trim_end_matches('/'));
        let mut names: Vec<String> =
            self.0.keys().filter_map(|file| file.strip_prefix(&below)?.split('/').next().map(str::to_owned)).collect();
        names.dedup();
        names.reverse();
        Ok(names)
    }
}

fn environment(name: &str) -> Option<String> {
    let value = match name {
        "ZONE" => "example.org",
        "PLUGIN" => "log",
        "WORDS" => "two words",
        "FILE" => "part",
        "SELF" => "{$SELF}",
        _ => return None,
    };
    Some(value.to_owned())
}

fn with_files(text: &str, files: &[(&str, &str)]) -> Parsed {
    let files = Memory::of(files);
    parse(
        text,
        &ParseOptions {
            name: "Corefile",
            path: Path::new("/etc/Corefile"),
            directives: &KNOWN,
            env: &environment,
            files: &files,
        },
    )
}

fn parsed(text: &str) -> Parsed {
    with_files(text, &[])
}

fn lines(parsed: &Parsed) -> Vec<String> {
    parsed.diagnostics.iter().map(Diagnostic::one_line).collect()
}

fn errors(text: &str) -> Vec<String> {
    lines(&parsed(text))
}

fn keys(parsed: &Parsed) -> Vec<Vec<&str>> {
    parsed.corefile.blocks.iter().map(|block| block.keys.iter().map(|key| key.text.as_str()).collect()).collect()
}

/// The words of a directive of the first block.
fn words(parsed: &Parsed, directive: &str) -> Vec<String> {
    assert_eq!(lines(parsed), Vec::<String>::new());
    let found = parsed.corefile.blocks[0].directive(directive).unwrap();
    found.tokens.iter().map(|token| token.text.to_string()).collect()
}

#[test]
fn keys_stand_on_one_line_or_go_on_after_a_comma() {
    for (text, expected) in [
        (". {\n}", vec![vec!["."]]),
        ("a b\n{\n}", vec![vec!["a", "b"]]),
        ("a, b {\n}", vec![vec!["a", "b"]]),
        ("a,\nb,\nc {\n}\nd {\n}", vec![vec!["a", "b", "c"], vec!["d"]]),
        ("a", vec![vec!["a"]]),
        ("a\nlog", vec![vec!["a"]]),
        ("\"\" a {\n}", vec![vec!["a"]]),
        ("{$ZONE}:53 {$UNSET} {\n}", vec![vec!["example.org:53"]]),
        ("# nothing\n", vec![]),
        ("", vec![]),
    ] {
        let parsed = parsed(text);
        assert_eq!(keys(&parsed), expected, "{text}");
        assert_eq!(lines(&parsed), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_comma_makes_the_next_key_mandatory() {
    assert_eq!(
        errors("a, {\n log\n}"),
        ["Corefile:1 - Error during parsing: Expected another address but had '{' - check for extra comma"]
    );
    assert_eq!(errors("a,\nb,"), ["Corefile:2 - Error during parsing: Unexpected EOF"]);
}

#[test]
fn without_braces_the_rest_is_one_body() {
    let parsed = parsed(".\nhosts {\n 192.0.2.1 a\n}\nlog");
    assert_eq!(words(&parsed, "hosts"), ["hosts", "{", "192.0.2.1", "a", "}"]);
    assert_eq!(words(&parsed, "log"), ["log"]);
    assert_eq!(
        errors(".\nlog\nexample.org {\n}"),
        ["Corefile:3 - Error during parsing: Unknown directive 'example.org'"]
    );
}

#[test]
fn a_brace_on_the_line_of_a_directive_does_not_close_the_block() {
    assert_eq!(
        errors(". { whoami }"),
        ["Corefile:1 - Error during parsing: Unexpected '}' because no matching opening brace"]
    );
}

#[test]
fn a_block_that_is_never_closed_is_an_error_that_tells_where_it_opened() {
    let parsed = parsed(".:53 {\n whoami\n log\n");
    assert_eq!(lines(&parsed), ["Corefile:3 - Syntax error: Unexpected token 'log', expecting '}'"]);
    assert_eq!(parsed.diagnostics[0].notes(), ["the block was opened at Corefile:1"]);
    assert_eq!(errors(".:53 {\n hosts {\n  a\n"), ["Corefile:3 - Error during parsing: Unexpected EOF"]);
}

#[test]
fn a_quote_that_swallowed_the_closing_brace_is_named() {
    for text in [". {\n log \"a\n}\n", ". {\n hosts {\n  \"a\\\" }\n}\n"] {
        let help = parsed(text).diagnostics[0].help().map(str::to_owned);
        assert_eq!(help.as_deref(), Some("the quote that opens here is never closed"), "{text}");
    }
    assert_eq!(parsed(". {\n log \"a\"").diagnostics[0].help(), None);
}

#[test]
fn the_brace_of_a_plugin_at_the_very_end_counts_for_the_server_block_too() {
    assert_eq!(errors(". {\n hosts {\n }\n"), Vec::<String>::new());
}

#[test]
fn a_stray_brace_at_top_level_is_a_syntax_error_and_no_zone() {
    let parsed = parsed(". {\n log\n}\n}\nexample.org {\n log\n}\n");
    assert_eq!(lines(&parsed), ["Corefile:4 - Syntax error: Unexpected token '}', expecting 'zone'"]);
    assert_eq!(keys(&parsed), [["."], ["example.org"]]);
    assert_eq!(errors("a } {\n}"), ["Corefile:1 - Syntax error: Unexpected token '}', expecting 'zone'"]);
    assert_eq!(errors("}"), ["Corefile:1 - Syntax error: Unexpected token '}', expecting 'zone'"]);
}

#[test]
fn an_unknown_directive_is_shown_with_its_nearest_name_and_the_rest_is_read() {
    let parsed = parsed(". {\n cahce 30 {\n  x\n }\n log\n nonsense\n}\nb {\n whoami }\n");
    assert_eq!(
        lines(&parsed),
        [
            "Corefile:2 - Error during parsing: Unknown directive 'cahce'",
            "Corefile:6 - Error during parsing: Unknown directive 'nonsense'",
            "Corefile:9 - Error during parsing: Unexpected '}' because no matching opening brace",
        ]
    );
    let shown = parsed.diagnostics[0].render(&parsed.sources);
    assert!(shown.contains("--> Corefile:2:2") && shown.contains("did you mean `cache`?"), "{shown}");
    assert_eq!(parsed.diagnostics[1].help(), None);
    assert!(parsed.corefile.blocks[0].directive("log").is_some());
}

#[test]
fn a_block_inside_a_block_gets_a_hint() {
    let parsed = parsed(". {\n log\nexample.org {\n log\n}\n");
    assert_eq!(lines(&parsed), ["Corefile:3 - Error during parsing: Unknown directive 'example.org'"]);
    assert!(parsed.diagnostics[0].help().unwrap().contains("missing"));
}

#[test]
fn names_of_directives_are_case_sensitive_and_expanded_but_kept_as_written() {
    assert_eq!(errors(". {\n Log\n}"), ["Corefile:2 - Error during parsing: Unknown directive 'Log'"]);
    let parsed = parsed(". {\n {%PLUGIN%} {$WORDS} \"{$WORDS}!\"\n}");
    assert_eq!(words(&parsed, "log"), ["{%PLUGIN%}", "two words", "two words!"]);
}

#[test]
fn an_empty_list_of_directives_takes_every_name() {
    let no_env = |_: &str| None;
    let options = ParseOptions { name: "x", path: Path::new("/x"), directives: &[], env: &no_env, files: &NoFiles };
    let parsed = parse(". {\n anything\n}", &options);
    assert!(parsed.diagnostics.is_empty());
    assert!(parsed.corefile.blocks[0].directive("anything").is_some());
}

#[test]
fn a_directive_owns_its_line_and_its_braces_even_on_the_next_line() {
    let parsed = parsed(". {\n cache 30\n {\n  a { b }\n }\n log\n}");
    assert_eq!(words(&parsed, "cache"), ["cache", "30", "{", "a", "{", "b", "}", "}"]);
}

#[test]
fn uses_of_one_directive_are_put_together_in_order() {
    let parsed = parsed(". {\n forward a\n log\n forward b {\n }\n}");
    assert_eq!(words(&parsed, "forward"), ["forward", "a", "forward", "b", "{", "}"]);
    let names: Vec<&str> = parsed.corefile.blocks[0].directives.iter().map(|directive| &*directive.name).collect();
    assert_eq!(names, ["forward", "log"]);
}

#[test]
fn a_quoted_word_with_line_ends_keeps_its_arguments_on_one_line() {
    let parsed = parsed(". {\n log \"a\nb\" c\n whoami\n}");
    assert_eq!(words(&parsed, "log"), ["log", "a\nb", "c"]);
    assert_eq!(words(&parsed, "whoami"), ["whoami"]);
}

#[test]
fn references_without_end_are_an_error_at_their_place() {
    let parsed = parsed(". {\n log {$SELF}\n}");
    assert_eq!(
        lines(&parsed),
        ["Corefile:2 - Error during parsing: environment references of '{$SELF}' expand without end"]
    );
}

#[test]
fn a_snippet_is_put_in_place_and_is_no_server_block() {
    let parsed = parsed(
        "(shared) {\n log {$WORDS}\n hosts {\n  a\n }\n}\na {\n import shared\n}\nb {\n import shared\n whoami\n}",
    );
    assert_eq!(keys(&parsed), [["a"], ["b"]]);
    assert_eq!(words(&parsed, "log"), ["log", "two words"]);
    assert!(parsed.corefile.blocks[1].directive("hosts").is_some());
    assert!(parsed.corefile.blocks[1].directive("whoami").is_some());
    assert_eq!(parsed.corefile.blocks[1].directive("log").unwrap().tokens[0].line, 2);
}

#[test]
fn faults_of_snippets_are_told() {
    assert_eq!(
        errors("(a) {\n}\n(a) {\n}\n. {\n import a\n}"),
        ["Corefile:3 - Error during parsing: redeclaration of previously declared snippet a"]
    );
    assert_eq!(
        errors("(a) {\n import a\n}\n. {\n import a\n}"),
        ["Corefile:3 - Error during parsing: maximum snippet import depth (10000) exceeded"]
    );
    assert_eq!(errors("(a)\nlog\n"), ["Corefile:2 - Syntax error: Unexpected token 'log', expecting '{'"]);
    assert_eq!(errors("(a) {\n log\n"), ["Corefile:2 - Syntax error: Unexpected token 'log', expecting '}'"]);
}

#[test]
fn an_error_in_a_snippet_is_told_once_at_its_own_line() {
    assert_eq!(
        errors("(a) {\n nonsense\n}\n. {\n import a\n}\nb {\n import a\n}"),
        ["Corefile:2 - Error during parsing: Unknown directive 'nonsense'"]
    );
}

#[test]
fn snippets_that_import_each_other_end_at_the_limit() {
    let found = errors("(a) {\n import b\n}\n(b) {\n import a\n}\n. {\n import a\n}");
    // The first import of the block, then the even ones are those of (a).
    assert_eq!(found, ["Corefile:5 - Error during parsing: maximum snippet import depth (10000) exceeded"]);
}

#[test]
fn the_number_of_snippets_put_in_place_has_an_edge() {
    let text = |count: usize| format!("(a) {{\n log\n}}\n. {{\n{}}}\n", " import a\n".repeat(count));
    assert_eq!(errors(&text(SNIPPET_EXPANSIONS_MAX)), Vec::<String>::new());
    assert_eq!(
        errors(&text(SNIPPET_EXPANSIONS_MAX + 1)),
        ["Corefile:10005 - Error during parsing: maximum snippet import depth (10000) exceeded"]
    );
}

#[test]
fn the_number_of_words_has_an_edge() {
    // The main file has five words.
    let with = |count: usize| with_files(". {\n import a\n}", &[("/etc/a", &"log\n".repeat(count))]);
    let at = with(TOKENS_MAX - 5);
    assert_eq!(lines(&at), Vec::<String>::new());
    assert_eq!(at.corefile.blocks[0].directive("log").unwrap().tokens.len(), TOKENS_MAX - 5);
    let expected = format!("Corefile:2 - Error during parsing: imports make more than {TOKENS_MAX} words");
    assert_eq!(lines(&with(TOKENS_MAX - 4)), [expected]);
    assert_eq!(errors(&"a ".repeat(TOKENS_MAX + 1)), [format!("Corefile has more than {TOKENS_MAX} words")]);
}

#[test]
fn the_first_error_is_told_apart_from_warnings() {
    assert!(parsed(". {\n log\n}").first_error().is_none());
    let mut faulty = parsed(". {\n lgo\n}");
    faulty.diagnostics.insert(0, Diagnostic::warning("odd"));
    assert!(faulty.first_error().unwrap().message.contains("lgo"));
}

#[test]
fn import_works_among_keys_as_a_directive_and_inside_a_plugin() {
    let files = [
        ("/etc/blocks", "import keys\n{\n import part\n}\n"),
        ("/etc/keys", "a b"),
        ("/etc/part", "hosts {\n import names\n c\n}\nlog\n"),
        ("/etc/names", "1 a\n2 b\n"),
    ];
    let parsed = with_files("import blocks\nz {\n import {$FILE}\n}", &files);
    assert_eq!(keys(&parsed), [vec!["a", "b"], vec!["z"]]);
    assert_eq!(words(&parsed, "hosts"), ["hosts", "{", "1", "a", "2", "b", "c", "}"]);
    let read: Vec<&str> = parsed.files.iter().map(|file| file.to_str().unwrap()).collect();
    assert_eq!(read, ["/etc/blocks", "/etc/keys", "/etc/part", "/etc/names"]);
    let tokens = &parsed.corefile.blocks[1].directive("hosts").unwrap().tokens;
    assert_eq!((&*tokens[2].file, tokens[2].line), ("/etc/names", 1));
    assert_eq!(parsed.sources.name(tokens[2].span.file), "/etc/names");
}

#[test]
fn import_is_relative_to_the_file_that_holds_it() {
    let files = [("/etc/conf/a", "import part/b\n"), ("/etc/conf/part/b", "log right"), ("/etc/part/b", "log wrong")];
    assert_eq!(words(&with_files(". {\n import conf/a\n}", &files), "log"), ["log", "right"]);
    assert_eq!(words(&with_files(". {\n import /etc//part/../part/b\n}", &files), "log"), ["log", "wrong"]);
}

#[test]
fn errors_in_imported_files_name_the_file_and_its_line() {
    let parsed = with_files(". {\n import a\n}", &[("/etc/a", "log\nlgo\n")]);
    assert_eq!(lines(&parsed), ["/etc/a:2 - Error during parsing: Unknown directive 'lgo'"]);
    assert!(parsed.diagnostics[0].render(&parsed.sources).contains("--> /etc/a:2:1"));
}

#[test]
fn globs_match_in_order_and_warn_when_nothing_matches() {
    let files =
        [("/etc/c/2.conf", "log 2"), ("/etc/c/1.conf", "log 1"), ("/etc/c/3.off", "lgo"), ("/etc/c/.x.conf", "log 0")];
    let parsed = with_files(". {\n import c/*.conf\n}", &files);
    assert_eq!(words(&parsed, "log"), ["log", "0", "log", "1", "log", "2"]);
    let parsed = with_files(". {\n import c/?.none\n log\n}\nimport /nowhere/*", &files);
    assert_eq!(words(&parsed, "log"), ["log"]);
    let told: Vec<_> = parsed.warnings.iter().map(|told| (told.one_line(), told.line)).collect();
    let of = |pattern: &str| format!("No files matching import glob pattern: {pattern}");
    assert_eq!(told, [(of("c/?.none"), 2), (of("/nowhere/*"), 5)]);
    assert!(parsed.warnings[0].render(&parsed.sources).contains("--> Corefile:2:9"));
    let parsed = with_files(". {\n import */1.conf\n}", &files);
    assert_eq!(words(&parsed, "log"), ["log", "1"]);
}

#[test]
fn faults_of_imports_are_told_in_the_words_of_coredns() {
    let files = [("/etc/dir/x", "log"), ("/etc/part", "log")];
    for (import, expected) in [
        ("", "Wrong argument count or unexpected line ending after 'import'"),
        ("\"\"", "Import requires a non-empty filepath"),
        ("{$UNSET}", "Import requires a non-empty filepath"),
        ("part part", "Import takes only one argument (glob pattern or file)"),
        ("nowhere", "File to import not found: nowhere"),
        ("dir", "Could not import /etc/dir: is a directory"),
        ("forbidden", "Could not import /etc/forbidden: open /etc/forbidden: permission denied"),
        ("a*b*", "Glob pattern may only contain one wildcard (*), but has others: /etc/a*b*"),
        ("??", "Glob pattern may only contain one wildcard (*), but has others: /etc/??"),
        ("[a]", "Glob pattern may only contain one wildcard (*), but has others: /etc/[a]"),
        ("a[", "Failed to use import pattern a[: syntax error in pattern"),
    ] {
        let parsed = with_files(&format!(". {{\n import {import}\n log\n}}"), &files);
        assert_eq!(lines(&parsed), [format!("Corefile:2 - Error during parsing: {expected}")], "{import}");
        assert!(parsed.corefile.blocks[0].directive("log").is_some(), "{import}");
    }
}

#[test]
fn a_file_that_imports_itself_ends_at_the_limit_with_the_words_of_coredns() {
    let parsed = with_files(". {\n import a\n}", &[("/etc/a", "import a")]);
    assert_eq!(lines(&parsed), ["/etc/a:1 - Error during parsing: maximum file import depth (10000) exceeded"]);
    assert_eq!(parsed.files.len(), 1);
}

#[test]
fn a_pattern_has_a_longest_length() {
    let at = format!("/{}", "a".repeat(PATTERN_BYTES_MAX - 1));
    assert!(errors(&format!("import {at}"))[0].contains("File to import not found"));
    assert!(errors(&format!("import {at}a"))[0].contains("file name too long"));
}

#[test]
fn sources_have_a_largest_size() {
    let at = " ".repeat(SOURCE_BYTES_MAX);
    let over = format!("{at} ");
    assert_eq!(errors(&at), Vec::<String>::new());
    assert_eq!(errors(&over), [format!("Corefile is larger than {SOURCE_BYTES_MAX} bytes")]);
    assert_eq!(lines(&with_files("import a", &[("/etc/a", &at)])), Vec::<String>::new());
    assert!(lines(&with_files("import a", &[("/etc/a", &over)]))[0].ends_with("Could not import /etc/a: too large"));
}

#[test]
fn the_number_of_diagnostics_has_an_edge() {
    let text = |count: usize| format!(". {{\n{}}}\n", (0..count).map(|n| format!(" x{n}\n")).collect::<String>());
    assert_eq!(errors(&text(DIAGNOSTICS_MAX - 1)).len(), DIAGNOSTICS_MAX - 1);
    assert_eq!(errors(&text(DIAGNOSTICS_MAX + 5)).len(), DIAGNOSTICS_MAX);
}

#[test]
fn a_parsed_directive_is_read_with_a_cursor_and_its_errors_have_prefix_and_position() {
    let parsed = parsed(". {\n cache 30 {\n  prefetsh 3\n }\n}");
    let mut cursor = Cursor::new(parsed.corefile.blocks[0].directive("cache").unwrap(), &parsed.corefile.name);
    assert!(cursor.next());
    assert_eq!(cursor.remaining_args(), ["30"]);
    assert!(cursor.next_block());
    let error = cursor.unknown_property(&["prefetch", "success"]).with_prefix("cache");
    assert_eq!(error.severity, Severity::Error);
    assert_eq!(error.one_line(), "plugin/cache: Corefile:3 - Error during parsing: unknown property 'prefetsh'");
    assert_eq!(error.help(), Some("did you mean `prefetch`?"));
}

#[test]
fn a_line_more_changes_the_hash_and_a_comment_does_not() {
    let hash = |text: &str| parsed(text).corefile.sha512_hex();
    assert_eq!(hash(". {\n log\n}"), hash(". { # c\n log\n} # c"));
    assert_ne!(hash(". {\n log\n}"), hash(". {\n\n log\n}"));
}
