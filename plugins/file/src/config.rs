//! What the `file` directive says.

use std::sync::Arc;
use std::time::Duration;

use catena_core::name::Zone as ZoneName;
use catena_core::prelude::*;
use catena_gocompat::duration::GoDuration;
use catena_zone::ZoneFile;

/// How often a file is looked at, if the Corefile does not say.
const RELOAD: Duration = Duration::from_secs(60);

/// The directive as a whole.
pub(crate) struct Config {
    /// The zones with their files, in the order of the Corefile.
    pub(crate) files: Vec<FileZone>,
    pub(crate) fall: Fallthrough,
}

/// One zone of one use of the directive.
pub(crate) struct FileZone {
    pub(crate) file: Arc<ZoneFile>,
    /// How often the file is looked at again, if ever.
    pub(crate) reload: Option<Duration>,
    /// An error that points at the name of the file.
    pub(crate) at: Diagnostic,
}

/// Reads every use of the directive. What `reload`, `reload_by_mtime` and `fallthrough` say holds for the uses after as well, and of
/// `fallthrough` the last one counts for all (CoreDNS: plugin/file).
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
        while words.next_block() {
            match words.val() {
                "fallthrough" => config.fall = Fallthrough::from_args(&words.remaining_args()),
                "reload" => reload = interval(&mut words)?,
                "reload_by_mtime" => by_mtime = true,
                // CoreDNS takes it and does nothing with it.
                "upstream" => drop(words.remaining_args()),
                _ => return Err(words.unknown_property(&["fallthrough", "reload", "reload_by_mtime"])),
            }
        }
        config.files.extend(zones.iter().map(|zone: &ZoneName| FileZone {
            file: Arc::new(ZoneFile::new(zone.clone(), path.clone(), by_mtime)),
            reload,
            at: at.clone(),
        }));
    }
    Ok(config)
}

fn interval(words: &mut Cursor<'_>) -> Result<Option<Duration>, Diagnostic> {
    let args = words.remaining_args();
    let Some(text) = args.first() else { return Err(words.plain_err("reload duration value is expected")) };
    let wrong = |error: String| words.plain_err(format!("plugin/file: {error}"));
    let span = GoDuration::parse(text).map_err(|error| wrong(error.to_string()))?;
    let span = span.to_std().ok_or_else(|| wrong(format!("invalid negative duration {text:?}")))?;
    Ok(Some(span).filter(|span| !span.is_zero()))
}
