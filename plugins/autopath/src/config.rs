//! What the `autopath` directive says.

use std::path::Path;

use catena_core::prelude::*;
use catena_core::{OwnedName, Span};
use catena_gocompat::os::error_text;
use catena_gocompat::quote::quote;
use catena_gocompat::resolvconf::ResolvConf;
use domain::base::Name;

/// The most elements of a file's search list that are used: each may cost a query.
pub(crate) const SEARCH_MAX: usize = 32;

/// Where the search paths of clients come from.
pub(crate) struct Config {
    /// Names outside pass.
    pub(crate) zones: Zones,
    /// The search list of a file, the root at its end; empty if no file was named.
    pub(crate) search: Vec<OwnedName>,
    /// A plugin that knows the search path of each client, with its place in the Corefile. It counts before the file.
    pub(crate) plugin: Option<(String, Option<Span>)>,
}

impl Config {
    /// Reads every occurrence; of each thing the last counts.
    pub(crate) fn parse(cx: &mut Setup<'_>) -> Result<Self, Diagnostic> {
        let mut words = cx.cursor();
        let mut config = Self { zones: Zones::default(), search: Vec::new(), plugin: None };
        while words.next() {
            let args = words.remaining_tokens();
            let Some((source, zones)) = args.split_last() else {
                return Err(words.plain_err("no resolv-conf specified"));
            };
            match source.text.strip_prefix('@') {
                Some(plugin) => config.plugin = Some((plugin.to_owned(), Some(source.span))),
                None => config.search = search_list(cx, &words, &source.text)?,
            }
            let zones: Vec<&str> = zones.iter().map(|zone| &*zone.text).collect();
            config.zones = Zones::from_args_or_block(&zones, cx.zones());
        }
        Ok(config)
    }
}

/// Reads a `resolv.conf`, whose path is taken as it is. Words of its list that are no names are left out.
fn search_list(cx: &mut Setup<'_>, words: &Cursor<'_>, path: &str) -> Result<Vec<OwnedName>, Diagnostic> {
    let failed = |why: String| words.plain_err(format!("failed to parse {}: {why}", quote(path)));
    let contents = cx.read_file(Path::new(path));
    let contents = contents.map_err(|error| failed(format!("open {path}: {}", error_text(&error))))?;
    let file = ResolvConf::parse(&String::from_utf8_lossy(&contents)).map_err(|error| failed(error.to_string()))?;
    if file.search.len() > SEARCH_MAX {
        return Err(failed(format!("too many search domains: {} > {SEARCH_MAX}", file.search.len())));
    }
    let mut search: Vec<OwnedName> =
        file.search.iter().filter_map(|element| Zone::parse(element)).map(|zone| zone.name().clone()).collect();
    search.push(Name::root_vec());
    Ok(search)
}
