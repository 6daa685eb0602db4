//! Plugins that panic.

use catena_core::Rtype;

use crate::harness::{Server, ask, id_of, question, rcode_of, read_frame, send_frame};

const SIMPLE: &str = ".:0 {\n play\n}";

#[test]
fn a_panic_on_the_spot_and_a_late_one_are_server_failures_that_are_told_and_counted() {
    catena_server::install_panic_hook();
    let server = Server::new(SIMPLE);
    let socket = server.udp();
    for (id, name, said) in [(1, "boom.example.org", "it went boom"), (2, "later.example.org", "it went boom later")] {
        let query = question(id, name, Rtype::A);
        let reply = ask(&socket, &query);
        assert_eq!((id_of(&reply), rcode_of(&reply)), (id, 2));
        assert_eq!(reply[12..], query[12..]);
        let lines = server.log.take();
        assert_eq!(lines, [format!("[ERROR] Recovered from panic in server: \"dns://:0\" {said}")]);
        assert_eq!(server.counter("coredns_panics_total", &[]), f64::from(id));
    }
    assert_eq!(rcode_of(&ask(&socket, &question(3, "a.example.org", Rtype::A))), 0);
}

#[test]
fn a_panic_leaves_its_connection_open() {
    catena_server::install_panic_hook();
    let server = Server::new(SIMPLE);
    let mut stream = server.tcp();
    for (id, name, rcode) in [(1, "boom.example.org", 2), (2, "later.example.org", 2), (3, "a.example.org", 0)] {
        send_frame(&mut stream, &question(id, name, Rtype::A));
        let reply = read_frame(&mut stream).unwrap();
        assert_eq!((id_of(&reply), rcode_of(&reply)), (id, rcode));
    }
}
