//! When a key goes from one stage to the next (RFC 7583). Nothing here reads a clock or a file.
//!
//! ```text
//! ZSK, published before it signs (section 3.2.1)
//!     published --propagation + TTL of DNSKEY, and the one before at the end of its life--> active
//!     active    --when the next one is--> retired --propagation + largest TTL of the zone--> removed
//! KSK, two in the zone while the parent changes its DS record (section 3.3.1); a CSK, which signs the zone too
//!     published --propagation + TTL of DNSKEY, or of the zone if that has to be forgotten--> ready: CDS and CDNSKEY
//!     ready     --the parent has its DS record--> active
//!     active    --when the next one is--> retired --propagation + TTL of DS in the parent--> removed
//! ```

use std::collections::BTreeSet;

use catena_zone::dnssec::Algorithm;

use super::policy::{Policy, Submission};
use super::state::{Key, Role, Stage, State};

/// What a key does in the zone at a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) signs_keys: bool,
    pub(crate) signs_zone: bool,
    pub(crate) for_parent: bool,
}

/// What follows from the policy and the state together, at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) policy: &'a Policy,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

impl Rules<'_> {
    /// The roles for which a key has to be made now.
    pub(crate) fn wanted(self, state: &State) -> Vec<Role> {
        let roles = if self.policy.csk { &[Role::Ksk][..] } else { &[Role::Ksk, Role::Zsk] };
        roles
            .iter()
            .copied()
            .filter(|role| self.successor_due(state, *role).is_some_and(|due| due <= self.now))
            .collect()
    }

    /// When the next key of a role has to be made. `None`: there is one on its way, the last rollover is not over, or the key lives for
    /// ever.
    fn successor_due(self, state: &State, role: Role) -> Option<u64> {
        if state.has(role, &[Stage::Generated, Stage::Published, Stage::Ready]) {
            return None;
        }
        if !state.has(role, &[Stage::Active]) {
            return Some(0);
        }
        if state.has(role, &[Stage::Retired]) {
            return None;
        }
        // What the operator asked for begins at once.
        let asked = state.of(role, Stage::Active).filter_map(|key| key.rollover).min();
        let early = self.end(state, role)?.saturating_sub(self.publication(state, role));
        Some(asked.map_or(early, |asked| asked.min(early)))
    }

    /// When the first of the active keys of a role has lived long enough.
    fn end(self, state: &State, role: Role) -> Option<u64> {
        let lifetime = match role {
            Role::Ksk => self.policy.ksk_lifetime,
            Role::Zsk => self.policy.zsk_lifetime,
        };
        let end = |key: &Key| match (key.rollover, lifetime.map(|lifetime| key.since.saturating_add(lifetime))) {
            (Some(asked), Some(end)) => Some(asked.min(end)),
            (asked, end) => asked.or(end),
        };
        state.of(role, Stage::Active).filter_map(end).min()
    }

    /// How long a key is published before anybody may rely on it (RFC 7583: Ipub, IpubC).
    fn publication(self, state: &State, role: Role) -> u64 {
        let keys = state.dnskey_ttl.at(self.now);
        // Records without a signature of it have to be forgotten too, if it is one that signs them, or the first.
        let signs_all = role == Role::Ksk && (self.policy.csk || !state.has(role, &[Stage::Active]));
        let ttl = if signs_all { keys.max(state.zone_ttl.at(self.now)) } else { keys };
        self.policy.propagation_delay + ttl
    }

    /// How long what a key signed may be in caches (RFC 7583: Iret).
    fn forgetting(self, state: &State) -> u64 {
        self.policy.propagation_delay + state.zone_ttl.at(self.now)
    }

    /// When a key goes on to its next stage. `None`: not by itself.
    pub(crate) fn due(self, state: &State, key: &Key) -> Option<u64> {
        let published = key.since.saturating_add(self.publication(state, key.role));
        match (key.role, key.stage) {
            (_, Stage::Generated) => Some(key.since),
            (_, Stage::Removed) => None,
            (Role::Zsk, Stage::Published) if self.policy.csk => Some(key.since),
            (Role::Zsk, Stage::Published) if state.has(Role::Zsk, &[Stage::Active]) => {
                Some(self.end(state, Role::Zsk)?.max(published))
            }
            (_, Stage::Published) => Some(published),
            (Role::Zsk, Stage::Active) if self.policy.csk => {
                state.has(Role::Ksk, &[Stage::Ready, Stage::Active]).then_some(key.since)
            }
            // The next one takes its place.
            (_, Stage::Active) => None,
            (_, Stage::Ready) => match self.policy.submission {
                Submission::After(time) => Some(key.since.saturating_add(time)),
                Submission::Manual | Submission::Servers(_) => None,
            },
            (Role::Zsk, Stage::Retired) => self.dispensable(state, key),
            (Role::Ksk, Stage::Retired) => {
                let ds_ttl = self.policy.parent_ds_ttl.max(state.parent_ds_ttl.into());
                let ds = key.since.saturating_add(self.policy.parent_propagation_delay + ds_ttl);
                Some(self.dispensable(state, key)?.max(ds))
            }
        }
    }

    /// When everything that caches may have of the zone is signed by a key that stays, as far as this one signed it. `None`: what is
    /// served now is not.
    fn dispensable(self, state: &State, key: &Key) -> Option<u64> {
        let stays = |tag: &u16| {
            let of = |other: &&Key| other.tag() == *tag && other.name != key.name;
            state.keys.iter().find(of).is_some_and(|key| key.stage != Stage::Retired && key.stage.is_published())
        };
        let is_of_it = |tags: &BTreeSet<u16>| tags.is_empty() || tags.contains(&key.tag());
        let needed = state.signers.iter().filter(|past| is_of_it(&past.tags) && !past.tags.iter().any(stays));
        let ends = needed.map(|past| Some(past.until?.saturating_add(self.forgetting(state))));
        ends.chain([Some(key.since)]).try_fold(0, |due, end| Some(end?.max(due)))
    }

    /// Moves every key whose time has come by one stage. `submitted` is the key that the parent has the DS record of.
    pub(crate) fn advance(self, state: &mut State, submitted: Option<&str>) {
        let before = state.clone();
        for at in 0..before.keys.len() {
            let old = &before.keys[at];
            let is_submitted = old.stage == Stage::Ready && submitted == Some(&*old.name);
            if !is_submitted && self.due(&before, old).is_none_or(|due| due > self.now) {
                continue;
            }
            let next = self.next_stage(&before, old);
            if next == Stage::Active {
                self.retire(state, old.role);
            }
            self.enter(&mut state.keys[at], next);
        }
    }

    fn next_stage(self, before: &State, key: &Key) -> Stage {
        match (key.role, key.stage) {
            (Role::Zsk, Stage::Generated | Stage::Published) if self.policy.csk => Stage::Removed,
            // Nobody knows of a zone that was never signed.
            (Role::Zsk, Stage::Generated) if is_first(before) => Stage::Active,
            (_, Stage::Generated) => Stage::Published,
            (Role::Ksk, Stage::Published) => Stage::Ready,
            (Role::Zsk, Stage::Published) | (_, Stage::Ready) => Stage::Active,
            (_, Stage::Active) => Stage::Retired,
            (_, Stage::Retired | Stage::Removed) => Stage::Removed,
        }
    }

    fn retire(self, state: &mut State, role: Role) {
        for key in state.keys.iter_mut().filter(|key| key.role == role && key.stage == Stage::Active) {
            self.enter(key, Stage::Retired);
        }
    }

    fn enter(self, key: &mut Key, stage: Stage) {
        (key.stage, key.since) = (stage, self.now);
        if stage != Stage::Active {
            key.rollover = None;
        }
    }

    /// When something will happen next by itself: a key is made, or goes on.
    pub(crate) fn next_due(self, state: &State) -> Option<u64> {
        let keys = state.keys.iter().filter_map(|key| self.due(state, key));
        let made = [Role::Ksk, Role::Zsk].into_iter().filter(|role| !self.policy.csk || *role == Role::Ksk);
        keys.chain(made.filter_map(|role| self.successor_due(state, role))).min()
    }

    /// What a key does; `None` if the zone is without it.
    pub(crate) fn use_of(self, state: &State, key: &Key) -> Option<Use> {
        if !key.stage.is_published() {
            return None;
        }
        let is_ksk = key.role == Role::Ksk;
        let signs_zone = if is_ksk { self.ksk_signs_zone(state) } else { key.stage == Stage::Active };
        let for_parent = match key.stage {
            Stage::Ready => true,
            Stage::Active => !state.has(Role::Ksk, &[Stage::Ready]),
            _ => false,
        };
        Some(Use { signs_keys: is_ksk, signs_zone, for_parent: is_ksk && for_parent })
    }

    /// Whether the keys that the parent knows sign everything: by policy, or because no other key may do it yet.
    fn ksk_signs_zone(self, state: &State) -> bool {
        self.policy.csk || !state.has(Role::Zsk, &[Stage::Active])
    }

    /// Takes down that the zone is in its place, signed as the state says. Stages that are new since `before` begin now.
    pub(crate) fn signed(self, state: &mut State, before: &State, dnskey_ttl: u32, zone_ttl: u32) {
        state.signed = Some(self.now);
        state.dnskey_ttl.set(dnskey_ttl, self.now, self.policy.propagation_delay);
        state.zone_ttl.set(zone_ttl, self.now, self.policy.propagation_delay);
        let signs = |key: &&Key| self.use_of(state, key).is_some_and(|used| used.signs_zone);
        let tags = state.keys.iter().filter(signs).map(Key::tag).collect();
        state.signed_by(tags, self.now, self.now.saturating_sub(self.forgetting(state)));
        for key in &mut state.keys {
            let old = before.keys.iter().find(|old| old.name == key.name);
            if old.is_none_or(|old| old.stage != key.stage) {
                key.since = self.now;
            }
        }
    }
}

/// Whether no validator can have seen the zone signed.
fn is_first(state: &State) -> bool {
    state.signed.is_none() && state.keys.iter().all(|key| key.stage == Stage::Generated)
}

/// The algorithm of new keys: that of those there are, since another would need a rollover of algorithms (RFC 6781 section 4.1.4).
pub(crate) fn algorithm(state: &State, policy: &Policy) -> Algorithm {
    let of = |key: &Key| Algorithm::from_int(key.name.rsplit('+').nth(1)?.parse().ok()?);
    let known = state.keys.iter().filter(|key| key.stage != Stage::Removed).find_map(of);
    known.unwrap_or(policy.algorithm)
}
