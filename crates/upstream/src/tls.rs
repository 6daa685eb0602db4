//! TLS to upstreams: roots of trust, a certificate of our own, session resumption.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::{ExchangeError, os_text};

/// How many upstreams' sessions are remembered for resumption.
const SESSIONS_MAX: usize = 256;

/// Why TLS cannot be used as configured; prints as CoreDNS does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// More files than a certificate, a key and roots.
    #[error("maximum of three arguments allowed for TLS config, found {0}")]
    TooManyFiles(usize),
    /// The own certificate or its key.
    #[error("could not load TLS cert: {0}")]
    Certificate(String),
    /// A file of roots that cannot be read.
    #[error("error reading {0}: {1}")]
    Unreadable(String, String),
    /// A file of roots without a root.
    #[error("could not read root certs: {0}")]
    Roots(String),
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// How to speak TLS to upstreams: with roots of a file or the system's, with a certificate of our own or none.
pub struct TlsClient {
    roots: Option<RootCertStore>,
    identity: Option<Identity>,
    /// Made when it is first needed, as the system's roots are read then.
    connector: OnceLock<Result<TlsConnector, String>>,
    /// The same for connections that carry HTTP/2.
    http2: OnceLock<Result<TlsConnector, String>>,
}

impl Default for TlsClient {
    fn default() -> Self {
        Self::new(None, None)
    }
}

impl TlsClient {
    fn new(roots: Option<RootCertStore>, identity: Option<Identity>) -> Self {
        Self { roots, identity, connector: OnceLock::new(), http2: OnceLock::new() }
    }

    /// Reads the files of a `tls` property: nothing, roots, certificate and key, or certificate, key and roots.
    /// CoreDNS: plugin/pkg/tls.
    ///
    /// # Errors
    /// More than three files, or what is wrong with one of them.
    pub fn from_files(paths: &[PathBuf], mut read: impl FnMut(&Path) -> io::Result<Vec<u8>>) -> Result<Self, TlsError> {
        let (identity, roots) = match paths {
            [] => (None, None),
            [roots] => (None, Some(roots)),
            [cert, key] => (Some((cert, key)), None),
            [cert, key, roots] => (Some((cert, key)), Some(roots)),
            _ => return Err(TlsError::TooManyFiles(paths.len())),
        };
        let identity = match identity {
            Some((cert, key)) => Some(read_identity(cert, key, &mut read).map_err(TlsError::Certificate)?),
            None => None,
        };
        let roots = match roots {
            Some(path) => Some(read_roots(path, &mut read)?),
            None => None,
        };
        let client = Self::new(roots, identity);
        // With roots of its own nothing is left to the start but this, and a key that does not fit shows now.
        if client.roots.is_some() || client.identity.is_some() {
            client.check_identity().map_err(TlsError::Certificate)?;
        }
        Ok(client)
    }

    fn check_identity(&self) -> Result<(), String> {
        let roots = self.roots.clone().unwrap_or_else(RootCertStore::empty);
        self.finish(builder()?.with_root_certificates(roots)).map(|_| ())
    }

    /// Reads what the system trusts, if need be. To be called before the first query, which otherwise waits for it.
    pub fn prepare(&self) {
        // A failure is told by each connection that needs it.
        let _ = self.connector();
    }

    /// The same for upstreams over HTTPS.
    pub(crate) fn prepare_http2(&self) {
        let _ = self.http2();
    }

    fn connector(&self) -> &Result<TlsConnector, String> {
        self.connector.get_or_init(|| Ok(TlsConnector::from(Arc::new(self.config()?))))
    }

    fn http2(&self) -> &Result<TlsConnector, String> {
        self.http2.get_or_init(|| {
            let mut config = self.config()?;
            config.alpn_protocols = vec![b"h2".to_vec()];
            Ok(TlsConnector::from(Arc::new(config)))
        })
    }

    fn config(&self) -> Result<ClientConfig, String> {
        match &self.roots {
            Some(roots) => self.finish(builder()?.with_root_certificates(roots.clone())),
            None => {
                let verifier = Verifier::new(provider()).map_err(|error| format!("tls: {error}"))?;
                let verifier = Arc::new(verifier);
                self.finish(builder()?.dangerous().with_custom_certificate_verifier(verifier))
            }
        }
    }

    fn finish(
        &self,
        builder: rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>,
    ) -> Result<ClientConfig, String> {
        let mut config = match &self.identity {
            Some((chain, key)) => builder
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(|error| format!("tls: {error}"))?,
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        Ok(config)
    }

    /// Shakes hands on a fresh connection.
    pub(crate) async fn connect(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        name: ServerName<'static>,
        limit: Duration,
    ) -> Result<TlsStream<TcpStream>, ExchangeError> {
        shake(self.connector(), stream, peer, name, limit).await
    }

    /// Shakes hands on a fresh connection that will carry HTTP/2.
    pub(crate) async fn connect_http2(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        name: ServerName<'static>,
        limit: Duration,
    ) -> Result<TlsStream<TcpStream>, ExchangeError> {
        shake(self.http2(), stream, peer, name, limit).await
    }
}

async fn shake(
    connector: &Result<TlsConnector, String>,
    stream: TcpStream,
    peer: SocketAddr,
    name: ServerName<'static>,
    limit: Duration,
) -> Result<TlsStream<TcpStream>, ExchangeError> {
    let connector = connector.as_ref().map_err(ExchangeError::new)?;
    match tokio::time::timeout(limit, connector.connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(ExchangeError::new(handshake_text(&error))),
        Err(_) => Err(ExchangeError::dial("tcp", None, peer, "i/o timeout")),
    }
}

/// The provider is named at every use, so that another one in the process does no harm.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, String> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())
}

fn handshake_text(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "EOF".to_owned();
    }
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(why)) => format!("tls: failed to verify certificate: x509: {why}"),
        Some(rustls::Error::AlertReceived(alert)) => format!("remote error: tls: {alert:?}"),
        Some(other) => format!("tls: {other}"),
        None => os_text(error),
    }
}

fn read_identity(
    cert: &Path,
    key: &Path,
    read: &mut impl FnMut(&Path) -> io::Result<Vec<u8>>,
) -> Result<Identity, String> {
    let mut open = |path: &Path| read(path).map_err(|error| format!("open {}: {}", path.display(), os_text(&error)));
    let (cert_pem, key_pem) = (open(cert)?, open(key)?);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&cert_pem).collect();
    let chain = chain.map_err(|error| format!("tls: {}: {error}", cert.display()))?;
    if chain.is_empty() {
        return Err("tls: failed to find any PEM data in certificate input".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|error| format!("tls: {}: {error}", key.display()))?;
    Ok((chain, key))
}

fn read_roots(path: &Path, read: &mut impl FnMut(&Path) -> io::Result<Vec<u8>>) -> Result<RootCertStore, TlsError> {
    let shown = path.display().to_string();
    let pem = read(path)
        .map_err(|error| TlsError::Unreadable(shown.clone(), format!("open {shown}: {}", os_text(&error))))?;
    let mut roots = RootCertStore::empty();
    // Go skips what it cannot read, as long as one certificate is good.
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
    if roots.is_empty() { Err(TlsError::Roots(format!("no certificate in {shown}"))) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn error(paths: &[&str], contents: &[(&str, Vec<u8>)]) -> String {
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        let read = |path: &Path| {
            let found = contents.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| text.clone()).ok_or_else(|| io::Error::from_raw_os_error(2))
        };
        TlsClient::from_files(&paths, read).err().map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn files_that_are_not_there_are_named() {
        assert_eq!(error(&["ca"], &[]), "error reading ca: open ca: no such file or directory");
        assert_eq!(error(&["cert", "key"], &[]), "could not load TLS cert: open cert: no such file or directory");
        assert_eq!(error(&["a", "b", "c", "d"], &[]), "maximum of three arguments allowed for TLS config, found 4");
    }

    #[test]
    fn files_without_certificates_are_refused() {
        let text = || b"nothing".to_vec();
        assert_eq!(error(&["ca"], &[("ca", text())]), "could not read root certs: no certificate in ca");
        assert_eq!(
            error(&["cert", "key"], &[("cert", text()), ("key", text())]),
            "could not load TLS cert: tls: failed to find any PEM data in certificate input"
        );
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_at_once() {
        let one = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        let two = rcgen::generate_simple_self_signed(["b".to_owned()]).unwrap();
        let (cert, key) = (one.cert.pem().into_bytes(), one.signing_key.serialize_pem().into_bytes());
        assert_eq!(error(&["cert", "key"], &[("cert", cert.clone()), ("key", key)]), "");
        let other = two.signing_key.serialize_pem().into_bytes();
        let refused = error(&["cert", "key"], &[("cert", cert), ("key", other)]);
        assert!(refused.starts_with("could not load TLS cert: tls: "), "{refused}");
    }
}
