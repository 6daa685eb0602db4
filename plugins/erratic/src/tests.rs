#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use catena_testkit::{Ask, Kit, Recipe, check, check_config};

use super::*;

const NO_DROP: &str = "erratic {\n drop 0\n}";

/// Whether each of the first eight queries gets a reply.
fn answered(properties: &str) -> Vec<bool> {
    let kit = Kit::of([PLUGIN], &format!("erratic {{\n{properties}\n}}"));
    (0..8).map(|_| !kit.ask_for("example.org A").silent).collect()
}

/// Whether each of the first eight replies is truncated.
fn cut(properties: &str) -> Vec<bool> {
    let kit = Kit::of([PLUGIN], &format!("erratic {{\n{properties}\n}}"));
    (0..8).map(|_| kit.ask_for("example.org A").flags.contains(&"tc")).collect()
}

#[test]
fn addresses_are_answered() {
    check(
        [PLUGIN],
        NO_DROP,
        "
        > A.example.org A
        < NOERROR qr aa rd
        = A.example.org. 0 IN A 192.0.2.53
        > a.example.org AAAA
        < NOERROR qr aa rd
        = a.example.org. 0 IN AAAA 2001:db8::53
        > a.example.org MX
        < SERVFAIL qr rd",
    );
}

#[test]
fn every_second_query_is_dropped_beginning_with_the_first() {
    let expected = [false, true, false, true, false, true, false, true];
    assert_eq!(answered("drop"), expected);
    let kit = Kit::of([PLUGIN], "erratic");
    assert_eq!((0..8).map(|_| !kit.ask_for("example.org MX").silent).collect::<Vec<_>>(), expected);
}

#[test]
fn one_of_so_many_is_dropped() {
    assert_eq!(answered("drop 3"), [false, true, true, false, true, true, false, true]);
    assert_eq!(answered("drop 1"), [false; 8]);
    assert_eq!(answered("drop 0"), [true; 8]);
}

#[test]
fn delay_or_truncate_end_the_dropping_that_has_no_number() {
    assert_eq!(answered("truncate"), [true; 8]);
    assert_eq!(answered("drop\ndelay 0\ntruncate 0"), answered("drop"));
    assert_eq!(answered("drop\ndelay 9 0s"), [true; 8]);
    assert_eq!(answered("drop 4\ntruncate"), answered("drop 4"));
}

#[test]
fn replies_are_cut_where_the_bits_are_unset() {
    assert_eq!(cut("truncate"), [true, true, false, false, true, true, false, false]);
    assert_eq!(cut("truncate 3"), [true, false, false, false, true, false, false, false]);
    assert_eq!(cut("drop 0"), [false; 8]);
}

#[test]
fn one_of_so_many_waits() {
    let kit = Kit::of([PLUGIN], "erratic {\n delay 3 50ms\n}");
    let waited: Vec<bool> = (0..4)
        .map(|_| {
            #[allow(clippy::disallowed_methods)]
            let start = Instant::now();
            kit.ask_for("example.org A");
            start.elapsed() >= Duration::from_millis(50)
        })
        .collect();
    assert_eq!(waited, [true, false, false, true]);
}

#[test]
fn large_replies_have_thirty_addresses() {
    let kit = Kit::of([PLUGIN], "erratic {\n drop 0\n large\n}");
    assert_eq!(kit.ask(&Ask::new("example.org A").tcp()).answer, vec!["example.org. 0 IN A 192.0.2.53"; 30]);
    assert_eq!(kit.ask(&Ask::new("example.org AAAA").tcp()).answer.len(), 1);
    assert!(kit.ask_for(&format!("{}org A", "example.".repeat(8))).flags.contains(&"tc"));
}

const RECORDS: [&str; 6] = [
    "Example.org. 0 IN SOA sns.dns.icann.org. noc.dns.icann.org. 2018050825 7200 3600 1209600 3600",
    "Example.org. 0 IN NS b.Example.org.",
    "Example.org. 0 IN NS a.Example.org.",
    "a.Example.org. 0 IN AAAA 2001:bd8::53",
    "b.Example.org. 0 IN AAAA 2001:500::54",
    "Example.org. 0 IN SOA sns.dns.icann.org. noc.dns.icann.org. 2018050825 7200 3600 1209600 3600",
];

#[test]
fn a_transfer_gives_a_small_zone() {
    let kit = Kit::of([PLUGIN], NO_DROP);
    let seen = kit.ask(&Ask::new("Example.org AXFR").tcp());
    assert_eq!((seen.answer, seen.messages), (RECORDS.map(str::to_owned).to_vec(), 1));
    assert_eq!(kit.ask_for("Example.org AXFR").answer, RECORDS);
}

#[test]
fn a_truncated_transfer_lacks_its_end() {
    let kit = Kit::of([PLUGIN], "erratic {\n truncate 1024\n}");
    let seen = kit.ask(&Ask::new("Example.org AXFR").tcp());
    assert_eq!(seen.answer, RECORDS[..5]);
    assert!(!seen.flags.contains(&"tc"));
}

#[test]
fn a_transfer_of_the_longest_name_leaves_its_hosts_out() {
    let label = |len: usize| format!("{}.", "x".repeat(len));
    let longest = label(63).repeat(3) + &label(61);
    let kit = Kit::of([PLUGIN], NO_DROP);
    assert_eq!(kit.ask(&Ask::new(&format!("{longest} AXFR")).tcp()).answer.len(), 2);
}

#[test]
fn it_is_ready_for_two_queries_only() {
    let kit = Kit::of([PLUGIN], NO_DROP);
    let ready = |kit: &Kit| kit.instance().blocks()[0].readiness[0].1.ready();
    let seen: Vec<bool> = (0..7)
        .map(|_| {
            let before = ready(&kit);
            kit.ask_for("example.org A");
            before
        })
        .collect();
    assert_eq!(seen, [false, false, false, true, true, false, false]);
}

#[test]
fn it_offers_a_search_path() {
    static ASKS: PluginDef = PluginDef::new("asks", |cx: &mut Setup<'_>| {
        cx.on_linked(|linked| {
            let (name, _) = linked.offers::<dyn AutoPath>().next().ok_or_else(|| Diagnostic::error("none"))?;
            if name == "erratic" { Ok(()) } else { Err(Diagnostic::error(name)) }
        });
        Ok(())
    });
    let kit = Kit::of([PLUGIN, ASKS], "erratic\nasks");
    let query = kit.query(0, &Ask::new("example.org A"));
    let path = Path(SEARCH_PATH.into_iter().filter_map(name::owned).collect());
    let told = path.search_path(&query, query.client().ip()).unwrap();
    assert_eq!(told.iter().map(|name| name.fmt_with_dot().to_string()).collect::<Vec<_>>(), SEARCH_PATH);
}

#[test]
fn wrong_words_are_told() {
    for (property, expected) in [
        ("drops", "Corefile:3 - Error during parsing: unknown property 'drops'"),
        ("drop 1 2", "Corefile:3 - Error during parsing: Wrong argument count or unexpected line ending after '2'"),
        ("delay 1 1s 2", "Corefile:3 - Error during parsing: Wrong argument count or unexpected line ending after '2'"),
        ("truncate 1 2", "Corefile:3 - Error during parsing: Wrong argument count or unexpected line ending after '2'"),
        ("drop -1", "illegal amount value given \"-1\""),
        ("delay -1", "illegal amount value given \"-1\""),
        ("truncate -1", "illegal amount value given \"-1\""),
        ("drop x", "strconv.ParseInt: parsing \"x\": invalid syntax"),
        ("drop 2147483648", "strconv.ParseInt: parsing \"2147483648\": value out of range"),
        ("delay 2 5", "time: missing unit in duration \"5\""),
    ] {
        check_config([PLUGIN], &format!("erratic {{\n{property}\n}}"), &format!("plugin/erratic: {expected}"));
    }
}

#[test]
fn the_largest_amount_is_taken() {
    assert!(Recipe::new([PLUGIN], ". {\n erratic {\n drop 2147483647\n }\n}\n").build().is_ok());
}
