//! What the `dns64` directive says.

use std::net::IpAddr;

use catena_core::prelude::*;
use catena_gocompat::address::Cidr;
use catena_gocompat::quote::quote;

use crate::prefix::Prefix;

const PROPERTIES: [&str; 3] = ["prefix", "translate_all", "allow_ipv4"];

/// The directive.
#[derive(Default)]
pub(crate) struct Config {
    /// Where IPv4 addresses are put.
    pub(crate) prefix: Prefix,
    /// Addresses are made even for names that have IPv6 addresses.
    pub(crate) translate_all: bool,
    /// Clients with IPv4 get them, too.
    pub(crate) allow_ipv4: bool,
}

/// Reads the directive; of several the last one of each property counts.
pub(crate) fn parse(mut words: Cursor<'_>) -> Result<Config, Diagnostic> {
    let mut config = Config::default();
    while words.next() {
        match words.remaining_args()[..] {
            [] => {}
            [text] => config.prefix = prefix(&words, text)?,
            _ => return Err(words.arg_err()),
        }
        while words.next_block() {
            match words.val() {
                "prefix" => {
                    if !words.next_arg() {
                        return Err(words.arg_err());
                    }
                    config.prefix = prefix(&words, words.val())?;
                }
                "translate_all" => config.translate_all = true,
                "allow_ipv4" => config.allow_ipv4 = true,
                _ => return Err(words.unknown_property(&PROPERTIES)),
            }
        }
    }
    Ok(config)
}

fn prefix(words: &Cursor<'_>, text: &str) -> Result<Prefix, Diagnostic> {
    let cidr = Cidr::parse(text).map_err(|error| words.plain_err(error.to_string()))?;
    let shown = quote(&cidr.to_string());
    let IpAddr::V6(network) = cidr.network else {
        return Err(words.err(format!("invalid netmask 32 IPv6 address: {shown}")));
    };
    Prefix::new(network, cidr.prefix_len).ok_or_else(|| words.err(format!("invalid prefix length {shown}")))
}
