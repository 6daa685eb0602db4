#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]
use super::*;
use catena_core::{HttpReply, NoLog, SiteClose};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn log() -> Log {
    Log::new(Arc::new(NoLog))
}

fn site(plugin: &'static str, addr: &str, path: &'static str, body: &'static str) -> HttpSite {
    HttpSite {
        plugin,
        addr: addr.to_owned(),
        path,
        handler: Arc::new(move || HttpReply::text(200, body)),
        tls: None,
        on_failure: BindFailure::Fatal,
        close: SiteClose::After,
        span: None,
    }
}

async fn put(http: &mut SideHttp, sites: &[HttpSite]) {
    let prepared = http.prepare(sites, &log()).await.unwrap();
    http.commit(prepared);
}

async fn get(addr: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn paths_are_answered_and_others_are_not_found() {
    let mut http = SideHttp::new();
    put(&mut http, &[site("health", "127.0.0.1:0", "/health", "OK")]).await;
    let local = http.addrs().next().unwrap().1;
    let found = get(local, "/health").await;
    assert!(found.starts_with("HTTP/1.1 200 OK\r\n") && found.ends_with("\r\n\r\nOK"), "{found}");
    let missing = get(local, "/").await;
    assert!(missing.starts_with("HTTP/1.1 404") && missing.ends_with("\r\n\r\n404 page not found\n"), "{missing}");
}

#[tokio::test]
async fn an_address_that_stays_keeps_its_socket_and_answers_for_the_new_instance() {
    let mut http = SideHttp::new();
    put(&mut http, &[site("a", "127.0.0.1:0", "/x", "old")]).await;
    let local = http.addrs().next().unwrap().1;
    put(&mut http, &[site("a", "127.0.0.1:0", "/x", "new")]).await;
    assert_eq!(http.addrs().next().unwrap().1, local);
    assert!(get(local, "/x").await.ends_with("new"));
}

#[tokio::test]
async fn nothing_is_answered_before_commit() {
    let mut http = SideHttp::new();
    let prepared = http.prepare(&[site("a", "127.0.0.1:0", "/x", "y")], &log()).await.unwrap();
    let local = prepared.fresh.values().next().unwrap().local_addr().unwrap();
    let asked = tokio::spawn(async move { get(local, "/x").await });
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(!asked.is_finished());
    http.commit(prepared);
    assert!(asked.await.unwrap().ends_with('y'));
}

#[tokio::test]
async fn a_listener_closes_with_its_last_path() {
    let mut http = SideHttp::new();
    put(&mut http, &[site("ready", "127.0.0.1:0", "/ready", "r"), site("health", "127.0.0.1:0", "/health", "h")]).await;
    let local = http.addrs().next().unwrap().1;
    http.close(|site| site.plugin == "ready");
    assert!(get(local, "/ready").await.starts_with("HTTP/1.1 404"));
    assert!(get(local, "/health").await.ends_with('h'));
    http.close(|_| true);
    tokio::task::yield_now().await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(TcpStream::connect(local).await.is_err());
}

#[tokio::test]
async fn an_address_that_cannot_be_had_is_fatal_logged_or_silent() {
    let http = SideHttp::new();
    let mut bad = site("a", "192.0.2.1:80", "/x", "y");
    let fault = http.prepare(std::slice::from_ref(&bad), &log()).await.err().unwrap();
    assert_eq!(fault.one_line(), "listen tcp 192.0.2.1:80: bind: cannot assign requested address");
    for quiet in [BindFailure::Silent, BindFailure::Log("x")] {
        bad.on_failure = quiet;
        assert!(http.prepare(std::slice::from_ref(&bad), &log()).await.unwrap().wanted.is_empty());
    }
}

#[tokio::test]
async fn a_header_beyond_the_limit_is_refused() {
    let mut http = SideHttp::new();
    put(&mut http, &[site("a", "127.0.0.1:0", "/x", "y")]).await;
    let local = http.addrs().next().unwrap().1;
    for (octets, status) in [(HEADER_OCTETS_MAX / 2, "200"), (2 * HEADER_OCTETS_MAX, "431")] {
        let mut stream = TcpStream::connect(local).await.unwrap();
        let request = format!("GET /x HTTP/1.1\r\nA: {}\r\nConnection: close\r\n\r\n", "a".repeat(octets));
        let _ = stream.write_all(request.as_bytes()).await;
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text).await;
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(text.is_empty() && status == "431" || text.contains(status), "{octets}: {text}");
    }
}

#[tokio::test]
async fn a_connection_beyond_the_limit_waits_until_another_ends() {
    let mut http = SideHttp::new();
    put(&mut http, &[site("a", "127.0.0.1:0", "/x", "y")]).await;
    let local = http.addrs().next().unwrap().1;
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS_MAX - 1 {
        idle.push(TcpStream::connect(local).await.unwrap());
    }
    assert!(get(local, "/x").await.ends_with('y'), "there is room for one more");
    idle.push(TcpStream::connect(local).await.unwrap());
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let waiting = tokio::spawn(async move { get(local, "/x").await });
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    idle.clear();
    assert!(waiting.await.unwrap().ends_with('y'));
}

#[tokio::test]
async fn addresses_are_limited() {
    let http = SideHttp::new();
    let addrs: Vec<String> = (0..=ADDRESSES_MAX).map(|n| format!("127.0.{}.{}:0", n / 250, n % 250 + 1)).collect();
    let sites: Vec<HttpSite> = addrs.iter().map(|addr| site("a", addr, "/x", "y")).collect();
    assert_eq!(http.prepare(&sites[..ADDRESSES_MAX], &log()).await.unwrap().fresh.len(), ADDRESSES_MAX);
    let fault = http.prepare(&sites, &log()).await.err().unwrap();
    assert!(fault.one_line().ends_with(": more than 256 addresses"), "{}", fault.one_line());
}
