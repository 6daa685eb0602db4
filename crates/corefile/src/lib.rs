//! The Corefile language.
//!
//! [`parse`] turns a text into server blocks, with imports, snippets and environment references resolved, and tells everything that
//! is wrong with it at once. Every word keeps its place ([`Span`]), also through imports. A plugin reads its words with a [`Cursor`]
//! and answers with a [`Diagnostic`], which is written as CoreDNS's one line or as a source snippet with a caret. [`parse_key`] reads
//! the keys of server blocks. Nothing here does input or output: files come through [`Files`].

mod ast;
mod configmap;
mod cursor;
mod diagnostic;
mod env;
mod fuzz;
mod key;
mod lex;
mod nearest;
mod parse;
#[cfg(test)]
mod properties;
mod reverse;
mod source;

pub use ast::{Corefile, Directive, Key, ServerBlock};
pub use configmap::{
    COREFILE_KEY, Extract, YAML_DEPTH_MAX, configmap_corefile, configmap_key, parse_any, parse_configmap,
};
pub use cursor::Cursor;
pub use diagnostic::{Diagnostic, SNIPPET_LINES_MAX, Severity};
pub use env::{ENV_BYTES_MAX, ENV_EXPANSIONS_MAX, unset_variables};
#[doc(hidden)]
pub use fuzz::fuzz_one;
pub use key::{Address, Transport, ZONE_BYTES_MAX, parse_key, zones_from_arg};
pub use lex::Token;
pub use nearest::{WORD_CHARS_MAX, nearest};
pub use parse::{
    DIAGNOSTICS_MAX, FILE_EXPANSIONS_MAX, Files, NoFiles, PATTERN_BYTES_MAX, ParseOptions, Parsed,
    SNIPPET_EXPANSIONS_MAX, SOURCES_BYTES_MAX, TOKENS_MAX, parse,
};
pub use reverse::CIDR_ZONES_MAX;
pub use source::{FileId, SOURCE_BYTES_MAX, SourceMap, Span, decode};
