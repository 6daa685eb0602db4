//! What the `auto` directive says.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use catena_core::prelude::*;
use catena_gocompat::duration::GoDuration;
use catena_gocompat::os::error_text;
use catena_gocompat::regexp::Regexp;

use crate::origin::Pattern;

/// How often the directory is looked at, if the Corefile does not say.
const RELOAD: Duration = Duration::from_secs(60);
/// The longest pattern, octets (CoreDNS: plugin/auto).
const PATTERN_OCTETS_MAX: usize = 10_000;
/// The pattern for file names, if the Corefile does not say.
const PATTERN: &str = r"db\.(.*)";
/// What makes a zone of it.
const TEMPLATE: &str = "{1}";

/// The directive as a whole.
pub(crate) struct Config {
    /// Only names in these zones are answered, whatever files there are.
    pub(crate) origins: Zones,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) pattern: Pattern,
    /// How often directory and files are looked at, if ever again.
    pub(crate) reload: Option<Duration>,
}

/// Reads every use of the directive; the last one counts.
pub(crate) fn parse(cx: &Setup<'_>) -> Result<Config, Diagnostic> {
    let mut words = cx.cursor();
    let pattern = Regexp::new(PATTERN).map_err(|error| words.plain_err(error.to_string()))?;
    let mut config = Config {
        origins: Zones::default(),
        directory: None,
        pattern: Pattern::new(pattern, TEMPLATE),
        reload: Some(RELOAD),
    };
    let mut name = words.clone();
    while words.next() {
        name = words.clone();
        config.origins = Zones::from_args_or_block(&words.remaining_args(), cx.zones());
        while words.next_block() {
            match words.val() {
                "directory" => directory(cx, &mut words, &mut config)?,
                "reload" => config.reload = interval(&mut words)?,
                // CoreDNS takes it and does nothing with it.
                "upstream" => drop(words.remaining_args()),
                _ => return Err(words.unknown_property(&["directory", "reload"])),
            }
        }
    }
    if config.directory.is_none() {
        return Err(name.err("no directory is named").with_help("add `directory DIR` to the block of `auto`"));
    }
    Ok(config)
}

fn directory(cx: &Setup<'_>, words: &mut Cursor<'_>, config: &mut Config) -> Result<(), Diagnostic> {
    if !words.next_arg() {
        return Err(words.arg_err());
    }
    let path = cx.path(words.val());
    let missing = match std::fs::metadata(&path) {
        Ok(_) => false,
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => {
            let (shown, error) = (path.display(), error_text(&error));
            return Err(words.err(format!("Unable to access root path '{shown}': stat {shown}: {error}")));
        }
    };
    if missing {
        // It may be made later.
        cx.log().warning(format_args!("Directory does not exist: {}", path.display()));
    }
    config.directory = Some(path);
    if words.next_arg() {
        let text = words.val();
        if text.len() > PATTERN_OCTETS_MAX {
            return Err(words.err("regexp too large"));
        }
        let regexp = Regexp::new(text).map_err(|error| words.plain_err(error.to_string()))?;
        // The whole match counts as one.
        if regexp.group_count() < 2 {
            return Err(words.err("Need at least one sub expression"));
        }
        if !words.next_arg() {
            return Err(words.arg_err());
        }
        config.pattern = Pattern::new(regexp, words.val());
    }
    words.no_more_args()
}

fn interval(words: &mut Cursor<'_>) -> Result<Option<Duration>, Diagnostic> {
    let args = words.remaining_args();
    let Some(text) = args.first() else { return Err(words.plain_err("reload duration value is expected")) };
    // CoreDNS names `file` here.
    let wrong = |error: String| words.plain_err(format!("plugin/file: {error}"));
    let span = GoDuration::parse(text).map_err(|error| wrong(error.to_string()))?;
    let span = span.to_std().ok_or_else(|| wrong("invalid duration".to_owned()))?;
    Ok(Some(span).filter(|span| !span.is_zero()))
}
