//! Many queries at once, which share sockets, and an upstream that does not make it easy.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use catena_testkit::{Ask, Kit, Seen};
use catena_upstream::{LANES_FROM, LANES_MAX, SKIPPED_MAX};

use super::{Fake, address};
use crate::PLUGIN;

/// So many queries are sent before the upstream must have seen them: a socket of the system holds only so many.
const GROUP: usize = 100;

/// An upstream that a test answers for: it is handed the queries, each with where it came from, when there are so many.
struct Crowd {
    addr: SocketAddr,
    seen: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

type Asked = (Vec<u8>, SocketAddr);

impl Crowd {
    fn new(wanted: usize, answer: impl Fn(&UdpSocket, &mut Vec<Asked>) + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let addr = socket.local_addr().unwrap();
        let (seen, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (counter, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        std::thread::spawn(move || {
            let (mut asked, mut buffer) = (Vec::new(), [0; 512]);
            while !stopped.load(Ordering::SeqCst) {
                let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
                asked.push((buffer[..len].to_vec(), from));
                counter.fetch_add(1, Ordering::SeqCst);
                if asked.len() >= wanted {
                    answer(&socket, &mut asked);
                }
            }
        });
        Self { addr, seen, stop }
    }
}

/// The reply with the address 192.0.HIGH.LOW, the number that the name begins with.
fn reply_to(query: &[u8]) -> Vec<u8> {
    let label = &query[13..13 + usize::from(query[12])];
    let number: u16 = std::str::from_utf8(label).unwrap().parse().unwrap();
    let mut reply = query.to_vec();
    reply[2] |= 0x80;
    reply[7] = 1;
    reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0]);
    reply.extend(number.to_be_bytes());
    reply
}

/// Asks for the names of these numbers at once, and waits until each query is answered. `sent` waits for so many to have gone out.
#[allow(clippy::disallowed_methods)]
fn ask_all(kit: &Kit, numbers: std::ops::Range<usize>, sent: impl Fn(usize)) -> Vec<Seen> {
    kit.run(async {
        let mut under_way = Vec::new();
        for number in numbers {
            let mut query = kit.query(0, &Ask::new(&format!("{number}.example.org A")));
            let instance = Arc::clone(kit.instance());
            under_way.push(tokio::spawn(async move {
                let reply = instance.serve(&mut query).await;
                Kit::see(&mut query, reply)
            }));
            if under_way.len() % GROUP == 0 {
                for _ in 0..5 {
                    tokio::task::yield_now().await;
                }
                sent(under_way.len());
            }
        }
        let mut seen = Vec::new();
        for query in under_way {
            seen.push(tokio::time::timeout(Duration::from_secs(20), query).await.unwrap().unwrap());
        }
        seen
    })
}

fn wait_for(seen: &AtomicUsize, wanted: usize) {
    for _ in 0..2000 {
        if seen.load(Ordering::SeqCst) >= wanted {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("{} of {wanted} queries came", seen.load(Ordering::SeqCst));
}

fn assert_each_has_its_own(seen: &[Seen]) {
    for (number, seen) in seen.iter().enumerate() {
        let [high, low] = u16::try_from(number).unwrap().to_be_bytes();
        assert_eq!(address(seen), Some(&*format!("192.0.{high}.{low}")), "{:?}", seen.error);
    }
}

#[test]
fn a_thousand_queries_in_flight_are_answered_in_reverse_on_few_sockets() {
    const COUNT: usize = 1000;
    let crowd = Crowd::new(COUNT, |socket, asked| {
        let mut ports: Vec<_> = asked.iter().map(|(_, from)| from.port()).collect();
        ports.sort_unstable();
        ports.dedup();
        assert!(ports.len() <= LANES_FROM + LANES_MAX, "{} sockets", ports.len());
        for (sent, (query, from)) in asked.drain(..).rev().enumerate() {
            socket.send_to(&reply_to(&query), from).unwrap();
            if sent % GROUP == 0 {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    });
    let kit = Kit::of([PLUGIN], &format!("forward . {} {{\n read_timeout 10s\n}}", crowd.addr));
    let seen = ask_all(&kit, 0..COUNT, |sent| wait_for(&crowd.seen, sent));
    assert_each_has_its_own(&seen);
    let labels = format!("{{proto=\"udp\",proxy_name=\"forward\",to=\"{}\"}}", crowd.addr);
    let misses = kit.metric(&format!("coredns_proxy_conn_cache_misses_total{labels}")).unwrap();
    let hits = kit.metric(&format!("coredns_proxy_conn_cache_hits_total{labels}")).unwrap();
    assert!(misses <= (LANES_FROM + LANES_MAX) as f64, "{misses}");
    assert_eq!(hits + misses, COUNT as f64);
}

#[test]
fn junk_between_the_replies_is_passed_over() {
    const COUNT: usize = 200;
    let crowd = Crowd::new(COUNT, |socket, asked| {
        let used: Vec<_> = asked.iter().map(|(query, _)| [query[0], query[1]]).collect();
        let unused = (0..=u16::MAX).map(u16::to_be_bytes).find(|id| !used.contains(id)).unwrap();
        for (sent, (query, from)) in asked.drain(..).enumerate() {
            let reply = reply_to(&query);
            // Another id, less than a header.
            socket.send_to(&[&unused, &reply[2..]].concat(), from).unwrap();
            socket.send_to(&reply[..7], from).unwrap();
            socket.send_to(&reply, from).unwrap();
            if sent % 10 == 0 {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    });
    let kit = Kit::of([PLUGIN], &format!("forward . {} {{\n read_timeout 10s\n}}", crowd.addr));
    let seen = ask_all(&kit, 0..COUNT, |sent| wait_for(&crowd.seen, sent));
    assert_each_has_its_own(&seen);
}

#[test]
fn replies_to_another_question_are_formerr_at_once_on_sockets_of_whatever_kind() {
    const COUNT: usize = 2 * SKIPPED_MAX;
    let crowd = Crowd::new(GROUP, |socket, asked| {
        for (query, from) in asked.drain(..) {
            let mut reply = reply_to(&query);
            let number = u16::from_be_bytes([reply[reply.len() - 2], reply[reply.len() - 1]]);
            // The type of some, the name of others, the bit of replies; every fourth is right.
            let (at, bit) =
                [(13 + usize::from(query[12]) + 14, 2), (13, 1), (2, 0x80), (1, 0)][usize::from(number % 4)];
            reply[at] ^= bit;
            socket.send_to(&reply, from).unwrap();
        }
    });
    let kit = Kit::of([PLUGIN], &format!("forward . {} {{\n read_timeout 60s\n}}", crowd.addr));
    let seen = ask_all(&kit, 0..COUNT, |sent| wait_for(&crowd.seen, sent));
    for (number, seen) in seen.iter().enumerate() {
        let expected = if number % 4 == 3 { "NOERROR" } else { "FORMERR" };
        assert_eq!(seen.rcode, expected, "{number}: {:?}", seen.error);
    }
}

#[test]
fn an_upstream_that_sends_each_reply_four_times_harms_nobody() {
    const COUNT: usize = 3000;
    let crowd = Crowd::new(GROUP, |socket, asked| {
        for (sent, (query, from)) in asked.drain(..).enumerate() {
            for _ in 0..4 {
                socket.send_to(&reply_to(&query), from).unwrap();
            }
            if sent % 10 == 0 {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    });
    let kit = Kit::of([PLUGIN], &format!("forward . {} {{\n read_timeout 10s\n}}", crowd.addr));
    let seen = ask_all(&kit, 0..COUNT, |sent| wait_for(&crowd.seen, sent));
    assert_each_has_its_own(&seen);
}

#[test]
fn an_upstream_that_floods_with_junk_fails_its_queries_and_is_asked_again_when_it_stops() {
    const COUNT: usize = 60;
    let flooding = Arc::new(AtomicBool::new(true));
    let is_flooding = Arc::clone(&flooding);
    let crowd = Crowd::new(1, move |socket, asked| {
        for (query, from) in asked.drain(..) {
            let mut reply = reply_to(&query);
            if !is_flooding.load(Ordering::SeqCst) {
                socket.send_to(&reply, from).unwrap();
                continue;
            }
            for number in 0..SKIPPED_MAX {
                reply[..2].copy_from_slice(&u16::try_from(number).unwrap().to_be_bytes());
                reply[13] = b'x';
                // Whoever floods does not care whether all of it arrives, or whether the port is still there.
                let _ = socket.send_to(&reply, from);
            }
        }
    });
    let body = format!("forward . {} {{\n max_fails 0\n max_connect_attempts 1\n read_timeout 3s\n}}", crowd.addr);
    let kit = Kit::of([PLUGIN], &body);
    let seen = ask_all(&kit, 0..COUNT, |_| ());
    assert!(seen.iter().all(|seen| seen.answer.is_empty()));
    assert!(seen.iter().any(|seen| seen.error.as_deref().is_some_and(|error| error.contains("another id"))));
    flooding.store(false, Ordering::SeqCst);
    kit.wait(Duration::from_millis(300));
    assert_each_has_its_own(&ask_all(&kit, 0..COUNT, |_| ()));
}

#[test]
fn nobody_there_is_told_to_all_queries() {
    let addr = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let body = format!("forward . {addr} {{\n max_fails 0\n max_connect_attempts 1\n}}");
    let seen = ask_all(&Kit::of([PLUGIN], &body), 0..100, |_| ());
    for seen in seen {
        assert_eq!(seen.rcode, "SERVFAIL");
        assert!(seen.error.as_deref().is_some_and(|error| error.ends_with("connection refused")), "{:?}", seen.error);
    }
}

#[test]
fn a_truncated_reply_on_a_shared_socket_is_asked_for_again_over_tcp() {
    let up = Fake::new(super::Act::Truncate([192, 0, 2, 9]));
    let kit = Kit::of([PLUGIN], &format!("forward . {} {{\n prefer_udp\n}}", up.addr));
    let seen = ask_all(&kit, 0..100, |_| ());
    assert!(seen.iter().all(|seen| address(seen) == Some("192.0.2.9")));
    let protocols = up.protocols();
    assert_eq!(protocols.iter().filter(|protocol| **protocol == "tcp").count(), 100);
}
