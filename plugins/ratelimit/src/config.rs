//! What the `ratelimit` directive says. The words are those of BIND's `rate-limit`.

use std::time::Duration;

use catena_core::prelude::*;
use catena_gocompat::address::Cidr;

use crate::table::{ACCOUNTS_MAX, ACCOUNTS_MIN};

/// The accounts of a table, if the Corefile does not say.
const ACCOUNTS: usize = 100_000;
/// How long an account stays in debt, if the Corefile does not say.
const WINDOW: Duration = Duration::from_secs(15);
/// The longest window, seconds.
const WINDOW_SECONDS_MAX: u32 = 3600;
/// The highest rate a second that can be told from none.
const RATE_MAX: u32 = 10_000;

const PROPERTIES: [&str; 13] = [
    "responses-per-second",
    "nodata-per-second",
    "nxdomains-per-second",
    "referrals-per-second",
    "errors-per-second",
    "requests-per-second",
    "window",
    "slip",
    "ipv4-prefix-length",
    "ipv6-prefix-length",
    "exempt-clients",
    "max-table-size",
    "log-only",
];

/// The directive as a whole. A rate that is `None` has no limit.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) zones: Zones,
    pub(crate) responses: Option<u32>,
    pub(crate) nodata: Option<u32>,
    pub(crate) nxdomains: Option<u32>,
    pub(crate) referrals: Option<u32>,
    pub(crate) errors: Option<u32>,
    pub(crate) requests: Option<u32>,
    /// The longest time that an account pays for what it had too much.
    pub(crate) window: Duration,
    /// One of so many that are held back is sent truncated; 0: none.
    pub(crate) slip: u32,
    pub(crate) ipv4_prefix_len: u8,
    pub(crate) ipv6_prefix_len: u8,
    /// Clients that have no limits.
    pub(crate) exempt: Vec<Cidr>,
    pub(crate) table_size: usize,
    /// Count and log, hold nothing back.
    pub(crate) log_only: bool,
}

/// A rate as it stands in the Corefile: not there, or a number of which 0 is "no limit".
type Said = Option<u32>;

/// Reads the directive; it stands once in a server block.
pub(crate) fn parse(cx: &Setup<'_>) -> Result<Config, Diagnostic> {
    let mut words = cx.cursor();
    words.next();
    let args = words.remaining_args();
    let mut config = Config {
        zones: Zones::from_args_or_block(&args, cx.zones()),
        responses: None,
        nodata: None,
        nxdomains: None,
        referrals: None,
        errors: None,
        requests: None,
        window: WINDOW,
        slip: 2,
        ipv4_prefix_len: 24,
        ipv6_prefix_len: 56,
        exempt: Vec::new(),
        table_size: ACCOUNTS,
        log_only: false,
    };
    let mut rates: [Said; 6] = [None; 6];
    let name = words.clone();
    while words.next_block() {
        let property = words.val();
        match PROPERTIES.iter().position(|known| *known == property) {
            Some(rate @ 0..6) => rates[rate] = Some(number(&mut words, 0, RATE_MAX)?),
            Some(_) => property_of(&mut words, property, &mut config)?,
            None => return Err(words.unknown_property(&PROPERTIES)),
        }
    }
    if words.next() {
        return Err(words.err("this plugin can only be used once per Server Block"));
    }
    // What has no rate of its own has that of responses, as in BIND.
    let [responses, nodata, nxdomains, referrals, errors, requests] = rates;
    let limit = |rate: Said| rate.filter(|rate| *rate > 0);
    config.responses = limit(responses);
    config.nodata = limit(nodata.or(responses));
    config.nxdomains = limit(nxdomains.or(responses));
    config.referrals = limit(referrals.or(responses));
    config.errors = limit(errors.or(responses));
    config.requests = limit(requests);
    let replies = [config.responses, config.nodata, config.nxdomains, config.referrals, config.errors];
    if config.requests.is_none() && replies.iter().all(Option::is_none) {
        return Err(name.err("no limit is set").with_help("set responses-per-second, requests-per-second or both"));
    }
    Ok(config)
}

fn property_of(words: &mut Cursor<'_>, property: &str, config: &mut Config) -> Result<(), Diagnostic> {
    match property {
        "window" => config.window = Duration::from_secs(number(words, 1, WINDOW_SECONDS_MAX)?.into()),
        "slip" => config.slip = number(words, 0, 10)?,
        "ipv4-prefix-length" => config.ipv4_prefix_len = number(words, 1, 32)? as u8,
        "ipv6-prefix-length" => config.ipv6_prefix_len = number(words, 1, 128)? as u8,
        "max-table-size" => config.table_size = number(words, ACCOUNTS_MIN as u32, ACCOUNTS_MAX as u32)? as usize,
        "exempt-clients" => {
            let nets = words.remaining_args();
            if nets.is_empty() {
                return Err(words.arg_err());
            }
            for net in nets {
                config.exempt.push(Cidr::parse_network(net).map_err(|error| words.err(error))?);
            }
        }
        _ => {
            words.no_more_args()?;
            config.log_only = true;
        }
    }
    Ok(())
}

fn number(words: &mut Cursor<'_>, min: u32, max: u32) -> Result<u32, Diagnostic> {
    let property = words.val();
    let text = words.one_arg()?;
    let found = text.parse().ok().filter(|number| (min..=max).contains(number));
    found.ok_or_else(|| words.err(format!("{property} is a number from {min} to {max}, not {text:?}")))
}
