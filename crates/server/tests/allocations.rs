//! What a query that does not wait costs in allocations, from datagram to datagram: one box a link and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use std::alloc::System;
use std::sync::Arc;

use catena_core::Rtype;
use catena_core::prelude::*;
use catena_core::{ProxyPolicy, ProxyProtocol, ProxySessions, ReplyQueue};
use catena_server::Limits;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[allow(dead_code)]
#[path = "server/harness.rs"]
mod harness;

use harness::{Server, id_of, question};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Queries before counting starts: buffers get their size.
const WARM_UP: u16 = 200;
/// Queries that are counted.
const COUNTED: u16 = 1_000;

/// A link that lets the next one answer and edits what comes back.
struct Edits;

#[async_trait]
impl Plugin for Edits {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        let mut reply = next.run(q).await;
        if let Some(answer) = reply.answer_mut() {
            answer.set_ttls(5);
        }
        reply
    }
}

struct Answers;

#[async_trait]
impl Plugin for Answers {
    async fn serve(&self, q: &mut Query, _next: Next<'_>) -> Reply {
        let mut answer = Answer::to(q);
        answer.push_address(Section::Answer, q.name(), q.qclass(), 30, [192, 0, 2, 1].into());
        answer.into()
    }
}

/// Six links that edit.
const EDITS: PluginDef = PluginDef::new("edits", |cx| {
    for _ in 0..6 {
        cx.link(Edits);
    }
    Ok(())
});

/// One that answers.
const ANSWERS: PluginDef = PluginDef::new("answers", |cx| {
    cx.link(Answers);
    Ok(())
});

/// What directives set for sockets.
const PROXIED: PluginDef = PluginDef::new("proxied", |cx| {
    let dropped = cx.metrics().counter("dropped", "dropped", &["server", "reason"]);
    let sockets = &mut cx.block_settings().sockets;
    sockets.reply_queue = Some(ReplyQueue { dropped });
    let sessions = Some(ProxySessions { ttl: std::time::Duration::from_secs(60), sessions_max: 10 });
    sockets.proxy = Some(ProxyProtocol { policy: Arc::new(|_| ProxyPolicy::Use), sessions });
    Ok(())
});

fn allocations(server: &Server, message: &[u8]) -> usize {
    let socket = server.udp();
    let mut reply = [0; 1024];
    let mut message = message.to_vec();
    let mut exchange = |count: u16| {
        for id in 0..count {
            message[..2].copy_from_slice(&id.to_be_bytes());
            socket.send(&message).unwrap();
            let len = socket.recv(&mut reply).unwrap();
            assert_eq!(id_of(&reply[..len]), id);
        }
    };
    exchange(WARM_UP);
    let region = Region::new(ALLOCATOR);
    exchange(COUNTED);
    let change = region.change();
    assert_eq!(change.reallocations, 0);
    change.allocations
}

#[test]
fn a_query_that_does_not_wait_allocates_one_box_a_link() {
    let one = Server::with([ANSWERS], ".:0 {\n answers\n}", 1, Limits::default(), Some("127.0.0.1"));
    let plain = question(0, "a.example.org", Rtype::A);
    assert_eq!(allocations(&one, &plain), usize::from(COUNTED));
    let seven = Server::with([EDITS, ANSWERS], ".:0 {\n edits\n answers\n}", 1, Limits::default(), Some("127.0.0.1"));
    assert_eq!(allocations(&seven, &plain), 7 * usize::from(COUNTED));
    let mut with_edns = plain.clone();
    with_edns[11] = 1;
    with_edns.extend([0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0]);
    assert_eq!(allocations(&seven, &with_edns), 7 * usize::from(COUNTED));
    // PROXY headers, and a queue that forgets.
    let proxied =
        Server::with([PROXIED, ANSWERS], ".:0 {\n proxied\n answers\n}", 1, Limits::default(), Some("127.0.0.1"));
    assert_eq!(allocations(&proxied, &plain), usize::from(COUNTED));
    // On a wildcard socket the address that was asked comes along.
    let wildcard = Server::with([ANSWERS], ".:0 {\n answers\n}", 1, Limits::default(), None);
    assert_eq!(allocations(&wildcard, &plain), usize::from(COUNTED));
}
