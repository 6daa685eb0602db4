//! From a text to a draft of an instance, and how to tell what is wrong on the way.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use catena_core::corefile::{
    Corefile, Files, ParseOptions, Parsed, Severity, SourceMap, Transport, parse_any, unset_variables,
};
use catena_core::{BuildContext, Diagnostic, Draft, Instance, PluginList, build};

use crate::source::{Text, built_in};

/// Why a configuration does not start, or does not take the place of the one that runs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}")]
pub struct Failure {
    /// CoreDNS's line.
    pub line: String,
    /// Every diagnostic with the part of the source that it is about, without a line end.
    pub snippets: Vec<String>,
}

impl Failure {
    /// A failure without a place in the configuration.
    #[must_use]
    pub fn plain(line: impl Into<String>) -> Self {
        Self { line: line.into(), snippets: Vec::new() }
    }

    /// What diagnostics say; the first error is the line.
    #[must_use]
    pub fn of(diagnostics: &[Diagnostic], sources: &SourceMap) -> Self {
        let first = diagnostics.iter().find(|found| found.severity == Severity::Error).or(diagnostics.first());
        // A snippet that shows no source would only repeat the line.
        let worth =
            diagnostics.len() > 1 || first.is_some_and(|first| first.span.is_some() || !first.notes().is_empty());
        let snippets = if worth { diagnostics.iter().map(|found| found.render(sources)).collect() } else { Vec::new() };
        Self { line: first.map(Diagnostic::one_line).unwrap_or_default(), snippets }
    }

    /// The line and, below it, the snippets.
    #[must_use]
    pub fn whole(&self) -> String {
        let mut text = self.line.clone();
        for snippet in &self.snippets {
            text.push('\n');
            text.push_str(snippet);
        }
        text
    }
}

/// A configuration that was read and set up, but not started.
pub struct Loaded {
    /// The draft.
    pub draft: Draft,
    /// The texts that spans point into.
    pub sources: Arc<SourceMap>,
    /// What `reload` compares and prints.
    pub hash: String,
    /// CoreDNS's line of each oddity, without a level.
    pub warnings: Vec<String>,
}

/// The environment of the process, for `{$NAME}` and `{%NAME%}`.
fn environment(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// Reads a text without asking which directives there are: what `reload` compares. CoreDNS: plugin/reload.
///
/// # Errors
/// The text is no Corefile.
pub fn hash(text: &Text, files: &dyn Files) -> Result<String, Failure> {
    let parsed = parsed(text, &[], files);
    match parsed.diagnostics.is_empty() {
        true => Ok(parsed.corefile.sha512_hex()),
        false => Err(Failure::of(&parsed.diagnostics, &parsed.sources)),
    }
}

/// Parses a text. A text without server blocks stands for the built-in default.
fn parsed(text: &Text, directives: &[&str], files: &dyn Files) -> Parsed {
    let files: &dyn Files = if text.beside.is_empty() { files } else { &Beside { text, files } };
    let options = ParseOptions { name: &text.name, path: &text.path, directives, env: &environment, files };
    parse_any(&text.text, &options)
}

/// The files beside a text in front of all others, as if both lay in one directory.
struct Beside<'a> {
    text: &'a Text,
    files: &'a dyn Files,
}

impl Beside<'_> {
    /// The name of what lies in the text's own directory.
    fn name<'p>(&self, path: &'p Path) -> Option<&'p str> {
        let is_here = path.parent() == self.text.path.parent();
        path.file_name().filter(|_| is_here).and_then(|name| name.to_str())
    }
}

impl Files for Beside<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.name(path) {
            Some(name) => {
                let text = self.text.beside.get(name).ok_or(io::ErrorKind::NotFound)?;
                Ok(text.clone().into_bytes())
            }
            None => self.files.read(path),
        }
    }

    fn is_dir(&self, path: &Path) -> bool {
        Some(path) == self.text.path.parent() || self.files.is_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        match Some(dir) == self.text.path.parent() {
            true => Ok(self.text.beside.keys().cloned().collect()),
            false => self.files.list(dir),
        }
    }
}

/// Reads and sets up a configuration. Opens nothing.
///
/// # Errors
/// Everything that is wrong with it; the warnings are lost then, except through [`examine`].
pub fn load(
    text: &Text,
    plugins: &PluginList,
    elsewhere: &[&str],
    context: &BuildContext<'_>,
    predecessor: Option<&Instance>,
) -> Result<Loaded, Failure> {
    let found = examine(text, plugins, elsewhere, context, predecessor);
    let lines = found.warnings.iter().map(Diagnostic::one_line).collect();
    match found.draft {
        Ok(draft) => Ok(Loaded { draft, hash: found.corefile.sha512_hex(), sources: found.sources, warnings: lines }),
        Err(errors) => Err(Failure::of(&errors, &found.sources)),
    }
}

/// What a configuration came to.
pub struct Examined {
    /// The draft, or what is wrong.
    pub draft: Result<Draft, Vec<Diagnostic>>,
    /// What is odd, first what the parser finds so.
    pub warnings: Vec<Diagnostic>,
    /// The texts that spans point into.
    pub sources: Arc<SourceMap>,
    corefile: Corefile,
}

/// Reads and sets up a configuration and tells all about it. `elsewhere` are directives that other builds have.
pub fn examine(
    text: &Text,
    plugins: &PluginList,
    elsewhere: &[&str],
    context: &BuildContext<'_>,
    predecessor: Option<&Instance>,
) -> Examined {
    let names = plugins.names();
    let mut parsed = parsed(text, &names, context.files);
    if parsed.diagnostics.is_empty() && parsed.corefile.blocks.is_empty() {
        let warnings = std::mem::take(&mut parsed.warnings);
        parsed = self::parsed(&default_of(plugins, context.default_port), &names, context.files);
        parsed.warnings = warnings;
        if predecessor.is_some() {
            // A file that is just being written is empty for a moment, and its server must not go to the default port for that.
            parsed.diagnostics.push(Diagnostic::error("the Corefile has no server block"));
        }
    }
    let told = parsed.diagnostics.into_iter().map(|found| tell_of_other_builds(found, elsewhere));
    let (errors, odd): (Vec<_>, Vec<_>) = told.partition(|found| found.severity == Severity::Error);
    let mut warnings = parsed.warnings;
    warnings.extend(odd);
    // Behind a misspelt directive the rest of the file is known, so its other mistakes can be told as well. Behind any other fault of
    // the language it is a guess where blocks begin and end.
    let is_known = errors.iter().all(|error| error.message.starts_with("Unknown directive "));
    let draft = if is_known {
        // A plugin that panics at setup must not end a server that runs.
        let built = catch_unwind(AssertUnwindSafe(|| build(&parsed.corefile, plugins, context, predecessor)));
        match built {
            Err(_) => Err(vec![Diagnostic::error("a plugin panicked while it was set up")]),
            Ok(built) => {
                warnings.extend(built.warnings);
                match built.draft {
                    Ok(draft) if errors.is_empty() => Ok(draft),
                    Ok(_) => Err(errors),
                    Err(more) => Err(errors.into_iter().chain(more).collect()),
                }
            }
        }
    } else {
        Err(errors)
    };
    warnings.extend(draft.iter().flat_map(|draft| plain_tls(draft, &parsed.corefile)));
    let sources = parsed.sources;
    let draft =
        draft.map_err(|errors| errors.into_iter().map(|error| tell_of_unset_variables(error, &sources)).collect());
    Examined { draft, warnings, sources, corefile: parsed.corefile }
}

/// Warns of keys that ask for TLS in blocks that say nothing of it: clients find plain TCP there, as with CoreDNS.
fn plain_tls(draft: &Draft, corefile: &Corefile) -> Vec<Diagnostic> {
    let mut warnings = Vec::new();
    for (block, source) in draft.blocks().iter().zip(&corefile.blocks) {
        let keys = block.keys.iter().zip(&block.key_spans);
        for (key, span) in keys.filter(|(key, _)| key.transport == Transport::Tls && source.directive("tls").is_none())
        {
            let warning = Diagnostic::warning(format!("{key} is served without TLS: the server block has no tls"));
            warnings.push(match span {
                Some(span) => warning.with_span(*span),
                None => warning,
            });
        }
    }
    warnings
}

/// Names the variables on the line of an error that are not set: their words are empty, and the error may be about that.
#[must_use]
pub fn tell_of_unset_variables(error: Diagnostic, sources: &SourceMap) -> Diagnostic {
    let line = error.span.map_or("", |span| sources.line_text(span));
    let unset = unset_variables(line, &environment).into_iter();
    unset.fold(error, |error, name| error.with_note(format!("the environment variable {name} is not set")))
}

/// The built-in default, without what this list of plugins does not have.
pub(crate) fn default_of(plugins: &PluginList, default_port: &str) -> Text {
    let names = plugins.names();
    let mut text = built_in(default_port);
    for name in ["whoami", "log"] {
        if !names.contains(&name) {
            text.text = text.text.replace(&format!("{name}\n"), "");
        }
    }
    text
}

fn tell_of_other_builds(diagnostic: Diagnostic, elsewhere: &[&str]) -> Diagnostic {
    let word = diagnostic.message.strip_prefix("Unknown directive '").and_then(|rest| rest.strip_suffix('\''));
    match word.filter(|word| elsewhere.contains(word)).map(str::to_owned) {
        Some(word) => diagnostic
            .with_note(format!("CoreDNS has {word}; this build does not"))
            .with_help("leave the directive out, or use a build that has it"),
        None => diagnostic,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use catena_core::corefile::NoFiles;
    use catena_core::{Clock, Log, Metrics, NoLog};

    use crate::source::Source;
    use crate::system::SystemClock;

    fn look(text: &str) -> Examined {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let context = BuildContext {
            metrics: &Arc::new(Metrics::new()),
            log: &Log::new(Arc::new(NoLog)),
            clock: &clock,
            files: &NoFiles,
            default_port: "53",
            product: "Catena-0.1.0",
        };
        let plugins = PluginList::new([catena_plugin_whoami::PLUGIN]);
        examine(&Source::text(text).load("53").unwrap(), &plugins, &["route53"], &context, None)
    }

    #[test]
    fn mistakes_behind_a_misspelt_directive_are_told_as_well() {
        let told: Vec<String> = errors(". {\n whomai\n whoami x\n}\n").iter().map(Diagnostic::one_line).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].ends_with("Unknown directive 'whomai'"), "{told:?}");
        assert!(told[1].starts_with("plugin/whoami: Corefile:3 - "), "{told:?}");
    }

    fn errors(text: &str) -> Vec<Diagnostic> {
        look(text).draft.err().unwrap_or_default()
    }

    #[test]
    fn a_directive_of_coredns_that_is_not_built_in_is_told_as_such() {
        let found = errors(". {\n route53 x\n}");
        assert_eq!(found[0].one_line(), "Corefile:2 - Error during parsing: Unknown directive 'route53'");
        assert_eq!(found[0].notes(), ["CoreDNS has route53; this build does not"]);
        assert!(errors(". {\n nosuch\n}")[0].notes().is_empty());
    }

    #[test]
    fn a_variable_that_is_not_set_is_named_where_a_line_is_wrong() {
        let named = ["the environment variable CATENA_NO_SUCH is not set"];
        for text in ["{$CATENA_NO_SUCH}:53 {\n whoami\n}", ". {\n whoami {%CATENA_NO_SUCH%}x {$PATH}\n}"] {
            assert_eq!(errors(text)[0].notes(), named, "{text}");
        }
        assert!(errors(". {\n whoami x\n}")[0].notes().is_empty());
    }

    #[test]
    fn a_key_that_asks_for_tls_where_nobody_speaks_it_is_warned_of() {
        let warnings = |text: &str| look(text).warnings.iter().map(Diagnostic::one_line).collect::<Vec<_>>();
        let told = "tls://example.org.:853 is served without TLS: the server block has no tls";
        assert_eq!(warnings("tls://example.org {\n whoami\n}"), [told]);
        assert!(warnings("example.org {\n whoami\n}").is_empty());
    }

    #[test]
    fn a_text_without_blocks_stands_for_the_default_without_what_is_not_built() {
        for text in ["", "# nothing\n", "(a) {\n whoami\n}\n"] {
            let draft = look(text).draft.ok().unwrap();
            assert_eq!(draft.blocks()[0].links.len(), 1);
        }
    }

    #[test]
    fn a_failure_is_the_first_line_and_every_snippet() {
        let looked = look(". {\n nosuch\n other\n}");
        let failure = Failure::of(&looked.draft.err().unwrap(), &looked.sources);
        assert_eq!(failure.line, "Corefile:2 - Error during parsing: Unknown directive 'nosuch'");
        assert_eq!(failure.snippets.len(), 2);
        assert!(failure.whole().contains("--> Corefile:3:2"), "{}", failure.whole());
    }

    #[test]
    fn the_hash_does_not_ask_which_directives_there_are() {
        let text = |text: &str| Source::text(text).load("53").unwrap();
        let one = hash(&text(". {\n nosuch\n}"), &NoFiles).unwrap();
        assert_eq!(one, hash(&text(". {\n nosuch\n} # the same\n"), &NoFiles).unwrap());
        assert_ne!(one, hash(&text("\n. {\n nosuch\n}"), &NoFiles).unwrap());
        assert!(hash(&text(". {\n"), &NoFiles).is_err());
    }
}
