//! Clients behind proxies.

use std::io::Write;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use catena_core::prelude::*;
use catena_core::{ProxyPolicy, ProxyProtocol, ProxySessions};
use catena_server::Limits;

use crate::harness::{
    PLAY, Server, ask, frame, id_of, is_silent, question, rcode_of, read_frame, send_frame, time_to_close,
};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 9));
const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// `proxy POLICY` and perhaps time and limit of sessions.
const PROXY: PluginDef = PluginDef::new("proxy", |cx| {
    let mut words = cx.cursor();
    words.next();
    let args = words.remaining_args();
    let policy = match args[0] {
        "use" => ProxyPolicy::Use,
        "ignore" => ProxyPolicy::Ignore,
        "reject" => ProxyPolicy::Reject,
        _ => ProxyPolicy::Skip,
    };
    let number = |at: usize| args.get(at).and_then(|word| word.parse::<u64>().ok());
    let sessions = number(1).zip(number(2)).map(|(ttl, most)| ProxySessions {
        ttl: Duration::from_millis(ttl),
        sessions_max: usize::try_from(most).unwrap(),
    });
    cx.block_settings().sockets.proxy = Some(ProxyProtocol { policy: Arc::new(move |_| policy), sessions });
    Ok(())
});

fn server(policy: &str) -> Server {
    limited(policy, Limits::default())
}

fn limited(policy: &str, limits: Limits) -> Server {
    let corefile = format!(".:0 {{\n proxy {policy}\n play\n}}");
    Server::with([PROXY, PLAY], &corefile, 2, limits, Some("127.0.0.1"))
}

/// A version 2 header: 0x11 TCP, 0x12 UDP, 0x22 UDP with mapped addresses.
fn header(family: u8) -> Vec<u8> {
    let (four, six) = ([198, 51, 100, 9, 203, 0, 113, 1], |last: [u8; 4]| Ipv6Addr::from(u32_mapped(last)).octets());
    let addresses = match family {
        0x22 => [six([198, 51, 100, 9]), six([203, 0, 113, 1])].concat(),
        _ => four.to_vec(),
    };
    let len = u8::try_from(addresses.len() + 4).unwrap();
    [SIGNATURE, &[0x21, family, 0, len], &addresses, &[0x12, 0x67, 0, 53]].concat()
}

fn u32_mapped(ip: [u8; 4]) -> u128 {
    0xffff << 32 | u128::from(u32::from_be_bytes(ip))
}

fn asked(id: u16, name: &str) -> Vec<u8> {
    question(id, &format!("{name}.example.org"), Rtype::A)
}

/// The address of a lone record, IPv4 or IPv6.
fn address(reply: &[u8]) -> IpAddr {
    let (four, six) = (reply.last_chunk::<4>().unwrap(), reply.last_chunk::<16>().unwrap());
    if reply[reply.len() - 6..reply.len() - 4] == [0, 4] { IpAddr::from(*four) } else { IpAddr::from(*six) }
}

/// Sends octets on a new connection and asks who the client and what the address is that it asked.
fn who_and_where(server: &Server, first: &[u8]) -> (IpAddr, IpAddr) {
    let mut stream = server.tcp();
    stream.write_all(&[first, &frame(&asked(1, "who")), &frame(&asked(2, "where"))].concat()).unwrap();
    let mut next = || address(&read_frame(&mut stream).expect("a reply"));
    (next(), next())
}

#[test]
fn a_header_by_tcp_names_the_client_and_the_address_asked() {
    let server = server("use");
    let destination = IpAddr::from([203, 0, 113, 1]);
    assert_eq!(who_and_where(&server, b"PROXY TCP4 198.51.100.9 203.0.113.1 4711 53\r\n"), (CLIENT, destination));
    assert_eq!(who_and_where(&server, &header(0x11)), (CLIENT, destination));
    assert_eq!(who_and_where(&server, b""), (LOOPBACK, LOOPBACK));
    assert_eq!(who_and_where(&server, b"PROXY UNKNOWN\r\n"), (LOOPBACK, LOOPBACK));
    assert_eq!(who_and_where(&server, &[SIGNATURE, &[0x20, 0, 0, 0]].concat()), (LOOPBACK, LOOPBACK));
}

#[test]
fn a_header_may_come_octet_by_octet() {
    let server = server("use");
    for first in [&b"PROXY TCP4 198.51.100.9 203.0.113.1 4711 53\r\n"[..], &header(0x11)] {
        let mut stream = server.tcp();
        stream.set_nodelay(true).unwrap();
        for octet in [first, &frame(&asked(1, "who"))].concat() {
            stream.write_all(&[octet]).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(address(&read_frame(&mut stream).unwrap()), CLIENT);
    }
}

#[test]
fn only_the_first_octets_of_a_connection_are_a_header() {
    let server = limited("use", Limits { idle_timeout: Duration::from_millis(300), ..Limits::default() });
    let mut stream = server.tcp();
    send_frame(&mut stream, &asked(1, "who"));
    assert_eq!(address(&read_frame(&mut stream).unwrap()), LOOPBACK);
    // These are the beginning of a frame of 3338 octets, which does not come.
    stream.write_all(&header(0x11)).unwrap();
    time_to_close(&mut stream);
}

#[test]
fn a_broken_header_ends_the_connection() {
    let server = server("use");
    let broken: [&[u8]; 3] = [
        b"PROXY TCP4 198.51.100.999 203.0.113.1 4711 53\r\n",
        &[SIGNATURE, &[0x31, 0x11, 0, 12], &[0; 12]].concat(),
        &[SIGNATURE, &[0x21, 0x11, 0, 4], &[0; 4]].concat(),
    ];
    for first in broken {
        let mut stream = server.tcp();
        stream.write_all(first).unwrap();
        assert!(time_to_close(&mut stream) < Duration::from_secs(2));
    }
}

#[test]
fn policies_by_tcp() {
    let line = b"PROXY TCP4 198.51.100.9 203.0.113.1 4711 53\r\n";
    assert_eq!(who_and_where(&server("ignore"), line), (LOOPBACK, LOOPBACK));
    let rejecting = server("reject");
    assert_eq!(who_and_where(&rejecting, b""), (LOOPBACK, LOOPBACK));
    let mut stream = rejecting.tcp();
    stream.write_all(&[&line[..], &frame(&asked(1, "who"))].concat()).unwrap();
    assert!(read_frame(&mut stream).is_none());
    // Not looked for, the line is the beginning of a long frame.
    let skipping = limited("skip", Limits { read_timeout: Duration::from_millis(200), ..Limits::default() });
    let mut stream = skipping.tcp();
    stream.write_all(line).unwrap();
    assert!(time_to_close(&mut stream) > Duration::from_millis(150));
}

#[test]
fn what_is_no_header_in_time_is_none() {
    let limits = Limits { proxy_header_timeout: Duration::from_millis(150), ..Limits::default() };
    let server = limited("use", limits);
    let mut stream = server.tcp();
    // "P" begins a header, and a frame of 20480 octets.
    stream.write_all(b"P").unwrap();
    std::thread::sleep(Duration::from_millis(400));
    stream.write_all(&[&[0][..], &[0; 20_480], &frame(&asked(7, "who"))].concat()).unwrap();
    assert_eq!(rcode_of(&read_frame(&mut stream).unwrap()), 1);
    assert_eq!(address(&read_frame(&mut stream).unwrap()), LOOPBACK);
}

#[test]
fn a_client_that_sends_half_a_header_has_the_time_for_reading() {
    let server = limited("use", Limits { read_timeout: Duration::from_millis(200), ..Limits::default() });
    let mut stream = server.tcp();
    stream.write_all(&SIGNATURE[..6]).unwrap();
    assert!(time_to_close(&mut stream) < Duration::from_secs(2));
}

/// Who the client is to the server if the octets and then a question come in one datagram.
fn who(socket: &UdpSocket, first: &[u8]) -> IpAddr {
    address(&ask(socket, &[first, &asked(1, "who")].concat()))
}

#[test]
fn a_header_by_udp_names_the_client_and_the_reply_goes_to_the_proxy() {
    let server = server("use");
    let socket = server.udp();
    assert_eq!(who(&socket, &header(0x12)), CLIENT);
    assert_eq!(who(&socket, b""), LOOPBACK);
    let reply = ask(&socket, &[header(0x12), asked(2, "where")].concat());
    assert_eq!((id_of(&reply), address(&reply)), (2, LOOPBACK));
    // A reply that waits goes there as well.
    assert_eq!(id_of(&ask(&socket, &[header(0x12), asked(3, "wait20")].concat())), 3);
}

#[test]
fn an_ipv4_client_behind_a_header_with_mapped_addresses_is_an_ipv4_client() {
    assert_eq!(who(&server("use").udp(), &header(0x22)), CLIENT);
}

#[test]
fn other_headers_by_udp_are_dropped_with_a_warning() {
    let server = server("use");
    let socket = server.udp();
    let local: SocketAddr = socket.local_addr().unwrap();
    let line = b"PROXY TCP4 198.51.100.9 203.0.113.1 4711 53\r\n";
    for (first, reason) in [
        (&line[..], "unsupported Proxy Protocol version 1 (only v2 supported for UDP)"),
        (&header(0x11), "PROXY Protocol header is not UDP type (transport protocol: 0x11)"),
        (
            &[SIGNATURE, &[0x21, 0x12, 0, 4]].concat(),
            "parsing Proxy Protocol header (packet size: 49): proxyproto: invalid length",
        ),
    ] {
        socket.send(&[first, &asked(1, "who")].concat()).unwrap();
        assert!(is_silent(&socket));
        let expected = format!("[WARNING] dropping invalid Proxy Protocol packet from {local}: {reason}");
        assert_eq!(server.log.take(), [expected]);
    }
    assert_eq!(who(&socket, b""), LOOPBACK);
}

#[test]
fn policies_by_udp() {
    assert_eq!(who(&server("ignore").udp(), &header(0x12)), LOOPBACK);
    let rejecting = server("reject");
    let socket = rejecting.udp();
    socket.send(&[header(0x12), asked(1, "who")].concat()).unwrap();
    assert!(is_silent(&socket));
    assert!(rejecting.log.take()[0].ends_with("connection rejected by Proxy Protocol connection policy"));
    assert_eq!(who(&socket, b""), LOOPBACK);
    // Not looked for, the octets are a message of an opcode that is not spoken.
    let reply = ask(&server("skip").udp(), &[header(0x12), asked(1, "who")].concat());
    assert_eq!(rcode_of(&reply), 4);
}

#[test]
fn a_header_counts_for_the_datagrams_behind_it_if_sessions_are_kept() {
    let server = server("use 60000 100");
    let (socket, other) = (server.udp(), server.udp());
    socket.send(&header(0x12)).unwrap();
    assert!(is_silent(&socket));
    assert_eq!((who(&socket, b""), who(&other, b"")), (CLIENT, LOOPBACK));
    assert!(server.log.take().is_empty());
    // A reload keeps what is known.
    server.adopt(server.build(".:0 {\n proxy use 60000 100\n play\n}"), server.bound.clone());
    assert_eq!(who(&socket, b""), CLIENT);
}

#[test]
fn sessions_end_and_are_limited_over_all_sockets_of_an_address() {
    let server = server("use 300 2");
    let sockets: Vec<UdpSocket> = (0..3).map(|_| server.udp()).collect();
    for socket in &sockets {
        assert_eq!(who(socket, &header(0x12)), CLIENT);
    }
    let known: Vec<IpAddr> = sockets.iter().map(|socket| who(socket, b"")).collect();
    assert_eq!(known, [LOOPBACK, CLIENT, CLIENT]);
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(who(&sockets[2], b""), LOOPBACK);
}

#[test]
fn without_sessions_a_header_alone_is_forgotten() {
    let server = server("use");
    let socket = server.udp();
    socket.send(&header(0x12)).unwrap();
    assert!(is_silent(&socket));
    assert_eq!(who(&socket, b""), LOOPBACK);
}

#[test]
fn proxies_may_come_and_go_with_a_reload() {
    let server = server("use");
    let socket = server.udp();
    assert_eq!(who(&socket, &header(0x12)), CLIENT);
    let mut old: TcpStream = server.tcp();
    // It is to be accepted before.
    std::thread::sleep(Duration::from_millis(100));
    server.adopt(server.build(".:0 {\n play\n}"), server.bound.clone());
    assert_eq!(rcode_of(&ask(&socket, &[header(0x12), asked(1, "who")].concat())), 4);
    // A connection keeps what counted when it came.
    old.write_all(&[header(0x11), frame(&asked(1, "who"))].concat()).unwrap();
    assert_eq!(address(&read_frame(&mut old).unwrap()), CLIENT);
}
