//! Plain HTTP/1.1, as `http` steps ask it.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Error;
use crate::value::Value;

/// The longest body that is read, in octets: a scrape of a busy server stays far below.
const BODY_BYTES_MAX: usize = 16 << 20;

/// What one request gave.
#[derive(Debug)]
pub enum Answer {
    /// The status and the body.
    Status(u16, String),
    /// Why there is no answer: `none`, `refused` or `closed`.
    Nothing(&'static str),
}

/// One request to 127.0.0.1: `method`, `path`, `headers` and `body` of an `http:` step.
///
/// # Errors
/// [`Error::Case`] when it is no request.
pub async fn ask(spec: &Value, port: u16, limit: Duration) -> Result<Answer, Error> {
    let body = Bytes::from(spec.str_of("body").unwrap_or_default().to_owned());
    let mut request = Request::builder()
        .method(spec.str_of("method").unwrap_or("GET"))
        .uri(spec.str_of("path").unwrap_or("/"))
        .header("host", format!("127.0.0.1:{port}"))
        .header("connection", "close")
        .header("accept-encoding", "identity")
        .header("content-length", body.len());
    for (key, value) in spec.get("headers").map(Value::entries).unwrap_or_default() {
        request = request.header(key, value.as_str().unwrap_or_default());
    }
    let request = request.body(Full::new(body)).map_err(|err| Error::Case(format!("http: {err}")))?;
    Ok(timeout(limit, send(request, port)).await.unwrap_or(Answer::Nothing("none")))
}

async fn send(request: Request<Full<Bytes>>, port: u16) -> Answer {
    let stream = match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
        Ok(stream) => stream,
        Err(err) if err.kind() == ErrorKind::ConnectionRefused => return Answer::Nothing("refused"),
        Err(_) => return Answer::Nothing("closed"),
    };
    exchange(request, stream).await.unwrap_or(Answer::Nothing("closed"))
}

async fn exchange(request: Request<Full<Bytes>>, stream: TcpStream) -> Option<Answer> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let driver = async move {
        // It ends with the answer; whatever was wrong shows there.
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    let answer = async move {
        let reply = sender.send_request(request).await.ok()?;
        let status = reply.status().as_u16();
        let body = Limited::new(reply.into_body(), BODY_BYTES_MAX).collect().await.ok()?.to_bytes();
        Some(Answer::Status(status, String::from_utf8_lossy(&body).into_owned()))
    };
    tokio::select! {
        answer = answer => answer,
        () = driver => None,
    }
}
