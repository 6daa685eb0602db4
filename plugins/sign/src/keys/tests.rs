#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

mod trouble;
mod world;

use std::collections::BTreeSet;

use catena_zone::dnssec::{Algorithm, KeyRequest, RsaBits};

use self::world::{APEX, Pace, STEP, World, ZONE, ds_of};
use super::policy::{Policy, Submission};
use super::state::{Role, Stage};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// The world is as slow as the policy says.
const PACE: Pace = Pace { propagation: 2 * HOUR, parent_work: 6 * HOUR, parent_propagation: HOUR, ds_ttl: DAY };

fn policy() -> Policy {
    Policy {
        algorithm: Algorithm::Ed25519,
        zsk_lifetime: Some(10 * DAY),
        ksk_lifetime: Some(40 * DAY),
        propagation_delay: PACE.propagation,
        parent_ds_ttl: PACE.ds_ttl,
        parent_propagation_delay: PACE.parent_propagation,
        ..Policy::default()
    }
}

fn stages(world: &World, role: Role) -> Vec<Stage> {
    world.state().keys.iter().filter(|key| key.role == role).map(|key| key.stage).collect()
}

fn only(world: &World, role: Role) -> u16 {
    let state = world.state();
    let names: Vec<&str> = state.keys.iter().filter(|key| key.role == role).map(|key| &*key.name).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    names[0].rsplit('+').next().unwrap().parse().unwrap()
}

#[track_caller]
fn sound(world: &World) {
    assert!(world.faults.is_empty(), "{:#?}", &world.faults[..world.faults.len().min(5)]);
}

/// The moment, seconds since the beginning, at which something becomes true.
fn until(world: &mut World, limit: u64, is: impl Fn(&World) -> bool) -> u64 {
    let begun = world.time();
    while !is(world) {
        assert!(world.time() - begun < limit, "{}", world.state().write());
        world.step();
    }
    world.time()
}

#[test]
fn a_zsk_is_published_before_it_signs_and_stays_while_caches_have_what_it_signed() {
    let mut world = World::new(policy(), PACE);
    world.step();
    let (signed, old) = (world.time(), only(&world, Role::Zsk));
    assert_eq!(stages(&world, Role::Zsk), [Stage::Active]);
    let published = until(&mut world, 11 * DAY, |world| stages(world, Role::Zsk).len() == 2);
    // The next one is ready when the first is ten days old.
    assert_eq!(published, signed + 10 * DAY - (PACE.propagation + HOUR));
    assert_eq!(stages(&world, Role::Zsk), [Stage::Active, Stage::Published]);
    let active = until(&mut world, DAY, |world| stages(world, Role::Zsk)[1] == Stage::Active);
    assert_eq!((active, stages(&world, Role::Zsk)[0]), (signed + 10 * DAY, Stage::Retired));
    let removed = until(&mut world, 2 * DAY, |world| stages(world, Role::Zsk).len() == 1);
    assert_eq!(removed, active + PACE.propagation + DAY);
    assert!(!world.published().contains(&old) && !world.file(&format!("keys/Kexample.org.+015+{old:05}.key")).exists());
    sound(&world);
}

#[test]
fn a_ksk_stays_until_nobody_has_its_ds_record_any_more() {
    let mut world = World::new(policy(), PACE);
    world.step();
    let signed = world.time();
    assert!(!world.is_secure());
    let ready = until(&mut world, 2 * DAY, |world| stages(world, Role::Ksk) == [Stage::Ready]);
    // Nobody has a record without signature any more.
    assert_eq!(ready, signed + PACE.propagation + DAY);
    let active = until(&mut world, DAY, |world| stages(world, Role::Ksk) == [Stage::Active]);
    assert_eq!(active, ready + PACE.parent_work + STEP, "the operator says so");
    let old = only(&world, Role::Ksk);
    let published = until(&mut world, 41 * DAY, |world| stages(world, Role::Ksk).len() == 2);
    assert_eq!(published, active + 40 * DAY - (PACE.propagation + HOUR));
    let ready = until(&mut world, DAY, |world| stages(world, Role::Ksk)[1] == Stage::Ready);
    assert_eq!(ready, published + PACE.propagation + HOUR);
    let retired = until(&mut world, DAY, |world| stages(world, Role::Ksk) == [Stage::Retired, Stage::Active]);
    let removed = until(&mut world, 2 * DAY, |world| stages(world, Role::Ksk).len() == 1);
    assert_eq!(removed, retired + PACE.parent_propagation + PACE.ds_ttl);
    assert!(!world.published().contains(&old));
    sound(&world);
}

#[test]
fn whatever_caches_have_validates_through_many_rollovers() {
    for csk in [false, true] {
        let mut world = World::new(Policy { csk, ksk_lifetime: Some(15 * DAY), ..policy() }, PACE);
        world.run(12 * DAY);
        // TTLs change too, on the way up and on the way down.
        std::fs::write(world.file("db"), ZONE.replace("86400", "300").replace("@ 3600", "@ 600")).unwrap();
        world.run(12 * DAY);
        std::fs::write(world.file("db"), ZONE.replace("86400", "172800").replace("@ 3600", "@ 7200")).unwrap();
        world.run(12 * DAY);
        std::fs::write(world.file("db"), ZONE).unwrap();
        world.run(20 * DAY);
        sound(&world);
        assert!(world.is_secure());
        // Every ten days a ZSK, every fifteen another KSK; each makes three versions of the zone.
        let least = if csk { 8 } else { 20 };
        assert!(world.verified >= least || world.verified == 0, "{}", world.verified);
    }
}

/// The tests above can fail: a world that is slower than the policy says finds faults.
#[test]
fn a_world_slower_than_the_policy_says_breaks() {
    for pace in [
        Pace { propagation: 3 * HOUR, ..PACE },
        Pace { ds_ttl: 2 * DAY, ..PACE },
        Pace { parent_propagation: 3 * HOUR, ..PACE },
    ] {
        let mut world = World::new(Policy { ksk_lifetime: Some(8 * DAY), ..policy() }, pace);
        world.run(15 * DAY);
        assert!(!world.faults.is_empty());
    }
}

#[test]
fn an_old_ksk_is_never_retired_on_time_alone() {
    let mut world = World::new(policy(), PACE);
    world.run(5 * DAY);
    world.operator_confirms = false;
    world.run(60 * DAY);
    assert_eq!(stages(&world, Role::Ksk), [Stage::Active, Stage::Ready]);
    let waiting = world.metrics.gauge("coredns_sign_keys", "", &["zone", "role", "stage"]);
    assert_eq!(waiting.with_label_values(&["example.org.", "ksk", "ready"]).get(), 1.0);
    // The operator says that time is enough.
    world.restart(Policy { submission: Submission::After(DAY), ..policy() });
    world.run(3 * DAY);
    assert_eq!(stages(&world, Role::Ksk), [Stage::Active]);
    sound(&world);
}

#[test]
fn the_operator_can_have_keys_replaced_at_once() {
    let mut world = World::new(Policy { zsk_lifetime: None, ksk_lifetime: None, ..policy() }, PACE);
    world.run(5 * DAY);
    let (ksk, zsk) = (only(&world, Role::Ksk), only(&world, Role::Zsk));
    for tag in [ksk, zsk] {
        std::fs::write(world.file(&format!("keys/{}.rollover", world.key_name(tag))), "").unwrap();
    }
    world.run(5 * DAY);
    assert!(only(&world, Role::Ksk) != ksk && only(&world, Role::Zsk) != zsk);
    let left = std::fs::read_dir(world.file("keys")).unwrap().count();
    assert_eq!(left, 5, "two pairs of files and the state");
    sound(&world);
}

/// Puts a key into the directory, signs the zone with it as `key file` does, and lets the parent know it.
fn adopted(policy: Policy) -> (World, u16) {
    let mut world = World::new(policy, PACE);
    let request = KeyRequest {
        zone: APEX,
        algorithm: Algorithm::Ed25519,
        bits: RsaBits::Bits2048,
        is_ksk: true,
        ttl: 60,
        now: 0,
    };
    let new = request.generate().unwrap();
    let (public, tag) = (new.key.public().rdata().to_vec(), new.key.public().tag());
    let name = format!("keys/Kexample.org.+015+{tag:05}");
    std::fs::write(world.file(&format!("{name}.key")), &new.public_text).unwrap();
    std::fs::write(world.file(&format!("{name}.private")), &new.private_text).unwrap();
    let given = crate::signer::Signer {
        source: world.file("db"),
        output: world.file("db.example.org.signed"),
        keys: crate::signer::Keys::Given(vec![new.key].into()),
        zone: catena_core::Zone::parse("example.org").unwrap(),
        nsec3: None,
        jitter: world.jitter(),
        clock: world.clock.clone(),
        log: catena_core::Log::new(world.log.clone()),
        last: std::sync::Mutex::default(),
    };
    given.look();
    world.take_signed();
    world.delegate(BTreeSet::from([ds_of(&public)]));
    (world, tag)
}

#[test]
fn a_key_from_before_is_taken_over_and_signs_until_a_zsk_may() {
    let (mut world, tag) = adopted(policy());
    world.step();
    assert_eq!((stages(&world, Role::Ksk), stages(&world, Role::Zsk)), (vec![Stage::Active], vec![Stage::Published]));
    let begun = world.time();
    let active = until(&mut world, DAY, |world| stages(world, Role::Zsk) == [Stage::Active]);
    assert_eq!(active, begun + PACE.propagation + HOUR);
    assert_eq!(only(&world, Role::Ksk), tag);
    world.run(60 * DAY);
    assert_ne!(only(&world, Role::Ksk), tag);
    sound(&world);
}

#[test]
fn one_key_becomes_two_and_two_become_one() {
    let (mut world, _) = adopted(Policy { csk: true, ..policy() });
    world.run(3 * DAY);
    assert!(stages(&world, Role::Zsk).is_empty());
    for csk in [false, true, false] {
        world.restart(Policy { csk, ..policy() });
        world.run(7 * DAY);
        assert_eq!(stages(&world, Role::Zsk).is_empty(), csk);
    }
    sound(&world);
    // In the middle of a rollover of the KSK too.
    let ksk = world.state().keys[0].name.clone();
    std::fs::write(world.file(&format!("keys/{ksk}.rollover")), "").unwrap();
    world.run(4 * HOUR);
    for csk in [true, false, true] {
        world.restart(Policy { csk, ..policy() });
        world.run(7 * HOUR);
    }
    world.run(5 * DAY);
    sound(&world);
}

#[test]
fn a_zone_signed_with_keys_that_are_not_there_is_left_alone() {
    let (mut world, tag) = adopted(policy());
    std::fs::remove_file(world.file(&format!("keys/Kexample.org.+015+{tag:05}.key"))).unwrap();
    let before = std::fs::read(world.file("db.example.org.signed")).unwrap();
    world.step();
    let log = world.log.take().join("\n");
    assert!(log.contains("is signed with keys that are not in") && log.contains(&format!("[{tag}]")), "{log}");
    assert_eq!(std::fs::read(world.file("db.example.org.signed")).unwrap(), before);
    assert!(!world.file("keys/Kexample.org.state").exists());
}

#[test]
fn no_time_runs_while_the_zone_cannot_be_signed() {
    let mut world = World::new(policy(), PACE);
    world.run(9 * DAY);
    std::fs::write(world.file("db"), "broken").unwrap();
    world.run(5 * DAY);
    assert_eq!(stages(&world, Role::Zsk), [Stage::Active, Stage::Generated]);
    std::fs::write(world.file("db"), ZONE).unwrap();
    world.step();
    assert_eq!(stages(&world, Role::Zsk), [Stage::Active, Stage::Published]);
    world.run(10 * DAY);
    sound(&world);
}

#[test]
fn files_that_a_stopped_process_left_are_put_right() {
    let mut world = World::new(policy(), PACE);
    world.run(DAY);
    let before = world.state();
    // A key was about to be made: its private half is there.
    let half = "Kexample.org.+015+00007";
    let line = format!("key {half} zsk generated 2026-01-01T00:00:00Z\nend\n");
    std::fs::write(world.file("keys/Kexample.org.state"), before.write().replace("end\n", &line)).unwrap();
    std::fs::write(world.file(&format!("keys/{half}.private")), "half").unwrap();
    std::fs::write(world.file("keys/unfinished-1-0000000a"), "").unwrap();
    std::fs::write(world.file("unfinished-1-0000000a"), "").unwrap();
    world.restart(policy());
    world.step();
    assert_eq!(world.state(), before);
    assert_eq!(std::fs::read_dir(world.file("keys")).unwrap().count(), 5);
    assert!(!world.file("unfinished-1-0000000a").exists());
    sound(&world);
}

#[test]
fn a_missing_key_is_told_and_not_made_up_for() {
    let mut world = World::new(policy(), PACE);
    world.run(DAY);
    let name = world.state().keys[0].name.clone();
    std::fs::remove_file(world.file(&format!("keys/{name}.private"))).unwrap();
    std::fs::write(world.file("db"), ZONE.replace("any", "other")).unwrap();
    let before = world.state();
    world.step();
    let log = world.log.take().join("\n");
    assert!(log.contains(&format!("{name}.private: no such file or directory")), "{log}");
    assert_eq!(world.state(), before);
}

/// Numbers that are the same in every run (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Some weeks in which operators do what they like.
fn live(seed: u64) -> World {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let pace = Pace {
        propagation: STEP * dice.below(20),
        parent_work: STEP * dice.below(50),
        parent_propagation: STEP * dice.below(20),
        ds_ttl: STEP * dice.below(150),
    };
    let lifetime = |dice: &mut Dice| (dice.below(4) > 0).then(|| STEP * (1 + dice.below(900)));
    let mut policy = Policy {
        algorithm: Algorithm::Ed25519,
        csk: dice.below(2) == 0,
        zsk_lifetime: lifetime(&mut dice),
        ksk_lifetime: lifetime(&mut dice),
        propagation_delay: pace.propagation,
        parent_ds_ttl: pace.ds_ttl,
        parent_propagation_delay: pace.parent_propagation,
        ..Policy::default()
    };
    let mut world = World::new(policy.clone(), pace);
    world.is_verified = false;
    world.step();
    while world.time() < 25 * DAY {
        world.run(STEP * (1 + dice.below(200)));
        match dice.below(6) {
            0 => policy.csk = !policy.csk,
            1 => (policy.zsk_lifetime, policy.ksk_lifetime) = (lifetime(&mut dice), lifetime(&mut dice)),
            2 => {
                let [large, keys] = [dice.below(200_000), dice.below(20_000)].map(|ttl| ttl.to_string());
                let zone = ZONE.replace("86400", &large).replace("@ 3600", &format!("@ {keys}"));
                std::fs::write(world.file("db"), zone).unwrap();
            }
            3 => std::fs::write(world.file("db"), "broken").unwrap(),
            _ => {
                let keys = world.state().keys;
                let name = &keys[dice.below(keys.len() as u64) as usize].name;
                std::fs::write(world.file(&format!("keys/{name}.rollover")), "").unwrap();
            }
        }
        if dice.below(2) == 0 {
            world.restart(policy.clone());
        }
    }
    world
}

#[test]
fn whatever_operators_do_at_whatever_moment_caches_validate() {
    // More of them with CATENA_ROLLOVER_WORLDS=FIRST-LAST.
    let asked = std::env::var("CATENA_ROLLOVER_WORLDS").unwrap_or_default();
    let range = asked.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    let seeds: Vec<u64> = range.map_or(vec![2, 15], |(first, last): (u64, u64)| (first..=last).collect());
    for seed in seeds {
        let world = live(seed);
        assert!(world.faults.is_empty(), "seed {seed}: {:#?}", &world.faults[..world.faults.len().min(5)]);
    }
}
