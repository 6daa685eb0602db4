//! Opening sockets.

use std::sync::Arc;

use catena_core::{ListenAddr, Log, NoLog, Transport};
use catena_server::bind;

fn log() -> Log {
    Log::new(Arc::new(NoLog))
}

/// A free port of 127.0.0.1.
fn anywhere() -> ListenAddr {
    ListenAddr { transport: Transport::Dns, ip: Some([127, 0, 0, 1].into()), scope: None, port: 0 }
}

#[test]
fn an_address_taken_without_sharing_is_an_error_in_gos_words() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut addr = anywhere();
    addr.port = port;
    let error = bind(&addr, 1, &log()).unwrap_err();
    assert_eq!(error.to_string(), format!("listen tcp 127.0.0.1:{port}: bind: address already in use"));
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    addr.port = taken.local_addr().unwrap().port();
    let error = bind(&addr, 1, &log()).unwrap_err();
    assert_eq!(error.to_string(), format!("listen udp 127.0.0.1:{}: bind: address already in use", addr.port));
}

#[test]
fn an_address_that_is_not_here_is_an_error_in_gos_words() {
    let mut addr = anywhere();
    addr.ip = Some("192.0.2.99".parse().unwrap());
    addr.port = 5353;
    let error = bind(&addr, 1, &log()).unwrap_err();
    assert_eq!(error.to_string(), "listen tcp 192.0.2.99:5353: bind: cannot assign requested address");
}

#[test]
fn a_scheme_that_is_not_spoken_is_an_error_and_tls_has_no_udp() {
    let mut addr = anywhere();
    addr.transport = Transport::Quic;
    let error = bind(&addr, 1, &log()).unwrap_err();
    assert_eq!(error.to_string(), "listen quic://127.0.0.1:0: transport quic is not supported by this build");
    addr.transport = Transport::Tls;
    let bound = Arc::new(bind(&addr, 1, &log()).unwrap());
    let port = bound.local_addr().port();
    // Its UDP port is free.
    std::net::UdpSocket::bind(("127.0.0.1", port)).unwrap();
}

#[test]
fn all_workers_share_the_port_that_was_free() {
    let bound = bind(&anywhere(), 3, &log()).unwrap();
    assert_ne!(bound.local_addr().port(), 0);
    assert_eq!(bound.addr().port, 0);
}

#[test]
fn another_server_of_the_same_user_may_share_the_address() {
    let first = bind(&anywhere(), 1, &log()).unwrap();
    let again = ListenAddr { port: first.local_addr().port(), ..anywhere() };
    bind(&again, 1, &log()).unwrap();
}

#[test]
fn an_ipv6_address_leaves_the_same_port_to_ipv4() {
    let v6 = ListenAddr { ip: Some("::1".parse().unwrap()), ..anywhere() };
    // A host without IPv6 has nothing to show here.
    let Ok(bound) = bind(&v6, 1, &log()) else { return };
    std::net::UdpSocket::bind(("127.0.0.1", bound.local_addr().port())).unwrap();
}

#[test]
fn a_unix_scheme_opens_nothing() {
    let unix = ListenAddr { transport: Transport::Unix, ..anywhere() };
    assert_eq!(bind(&unix, 1, &log()).unwrap().local_addr().port(), 0);
}

#[test]
fn an_ipv6_address_is_shown_in_brackets() {
    let taken = std::net::TcpListener::bind("[::1]:0");
    let Ok(taken) = taken else { return };
    let port = taken.local_addr().unwrap().port();
    let v6 = ListenAddr { ip: Some("::1".parse().unwrap()), port, ..anywhere() };
    let error = bind(&v6, 1, &log()).unwrap_err();
    assert_eq!(error.to_string(), format!("listen tcp [::1]:{port}: bind: address already in use"));
}
