//! *debug* shows DEBUG lines and lets panics end the process.

use catena_core::prelude::*;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("debug", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let mut words = cx.cursor();
    while words.next() {
        words.no_more_args()?;
        cx.block_settings().debug = true;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::PLUGIN;
    use catena_testkit::{Recipe, check_config};

    #[test]
    fn debug_lines_are_on_for_the_instance_and_panics_end_the_process_for_the_listener() {
        let kit = Recipe::new([PLUGIN], "a.:1 {\n debug\n}\nb.:1 {\n}\nc.:2 {\n}").build().ok().unwrap();
        assert!(kit.instance().log.is_debug());
        let debug: Vec<bool> = kit.instance().listeners().iter().map(|listener| listener.debug).collect();
        assert_eq!(debug, [true, false]);
        let kit = Recipe::new([PLUGIN], "a.:1 {\n}").build().ok().unwrap();
        assert!(!kit.instance().log.is_debug());
    }

    #[test]
    fn it_may_be_repeated_and_takes_no_argument() {
        assert!(Recipe::new([PLUGIN], ". {\n debug\n debug\n}").build().is_ok());
        let wrong = "plugin/debug: Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 'on'";
        check_config([PLUGIN], "debug on", wrong);
    }
}
