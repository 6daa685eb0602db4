//! What a listed name is answered with.

use super::*;
use catena_testkit::{Ask, Seen};

fn ask(body: &str, question: &str) -> Seen {
    Place::of(&[("ads", "ads.test\n")]).kit(&format!("list DIR/ads\n{body}")).ask_for(question)
}

const SOA: &str = "ads.test. 60 IN SOA localhost. nobody.localhost. 1 3600 600 86400 60";

#[test]
fn no_name_and_no_data_come_with_a_soa_at_the_listed_name() {
    let seen = ask("", "x.ads.test A");
    assert_eq!((seen.rcode.as_str(), &seen.flags[..]), ("NXDOMAIN", &["qr", "aa", "rd"][..]));
    assert_eq!((seen.answer.len(), seen.authority), (0, vec![SOA.to_owned()]));
    let seen = ask("answer nodata\n ttl 5", "ads.test AAAA");
    assert_eq!(
        (seen.rcode.as_str(), seen.authority),
        ("NOERROR", vec![SOA.replace(" 60 ", " 5 ").replace("86400 60", "86400 5")])
    );
}

#[test]
fn null_is_an_address_of_nobody_and_no_data_for_other_types() {
    assert_eq!(ask("answer null", "Ads.test A").answer, ["Ads.test. 60 IN A 0.0.0.0"]);
    assert_eq!(ask("answer null", "ads.test AAAA").answer, ["ads.test. 60 IN AAAA ::"]);
    let seen = ask("answer null", "ads.test TXT");
    assert_eq!((seen.rcode.as_str(), seen.answer.len(), seen.authority.len()), ("NOERROR", 0, 1));
}

#[test]
fn addresses_are_answered_for_their_own_type() {
    let body = "answer 192.0.2.9 192.0.2.8\n ttl 7";
    let seen = ask(body, "ads.test A");
    assert_eq!(seen.answer, ["ads.test. 7 IN A 192.0.2.9", "ads.test. 7 IN A 192.0.2.8"]);
    assert_eq!((ask(body, "ads.test AAAA").answer.len(), ask(body, "ads.test AAAA").authority.len()), (0, 1));
}

#[test]
fn an_alias_is_followed_inside_the_server() {
    let seen = ask("answer cname garden.test", "ads.test A");
    assert_eq!(seen.answer, ["ads.test. 60 IN CNAME garden.test.", "garden.test. 300 IN A 192.0.2.1"]);
    assert_eq!(ask("answer cname garden.test", "ads.test CNAME").answer.len(), 1);
    assert_eq!(ask("answer cname x.ads.test", "ads.test A").answer.len(), 2, "its target may be listed");
}

#[test]
fn refused_is_a_code_and_dropped_is_silence() {
    let seen = ask("answer refused", "ads.test A");
    assert_eq!((seen.rcode.as_str(), seen.authority.len()), ("REFUSED", 0));
    assert!(ask("answer drop", "ads.test A").silent);
}

#[test]
fn clients_with_edns_are_told_why_and_by_which_list() {
    let place = Place::of(&[("ads", "ads.test\n")]);
    let options = |body: &str| {
        let kit = place.kit(&format!("list DIR/ads\n{body}"));
        kit.ask(&Ask::new("ads.test A").edns(1232, true)).edns.unwrap().2
    };
    let told = |code: u8| vec![(15, [&[0, code][..], b"ads"].concat())];
    assert_eq!(options(""), told(15));
    assert_eq!(options("answer refused"), told(15));
    assert_eq!(options("answer null"), told(4));
    assert_eq!(place.kit("list DIR/ads").ask_for("ads.test A").edns, None);
}
