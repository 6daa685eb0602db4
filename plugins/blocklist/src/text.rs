//! Lists as text: names one a line, lines of a hosts file, lines of a content blocker. A file is read line by line and never held whole.

use std::io::{self, BufRead, Read};
use std::net::IpAddr;

use crate::rules::Rules;
use crate::table::{Action, Full, Scope, Seed};

/// The longest line, octets; a longer one is not understood.
pub(crate) const LINE_OCTETS_MAX: usize = 4096;
/// How much of a line is shown in the log, octets.
const SHOWN_MAX: usize = 80;
/// Names of hosts files that are about the host itself.
const LOCAL_NAMES: [&str; 11] = [
    "localhost",
    "localhost.localdomain",
    "local",
    "broadcasthost",
    "ip6-localhost",
    "ip6-loopback",
    "ip6-localnet",
    "ip6-mcastprefix",
    "ip6-allnodes",
    "ip6-allrouters",
    "ip6-allhosts",
];

/// The form of the lines of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Each line tells by itself.
    Auto,
    /// An address and names.
    Hosts,
    /// A name.
    Plain,
}

/// Lines that were left out because they say nothing that is understood.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Skipped {
    pub(crate) count: usize,
    /// The first one: where it is and what it says.
    pub(crate) first: Option<String>,
}

/// Why a file is no list.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Full(#[from] Full),
    /// A page with an error, say, in the place of the list.
    #[error("most lines are not those of a list: {0}")]
    Unlike(String),
}

/// Reads a list. `octets` is about how long it is.
pub(crate) fn read_list(
    mut file: impl BufRead,
    form: Form,
    seed: &Seed,
    octets: usize,
) -> Result<(Rules, Skipped), ListError> {
    let mut reading = Reading { rules: Rules::new(seed, octets + octets / 8), form, wire: Vec::new() };
    let (mut skipped, mut understood, mut number) = (Skipped::default(), 0_usize, 0);
    let mut line = Vec::new();
    while let Some(is_whole) = next_line(&mut file, &mut line)? {
        number += 1;
        let text = line.strip_prefix(b"\xef\xbb\xbf").filter(|_| number == 1).unwrap_or(&line).trim_ascii();
        if is_whole && reading.line(text)? {
            understood += usize::from(!text.is_empty());
            continue;
        }
        skipped.count += 1;
        skipped.first.get_or_insert_with(|| format!("line {number}: {:?}", shown(text)));
    }
    match skipped.first {
        Some(first) if skipped.count > understood => Err(ListError::Unlike(first)),
        first => {
            reading.rules.names.shrink();
            Ok((reading.rules, Skipped { first, ..skipped }))
        }
    }
}

fn shown(line: &[u8]) -> String {
    String::from_utf8_lossy(line.get(..SHOWN_MAX).unwrap_or(line)).into_owned()
}

/// Puts the next line into the buffer, without its end if it is too long, which `false` tells.
fn next_line(file: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let max = LINE_OCTETS_MAX as u64 + 1;
    if file.by_ref().take(max).read_until(b'\n', line)? == 0 {
        return Ok(None);
    }
    if line.len() <= LINE_OCTETS_MAX || line.ends_with(b"\n") {
        return Ok(Some(true));
    }
    let mut rest = Vec::new();
    loop {
        rest.clear();
        let read = file.by_ref().take(max).read_until(b'\n', &mut rest)?;
        if read == 0 || rest.ends_with(b"\n") {
            return Ok(Some(false));
        }
    }
}

struct Reading {
    rules: Rules,
    form: Form,
    /// A name on its way into the list.
    wire: Vec<u8>,
}

impl Reading {
    /// Takes a line; `false`: it is not understood.
    fn line(&mut self, line: &[u8]) -> Result<bool, Full> {
        // `#` and `;` begin comments, `!` and `[` lines of a content blocker about the list itself.
        if line.is_empty() || matches!(line[0], b'#' | b';' | b'!' | b'[') {
            return Ok(true);
        }
        let Ok(text) = std::str::from_utf8(line) else { return Ok(false) };
        let text = without_comment(text);
        let mut words = text.split_ascii_whitespace();
        let Some(first) = words.next() else { return Ok(true) };
        let is_address = address(first);
        match self.form {
            Form::Hosts | Form::Auto if is_address => self.hosts(words),
            Form::Plain | Form::Auto if !is_address && words.next().is_none() => self.plain(first),
            _ => Ok(false),
        }
    }

    /// The names behind an address: each is listed by itself.
    fn hosts<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> Result<bool, Full> {
        let mut any = false;
        for name in names {
            any = true;
            if address(name) || LOCAL_NAMES.iter().any(|local| local.eq_ignore_ascii_case(name)) {
                continue;
            }
            if !name_of(name, &mut self.wire) {
                return Ok(false);
            }
            self.rules.names.insert(&self.wire, Scope::Exact, Action::Block)?;
        }
        Ok(any)
    }

    /// `name`, `.name`, `*.name`, `||name^`, `@@||name^`.
    fn plain(&mut self, word: &str) -> Result<bool, Full> {
        let (word, is_exception) = match word.strip_prefix("@@") {
            Some(rest) if rest.starts_with("||") => (rest, true),
            Some(_) => return Ok(false),
            None => (word, false),
        };
        let (name, scopes): (&str, &[Scope]) = if let Some(rest) = word.strip_prefix("||") {
            // Modifiers make a rule one for some pages or some contents; these two do not.
            match rest.split_once('^') {
                Some((name, "" | "|" | "$important" | "$all")) => (name, &[Scope::Exact, Scope::Below]),
                _ => return Ok(false),
            }
        } else if word == "*" {
            (".", &[Scope::Below])
        } else if let Some(name) = word.strip_prefix("*.") {
            (name, &[Scope::Below])
        } else {
            (word.strip_prefix('.').unwrap_or(word), &[Scope::Exact, Scope::Below])
        };
        let is_root = name == "." && word == "*";
        if is_root {
            self.wire = vec![0];
        } else if !name_of(name, &mut self.wire) {
            return Ok(false);
        }
        let table = if is_exception { &mut self.rules.except } else { &mut self.rules.names };
        for scope in scopes {
            table.insert(&self.wire, *scope, Action::Block)?;
        }
        Ok(true)
    }
}

/// The line up to a `#` behind a space.
fn without_comment(line: &str) -> &str {
    let is_comment = |(at, _): &(usize, &str)| line[..*at].ends_with([' ', '\t']);
    line.match_indices('#').find(is_comment).map_or(line, |(at, _)| &line[..at])
}

/// Whether a word is an address, perhaps with the zone of a link.
fn address(word: &str) -> bool {
    word.split('%').next().unwrap_or(word).parse::<IpAddr>().is_ok()
}

/// Puts a host name (letters, digits, `-` and `_`) onto the wire in lower case; `false` if it is none.
fn name_of(text: &str, wire: &mut Vec<u8>) -> bool {
    wire.clear();
    let text = text.strip_suffix('.').unwrap_or(text);
    for label in text.as_bytes().split(|octet| *octet == b'.') {
        let fits = label.iter().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'));
        let Some(len) = u8::try_from(label.len()).ok().filter(|len| fits && (1..=63).contains(len)) else {
            return false;
        };
        wire.push(len);
        wire.extend(label.iter().map(u8::to_ascii_lowercase));
    }
    wire.push(0);
    wire.len() <= catena_core::name::NAME_OCTETS_MAX
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::table::Suffixes;
    use catena_core::{LabelStarts, name::owned};

    struct List(Seed, Rules, Skipped);

    fn read(form: Form, text: &str) -> Result<List, ListError> {
        let seed = Seed::default();
        read_list(text.as_bytes(), form, &seed, text.len()).map(|(rules, skipped)| List(seed, rules, skipped))
    }

    impl List {
        fn has(&self, name: &str) -> bool {
            let name = owned(name).unwrap();
            let starts = LabelStarts::of(name.as_slice());
            self.1.name(&Suffixes::of(&self.0, name.as_slice(), &starts)).is_some()
        }
    }

    #[test]
    fn a_plain_name_is_listed_with_what_is_below_and_a_hosts_name_alone() {
        let list = read(Form::Auto, "Ads.Example.\n0.0.0.0 one.test two.test # both\n::1%lo0 three.test\n").unwrap();
        for name in ["ads.example", "x.y.ads.example", "one.test", "two.test", "three.test"] {
            assert!(list.has(name), "{name}");
        }
        for name in ["example", "xads.example", "x.one.test", "both", "test"] {
            assert!(!list.has(name), "{name}");
        }
        assert_eq!(list.2, Skipped::default());
    }

    #[test]
    fn a_star_is_what_is_below_and_a_dot_is_both() {
        let list = read(Form::Plain, "*.a.test\n.b.test").unwrap();
        assert!(!list.has("a.test") && list.has("x.a.test"));
        assert!(list.has("b.test") && list.has("x.b.test"));
        assert!(read(Form::Plain, "*").unwrap().has("anything.test"));
    }

    #[test]
    fn lines_of_content_blockers_are_read_with_their_exceptions() {
        let list = read(
            Form::Auto,
            "[Adblock Plus]\r\n! Title\r\n||a.test^\r\n||b.test^$important\n@@||good.a.test^\n||c.test^$script\nd.test##.ad\n",
        )
        .unwrap();
        assert!(list.has("a.test") && list.has("x.a.test") && list.has("b.test"));
        assert!(!list.has("good.a.test") && !list.has("x.good.a.test"));
        assert!(!list.has("c.test") && !list.has("d.test"));
        assert_eq!(list.2, Skipped { count: 2, first: Some("line 6: \"||c.test^$script\"".to_owned()) });
    }

    #[test]
    fn names_of_the_host_itself_are_not_listed() {
        let list = read(Form::Hosts, "127.0.0.1 localhost\n0.0.0.0 0.0.0.0\n::1 IP6-localhost ads.test\n").unwrap();
        assert_eq!(list.1.len(), 1);
        assert!(list.has("ads.test"));
    }

    #[test]
    fn a_form_takes_its_own_lines_only() {
        let text = "a.test\nb.test\n0.0.0.0 c.test\n";
        assert!(matches!(read(Form::Hosts, text), Err(ListError::Unlike(_))));
        let list = read(Form::Plain, text).unwrap();
        assert_eq!((list.1.len(), list.2.count), (2, 1));
    }

    #[test]
    fn what_is_no_list_is_an_error() {
        let page = "<html>\n<h1>404 Not Found</h1>\n</html>\n";
        let error = read(Form::Auto, page).err().unwrap().to_string();
        assert_eq!(error, "most lines are not those of a list: line 1: \"<html>\"");
        assert!(read(Form::Auto, "").is_ok(), "an empty list is one");
        assert!(read(Form::Auto, "# nothing\n\n").is_ok());
    }

    #[test]
    fn a_line_at_the_limit_is_read_and_a_longer_one_is_not() {
        let line = |octets: usize| format!("a.test{}\nb.test\n", " ".repeat(octets - 6));
        assert_eq!(read(Form::Auto, &line(LINE_OCTETS_MAX)).unwrap().2.count, 0);
        let list = read(Form::Auto, &format!("c.test\n{}", line(3 * LINE_OCTETS_MAX))).unwrap();
        assert!(list.has("b.test") && !list.has("a.test"));
        assert_eq!(list.2.count, 1);
    }

    #[test]
    fn names_are_host_names() {
        let mut wire = Vec::new();
        let longest = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
        for name in ["a", "a_b.c-d.test", "xn--p1ai", longest.as_str()] {
            assert!(name_of(name, &mut wire), "{name}");
        }
        let too_long = format!("{longest}c");
        for name in ["", ".", "a..b", "a/b", "\u{fc}.test", "a:80", &"a".repeat(64), too_long.as_str()] {
            assert!(!name_of(name, &mut wire), "{name}");
        }
    }
}
