//! A command line split into words as a shell does, without expanding anything. CoreDNS: github.com/flynn/go-shlex.

use std::str::Chars;

/// Why a line has no words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// It ends behind a backslash.
    #[error("EOF found after escape character")]
    Escape,
    /// It ends within quotes.
    #[error("EOF found when expecting closing quote.")]
    Quote,
}

/// Splits a line at blanks. Quotes keep blanks, a backslash keeps the next letter but for single quotes, within which everything stands for
/// itself; a `#` that begins a word begins a comment.
pub(crate) fn split(line: &str) -> Result<Vec<String>, Fault> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '#' if word.is_none() => {
                letters.find(|letter| *letter == '\n');
            }
            '\\' => word.get_or_insert_default().push(letters.next().ok_or(Fault::Escape)?),
            '"' => double_quoted(&mut letters, word.get_or_insert_default())?,
            '\'' => single_quoted(&mut letters, word.get_or_insert_default())?,
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

fn double_quoted(letters: &mut Chars<'_>, word: &mut String) -> Result<(), Fault> {
    loop {
        match letters.next().ok_or(Fault::Quote)? {
            '"' => return Ok(()),
            '\\' => word.push(letters.next().ok_or(Fault::Escape)?),
            other => word.push(other),
        }
    }
}

fn single_quoted(letters: &mut Chars<'_>, word: &mut String) -> Result<(), Fault> {
    loop {
        match letters.next().ok_or(Fault::Quote)? {
            '\'' => return Ok(()),
            other => word.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn blanks_part_words_and_quotes_keep_them() {
        assert_eq!(split(" a  b\tc\n").unwrap(), ["a", "b", "c"]);
        assert_eq!(split("a 'b c' \"d  e\" f'g 'h").unwrap(), ["a", "b c", "d  e", "fg h"]);
        assert_eq!(split("'' a").unwrap(), ["", "a"]);
        assert!(split("  ").unwrap().is_empty());
    }

    #[test]
    fn a_backslash_keeps_the_next_letter_but_in_single_quotes() {
        assert_eq!(split(r#"a\ b "c\"d" 'e\f' \'"#).unwrap(), ["a b", "c\"d", r"e\f", "'"]);
    }

    #[test]
    fn a_comment_begins_where_a_word_would() {
        assert_eq!(split("a#b # c d\ne").unwrap(), ["a#b", "e"]);
    }

    #[test]
    fn what_stays_open_is_told() {
        assert_eq!(split("a \"b"), Err(Fault::Quote));
        assert_eq!(split("a 'b"), Err(Fault::Quote));
        assert_eq!(split("a\\"), Err(Fault::Escape));
        assert_eq!(split("\"a\\"), Err(Fault::Escape));
    }
}
