//! *multisocket* gives each address of a server block more sockets than one for each worker.

use std::num::NonZeroU16;

use catena_core::SocketCount;
use catena_core::prelude::*;
use catena_gocompat::number::atoi;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("multisocket", setup);

/// The most sockets of an address that may be asked for.
pub const SOCKETS_MAX: u16 = 1024;

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let mut words = cx.cursor();
    words.next();
    let args = words.remaining_args();
    let span = words.clone();
    if args.len() > 1 || words.next() {
        return Err(words.arg_err());
    }
    let count = match args.first() {
        Some(word) => SocketCount::AtLeast(parse(&span, word)?),
        None => SocketCount::Workers,
    };
    cx.block_settings().sockets.count = Some(count);
    Ok(())
}

fn parse(words: &Cursor<'_>, word: &str) -> Result<NonZeroU16, Diagnostic> {
    let count = atoi(word).map_err(|error| words.plain_err(format!("invalid num sockets: {error}")))?;
    if count < 1 {
        return Err(words.plain_err(format!("num sockets can not be zero or negative: {count}")));
    }
    let fits = u16::try_from(count).ok().filter(|count| *count <= SOCKETS_MAX).and_then(NonZeroU16::new);
    fits.ok_or_else(|| words.plain_err(format!("num sockets exceeds maximum ({SOCKETS_MAX}): {count}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use catena_testkit::{Kit, Recipe, check_config};

    fn count(body: &str) -> Option<SocketCount> {
        Kit::of([PLUGIN], body).instance().listeners()[0].sockets.count
    }

    fn at_least(count: u16) -> Option<SocketCount> {
        NonZeroU16::new(count).map(SocketCount::AtLeast)
    }

    #[test]
    fn the_number_is_from_1_to_1024_and_may_be_left_out() {
        assert_eq!(count("multisocket 1"), at_least(1));
        assert_eq!(count("multisocket 1024"), at_least(SOCKETS_MAX));
        assert_eq!(count("multisocket"), Some(SocketCount::Workers));
        assert_eq!(count(""), None);
    }

    #[test]
    fn of_blocks_on_one_address_the_first_counts() {
        let corefile = "a:53 {\n multisocket 3\n}\nb:53 {\n multisocket 5\n}";
        let Ok(kit) = Recipe::new([PLUGIN], corefile).build() else { panic!("does not build") };
        assert_eq!(kit.instance().listeners()[0].sockets.count, at_least(3));
    }

    #[test]
    fn other_numbers_are_told() {
        for (word, told) in [
            ("x", "invalid num sockets: strconv.Atoi: parsing \"x\": invalid syntax"),
            ("0", "num sockets can not be zero or negative: 0"),
            ("-3", "num sockets can not be zero or negative: -3"),
            ("1025", "num sockets exceeds maximum (1024): 1025"),
            ("70000", "num sockets exceeds maximum (1024): 70000"),
        ] {
            check_config([PLUGIN], &format!("multisocket {word}"), &format!("plugin/multisocket: {told}"));
        }
    }

    #[test]
    fn more_than_a_number_is_told() {
        let at = |line: u8| format!("plugin/multisocket: Corefile:{line} - Error during parsing:");
        let wrong = "Wrong argument count or unexpected line ending after";
        check_config([PLUGIN], "multisocket 1 2", &format!("{} {wrong} '2'", at(2)));
        check_config([PLUGIN], "multisocket 1\nmultisocket 2", &format!("{} {wrong} 'multisocket'", at(3)));
        check_config([PLUGIN], "multisocket {\n x\n}", &format!("{} Unexpected token '{{', expecting argument", at(2)));
    }
}
