//! What the operator says of keys that the server keeps: their properties in the Corefile.

use std::net::SocketAddr;

use catena_core::prelude::*;
use catena_gocompat::address::{parse_ip, split_host_port};
use catena_gocompat::duration::GoDuration;
use catena_zone::dnssec::{Algorithm, RsaBits};

/// The properties that there are, `key managed` left out.
pub(crate) const PROPERTIES: [&str; 7] = [
    "csk",
    "zsk_lifetime",
    "ksk_lifetime",
    "ksk_submission",
    "propagation_delay",
    "parent_ds_ttl",
    "parent_propagation_delay",
];
/// The most servers of the parent that are asked for DS records.
pub(crate) const PARENT_SERVERS_MAX: usize = 16;
/// The longest time of a property, seconds: some 68 years.
const SECONDS_MAX: u64 = i32::MAX as u64;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// How it becomes known that the parent has the DS record of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Submission {
    /// The operator makes a file.
    Manual,
    /// So many seconds after it could be had.
    After(u64),
    /// All these servers answer with it.
    Servers(Vec<SocketAddr>),
}

/// How keys are made and how long each may be used. Times are in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) algorithm: Algorithm,
    pub(crate) bits: RsaBits,
    /// Whether one key signs everything, or one the keys and another the rest.
    pub(crate) csk: bool,
    /// `None`: for ever.
    pub(crate) zsk_lifetime: Option<u64>,
    pub(crate) ksk_lifetime: Option<u64>,
    pub(crate) submission: Submission,
    /// Until every server of the zone has what was signed.
    pub(crate) propagation_delay: u64,
    /// The TTL of the DS records in the parent.
    pub(crate) parent_ds_ttl: u64,
    /// Until every server of the parent has what it published.
    pub(crate) parent_propagation_delay: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::EcdsaP256,
            bits: RsaBits::default(),
            csk: false,
            zsk_lifetime: Some(30 * DAY),
            ksk_lifetime: None,
            submission: Submission::Manual,
            propagation_delay: HOUR,
            parent_ds_ttl: DAY,
            parent_propagation_delay: HOUR,
        }
    }
}

impl Policy {
    /// Reads the algorithm and the size behind `key managed DIRECTORY`.
    pub(crate) fn read_algorithm(&mut self, words: &Cursor<'_>, args: &[&str]) -> Result<(), Diagnostic> {
        let (name, bits) = match args {
            [] => return Ok(()),
            [name] => (name, None),
            [name, bits] => (name, Some(bits)),
            _ => return Err(words.arg_err()),
        };
        let known = || Algorithm::ALL.map(Algorithm::name).join(", ");
        self.algorithm = Algorithm::from_name(name)
            .ok_or_else(|| words.plain_err(format!("unknown algorithm '{name}', there are {}", known())))?;
        let is_rsa = matches!(self.algorithm, Algorithm::RsaSha256 | Algorithm::RsaSha512);
        if let Some(bits) = bits {
            if !is_rsa {
                let name = self.algorithm.name();
                return Err(
                    words.plain_err(format!("keys of {name} have no size to be chosen, only those of RSA have"))
                );
            }
            let wrong = || words.plain_err(format!("RSA keys have 2048, 3072 or 4096 bits, not '{bits}'"));
            self.bits = bits.parse().ok().and_then(RsaBits::from_int).ok_or_else(wrong)?;
        }
        Ok(())
    }

    /// Reads the property that the cursor stands on, one of [`PROPERTIES`].
    pub(crate) fn read(&mut self, words: &mut Cursor<'_>) -> Result<(), Diagnostic> {
        match words.val() {
            "csk" => {
                self.csk = true;
                words.no_more_args()?;
            }
            "zsk_lifetime" => self.zsk_lifetime = lifetime(words)?,
            "ksk_lifetime" => self.ksk_lifetime = lifetime(words)?,
            "ksk_submission" => self.submission = submission(words)?,
            "propagation_delay" => self.propagation_delay = one_duration(words)?,
            "parent_ds_ttl" => self.parent_ds_ttl = one_duration(words)?,
            "parent_propagation_delay" => self.parent_propagation_delay = one_duration(words)?,
            _ => return Err(words.unknown_property(&PROPERTIES)),
        }
        Ok(())
    }
}

fn lifetime(words: &mut Cursor<'_>) -> Result<Option<u64>, Diagnostic> {
    let word = words.one_arg()?;
    if word == "unlimited" {
        return Ok(None);
    }
    match duration(words, word)? {
        0 => Err(words.plain_err("a lifetime is longer than nothing")),
        seconds => Ok(Some(seconds)),
    }
}

fn one_duration(words: &mut Cursor<'_>) -> Result<u64, Diagnostic> {
    let word = words.one_arg()?;
    duration(words, word)
}

/// Days and weeks, or a duration as Go writes it; in seconds.
fn duration(words: &Cursor<'_>, word: &str) -> Result<u64, Diagnostic> {
    let of = |number: &str, unit: u64| number.parse::<u64>().ok()?.checked_mul(unit);
    let seconds = match (word.strip_suffix('d'), word.strip_suffix('w')) {
        (Some(days), _) => of(days, DAY),
        (_, Some(weeks)) => of(weeks, 7 * DAY),
        _ => GoDuration::parse(word).ok().and_then(GoDuration::to_std).map(|span| span.as_secs()),
    };
    let wrong = || words.plain_err(format!("'{word}' is no duration such as 12h, 30d or 8w, of 68 years at most"));
    seconds.filter(|seconds| *seconds <= SECONDS_MAX).ok_or_else(wrong)
}

fn submission(words: &mut Cursor<'_>) -> Result<Submission, Diagnostic> {
    let args = words.remaining_args();
    match args[..] {
        [] => Err(words.arg_err()),
        ["manual"] => Ok(Submission::Manual),
        ["manual", ..] => Err(words.plain_err("nothing comes behind ksk_submission manual")),
        ["after", word] => Ok(Submission::After(duration(words, word)?)),
        ["after", ..] => Err(words.plain_err("behind ksk_submission after comes one duration, such as 36h")),
        _ if args.len() > PARENT_SERVERS_MAX => {
            Err(words.plain_err(format!("more than {PARENT_SERVERS_MAX} servers of the parent")))
        }
        _ => {
            let wrong = |word| words.plain_err(format!("'{word}' is neither manual, after, nor an address"));
            let servers = args.iter().map(|word| server(word).ok_or_else(|| wrong(word))).collect::<Result<_, _>>();
            Ok(Submission::Servers(servers?))
        }
    }
}

fn server(word: &str) -> Option<SocketAddr> {
    if let Some(address) = parse_ip(word) {
        return Some(SocketAddr::new(address, 53));
    }
    let (host, port) = split_host_port(word).ok()?;
    Some(SocketAddr::new(parse_ip(host)?, port.parse().ok()?))
}
