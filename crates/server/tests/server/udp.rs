//! Datagrams.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use catena_core::Rtype;
use catena_server::Limits;

use crate::harness::{PATIENCE, PLAY, Server, address_of, ask, id_of, is_silent, padded, question, rcode_of, receive};

const SIMPLE: &str = ".:0 {\n play\n}";

#[test]
fn a_datagram_is_answered() {
    let server = Server::new(SIMPLE);
    let reply = ask(&server.udp(), &question(7, "a.example.org", Rtype::A));
    assert_eq!((id_of(&reply), rcode_of(&reply), address_of(&reply)), (7, 0, IpAddr::from([192, 0, 2, 1])));
}

#[test]
fn two_hundred_datagrams_at_once_are_all_answered() {
    let server = Server::new(SIMPLE);
    let socket = server.udp();
    for id in 0..200 {
        socket.send(&question(id, "a.example.org", Rtype::A)).unwrap();
    }
    let mut ids: Vec<u16> = (0..200).map(|_| id_of(&receive(&socket).expect("a reply"))).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..200).collect::<Vec<_>>());
}

#[test]
fn a_query_that_waits_is_answered_after_one_that_does_not() {
    let server = Server::new(SIMPLE);
    let socket = server.udp();
    socket.send(&question(1, "wait50.example.org", Rtype::A)).unwrap();
    socket.send(&question(2, "a.example.org", Rtype::A)).unwrap();
    assert_eq!(id_of(&receive(&socket).unwrap()), 2);
    assert_eq!(id_of(&receive(&socket).unwrap()), 1);
}

#[test]
fn a_query_of_600_octets_is_answered() {
    let server = Server::new(SIMPLE);
    let reply = ask(&server.udp(), &padded(7, "a.example.org", 1232, 560));
    assert_eq!((id_of(&reply), rcode_of(&reply)), (7, 0));
}

#[test]
fn the_longest_query_is_answered_and_a_longer_one_is_a_format_error() {
    let server = Server::new(SIMPLE);
    let socket = server.udp();
    let rest = u16::try_from(4096 - padded(0, "a.example.org", 1232, 0).len()).unwrap();
    let longest = padded(1, "a.example.org", 1232, rest);
    assert_eq!(longest.len(), 4096);
    assert_eq!(rcode_of(&ask(&socket, &longest)), 0);
    let reply = ask(&socket, &padded(2, "a.example.org", 1232, rest + 1));
    assert_eq!((id_of(&reply), rcode_of(&reply)), (2, 1));
}

#[test]
fn what_is_no_query_gets_nothing_and_the_next_one_its_answer() {
    let server = Server::new(SIMPLE);
    let socket = server.udp();
    socket.send(&[]).unwrap();
    socket.send(&[1, 2, 3]).unwrap();
    let mut response = question(9, "a.example.org", Rtype::A);
    response[2] |= 0x80;
    socket.send(&response).unwrap();
    let reply = ask(&socket, &question(5, "a.example.org", Rtype::A));
    assert_eq!(id_of(&reply), 5);
    assert!(is_silent(&socket));
}

#[test]
fn a_header_without_its_question_is_a_server_failure_without_question() {
    let server = Server::new(SIMPLE);
    let reply = ask(&server.udp(), &question(7, "", Rtype::A)[..12]);
    assert_eq!(reply, [0, 7, 0x81, 2, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(server.counter("coredns_dns_responses_total", &["dropped", "SERVFAIL"]), 1.0);
}

#[test]
fn a_question_cut_short_is_a_format_error() {
    let server = Server::new(SIMPLE);
    let message = question(7, "a.example.org", Rtype::A);
    let reply = ask(&server.udp(), &message[..message.len() - 3]);
    assert_eq!((id_of(&reply), rcode_of(&reply)), (7, 1));
}

#[test]
fn a_large_reply_is_cut_to_what_the_client_takes() {
    let server = Server::new(SIMPLE);
    let socket = server.udp();
    let cut = ask(&socket, &question(1, "big60.example.org", Rtype::A));
    assert!(cut.len() <= 512 && cut[2] & 2 != 0);
    let whole = ask(&socket, &padded(2, "big60.example.org", 4096, 0));
    assert!(whole.len() > 512 && whole[2] & 2 == 0);
}

#[test]
fn a_reply_leaves_a_wildcard_socket_from_the_address_that_was_asked() {
    let server = Server::with([PLAY], SIMPLE, 1, Limits::default(), None);
    for asked in ["127.0.0.1", "127.0.0.2"] {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // Both a reply made at once and one that waited.
        for name in ["where.example.org", "wait5.example.org"] {
            socket.send_to(&question(1, name, Rtype::A), (asked, server.port())).unwrap();
            let mut reply = [0; 512];
            let (len, from) = socket.recv_from(&mut reply).unwrap();
            assert_eq!(from.ip().to_string(), asked);
            if name.starts_with("where") {
                assert_eq!(address_of(&reply[..len]).to_string(), asked);
            }
        }
    }
}

#[test]
fn a_wildcard_socket_answers_over_ipv6() {
    let Ok(socket) = UdpSocket::bind("[::1]:0") else { return };
    let server = Server::with([PLAY], SIMPLE, 1, Limits::default(), None);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(("::1", server.port())).unwrap();
    assert_eq!(id_of(&ask(&socket, &question(3, "a.example.org", Rtype::A))), 3);
}

#[test]
fn one_query_more_than_may_wait_is_told_so_and_counted() {
    let server = Server::limited(Limits { tasks_max: 2, ..Limits::default() });
    let socket = server.udp();
    socket.send(&question(1, "wait200.example.org", Rtype::A)).unwrap();
    socket.send(&question(2, "wait200.example.org", Rtype::A)).unwrap();
    let shed = ask(&socket, &question(3, "wait200.example.org", Rtype::A));
    assert_eq!((id_of(&shed), rcode_of(&shed)), (3, 2));
    assert_eq!(server.counter("catena_queries_shed_total", &["tasks"]), 1.0);
    // What does not wait is answered all the same.
    assert_eq!(rcode_of(&ask(&socket, &question(4, "a.example.org", Rtype::A))), 0);
    let mut late =
        [receive(&socket).unwrap(), receive(&socket).unwrap()].map(|reply| (id_of(&reply), rcode_of(&reply)));
    late.sort_unstable();
    assert_eq!(late, [(1, 0), (2, 0)]);
    // There is room again.
    assert_eq!(rcode_of(&ask(&socket, &question(5, "wait1.example.org", Rtype::A))), 0);
}

#[test]
fn a_client_that_cannot_be_reached_costs_the_others_nothing() {
    let server = Server::new(SIMPLE);
    let socket = server.udp();
    let gone = server.udp();
    gone.send(&question(1, "wait20.example.org", Rtype::A)).unwrap();
    drop(gone);
    std::thread::sleep(Duration::from_millis(60));
    for id in 0..20 {
        assert_eq!(id_of(&ask(&socket, &question(id, "a.example.org", Rtype::A))), id);
    }
}

#[test]
fn a_reply_too_long_for_a_datagram_costs_the_others_nothing() {
    let server = Server::new(SIMPLE);
    let socket = server.udp();
    // 4,200 records are more than 65,507 octets; the client says that it takes them.
    let reply = ask(&socket, &padded(1, "big4200.example.org", 65_535, 0));
    assert!(reply.len() <= 65_507 && reply[2] & 2 != 0);
    assert_eq!(id_of(&ask(&socket, &question(2, "a.example.org", Rtype::A))), 2);
}

#[test]
fn what_is_in_flight_is_answered_when_the_server_stops() {
    let mut server = Server::new(SIMPLE);
    let socket = server.udp();
    socket.send(&question(1, "wait100.example.org", Rtype::A)).unwrap();
    // The query has to be read before reading stops.
    assert_eq!(id_of(&ask(&socket, &question(2, "a.example.org", Rtype::A))), 2);
    server.stop(Duration::from_secs(5));
    assert_eq!(id_of(&receive(&socket).unwrap()), 1);
}

#[test]
fn stopping_does_not_wait_longer_than_its_limit() {
    let mut server = Server::new(SIMPLE);
    let socket = server.udp();
    socket.send(&question(1, "never.example.org", Rtype::A)).unwrap();
    assert_eq!(id_of(&ask(&socket, &question(2, "a.example.org", Rtype::A))), 2);
    let start = std::time::Instant::now();
    server.stop(Duration::from_millis(100));
    assert!(start.elapsed() < Duration::from_secs(3));
}
