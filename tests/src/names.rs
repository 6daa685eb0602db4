//! The placeholders of one run of one case: free ports, the folder, addresses of upstreams.

use regex::{Captures, Regex};
use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};

use crate::Error;
use crate::value::Value;

/// Below the ephemeral range, so that no outgoing connection of a test takes one.
const PORT_FIRST: u16 = 20_000;
const PORT_COUNT: u16 = 12_000;

/// Free loopback ports, UDP and TCP alike; shared by all cases of a run and never handed out twice.
#[derive(Debug, Clone, Default)]
pub struct Ports {
    taken: Arc<Mutex<HashSet<u16>>>,
}

impl Ports {
    /// A port that nobody listens on now.
    ///
    /// # Errors
    /// [`Error::Failed`] when every one of them is in use.
    pub fn take(&self) -> Result<u16, Error> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        // Runs at the same time begin at different places.
        let start = (std::process::id() as u16).wrapping_mul(211) % PORT_COUNT;
        for step in 0..PORT_COUNT {
            let port = PORT_FIRST + (start + step) % PORT_COUNT;
            if !taken.contains(&port) && is_free(port) {
                taken.insert(port);
                return Ok(port);
            }
        }
        Err(Error::Failed(format!("no free port from {PORT_FIRST} on")))
    }
}

fn is_free(port: u16) -> bool {
    // The wildcard, as servers under test bind that.
    let any = (Ipv4Addr::UNSPECIFIED, port);
    TcpListener::bind(any).is_ok() && UdpSocket::bind(any).is_ok()
}

/// An IPv4 address of this host that is not loopback. Nothing is sent: UDP connects on paper.
pub fn host_ip() -> Option<String> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(198, 51, 100, 1), 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback()).then(|| address.to_string())
}

/// The values of the placeholders, in the order in which they came to be.
#[derive(Debug)]
pub struct Names {
    ports: Ports,
    values: Vec<(String, String)>,
    placeholder: Regex,
}

impl Names {
    /// Only `${DIR}` has a value yet.
    ///
    /// # Errors
    /// None in practice: the pattern is fixed.
    pub fn new(folder: &str, ports: Ports) -> Result<Self, Error> {
        let placeholder = Regex::new(r"\$?\$\{(\w+)\}").map_err(|err| Error::Case(err.to_string()))?;
        Ok(Self { ports, values: vec![("DIR".into(), folder.into())], placeholder })
    }

    /// The value of a placeholder that has one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Gives a placeholder its value.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.values.push((name.into(), value.into()));
    }

    /// Every placeholder whose name begins so, with the port that it stands for.
    pub fn ports_named<'a>(&'a self, start: &'a str) -> impl Iterator<Item = (&'a str, u16)> + 'a {
        let named = self.values.iter().filter(move |(name, _)| name.starts_with(start));
        named.filter_map(|(name, value)| Some((name.as_str(), value.parse().ok()?)))
    }

    /// The port of that name, taken at its first mention.
    ///
    /// # Errors
    /// As [`Ports::take`].
    pub fn port(&mut self, name: &str) -> Result<u16, Error> {
        if let Some(value) = self.get(name) {
            return value.parse().map_err(|_| Error::Case(format!("{name} is no port")));
        }
        let port = self.ports.take()?;
        self.set(name, port.to_string());
        Ok(port)
    }

    /// A text with its placeholders filled in; `$${X}` becomes a literal `${X}`.
    ///
    /// # Errors
    /// [`Error::Case`] for a placeholder that nothing defines.
    pub fn expand(&mut self, text: &str) -> Result<String, Error> {
        let mut failed = None;
        let placeholder = self.placeholder.clone();
        let expanded = placeholder.replace_all(text, |found: &Captures<'_>| match self.one(&found[0], &found[1]) {
            Ok(value) => value,
            Err(err) => {
                failed.get_or_insert(err);
                String::new()
            }
        });
        failed.map_or_else(|| Ok(expanded.into_owned()), Err)
    }

    fn one(&mut self, whole: &str, name: &str) -> Result<String, Error> {
        if let Some(literal) = whole.strip_prefix('$').filter(|rest| rest.starts_with('$')) {
            return Ok(literal.into());
        }
        if name.starts_with("PORT") || name.starts_with("HTTP") {
            return Ok(self.port(name)?.to_string());
        }
        let unknown = || Error::Case(format!("unknown placeholder ${{{name}}}"));
        self.get(name).map(str::to_owned).ok_or_else(unknown)
    }

    /// A tree with every placeholder filled in.
    ///
    /// # Errors
    /// As [`Names::expand`].
    pub fn expand_tree(&mut self, value: &Value) -> Result<Value, Error> {
        value.map_texts(&mut |text| self.expand(text))
    }

    /// The reverse of [`Names::expand`]: ports and the folder become placeholders again.
    pub fn collapse(&self, text: &str) -> String {
        let mut known: Vec<&(String, String)> = self.values.iter().collect();
        known.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        let folder = self.get("DIR").unwrap_or_default();
        let mut text = if folder.is_empty() { text.to_owned() } else { text.replace(folder, "${DIR}") };
        for (name, value) in known.into_iter().filter(|(name, _)| name != "DIR") {
            text = replace_number(&text, value, &format!("${{{name}}}"));
        }
        text
    }
}

/// Replaces `value` where no further digit touches it.
fn replace_number(text: &str, value: &str, by: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = (!value.is_empty()).then(|| rest.find(value)).flatten() {
        let end = at + value.len();
        let digit_before = rest[..at].chars().next_back().or_else(|| out.chars().next_back());
        let digit_after = rest[end..].chars().next();
        let alone = ![digit_before, digit_after].into_iter().flatten().any(|one| one.is_ascii_digit());
        out.push_str(&rest[..at]);
        out.push_str(if alone { by } else { value });
        rest = &rest[end..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn names() -> Names {
        let mut names = Names::new("/tmp/case", Ports::default()).unwrap();
        names.set("PORT", "2053");
        names.set("UP1", "127.0.0.1:2054");
        names
    }

    #[test]
    fn placeholders_are_filled_in_and_doubled_dollars_are_not() {
        assert_eq!(
            names().expand(".:${PORT} ${UP1} $${PORT} ${DIR}/x").unwrap(),
            ".:2053 127.0.0.1:2054 ${PORT} /tmp/case/x"
        );
    }

    #[test]
    fn an_unknown_placeholder_is_an_error() {
        assert!(names().expand("${UP9}").is_err());
    }

    #[test]
    fn ports_become_placeholders_again_but_not_inside_longer_numbers() {
        let text = "at 127.0.0.1:2054 and :2053, not 12053 nor 20531 (/tmp/case/a)";
        assert_eq!(names().collapse(text), "at ${UP1} and :${PORT}, not 12053 nor 20531 (${DIR}/a)");
    }

    #[test]
    fn a_named_port_stays_the_same_and_no_two_names_share_one() {
        let mut names = Names::new("/tmp/case", Ports::default()).unwrap();
        let first = names.port("PORT").unwrap();
        assert_eq!(names.port("PORT").unwrap(), first);
        assert_ne!(names.port("PORT2").unwrap(), first);
    }
}
