//! Plugins that panic.

use catena_core::prelude::*;
use catena_server::Limits;

use crate::harness::{PLAY, Server, ask, id_of, question, rcode_of, read_frame, send_frame};

const STACKTRACE: PluginDef = PluginDef::new("stacktrace", |cx| {
    cx.block_settings().stacktrace = true;
    Ok(())
});

const DEBUG: PluginDef = PluginDef::new("debug", |cx| {
    cx.block_settings().debug = true;
    Ok(())
});

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

#[test]
fn the_stack_is_logged_where_it_is_wanted() {
    catena_server::install_panic_hook();
    let server =
        Server::with([PLAY, STACKTRACE], ".:0 {\n play\n stacktrace\n}", 1, Limits::default(), Some("127.0.0.1"));
    assert_eq!(rcode_of(&ask(&server.udp(), &question(1, "boom.example.org", Rtype::A))), 2);
    let lines = server.log.take();
    assert!(lines[0].starts_with("[ERROR] Recovered from panic in server: \"dns://:0\" it went boom\n"), "{lines:?}");
    assert!(lines[0].contains("harness"), "the frame of the plugin is there: {lines:?}");
}

/// Set in the process that is to end.
const CHILD: &str = "CATENA_TEST_PANICS_END_THE_PROCESS";

#[test]
fn with_debug_a_panic_ends_the_process() {
    let this_test = "panics::with_debug_a_panic_ends_the_process";
    if std::env::var_os(CHILD).is_some() {
        let server = Server::with([PLAY, DEBUG], ".:0 {\n play\n debug\n}", 1, Limits::default(), Some("127.0.0.1"));
        ask(&server.udp(), &question(1, "boom.example.org", Rtype::A));
        return;
    }
    let this = std::env::current_exe().unwrap();
    let child =
        std::process::Command::new(this).args([this_test, "--exact", "--nocapture"]).env(CHILD, "1").output().unwrap();
    assert_eq!(child.status.code(), None, "ended by a signal: {:?}", child.status);
    assert!(String::from_utf8_lossy(&child.stderr).contains("it went boom"));
}
