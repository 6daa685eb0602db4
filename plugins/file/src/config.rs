//! What the `file` directive says.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use catena_core::name::{OwnedName, Zone as ZoneName, owned};
use catena_core::prelude::*;
use catena_gocompat::duration::GoDuration;
use catena_zone::{UpdatedZone, ZoneFile};

use crate::held::Held;

/// How often a file is looked at, if the Corefile does not say.
const RELOAD: Duration = Duration::from_secs(60);
/// The most keys that may update one zone.
pub(crate) const UPDATE_KEYS_MAX: usize = 1000;

/// The directive as a whole.
pub(crate) struct Config {
    /// The zones with their files, in the order of the Corefile.
    pub(crate) files: Vec<FileZone>,
    pub(crate) fall: Fallthrough,
}

/// One zone of one use of the directive.
pub(crate) struct FileZone {
    pub(crate) held: Held,
    /// How often the file is looked at again, if ever.
    pub(crate) reload: Option<Duration>,
    /// An error that points at the name of the file.
    pub(crate) at: Diagnostic,
}

/// Who may update a zone, and where its journal is.
struct Updates {
    keys: Vec<(OwnedName, Diagnostic)>,
    journal: Option<PathBuf>,
    /// An error that points at the property.
    at: Diagnostic,
}

/// Reads every use of the directive. What `reload`, `reload_by_mtime` and `fallthrough` say holds for the uses after as well, and of
/// `fallthrough` the last one counts for all (CoreDNS: plugin/file). `update` holds for its own use.
pub(crate) fn parse(cx: &Setup<'_>) -> Result<Config, Diagnostic> {
    let mut words = cx.cursor();
    let mut config = Config { files: Vec::new(), fall: Fallthrough::default() };
    let (mut reload, mut by_mtime) = (Some(RELOAD), false);
    while words.next() {
        if !words.next_arg() {
            return Err(words.arg_err());
        }
        let path = cx.path(words.val());
        let at = words.plain_err("");
        let args = words.remaining_args();
        let zones = Zones::from_args_or_block(&args, cx.zones());
        let mut updates = None;
        while words.next_block() {
            match words.val() {
                "fallthrough" => config.fall = Fallthrough::from_args(&words.remaining_args()),
                "reload" => reload = interval(&mut words)?,
                "reload_by_mtime" => by_mtime = true,
                // CoreDNS takes it and does nothing with it.
                "upstream" => drop(words.remaining_args()),
                "update" => updates = Some(updates_of(cx, &mut words)?),
                _ => return Err(words.unknown_property(&["fallthrough", "reload", "reload_by_mtime", "update"])),
            }
        }
        let mut push = |held| config.files.push(FileZone { held, reload, at: at.clone() });
        match updates {
            None => zones.iter().for_each(|zone: &ZoneName| {
                push(Held::File(Arc::new(ZoneFile::new(zone.clone(), path.clone(), by_mtime))));
            }),
            Some(updates) => push(updates.held(&zones, path, by_mtime)?),
        }
    }
    check_journals(&config)?;
    Ok(config)
}

/// Reads `update key NAME... [journal FILE]`.
fn updates_of(cx: &Setup<'_>, words: &mut Cursor<'_>) -> Result<Updates, Diagnostic> {
    let at = words.clone();
    let mut updates = Updates { keys: Vec::new(), journal: None, at: words.plain_err("") };
    if !words.next_arg() || words.val() != "key" {
        return Err(at.err("update wants 'key' and the names of keys"));
    }
    while words.next_arg() {
        if words.val() == "journal" {
            let file = words.one_arg()?;
            updates.journal = Some(cx.path(file));
            break;
        }
        let mut name = owned(words.val()).ok_or_else(|| words.err(format!("{:?} is no name of a key", words.val())))?;
        name.make_canonical();
        if updates.keys.len() >= UPDATE_KEYS_MAX {
            return Err(words.err(format!("more than {UPDATE_KEYS_MAX} keys")));
        }
        updates.keys.push((name, words.plain_err("")));
    }
    if updates.keys.is_empty() { Err(at.err("update wants 'key' and the names of keys")) } else { Ok(updates) }
}

impl Updates {
    fn held(self, zones: &Zones, path: PathBuf, by_mtime: bool) -> Result<Held, Diagnostic> {
        let mut zones = zones.iter();
        let (Some(zone), None) = (zones.next(), zones.next()) else {
            return Err(told(&self.at, "update is for a file of one zone"));
        };
        if by_mtime {
            return Err(told(&self.at, "update goes by serial numbers, not with reload_by_mtime"));
        }
        let journal = self.journal.unwrap_or_else(|| default_journal(&path));
        let zone = Arc::new(UpdatedZone::new(zone.clone(), path, journal));
        Ok(Held::Updated { zone, keys: self.keys.into() })
    }
}

fn default_journal(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".journal");
    name.into()
}

/// A journal is of one zone.
fn check_journals(config: &Config) -> Result<(), Diagnostic> {
    let journals: Vec<_> = config.files.iter().map(|zone| zone.held.journal()).collect();
    let twice = (1..journals.len()).find(|at| journals[*at].is_some() && journals[..*at].contains(&journals[*at]));
    match twice {
        Some(at) => Err(told(&config.files[at].at, "two zones with one journal")),
        None => Ok(()),
    }
}

/// An error at a place.
pub(crate) fn told(at: &Diagnostic, message: impl Into<String>) -> Diagnostic {
    let mut told = at.clone();
    told.message = message.into();
    told
}

fn interval(words: &mut Cursor<'_>) -> Result<Option<Duration>, Diagnostic> {
    let args = words.remaining_args();
    let Some(text) = args.first() else { return Err(words.plain_err("reload duration value is expected")) };
    let wrong = |error: String| words.plain_err(format!("plugin/file: {error}"));
    let span = GoDuration::parse(text).map_err(|error| wrong(error.to_string()))?;
    let span = span.to_std().ok_or_else(|| wrong(format!("invalid negative duration {text:?}")))?;
    Ok(Some(span).filter(|span| !span.is_zero()))
}
