//! What must hold for every text and all octets: shared by the fuzz target, the replay of its corpus and the property tests.

use catena_core::{Class, RecordRef, Rtype};

use super::{Include, Included, Options, RecordBuf, is_valid_rdata, parse_record, read_zone, write_record};

/// How many records of one input are written and read again.
const RECORDS_MAX: usize = 2000;

/// A few files to include, one of which includes itself.
struct Sample;

impl Include for Sample {
    fn read(&self, path: &str, _from: &str) -> Result<Included, String> {
        let octets: &[u8] = match path {
            "a" => b"a 1 A 192.0.2.1\n TXT x\n",
            "b" => b"$ORIGIN b\n$TTL 5\n$INCLUDE a\n@ NS @\n",
            "self" => b"$INCLUDE self\n",
            "bad" => b"\n x (\n",
            _ => return Err("no such file".to_owned()),
        };
        Ok(Included { file: path.to_owned(), octets: octets.to_vec() })
    }
}

/// Reads any octets as a zone file, and as rdata; what comes of it must come back from its text.
///
/// # Panics
/// When something that must hold does not.
pub fn fuzz_one(data: &[u8]) {
    let options = Options { include: &Sample, ..Options::new("zone", b"\x07example\x03org\0") };
    let mut left = RECORDS_MAX;
    let mut check = |record: RecordRef<'_>| {
        left -= 1;
        check_record(record);
        if left == 0 { Err("enough".to_owned()) } else { Ok(()) }
    };
    if let Err(error) = read_zone(data, &options, &mut check) {
        assert!(error.line() >= 1 && error.column() >= 1, "{error:?}");
        assert!(error.to_string().starts_with(error.file()), "{error:?}");
        assert!(error.render().contains(error.message()), "{error:?}");
    }
    if let Some((rtype, rdata)) = data.split_first_chunk::<2>() {
        check_rdata(Rtype::from_int(u16::from_be_bytes(*rtype)), rdata);
    }
}

fn check_rdata(rtype: Rtype, rdata: &[u8]) {
    if is_valid_rdata(rtype, Class::IN, rdata) {
        check_record(RecordRef { owner: b"\x01x\0", rtype, class: Class::IN, ttl: 1, rdata });
    } else {
        write_record(RecordRef { owner: b"\x01x\0", rtype, class: Class::IN, ttl: 1, rdata }, &mut Vec::new());
    }
}

fn check_record(record: RecordRef<'_>) {
    assert!(is_valid_rdata(record.rtype, record.class, record.rdata), "{record:?}");
    let mut text = Vec::new();
    write_record(record, &mut text);
    let shown = String::from_utf8_lossy(&text);
    match parse_record(&text, &[0], 0) {
        Ok(again) => assert_eq!(again, Some(RecordBuf::from(record)), "{shown}"),
        Err(error) => panic!("{error}: {shown}"),
    }
}
