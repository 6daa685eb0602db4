//! Sockets that take no replies, and replies that no socket takes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::clock::HeldClock;
use crate::flight::Flight;
use crate::limits::{Limits, REPLY_QUEUE_MAX};
use catena_core::foresight::FORESIGHT_STEPS;
use catena_core::{
    Answer, Clock, Env, Fixed, Foresight, ListenAddr, Log, Metrics, Next, NoLog, Plugin, PluginDef, Rcode, ReplyQueue,
    Spawner, Transport, async_trait,
};
use catena_testkit::{Kit, RuntimeSpawner};

const PATIENCE: Duration = Duration::from_secs(5);

/// Answers NOERROR, and FORMERR while the queue is full; with `queue`, replies wait in one that forgets.
const PLAY: PluginDef = PluginDef::new("play", |cx| {
    let mut words = cx.cursor();
    words.next();
    if words.next_arg() {
        let dropped = cx.metrics().counter("dropped", "dropped", &["server", "reason"]);
        cx.block_settings().sockets.reply_queue = Some(ReplyQueue { dropped });
    }
    cx.link(Fixed(|query: &mut Query| {
        let rcode = if query.arrival().is_crowded { Rcode::FORMERR } else { Rcode::NOERROR };
        Answer::to(query).with_rcode(rcode).into()
    }));
    Ok(())
});

/// Looks ahead, in vain if its argument says so, and answers NOERROR when all steps were taken for each of two queries before.
const SEER: PluginDef = PluginDef::new("seer", |cx| {
    let mut words = cx.cursor();
    words.next();
    cx.link(Seer { is_blind: words.next_arg(), steps: AtomicUsize::new(0) });
    Ok(())
});

struct Seer {
    is_blind: bool,
    steps: AtomicUsize,
}

#[async_trait]
impl Plugin for Seer {
    async fn serve(&self, query: &mut Query, _next: Next<'_>) -> Reply {
        let is_foreseen = self.steps.load(Ordering::Relaxed) == 2 * FORESIGHT_STEPS;
        Answer::to(query).with_rcode(if is_foreseen { Rcode::NOERROR } else { Rcode::FORMERR }).into()
    }

    fn foresight(&self) -> Option<&dyn Foresight> {
        Some(self)
    }
}

impl Foresight for Seer {
    fn step(&self, _query: &Query, _step: usize, _trace: u64) -> u64 {
        assert!(!self.is_blind, "nothing is to be seen");
        self.steps.fetch_add(1, Ordering::Relaxed);
        0
    }
}

fn udp() -> Udp {
    let log = Log::new(Arc::new(NoLog));
    let addr = ListenAddr { transport: Transport::Dns, ip: Some([127, 0, 0, 1].into()), scope: None, port: 0 };
    let bound = Arc::new(crate::bind(&addr, 1, &log).unwrap());
    let socket = bound.sockets(0, 1).next().unwrap().udp.as_ref().unwrap();
    let shed = Metrics::new().counter("shed", "shed", &["server", "reason"]);
    Udp {
        socket: UdpSocket::from_std(socket.try_clone().unwrap()).unwrap(),
        bound: Arc::clone(&bound),
        worker: Rc::new(Worker::new((0, 1), Limits::default(), log, shed)),
        seat: Rc::new(UdpSeat::new()),
        sender: Sender::new(false),
        is_blocked: false,
    }
}

/// Serves the socket with the chain of a kit.
fn serve(udp: &Udp, kit: &Kit) {
    let clock: Arc<dyn Clock> = Arc::<catena_testkit::FakeClock>::clone(&kit.clock);
    let spawner: Arc<dyn Spawner> = Arc::<RuntimeSpawner>::clone(&kit.spawner);
    let clock = Arc::new(HeldClock::new(clock));
    let instance = Arc::clone(kit.instance());
    let env = Arc::new(Env { instance, clock: Arc::<HeldClock>::clone(&clock), spawner, worker: 0 });
    udp.seat.serve(Rc::new(Route::new((env, clock), 0, Arc::new(Flight::default()), &udp.worker, &udp.bound)));
}

/// Lets the socket look as if the system took no more replies, until the runtime hears of it again.
fn block(udp: &mut Udp) {
    let blocked = udp.socket.try_io(Interest::WRITABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    assert!(blocked.is_err());
    udp.is_blocked = true;
}

fn query(id: u16) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 0, 1, 0, 1]);
    message
}

/// Sends queries and lets the server read them as far as it wants to.
async fn ask(udp: &mut Udp, client: &UdpSocket, ids: std::ops::Range<u16>) {
    let (mut receiver, mut table) = (Receiver::new(false), Table::new(serve_one));
    for id in ids {
        client.send_to(&query(id), udp.bound.local_addr()).await.unwrap();
        for _ in 0..200 {
            block(udp);
            if matches!(turn_now(udp).await, Poll::Ready(Turn::Read)) {
                udp.read_batch(&mut receiver, &mut table).unwrap();
                break;
            }
            yield_now().await;
        }
    }
}

async fn turn_now(udp: &Udp) -> Poll<Turn> {
    poll_fn(|cx| Poll::Ready(udp.poll_turn(cx, &Table::new(serve_one).waiters))).await
}

async fn receive(client: &UdpSocket) -> Vec<u8> {
    let mut reply = [0; 512];
    let len = tokio::time::timeout(PATIENCE, client.recv(&mut reply)).await.unwrap().unwrap();
    reply[..len].to_vec()
}

fn rcodes(udp: &Udp) -> Vec<u8> {
    udp.seat.state.borrow().send(|replies| replies.map(|reply| reply.octets[3] & 15).collect())
}

#[tokio::test]
async fn a_reply_that_cannot_be_sent_is_skipped_and_the_others_go_out() {
    let mut udp = udp();
    udp.socket.writable().await.unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let peer = client.local_addr().unwrap();
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    for (octet, len, to) in [(1, 1, peer), (2, 65_508, peer), (3, 1, nowhere), (4, 1, peer)] {
        udp.seat.push(Outgoing { octets: vec![octet; len], peer: to, source: None });
    }
    udp.flush().unwrap();
    for wanted in [1, 4] {
        assert_eq!(receive(&client).await, [wanted]);
    }
}

#[test]
fn while_the_system_takes_no_replies_queries_wait_in_the_kernel() {
    let kit = Kit::of([PLAY], "play");
    kit.run(async {
        let mut udp = udp();
        serve(&udp, &kit);
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        ask(&mut udp, &client, 0..3).await;
        block(&mut udp);
        assert!(turn_now(&udp).await.is_pending());
        assert!(udp.seat.state.borrow().is_empty());
    });
}

#[test]
fn with_a_queue_that_forgets_they_are_read_and_told_when_it_is_full_and_the_newest_reply_goes_first() {
    let kit = Kit::of([PLAY], "play queue");
    kit.run(async {
        let mut udp = udp();
        serve(&udp, &kit);
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let last = u16::try_from(REPLY_QUEUE_MAX).unwrap() + 2;
        ask(&mut udp, &client, 0..last).await;
        let rcodes = rcodes(&udp);
        assert_eq!((rcodes.len(), rcodes.iter().filter(|rcode| **rcode == 1).count()), (REPLY_QUEUE_MAX, 2));
        udp.socket =
            UdpSocket::from_std(udp.bound.sockets(0, 1).next().unwrap().udp.as_ref().unwrap().try_clone().unwrap())
                .unwrap();
        udp.socket.writable().await.unwrap();
        udp.flush().unwrap();
        assert_eq!(receive(&client).await[..2], (last - 1).to_be_bytes());
        let dropped = kit.metrics.counter("dropped", "dropped", &["server", "reason"]);
        assert!((dropped.with_label_values(&["dns://:53", "response"]).get() - 2.0).abs() < 0.5);
    });
}

/// The codes of the replies to queries that came in together.
fn ask_at_once(kit: &Kit, ids: std::ops::Range<u16>) -> Vec<u8> {
    replies_at_once(kit, ids).iter().map(|reply| reply[3] & 15).collect()
}

/// The replies to queries that came in together.
fn replies_at_once(kit: &Kit, ids: std::ops::Range<u16>) -> Vec<Vec<u8>> {
    kit.run(async {
        let udp = udp();
        serve(&udp, kit);
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for id in ids {
            client.send_to(&query(id), udp.bound.local_addr()).await.unwrap();
        }
        udp.socket.readable().await.unwrap();
        udp.read_batch(&mut Receiver::new(false), &mut Table::new(serve_one)).unwrap();
        udp.seat.state.borrow().send(|replies| replies.map(|reply| reply.octets.clone()).collect())
    })
}

#[test]
fn queries_that_came_in_together_look_ahead_before_the_first_is_served() {
    assert_eq!(ask_at_once(&Kit::of([SEER], "seer"), 0..2), [0, 0]);
}

#[test]
fn a_query_that_is_alone_does_not_look_ahead() {
    assert_eq!(ask_at_once(&Kit::of([SEER], "seer"), 0..1), [1]);
}

#[test]
fn a_panic_of_one_that_looks_ahead_is_counted_and_its_queries_are_served() {
    let kit = Kit::of([SEER], "seer blind");
    assert_eq!(ask_at_once(&kit, 0..2), [1, 1]);
    assert_eq!(kit.metric("coredns_panics_total"), Some(1.0));
}

#[test]
fn more_queries_than_are_read_at_a_time_are_all_answered_in_their_order() {
    let many = u16::try_from(GROUP_MAX).unwrap() * 2 + 1;
    let replies = replies_at_once(&Kit::of([SEER], "seer"), 0..many);
    assert_eq!(
        replies.iter().map(|reply| [reply[0], reply[1]]).collect::<Vec<_>>(),
        (0..many).map(u16::to_be_bytes).collect::<Vec<_>>()
    );
}
