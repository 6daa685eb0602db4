//! What the `hosts` directive says.

use std::path::PathBuf;
use std::time::Duration;

use catena_core::prelude::*;
use catena_gocompat::duration::GoDuration;
use catena_gocompat::number::atoi;

/// The file that is read if none is named.
const DEFAULT_FILE: &str = "/etc/hosts";
/// The time to live of answers if none is given, seconds.
const DEFAULT_TTL: u32 = 3600;
/// The longest time to live, seconds.
const TTL_MAX: i64 = 65_535;
/// How often the file is looked at if the Corefile does not say.
const DEFAULT_RELOAD: Duration = Duration::from_secs(5);
const ONCE: &str = "this plugin can only be used once per Server Block";
const PROPERTIES: [&str; 5] = ["fallthrough", "fallthrough_unsupported", "no_reverse", "ttl", "reload"];

/// The directive.
pub(crate) struct Config {
    /// The hosts file.
    pub(crate) path: PathBuf,
    /// Whether the Corefile names the file; the default one may be missing silently.
    pub(crate) named: bool,
    /// Names outside of these are not taken, nor asked for.
    pub(crate) zones: Zones,
    /// The time to live of answers, seconds.
    pub(crate) ttl: u32,
    /// Addresses answer PTR queries.
    pub(crate) reverse: bool,
    /// How often the file is looked at; `None`: once.
    pub(crate) reload: Option<Duration>,
    /// Which unknown names go to the next plugin.
    pub(crate) fall: Fallthrough,
    /// Types other than A, AAAA and PTR go there too, even of known names.
    pub(crate) unsupported_falls: bool,
    /// Host lines of the Corefile.
    pub(crate) inline: Vec<String>,
}

/// Reads the directive.
pub(crate) fn parse(cx: &Setup<'_>) -> Result<Config, Diagnostic> {
    let mut words = cx.cursor();
    words.next();
    let args = words.remaining_args();
    let (path, zones) = args.split_first().map_or((DEFAULT_FILE, &[][..]), |(path, zones)| (*path, zones));
    let mut config = Config {
        path: cx.path(path),
        named: !args.is_empty(),
        zones: Zones::from_args_or_block(zones, cx.zones()),
        ttl: DEFAULT_TTL,
        reverse: true,
        reload: Some(DEFAULT_RELOAD),
        fall: Fallthrough::default(),
        unsupported_falls: false,
        inline: Vec::new(),
    };
    while words.next_block() {
        property(&mut words, &mut config)?;
    }
    if words.next() {
        return Err(words.plain_err(ONCE));
    }
    if config.unsupported_falls && config.fall.is_empty() {
        return Err(words.err("fallthrough_unsupported requires fallthrough"));
    }
    Ok(config)
}

fn property(words: &mut Cursor<'_>, config: &mut Config) -> Result<(), Diagnostic> {
    match words.val() {
        "fallthrough" => config.fall = Fallthrough::from_args(&words.remaining_args()),
        "fallthrough_unsupported" => {
            if !words.remaining_args().is_empty() {
                return Err(words.arg_err());
            }
            config.unsupported_falls = true;
        }
        "no_reverse" => config.reverse = false,
        "ttl" => config.ttl = ttl(words)?,
        "reload" => config.reload = reload(words)?,
        // CoreDNS: plugin/hosts takes any other word for the start of a host line until it has seen `fallthrough`.
        first if config.fall.is_empty() => {
            let mut line = first.to_owned();
            for word in words.remaining_args() {
                line.push(' ');
                line.push_str(word);
            }
            config.inline.push(line);
        }
        _ => return Err(words.unknown_property(&PROPERTIES)),
    }
    Ok(())
}

fn ttl(words: &mut Cursor<'_>) -> Result<u32, Diagnostic> {
    let args = words.remaining_args();
    let Some(arg) = args.first() else { return Err(words.err("ttl needs a time in second")) };
    let ttl = atoi(arg).map_err(|_| words.err("ttl needs a number of second"))?;
    if ttl <= 0 || ttl > TTL_MAX {
        return Err(words.err("ttl provided is invalid"));
    }
    u32::try_from(ttl).map_err(|_| words.err("ttl provided is invalid"))
}

fn reload(words: &mut Cursor<'_>) -> Result<Option<Duration>, Diagnostic> {
    let args = words.remaining_args();
    let [arg] = args[..] else { return Err(words.err("reload needs a duration (zero seconds to disable)")) };
    let span = GoDuration::parse(arg).map_err(|_| words.err(format!("invalid duration for reload '{arg}'")))?;
    let span = span.to_std().ok_or_else(|| words.err(format!("invalid negative duration for reload '{arg}'")))?;
    Ok(Some(span).filter(|span| !span.is_zero()))
}
