//! Scripts of questions and replies.

use std::time::Duration;

use catena_core::PluginDef;

use crate::ask::{Ask, Seen};
use crate::kit::{Kit, Recipe};

/// Runs a script against a block `.` with this body.
///
/// Lines: `> NAME TYPE [CLASS] [from ADDR:PORT] [tcp|udp] [do] [size N]` asks; `< RCODE FLAGS...` is the reply's code and flags;
/// `= RECORD`, `~ RECORD` and `+ RECORD` are its sections, whatever the order, a TTL of `*` being any; `!` is no reply; `@ N` moves
/// the clock by N seconds; `metric SERIES VALUE` and `log TEXT` (a part of a line written since the last look) look aside.
///
/// # Panics
/// If anything is not as the script says.
pub fn check(plugins: impl IntoIterator<Item = PluginDef>, body: &str, script: &str) {
    run(&Kit::of(plugins, body), script);
}

/// The same for a whole Corefile.
///
/// # Panics
/// If anything is not as the script says.
pub fn check_corefile(plugins: impl IntoIterator<Item = PluginDef>, corefile: &str, script: &str) {
    match Recipe::new(plugins, corefile).build() {
        Ok(kit) => run(&kit, script),
        Err(errors) => panic!("does not build:\n{}", errors.into_iter().map(|(_, text)| text).collect::<String>()),
    }
}

/// Checks what a broken body of a block `.` is told: each line of `expected` is CoreDNS's one line of an error, in order.
///
/// # Panics
/// If the body builds, or is told something else.
pub fn check_config(plugins: impl IntoIterator<Item = PluginDef>, body: &str, expected: &str) {
    let Err(told) = Recipe::new(plugins, &format!(". {{\n{body}\n}}\n")).build() else {
        panic!("builds, but should be told: {expected}")
    };
    let told: Vec<String> = told.iter().map(|(diagnostic, _)| diagnostic.one_line()).collect();
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(told, expected);
}

#[derive(Default)]
struct Expected {
    head: Option<Vec<String>>,
    sections: [Vec<String>; 3],
    silent: bool,
}

fn run(kit: &Kit, script: &str) {
    let mut asked: Option<(String, Seen)> = None;
    let mut expected = Expected::default();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (sign, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words = || rest.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        match sign {
            ">" => {
                settle(asked.take(), std::mem::take(&mut expected));
                asked = Some((rest.to_owned(), kit.ask(&parse_ask(rest))));
            }
            "<" => expected.head = Some(words()),
            "=" => expected.sections[0].push(words().join(" ")),
            "~" => expected.sections[1].push(words().join(" ")),
            "+" => expected.sections[2].push(words().join(" ")),
            "!" => expected.silent = true,
            _ => {
                settle(asked.take(), std::mem::take(&mut expected));
                look_aside(kit, sign, rest);
            }
        }
    }
    settle(asked, expected);
}

fn look_aside(kit: &Kit, sign: &str, rest: &str) {
    match sign {
        "@" => kit.clock.advance(Duration::from_secs_f64(rest.parse().expect("seconds"))),
        "metric" => {
            let (series, value) = rest.rsplit_once(' ').expect("a series and a value");
            assert_eq!(kit.metric(series), value.parse().ok(), "{series}");
        }
        "log" => {
            let lines = kit.log.take();
            assert!(lines.iter().any(|line| line.contains(rest)), "no line with {rest:?} among {lines:?}");
        }
        _ => panic!("not a line of a script: {sign} {rest}"),
    }
}

fn parse_ask(text: &str) -> Ask {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let options = words.split_off(
        words.iter().position(|w| matches!(*w, "from" | "tcp" | "udp" | "do" | "size")).unwrap_or(words.len()),
    );
    let mut ask = Ask::new(&words.join(" "));
    let mut options = options.into_iter();
    while let Some(option) = options.next() {
        ask = match option {
            "from" => ask.from(options.next().expect("an address")),
            "tcp" => ask.tcp(),
            "do" => {
                let size = ask.edns.as_ref().map_or(1232, |edns| edns.0);
                ask.edns(size, true)
            }
            "size" => {
                let dnssec_ok = ask.edns.as_ref().is_some_and(|edns| edns.1);
                ask.edns(options.next().expect("a size").parse().expect("a size"), dnssec_ok)
            }
            _ => ask,
        };
    }
    ask
}

fn settle(asked: Option<(String, Seen)>, expected: Expected) {
    let Some((question, seen)) = asked else { return };
    assert_eq!(seen.silent, expected.silent, "{question}: {seen:?}");
    if seen.silent {
        return;
    }
    if let Some(head) = expected.head {
        let mut told = vec![seen.rcode.clone()];
        told.extend(seen.flags.iter().map(ToString::to_string));
        assert_eq!(told, head, "{question}: {seen:?}");
    }
    for (section, (told, wanted)) in
        [&seen.answer, &seen.authority, &seen.additional].into_iter().zip(expected.sections).enumerate()
    {
        let mut told: Vec<String> =
            told.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        for wanted in &wanted {
            let found = told.iter().position(|line| same(line, wanted));
            assert!(found.is_some(), "{question}: section {section} lacks {wanted:?}: {told:?}");
            told.swap_remove(found.unwrap_or(0));
        }
        assert!(told.is_empty(), "{question}: section {section} has more: {told:?}");
    }
}

/// Whether a record is the expected one, whose TTL may be `*`.
fn same(told: &str, wanted: &str) -> bool {
    let field = |line: &str, at: usize| line.split(' ').nth(at).map(str::to_owned);
    if field(wanted, 1).as_deref() == Some("*") {
        let without_ttl = |line: &str| {
            line.split(' ').enumerate().filter(|(at, _)| *at != 1).map(|(_, w)| w.to_owned()).collect::<Vec<_>>()
        };
        return without_ttl(told) == without_ttl(wanted);
    }
    told == wanted
}
