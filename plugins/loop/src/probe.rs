//! The query that the server sends to itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use catena_core::corefile::Transport;
use catena_core::{ListenAddr, OwnedName, Rtype, Zone, flags, name};
use catena_upstream::{exchange_udp, write_question};
use rand::distr::{Alphanumeric, SampleString as _};
use tokio::time::{sleep, timeout};

use crate::Watch;

/// The length of each of the two labels that nobody can guess: together 190 bits.
const LABEL_OCTETS: usize = 16;
/// How long the probe tries to get a reply. CoreDNS: plugin/loop/setup.go.
const PROBE_TIME: Duration = Duration::from_secs(30);
/// The pause between two tries.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How long one try waits for a reply.
const TRY_TIMEOUT: Duration = Duration::from_secs(2);
/// How long sightings are counted after the reply.
const AFTER_REPLY: Duration = Duration::from_secs(2);

/// A name in the zone that nobody can guess, in lower case; none if the zone is so long that no such name fits.
pub(crate) fn name(zone: &Zone) -> Option<OwnedName> {
    let mut rng = rand::rng();
    let mut label = || Alphanumeric.sample_string(&mut rng, LABEL_OCTETS).to_ascii_lowercase();
    let text = format!("{}.{}.{}", label(), label(), zone.text().trim_start_matches('.'));
    name::owned(&text)
}

/// Where the probe goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The socket address.
    pub(crate) peer: SocketAddr,
    /// The address on which the server listens, `:53` for all of the host's.
    pub(crate) shown: String,
}

impl Target {
    /// The first address that takes plain DNS; none if the block has only encrypted ones.
    pub(crate) fn of(listen: &[ListenAddr]) -> Option<Self> {
        let first = listen.iter().find(|listen| listen.transport == Transport::Dns && listen.scope.is_none())?;
        let host = match first.ip {
            Some(IpAddr::V6(_)) => format!("[{}]", first.host()),
            _ => first.host(),
        };
        let ip = match first.ip {
            None => Ipv4Addr::LOCALHOST.into(),
            Some(IpAddr::V4(ip)) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            Some(IpAddr::V6(ip)) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            Some(ip) => ip,
        };
        Some(Self { peer: SocketAddr::new(ip, first.port), shown: format!("{host}:{}", first.port) })
    }
}

/// Asks until a reply comes or the time is over; what comes after that is not looked at.
pub(crate) async fn run(watch: Arc<Watch>, name: OwnedName, peer: SocketAddr) {
    if timeout(PROBE_TIME, ask(&watch, &name, peer)).await.is_ok() {
        sleep(AFTER_REPLY).await;
    }
    watch.off.store(true, Ordering::Relaxed);
}

async fn ask(watch: &Watch, name: &OwnedName, peer: SocketAddr) {
    let mut message = Vec::new();
    loop {
        write_question(rand::random(), flags::RD, name.as_slice(), Rtype::HINFO, &mut message);
        if exchange_udp(peer, &message, TRY_TIMEOUT).await.is_ok() {
            return;
        }
        // The tries themselves are not a loop.
        watch.sightings.store(0, Ordering::Relaxed);
        sleep(RETRY_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn listen(transport: Transport, ip: Option<&str>, port: u16) -> ListenAddr {
        ListenAddr { transport, ip: ip.map(|ip| ip.parse().unwrap()), scope: None, port }
    }

    fn target(listen: &[ListenAddr]) -> Option<(String, String)> {
        Target::of(listen).map(|target| (target.peer.to_string(), target.shown))
    }

    #[test]
    fn the_probe_goes_to_the_first_address_and_to_loopback_where_it_is_a_wildcard() {
        let one = |ip| target(&[listen(Transport::Dns, ip, 53), listen(Transport::Dns, Some("192.0.2.9"), 53)]);
        let both = |peer: &str, shown: &str| Some((peer.to_owned(), shown.to_owned()));
        assert_eq!(one(None), both("127.0.0.1:53", ":53"));
        assert_eq!(one(Some("0.0.0.0")), both("127.0.0.1:53", "0.0.0.0:53"));
        assert_eq!(one(Some("::")), both("[::1]:53", "[::]:53"));
        assert_eq!(one(Some("192.0.2.1")), both("192.0.2.1:53", "192.0.2.1:53"));
    }

    #[test]
    fn encrypted_addresses_are_passed_over() {
        let tls = listen(Transport::Tls, None, 853);
        assert_eq!(target(std::slice::from_ref(&tls)), None);
        let found = target(&[tls, listen(Transport::Dns, None, 53)]).unwrap();
        assert_eq!(found.0, "127.0.0.1:53");
    }

    #[test]
    fn the_name_is_two_long_labels_in_the_zone_and_another_each_time() {
        let zone = Zone::parse("example.org").unwrap();
        let (one, other) = (name(&zone).unwrap(), name(&zone).unwrap());
        assert_ne!(one, other);
        let text = one.to_string();
        let labels: Vec<&str> = text.split('.').collect();
        assert_eq!(labels[2..], ["example", "org"]);
        assert!(labels[..2].iter().all(|label| label.len() == LABEL_OCTETS), "{text}");
        assert_eq!(text, text.to_ascii_lowercase());
        assert_eq!(name(&Zone::root()).unwrap().label_count(), 3);
    }

    #[test]
    fn a_zone_that_leaves_no_room_for_the_labels_has_no_name_to_ask_for() {
        // Two labels take 34 octets of the 255 that a name may have.
        let zone = |last: usize| Zone::parse(&format!("{0}.{0}.{0}.{1}.", "a".repeat(63), "b".repeat(last))).unwrap();
        assert_eq!(name(&zone(27)).unwrap().as_slice().len(), 255);
        assert_eq!(name(&zone(28)), None);
    }
}
