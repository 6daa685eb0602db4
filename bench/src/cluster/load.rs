//! Queries for Services, so many under way at a time, for so long.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use super::world::service_name;

/// How many queries are under way.
const WINDOW: usize = 64;
/// How long a reply may take before it counts as lost.
const REPLY_MAX: Duration = Duration::from_millis(200);
/// The largest reply that is taken.
const REPLY_OCTETS_MAX: usize = 4096;

/// Asks for the A records of Services, each name once before one comes again. Gives how many good answers came.
pub(super) fn ask(port: u16, services: usize, time: Duration) -> Result<u64, String> {
    let told = |error: std::io::Error| format!("load: {error}");
    let queries: Vec<Vec<u8>> = (0..services).map(|number| query(&service_name(number))).collect();
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(told)?;
    socket.connect(("127.0.0.1", port)).map_err(told)?;
    // It looks again and again instead of sleeping: otherwise each reply would charge the server for waking a client up, which it never
    // does for one that is elsewhere.
    socket.set_nonblocking(true).map_err(told)?;
    let mut reply = [0; REPLY_OCTETS_MAX];
    let (mut next, mut answered, mut lost) = (0_usize, 0_u64, 0_u64);
    // A step that has no divisor with the number of Services visits all of them, far apart.
    let step = 7919;
    let end = Instant::now() + time;
    while Instant::now() < end {
        for _ in 0..WINDOW {
            next = (next + step) % services;
            socket.send(&queries[next]).map_err(told)?;
        }
        let late = Instant::now() + REPLY_MAX;
        let mut awaited = WINDOW;
        while awaited > 0 {
            match socket.recv(&mut reply) {
                // NOERROR with one answer.
                Ok(length) if length > 12 && reply[3] & 15 == 0 && reply[7] == 1 => {
                    answered += 1;
                    awaited -= 1;
                }
                Ok(_) => return Err(format!("load: an answer with rcode {} and {} records", reply[3] & 15, reply[7])),
                Err(_) if Instant::now() < late => std::hint::spin_loop(),
                Err(_) => {
                    lost += 1;
                    awaited = 0;
                }
            }
        }
    }
    if answered == 0 || lost * 100 > answered {
        Err(format!("load: {answered} answers, {lost} lost"))
    } else {
        Ok(answered)
    }
}

/// A query as a stub resolver sends it, with EDNS.
fn query(service: &str) -> Vec<u8> {
    let mut message = b"\x2a\x2a\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01".to_vec();
    for label in service.split('.').chain(["cluster", "local"]) {
        message.push(u8::try_from(label.len()).unwrap_or(0));
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(b"\x00\x00\x01\x00\x01\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00");
    message
}
