//! Command-line flags, as Go's flag package treats them.
//!
//! One dash or two, `-name value` or `-name=value`, a boolean only as `-name` or `-name=true`; the first word that is no flag, and `--`,
//! end the flags.

use catena_gocompat::number::parse_bool;
use catena_gocompat::quote::quote;
use catena_runtime::Format;

/// What the command line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flags {
    /// `-conf`; empty: `Corefile` in the working directory.
    pub conf: String,
    /// `-kubeconfig`; empty: that of the environment, or of the pod.
    pub kubeconfig: String,
    /// `-dns.port` or `-p`, the last one given.
    pub port: String,
    /// `-pidfile`; empty: none.
    pub pidfile: String,
    /// `-plugins`
    pub plugins: bool,
    /// `-quiet`
    pub quiet: bool,
    /// `-version`
    pub version: bool,
    /// `-log-format`
    pub log_format: Format,
    /// Words that are no flags.
    pub rest: Vec<String>,
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            conf: String::new(),
            kubeconfig: String::new(),
            port: "53".to_owned(),
            pidfile: String::new(),
            plugins: false,
            quiet: false,
            version: false,
            log_format: Format::Text,
            rest: Vec::new(),
        }
    }
}

/// Why the command line is not one to start with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// `-h` or `-help`: usage and exit code 0.
    Help,
    /// A fault: this line, usage and exit code 2.
    Fault(String),
}

/// Name, argument word and text of every flag, sorted as in the usage. No argument word: a boolean.
const USAGE: [(&str, &str, &str); 9] = [
    ("conf", "string", "Corefile to load, or configmap:NAMESPACE/NAME[/KEY] (default \"Corefile\")"),
    ("dns.port", "string", "Default port (default \"53\")"),
    (
        "kubeconfig",
        "string",
        "Path of a kubeconfig for -conf configmap: (default $KUBECONFIG, or the pod's service account)",
    ),
    ("log-format", "string", "Format of log lines, text or json (default \"text\")"),
    ("p", "string", "Default port (default \"53\")"),
    ("pidfile", "string", "Path to write pid file"),
    ("plugins", "", "List installed plugins"),
    ("quiet", "", "Quiet mode (no initialization output)"),
    ("version", "", "Show version"),
];

/// The usage, for a program of this name.
#[must_use]
pub fn usage(program: &str) -> String {
    let mut text = format!("Usage of {program}:\n");
    for (name, argument, about) in USAGE {
        let space = if argument.is_empty() { "" } else { " " };
        text.push_str(&format!("  -{name}{space}{argument}\n    \t{about}\n"));
    }
    text.push_str(&format!("\n  {program} check FILE|-\n    \tTell what is wrong with a Corefile or a ConfigMap manifest, and start nothing\n"));
    text
}

/// The usage of `check`, for a program of this name; without a line end.
pub(crate) fn check_usage(program: &str) -> String {
    format!(
        "Usage of {program} check:\n  {program} check FILE|-\n    \tTell what is wrong with a Corefile or a ConfigMap manifest (-: from \
         standard input), and start nothing\n    \tExit code: 0 it would start, 1 it would not, 2 wrong command line"
    )
}

impl Flags {
    /// Reads the words behind the program's name.
    ///
    /// # Errors
    /// A wish for help, or what is wrong, in Go's words.
    pub fn parse(words: &[String]) -> Result<Self, Stop> {
        let mut flags = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "--" {
                break;
            }
            let Some(bare) = word.strip_prefix('-').filter(|bare| !bare.is_empty()) else {
                flags.rest.push(word.clone());
                break;
            };
            let bare = bare.strip_prefix('-').unwrap_or(bare);
            if bare.starts_with(['-', '=']) {
                return Err(Stop::Fault(format!("bad flag syntax: {word}")));
            }
            let (name, value) = match bare.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (bare, None),
            };
            let known = USAGE.iter().find(|(known, ..)| *known == name);
            match known {
                None if name == "h" || name == "help" => return Err(Stop::Help),
                None => return Err(Stop::Fault(format!("flag provided but not defined: -{name}"))),
                Some((_, "", _)) => flags.switch(name, value)?,
                Some(_) => {
                    let value = value.or_else(|| words.next().map(String::as_str));
                    let missing = || Stop::Fault(format!("flag needs an argument: -{name}"));
                    flags.set(name, value.ok_or_else(missing)?)?;
                }
            }
        }
        flags.rest.extend(words.cloned());
        Ok(flags)
    }

    fn switch(&mut self, name: &str, value: Option<&str>) -> Result<(), Stop> {
        let on = match value {
            None => true,
            Some(value) => parse_bool(value)
                .map_err(|_| Stop::Fault(format!("invalid boolean value {} for -{name}: parse error", quote(value))))?,
        };
        match name {
            "plugins" => self.plugins = on,
            "quiet" => self.quiet = on,
            _ => self.version = on,
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Stop> {
        match name {
            "conf" => self.conf = value.to_owned(),
            "kubeconfig" => self.kubeconfig = value.to_owned(),
            "pidfile" => self.pidfile = value.to_owned(),
            "log-format" => {
                self.log_format = match value {
                    "text" => Format::Text,
                    "json" => Format::Json,
                    _ => {
                        let value = quote(value);
                        return Err(Stop::Fault(format!(
                            "invalid value {value} for flag -log-format: must be text or json"
                        )));
                    }
                }
            }
            _ => self.port = value.to_owned(),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn parse(line: &str) -> Result<Flags, Stop> {
        Flags::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    fn fault(line: &str) -> String {
        match parse(line) {
            Err(Stop::Fault(text)) => text,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn one_dash_or_two_and_a_value_behind_a_blank_or_an_equals_sign() {
        for line in ["-conf a -p 54", "--conf a --p 54", "-conf=a -dns.port=54", "--conf=a -dns.port 1 -p 54"] {
            let flags = parse(line).unwrap();
            assert_eq!((flags.conf.as_str(), flags.port.as_str()), ("a", "54"), "{line}");
        }
    }

    #[test]
    fn a_boolean_takes_no_word_behind_it() {
        let flags = parse("-quiet false").unwrap();
        assert!(flags.quiet && flags.rest == ["false"]);
        assert!(!parse("-quiet=false").unwrap().quiet);
        assert!(parse("-quiet=T -version=1 -plugins").unwrap().plugins);
        assert_eq!(fault("-quiet=maybe"), "invalid boolean value \"maybe\" for -quiet: parse error");
    }

    #[test]
    fn a_value_may_look_like_a_flag() {
        assert_eq!(parse("-conf -quiet").unwrap().conf, "-quiet");
        assert_eq!(parse("-conf=").unwrap().conf, "");
    }

    #[test]
    fn flags_end_at_the_first_other_word_and_at_two_dashes() {
        assert_eq!(parse("a -quiet").unwrap().rest, ["a", "-quiet"]);
        assert_eq!(parse("-p 1 -- -quiet").unwrap().rest, ["-quiet"]);
        assert_eq!(parse("-").unwrap().rest, ["-"]);
        assert!(parse("-quiet --").unwrap().rest.is_empty());
    }

    #[test]
    fn faults_are_told_in_the_words_of_go() {
        assert_eq!(fault("-zzz"), "flag provided but not defined: -zzz");
        assert_eq!(fault("-conf"), "flag needs an argument: -conf");
        assert_eq!(fault("---x"), "bad flag syntax: ---x");
        assert_eq!(fault("-=x"), "bad flag syntax: -=x");
        assert_eq!(fault("-log-format xml"), "invalid value \"xml\" for flag -log-format: must be text or json");
    }

    #[test]
    fn help_is_no_fault() {
        for line in ["-h", "--help", "-quiet -h"] {
            assert_eq!(parse(line), Err(Stop::Help));
        }
    }

    #[test]
    fn the_usage_names_every_flag() {
        let text = usage("catena");
        assert!(text.starts_with("Usage of catena:\n  -conf string\n    \tCorefile to load"), "{text}");
        for (name, argument, about) in USAGE {
            let flag = [name, argument].join(" ");
            assert!(text.contains(&format!("  -{}\n    \t{about}", flag.trim_end())), "{name}: {text}");
        }
    }
}
