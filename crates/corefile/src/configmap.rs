//! A Corefile inside a Kubernetes ConfigMap manifest (YAML or JSON), with the way back to the places in the manifest.

mod origin;
mod tree;

use std::sync::Arc;

use self::origin::Origin;
use self::tree::{Node, Scalar};
use crate::diagnostic::Diagnostic;
use crate::lex::{Token, tokens};
use crate::parse::{ParseOptions, Parsed, Parser, parse};
use crate::source::{SOURCE_BYTES_MAX, SourceMap, Span, offset};

pub use self::tree::YAML_DEPTH_MAX;

/// The key of a ConfigMap's data that holds the Corefile, unless another is named.
pub const COREFILE_KEY: &str = "Corefile";

/// A Corefile taken out of a manifest.
#[derive(Clone, Debug)]
pub struct Extract {
    /// The Corefile.
    pub text: String,
    /// `metadata.namespace`, if there is one.
    pub namespace: Option<String>,
    /// `metadata.name`, if there is one.
    pub name: Option<String>,
    origin: Origin,
}

impl Extract {
    /// The offset in the manifest of an offset in the Corefile; exact in literal blocks (`|`), at least on the right line elsewhere.
    pub fn manifest_offset(&self, at: u32) -> u32 {
        self.origin.map(at)
    }
}

/// Takes the Corefile out of a manifest. Nothing if the text is not YAML with a ConfigMap.
///
/// # Errors
/// The text is meant to be a ConfigMap, but is not well formed or lacks the key. Spans are in [`FileId`](crate::FileId) 0, the manifest.
pub fn configmap_corefile(yaml: &str) -> Result<Option<Extract>, Diagnostic> {
    configmap_key(yaml, COREFILE_KEY)
}

/// As [`configmap_corefile`], from a key of another name.
///
/// # Errors
/// As [`configmap_corefile`].
pub fn configmap_key(yaml: &str, key: &str) -> Result<Option<Extract>, Diagnostic> {
    let says_configmap = yaml.contains("kind") && yaml.contains("ConfigMap");
    if yaml.len() > SOURCE_BYTES_MAX {
        return Ok(None);
    }
    if !says_configmap {
        return other_manifest(yaml).map_or(Ok(None), Err);
    }
    let documents = match tree::read(yaml) {
        Ok(documents) => documents,
        // A Corefile that speaks of a ConfigMap in a comment is no manifest.
        Err(error) => return if declares_configmap(yaml) { Err(error) } else { Ok(None) },
    };
    let mut maps = Vec::new();
    for document in &documents {
        configmaps(document, &mut maps);
    }
    if maps.is_empty() {
        return Ok(None);
    }
    let found = maps.iter().find_map(|map| Some((map, map.get("data")?.entry(key)?)));
    let Some((map, (at_key, Node::Scalar(value)))) = found else {
        let message = format!("the ConfigMap has no text under data.{key}");
        let key_of = |map: &&Node| Some(map.entry("data").or_else(|| map.entry("kind"))?.0.start);
        let error = Diagnostic::error(message).with_help("a Corefile is expected there");
        return Err(match maps.iter().find_map(key_of) {
            Some(index) => error.with_span(first_char(yaml, index)),
            None => error,
        });
    };
    let metadata = |name| map.get("metadata").and_then(|m| m.get(name)).and_then(Node::text).map(str::to_owned);
    let origin = origin(yaml, at_key, value);
    Ok(Some(Extract { text: value.text.clone(), namespace: metadata("namespace"), name: metadata("name"), origin }))
}

/// Parses the Corefile of a manifest. Spans point into the manifest, and so do the lines that messages show.
pub fn parse_configmap(yaml: &str, options: &ParseOptions<'_>) -> Parsed {
    match configmap_corefile(yaml) {
        Ok(Some(extract)) => parse_extract(yaml, &extract, options),
        Ok(None) => failed(yaml, Diagnostic::error("no ConfigMap with a Corefile was found"), options),
        Err(error) => failed(yaml, error, options),
    }
}

/// Parses a text that is either a Corefile or a manifest with one.
pub fn parse_any(text: &str, options: &ParseOptions<'_>) -> Parsed {
    match configmap_corefile(text) {
        Ok(Some(extract)) => parse_extract(text, &extract, options),
        Ok(None) => parse(text, options),
        Err(error) => failed(text, error, options),
    }
}

fn parse_extract(yaml: &str, extract: &Extract, options: &ParseOptions<'_>) -> Parsed {
    let mut parser = Parser::new(options);
    let id = parser.sources.add(options.name, yaml);
    let mut words = tokens(&extract.text, id, &Arc::from(""));
    for word in &mut words {
        relocate(word, extract, &parser.sources);
    }
    parser.run(words)
}

/// Lets a word point into the manifest. Its `line` stays that of the Corefile: it tells what is on one line.
fn relocate(word: &mut Token, extract: &Extract, sources: &SourceMap) {
    let text = sources.text(word.span.file);
    // Where source and text could not be matched to the end, an offset may fall into a character.
    let whole = |at: u32| offset(text.floor_char_boundary(at as usize));
    let start = whole(extract.origin.map(word.span.start));
    let last = whole(extract.origin.map(last_char(&extract.text, word.span)));
    let last_length = text.get(last as usize..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    word.span = Span { file: word.span.file, start, end: (last + offset(last_length)).max(start) };
    word.shown_line = sources.line(word.span);
}

/// Offset of the last character of a span.
fn last_char(text: &str, span: Span) -> u32 {
    let word = text.get(span.start as usize..span.end as usize).unwrap_or("");
    span.start + word.char_indices().next_back().map_or(0, |(at, _)| offset(at))
}

fn failed(yaml: &str, error: Diagnostic, options: &ParseOptions<'_>) -> Parsed {
    let mut parser = Parser::new(options);
    parser.sources.add(options.name, yaml);
    parser.report(error.named(options.name));
    parser.finish()
}

/// The ConfigMaps of a document: itself, or the items of a list.
fn configmaps<'a>(node: &'a Node, found: &mut Vec<&'a Node>) {
    match node.get("kind").and_then(Node::text) {
        Some("ConfigMap") => found.push(node),
        Some("List" | "ConfigMapList") => {
            if let Some(Node::List(items)) = node.get("items") {
                // The items of a ConfigMapList need not say their kind.
                let is_map =
                    |item: &&Node| !matches!(item.get("kind").and_then(Node::text), Some(kind) if kind != "ConfigMap");
                found.extend(items.iter().filter(is_map));
            }
        }
        _ => {}
    }
}

/// Whether a line says `kind: ConfigMap`, in YAML or JSON.
fn declares_configmap(yaml: &str) -> bool {
    yaml.lines().any(|line| {
        let plain: String = line.chars().filter(|c| !matches!(c, '"' | '\'' | ' ' | ',' | '-' | '{')).collect();
        plain.trim() == "kind:ConfigMap"
    })
}

/// An error for a manifest of another kind: both `apiVersion:` and `kind:` begin a line, which no Corefile has.
fn other_manifest(yaml: &str) -> Option<Diagnostic> {
    let line =
        |word: &str| yaml.match_indices(word).map(|(at, _)| at).find(|at| yaml[..*at].ends_with('\n') || *at == 0);
    let at = line("kind:").filter(|_| line("apiVersion:").is_some())?;
    let span = Span { file: crate::FileId(0), start: offset(at), end: offset(at + "kind".len()) };
    let error = Diagnostic::error("a manifest, but not of a ConfigMap").with_span(span);
    Some(error.with_help("a Corefile is expected, or a ConfigMap with one under data.Corefile"))
}

/// The span of the character with this number.
fn first_char(yaml: &str, index: usize) -> Span {
    let (start, length) = yaml.char_indices().nth(index).map_or((yaml.len(), 0), |(at, c)| (at, c.len_utf8()));
    Span { file: crate::FileId(0), start: offset(start), end: offset(start + length) }
}

fn origin(yaml: &str, key: &Scalar, value: &Scalar) -> Origin {
    let byte = |index: usize| yaml.char_indices().nth(index).map_or(yaml.len(), |(at, _)| at);
    if value.is_block() {
        let header = byte(key.end);
        Origin::of_block(yaml, header, &value.text, value.is_literal())
    } else {
        Origin::of_flow(yaml, byte(value.start), &value.text)
    }
}

#[cfg(test)]
mod tests;
