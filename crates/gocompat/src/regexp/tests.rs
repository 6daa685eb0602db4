#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use proptest::prelude::*;

/// Patterns with what Go 1.26 says of them, without its `error parsing regexp: `; empty is fine.
const VERDICTS: &[(&str, &str)] = &[
    ("(abc", "missing closing ): `(abc`"),
    ("a)b", "unexpected ): `a)b`"),
    ("(a", "missing closing ): `(a`"),
    ("[a", "missing closing ]: `[a`"),
    ("[a-", "missing closing ]: `[a-`"),
    ("[z-a]", "invalid character class range: `z-a`"),
    ("*a", "missing argument to repetition operator: `*`"),
    ("a|*", "missing argument to repetition operator: `*`"),
    ("a**", "invalid nested repetition operator: `**`"),
    ("a*+", "invalid nested repetition operator: `*+`"),
    ("a*??", "invalid nested repetition operator: `*??`"),
    ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
    ("a{1001}", "invalid repeat count: `{1001}`"),
    ("a{2,1}", "invalid repeat count: `{2,1}`"),
    ("a{,2}", ""),
    ("a{100000000000}", "invalid repeat count: `{100000000000}`"),
    ("(a{100}){100}", "invalid repeat count: `{100}`"),
    ("(?P<n>a", "missing closing ): `(?P<n>a`"),
    ("(?P<n", "invalid named capture: `(?P<n`"),
    ("(?P<>a)", "invalid named capture: `(?P<>`"),
    ("(?P<n-x>a)", "invalid named capture: `(?P<n-x>`"),
    ("(?<n>a)", ""),
    ("(?P=n)", "invalid or unsupported Perl syntax: `(?P`"),
    ("(?P<n>a)(?P<n>b)", ""),
    ("\\C", "invalid escape sequence: `\\C`"),
    ("\\Z", "invalid escape sequence: `\\Z`"),
    ("\\8", "invalid escape sequence: `\\8`"),
    ("\\1", "invalid escape sequence: `\\1`"),
    ("\\x", "invalid escape sequence: `\\x`"),
    ("\\x{}", "invalid escape sequence: `\\x{}`"),
    ("\\x{110000}", "invalid escape sequence: `\\x{110000`"),
    ("\\q", "invalid escape sequence: `\\q`"),
    ("\\", "trailing backslash at end of expression: ``"),
    ("\\pX", "invalid character class range: `\\pX`"),
    ("\\p{Greek}", ""),
    ("\\p{Nope}", "invalid character class range: `\\p{Nope}`"),
    ("\\p{", "invalid character class range: `\\p{`"),
    ("\\p", "invalid character class range: `\\p`"),
    ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
    ("[[:alpha:]]", ""),
    ("(?i", "invalid or unsupported Perl syntax: `(?i`"),
    ("(?z)", "invalid or unsupported Perl syntax: `(?z`"),
    ("(?i-)", "invalid or unsupported Perl syntax: `(?i-)`"),
    ("(?-i:a)", ""),
    ("(?:", "missing closing ): `(?:`"),
    ("a(?i)*", ""),
    ("\\Qa*b\\E+", ""),
    ("\\Qab", ""),
    ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
    ("(?!a)", "invalid or unsupported Perl syntax: `(?!`"),
    ("(?>a)", "invalid or unsupported Perl syntax: `(?>`"),
    ("x{2}*", "invalid nested repetition operator: `{2}*`"),
    ("[\\d-z]", ""),
    ("[a\\Q]", "invalid escape sequence: `\\Q`"),
    ("()", ""),
    ("(|a)", ""),
    ("a||b", ""),
    ("^*", ""),
    ("$+", ""),
    ("\\b+", ""),
    ("(?i)(?s).*", ""),
    ("\\_", ""),
    ("\\é", "invalid escape sequence: `\\é`"),
    ("[]a]", ""),
    ("[^]a]", ""),
    ("[]", "missing closing ]: `[]`"),
    ("(?U)a+", ""),
    ("[a-\\d]", "invalid escape sequence: `\\d`"),
    ("a++", "invalid nested repetition operator: `++`"),
    ("(", "missing closing ): `(`"),
    ("?", "missing argument to repetition operator: `?`"),
    ("(?)", ""),
    ("(?i)", ""),
    ("\\pN", ""),
    ("\\p{^Greek}", ""),
    ("[\\x{d800}]", ""),
    ("(?'n'a)", "invalid or unsupported Perl syntax: `(?'`"),
    ("(?P>n)", "invalid or unsupported Perl syntax: `(?P`"),
    ("[[.a.]]", ""),
    ("a{0}", ""),
    ("(a{0}){1000}", ""),
    ("(a{1000}){1000}", "invalid repeat count: `{1000}`"),
    ("((a{10}){10}){10}", ""),
    ("((a{10}){10}){11}", "invalid repeat count: `{11}`"),
    ("(?i)ſ", ""),
    ("\\p{Latin}\\p{lu}\\p{Any}", ""),
    ("a{1,2}?", ""),
    ("(?m)^a$", ""),
    ("\\pé", "invalid character class range: `\\pé`"),
];

#[test]
fn patterns_are_judged_as_in_go() {
    for (pattern, want) in VERDICTS {
        let got = match Regexp::new(pattern) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        let want = match want {
            &"" => String::new(),
            text => format!("error parsing regexp: {text}"),
        };
        assert_eq!(got, want, "{pattern}");
    }
}

#[test]
fn matches_fall_as_in_go() {
    for (pattern, text, want) in [
        (r"\d+", "a\u{663}12", Some("12")),
        (r"\w+", "é_a1", Some("_a1")),
        (r"\s", "\u{a0}\u{b}\t", Some("\t")),
        (r"\bé", "é", None),
        (r"\Bé", "é", Some("é")),
        (r"(?i)\w+", "\u{212a}", Some("\u{212a}")),
        (r"(?i)k", "\u{212a}", Some("\u{212a}")),
        (r"(?i)[^k]", "\u{212a}", None),
        (r"\Qa.b\E+", "a.bb", Some("a.bb")),
        (r"\Qa.b", "axb", None),
        (r"(?U)a+", "aaa", Some("a")),
        (r"(?U)a+?", "aaa", Some("aaa")),
        (r"a|ab", "ab", Some("a")),
        (r"a$", "a\n", None),
        (r"(?m)a$", "a\nb", Some("a")),
        (r".+", "a\nb", Some("a")),
        (r"(?s).+", "a\nb", Some("a\nb")),
        (r"[^a]", "\n", Some("\n")),
        (r"a(?i)b|c", "aB", Some("aB")),
        (r"(?i:a)b", "AB", None),
        (r"x*", "abc", Some("")),
        (r"[[:word:]-]+", "a-b c", Some("a-b")),
        (r"[\]\-]+", "]-", Some("]-")),
        (r"[a&&b]+", "&&", Some("&&")),
        (r"[[a]+", "[a", Some("[a")),
        (r"[~~#]+", "~#", Some("~#")),
        ("(?i)# x", "# X", Some("# X")),
        (r"\pN{2}", "a1\u{663}", Some("1\u{663}")),
        (r"\101\x41\x{41}", "AAA", Some("AAA")),
        (r"{,2}", "{,2}", Some("{,2}")),
    ] {
        let found = Regexp::new(pattern).unwrap().find(text);
        assert_eq!(found.map(|span| &text[span]), want, "{pattern}");
    }
}

#[test]
fn groups_have_names_texts_and_positions() {
    let re = Regexp::new(r"^ip-(?P<a>[0-9]*)-(?<b>[0-9]+)(-x)?[.]").unwrap();
    let names: Vec<_> = re.group_names().collect();
    assert_eq!(names, [None, Some("a"), Some("b"), None]);
    let found = re.captures("ip-10-2.example.").unwrap();
    assert_eq!(found.get(0), Some("ip-10-2."));
    assert_eq!(found.name("a"), Some("10"));
    assert_eq!(found.span(2), Some(6..7));
    assert_eq!(found.get(3), None);
    assert_eq!(found.get(4), None);
    let groups: Vec<_> = found.groups().collect();
    assert_eq!(groups[3], (None, ""));
    assert!(re.captures("nothing").is_none());
}

#[test]
fn nesting_ends_at_its_limit() {
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Regexp::new(&nested(NESTING_MAX - 1)).is_ok());
    let error = Regexp::new(&nested(NESTING_MAX + 1)).unwrap_err();
    assert_eq!(error.kind, RegexpErrorKind::NestingDepth);
}

#[test]
fn an_expression_too_large_is_an_error() {
    let error = Regexp::new(&r"\pL{1000}".repeat(100)).unwrap_err();
    assert_eq!(error.kind, RegexpErrorKind::Large);
}

proptest! {
    #[test]
    fn no_pattern_panics(
        pattern in r"([a-c(){}\[\]|*+?^$.:<>PimsU,=0-9-]|\\[a-zA-Z0-9]|\\p\{|\PC){0,24}",
        text in "\\PC{0,12}",
    ) {
        if let Ok(re) = Regexp::new(&pattern) {
            let found = re.captures(&text);
            prop_assert_eq!(found.is_some(), re.is_match(&text));
        }
    }

    #[test]
    fn quoted_text_matches_itself(text in "[^\\\\]{0,20}") {
        let re = Regexp::new(&format!(r"^\Q{text}\E$")).unwrap();
        prop_assert!(re.is_match(&text));
    }
}
