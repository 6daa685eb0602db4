#![allow(clippy::unwrap_used, clippy::expect_used)]

use catena_core::{Class, RecordRef, Rtype};

use super::*;
use crate::zonefile::{Options, RecordBuf, read_zone};

/// Keys of every algorithm as `dnssec-keygen` makes them, the public and the private file.
const KEYS: [(&str, &str, u16); 5] = [
    (
        "example.org. IN DNSKEY 256 3 8 AwEAAZnj1Tt/R5gCcBnApOtqgAAtL9JW7vY/ioLHNbJLTtQ4YCgYky23 ONAw/FDCMKkLF0359iD+5RRCOtVsyyz7XXjFlHiqjkwiMODAYr0bh02K 8qDDxLbtkkUXToVEChxHdH6wmyzwPEIO7Gej0ZbqQWIogM/5IPYT2SNz wrUmZXd1VMb7aoXyg6CR37T3lH2KZJD9GZzdIeApXt8rj8+iXXK0c2fS tS7UFZO22qGYlKO9tHscyTG2jJoMjlBw5u0vZ39LBJ2MdfOvKkYSfYFx jIU5o3pYAvuLUycD6OBPgB1KEZUGbfOV/VmZDsGwpw1hYuvjJiRtvhF5 ZqlNpuQCOnU=",
        "Private-key-format: v1.3
Algorithm: 8 (RSASHA256)
Modulus: mePVO39HmAJwGcCk62qAAC0v0lbu9j+Kgsc1sktO1DhgKBiTLbc40DD8UMIwqQsXTfn2IP7lFEI61WzLLPtdeMWUeKqOTCIw4MBivRuHTYryoMPEtu2SRRdOhUQKHEd0frCbLPA8Qg7sZ6PRlupBYiiAz/kg9hPZI3PCtSZld3VUxvtqhfKDoJHftPeUfYpkkP0ZnN0h4Cle3yuPz6JdcrRzZ9K1LtQVk7baoZiUo720exzJMbaMmgyOUHDm7S9nf0sEnYx1868qRhJ9gXGMhTmjelgC+4tTJwPo4E+AHUoRlQZt85X9WZkOwbCnDWFi6+MmJG2+EXlmqU2m5AI6dQ==
PublicExponent: AQAB
PrivateExponent: FppqRXTqdR9Wi9HJ53IbHuuELKbsLmsi0xajgm6hQ3aMWRdS9tIEnD+1r772Gr4wTBm81xfZWeJoddSm+xJopkaPCjIy+GfFOh3H4vLaKr+P56EZkazPYSqNM/HMcl7kc39JK46VqzY57vcW383EkMBWOzXia4J60EQ+gxECskrlAG29Gnx9wLWzyWO0WA/aTuvIjuonRvngYWuo/liE/E1JBr/gW4Uq6sSGOuIB2pKbMnoijXveNkkEKdtNVAp/G7XstaIkTuoO2SlPSR7olVHzzCFLGNqMvyybsIaL6DiVCVwMkrfiB9wDU5uwz1DhMxYSBTC4enQpWF/G6czR+Q==
Prime1: 2RGKmeR9wAId5lcwGI3uj3VtxmeLmOZwzVgHPTTyHmqV8Pv2kKNCi+bTIyJgnAitXIyCfzipLUnLDau59qg0BHdwrI5entc13Du9XI0Q6Tyq5h1w3ePtkke1uCfA+6yeCkq5B95eqXu+gu3hPtlQkyJ5z/cGgFoPX4tWnfA4yYs=
Prime2: tX2E4ThCLL4CPgEwsxl2pK9RNrvDFs0eH7i2lQmZ3w5xBh33gXuf1YZlNMYB26fDi1ZW7IeI/ga3Ms3ltq7VU3DSMeGSveyzO/oNau3vuZBLsQVTCIaUFWW7XWxG6b7LRTRAy3D0m7twZuyRv+K/XXvhg9Va9pI3xO9ynNRpi/8=
Exponent1: 1pMQf6/u3q84/0mQsbUb7ZQXP9l7lVm2iEZMYaTE8mxKbD2mLrQ0RDeY31JMTfIF7Ua4eSp5kdswbgMjgUAkq4WmS+0we7Qh+eLT/Xk1Dlp6VZ8kwzNc1Q0uBSzHCAJK98GFxtF6oe9BFAwybP5FOC0MXRfDxX1BVSFYLigY+qE=
Exponent2: MmjBrriskLbZ8pTsDOLmtElJunUec8fXNSJd/DlldrIRLIzIQTuwImOo2qagv3zycFIz5JCkuUHuQnsz8bDP6dQtXdN0qbID+oWykl+yNQ1iKLH85SJUITlXeFRpweTPmtIvqRIfrt26E6xjszNsya9t7Osmz9O/D8EeSXcqNcs=
Coefficient: jz+WbNxLkdKB/W4N1jUu7ugy+wYzRjOdzyuTNQ+/k8ckauZoD5FW2J4sPm68AyMTV/QDgFHsIIf/b0Ua/t6cPx8ttOIaELvobFeFwVzVWdSIBa+abtaa81V3ZvHd61XL7RRbqCTIFrozlYarHaxhV4QDkvyvfWgwTfwdB4ljO8Y=
",
        21679,
    ),
    (
        "example.org. IN DNSKEY 256 3 10 AwEAAceKZa97bw0m06bE1LZkmCLYLm9x56fvcxlrFoi0n7pJUSgCqWkz b4+LZWJ7E4tDRni/7GqbFJWqLwCxFjPHro6dMtS7qIsyZbb0Zkt43IeW NStkTYKPajdF4FQEPgncIB1CxqIyLqUmtljkTrfonkf2J0BIryPOY7h3 J6k8xUSngb6wvFP0n5OH1afWlYCV6hOndpBi+rDHFTPXh3vsy0hT7HKS VTZFWIPtr023KpGKiKsuMlV7GPwHTjpQ1K2ulpV4CfojoLom8KtrhKe4 byNXOU2VvGzPWSoICxFyBHG+ecjhkIj6AKey1Ofp5u1tX1omhxwjUGg2 kLQQQ671QPs=",
        "Private-key-format: v1.3
Algorithm: 10 (RSASHA512)
Modulus: x4plr3tvDSbTpsTUtmSYItgub3Hnp+9zGWsWiLSfuklRKAKpaTNvj4tlYnsTi0NGeL/sapsUlaovALEWM8eujp0y1LuoizJltvRmS3jch5Y1K2RNgo9qN0XgVAQ+CdwgHULGojIupSa2WOROt+ieR/YnQEivI85juHcnqTzFRKeBvrC8U/Sfk4fVp9aVgJXqE6d2kGL6sMcVM9eHe+zLSFPscpJVNkVYg+2vTbcqkYqIqy4yVXsY/AdOOlDUra6WlXgJ+iOguibwq2uEp7hvI1c5TZW8bM9ZKggLEXIEcb55yOGQiPoAp7LU5+nm7W1fWiaHHCNQaDaQtBBDrvVA+w==
PublicExponent: AQAB
PrivateExponent: GsR6ipVU2t9MAjGiVUteS0JTzFhr2o/ZEV5XugP871j5fZQJ1NZ1Dz0EXzcicoqWUAly9gQSuVcIkh+vWkfdpzz4PihkXjPnCCl19Ybjkn64aDc+3JZPidWiV7Lv/ZOdbT9xdP2lWzs7t+X8l1gpr36aWlnFwNhlcS/uzpmb3u8axTRmyW4EW3g9I5zi2rkOaAUYRji459gBX52/2/AL6kdEzFYYT7Pw7CSYAx6o+9h+JCLly/sRUB14Q1XWfZGRjzUxKo6Cv7ER3Py15ZE2VhMYOawv9l7sYqM5VILPPkoZW/hM1O8pQZ3CDgNHb6tYd1f9Sb+E9puHmIloGw7WdQ==
Prime1: 8gfaG3YMALaB5+o9m43iykLnbnFsyXZ5WIvx8mPTP/dXlZ7oekzvNSW1Ke5BjTnYvl+prw6Cb4E0CKrC3w/WylkO3gtVp0yi7PBcGGWxaIYlLvWyosIs0NCHd2E6WN+J9Y0CqLj0pdI0NaSPdfs9UzBpjB3AvitYL9ur7bM6pY8=
Prime2: 0w66rKLGDEOT3cIymEPbaB2jjy4tLg1GDshU8ukEXUjEzpNmoSjlXvygu8aM5GwFMAEHrnMiYYzqHoDU+KXOJ9nZogwFOANlijcep9AU3DVYLXe3fZY5zG2bE3/gNCpmfrp2CgGNd1kVR26kwSQxASaJUcar30wve8OOpEVX79U=
Exponent1: RSyfVtfvaEjBajJVt17fIeXrVXKPoCj/V6Jv3VJQr2iXHMlVMpdIiw0i8UAKdj3BR+/5hHIGL65i29NKbQyO3DiF+kqNCYrqygOMnuB5yyEEAZ7xlnke6/OdtC4SyhHh0U+jIevy6G3ixC4rXpIXHe6pTAW47+FdjBgh1Ic0TNs=
Exponent2: AsDjcJMjEE/lYvRAornn5+DTHHAWyM4FhvXYHd8qXmkvoB5OLXYSH/4dvrVlayl5m9m3lvALl8g12bYGkUPgf6aY70NG4icxMO9tJ/VQAFt1zgoMy8ek82TOrB9z9lpDQg3+sjy48sCnxWnNHnPxa7lr+zQjU+NzjyLK/puk/Q0=
Coefficient: B/L/RJs2cXYXShpRqt7HhgerDfWFKZAP1zslwav1slOPDEZuzdsuycS1JPcvxXje6wWXBog73oGXCAOp9PJfaEJpTnVBwRTC3oNjzakZKjOVw8XlAoZEZekbqu8v62JBC1tHG3Qzhy/C291DPI//VYB76BHa0ta/l10WX5q+Kl8=
",
        46901,
    ),
    (
        "example.org. IN DNSKEY 256 3 13 2Hg/crpLl6UDvoxt0p6+9qZXoyHXfHHTW4e4VI2QFHE3TQdtMN9mu4kJ BQKX7w8oX1pQ7X6yFvrAFl08dEJTUg==",
        "Private-key-format: v1.3
Algorithm: 13 (ECDSAP256SHA256)
PrivateKey: Jj8QyKLqDIPvx3ns8OeSjQHRktcU9nIa44G/GJw5lR4=
",
        3750,
    ),
    (
        "example.org. IN DNSKEY 256 3 14 O32Pp73whiZ9bgTyWQzrWh++3ltSxQkpk3TDG43lM4LHJSO5X98t49MK lbjEz/yUfiDZSUCae3mjA2fkAlAvK/gNZM1unNacco5NelOiMCEoKTbK F+IqFtowMaQ9/Taw",
        "Private-key-format: v1.3
Algorithm: 14 (ECDSAP384SHA384)
PrivateKey: I7BFqbjhGjxLh2K46tf5opKsg5vktvRND8Nd9cXLhHOBotXPUaT+opiHBsVypq2J
",
        17932,
    ),
    (
        "example.org. IN DNSKEY 256 3 15 0CbiHh1DY9N+SnkMEZsBfrHGiRiaNUgOz6b/TLQ+kR0=",
        "Private-key-format: v1.3
Algorithm: 15 (ED25519)
PrivateKey: iUBqDAFjm2B+bUVkMtrlEhvLOibYd1FffeLijGKFEdc=
",
        29518,
    ),
];
/// A key that nothing is signed with.
const RSASHA1: (&str, &str) = (
    "example.org. IN DNSKEY 256 3 5 AwEAAcmR3Wp688pl0UUAWMwOiNOuCh4laR9SA3ayr9PxlbbsAC4SEetL NPhT9HLwjzlFiF5r+NjnTS9n5fNC7G6TwVl37dhqsmtsnRqMtKfJnFEc 886WM9voioXegYjMJQ7i3yHeKz+/zIyfr+zB5ZCBXZ+lmps6U1Z7TBFH vM7EJFff",
    "Private-key-format: v1.3
Algorithm: 5 (RSASHA1)
Modulus: yZHdanrzymXRRQBYzA6I064KHiVpH1IDdrKv0/GVtuwALhIR60s0+FP0cvCPOUWIXmv42OdNL2fl80LsbpPBWXft2Gqya2ydGoy0p8mcURzzzpYz2+iKhd6BiMwlDuLfId4rP7/MjJ+v7MHlkIFdn6WamzpTVntMEUe8zsQkV98=
PublicExponent: AQAB
PrivateExponent: N3Ehf6o16BO9TcdcpTPSOrcCHWyYz36VaU6YwikOzvN20TUzLI7REQS2le7I1i3j5mS4W6CzQDjJrPFZasjFQ0LOmz+neDGoUsOCLhSIOK95EhkoC0EYiEMTifLFi3L50TAb1cQV8K4w0zKoCo2S2SLqs1D5bLC/GEzGZujuDJE=
Prime1: /nYWER7HHWLQ2Qgy7J15K4l5ysUyyBU+VK6iILp1Wkdm6ob1f0qUASpNK7frMDTMpzjpRhwOwKQOkkjWJC7LVQ==
Prime2: ysnmrJb3mceA8uonkUSHOZBBgWkzjIH8IgMdkallhP7yK0T/lJ1IzNre57w9/al0BBfQhUpCKN1WW9SMGtjeYw==
Exponent1: DxKbmAQEs17pFBICQjXJuaR5DGPF8Egh2w5FGD8zOFfGZtn7rMCUJ8WDsLVCPybBgJ5EYxzCWvLc0hlyZc5HyQ==
Exponent2: U5EWNSNVT5LOScxCl/OUgh03UVwH+SwLufxsr/0Nr9vb8gbSB+009e5wEzEYnrK484LY1ETAtNRZZShWwC2Enw==
Coefficient: IbTFL9dgDwzYYXs/OCUpr+2eB5ofeOS4V/4pgkgIK2xwaPDfUk4FqAWomQi/vUG7h1vKbYZsi0R4C3gdOlGB0w==
",
);
const VALIDITY: Validity = Validity { inception: 1_700_000_000, expiration: 1_700_864_000 };

fn key(at: usize) -> SigningKey {
    let (public, private, _) = KEYS[at];
    PublicKey::read(public.as_bytes()).unwrap().with_private(private.as_bytes()).unwrap()
}

fn refused(public: &str, private: &str) -> String {
    let read = PublicKey::read(public.as_bytes()).and_then(|key| key.with_private(private.as_bytes()));
    read.unwrap_err().to_string()
}

fn addresses(ttl: u32) -> CanonicalSet {
    CanonicalSet::new(b"\x01A\x07example\x03org\0", Rtype::A, Class::IN, ttl, [&[192, 0, 2, 2][..], &[192, 0, 2, 1]])
}

#[test]
fn every_algorithm_signs_what_verifies() {
    for (at, (_, _, tag)) in KEYS.iter().enumerate() {
        let key = key(at);
        assert_eq!(key.public().tag(), *tag);
        let rrsig = key.sign(&addresses(300), b"\x07Example\x03org\0", VALIDITY).unwrap();
        let read = Signature::read(&rrsig).unwrap();
        assert_eq!((read.covered, read.labels, read.ttl, read.tag), (Rtype::A, 3, 300, *tag));
        assert_eq!((read.validity, read.signer), (VALIDITY, &b"\x07example\x03org\0"[..]));
        verify(key.public().rdata(), &addresses(300), &rrsig).unwrap();
    }
}

#[test]
fn a_changed_set_signature_or_key_does_not_verify() {
    for at in 0..KEYS.len() {
        let key = key(at);
        let rrsig = key.sign(&addresses(300), b"\x03org\0", VALIDITY).unwrap();
        let dnskey = key.public().rdata();
        assert_eq!(verify(dnskey, &addresses(301), &rrsig), Err(VerifyError::Other));
        let other = CanonicalSet::new(b"\x01a\x07example\x03org\0", Rtype::A, Class::IN, 300, [&[192, 0, 2, 9][..]]);
        assert_eq!(verify(dnskey, &other, &rrsig), Err(VerifyError::Wrong));
        let mut later = rrsig.clone();
        later[11] ^= 1;
        assert_eq!(verify(dnskey, &addresses(300), &later), Err(VerifyError::Wrong));
        assert_eq!(verify(&dnskey[..3], &addresses(300), &rrsig), Err(VerifyError::Malformed));
        assert_eq!(verify(dnskey, &addresses(300), &rrsig[..20]), Err(VerifyError::Malformed));
    }
}

#[test]
fn the_example_of_rfc_6605_verifies() {
    let text = "example.net. 3600 IN DNSKEY 257 3 13 GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==";
    let key = PublicKey::read(text.as_bytes()).unwrap();
    assert_eq!(key.tag(), 55648);
    let ds =
        record("example.net. 3600 IN DS 55648 13 2 b4c8c1fe2e7477127b27115656ad6256f424625bf5c1e2770ce6d6e37df61d17");
    assert_eq!(key.ds(b"\x07Example\x03net\0", Digest::Sha256), ds.rdata);
    let rrsig = record(
        "www.example.net. 3600 IN RRSIG A 13 3 3600 20100909100439 20100812100439 55648 example.net. qx6wLYqmh+l9oCKTN6qIc+bw6ya+KJ8oMz0YP107epXAyGmt+3SNruPFKG7tZoLBLlUzGGus7ZwmwWep666VCw==",
    );
    let set = CanonicalSet::new(b"\x03www\x07example\x03net\0", Rtype::A, Class::IN, 3600, [&[192, 0, 2, 1][..]]);
    verify(key.rdata(), &set, &rrsig.rdata).unwrap();
}

#[test]
fn a_ds_record_may_have_each_digest() {
    let key = key(2);
    let octets = |digest| key.public().ds(key.public().owner(), digest).len() - 4;
    assert_eq!([Digest::Sha1, Digest::Sha256, Digest::Sha384].map(octets), [20, 32, 48]);
}

#[test]
fn old_and_broken_keys_are_refused_with_a_reason() {
    assert!(refused(RSASHA1.0, RSASHA1.1).starts_with("algorithm RSASHA1 is not supported: sign with ECDSAP256SHA256"));
    let small = RSASHA1.0.replace(" 5 Aw", " 8 Aw");
    let small_private = RSASHA1.1.replace("Algorithm: 5", "Algorithm: 8");
    assert_eq!(refused(&small, &small_private), "RSA keys have 2048 to 4096 bits, this one has 1024");
    assert_eq!(refused("", ""), "no public key found");
    assert_eq!(refused("example.org. 60 IN A 192.0.2.1", ""), "no public key found");
    assert_eq!(refused(KEYS[2].0, ""), "dns: bad private key");
    assert_eq!(refused(KEYS[2].0, KEYS[4].1), "the private key is not that of the public key");
    assert_eq!(refused("example.org. IN DNSKEY 256 3 13 AAAA", KEYS[2].1), "dns: bad key");
    assert_eq!(
        refused("example.org. IN DNSKEY 256 3 8 AAAA", KEYS[0].1),
        "RSA keys have 2048 to 4096 bits, this one has 0"
    );
}

#[test]
fn the_halves_of_two_keys_of_one_algorithm_do_not_fit() {
    let other = "example.org.	IN	DNSKEY	256 3 13 qFqWNFF7dqvN20Hdr3W4axQvp8L4dli/DT0uXPPjdMPI67iHybcmqRPZCST6pSfkfe/Rt7AE7SUhLXWgu6PmPA==";
    assert_eq!(refused(other, KEYS[2].1), "the private key is not that of the public key");
}

#[test]
fn the_debug_output_of_a_key_does_not_show_its_private_half() {
    assert!(!format!("{:?}", key(2)).to_lowercase().contains("pair"));
}

fn record(text: &str) -> RecordBuf {
    crate::zonefile::parse_record(text.as_bytes(), &[0], 0).unwrap().unwrap()
}

const ORIGIN: &[u8] = b"\x07example\x03org\0";
const ZONE: &str = "
@ 3600 IN SOA ns admin 42 7200 3600 1209600 300
@ 3600 IN NS ns
@ 60 IN NSEC a A
ns 3600 IN A 192.0.2.53
ns 60 IN A 192.0.2.54
a 300 IN A 192.0.2.1
a 300 IN RRSIG A 13 3 300 20300101000000 20200101000000 1 example.org. AAAA
b.ent 300 IN TXT b
*.w 60 IN TXT any
sec 60 IN NS ns.sec
sec 60 IN DS 12345 13 2 0102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F20
ns.sec 60 IN A 192.0.2.54
sub 60 IN NS ns.sub
sub 60 IN TXT hidden
ns.sub 60 IN A 192.0.2.54
";

/// The zone, signed, as the records of its file.
fn signed() -> (SigningKey, Vec<RecordBuf>) {
    let key = key(2);
    let records =
        signed_as(&Plan { keys: vec![KeyUse::all(&key)], digests: &[Digest::Sha1, Digest::Sha256], nsec3: None });
    (key, records)
}

/// The records of the file of the zone, signed as planned.
fn signed_as(plan: &Plan<'_>) -> Vec<RecordBuf> {
    let mut unsigned = UnsignedZone::new(ORIGIN, 1_700_000_123);
    let options = Options::new("zone", ORIGIN);
    read_zone(ZONE.as_bytes(), &options, &mut |record: RecordRef<'_>| unsigned.push(record).map_err(|e| e.to_string()))
        .unwrap();
    let mut text = Vec::new();
    unsigned.finish(plan).unwrap().write(VALIDITY, &mut text).unwrap();
    let mut records = Vec::new();
    read_zone(&text, &options, &mut |record: RecordRef<'_>| {
        records.push(RecordBuf::from(record));
        Ok(())
    })
    .unwrap();
    records
}

fn named(name: &str) -> Vec<u8> {
    catena_core::name::owned(&format!("{name}example.org.")).unwrap().as_slice().to_vec()
}

#[test]
fn every_signature_of_a_signed_zone_verifies() {
    let (key, records) = signed();
    let mut count = 0;
    for rrsig in records.iter().filter(|record| record.rtype == Rtype::RRSIG) {
        let signature = Signature::read(&rrsig.rdata).unwrap();
        let of = |record: &&RecordBuf| record.owner == rrsig.owner && record.rtype == signature.covered;
        assert!(records.iter().filter(of).all(|record| record.ttl == signature.ttl && record.ttl == rrsig.ttl));
        let rdatas = records.iter().filter(of).map(|record| &record.rdata[..]);
        let set = CanonicalSet::new(&rrsig.owner, signature.covered, Class::IN, signature.ttl, rdatas);
        verify(key.public().rdata(), &set, &rrsig.rdata).unwrap();
        count += 1;
    }
    // Apex: SOA NS DNSKEY CDNSKEY CDS NSEC; ns, a, b.ent, *.w: two; sec: DS NSEC; sub: NSEC.
    assert_eq!(count, 6 + 8 + 2 + 1);
}

#[test]
fn the_chain_goes_through_what_the_zone_has_authority_over() {
    let (_, records) = signed();
    let mut chain = Vec::new();
    for nsec in records.iter().filter(|record| record.rtype == Rtype::NSEC) {
        assert_eq!(nsec.ttl, 300);
        chain.push(nsec.owner.clone());
        let next_len = catena_core::wire::skip_name(&nsec.rdata, 0).unwrap();
        chain.push(nsec.rdata[..next_len].to_vec());
    }
    let names: Vec<Vec<u8>> = ["", "a.", "b.ent.", "ns.", "sec.", "sub.", "*.w."].map(named).to_vec();
    let expected: Vec<Vec<u8>> =
        (0..names.len()).flat_map(|at| [names[at].clone(), names[(at + 1) % names.len()].clone()]).collect();
    assert_eq!(chain, expected);
}

#[test]
fn a_cut_has_its_ds_and_nsec_records_signed_and_nothing_below() {
    let (_, records) = signed();
    let covered = |name: &str| -> Vec<Rtype> {
        let of = records.iter().filter(|record| record.owner == named(name) && record.rtype == Rtype::RRSIG);
        of.map(|record| Signature::read(&record.rdata).unwrap().covered).collect()
    };
    assert_eq!(covered("sec."), [Rtype::DS, Rtype::NSEC]);
    assert_eq!(covered("sub."), [Rtype::NSEC]);
    assert_eq!(covered("ns.sub."), []);
    let nsec = |name: &str| {
        let found = records.iter().find(|record| record.owner == named(name) && record.rtype == Rtype::NSEC).unwrap();
        found.rdata[catena_core::wire::skip_name(&found.rdata, 0).unwrap()..].to_vec()
    };
    assert_eq!(nsec("sec."), type_bitmap([Rtype::NS, Rtype::DS, Rtype::RRSIG, Rtype::NSEC]));
    assert_eq!(nsec("sub."), type_bitmap([Rtype::NS, Rtype::RRSIG, Rtype::NSEC]));
}

#[test]
fn the_apex_comes_first_with_the_serial_and_the_keys() {
    let (key, records) = signed();
    assert_eq!(records[0].rtype, Rtype::SOA);
    let numbers = records[0].rdata.len() - 20;
    assert_eq!(records[0].rdata[numbers..numbers + 4], 1_700_000_123_u32.to_be_bytes());
    assert_eq!(records[1].rtype, Rtype::RRSIG);
    let of = |rtype| records.iter().filter(move |record| record.rtype == rtype).collect::<Vec<_>>();
    assert_eq!(of(Rtype::DNSKEY)[0].rdata, key.public().rdata());
    assert_eq!(of(Rtype::CDNSKEY)[0].rdata, key.public().rdata());
    assert_eq!(of(Rtype::CDS).len(), 2);
    assert!(of(Rtype::DNSKEY).iter().all(|record| record.ttl == 3600));
}

#[test]
fn a_zone_without_soa_record_is_none() {
    let mut unsigned = UnsignedZone::new(ORIGIN, 1);
    unsigned.push(record("a.example.org. 60 IN A 192.0.2.1").as_ref()).unwrap();
    assert!(
        unsigned
            .finish(&Plan { keys: Vec::new(), digests: &[], nsec3: None })
            .unwrap_err()
            .to_string()
            .starts_with("has no SOA record")
    );
}

fn owners(records: &[RecordBuf], rtype: Rtype) -> Vec<Vec<u8>> {
    records.iter().filter(|record| record.rtype == rtype).map(|record| record.owner.clone()).collect()
}

#[test]
fn a_key_signs_what_it_is_for_and_the_parent_is_told_what_it_shall_know() {
    let (ksk, zsk, next) = (key(2), key(4), key(3));
    let of = |key, signs_keys, signs_zone, for_parent| KeyUse { key, signs_keys, signs_zone, for_parent };
    let keys = vec![of(&ksk, true, false, true), of(&zsk, false, true, false), of(&next, false, false, false)];
    let records = signed_as(&Plan { keys, digests: &[Digest::Sha256], nsec3: None });
    for rrsig in records.iter().filter(|record| record.rtype == Rtype::RRSIG) {
        let signature = Signature::read(&rrsig.rdata).unwrap();
        let of_keys = matches!(signature.covered, Rtype::DNSKEY | Rtype::CDS | Rtype::CDNSKEY);
        assert_eq!(signature.tag, if of_keys { &ksk } else { &zsk }.public().tag(), "{}", signature.covered);
    }
    let count = |rtype| owners(&records, rtype).len();
    assert_eq!((count(Rtype::DNSKEY), count(Rtype::CDNSKEY), count(Rtype::CDS)), (3, 1, 1));
}

#[test]
fn hashed_names_make_one_ring_with_empty_non_terminals_in_it() {
    let key = key(4);
    for (opt_out, names) in [(false, 9), (true, 8)] {
        let nsec3 = Nsec3 { iterations: 2, salt: vec![0xab], opt_out };
        let records = signed_as(&Plan { keys: vec![KeyUse::all(&key)], digests: &[], nsec3: Some(&nsec3) });
        assert!(owners(&records, Rtype::NSEC).is_empty());
        let param = records.iter().find(|record| record.rtype == Rtype::NSEC3PARAM).unwrap();
        assert_eq!(param.rdata, [1, 0, 0, 2, 1, 0xab]);
        let ring: Vec<&RecordBuf> = records.iter().filter(|record| record.rtype == Rtype::NSEC3).collect();
        // The apex, a, ent, b.ent, ns, sec, w, *.w, and sub, which has no DS records.
        assert_eq!(ring.len(), names);
        let hash = |text: &str| crate::store::nsec3::hash_text(&named(text), &[0xab], 2);
        let of = |text: &str| ring.iter().find(|record| record.owner[1..33] == hash(text));
        assert_eq!(of("sub.").is_some(), !opt_out);
        let types = |text: &str| of(text).unwrap().rdata[27..].to_vec();
        assert!(types("ent.").is_empty());
        assert_eq!(types("sec."), type_bitmap([Rtype::NS, Rtype::DS, Rtype::RRSIG]));
        assert_eq!(types("a."), type_bitmap([Rtype::A, Rtype::RRSIG]));
        if !opt_out {
            assert_eq!(types("sub."), type_bitmap([Rtype::NS]));
        }
        // Each points at the next.
        let mut nexts: Vec<&[u8]> = ring.iter().map(|record| &record.rdata[7..27]).collect();
        nexts.sort_unstable();
        nexts.dedup();
        assert_eq!(nexts.len(), names);
        assert!(ring.iter().all(|record| record.ttl == 300 && nsec3.made(&record.rdata)));
    }
}

#[test]
fn a_name_that_only_leads_to_unsigned_delegations_is_left_out_with_them() {
    let key = key(4);
    let nsec3 = Nsec3 { opt_out: true, ..Nsec3::default() };
    let mut unsigned = UnsignedZone::new(ORIGIN, 1);
    for line in ["example.org. 60 IN SOA ns admin 1 2 3 4 5", "sub.ent.example.org. 60 IN NS ns.example.net."] {
        unsigned.push(record(line).as_ref()).unwrap();
    }
    let mut text = Vec::new();
    let plan = Plan { keys: vec![KeyUse::all(&key)], digests: &[], nsec3: Some(&nsec3) };
    unsigned.finish(&plan).unwrap().write(VALIDITY, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().filter(|line| line.contains("\tNSEC3\t")).count(), 1, "{text}");
}
