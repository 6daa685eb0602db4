use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use catena_core::{Arrival, Finished, Intake, PluginDef, Setup, finish};
use catena_testkit::{Ask, Kit, Recipe};
use catena_zone::UpdatedZone;
use catena_zone::tsig::{Algorithm, Conversation, Key, KeyRing, Verdict, verify_request};
use domain::base::iana::Class;

use super::{LAST, PLUGIN, Place, SENDER, SOA, zone};
use crate::held::Held;
use crate::reload::Watch;
use crate::updates::{UPDATES_WAITING_MAX, Updates};

const SECRET: &str = "NoTCJU+DMqFWywaPyxSijrDEA/eC3nK0xi3AMEZuPVk=";

/// Takes signatures of two keys, as `tsig` does.
const SIGNATURES: PluginDef = PluginDef::new("signatures", |cx: &mut Setup<'_>| {
    let mut ring = KeyRing::default();
    for name in ["may.key", "other.key"] {
        ring.add(Key::new(name, SECRET, Algorithm::Sha256).unwrap()).unwrap();
    }
    let ring = Arc::new(ring);
    cx.offer::<KeyRing>(Arc::clone(&ring));
    cx.sees_updates();
    cx.link(Signatures(ring));
    Ok(())
});

struct Signatures(Arc<KeyRing>);

#[catena_core::async_trait]
impl catena_core::Plugin for Signatures {
    async fn serve(&self, q: &mut catena_core::Query, next: catena_core::Next<'_>) -> catena_core::Reply {
        let verdict = verify_request(q.request(), |name| self.0.key(name), q.clock().unix_seconds());
        match verdict {
            Verdict::Good(seal) | Verdict::Bad(_, seal) => q.set_seal(Box::new(seal)),
            _ => {}
        }
        next.run(q).await
    }
}

fn recipe(place: &Place, zones: &str, body: &str) -> Recipe {
    let body = body.replace("DIR", &place.0.path().display().to_string());
    let text = format!("{zones} {{\n signatures\n{body}\n sender\n}}\n");
    Recipe::new([SENDER, SIGNATURES, PLUGIN, LAST], &text)
}

fn kit(place: &Place, properties: &str) -> Kit {
    match recipe(place, "example.org", &format!("file DIR/db {{\n {properties}\n }}")).build() {
        Ok(kit) => kit,
        Err(errors) => panic!("{}", errors.into_iter().map(|(_, text)| text).collect::<String>()),
    }
}

/// The message of an update that adds `NAME A 192.0.2.9`.
fn adding(zone: &str, name: &str) -> Vec<u8> {
    let mut message = Ask::new(&format!("{zone} SOA")).flags(5 << 11).message();
    message[9] = 1;
    message.extend_from_slice(catena_core::name::owned(name).unwrap().as_slice());
    message.extend([0, 1]);
    message.extend(Class::IN.to_int().to_be_bytes());
    message.extend([0, 0, 0, 60, 0, 4, 192, 0, 2, 9]);
    message
}

fn signer(key: &str) -> Arc<Key> {
    Arc::new(Key::new(key, SECRET, Algorithm::Sha256).unwrap())
}

/// The code of the reply, and whether it is signed rightly.
fn send(kit: &Kit, mut message: Vec<u8>, key: Option<&str>) -> (u8, bool) {
    let now = kit.query(0, &Ask::new("x A")).clock().unix_seconds();
    let mut conversation = key.map(|key| Conversation::sign(signer(key), &mut message, now));
    let mut query = kit.query(0, &Ask::new("x A"));
    let arrival = Arrival { ..query.arrival().clone() };
    let reply = match query.read(&message, arrival) {
        Intake::Reject(reply) => reply,
        intake => {
            assert_eq!(intake, Intake::Serve);
            let reply = kit.run(Arc::clone(kit.instance()).serve(&mut query));
            let mut out = Vec::new();
            assert!(matches!(finish(&mut query, reply, &mut out), Finished::Send));
            out
        }
    };
    (reply[3] & 15, conversation.as_mut().is_some_and(|conversation| conversation.check(&reply, now).is_ok()))
}

fn is_there(kit: &Kit, name: &str) -> bool {
    kit.ask_for(&format!("{name} A")).rcode == "NOERROR"
}

#[test]
fn a_signed_update_changes_the_zone_and_its_reply_is_signed() {
    let place = zone("");
    let kit = kit(&place, "update key may.key");
    kit.log.take();
    assert_eq!(send(&kit, adding("example.org", "new.example.org"), Some("may.key")), (0, true));
    let updated = "[INFO] plugin/file: Updated zone \"example.org.\" to serial 43 with key \"may.key.\"";
    assert_eq!(kit.log.take(), [updated, "[INFO] plugin/sender: told of example.org."]);
    assert_eq!(kit.ask_for("new.example.org A").answer, ["new.example.org. 60 IN A 192.0.2.9"]);
    assert!(place.path("db.journal").exists());
}

#[test]
fn an_update_without_a_signature_or_with_another_key_is_refused() {
    let place = zone("");
    let kit = kit(&place, "update key may.key");
    let update = || adding("example.org", "new.example.org");
    assert_eq!(send(&kit, update(), None).0, 5);
    assert_eq!(send(&kit, update(), Some("other.key")), (5, true));
    assert_eq!(send(&kit, update(), Some("unknown.key")), (5, false), "the signature is not known to be right");
    assert!(!is_there(&kit, "new.example.org"));
}

#[test]
fn an_update_of_a_zone_that_is_not_here_is_notauth() {
    let place = zone("");
    let kit = kit(&place, "update key may.key");
    assert_eq!(send(&kit, adding("a.example.org", "b.a.example.org"), Some("may.key")), (9, true));
}

#[test]
fn a_zone_beside_one_that_takes_updates_refuses_them() {
    let place = zone("");
    place.write("net", SOA);
    let body = "file DIR/db example.org {\n update key may.key\n }\n file DIR/net example.net";
    let kit = recipe(&place, ".", body).build().ok().unwrap();
    assert_eq!(send(&kit, adding("example.net", "new.example.net"), Some("may.key")), (5, true));
    assert_eq!(send(&kit, adding("example.org", "new.example.org"), Some("may.key")), (0, true));
}

#[test]
fn without_the_property_updates_are_not_implemented() {
    let place = zone("");
    let kit = kit(&place, "reload 1m");
    assert_eq!(send(&kit, adding("example.org", "new.example.org"), Some("may.key")).0, 4);
}

#[test]
fn a_reload_goes_on_with_the_zone_as_it_is() {
    let place = zone("");
    let first = kit(&place, "update key may.key");
    send(&first, adding("example.org", "one.example.org"), Some("may.key"));
    let body = "file DIR/db {\n update key other.key\n }\n last";
    let mut next = recipe(&place, "example.org", body);
    next.predecessor = Some(Arc::clone(first.instance()));
    let second = next.build().ok().unwrap();
    assert!(is_there(&second, "one.example.org"));
    assert!(second.log.lines().iter().all(|line| !line.contains("Successfully loaded")), "nothing is read again");
    assert_eq!(send(&first, adding("example.org", "two.example.org"), Some("may.key")), (0, true));
    assert!(is_there(&second, "two.example.org"), "what the one before still changes is not lost");
    assert_eq!(send(&second, adding("example.org", "three.example.org"), Some("other.key")), (0, true));
    place.write("db", &SOA.replace("42", "9000"));
    let mut next = recipe(&place, "example.org", "file DIR/db {\n reload 0\n update key may.key\n }");
    next.predecessor = Some(Arc::clone(second.instance()));
    let third = next.build().ok().unwrap();
    assert!(third.log.lines().iter().any(|line| line.contains("its SOA serial 9000 is newer than 45")));
    assert!(!is_there(&third, "one.example.org") && !is_there(&second, "one.example.org"));
}

#[test]
fn what_is_confirmed_by_two_instances_is_in_the_journal_of_both() {
    let place = zone("");
    let first = kit(&place, "update key may.key");
    send(&first, adding("example.org", "one.example.org"), Some("may.key"));
    let mut next = recipe(&place, "example.org", "file DIR/db {\n update key may.key\n }");
    next.predecessor = Some(Arc::clone(first.instance()));
    let second = next.build().ok().unwrap();
    send(&first, adding("example.org", "two.example.org"), Some("may.key"));
    send(&second, adding("example.org", "three.example.org"), Some("may.key"));
    drop((first, second));
    let third = kit(&place, "update key may.key");
    assert!(["one", "two", "three"].iter().all(|name| is_there(&third, &format!("{name}.example.org"))));
}

#[test]
fn a_journal_may_have_another_name_and_one_zone() {
    let place = zone("");
    let kit = kit(&place, "update key may.key journal DIR/changes");
    send(&kit, adding("example.org", "new.example.org"), Some("may.key"));
    assert!(place.path("changes").exists() && !place.path("db.journal").exists());
    drop(kit);
    let twice = "file DIR/db {\n update key may.key\n }\nfile DIR/db example.net {\n update key may.key\n }";
    assert_eq!(wrong(&place, twice), "plugin/file: two zones with one journal");
}

fn wrong(place: &Place, body: &str) -> String {
    let errors = recipe(place, "example.org", body).build().err().unwrap();
    errors[0].0.one_line().replace(&place.0.path().display().to_string(), "DIR")
}

#[test]
fn what_is_wrong_with_the_property_is_told() {
    let place = zone("");
    let told = |property: &str| wrong(&place, &format!("file DIR/db {{\n {property}\n }}"));
    let wants = "plugin/file: Corefile:4 - Error during parsing: update wants 'key' and the names of keys";
    for property in ["update", "update key", "update keys may.key", "update key journal DIR/x"] {
        assert_eq!(told(property), wants, "{property}");
    }
    assert!(told("update key may.key journal").contains("Wrong argument count"));
    assert!(told("update key may.key journal a b").contains("Wrong argument count"));
    let unknown = "plugin/file: tsig has no key \"unknown.key.\" in this server block";
    assert_eq!(told("update key may.key unknown.key"), unknown);
    let by_serial = "plugin/file: update goes by serial numbers, not with reload_by_mtime";
    assert_eq!(told("reload_by_mtime\n update key may.key"), by_serial);
    let two = "file DIR/db example.org example.net {\n update key may.key\n }";
    assert_eq!(wrong(&place, two), "plugin/file: update is for a file of one zone");
    std::fs::write(place.path("db.journal"), "x").unwrap();
    let damaged = "plugin/file: journal \"DIR/db.journal\" is damaged at octet 0: it is no journal";
    assert_eq!(told("update key may.key"), damaged);
}

#[test]
fn one_key_more_than_may_be_is_an_error() {
    let place = zone("");
    let keys = "may.key ".repeat(crate::config::UPDATE_KEYS_MAX);
    let text = wrong(&place, &format!("file DIR/db {{\n update key {keys} more.key\n }}"));
    assert!(text.ends_with("more than 1000 keys"), "{text}");
}

/// An update that is signed and was found to be.
fn signed_query(kit: &Kit) -> catena_core::Query {
    let mut query = kit.query(0, &Ask::new("x A"));
    let (mut message, now) = (adding("example.org", "new.example.org"), query.clock().unix_seconds());
    let _ = Conversation::sign(signer("may.key"), &mut message, now);
    let arrival = Arrival { ..query.arrival().clone() };
    assert_eq!(query.read(&message, arrival), Intake::Serve);
    let Verdict::Good(seal) = verify_request(query.request(), |_| Some(signer("may.key")), now) else { panic!() };
    query.set_seal(Box::new(seal));
    query
}

#[test]
fn one_update_more_than_may_wait_fails() {
    let place = zone("");
    let kit = kit(&place, "update key may.key");
    let sink: Arc<dyn catena_core::LogSink> = Arc::<catena_testkit::FakeLog>::clone(&kit.log);
    let log = catena_core::Log::new(sink);
    let updates = Updates::new(Arc::new(Watch::new(Vec::new(), log.clone())), log);
    let name = catena_core::name::owned("may.key").unwrap();
    let at = catena_core::Diagnostic::error("");
    let example = catena_core::Zone::parse("example.org").unwrap();
    let updated = UpdatedZone::new(example, place.path("db"), place.path("other"));
    let held = Held::Updated { zone: Arc::new(updated), keys: vec![(name, at)].into() };
    let _turn = updates.hold_turn();
    let mut queries: Vec<_> = (0..=UPDATES_WAITING_MAX).map(|_| signed_query(&kit)).collect();
    let mut cx = Context::from_waker(Waker::noop());
    let mut waiting: Vec<_> = queries.iter_mut().map(|query| Box::pin(updates.serve(query, Some(&held)))).collect();
    let mut last = waiting.pop().unwrap();
    assert!(waiting.iter_mut().all(|one| one.as_mut().poll(&mut cx).is_pending()));
    let Poll::Ready(reply) = last.as_mut().poll(&mut cx) else { panic!("it waits") };
    assert_eq!(reply.error.unwrap().to_string(), "more than 256 updates wait");
}

#[test]
fn an_update_of_a_signed_zone_is_refused_and_the_log_says_what_to_do() {
    let place = zone("@ 60 IN NSEC ns A NS SOA RRSIG NSEC DNSKEY\nns 60 IN NSEC @ A RRSIG NSEC\n");
    let kit = kit(&place, "update key may.key");
    kit.log.take();
    assert_eq!(send(&kit, adding("example.org", "new.example.org"), Some("may.key")), (5, true));
    let told =
        "[WARNING] plugin/file: Refused an update of zone \"example.org.\" with key \"may.key.\": the zone is signed, ";
    assert!(kit.log.take()[0].starts_with(told));
}
