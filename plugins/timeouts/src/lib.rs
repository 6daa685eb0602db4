//! *timeouts* says how long clients of a connection may take, and how much they may ask on one.

use std::time::Duration;

use catena_core::prelude::*;
use catena_core::{MessageLimit, Timeouts};
use catena_gocompat::duration::{GoDuration, parse_seconds_or_duration};
use catena_gocompat::number::atoi;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("timeouts", setup);

/// The shortest time.
const TIME_MIN: Duration = Duration::from_secs(1);
/// The longest time.
const TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

const PROPERTIES: [&str; 4] = ["read", "write", "idle", "maxtcpqueries"];

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let mut words = cx.cursor();
    let mut timeouts = Timeouts::default();
    while words.next() {
        if !words.remaining_args().is_empty() {
            // CoreDNS puts the prefix in front twice.
            return Err(words.arg_err().with_prefix("timeouts"));
        }
        let mut is_empty = true;
        while words.next_block() {
            property(&mut words, &mut timeouts)?;
            is_empty = false;
        }
        if is_empty {
            return Err(words.err("timeouts block with no timeouts specified").with_prefix("timeouts"));
        }
    }
    cx.block_settings().sockets.timeouts = timeouts;
    Ok(())
}

fn property(words: &mut Cursor<'_>, timeouts: &mut Timeouts) -> Result<(), Diagnostic> {
    let name = words.val();
    let &[value] = words.remaining_args().as_slice() else { return Err(words.arg_err()) };
    if name == "maxtcpqueries" {
        timeouts.messages = Some(messages(words, value)?);
        return Ok(());
    }
    let time = parse_seconds_or_duration(value).map_err(|error| words.err(error.to_string()))?;
    let place = match name {
        "read" => &mut timeouts.read,
        "write" => &mut timeouts.write,
        "idle" => &mut timeouts.idle,
        _ => {
            within(words, time)?;
            let fault = words.err(format!("unknown option: '{name}'"));
            return Err(fault.with_help(format!("the options are {}", PROPERTIES.join(", "))));
        }
    };
    *place = Some(within(words, time)?);
    Ok(())
}

fn within(words: &Cursor<'_>, time: GoDuration) -> Result<Duration, Diagnostic> {
    let fits = time.to_std().filter(|time| (TIME_MIN..=TIME_MAX).contains(time));
    fits.ok_or_else(|| words.err(format!("timeout provided '{time}' needs to be between 1 second and 24 hours")))
}

fn messages(words: &Cursor<'_>, value: &str) -> Result<MessageLimit, Diagnostic> {
    let count =
        atoi(value).map_err(|error| words.err(format!("invalid value for maxtcpqueries '{value}': {error}")))?;
    match count {
        -1 => Ok(MessageLimit::Unlimited),
        1.. => Ok(MessageLimit::AtMost(count.unsigned_abs())),
        _ => {
            Err(words.err(format!("maxtcpqueries provided '{count}' needs to be -1 (unlimited) or a positive integer")))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use catena_testkit::{Kit, Recipe, check_config};

    const AT: &str = "Error during parsing:";

    fn timeouts(body: &str) -> Timeouts {
        Kit::of([PLUGIN], body).instance().listeners()[0].sockets.timeouts
    }

    fn told(property: &str) -> String {
        let errors = Recipe::new([PLUGIN], &format!(".:53 {{\ntimeouts {{\n{property}\n}}\n}}")).build();
        errors.map(|_| ()).unwrap_err()[0].0.one_line()
    }

    #[test]
    fn times_are_seconds_or_durations() {
        let set = timeouts("timeouts {\n read 1\n write 90s\n idle 24h\n maxtcpqueries 7\n}");
        let secs = |seconds| Some(Duration::from_secs(seconds));
        let messages = Some(MessageLimit::AtMost(7));
        assert_eq!(set, Timeouts { read: secs(1), write: secs(90), idle: secs(86_400), messages });
    }

    #[test]
    fn what_is_not_named_is_not_set_and_the_last_line_counts() {
        let set = timeouts("timeouts {\n idle 5\n idle 6\n maxtcpqueries -1\n}\ntimeouts {\n idle 7\n}");
        let idle = Some(Duration::from_secs(7));
        let messages = Some(MessageLimit::Unlimited);
        assert_eq!(set, Timeouts { idle, messages, ..Timeouts::default() });
    }

    #[test]
    fn blocks_on_one_address_share_what_they_set() {
        let corefile = "a:53 {\ntimeouts {\n read 1\n idle 2\n}\n}\nb:53 {\ntimeouts {\n read 3\n}\n}";
        let Ok(kit) = Recipe::new([PLUGIN], corefile).build() else { panic!("does not build") };
        let set = kit.instance().listeners()[0].sockets.timeouts;
        assert_eq!((set.read, set.idle), (Some(Duration::from_secs(3)), Some(Duration::from_secs(2))));
    }

    #[test]
    fn times_are_between_a_second_and_a_day() {
        for (time, shown) in
            [("25h", "25h0m0s"), ("999ms", "999ms"), ("0", "0s"), ("-5s", "-5s"), ("24h1ns", "24h0m0.000000001s")]
        {
            assert_eq!(
                told(&format!("read {time}")),
                format!(
                    "plugin/timeouts: Corefile:3 - {AT} timeout provided '{shown}' needs to be between 1 second and 24 hours"
                )
            );
        }
    }

    #[test]
    fn a_bad_value_is_told_before_a_bad_name() {
        let text = |text: &str| format!("plugin/timeouts: Corefile:3 - {AT} {text}");
        assert_eq!(told("reed x"), text("failed to parse duration 'x'"));
        assert_eq!(told("reed 0"), text("timeout provided '0s' needs to be between 1 second and 24 hours"));
        assert_eq!(told("reed 5"), text("unknown option: 'reed'"));
    }

    #[test]
    fn the_number_of_messages_is_positive_or_minus_one() {
        let text = |text: &str| format!("plugin/timeouts: Corefile:3 - {AT} {text}");
        for count in ["0", "-2"] {
            let expected = format!("maxtcpqueries provided '{count}' needs to be -1 (unlimited) or a positive integer");
            assert_eq!(told(&format!("maxtcpqueries {count}")), text(&expected));
        }
        let expected = "invalid value for maxtcpqueries 'x': strconv.Atoi: parsing \"x\": invalid syntax";
        assert_eq!(told("maxtcpqueries x"), text(expected));
    }

    #[test]
    fn one_value_belongs_to_a_property() {
        let wrong = |word: &str| {
            format!("plugin/timeouts: Corefile:3 - {AT} Wrong argument count or unexpected line ending after '{word}'")
        };
        assert_eq!(told("read"), wrong("read"));
        assert_eq!(told("read 1 2"), wrong("2"));
        assert_eq!(told("maxtcpqueries"), wrong("maxtcpqueries"));
    }

    #[test]
    fn what_sets_nothing_is_an_error_with_two_prefixes() {
        let at = format!("plugin/timeouts: plugin/timeouts: Corefile:2 - {AT}");
        check_config([PLUGIN], "timeouts", &format!("{at} timeouts block with no timeouts specified"));
        check_config(
            [PLUGIN],
            "timeouts 5s",
            &format!("{at} Wrong argument count or unexpected line ending after '5s'"),
        );
        let at = at.replace(":2", ":3");
        check_config([PLUGIN], "timeouts {\n}", &format!("{at} timeouts block with no timeouts specified"));
    }
}
