//! What the `geoip` directive says.

use catena_core::corefile::Token;
use catena_core::prelude::*;
use catena_gocompat::quote::quote;

/// The directive.
pub(crate) struct Config<'a> {
    /// The database's file, and where the Corefile names it.
    pub(crate) file: &'a Token,
    /// The option of the client's network tells the address.
    pub(crate) client_subnet: bool,
}

/// Reads the directive. There has to be a file, so a directive without one is an error.
pub(crate) fn parse(mut words: Cursor<'_>) -> Result<Config<'_>, Diagnostic> {
    let mut file = None;
    let mut client_subnet = false;
    while words.next() {
        if !words.next_arg() {
            return Err(words.arg_err());
        }
        if file.is_some() {
            return Err(words.err("configuring multiple databases is not supported"));
        }
        file = words.token();
        if !words.remaining_args().is_empty() {
            return Err(words.arg_err());
        }
        while words.next_block() {
            if words.val() != "edns-subnet" {
                let told = words.err(format!("unknown property {}", quote(words.val())));
                return Err(words.with_nearest(told.with_label("unknown property"), &["edns-subnet"]));
            }
            client_subnet = true;
        }
    }
    match file {
        Some(file) => Ok(Config { file, client_subnet }),
        None => Err(words.arg_err()),
    }
}
