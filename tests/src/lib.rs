//! Replays recorded answers of CoreDNS against a server binary.
//!
//! A case (`conformance/FAMILY/NAME.yaml`) stages a server with files, scripted upstreams and a fake Kubernetes API,
//! performs steps, and compares what it sees with the recording beside it (`NAME.golden.yaml`).

#![allow(clippy::disallowed_methods, reason = "a test client keeps its own time and its own tasks")]

pub mod answers;
pub mod api;
#[cfg(test)]
mod api_tests;
pub mod binary;
pub mod case;
pub mod client;
pub mod cluster;
pub mod compare;
#[cfg(test)]
mod compare_tests;
pub mod http;
pub mod lists;
pub mod message;
pub mod names;
pub mod options;
pub mod peer;
pub mod process;
pub mod proxy;
pub mod query;
pub mod run;
mod steps;
pub mod text;
pub mod tls;
pub mod upstream;
pub mod value;

/// What ends a case before its steps do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The case itself is wrong, as opposed to the server under test.
    #[error("the case is wrong: {0}")]
    Case(String),
    /// The case cannot go on.
    #[error("{0}")]
    Failed(String),
    /// A file, a socket or a process of the harness.
    #[error("the harness stumbled: {0}")]
    Io(#[from] std::io::Error),
}

impl Error {
    /// The same, with the place where it happened.
    #[must_use]
    pub fn within(self, place: &str) -> Self {
        match self {
            Self::Case(text) => Self::Case(format!("{place}: {text}")),
            Self::Failed(text) => Self::Failed(format!("{place}: {text}")),
            Self::Io(err) => Self::Io(err),
        }
    }
}
