//! Upstreams that are spoken to over HTTPS.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use domain::utils::base64;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::runtime::{Builder, Handle};
use tokio_rustls::TlsAcceptor;

use super::fake::{Act, Fake, Shared, reply_to};
use super::tls::{ONCE, identity, kit};
use super::{ONE, address};

/// Serves HTTP/2 until it is told to stop.
pub(super) fn serve(listener: TcpListener, shared: &Arc<Shared>) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    listener.set_nonblocking(true).unwrap();
    let acceptor = TlsAcceptor::from(Arc::clone(shared.tls.as_ref().unwrap()));
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        while !shared.stop.load(Ordering::SeqCst) {
            let Ok(accepted) = tokio::time::timeout(Duration::from_millis(20), listener.accept()).await else {
                continue;
            };
            let (acceptor, shared) = (acceptor.clone(), Arc::clone(shared));
            Handle::current().spawn(async move {
                let Ok(stream) = acceptor.accept(accepted.unwrap().0).await else { return };
                shared.resumed.lock().unwrap().push(false);
                let service = service_fn(move |request| respond(request, Arc::clone(&shared)));
                let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
}

async fn respond(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, Infallible> {
    let refuse = |status| Ok(Response::builder().status(status).body(Full::default()).unwrap());
    if request.uri().path() != "/dns-query" || request.headers()["accept"] != "application/dns-message" {
        return refuse(StatusCode::NOT_FOUND);
    }
    let (protocol, query) = if request.method() == Method::GET {
        let text = request.uri().query().unwrap().strip_prefix("dns=").unwrap().replace('-', "+").replace('_', "/");
        let padded = format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4));
        ("get", base64::decode::<Vec<u8>>(&padded).unwrap())
    } else {
        ("post", request.into_body().collect().await.unwrap().to_bytes().to_vec())
    };
    assert_eq!(query[..2], [0, 0], "the id");
    match reply_to(&query, protocol, &shared) {
        Some(reply) if reply.is_empty() => refuse(StatusCode::INTERNAL_SERVER_ERROR),
        Some(reply) => Ok(Response::new(Full::from(reply))),
        None => std::future::pending().await,
    }
}

fn server(act: Act) -> (Fake, String) {
    let (config, ca) = identity();
    (Fake::https(act, config), ca)
}

#[test]
fn queries_go_by_post_or_get_on_one_connection() {
    for (property, method) in [("", "post"), ("doh_method POST", "post"), ("doh_method GET", "get")] {
        let (up, ca) = server(Act::Answer(ONE));
        let kit = kit(&ca, &format!("forward . https://{} {{\n {ONCE}\n {property}\n}}", up.addr));
        for _ in 0..3 {
            let seen = kit.ask_for("a.example.org A");
            assert_eq!(address(&seen), Some("192.0.2.1"), "{property}: {:?}", seen.error);
        }
        assert_eq!(up.protocols(), [method; 3]);
        assert_eq!(up.resumed().len(), 1, "connections");
        let labels = format!("{{proxy_name=\"forward\",rcode=\"NOERROR\",to=\"{}\"}}", up.addr);
        assert_eq!(kit.metric(&format!("coredns_proxy_request_duration_seconds_count{labels}")), Some(3.0));
    }
}

#[test]
fn the_certificate_must_be_for_the_name() {
    let (up, ca) = server(Act::Answer(ONE));
    let body = format!("forward . https://{} {{\n {ONCE}\n tls_servername other.example.net\n}}", up.addr);
    let error = kit(&ca, &body).ask_for("a.example.org A").error.unwrap();
    assert!(error.starts_with("tls: failed to verify certificate: x509: "), "{error}");
}

#[test]
fn a_status_other_than_200_and_another_question_are_failures() {
    let (up, ca) = server(Act::Close);
    let kit = kit(&ca, &format!("forward . https://{} {{\n {ONCE}\n}}", up.addr));
    let seen = kit.ask_for("a.example.org A");
    assert_eq!(seen.rcode, "SERVFAIL");
    assert!(seen.error.unwrap().ends_with("unexpected status 500 Internal Server Error"));
    up.act(Act::WrongQuestion);
    assert_eq!(kit.ask_for("a.example.org A").rcode, "FORMERR");
}

#[test]
fn silence_ends_after_the_read_timeout() {
    let (up, ca) = server(Act::Drop);
    let body = format!("forward . https://{} {{\n {ONCE}\n read_timeout 50ms\n}}", up.addr);
    let kit = kit(&ca, &body);
    // The first connection may take as long as connecting may.
    up.act(Act::Answer(ONE));
    kit.ask_for("a.example.org A");
    up.act(Act::Drop);
    let seen = kit.ask_for("a.example.org A");
    assert!(seen.error.unwrap().ends_with("i/o timeout"));
}

#[test]
fn a_connection_that_rested_too_long_is_replaced() {
    let (up, ca) = server(Act::Answer(ONE));
    let kit = kit(&ca, &format!("forward . https://{} {{\n {ONCE}\n expire 1s\n}}", up.addr));
    for _ in 0..2 {
        assert_eq!(address(&kit.ask_for("a.example.org A")), Some("192.0.2.1"));
        kit.clock.advance(Duration::from_secs(2));
    }
    assert_eq!(up.resumed().len(), 2, "connections");
}
