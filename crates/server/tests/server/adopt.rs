//! Going over to another generation.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use catena_core::Rtype;
use catena_server::Limits;

use crate::harness::{PLAY, REFUSE, Server, address_of, ask, id_of, question, rcode_of, read_frame, send_frame};

const OLD: &str = ".:0 {\n play 192.0.2.1\n}";
const NEW: &str = ".:0 {\n play 192.0.2.2\n}";

#[test]
fn no_query_is_lost_while_generations_change() {
    let server = Server::with([PLAY], OLD, 2, Limits::default(), Some("127.0.0.1"));
    let ended = AtomicBool::new(false);
    let counts = std::thread::scope(|scope| {
        let client = || {
            let socket = server.udp();
            let mut asked = 0_u16;
            while !ended.load(Ordering::Relaxed) {
                asked += 1;
                let name = if asked.is_multiple_of(4) { "wait3.example.org" } else { "a.example.org" };
                let reply = ask(&socket, &question(asked, name, Rtype::A));
                assert_eq!((id_of(&reply), rcode_of(&reply)), (asked, 0));
            }
            asked
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        for turn in 0..40 {
            let instance = server.build(if turn % 2 == 0 { NEW } else { OLD });
            server.adopt(instance, server.bound.clone());
            std::thread::sleep(Duration::from_millis(5));
        }
        ended.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(counts.iter().all(|count| *count > 40), "{counts:?}");
}

#[test]
fn a_connection_goes_on_with_the_new_generation() {
    let server = Server::new(OLD);
    let mut stream = server.tcp();
    send_frame(&mut stream, &question(1, "wait150.example.org", Rtype::A));
    send_frame(&mut stream, &question(2, "a.example.org", Rtype::A));
    assert_eq!(address_of(&read_frame(&mut stream).unwrap()).to_string(), "192.0.2.1");
    server.adopt(server.build(NEW), server.bound.clone());
    send_frame(&mut stream, &question(3, "a.example.org", Rtype::A));
    assert_eq!(address_of(&read_frame(&mut stream).unwrap()).to_string(), "192.0.2.2");
    let late = read_frame(&mut stream).unwrap();
    assert_eq!((id_of(&late), address_of(&late).to_string().as_str()), (1, "192.0.2.1"));
}

#[test]
fn draining_waits_for_the_generation_before_and_not_for_the_current_one() {
    let server = Server::new(OLD);
    let socket = server.udp();
    let workers = server.workers.as_ref().unwrap();
    socket.send(&question(1, "wait200.example.org", Rtype::A)).unwrap();
    assert_eq!(id_of(&ask(&socket, &question(2, "a.example.org", Rtype::A))), 2);
    server.adopt(server.build(NEW), server.bound.clone());
    socket.send(&question(3, "never.example.org", Rtype::A)).unwrap();
    assert!(!server.runtime.block_on(workers.drain(Duration::from_millis(20))));
    assert!(server.runtime.block_on(workers.drain(Duration::from_secs(5))));
}

#[test]
fn an_address_that_goes_is_closed_and_one_that_comes_is_served() {
    let server = Server::new(OLD);
    let (old_udp, mut old_tcp) = (server.udp(), server.tcp());
    send_frame(&mut old_tcp, &question(1, "a.example.org", Rtype::A));
    read_frame(&mut old_tcp).unwrap();
    let instance = server.build(NEW);
    let bound = server.bind(&instance, Some("127.0.0.1"));
    let addr = bound[0].local_addr();
    server.adopt(instance, bound);
    assert!(read_frame(&mut old_tcp).is_none());
    old_udp.send(&question(2, "a.example.org", Rtype::A)).unwrap();
    old_udp.connect(addr).unwrap();
    assert_eq!(address_of(&ask(&old_udp, &question(3, "a.example.org", Rtype::A))).to_string(), "192.0.2.2");
}

#[test]
fn two_servers_with_different_plugins_live_in_one_process() {
    let playing = Server::new(OLD);
    let refusing = Server::with([REFUSE], ".:0 {\n refuse\n}", 2, Limits::default(), Some("127.0.0.1"));
    assert_eq!(rcode_of(&ask(&playing.udp(), &question(1, "a.example.org", Rtype::A))), 0);
    assert_eq!(rcode_of(&ask(&refusing.udp(), &question(2, "a.example.org", Rtype::A))), 5);
}
