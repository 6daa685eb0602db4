//! What directives set for the sockets of a listener.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use catena_core::prelude::*;
use catena_core::{MessageLimit, NoLog, ReplyQueue, SocketCount, Timeouts};
use catena_server::{Limits, rebind, sockets_of};

use crate::harness::{PATIENCE, PLAY, Server, ask, frame, id_of, question, read_frame, send_frame, time_to_close};

/// `times READ_MS IDLE_MS` and perhaps the number of messages.
const TIMES: PluginDef = PluginDef::new("times", |cx| {
    let numbers = numbers(cx);
    let time = |at: usize| numbers.get(at).map(|ms| Duration::from_millis(*ms));
    let messages = numbers.get(2).map(|count| MessageLimit::AtMost(*count));
    cx.block_settings().sockets.timeouts = Timeouts { read: time(0), idle: time(1), write: None, messages };
    Ok(())
});

/// `sockets COUNT`
const SOCKETS: PluginDef = PluginDef::new("sockets", |cx| {
    let count = numbers(cx).first().and_then(|count| NonZeroU16::new(u16::try_from(*count).ok()?));
    cx.block_settings().sockets.count = count.map(SocketCount::AtLeast);
    Ok(())
});

/// Replies wait in a queue that forgets.
const QUEUE: PluginDef = PluginDef::new("queue", |cx| {
    let dropped = cx.metrics().counter("dropped", "dropped", &["server", "reason"]);
    cx.block_settings().sockets.reply_queue = Some(ReplyQueue { dropped });
    Ok(())
});

fn numbers(cx: &Setup<'_>) -> Vec<u64> {
    let mut words = cx.cursor();
    words.next();
    words.remaining_args().iter().map(|word| word.parse().unwrap()).collect()
}

fn with_times(times: &str) -> Server {
    let corefile = format!(".:0 {{\n times {times}\n play\n}}");
    Server::with([TIMES, PLAY], &corefile, 1, Limits::default(), Some("127.0.0.1"))
}

fn id(stream: &mut TcpStream) -> Option<u16> {
    read_frame(stream).map(|reply| id_of(&reply))
}

#[test]
fn the_first_query_has_the_time_for_reading_and_later_ones_the_time_for_idling() {
    let server = with_times("200 700");
    let mut silent = server.tcp();
    let mut asks = server.tcp();
    send_frame(&mut asks, &question(1, "a.example.org", Rtype::A));
    assert_eq!(id(&mut asks), Some(1));
    let first = time_to_close(&mut silent);
    assert!(first < Duration::from_millis(600), "{first:?}");
    std::thread::sleep(Duration::from_millis(200));
    send_frame(&mut asks, &question(2, "a.example.org", Rtype::A));
    assert_eq!(id(&mut asks), Some(2));
    let later = time_to_close(&mut asks);
    assert!(later > Duration::from_millis(500) && later < Duration::from_secs(2), "{later:?}");
}

#[test]
fn a_connection_ends_after_its_share_of_messages_junk_included() {
    let server = with_times("2000 2000 3");
    let mut stream = server.tcp();
    let junk = frame(b"junk");
    let asked = [1, 2, 3].map(|id| frame(&question(id, "a.example.org", Rtype::A)));
    stream.write_all(&[&asked[0][..], &junk, &asked[1], &asked[2]].concat()).unwrap();
    assert_eq!((id(&mut stream), id(&mut stream), id(&mut stream)), (Some(1), Some(2), None));
}

#[test]
fn the_last_query_of_a_connection_is_answered_however_long_that_takes() {
    let server = with_times("2000 100 2");
    let mut stream = server.tcp();
    send_frame(&mut stream, &question(1, "wait400.example.org", Rtype::A));
    send_frame(&mut stream, &question(2, "stream3.example.org", Rtype::AXFR));
    let ids: Vec<_> = (0..5).map(|_| id(&mut stream)).collect();
    assert_eq!(ids, [Some(2), Some(2), Some(2), Some(1), None]);
}

#[test]
fn new_times_count_for_connections_that_are_open() {
    let server = with_times("5000 5000");
    let mut stream = server.tcp();
    send_frame(&mut stream, &question(1, "a.example.org", Rtype::A));
    assert_eq!(id(&mut stream), Some(1));
    server.adopt(server.build(".:0 {\n times 200 200\n play\n}"), server.bound.clone());
    send_frame(&mut stream, &question(2, "a.example.org", Rtype::A));
    assert_eq!(id(&mut stream), Some(2));
    assert!(time_to_close(&mut stream) < Duration::from_secs(2));
}

#[test]
fn every_worker_has_the_same_number_of_sockets_one_at_least() {
    let at_least = |count| NonZeroU16::new(count).map(SocketCount::AtLeast);
    let counts = [None, Some(SocketCount::Workers), at_least(1), at_least(4), at_least(5), at_least(1024)];
    assert_eq!(counts.map(|count| sockets_of(count, 4)), [4, 4, 4, 4, 8, 1024]);
}

/// A socket with a port of its own, so that the kernel may choose another socket of the server for it.
fn clients(server: &Server, count: u16) -> Vec<UdpSocket> {
    (0..count).map(|_| server.udp()).collect()
}

fn all_are_answered(server: &Server) {
    for (id, socket) in (0..).zip(clients(server, 40)) {
        assert_eq!(id_of(&ask(&socket, &question(id, "a.example.org", Rtype::A))), id);
    }
    for id in 0..20 {
        let mut stream = server.tcp();
        send_frame(&mut stream, &question(id, "a.example.org", Rtype::A));
        assert_eq!(read_frame(&mut stream).map(|reply| id_of(&reply)), Some(id));
    }
}

#[test]
fn all_sockets_of_an_address_share_its_port_and_are_read() {
    let server = Server::with([SOCKETS, PLAY], ".:0 {\n sockets 5\n play\n}", 2, Limits::default(), Some("127.0.0.1"));
    assert_eq!(server.bound[0].count(), 6);
    all_are_answered(&server);
}

#[test]
fn a_reload_changes_the_number_of_sockets_and_keeps_connections_of_those_that_stay() {
    let corefile = ".:0 {\n sockets 2\n play\n}";
    let mut server = Server::with([SOCKETS, PLAY], corefile, 2, Limits::default(), Some("127.0.0.1"));
    let mut streams: Vec<TcpStream> = (0..8).map(|_| server.tcp()).collect();
    let log = catena_core::Log::new(Arc::new(NoLog));
    for count in [6, 2] {
        let bound = Arc::new(rebind(&server.bound[0], count, &log).unwrap());
        assert_eq!((bound.count(), bound.local_addr()), (count, server.bound[0].local_addr()));
        server.bound = vec![bound];
        server.adopt(server.build(corefile), server.bound.clone());
        all_are_answered(&server);
        for (id, stream) in (0..).zip(&mut streams) {
            send_frame(stream, &question(id, "a.example.org", Rtype::A));
            assert_eq!(read_frame(stream).map(|reply| id_of(&reply)), Some(id));
        }
    }
}

#[test]
fn a_queue_that_forgets_forgets_nothing_without_load() {
    let server = Server::with([QUEUE, PLAY], ".:0 {\n queue\n play\n}", 1, Limits::default(), Some("127.0.0.1"));
    let socket = server.udp();
    for id in 0..200 {
        socket.send(&question(id, "a.example.org", Rtype::A)).unwrap();
    }
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut ids: Vec<u16> = (0..200).map(|_| id_of(&crate::harness::receive(&socket).unwrap())).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..200).collect::<Vec<_>>());
    assert!(server.counter("dropped", &["response"]) < 0.5);
}
