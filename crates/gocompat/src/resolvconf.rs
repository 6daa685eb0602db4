//! `resolv.conf(5)` as CoreDNS reads it: the subset of miekg/dns `ClientConfigFromReader`.

use crate::number::{NumberErrorKind, atoi};

/// The longest line that is read, in bytes. Go's scanner stops there too: it keeps what came
/// before and gives no error.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// How many nameservers are kept; what a longer file names beyond it is an error.
pub const NAMESERVERS_MAX: usize = 10_000;

/// The largest `ndots`.
pub const NDOTS_MAX: i64 = 15;

/// The contents of a `resolv.conf`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvConf {
    /// The first word behind each `nameserver`, unchecked, in order.
    pub nameservers: Vec<String>,
    /// The search list: the last `search` or `domain` line's.
    pub search: Vec<String>,
    /// Dots from which a name is tried as it is first, 0 to 15; default 1.
    pub ndots: i64,
    /// Seconds before a packet is given up, at least 1; default 5.
    pub timeout_secs: i64,
    /// Tries before a server is given up, at least 1; default 2.
    pub attempts: i64,
}

impl Default for ResolvConf {
    fn default() -> Self {
        Self { nameservers: Vec::new(), search: Vec::new(), ndots: 1, timeout_secs: 5, attempts: 2 }
    }
}

/// Why a `resolv.conf` is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many nameservers: more than {NAMESERVERS_MAX}")]
pub struct TooManyNameservers;

impl ResolvConf {
    /// Reads the text of a file. Unknown keywords and options are passed over; what stands behind
    /// a line longer than [`LINE_BYTES_MAX`] is not read.
    pub fn parse(text: &str) -> Result<Self, TooManyNameservers> {
        let mut conf = Self::default();
        for line in text.split('\n') {
            if line.len() >= LINE_BYTES_MAX {
                break;
            }
            conf.read_line(line);
            if conf.nameservers.len() > NAMESERVERS_MAX {
                return Err(TooManyNameservers);
            }
        }
        Ok(conf)
    }

    fn read_line(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => self.nameservers.extend(words.next().map(str::to_owned)),
            Some("domain") => self.search = words.take(1).map(str::to_owned).collect(),
            Some("search") => self.search = words.map(str::to_owned).collect(),
            Some("options") => words.for_each(|option| self.read_option(option)),
            _ => {}
        }
    }

    fn read_option(&mut self, option: &str) {
        match option.split_once(':') {
            Some(("ndots", value)) => self.ndots = lenient_int(value).clamp(0, NDOTS_MAX),
            Some(("timeout", value)) => self.timeout_secs = lenient_int(value).max(1),
            Some(("attempts", value)) => self.attempts = lenient_int(value).max(1),
            _ => {}
        }
    }
}

/// `Atoi` with its error dropped: Go still gives 0 for a bad number and the nearest end for one
/// that is out of range.
fn lenient_int(value: &str) -> i64 {
    atoi(value).unwrap_or_else(|error| match error.kind {
        NumberErrorKind::Range if value.starts_with('-') => i64::MIN,
        NumberErrorKind::Range => i64::MAX,
        _ => 0,
    })
}

/// The body of the fuzz target `resolv_conf`.
#[doc(hidden)]
pub fn fuzz_resolv_conf(data: &[u8]) {
    let Ok(conf) = ResolvConf::parse(&String::from_utf8_lossy(data)) else {
        return;
    };
    assert!((0..=NDOTS_MAX).contains(&conf.ndots));
    assert!(conf.timeout_secs >= 1 && conf.attempts >= 1);
    assert_eq!(crate::upstream::nameserver_addresses(&conf).len(), conf.nameservers.len());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_common_file_is_read() {
        let conf = ResolvConf::parse(
            "# comment\ndomain somedomain.com\nsearch a.test b.test\nnameserver 10.28.10.2\r\n\
             \tnameserver fe80::1%eth0 trailing\nnameserver\noptions ndots:5 timeout:0 attempts:x rotate\n",
        )
        .unwrap();
        assert_eq!(conf.nameservers, ["10.28.10.2", "fe80::1%eth0"]);
        assert_eq!(conf.search, ["a.test", "b.test"]);
        assert_eq!((conf.ndots, conf.timeout_secs, conf.attempts), (5, 1, 1));
        assert_eq!(crate::upstream::nameserver_addresses(&conf), ["10.28.10.2:53", "[fe80::1]:53"]);
    }

    #[test]
    fn the_last_search_or_domain_line_counts() {
        let search = |text| ResolvConf::parse(text).unwrap().search;
        assert_eq!(search("search a b\ndomain c d"), ["c"]);
        assert!(search("search a\ndomain").is_empty());
        assert!(search("domain a\nsearch").is_empty());
    }

    #[test]
    fn options_out_of_range_are_held_at_its_ends() {
        let ndots = |text| ResolvConf::parse(text).unwrap().ndots;
        assert_eq!(ndots("options ndots:16"), 15);
        assert_eq!(ndots("options ndots:-1"), 0);
        assert_eq!(ndots("options ndots:99999999999999999999"), 15);
        assert_eq!(ndots("options ndots:"), 0);
        assert_eq!(ndots(""), 1);
    }

    #[test]
    fn reading_stops_at_a_line_that_is_too_long() {
        let line = |len: usize| format!("nameserver a\n{}\nnameserver b", "x".repeat(len));
        let servers = |len| ResolvConf::parse(&line(len)).unwrap().nameservers.len();
        assert_eq!(servers(LINE_BYTES_MAX - 1), 2);
        assert_eq!(servers(LINE_BYTES_MAX), 1);
    }

    #[test]
    fn a_nameserver_too_many_is_an_error() {
        let text = |count| "nameserver a\n".repeat(count);
        assert!(ResolvConf::parse(&text(NAMESERVERS_MAX)).is_ok());
        assert_eq!(ResolvConf::parse(&text(NAMESERVERS_MAX + 1)), Err(TooManyNameservers));
    }

    #[test]
    fn the_fuzz_corpus_holds() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/resolv_conf");
        let mut seen = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            fuzz_resolv_conf(&std::fs::read(entry.unwrap().path()).unwrap());
            seen += 1;
        }
        assert!(seen >= 5, "the corpus is not empty");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(data: Vec<u8>) {
            fuzz_resolv_conf(&data);
        }
    }
}
