//! Accepting connections of a side HTTP listener and answering requests.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use catena_core::{HttpReply, HttpSite};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::{Current, tls};

/// The most connections of a listener; further ones wait in the kernel.
pub const CONNECTIONS_MAX: usize = 128;
/// The most octets of a request's line and headers.
pub const HEADER_OCTETS_MAX: usize = 16 * 1024;
/// The most header fields of a request.
const HEADERS_MAX: usize = 64;
/// The time within which a request's header is there; also how long a connection may be idle.
pub const IO_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest life of a connection: a client that does not take its reply is gone after this and [`IO_TIMEOUT`].
pub const CONNECTION_LIFE_MAX: Duration = Duration::from_secs(60);
/// How long accepting rests when the system has no file descriptor left.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Accepts until told to stop. Connections then end after the request at hand.
pub(super) async fn accept(socket: std::net::TcpListener, served: Arc<Current>, mut stopped: watch::Receiver<()>) {
    let Ok(listener) = TcpListener::from_std(socket) else { return };
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let next = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            // The sender never sends: it is dropped.
            _ = stopped.changed() => return,
            next = next => next,
        };
        let (Ok(permit), Ok((stream, _))) = (permit, accepted) else {
            tokio::time::sleep(ACCEPT_REST).await;
            continue;
        };
        let (served, stopped) = (Arc::clone(&served), stopped.clone());
        #[expect(clippy::disallowed_methods, reason = "connections outlive instances; they end with the listener")]
        tokio::spawn(async move {
            connection(stream, served, stopped).await;
            drop(permit);
        });
    }
}

async fn connection(stream: TcpStream, served: Arc<Current>, mut stopped: watch::Receiver<()>) {
    let acceptor = served.load().tls.clone();
    let Some(acceptor) = acceptor else { return talk(stream, served, stopped).await };
    let shaken = tokio::select! {
        shaken = tls::shake_hands(&acceptor, stream) => shaken,
        _ = stopped.changed() => return,
    };
    if let Some(stream) = shaken {
        talk(stream, served, stopped).await;
    }
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, served: Arc<Current>, mut stopped: watch::Receiver<()>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = respond(&served.load().sites, request.uri().path());
        async move { Ok::<_, Infallible>(response) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(IO_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_OCTETS_MAX);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // What goes wrong here is the client's affair: CoreDNS says nothing either.
        _ = connection.as_mut() => return,
        _ = stopped.changed() => {}
        () = tokio::time::sleep(CONNECTION_LIFE_MAX) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(IO_TIMEOUT, connection).await;
}

fn respond(sites: &[HttpSite], path: &str) -> Response<Full<Bytes>> {
    let reply = match sites.iter().find(|site| site.path == path) {
        Some(site) => site.handler.respond(),
        None => HttpReply::text(404, "404 page not found\n"),
    };
    let mut response = Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(kind) = reply.content_type {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    response
}
