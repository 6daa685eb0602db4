//! What the `errors` directive says.

use std::time::Duration;

use catena_core::Level;
use catena_core::prelude::*;
use catena_gocompat::duration::GoDuration;
use catena_gocompat::regexp::{PATTERN_BYTES_MAX, Regexp};

const ONCE: &str = "this plugin can only be used once per Server Block";

/// One `consolidate` line.
#[derive(Clone, Debug)]
pub(crate) struct Consolidate {
    /// How long errors are summed up.
    pub(crate) period: Duration,
    /// Which errors: an expression for their text.
    pub(crate) regexp: Regexp,
    /// The level of the lines.
    pub(crate) level: Level,
    /// The first error is logged at once.
    pub(crate) show_first: bool,
}

/// The directive as a whole.
#[derive(Debug, Default)]
pub(crate) struct Config {
    /// In the order of the Corefile; the first that matches counts.
    pub(crate) patterns: Vec<Consolidate>,
    /// Panics are logged with their stack.
    pub(crate) stacktrace: bool,
}

impl Config {
    /// Reads every occurrence of the directive; there may be only one. CoreDNS: plugin/errors.
    pub(crate) fn parse(mut words: Cursor<'_>) -> Result<Self, Diagnostic> {
        let mut config = Self::default();
        let mut times = 0;
        while words.next() {
            if times > 0 {
                return Err(words.plain_err(ONCE));
            }
            times += 1;
            match words.remaining_args()[..] {
                [] | ["stdout"] => {}
                [file] => return Err(words.err(format!("invalid log file: {file}"))),
                _ => return Err(words.arg_err()),
            }
            while words.next_block() {
                match words.val() {
                    "stacktrace" => config.stacktrace = true,
                    "consolidate" => config.patterns.push(Consolidate::parse(&mut words)?),
                    other => {
                        let error = words.syntax_err(&format!("Unknown field {other}"));
                        return Err(words.with_nearest(error, &["stacktrace", "consolidate"]));
                    }
                }
            }
        }
        Ok(config)
    }
}

impl Consolidate {
    /// `DURATION REGEXP [LEVEL] [show_first]`.
    fn parse(words: &mut Cursor<'_>) -> Result<Self, Diagnostic> {
        let args = words.remaining_args();
        let (2..=4, [period, pattern, options @ ..]) = (args.len(), &args[..]) else { return Err(words.arg_err()) };
        let period = GoDuration::parse(period).map_err(|error| words.err(error.to_string()))?;
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(words.err(format!("regex pattern too long: {} > {PATTERN_BYTES_MAX}", pattern.len())));
        }
        let regexp = Regexp::new(pattern).map_err(|error| words.err(error.to_string()))?;
        let (mut level, mut show_first) = (None, false);
        for option in options {
            match level_of(option) {
                Some(_) if level.is_some() => return Err(words.err("multiple log levels specified in consolidate")),
                Some(_) if show_first => {
                    return Err(words.err("log level must come before show_first in consolidate"));
                }
                Some(named) => level = Some(named),
                None if *option == "show_first" => show_first = true,
                None => return Err(words.err(format!("unknown option in consolidate: {option}"))),
            }
        }
        // A period below zero is over at once, as in Go.
        let period = period.to_std().unwrap_or_default();
        Ok(Self { period, regexp, level: level.unwrap_or(Level::Error), show_first })
    }
}

fn level_of(word: &str) -> Option<Level> {
    Some(match word {
        "warning" => Level::Warning,
        "error" => Level::Error,
        "info" => Level::Info,
        "debug" => Level::Debug,
        _ => return None,
    })
}
