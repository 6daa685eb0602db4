//! One request to the API, and what can go wrong with it.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::header::{ACCEPT, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use kube::client::Body;
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use super::access::Api;
use crate::index::Index;

/// The largest list page; a page that is larger is asked for again in smaller parts.
pub(super) const PAGE_BYTES_MAX: usize = 64 << 20;

/// How much of an error's text is read.
const ERROR_BYTES_MAX: usize = 16 << 10;

/// The longest wait that the API may ask for.
const RETRY_AFTER_SECONDS_MAX: u64 = 60;

/// Why a list or a watch ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The version to continue from is gone: 410.
    #[error("the resource version is too old")]
    Expired,
    /// The API does not stream lists: 400 or 422.
    #[error("streaming lists are not supported")]
    NotStreaming,
    /// A page is larger than [`PAGE_BYTES_MAX`].
    #[error("a list page is larger than {PAGE_BYTES_MAX} bytes")]
    PageTooLarge,
    /// The API said no.
    #[error("{message}")]
    Refused {
        /// In its words.
        message: String,
        /// For how long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// Nothing came for so long.
    #[error("the server was silent for {0:?}")]
    Silent(Duration),
    /// There is no API at the other end, or it stopped in the middle.
    #[error("{0}")]
    Broken(String),
}

/// The API's own account of a failure.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Status {
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    code: Option<u16>,
}

impl Status {
    /// What it means for a list (`streaming` false) or for a watch.
    pub(super) fn into_trouble(self, code: u16, streaming: bool, retry_after: Option<Duration>) -> Trouble {
        let code = self.code.unwrap_or(code);
        match code {
            410 => Trouble::Expired,
            400 | 422 if streaming => Trouble::NotStreaming,
            _ => {
                let text = self.message.filter(|text| !text.is_empty()).unwrap_or_else(|| reason(code));
                Trouble::Refused { message: text, retry_after }
            }
        }
    }
}

fn reason(code: u16) -> String {
    let known = StatusCode::from_u16(code).ok().and_then(|status| status.canonical_reason());
    format!("the server answers {code} {}", known.unwrap_or_default()).trim_end().to_owned()
}

/// Asks, and returns the body of an answer that is not an error.
pub(super) async fn get(
    api: &Api,
    index: &Index,
    path: &str,
    streaming: bool,
    silence_max: Duration,
) -> Result<Body, Trouble> {
    let request = Request::get(path).header(ACCEPT, "application/json").body(Body::empty());
    let request = request.map_err(|error| Trouble::Broken(error.to_string()))?;
    let asked = Instant::now();
    let turn = api.limiter.turn().await;
    let start = Instant::now();
    let answer = timeout(silence_max, api.client.send(request)).await;
    let code = match &answer {
        Ok(Ok(response)) => Some(response.status().as_u16()),
        _ => None,
    };
    drop(turn);
    index.requested(&api.host, code, start - asked, start.elapsed());
    let response = answer
        .map_err(|_elapsed| Trouble::Broken(format!("no answer from {} in {silence_max:?}", api.host)))?
        .map_err(|error| Trouble::Broken(innermost(&error)))?;
    if response.status().is_success() {
        Ok(response.into_body())
    } else {
        Err(refusal(response, streaming, silence_max).await)
    }
}

async fn refusal(response: Response<Body>, streaming: bool, silence_max: Duration) -> Trouble {
    let code = response.status().as_u16();
    let wait =
        response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    let wait = wait.map(|seconds: u64| Duration::from_secs(seconds.min(RETRY_AFTER_SECONDS_MAX)));
    let text = collect(response.into_body(), ERROR_BYTES_MAX, silence_max).await.unwrap_or_default();
    serde_json::from_slice::<Status>(&text).unwrap_or_default().into_trouble(code, streaming, wait)
}

/// Reads a whole body of at most `bytes_max`.
pub(super) async fn collect(mut body: Body, bytes_max: usize, silence_max: Duration) -> Result<Vec<u8>, Trouble> {
    let mut whole = Vec::new();
    while let Some(piece) = piece(&mut body, silence_max).await? {
        if whole.len() + piece.len() > bytes_max {
            return Err(Trouble::PageTooLarge);
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

/// The next piece of a body; `None` at its end.
pub(super) async fn piece(body: &mut Body, silence_max: Duration) -> Result<Option<hyper::body::Bytes>, Trouble> {
    loop {
        let frame = timeout(silence_max, body.frame()).await;
        let frame = frame.map_err(|_elapsed| Trouble::Silent(silence_max))?;
        let Some(frame) = frame else { return Ok(None) };
        let frame = frame.map_err(|error| Trouble::Broken(innermost(&error)))?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
}

/// The words of the error at the bottom: those above it only say that something failed.
pub(super) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut bottom = error;
    while let Some(source) = bottom.source() {
        bottom = source;
    }
    match bottom.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
        // The TLS library explains at length what TCP calls the end.
        Some(std::io::ErrorKind::UnexpectedEof) => "unexpected end of the connection".to_owned(),
        _ => bottom.to_string(),
    }
}

/// Writes a query parameter's value.
pub(super) fn encode(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn a_body_may_be_as_long_as_the_limit_and_no_longer() {
        let body = || Body::from(vec![b'x'; 10]);
        assert_eq!(collect(body(), 10, PATIENCE).await.unwrap().len(), 10);
        assert!(matches!(collect(body(), 9, PATIENCE).await, Err(Trouble::PageTooLarge)));
    }

    #[tokio::test]
    async fn the_api_may_ask_for_a_minute_of_peace_and_no_more() {
        let wait = |header: &str| {
            let response = Response::builder().status(429).header(RETRY_AFTER, header).body(Body::empty()).unwrap();
            async move {
                match refusal(response, false, PATIENCE).await {
                    Trouble::Refused { message, retry_after } => (message, retry_after.map(|wait| wait.as_secs())),
                    other => panic!("{other}"),
                }
            }
        };
        let told = "the server answers 429 Too Many Requests".to_owned();
        assert_eq!(wait("60").await, (told.clone(), Some(60)));
        assert_eq!(wait("61").await, (told.clone(), Some(RETRY_AFTER_SECONDS_MAX)));
        assert_eq!(wait("later").await, (told, None));
    }
}
