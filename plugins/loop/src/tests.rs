#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use catena_core::{Plugin, async_trait, prelude::*};
use catena_testkit::{Kit, Recipe, check_config};
use tokio::net::UdpSocket;

use crate::PLUGIN;

/// Answers whatever comes.
struct Answers;

#[async_trait]
impl Plugin for Answers {
    async fn serve(&self, query: &mut Query, _next: Next<'_>) -> Reply {
        Answer::to(query).into()
    }
}

const ANSWERS: PluginDef = PluginDef::new("answers", |cx| {
    cx.link(Answers);
    Ok(())
});

/// A kit for `zone` whose port is that of a socket of the test, and the name for which the socket was asked.
fn probed(zone: &str) -> (Kit, String) {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let port = socket.local_addr().unwrap().port();
    let corefile = format!("{zone}:{port} {{\n loop\n answers\n}}\n");
    let kit = Recipe::new([PLUGIN, ANSWERS], &corefile).build().unwrap_or_else(|errors| panic!("{}", errors[0].1));
    let asked = Arc::new(Mutex::new(None));
    let found = Arc::clone(&asked);
    kit.run(async move {
        let socket = UdpSocket::from_std(socket).unwrap();
        let mut message = vec![0; 512];
        let (len, from) = socket.recv_from(&mut message).await.unwrap();
        message.truncate(len);
        message[2] |= 0x80;
        socket.send_to(&message, from).await.unwrap();
        *found.lock().unwrap() = Some(message);
    });
    let message = asked.lock().unwrap().take().unwrap();
    let question = &message[12..];
    assert_eq!(question[question.len() - 4..], [0, 13, 0, 1], "HINFO in class IN");
    let mut name = String::new();
    let mut at = 0;
    while question[at] != 0 {
        let end = at + 1 + usize::from(question[at]);
        name.push_str(std::str::from_utf8(&question[at + 1..end]).unwrap());
        name.push('.');
        at = end;
    }
    (kit, name)
}

#[test]
fn the_third_sighting_of_the_name_ends_the_process() {
    let (kit, name) = probed("example.org");
    assert!(name.ends_with(".example.org."), "{name}");
    for _ in 0..2 {
        assert_eq!(kit.ask_for(&format!("{name} HINFO")).rcode, "NOERROR");
    }
    assert_eq!(kit.exit.message(), None);
    kit.ask_for(&format!("{} HINFO", name.to_ascii_uppercase()));
    let message = kit.exit.message().unwrap();
    assert!(message.starts_with("plugin/loop: Loop (10.240.0.1:40212 -> :"), "{message}");
    let expected = format!(
        ") detected for zone \"example.org.\", see https://coredns.io/plugins/loop#troubleshooting. Query: \"HINFO {name}\""
    );
    assert!(message.contains(&expected), "{message}");
}

#[test]
fn other_names_and_other_types_are_not_counted() {
    let (kit, name) = probed(".");
    for _ in 0..5 {
        kit.ask_for(&format!("{name} A"));
        kit.ask_for("a.example.org HINFO");
    }
    assert_eq!(kit.exit.message(), None);
}

#[test]
fn nothing_is_counted_some_time_after_the_reply() {
    let (kit, name) = probed(".");
    kit.wait(Duration::from_millis(2300));
    for _ in 0..5 {
        kit.ask_for(&format!("{name} HINFO"));
    }
    assert_eq!(kit.exit.message(), None);
}

#[test]
fn it_takes_no_arguments_and_stands_once_in_a_block() {
    check_config(
        [PLUGIN],
        "loop example.org",
        "plugin/loop: Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 'example.org'",
    );
    check_config([PLUGIN], "loop\nloop", "plugin/loop: this plugin can only be used once per Server Block");
}
