//! `catena check FILE|-`: what is wrong with a configuration, without starting anything.
//!
//! Parsing and setup are those of a start; interfaces are not looked up (every name that `bind` mentions is taken to be one), no host
//! name is resolved, no socket opened and no cluster asked.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use catena_core::corefile::{SourceMap, Transport};
use catena_core::{BuildContext, Clock, Diagnostic, Draft, Interfaces, Log, Metrics, NoLog, PluginList};
use catena_runtime::{Disk, SystemClock, Text, examine, tell_of_unset_variables};

use crate::PRODUCT;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Lines for whoever asked: each diagnostic as CoreDNS's line and as a snippet; warnings last.
    pub text: String,
    /// Whether a server would start with it, as far as can be told.
    pub is_good: bool,
}

/// Checks a configuration. `elsewhere` are directives that other builds have.
#[must_use]
pub fn check(text: &Text, plugins: &PluginList, elsewhere: &[&str], default_port: &str) -> Report {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let context = BuildContext {
        metrics: &Arc::new(Metrics::new()),
        log: &Log::new(Arc::new(NoLog)),
        clock: &clock,
        files: &Disk,
        default_port,
        product: PRODUCT,
    };
    let found = examine(text, plugins, elsewhere, &context, None);
    let errors = match found.draft {
        Ok(draft) => match unspoken(&draft) {
            errors if errors.is_empty() => {
                let error = resolve(draft).err();
                error.map(|error| tell_of_unset_variables(error, &found.sources)).into_iter().collect()
            }
            errors => errors,
        },
        Err(errors) => errors,
    };
    let mut report = Report { text: String::new(), is_good: errors.is_empty() };
    for diagnostic in errors.iter().chain(&found.warnings) {
        report.add(diagnostic, &found.sources);
    }
    if report.is_good {
        report.text.push_str(&format!("{}: OK\n", text.name));
    }
    report
}

impl Report {
    fn add(&mut self, diagnostic: &Diagnostic, sources: &SourceMap) {
        self.text.push_str(&format!("{}\n{}\n\n", diagnostic.one_line(), diagnostic.render(sources)));
    }
}

/// What a start would be told of the schemes that this build does not listen for.
fn unspoken(draft: &Draft) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    for block in draft.blocks() {
        for (key, span) in block.keys.iter().zip(&block.key_spans) {
            if matches!(key.transport, Transport::Dns | Transport::Tls | Transport::Unix) {
                continue;
            }
            let error = Diagnostic::error(format!(
                "Listen: listen {transport}://:{port}: transport {transport} is not supported by this build",
                transport = key.transport,
                port = key.port
            ));
            errors.push(match span {
                Some(span) => error.with_span(*span),
                None => error,
            });
        }
    }
    errors
}

fn resolve(draft: Draft) -> Result<(), Diagnostic> {
    let words: Vec<String> = draft
        .blocks()
        .iter()
        .flat_map(|block| &block.settings.bind)
        .flat_map(|spec| spec.hosts.iter().chain(&spec.except))
        .map(|(word, _)| word.clone())
        .filter(|word| !word.is_empty() && word.parse::<IpAddr>().is_err())
        .collect();
    draft.resolve(&Imagined(words)).map(drop)
}

/// Interfaces of these names, each with an address that no other has (RFC 6666).
struct Imagined(Vec<String>);

impl Interfaces for Imagined {
    fn addresses(&self) -> io::Result<Vec<(String, IpAddr)>> {
        let mut all: Vec<(String, IpAddr)> = Vec::new();
        for name in &self.0 {
            if !all.iter().any(|(known, _)| known == name) {
                let number = u128::try_from(all.len()).unwrap_or_default();
                all.push((name.clone(), Ipv6Addr::from_bits(0x0100_u128 << 112 | number).into()));
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use catena_runtime::Source;

    fn checked(text: &str) -> Report {
        let stock = crate::stock();
        check(&Source::text(text).load("53").unwrap(), stock.plugins(), &["nomad"], "53")
    }

    #[test]
    fn a_good_corefile_is_told_so() {
        let report = checked(".:99 {\n whoami\n}");
        assert_eq!(report, Report { text: "Corefile: OK\n".to_owned(), is_good: true });
    }

    #[test]
    fn schemes_that_nothing_listens_for_are_errors() {
        let report = checked("https://.:99 {\n whoami\n}\nexample.org {\n whoami\n}");
        assert!(!report.is_good);
        let told = "Listen: listen https://:99: transport https is not supported by this build\n";
        assert!(report.text.starts_with(told), "{}", report.text);
        assert!(report.text.contains("--> Corefile:1:1"), "{}", report.text);
    }

    #[test]
    fn an_import_that_finds_no_file_is_shown_with_its_place() {
        let report = checked(". {\n whoami\n import no-such-directory/*.conf\n}");
        assert!(report.is_good);
        let told = "No files matching import glob pattern: no-such-directory/*.conf\nwarning: No files";
        assert!(report.text.starts_with(told), "{}", report.text);
        assert!(report.text.contains("--> Corefile:3:9"), "{}", report.text);
    }

    #[test]
    fn a_directive_inside_of_a_block_asks_for_the_brace() {
        let report = checked(". {\n cache 30 {\n success 100\n forward . 192.0.2.1\n}\n");
        let help = "help: if the directive `forward` is meant: is the `}` of `cache` missing?";
        assert!(report.text.contains(help), "{}", report.text);
        let report = checked(". {\n cache 30 {\n sucess 100\n }\n}\n");
        assert!(report.text.contains("help: did you mean `success`?"), "{}", report.text);
    }

    #[test]
    fn every_error_is_shown_as_a_line_and_as_a_snippet() {
        let report = checked(". {\n whoani\n nosuch\n}");
        assert!(!report.is_good);
        for part in [
            "Corefile:2 - Error during parsing: Unknown directive 'whoani'\n",
            "--> Corefile:2:2",
            "did you mean `whoami`?",
            "Corefile:3 - Error during parsing: Unknown directive 'nosuch'\n",
        ] {
            assert!(report.text.contains(part), "{part} is not in\n{}", report.text);
        }
    }

    #[test]
    fn an_address_to_bind_that_is_empty_is_no_interface() {
        let report = checked(". {\n bind {$CATENA_NO_SUCH}\n whoami\n}");
        assert!(!report.is_good);
        assert!(report.text.contains("not a valid IP address or interface name: \"\""), "{}", report.text);
        assert!(report.text.contains("the environment variable CATENA_NO_SUCH is not set"), "{}", report.text);
        assert!(checked(". {\n bind nosuch0\n whoami\n}").is_good);
    }

    #[test]
    fn the_only_line_of_a_block_is_one_mistake_and_two_lines_are_two() {
        let count = |text: &str| checked(text).text.matches("error: ").count();
        assert_eq!(count(". {\n ratelimit {\n  response-per-second 1\n }\n whoami\n}"), 1);
        assert_eq!(count(". {\n cache {\n  sucess 1\n  denail 1\n }\n whoami\n}"), 2);
    }

    #[test]
    fn zones_that_are_served_twice_are_found_without_a_socket() {
        let report = checked("a.:1 {\n whoami\n}\na.:1 {\n whoami\n}");
        assert!(report.text.contains("cannot serve dns://a.:1 - it is already defined"), "{}", report.text);
        assert!(report.text.contains("--> Corefile:4:1"), "{}", report.text);
    }

    #[test]
    fn a_manifest_is_shown_with_its_own_lines() {
        let yaml = "kind: ConfigMap\napiVersion: v1\nmetadata:\n  name: coredns\ndata:\n  Corefile: |\n    .:53 {\n        nosuch\n    }\n";
        let report = checked(yaml);
        assert!(
            report.text.contains("Corefile:8 - Error during parsing: Unknown directive 'nosuch'"),
            "{}",
            report.text
        );
        assert!(report.text.contains("--> Corefile:8:9"), "{}", report.text);
    }
}
