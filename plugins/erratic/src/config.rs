//! What the `erratic` directive says.

use std::time::Duration;

use catena_core::prelude::*;
use catena_gocompat::duration::GoDuration;
use catena_gocompat::number::parse_int;
use catena_gocompat::quote::quote;

/// One query of so many is dropped, delayed or cut if the Corefile does not say.
const DEFAULT_EVERY: u64 = 2;
const DEFAULT_DELAY: Duration = Duration::from_millis(100);
const PROPERTIES: [&str; 4] = ["drop", "delay", "truncate", "large"];

/// The directive. Of `drop`, `delay` and `truncate` 0 is never.
pub(crate) struct Config {
    /// One query of so many gets no reply.
    pub(crate) drop: u64,
    /// One query of so many waits.
    pub(crate) delay: u64,
    /// How long it waits.
    pub(crate) duration: Duration,
    /// Queries whose number has none of these bits get a truncated reply.
    pub(crate) truncate: u64,
    /// A replies have many records.
    pub(crate) large: bool,
}

/// Reads the directive.
pub(crate) fn parse(mut words: Cursor<'_>) -> Result<Config, Diagnostic> {
    let mut config = Config { drop: DEFAULT_EVERY, delay: 0, duration: DEFAULT_DELAY, truncate: 0, large: false };
    let mut drop_is_given = false;
    while words.next() {
        while words.next_block() {
            match words.val() {
                "drop" => {
                    if let Some(every) = one_amount(&mut words)? {
                        config.drop = every;
                        drop_is_given = true;
                    }
                }
                "delay" => (config.delay, config.duration) = delay(&mut words)?,
                "truncate" => config.truncate = one_amount(&mut words)?.unwrap_or(DEFAULT_EVERY),
                "large" => config.large = true,
                _ => return Err(words.unknown_property(&PROPERTIES)),
            }
        }
    }
    // CoreDNS: plugin/erratic. A `drop` without a number does not count.
    if (config.delay > 0 || config.truncate > 0) && !drop_is_given {
        config.drop = 0;
    }
    Ok(config)
}

fn one_amount(words: &mut Cursor<'_>) -> Result<Option<u64>, Diagnostic> {
    match words.remaining_args()[..] {
        [] => Ok(None),
        [word] => amount(words, word).map(Some),
        _ => Err(words.arg_err()),
    }
}

fn amount(words: &Cursor<'_>, word: &str) -> Result<u64, Diagnostic> {
    let number = parse_int(word, 10, 32).map_err(|error| words.plain_err(error.to_string()))?;
    u64::try_from(number).map_err(|_| words.plain_err(format!("illegal amount value given {}", quote(word))))
}

fn delay(words: &mut Cursor<'_>) -> Result<(u64, Duration), Diagnostic> {
    let args = words.remaining_args();
    let every = match args.first() {
        Some(word) if args.len() <= 2 => amount(words, word)?,
        Some(_) => return Err(words.arg_err()),
        None => DEFAULT_EVERY,
    };
    let Some(word) = args.get(1) else { return Ok((every, DEFAULT_DELAY)) };
    let span = GoDuration::parse(word).map_err(|error| words.plain_err(error.to_string()))?;
    // A negative time is no time.
    Ok((every, span.to_std().unwrap_or_default()))
}
