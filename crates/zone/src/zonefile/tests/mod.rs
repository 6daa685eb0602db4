//! Zone files as a whole.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod corpus;
mod lines;
mod roundtrip;
mod wire;

use super::*;

/// example.org.
const ORIGIN: &[u8] = b"\x07example\x03org\0";

/// The records of a text that is right, each as a line with single blanks.
fn lines(text: &str) -> Vec<String> {
    let (records, error) = read(text, &NoInclude);
    assert_eq!(error.map(|error| error.render()), None);
    records.iter().map(line).collect()
}

/// The one line that says what is wrong.
fn error(text: &str) -> String {
    read(text, &NoInclude).1.expect("an error").to_string()
}

fn read(text: &str, include: &dyn Include) -> (Vec<RecordBuf>, Option<ZoneError>) {
    let mut records = Vec::new();
    let options = Options { include, ..Options::new("zone", ORIGIN) };
    let read = read_zone(text.as_bytes(), &options, &mut |record| {
        records.push(RecordBuf::from(record));
        Ok(())
    });
    (records, read.err())
}

fn line(record: &RecordBuf) -> String {
    let mut text = Vec::new();
    write_record(record.as_ref(), &mut text);
    String::from_utf8(text).expect("ASCII").trim_end().replace('\t', " ")
}
