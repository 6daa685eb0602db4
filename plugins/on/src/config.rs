//! The words of the directive.

use catena_core::prelude::*;

use crate::command::Command;
use crate::words;

/// The most commands of a server block.
pub(crate) const COMMANDS_MAX: usize = 256;

/// When a command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The server, or a configuration by reload, answers queries.
    Startup,
    /// The server is told to end.
    Shutdown,
    /// A certificate was renewed: never, for nothing here renews any.
    CertRenew,
}

/// Reads all occurrences in a server block.
pub(crate) fn parse(cx: &mut Setup<'_>) -> Result<Vec<(Event, Command)>, Diagnostic> {
    let mut words = cx.cursor();
    let mut commands = Vec::new();
    while words.next() {
        let (event, command) = parse_one(&mut words).map_err(Diagnostic::bare)?;
        if event == Event::CertRenew {
            cx.warn(unused(&words));
        }
        if commands.len() == COMMANDS_MAX {
            return Err(words.err(format!("more than {COMMANDS_MAX} commands")).bare());
        }
        commands.push((event, command));
    }
    Ok(commands)
}

fn parse_one(words: &mut Cursor<'_>) -> Result<(Event, Command), Diagnostic> {
    if !words.next_arg() {
        return Err(words.arg_err());
    }
    let event = match words.val().to_ascii_lowercase().as_str() {
        "startup" => Event::Startup,
        "shutdown" => Event::Shutdown,
        "certrenew" => Event::CertRenew,
        _ => {
            let text = format!("Wrong event name or event not supported: '{}'", words.val());
            let fault = words.err(text).with_label("no such event");
            return Err(words.with_nearest(fault, &["startup", "shutdown", "certrenew"]));
        }
    };
    // Quotes of the Corefile are gone by now; those within them are the command's.
    let line = words.remaining_args().join(" ");
    let split = words::split(&line).map_err(|fault| words.err(format!("error parsing command: {fault}")))?;
    let command = Command::of(split).ok_or_else(|| words.err(format!("no command contained in '{line}'")))?;
    Ok((event, command))
}

fn unused(words: &Cursor<'_>) -> Diagnostic {
    let mut warning = Diagnostic::warning("no certificate is renewed by the server, so this command never runs");
    if let Some(token) = words.token() {
        warning = warning.at(token);
    }
    warning.with_prefix("on")
}
