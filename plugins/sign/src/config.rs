//! What the `sign` directive says.

use std::sync::Arc;

use catena_core::corefile::Token;
use catena_core::prelude::*;
use catena_gocompat::os::error_text;
use catena_zone::dnssec::{KeyError, PublicKey, SigningKey};

use crate::signer::{Jitter, Signer};

/// Where signed zones go if the Corefile does not say.
const DEFAULT_DIRECTORY: &str = "/var/lib/coredns";
/// The most keys of one use of the directive: every key signs every set.
pub(crate) const KEYS_MAX: usize = 64;

/// Reads every use of the directive, and the keys: a signer for each zone. CoreDNS: plugin/sign.
pub(crate) fn parse(cx: &mut Setup<'_>) -> Result<Vec<Signer>, Diagnostic> {
    let mut words = cx.cursor();
    let mut signers = Vec::new();
    while words.next() {
        if !words.next_arg() {
            return Err(words.arg_err());
        }
        let source = cx.path(words.val());
        if words.val().contains('\u{fffd}') {
            return Err(words.plain_err(format!("dbfile {source:?} contains invalid characters")));
        }
        let none = words.plain_err("there is no key to sign with");
        let zones = Zones::from_args_or_block(&words.remaining_args(), cx.zones());
        let (mut keys, mut directory) = (Vec::new(), cx.path(DEFAULT_DIRECTORY));
        while words.next_block() {
            match words.val() {
                "key" => read_keys(cx, &mut words, &mut keys)?,
                "directory" => {
                    let args = words.remaining_args();
                    let [path] = args[..] else {
                        return Err(words.plain_err("can only be one argument after \"directory\""));
                    };
                    directory = cx.path(path);
                }
                _ => return Err(words.unknown_property(&["key", "directory"])),
            }
        }
        if keys.is_empty() {
            return Err(none.with_note("name a key-signing key: key file K<zone>.+<algorithm>+<tag>"));
        }
        let keys: Arc<[SigningKey]> = keys.into();
        signers.extend(zones.iter().map(|zone| Signer {
            zone: zone.clone(),
            source: source.clone(),
            // The zone's name ends with a dot.
            output: directory.join(format!("db.{zone}signed")),
            keys: Arc::clone(&keys),
            jitter: Jitter::random(),
            clock: cx.clock(),
            log: cx.log(),
            last: std::sync::Mutex::default(),
        }));
    }
    Ok(signers)
}

fn read_keys(cx: &mut Setup<'_>, words: &mut Cursor<'_>, keys: &mut Vec<SigningKey>) -> Result<(), Diagnostic> {
    if !words.next_arg() {
        return Err(words.arg_err());
    }
    match words.val() {
        "file" => {}
        "directory" => return Err(words.plain_err("directory: not implemented")),
        _ => return Err(words.unknown_property(&["file"])),
    }
    let tokens = words.remaining_tokens();
    if tokens.is_empty() {
        return Err(words.arg_err());
    }
    for token in tokens {
        let told = |text: String| words.plain_err(text).at(token);
        let key = read_key(cx, token).map_err(told)?;
        if keys.iter().any(|known| known.public() == key.public()) {
            continue;
        }
        if keys.len() == KEYS_MAX {
            return Err(told(format!("more than {KEYS_MAX} keys")));
        }
        keys.push(key);
    }
    Ok(())
}

/// Reads both files of a key, which must have the SEP flag.
fn read_key(cx: &mut Setup<'_>, token: &Token) -> Result<SigningKey, String> {
    let text: &str = &token.text;
    let base = text.strip_suffix(".key").unwrap_or(text);
    let base = base.strip_suffix(".private").unwrap_or(base);
    let mut read = |ending: &str| {
        let path = cx.path(&format!("{base}{ending}"));
        let octets = cx.read_file(&path).map_err(|error| format!("open {}: {}", path.display(), error_text(&error)))?;
        Ok::<_, String>((path, octets))
    };
    let (path, public) = read(".key")?;
    let public = PublicKey::read(&public).map_err(|error| match error {
        KeyError::NotDnskey(rtype) => format!("RR in {path:?} is not a DNSKEY: {}", rtype.to_int()),
        error => format!("{error} ({})", path.display()),
    })?;
    if !public.is_ksk() {
        return Err(format!("DNSKEY in {path:?} is not a CSK/KSK"));
    }
    let (path, private) = read(".private")?;
    public.with_private(&private).map_err(|error| format!("{error} ({})", path.display()))
}
