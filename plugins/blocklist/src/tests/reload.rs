//! Lists that change.

use super::*;

const OFTEN: &str = "list DIR/ads\n reload 20ms";

#[test]
fn a_changed_file_is_read_again_and_queries_never_wait() {
    let place = Place::of(&[("ads", "one.test\n")]);
    let kit = place.kit(OFTEN);
    assert_eq!((rcode(&kit, "one.test A"), rcode(&kit, "two.test A")), ("NXDOMAIN".into(), "NOERROR".into()));
    place.write("ads", "two.test\nthree.test\n");
    until(&kit, || {
        let both = (rcode(&kit, "one.test A"), rcode(&kit, "two.test A"));
        assert_ne!(both, ("NOERROR".into(), "NOERROR".into()), "there is always a list");
        both == ("NOERROR".into(), "NXDOMAIN".into())
    });
    assert_eq!(kit.metric("coredns_blocklist_entries{list=\"ads\"}"), Some(2.0));
    assert!(kit.metric("coredns_blocklist_reload_timestamp_seconds{list=\"ads\"}").unwrap() > 1e9);
}

#[test]
fn a_file_that_is_the_same_is_not_read_again() {
    let place = Place::of(&[("ads", "one.test\n")]);
    let kit = place.kit(OFTEN);
    kit.wait(Duration::from_millis(200));
    assert_eq!(kit.log.take().len(), 1, "read once");
}

#[test]
fn a_broken_list_leaves_the_one_before_and_is_told_once() {
    let place = Place::of(&[("ads", "one.test\n")]);
    let kit = place.kit(OFTEN);
    place.write("ads", "<html>\n<body>\n");
    let failures = || kit.metric("coredns_blocklist_failures_total{list=\"ads\"}").unwrap_or(0.0);
    until(&kit, || failures() > 0.0);
    kit.wait(Duration::from_millis(200));
    let lines = kit.log.take();
    let errors: Vec<_> = lines.iter().filter(|line| line.starts_with("[ERROR]")).collect();
    let wanted = "[ERROR] plugin/blocklist: list \"ads\": most lines are not those of a list: line 1: \"<html>\"; the list before stays";
    assert_eq!(errors, [wanted]);
    assert_eq!(rcode(&kit, "one.test A"), "NXDOMAIN");
    place.write("ads", "two.test\n");
    until(&kit, || rcode(&kit, "two.test A") == "NXDOMAIN");
}

#[test]
fn a_file_that_is_gone_leaves_its_list_and_is_told_once() {
    let place = Place::of(&[("ads", "one.test\n")]);
    let kit = place.kit(OFTEN);
    std::fs::remove_file(place.path("ads")).unwrap();
    until(&kit, || kit.metric("coredns_blocklist_failures_total{list=\"ads\"}").unwrap_or(0.0) > 3.0);
    assert_eq!(kit.log.take().iter().filter(|line| line.starts_with("[ERROR]")).count(), 1);
    assert_eq!(rcode(&kit, "one.test A"), "NXDOMAIN");
}

#[test]
fn a_list_that_is_not_there_yet_is_waited_for() {
    let place = Place::of(&[]);
    let kit = place.kit(OFTEN);
    assert!(kit.warnings[0].contains("nothing is blocked by it until it is there"), "{:?}", kit.warnings);
    let is_ready = || kit.instance().blocks()[0].readiness.iter().all(|(_, plugin)| plugin.ready());
    assert!(!is_ready());
    assert_eq!(rcode(&kit, "one.test A"), "NOERROR");
    place.write("ads", "one.test\n");
    until(&kit, || rcode(&kit, "one.test A") == "NXDOMAIN");
    assert!(is_ready());
}

#[test]
fn with_reload_zero_a_file_is_read_once() {
    let place = Place::of(&[("ads", "one.test\n")]);
    let kit = place.kit("list DIR/ads\n reload 0");
    place.write("ads", "two.test\n");
    kit.wait(Duration::from_millis(100));
    assert_eq!((rcode(&kit, "one.test A"), rcode(&kit, "two.test A")), ("NXDOMAIN".into(), "NOERROR".into()));
}

#[test]
fn a_reload_of_the_corefile_reads_what_changed_and_nothing_else() {
    let place = Place::of(&[("ads", "one.test\n"), ("more", "three.test\n")]);
    let successor = |before: &Kit, body: &str| {
        let mut recipe = place.recipe(&format!("blocklist {{\n{body}\n}}"));
        recipe.predecessor = Some(std::sync::Arc::clone(before.instance()));
        recipe.build().map_err(|errors| errors[0].0.one_line())
    };
    let blocked = |kit: &Kit, names: [&str; 3]| names.map(|name| rcode(kit, &format!("{name}.test A")) == "NXDOMAIN");
    let before = place.kit("list DIR/ads\n list DIR/more");
    // It looks the same from outside.
    let modified = std::fs::metadata(place.path("ads")).unwrap().modified().unwrap();
    place.write("ads", "two.test\n");
    std::fs::File::options().write(true).open(place.path("ads")).unwrap().set_modified(modified).unwrap();
    place.write("more", "three.test\nfour.test\n");
    let after = successor(&before, "list DIR/more as new\n list DIR/ads\n reload 1h").ok().unwrap();
    assert_eq!(blocked(&after, ["one", "two", "four"]), [true, false, true]);
    assert_eq!(after.log.take(), ["[INFO] plugin/blocklist: list \"new\": 2 entries"]);
    std::fs::remove_file(place.path("ads")).unwrap();
    let last = successor(&after, "list DIR/ads").ok().unwrap();
    assert_eq!(blocked(&last, ["one", "three", "four"]), [true, false, false], "what is gone stays");
    place.write("ads", "<html>\n");
    assert!(successor(&after, "list DIR/ads").is_err() && successor(&last, "list DIR/ads").is_err());
}
