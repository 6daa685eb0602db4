//! Directories that cannot be written, states that lost their keys, and files that say nothing.

use catena_core::Clock;

use super::super::state::{Role, Stage};
use super::world::{STEP, World, ZONE};
use super::{DAY, PACE, only, policy, sound, stages};

fn lines_with(log: &[String], part: &str) -> usize {
    log.iter().filter(|line| line.contains(part)).count()
}

#[test]
fn signing_goes_on_while_no_key_can_be_written() {
    let mut world = World::new(policy(), PACE);
    world.run(9 * DAY);
    world.log.take();
    let full = world.file("keys").join(crate::place::FULL);
    std::fs::write(&full, "").unwrap();
    world.run(14 * DAY);
    let log = world.log.take();
    assert!(lines_with(&log, "Successfully signed zone") >= 2, "{log:#?}");
    assert_eq!(lines_with(&log, "[ERROR] Error with the keys of zone"), 1, "{log:#?}");
    assert_eq!(lines_with(&log, "Made "), 0, "{log:#?}");
    assert_eq!(stages(&world, Role::Zsk), [Stage::Active]);
    std::fs::remove_file(&full).unwrap();
    world.run(3 * DAY);
    let log = world.log.take();
    assert_eq!((lines_with(&log, "is over"), lines_with(&log, "Made zsk key")), (1, 1), "{log:#?}");
    assert_eq!(stages(&world, Role::Zsk), [Stage::Active]);
    sound(&world);
}

#[test]
fn a_key_is_told_as_made_when_it_is_on_the_disk() {
    let mut world = World::new(policy(), PACE);
    let full = world.file("keys").join(crate::place::FULL);
    std::fs::write(&full, "").unwrap();
    world.run(3 * STEP);
    let log = world.log.take();
    assert_eq!((lines_with(&log, "Made "), lines_with(&log, "[ERROR]")), (0, 1), "{log:#?}");
    std::fs::remove_file(&full).unwrap();
    world.step();
    assert_eq!(lines_with(&world.log.take(), "Made "), 2);
}

#[test]
fn ttls_of_zones_that_were_signed_without_the_state_are_known_afterwards() {
    for is_stopped in [false, true] {
        let mut world = World::new(policy(), PACE);
        world.run(DAY);
        let full = world.file("keys").join(crate::place::FULL);
        std::fs::write(&full, "").unwrap();
        std::fs::write(world.file("db"), ZONE.replace("86400", "172800")).unwrap();
        world.step();
        assert_eq!(world.state().zone_ttl.now, 86_400);
        std::fs::remove_file(&full).unwrap();
        if is_stopped {
            world.restart(policy());
        } else {
            // What is lowered meanwhile counts too.
            std::fs::write(world.file("db"), ZONE).unwrap();
        }
        world.step();
        let now = world.clock.unix_seconds();
        assert_eq!(world.state().zone_ttl.at(now), 172_800, "{is_stopped}");
        let log = world.log.take();
        assert_eq!(lines_with(&log, "the state of its keys was not written"), 1, "{log:#?}");
        world.step();
        assert_eq!(world.log.take(), [""; 0]);
    }
}

#[test]
fn a_state_that_lost_its_keys_is_an_error_and_no_reason_for_new_ones() {
    for lost in ["key ", " ksk "] {
        let mut world = World::new(policy(), PACE);
        world.run(DAY);
        let path = world.file("keys/Kexample.org.state");
        let good = std::fs::read_to_string(&path).unwrap();
        let signed = std::fs::read(world.file("db.example.org.signed")).unwrap();
        let text: String = good.lines().filter(|line| !line.contains(lost)).map(|line| format!("{line}\n")).collect();
        std::fs::write(&path, &text).unwrap();
        world.log.take();
        world.run(3 * STEP);
        let log = world.log.take();
        assert_eq!(lines_with(&log, &format!("{}: the state names no KSK", path.display())), 1, "{log:#?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        assert_eq!(std::fs::read(world.file("db.example.org.signed")).unwrap(), signed);
        std::fs::write(&path, good).unwrap();
        world.run(DAY);
        sound(&world);
    }
}

#[test]
fn what_is_said_of_a_key_too_early_is_told_and_does_not_count_later() {
    let mut world = World::new(policy(), PACE);
    world.step();
    world.operator_confirms = false;
    let name = world.key_name(only(&world, Role::Ksk));
    let said = world.file(&format!("keys/{name}.submitted"));
    std::fs::write(&said, "").unwrap();
    world.log.take();
    world.step();
    let log = world.log.take().join("\n");
    assert!(log.contains("[WARNING]") && log.contains(&format!("{said:?} is not heard and was removed: ")), "{log}");
    assert!(log.contains("the key is not ready for the parent") && !said.exists(), "{log}");
    world.run(3 * DAY);
    assert_eq!(stages(&world, Role::Ksk), [Stage::Ready]);
    std::fs::write(&said, "").unwrap();
    world.step();
    assert_eq!(stages(&world, Role::Ksk), [Stage::Active]);
    for of in [Role::Ksk, Role::Zsk] {
        let name = world.key_name(only(&world, of));
        std::fs::write(world.file(&format!("keys/{name}.submitted")), "").unwrap();
    }
    world.log.take();
    world.step();
    let log = world.log.take();
    assert_eq!(lines_with(&log, "the key has been ready before"), 1, "{log:#?}");
    assert_eq!(lines_with(&log, "the parent has no DS record of a ZSK"), 1, "{log:#?}");
    assert_eq!(std::fs::read_dir(world.file("keys")).unwrap().count(), 5);
}

#[test]
fn files_that_say_nothing_are_told_once() {
    let mut world = World::new(policy(), PACE);
    world.step();
    let ksk = world.key_name(only(&world, Role::Ksk));
    let zsk = world.key_name(only(&world, Role::Zsk));
    let make = |name: &str| std::fs::write(world.file(&format!("keys/{name}")), "").unwrap();
    for wrong in [&format!("{ksk}.key.submitted"), "Kexample.org.+015+99999.rollover", "example.org.rollover"] {
        make(wrong);
    }
    // A key of another zone, whose own look sees to it.
    make("Kexample.net.+015+00001.key");
    make("Kexample.net.+015+00001.rollover");
    make(&format!("{ksk}.rollover"));
    std::fs::create_dir(world.file(&format!("keys/{zsk}.rollover"))).unwrap();
    world.log.take();
    world.run(3 * STEP);
    let log = world.log.take();
    assert_eq!(lines_with(&log, "no key has this name"), 3, "{log:#?}");
    assert_eq!(lines_with(&log, "it is no file"), 1, "{log:#?}");
    assert_eq!(lines_with(&log, "the key is published, it will be replaced when it is active"), 1, "{log:#?}");
    assert_eq!(lines_with(&log, "is not heard"), 5, "{log:#?}");
    let wrong = world.file("keys/example.org.rollover");
    std::fs::remove_file(&wrong).unwrap();
    world.step();
    std::fs::write(&wrong, "").unwrap();
    world.step();
    assert_eq!(lines_with(&world.log.take(), "no key has this name"), 1, "it was made anew");
}
