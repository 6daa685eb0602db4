//! The load at a rate: queries leave at even distances, whatever becomes of those before them.
//!
//! A query has a time at which it is to leave, and its latency is counted from there to the moment at which the kernel took the reply: a
//! server that stalls makes all queries of that time late, and how soon the load reads the replies does not matter. What the load itself
//! could not send in time, because the system had other work for its core, is left out and counted as that.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use catena_datagrams::{BATCH_MAX, Receiver, Sender, ask_for_arrival};

use crate::load::{Measured, SOCKET_BUFFER_OCTETS};

/// The sockets of a load: enough that a server with several listeners has an equal share on each.
const SOCKETS: usize = 16;
/// The queries of a socket that are told apart.
const IDS: usize = 1 << 16;
/// How late a query may leave.
const LATE_MAX: Duration = Duration::from_micros(200);
/// How long the load rests at least, so that others get the core in time, and how long it goes without reading.
const REST: Duration = Duration::from_micros(25);
const READ_EVERY: Duration = Duration::from_millis(1);
/// How long replies are waited for after the last query.
const REPLY_MAX: Duration = Duration::from_secs(1);
/// The longest load.
const TIME_MAX: Duration = Duration::from_secs(60);
/// Before the first query: the kernel begins to take times a little after it was asked to.
const BEGIN: Duration = Duration::from_millis(20);

/// One reply.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// When its query was to leave, since the start of the load.
    pub(crate) at: Duration,
    pub(crate) latency_us: u32,
}

/// What came of a load.
pub(crate) struct Paced {
    pub(crate) measured: Measured,
    /// The replies, and when queries that have none were to leave.
    pub(crate) samples: Vec<Sample>,
    pub(crate) lost: Vec<Duration>,
    /// Queries that were not sent because the load had no core to run on.
    pub(crate) left_out: u64,
}

/// One socket with its queries in flight: when each was to leave, by id.
struct Client {
    socket: UdpSocket,
    sent: Vec<Option<Duration>>,
    next: usize,
    out: Vec<Vec<u8>>,
}

impl Client {
    fn new(port: u16) -> std::io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_nonblocking(true)?;
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_OCTETS)?;
        ask_for_arrival(socket.as_fd())?;
        Ok(Self { socket, sent: vec![None; IDS], next: 0, out: vec![Vec::new(); BATCH_MAX] })
    }
}

struct Run<'a> {
    queries: &'a [Vec<u8>],
    rate: f64,
    /// By the clock of the system, which is the one of the kernel's times.
    begin: Duration,
    asked: usize,
    receiver: Receiver,
    sender: Sender,
    found: Paced,
}

/// Asks the server on this port of 127.0.0.1 so many queries a second, one after the other and over again.
pub(crate) fn run(queries: &[Vec<u8>], rate: u32, port: u16, time: Duration) -> Result<Paced, String> {
    let told = |error: std::io::Error| format!("load: {error}");
    if queries.is_empty() || rate == 0 {
        return Err("load: no queries".to_owned());
    }
    let mut clients = (0..SOCKETS).map(|_| Client::new(port)).collect::<Result<Vec<_>, _>>().map_err(told)?;
    std::thread::sleep(BEGIN);
    let _priority = Priority::take();
    let time = time.min(TIME_MAX);
    let found = Paced { measured: Measured::default(), samples: Vec::new(), lost: Vec::new(), left_out: 0 };
    let (receiver, sender, begin) = (Receiver::new(true), Sender::new(false), now());
    let mut run = Run { queries, rate: f64::from(rate), begin, asked: 0, receiver, sender, found };
    run.found.samples.reserve((run.rate * time.as_secs_f64()) as usize);
    let (mut turn, mut read_at) = (0, Duration::ZERO);
    loop {
        let since = now().saturating_sub(begin);
        if since >= time {
            break;
        }
        turn = (turn + 1) % SOCKETS;
        let sent = run.send(&mut clients[turn], since).map_err(told)?;
        if since >= read_at {
            clients.iter_mut().for_each(|client| run.read(client));
            read_at = since + READ_EVERY;
        } else if sent < BATCH_MAX {
            let due = run.at(run.asked).saturating_sub(now().saturating_sub(begin));
            std::thread::sleep(due.max(REST));
        }
    }
    let end = now() + REPLY_MAX;
    while now() < end && run.is_waiting() {
        std::thread::sleep(READ_EVERY);
        clients.iter_mut().for_each(|client| run.read(client));
    }
    let pending = clients.into_iter().flat_map(|client| client.sent).flatten();
    run.found.lost.extend(pending);
    Ok(run.finish(time))
}

/// Since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl Run<'_> {
    /// When a query is to leave, since the start.
    fn at(&self, number: usize) -> Duration {
        Duration::from_secs_f64(number as f64 / self.rate)
    }

    /// Whether a query has neither a reply nor is given up.
    fn is_waiting(&self) -> bool {
        let done = self.found.samples.len() as u64 + self.found.lost.len() as u64 + self.found.left_out;
        done < self.asked as u64
    }

    /// Sends what is due. Gives how many queries these were.
    fn send(&mut self, client: &mut Client, since: Duration) -> std::io::Result<usize> {
        let before = |time: Duration| (time.as_secs_f64() * self.rate) as usize;
        let due = before(since) + 1;
        let too_late = before(since.saturating_sub(LATE_MAX));
        if too_late > self.asked {
            self.found.left_out += (too_late - self.asked) as u64;
            self.asked = too_late;
        }
        let count = due.saturating_sub(self.asked).min(BATCH_MAX);
        for message in &mut client.out[..count] {
            message.clear();
            message.extend_from_slice(&self.queries[self.asked % self.queries.len()]);
            message[..2].copy_from_slice(&u16::try_from(client.next).unwrap_or(0).to_be_bytes());
            let at = Duration::from_secs_f64(self.asked as f64 / self.rate);
            // Its place comes again after many seconds.
            self.found.lost.extend(client.sent[client.next].replace(at));
            client.next = (client.next + 1) % IDS;
            self.asked += 1;
        }
        let mut done = 0;
        while done < count {
            let messages = client.out[done..count].iter().map(Vec::as_slice);
            match self.sender.send_connected(client.socket.as_fd(), messages) {
                Ok(sent) => done += sent,
                // What did not go out is lost. A server that is not there any more tells it with the next call.
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    /// Reads what is there.
    fn read(&mut self, client: &mut Client) {
        while let Ok(count) = self.receiver.receive(client.socket.as_fd()) {
            for index in 0..count {
                self.take(client, index);
            }
            if count < BATCH_MAX {
                return;
            }
        }
    }

    fn take(&mut self, client: &mut Client, index: usize) {
        let Some(datagram) = self.receiver.datagram(index).filter(|datagram| datagram.octets.len() >= 12) else {
            return;
        };
        let arrived = self.receiver.arrival(index).unwrap_or_else(now).saturating_sub(self.begin);
        let reply = datagram.octets;
        let id = usize::from(u16::from_be_bytes([reply[0], reply[1]]));
        let Some(at) = client.sent[id].take() else { return };
        let latency_us = u32::try_from(arrived.saturating_sub(at).as_micros()).unwrap_or(u32::MAX);
        self.found.measured.with_answer += u64::from(reply[7] > 0);
        self.found.samples.push(Sample { at, latency_us });
    }

    fn finish(mut self, time: Duration) -> Paced {
        let latencies = self.found.samples.iter().map(|sample| sample.latency_us).collect();
        let measured = &mut self.found.measured;
        (measured.answered, measured.lost) = (self.found.samples.len() as u64, self.found.lost.len() as u64);
        measured.took = time;
        measured.latency_us = percentiles(latencies);
        self.found
    }
}

/// 50, 99 and 99.9 of a hundred took no longer.
pub(crate) fn percentiles(mut latencies: Vec<u32>) -> [usize; 3] {
    latencies.sort_unstable();
    [500, 990, 999].map(|thousandth| {
        let place = (latencies.len() * thousandth / 1000).min(latencies.len().saturating_sub(1));
        latencies.get(place).map_or(0, |latency| *latency as usize)
    })
}

/// While it lives this thread has the priority of real time, if its user may give it: what else the machine does then delays no query.
struct Priority;

impl Priority {
    fn take() -> Self {
        change(&["-f", "-p", "10"]);
        Self
    }
}

impl Drop for Priority {
    fn drop(&mut self) {
        change(&["-o", "-p", "0"]);
    }
}

fn change(options: &[&str]) {
    let mut command = Command::new("chrt");
    command.args(options).arg(std::process::id().to_string()).stdout(Stdio::null()).stderr(Stdio::null());
    // Without it the load is less even, which the count of what was left out tells.
    let _ = command.status();
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn query() -> Vec<Vec<u8>> {
        vec![crate::wire::query("a", "A").unwrap()]
    }

    /// A server that takes one query and does not answer for so long, and then answers all.
    fn slow(pause: Duration) -> u16 {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        // It ends with the process.
        std::thread::spawn(move || {
            let mut message = [0; 512];
            for turn in 0.. {
                let (len, peer) = socket.recv_from(&mut message).unwrap();
                std::thread::sleep(if turn == 0 { pause } else { Duration::ZERO });
                socket.send_to(&message[..len], peer).unwrap();
            }
        });
        port
    }

    #[test]
    fn a_pause_of_the_server_is_seen_by_all_queries_that_came_in_it() {
        let found = run(&query(), 1_000, slow(Duration::from_millis(100)), Duration::from_millis(400)).unwrap();
        let slow = found.samples.iter().filter(|sample| sample.latency_us > 50_000).count();
        assert!((20..=60).contains(&slow), "{slow} of {}", found.measured);
        assert_eq!(found.measured.lost, 0);
    }

    #[test]
    fn every_query_is_answered_lost_or_left_out() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        let found = run(&query(), 2_000, port, Duration::from_millis(200)).unwrap();
        assert_eq!(found.measured.answered, 0);
        assert!((398..=401).contains(&(found.measured.lost + found.left_out)), "{}", found.measured.lost);
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_list() {
        assert_eq!(percentiles((0..1000).rev().collect()), [500, 990, 999]);
        assert_eq!(percentiles(vec![7]), [7, 7, 7]);
        assert_eq!(percentiles(Vec::new()), [0, 0, 0]);
    }
}
