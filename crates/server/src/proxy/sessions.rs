//! Which client a proxy's datagrams without header come from: the last header of the proxy's address and port, for a while.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use catena_core::ProxySessions;

/// No entry.
const NIL: usize = usize::MAX;

/// The clients behind proxies, the peer that was heard last first. Keys are hashed with a seed, for peers choose them.
#[derive(Debug)]
pub(crate) struct Sessions {
    places: HashMap<SocketAddr, usize>,
    entries: Vec<Entry>,
    newest: usize,
    oldest: usize,
}

#[derive(Debug)]
struct Entry {
    peer: SocketAddr,
    client: SocketAddr,
    expires: Instant,
    newer: usize,
    older: usize,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { places: HashMap::new(), entries: Vec::new(), newest: NIL, oldest: NIL }
    }
}

impl Sessions {
    /// Remembers the client behind a peer.
    pub(crate) fn put(&mut self, peer: SocketAddr, client: SocketAddr, settings: ProxySessions, now: Instant) {
        let expires = now + settings.ttl;
        if let Some(&at) = self.places.get(&peer) {
            self.entries[at].client = client;
            self.entries[at].expires = expires;
            self.renew(at);
            return;
        }
        while self.entries.len() >= settings.sessions_max.max(1) {
            self.remove(self.oldest);
        }
        let at = self.entries.len();
        self.entries.push(Entry { peer, client, expires, newer: NIL, older: NIL });
        self.places.insert(peer, at);
        self.push_newest(at);
    }

    /// The client behind a peer that was heard within the time; it begins anew.
    pub(crate) fn get(&mut self, peer: SocketAddr, settings: ProxySessions, now: Instant) -> Option<SocketAddr> {
        let at = *self.places.get(&peer)?;
        if self.entries[at].expires <= now {
            self.remove(at);
            return None;
        }
        self.entries[at].expires = now + settings.ttl;
        self.renew(at);
        Some(self.entries[at].client)
    }

    fn renew(&mut self, at: usize) {
        if self.newest != at {
            self.unlink(at);
            self.push_newest(at);
        }
    }

    fn push_newest(&mut self, at: usize) {
        self.entries[at].newer = NIL;
        self.entries[at].older = self.newest;
        match self.entries.get_mut(self.newest) {
            Some(before) => before.newer = at,
            None => self.oldest = at,
        }
        self.newest = at;
    }

    fn unlink(&mut self, at: usize) {
        let Entry { newer, older, .. } = self.entries[at];
        match self.entries.get_mut(newer) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
        match self.entries.get_mut(older) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
    }

    /// Forgets an entry; the last one takes its place.
    fn remove(&mut self, at: usize) {
        self.unlink(at);
        let gone = self.entries.swap_remove(at);
        self.places.remove(&gone.peer);
        let Some(moved) = self.entries.get(at) else { return };
        let Entry { peer, newer, older, .. } = *moved;
        self.places.insert(peer, at);
        match self.entries.get_mut(newer) {
            Some(entry) => entry.older = at,
            None => self.newest = at,
        }
        match self.entries.get_mut(older) {
            Some(entry) => entry.newer = at,
            None => self.oldest = at,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]
    use super::*;
    use std::time::Duration;

    const TTL: Duration = Duration::from_secs(20);

    fn peer(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn client(port: u16) -> SocketAddr {
        ([198, 51, 100, 9], port).into()
    }

    fn at_most(sessions_max: usize) -> ProxySessions {
        ProxySessions { ttl: TTL, sessions_max }
    }

    #[test]
    fn the_last_header_of_a_peer_counts() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        sessions.put(peer(1), client(1), at_most(8), now);
        sessions.put(peer(1), client(2), at_most(8), now);
        assert_eq!(sessions.get(peer(1), at_most(8), now), Some(client(2)));
        assert_eq!(sessions.get(peer(2), at_most(8), now), None);
    }

    #[test]
    fn the_time_begins_anew_with_each_datagram() {
        let (mut sessions, mut now) = (Sessions::default(), Instant::now());
        sessions.put(peer(1), client(1), at_most(8), now);
        for _ in 0..3 {
            now += TTL - Duration::from_nanos(1);
            assert_eq!(sessions.get(peer(1), at_most(8), now), Some(client(1)));
        }
        assert_eq!(sessions.get(peer(1), at_most(8), now + TTL), None);
        assert!(sessions.entries.is_empty() && sessions.places.is_empty());
    }

    #[test]
    fn over_the_limit_the_peer_that_was_silent_longest_is_forgotten() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        for port in 1..=3 {
            sessions.put(peer(port), client(port), at_most(3), now);
        }
        assert!(sessions.get(peer(1), at_most(3), now).is_some());
        sessions.put(peer(4), client(4), at_most(3), now);
        let known = [1, 2, 3, 4].map(|port| sessions.get(peer(port), at_most(3), now).is_some());
        assert_eq!(known, [true, false, true, true]);
    }

    #[test]
    fn a_smaller_limit_forgets_the_surplus() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        for port in 1..=9 {
            sessions.put(peer(port), client(port), at_most(9), now);
        }
        sessions.put(peer(10), client(10), at_most(2), now);
        let known: Vec<u16> = (1..=10).filter(|port| sessions.get(peer(*port), at_most(2), now).is_some()).collect();
        assert_eq!(known, [9, 10]);
    }

    #[test]
    fn it_behaves_as_a_list_sorted_by_use() {
        let (mut sessions, mut now) = (Sessions::default(), Instant::now());
        let mut model: Vec<u16> = Vec::new();
        let mut state = 1_u32;
        for _ in 0..20_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let port = 1 + (state >> 16) as u16 % 12;
            now += Duration::from_millis(1);
            let known = model.iter().position(|known| *known == port).map(|at| model.remove(at));
            if state >> 31 == 0 {
                sessions.put(peer(port), client(port), at_most(5), now);
            } else {
                assert_eq!(sessions.get(peer(port), at_most(5), now).is_some(), known.is_some());
                if known.is_none() {
                    continue;
                }
            }
            model.push(port);
            if model.len() > 5 {
                model.remove(0);
            }
        }
        assert_eq!(sessions.entries.len(), model.len());
    }
}
