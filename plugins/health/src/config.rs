//! The words of *health*.

use catena_core::Span;
use catena_core::prelude::*;
use catena_gocompat::address::{listen_address, port_fault};
use catena_gocompat::duration::GoDuration;

/// The address without an argument.
const ADDR_DEFAULT: &str = ":8080";

/// What the directive says.
pub(crate) struct Config {
    /// Where to listen.
    pub(crate) addr: String,
    /// How long to go on at the end; nought or less: not at all.
    pub(crate) lameduck: GoDuration,
    /// Where the address, or the directive, stands.
    pub(crate) span: Option<Span>,
}

impl Config {
    /// Reads every use; the last one that says something counts.
    pub(crate) fn parse(words: &mut Cursor<'_>) -> Result<Self, Diagnostic> {
        let mut config = Self { addr: ADDR_DEFAULT.to_owned(), lameduck: GoDuration::ZERO, span: None };
        while words.next() {
            config.span = config.span.or(words.span());
            if let Some(addr) = listen_address(words)? {
                if let Some(fault) = port_fault(&addr.text) {
                    return Err(Diagnostic::error(fault).bare().at(addr).with_label("no port"));
                }
                config.addr = addr.text.to_string();
                config.span = Some(addr.span);
            }
            while words.next_block() {
                if words.val() != "lameduck" {
                    return Err(words.unknown_property(&["lameduck"]));
                }
                config.lameduck = lameduck(words)?;
            }
        }
        Ok(config)
    }
}

fn lameduck(words: &mut Cursor<'_>) -> Result<GoDuration, Diagnostic> {
    match words.remaining_args()[..] {
        [text] => GoDuration::parse(text)
            .map_err(|error| words.plain_err(format!("unable to parse lameduck duration value: '{text}' : {error}"))),
        _ => Err(words.arg_err()),
    }
}
