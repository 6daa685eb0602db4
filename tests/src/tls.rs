//! Certificates of a case, and TLS on both sides of a connection.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::Error;
use crate::value::Value;

fn wrong(err: impl std::fmt::Display) -> Error {
    Error::Failed(format!("certificates: {err}"))
}

/// Writes `ca.pem`, and `NAME.pem` with `NAME.key` signed by it for each `NAME: [DNS:…, IP:…]` of `certs:`.
///
/// # Errors
/// When a name is none, or a file cannot be written.
pub fn write_certificates(certs: &Value, folder: &Path) -> Result<(), Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "conformance-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().map_err(wrong)?).map_err(wrong)?;
    std::fs::write(folder.join("ca.pem"), issuer.pem())?;
    for (name, alternatives) in certs.entries() {
        let mut names: Vec<String> = alternatives.items().iter().filter_map(|one| bare(one.as_str()?)).collect();
        if names.is_empty() {
            names = vec!["localhost".into(), "127.0.0.1".into()];
        }
        let mut params = CertificateParams::new(names).map_err(wrong)?;
        params.distinguished_name.push(DnType::CommonName, name.as_str());
        let key = KeyPair::generate().map_err(wrong)?;
        let certificate = params.signed_by(&key, &issuer).map_err(wrong)?;
        std::fs::write(folder.join(format!("{name}.pem")), certificate.pem())?;
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem())?;
    }
    Ok(())
}

/// The name of `DNS:NAME` or `IP:ADDRESS`.
fn bare(alternative: &str) -> Option<String> {
    alternative.split_once(':').map(|(_, name)| name.to_owned())
}

/// Accepts connections with `NAME.pem` and `NAME.key` of the folder.
///
/// # Errors
/// When the files are missing or are no such things.
pub fn acceptor(folder: &Path, name: &str) -> Result<TlsAcceptor, Error> {
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_file_iter(folder.join(format!("{name}.pem"))).map_err(wrong)?.collect();
    let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key"))).map_err(wrong)?;
    let config =
        ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(wrong)?;
    let config = config.with_no_client_auth().with_single_cert(chain.map_err(wrong)?, key).map_err(wrong)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Connects as a DNS-over-TLS client: against the given authority, or believing everybody.
///
/// # Errors
/// When the authority's file is missing or is no such thing.
pub fn connector(authority: Option<&Path>) -> Result<TlsConnector, Error> {
    let builder =
        ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(wrong)?;
    let mut config = match authority {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(path).map_err(wrong)?).map_err(wrong)?;
            builder.with_root_certificates(roots).with_no_client_auth()
        }
        None => {
            let everybody = Arc::new(Everybody(provider()));
            builder.dangerous().with_custom_certificate_verifier(everybody).with_no_client_auth()
        }
    };
    config.alpn_protocols = vec![b"dot".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The name that a certificate must be for.
///
/// # Errors
/// When it is no name.
pub fn server_name(name: &str) -> Result<ServerName<'static>, Error> {
    ServerName::try_from(name.to_owned()).map_err(wrong)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Believes every certificate: cases that do not name the server test something else.
#[derive(Debug)]
struct Everybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Everybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
