//! What the `prometheus` directive says.

use catena_core::Span;
use catena_core::prelude::*;
use catena_gocompat::address::listen_address;

/// Where metrics are shown, if the Corefile does not say.
const ADDR: &str = "localhost:9153";
const ONCE: &str = "this plugin can only be used once per Server Block";

/// The directive as a whole. CoreDNS: plugin/metrics.
#[derive(Debug)]
pub(crate) struct Config {
    /// `HOST:PORT` of the metrics page.
    pub(crate) addr: String,
    /// Where the Corefile names it.
    pub(crate) span: Option<Span>,
    /// Where the Corefile asks for metrics of Go's runtime.
    pub(crate) runtime_metrics: Option<Span>,
    /// The web configuration file.
    pub(crate) tls: Option<WebFile>,
}

/// A web configuration file as the Corefile names it.
#[derive(Debug)]
pub(crate) struct WebFile {
    /// The path; relative ones are below the working directory, whatever `root` says.
    pub(crate) path: String,
    /// Where the Corefile names it.
    pub(crate) span: Option<Span>,
}

impl Config {
    /// Reads every occurrence of the directive; there may be only one.
    pub(crate) fn parse(mut words: Cursor<'_>) -> Result<Self, Diagnostic> {
        let mut config = Self { addr: ADDR.to_owned(), span: None, runtime_metrics: None, tls: None };
        let mut times = 0;
        while words.next() {
            if times > 0 {
                return Err(words.plain_err(ONCE));
            }
            times += 1;
            config.span = words.span();
            if let Some(addr) = listen_address(&mut words)? {
                config.addr = addr.text.to_string();
                config.span = Some(addr.span);
            }
            while words.next_block() {
                config.property(&mut words)?;
            }
        }
        Ok(config)
    }

    fn property(&mut self, words: &mut Cursor<'_>) -> Result<(), Diagnostic> {
        match words.val() {
            "runtime_metrics" => {
                self.runtime_metrics = words.span();
                if words.remaining_args().is_empty() { Ok(()) } else { Err(words.arg_err()) }
            }
            "tls" if self.tls.is_some() => Err(words.err("tls block already specified")),
            "tls" => match words.remaining_args()[..] {
                [path] => {
                    self.tls = Some(WebFile { path: path.to_owned(), span: words.span() });
                    Ok(())
                }
                _ => Err(words.arg_err()),
            },
            other => {
                let error = words.err(format!("unknown option: {other}"));
                Err(words.with_nearest(error, &["runtime_metrics", "tls"]))
            }
        }
    }
}
