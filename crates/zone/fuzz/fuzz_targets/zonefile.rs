//! Any octets as a zone file and as rdata. Run with `cargo +nightly fuzz run zonefile` in `crates/zone`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| catena_zone::zonefile::fuzz_one(data));
