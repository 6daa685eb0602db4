//! Any octets as an update of a zone. Run with `cargo +nightly fuzz run update` in `crates/zone`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| catena_zone::update::fuzz_one(data));
