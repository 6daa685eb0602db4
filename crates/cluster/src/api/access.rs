//! How to reach the API: in the cluster, by a kubeconfig, or by its URL.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::Uri;
use hyper::header::{HeaderValue, USER_AGENT};
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::limit::{Limiter, Limits};
use super::request::innermost;

/// The three files of `tls CERT KEY CACERT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The client's certificate, PEM.
    pub certificate: PathBuf,
    /// The client's key, PEM.
    pub key: PathBuf,
    /// The authority that the server's certificate comes from, PEM.
    pub authority: PathBuf,
}

/// How to reach the API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Access {
    /// As a pod of the cluster: address from the environment, token and authority from the service account.
    #[default]
    InCluster,
    /// As a kubeconfig says, in the given or else its current context.
    Kubeconfig {
        /// The file.
        file: PathBuf,
        /// The context.
        context: Option<String>,
    },
    /// At a URL.
    Endpoint {
        /// `http://` or `https://`, host and port; a bare host and port mean `http`, as for client-go.
        url: String,
        /// Credentials.
        tls: Option<TlsFiles>,
    },
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The environment or the service account's files are missing; client-go's words.
    #[error(
        "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined"
    )]
    NotInCluster,
    /// The service account's files cannot be read.
    #[error("unable to load in-cluster configuration: {0}")]
    InCluster(String),
    /// The kubeconfig cannot be read, or lacks the context.
    #[error("{file}: {reason}")]
    Kubeconfig {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The URL is none.
    #[error("invalid endpoint '{url}': {reason}")]
    Endpoint {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The credentials cannot be used.
    #[error("failed to create kubernetes notification controller: {0}")]
    Client(String),
}

/// A client, and the host that it talks to.
#[derive(Clone)]
pub struct Api {
    pub(super) client: Client,
    pub(super) host: String,
    pub(super) limiter: Arc<Limiter>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Api {
    /// From a client that exists already.
    pub fn new(client: Client, host: &str) -> Self {
        Self { client, host: host.to_owned(), limiter: Arc::new(Limiter::new(Limits::default())) }
    }

    /// Keeps requests within bounds, from now on.
    #[must_use]
    pub fn limited(self, limits: Limits) -> Self {
        Self { limiter: Arc::new(Limiter::new(limits)), ..self }
    }
}

impl Access {
    /// Checks what can be checked without a file, the network or a credential.
    ///
    /// # Errors
    /// The endpoint's URL is malformed.
    pub fn check(&self) -> Result<(), ClientError> {
        match self {
            Self::Endpoint { url, .. } => uri(url).map(|_| ()),
            Self::InCluster | Self::Kubeconfig { .. } => Ok(()),
        }
    }

    /// The files that the configuration names for it.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let (kubeconfig, tls) = match self {
            Self::InCluster => (None, None),
            Self::Kubeconfig { file, .. } => (Some(file), None),
            Self::Endpoint { tls, .. } => (None, tls.as_ref()),
        };
        let tls = tls.into_iter().flat_map(|tls| [&tls.certificate, &tls.key, &tls.authority]);
        kubeconfig.into_iter().chain(tls).map(PathBuf::as_path)
    }

    /// Makes a client; reads files, asks nobody. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The environment, a file or a credential is missing or malformed.
    pub async fn client(&self) -> Result<Api, ClientError> {
        let mut config = self.config().await?;
        config.headers.push((USER_AGENT, user_agent()));
        // The follower waits by itself, and says so in the log once.
        config.default_retry = false;
        let host = config.cluster_url.authority().map(ToString::to_string).unwrap_or_default();
        let client = Client::try_from(config).map_err(|error| ClientError::Client(innermost(&error)))?;
        Ok(Api::new(client, &host))
    }

    async fn config(&self) -> Result<Config, ClientError> {
        match self {
            Self::InCluster => in_cluster(),
            Self::Kubeconfig { file, context } => {
                let broken = |reason: String| ClientError::Kubeconfig { file: file.display().to_string(), reason };
                let read = Kubeconfig::read_from(file).map_err(|error| broken(reason(&error)))?;
                let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
                Config::from_custom_kubeconfig(read, &options).await.map_err(|error| broken(reason(&error)))
            }
            Self::Endpoint { url, tls } => {
                let mut config = Config::new(uri(url)?);
                if let Some(tls) = tls {
                    config.root_cert_file = Some(tls.authority.clone());
                    config.auth_info.client_certificate = Some(tls.certificate.display().to_string());
                    config.auth_info.client_key = Some(tls.key.display().to_string());
                }
                Ok(config)
            }
        }
    }
}

/// Why a kubeconfig cannot be used, in one line: the library draws the place in it too, and numbers the system's errors.
fn reason(error: &KubeconfigError) -> String {
    let text = match error {
        KubeconfigError::LoadContext(name) => format!("context {name:?} does not exist"),
        _ => innermost(error),
    };
    let line = text.lines().next().unwrap_or_default();
    line.split_once(" (os error").map_or(line, |(words, _)| words).to_owned()
}

fn in_cluster() -> Result<Config, ClientError> {
    if ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"]
        .iter()
        .any(|name| std::env::var_os(name).is_none_or(|value| value.is_empty()))
    {
        return Err(ClientError::NotInCluster);
    }
    Config::incluster_env().map_err(|error| ClientError::InCluster(error.to_string()))
}

fn uri(url: &str) -> Result<Uri, ClientError> {
    let broken = |reason: &str| ClientError::Endpoint { url: url.to_owned(), reason: reason.to_owned() };
    let full = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let uri: Uri = full.parse().map_err(|error: hyper::http::uri::InvalidUri| broken(&error.to_string()))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(uri),
        (Some("http" | "https"), _) => Err(broken("no host")),
        _ => Err(broken("the scheme must be http or https")),
    }
}

/// `Catena/VERSION (linux/amd64)`, in the form of client-go's.
fn user_agent() -> HeaderValue {
    HeaderValue::from_static(const_agent())
}

const fn const_agent() -> &'static str {
    if cfg!(target_arch = "x86_64") {
        concat!("Catena/", env!("CARGO_PKG_VERSION"), " (linux/amd64)")
    } else if cfg!(target_arch = "aarch64") {
        concat!("Catena/", env!("CARGO_PKG_VERSION"), " (linux/arm64)")
    } else {
        concat!("Catena/", env!("CARGO_PKG_VERSION"), " (linux)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn endpoint(url: &str) -> Access {
        Access::Endpoint { url: url.to_owned(), tls: None }
    }

    #[test]
    fn an_endpoint_has_to_be_a_url() {
        assert!(endpoint("http://127.0.0.1:8080").check().is_ok());
        assert!(endpoint("127.0.0.1:8080").check().is_ok());
        assert!(endpoint("https://kubernetes.example.org").check().is_ok());
        for bad in ["http://", "ftp://example.org", "http://exa mple", ""] {
            assert!(matches!(endpoint(bad).check(), Err(ClientError::Endpoint { .. })), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_missing_kubeconfig_is_an_error_with_its_name() {
        let access = Access::Kubeconfig { file: "/nonexistent/config".into(), context: None };
        assert!(access.check().is_ok());
        let error = access.client().await.unwrap_err().to_string();
        assert_eq!(error, "/nonexistent/config: No such file or directory");
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_kubeconfig_is_told_in_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        for (text, told) in [
            ("hello", "failed to parse kubeconfig YAML: error: line 1 column 1: expected mapping start"),
            ("apiVersion: v1\nkind: Config\ncurrent-context: a\n", "context \"other\" does not exist"),
        ] {
            std::fs::write(&file, text).unwrap();
            let access = Access::Kubeconfig { file: file.clone(), context: Some("other".to_owned()) };
            let error = access.client().await.unwrap_err().to_string();
            assert_eq!(error, format!("{}: {told}", file.display()));
        }
    }

    #[tokio::test]
    async fn missing_client_files_are_an_error() {
        let tls = TlsFiles {
            certificate: "/nonexistent/c".into(),
            key: "/nonexistent/k".into(),
            authority: "/nonexistent/a".into(),
        };
        let access = Access::Endpoint { url: "https://127.0.0.1:1".to_owned(), tls: Some(tls) };
        assert!(matches!(access.client().await, Err(ClientError::Client(_))));
    }
}
