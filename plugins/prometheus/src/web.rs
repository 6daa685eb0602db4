//! The web configuration file that `tls` names: the format of Prometheus' exporter-toolkit, as far as it is about TLS.

mod yaml;

use std::io;
use std::path::Path;

use catena_core::{ClientAuth, HttpTls, TlsVersions};
use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use self::yaml::{Fault, Setting, settings};

/// What the file comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Web {
    /// There is no such file.
    Missing,
    /// It says nothing of TLS: plain HTTP, as with CoreDNS.
    Plain,
    /// TLS.
    Tls(HttpTls),
}

/// Reads the file and those that it names, which are relative to its folder. exporter-toolkit: `web/tls_config.go`.
///
/// # Errors
/// What is wrong, with the file and, where it is known, the line.
pub(crate) fn read(path: &Path, mut open: impl FnMut(&Path) -> io::Result<Vec<u8>>) -> Result<Web, String> {
    let shown = path.display();
    let octets = match open(path) {
        Ok(octets) => octets,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Web::Missing),
        Err(error) => return Err(format!("open {shown}: {}", reason(&error))),
    };
    let text = std::str::from_utf8(&octets).map_err(|_| format!("{shown}: not UTF-8"))?;
    let at = |fault: Fault| format!("{shown}:{}: {}", fault.line, fault.message);
    let mut wanted = Wanted::default();
    for setting in settings(text).map_err(at)? {
        wanted.take(setting).map_err(at)?;
    }
    if wanted.is_empty() {
        return Ok(Web::Plain);
    }
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    wanted.load(folder, &mut open).map(Web::Tls).map_err(|fault| format!("{shown}: {fault}"))
}

/// An error of the system in Go's words.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Version {
    Tls12,
    Tls13,
}

/// `tls_server_config` as it is written. Empty texts count as absent, as in Go.
#[derive(Default)]
struct Wanted {
    cert: String,
    cert_file: String,
    key: String,
    key_file: String,
    client_ca: String,
    client_ca_file: String,
    client_auth: Option<ClientAuth>,
    min: Option<Version>,
    max: Option<Version>,
}

impl Wanted {
    fn take(&mut self, setting: Setting) -> Result<(), Fault> {
        let Setting { name, value, line } = setting;
        let fault = |message: String| Err(Fault { line, message });
        let version = |value: &str| version(value).map_err(|message| Fault { line, message });
        match name.as_str() {
            "cert" => self.cert = value,
            "cert_file" => self.cert_file = value,
            "key" => self.key = value,
            "key_file" => self.key_file = value,
            "client_ca" => self.client_ca = value,
            "client_ca_file" => self.client_ca_file = value,
            "client_auth_type" => match client_auth(&value) {
                Some(asked) => self.client_auth = asked,
                None => return fault(format!("invalid ClientAuth: {value}")),
            },
            "min_version" => self.min = Some(version(&value)?),
            "max_version" => self.max = Some(version(&value)?),
            // Go has not heeded it since 1.18; there is nothing to choose here either.
            "prefer_server_cipher_suites" => match value.as_str() {
                "true" | "false" => {}
                _ => return fault(format!("{name} is true or false, not {value}")),
            },
            _ => return fault(format!("field {name} not found in tls_server_config")),
        }
        if self.min > self.max && self.max.is_some() {
            return fault("min_version is above max_version".to_owned());
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        let texts = [&self.cert, &self.cert_file, &self.key, &self.key_file, &self.client_ca, &self.client_ca_file];
        self.client_auth.is_none() && texts.iter().all(|text| text.is_empty())
    }

    fn load(&self, folder: &Path, open: &mut impl FnMut(&Path) -> io::Result<Vec<u8>>) -> Result<HttpTls, String> {
        let mut contents = |name: &str, file: &str, text: &str| {
            if file.is_empty() {
                return Ok(text.as_bytes().to_vec());
            }
            let path = folder.join(file);
            let shown = path.display();
            open(&path).map_err(|error| format!("failed to read {name} ({shown}): open {shown}: {}", reason(&error)))
        };
        if self.cert_file.is_empty() && self.cert.is_empty() {
            return Err("missing one of cert or cert_file".to_owned());
        }
        if self.key_file.is_empty() && self.key.is_empty() {
            return Err("missing one of key or key_file".to_owned());
        }
        let chain = contents("cert_file", &self.cert_file, &self.cert)?;
        let key = contents("key_file", &self.key_file, &self.key)?;
        check_pair(&chain, &key).map_err(|reason| format!("failed to load X509KeyPair: tls: {reason}"))?;
        let client_roots = contents("client_ca_file", &self.client_ca_file, &self.client_ca)?;
        let client_auth = self.client_auth.unwrap_or_default();
        check_roots(client_auth, &client_roots)?;
        let versions = match (self.min, self.max) {
            (Some(Version::Tls13), _) => TlsVersions::Only13,
            (_, Some(Version::Tls12)) => TlsVersions::Only12,
            _ => TlsVersions::Both,
        };
        Ok(HttpTls { chain, key, client_auth, client_roots, versions })
    }
}

/// What a `client_auth_type` means; the inner `None` is that of an empty one.
fn client_auth(name: &str) -> Option<Option<ClientAuth>> {
    Some(Some(match name {
        "" => return Some(None),
        "NoClientCert" => ClientAuth::None,
        "RequestClientCert" => ClientAuth::Request,
        // The second one is an older name.
        "RequireAnyClientCert" | "RequireClientCert" => ClientAuth::RequireAny,
        "VerifyClientCertIfGiven" => ClientAuth::VerifyIfGiven,
        "RequireAndVerifyClientCert" => ClientAuth::RequireAndVerify,
        _ => return None,
    }))
}

fn version(name: &str) -> Result<Version, String> {
    match name {
        "TLS12" => Ok(Version::Tls12),
        "TLS13" => Ok(Version::Tls13),
        "TLS10" | "TLS11" => Err(format!("{name} is not supported: the versions are TLS12 and TLS13")),
        _ => Err(format!("unknown TLS version: {name}")),
    }
}

fn check_pair(chain: &[u8], key: &[u8]) -> Result<(), String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let chain = chain.map_err(|error| format!("certificate: {error}"))?;
    if chain.is_empty() {
        return Err("failed to find any PEM data in certificate input".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("key: {error}"))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map(drop).map_err(|error| error.to_string())
}

fn check_roots(client_auth: ClientAuth, roots: &[u8]) -> Result<(), String> {
    let verifies = matches!(client_auth, ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify);
    if roots.is_empty() {
        return if verifies {
            Err("client_auth_type verifies and there is no client_ca_file".to_owned())
        } else {
            Ok(())
        };
    }
    if client_auth == ClientAuth::None {
        return Err("client CA's have been configured without a Client Auth Policy".to_owned());
    }
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(CertificateDer::pem_slice_iter(roots).flatten());
    if store.is_empty() { Err("there is no certificate in client_ca_file".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
