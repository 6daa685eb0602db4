//! What must hold for every text, tried on many.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::sync::Arc;

use proptest::prelude::*;

use crate::fuzz_one;
use crate::lex::tokens;
use crate::source::FileId;

/// A piece of a Corefile, with the odd ones more often than people write them.
fn piece() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        "{",
        "}",
        "\n",
        "\n",
        " ",
        " ",
        "import ",
        "import a\n",
        "import *",
        "(s)",
        "s",
        ".",
        "a,",
        "log",
        "hosts",
        "lgo",
        "\"",
        "\\",
        "#",
        "\r\n",
        "{$A}",
        "{%B%}",
        "{$S}",
        "\u{feff}",
        "\u{a0}",
        "é",
        "10.0.0.0/9",
        ":53",
    ]);
    prop_oneof![8 => fixed.prop_map(str::to_owned), 1 => "\\PC{0,4}"]
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 0..40).prop_map(|pieces| pieces.concat())
}

fn manifest() -> impl Strategy<Value = String> {
    let style = prop::sample::select(vec!["|\n", ">\n", "|-\n", "|+\n", "\n", "\"", "'"]);
    (style, text()).prop_map(|(style, text)| {
        let indented = text.replace('\n', "\n    ");
        format!(
            "kind: ConfigMap\ndata:\n  Corefile: {style}    {indented}{}\n",
            style.trim_matches(['|', '>', '-', '+', '\n'])
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_parsed_without_harm(text in text()) {
        fuzz_one(text.as_bytes());
    }

    #[test]
    fn any_bytes_are_parsed_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz_one(&bytes);
    }

    #[test]
    fn any_manifest_is_parsed_without_harm(yaml in manifest()) {
        fuzz_one(yaml.as_bytes());
    }

    #[test]
    fn a_word_read_alone_from_its_place_is_the_same_word(text in text()) {
        let none = Arc::from("");
        for token in tokens(&text, FileId(0), &none) {
            let place = text.get(token.span.start as usize..token.span.end as usize).unwrap_or("?");
            // A mark at the very start would be dropped where it is the start of the text.
            prop_assume!(!place.starts_with('\u{feff}'));
            let again = tokens(place, FileId(0), &none);
            prop_assert_eq!(again.len(), 1);
            prop_assert_eq!(&again[0].text, &token.text);
        }
    }

    #[test]
    fn words_come_in_order_without_overlap(text in text()) {
        let all = tokens(&text, FileId(0), &Arc::from(""));
        for pair in all.windows(2) {
            prop_assert!(pair[0].span.end <= pair[1].span.start);
            prop_assert!(pair[0].line <= pair[1].line);
        }
    }

    #[test]
    fn a_word_written_in_quotes_is_read_back(word in "[^\\\\]*") {
        let quoted = format!("\"{}\"", word.replace('"', "\\\""));
        let all = tokens(&quoted, FileId(0), &Arc::from(""));
        prop_assert_eq!(all.len(), 1);
        prop_assert_eq!(&*all[0].text, word.as_str());
    }
}

#[test]
fn a_manifest_whose_text_does_not_match_its_source_is_parsed_without_harm() {
    fuzz_one("kind: ConfigMap\ndata:\n  Corefile: \"    \\\r\n    \n    \u{1e7a1}Aimport {{{\"\n".as_bytes());
}

#[test]
fn the_fuzz_corpus_is_parsed_without_harm() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/corefile");
    let mut count = 0;
    for entry in fs::read_dir(corpus).expect("the corpus is part of the crate") {
        let path = entry.expect("a readable corpus").path();
        fuzz_one(&fs::read(path).expect("a readable file"));
        count += 1;
    }
    assert!(count >= 10, "only {count} files in the corpus");
}
