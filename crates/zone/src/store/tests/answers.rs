//! What a look-up answers without proofs.

use catena_core::{Answer, LabelStarts, Rtype, Section};

use super::super::{ADDITIONAL_TARGETS_MAX, Asked, CHAIN_MAX, Outcome, chase_target};
use super::kit::{ask, finds, look_up, wire, zone};

const SOME: &str = "
    ns A 192.0.2.53
    a A 192.0.2.1
    a A 192.0.2.2
    a TXT text
    x.ent A 192.0.2.3
";

#[test]
fn a_name_with_the_type_answers_with_the_name_servers_of_the_zone() {
    finds(&zone(SOME), "a A", "Answered\n = a A 192.0.2.1\n = a A 192.0.2.2\n ~ @ NS ns");
}

#[test]
fn the_records_of_a_set_stay_in_the_order_in_which_they_came() {
    finds(&zone("m TXT z\n m TXT a"), "m TXT", "Answered\n = m TXT z\n = m TXT a\n ~ @ NS ns");
}

#[test]
fn a_name_without_the_type_is_no_data() {
    finds(&zone(SOME), "a AAAA", "NoData\n ~ @ SOA");
    finds(&zone(SOME), "a ANY", "NoData\n ~ @ SOA");
}

#[test]
fn a_name_that_is_not_there_does_not_exist() {
    finds(&zone(SOME), "b A", "NxDomain\n ~ @ SOA");
    finds(&zone(SOME), "x.a A", "NxDomain\n ~ @ SOA");
}

#[test]
fn a_name_with_names_below_it_exists() {
    finds(&zone(SOME), "ent A", "EmptyNonTerminal\n ~ @ SOA");
}

#[test]
fn the_apex_answers_its_own_name_servers_with_their_addresses() {
    finds(&zone(SOME), "@ NS", "Answered\n = @ NS ns\n + ns A 192.0.2.53");
    finds(&zone(SOME), "@ SOA", "Answered\n = @ SOA\n ~ @ NS ns");
}

#[test]
fn a_wildcard_stands_for_every_name_below_its_parent_that_is_not_there() {
    let zone = zone("*.w A 192.0.2.9\n here.w TXT t\n x.ent.w A 192.0.2.8");
    finds(&zone, "any.w A", "Answered\n = any.w A 192.0.2.9\n ~ @ NS ns");
    finds(&zone, "a.b.w A", "Answered\n = a.b.w A 192.0.2.9\n ~ @ NS ns");
    finds(&zone, "*.w A", "Answered\n = *.w A 192.0.2.9\n ~ @ NS ns");
    finds(&zone, "any.w TXT", "NoData\n ~ @ SOA");
    finds(&zone, "here.w A", "NoData\n ~ @ SOA");
    finds(&zone, "w A", "EmptyNonTerminal\n ~ @ SOA");
}

#[test]
fn a_wildcard_stands_neither_for_an_empty_non_terminal_nor_for_what_is_below_a_name_that_exists() {
    let zone = zone("*.w A 192.0.2.9\n here.w TXT t\n x.ent.w A 192.0.2.8");
    finds(&zone, "ent.w A", "EmptyNonTerminal\n ~ @ SOA");
    finds(&zone, "y.ent.w A", "NxDomain\n ~ @ SOA");
    finds(&zone, "y.here.w A", "NxDomain\n ~ @ SOA");
}

#[test]
fn a_wildcard_that_owns_nothing_stands_for_names_without_data() {
    finds(&zone("x.*.w A 192.0.2.9"), "y.w A", "NoData\n ~ @ SOA");
}

#[test]
fn the_wildcard_that_answered_is_named() {
    let zone = zone("*.w A 192.0.2.9\n a A 192.0.2.1");
    assert_eq!(look_up(&zone, "any.w", Rtype::A, false).0.wildcard, Some(&wire("*.w")[..]));
    assert_eq!(look_up(&zone, "a", Rtype::A, false).0.wildcard, None);
}

#[test]
fn a_cut_refers_to_the_name_servers_with_the_addresses_that_lie_below_it() {
    let zone = zone("sub NS ns.sub\n sub NS ns\n ns.sub A 192.0.2.54\n ns A 192.0.2.53\n h.sub A 192.0.2.55");
    let referral = "Delegation\n ~ sub NS ns.sub\n ~ sub NS ns\n + ns.sub A 192.0.2.54";
    for question in ["sub A", "sub NS", "h.sub A", "h.sub DS", "a.b.sub TXT", "ns.sub A"] {
        finds(&zone, question, referral);
    }
}

#[test]
fn the_first_of_two_cuts_on_the_way_down_counts() {
    finds(&zone("sub NS a.test.\n b.sub NS b.test."), "x.b.sub A", "Delegation\n ~ sub NS a.test.");
}

#[test]
fn ds_at_a_cut_is_answered_from_above_it() {
    finds(&zone("sub NS a.test.\n sub DS x"), "sub DS", "Answered\n = sub DS\n ~ @ NS ns");
    finds(&zone("sub NS a.test."), "sub DS", "NoData\n ~ @ SOA");
}

#[test]
fn a_wildcard_does_not_reach_below_a_cut() {
    finds(&zone("* A 192.0.2.9\n sub NS a.test."), "x.sub A", "Delegation\n ~ sub NS a.test.");
}

#[test]
fn a_chain_of_cnames_is_followed_inside_the_zone() {
    let zone = zone("c2 CNAME c1\n c1 CNAME a\n a A 192.0.2.1\n *.w A 192.0.2.9\n tow CNAME x.w");
    finds(&zone, "c2 A", "Answered\n = c2 CNAME c1\n = c1 CNAME a\n = a A 192.0.2.1\n ~ @ NS ns");
    finds(&zone, "c2 CNAME", "Answered\n = c2 CNAME c1\n ~ @ NS ns");
    finds(&zone, "tow A", "Answered\n = tow CNAME x.w\n = x.w A 192.0.2.9\n ~ @ NS ns");
}

#[test]
fn a_chain_that_ends_at_a_name_without_the_type_has_the_name_servers_and_for_ns_the_soa() {
    let zone = zone("c CNAME a\n a A 192.0.2.1");
    finds(&zone, "c AAAA", "Answered\n = c CNAME a\n ~ @ NS ns");
    finds(&zone, "c NS", "NoData\n = c CNAME a\n ~ @ SOA");
}

#[test]
fn a_chain_to_a_name_that_is_not_there_is_a_name_error() {
    finds(&zone("c CNAME b"), "c A", "NxDomain\n = c CNAME b\n ~ @ SOA");
}

#[test]
fn a_missing_target_is_handed_back_where_the_zone_falls_through() {
    let zone = zone("c CNAME b\n e CNAME ent\n x.ent A 192.0.2.1");
    for (name, target) in [("c", "b"), ("e", "ent")] {
        let (mut answer, lower) = (Answer::default(), wire(name));
        let labels = &LabelStarts::of(&lower);
        let asked = Asked { lower: &lower, labels, qtype: Rtype::A, dnssec_ok: false, chase_missing: true };
        let found = zone.lookup(&asked, &mut answer);
        assert_eq!(found.outcome, Outcome::Chase);
        assert_eq!(chase_target(&answer).unwrap().as_slice(), &wire(target)[..]);
        assert_eq!(answer.count(Section::Authority), 0);
    }
}

#[test]
fn a_target_outside_the_zone_is_handed_back() {
    finds(&zone("c CNAME www.test."), "c A", "Chase www.test.\n = c CNAME www.test.");
}

#[test]
fn a_chain_into_a_cut_ends_in_a_referral() {
    finds(&zone("c CNAME h.sub\n sub NS a.test."), "c A", "Delegation\n = c CNAME h.sub\n ~ sub NS a.test.");
}

#[test]
fn a_loop_of_cnames_is_told_once() {
    let zone = zone("a CNAME b\n b CNAME a\n *.w CNAME x.w");
    finds(&zone, "a A", "Answered\n = a CNAME b\n = b CNAME a\n ~ @ NS ns");
    finds(&zone, "y.w A", "Answered\n = y.w CNAME x.w\n = x.w CNAME x.w\n ~ @ NS ns");
}

#[test]
fn a_chain_of_the_longest_length_is_followed_and_no_longer_one() {
    let chain = |links: usize| (0..links).map(|at| format!("c{at} CNAME c{}\n", at + 1)).collect::<String>();
    let whole = zone(&format!("{}c{} A 192.0.2.1", chain(CHAIN_MAX - 1), CHAIN_MAX - 1));
    assert!(ask(&whole, "c0 A").contains(&format!("= c{} A 192.0.2.1", CHAIN_MAX - 1)));
    let longer = zone(&format!("{}c{CHAIN_MAX} A 192.0.2.1", chain(CHAIN_MAX)));
    assert_eq!(look_up(&longer, "c0", Rtype::A, false).1.count(Section::Answer), CHAIN_MAX);
}

#[test]
fn dname_moves_what_is_below_it_and_not_its_owner() {
    let zone = zone("old DNAME New\n old TXT own\n a.new A 192.0.2.1\n hidden.old A 192.0.2.2");
    finds(&zone, "a.old A", "Answered\n = old DNAME New\n = a.old CNAME a.New\n = a.new A 192.0.2.1\n ~ @ NS ns");
    finds(&zone, "a.old CNAME", "Answered\n = old DNAME New\n = a.old CNAME a.New\n ~ @ NS ns");
    finds(&zone, "hidden.old A", "NxDomain\n = old DNAME New\n = hidden.old CNAME hidden.New\n ~ @ SOA");
    finds(&zone, "old TXT", "Answered\n = old TXT own\n ~ @ NS ns");
    finds(&zone, "old DNAME", "Answered\n = old DNAME New\n ~ @ NS ns");
}

#[test]
fn dname_out_of_the_zone_is_handed_back() {
    finds(&zone("old DNAME test."), "a.old A", "Chase a.test.\n = old DNAME test.\n = a.old CNAME a.test.");
}

#[test]
fn dname_to_itself_fails() {
    finds(&zone("old DNAME old"), "a.old A", "SelfMapped");
}

#[test]
fn dname_that_is_used_twice_is_told_once() {
    let zone = zone("n.b DNAME b\n x.b A 192.0.2.1");
    finds(
        &zone,
        "x.n.n.b A",
        "Answered\n = n.b DNAME b\n = x.n.n.b CNAME x.n.b\n = x.n.b CNAME x.b\n = x.b A 192.0.2.1\n ~ @ NS ns",
    );
    finds(&zone, "n.n.b DNAME", "Answered\n = n.b DNAME b\n = n.n.b CNAME n.b\n ~ @ NS ns");
}

#[test]
fn dname_to_a_name_below_itself_is_followed_once() {
    finds(&zone("b DNAME a.b"), "x.b A", "Answered\n = b DNAME a.b\n = x.b CNAME x.a.b\n ~ @ NS ns");
}

#[test]
fn dname_that_makes_the_name_too_long_says_so() {
    let long = "a".repeat(60);
    let zone = zone(&format!("old DNAME {long}.{long}.{long}"));
    finds(&zone, &format!("{long}.old A"), &format!("TooLong\n = old DNAME {long}.{long}.{long}"));
}

#[test]
fn targets_bring_their_addresses_once_each() {
    let zone = zone(
        "
        @ MX 10 mail\n @ MX 20 mail\n @ MX 30 mx.test.\n mail AAAA ::1\n mail A 192.0.2.25
        s SRV 1 80 MAIL\n h HTTPS 1 mail\n v SVCB 1 mail
    ",
    );
    let found = ask(&zone, "@ MX");
    assert_eq!(found[found.len() - 2..], ["+ mail A 192.0.2.25", "+ mail AAAA ::1"]);
    assert_eq!(found.len(), 7);
    for question in ["s SRV", "h HTTPS", "v SVCB"] {
        assert_eq!(ask(&zone, question)[3..], ["+ mail A 192.0.2.25", "+ mail AAAA ::1"], "{question}");
    }
}

#[test]
fn more_targets_than_the_limit_bring_no_more_addresses() {
    let lines = |count: usize| (0..count).map(|at| format!("@ MX 1 m{at}\n m{at} A 192.0.2.1\n")).collect::<String>();
    for (targets, expected) in
        [(ADDITIONAL_TARGETS_MAX, ADDITIONAL_TARGETS_MAX), (ADDITIONAL_TARGETS_MAX + 1, ADDITIONAL_TARGETS_MAX)]
    {
        let zone = zone(&lines(targets));
        assert_eq!(look_up(&zone, "@", Rtype::MX, false).1.count(Section::Additional), expected);
    }
}

#[test]
fn the_root_zone_is_looked_up_as_any_other() {
    let mut builder = super::super::Builder::new(&[0]);
    for line in [". SOA ns.test. a.test.", ". NS ns.test.", "test. NS ns.test.", "ns.test. A 192.0.2.1"] {
        super::kit::push(&mut builder, line);
    }
    let zone = builder.finish().unwrap();
    finds(&zone, "x.test. A", "Delegation\n ~ test. NS ns.test.\n + ns.test. A 192.0.2.1");
    finds(&zone, "none. A", "NxDomain\n ~ . SOA");
    finds(&zone, ". NS", "Answered\n = . NS ns.test.\n + ns.test. A 192.0.2.1");
}
