//! The floor: a server that reads batches, looks nothing up, and answers each query with one fixed A record.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use catena_datagrams::{BATCH_MAX, Outgoing, Receiver, Sender};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketType};

/// How long it runs, if nobody ends it before.
const LIFE_MAX: Duration = Duration::from_secs(3600);
/// How long it waits for a query before it looks at the clock.
const WAIT: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
/// The octets of the load's OPT record, which is dropped.
const OPT_OCTETS: usize = 11;
const ANSWER: [u8; 16] = [0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4, 10, 0, 0, 1];

/// Answers until its life is over, with so many threads, each with a socket of its own.
pub(crate) fn serve(port: u16, threads: usize) -> Result<String, String> {
    let told = |error: std::io::Error| format!("echo: {error}");
    let sockets = (0..threads.max(1)).map(|_| bind(port)).collect::<Result<Vec<_>, _>>().map_err(told)?;
    std::thread::scope(|scope| sockets.iter().for_each(|socket| drop(scope.spawn(|| answer_all(socket)))));
    Ok("echo: an hour is over".to_owned())
}

/// A socket that shares its port with others of this process.
fn bind(port: u16) -> std::io::Result<UdpSocket> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    rustix::net::sockopt::set_socket_reuseport(&socket, true)?;
    rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
    Ok(socket.into())
}

fn answer_all(socket: &UdpSocket) {
    // Errors of a send are those of a client that has gone, and nothing to end for.
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(socket, crate::load::SOCKET_BUFFER_OCTETS);
    let (mut receiver, mut sender) = (Receiver::new(false), Sender::new(false));
    let mut replies: Vec<Outgoing> = (0..BATCH_MAX)
        .map(|_| Outgoing { octets: Vec::new(), peer: ([127, 0, 0, 1], 0).into(), source: None })
        .collect();
    let end = Instant::now() + LIFE_MAX;
    while Instant::now() < end {
        let Ok(count) = receiver.receive(socket.as_fd()) else {
            let _ = poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&WAIT));
            continue;
        };
        let mut filled = 0;
        for datagram in (0..count).filter_map(|index| receiver.datagram(index)) {
            let (Some(peer), true) = (datagram.peer, datagram.octets.len() > 12 + OPT_OCTETS) else { continue };
            answer(datagram.octets, &mut replies[filled].octets);
            replies[filled].peer = peer;
            filled += 1;
        }
        let mut done = 0;
        while done < filled {
            done += sender.send(socket.as_fd(), replies[done..filled].iter()).unwrap_or(filled);
        }
    }
}

fn answer(query: &[u8], reply: &mut Vec<u8>) {
    reply.clear();
    reply.extend_from_slice(&query[..query.len() - OPT_OCTETS]);
    reply[2] |= 0x80;
    reply[7] = 1;
    reply[11] = 0;
    reply.extend_from_slice(&ANSWER);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_reply_has_the_question_and_one_address() {
        let query = crate::wire::query("a", "A").unwrap();
        let mut reply = Vec::new();
        answer(&query, &mut reply);
        assert_eq!(reply[2] & 0x80, 0x80);
        assert_eq!((reply[5], reply[7], reply[11]), (1, 1, 0));
        assert_eq!(&reply[12..15], b"\x01a\x00");
        assert_eq!(reply.len(), 12 + 3 + 4 + ANSWER.len());
    }
}
