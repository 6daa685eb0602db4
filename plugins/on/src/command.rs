//! A command: started, and waited for or not.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use catena_core::Log;

/// How long a command in the foreground is waited for; then it goes on in the background.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// A command with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    program: String,
    args: Vec<String>,
    /// Nobody waits for its end.
    in_background: bool,
    /// What its log lines show.
    id: String,
}

impl Command {
    /// Makes a command of its words, the last of which may be `&`; none of no words.
    pub(crate) fn of(words: Vec<String>) -> Option<Self> {
        let mut words = words.into_iter();
        let program = words.next()?;
        let mut args: Vec<String> = words.collect();
        let in_background = args.pop_if(|last| last == "&").is_some();
        Some(Self { program, args, in_background, id: random_id() })
    }

    /// Runs it with the streams of the process. What goes wrong is logged and nothing else comes of it.
    pub(crate) async fn run(&self, log: &Log) {
        let kind = if self.in_background { "Nonblocking" } else { "Blocking" };
        // A blank stands behind the program even without arguments, as in CoreDNS.
        let shown = format!("{} {}", self.program, self.args.join(" "));
        log.info(format_args!("{kind} Command \"{shown}\" with ID {}", self.id));
        if let Err(reason) = self.try_run(log).await {
            log.error(format_args!("error on 'on-{}' hook: {reason}", self.id));
        }
    }

    async fn try_run(&self, log: &Log) -> Result<(), String> {
        let started = tokio::process::Command::new(&self.program).args(&self.args).kill_on_drop(false).spawn();
        let mut child = started.map_err(|error| self.told(&error))?;
        if self.in_background {
            // The runtime takes its exit status when it ends.
            return Ok(());
        }
        match tokio::time::timeout(WAIT_MAX, child.wait()).await {
            Ok(ended) => told_of_end(ended.map_err(|error| in_go_words(&error))?),
            Err(_) => {
                let limit = WAIT_MAX.as_secs();
                log.warning(format_args!("Command with ID {} runs for {limit}s: it is no longer waited for", self.id));
                Ok(())
            }
        }
    }

    /// Why it did not start, as Go's `os/exec` says it.
    fn told(&self, error: &io::Error) -> String {
        let is_path = self.program.contains('/');
        if error.kind() == io::ErrorKind::NotFound && !is_path {
            return format!("exec: {:?}: executable file not found in $PATH", self.program);
        }
        format!("fork/exec {}: {}", self.program, in_go_words(error))
    }
}

/// How a command that did not end well ended, as Go says it.
fn told_of_end(status: ExitStatus) -> Result<(), String> {
    match (status.success(), status.code(), status.signal()) {
        (true, ..) => Ok(()),
        (false, Some(code), _) => Err(format!("exit status {code}")),
        (false, None, Some(9)) => Err("signal: killed".to_owned()),
        (false, None, Some(15)) => Err("signal: terminated".to_owned()),
        (false, None, signal) => Err(format!("signal: signal {}", signal.unwrap_or_default())),
    }
}

/// The operating system's words as Go writes them: lower case, without the number.
fn in_go_words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

/// A random UUID (RFC 9562 section 5.4).
fn random_id() -> String {
    let bits = rand::random::<u128>() & !(0xf << 76) & !(3 << 62) | 4 << 76 | 2 << 62;
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn command(words: &[&str]) -> Command {
        Command::of(words.iter().map(|word| (*word).to_owned()).collect()).unwrap()
    }

    #[test]
    fn the_last_word_may_send_it_to_the_background() {
        let there = command(&["sleep", "1", "&"]);
        assert_eq!(
            (there.program.as_str(), there.args.as_slice(), there.in_background),
            ("sleep", &["1".to_owned()][..], true)
        );
        assert!(!command(&["sleep", "&", "1"]).in_background);
        assert!(!command(&["&"]).in_background);
        assert_eq!(Command::of(Vec::new()), None);
    }

    #[test]
    fn ids_are_random_uuids() {
        let (one, other) = (random_id(), random_id());
        assert_ne!(one, other);
        let parts: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!((parts, one.as_bytes()[14]), (vec![8, 4, 4, 4, 12], b'4'));
        assert!(b"89ab".contains(&one.as_bytes()[19]));
    }
}
