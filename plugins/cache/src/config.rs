//! What the `cache` directive says.

use std::time::Duration;

use catena_core::corefile::Cursor;
use catena_core::prelude::*;
use catena_gocompat::duration::GoDuration;
use catena_gocompat::number::atoi;

use crate::store::CAPACITY_MAX;

/// The entries of each store, if the Corefile does not say.
const CAPACITY: usize = 10_000;
/// The longest that a server failure may be cached (RFC 2308 section 7.1).
const SERVFAIL_MAX: Duration = Duration::from_secs(300);
/// The longest that failed refreshes may hold off the next.
const RECHECK_MAX: Duration = Duration::from_secs(300);
const ONCE: &str = "this plugin can only be used once per Server Block";
const PROPERTIES: [&str; 8] =
    ["success", "denial", "prefetch", "serve_stale", "serve_stale_policy", "servfail", "disable", "keepttl"];

/// How one of the two stores is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The most entries.
    pub(crate) capacity: usize,
    /// The longest time to live, seconds.
    pub(crate) ttl_max: u32,
    /// The shortest time to live, seconds.
    pub(crate) ttl_min: u32,
}

impl Limits {
    const fn with_ttl_max(ttl_max: u32) -> Self {
        Self { capacity: CAPACITY, ttl_max, ttl_min: 5 }
    }

    /// A time to live within the limits; the upper one wins. Seconds.
    pub(crate) fn clamp(&self, ttl: u32) -> u32 {
        ttl.max(self.ttl_min).min(self.ttl_max)
    }

    /// `CAPACITY [TTL] [MINTTL]`; further words are ignored, as in CoreDNS.
    fn read(&mut self, words: &mut Cursor<'_>) -> Result<(), Diagnostic> {
        let args = words.remaining_args();
        let Some(capacity) = args.first() else { return Err(words.arg_err()) };
        self.capacity = usize::try_from(number(words, capacity)?).unwrap_or(0);
        if let Some(ttl) = args.get(1) {
            self.ttl_max = ttl_max(words, number(words, ttl)?)?;
        }
        if let Some(ttl) = args.get(2) {
            let ttl = number(words, ttl)?;
            if ttl < 0 {
                return Err(words.plain_err(format!("cache min TTL can not be negative: {ttl}")));
            }
            self.ttl_min = seconds(ttl);
        }
        Ok(())
    }
}

/// When entries in use are refreshed before they expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefetch {
    /// The hits that it takes; 0: never.
    pub(crate) amount: u32,
    /// Hits farther apart than this do not add up.
    pub(crate) gap: Duration,
    /// The share of the time to live that must be left at most, in percent.
    pub(crate) percentage: u32,
}

/// What is done with entries that have expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stale {
    /// How long after their end entries may be served; zero: not at all.
    pub(crate) up_to: Duration,
    /// The question is asked again before the old entry is served.
    pub(crate) verify: bool,
    /// How long that may take; zero: as long as it takes.
    pub(crate) verify_timeout: Duration,
    /// The time to live of old records, seconds; 0: none is set.
    pub(crate) ttl: u32,
    /// How long a failed refresh holds off the next; zero: not at all.
    pub(crate) recheck: Duration,
    /// An old answer is better than a new denial.
    pub(crate) prefer_positive: bool,
}

/// The directive as a whole. CoreDNS: plugin/cache.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// For which names replies are kept.
    pub(crate) zones: Zones,
    /// The store of answers.
    pub(crate) success: Limits,
    /// The store of denials and failures.
    pub(crate) denial: Limits,
    /// How long failures are kept; zero: not at all.
    pub(crate) servfail: Duration,
    /// Refreshing before the end.
    pub(crate) prefetch: Prefetch,
    /// Serving after the end.
    pub(crate) stale: Stale,
    /// Zones whose answers are not kept.
    pub(crate) except_success: Zones,
    /// Zones whose denials and failures are not kept.
    pub(crate) except_denial: Zones,
    /// Hits show the original time to live.
    pub(crate) keep_ttl: bool,
}

impl Config {
    fn new(zones: Zones) -> Self {
        Self {
            zones,
            success: Limits::with_ttl_max(3600),
            denial: Limits::with_ttl_max(1800),
            servfail: Duration::from_secs(5),
            prefetch: Prefetch { amount: 0, gap: Duration::from_secs(60), percentage: 10 },
            stale: Stale::default(),
            except_success: Zones::default(),
            except_denial: Zones::default(),
            keep_ttl: false,
        }
    }

    /// Reads every occurrence of the directive; there may be only one.
    pub(crate) fn parse(cx: &mut Setup<'_>) -> Result<Self, Diagnostic> {
        let mut words = cx.cursor();
        let mut config = Self::new(cx.zones().clone());
        let mut seen = Seen::default();
        let mut times = 0;
        while words.next() {
            if times > 0 {
                return Err(words.plain_err(ONCE));
            }
            times += 1;
            let mut args = words.remaining_args();
            if let Some(ttl) = args.first().and_then(|first| atoi(first).ok()) {
                config.success.ttl_max = ttl_max(&words, ttl)?;
                config.denial.ttl_max = config.success.ttl_max;
                args.remove(0);
            }
            config.zones = Zones::from_args_or_block(&args, cx.zones());
            while words.next_block() {
                config.property(&mut words, &mut seen)?;
            }
        }
        if seen.stale_policy && !seen.stale {
            return Err(words.plain_err("serve_stale_policy requires serve_stale"));
        }
        for (name, limits) in [("success", &mut config.success), ("denial", &mut config.denial)] {
            if limits.capacity > CAPACITY_MAX {
                let (wanted, kept) = (limits.capacity, CAPACITY_MAX);
                cx.warn(Diagnostic::warning(format!("plugin/cache: {name}: capacity {wanted} is cut to {kept}")));
                limits.capacity = CAPACITY_MAX;
            }
        }
        Ok(config)
    }

    fn property(&mut self, words: &mut Cursor<'_>, seen: &mut Seen) -> Result<(), Diagnostic> {
        match words.val() {
            "success" => self.success.read(words),
            "denial" => self.denial.read(words),
            "prefetch" => self.read_prefetch(words),
            "serve_stale" => {
                seen.stale = true;
                self.read_stale(words)
            }
            "serve_stale_policy" => {
                if std::mem::replace(&mut seen.stale_policy, true) {
                    return Err(words.plain_err("serve_stale_policy can only be specified once"));
                }
                let value = exactly_one(words)?;
                if !value.eq_ignore_ascii_case("prefer_positive") {
                    return Err(words.plain_err(format!("invalid serve_stale_policy: {value}")));
                }
                self.stale.prefer_positive = true;
                Ok(())
            }
            "servfail" => self.read_servfail(words),
            "disable" => self.read_disable(words),
            "keepttl" => {
                if !words.remaining_args().is_empty() {
                    return Err(words.arg_err());
                }
                self.keep_ttl = true;
                Ok(())
            }
            _ => Err(words.with_nearest(words.arg_err(), &PROPERTIES)),
        }
    }

    fn read_prefetch(&mut self, words: &mut Cursor<'_>) -> Result<(), Diagnostic> {
        let args = words.remaining_args();
        if args.is_empty() || args.len() > 3 {
            return Err(words.arg_err());
        }
        let amount = number(words, args[0])?;
        if amount < 0 {
            return Err(words.plain_err(format!("prefetch amount should be positive: {amount}")));
        }
        self.prefetch.amount = seconds(amount);
        if let Some(gap) = args.get(1) {
            // A negative gap lets no two hits add up, and zero does the same.
            self.prefetch.gap = go_duration(words, gap, "")?.to_std().unwrap_or_default();
        }
        if let Some(text) = args.get(2) {
            self.prefetch.percentage = percentage(words, text)?;
        }
        Ok(())
    }

    fn read_stale(&mut self, words: &mut Cursor<'_>) -> Result<(), Diagnostic> {
        let args = words.remaining_args();
        if args.len() > 5 {
            return Err(words.arg_err());
        }
        let mut stale =
            Stale { up_to: Duration::from_secs(3600), prefer_positive: self.stale.prefer_positive, ..Stale::default() };
        if let Some(text) = args.first() {
            stale.up_to = at_least_zero(words, text, "", "invalid negative duration for serve_stale")?;
        }
        if let Some(mode) = args.get(1) {
            let mode = mode.to_ascii_lowercase();
            if mode != "immediate" && mode != "verify" {
                return Err(words.plain_err(format!("invalid value for serve_stale refresh mode: {mode}")));
            }
            stale.verify = mode == "verify";
        }
        let mut rest = args.get(2..).unwrap_or_default();
        if stale.verify {
            if let Some((text, after)) = rest.split_first() {
                let negative = "invalid negative timeout for serve_stale verify";
                stale.verify_timeout = at_least_zero(words, text, "invalid serve_stale verify timeout: ", negative)?;
                rest = after;
            }
        } else if rest.len() > 2 {
            return Err(words.arg_err());
        }
        if let Some(text) = rest.first() {
            stale.ttl = stale_ttl(words, text)?;
        }
        if let Some(text) = rest.get(1) {
            let negative = "invalid negative failure recheck for serve_stale";
            stale.recheck = at_least_zero(words, text, "invalid serve_stale failure recheck: ", negative)?;
            if stale.recheck > RECHECK_MAX {
                return Err(words.plain_err("serve_stale failure recheck cannot exceed 5 minutes"));
            }
        }
        self.stale = stale;
        Ok(())
    }

    fn read_servfail(&mut self, words: &mut Cursor<'_>) -> Result<(), Diagnostic> {
        let text = exactly_one(words)?;
        self.servfail = at_least_zero(words, text, "", "invalid negative ttl for servfail")?;
        if self.servfail > SERVFAIL_MAX {
            return Err(words.plain_err("caching SERVFAIL responses over 5 minutes is not permitted"));
        }
        Ok(())
    }

    fn read_disable(&mut self, words: &mut Cursor<'_>) -> Result<(), Diagnostic> {
        let args = words.remaining_args();
        let Some((kind, names)) = args.split_first() else { return Err(words.arg_err()) };
        let mut zones = Vec::new();
        for name in names {
            let zone = Zone::parse(name);
            zones.push(zone.ok_or_else(|| words.plain_err(format!("invalid disabled zone: {name}")))?);
        }
        let zones = if zones.is_empty() { Zones::everything() } else { zones.into_iter().collect() };
        match *kind {
            "denial" => self.except_denial = zones,
            "success" => self.except_success = zones,
            _ => return Err(words.plain_err("cache type for disable must be \"denial\" or \"success\"")),
        }
        Ok(())
    }
}

#[derive(Default)]
struct Seen {
    stale: bool,
    stale_policy: bool,
}

fn exactly_one<'a>(words: &mut Cursor<'a>) -> Result<&'a str, Diagnostic> {
    let args = words.remaining_args();
    if let [arg] = args[..] { Ok(arg) } else { Err(words.arg_err()) }
}

fn number(words: &Cursor<'_>, text: &str) -> Result<i64, Diagnostic> {
    atoi(text).map_err(|error| words.plain_err(error.to_string()))
}

/// Numbers beyond what a TTL can hold are the largest TTL.
fn seconds(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn ttl_max(words: &Cursor<'_>, ttl: i64) -> Result<u32, Diagnostic> {
    if ttl <= 0 {
        return Err(words.plain_err(format!("cache TTL can not be zero or negative: {ttl}")));
    }
    Ok(seconds(ttl))
}

fn go_duration(words: &Cursor<'_>, text: &str, prefix: &str) -> Result<GoDuration, Diagnostic> {
    GoDuration::parse(text).map_err(|error| words.plain_err(format!("{prefix}{error}")))
}

fn at_least_zero(words: &Cursor<'_>, text: &str, prefix: &str, negative: &str) -> Result<Duration, Diagnostic> {
    go_duration(words, text, prefix)?.to_std().ok_or_else(|| words.plain_err(negative))
}

fn percentage(words: &Cursor<'_>, text: &str) -> Result<u32, Diagnostic> {
    let Some(digits) = text.strip_suffix('%') else {
        let last = text.chars().next_back().map(|c| format!("'{c}'")).unwrap_or_default();
        return Err(words.plain_err(format!("last character of percentage should be `%`, but is: {last}")));
    };
    match number(words, digits)? {
        share @ 10..=90 => Ok(seconds(share)),
        share => Err(words.plain_err(format!("percentage should fall in range [10, 90]: {share}"))),
    }
}

fn stale_ttl(words: &Cursor<'_>, text: &str) -> Result<u32, Diagnostic> {
    let negative = "invalid negative response TTL for serve_stale";
    let ttl = at_least_zero(words, text, "invalid serve_stale response TTL: ", negative)?;
    if ttl.subsec_nanos() != 0 {
        return Err(words.plain_err("serve_stale response TTL must be a whole number of seconds"));
    }
    u32::try_from(ttl.as_secs()).map_err(|_| words.plain_err("serve_stale response TTL exceeds the DNS TTL range"))
}
