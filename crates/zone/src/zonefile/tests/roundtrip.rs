//! What is written is read back as it was; nothing that is read does harm.

use catena_core::Rtype;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::rdata::{Field, Form, form};
use super::*;

/// Octets to make rdata from, one after the other; zeros when there are none left.
struct Dice<'a>(&'a [u8]);

impl Dice<'_> {
    fn octet(&mut self) -> u8 {
        let (octet, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *octet
    }

    fn octets(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.octet()).collect()
    }

    fn up_to(&mut self, max: usize) -> Vec<u8> {
        let len = usize::from(self.octet()) % (max + 1);
        self.octets(len)
    }

    fn counted(&mut self, octets: &[u8]) -> Vec<u8> {
        [&[u8::try_from(octets.len()).unwrap()], octets].concat()
    }

    fn text(&mut self) -> Vec<u8> {
        let text = self.up_to(9);
        self.counted(&text)
    }

    fn name(&mut self) -> Vec<u8> {
        let mut name = Vec::new();
        for _ in 0..self.octet() % 4 {
            let mut label = self.up_to(6);
            label.push(self.octet());
            name.extend(self.counted(&label));
        }
        name.push(0);
        name
    }

    /// A field on the wire, mostly one that has a text.
    fn field(&mut self, field: Field) -> Vec<u8> {
        match field {
            Field::U8 | Field::Code8(_) => self.octets(1),
            Field::U16 | Field::Code16(_) | Field::Octal16 | Field::Type => self.octets(2),
            Field::U32 | Field::Seconds | Field::Moment | Field::Ipv4 => self.octets(4),
            Field::U64 | Field::Locator => self.octets(8),
            Field::Ipv6 => self.octets(16),
            Field::Eui(pairs) => self.octets(pairs),
            Field::Name => self.name(),
            Field::Names => [self.name(), self.name()].concat(),
            Field::Text | Field::TextOptional | Field::Salt | Field::Hash32 => self.text(),
            Field::Texts => [self.text(), self.text()].concat(),
            Field::Tag => b"\x05issue".to_vec(),
            Field::Types => [vec![0, 2], self.octets(1), vec![1, 1, 3], self.octets(1)].concat(),
            Field::TypesOld => self.up_to(17),
            Field::TextRest | Field::Hex | Field::HexDotted => self.up_to(20),
            Field::Base64 | Field::Base64Optional | Field::Base64Dash => self.up_to(20),
            Field::Special(_) => self.special(),
        }
    }

    /// Something that may be a prefix list, a gateway, a place, parameters and so on.
    fn special(&mut self) -> Vec<u8> {
        match self.octet() % 5 {
            0 => self.up_to(24),
            1 => [vec![self.octet(), self.octet() % 4, self.octet()], self.name()].concat(),
            2 => [vec![0, 1, self.octet() % 33, 0x83], self.octets(3), vec![0, 2, 8, 1], self.octets(1)].concat(),
            3 => [vec![0, 0x12, 0x16, self.octet()], self.octets(12)].concat(),
            _ => {
                let (id, port, value) = (self.text(), self.octets(2), self.up_to(9));
                let value_len = [0, u8::try_from(value.len()).unwrap()];
                let alpn_len = [0, u8::try_from(id.len()).unwrap()];
                [&[0, 1][..], &alpn_len, &id, &[0, 3, 0, 2], &port, &[9, 9], &value_len, &value].concat()
            }
        }
    }
}

/// Every type that has fields or a name, and a few that have not.
fn types() -> impl Strategy<Value = Rtype> {
    prop_oneof![0u16..70, 95u16..112, 256u16..266, Just(32_768), Just(32_769), Just(65_533), any::<u16>()]
        .prop_map(Rtype::from_int)
}

fn returns(record: RecordRef<'_>) -> Result<(), TestCaseError> {
    let mut text = Vec::new();
    write_record(record, &mut text);
    let shown = String::from_utf8_lossy(&text).into_owned();
    prop_assert!(text.is_ascii() && text.iter().filter(|octet| octet.is_ascii_control()).count() == 5, "{}", shown);
    let again = parse_record(&text, &[0], 0).map_err(|error| TestCaseError::fail(format!("{error}: {shown}")))?;
    prop_assert_eq!(again, Some(RecordBuf::from(record)), "{}", shown);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn every_record_comes_back_from_its_text(rtype in types(), ttl: u32, entropy in vec(any::<u8>(), 0..80)) {
        let mut dice = Dice(&entropy);
        let owner = dice.name();
        let rdata = match form(rtype, Class::IN) {
            Form::Fields(fields) => fields.iter().flat_map(|field| dice.field(*field)).collect(),
            _ => dice.up_to(30),
        };
        if is_valid_rdata(rtype, Class::IN, &rdata) {
            returns(RecordRef { owner: &owner, rtype, class: Class::IN, ttl, rdata: &rdata })?;
        }
    }

    #[test]
    fn any_octets_may_be_a_zone_file_or_rdata(octets in vec(any::<u8>(), 0..200)) {
        fuzz_one(&octets);
    }

    #[test]
    fn words_of_zone_files_in_any_order_do_no_harm(words in vec(0usize..WORDS.len(), 0..40)) {
        let text: Vec<&str> = words.iter().map(|at| WORDS[*at]).collect();
        fuzz_one(text.join(" ").as_bytes());
        fuzz_one(text.concat().as_bytes());
    }
}

const WORDS: [&str; 40] = [
    "\n",
    "\n",
    "\n ",
    "(",
    ")",
    ";",
    "\"",
    "\\",
    "@",
    ".",
    "a",
    "a.",
    "1",
    "1h",
    "300",
    "IN",
    "CH",
    "A",
    "192.0.2.1",
    "TXT",
    "\"x y\"",
    "MX",
    "SOA",
    "NS",
    "SVCB",
    "alpn=h2",
    "port=",
    "\\# 2",
    "beef",
    "TYPE9",
    "$TTL",
    "$ORIGIN",
    "$GENERATE 1-3",
    "$",
    "${1,2,x}",
    "$INCLUDE",
    "b",
    "NSEC",
    "LOC",
    "\\065",
];

#[test]
fn a_record_with_an_owner_that_needs_escapes_comes_back() {
    let owner = b"\x05$a@;\\\x01 \x01*\0";
    returns(RecordRef { owner, rtype: Rtype::TXT, class: Class::CH, ttl: 0, rdata: b"\x03\"\\\n" }).unwrap();
}

#[test]
fn rdata_that_is_not_of_its_type_is_written_in_base_16_and_refused() {
    let mut text = Vec::new();
    write_record(RecordRef { owner: b"\0", rtype: Rtype::A, class: Class::IN, ttl: 1, rdata: b"\x0a" }, &mut text);
    assert_eq!(text, b".\t1\tIN\tA\t\\# 1 0A\n");
    assert!(parse_record(&text, &[0], 0).is_err());
    for (rtype, rdata) in [
        (Rtype::NS, &b"\xc0\x0c"[..]),
        (Rtype::NS, b"\0\0"),
        (Rtype::TXT, b""),
        (Rtype::TXT, b"\x02a"),
        (Rtype::NSEC, b"\0\x01\x01\x80\0\x01\x80"),
        (Rtype::SVCB, b"\0\x01\0\0\x03\0\x02\0\x35\0\x01\0\0"),
        (Rtype::ANY, b""),
    ] {
        assert!(!is_valid_rdata(rtype, Class::IN, rdata), "{rtype} {rdata:?}");
    }
}

#[test]
fn rdata_that_no_text_means_is_written_in_base_16_and_read_again() {
    for (rtype, rdata) in [
        (Rtype::from_int(29), &b"\x00\x0f\x16\x13\x80\0\0\0\x80\0\0\0\0\x98\x96\x80"[..]),
        (Rtype::from_int(42), b"\0\x01\x08\x02\x0a\0"),
        (Rtype::NSEC, b"\0\0\x02\x40\0"),
        (Rtype::SVCB, b"\0\x01\0\0\x03\0\x01\0"),
        (Rtype::from_int(49), b""),
    ] {
        let record = RecordRef { owner: b"\0", rtype, class: Class::IN, ttl: 1, rdata };
        let mut text = Vec::new();
        write_record(record, &mut text);
        assert!(String::from_utf8_lossy(&text).contains("\\# "), "{rtype}");
        returns(record).unwrap();
    }
}
