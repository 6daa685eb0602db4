//! Connections.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown};
use std::time::{Duration, Instant};

use catena_core::Rtype;
use catena_server::Limits;

use crate::harness::{
    PATIENCE, SILENCE, Server, address_of, frame, id_of, question, rcode_of, read_frame, send_frame, time_to_close,
};

const SIMPLE: &str = ".:0 {\n play\n}";

#[test]
fn a_frame_is_answered() {
    let server = Server::new(SIMPLE);
    let mut stream = server.tcp();
    send_frame(&mut stream, &question(7, "where.example.org", Rtype::A));
    let reply = read_frame(&mut stream).unwrap();
    assert_eq!((id_of(&reply), address_of(&reply)), (7, IpAddr::from([127, 0, 0, 1])));
}

#[test]
fn a_query_that_waits_is_overtaken() {
    let server = Server::new(SIMPLE);
    let mut stream = server.tcp();
    let mut both = frame(&question(1, "wait100.example.org", Rtype::A));
    both.extend(frame(&question(2, "a.example.org", Rtype::A)));
    stream.write_all(&both).unwrap();
    assert_eq!(id_of(&read_frame(&mut stream).unwrap()), 2);
    assert_eq!(id_of(&read_frame(&mut stream).unwrap()), 1);
}

#[test]
fn frames_that_come_octet_by_octet_are_answered() {
    let server = Server::new(SIMPLE);
    let mut stream = server.tcp();
    stream.set_nodelay(true).unwrap();
    for octet in frame(&question(7, "a.example.org", Rtype::A)) {
        stream.write_all(&[octet]).unwrap();
    }
    assert_eq!(id_of(&read_frame(&mut stream).unwrap()), 7);
}

#[test]
fn three_hundred_frames_in_one_write_are_all_answered() {
    let server = Server::new(SIMPLE);
    let mut stream = server.tcp();
    let all: Vec<u8> = (0..300).flat_map(|id| frame(&question(id, "a.example.org", Rtype::A))).collect();
    stream.write_all(&all).unwrap();
    for id in 0..300 {
        assert_eq!(id_of(&read_frame(&mut stream).unwrap()), id);
    }
}

#[test]
fn junk_and_empty_frames_get_nothing_and_the_connection_goes_on() {
    let server = Server::new(SIMPLE);
    let mut stream = server.tcp();
    let mut response = question(9, "a.example.org", Rtype::A);
    response[2] |= 0x80;
    for junk in [&[][..], b"junk", &response] {
        send_frame(&mut stream, junk);
    }
    send_frame(&mut stream, &question(7, "a.example.org", Rtype::A));
    assert_eq!(id_of(&read_frame(&mut stream).unwrap()), 7);
}

#[test]
fn a_frame_that_stays_cut_ends_the_connection_when_its_time_is_over() {
    let limits = Limits { read_timeout: Duration::from_millis(200), ..Limits::default() };
    let server = Server::limited(limits);
    let mut stream = server.tcp();
    let whole = frame(&question(7, "a.example.org", Rtype::A));
    stream.write_all(&whole[..20]).unwrap();
    assert!(time_to_close(&mut stream) < Duration::from_secs(2));
}

#[test]
fn a_cut_frame_at_the_end_gets_nothing() {
    let server = Server::new(SIMPLE);
    let mut stream = server.tcp();
    let mut sent = frame(&question(1, "a.example.org", Rtype::A));
    sent.extend(&frame(&question(2, "a.example.org", Rtype::A))[..9]);
    stream.write_all(&sent).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(id_of(&read_frame(&mut stream).unwrap()), 1);
    assert!(time_to_close(&mut stream) < PATIENCE);
}

#[test]
fn a_client_that_sends_no_more_still_gets_what_it_asked() {
    let server = Server::new(SIMPLE);
    let mut stream = server.tcp();
    send_frame(&mut stream, &question(1, "wait100.example.org", Rtype::A));
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(id_of(&read_frame(&mut stream).unwrap()), 1);
    assert!(time_to_close(&mut stream) < PATIENCE);
}

#[test]
fn the_first_query_has_the_read_timeout_and_later_ones_the_idle_timeout() {
    let limits = Limits {
        read_timeout: Duration::from_millis(150),
        idle_timeout: Duration::from_millis(600),
        ..Limits::default()
    };
    let server = Server::limited(limits);
    let mut silent = server.tcp();
    let before = time_to_close(&mut silent);
    assert!(before < Duration::from_millis(500), "{before:?}");
    let mut talking = server.tcp();
    send_frame(&mut talking, &question(1, "a.example.org", Rtype::A));
    read_frame(&mut talking).unwrap();
    let after = time_to_close(&mut talking);
    assert!(after > Duration::from_millis(400), "{after:?}");
}

#[test]
fn a_query_in_flight_keeps_its_connection_open() {
    let limits = Limits { idle_timeout: Duration::from_millis(50), ..Limits::default() };
    let server = Server::limited(limits);
    let mut stream = server.tcp();
    send_frame(&mut stream, &question(1, "wait300.example.org", Rtype::A));
    assert_eq!(id_of(&read_frame(&mut stream).unwrap()), 1);
}

#[test]
fn one_connection_more_than_may_be_takes_the_place_of_the_longest_idle() {
    let server = Server::limited(Limits { connections_max: 2, ..Limits::default() });
    let mut streams: Vec<_> = (0..2).map(|_| server.tcp()).collect();
    for at in [0, 1, 0] {
        send_frame(&mut streams[at], &question(1, "a.example.org", Rtype::A));
        read_frame(&mut streams[at]).unwrap();
    }
    let mut newest = server.tcp();
    send_frame(&mut newest, &question(2, "a.example.org", Rtype::A));
    assert_eq!(id_of(&read_frame(&mut newest).unwrap()), 2);
    assert!(time_to_close(&mut streams[1]) < PATIENCE);
    send_frame(&mut streams[0], &question(3, "a.example.org", Rtype::A));
    assert_eq!(id_of(&read_frame(&mut streams[0]).unwrap()), 3);
    assert_eq!(server.counter("catena_queries_shed_total", &["connections"]), 1.0);
}

#[test]
fn when_no_connection_is_idle_a_new_one_is_refused() {
    let server = Server::limited(Limits { connections_max: 1, ..Limits::default() });
    let mut busy = server.tcp();
    send_frame(&mut busy, &question(1, "wait300.example.org", Rtype::A));
    std::thread::sleep(SILENCE);
    let mut refused = server.tcp();
    assert!(time_to_close(&mut refused) < Duration::from_secs(2));
    assert_eq!(id_of(&read_frame(&mut busy).unwrap()), 1);
}

#[test]
fn as_many_queries_as_may_be_in_flight_hold_back_the_next() {
    let server = Server::limited(Limits { connection_queries_max: 2, ..Limits::default() });
    let mut stream = server.tcp();
    for (id, name) in [(1, "wait150.example.org"), (2, "wait150.example.org"), (3, "a.example.org")] {
        send_frame(&mut stream, &question(id, name, Rtype::A));
    }
    let order: Vec<u16> = (0..3).map(|_| id_of(&read_frame(&mut stream).unwrap())).collect();
    assert_ne!(order[0], 3, "{order:?}");
}

#[test]
fn connections_wait_for_room_when_the_worker_has_none() {
    let server = Server::limited(Limits { tasks_max: 1, ..Limits::default() });
    let (mut first, mut second) = (server.tcp(), server.tcp());
    send_frame(&mut first, &question(1, "wait200.example.org", Rtype::A));
    std::thread::sleep(Duration::from_millis(50));
    send_frame(&mut second, &question(2, "wait1.example.org", Rtype::A));
    assert_eq!(rcode_of(&read_frame(&mut second).unwrap()), 0);
    assert_eq!(rcode_of(&read_frame(&mut first).unwrap()), 0);
}

#[test]
fn a_client_that_does_not_read_is_not_read_either_and_closed_at_last() {
    let server = Server::limited(Limits { write_timeout: Duration::from_millis(300), ..Limits::default() });
    let mut stream = server.tcp();
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let big = frame(&question(1, "big1000.example.org", Rtype::A));
    let start = Instant::now();
    let mut failed = false;
    // Each query is small and its reply is not: without back-pressure all of these would be taken.
    while start.elapsed() < Duration::from_secs(20) && !failed {
        failed = stream.write_all(&big).is_err();
    }
    assert!(failed, "the server took everything");
}

#[test]
fn a_client_that_asks_on_and_never_reads_is_closed_by_the_write_timeout() {
    let limits = Limits {
        write_timeout: Duration::from_millis(500),
        idle_timeout: Duration::from_secs(30),
        ..Limits::default()
    };
    let server = Server::limited(limits);
    let queries = frame(&question(1, "a.example.org", Rtype::A)).repeat(4_000_000 / 33);
    let mut greedy: Vec<_> = (0..4).map(|_| server.tcp()).collect();
    for stream in &mut greedy {
        stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        // How much of it is taken depends on the buffers of the system.
        let _ = stream.write_all(&queries);
    }
    let start = Instant::now();
    // What it sent is not all read, so the end of the connection comes as a reset, which shows without reading.
    while !greedy.is_empty() {
        greedy.retain(|stream| stream.take_error().unwrap().is_none());
        assert!(start.elapsed() < Duration::from_secs(20), "a connection is kept");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn replies_that_wait_for_slow_clients_have_a_limit() {
    let server = Server::limited(Limits { queued_octets_max: 100_000, ..Limits::default() });
    let mut slow: Vec<_> = (0..4).map(|_| server.tcp()).collect();
    let big = frame(&question(1, "big4000.example.org", Rtype::A)).repeat(200);
    for stream in &mut slow {
        stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        socket2::SockRef::from(&*stream).set_recv_buffer_size(4096).unwrap();
        // How much of it is taken depends on the buffers of the system.
        let _ = stream.write_all(&big);
    }
    let start = Instant::now();
    while server.counter("catena_queries_shed_total", &["output"]) < 1.0 {
        assert!(start.elapsed() < Duration::from_secs(20), "every reply is kept");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut other = server.tcp();
    send_frame(&mut other, &question(2, "a.example.org", Rtype::A));
    assert_eq!(id_of(&read_frame(&mut other).unwrap()), 2);
}

#[test]
fn a_reply_of_64_kib_comes_whole() {
    let server = Server::new(SIMPLE);
    let mut stream = server.tcp();
    send_frame(&mut stream, &question(1, "big4000.example.org", Rtype::A));
    let reply = read_frame(&mut stream).unwrap();
    assert!(reply.len() > 60_000);
}

#[test]
fn a_closed_connection_drops_its_queries() {
    let server = Server::limited(Limits { tasks_max: 1, ..Limits::default() });
    let mut gone = server.tcp();
    send_frame(&mut gone, &question(1, "never.example.org", Rtype::A));
    std::thread::sleep(Duration::from_millis(50));
    // Closing with something unread resets the connection: no reply can be delivered.
    socket_linger_zero(&gone);
    drop(gone);
    let mut next = server.tcp();
    send_frame(&mut next, &question(2, "wait1.example.org", Rtype::A));
    assert_eq!(rcode_of(&read_frame(&mut next).unwrap()), 0);
}

fn socket_linger_zero(stream: &std::net::TcpStream) {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn stopping_answers_what_is_in_flight_and_closes() {
    let mut server = Server::new(SIMPLE);
    let mut stream = server.tcp();
    send_frame(&mut stream, &question(1, "wait150.example.org", Rtype::A));
    std::thread::sleep(Duration::from_millis(50));
    server.stop(Duration::from_secs(5));
    assert_eq!(id_of(&read_frame(&mut stream).unwrap()), 1);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn the_messages_of_a_stream_come_in_order_with_other_replies_between() {
    let server = Server::new(SIMPLE);
    let mut stream = server.tcp();
    send_frame(&mut stream, &question(1, "stream12.example.org", Rtype::AXFR));
    send_frame(&mut stream, &question(2, "a.example.org", Rtype::A));
    let ids: Vec<u16> = (0..13).map(|_| id_of(&read_frame(&mut stream).unwrap())).collect();
    assert_eq!(ids.iter().filter(|id| **id == 1).count(), 12);
    assert!(ids.contains(&2));
}

#[test]
fn a_stream_is_not_pulled_further_than_its_client_takes() {
    let server = Server::new(SIMPLE);
    let mut lazy = server.tcp();
    send_frame(&mut lazy, &question(1, "stream100000.example.org", Rtype::AXFR));
    std::thread::sleep(Duration::from_millis(400));
    let mut other = server.tcp();
    send_frame(&mut other, &question(2, "stream1.example.org", Rtype::AXFR));
    let message = read_frame(&mut other).unwrap();
    // The TTL of the one record tells how many messages were made before, by either stream.
    let at = message.len() - 30_000 - 6;
    let pulled = u32::from_be_bytes(message[at..at + 4].try_into().unwrap());
    assert!((2..1000).contains(&pulled), "{pulled} messages of 30,000 octets were made for a client that takes none");
}

#[test]
fn a_client_that_takes_nothing_of_a_stream_is_closed_by_the_write_timeout() {
    let server = Server::limited(Limits { write_timeout: Duration::from_millis(300), ..Limits::default() });
    let mut lazy = server.tcp();
    send_frame(&mut lazy, &question(1, "stream100000.example.org", Rtype::AXFR));
    std::thread::sleep(Duration::from_millis(900));
    // What the system holds still comes, and then the end.
    let taken = std::iter::from_fn(|| read_frame(&mut lazy)).count();
    assert!(taken < 1000, "{taken} messages of 30,000 octets came");
}

/// How many messages a client gets that takes one every ms until the stream ends, and how long that takes.
fn taken_slowly(limits: Limits) -> (usize, Duration) {
    let server = Server::limited(limits);
    let mut slow = server.tcp();
    send_frame(&mut slow, &question(1, "stream1000.example.org", Rtype::AXFR));
    // Keeps the connection busy until after the last message.
    send_frame(&mut slow, &question(2, "wait3000.example.org", Rtype::A));
    let (start, mut taken) = (Instant::now(), 0);
    while let Some(message) = read_frame(&mut slow) {
        if id_of(&message) == 2 {
            break;
        }
        taken += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    (taken, start.elapsed())
}

#[test]
fn a_stream_that_takes_too_long_as_a_whole_ends_however_steadily_it_is_taken() {
    let (taken, _) = taken_slowly(Limits::default());
    assert_eq!(taken, 1000);
    let (taken, elapsed) = taken_slowly(Limits { stream_timeout: Duration::from_millis(100), ..Limits::default() });
    assert!(taken < 1000 && elapsed < Duration::from_secs(5), "{taken} messages in {elapsed:?}");
}

#[test]
fn a_stream_that_breaks_closes_the_connection_so_that_nobody_takes_it_for_whole() {
    let server = Server::new(SIMPLE);
    let mut stream = server.tcp();
    send_frame(&mut stream, &question(1, "break3.example.org", Rtype::AXFR));
    assert!(read_frame(&mut stream).is_some());
    assert!(read_frame(&mut stream).is_some());
    assert!(read_frame(&mut stream).is_none());
    assert_eq!(server.counter("coredns_panics_total", &[]), 1.0);
}
