//! What plugins do beside answering queries: start and stop work, tell whether they are ready, answer HTTP.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use catena_corefile::{Diagnostic, Span};

use crate::clock::Spawner;
use crate::instance::ListenAddr;

/// Work that begins and ends with the instance.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// Starts. Whatever needs an interface, a look-up, a credential or a cluster happens here and not at setup. Runs in the order
    /// of the plugin list, before queries come in. CoreDNS: `OnStartup`.
    ///
    /// # Errors
    /// A diagnostic ends the start, or the reload, of the instance.
    async fn start(&self, cx: &StartContext<'_>) -> Result<(), Diagnostic> {
        let _ = cx;
        Ok(())
    }

    /// The sockets listen and queries come in.
    async fn serving(&self, cx: &StartContext<'_>) {
        let _ = cx;
    }

    /// The server was told to end; runs before every `shutdown`, while queries are answered. CoreDNS: the event `shutdown`.
    async fn ending(&self) {}

    /// Stops: the instance was replaced, or the server ends. CoreDNS: `OnShutdown`.
    async fn shutdown(&self) {}

    /// The server ends; runs after every `shutdown`, in the order of the plugin list, while queries still are answered. CoreDNS:
    /// `OnFinalShutdown`.
    async fn final_shutdown(&self) {}
}

/// What a starting service can see and use.
pub struct StartContext<'a> {
    /// The addresses on which the service's server block listens, in the order of its keys.
    pub listen: &'a [ListenAddr],
    /// The host's interfaces.
    pub interfaces: &'a dyn Interfaces,
    /// Starts tasks that end with the instance.
    pub spawner: &'a Arc<dyn Spawner>,
    /// Ends the process.
    pub exit: &'a Arc<dyn Exit>,
}

/// The addresses of the host.
pub trait Interfaces: Send + Sync {
    /// Every address with the name of its interface. Link-local IPv6 addresses carry no scope here.
    ///
    /// # Errors
    /// As the operating system gives them.
    fn addresses(&self) -> io::Result<Vec<(String, IpAddr)>>;
}

/// A way to end the process from a plugin.
pub trait Exit: Send + Sync + 'static {
    /// Logs the message as fatal and ends the process with exit code 1.
    fn fatal(&self, plugin: &'static str, message: &str);
}

/// Tells whether a plugin is ready to serve.
pub trait Readiness: Send + Sync + 'static {
    /// Whether queries get right answers now.
    fn ready(&self) -> bool;
}

impl<F: Fn() -> bool + Send + Sync + 'static> Readiness for F {
    fn ready(&self) -> bool {
        self()
    }
}

/// A small HTTP reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpReply {
    /// The status code.
    pub status: u16,
    /// The media type, if the body has one.
    pub content_type: Option<&'static str>,
    /// The body.
    pub body: Vec<u8>,
}

impl HttpReply {
    /// A reply of plain text.
    #[must_use]
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self { status, content_type: Some("text/plain; charset=utf-8"), body: body.into().into_bytes() }
    }
}

/// Answers requests for one path of a side HTTP listener, whatever the method.
pub trait HttpHandler: Send + Sync + 'static {
    /// Makes the reply.
    fn respond(&self) -> HttpReply;
}

impl<F: Fn() -> HttpReply + Send + Sync + 'static> HttpHandler for F {
    fn respond(&self) -> HttpReply {
        self()
    }
}

/// What happens when a side HTTP listener's address cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindFailure {
    /// The start fails.
    Fatal,
    /// An ERROR line without a plugin's name: this text, a colon, the reason.
    Log(&'static str),
    /// Nothing is said.
    Silent,
}

/// When a side HTTP listener closes at the end of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteClose {
    /// Before the plugin's `final_shutdown`.
    Before,
    /// After it.
    After,
}

/// What a side HTTP listener with TLS asks of its clients' certificates. The names are those of Go's `crypto/tls`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// Nothing. `NoClientCert`.
    #[default]
    None,
    /// One is asked for, none need be given, none is verified. `RequestClientCert`.
    Request,
    /// One must be given, none is verified. `RequireAnyClientCert`.
    RequireAny,
    /// None need be given; one that is given is verified. `VerifyClientCertIfGiven`.
    VerifyIfGiven,
    /// One must be given and is verified. `RequireAndVerifyClientCert`.
    RequireAndVerify,
}

/// The versions of TLS that a side HTTP listener speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersions {
    /// 1.2 and 1.3.
    #[default]
    Both,
    /// 1.2 alone.
    Only12,
    /// 1.3 alone.
    Only13,
}

/// How a side HTTP listener speaks TLS.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpTls {
    /// The certificate and what leads from it to its root, PEM.
    pub chain: Vec<u8>,
    /// The certificate's private key, PEM. It is not shown by `Debug`.
    pub key: Vec<u8>,
    /// What is asked of clients.
    pub client_auth: ClientAuth,
    /// The roots against which clients' certificates are verified, PEM; empty unless `client_auth` verifies.
    pub client_roots: Vec<u8>,
    /// The versions spoken.
    pub versions: TlsVersions,
}

impl fmt::Debug for HttpTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTls")
            .field("chain_octets", &self.chain.len())
            .field("client_auth", &self.client_auth)
            .field("client_roots_octets", &self.client_roots.len())
            .field("versions", &self.versions)
            .finish_non_exhaustive()
    }
}

/// A path of a side HTTP listener. Sites with equal addresses share a listener; the first to claim a path keeps it.
#[derive(Clone)]
pub struct HttpSite {
    /// The plugin that wants it.
    pub plugin: &'static str,
    /// `HOST:PORT`, the host may be empty.
    pub addr: String,
    /// The path, such as `/health`.
    pub path: &'static str,
    /// What answers.
    pub handler: Arc<dyn HttpHandler>,
    /// How the listener speaks TLS, if it does. Of sites with equal addresses the first one's counts.
    pub tls: Option<HttpTls>,
    /// What happens when the address cannot be had.
    pub on_failure: BindFailure,
    /// When the listener closes at the end.
    pub close: SiteClose,
    /// Where the Corefile asks for it.
    pub span: Option<Span>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn debug_output_does_not_show_the_key() {
        let tls = HttpTls {
            chain: b"certificate".to_vec(),
            key: b"secret".to_vec(),
            client_auth: ClientAuth::None,
            client_roots: Vec::new(),
            versions: TlsVersions::Both,
        };
        assert_eq!(
            format!("{tls:?}"),
            "HttpTls { chain_octets: 11, client_auth: None, client_roots_octets: 0, versions: Both, .. }"
        );
    }
}
