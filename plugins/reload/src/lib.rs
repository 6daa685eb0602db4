//! *reload* lets the server look at the Corefile again and again, and put a changed one in force.
//!
//! The plugin only says how often; the server's runtime does the looking, for it must go on over instances.

use std::time::Duration;

use catena_core::ReloadSettings;
use catena_core::prelude::*;
use catena_gocompat::duration::GoDuration;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("reload", setup);

const INTERVAL_DEFAULT: GoDuration = GoDuration::from_secs(30);
const JITTER_DEFAULT: GoDuration = GoDuration::from_secs(15);
/// The shortest interval.
const INTERVAL_MIN: GoDuration = GoDuration::from_secs(2);
/// The shortest jitter, but for none.
const JITTER_MIN: GoDuration = GoDuration::from_secs(1);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    // CoreDNS: the last block that has the directive counts.
    cx.instance_settings().reload = Some(parse(&mut cx.cursor())?);
    Ok(())
}

/// CoreDNS reads the first use only.
fn parse(words: &mut Cursor<'_>) -> Result<ReloadSettings, Diagnostic> {
    words.next();
    let (mut interval, mut jitter) = (INTERVAL_DEFAULT, JITTER_DEFAULT);
    for (index, word) in words.remaining_tokens().into_iter().enumerate() {
        let place = match index {
            0 => &mut interval,
            1 => &mut jitter,
            _ => return Err(words.arg_err()),
        };
        *place = GoDuration::parse(&word.text).map_err(|error| Diagnostic::error(error.to_string()).at(word))?;
    }
    if interval < INTERVAL_MIN {
        return Err(words.plain_err(format!("interval value must be greater or equal to {INTERVAL_MIN}")));
    }
    if jitter != GoDuration::ZERO && jitter < JITTER_MIN {
        return Err(words.plain_err(format!("jitter value must be 0 or greater or equal to {JITTER_MIN}")));
    }
    let interval = interval.to_std().unwrap_or(Duration::MAX);
    let jitter = jitter.to_std().unwrap_or_default().min(interval / 2);
    Ok(ReloadSettings { interval, jitter })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use catena_testkit::{Recipe, check_config};

    fn milliseconds(corefile: &str) -> (u128, u128) {
        let kit = Recipe::new([PLUGIN], corefile).build().ok().unwrap();
        let settings = kit.instance().settings.reload.unwrap();
        (settings.interval.as_millis(), settings.jitter.as_millis())
    }

    #[test]
    fn interval_and_jitter_have_defaults() {
        assert_eq!(milliseconds(". {\n reload\n}"), (30_000, 15_000));
        assert_eq!(milliseconds(". {\n reload 2m\n}"), (120_000, 15_000));
        assert_eq!(milliseconds(". {\n reload 2s 0\n}"), (2000, 0));
    }

    #[test]
    fn the_jitter_is_at_most_half_of_the_interval() {
        assert_eq!(milliseconds(". {\n reload 10s\n}"), (10_000, 5000));
        assert_eq!(milliseconds(". {\n reload 10s 5s\n}"), (10_000, 5000));
        assert_eq!(milliseconds(". {\n reload 3s 10m\n}"), (3000, 1500));
    }

    #[test]
    fn the_first_use_of_a_block_and_the_last_block_count() {
        assert_eq!(milliseconds(". {\n reload 10s 0\n reload 20s 0\n}"), (10_000, 0));
        assert_eq!(milliseconds("a. {\n reload 10s 0\n}\nb. {\n reload 20s 0\n}\nc. {\n}"), (20_000, 0));
    }

    #[test]
    fn without_the_directive_nothing_is_watched() {
        let kit = Recipe::new([PLUGIN], ". {\n}").build().ok().unwrap();
        assert_eq!(kit.instance().settings.reload, None);
    }

    #[test]
    fn faults_are_told() {
        for (body, told) in [
            ("reload 1999ms", "interval value must be greater or equal to 2s"),
            ("reload -1h", "interval value must be greater or equal to 2s"),
            ("reload 10s 999ms", "jitter value must be 0 or greater or equal to 1s"),
            ("reload 10s -5s", "jitter value must be 0 or greater or equal to 1s"),
            ("reload x", "time: invalid duration \"x\""),
            ("reload 5", "time: missing unit in duration \"5\""),
        ] {
            check_config([PLUGIN], body, &format!("plugin/reload: {told}"));
        }
        let wrong = "plugin/reload: Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after '1s'";
        check_config([PLUGIN], "reload 10s 5s 1s", wrong);
    }
}
