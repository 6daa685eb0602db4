//! A parsed Corefile: server blocks with keys and directives.

use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest, Sha512};

use crate::lex::Token;
use crate::source::Span;

/// A directive of a server block: the words of all its uses, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// The name, with environment references expanded.
    pub name: Arc<str>,
    /// The words of every use in the block, each use starting with the name as written.
    pub tokens: Vec<Token>,
}

/// A key of a server block, as `example.org:53` or `tls://.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key as written, with environment references expanded and without a comma at the end.
    pub text: String,
    /// Its place.
    pub span: Span,
}

/// A server block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerBlock {
    /// The keys, in order.
    pub keys: Vec<Key>,
    /// The directives, in order of first appearance; none stands twice.
    pub directives: Vec<Directive>,
}

impl ServerBlock {
    /// The directive of a name, if the block has it.
    pub fn directive(&self, name: &str) -> Option<&Directive> {
        self.directives.iter().find(|directive| &*directive.name == name)
    }

    pub(crate) fn push(&mut self, name: &str, token: Token) {
        match self.directives.iter_mut().find(|directive| &*directive.name == name) {
            Some(directive) => directive.tokens.push(token),
            None => self.directives.push(Directive { name: Arc::from(name), tokens: vec![token] }),
        }
    }
}

/// A Corefile, with imports and environment references resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corefile {
    /// The server blocks, in order.
    pub blocks: Vec<ServerBlock>,
    /// The name of the main file in messages: `Corefile`, `/dev/stdin`, or the path as given.
    pub name: Arc<str>,
}

impl Corefile {
    /// SHA-512 of the parsed blocks in hexadecimal, the value that *reload* compares and prints (CoreDNS: plugin/reload, over the
    /// JSON of Go's encoding/json).
    pub fn sha512_hex(&self) -> String {
        let digest = Sha512::digest(self.json().as_bytes());
        let mut hex = String::with_capacity(2 * digest.len());
        for byte in digest {
            hex.push(char::from(HEX[usize::from(byte >> 4)]));
            hex.push(char::from(HEX[usize::from(byte & 15)]));
        }
        hex
    }

    /// The blocks as Go's encoding/json writes them.
    fn json(&self) -> String {
        if self.blocks.is_empty() {
            return "null".to_owned();
        }
        let mut out = String::new();
        list(&mut out, ('[', ']'), &self.blocks, |out, block| {
            out.push_str("{\"Keys\":");
            list(out, ('[', ']'), &block.keys, |out, key| string(out, &key.text));
            out.push_str(",\"Tokens\":");
            let mut sorted: Vec<&Directive> = block.directives.iter().collect();
            sorted.sort_by(|a, b| a.name.cmp(&b.name));
            list(out, ('{', '}'), sorted, |out, directive| {
                string(out, &directive.name);
                out.push(':');
                list(out, ('[', ']'), &directive.tokens, token);
            });
            out.push('}');
        });
        out
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn list<T>(
    out: &mut String,
    (open, close): (char, char),
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut String, T),
) {
    out.push(open);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(close);
}

fn token(out: &mut String, token: &Token) {
    out.push_str("{\"File\":");
    string(out, &token.file);
    // Writing to a String cannot fail.
    let _ = write!(out, ",\"Line\":{},\"Text\":", token.line);
    string(out, &token.text);
    out.push('}');
}

/// A string with Go's escapes: `<`, `>`, `&`, U+2028 and U+2029 as `\u`, and the short forms of JSON for control characters.
fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::source::FileId;

    fn word(text: &str, line: u32) -> Token {
        let span = Span { file: FileId(0), start: 0, end: 0 };
        Token { text: text.into(), file: "".into(), line, shown_line: line, span }
    }

    fn corefile() -> Corefile {
        let key = Key { text: ".:53".to_owned(), span: word("", 1).span };
        let mut block = ServerBlock { keys: vec![key], directives: vec![] };
        for (name, text, line) in [("whoami", "whoami", 2), ("log", "log", 3), ("log", "<&>\n\"\\\u{1}\u{2028}é", 3)] {
            block.push(name, word(text, line));
        }
        Corefile { blocks: vec![block], name: "Corefile".into() }
    }

    #[test]
    fn the_json_has_sorted_directives_and_the_escapes_of_go() {
        let expected = concat!(
            r#"[{"Keys":[".:53"],"Tokens":{"log":[{"File":"","Line":3,"Text":"log"},"#,
            r#"{"File":"","Line":3,"Text":"\u003c\u0026\u003e\n\"\\\u0001\u2028é"}],"#,
            r#""whoami":[{"File":"","Line":2,"Text":"whoami"}]}}]"#
        );
        assert_eq!(corefile().json(), expected);
        let read: serde_json::Value = serde_json::from_str(&corefile().json()).unwrap();
        assert_eq!(read[0]["Tokens"]["log"][1]["Text"], "<&>\n\"\\\u{1}\u{2028}é");
    }

    #[test]
    fn no_blocks_are_null_and_the_hash_is_lower_case_hexadecimal() {
        let empty = Corefile { blocks: vec![], name: "x".into() };
        assert_eq!(empty.json(), "null");
        let hash = corefile().sha512_hex();
        assert_eq!(hash.len(), 128);
        assert!(hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
        assert_ne!(hash, empty.sha512_hex());
    }

    #[test]
    fn a_directive_is_found_by_its_exact_name() {
        let corefile = corefile();
        assert_eq!(corefile.blocks[0].directive("log").unwrap().tokens.len(), 2);
        assert!(corefile.blocks[0].directive("Log").is_none());
    }
}
