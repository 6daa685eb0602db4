//! The YAML of a web configuration file: a mapping of which one section counts, itself a mapping of texts.

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};

/// The section that is about TLS.
const TLS_SECTION: &str = "tls_server_config";
/// Sections that exporter-toolkit knows beside it.
const OTHER_SECTIONS: [&str; 3] = ["http_server_config", "basic_auth_users", "rate_limit"];
/// What exporter-toolkit knows in the section of TLS and is not there here.
const UNSUPPORTED: [&str; 3] = ["cipher_suites", "curve_preferences", "client_allowed_sans"];
/// The most settings of the section; there are twelve names.
pub(super) const SETTINGS_MAX: usize = 64;

/// A setting of `tls_server_config`.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) value: String,
    /// Counted from 1.
    pub(super) line: usize,
}

/// What is wrong, and in which line, counted from 1.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) message: String,
}

impl Fault {
    fn new(line: usize, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }
}

/// The settings of TLS, in order. A file without the section has none.
///
/// # Errors
/// The text is not YAML or has something else than these settings.
pub(super) fn settings(text: &str) -> Result<Vec<Setting>, Fault> {
    let mut words = Words { parser: Parser::new_from_str(text) };
    let mut found = Vec::new();
    match words.next()? {
        (Word::End, _) => return Ok(found),
        (Word::Text { null: true, .. }, _) => {}
        (Word::Open, _) => sections(&mut words, &mut found)?,
        (_, line) => return Err(Fault::new(line, "not a mapping")),
    }
    match words.next()? {
        (Word::End, _) => Ok(found),
        (_, line) => Err(Fault::new(line, "more than one document")),
    }
}

fn sections(words: &mut Words<'_>, found: &mut Vec<Setting>) -> Result<(), Fault> {
    let mut seen = false;
    while let Some((name, line)) = words.key()? {
        if OTHER_SECTIONS.contains(&name.as_str()) {
            return Err(Fault::new(line, format!("{name} is not supported: the file can have {TLS_SECTION} alone")));
        }
        if name != TLS_SECTION {
            return Err(Fault::new(line, format!("field {name} not found in the web configuration")));
        }
        if std::mem::replace(&mut seen, true) {
            return Err(Fault::new(line, format!("key \"{name}\" already set in map")));
        }
        match words.next()? {
            (Word::Text { null: true, .. }, _) => {}
            (Word::Open, _) => section(words, found)?,
            (_, line) => return Err(Fault::new(line, format!("{name} is not a mapping"))),
        }
    }
    Ok(())
}

fn section(words: &mut Words<'_>, found: &mut Vec<Setting>) -> Result<(), Fault> {
    while let Some((name, line)) = words.key()? {
        if UNSUPPORTED.contains(&name.as_str()) {
            return Err(Fault::new(line, format!("{name} is not supported")));
        }
        if found.iter().any(|setting| setting.name == name) {
            return Err(Fault::new(line, format!("key \"{name}\" already set in map")));
        }
        if found.len() == SETTINGS_MAX {
            return Err(Fault::new(line, format!("more than {SETTINGS_MAX} settings")));
        }
        match words.next()? {
            // As if it were not there.
            (Word::Text { null: true, .. }, _) => {}
            (Word::Text { text: value, .. }, _) => found.push(Setting { name, value, line }),
            (_, line) => return Err(Fault::new(line, format!("{name} is not a text"))),
        }
    }
    Ok(())
}

/// What a file consists of here.
enum Word {
    Text {
        text: String,
        null: bool,
    },
    /// A mapping begins.
    Open,
    /// A mapping ends.
    Close,
    /// The file ends.
    End,
    /// Sequences and aliases.
    Other,
}

struct Words<'a> {
    parser: Parser<'a, StrInput<'a>>,
}

impl Words<'_> {
    fn next(&mut self) -> Result<(Word, usize), Fault> {
        loop {
            let Some(event) = self.parser.next() else { return Ok((Word::End, 1)) };
            let (event, span) =
                event.map_err(|error| Fault::new(error.marker().line(), format!("yaml: {}", error.info())))?;
            let word = match event {
                Event::Scalar(text, style, ..) => {
                    let null = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                    Word::Text { text: text.into_owned(), null }
                }
                Event::MappingStart(..) => Word::Open,
                Event::MappingEnd => Word::Close,
                Event::StreamEnd => Word::End,
                Event::Alias(_) | Event::SequenceStart(..) | Event::SequenceEnd => Word::Other,
                // Between documents there is nothing to heed.
                _ => continue,
            };
            return Ok((word, span.start.line()));
        }
    }

    /// The next key of a mapping; none at its end.
    fn key(&mut self) -> Result<Option<(String, usize)>, Fault> {
        match self.next()? {
            (Word::Text { text, .. }, line) => Ok(Some((text, line))),
            (Word::Close, _) => Ok(None),
            (_, line) => Err(Fault::new(line, "a key is not a text")),
        }
    }
}
