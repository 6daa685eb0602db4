//! Secondaries on loopback that are told of changes.

use std::net::UdpSocket;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use catena_core::{Notifier, PluginDef, Seal};
use catena_testkit::{Kit, Recipe, check_config};
use catena_zone::tsig::{Algorithm, Key, KeyRing, Verdict, verify_request};

use super::{PLUGIN, ZONE};

/// `changed ZONE`: tells of a change of the zone when the instance serves, and when it ends.
const CHANGED: PluginDef = PluginDef::new("changed", |cx| {
    use std::sync::{Arc, OnceLock};

    use catena_core::{OwnedName, Service, StartContext, async_trait, name};

    struct Changed(OwnedName, OnceLock<Arc<dyn Notifier>>);

    #[async_trait]
    impl Service for Changed {
        async fn serving(&self, _: &StartContext<'_>) {
            self.1.get().unwrap().notify(self.0.for_slice());
        }

        /// A zone may change to the last.
        async fn shutdown(&self) {
            self.1.get().unwrap().notify(self.0.for_slice());
        }
    }

    let mut words = cx.cursor();
    words.next();
    let changed = Arc::new(Changed(name::owned(words.one_arg()?).unwrap(), OnceLock::new()));
    cx.service(Arc::<Changed>::clone(&changed));
    cx.on_linked(move |linked| {
        drop(changed.1.set(linked.offers::<dyn Notifier>().next().unwrap().1));
        Ok(())
    });
    Ok(())
});

/// `ring`: holds the key `xfer.example`, as `tsig` does.
const RING: PluginDef = PluginDef::new("ring", |cx| {
    let mut ring = KeyRing::default();
    ring.add(key()).unwrap();
    cx.offer::<KeyRing>(std::sync::Arc::new(ring));
    Ok(())
});

fn key() -> Key {
    Key::new("xfer.example", "NoTCJU+DMqFWywaPyxSijrDEA/eC3nK0xi3AMEZuPVk=", Algorithm::Sha256).unwrap()
}

/// A secondary that replies with these codes, one after the other, `None` being no reply; then it goes.
struct Secondary {
    addr: String,
    messages: Receiver<(Vec<u8>, String)>,
}

impl Secondary {
    fn new(codes: &[u8]) -> Self {
        Self::with(codes, |_, _| ())
    }

    /// The same; `then` changes the replies, given the requests.
    fn with(codes: &[u8], then: impl Fn(&[u8], &mut Vec<u8>) + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let addr = socket.local_addr().unwrap().to_string();
        let (sender, messages) = channel();
        let codes = codes.to_vec();
        std::thread::spawn(move || {
            for code in codes {
                let mut buffer = [0; 512];
                let Ok((len, from)) = socket.recv_from(&mut buffer) else { return };
                sender.send((buffer[..len].to_vec(), from.ip().to_string())).unwrap();
                let request = buffer[..len].to_vec();
                // The reply is what was asked, without what follows the question.
                let mut reply = buffer[..len.min(12 + 13 + 4)].to_vec();
                (reply[2], reply[3], reply[11]) = (reply[2] | 0x80, code, 0);
                then(&request, &mut reply);
                socket.send_to(&reply, from).unwrap();
            }
        });
        Self { addr, messages }
    }
}

fn kit(body: &str) -> Kit {
    let corefile = format!(". {{\n debug\n {body}\n}}\n");
    const DEBUG: PluginDef = PluginDef::new("debug", |cx| {
        cx.block_settings().debug = true;
        Ok(())
    });
    Recipe::new([DEBUG, RING, PLUGIN, ZONE, CHANGED], &corefile).build().ok().unwrap()
}

/// Waits until the log has so many lines.
fn lines(kit: &Kit, count: usize) -> Vec<String> {
    for _ in 0..500 {
        if kit.log.lines().len() >= count {
            break;
        }
        kit.wait(Duration::from_millis(10));
    }
    kit.log.take()
}

#[test]
fn every_target_that_is_one_address_is_told_from_the_source() {
    let secondary = Secondary::new(&[0]);
    let kit =
        kit(&format!("transfer {{\n to {} * 10.0.0.0/8\n source 127.0.0.9\n}}\nchanged Example.org", secondary.addr));
    let told = format!("Sent notifies for zone \"example.org.\" to [{} * 10.0.0.0/8]", secondary.addr);
    assert_eq!(lines(&kit, 1), [format!("[DEBUG] plugin/transfer: {told}")]);
    let (message, from) = secondary.messages.recv().unwrap();
    assert_eq!(from, "127.0.0.9");
    // Opcode 4 and AA; one question for the SOA record.
    assert_eq!(message[2..12], [0x24, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(message[12..], *b"\x07example\x03org\x00\x00\x06\x00\x01");
    assert!(secondary.messages.recv().is_err(), "told once");
}

#[test]
fn a_target_is_told_again_until_it_accepts_and_three_times_at_most() {
    let (slow, never) = (Secondary::new(&[5, 0]), Secondary::new(&[5, 5, 5, 0]));
    let kit = kit(&format!("transfer {{\n to {} {}\n}}\nchanged example.org", slow.addr, never.addr));
    let told = lines(&kit, 2);
    let refused = format!(
        "[WARNING] plugin/transfer: Failed sending notifies: notify for zone \"example.org.\" was not accepted by \"{}\": rcode was \"REFUSED\"",
        never.addr
    );
    assert_eq!(told[0], refused);
    assert_eq!(slow.messages.iter().count(), 2);
    assert_eq!(never.messages.try_iter().count(), 3);
}

#[test]
fn a_zone_without_a_stanza_has_nobody_to_be_told() {
    let secondary = Secondary::new(&[0]);
    let kit = kit(&format!("transfer example.net {{\n to {}\n}}\nchanged example.org", secondary.addr));
    kit.wait(Duration::from_millis(50));
    assert_eq!(kit.log.take(), Vec::<String>::new());
    assert!(secondary.messages.try_recv().is_err());
}

#[test]
fn a_target_that_is_not_there_is_told_of() {
    // Nobody listens on a port that was just given back.
    let addr = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let kit = kit(&format!("transfer {{\n to {addr}\n}}\nchanged example.org"));
    let told = lines(&kit, 2);
    assert!(told[0].contains(&format!("was not accepted by \"{addr}\": \"")), "{told:?}");
}

/// Signs a reply to a signed request.
fn signed(request: &[u8], reply: &mut Vec<u8>) {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let Verdict::Good(mut seal) = verify_request(request, |_| Some(std::sync::Arc::new(key())), now) else { return };
    seal.seal(reply);
}

#[test]
fn with_a_key_targets_are_told_signed_and_have_to_sign_as_well() {
    let (signs, does_not) = (Secondary::with(&[0], signed), Secondary::new(&[0, 0, 0]));
    let kit = kit(&format!(
        "ring\n transfer {{\n to {} {}\n key XFER.example\n}}\nchanged example.org",
        signs.addr, does_not.addr
    ));
    let told = lines(&kit, 2);
    let refused = format!("was not accepted by \"{}\": \"no usable signature in the reply\"", does_not.addr);
    assert!(told[0].ends_with(&refused), "{told:?}");
    assert_eq!(signs.messages.iter().count(), 1, "its reply was accepted");
}

#[test]
fn a_key_that_nobody_holds_and_a_second_one_are_errors() {
    let plugins = || [RING, PLUGIN];
    check_config(
        plugins(),
        "ring\ntransfer {\n to *\n key other.example\n}",
        "plugin/transfer: no key \"other.example\" in `tsig` of this server block",
    );
    let twice = "ring\ntransfer {\n to *\n key xfer.example\n key xfer.example\n}";
    check_config(
        plugins(),
        twice,
        "plugin/transfer: plugin/transfer: Corefile:6 - Error during parsing: key already specified",
    );
}

#[test]
fn too_many_tasks_are_told_of_but_not_that_an_instance_that_has_ended_starts_none() {
    let secondary = Secondary::new(&[0]);
    let kit = kit(&format!("transfer {{\n to {}\n}}\nchanged example.org", secondary.addr));
    lines(&kit, 1);
    kit.spawner.allow(0);
    kit.shutdown();
    let told =
        format!("[WARNING] plugin/transfer: Failed sending notifies: too many tasks, [{}] is not told", secondary.addr);
    assert_eq!(kit.log.take(), [told]);
    kit.spawner.end();
    kit.shutdown();
    assert_eq!(kit.log.take(), Vec::<String>::new());
}
