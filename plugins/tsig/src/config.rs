//! What the `tsig` directive says.

use std::path::Path;

use catena_core::Opcode;
use catena_core::metrics::type_named;
use catena_core::prelude::*;
use catena_zone::tsig::{Algorithm, Key, KeyRing, read_key_file};

use crate::OPCODES;

/// The directive as a whole.
pub(crate) struct Config {
    pub(crate) zones: Zones,
    pub(crate) keys: KeyRing,
    pub(crate) demand: Demand,
}

/// Which queries have to be signed: those of the types and those of the opcodes.
#[derive(Default)]
pub(crate) struct Demand {
    types: Wanted<Rtype>,
    opcodes: Wanted<Opcode>,
}

enum Wanted<T> {
    All,
    Some(Vec<T>),
}

impl<T> Default for Wanted<T> {
    fn default() -> Self {
        Self::Some(Vec::new())
    }
}

impl<T: PartialEq> Wanted<T> {
    fn has(&self, thing: T) -> bool {
        match self {
            Self::All => true,
            Self::Some(things) => things.contains(&thing),
        }
    }
}

impl Demand {
    /// Whether a query of this type and opcode has to be signed.
    pub(crate) fn wants(&self, qtype: Rtype, opcode: Opcode) -> bool {
        self.types.has(qtype) || self.opcodes.has(opcode)
    }
}

/// Reads the directive, which is used once. CoreDNS has one text for everything that is wrong; what it is stands at the place.
pub(crate) fn parse(cx: &mut Setup<'_>) -> Result<Config, Diagnostic> {
    let mut words = cx.cursor();
    let mut config = Config { zones: Zones::default(), keys: KeyRing::default(), demand: Demand::default() };
    let mut is_again = false;
    while words.next() {
        if std::mem::replace(&mut is_again, true) {
            return Err(words.arg_err().with_label("this plugin can only be used once per Server Block"));
        }
        let args = words.remaining_args();
        config.zones = Zones::from_args_or_block(&args, cx.zones());
        while words.next_block() {
            match words.val() {
                "secret" => {
                    if !words.next_arg() {
                        return Err(words.arg_err());
                    }
                    // Errors point at the name: the one line shall not hold the secret.
                    let at = words.clone();
                    let [secret] = words.remaining_args()[..] else { return Err(at.arg_err()) };
                    let key = Key::new(at.val(), secret, Algorithm::default());
                    add(&mut config.keys, key.map_err(|error| fault(&at, &error))?, &at)?;
                }
                "secrets" => {
                    let path = words.one_arg()?;
                    for key in keys_in(cx, path, &words)? {
                        add(&mut config.keys, key, &words)?;
                    }
                }
                "require" => config.demand.types = wanted(&mut words, type_named)?,
                "require_opcode" => config.demand.opcodes = wanted(&mut words, opcode)?,
                _ => {
                    let known = ["secret", "secrets", "require", "require_opcode"];
                    return Err(words.with_nearest(words.arg_err().with_label("unknown property"), &known));
                }
            }
        }
    }
    Ok(config)
}

fn fault(words: &Cursor<'_>, what: &dyn std::fmt::Display) -> Diagnostic {
    words.arg_err().with_label(what.to_string())
}

fn add(keys: &mut KeyRing, key: Key, words: &Cursor<'_>) -> Result<(), Diagnostic> {
    // A ring takes the same key twice, since blocks share keys; within one block that is a mistake.
    if keys.get(key.name()).is_some() {
        return Err(fault(words, &"the key is there already"));
    }
    keys.add(key).map_err(|error| fault(words, &error))
}

/// The keys of a file, which is not below `root` (CoreDNS: plugin/tsig).
fn keys_in(cx: &mut Setup<'_>, path: &str, words: &Cursor<'_>) -> Result<Vec<Key>, Diagnostic> {
    let octets = cx.read_file(Path::new(path)).map_err(|error| fault(words, &format_args!("{path}: {error}")))?;
    let text = String::from_utf8_lossy(&octets);
    read_key_file(&text).map_err(|error| fault(words, &format_args!("{path}: {error}")))
}

/// A list of names, `all` or `none`, after which words do not matter (CoreDNS: plugin/tsig); each line takes the place of the one before.
fn wanted<T>(words: &mut Cursor<'_>, of: impl Fn(&str) -> Option<T>) -> Result<Wanted<T>, Diagnostic> {
    let args = words.remaining_tokens();
    match &args.iter().map(|token| &*token.text).collect::<Vec<_>>()[..] {
        [] => Err(words.arg_err()),
        ["all", ..] => Ok(Wanted::All),
        ["none", ..] => Ok(Wanted::default()),
        names => {
            let known =
                names.iter().map(|name| of(name).ok_or_else(|| fault(words, &format_args!("{name:?} is not known"))));
            Ok(Wanted::Some(known.collect::<Result<_, _>>()?))
        }
    }
}

fn opcode(name: &str) -> Option<Opcode> {
    OPCODES.iter().find(|(known, _)| *known == name).map(|(_, opcode)| *opcode)
}
