//! Shared secrets and what is computed with them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use catena_core::name;
use domain::base::Name;
use domain::utils::base64;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};

/// The most keys of a ring.
pub const KEYS_MAX: usize = 100_000;

/// How a MAC is computed (RFC 8945 section 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// `hmac-sha1`
    Sha1,
    /// `hmac-sha224`
    Sha224,
    /// `hmac-sha256`, what everybody has to know
    #[default]
    Sha256,
    /// `hmac-sha384`
    Sha384,
    /// `hmac-sha512`
    Sha512,
}

impl Algorithm {
    const ALL: [Self; 5] = [Self::Sha1, Self::Sha224, Self::Sha256, Self::Sha384, Self::Sha512];

    /// The name, without a dot at its end.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "hmac-sha1",
            Self::Sha224 => "hmac-sha224",
            Self::Sha256 => "hmac-sha256",
            Self::Sha384 => "hmac-sha384",
            Self::Sha512 => "hmac-sha512",
        }
    }

    /// The algorithm of this name, of any case, with or without a dot at its end.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let bare = text.strip_suffix('.').unwrap_or(text);
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(bare))
    }

    /// The algorithm whose name this is on the wire.
    #[must_use]
    pub fn of_wire(wire: &[u8]) -> Option<Self> {
        let (&len, rest) = wire.split_first()?;
        let label = rest.get(..usize::from(len))?;
        if rest.get(usize::from(len)..) != Some(&[0]) {
            return None;
        }
        std::str::from_utf8(label).ok().and_then(Self::of)
    }

    /// The name on the wire.
    #[must_use]
    pub fn wire(self) -> Vec<u8> {
        let text = self.as_str().as_bytes();
        // The names above have less than 64 octets.
        let mut wire = vec![text.len() as u8];
        wire.extend_from_slice(text);
        wire.push(0);
        wire
    }

    /// The length of a MAC, octets.
    #[must_use]
    pub fn mac_octets(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// A shared secret. It is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// The name, lower case, on the wire.
    name: Vec<u8>,
    secret: Vec<u8>,
    /// The algorithm for what this side signs of itself; replies are signed with that of the request.
    pub algorithm: Algorithm,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Name::from_slice(&self.name).map(name::text).unwrap_or_default();
        f.debug_struct("Key").field("name", &name).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// Why a key is none. The secret is in no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The name of the key is no name.
    #[error("{0:?} is no name for a key")]
    Name(String),
    /// The secret is not in base 64.
    #[error("the secret of key {0:?} is not in base 64")]
    Secret(String),
    /// The name has another secret already.
    #[error("key {0:?} redefined")]
    Redefined(String),
    /// There are too many.
    #[error("more than {KEYS_MAX} keys")]
    TooMany,
    /// A line of a key file.
    #[error("line {line}: {what}")]
    File {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
}

impl Key {
    /// A key with its secret in base 64.
    ///
    /// # Errors
    /// The name is none or the secret is not in base 64.
    pub fn new(name: &str, secret: &str, algorithm: Algorithm) -> Result<Self, KeyError> {
        let wire = name::owned(name).ok_or_else(|| KeyError::Name(name.to_owned()))?;
        let secret: Vec<u8> = base64::decode(secret).map_err(|_| KeyError::Secret(name.to_owned()))?;
        if secret.is_empty() {
            return Err(KeyError::Secret(name.to_owned()));
        }
        Ok(Self { name: wire.as_slice().to_ascii_lowercase(), secret, algorithm })
    }

    /// The name, lower case, on the wire.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The MAC of some octets, one part after the other.
    #[must_use]
    pub fn mac(&self, algorithm: Algorithm, parts: &[&[u8]]) -> Vec<u8> {
        match algorithm {
            Algorithm::Sha1 => mac_of::<Hmac<Sha1>>(&self.secret, parts),
            Algorithm::Sha224 => mac_of::<Hmac<Sha224>>(&self.secret, parts),
            Algorithm::Sha256 => mac_of::<Hmac<Sha256>>(&self.secret, parts),
            Algorithm::Sha384 => mac_of::<Hmac<Sha384>>(&self.secret, parts),
            Algorithm::Sha512 => mac_of::<Hmac<Sha512>>(&self.secret, parts),
        }
    }

    /// Whether a MAC is that of some octets. Takes the same time wherever they differ.
    #[must_use]
    pub fn is_mac(&self, algorithm: Algorithm, parts: &[&[u8]], mac: &[u8]) -> bool {
        let own = self.mac(algorithm, parts);
        own.len() == mac.len() && own.iter().zip(mac).fold(0, |differs, (own, other)| differs | (own ^ other)) == 0
    }
}

fn mac_of<M: Mac + KeyInit>(secret: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    // HMAC takes keys of any length.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(secret) else { return Vec::new() };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// Keys by name.
#[derive(Clone, Debug, Default)]
pub struct KeyRing(HashMap<Vec<u8>, Arc<Key>>);

impl KeyRing {
    /// Adds a key.
    ///
    /// # Errors
    /// There is another key of its name, or there are too many.
    pub fn add(&mut self, key: Key) -> Result<(), KeyError> {
        if self.0.get(&key.name).is_some_and(|known| **known != key) {
            return Err(KeyError::Redefined(Name::from_slice(&key.name).map(name::text).unwrap_or_default()));
        }
        if self.0.len() >= KEYS_MAX {
            return Err(KeyError::TooMany);
        }
        self.0.insert(key.name.clone(), Arc::new(key));
        Ok(())
    }

    /// The key of a name of any case.
    #[must_use]
    pub fn get(&self, wire: &[u8]) -> Option<&Arc<Key>> {
        self.0.get(&wire.to_ascii_lowercase())
    }

    /// The keys, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Key>> + '_ {
        self.0.values()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Reads the keys of a file in the form of BIND's: `key "NAME" { algorithm A; secret "S"; };`, each statement on a line of its own.
///
/// # Errors
/// What is wrong, with its line.
pub fn read_key_file(text: &str) -> Result<Vec<Key>, KeyError> {
    let mut keys = Vec::new();
    let mut open: Option<(String, Option<String>, Algorithm)> = None;
    for (at, line) in text.lines().enumerate() {
        let fault = |what: &str| KeyError::File { line: at + 1, what: what.to_owned() };
        let line = line.split_once('#').map_or(line, |(before, _)| before);
        let line = line.split_once("//").map_or(line, |(before, _)| before).trim();
        let words: Vec<&str> = line.split_whitespace().collect();
        let bare = |word: &str| word.trim_end_matches(';').trim_matches('"').to_owned();
        match (&mut open, &words[..]) {
            (_, []) => {}
            (None, ["key", name, "{"]) => open = Some((bare(name), None, Algorithm::default())),
            (None, ["key", name]) if name.ends_with('{') => {
                open = Some((bare(name.trim_end_matches('{')), None, Algorithm::default()));
            }
            (None, _) => return Err(fault("expected `key \"NAME\" {`")),
            (Some((_, _, algorithm)), ["algorithm", name]) => {
                let name = bare(name);
                *algorithm = Algorithm::of(&name).ok_or_else(|| fault(&format!("unknown algorithm {name:?}")))?;
            }
            (Some((_, secret, _)), ["secret", text]) => *secret = Some(bare(text)),
            (Some(_), ["}" | "};"]) => {
                let Some((name, secret, algorithm)) = open.take() else { continue };
                let secret = secret.ok_or_else(|| fault(&format!("key {name:?} has no secret")))?;
                let key = Key::new(&name, &secret, algorithm).map_err(|error| fault(&error.to_string()))?;
                keys.push(key);
            }
            (Some(_), _) => return Err(fault("expected `algorithm NAME;`, `secret \"SECRET\";` or `};`")),
        }
        if keys.len() > KEYS_MAX {
            return Err(KeyError::TooMany);
        }
    }
    match open {
        None => Ok(keys),
        Some((name, ..)) => {
            Err(KeyError::File { line: text.lines().count(), what: format!("the block of key {name:?} has no end") })
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const SECRET: &str = "NoTCJU+DMqFWywaPyxSijrDEA/eC3nK0xi3AMEZuPVk=";

    #[test]
    fn a_mac_is_that_of_rfc_4231() {
        // Test case 2: the key "Jefe".
        let key = Key::new("k", "SmVmZQ==", Algorithm::Sha256).unwrap();
        let mac = key.mac(Algorithm::Sha256, &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(mac[..4], [0x5b, 0xdc, 0xc1, 0x46]);
        let mac = key.mac(Algorithm::Sha512, &[b"what do ya want for nothing?"]);
        assert_eq!((mac[..4].to_vec(), mac.len()), (vec![0x16, 0x4b, 0x7a, 0x7b], 64));
        for algorithm in Algorithm::ALL {
            assert_eq!(key.mac(algorithm, &[]).len(), algorithm.mac_octets());
            assert_eq!(Algorithm::of_wire(&algorithm.wire()), Some(algorithm));
        }
    }

    #[test]
    fn one_bit_makes_another_mac() {
        let key = Key::new("k", SECRET, Algorithm::Sha256).unwrap();
        let mut mac = key.mac(Algorithm::Sha256, &[b"x"]);
        assert!(key.is_mac(Algorithm::Sha256, &[b"x"], &mac));
        mac[31] ^= 1;
        assert!(!key.is_mac(Algorithm::Sha256, &[b"x"], &mac));
        assert!(!key.is_mac(Algorithm::Sha256, &[b"x"], &mac[..16]));
    }

    #[test]
    fn a_key_shows_no_secret() {
        let key = Key::new("k.example", SECRET, Algorithm::Sha1).unwrap();
        assert_eq!(format!("{key:?}"), "Key { name: \"k.example.\", algorithm: Sha1, .. }");
    }

    #[test]
    fn names_of_keys_have_no_case_and_one_secret() {
        let mut ring = KeyRing::default();
        ring.add(Key::new("K.example", SECRET, Algorithm::Sha1).unwrap()).unwrap();
        assert!(ring.get(b"\x01k\x07EXAMPLE\x00").is_some());
        ring.add(Key::new("k.EXAMPLE", SECRET, Algorithm::Sha1).unwrap()).unwrap();
        let other = Key::new("k.example", "c2Vjb25k", Algorithm::Sha1).unwrap();
        assert_eq!(ring.add(other), Err(KeyError::Redefined("k.example.".to_owned())));
    }

    #[test]
    fn a_key_file_holds_several_keys() {
        let text = format!(
            "# comment\nkey \"one.\" {{\n  algorithm hmac-sha512;\n  secret \"{SECRET}\";\n}};\n\nkey two{{\n secret {SECRET};\n}}\n"
        );
        let keys = read_key_file(&text).unwrap();
        assert_eq!(keys.len(), 2);
        assert_eq!((keys[0].algorithm, keys[0].name()), (Algorithm::Sha512, &b"\x03one\x00"[..]));
        assert_eq!((keys[1].algorithm, keys[1].name()), (Algorithm::Sha256, &b"\x03two\x00"[..]));
    }

    #[test]
    fn what_is_wrong_in_a_key_file_has_its_line() {
        let wrong = |text: &str| read_key_file(text).unwrap_err().to_string();
        assert_eq!(wrong("\nzone x {"), "line 2: expected `key \"NAME\" {`");
        assert_eq!(wrong("key a {\n};"), "line 2: key \"a\" has no secret");
        assert_eq!(wrong("key a {\n secret \"?\";\n};"), "line 3: the secret of key \"a\" is not in base 64");
        assert_eq!(wrong("key a {\n algorithm hmac-md5;\n};"), "line 2: unknown algorithm \"hmac-md5\"");
        assert_eq!(wrong("key a {\n"), "line 1: the block of key \"a\" has no end");
    }
}
