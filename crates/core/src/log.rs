//! Log lines: `[LEVEL] plugin/NAME: message`, written by whoever runs the server.

use std::fmt::{self, Arguments};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How grave a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Only shown where `debug` is in the Corefile.
    Debug,
    /// What happens.
    Info,
    /// What an operator should look at.
    Warning,
    /// What failed.
    Error,
    /// What ends the process.
    Fatal,
}

impl Level {
    /// The word between the brackets.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }
}

/// Where lines go.
pub trait LogSink: Send + Sync + 'static {
    /// Writes one line.
    fn line(&self, level: Level, plugin: Option<&str>, message: &Arguments<'_>);
}

/// A sink that forgets everything.
pub struct NoLog;

impl LogSink for NoLog {
    fn line(&self, _: Level, _: Option<&str>, _: &Arguments<'_>) {}
}

/// A handle for writing lines under a plugin's name. Cheap to clone.
#[derive(Clone)]
pub struct Log {
    sink: Arc<dyn LogSink>,
    plugin: Option<&'static str>,
    debug: Arc<AtomicBool>,
}

impl Log {
    /// A log without a plugin's name.
    #[must_use]
    pub fn new(sink: Arc<dyn LogSink>) -> Self {
        Self { sink, plugin: None, debug: Arc::new(AtomicBool::new(false)) }
    }

    /// The same log with a plugin's name before each line.
    #[must_use]
    pub fn of(&self, plugin: &'static str) -> Self {
        Self { plugin: Some(plugin), ..self.clone() }
    }

    /// The same log without a plugin's name, for lines that CoreDNS writes so.
    #[must_use]
    pub fn without_plugin(&self) -> Self {
        Self { plugin: None, ..self.clone() }
    }

    /// The same sink with a debug switch of its own.
    #[must_use]
    pub fn for_instance(&self) -> Self {
        Self { debug: Arc::new(AtomicBool::new(false)), ..self.clone() }
    }

    /// Whether DEBUG lines are written.
    #[must_use]
    pub fn is_debug(&self) -> bool {
        self.debug.load(Ordering::Relaxed)
    }

    /// Turns DEBUG lines on for all handles of the instance.
    pub fn turn_debug_on(&self) {
        self.debug.store(true, Ordering::Relaxed);
    }

    /// Writes a line of any level.
    pub fn line(&self, level: Level, message: impl fmt::Display) {
        if level > Level::Debug || self.is_debug() {
            self.sink.line(level, self.plugin, &format_args!("{message}"));
        }
    }

    /// Writes an INFO line without a plugin's name: what the query log is.
    pub fn bare(&self, message: impl fmt::Display) {
        self.sink.line(Level::Info, None, &format_args!("{message}"));
    }

    /// Writes a DEBUG line, if they are on.
    pub fn debug(&self, message: impl fmt::Display) {
        self.line(Level::Debug, message);
    }

    /// Writes an INFO line.
    pub fn info(&self, message: impl fmt::Display) {
        self.line(Level::Info, message);
    }

    /// Writes a WARNING line.
    pub fn warning(&self, message: impl fmt::Display) {
        self.line(Level::Warning, message);
    }

    /// Writes an ERROR line.
    pub fn error(&self, message: impl fmt::Display) {
        self.line(Level::Error, message);
    }
}
