//! What the `loadbalance` directive says.

use std::path::PathBuf;
use std::time::Duration;

use catena_core::prelude::*;
use catena_gocompat::address::Cidr;
use catena_gocompat::duration::GoDuration;

/// How often the weight file is looked at, if the Corefile does not say.
const RELOAD: Duration = Duration::from_secs(30);

/// The directive as a whole. CoreDNS: plugin/loadbalance.
#[derive(Debug, Default)]
pub(crate) struct Config {
    /// Weights decide on the first address; without them records are shuffled.
    pub(crate) weighted: Option<WeightFile>,
    /// Addresses in these networks come first, in this order.
    pub(crate) prefer: Vec<Cidr>,
}

/// Where weights come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WeightFile {
    /// The file.
    pub(crate) path: PathBuf,
    /// How often it is looked at again; zero: never.
    pub(crate) reload: Duration,
}

impl Config {
    /// Reads every occurrence of the directive; the last one's policy counts.
    pub(crate) fn parse(cx: &Setup<'_>) -> Result<Self, Diagnostic> {
        let mut words = cx.cursor();
        let mut config = Self::default();
        while words.next() {
            match words.remaining_args()[..] {
                [] | ["round_robin"] => config.weighted = None,
                ["round_robin", ..] => return Err(words.err("unknown property for round_robin")),
                ["weighted"] => return Err(words.err("missing weight file argument")),
                ["weighted", file] => {
                    let reload = reload(&mut words)?;
                    config = Self { weighted: Some(WeightFile { path: cx.path(file), reload }), prefer: Vec::new() };
                }
                ["weighted", ..] => return Err(words.err("unexpected argument(s)")),
                [other, ..] => {
                    let error = words.plain_err(format!("unknown policy: {other}"));
                    return Err(words.with_nearest(error, &["round_robin", "weighted"]));
                }
            }
            while words.next_block() {
                if words.val() != "prefer" {
                    return Err(words.unknown_property(&["prefer"]));
                }
                for text in words.remaining_args() {
                    let cidr = Cidr::parse(text);
                    config.prefer.push(cidr.map_err(|error| words.err(format!("invalid CIDR {text:?}: {error}")))?);
                }
            }
        }
        Ok(config)
    }
}

fn reload(words: &mut Cursor<'_>) -> Result<Duration, Diagnostic> {
    let mut reload = RELOAD;
    while words.next_block() {
        if words.val() != "reload" {
            return Err(words.unknown_property(&["reload"]));
        }
        let args = words.remaining_args();
        let text = match args[..] {
            [] => return Err(words.err("reload duration value is missing")),
            [text] => text,
            _ => return Err(words.err("unexpected argument")),
        };
        let parsed = GoDuration::parse(text).ok().and_then(GoDuration::to_std);
        reload = parsed.ok_or_else(|| words.err(format!("invalid reload duration '{text}'")))?;
    }
    Ok(reload)
}
