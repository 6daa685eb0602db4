//! A reload of the Corefile: zones that are here are served at once, whether their primaries answer or not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use catena_core::{Outgoing, Rtype, name};
use catena_testkit::{Kit, Recipe};
use catena_zone::zonefile::NoInclude;
use catena_zone::{SharedZone, load};

use crate::PLUGIN;

/// A primary of the zones in `zones`, each a name and a file; it counts the transfers. It ends when it is told to, and answers nobody then.
struct Primary {
    addr: SocketAddr,
    transfers: Arc<AtomicUsize>,
}

impl Primary {
    fn start(zones: &[(&'static str, String)]) -> Self {
        let zones: Vec<_> = zones
            .iter()
            .map(|(name, text)| {
                let zone = catena_core::Zone::parse(name).unwrap();
                let loaded = load(text.as_bytes(), "db", &zone, &NoInclude).unwrap();
                (zone.wire().to_vec(), SharedZone::serving(loaded))
            })
            .collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (addr, transfers) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&transfers);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if serve(stream, &zones, &counted).is_none() {
                    return;
                }
            }
        });
        Self { addr, transfers }
    }

    fn transfers(&self) -> usize {
        self.transfers.load(Ordering::Relaxed)
    }

    /// Nobody listens at its address any more.
    fn end(&self) {
        let mut stream = TcpStream::connect(self.addr).unwrap();
        stream.write_all(&[0, 0]).unwrap();
        let _ = stream.read(&mut [0]);
    }
}

/// Answers one question with one message; `None` if there is no question.
fn serve(mut stream: TcpStream, zones: &[(Vec<u8>, SharedZone)], transfers: &AtomicUsize) -> Option<()> {
    let mut len = [0; 2];
    stream.read_exact(&mut len).ok()?;
    let mut query = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut query).ok().filter(|()| !query.is_empty())?;
    let end = 12 + query[12..].iter().position(|octet| *octet == 0).unwrap() + 1;
    let mut reply = query[..end + 4].to_vec();
    (reply[2], reply[9]) = (0x84, 0);
    // Of a zone that it does not have it says nothing.
    let Some((_, zone)) = zones.iter().find(|(name, _)| *name == query[12..end]) else { return Some(()) };
    let mut records = zone.transfer(None).unwrap();
    let mut push = |records: &mut Box<dyn Outgoing>| {
        let Some(record) = records.next() else { return false };
        reply.extend_from_slice(record.owner);
        reply.extend_from_slice(&record.rtype.to_int().to_be_bytes());
        reply.extend_from_slice(&record.class.to_int().to_be_bytes());
        reply.extend_from_slice(&record.ttl.to_be_bytes());
        reply.extend_from_slice(&u16::try_from(record.rdata.len()).unwrap().to_be_bytes());
        reply.extend_from_slice(record.rdata);
        reply[7] += 1;
        true
    };
    push(&mut records);
    if query[end + 1] != Rtype::SOA.to_int() as u8 {
        transfers.fetch_add(1, Ordering::Relaxed);
        while push(&mut records) {}
    }
    stream.write_all(&[&u16::try_from(reply.len()).unwrap().to_be_bytes()[..], &reply].concat()).unwrap();
    Some(())
}

const SOA: &str = "@ 60 IN SOA ns admin 7 7200 3600 1209600 300\n@ 60 IN NS ns\n";

fn kit(body: &str, before: Option<&Kit>) -> Kit {
    let mut recipe = Recipe::new([PLUGIN], &format!(". {{\n{body}\n}}\n"));
    recipe.predecessor = before.map(|before| Arc::clone(before.instance()));
    recipe.build().map_err(|errors| errors[0].1.clone()).unwrap()
}

fn rcode(kit: &Kit, question: &str) -> String {
    kit.ask_for(question).rcode
}

fn wait_for(kit: &Kit, question: &str) {
    for _ in 0..250 {
        if rcode(kit, question) == "NOERROR" {
            return;
        }
        kit.wait(Duration::from_millis(20));
    }
    panic!("no {question}: {:?}", kit.log.lines());
}

#[test]
fn a_zone_is_served_after_a_reload_also_when_its_primary_is_gone() {
    let primary = Primary::start(&[("example.org", format!("{SOA}a 60 IN A 192.0.2.1\n"))]);
    let body = |addr: &SocketAddr| format!("secondary example.org {{\n transfer from {addr}\n}}");
    let before = kit(&body(&primary.addr), None);
    wait_for(&before, "a.example.org A");
    let after = kit(
        &format!("{}\nsecondary example.net {{\n transfer from {}\n}}", body(&primary.addr), primary.addr),
        Some(&before),
    );
    after.wait(Duration::from_millis(100));
    assert_eq!(
        (rcode(&after, "a.example.org A").as_str(), primary.transfers()),
        ("NOERROR", 1),
        "nothing is fetched again"
    );
    primary.end();
    let last = kit(&body(&primary.addr), Some(&after));
    drop((before, after));
    last.wait(Duration::from_millis(100));
    assert_eq!(rcode(&last, "a.example.org A"), "NOERROR");
    assert!(last.log.lines().is_empty(), "it is looked at when it is due: {:?}", last.log.lines());
    let other = kit(&body(&([127, 0, 0, 1], 9).into()), Some(&last));
    assert_eq!(rcode(&other, "a.example.org A"), "SERVFAIL", "other primaries may have another zone");
}

#[test]
fn members_of_a_catalog_are_served_after_a_reload() {
    let listed = "version 0 IN TXT \"2\"\nid.zones 0 IN PTR example.net.\n";
    let zones = [("catalog.example", format!("{SOA}{listed}")), ("example.net", format!("{SOA}a 60 IN A 192.0.2.1\n"))];
    let primary = Primary::start(&zones);
    let body = |allowed: &str| {
        format!("secondary catalog.example {{\n transfer from {}\n catalog {allowed}\n}}", primary.addr)
    };
    let before = kit(&body(""), None);
    wait_for(&before, "a.example.net A");
    primary.end();
    let after = kit(&body("net"), Some(&before));
    drop(before);
    assert_eq!(rcode(&after, "a.example.net A"), "NOERROR");
    assert!(after.log.lines().is_empty(), "{:?}", after.log.lines());
    let less = kit(&body("org"), Some(&after));
    assert_eq!(rcode(&less, "a.example.net A"), "REFUSED", "it may not be a member any more");
}

#[test]
fn what_came_while_the_instances_changed_is_looked_for() {
    let primary = Primary::start(&[("example.org", format!("{SOA}a 60 IN A 192.0.2.1\n"))]);
    let kept = |serial: Option<&str>| {
        let zone = catena_core::Zone::parse("example.org").unwrap();
        let shared = serial.map_or_else(SharedZone::default, |serial| {
            let text = SOA.replace(" 7 ", serial);
            SharedZone::serving(load(text.as_bytes(), "db", &zone, &NoInclude).unwrap())
        });
        let from = catena_zone::inbound::Primary { addr: primary.addr, key: None };
        crate::keep::Kept::with(zone, vec![from], None, Arc::new(shared))
    };
    let serial = |kept: &crate::keep::Kept| kept.current().map(|zone| zone.serial());
    let (before, after) = (kept(Some(" 5 ")), kept(None));
    assert!(!after.take_over(&kept(None)), "there is nothing to go on with");
    assert!(after.take_over(&before));
    assert_eq!(serial(&after), Some(5));
    let wire = name::owned("example.org").unwrap();
    assert_eq!(after.name.wire(), wire.as_slice());
    before.shared.copy_from(&kept(Some(" 6 ")).shared);
    after.catch_up(&before);
    assert!(after.is_woken(), "it asks the primary at once");
    after.catch_up(&kept(Some(" 5 ")));
    assert!(!after.is_woken());
}
