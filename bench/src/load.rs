//! The load that leaves no rest: a few sockets, each with so many queries in flight, a batch of datagrams a system call.

use std::fmt;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use catena_datagrams::{Receiver, Sender};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The sockets of a load.
const SOCKETS: usize = 8;
/// The queries that each of them keeps in flight.
const WINDOW: usize = 32;
/// What a socket may hold unread, octets.
pub(crate) const SOCKET_BUFFER_OCTETS: usize = 4 << 20;
/// After this time a query counts as lost.
const REPLY_MAX: Duration = Duration::from_secs(1);
/// How long a load waits for an event before it looks at the clock.
const WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
/// The longest load.
const TIME_MAX: Duration = Duration::from_secs(600);
/// The latencies that are told apart, microseconds; longer ones count as this.
const LATENCY_US_MAX: usize = 1_000_000;

/// What to ask, and how fast.
pub(crate) struct Load {
    pub(crate) queries: Vec<Vec<u8>>,
    /// The sockets, and the queries that each of them keeps in flight.
    pub(crate) sockets: (usize, usize),
    /// How many queries are sent at most.
    pub(crate) limit: usize,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) answered: u64,
    pub(crate) lost: u64,
    /// Replies with at least one answer.
    pub(crate) with_answer: u64,
    pub(crate) took: Duration,
    /// 50, 99 and 99.9 of a hundred replies took no longer, microseconds.
    pub(crate) latency_us: [usize; 3],
}

impl Measured {
    /// What each reply took of the time that a server has spent, microseconds.
    pub(crate) fn cpu_us(&self, spent: Duration) -> f64 {
        #[allow(clippy::cast_precision_loss)]
        let answered = self.answered.max(1) as f64;
        spent.as_secs_f64() * 1e6 / answered
    }

    /// Replies a second.
    pub(crate) fn rate(&self) -> f64 {
        #[allow(clippy::cast_precision_loss)]
        let answered = self.answered as f64;
        answered / self.took.as_secs_f64().max(1e-9)
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, p999] = self.latency_us;
        let (answered, lost, rate) = (self.answered, self.lost, self.rate());
        write!(f, "qps={rate:.0} answered={answered} lost={lost} with_answer={} ", self.with_answer)?;
        write!(f, "p50={p50}us p99={p99}us p99.9={p999}us")
    }
}

/// One socket with its queries in flight: when each was sent, by id.
struct Client {
    socket: UdpSocket,
    sent: Vec<Option<Instant>>,
    out: Vec<Vec<u8>>,
}

impl Client {
    fn new(port: u16, window: usize) -> std::io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_nonblocking(true)?;
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_OCTETS)?;
        Ok(Self { socket, sent: vec![None; window], out: Vec::new() })
    }

    fn is_idle(&self) -> bool {
        self.sent.iter().all(Option::is_none)
    }
}

struct Tally {
    result: Measured,
    latencies: Vec<u32>,
    next: usize,
    receiver: Receiver,
    sender: Sender,
}

impl Load {
    /// A load of these queries, one after the other and over again.
    pub(crate) fn new(queries: Vec<Vec<u8>>) -> Self {
        Self { queries, sockets: (SOCKETS, WINDOW), limit: usize::MAX }
    }

    /// Asks the server on this port of 127.0.0.1 for so long.
    pub(crate) fn run(&self, port: u16, time: Duration) -> Result<Measured, String> {
        let told = |error: std::io::Error| format!("load: {error}");
        if self.queries.is_empty() {
            return Err("load: no queries".to_owned());
        }
        let (sockets, window) = self.sockets;
        let clients = (0..sockets).map(|_| Client::new(port, window)).collect::<Result<Vec<_>, _>>();
        let mut clients = clients.map_err(told)?;
        let started = Instant::now();
        let end = started + time.min(TIME_MAX);
        let (receiver, sender, latencies) = (Receiver::new(false), Sender::new(false), vec![0; LATENCY_US_MAX + 1]);
        let mut tally = Tally { result: Measured::default(), latencies, next: 0, receiver, sender };
        let mut is_over = false;
        loop {
            let now = Instant::now();
            let is_done = tally.next >= self.limit && clients.iter().all(Client::is_idle);
            if (now >= end || is_done) && !is_over {
                is_over = true;
                tally.result.took = now - started;
            }
            if now >= end + REPLY_MAX || (is_over && clients.iter().all(Client::is_idle)) {
                break;
            }
            let mut moved = false;
            for client in &mut clients {
                moved |= tally.read(client, is_over);
                moved |= !is_over && self.fill(client, &mut tally).map_err(told)?;
            }
            if !moved {
                let mut polled: Vec<PollFd<'_>> =
                    clients.iter().map(|client| PollFd::new(&client.socket, PollFlags::IN)).collect();
                // Whatever the wait comes to: the clock is looked at next.
                let _ = poll(&mut polled, Some(&WAIT));
            }
        }
        let pending = clients.iter().flat_map(|client| &client.sent).filter(|sent| sent.is_some()).count();
        tally.result.lost += pending as u64;
        tally.finish();
        Ok(tally.result)
    }

    /// Sends queries in place of those that are answered or lost.
    fn fill(&self, client: &mut Client, tally: &mut Tally) -> std::io::Result<bool> {
        let now = Instant::now();
        let mut count = 0;
        for id in 0..client.sent.len() {
            if tally.next >= self.limit {
                break;
            }
            if let Some(sent) = client.sent[id] {
                if now - sent < REPLY_MAX {
                    continue;
                }
                tally.result.lost += 1;
            }
            if client.out.len() == count {
                client.out.push(Vec::new());
            }
            let message = &mut client.out[count];
            message.clear();
            message.extend_from_slice(&self.queries[tally.next % self.queries.len()]);
            message[..2].copy_from_slice(&u16::try_from(id).unwrap_or(0).to_be_bytes());
            tally.next += 1;
            client.sent[id] = Some(now);
            count += 1;
        }
        let mut done = 0;
        while done < count {
            let messages = client.out[done..count].iter().map(Vec::as_slice);
            match tally.sender.send_connected(client.socket.as_fd(), messages) {
                Ok(sent) => done += sent,
                // What did not go out is lost.
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => break,
                Err(error) => return Err(error),
            }
        }
        Ok(count > 0)
    }
}

impl Tally {
    fn read(&mut self, client: &mut Client, is_over: bool) -> bool {
        let Ok(count) = self.receiver.receive(client.socket.as_fd()) else { return false };
        let now = Instant::now();
        for datagram in (0..count).filter_map(|index| self.receiver.datagram(index)) {
            let reply = datagram.octets;
            if reply.len() < 12 {
                continue;
            }
            let id = usize::from(u16::from_be_bytes([reply[0], reply[1]]));
            let Some(sent) = client.sent.get_mut(id).and_then(Option::take) else { continue };
            if is_over {
                continue;
            }
            let us = usize::try_from((now - sent).as_micros()).unwrap_or(LATENCY_US_MAX).min(LATENCY_US_MAX);
            self.latencies[us] += 1;
            self.result.answered += 1;
            self.result.with_answer += u64::from(reply[7] > 0);
        }
        count > 0
    }

    fn finish(&mut self) {
        let total = self.result.answered;
        for (place, thousandth) in [500, 990, 999].into_iter().enumerate() {
            let wanted = total * thousandth / 1000;
            let mut seen = 0;
            let found = self.latencies.iter().position(|count| {
                seen += u64::from(*count);
                seen > wanted
            });
            self.result.latency_us[place] = found.unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn echoed(limit: usize) -> Measured {
        let port = crate::process::free_port().unwrap();
        // It ends with the process.
        std::thread::spawn(move || crate::echo::serve(port, 1));
        std::thread::sleep(Duration::from_millis(100));
        let mut load = Load::new(vec![crate::wire::query("a", "A").unwrap()]);
        load.limit = limit;
        load.run(port, Duration::from_millis(500)).unwrap()
    }

    #[test]
    fn an_echo_answers_every_query() {
        let result = echoed(usize::MAX);
        assert!(result.answered > 1000 && result.answered == result.with_answer, "{result}");
        assert_eq!(result.lost, 0);
        let [p50, p99, p999] = result.latency_us;
        assert!(p50 > 0 && p50 <= p99 && p99 <= p999);
    }

    #[test]
    fn no_more_are_sent_than_the_limit() {
        let result = echoed(700);
        assert_eq!((result.answered, result.lost), (700, 0));
    }

    #[test]
    fn nobody_there_is_all_lost() {
        let load = Load::new(vec![crate::wire::query("a", "A").unwrap()]);
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let result = load.run(silent.local_addr().unwrap().port(), Duration::from_millis(100)).unwrap();
        assert_eq!((result.answered, result.lost), (0, (SOCKETS * WINDOW) as u64));
    }
}
