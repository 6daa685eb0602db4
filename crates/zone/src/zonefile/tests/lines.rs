//! What lines take over from each other, and what directives do.

use super::*;

#[test]
fn owner_time_to_live_and_class_come_from_the_lines_before() {
    let text = "a 300 IN A 192.0.2.1\n A 192.0.2.2\n\n; nothing\n \t; nothing\n\tIN 60 A 192.0.2.3\nb A 192.0.2.4\n";
    let expected = [
        "a.example.org. 300 IN A 192.0.2.1",
        "a.example.org. 300 IN A 192.0.2.2",
        "a.example.org. 60 IN A 192.0.2.3",
        "b.example.org. 60 IN A 192.0.2.4",
    ];
    assert_eq!(lines(text), expected);
}

#[test]
fn the_default_time_to_live_wins_over_that_of_the_record_before() {
    let text = "a 1 A 192.0.2.1\n$TTL 1h\na A 192.0.2.2\na 2 A 192.0.2.3\na A 192.0.2.4\n";
    let found: Vec<String> = lines(text).iter().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(found, ["1", "3600", "2", "3600"]);
}

#[test]
fn a_soa_without_a_time_to_live_gives_its_minimum_to_itself_and_what_follows() {
    let expected = [
        "example.org. 300 IN SOA ns.example.org. admin.example.org. 1 2 3 4 300",
        "example.org. 60 IN NS ns.example.org.",
        "example.org. 300 IN NS a.example.org.",
    ];
    assert_eq!(lines("@ SOA ns admin 1 2 3 4 5m\n 60 NS ns\n NS a\n"), expected);
    assert!(error("a A 192.0.2.1").starts_with("zone:1:3: a time to live is missing"));
}

#[test]
fn timers_of_a_soa_have_units_and_parentheses_join_lines() {
    let text = "@ 1d IN SOA ns admin ( 7 ; serial )\n 1h30m\n 15M\n 1w2d 1h )\n";
    assert_eq!(lines(text), ["example.org. 86400 IN SOA ns.example.org. admin.example.org. 7 5400 900 777600 3600"]);
}

#[test]
fn an_origin_may_be_relative_to_the_one_before() {
    let text = "$ORIGIN sub\n$TTL 1\n@ NS ns\n$origin com.\n@ NS a\n$ORIGIN .\nb NS .\n";
    let expected = ["sub.example.org. 1 IN NS ns.sub.example.org.", "com. 1 IN NS a.com.", "b. 1 IN NS ."];
    assert_eq!(lines(text), expected);
}

#[test]
fn all_records_have_one_class() {
    assert_eq!(lines("a 1 CH TXT x\n 1 TXT y\n A ns 17\n").last().unwrap(), "a.example.org. 1 CH A ns.example.org. 17");
    assert_eq!(error("a 1 A 192.0.2.1\nb 1 CH TXT x\n"), "zone:2:5: the other records are of class IN");
    assert_eq!(error("a 1 CH TXT x\nb CLASS1 TXT x\n"), "zone:2:3: the other records are of class CH");
}

#[test]
fn a_name_that_looks_like_a_type_or_class_is_an_owner_at_the_beginning() {
    assert_eq!(lines("in 1 in in in a. \n".replace("in in a.", "ns a.").as_str()), ["in.example.org. 1 IN NS a."]);
    assert_eq!(lines("a 1 A 192.0.2.1\n1 1 NS ns\n")[1], "1.example.org. 1 IN NS ns.example.org.");
}

#[test]
fn strings_hold_escapes_line_ends_and_what_else_means_something() {
    let text = "a 1 TXT \"a;b(\" c\\;d \"\\\"\\065\\255\" \"x\ny\" \"\"\"z\"w\n";
    let expected = r#"a.example.org. 1 IN TXT "a;b(" "c;d" "\"A\255" "x\010y" "" "z" "w""#;
    assert_eq!(lines(text), [expected]);
}

#[test]
fn a_text_that_is_too_long_for_one_string_becomes_several() {
    let found = lines(&format!("a 1 TXT {}", "x".repeat(511)));
    let expected = format!("a.example.org. 1 IN TXT \"{0}\" \"{0}\" \"x\"", "x".repeat(255));
    assert_eq!(found, [expected]);
    assert_eq!(error(&format!("a 1 HINFO {} y", "x".repeat(256))), "zone:1:11: a string is longer than 255 octets");
}

#[test]
fn carriage_returns_and_a_byte_order_mark_are_nothing() {
    assert_eq!(lines("\u{feff}a 1 A 192.0.2.1\r\n\r\n A 192.0.2.2\r\n").len(), 2);
}

#[test]
fn generate_makes_a_record_for_each_number() {
    let text =
        "$TTL 5\n$GENERATE 8-12/2 h${1,3} A 192.0.2.$ ; not $ {\n$GENERATE 10-10 ${0,3,x} ( 7 IN CNAME \n a\\$$ )\n";
    let expected = [
        "h009.example.org. 5 IN A 192.0.2.8",
        "h011.example.org. 5 IN A 192.0.2.10",
        "h013.example.org. 5 IN A 192.0.2.12",
        r"00a.example.org. 7 IN CNAME a\$10.example.org.",
    ];
    assert_eq!(lines(text), expected);
}

#[test]
fn generate_keeps_quotes_and_does_not_change_the_owner_of_the_next_line() {
    let text = "a 1 A 192.0.2.1\n$GENERATE 1-1 b$ TXT \"x $ y\" z$\n TXT c\n$GENERATE 1-1 d SVCB $ . alpn=\"h$\"\n";
    let expected = [
        "a.example.org. 1 IN A 192.0.2.1",
        r#"b1.example.org. 1 IN TXT "x 1 y" "z1""#,
        r#"a.example.org. 1 IN TXT "c""#,
        r#"d.example.org. 1 IN SVCB 1 . alpn="h1""#,
    ];
    assert_eq!(lines(text), expected);
}

#[test]
fn generate_says_for_which_number_the_line_is_wrong() {
    let (records, error) = read("$TTL 1\n$GENERATE 254-300 a$ A 192.0.2.$\n", &NoInclude);
    assert_eq!(records.len(), 2);
    let error = error.unwrap();
    assert_eq!(error.to_string(), "zone:2:1: '192.0.2.256' is not an IPv4 address");
    assert!(error.render().contains("for 256 the line is: a256 A 192.0.2.256"), "{}", error.render());
}

#[test]
fn generate_has_a_largest_count() {
    let last = GENERATE_COUNT_MAX - 1;
    let mut count = 0u64;
    let text = format!("$GENERATE 0-{last} a 1 A 192.0.2.1");
    read_zone(text.as_bytes(), &Options::new("zone", ORIGIN), &mut |_| {
        count += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(count, GENERATE_COUNT_MAX);
    assert_eq!(error(&format!("$GENERATE 0-{} a 1 A 192.0.2.1", last + 1)), "zone:1:11: more than 1048576 records");
}

/// Files by name; any other includes itself.
struct Few;

impl Include for Few {
    fn read(&self, path: &str, from: &str) -> Result<Included, String> {
        let octets: Vec<u8> = match path {
            "one" => "$ORIGIN sub\n$TTL 7\nx A 192.0.2.7\n TXT y\n".into(),
            "continues" => " TXT first\nz TXT second\n".into(),
            "bad" => format!("\n\nx A from-{from}\n").into(),
            "through" => "a 1 A 192.0.2.1\n$INCLUDE bad\n".into(),
            "missing" => return Err("cannot read 'missing': gone".to_owned()),
            deep => match deep.strip_prefix("deep-").and_then(|left| left.parse::<usize>().ok()) {
                Some(0) => "a 1 A 192.0.2.1\n".into(),
                Some(left) => format!("$INCLUDE deep-{}\n", left - 1).into(),
                None => format!("$INCLUDE {deep}\n").into(),
            },
        };
        Ok(Included { file: path.to_owned(), octets })
    }
}

#[test]
fn behind_an_include_origin_owner_and_default_are_those_of_before() {
    let (records, error) = read("$TTL 5\na A 192.0.2.1\n$INCLUDE one\n TXT z\n$INCLUDE \"one\" net.\nb NS b\n", &Few);
    assert_eq!(error, None);
    let expected = [
        "a.example.org. 5 IN A 192.0.2.1",
        "x.sub.example.org. 7 IN A 192.0.2.7",
        r#"x.sub.example.org. 7 IN TXT "y""#,
        r#"a.example.org. 5 IN TXT "z""#,
        "x.sub.net. 7 IN A 192.0.2.7",
        r#"x.sub.net. 7 IN TXT "y""#,
        "b.example.org. 5 IN NS b.example.org.",
    ];
    assert_eq!(records.iter().map(line).collect::<Vec<_>>(), expected);
}

#[test]
fn an_included_file_goes_on_with_the_owner() {
    let (records, _) = read("$TTL 5\na A 192.0.2.1\n$INCLUDE continues\n", &Few);
    assert_eq!(line(&records[1]), r#"a.example.org. 5 IN TXT "first""#);
}

#[test]
fn an_error_in_an_included_file_names_it_and_who_includes_it() {
    let (_, error) = read("\n$INCLUDE through\n", &Few);
    let error = error.unwrap();
    assert_eq!(error.to_string(), "bad:3:5: 'from-through' is not an IPv4 address");
    assert_eq!(error.included_from().collect::<Vec<_>>(), [("through", 2), ("zone", 2)]);
    let (_, error) = read("$INCLUDE missing\n", &Few);
    assert_eq!(error.unwrap().to_string(), "zone:1:10: cannot read 'missing': gone");
}

#[test]
fn includes_have_a_greatest_depth() {
    assert_eq!(read("$INCLUDE deep-9", &Few).1, None);
    let error = read("$INCLUDE deep-10", &Few).1.unwrap();
    assert_eq!(error.to_string(), "deep-1:1:1: files are included more than 10 deep");
    assert_eq!(error.included_from().count(), INCLUDE_DEPTH_MAX);
    assert!(read("$INCLUDE itself", &Few).1.is_some());
}

#[test]
fn includes_have_a_greatest_number() {
    let text = "$INCLUDE deep-0\n".repeat(INCLUDE_FILES_MAX);
    assert_eq!(read(&text, &Few).0.len(), INCLUDE_FILES_MAX);
    let error = read(&format!("{text}$INCLUDE deep-0\n"), &Few).1.unwrap();
    assert_eq!(error.to_string(), "zone:10001:1: more than 10000 files are included");
}

#[test]
fn what_a_caller_says_against_a_record_is_an_error_at_its_line() {
    let text = b"a 1 A 192.0.2.1\nb 1 A 192.0.2.2\n";
    let mut count = 0;
    let read = read_zone(text, &Options::new("zone", ORIGIN), &mut |_| {
        count += 1;
        if count == 2 { Err("too many".to_owned()) } else { Ok(()) }
    });
    assert_eq!(read.unwrap_err().to_string(), "zone:2:5: too many");
}

#[test]
fn rdata_has_a_greatest_length() {
    let full = "x".repeat(255);
    let fits = format!("a 1 TXT{} {}", format!(" {full}").repeat(255), "x".repeat(254));
    assert_eq!(read(&fits, &NoInclude).0[0].rdata.len(), RDATA_OCTETS_MAX);
    let over = format!("a 1 TXT{}", format!(" {full}").repeat(257));
    assert_eq!(error(&over), "zone:1:9: rdata is longer than 65535 octets");
}

#[test]
fn one_record_can_be_read_alone() {
    let found = parse_record(b"; first\n$ORIGIN sub\nwww IN MX 10 mail\n", ORIGIN, 77).unwrap().unwrap();
    assert_eq!(line(&found), "www.sub.example.org. 77 IN MX 10 mail.sub.example.org.");
    assert_eq!(parse_record(b" ; nothing\n", ORIGIN, 77), Ok(None));
    assert_eq!(parse_record(b"www A 192.0.2.1\nbroken", ORIGIN, 77).unwrap().unwrap().ttl, 77);
    assert_eq!(parse_record(b"www A", ORIGIN, 77).unwrap_err().to_string(), "record:1:6: an IPv4 address is missing");
}
