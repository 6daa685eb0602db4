//! Where the configuration comes from, at the start and whenever it is looked at again.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use catena_core::corefile::{SOURCE_BYTES_MAX, decode};

use crate::go_error;
use crate::live::LiveSource;
use crate::load::Failure;
use crate::system::read_bounded;

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "Corefile";

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file that must be there: a Corefile, or a ConfigMap manifest that holds one. The path is shown as given.
    File(PathBuf),
    /// `Corefile` in the working directory, or the built-in default if there is none.
    Default,
    /// A text that does not change, such as what came on standard input.
    Text {
        /// The name that messages show.
        name: String,
        /// A path whose directory imports are relative to.
        path: PathBuf,
        /// The text.
        text: String,
    },
    /// What tells by itself when it has changed, such as a ConfigMap that is followed.
    Live(Arc<dyn LiveSource>),
}

/// A configuration as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The name that messages show.
    pub name: String,
    /// The absolute path of the file; imports are relative to its directory.
    pub path: PathBuf,
    /// The text: a Corefile or a ConfigMap manifest.
    pub text: String,
    /// Whether it is the built-in default, for want of a file.
    pub built_in: bool,
    /// Files that stand beside it and nowhere else, by name: the other keys of a ConfigMap.
    pub beside: Arc<BTreeMap<String, String>>,
}

impl Source {
    /// A text that is given at once.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { name: DEFAULT_FILE.to_owned(), path: absolute(Path::new(DEFAULT_FILE)), text: text.into() }
    }

    /// What came on standard input.
    #[must_use]
    pub fn stdin(text: impl Into<String>) -> Self {
        Self::Text { name: "/dev/stdin".to_owned(), path: PathBuf::from("/dev/stdin"), text: text.into() }
    }

    /// The source itself, if it is a live one.
    pub(crate) fn live(&self) -> Option<&Arc<dyn LiveSource>> {
        match self {
            Self::Live(live) => Some(live),
            Self::File(_) | Self::Default | Self::Text { .. } => None,
        }
    }

    /// Waits until the source says that it has changed; those that are not live never do.
    pub(crate) async fn changed(&self) {
        match self.live() {
            Some(live) => live.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Tells a live source what became of what it gave.
    pub(crate) async fn told(&self, outcome: Result<(), &Failure>) {
        if let Some(live) = self.live() {
            live.told(outcome).await;
        }
    }

    /// Reads the configuration. `default_port` goes into the built-in default.
    ///
    /// # Errors
    /// Why the file cannot be read, in CoreDNS's words.
    pub fn load(&self, default_port: &str) -> Result<Text, String> {
        match self {
            Self::File(path) => read(path).map_err(|error| failure(path, &error)),
            Self::Default => match read(Path::new(DEFAULT_FILE)) {
                Ok(text) => Ok(text),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(built_in(default_port)),
                Err(error) => Err(failure(Path::new(DEFAULT_FILE), &error)),
            },
            Self::Text { name, path, text } => {
                let (name, path, text) = (name.clone(), path.clone(), text.clone());
                Ok(Text { name, path, text, built_in: false, beside: Arc::default() })
            }
            Self::Live(live) => live.load(),
        }
    }
}

/// What runs without a Corefile, and with one that has no server blocks. CoreDNS: `DefaultInput`.
#[must_use]
pub fn built_in(default_port: &str) -> Text {
    Text {
        name: DEFAULT_FILE.to_owned(),
        path: absolute(Path::new(DEFAULT_FILE)),
        text: format!(".:{default_port} {{\nwhoami\nlog\n}}\n"),
        built_in: true,
        beside: Arc::default(),
    }
}

fn read(path: &Path) -> io::Result<Text> {
    let contents = read_bounded(path, SOURCE_BYTES_MAX as u64)?;
    Ok(Text {
        name: path.to_string_lossy().into_owned(),
        path: absolute(path),
        text: decode(&contents),
        built_in: false,
        beside: Arc::default(),
    })
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

fn failure(path: &Path, error: &io::Error) -> String {
    let call = if error.kind() == io::ErrorKind::IsADirectory { "read" } else { "open" };
    format!("{call} {}: {}", path.display(), go_error(error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_file_is_read_anew_each_time_and_keeps_its_name_as_given() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("my.conf");
        let source = Source::File(path.clone());
        let error = source.load("53").unwrap_err();
        assert_eq!(error, format!("open {}: no such file or directory", path.display()));
        std::fs::write(&path, ".\n").unwrap();
        assert_eq!(source.load("53").unwrap().text, ".\n");
        std::fs::write(&path, "example.org\n").unwrap();
        let text = source.load("53").unwrap();
        assert_eq!((text.text.as_str(), text.name.as_str()), ("example.org\n", path.to_str().unwrap()));
    }

    #[test]
    fn a_directory_is_no_configuration() {
        assert_eq!(Source::File("/".into()).load("53").unwrap_err(), "read /: is a directory");
    }

    #[test]
    fn standard_input_imports_from_dev() {
        let text = Source::stdin(". {\n}").load("53").unwrap();
        assert_eq!((text.name.as_str(), text.path.parent()), ("/dev/stdin", Some(Path::new("/dev"))));
        assert!(!text.built_in);
    }

    #[test]
    fn the_built_in_default_answers_on_the_default_port() {
        assert!(built_in("1053").text.starts_with(".:1053 {"));
    }
}
