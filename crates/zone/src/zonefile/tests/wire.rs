//! Text and octets of each type, most of them from the documents that made the types.

use super::*;

/// The rdata of a record at the origin.
fn rdata(text: &str) -> Result<String, String> {
    let found = parse_record(format!("@ {text}").as_bytes(), ORIGIN, 1).map_err(|error| error.to_string())?;
    Ok(found.unwrap().rdata.iter().map(|octet| format!("{octet:02x}")).collect())
}

/// Octets in base 16, where `'...'` stands for the octets of its text.
fn octets(text: &str) -> String {
    let parts = text.split('\'').enumerate();
    let coded = parts.map(|(at, part)| match at % 2 {
        0 => part.replace(' ', ""),
        _ => part.bytes().map(|octet| format!("{octet:02x}")).collect(),
    });
    coded.collect()
}

fn check(table: &[(&str, &str)]) {
    for (text, expected) in table {
        assert_eq!(rdata(text), Ok(octets(expected)), "{text}");
    }
}

const EXAMPLE: &str = "07'example'03'org'00";

#[test]
fn the_first_types_of_rfc_1035_and_1183() {
    check(&[
        ("A 10.0.0.51", "0a000033"),
        ("NS ns", &format!("02'ns'{EXAMPLE}")),
        ("SOA . @ 20 7200 600 3600000 60", &format!("00 {EXAMPLE} 00000014 00001c20 00000258 0036ee80 0000003c")),
        ("WKS 10.0.0.1 6 25", "0a000001 06 00000040"),
        ("HINFO PDP-11 \"UNIX V\"", "06'PDP-11'06'UNIX V'"),
        ("HINFO \"PC 386  linux\"", "02'PC'09'386 linux'"),
        ("HINFO PC", "02'PC'00"),
        ("HINFO PC linux \"of some\" kind", "02'PC'12'linux of some kind'"),
        ("HINFO \"\" \"\"", "0000"),
        ("MINFO . a.", "00 01'a'00"),
        ("MX 20 a.", "0014 01'a'00"),
        ("TXT a \"b c\"", "01'a'03'b c'"),
        (r"NULL \# 2 beef", "beef"),
        ("RP a. .", "01'a'00 00"),
        ("AFSDB 1 a.", "0001 01'a'00"),
        ("X25 311061700956", "0c'311061700956'"),
        ("ISDN 150862028003217 004", "0f'150862028003217'03'004'"),
        ("ISDN 150862028003217", "0f'150862028003217'"),
        ("RT 2 a.", "0002 01'a'00"),
    ]);
}

#[test]
fn addresses_places_and_numbers_of_other_networks() {
    check(&[
        ("NSAP 0x47.0005.80.005a00.0000.0001.e133.ffffff000161.00", "47000580005a0000000001e133ffffff00016100"),
        ("NSAP-PTR a.", "01'a'00"),
        ("PX 10 a. b.", "000a 01'a'00 01'b'00"),
        ("GPOS -32.6882 116.8652 10.0", "08'-32.6882'08'116.8652'04'10.0'"),
        ("AAAA 2001:db8::192.0.2.33", "20010db80000000000000000c0000221"),
        ("LOC 42 21 54 N 71 06 18 W -24m 30m", "00 33 16 13 89172dd0 70be15f0 00988d20"),
        ("LOC 52 14 05 N 00 08 50 E 10m", "00 12 16 13 8b3556c8 80081650 00989a68"),
        ("LOC 0 N 0 E 0 0 0 0", "00 00 00 00 80000000 80000000 00989680"),
        ("EID 01 0203", "010203"),
        ("NIMLOC 0a", "0a"),
        ("ATMA +61200000000", "01'61200000000'"),
        ("ATMA 39.246f", "00 39246f"),
        ("A6 64 ::1:2:3:4 a.", "40 0001000200030004 01'a'00"),
        ("A6 0 2001:db8::1", "00 20010db8000000000000000000000001"),
        ("A6 128 a.", "80 01'a'00"),
        ("APL 1:192.168.32.0/21 !1:192.168.38.0/28", "0001 15 03 c0a820 0001 1c 83 c0a826"),
        ("APL 1:224.0.0.0/4 2:FF00:0:0:0:0:0:0:0/8", "0001 04 01 e0 0002 08 01 ff"),
        ("APL", ""),
        ("NID 10 0014:4fff:ff20:ee64", "000a 00144fffff20ee64"),
        ("L32 10 10.1.2.0", "000a 0a010200"),
        ("L64 10 2001:DB8:1140:1000", "000a 20010db811401000"),
        ("LP 10 a.", "000a 01'a'00"),
        ("EUI48 00-00-5e-00-53-2a", "00005e00532a"),
        ("EUI64 00-00-5E-EF-10-00-00-2A", "00005eef1000002a"),
        ("IPN 977000", "00000000000ee868"),
        ("UID 5", "00000005"),
    ]);
}

#[test]
fn services_and_names_of_other_kinds() {
    check(&[
        ("SRV 1 2 9 server", &format!("0001 0002 0009 06'server'{EXAMPLE}")),
        (
            r#"NAPTR 100 50 "s" "http+I2L" "!^u:(.)!\\1!" _h.a."#,
            r"0064 0032 01's'08'http+I2L'0b'!^u:(.)!\1!' 02'_h'01'a'00",
        ),
        ("KX 10 a.", "000a 01'a'00"),
        ("DNAME a.", "01'a'00"),
        ("URI 10 1 \"ftp://a/b\"", "000a 0001 'ftp://a/b'"),
        ("CAA 0 issue \"ca1.example.net; x\"", "00 05'issue''ca1.example.net; x'"),
        ("CAA 128 tbs ca1", "80 03'tbs''ca1'"),
        ("AMTRELAY 10 0 1 203.0.113.15", "0a 01 cb00710f"),
        ("AMTRELAY 10 1 2 2001:db8::15", "0a 82 20010db8000000000000000000000015"),
        ("AMTRELAY 128 1 3 a.", "80 83 01'a'00"),
        ("AMTRELAY 10 0 0 .", "0a 00"),
        ("DSYNC CDS NOTIFY 5359 a.", "003b 01 14ef 01'a'00"),
        ("DOA 0 1 2 \"\" aGk=", "00000000 00000001 02 00 'hi'"),
        ("DOA 0 1 2 x -", "00000000 00000001 02 01'x'"),
        ("SINK 1 2 3 aGk=", "01 02 03 'hi'"),
    ]);
}

#[test]
fn keys_digests_and_certificates() {
    check(&[
        ("KEY 512 DNSSEC RSASHA1 aGk=", "0200 03 05 'hi'"),
        ("KEY 49152 3 5", "c000 03 05"),
        (
            "SIG A 5 2 1h 19700101000001 2 7 @ aGk=",
            &format!("0001 05 02 00000e10 00000001 00000002 0007 {EXAMPLE} 'hi'"),
        ),
        ("CERT PGP 0 0 aGk=", "0003 0000 00 'hi'"),
        ("DS 60485 RSASHA1 SHA-1 2BB183 af", "ec45 05 01 2bb183af"),
        ("SSHFP 2 1 123456789abcdef67890123456789abcdef67890", "02 01 123456789abcdef67890123456789abcdef67890"),
        ("IPSECKEY 10 1 2 192.0.2.38 aGk=", "0a 01 02 c0000226 'hi'"),
        ("IPSECKEY 10 0 2 . aGk=", "0a 00 02 'hi'"),
        ("IPSECKEY 10 3 0 a.", "0a 03 00 01'a'00"),
        ("IPSECKEY 10 2 2 2001:db8::1 aGk=", "0a 02 02 20010db8000000000000000000000001 'hi'"),
        (
            "RRSIG A 5 3 86400 20030322173103 20030220173103 2642 example.com. oJB1W6WNGv+ldvQ3WDG0MQkg5IEhjRip8WTr",
            "0001 05 03 00015180 3e7c9dd7 3e5510d7 0a52 07'example'03'com'00 a090755ba58d1affa576f4375831b4310920e481218d18a9f164eb",
        ),
        ("DNSKEY 256 3 5 AQPS", "0100 03 05 0103d2"),
        ("DHCID aGk=", "'hi'"),
        ("TLSA 3 1 1 00ff", "03 01 01 00ff"),
        ("SMIMEA 3 1 1 00ff", "03 01 01 00ff"),
        ("HIP 2 200100107B1A74DF aGk= rvs.", "08 02 0002 200100107b1a74df 'hi' 03'rvs'00"),
        ("OPENPGPKEY aG k=", "'hi'"),
        ("ZONEMD 2018031500 1 1 00FF", "7848b78c 01 01 00ff"),
        ("CDS 0 0 0 00", "0000 00 00 00"),
        ("CDNSKEY 0 3 0 AA==", "0000 03 00 00"),
    ]);
}

#[test]
fn sets_of_types() {
    check(&[
        (
            "NSEC host.example.com. ( A MX RRSIG NSEC TYPE1234 )",
            &format!("04'host'07'example'03'com'00 0006400100000003 041b{}20", "00".repeat(26)),
        ),
        ("NSEC . A A TYPE65535 TYPE0", &format!("00 0001c0 ff20{}01", "00".repeat(31))),
        ("NXT a. A NXT", "01'a'00 40000002"),
        ("CSYNC 66 3 A NS AAAA", "00000042 0003 000460000008"),
        ("NSEC3 1 1 12 aabb CPNMU NS RRSIG", "01 01 000c 02 aabb 03'foo' 0006200000000002"),
        ("NSEC3 1 1 12 - CPNMU", "01 01 000c 00 03'foo'"),
        ("NSEC3PARAM 1 0 12 -", "01 00 000c 00"),
    ]);
}

#[test]
fn service_parameters_of_rfc_9460_appendix_d() {
    let foo = "03'foo'07'example'03'com'00";
    check(&[
        ("HTTPS 0 foo.example.com.", &format!("0000 {foo}")),
        ("SVCB 1 .", "0001 00"),
        ("SVCB 16 foo.example.com. port=53", &format!("0010 {foo} 0003 0002 0035")),
        ("SVCB 1 foo.example.com. key667=hello", &format!("0001 {foo} 029b 0005 'hello'")),
        (r#"SVCB 1 foo.example.com. key667="hello\210qoo""#, &format!("0001 {foo} 029b 0009 'hello'd2'qoo'")),
        (
            "SVCB 1 foo.example.com. ( ipv6hint=\"2001:db8::1,2001:db8::53:1\" )",
            &format!("0001 {foo} 0006 0020 20010db8000000000000000000000001 20010db8000000000000000000530001"),
        ),
        (
            "SVCB 1 example.com. ( ipv6hint=\"2001:db8:122:344::192.0.2.33\" )",
            "0001 07'example'03'com'00 0006 0010 20010db80122034400000000c0000221",
        ),
        (
            "SVCB 16 foo.example.org. ( alpn=h2,h3-19 mandatory=ipv4hint,alpn ipv4hint=192.0.2.1 )",
            &format!("0010 03'foo'{EXAMPLE} 0000 0004 0001 0004 0001 0009 02'h2'05'h3-19' 0004 0004 c0000201"),
        ),
        (r#"SVCB 16 a. alpn="f\\\\oo\\,bar,h2""#, r"0010 01'a'00 0001 000c 08'f\oo,bar'02'h2'"),
        (r"SVCB 16 a. alpn=f\\\092oo\092,bar,h2", r"0010 01'a'00 0001 000c 08'f\oo,bar'02'h2'"),
    ]);
    for wrong in [
        "key123=abc key123=def",
        "mandatory",
        "alpn",
        "port",
        "ipv4hint",
        "ipv6hint",
        "no-default-alpn=abc",
        "mandatory=key123",
        "mandatory=mandatory",
        "mandatory=key123,key123 key123=abc",
        "no-default-alpn",
        "alpn=,h2",
        "port=65536",
        "ech=a",
        "key65535=a",
        "key01=a",
        "foo=a",
        "\"port=1\"",
    ] {
        assert!(rdata(&format!("SVCB 1 . {wrong}")).is_err(), "{wrong}");
    }
}

#[test]
fn rdata_of_types_that_nobody_knows_is_written_in_base_16() {
    check(&[
        (r"TYPE731 \# 6 abcd ( ef 01 23 45 )", "abcdef012345"),
        (r"TYPE62347 \# 0", ""),
        (r"A \# 4 0A000001", "0a000001"),
        (r"TYPE1 10.0.0.1", "0a000001"),
    ]);
    assert_eq!(rdata(r"TYPE731 \# 5 abcdef012345").unwrap_err(), "record:1:14: 6 octets follow, not 5");
    assert_eq!(rdata(r"A \# 3 0A0000").unwrap_err(), "record:1:8: these octets are not rdata of the type");
    assert!(rdata("TYPE731 abcd").unwrap_err().contains("RFC 3597"));
    for meta in ["OPT", "ANY", "TYPE0", "AXFR", "TYPE250"] {
        let error = rdata(&format!(r"{meta} \# 0")).unwrap_err();
        assert_eq!(error, "record:1:3: there are no records of this type", "{meta}");
    }
}
