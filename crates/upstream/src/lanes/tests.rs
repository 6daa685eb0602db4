#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

use std::sync::atomic::{AtomicUsize, Ordering};

use catena_core::{Rtype, flags};
use catena_testkit::RealClock;

use super::asked::is_same_name;
use super::*;
use crate::driver::Driver;
use crate::message::write_question;

const LIFETIMES: Lifetimes = Lifetimes { expire: Duration::from_secs(10), max_age: None };
const PATIENCE: Duration = Duration::from_secs(5);

/// Lanes to a socket that the test answers with.
struct World {
    lanes: Arc<Lanes>,
    upstream: UdpSocket,
    start: Instant,
    opened: AtomicUsize,
}

impl World {
    async fn new() -> Self {
        let upstream = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        Self { lanes: Arc::default(), upstream, start: Instant::now(), opened: AtomicUsize::new(0) }
    }

    /// With a driver and this time for a reply.
    async fn driven(read_timeout: Duration) -> Self {
        let world = Self::new().await;
        world.lanes.lock().is_driven = true;
        // A driver ends when there is no socket.
        world.open_all(world.start);
        Driver::start(Arc::clone(&world.lanes), Arc::new(RealClock), read_timeout);
        world
    }

    fn terms(&self, age: Duration) -> Terms {
        Terms { now: self.start + age, lifetimes: LIFETIMES }
    }

    fn open(&self) -> Option<UdpSocket> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        crate::dial::udp(self.upstream.local_addr().unwrap(), None).ok()
    }

    /// Asks for a name of this number.
    fn ask(&self, number: usize, age: Duration) -> Option<Launched> {
        let label = number.to_string();
        let name = [&[u8::try_from(label.len()).unwrap()], label.as_bytes(), &[0]].concat();
        let write = |id, out: &mut Vec<u8>| {
            write_question(id, flags::RD, &name, Rtype::A, out);
            out.len()
        };
        self.lanes.launch((&name, 1, 1), &self.terms(age), write, || self.open())
    }

    fn ask_now(&self, number: usize) -> Launched {
        self.ask(number, Duration::ZERO).unwrap()
    }

    fn open_all(&self, now: Instant) {
        let terms = Terms { now, lifetimes: LIFETIMES };
        for place in 0..LANES_MAX {
            self.lanes.lock().find_open(place, &terms, || self.open());
        }
    }

    async fn asked(&self) -> (Vec<u8>, SocketAddr) {
        let mut message = vec![0; 512];
        let received = tokio::time::timeout(PATIENCE, self.upstream.recv_from(&mut message));
        let (len, from) = received.await.unwrap().unwrap();
        message.truncate(len);
        message[2] |= 0x80;
        (message, from)
    }

    async fn reply(&self, message: &[u8], to: SocketAddr) {
        self.upstream.send_to(message, to).await.unwrap();
    }
}

/// The socket that has queries in flight.
fn with_busy_lane<T>(lanes: &Lanes, look: impl FnOnce(&mut Lane) -> T) -> T {
    let mut state = lanes.lock();
    look(state.open.iter_mut().flatten().find(|lane| lane.is_waiting()).unwrap())
}

fn strays(lanes: &Lanes) -> usize {
    lanes.lock().open.iter().flatten().map(|lane| lane.strays).sum()
}

async fn landed(launched: &mut Launched) -> Landing {
    tokio::time::timeout(PATIENCE, launched).await.unwrap()
}

fn is_reply(landing: Landing) -> bool {
    matches!(landing, Landing::Reply(_))
}

#[tokio::test]
async fn replies_find_their_queries_in_any_order() {
    let world = World::driven(PATIENCE).await;
    let (mut one, mut other) = (world.ask_now(1), world.ask_now(2));
    let (first, second) = (world.asked().await, world.asked().await);
    world.reply(&second.0, second.1).await;
    world.reply(&first.0, first.1).await;
    assert!(is_reply(landed(&mut one).await) && is_reply(landed(&mut other).await));
    assert_eq!((one.read(|reply| reply[13]), other.read(|reply| reply[13])), (b'1', b'2'));
}

/// The octets with one bit another one.
fn with_bit(octets: &[u8], at: usize, bit: u8) -> Vec<u8> {
    let mut octets = octets.to_vec();
    octets[at] ^= bit;
    octets
}

#[tokio::test]
async fn a_reply_with_another_id_or_port_is_nobodys() {
    let world = World::driven(PATIENCE).await;
    let mut query = world.ask_now(1);
    let (right, from) = world.asked().await;
    world.reply(&with_bit(&right, 1, 1), from).await;
    world.reply(&right[..11], from).await;
    UdpSocket::bind("127.0.0.1:0").await.unwrap().send_to(&right, from).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut query).await.is_err());
    assert_eq!(strays(&world.lanes), 2);
    world.reply(&right, from).await;
    assert!(is_reply(landed(&mut query).await));
}

#[tokio::test]
async fn a_reply_to_another_question_ends_the_query_at_once_and_is_no_stray() {
    let world = World::driven(PATIENCE).await;
    // The bit of replies, the number of questions, the name, the type.
    for (at, bit) in [(2, 0x80), (5, 2), (13, 2), (16, 1)] {
        let mut query = world.ask_now(1);
        let (right, from) = world.asked().await;
        let wrong = with_bit(&right, at, bit);
        world.reply(&wrong, from).await;
        assert!(matches!(landed(&mut query).await, Landing::Mistaken(_)), "octet {at}");
        world.reply(&wrong, from).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(strays(&world.lanes), 0);
}

#[tokio::test]
async fn a_reply_without_a_question_ends_the_query_even_if_its_id_had_one_before() {
    let world = World::driven(PATIENCE).await;
    let mut query = world.ask_now(1);
    let (right, from) = world.asked().await;
    with_busy_lane(&world.lanes, |lane| lane.done.0.fill(NO_QUESTION));
    world.reply(&[&right[..4], &[0; 8]].concat(), from).await;
    assert!(matches!(landed(&mut query).await, Landing::Mistaken(_)));
}

#[tokio::test]
async fn copies_of_replies_are_no_strays_however_many_there_are() {
    let world = World::driven(PATIENCE).await;
    let mut waiting = world.ask_now(0);
    let (last, last_from) = world.asked().await;
    for number in 1..=SKIPPED_MAX {
        let mut query = world.ask_now(number);
        let (reply, from) = world.asked().await;
        for _ in 0..4 {
            world.reply(&reply, from).await;
        }
        assert!(is_reply(landed(&mut query).await), "{number}");
    }
    assert_eq!(strays(&world.lanes), 0);
    world.reply(&last, last_from).await;
    assert!(is_reply(landed(&mut waiting).await));
}

#[tokio::test]
async fn a_copy_of_a_reply_leaves_the_query_alone_that_has_its_id_now() {
    let world = World::driven(PATIENCE).await;
    let mut query = world.ask_now(1);
    let (right, from) = world.asked().await;
    let earlier = with_bit(&right, 13, 3);
    let id = u16::from_be_bytes([right[0], right[1]]);
    let seed = world.lanes.lock().seed.clone();
    with_busy_lane(&world.lanes, |lane| lane.done.set(id, tag_of(&earlier, &seed)));
    world.reply(&earlier, from).await;
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut query).await.is_err());
    world.reply(&right, from).await;
    assert!(is_reply(landed(&mut query).await));
}

#[tokio::test]
async fn the_case_of_the_name_may_differ() {
    assert!(is_same_name(b"\x01a\x00\x00\x01\x00\x01", b"\x01A\x00\x00\x01\x00\x01"));
    assert!(!is_same_name(b"\x01a\x00\x00A\x00\x01", b"\x01a\x00\x00a\x00\x01"));
    let seed = RandomState::default();
    let tag_with = |name: u8| tag_of(&[0, 7, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, name, 0, 0, 1, 0, 1], &seed);
    assert_eq!(tag_with(b'a'), tag_with(b'A'));
    assert_eq!(tag_with(b'a'), tag(seed.hash_one((b"\x01a\x00".as_slice(), 1_u16, 1_u16))));
}

#[tokio::test]
async fn the_time_for_a_reply_ends_and_the_id_is_free_again_and_a_late_reply_is_no_stray() {
    let world = World::driven(Duration::from_millis(32)).await;
    let mut silent = world.ask_now(1);
    let (reply, from) = world.asked().await;
    assert_eq!(landed(&mut silent).await, Landing::Late);
    drop(silent);
    for _ in 0..4 {
        world.reply(&reply, from).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let state = world.lanes.lock();
    assert!(!state.is_busy() && state.open.iter().flatten().all(|lane| lane.by_id.is_empty() && lane.strays == 0));
    assert_eq!(state.free.len(), state.flights.len());
}

#[tokio::test]
async fn a_question_is_not_asked_twice_at_once() {
    let world = World::driven(PATIENCE).await;
    let mut first = world.ask_now(1);
    assert!(world.ask(1, Duration::ZERO).is_none());
    let (reply, from) = world.asked().await;
    world.reply(&reply, from).await;
    landed(&mut first).await;
    assert!(world.ask(1, Duration::ZERO).is_some());
}

#[tokio::test]
async fn a_socket_has_so_many_queries_in_flight_and_no_more() {
    let world = World::new().await;
    world.open_all(world.start);
    let all: Vec<_> = (0..LANES_MAX * LANE_FLIGHTS_MAX * 2).map(|number| world.ask(number, Duration::ZERO)).collect();
    assert_eq!(all.iter().flatten().count(), LANES_MAX * LANE_FLIGHTS_MAX);
    let state = world.lanes.lock();
    assert!(state.open.iter().flatten().all(|lane| lane.by_id.len() == LANE_FLIGHTS_MAX));
    // Who found no room has left nothing behind.
    assert_eq!(state.asked.len(), LANES_MAX * LANE_FLIGHTS_MAX);
    drop(state);
}

#[tokio::test]
async fn a_socket_is_replaced_when_it_is_old_and_waits_for_its_last_replies() {
    let world = World::driven(PATIENCE).await;
    let mut early = world.ask_now(0);
    let (reply, from) = world.asked().await;
    for number in 1..200 {
        drop(world.ask(number, LANE_AGE_MAX));
    }
    assert_eq!(world.opened.load(Ordering::Relaxed), LANES_MAX);
    for number in 200..400 {
        drop(world.ask(number, LANE_AGE_MAX + Duration::from_nanos(1)));
    }
    assert_eq!(world.opened.load(Ordering::Relaxed), 2 * LANES_MAX);
    world.reply(&reply, from).await;
    assert!(is_reply(landed(&mut early).await));
}

#[tokio::test]
async fn an_old_socket_stays_while_too_many_others_wait_for_replies() {
    let world = World::new().await;
    let mut number = 0;
    for age in 0..10 {
        for _ in 0..100 {
            number += 1;
            std::mem::forget(world.ask(number, 2 * LANE_AGE_MAX * age));
        }
    }
    assert_eq!(world.lanes.lock().draining.len(), LANES_DRAINING_MAX);
    assert_eq!(world.opened.load(Ordering::Relaxed), LANES_MAX + LANES_DRAINING_MAX);
}

#[tokio::test]
async fn nobody_there_is_told_to_all_who_wait() {
    let world = World::driven(PATIENCE).await;
    let mut queries: Vec<_> = (0..20).map(|number| world.ask_now(number)).collect();
    drop(world.upstream);
    for query in &mut queries {
        let landing = landed(query).await;
        assert!(matches!(landing, Landing::Failed(_, REFUSED)), "{landing:?}");
    }
}

#[tokio::test]
async fn a_refusal_that_comes_after_the_query_was_sent_is_told_at_once() {
    let world = World::driven(PATIENCE).await;
    let mut query = world.ask_now(1);
    world.asked().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let World { lanes, upstream, .. } = world;
    drop(upstream);
    // What this host refuses, it refuses while it is being sent.
    with_busy_lane(&lanes, |lane| SockRef::from(&lane.socket).send(&[7; 12]).unwrap());
    assert_eq!(landed(&mut query).await, Landing::Failed(Step::Read, REFUSED));
}

/// ECONNREFUSED.
const REFUSED: i32 = 111;

#[tokio::test]
async fn half_of_so_many_strays_end_the_use_of_a_socket_and_all_and_one_its_queries() {
    let world = World::driven(PATIENCE).await;
    let mut query = world.ask_now(1);
    let (right, from) = world.asked().await;
    let mut wrong = right.clone();
    wrong[0] ^= 1;
    let spent = || world.lanes.lock().open.iter().flatten().filter(|lane| lane.is_spent).count();
    for count in 1..=SKIPPED_MAX {
        world.reply(&wrong, from).await;
        if count % 50 == 0 {
            // A socket holds only so many.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if count == SKIPPED_MAX / 2 {
            assert!(tokio::time::timeout(Duration::from_millis(20), &mut query).await.is_err());
            assert_eq!(spent(), 0);
        }
    }
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut query).await.is_err());
    assert_eq!(spent(), 1);
    world.reply(&wrong, from).await;
    assert_eq!(landed(&mut query).await, Landing::Strays);
    for number in 2..200 {
        drop(world.ask(number, Duration::ZERO));
    }
    assert_eq!(spent(), 0);
}

#[tokio::test]
async fn who_waits_no_longer_leaves_nothing_behind_when_the_reply_comes() {
    let world = World::driven(PATIENCE).await;
    drop(world.ask_now(1));
    let (reply, from) = world.asked().await;
    world.reply(&reply, from).await;
    for _ in 0..200 {
        if !world.lanes.lock().is_busy() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let state = world.lanes.lock();
    assert!(!state.is_busy());
    assert_eq!(state.free.len(), state.flights.len());
    assert!(state.open.iter().flatten().all(|lane| lane.strays == 0));
}

#[tokio::test]
async fn a_sweep_closes_what_rests_and_the_driver_ends_with_the_last_socket() {
    let world = World::driven(PATIENCE).await;
    world.lanes.sweep(&world.terms(LANE_AGE_MAX));
    tokio::task::yield_now().await;
    assert!(world.lanes.lock().is_driven);
    world.lanes.sweep(&world.terms(LANE_AGE_MAX + Duration::from_nanos(1)));
    while world.lanes.lock().is_driven {
        tokio::task::yield_now().await;
    }
    assert_eq!(Arc::strong_count(&world.lanes), 1);
    assert!(world.lanes.wants_driver() && !world.lanes.wants_driver());
}

#[test]
fn a_runtime_that_ends_fails_what_waits() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let world = first.block_on(World::driven(PATIENCE));
    let mut query = {
        let _entered = first.enter();
        world.ask_now(1)
    };
    drop(first);
    assert_eq!(runtime().block_on(landed(&mut query)), Landing::Ended);
    assert!(world.lanes.wants_driver());
}
