//! What the `k8s_external` directive says.

use catena_core::prelude::*;
use catena_core::{OwnedName, Span, name};
use catena_gocompat::number::atoi;
use domain::base::Name;

/// The label under which the name server has its name, if `apex` does not say another.
const APEX: &str = "dns";
/// The TTL of records, if `ttl` does not say another, seconds.
const TTL: u32 = 5;
/// The largest TTL, seconds.
const TTL_MAX: i64 = 3600;

pub(crate) struct Config {
    pub(crate) zones: Zones,
    /// The label of `apex` as a name, in lower case.
    pub(crate) apex: OwnedName,
    /// Of records, seconds.
    pub(crate) ttl: u32,
    /// Whether headless Services have names.
    pub(crate) headless: bool,
    pub(crate) fall: Fallthrough,
    /// Where the directive stands.
    pub(crate) at: Option<Span>,
}

impl Config {
    pub(crate) fn parse(cx: &Setup<'_>) -> Result<Self, Diagnostic> {
        let mut words = cx.cursor();
        let mut config = Self {
            zones: Zones::default(),
            apex: apex(APEX).unwrap_or_else(Name::root_vec),
            ttl: TTL,
            headless: false,
            fall: Fallthrough::default(),
            at: None,
        };
        while words.next() {
            config.at = words.span();
            config.zones = Zones::from_args_or_block(&words.remaining_args(), cx.zones());
            while words.next_block() {
                config.property(&mut words)?;
            }
        }
        Ok(config)
    }

    fn property(&mut self, words: &mut Cursor<'_>) -> Result<(), Diagnostic> {
        match words.val() {
            "ttl" => {
                let [text, ..] = words.remaining_args()[..] else { return Err(words.arg_err()) };
                let ttl = atoi(text).map_err(|error| words.plain_err(error.to_string()))?;
                let fits = u32::try_from(ttl).ok().filter(|_| ttl <= TTL_MAX);
                self.ttl = fits.ok_or_else(|| words.err(format!("ttl must be in range [0, {TTL_MAX}]: {ttl}")))?;
            }
            "apex" => {
                let [text, ..] = words.remaining_args()[..] else { return Err(words.arg_err()) };
                self.apex = apex(text).ok_or_else(|| words.err(format!("apex is not a valid name: {text}")))?;
            }
            "headless" => self.headless = true,
            "fallthrough" => self.fall = Fallthrough::from_args(&words.remaining_args()),
            _ => return Err(words.unknown_property(&["apex", "ttl", "headless", "fallthrough"])),
        }
        Ok(())
    }
}

fn apex(text: &str) -> Option<OwnedName> {
    let mut name = name::owned(text).filter(|name| !name.is_root())?;
    name.make_canonical();
    Some(name)
}
