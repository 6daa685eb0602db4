//! DNS over HTTPS to an upstream (RFC 8484): one HTTP/2 connection, shared by all workers, on which many queries are under way at once.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use catena_core::{Clock, Spawner};
use domain::utils::base64;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tokio::sync::{Mutex, oneshot};
use tokio::time::timeout;

use crate::dial;
use crate::error::ExchangeError;
use crate::pool::Lifetimes;
use crate::tls::TlsClient;

/// The media type of DNS messages (RFC 8484 section 6).
const MEDIA_TYPE: &str = "application/dns-message";
/// The path that is asked, as in CoreDNS.
const PATH: &str = "/dns-query";
/// The most octets of a reply.
const BODY_OCTETS_MAX: usize = 65_535;

/// How a query stands in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DohMethod {
    /// As the body.
    #[default]
    Post,
    /// In the URI, so that caches between here and there can keep replies.
    Get,
}

/// A server that is spoken to over HTTPS.
pub(crate) struct Doh {
    tls: Arc<TlsClient>,
    name: ServerName<'static>,
    /// Host and port, as requests name them.
    authority: String,
    method: DohMethod,
    /// Held while a connection is made, so that queries which need one make one and not many.
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    sender: SendRequest<Full<Bytes>>,
    created: Instant,
    used: Instant,
}

/// Where a connection goes to, and how long making it may take.
pub(crate) struct Way<'a> {
    pub(crate) peer: SocketAddr,
    pub(crate) source: Option<IpAddr>,
    pub(crate) dial_limit: Duration,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) spawner: &'a Arc<dyn Spawner>,
}

impl Doh {
    pub(crate) fn new(tls: Arc<TlsClient>, name: ServerName<'static>, authority: String, method: DohMethod) -> Self {
        Self { tls, name, authority, method, kept: Mutex::new(None) }
    }

    pub(crate) fn tls(&self) -> &TlsClient {
        &self.tls
    }

    /// Sends a message and waits for the one that comes back.
    pub(crate) async fn exchange(
        &self,
        way: &Way<'_>,
        message: &[u8],
        limit: Duration,
    ) -> Result<Bytes, ExchangeError> {
        let request = self.request(message)?;
        let mut sender = self.sender(way).await?;
        let asked = async {
            let fail = |error: hyper::Error| ExchangeError::new(format!("https://{}: {error}", self.authority));
            sender.ready().await.map_err(fail)?;
            let response = sender.send_request(request).await.map_err(fail)?;
            if response.status() != StatusCode::OK {
                let status = response.status();
                return Err(ExchangeError::new(format!("https://{}: unexpected status {status}", self.authority)));
            }
            let body = Limited::new(response.into_body(), BODY_OCTETS_MAX).collect().await;
            let body = body.map_err(|error| ExchangeError::new(format!("https://{}: {error}", self.authority)))?;
            Ok(body.to_bytes())
        };
        let late = || ExchangeError::new(format!("https://{}: i/o timeout", self.authority));
        timeout(limit, asked).await.unwrap_or_else(|_| Err(late()))
    }

    fn request(&self, message: &[u8]) -> Result<Request<Full<Bytes>>, ExchangeError> {
        let (method, uri, body) = match self.method {
            DohMethod::Post => {
                (Method::POST, format!("https://{}{PATH}", self.authority), Bytes::copy_from_slice(message))
            }
            DohMethod::Get => {
                let text = base64_url(message);
                (Method::GET, format!("https://{}{PATH}?dns={text}", self.authority), Bytes::new())
            }
        };
        let request = Request::builder().method(method).uri(uri).header(ACCEPT, MEDIA_TYPE);
        let request = request.header(CONTENT_TYPE, MEDIA_TYPE).body(Full::new(body));
        request.map_err(|error| ExchangeError::new(format!("https://{}: {error}", self.authority)))
    }

    /// The connection that is there, or a new one.
    async fn sender(&self, way: &Way<'_>) -> Result<SendRequest<Full<Bytes>>, ExchangeError> {
        let mut kept = self.kept.lock().await;
        let now = way.clock.now();
        if let Some(known) = kept.as_mut()
            && !known.sender.is_closed()
            && !way.lifetimes.is_over(known.created, known.used, now)
        {
            known.used = now;
            return Ok(known.sender.clone());
        }
        *kept = None;
        let sender = self.connect(way).await?;
        *kept = Some(Kept { sender: sender.clone(), created: now, used: now });
        Ok(sender)
    }

    /// Makes a connection in a task of its own, which then drives it: it serves all workers and outlives this query.
    async fn connect(&self, way: &Way<'_>) -> Result<SendRequest<Full<Bytes>>, ExchangeError> {
        let (tls, name) = (Arc::clone(&self.tls), self.name.clone());
        let (peer, source, limit) = (way.peer, way.source, way.dial_limit);
        let (made, result) = oneshot::channel();
        let task = Box::pin(async move {
            let opened = async {
                let stream = dial::tcp(peer, source, limit).await?;
                let stream = tls.connect_http2(stream, peer, name, limit).await?;
                let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
                shaken.map_err(|error| ExchangeError::dial("tcp", None, peer, &error.to_string()))
            };
            match opened.await {
                Ok((sender, connection)) => {
                    if made.send(Ok(sender)).is_ok() {
                        // It ends when nobody can send on it any more; what went wrong is told by the requests on it.
                        let _ = connection.await;
                    }
                }
                Err(error) => drop(made.send(Err(error))),
            }
        });
        if !way.spawner.spawn(task) {
            return Err(ExchangeError::ours("no task is left for a connection"));
        }
        result.await.unwrap_or_else(|_| Err(ExchangeError::ours("the server ends")))
    }

    /// Closes a connection that rested too long.
    pub(crate) fn sweep(&self, lifetimes: Lifetimes, now: Instant) {
        // One that is being used or made does not rest.
        let Ok(mut kept) = self.kept.try_lock() else { return };
        if kept.as_ref().is_some_and(|known| lifetimes.is_over(known.created, known.used, now)) {
            *kept = None;
        }
    }
}

/// Base 64 for URIs without padding (RFC 8484 section 6).
fn base64_url(octets: &[u8]) -> String {
    let text = base64::encode_string(octets);
    text.trim_end_matches('=').replace('+', "-").replace('/', "_")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn doh(method: DohMethod) -> Doh {
        let name = ServerName::try_from("dns.example").unwrap();
        Doh::new(Arc::default(), name, "dns.example:443".to_owned(), method)
    }

    #[test]
    fn a_query_is_the_body_or_in_the_uri() {
        let request = doh(DohMethod::Post).request(&[0xfb, 0xff, 1]).unwrap();
        assert_eq!(
            (request.method(), request.uri().to_string().as_str()),
            (&Method::POST, "https://dns.example:443/dns-query")
        );
        let request = doh(DohMethod::Get).request(&[0xfb, 0xff, 1, 2]).unwrap();
        let uri = "https://dns.example:443/dns-query?dns=-_8BAg";
        assert_eq!((request.method(), request.uri().to_string().as_str()), (&Method::GET, uri));
        assert_eq!(request.headers()[ACCEPT], "application/dns-message");
    }
}
