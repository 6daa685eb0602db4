#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod mmdb;

use std::path::Path;
use std::sync::Arc;

use catena_core::Fixed;
use catena_testkit::{Ask, Kit, Recipe, check_config};

use self::mmdb::Field::{Degrees, List, Long, Map, Number, Short, Text, Truth};
use self::mmdb::{Field, database};
use super::*;

/// Turns labels on for all names.
const METADATA: PluginDef = PluginDef::new("metadata", |cx: &mut Setup<'_>| {
    cx.block_settings().label_zones = Some(Zones::everything());
    cx.link(Fixed(|q: &mut Query| Answer::to(q).into()));
    Ok(())
});

fn names(name: &'static str) -> Field {
    Map(vec![("de", Text("anders")), ("en", Text(name))])
}

fn country(code: &'static str) -> Field {
    Map(vec![("country", Map(vec![("iso_code", Text(code))]))])
}

fn full_record() -> Field {
    Map(vec![
        ("city", Map(vec![("names", names("Haarlem"))])),
        ("continent", Map(vec![("code", Text("EU")), ("names", names("Europe"))])),
        (
            "country",
            Map(vec![("iso_code", Text("NL")), ("is_in_european_union", Truth(true)), ("names", names("Netherlands"))]),
        ),
        (
            "location",
            Map(vec![
                ("latitude", Degrees(52.3808)),
                ("longitude", Degrees(-0.25)),
                ("time_zone", Text("Europe/Amsterdam")),
            ]),
        ),
        ("postal", Map(vec![("code", Text("2011 AA"))])),
        (
            "subdivisions",
            List(vec![Map(vec![("iso_code", Text("NH"))]), Map(vec![("iso_code", Text("X1"))]), Map(vec![])]),
        ),
    ])
}

/// A server with this database.
fn kit_of(octets: Vec<u8>, properties: &str) -> Kit {
    match recipe(octets, properties).build() {
        Ok(kit) => kit,
        Err(errors) => panic!("{}", errors.into_iter().map(|(_, text)| text).collect::<String>()),
    }
}

fn recipe(octets: Vec<u8>, properties: &str) -> Recipe {
    let corefile = format!(". {{\ngeoip /geo/it.mmdb {properties}\nmetadata\n}}\n");
    let recipe = Recipe::new([PLUGIN, METADATA], &corefile);
    recipe.files.put("/geo/it.mmdb", octets);
    recipe
}

fn label(kit: &Kit, ask: &Ask, name: &str) -> Option<String> {
    let mut query = kit.query(0, ask);
    drop(kit.run(kit.instance().serve(&mut query)));
    query.label(name).map(Cow::into_owned)
}

/// The labels of a client at an address, in the order of [`NAMES`]; `-` for those that are not there.
fn all_labels(kit: &Kit, client: &str) -> Vec<String> {
    let ask = Ask::new("example.org A").from(client);
    NAMES.iter().map(|name| label(kit, &ask, name).unwrap_or_else(|| "-".to_owned())).collect()
}

fn code(kit: &Kit, ask: &Ask) -> String {
    label(kit, ask, "geoip/country/code").unwrap_or_else(|| "-".to_owned())
}

#[test]
fn a_city_database_has_eleven_labels() {
    let kit = kit_of(database("GeoLite2-City", &[("192.0.2.0/24", full_record())]), "");
    assert_eq!(
        all_labels(&kit, "192.0.2.7:9"),
        [
            "Haarlem",
            "Netherlands",
            "NL",
            "true",
            "Europe",
            "EU",
            "NH,X1,",
            "52.3808",
            "-0.25",
            "Europe/Amsterdam",
            "2011 AA",
            "-",
            "-"
        ]
    );
}

#[test]
fn what_a_record_lacks_is_empty_and_so_is_all_of_an_unknown_client() {
    let kit = kit_of(database("GeoIP2-City", &[("192.0.2.0/24", Map(vec![]))]), "");
    let empty = ["", "", "", "false", "", "", "", "", "", "", "", "-", "-"];
    for client in ["192.0.2.7:9", "198.51.100.7:9", "[2001:db8::7]:9"] {
        assert_eq!(all_labels(&kit, client), empty, "{client}");
    }
}

#[test]
fn a_database_of_systems_has_two_labels() {
    let record = Map(vec![
        ("autonomous_system_number", Number(4_200_000_001)),
        ("autonomous_system_organization", Text("Big & Sons")),
    ]);
    let kit = kit_of(database("GeoLite2-ASN", &[("2001:db8::/32", record)]), "");
    assert_eq!(all_labels(&kit, "[2001:db8::7]:9")[10..], ["-", "4200000001", "Big & Sons"]);
    assert_eq!(all_labels(&kit, "192.0.2.7:9")[10..], ["-", "0", ""]);
}

#[test]
fn a_number_may_have_any_width() {
    let of = |number| Map(vec![("autonomous_system_number", number)]);
    let networks = [("192.0.2.1/32", of(Short(64_500))), ("192.0.2.2/32", of(Long(64_501)))];
    let kit = kit_of(database("GeoLite2-ASN", &networks), "");
    assert_eq!(all_labels(&kit, "192.0.2.1:9")[11..], ["64500", ""]);
    assert_eq!(all_labels(&kit, "192.0.2.2:9")[11..], ["64501", ""]);
}

#[test]
fn databases_of_countries_and_providers_count_too() {
    let kit = kit_of(database("GeoIP2-Country", &[("192.0.2.0/24", country("NL"))]), "");
    assert_eq!(code(&kit, &Ask::new("example.org A").from("192.0.2.7:9")), "NL");
    let kit = kit_of(database("GeoIP2-ISP", &[]), "");
    assert_eq!(all_labels(&kit, "192.0.2.7:9")[11], "0");
}

#[test]
fn other_labels_are_left_to_others() {
    let kit = kit_of(database("GeoIP2-City", &[]), "");
    assert_eq!(label(&kit, &Ask::new("example.org A"), "geoip/country"), None);
}

#[test]
fn an_ipv4_client_on_an_ipv6_socket_is_an_ipv4_client() {
    let kit = kit_of(database("GeoIP2-City", &[("192.0.2.0/24", country("NL"))]), "");
    assert_eq!(code(&kit, &Ask::new("example.org A").from("[::ffff:192.0.2.7]:9")), "NL");
}

/// A database with a country for the client, and for some networks.
fn countries() -> Vec<u8> {
    let networks = [
        ("10.240.0.1/32", country("CL")),
        ("198.51.100.0/25", country("AA")),
        ("198.51.100.128/25", country("BB")),
        ("2001:db8:7::/48", country("SX")),
    ];
    database("GeoIP2-City", &networks)
}

#[test]
fn the_option_of_the_clients_network_counts_only_if_asked_for() {
    let subnet = Ask::new("example.org A").option(8, &[0, 1, 25, 0, 198, 51, 100, 200]);
    assert_eq!(code(&kit_of(countries(), ""), &subnet), "CL");
    assert_eq!(code(&kit_of(countries(), "{\n edns-subnet\n}"), &subnet), "BB");
}

#[test]
fn the_address_in_the_first_option_counts_whatever_its_mask() {
    let kit = kit_of(countries(), "{\n edns-subnet\n}");
    let of = |data: &[u8]| code(&kit, &Ask::new("example.org A").option(8, data));
    assert_eq!(of(&[0, 1, 24, 0, 198, 51, 100]), "AA");
    assert_eq!(of(&[0, 1, 0, 0]), "");
    assert_eq!(of(&[0, 2, 48, 0, 0x20, 1, 0xd, 0xb8, 0, 7]), "SX");
    assert_eq!(of(&[0, 0, 0, 0]), "");
    let two = Ask::new("example.org A")
        .option(8, &[0, 1, 32, 0, 198, 51, 100, 1])
        .option(8, &[0, 1, 32, 0, 198, 51, 100, 200]);
    assert_eq!(code(&kit, &two), "AA");
}

#[test]
fn without_a_sound_option_the_client_counts() {
    let kit = kit_of(countries(), "{\n edns-subnet\n}");
    assert_eq!(code(&kit, &Ask::new("example.org A")), "CL");
    assert_eq!(code(&kit, &Ask::new("example.org A").option(10, &[0; 8])), "CL");
}

#[test]
fn an_option_of_another_family_or_with_too_much_has_no_address() {
    for data in
        [&[][..], &[0, 1], &[0, 3, 0, 0], &[0, 1, 32, 0, 1, 2, 3, 4, 5], &[&[0, 2, 0, 0][..], &[0; 17]].concat()]
    {
        assert_eq!(subnet_address(data), None, "{data:?}");
    }
}

#[test]
fn a_broken_record_has_no_label_and_is_told_when_debugging() {
    let broken = Map(vec![("country", Map(vec![("iso_code", Number(7))]))]);
    let kit = kit_of(database("GeoIP2-City", &[("10.240.0.1/32", broken)]), "");
    kit.instance().log.turn_debug_on();
    assert_eq!(code(&kit, &Ask::new("example.org A")), "-");
    let told = "[DEBUG] plugin/geoip: Looking up 10.240.0.1 for geoip/country/code failed: ";
    assert!(kit.log.lines().iter().any(|line| line.starts_with(told)), "{:?}", kit.log.lines());
}

fn write(path: &Path, octets: &[u8]) {
    std::fs::write(path, octets).unwrap();
}

/// A source of a file on disk, as a directive makes it.
fn watched(path: &Path) -> (Kit, Arc<Source>) {
    thread_local! {
        static MADE: std::cell::RefCell<Option<Arc<Source>>> = const { std::cell::RefCell::new(None) };
    }
    let keep = PluginDef::new("geoip", |cx: &mut Setup<'_>| {
        let config = config::parse(cx.cursor())?;
        let source = Arc::new(Source::load(cx, &config)?);
        MADE.with_borrow_mut(|made| *made = Some(source));
        Ok(())
    });
    let kit = Kit::of([keep], &format!("geoip {}", path.display()));
    (kit, MADE.take().unwrap())
}

fn country_of(source: &Source, address: &str) -> String {
    let value = Value::named("geoip/country/code").unwrap();
    source.database().find(address.parse().unwrap(), value).unwrap().unwrap()
}

#[test]
fn a_file_that_changes_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it.mmdb");
    write(&path, &database("GeoIP2-City", &[("192.0.2.0/24", country("NL"))]));
    let (kit, source) = watched(&path);
    assert_eq!(country_of(&source, "192.0.2.1"), "NL");
    write(&path, &database("GeoIP2-City", &[("192.0.2.0/25", country("FR"))]));
    source.check();
    assert_eq!((country_of(&source, "192.0.2.1").as_str(), country_of(&source, "192.0.2.200").as_str()), ("FR", ""));
    assert!(kit.log.take()[0].starts_with("[INFO] plugin/geoip: Database "));
    source.check();
    assert_eq!(kit.log.lines(), [""; 0]);
}

#[test]
fn a_file_without_a_database_of_use_changes_nothing_and_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it.mmdb");
    write(&path, &database("GeoIP2-City", &[("192.0.2.0/24", country("NL"))]));
    let (kit, source) = watched(&path);
    write(&path, b"half of a file");
    source.check();
    source.check();
    assert_eq!(country_of(&source, "192.0.2.1"), "NL");
    let lines = kit.log.take();
    assert!(lines.len() == 1 && lines[0].starts_with("[WARNING] plugin/geoip: "), "{lines:?}");
    std::fs::remove_file(&path).unwrap();
    source.check();
    assert_eq!(country_of(&source, "192.0.2.1"), "NL");
}

#[test]
fn the_time_at_which_the_database_was_made_is_shown() {
    let kit = kit_of(countries(), "");
    let series = "coredns_geoip_build_timestamp_seconds{database=\"/geo/it.mmdb\"}";
    assert_eq!(kit.metric(series), Some(1_700_000_000.0));
}

fn told(octets: Vec<u8>, expected: &str) {
    let Err(errors) = recipe(octets, "").build() else { panic!("builds, but should be told: {expected}") };
    let line = errors[0].0.one_line();
    assert!(line.starts_with(&format!("plugin/geoip: Corefile:2 - Error during parsing: {expected}")), "{line}");
    let (told, shown) = &errors[0];
    assert!(told.span.is_some() && shown.contains("it.mmdb\""), "{shown}");
}

#[test]
fn a_database_of_no_use_is_told() {
    told(database("GeoIP2-Domain", &[]), "database does not provide any supported schema (city, asn)");
    told(
        database("UnknownDbType", &[]),
        "failed to open database file: geoip2: reader does not support the \"UnknownDbType\" database type",
    );
    told(
        b"nothing of the kind".to_vec(),
        "failed to open database file: error opening database: invalid MaxMind DB file: invalid database: ",
    );
}

#[test]
fn a_database_whose_records_cannot_be_read_is_told() {
    let mut octets = database("GeoIP2-City", &[("127.0.0.1/32", Text("x"))]);
    let at = octets.windows(3).position(|octets| octets == [0, 0x41, b'x']).unwrap();
    octets[at + 1] = 0x5c;
    told(octets, "unexpected failure looking up database \"it.mmdb\" schema \"city\": ");
}

#[test]
fn wrong_words_are_told() {
    let arg = "Wrong argument count or unexpected line ending after";
    for (body, expected) in [
        ("geoip", format!("Corefile:2 - Error during parsing: {arg} 'geoip'")),
        ("geoip a b", format!("Corefile:2 - Error during parsing: {arg} 'b'")),
        ("geoip a\ngeoip b", "Corefile:3 - Error during parsing: configuring multiple databases is not supported".to_owned()),
        ("geoip a {\nedns\n}", "Corefile:3 - Error during parsing: unknown property \"edns\"".to_owned()),
        (
            "geoip /no/where",
            "Corefile:2 - Error during parsing: failed to open database file: open /no/where: no such file or directory"
                .to_owned(),
        ),
    ] {
        check_config([PLUGIN], body, &format!("plugin/geoip: {expected}"));
    }
}
