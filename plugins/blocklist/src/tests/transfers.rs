//! Policy zones from a primary.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use catena_zone::tsig::{Algorithm, Key, KeyRing};

use super::*;

/// The zone of a primary: its serial number, and which names have the alias `.`.
type Served = Arc<Mutex<(u32, Vec<&'static str>)>>;

/// A primary; `seen` gets the number of additional records of each request.
fn primary(served: &Served, seen: &Arc<Mutex<Vec<u8>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (served, seen) = (Arc::clone(served), Arc::clone(seen));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = answer(stream.unwrap(), &served, &seen);
        }
    });
    addr
}

fn answer(mut stream: TcpStream, served: &Served, seen: &Mutex<Vec<u8>>) -> std::io::Result<()> {
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut request = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut request)?;
    seen.lock().unwrap().push(request[11]);
    let zone = owned("policy.test").unwrap();
    let end = 12 + zone.as_slice().len();
    let is_soa = request[end..end + 2] == [0, 6];
    let (serial, names) = served.lock().unwrap().clone();
    let numbers = [serial, 1, 1, 86_400, 60].into_iter().flat_map(u32::to_be_bytes);
    let soa = (zone.as_slice().to_vec(), 6_u16, [0, 0].into_iter().chain(numbers).collect::<Vec<u8>>());
    let listed =
        names.iter().map(|name| (owned(&format!("{name}.policy.test")).unwrap().as_slice().to_vec(), 5, vec![0]));
    let records: Vec<_> =
        if is_soa { vec![soa] } else { [soa.clone()].into_iter().chain(listed).chain([soa]).collect() };
    let mut reply = vec![request[0], request[1], 0x84, 0, 0, 1, 0, u8::try_from(records.len()).unwrap(), 0, 0, 0, 0];
    reply.extend_from_slice(&request[12..end + 4]);
    for (owner, rtype, rdata) in records {
        reply.extend([&owner[..], &rtype.to_be_bytes(), &[0, 1, 0, 0, 0, 60]].concat());
        reply.extend(u16::try_from(rdata.len()).unwrap().to_be_bytes());
        reply.extend(rdata);
    }
    stream.write_all(&u16::try_from(reply.len()).unwrap().to_be_bytes())?;
    stream.write_all(&reply)
}

#[test]
fn a_zone_is_fetched_and_followed() {
    let served = Arc::new(Mutex::new((1, vec!["one.test"])));
    let addr = primary(&served, &Arc::default());
    let kit = Place::of(&[]).kit(&format!("rpz policy.test from 127.0.0.1:1 {addr}"));
    until(&kit, || rcode(&kit, "one.test A") == "NXDOMAIN");
    assert!(kit.instance().blocks()[0].readiness.iter().all(|(_, plugin)| plugin.ready()));
    *served.lock().unwrap() = (2, vec!["two.test", "*.three.test"]);
    until(&kit, || rcode(&kit, "two.test A") == "NXDOMAIN");
    assert_eq!((rcode(&kit, "one.test A"), rcode(&kit, "x.three.test A")), ("NOERROR".into(), "NXDOMAIN".into()));
    assert_eq!(kit.metric("coredns_blocklist_entries{list=\"policy.test\"}"), Some(2.0));
}

#[test]
fn a_primary_that_cannot_be_reached_is_told_once_and_tried_again() {
    let kit = Place::of(&[]).kit("rpz policy.test from 127.0.0.1:1 as feed");
    until(&kit, || kit.metric("coredns_blocklist_failures_total{list=\"feed\"}") >= Some(2.0));
    let lines = kit.log.take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("[ERROR] plugin/blocklist: list \"feed\": transfer from 127.0.0.1:1: "), "{lines:?}");
    assert!(!kit.instance().blocks()[0].readiness.iter().all(|(_, plugin)| plugin.ready()));
    assert_eq!(rcode(&kit, "one.test A"), "NOERROR");
}

/// Has the key `k.`.
const KEYS: PluginDef = PluginDef::new("keys", |cx: &mut Setup<'_>| {
    let mut ring = KeyRing::default();
    ring.add(Key::new("k.", "c2VjcmV0", Algorithm::default()).unwrap()).unwrap();
    cx.offer::<KeyRing>(Arc::new(ring));
    Ok(())
});

#[test]
fn requests_are_signed_with_the_key_and_replies_have_to_be() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let addr = primary(&Arc::new(Mutex::new((1, vec!["one.test"]))), &seen);
    let corefile = format!(". {{\n keys\n blocklist {{\n rpz policy.test from {addr} key K\n }}\n world\n}}\n");
    let kit = Recipe::new([KEYS, PLUGIN, WORLD], &corefile).build().map_err(|_| "does not build").unwrap();
    until(&kit, || !kit.log.lines().is_empty());
    assert_eq!(seen.lock().unwrap()[0], 1, "the request has a signature");
    assert!(kit.log.lines()[0].starts_with("[ERROR] "), "the reply has none: {:?}", kit.log.lines());
    assert_eq!(rcode(&kit, "one.test A"), "NOERROR");
}
