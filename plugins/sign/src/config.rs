//! What the `sign` directive says.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use catena_core::corefile::Token;
use catena_core::prelude::*;
use catena_gocompat::os::error_text;
use catena_zone::dnssec::{KeyError, Nsec3, PublicKey, SALT_OCTETS_MAX, SigningKey};

use crate::keys::policy::{self, Policy};
use crate::keys::{Gauges, Kept, Unheard};
use crate::signer::{Jitter, Keys, Signer};

/// Where signed zones go if the Corefile does not say.
const DEFAULT_DIRECTORY: &str = "/var/lib/coredns";
/// The most keys of one use of the directive: every key signs every set.
pub(crate) const KEYS_MAX: usize = 64;
/// The most iterations of NSEC3: validators take zones with more for unsigned or broken (RFC 9276 section 3.2).
pub(crate) const ITERATIONS_MAX: u16 = 50;

/// The zones whose keys the server keeps, each with the directory: no two signers may work with the same.
#[derive(Default)]
pub(crate) struct KeptZones(Mutex<BTreeSet<(PathBuf, Vec<u8>)>>);

/// One use of the directive.
#[derive(Default)]
struct Block<'a> {
    keys: Vec<SigningKey>,
    directory: Option<PathBuf>,
    /// Where the server keeps keys, and where that stands.
    managed: Option<(PathBuf, &'a Token)>,
    policy: Policy,
    /// The first property that only such keys have.
    first_of_policy: Option<&'a Token>,
    /// Where the lifetime of a ZSK stands.
    zsk_lifetime: Option<&'a Token>,
    nsec3: Option<Nsec3>,
}

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
        let block = Block::read(cx, &mut words)?;
        block.check(&words, none)?;
        let directory = block.directory.clone().unwrap_or_else(|| cx.path(DEFAULT_DIRECTORY));
        let given: Arc<[SigningKey]> = block.keys.into();
        for zone in zones.iter() {
            let keys = match &block.managed {
                None => Keys::Given(Arc::clone(&given)),
                Some((path, token)) => {
                    let known = cx.shared::<KeptZones>();
                    let place = (path.clone(), zone.wire().to_ascii_lowercase());
                    if !known.0.lock().unwrap_or_else(PoisonError::into_inner).insert(place) {
                        let text = format!("the keys of zone {zone} in {path:?} are managed twice");
                        return Err(words.plain_err(text).at(token));
                    }
                    let gauges = Gauges::new(cx.metrics(), zone);
                    let unheard = cx.shared::<Unheard>();
                    Keys::Kept(Box::new(Kept::new(path.clone(), zone, block.policy.clone(), gauges, unheard)))
                }
            };
            signers.push(Signer {
                zone: zone.clone(),
                source: source.clone(),
                // The zone's name ends with a dot.
                output: directory.join(format!("db.{zone}signed")),
                keys,
                nsec3: block.nsec3.clone(),
                jitter: Jitter::random(),
                clock: cx.clock(),
                log: cx.log(),
                last: Mutex::default(),
            });
        }
    }
    Ok(signers)
}

impl<'a> Block<'a> {
    fn read(cx: &mut Setup<'_>, words: &mut Cursor<'a>) -> Result<Self, Diagnostic> {
        let mut block = Self::default();
        while words.next_block() {
            match words.val() {
                "key" => block.read_key(cx, words)?,
                "directory" => {
                    let args = words.remaining_args();
                    let [path] = args[..] else {
                        return Err(words.plain_err("can only be one argument after \"directory\""));
                    };
                    block.directory = Some(cx.path(path));
                }
                "nsec3" => block.nsec3 = Some(read_nsec3(cx, words)?),
                word if policy::PROPERTIES.contains(&word) => {
                    block.first_of_policy = block.first_of_policy.or(words.token());
                    if word == "zsk_lifetime" {
                        block.zsk_lifetime = words.token();
                    }
                    block.policy.read(words)?;
                }
                _ => {
                    let known = [&["key", "directory", "nsec3"][..], &policy::PROPERTIES].concat();
                    return Err(words.unknown_property(&known));
                }
            }
        }
        Ok(block)
    }

    fn read_key(&mut self, cx: &mut Setup<'_>, words: &mut Cursor<'a>) -> Result<(), Diagnostic> {
        if !words.next_arg() {
            return Err(words.arg_err());
        }
        match words.val() {
            "file" => read_keys(cx, words, &mut self.keys),
            "managed" => {
                let Some(token) = words.token().filter(|_| self.managed.is_none()) else {
                    return Err(words.plain_err("keys are managed in one directory"));
                };
                let args = words.remaining_args();
                let [path, algorithm @ ..] = &args[..] else { return Err(words.arg_err()) };
                self.policy.read_algorithm(words, algorithm)?;
                self.managed = Some((cx.path(path), token));
                Ok(())
            }
            "directory" => Err(words.plain_err("directory: not implemented")),
            _ => Err(words.unknown_property(&["file", "managed"])),
        }
    }

    /// Checks what belongs together. `none` is the error for no key at all.
    fn check(&self, words: &Cursor<'_>, none: Diagnostic) -> Result<(), Diagnostic> {
        if let Some(token) = self.zsk_lifetime.filter(|_| self.policy.csk) {
            return Err(words.plain_err("with csk there is no ZSK, ksk_lifetime is that of the one key").at(token));
        }
        match (&self.managed, self.first_of_policy) {
            (None, Some(token)) => {
                let text = format!("{} is for keys that are managed: key managed DIRECTORY", token.text);
                Err(words.plain_err(text).at(token))
            }
            (Some((_, token)), _) if !self.keys.is_empty() => {
                Err(words.plain_err("keys are either from files or managed").at(token))
            }
            (None, None) if self.keys.is_empty() => {
                Err(none.with_note("name a key-signing key: key file K<zone>.+<algorithm>+<tag>"))
            }
            _ => Ok(()),
        }
    }
}

/// Reads `[iterations N] [salt HEX|-] [opt_out]`.
fn read_nsec3(cx: &mut Setup<'_>, words: &mut Cursor<'_>) -> Result<Nsec3, Diagnostic> {
    let mut nsec3 = Nsec3::default();
    while words.next_arg() {
        match words.val() {
            "opt_out" => nsec3.opt_out = true,
            "iterations" if words.next_arg() => {
                let read = words.val().parse().ok().filter(|iterations| *iterations <= ITERATIONS_MAX);
                let wrong = || {
                    let text = format!("'{}' NSEC3 iterations, {ITERATIONS_MAX} at most", words.val());
                    words
                        .plain_err(text)
                        .with_note("validators take a zone with more for unsigned or broken (RFC 9276)")
                };
                nsec3.iterations = read.ok_or_else(wrong)?;
                if let Some(token) = words.token().filter(|_| nsec3.iterations > 0) {
                    let text = "plugin/sign: NSEC3 iterations cost time and hide nothing, 0 is best (RFC 9276)";
                    cx.warn(Diagnostic::warning(text).at(token));
                }
            }
            "salt" if words.next_arg() => {
                let wrong = || {
                    words.plain_err(format!(
                        "'{}' is no salt: - or an even number of hexadecimal digits, {} at most",
                        words.val(),
                        2 * SALT_OCTETS_MAX
                    ))
                };
                nsec3.salt = read_salt(words.val()).ok_or_else(wrong)?;
            }
            "iterations" | "salt" => return Err(words.arg_err()),
            _ => return Err(words.unknown_property(&["iterations", "salt", "opt_out"])),
        }
    }
    Ok(nsec3)
}

fn read_salt(text: &str) -> Option<Vec<u8>> {
    if text == "-" {
        return Some(Vec::new());
    }
    let digits: Vec<u8> =
        text.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    let is_whole = !digits.is_empty() && digits.len().is_multiple_of(2) && digits.len() / 2 <= SALT_OCTETS_MAX;
    is_whole.then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn read_keys(cx: &mut Setup<'_>, words: &mut Cursor<'_>, keys: &mut Vec<SigningKey>) -> Result<(), Diagnostic> {
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
