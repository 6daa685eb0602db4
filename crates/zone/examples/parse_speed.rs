//! How long a zone file takes to read: `parse_speed [FILE ORIGIN]`, or a made one of a million A records.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

use std::fmt::Write as _;
use std::time::Instant;

use catena_core::name::owned;
use catena_zone::zonefile::{Options, read_zone, write_record};

/// Records of the made file.
const RECORDS: usize = 1_000_000;

fn made() -> String {
    let mut text =
        String::from("$ORIGIN example.org.\n$TTL 3600\n@ IN SOA ns admin 1 7200 3600 1209600 300\n@ IN NS ns\n");
    for number in 0..RECORDS {
        let [a, b, c, d] = u32::try_from(number).unwrap_or(0).wrapping_add(0x0a00_0000).to_be_bytes();
        // A String takes whatever is written into it.
        let _ = writeln!(text, "host-{number:07}\t3600\tIN\tA\t{a}.{b}.{c}.{d}");
    }
    text
}

fn main() {
    let mut args = std::env::args().skip(1);
    let (octets, origin) = match (args.next(), args.next()) {
        (Some(file), origin) => match std::fs::read(&file) {
            Ok(octets) => (octets, origin.unwrap_or_else(|| ".".to_owned())),
            Err(error) => return println!("{file}: {error}"),
        },
        _ => (made().into_bytes(), "example.org.".to_owned()),
    };
    let Some(origin) = owned(&origin) else { return println!("no origin") };
    for _ in 0..3 {
        let (mut records, mut rdata) = (0usize, 0usize);
        let begun = Instant::now();
        let read = read_zone(&octets, &Options::new("zone", origin.as_slice()), &mut |record| {
            records += 1;
            rdata += record.rdata.len();
            Ok(())
        });
        let seconds = begun.elapsed().as_secs_f64();
        if let Err(error) = read {
            println!("{}", error.render());
        }
        let rate = octets.len() as f64 / 1e6 / seconds;
        println!("read: {records} records, {} octets, {rdata} of rdata: {seconds:.3} s, {rate:.0} MB/s", octets.len());
    }
    let mut text = Vec::new();
    let begun = Instant::now();
    let read = read_zone(&octets, &Options::new("zone", origin.as_slice()), &mut |record| {
        write_record(record, &mut text);
        Ok(())
    });
    if read.is_ok() {
        println!("read and written: {} octets, {:.3} s", text.len(), begun.elapsed().as_secs_f64());
    }
}
