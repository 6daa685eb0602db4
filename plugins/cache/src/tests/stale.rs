use super::*;

/// Lets a task in the background end.
fn settle(kit: &Kit) {
    kit.wait(Duration::from_millis(1));
}

fn serve_stale(args: &str, upstream: &str) -> Kit {
    kit(&format!("{{\n serve_stale {args}\n}}"), upstream)
}

#[test]
fn an_old_entry_is_served_at_once_and_refreshed_as_over_tcp() {
    let kit = serve_stale("", "ok:60");
    ask(&kit);
    advance(&kit, 60);
    assert_eq!(ask(&kit), "NOERROR .1/0");
    settle(&kit);
    // The second query came as over TCP.
    assert_eq!(ask(&kit), "NOERROR .102/60");
    assert_eq!(count(&kit, "served_stale_total"), 1.0);
    assert_eq!(count(&kit, "prefetch_total"), 1.0);
    assert_eq!(count_of(&kit, "hits_total", "success"), 2.0);
}

#[test]
fn an_old_entry_is_served_up_to_its_limit() {
    let kit = serve_stale("10s", "ok:60 status");
    ask(&kit);
    advance(&kit, 69);
    assert_eq!(ask(&kit), "NOERROR .1/0");
    advance(&kit, 1);
    assert_eq!(ask(&kit), "SERVFAIL");
}

#[test]
fn a_failed_refresh_leaves_the_old_entry() {
    for behaviour in ["status", "servfail", "refused", "cut", "silence"] {
        let kit = serve_stale("", &format!("ok:60 {behaviour}"));
        ask(&kit);
        advance(&kit, 60);
        ask(&kit);
        settle(&kit);
        assert_eq!(ask(&kit), "NOERROR .1/0", "{behaviour}");
    }
}

#[test]
fn old_records_get_the_ttl_that_is_set_for_them() {
    let kit = serve_stale("1h immediate 30s", "ok:60 status");
    ask(&kit);
    advance(&kit, 60);
    assert_eq!(ask(&kit), "NOERROR .1/30");
}

#[test]
fn keepttl_holds_for_old_records_too() {
    let kit = kit("{\n serve_stale\n keepttl\n}", "ok:60 status");
    ask(&kit);
    advance(&kit, 90);
    assert_eq!(ask(&kit), "NOERROR .1/60");
}

#[test]
fn without_room_for_a_task_the_old_entry_is_served_and_the_next_query_tries_again() {
    let kit = serve_stale("", "ok:60");
    ask(&kit);
    advance(&kit, 60);
    kit.spawner.allow(0);
    assert_eq!(ask(&kit), "NOERROR .1/0");
    assert_eq!(count(&kit, "prefetch_total"), 0.0);
    kit.spawner.allow(1);
    ask(&kit);
    settle(&kit);
    assert_eq!(ask(&kit), "NOERROR .102/60");
}

#[test]
fn only_one_refresh_is_under_way() {
    let kit = serve_stale("", "ok:60 slow-ok:60");
    ask(&kit);
    advance(&kit, 60);
    for _ in 0..5 {
        assert_eq!(ask(&kit), "NOERROR .1/0");
    }
    assert_eq!(count(&kit, "prefetch_total"), 1.0);
}

#[test]
fn a_failed_refresh_holds_off_the_next_for_the_recheck_time() {
    let kit = serve_stale("1h immediate 0s 10s", "ok:60 status ok:60");
    ask(&kit);
    advance(&kit, 60);
    for _ in 0..3 {
        ask(&kit);
        settle(&kit);
        advance(&kit, 3);
    }
    assert_eq!(count(&kit, "prefetch_total"), 1.0);
    advance(&kit, 1);
    ask(&kit);
    settle(&kit);
    assert_eq!(ask(&kit), "NOERROR .103/60");
}

#[test]
fn verify_asks_first_and_serves_what_is_good() {
    let kit = serve_stale("1h verify", "ok:60 ok:60");
    ask(&kit);
    advance(&kit, 60);
    assert_eq!(ask(&kit), "NOERROR .2/60");
    assert_eq!(count(&kit, "served_stale_total"), 0.0);
}

#[test]
fn verify_takes_a_denial_over_an_old_answer_and_an_answer_over_an_old_denial() {
    let kit = serve_stale("1h verify", "ok:60 nx:60 ok:60 status");
    ask(&kit);
    advance(&kit, 60);
    assert_eq!(ask(&kit), "NXDOMAIN SOA/60");
    advance(&kit, 60);
    assert_eq!(ask(&kit), "NOERROR .3/60");
    assert_eq!(ask(&kit), "NOERROR .3/60");
}

#[test]
fn verify_serves_the_old_entry_when_the_reply_is_no_good() {
    for behaviour in ["status", "servfail", "refused", "cut", "silence", "query"] {
        let kit = serve_stale("1h verify", &format!("ok:60 {behaviour} ok:60"));
        ask(&kit);
        advance(&kit, 60);
        let seen = kit.ask_for("a.example.org A");
        assert_eq!(show(&seen), "NOERROR .1/0", "{behaviour}");
        assert_eq!((seen.by, seen.error), ("cache", None));
        assert_eq!(ask(&kit), "NOERROR .3/60", "{behaviour}");
    }
}

#[test]
fn verify_with_a_timeout_serves_what_is_good_in_time() {
    let kit = serve_stale("1h verify 5s", "ok:60 ok:60");
    ask(&kit);
    advance(&kit, 60);
    let seen = kit.ask_for("a.example.org A");
    assert_eq!(show(&seen), "NOERROR .2/60");
    assert_eq!(seen.flags, ["qr", "aa", "rd", "ra"]);
}

#[test]
fn verify_with_a_timeout_serves_the_old_entry_and_lets_the_query_go_on() {
    let kit = serve_stale("1h verify 10ms", "ok:60 slow-ok:60");
    ask(&kit);
    advance(&kit, 60);
    assert_eq!(ask(&kit), "NOERROR .1/0");
    kit.wait(Duration::from_millis(200));
    assert_eq!(ask(&kit), "NOERROR .2/60");
}

#[test]
fn verify_without_room_for_a_task_serves_the_old_entry() {
    let kit = serve_stale("1h verify 5s", "ok:60");
    ask(&kit);
    advance(&kit, 60);
    kit.spawner.allow(0);
    assert_eq!(ask(&kit), "NOERROR .1/0");
}

#[test]
fn verify_with_a_recheck_time_asks_once_in_it() {
    let kit = serve_stale("1h verify 0s 0s 10s", "ok:60 servfail ok:60");
    ask(&kit);
    advance(&kit, 60);
    assert_eq!(ask(&kit), "NOERROR .1/0");
    advance(&kit, 9);
    assert_eq!(ask(&kit), "NOERROR .1/0");
    advance(&kit, 1);
    assert_eq!(ask(&kit), "NOERROR .3/60");
}

fn prefer_positive(stale: &str, upstream: &str) -> Kit {
    kit(&format!("{{\n serve_stale {stale}\n serve_stale_policy prefer_positive\n}}"), upstream)
}

#[test]
fn prefer_positive_keeps_an_old_answer_over_a_denial() {
    let kit = prefer_positive("1h verify", "ok:60 nx:60 nodata:60 ok:60");
    ask(&kit);
    advance(&kit, 60);
    assert_eq!(ask(&kit), "NOERROR .1/0");
    assert_eq!(ask(&kit), "NOERROR .1/0");
    assert_eq!(count_of(&kit, "entries", "denial"), 1.0);
    assert_eq!(ask(&kit), "NOERROR .4/60");
    assert_eq!(count_of(&kit, "entries", "denial"), 0.0);
}

#[test]
fn prefer_positive_remembers_the_good_answer_behind_one_that_answers_nothing() {
    let kit = prefer_positive("1h verify", "ok:60 empty status");
    ask(&kit);
    advance(&kit, 60);
    assert_eq!(ask(&kit), "NOERROR .1/0");
    assert_eq!(ask(&kit), "NOERROR .1/0");
}

#[test]
fn a_failure_in_the_cache_does_not_hide_an_answer() {
    // The denial store gets the failure from a refresh; the answer is still usable.
    let kit = kit("{\n prefetch 1 1m 90%\n}", "ok:60 servfail");
    ask(&kit);
    advance(&kit, 10);
    ask(&kit);
    settle(&kit);
    assert_eq!(ask(&kit), "NOERROR .1/50");
}

#[test]
fn an_entry_in_use_is_refreshed_when_little_time_is_left() {
    let kit = kit("{\n prefetch 2 1m 10%\n}", "ok:60");
    ask(&kit);
    ask(&kit);
    ask(&kit);
    settle(&kit);
    advance(&kit, 53);
    ask(&kit);
    settle(&kit);
    assert_eq!(count(&kit, "prefetch_total"), 0.0);
    advance(&kit, 1);
    assert_eq!(ask(&kit), "NOERROR .1/6");
    settle(&kit);
    assert_eq!(count(&kit, "prefetch_total"), 1.0);
    assert_eq!(ask(&kit), "NOERROR .102/60");
    // The hits came along, so the next refresh needs no new ones.
    advance(&kit, 54);
    ask(&kit);
    settle(&kit);
    assert_eq!(count(&kit, "prefetch_total"), 2.0);
}

#[test]
fn hits_far_apart_do_not_add_up() {
    let kit = kit("{\n prefetch 2 10s 90%\n}", "ok:60");
    ask(&kit);
    for _ in 0..4 {
        ask(&kit);
        advance(&kit, 11);
    }
    assert_eq!(count(&kit, "prefetch_total"), 0.0);
}
