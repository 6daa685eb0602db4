//! Updates on their way: let through where a block takes them, past the links that do not know what they are.

#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use catena_core::{
    Answer, Arrival, Fixed, Intake, Next, Plugin, PluginDef, Query, Rcode, Reply, Setup, Transport,
    UPDATE_ADDITIONAL_MAX, UPDATE_RECORDS_MAX, async_trait, finish,
};
use catena_testkit::{Ask, Kit, Recipe};

/// Answers whatever comes as a cache would.
const HIT: PluginDef = PluginDef::new("hit", |cx: &mut Setup<'_>| {
    cx.link(Fixed(|q: &mut Query| Answer::to(q).with_rcode(Rcode::NXDOMAIN).into()));
    Ok(())
});

/// Passes everything on and writes down that it saw it.
const WATCH: PluginDef = PluginDef::new("watch", |cx: &mut Setup<'_>| {
    cx.sees_updates();
    let log = cx.log();
    cx.link(Watch(log));
    Ok(())
});

struct Watch(catena_core::Log);

#[async_trait]
impl Plugin for Watch {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        self.0.info("seen");
        next.run(q).await
    }
}

/// Takes updates, all of them.
const TAKE: PluginDef = PluginDef::new("take", |cx: &mut Setup<'_>| {
    cx.takes_updates();
    cx.link(Fixed(|q: &mut Query| Answer::to(q).into()));
    Ok(())
});

fn kit(corefile: &str) -> Kit {
    Recipe::new([WATCH, HIT, TAKE], corefile).build().ok().unwrap()
}

/// An update of a zone with so many records in its other sections, none of which has rdata.
fn update(zone: &str, counts: [u16; 3]) -> Vec<u8> {
    let mut message = Ask::new(&format!("{zone} SOA")).flags(5 << 11).message();
    for (at, count) in counts.iter().enumerate() {
        message[6 + 2 * at..8 + 2 * at].copy_from_slice(&count.to_be_bytes());
    }
    for _ in 0..counts.iter().map(|count| u32::from(*count)).sum::<u32>() {
        message.extend_from_slice(&[0xc0, 12, 0, 1, 0, 255, 0, 0, 0, 0, 0, 0]);
    }
    message
}

/// Flags and code of the reply.
fn send(kit: &Kit, message: &[u8]) -> (u16, u8) {
    let mut query = kit.query(0, &Ask::new("x A"));
    let arrival = Arrival { transport: Transport::Dns, ..query.arrival().clone() };
    let reply = match query.read(message, arrival) {
        Intake::Reject(reply) => reply,
        Intake::Serve => {
            let reply = kit.run(Arc::clone(kit.instance()).serve(&mut query));
            let mut out = Vec::new();
            assert!(finish(&mut query, reply, &mut out).is_send());
            out
        }
        other => panic!("{other:?}"),
    };
    (u16::from_be_bytes([reply[2], reply[3]]) >> 11 & 15, reply[3] & 15)
}

#[test]
fn where_no_block_takes_updates_they_are_not_implemented_and_not_read() {
    let kit = kit("example.org {\n hit\n}\n");
    assert_eq!(send(&kit, &update("example.org", [0, 0, 0])), (5, 4));
    assert_eq!(send(&kit, &Ask::new("x A").flags(5 << 11).message()[..12]), (5, 4), "nothing but a header");
}

#[test]
fn an_update_passes_over_the_links_that_do_not_know_what_it_is() {
    let kit = kit("example.org {\n watch\n hit\n take\n}\n");
    assert_eq!(kit.ask_for("example.org SOA").rcode, "NXDOMAIN");
    kit.log.take();
    assert_eq!(send(&kit, &update("example.org", [1, 2, 0])), (5, 0));
    assert_eq!(kit.log.take(), ["[INFO] plugin/watch: seen"]);
}

#[test]
fn a_block_beside_one_that_takes_updates_implements_none() {
    let kit = kit("example.org {\n take\n}\nexample.net {\n hit\n}\n");
    assert_eq!(send(&kit, &update("example.net", [0, 1, 0])), (5, 4));
    assert_eq!(send(&kit, &update("example.com", [0, 1, 0])), (5, 5), "nobody is responsible");
}

#[test]
fn an_update_with_more_records_than_one_may_have_is_malformed() {
    let kit = kit("example.org {\n take\n}\n");
    let most = u16::try_from(UPDATE_RECORDS_MAX).unwrap();
    assert_eq!(send(&kit, &update("example.org", [most / 2, most - most / 2, UPDATE_ADDITIONAL_MAX])), (5, 0));
    assert_eq!(send(&kit, &update("example.org", [most / 2, most - most / 2 + 1, 0])), (5, 1));
    assert_eq!(send(&kit, &update("example.org", [0, 0, UPDATE_ADDITIONAL_MAX + 1])), (5, 1));
}

#[test]
fn a_query_may_not_have_the_records_of_an_update() {
    let kit = kit("example.org {\n take\n}\n");
    let mut message = update("example.org", [0, 2, 0]);
    message[2] = 0;
    assert_eq!(send(&kit, &message), (0, 1));
}
