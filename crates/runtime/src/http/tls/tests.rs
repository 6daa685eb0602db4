#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]
use std::net::SocketAddr;

use catena_core::{BindFailure, HttpReply, HttpSite, Log, SiteClose};
use catena_testkit::FakeLog;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::super::SideHttp;
use super::*;

/// A certificate authority and what it issued, PEM.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    fn issue(&self, name: &str) -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        (cert.pem().into_bytes(), key.serialize_pem().into_bytes())
    }
}

fn settings(authority: &Authority, client_auth: ClientAuth) -> HttpTls {
    let (chain, key) = authority.issue("localhost");
    let verifies = matches!(client_auth, ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify);
    let client_roots = if verifies { authority.pem() } else { Vec::new() };
    HttpTls { chain, key, client_auth, client_roots, versions: TlsVersions::Both }
}

fn site(path: &'static str, tls: Option<HttpTls>) -> HttpSite {
    HttpSite {
        plugin: "prometheus",
        addr: "127.0.0.1:0".to_owned(),
        path,
        handler: Arc::new(move || HttpReply::text(200, "page")),
        tls,
        on_failure: BindFailure::Fatal,
        close: SiteClose::Before,
        span: None,
    }
}

/// A server of the sites, its address and its log.
async fn serve(sites: &[HttpSite]) -> (SideHttp, SocketAddr, Arc<FakeLog>) {
    let lines = Arc::new(FakeLog::default());
    let mut http = SideHttp::new();
    put(&mut http, sites, &lines).await;
    let local = http.addrs().next().unwrap().1;
    (http, local, lines)
}

async fn put(http: &mut SideHttp, sites: &[HttpSite], lines: &Arc<FakeLog>) {
    let log = Log::new(Arc::<FakeLog>::clone(lines) as _);
    let prepared = http.prepare(sites, &log).await.unwrap();
    http.commit(prepared);
}

type Identity = (Vec<u8>, Vec<u8>);

fn client(
    authority: &Authority,
    identity: Option<&Identity>,
    version: &'static SupportedProtocolVersion,
) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&authority.pem()).flatten());
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        Some((chain, key)) => {
            let chain = CertificateDer::pem_slice_iter(chain).flatten().collect();
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key).unwrap()).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    TlsConnector::from(Arc::new(config))
}

async fn page(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<String> {
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.ok()?;
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text).await;
    let text = String::from_utf8(text).ok()?;
    text.starts_with("HTTP/1.1 200").then_some(text)
}

async fn scrape(
    addr: SocketAddr,
    authority: &Authority,
    identity: Option<&Identity>,
    version: &'static SupportedProtocolVersion,
) -> bool {
    let connector = client(authority, identity, version);
    let stream = TcpStream::connect(addr).await.unwrap();
    let Ok(stream) = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await else { return false };
    page(stream).await.is_some_and(|text| text.ends_with("page"))
}

async fn plain(addr: SocketAddr) -> bool {
    page(TcpStream::connect(addr).await.unwrap()).await.is_some()
}

const V12: &SupportedProtocolVersion = &rustls::version::TLS12;
const V13: &SupportedProtocolVersion = &rustls::version::TLS13;

#[tokio::test]
async fn the_page_is_had_over_tls_and_not_without() {
    let authority = Authority::new();
    let (_http, addr, lines) = serve(&[site("/metrics", Some(settings(&authority, ClientAuth::None)))]).await;
    assert!(scrape(addr, &authority, None, V13).await);
    assert!(scrape(addr, &authority, None, V12).await);
    assert!(!plain(addr).await);
    assert_eq!(lines.lines(), ["[INFO] Server is ready and accepting connections"]);
}

#[tokio::test]
async fn versions_that_are_not_wanted_are_refused() {
    let authority = Authority::new();
    for (versions, spoken12, spoken13) in [(TlsVersions::Only12, true, false), (TlsVersions::Only13, false, true)] {
        let tls = HttpTls { versions, ..settings(&authority, ClientAuth::None) };
        let (_http, addr, _) = serve(&[site("/metrics", Some(tls))]).await;
        assert_eq!(scrape(addr, &authority, None, V12).await, spoken12, "{versions:?}");
        assert_eq!(scrape(addr, &authority, None, V13).await, spoken13, "{versions:?}");
    }
}

#[tokio::test]
async fn clients_give_a_certificate_as_they_are_asked_to() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (known, unknown) = (authority.issue("client"), stranger.issue("client"));
    // With none, with one of the authority, with one of another.
    for (client_auth, let_in) in [
        (ClientAuth::None, [true, true, true]),
        (ClientAuth::Request, [true, true, true]),
        (ClientAuth::RequireAny, [false, true, true]),
        (ClientAuth::VerifyIfGiven, [true, true, false]),
        (ClientAuth::RequireAndVerify, [false, true, false]),
    ] {
        let (_http, addr, _) = serve(&[site("/metrics", Some(settings(&authority, client_auth)))]).await;
        for (identity, let_in) in [None, Some(&known), Some(&unknown)].into_iter().zip(let_in) {
            for version in [V12, V13] {
                let got = scrape(addr, &authority, identity, version).await;
                assert_eq!(got, let_in, "{client_auth:?} {:?} {version:?}", identity.is_some());
            }
        }
    }
}

#[tokio::test]
async fn a_reload_changes_the_certificate_and_turns_tls_off() {
    let (before, after) = (Authority::new(), Authority::new());
    let (mut http, addr, lines) = serve(&[site("/metrics", Some(settings(&before, ClientAuth::None)))]).await;
    put(&mut http, &[site("/metrics", Some(settings(&after, ClientAuth::None)))], &lines).await;
    assert!(!scrape(addr, &before, None, V13).await);
    assert!(scrape(addr, &after, None, V13).await);
    put(&mut http, &[site("/metrics", None)], &lines).await;
    assert!(plain(addr).await);
}

#[tokio::test]
async fn of_sites_that_differ_the_first_says_how_tls_is_spoken_and_there_is_a_warning() {
    let authority = Authority::new();
    let tls = settings(&authority, ClientAuth::None);
    let (_http, addr, lines) = serve(&[site("/metrics", Some(tls)), site("/other", None)]).await;
    assert!(scrape(addr, &authority, None, V13).await && !plain(addr).await);
    let warning = "[WARNING] /other of prometheus is served with the TLS settings of /metrics of prometheus, which come first and differ";
    assert_eq!(lines.lines()[0], warning);
}

#[tokio::test]
async fn equal_settings_are_no_reason_for_a_warning() {
    let tls = settings(&Authority::new(), ClientAuth::None);
    let (_http, _, lines) = serve(&[site("/metrics", Some(tls.clone())), site("/other", Some(tls))]).await;
    assert_eq!(lines.lines(), ["[INFO] Server is ready and accepting connections"]);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_keeps_the_server_from_starting() {
    let tls = HttpTls { key: b"none".to_vec(), ..settings(&Authority::new(), ClientAuth::None) };
    let log = Log::new(Arc::new(FakeLog::default()));
    let fault = SideHttp::new().prepare(&[site("/metrics", Some(tls))], &log).await.err().unwrap();
    assert!(fault.one_line().starts_with("plugin/prometheus: TLS of 127.0.0.1:0: key: "), "{}", fault.one_line());
}

#[tokio::test]
async fn a_client_that_says_nothing_is_gone_after_the_time_of_a_handshake() {
    let (_http, addr, _) = serve(&[site("/metrics", Some(settings(&Authority::new(), ClientAuth::None)))]).await;
    let mut silent = TcpStream::connect(addr).await.unwrap();
    let begun = std::time::Instant::now();
    let closed = tokio::time::timeout(2 * HANDSHAKE_TIMEOUT, silent.read(&mut [0; 1])).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
    assert!(begun.elapsed() > HANDSHAKE_TIMEOUT / 2);
}
