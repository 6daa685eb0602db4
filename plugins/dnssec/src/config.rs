//! What the `dnssec` directive says.

use std::path::Path;
use std::sync::Arc;

use catena_core::corefile::Token;
use catena_core::prelude::*;
use catena_gocompat::number::atoi;
use catena_gocompat::os::error_text;
use catena_zone::dnssec::{KeyError, PublicKey, SigningKey};

use crate::zones::{SignedZones, can_sign};

const ONCE: &str = "this plugin can only be used once per Server Block";
/// The sets whose signatures are kept if the Corefile does not say how many.
const DEFAULT_CAPACITY: usize = 10_000;
/// The fewest sets whose signatures are kept, whatever the Corefile says. CoreDNS: plugin/pkg/cache.
pub(crate) const CAPACITY_MIN: usize = 1024;
/// The most sets whose signatures are kept, whatever the Corefile says.
pub(crate) const CAPACITY_MAX: usize = 1 << 24;
/// The most keys of one directive: every key of a zone signs every answer.
pub(crate) const KEYS_MAX: usize = 64;

/// The directive.
pub(crate) struct Config {
    /// The zones with their keys.
    pub(crate) zones: SignedZones,
    /// The most sets whose signatures are kept.
    pub(crate) cache_capacity: usize,
}

/// Reads the directive and the keys. CoreDNS: plugin/dnssec.
pub(crate) fn parse(cx: &mut Setup<'_>) -> Result<Config, Diagnostic> {
    let mut words = cx.cursor();
    words.next();
    let zones = Zones::from_args_or_block(&words.remaining_args(), cx.zones());
    let (mut keys, mut cache_capacity) = (Vec::new(), DEFAULT_CAPACITY);
    while words.next_block() {
        match words.val() {
            "key" => read_keys(cx, &mut words, &zones, &mut keys)?,
            "cache_capacity" => cache_capacity = capacity(&mut words)?,
            _ => return Err(words.unknown_property(&["key", "cache_capacity"])),
        }
    }
    if words.next() {
        return Err(words.plain_err(ONCE));
    }
    Ok(Config { zones: SignedZones::new(&zones, &keys), cache_capacity })
}

fn capacity(words: &mut Cursor<'_>) -> Result<usize, Diagnostic> {
    if !words.next_arg() {
        return Err(words.arg_err());
    }
    let wanted = atoi(words.val()).map_err(|error| words.plain_err(error.to_string()))?;
    words.no_more_args()?;
    Ok(usize::try_from(wanted).unwrap_or(0).clamp(CAPACITY_MIN, CAPACITY_MAX))
}

fn read_keys(
    cx: &mut Setup<'_>,
    words: &mut Cursor<'_>,
    zones: &Zones,
    keys: &mut Vec<Arc<SigningKey>>,
) -> Result<(), Diagnostic> {
    if !words.next_arg() {
        return Err(words.arg_err());
    }
    match words.val() {
        "file" => {}
        "aws_secretsmanager" => {
            return Err(words.plain_err("keys of AWS Secrets Manager are not supported, only files: key file KEY..."));
        }
        _ => return Err(words.unknown_property(&["file", "aws_secretsmanager"])),
    }
    let tokens = words.remaining_tokens();
    if tokens.is_empty() {
        return Err(words.arg_err());
    }
    for token in tokens {
        let told = |text: String| words.plain_err(text).at(token);
        let key = read_key(cx, token).map_err(told)?;
        let public = key.public();
        if !zones.iter().any(|zone| can_sign(public, zone)) {
            let owner = owner_text(public);
            let text = format!("key {owner} (keyid: {}) can not sign any of the zones", public.tag());
            return Err(told(text));
        }
        if keys.iter().any(|known| known.public() == public) {
            continue;
        }
        if keys.len() == KEYS_MAX {
            return Err(told(format!("more than {KEYS_MAX} keys")));
        }
        keys.push(Arc::new(key));
    }
    Ok(())
}

fn owner_text(public: &PublicKey) -> String {
    domain::base::Name::from_slice(public.owner()).map(catena_core::name::text).unwrap_or_default()
}

/// Reads both files of a key.
fn read_key(cx: &mut Setup<'_>, token: &Token) -> Result<SigningKey, String> {
    let text: &str = &token.text;
    let base = text.strip_suffix(".key").unwrap_or(text);
    let base = base.strip_suffix(".private").unwrap_or(base);
    let mut read = |ending: &str| {
        let path = cx.path(&format!("{base}{ending}"));
        cx.read_file(&path).map_err(|error| format!("open {}: {}", path.display(), error_text(&error)))
    };
    let (public, private) = (read(".key")?, read(".private")?);
    let key = PublicKey::read(&public).and_then(|public| public.with_private(&private));
    key.map_err(|error| explain(&error, base))
}

/// CoreDNS says what is wrong with a key, but not with which.
fn explain(error: &KeyError, base: &str) -> String {
    let name = Path::new(base).file_name().map_or(base.into(), |name| name.to_string_lossy());
    format!("{error} ({name})")
}
